-- What may have to be told to somebody: a state's trouble (`account:5`), a consent's end (`consent:5`), the end of what proves the
-- application (`client:contoso`).
CREATE TABLE alarms (
    subject TEXT NOT NULL PRIMARY KEY,
    -- A state's word, or the end's time, and since when that is seen.
    seen TEXT NOT NULL,
    since BIGINT NOT NULL,
    -- When the log last said so.
    logged_at BIGINT,
    -- What was last found worth telling, as JSON, and how often something was. `told` is a state's word, or the days left.
    number BIGINT NOT NULL DEFAULT 0,
    told TEXT,
    alarm TEXT,
    -- How often the command and the message may still be tried, and when next; with 0 left, when it was told.
    command_left BIGINT NOT NULL DEFAULT 0,
    command_at BIGINT NOT NULL DEFAULT 0,
    mail_left BIGINT NOT NULL DEFAULT 0,
    mail_at BIGINT NOT NULL DEFAULT 0
);

-- Messages of the last day, so that nobody is flooded.
CREATE TABLE alarm_messages (
    sent_at BIGINT NOT NULL
);
