-- Who consents, where that is not the mailbox itself.
ALTER TABLE accounts ADD COLUMN owner TEXT;
-- The account whose grant is used, where a delegate has one at the same provider.
ALTER TABLE accounts ADD COLUMN token_account_id INTEGER REFERENCES accounts (id) ON DELETE SET NULL;
-- The one mailbox that a credential of a catch-all account (`*@contoso.com`) opens; every one of the domain where NULL. Other
-- accounts have one mailbox.
ALTER TABLE credentials ADD COLUMN mailbox TEXT;
