-- What the mail servers made of the last logins that devices tried, by protocol (`smtp`, `pop3`, `imap`): when they let one in,
-- written once a minute at most, and what they said when they refused the mailbox for good. A login ends a refusal. No backup holds
-- this: after a restore, the next login tells.
CREATE TABLE upstream_logins (
    account_id INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    protocol TEXT NOT NULL,
    let_in_at BIGINT,
    refused_at BIGINT,
    -- When the first login was refused that none has got in after.
    refused_since BIGINT,
    -- The server's words, and the id of what is known of them.
    said TEXT,
    diagnosis TEXT,
    PRIMARY KEY (account_id, protocol)
);

-- Another user name is another login.
CREATE TRIGGER upstream_logins_of_another_name
AFTER UPDATE OF smtp_user_name, pop3_user_name, imap_user_name ON accounts
WHEN old.smtp_user_name IS NOT new.smtp_user_name
    OR old.pop3_user_name IS NOT new.pop3_user_name
    OR old.imap_user_name IS NOT new.imap_user_name
BEGIN
    DELETE FROM upstream_logins WHERE account_id = new.id;
END;
