-- Since when nobody sees what the record is about. Of several processes one may read a configuration that does not have it.
ALTER TABLE alarms ADD COLUMN gone_since BIGINT;
-- The subjects of ends name the end as well: `consent:5:1801353600000`, `client:contoso:1801353600000`.
