//! [`Fresh`]: what logins read again and again, kept until anybody commits anything.
//!
//! Rule: SQLite's `data_version` is asked before the rows are read, and again each time before they are used. It is asked on a connection that never
//! writes, so every commit of every other connection changes it, whether of this process or another. While it is the same, reading again
//! would find the same; a commit while the rows are read makes the number that they are kept under an old one.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Store, StoreError};

/// More than this are not kept: one login can name as many user names as it likes.
const MOST: usize = 1024;

/// What was read, by what was asked for. What holds a secret is wiped when it is dropped, with the next commit at the latest that a login
/// meets.
pub(crate) struct Fresh<Key, Value> {
    read: Mutex<Read<Key, Value>>,
}

struct Read<Key, Value> {
    version: Option<i64>,
    values: HashMap<Key, Value>,
}

impl<Key: Eq + Hash, Value: Clone> Fresh<Key, Value> {
    /// What is kept for the key if it is still true, else what `read` finds now. What is not there is not kept.
    pub(crate) async fn or_read<Reading: Future<Output = Result<Option<Value>, StoreError>>>(
        &self,
        store: &Store,
        key: Key,
        read: impl FnOnce() -> Reading,
    ) -> Result<Option<Value>, StoreError> {
        let version = store.data_version().await?;
        if let Some(kept) = self.kept(version, &key) {
            return Ok(Some(kept));
        }
        // Seldom needed, and far larger than the rest of a login.
        let found = Box::pin(read()).await?;
        if let Some(value) = &found {
            self.keep(version, key, value.clone());
        }
        Ok(found)
    }

    /// What is kept for the key, if it was still true when anybody last asked: a login has asked when it began.
    pub(crate) fn last_known(&self, store: &Store, key: &Key) -> Option<Value> {
        let read = self.read();
        (read.version == store.last_version()).then(|| read.values.get(key).cloned()).flatten()
    }

    /// What is kept for the key counts no more.
    pub(crate) fn forget(&self, key: &Key) {
        self.read().values.remove(key);
    }

    fn kept(&self, version: i64, key: &Key) -> Option<Value> {
        let mut read = self.read();
        read.are_of(version);
        read.values.get(key).cloned()
    }

    fn keep(&self, version: i64, key: Key, value: Value) {
        let mut read = self.read();
        read.are_of(version);
        if read.values.len() >= MOST {
            read.values.clear();
        }
        read.values.insert(key, value);
    }

    fn read(&self) -> MutexGuard<'_, Read<Key, Value>> {
        // Nothing under this lock can leave it half changed.
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<Key, Value> Read<Key, Value> {
    /// Forgets what is of another version.
    fn are_of(&mut self, version: i64) {
        if self.version != Some(version) {
            self.version = Some(version);
            self.values.clear();
        }
    }
}

impl<Key, Value> Default for Fresh<Key, Value> {
    fn default() -> Self {
        Self { read: Mutex::new(Read { version: None, values: HashMap::new() }) }
    }
}

/// Nothing of what was read: it may be secret.
impl<Key, Value> fmt::Debug for Fresh<Key, Value> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Fresh(..)")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::cell::Cell;

    use super::super::accounts::NewAccount;
    use super::super::tests::open;
    use super::*;

    async fn add(store: &Store, address: &str) {
        let new = NewAccount { address: address.to_owned(), ..NewAccount::default() };
        store.add_account(&new, None).await.unwrap();
    }

    #[tokio::test]
    async fn what_was_read_counts_until_any_process_commits() {
        let folder = tempfile::tempdir().unwrap();
        let (store, elsewhere) = (open(folder.path()).await.unwrap(), open(folder.path()).await.unwrap());
        let (fresh, reads) = (Fresh::default(), Cell::new(0));
        let count = async |committed_meanwhile: bool| {
            let read = async || {
                reads.set(reads.get() + 1);
                let found = store.accounts().await?.len();
                if committed_meanwhile {
                    add(&elsewhere, "meanwhile@example.com").await;
                }
                Ok((found > 0).then_some(found))
            };
            fresh.or_read(&store, "accounts", read).await.unwrap()
        };
        for reads_so_far in [1, 2] {
            assert_eq!((count(false).await, reads.get()), (None, reads_so_far), "nothing is not kept");
        }
        add(&store, "ann@example.com").await;
        assert_eq!((count(false).await, reads.get()), (Some(1), 3), "our own commit");
        assert_eq!((count(false).await, reads.get()), (Some(1), 3));
        assert_eq!(fresh.last_known(&store, &"accounts"), Some(1));
        add(&elsewhere, "bob@example.com").await;
        store.data_version().await.unwrap();
        assert_eq!(fresh.last_known(&store, &"accounts"), None);
        assert_eq!((count(true).await, reads.get()), (Some(2), 4), "another's commit");
        assert_eq!((count(false).await, reads.get()), (Some(3), 5), "one while it was read");
        assert_eq!((count(false).await, reads.get()), (Some(3), 5));
        // A reader and a no-op change nothing.
        elsewhere.accounts().await.unwrap();
        assert_eq!((count(false).await, reads.get()), (Some(3), 5));
    }

    #[test]
    fn however_much_is_asked_for_the_kept_is_bounded_and_never_shown() {
        let fresh = Fresh::default();
        for number in 0..10 * MOST {
            fresh.keep(1, number, "tanstaaf");
            assert!(fresh.read().values.len() <= MOST);
        }
        assert_eq!(fresh.kept(1, &(10 * MOST - 1)), Some("tanstaaf"));
        assert_eq!(fresh.kept(2, &(10 * MOST - 1)), None);
        assert_eq!(format!("{fresh:?}"), "Fresh(..)");
    }
}
