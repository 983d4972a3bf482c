-- When the tokens came, by consent or by a refresh.
ALTER TABLE grants ADD COLUMN issued_at BIGINT;
-- When a login last wanted the token; written once an hour at most.
ALTER TABLE grants ADD COLUMN used_at BIGINT;
-- Refreshes that failed since the tokens came: since when, when last, what was said, and whether waiting cannot help.
ALTER TABLE grants ADD COLUMN failed_since BIGINT;
ALTER TABLE grants ADD COLUMN failed_at BIGINT;
ALTER TABLE grants ADD COLUMN failure TEXT;
ALTER TABLE grants ADD COLUMN failure_lasts BOOLEAN NOT NULL DEFAULT FALSE;
-- When the provider last let a login of this account in; written once a minute at most.
ALTER TABLE accounts ADD COLUMN last_login_at BIGINT;
-- The provider's words, where it refused the stored password.
ALTER TABLE mailbox_passwords ADD COLUMN refused TEXT;
