//! Credentials at rest. The password hash is sealed with the row's number, account, user name and mailbox as its identity:
//! whoever can write the file but has no key can neither guess at a hash nor let one open another mailbox.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use gatepost_protocol::secret::Secret;
use sqlx::{FromRow, SqliteConnection};

use super::accounts::{Account, AccountId, AccountRow};
use super::seal::{Record, Sealer};
use super::{NOTED_WITHIN, Store, StoreError, milliseconds, system_time};
use crate::address::{every_mailbox_of, spellings};

/// Passwords that may share a user name within a provider, as with app passwords.
pub const MAX_PER_USER_NAME: usize = 8;

/// Passwords that may open every mailbox of a domain within a provider. They are tried after those of the user name itself,
/// so that a login costs at most twelve Argon2 runs, which is still less than the fixed delay of a wrong password.
pub const MAX_FOR_ALL_MAILBOXES: usize = 4;

/// How many passwords may have this user name.
pub(super) fn most(user_name: &str) -> usize {
    if every_mailbox_of(user_name).is_some() { MAX_FOR_ALL_MAILBOXES } else { MAX_PER_USER_NAME }
}

/// A row number in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CredentialId(pub i64);

/// What a device types. Any number per account, one per device, each revocable.
#[derive(Clone, Debug)]
pub struct Credential {
    /// Where it stands in the store.
    pub id: CredentialId,
    /// The mailbox it opens.
    pub account: AccountId,
    /// What the device sends as user name; the mailbox unless the admin chose another. `*@contoso.com` where it opens every
    /// mailbox of the domain: then the device sends the mailbox.
    pub user_name: String,
    /// The one mailbox of a catch-all account that it opens; all of them where `None`. Other accounts have one mailbox.
    pub mailbox: Option<String>,
    /// Argon2id, as a PHC string.
    pub password_hash: Secret<String>,
    /// Which device it is, in the admin's words.
    pub label: Option<String>,
    /// When it was made.
    pub created_at: SystemTime,
    /// The last successful login, to the minute.
    pub last_used_at: Option<SystemTime>,
}

/// A credential that is to be stored.
#[derive(Clone, Debug)]
pub struct NewCredential {
    /// What the device sends.
    pub user_name: String,
    /// The one mailbox of a catch-all account that it opens.
    pub mailbox: Option<String>,
    /// Argon2id, as a PHC string.
    pub password_hash: Secret<String>,
    /// Which device it is.
    pub label: Option<String>,
}

impl Store {
    /// The credentials of an account, or all; in the order in which they were made.
    pub async fn credentials(&self, account: Option<AccountId>) -> Result<Vec<Credential>, StoreError> {
        let (mut transaction, sealer) = self.begin_reading().await?;
        of(&sealer, &mut transaction, account).await
    }

    /// Every credential with this user name, in whatever case and spelling, with its account.
    pub async fn credentials_named(&self, user_name: &str) -> Result<Vec<(Account, Credential)>, StoreError> {
        let [written, in_ascii, in_its_script] = spellings(user_name);
        let (mut transaction, sealer) = self.begin_reading().await?;
        let rows: Vec<NamedRow> = sqlx::query_as(
            "SELECT credentials.id AS credential_id, account_id, user_name, mailbox, password_hash_sealed, label,
                 created_at, last_used_at, accounts.*
             FROM credentials JOIN accounts ON accounts.id = credentials.account_id
             WHERE lower(user_name) IN ($1, $2, $3) ORDER BY credentials.id",
        )
        .bind(written)
        .bind(in_ascii)
        .bind(in_its_script)
        .fetch_all(&mut *transaction)
        .await?;
        rows.into_iter().map(|row| Ok((row.account.into(), opened(&sealer, row.credential)?))).collect()
    }

    /// Adds a credential to the account.
    pub async fn add_credential(
        &self,
        account: AccountId,
        credential: &NewCredential,
    ) -> Result<CredentialId, StoreError> {
        let (mut transaction, sealer) = self.begin_writing().await?;
        let id = insert(&sealer, &mut transaction, account, credential).await?;
        transaction.commit().await?;
        Ok(id)
    }

    /// Revokes the credential; false when it was gone already.
    pub async fn revoke_credential(&self, id: CredentialId) -> Result<bool, StoreError> {
        remove(&mut *self.writer.acquire().await?, id).await
    }

    /// The credentials that may be logged in with now. A session whose credential is not among them has to end.
    pub async fn usable_credentials(&self) -> Result<HashSet<CredentialId>, StoreError> {
        let ids: Vec<i64> = sqlx::query_scalar(
            "SELECT credentials.id FROM credentials JOIN accounts ON accounts.id = credentials.account_id
             WHERE NOT accounts.disabled",
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(ids.into_iter().map(CredentialId).collect())
    }

    /// The credentials of accounts that somebody's consent or a password opens.
    pub async fn connected_credentials(&self) -> Result<HashSet<CredentialId>, StoreError> {
        let ids: Vec<i64> = sqlx::query_scalar(
            "SELECT credentials.id FROM credentials JOIN accounts ON accounts.id = credentials.account_id
             WHERE EXISTS (SELECT 1 FROM mailbox_passwords WHERE mailbox_passwords.account_id = accounts.id)
                OR EXISTS (SELECT 1 FROM grants
                           WHERE grants.account_id = COALESCE(accounts.token_account_id, accounts.id)
                             AND owner LIKE 'account:%'
                             AND (access_token_sealed IS NOT NULL OR refresh_token_sealed IS NOT NULL))",
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(ids.into_iter().map(CredentialId).collect())
    }

    /// Notes a login at `now`, to the minute. Logins within the same minute write nothing; one that is
    /// noted for later is from before the clock was set back.
    pub async fn note_use(&self, CredentialId(id): CredentialId, now: SystemTime) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE credentials SET last_used_at = $2
             WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < $2 OR last_used_at > $3)",
        )
        .bind(id)
        .bind(milliseconds(minute(now)))
        .bind(milliseconds(now + NOTED_WITHIN))
        .execute(&self.writer)
        .await?;
        Ok(())
    }
}

/// The minute in which `time` lies.
pub fn minute(time: SystemTime) -> SystemTime {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs() / 60 * 60)
}

pub(super) async fn of(
    sealer: &Sealer,
    connection: &mut SqliteConnection,
    account: Option<AccountId>,
) -> Result<Vec<Credential>, StoreError> {
    let rows: Vec<CredentialRow> = sqlx::query_as(
        "SELECT id AS credential_id, account_id, user_name, mailbox, password_hash_sealed, label, created_at,
             last_used_at
         FROM credentials WHERE $1 IS NULL OR account_id = $1 ORDER BY id",
    )
    .bind(account.map(|AccountId(id)| id))
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(|row| opened(sealer, row)).collect()
}

/// Only within a transaction that began as a writer: it counts before it adds.
pub(super) async fn insert(
    sealer: &Sealer,
    connection: &mut SqliteConnection,
    AccountId(account): AccountId,
    credential: &NewCredential,
) -> Result<CredentialId, StoreError> {
    let provider: String = sqlx::query_scalar("SELECT provider FROM accounts WHERE id = $1")
        .bind(account)
        .fetch_optional(&mut *connection)
        .await?
        .ok_or(StoreError::AccountGone)?;
    let [written, in_ascii, in_its_script] = spellings(&credential.user_name);
    let sharing: Vec<i64> = sqlx::query_scalar(
        "SELECT credentials.id FROM credentials JOIN accounts ON accounts.id = credentials.account_id
         WHERE provider = $1 AND lower(user_name) IN ($2, $3, $4)",
    )
    .bind(&provider)
    .bind(written)
    .bind(in_ascii)
    .bind(in_its_script)
    .fetch_all(&mut *connection)
    .await?;
    if sharing.len() >= most(&credential.user_name) {
        return Err(StoreError::TooManyCredentials { user_name: credential.user_name.clone(), provider });
    }
    let id: i64 = sqlx::query_scalar(
        "INSERT INTO credentials (account_id, user_name, mailbox, password_hash_sealed, label, created_at)
         VALUES ($1, $2, $3, x'', $4, $5) RETURNING id",
    )
    .bind(account)
    .bind(&credential.user_name)
    .bind(&credential.mailbox)
    .bind(&credential.label)
    .bind(milliseconds(SystemTime::now()))
    .fetch_one(&mut *connection)
    .await?;
    // The hash is sealed for its row, and the row's number is known only now.
    let key = record_key(id, account, &credential.user_name, credential.mailbox.as_deref());
    sqlx::query("UPDATE credentials SET password_hash_sealed = $2 WHERE id = $1")
        .bind(id)
        .bind(sealer.seal(record(&key), &credential.password_hash)?)
        .execute(connection)
        .await?;
    Ok(CredentialId(id))
}

pub(super) async fn relabel(
    connection: &mut SqliteConnection,
    CredentialId(id): CredentialId,
    label: Option<&str>,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE credentials SET label = $2 WHERE id = $1")
        .bind(id)
        .bind(label)
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn remove(
    connection: &mut SqliteConnection,
    CredentialId(id): CredentialId,
) -> Result<bool, StoreError> {
    let done = sqlx::query("DELETE FROM credentials WHERE id = $1").bind(id).execute(connection).await?;
    Ok(done.rows_affected() == 1)
}

#[derive(FromRow)]
struct CredentialRow {
    credential_id: i64,
    account_id: i64,
    user_name: String,
    mailbox: Option<String>,
    password_hash_sealed: Vec<u8>,
    label: Option<String>,
    created_at: i64,
    last_used_at: Option<i64>,
}

#[derive(FromRow)]
struct NamedRow {
    #[sqlx(flatten)]
    credential: CredentialRow,
    #[sqlx(flatten)]
    account: AccountRow,
}

fn opened(sealer: &Sealer, row: CredentialRow) -> Result<Credential, StoreError> {
    let key = record_key(row.credential_id, row.account_id, &row.user_name, row.mailbox.as_deref());
    Ok(Credential {
        id: CredentialId(row.credential_id),
        account: AccountId(row.account_id),
        password_hash: sealer.open(record(&key), &row.password_hash_sealed)?,
        user_name: row.user_name,
        mailbox: row.mailbox,
        label: row.label,
        created_at: system_time(row.created_at),
        last_used_at: row.last_used_at.map(system_time),
    })
}

/// The length keeps a mailbox and a user name that were cut elsewhere from making the same key.
pub(super) fn record_key(id: i64, account: i64, user_name: &str, mailbox: Option<&str>) -> String {
    let only = mailbox.map(|mailbox| format!(" for {} {mailbox}", mailbox.len())).unwrap_or_default();
    format!("{id} of account:{account}{only} as {user_name}")
}

pub(super) fn record(key: &str) -> Record<'_> {
    Record { table: "credentials", column: "password_hash", key }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::super::accounts::NewAccount;
    use super::super::tests::open;
    use super::*;

    fn account(address: &str, provider: &str) -> NewAccount {
        NewAccount { address: address.to_owned(), provider: provider.to_owned(), ..NewAccount::default() }
    }

    fn credential(user_name: &str) -> NewCredential {
        NewCredential {
            user_name: user_name.to_owned(),
            mailbox: None,
            password_hash: Secret::new(format!("the hash of {user_name}")),
            label: Some("Epson, 2nd floor".to_owned()),
        }
    }

    #[tokio::test]
    async fn a_credential_comes_back_as_it_was_given() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await.unwrap();
        let (ann, _) = store.add_account(&account("ann@example.com", "contoso"), None).await.unwrap();
        let id = store.add_credential(ann, &credential("Ann")).await.unwrap();
        let listed = store.credentials(Some(ann)).await.unwrap();
        let [only] = listed.as_slice() else { unreachable!("{listed:?}") };
        assert_eq!((only.id, only.account, only.user_name.as_str()), (id, ann, "Ann"));
        assert_eq!(only.password_hash.expose(), "the hash of Ann");
        assert_eq!((only.label.as_deref(), only.last_used_at), (Some("Epson, 2nd floor"), None));
        assert!(store.credentials(Some(AccountId(99))).await.unwrap().is_empty());
        let refused = store.add_credential(AccountId(99), &credential("bob")).await;
        assert!(matches!(refused, Err(StoreError::AccountGone)));
    }

    #[tokio::test]
    async fn a_hash_copied_into_another_row_does_not_open() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await.unwrap();
        let forgeries = [
            // Somebody else's password, somebody else's mailbox, somebody else's name.
            "UPDATE credentials SET password_hash_sealed =
                 (SELECT password_hash_sealed FROM credentials WHERE user_name = 'bob') WHERE user_name = 'ann'",
            "UPDATE credentials SET account_id = (SELECT max(id) FROM accounts) WHERE user_name = 'ann'",
            "UPDATE credentials SET user_name = 'eve' WHERE user_name = 'ann'",
            "UPDATE credentials SET id = id + 100 WHERE user_name = 'ann'",
            "UPDATE credentials SET mailbox = 'bob' WHERE user_name = 'ann'",
            "UPDATE credentials SET mailbox = NULL WHERE user_name = 'scanner'",
            "UPDATE credentials SET mailbox = 'bob' WHERE user_name = 'scanner'",
            "UPDATE credentials SET mailbox = 'Dora' WHERE user_name = 'scanner'",
        ];
        for forgery in forgeries {
            let mut ids = Vec::new();
            for name in ["ann", "bob"] {
                let new = account(name, "contoso");
                ids.push(store.add_account(&new, Some(&credential(name))).await.unwrap().0);
            }
            let scanner = NewCredential { mailbox: Some("dora".to_owned()), ..credential("scanner") };
            ids.push(store.add_account(&account("*", "contoso"), Some(&scanner)).await.unwrap().0);
            assert_eq!(store.credentials(None).await.unwrap().len(), 3);
            sqlx::query(forgery).execute(&store.pool).await.unwrap();
            let refused = store.credentials(None).await;
            assert!(matches!(refused, Err(StoreError::Forged { .. })), "{forgery}: {refused:?}");
            for id in ids {
                assert!(store.remove_account(id).await.unwrap());
            }
        }
    }

    #[tokio::test]
    async fn the_ninth_of_many_at_once_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (ours, theirs) = (open(folder.path()).await.unwrap(), open(folder.path()).await.unwrap());
        let (ann, _) = ours.add_account(&account("ann", "contoso"), None).await.unwrap();
        let (bob, _) = ours.add_account(&account("bob", "contoso"), None).await.unwrap();
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..12 {
            let store = if number % 2 == 0 { ours.clone() } else { theirs.clone() };
            let id = if number % 3 == 0 { ann } else { bob };
            tasks.spawn(async move { store.add_credential(id, &credential("shared")).await });
        }
        let outcomes = tasks.join_all().await;
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), MAX_PER_USER_NAME);
        let refused = |outcome: &&Result<_, _>| matches!(outcome, Err(StoreError::TooManyCredentials { .. }));
        assert_eq!(outcomes.iter().filter(refused).count(), 4);
        let (carl, _) = ours.add_account(&account("carl", "fabrikam"), None).await.unwrap();
        ours.add_credential(carl, &credential("shared")).await.unwrap();
    }

    #[tokio::test]
    async fn few_passwords_open_every_mailbox_of_a_domain() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await.unwrap();
        let (id, _) = store.add_account(&account("*@example.com", "contoso"), None).await.unwrap();
        for number in 0..=MAX_FOR_ALL_MAILBOXES {
            let added = store.add_credential(id, &credential("*@Example.com")).await;
            assert_eq!(added.is_ok(), number < MAX_FOR_ALL_MAILBOXES, "{added:?}");
            if let Err(refused) = added {
                let expected =
                    "user name *@Example.com has 4 passwords at provider contoso already; revoke one first";
                assert_eq!(refused.to_string(), expected);
            }
        }
    }

    #[test]
    fn no_two_places_have_the_same_key() {
        let places = [
            ("a", None),
            ("a for 1 b", None),
            ("b as a", Some("a")),
            ("a", Some("a as b")),
            ("a", Some("b as a")),
            ("a", Some("a")),
        ];
        let keys: HashSet<_> = places.map(|(name, mailbox)| record_key(1, 1, name, mailbox)).into();
        assert_eq!(keys.len(), places.len(), "{keys:?}");
    }

    #[tokio::test]
    async fn last_use_moves_forward_by_whole_minutes_and_writes_nothing_in_between() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await.unwrap();
        let new = account("ann", "contoso");
        let id = store.add_account(&new, Some(&credential("ann"))).await.unwrap().1.unwrap();
        let noon = minute(system_time(1_700_000_000_000));
        let second = Duration::from_secs(1);
        // Login at, shown afterwards, whether it was written.
        for (at, expected, written) in [
            (noon + second, noon, true),
            (noon + 59 * second, noon, false),
            (noon - 59 * second, noon, false),
            // The clock was set back.
            (noon - 119 * second, noon - 120 * second, true),
            (noon + 60 * second, noon + 60 * second, true),
        ] {
            let before = store.data_version().await.unwrap();
            store.note_use(id, at).await.unwrap();
            assert_eq!(store.data_version().await.unwrap() != before, written);
            let listed = store.credentials(None).await.unwrap();
            assert_eq!(listed.first().unwrap().last_used_at, Some(expected));
        }
    }
}
