//! [`Store`]: accounts, credentials, grants and mailboxes' passwords at rest, in one SQLite file; secrets are sealed before they get here.
//!
//! Rules: no transaction is held while anything but the store is waited for; what a statement decides on is part of that
//! statement, because other processes write too; a write is on disk (`synchronous=FULL`) before it is called done.

pub mod accounts;
pub mod alarms;
pub mod apply;
pub mod contents;
pub mod credentials;
pub mod forget;
pub mod grants;
pub mod mailbox_passwords;
pub mod restore;
pub mod running;
pub mod standings;
pub mod upstream_logins;

mod current_key;
mod error;
mod folder;
pub(crate) mod fresh;
mod key;
mod rotate;
mod seal;
mod user_names;
mod version;

use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sqlx::SqlitePool;
use sqlx::migrate::MigrateError;
use sqlx::pool::PoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};

use current_key::CurrentKey;
pub use error::StoreError;
use key::KeySource;
pub use rotate::{Left, Rotation};
use version::Watcher;

/// How long a statement waits for another writer. Well below the 15 s that a login has.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const READERS: u32 = 4;

/// Two processes may note a moment at about the same time, the earlier one last. What is noted for later than this from now is
/// from before the clock was set back.
pub(crate) const NOTED_WITHIN: Duration = Duration::from_mins(1);

/// The open store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    /// Readers only: SQLite lets them read whoever writes, so a login with a live token never waits for a disk.
    pool: SqlitePool,
    /// One connection, because SQLite takes one writer at a time.
    writer: SqlitePool,
    state_dir: Arc<Path>,
    source: Arc<KeySource>,
    /// Locked for moments only. Another process may have rotated the key: see `current_key`.
    key: Arc<RwLock<CurrentKey>>,
    watcher: Arc<Watcher>,
}

impl Store {
    /// Opens the store in the state folder, making folder, key and file at the first start.
    pub async fn open(state_dir: &Path) -> Result<Self, StoreError> {
        let source = KeySource::locate(state_dir, |name| std::env::var_os(name));
        Self::open_under(state_dir, &source).await
    }

    /// Opens the store where there is one, and makes nothing where there is none.
    pub async fn open_existing(state_dir: &Path) -> Result<Option<Self>, StoreError> {
        let is_there = |path: &Path| {
            path.try_exists().map_err(|source| StoreError::file("cannot look at", path, source))
        };
        if !is_there(state_dir)? {
            return Ok(None);
        }
        folder::check(state_dir)?;
        if is_there(&state_dir.join("gatepost.db"))? {
            Self::open(state_dir).await.map(Some)
        } else {
            Ok(None)
        }
    }

    /// Key before data, always: a crash in between leaves a key without data, which the next start takes up.
    async fn open_under(state_dir: &Path, source: &KeySource) -> Result<Self, StoreError> {
        folder::prepare(state_dir)?;
        let _lock = folder::lock(state_dir).await?;
        let database = database(state_dir);
        let key = source.load(&database)?;
        folder::make_database(&database)?;
        crate::crash_point::crash_point("database-made");
        let options = SqliteConnectOptions::new()
            .filename(&database)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT);
        let pool = PoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(BUSY_TIMEOUT)
            // A file does not hang up; the question would cost as much as a read.
            .test_before_acquire(false)
            .connect_with(options.clone())
            .await?;
        sqlx::migrate!().run(&pool).await.map_err(|error| match error {
            MigrateError::VersionMissing(_) | MigrateError::VersionTooNew(..) => {
                StoreError::Newer { database: database.clone() }
            }
            source => StoreError::Migration { database: database.clone(), source },
        })?;
        crate::crash_point::crash_point("tables-made");
        current_key::begin(&pool, &source.sealer(&key)?).await?;
        let key = current_key::settled(&mut *pool.acquire().await?, source, &database).await?;
        let writer = PoolOptions::new()
            .max_connections(1)
            .acquire_timeout(BUSY_TIMEOUT)
            .test_before_acquire(false)
            .connect_with(options);
        Ok(Self {
            pool,
            writer: writer.await?,
            state_dir: state_dir.into(),
            source: Arc::new(source.clone()),
            key: Arc::new(RwLock::new(key)),
            watcher: Arc::new(Watcher::open(&database)?),
        })
    }

    /// Closes the file in good order; whatever is asked afterwards fails.
    pub async fn close(&self) {
        self.watcher.close();
        self.writer.close().await;
        self.pool.close().await;
    }

    /// A number that changes whenever any process commits: cheap to ask at every login.
    pub async fn data_version(&self) -> Result<i64, StoreError> {
        self.watcher.version().await
    }

    /// The number that was told last, to whomever in this process.
    fn last_version(&self) -> Option<i64> {
        self.watcher.last()
    }
}

fn database(state_dir: &Path) -> PathBuf {
    state_dir.join("gatepost.db")
}

/// The last millisecond of the year 9999, behind which dates cannot be written (RFC 3339).
const LAST: i64 = 253_402_300_799_999;

/// As it stands in the store.
fn milliseconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(LAST).min(LAST)
}

fn system_time(milliseconds: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(milliseconds).unwrap_or_default())
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

    use std::fs;

    use gatepost_protocol::secret::Secret;
    use sqlx::migrate::Migrator;
    use sqlx::{Connection, SqliteConnection};

    use super::accounts::{Account, AccountId, NewAccount};
    use super::credentials::NewCredential;
    use super::grants::{GrantKey, NewTokens};
    use super::*;

    /// A store in the folder whatever the environment of the test says about keys.
    pub(crate) async fn open(folder: &Path) -> Result<Store, StoreError> {
        Store::open_under(folder, &KeySource::StateFolder(folder.join("master.key"))).await
    }

    pub(super) fn tokens() -> NewTokens {
        NewTokens {
            access_token: Secret::new("tanstaaf-access".to_owned()),
            refresh_token: Some(Secret::new("tanstaaf-refresh".to_owned())),
            issued_at: SystemTime::UNIX_EPOCH,
            expires_at: SystemTime::now(),
            scopes: Vec::new(),
            identity: None,
        }
    }

    #[tokio::test]
    async fn looking_for_a_store_makes_none() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        assert!(Store::open_existing(&state).await.unwrap().is_none());
        assert!(!state.exists());
        folder::prepare(&state).unwrap();
        assert!(Store::open_existing(&state).await.unwrap().is_none());
        assert_eq!(fs::read_dir(&state).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn whoever_reads_gets_an_answer_while_others_wait_to_write() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await.unwrap();
        let key = GrantKey::Provider("contoso".into());
        store.replace_grant(&key, &tokens()).await.unwrap();
        let ann = NewAccount { address: "ann@example.com".to_owned(), ..NewAccount::default() };
        let (ann, _) = store.add_account(&ann, None).await.unwrap();

        let options = SqliteConnectOptions::new().filename(database(folder.path()));
        let mut other = SqliteConnection::connect_with(&options).await.unwrap();
        sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
        let mut notes = tokio::task::JoinSet::new();
        for _ in 0..3 * READERS {
            let (store, key) = (store.clone(), key.clone());
            notes.spawn(async move {
                store.note_login(ann, SystemTime::now()).await?;
                store.note_grant_used(&key, SystemTime::now()).await
            });
        }
        // All of them have begun.
        tokio::task::yield_now().await;
        let read = async {
            (
                store.grant(&key).await.unwrap(),
                store.accounts().await.unwrap(),
                store.standings().await.unwrap(),
            )
        };
        tokio::select! {
            biased;
            note = notes.join_next() => panic!("a note gave up before there was an answer: {note:?}"),
            (grant, accounts, _) = read => assert_eq!((grant.is_some(), accounts.len()), (true, 1)),
        }
        sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
        for note in notes.join_all().await {
            note.unwrap();
        }
        assert_eq!(store.last_logins().await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn data_without_its_key_stays_shut_and_gets_no_new_one() {
        let folder = tempfile::tempdir().unwrap();
        drop(open(folder.path()).await.unwrap());
        let key = folder.path().join("master.key");
        fs::rename(&key, folder.path().join("lost")).unwrap();
        let refused = open(folder.path()).await.unwrap_err();
        assert!(matches!(refused, StoreError::MissingKey { .. }), "{refused}");
        assert!(refused.to_string().contains(&key.display().to_string()), "{refused}");
        assert!(!key.exists(), "a new key over old data");
        fs::rename(folder.path().join("lost"), &key).unwrap();
        open(folder.path()).await.unwrap();
    }

    #[tokio::test]
    async fn a_wrong_key_is_told_at_once_by_file() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        drop(open(folder.path()).await.unwrap());
        drop(open(other.path()).await.unwrap());
        fs::rename(other.path().join("master.key"), folder.path().join("master.key")).unwrap();
        let refused = open(folder.path()).await.unwrap_err();
        assert!(matches!(refused, StoreError::WrongKey { .. }), "{refused}");
    }

    #[tokio::test]
    async fn a_store_that_lost_its_check_record_is_not_given_a_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await.unwrap();
        store.replace_grant(&GrantKey::Provider("contoso".into()), &tokens()).await.unwrap();
        sqlx::query("DELETE FROM meta").execute(&store.pool).await.unwrap();
        let refused = open(folder.path()).await.unwrap_err();
        assert!(matches!(refused, StoreError::Forged { .. }), "{refused}");
    }

    #[tokio::test]
    async fn what_a_crash_left_of_the_first_start_is_completed() {
        // After the key; after the empty database file; after the tables, before the check record.
        for stage in 0..3 {
            let folder = tempfile::tempdir().unwrap();
            let store = open(folder.path()).await.unwrap();
            if stage == 2 {
                sqlx::query("DELETE FROM meta").execute(&store.pool).await.unwrap();
            }
            store.close().await;
            if stage < 2 {
                fs::remove_file(folder.path().join("gatepost.db")).unwrap();
            }
            if stage == 1 {
                folder::make_database(&folder.path().join("gatepost.db")).unwrap();
            }
            open(folder.path()).await.unwrap();
        }
    }

    #[tokio::test]
    async fn first_starts_at_the_same_time_get_the_same_store() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two, three) = tokio::join!(open(folder.path()), open(folder.path()), open(folder.path()));
        let key = GrantKey::Provider("contoso".into());
        one.unwrap().replace_grant(&key, &tokens()).await.unwrap();
        for store in [two.unwrap(), three.unwrap()] {
            assert!(store.grant(&key).await.unwrap().is_some());
        }
    }

    #[tokio::test]
    async fn a_newer_store_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await.unwrap();
        sqlx::query(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
             VALUES (9999, 'later', TRUE, x'00', 0)",
        )
        .execute(&store.pool)
        .await
        .unwrap();
        let refused = open(folder.path()).await.unwrap_err();
        assert!(matches!(refused, StoreError::Newer { .. }), "{refused}");
    }

    /// A store as migration 0001 alone makes it.
    pub(super) async fn open_with_the_first_migration(folder: &Path) -> Store {
        let database = database(folder);
        let key = KeySource::StateFolder(folder.join("master.key")).load(&database).unwrap();
        folder::make_database(&database).unwrap();
        let options = SqliteConnectOptions::new().filename(&database);
        let pool = SqlitePool::connect_with(options.clone()).await.unwrap();
        let first = sqlx::migrate!().migrations.iter().take(1).cloned().collect();
        Migrator { migrations: first, ..Migrator::DEFAULT }.run(&pool).await.unwrap();
        let source = KeySource::StateFolder(folder.join("master.key"));
        current_key::begin(&pool, &source.sealer(&key).unwrap()).await.unwrap();
        let mut connection = pool.acquire().await.unwrap();
        let key = current_key::settled(&mut connection, &source, &database).await.unwrap();
        drop(connection);
        Store {
            writer: pool.clone(),
            pool,
            state_dir: folder.into(),
            source: Arc::new(source),
            key: Arc::new(RwLock::new(key)),
            watcher: Arc::new(Watcher::open(&database).unwrap()),
        }
    }

    #[tokio::test]
    async fn a_store_of_the_first_migration_opens_with_all_that_it_held() {
        let folder = tempfile::tempdir().unwrap();
        let old = open_with_the_first_migration(folder.path()).await;
        sqlx::query(
            "INSERT INTO accounts (id, provider, address, smtp_user_name, pop3_user_name, disabled)
             VALUES (7, 'contoso', 'office@example.com', 'ann@example.com', 'example/ann/office', TRUE)",
        )
        .execute(&old.pool)
        .await
        .unwrap();
        let (id, key) = (AccountId(7), GrantKey::Account(AccountId(7)));
        let credential = NewCredential {
            user_name: "scanner".to_owned(),
            mailbox: None,
            password_hash: Secret::new("a hash".to_owned()),
            label: Some("2nd floor".to_owned()),
        };
        sqlx::query("SELECT imap_user_name FROM accounts").fetch_all(&old.pool).await.unwrap_err();
        let place = "1 of account:7 as scanner";
        let record = seal::Record { table: "credentials", column: "password_hash", key: place };
        let (transaction, sealer) = old.begin_reading().await.unwrap();
        drop(transaction);
        sqlx::query(
            "INSERT INTO credentials (id, account_id, user_name, password_hash_sealed, label, created_at)
             VALUES (1, 7, 'scanner', $1, '2nd floor', 0)",
        )
        .bind(sealer.seal(record, &credential.password_hash).unwrap())
        .execute(&old.pool)
        .await
        .unwrap();
        let record = seal::Record { table: "grants", column: "refresh_token", key: "account:7" };
        sqlx::query(
            "INSERT INTO grants (owner, account_id, version, refresh_token_sealed, scopes)
             VALUES ('account:7', 7, 3, $1, 'mail')",
        )
        .bind(sealer.seal(record, &Secret::new("tanstaaf-refresh".to_owned())).unwrap())
        .execute(&old.pool)
        .await
        .unwrap();
        old.close().await;

        let store = open(folder.path()).await.unwrap();
        let account = Account {
            id,
            address: "office@example.com".to_owned(),
            provider: "contoso".to_owned(),
            smtp_user_name: Some("ann@example.com".to_owned()),
            pop3_user_name: Some("example/ann/office".to_owned()),
            imap_user_name: None,
            owner: None,
            token_account: None,
            disabled: true,
        };
        assert_eq!(store.accounts().await.unwrap(), [account]);
        let (_, kept) = store.credentials_named("scanner").await.unwrap().pop().unwrap();
        assert_eq!((kept.label, kept.password_hash.expose()), (credential.label, &"a hash".to_owned()));
        assert_eq!(kept.mailbox, None);
        let grant = store.grant(&key).await.unwrap().unwrap();
        assert_eq!(grant.refresh_token.unwrap().expose(), "tanstaaf-refresh");
        let standing = store.standings().await.unwrap().remove(&key).unwrap();
        assert_eq!(
            (standing.version, standing.renewable, standing.issued_at, standing.failure),
            (3, true, None, None)
        );
    }

    #[tokio::test]
    async fn commits_are_on_disk_and_files_are_closed_to_others() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await.unwrap();
        for (pragma, value) in [("synchronous", "2"), ("foreign_keys", "1"), ("journal_mode", "wal")] {
            let told: String = sqlx::query_scalar(
                "SELECT CAST(value AS TEXT) FROM (
                 SELECT 'synchronous' AS name, synchronous AS value FROM pragma_synchronous
                 UNION ALL SELECT 'foreign_keys', foreign_keys FROM pragma_foreign_keys
                 UNION ALL SELECT 'journal_mode', journal_mode FROM pragma_journal_mode) WHERE name = $1",
            )
            .bind(pragma)
            .fetch_one(&store.pool)
            .await
            .unwrap();
            assert_eq!(told, value, "{pragma}");
        }
        #[cfg(unix)]
        for entry in fs::read_dir(folder.path()).unwrap().map(Result::unwrap) {
            use std::os::unix::fs::PermissionsExt;
            let mode = entry.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{}", entry.path().display());
        }
    }

    #[tokio::test]
    async fn no_token_is_readable_in_the_files() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await.unwrap();
        store.replace_grant(&GrantKey::Provider("contoso".into()), &tokens()).await.unwrap();
        let mut read = 0;
        for entry in fs::read_dir(folder.path()).unwrap().map(Result::unwrap) {
            let octets = fs::read(entry.path()).unwrap();
            assert!(!octets.windows(8).any(|window| window == b"tanstaaf"), "{}", entry.path().display());
            read += octets.windows(16).filter(|window| window == b"provider:contoso").count();
        }
        assert_ne!(read, 0, "the row itself is found");
    }
}
