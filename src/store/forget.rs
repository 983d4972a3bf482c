//! Forgetting what opened a mailbox, because it was withdrawn. The account stays. Rule: no version is ever given twice, so that a
//! refresh that began before changes nothing that comes after.

use sqlx::SqliteExecutor;

use super::accounts::AccountId;
use super::grants::GrantKey;
use super::{Store, StoreError};

impl Store {
    /// Forgets the tokens of version `read`, and ends the lease; false when the grant changed meanwhile. Its row stays without
    /// them and counts on from there: a writer that is late names a version that never comes again.
    pub async fn forget_grant(&self, key: &GrantKey, read: i64) -> Result<bool, StoreError> {
        forget(&self.writer, &key.to_string(), Some(read)).await
    }

    /// Forgets what a service account got for the account's mailboxes, and says how many tokens that were. They live for an
    /// hour and renew nothing, so that their rows go too.
    pub async fn forget_mailbox_tokens(&self, AccountId(id): AccountId) -> Result<u64, StoreError> {
        let done = sqlx::query("DELETE FROM grants WHERE account_id = $1 AND owner LIKE 'mailbox:%'")
            .bind(id)
            .execute(&self.writer)
            .await?;
        Ok(done.rows_affected())
    }

    /// Forgets the mailbox's own password; false when there is none.
    pub async fn forget_mailbox_password(&self, AccountId(id): AccountId) -> Result<bool, StoreError> {
        let done = sqlx::query("DELETE FROM mailbox_passwords WHERE account_id = $1")
            .bind(id)
            .execute(&self.writer)
            .await?;
        Ok(done.rows_affected() == 1)
    }
}

/// Forgets what the owner has been given, whatever version that is where none was `read`.
pub(super) async fn forget(
    executor: impl SqliteExecutor<'_>,
    owner: &str,
    read: Option<i64>,
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "UPDATE grants SET
             version = version + 1, refresh_token_sealed = NULL, access_token_sealed = NULL, expires_at = NULL,
             scopes = '', identity = NULL, issued_at = NULL, used_at = NULL, refused = NULL, failed_since = NULL,
             failed_at = NULL, failure = NULL, failure_lasts = FALSE, lease_holder = NULL, lease_until = NULL
         WHERE owner = $1 AND ($2 IS NULL OR version = $2)",
    )
    .bind(owner)
    .bind(read)
    .execute(executor)
    .await?;
    Ok(done.rows_affected() == 1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::time::{Duration, SystemTime};

    use gatepost_protocol::secret::Secret;

    use super::super::accounts::NewAccount;
    use super::super::grants::NewTokens;
    use super::super::tests::open;
    use super::*;

    const TEN: Duration = Duration::from_secs(10);

    fn tokens(access: &str) -> NewTokens {
        NewTokens {
            access_token: Secret::new(access.to_owned()),
            refresh_token: Some(Secret::new(format!("{access}-refresh"))),
            issued_at: SystemTime::now(),
            expires_at: SystemTime::now() + TEN,
            scopes: vec!["mail".to_owned()],
            identity: None,
        }
    }

    async fn account(store: &Store, address: &str) -> AccountId {
        let account =
            NewAccount { address: address.to_owned(), provider: "post".to_owned(), ..NewAccount::default() };
        store.add_account(&account, None).await.unwrap().0
    }

    #[tokio::test]
    async fn a_refresh_that_is_late_brings_nothing_back_and_touches_no_new_consent() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await.unwrap();
        let key = GrantKey::Account(account(&store, "ann@example.com").await);
        let read = store.replace_grant(&key, &tokens("old")).await.unwrap();
        assert!(store.lease_grant(SystemTime::now(), &key, read, "slow", TEN).await.unwrap());
        assert!(store.forget_grant(&key, read).await.unwrap());

        assert_eq!(store.commit_refresh(&key, read, &tokens("late")).await.unwrap(), None);
        assert!(store.grant(&key).await.unwrap().is_none());
        assert!(store.standings().await.unwrap().is_empty());

        let new = store.replace_grant(&key, &tokens("new")).await.unwrap();
        assert!(new > read, "version {new} is another one than {read}");
        assert_eq!(store.commit_refresh(&key, read, &tokens("late")).await.unwrap(), None);
        store.mark_refused(&key, read, "invalid_grant").await.unwrap();
        let grant = store.grant(&key).await.unwrap().unwrap();
        assert_eq!((grant.access_token.unwrap().expose().as_str(), grant.refused), ("new", None));
        assert!(
            store.lease_grant(SystemTime::now(), &key, new, "next", TEN).await.unwrap(),
            "the old lease is over"
        );
    }

    #[tokio::test]
    async fn what_changed_meanwhile_is_not_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await.unwrap();
        let key = GrantKey::Provider("contoso".to_owned());
        let read = store.replace_grant(&key, &tokens("old")).await.unwrap();
        store.replace_grant(&key, &tokens("new")).await.unwrap();
        assert!(!store.forget_grant(&key, read).await.unwrap());
        assert_eq!(store.grant(&key).await.unwrap().unwrap().access_token.unwrap().expose(), "new");
        assert!(!store.forget_grant(&GrantKey::Provider("fabrikam".to_owned()), 1).await.unwrap());
    }

    #[tokio::test]
    async fn only_the_account_s_own_tokens_and_password_go() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await.unwrap();
        let (every, bob) = (account(&store, "*@example.com").await, account(&store, "bob@example.com").await);
        let of = |account, mailbox: &str| GrantKey::Mailbox(account, mailbox.to_owned());
        for key in [of(every, "a@example.com"), of(every, "b@example.com"), of(bob, "bob@example.com")] {
            store.replace_grant(&key, &tokens("live")).await.unwrap();
        }
        assert_eq!(store.forget_mailbox_tokens(every).await.unwrap(), 2);
        let left: Vec<_> = store.standings().await.unwrap().into_keys().collect();
        assert_eq!(left, [of(bob, "bob@example.com")]);

        let password = Secret::new("schlüssel".to_owned());
        let first = store.replace_mailbox_password(bob, &password).await.unwrap();
        assert!(!store.forget_mailbox_password(every).await.unwrap());
        assert!(store.forget_mailbox_password(bob).await.unwrap());
        assert!(store.mailbox_password(bob).await.unwrap().is_none());
        assert!(!store.forget_mailbox_password(bob).await.unwrap());
        // A refusal is remembered by the version, and must not meet the next password.
        assert!(store.replace_mailbox_password(bob, &password).await.unwrap() > first);
    }
}
