//! Passwords of mailboxes at rest, for providers without OAuth: sealed like tokens, and in a table of their own, so that
//! neither can ever be taken for the other.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use gatepost_protocol::secret::Secret;

use super::accounts::AccountId;
use super::grants::gone;
use super::seal::Record;
use super::{Store, StoreError};

/// What opens a mailbox at its provider.
#[derive(Clone, Debug)]
pub struct MailboxPassword {
    /// The password.
    pub secret: Secret<String>,
    /// Raised by every change.
    pub version: i64,
    /// Whether the provider refused it when it was last tried.
    pub refused: bool,
}

impl Store {
    /// The mailbox's password, opened.
    pub async fn mailbox_password(&self, account: AccountId) -> Result<Option<MailboxPassword>, StoreError> {
        let (mut transaction, sealer) = self.begin_reading().await?;
        let row: Option<(i64, Vec<u8>, bool)> = sqlx::query_as(
            "SELECT version, password_sealed, refused IS NOT NULL FROM mailbox_passwords WHERE account_id = $1",
        )
        .bind(account.0)
        .fetch_optional(&mut *transaction)
        .await?;
        let Some((version, octets, refused)) = row else { return Ok(None) };
        let secret = sealer.open(record(&account.0.to_string()), &octets)?;
        Ok(Some(MailboxPassword { secret, version, refused }))
    }

    /// A password in place of whatever was there; gives its version. The first one is the time, because one that was forgotten
    /// leaves nothing behind to count on from.
    pub async fn replace_mailbox_password(
        &self,
        account: AccountId,
        password: &Secret<String>,
    ) -> Result<i64, StoreError> {
        let (mut transaction, sealer) = self.begin_writing().await?;
        let octets = sealer.seal(record(&account.0.to_string()), password)?;
        let versions: Vec<i64> = sqlx::query_scalar(
            "INSERT INTO mailbox_passwords (account_id, version, password_sealed) VALUES ($1, $3, $2)
             ON CONFLICT (account_id) DO UPDATE SET
                 version = mailbox_passwords.version + 1, password_sealed = excluded.password_sealed,
                 refused = NULL
             RETURNING version",
        )
        .bind(account.0)
        .bind(octets)
        .bind(first_version(SystemTime::now()))
        .fetch_all(&mut *transaction)
        .await
        .map_err(gone)?;
        transaction.commit().await?;
        versions.first().copied().ok_or(StoreError::AccountGone)
    }

    /// Notes the provider's words about that version, where it refused it; nothing where it took it.
    pub async fn note_password_verdict(
        &self,
        account: AccountId,
        version: i64,
        refused: Option<&str>,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE mailbox_passwords SET refused = $3
             WHERE account_id = $1 AND version = $2 AND refused IS NOT $3",
        )
        .bind(account.0)
        .bind(version)
        .bind(refused)
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    /// Which accounts have one, and the provider's words where it refused it. Opens none of them.
    pub async fn password_standings(&self) -> Result<BTreeMap<AccountId, Option<String>>, StoreError> {
        let rows: Vec<(i64, Option<String>)> =
            sqlx::query_as("SELECT account_id, refused FROM mailbox_passwords").fetch_all(&self.pool).await?;
        Ok(rows.into_iter().map(|(id, refused)| (AccountId(id), refused)).collect())
    }
}

/// Later than any version of a password that was forgotten.
pub(super) fn first_version(now: SystemTime) -> i64 {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX / 2)
}

pub(super) fn record(account: &str) -> Record<'_> {
    Record { table: "mailbox_passwords", column: "password", key: account }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::super::accounts::NewAccount;
    use super::super::tests::open;
    use super::*;

    async fn account(store: &Store, address: &str) -> AccountId {
        let account =
            NewAccount { address: address.to_owned(), provider: "post".to_owned(), ..NewAccount::default() };
        store.add_account(&account, None).await.unwrap().0
    }

    fn password(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    #[tokio::test]
    async fn a_password_comes_back_and_every_change_raises_its_version() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await.unwrap();
        let (ann, bob) = (account(&store, "ann@example.com").await, account(&store, "bob@example.com").await);
        assert!(store.mailbox_password(ann).await.unwrap().is_none());
        let mut last = 0;
        for text in ["first", "schlüssel", "schlüssel"] {
            let version = store.replace_mailbox_password(ann, &password(text)).await.unwrap();
            assert!(version > last, "{version} after {last}");
            let stored = store.mailbox_password(ann).await.unwrap().unwrap();
            assert_eq!((stored.secret.expose().as_str(), stored.version), (text, version));
            last = version;
        }
        assert_eq!(store.password_standings().await.unwrap(), BTreeMap::from([(ann, None)]));
        assert!(store.mailbox_password(bob).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_password_goes_with_its_account_and_opens_nowhere_else() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await.unwrap();
        let (ann, bob) = (account(&store, "ann@example.com").await, account(&store, "bob@example.com").await);
        store.replace_mailbox_password(ann, &password("ann's")).await.unwrap();
        let copy = "INSERT INTO mailbox_passwords SELECT $1, version, password_sealed, refused FROM mailbox_passwords";
        sqlx::query(copy).bind(bob.0).execute(&store.pool).await.unwrap();
        assert!(matches!(store.mailbox_password(bob).await, Err(StoreError::Forged { .. })));
        sqlx::query("DELETE FROM accounts WHERE id = $1").bind(ann.0).execute(&store.pool).await.unwrap();
        assert_eq!(store.password_standings().await.unwrap(), BTreeMap::from([(bob, None)]));
        let gone = store.replace_mailbox_password(ann, &password("late")).await;
        assert!(matches!(gone, Err(StoreError::AccountGone)), "{gone:?}");
    }

    #[tokio::test]
    async fn a_verdict_is_about_the_version_that_was_tried() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await.unwrap();
        let ann = account(&store, "ann@example.com").await;
        let said = async || store.password_standings().await.unwrap().remove(&ann).unwrap();
        let first = store.replace_mailbox_password(ann, &password("first")).await.unwrap();
        store.note_password_verdict(ann, first, Some("535 no")).await.unwrap();
        assert_eq!(said().await.as_deref(), Some("535 no"));
        store.note_password_verdict(ann, first, None).await.unwrap();
        assert_eq!(said().await, None);
        store.note_password_verdict(ann, first, Some("535 no")).await.unwrap();
        store.replace_mailbox_password(ann, &password("second")).await.unwrap();
        assert_eq!(said().await, None);
        store.note_password_verdict(ann, first, Some("late")).await.unwrap();
        assert_eq!(said().await, None);
    }
}
