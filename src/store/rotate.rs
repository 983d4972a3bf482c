//! A new master key for the store. Rule: everything is sealed under it in one transaction, and before that it is on disk; so a crash
//! anywhere leaves a store that opens with the old key or the new one, and both are where [`super::key`] looks.

use std::path::PathBuf;
use std::sync::Arc;

use sqlx::SqliteConnection;

use super::seal::Resealing;
use super::{Store, StoreError, credentials, current_key, database, folder, grants, mailbox_passwords};
use crate::crash_point::crash_point;

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// How many secrets have been sealed anew.
    pub resealed: usize,
    /// Where the new key is.
    pub key: PathBuf,
    /// What is left for whoever keeps the key.
    pub left: Left,
}

/// What a rotation leaves to whoever keeps the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Left {
    /// The key is in the state folder, and nothing is left to do.
    Nothing,
    /// The key is the admin's own file; the old one is kept here, because backups of the database need it.
    OldKey(PathBuf),
    /// systemd hands the new key over beside the old one, whose place it has to take.
    Credential,
}

impl Store {
    /// Seals every secret under a new key, and puts that in the place of the old one. Other processes that have the store open go
    /// on, and find the new key by themselves.
    pub async fn rotate_key(&self) -> Result<Rotation, StoreError> {
        let _lock = folder::lock(&self.state_dir).await?;
        let source = Arc::clone(&self.source);
        let connection = &mut *self.pool.acquire().await?;
        // Another rotation may have been cut short since the store was opened.
        current_key::settled(connection, &source, &database(&self.state_dir)).await?;
        let (new, left) = source.make_new()?;
        let (mut transaction, old) = self.begin_writing().await?;
        if current_key::is_opened_by(&mut transaction, &new).await? {
            return Err(StoreError::RotatedBefore { new: source.beside() });
        }
        let resealing = Resealing { old: &old, new: &new };
        let resealed = reseal_credentials(&mut transaction, &resealing).await?
            + reseal_grants(&mut transaction, &resealing).await?
            + reseal_mailbox_passwords(&mut transaction, &resealing).await?;
        current_key::replace(&mut transaction, &new).await?;
        crash_point("resealed");
        transaction.commit().await?;
        crash_point("new-key-committed");
        source.put_in_place()?;
        // What was sealed under the old key is not to stay in the journal. Where somebody reads just now, it goes the next time. The
        // rotation is done either way, and people have to hear where the keys are.
        if let Err(error) = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(connection).await {
            tracing::warn!(%error, "what was sealed under the old key stays in the store's journal for now");
        }
        Ok(Rotation { resealed, key: source.rotated(), left })
    }
}

/// Seals every hash anew; gives how many.
async fn reseal_credentials(
    connection: &mut SqliteConnection,
    resealing: &Resealing<'_>,
) -> Result<usize, StoreError> {
    let rows: Vec<(i64, i64, String, Option<String>, Vec<u8>)> =
        sqlx::query_as("SELECT id, account_id, user_name, mailbox, password_hash_sealed FROM credentials")
            .fetch_all(&mut *connection)
            .await?;
    let count = rows.len();
    for (id, account, user_name, mailbox, sealed) in rows {
        let key = credentials::record_key(id, account, &user_name, mailbox.as_deref());
        sqlx::query("UPDATE credentials SET password_hash_sealed = $2 WHERE id = $1")
            .bind(id)
            .bind(resealing.resealed(credentials::record(&key), &sealed)?)
            .execute(&mut *connection)
            .await?;
    }
    Ok(count)
}

/// Seals every token anew; gives how many.
async fn reseal_grants(
    connection: &mut SqliteConnection,
    resealing: &Resealing<'_>,
) -> Result<usize, StoreError> {
    let rows: Vec<(String, Option<Vec<u8>>, Option<Vec<u8>>)> =
        sqlx::query_as("SELECT owner, refresh_token_sealed, access_token_sealed FROM grants")
            .fetch_all(&mut *connection)
            .await?;
    let mut count = 0;
    for (owner, refresh_token, access_token) in rows {
        let resealed = |record, sealed: &Option<Vec<u8>>| {
            sealed.as_ref().map(|sealed| resealing.resealed(record, sealed)).transpose()
        };
        sqlx::query("UPDATE grants SET refresh_token_sealed = $2, access_token_sealed = $3 WHERE owner = $1")
            .bind(&owner)
            .bind(resealed(grants::refresh_record(&owner), &refresh_token)?)
            .bind(resealed(grants::access_record(&owner), &access_token)?)
            .execute(&mut *connection)
            .await?;
        count += usize::from(refresh_token.is_some()) + usize::from(access_token.is_some());
    }
    Ok(count)
}

/// Seals every password anew; gives how many.
async fn reseal_mailbox_passwords(
    connection: &mut SqliteConnection,
    resealing: &Resealing<'_>,
) -> Result<usize, StoreError> {
    let rows: Vec<(i64, Vec<u8>)> =
        sqlx::query_as("SELECT account_id, password_sealed FROM mailbox_passwords")
            .fetch_all(&mut *connection)
            .await?;
    let count = rows.len();
    for (account, sealed) in rows {
        sqlx::query("UPDATE mailbox_passwords SET password_sealed = $2 WHERE account_id = $1")
            .bind(account)
            .bind(resealing.resealed(mailbox_passwords::record(&account.to_string()), &sealed)?)
            .execute(&mut *connection)
            .await?;
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;
    use std::time::SystemTime;

    use gatepost_protocol::secret::Secret;

    use super::super::accounts::{AccountId, NewAccount};
    use super::super::credentials::NewCredential;
    use super::super::grants::{GrantKey, NewTokens};
    use super::super::key::KeySource;
    use super::super::tests::open;
    use super::*;

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    fn tokens(number: usize) -> NewTokens {
        NewTokens {
            access_token: secret(&format!("access {number}")),
            refresh_token: Some(secret(&format!("refresh {number}"))),
            issued_at: SystemTime::UNIX_EPOCH,
            expires_at: SystemTime::now(),
            scopes: Vec::new(),
            identity: None,
        }
    }

    fn credential(user_name: &str) -> NewCredential {
        NewCredential {
            user_name: user_name.to_owned(),
            mailbox: (user_name == "bob").then(|| "bob@example.com".to_owned()),
            password_hash: secret(&format!("the hash of {user_name}")),
            label: None,
        }
    }

    /// An account with two credentials, a grant and a password; with six secrets.
    async fn filled(store: &Store) -> AccountId {
        let account = NewAccount { address: "*@example.com".to_owned(), ..NewAccount::default() };
        let (id, _) = store.add_account(&account, Some(&credential("ann"))).await.unwrap();
        store.add_credential(id, &credential("bob")).await.unwrap();
        store.replace_grant(&GrantKey::Account(id), &tokens(1)).await.unwrap();
        store.replace_mailbox_password(id, &secret("its own")).await.unwrap();
        let application = NewTokens { refresh_token: None, ..tokens(2) };
        store.replace_grant(&GrantKey::Provider("contoso".to_owned()), &application).await.unwrap();
        id
    }

    async fn all_opens(store: &Store, id: AccountId) {
        for credential in store.credentials(None).await.unwrap() {
            assert_eq!(*credential.password_hash.expose(), format!("the hash of {}", credential.user_name));
        }
        assert_eq!(store.credentials_named("bob").await.unwrap().len(), 1);
        let grant = store.grant(&GrantKey::Account(id)).await.unwrap().unwrap();
        assert_eq!(grant.refresh_token.unwrap().expose(), "refresh 1");
        assert_eq!(grant.access_token.unwrap().expose(), "access 1");
        assert!(store.grant(&GrantKey::Provider("contoso".to_owned())).await.unwrap().is_some());
        assert_eq!(store.mailbox_password(id).await.unwrap().unwrap().secret.expose(), "its own");
    }

    fn names(folder: &Path) -> BTreeSet<String> {
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        names.map(|name| name.into_string().unwrap()).collect()
    }

    #[tokio::test]
    async fn everything_is_sealed_anew_and_every_open_store_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let (ours, theirs) = (open(folder.path()).await.unwrap(), open(folder.path()).await.unwrap());
        let id = filled(&ours).await;
        let key = folder.path().join("master.key");
        let (first, files) = (fs::read(&key).unwrap(), names(folder.path()));
        for _ in 0..3 {
            let rotation = ours.rotate_key().await.unwrap();
            assert_eq!(rotation, Rotation { resealed: 6, key: key.clone(), left: Left::Nothing });
            for store in [&theirs, &ours, &open(folder.path()).await.unwrap()] {
                all_opens(store, id).await;
            }
        }
        assert_ne!(fs::read(&key).unwrap(), first);
        assert_eq!(names(folder.path()), files, "nothing is left beside it");
        // The old key opens nothing any more.
        fs::write(&key, first).unwrap();
        let refused = open(folder.path()).await.unwrap_err();
        assert!(matches!(refused, StoreError::WrongKey { .. }), "{refused}");
    }

    #[tokio::test]
    async fn no_sealed_column_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await.unwrap();
        filled(&store).await;
        let columns: Vec<(String, String)> = sqlx::query_as(
            "SELECT tables.name, columns.name FROM sqlite_master AS tables, pragma_table_info(tables.name) AS columns
             WHERE columns.name LIKE '%sealed'",
        )
        .fetch_all(&store.pool)
        .await
        .unwrap();
        assert!(columns.len() >= 5, "{columns:?}");
        let mut before = Vec::new();
        for (table, column) in &columns {
            let sql = format!("SELECT {column} FROM {table} WHERE {column} IS NOT NULL");
            let values: Vec<Vec<u8>> =
                sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_all(&store.pool).await.unwrap();
            assert!(!values.is_empty(), "{table}.{column} has no value in this test");
            before.extend(values);
        }
        store.rotate_key().await.unwrap();
        for (table, column) in &columns {
            let sql = format!("SELECT {column} FROM {table} WHERE {column} IS NOT NULL");
            let values: Vec<Vec<u8>> =
                sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_all(&store.pool).await.unwrap();
            assert!(
                values.iter().all(|value| !before.contains(value)),
                "{table}.{column} was not sealed anew"
            );
        }
    }

    #[tokio::test]
    async fn writers_of_every_process_lose_nothing_while_keys_rotate() {
        let folder = tempfile::tempdir().unwrap();
        let (ours, theirs) = (open(folder.path()).await.unwrap(), open(folder.path()).await.unwrap());
        let id = filled(&ours).await;
        let mut tasks = tokio::task::JoinSet::new();
        let (round, mut rounds) = tokio::sync::mpsc::unbounded_channel();
        for writer in 0..4 {
            let (store, round) = (theirs.clone(), round.clone());
            let key = GrantKey::Provider(format!("writer {writer}"));
            tasks.spawn(async move {
                let mut version = store.replace_grant(&key, &tokens(0)).await.unwrap();
                for number in 0..30 {
                    version = store.commit_refresh(&key, version, &tokens(number)).await.unwrap().unwrap();
                    let read = store.grant(&key).await.unwrap().unwrap();
                    assert_eq!(read.refresh_token.unwrap().expose(), &format!("refresh {number}"));
                    let password = format!("{writer} {number}");
                    let new = NewAccount { address: password.clone(), ..NewAccount::default() };
                    let (account, _) = store.add_account(&new, Some(&credential(&password))).await.unwrap();
                    store.replace_mailbox_password(account, &secret(&password)).await.unwrap();
                    let read = store.mailbox_password(account).await.unwrap().unwrap();
                    assert_eq!(*read.secret.expose(), password);
                    round.send(()).unwrap();
                }
            });
        }
        drop(round);
        // A round at least between two rotations: they could keep writers out for as long as these wait, because SQLite has no queue.
        let mut rotations = 0;
        while rounds.recv().await.is_some() {
            while rounds.try_recv().is_ok() {}
            ours.rotate_key().await.unwrap();
            rotations += 1;
        }
        assert!(rotations > 1, "{rotations}");
        tasks.join_all().await;
        let after = open(folder.path()).await.unwrap();
        all_opens(&after, id).await;
        assert_eq!(after.credentials(None).await.unwrap().len(), 2 + 4 * 30);
        for key in after.standings().await.unwrap().into_keys() {
            assert!(after.grant(&key).await.unwrap().is_some());
        }
    }

    #[tokio::test]
    async fn an_unused_new_key_is_cleared_away() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await.unwrap();
        let id = filled(&store).await;
        let files = names(folder.path());
        store.source.make_new().unwrap();
        assert_ne!(names(folder.path()), files);
        all_opens(&open(folder.path()).await.unwrap(), id).await;
        assert_eq!(names(folder.path()), files);
    }

    #[tokio::test]
    async fn a_key_file_of_the_admin_is_replaced_and_the_old_one_kept() {
        let (folder, keys) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        open(keys.path()).await.unwrap();
        let file = keys.path().join("master.key");
        let source = KeySource::File(file.clone());
        let store = Store::open_under(folder.path(), &source).await.unwrap();
        let id = filled(&store).await;
        let first = fs::read(&file).unwrap();
        let rotation = store.rotate_key().await.unwrap();
        let old = keys.path().join("master.key.old");
        assert_eq!((rotation.key, rotation.left), (file.clone(), Left::OldKey(old.clone())));
        assert_eq!(fs::read(&old).unwrap(), first);
        all_opens(&Store::open_under(folder.path(), &source).await.unwrap(), id).await;

        // What cannot be replaced is told before anything is changed.
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let linked = Store::open_under(folder.path(), &KeySource::File(link)).await.unwrap();
        let refused = linked.rotate_key().await.unwrap_err();
        assert!(matches!(refused, StoreError::FixedKey { .. }), "{refused}");
        all_opens(&store, id).await;
    }

    #[tokio::test]
    async fn every_old_key_is_kept_also_after_a_rotation_that_was_cut_short() {
        let (folder, keys) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        open(keys.path()).await.unwrap();
        let file = keys.path().join("master.key");
        let source = KeySource::File(file.clone());
        let store = Store::open_under(folder.path(), &source).await.unwrap();
        let id = filled(&store).await;
        let copied = |name: &str| fs::copy(&file, keys.path().join(name)).unwrap();
        copied("first");
        store.rotate_key().await.unwrap();

        // As a crash leaves it between the commit and the new key's move.
        copied("second");
        store.rotate_key().await.unwrap();
        fs::rename(&file, keys.path().join("master.key.new")).unwrap();
        fs::copy(keys.path().join("second"), &file).unwrap();

        fs::copy(keys.path().join("master.key.new"), keys.path().join("third")).unwrap();
        let rotation = store.rotate_key().await.unwrap();
        let kept = |name: &str| keys.path().join(format!("master.key{name}"));
        assert_eq!(rotation.left, Left::OldKey(kept(".old-3")));
        for (name, key) in [(".old", "first"), (".old-2", "second"), (".old-3", "third")] {
            assert_eq!(fs::read(kept(name)).unwrap(), fs::read(keys.path().join(key)).unwrap(), "{name}");
        }
        // One that is kept already is not kept twice.
        copied("fourth");
        copied("master.key.old-4");
        assert_eq!(store.rotate_key().await.unwrap().left, Left::OldKey(kept(".old-4")));
        all_opens(&store, id).await;
    }

    #[tokio::test]
    async fn systemd_hands_over_both_keys() {
        let (folder, keys) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let [key, new] = ["gatepost-key", "gatepost-key.new"].map(|name| keys.path().join(name));
        for (path, octet) in [(&key, 'A'), (&new, 'Q')] {
            fs::write(path, format!("{}=\n", octet.to_string().repeat(43))).unwrap();
        }
        fs::rename(&new, keys.path().join("later")).unwrap();
        let source = KeySource::Credential(key.clone());
        let store = Store::open_under(folder.path(), &source).await.unwrap();
        let id = filled(&store).await;
        let refused = store.rotate_key().await.unwrap_err();
        assert!(matches!(refused, StoreError::NoNewCredential { .. }), "{refused}");

        fs::rename(keys.path().join("later"), &new).unwrap();
        let rotation = store.rotate_key().await.unwrap();
        assert_eq!(rotation, Rotation { resealed: 6, key: new.clone(), left: Left::Credential });
        assert_eq!(names(keys.path()).len(), 2, "what systemd handed over stays");
        for store in [&store, &Store::open_under(folder.path(), &source).await.unwrap()] {
            all_opens(store, id).await;
        }
        let refused = store.rotate_key().await.unwrap_err();
        assert!(matches!(refused, StoreError::RotatedBefore { .. }), "{refused}");
        fs::rename(&new, &key).unwrap();
        all_opens(&Store::open_under(folder.path(), &source).await.unwrap(), id).await;
    }
}
