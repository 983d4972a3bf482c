//! Alarms at rest: what was seen, what of it was found worth telling, and what of that is still to be told. Every change names
//! what it was decided on, in one statement, so that of several processes on one store one tells it. A claim moves the next
//! try into the future; so what a process died over is tried again by whoever looks then.

use std::time::SystemTime;

use sqlx::FromRow;

use super::{Store, StoreError, milliseconds, system_time};

/// What was seen of one subject, and what was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlarmRecord {
    /// What it is about, like `account:5`.
    pub subject: String,
    /// A state's word, or the time of an end.
    pub seen: String,
    /// Since when that is seen.
    pub since: SystemTime,
    /// Since when it is not seen at all; `None` while it is.
    pub gone_since: Option<SystemTime>,
    /// When the log last said so.
    pub logged_at: Option<SystemTime>,
    /// How often there was something to tell.
    pub number: i64,
    /// What was last found worth telling.
    pub told: Option<String>,
    /// The same in full.
    pub alarm: Option<String>,
    /// By the command.
    pub command: Telling,
    /// By a message.
    pub mail: Telling,
}

/// How far one way of telling has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Telling {
    /// How often it may still be tried.
    pub left: i64,
    /// When next; with none left, when it was told or given up.
    pub at: SystemTime,
}

/// The ways of telling that may fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// `on_alarm: { command }`.
    Command,
    /// `on_alarm: { mail_to }`.
    Mail,
}

impl AlarmRecord {
    /// Of the channel.
    pub fn telling(&self, channel: Channel) -> Telling {
        match channel {
            Channel::Command => self.command,
            Channel::Mail => self.mail,
        }
    }
}

impl Store {
    /// All of them, in the order of their subjects.
    pub async fn alarms(&self) -> Result<Vec<AlarmRecord>, StoreError> {
        let rows: Vec<Row> =
            sqlx::query_as("SELECT * FROM alarms ORDER BY subject").fetch_all(&self.pool).await?;
        Ok(rows.into_iter().map(Into::into).collect())
    }

    /// That of one subject.
    pub async fn alarm(&self, subject: &str) -> Result<Option<AlarmRecord>, StoreError> {
        let row: Option<Row> = sqlx::query_as("SELECT * FROM alarms WHERE subject = $1")
            .bind(subject)
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.map(Into::into))
    }

    /// Something is seen that was not there before.
    pub async fn begin_alarm(&self, subject: &str, seen: &str, now: SystemTime) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO alarms (subject, seen, since) VALUES ($1, $2, $3) ON CONFLICT (subject) DO NOTHING",
        )
        .bind(subject)
        .bind(seen)
        .bind(milliseconds(now))
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    /// Something else is seen than what the record says.
    pub async fn note_seen(
        &self,
        record: &AlarmRecord,
        seen: &str,
        now: SystemTime,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE alarms SET seen = $4, since = $5 WHERE subject = $1 AND seen = $2 AND since = $3",
        )
        .bind(&record.subject)
        .bind(&record.seen)
        .bind(milliseconds(record.since))
        .bind(seen)
        .bind(milliseconds(now))
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    /// What the record is about is not seen since then; `None` where it is seen again.
    pub async fn note_gone(
        &self,
        record: &AlarmRecord,
        gone_since: Option<SystemTime>,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE alarms SET gone_since = $4 WHERE subject = $1 AND number = $2 AND gone_since IS $3",
        )
        .bind(&record.subject)
        .bind(record.number)
        .bind(record.gone_since.map(milliseconds))
        .bind(gone_since.map(milliseconds))
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    /// It is over, or about something that is not there any more.
    pub async fn forget_alarm(&self, record: &AlarmRecord) -> Result<(), StoreError> {
        sqlx::query(
            "DELETE FROM alarms WHERE subject = $1 AND seen = $2 AND number = $3 AND gone_since IS $4",
        )
        .bind(&record.subject)
        .bind(&record.seen)
        .bind(record.number)
        .bind(record.gone_since.map(milliseconds))
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    /// There is something to tell from now on, in so many tries by each channel. `told` is short, `alarm` the same in full.
    pub async fn raise_alarm(
        &self,
        record: &AlarmRecord,
        told: &str,
        alarm: &str,
        tries: i64,
        now: SystemTime,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE alarms SET number = number + 1, told = $3, alarm = $4, logged_at = NULL,
                 command_left = $5, command_at = $6, mail_left = $5, mail_at = $6
             WHERE subject = $1 AND number = $2",
        )
        .bind(&record.subject)
        .bind(record.number)
        .bind(told)
        .bind(alarm)
        .bind(tries)
        .bind(milliseconds(now))
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    /// Whether the log is to say it now, and nobody else's.
    pub async fn claim_alarm_line(&self, record: &AlarmRecord, now: SystemTime) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "UPDATE alarms SET logged_at = $4 WHERE subject = $1 AND number = $2 AND logged_at IS $3",
        )
        .bind(&record.subject)
        .bind(record.number)
        .bind(record.logged_at.map(milliseconds))
        .bind(milliseconds(now))
        .execute(&self.writer)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Whether we are to try now, and nobody else. That is one try less; the next one is at `next`, unless
    /// [`Store::note_told`] says that this one was enough.
    pub async fn claim_telling(
        &self,
        channel: Channel,
        record: &AlarmRecord,
        next: SystemTime,
    ) -> Result<bool, StoreError> {
        let left = record.telling(channel).left;
        self.set_telling(channel, record, left, left - 1, next).await
    }

    /// What was claimed by [`Store::claim_telling`] with this record has been told.
    pub async fn note_told(
        &self,
        channel: Channel,
        record: &AlarmRecord,
        now: SystemTime,
    ) -> Result<(), StoreError> {
        self.set_telling(channel, record, record.telling(channel).left - 1, 0, now).await.map(drop)
    }

    async fn set_telling(
        &self,
        channel: Channel,
        record: &AlarmRecord,
        from: i64,
        to: i64,
        at: SystemTime,
    ) -> Result<bool, StoreError> {
        let query = match channel {
            Channel::Command => {
                "UPDATE alarms SET command_left = $4, command_at = $5
                 WHERE subject = $1 AND number = $2 AND command_left = $3"
            }
            Channel::Mail => {
                "UPDATE alarms SET mail_left = $4, mail_at = $5
                 WHERE subject = $1 AND number = $2 AND mail_left = $3"
            }
        };
        let done = sqlx::query(query)
            .bind(&record.subject)
            .bind(record.number)
            .bind(from)
            .bind(to)
            .bind(milliseconds(at))
            .execute(&self.writer)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// When messages were sent that are not older than that, the newest first.
    pub async fn alarm_messages(&self, oldest: SystemTime) -> Result<Vec<SystemTime>, StoreError> {
        let sent: Vec<i64> = sqlx::query_scalar(
            "SELECT sent_at FROM alarm_messages WHERE sent_at >= $1 ORDER BY sent_at DESC",
        )
        .bind(milliseconds(oldest))
        .fetch_all(&self.pool)
        .await?;
        Ok(sent.into_iter().map(system_time).collect())
    }

    /// A message was sent now. Those before `oldest` count no more.
    pub async fn note_alarm_message(&self, now: SystemTime, oldest: SystemTime) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM alarm_messages WHERE sent_at < $1")
            .bind(milliseconds(oldest))
            .execute(&self.writer)
            .await?;
        sqlx::query("INSERT INTO alarm_messages (sent_at) VALUES ($1)")
            .bind(milliseconds(now))
            .execute(&self.writer)
            .await?;
        Ok(())
    }
}

#[derive(FromRow)]
struct Row {
    subject: String,
    seen: String,
    since: i64,
    gone_since: Option<i64>,
    logged_at: Option<i64>,
    number: i64,
    told: Option<String>,
    alarm: Option<String>,
    command_left: i64,
    command_at: i64,
    mail_left: i64,
    mail_at: i64,
}

impl From<Row> for AlarmRecord {
    fn from(row: Row) -> Self {
        Self {
            subject: row.subject,
            seen: row.seen,
            since: system_time(row.since),
            gone_since: row.gone_since.map(system_time),
            logged_at: row.logged_at.map(system_time),
            number: row.number,
            told: row.told,
            alarm: row.alarm,
            command: Telling { left: row.command_left, at: system_time(row.command_at) },
            mail: Telling { left: row.mail_left, at: system_time(row.mail_at) },
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::time::{Duration, UNIX_EPOCH};

    use super::super::tests::open;
    use super::*;

    const NOW: SystemTime = UNIX_EPOCH;

    async fn only(store: &Store) -> AlarmRecord {
        let mut records = store.alarms().await.unwrap();
        assert_eq!(records.len(), 1, "{records:?}");
        records.remove(0)
    }

    #[tokio::test]
    async fn of_two_processes_that_decide_the_same_one_prevails() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (open(folder.path()).await.unwrap(), open(folder.path()).await.unwrap());
        for store in [&one, &two] {
            store.begin_alarm("account:1", "refused", NOW).await.unwrap();
        }
        let both_read = only(&one).await;
        for store in [&one, &two] {
            store.raise_alarm(&both_read, "refused", "{}", 3, NOW).await.unwrap();
        }
        let record = only(&two).await;
        assert_eq!((record.number, record.command.left, record.mail.left), (1, 3, 3));

        assert!(one.claim_alarm_line(&record, NOW).await.unwrap());
        assert!(!two.claim_alarm_line(&record, NOW).await.unwrap(), "one line");
        let later = NOW + Duration::from_mins(2);
        assert!(two.claim_telling(Channel::Command, &record, later).await.unwrap());
        assert!(!one.claim_telling(Channel::Command, &record, later).await.unwrap(), "one try");
        assert!(one.claim_telling(Channel::Mail, &record, later).await.unwrap(), "the other channel is free");

        // The process that had claimed it is gone: the next try is somebody's.
        let record = only(&one).await;
        assert_eq!(record.command, Telling { left: 2, at: later });
        assert!(one.claim_telling(Channel::Command, &record, later).await.unwrap());
        one.note_told(Channel::Command, &record, later).await.unwrap();
        assert_eq!(only(&two).await.command, Telling { left: 0, at: later });
    }

    #[tokio::test]
    async fn what_was_told_late_does_not_count_for_what_came_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await.unwrap();
        store.begin_alarm("account:1", "refused", NOW).await.unwrap();
        store.raise_alarm(&only(&store).await, "refused", "{}", 3, NOW).await.unwrap();
        let old = only(&store).await;
        assert!(store.claim_telling(Channel::Command, &old, NOW).await.unwrap());
        store.note_seen(&old, "connected", NOW).await.unwrap();
        store.raise_alarm(&old, "connected", "{}", 3, NOW).await.unwrap();
        store.note_told(Channel::Command, &old, NOW).await.unwrap();
        let new = only(&store).await;
        assert_eq!((new.told.as_deref(), new.command.left), (Some("connected"), 3));
        store.forget_alarm(&old).await.unwrap();
        store.forget_alarm(&new).await.unwrap();
        assert!(store.alarms().await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn messages_are_counted_for_as_long_as_they_matter() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await.unwrap();
        let at = |hours| NOW + Duration::from_hours(hours);
        for hours in [0, 1, 30] {
            store.note_alarm_message(at(hours), at(hours.saturating_sub(24))).await.unwrap();
        }
        assert_eq!(store.alarm_messages(at(6)).await.unwrap(), [at(30)]);
        assert_eq!(store.alarm_messages(at(0)).await.unwrap(), [at(30)], "the others are gone");
    }
}
