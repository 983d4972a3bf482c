-- User names that accounts at several providers may have, in lower case: those that several accounts had at some time, and those whose
-- domain may be written in two ways, `bücher.example` and `xn--bcher-kva.example`. A start looks at these alone, however many others
-- there are (src/store/user_names.rs); a name that only one account has left does no harm, one that nobody has goes.
CREATE TABLE user_names_in_doubt (
    user_name TEXT NOT NULL PRIMARY KEY
);

CREATE TRIGGER user_names_in_doubt_of_a_credential
AFTER INSERT ON credentials
WHEN lower(new.user_name) GLOB '*@*xn--*'
    OR new.user_name GLOB '*@*[^ -~]*'
    OR EXISTS (
        SELECT 1 FROM credentials
        WHERE lower(user_name) = lower(new.user_name) AND account_id <> new.account_id
    )
BEGIN
    INSERT OR IGNORE INTO user_names_in_doubt VALUES (lower(new.user_name));
END;

CREATE TRIGGER user_names_in_doubt_after_the_last_credential
AFTER DELETE ON credentials
WHEN NOT EXISTS (SELECT 1 FROM credentials WHERE lower(user_name) = lower(old.user_name))
BEGIN
    DELETE FROM user_names_in_doubt WHERE user_name = lower(old.user_name);
END;

INSERT INTO user_names_in_doubt
SELECT lower(user_name) FROM credentials
GROUP BY lower(user_name)
HAVING MIN(account_id) <> MAX(account_id)
    OR MAX(lower(user_name) GLOB '*@*xn--*' OR user_name GLOB '*@*[^ -~]*');
