-- The user name toward the provider's IMAP server; the address where NULL.
ALTER TABLE accounts ADD COLUMN imap_user_name TEXT;
