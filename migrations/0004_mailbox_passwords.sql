-- A mailbox's own password or one that its provider made for Gatepost, for providers without OAuth. `version` is raised by every change.
CREATE TABLE mailbox_passwords (
    account_id INTEGER NOT NULL PRIMARY KEY REFERENCES accounts (id) ON DELETE CASCADE,
    version BIGINT NOT NULL,
    password_sealed BLOB NOT NULL
);
