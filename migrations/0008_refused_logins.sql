-- What the mail servers made of an account's last logins, by protocol (`smtp`, `pop3`, `imap`): when they let one in, written once a
-- minute at most, and what they said when they refused the mailbox for good. A login ends a refusal. No backup holds this: after a
-- restore, the next login tells.
CREATE TABLE upstream_logins (
    account_id INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    protocol TEXT NOT NULL,
    let_in_at BIGINT,
    refused_at BIGINT,
    -- The server's words, and the id of what is known of them.
    said TEXT,
    diagnosis TEXT,
    PRIMARY KEY (account_id, protocol)
);
