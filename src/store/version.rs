//! [`Watcher`]: a number that changes whenever any process commits (SQLite's `data_version`).
//!
//! Every login asks for it, so it is asked on the thread that wants to know: two locks of the file's shared memory, some microseconds.
//! sqlx would have another thread asked and waited for, which cost a login a twelfth of its processor time. Who may not be kept waiting is not: a database that
//! is locked says so at once, and is asked again a moment later.

use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};
use tokio::time::{Instant, sleep};

use super::{BUSY_TIMEOUT, StoreError};

/// Between two questions to a database that somebody has for himself: another process takes up what one that crashed left behind.
const AGAIN_AFTER: Duration = Duration::from_millis(5);

/// Asked for `data_version` alone: the number only means something on one and the same connection, and every commit of another changes it.
#[derive(Debug)]
pub(super) struct Watcher {
    /// `None` once the store was closed. Locked for one question.
    connection: Mutex<Option<Connection>>,
    /// What it said last; 0 before it was asked.
    last: AtomicI64,
}

impl Watcher {
    /// The database must be there.
    pub(super) fn open(database: &Path) -> Result<Self, StoreError> {
        // Our mutex is the only way to it. Who reads a write-ahead log also writes: into its index, that it reads.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(database, flags)?;
        connection.busy_timeout(Duration::ZERO)?;
        Ok(Self { connection: Mutex::new(Some(connection)), last: AtomicI64::default() })
    }

    pub(super) async fn version(&self) -> Result<i64, StoreError> {
        let patience = Instant::now() + BUSY_TIMEOUT;
        loop {
            match self.ask() {
                Err(StoreError::Version(error)) if is_locked(&error) && Instant::now() < patience => {
                    sleep(AGAIN_AFTER).await;
                }
                told => return told,
            }
        }
    }

    /// The number that was told last, to whomever in this process.
    pub(super) fn last(&self) -> Option<i64> {
        Some(self.last.load(Ordering::Acquire)).filter(|version| *version != 0)
    }

    /// Whatever is asked afterwards fails.
    pub(super) fn close(&self) {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Err((_, error))) = connection.map(Connection::close) {
            tracing::debug!("a connection to the store did not close in good order: {error}");
        }
    }

    fn ask(&self) -> Result<i64, StoreError> {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let connection = connection.as_ref().ok_or(sqlx::Error::PoolClosed)?;
        let version = connection.prepare_cached("PRAGMA data_version")?.query_one((), |row| row.get(0))?;
        self.last.store(version, Ordering::Release);
        Ok(version)
    }
}

fn is_locked(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::super::grants::GrantKey;
    use super::super::tests::{open, tokens};
    use super::*;

    #[tokio::test]
    async fn the_data_version_changes_with_every_commit_of_anybody() {
        let folder = tempfile::tempdir().unwrap();
        let (ours, theirs) = (open(folder.path()).await.unwrap(), open(folder.path()).await.unwrap());
        let key = GrantKey::Provider("contoso".into());
        let mut seen = ours.data_version().await.unwrap();
        assert_eq!(ours.data_version().await.unwrap(), seen, "nothing happened");
        for writer in [&ours, &theirs, &ours] {
            writer.replace_grant(&key, &tokens()).await.unwrap();
            let now = ours.data_version().await.unwrap();
            assert_ne!(now, seen);
            seen = now;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_has_the_database_for_himself_is_waited_for_but_not_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("other.db");
        let other = Connection::open(&database).unwrap();
        other.execute_batch("CREATE TABLE anything (number INTEGER)").unwrap();
        let watcher = Watcher::open(&database).unwrap();
        let free = watcher.version().await.unwrap();
        other.execute_batch("BEGIN EXCLUSIVE; INSERT INTO anything VALUES (1)").unwrap();
        let begun = Instant::now();
        let refused = watcher.version().await.unwrap_err();
        assert!(begun.elapsed() >= BUSY_TIMEOUT, "after {:?}: {refused}", begun.elapsed());
        assert!(refused.to_string().contains("locked"), "{refused}");
        assert_eq!(watcher.last(), Some(free));
        let committing = async {
            sleep(BUSY_TIMEOUT / 2).await;
            other.execute_batch("COMMIT").unwrap();
        };
        let (told, ()) = tokio::join!(watcher.version(), committing);
        assert_ne!(told.unwrap(), free);
    }

    #[tokio::test]
    async fn nothing_is_told_by_what_was_closed() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await.unwrap();
        store.close().await;
        store.data_version().await.unwrap_err();
    }
}
