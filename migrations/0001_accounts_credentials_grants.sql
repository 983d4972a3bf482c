-- Times are milliseconds since 1970. `_sealed` columns hold what src/store/seal.rs made of the value.

CREATE TABLE meta (
    name TEXT NOT NULL PRIMARY KEY,
    value_sealed BLOB NOT NULL
);

-- AUTOINCREMENT, here and below: a number is never given twice, so that nothing sealed for a removed row opens in a new one.
CREATE TABLE accounts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    provider TEXT NOT NULL,
    address TEXT NOT NULL,
    smtp_user_name TEXT,
    pop3_user_name TEXT,
    disabled BOOLEAN NOT NULL DEFAULT FALSE
);
CREATE UNIQUE INDEX accounts_address ON accounts (provider, lower(address));

CREATE TABLE credentials (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account_id INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    user_name TEXT NOT NULL,
    password_hash_sealed BLOB NOT NULL,
    label TEXT,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT
);
CREATE INDEX credentials_user_name ON credentials (lower(user_name));
CREATE INDEX credentials_account ON credentials (account_id);

-- `owner` is `account:5` or `provider:contoso`; an account's grant goes when the account goes.
CREATE TABLE grants (
    owner TEXT NOT NULL PRIMARY KEY,
    account_id INTEGER REFERENCES accounts (id) ON DELETE CASCADE,
    version BIGINT NOT NULL,
    refresh_token_sealed BLOB,
    access_token_sealed BLOB,
    expires_at BIGINT,
    scopes TEXT NOT NULL,
    identity TEXT,
    refused TEXT,
    lease_holder TEXT,
    lease_until BIGINT
);
CREATE INDEX grants_account ON grants (account_id);
