//! Accounts at rest. An address exists once per provider, whatever its case; removing one takes its credentials and its
//! grant along (the tables see to that).

use std::collections::BTreeMap;
use std::time::SystemTime;

use gatepost_protocol::Protocol;
use sqlx::{FromRow, SqliteConnection};

use super::credentials::{self, CredentialId, NewCredential};
use super::{NOTED_WITHIN, Store, StoreError, milliseconds, system_time};
use crate::address::spellings;

/// A row number in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountId(pub i64);

/// A mailbox at a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Where it stands in the store.
    pub id: AccountId,
    /// The mailbox.
    pub address: String,
    /// A name from the configuration file.
    pub provider: String,
    /// The user name toward the provider; the address where `None`. A shared mailbox may differ per protocol.
    pub smtp_user_name: Option<String>,
    /// As above.
    pub pop3_user_name: Option<String>,
    /// As above.
    pub imap_user_name: Option<String>,
    /// Who consents, where that is not the mailbox itself: a delegate, or another sign-in name of it.
    pub owner: Option<String>,
    /// The account whose grant is used, where that is not its own: the delegate's, at the same provider.
    pub token_account: Option<AccountId>,
    /// Switched off by the admin.
    pub disabled: bool,
}

impl Account {
    /// The user name that goes into XOAUTH2.
    pub fn upstream_user_name(&self, protocol: Protocol) -> &str {
        match protocol {
            Protocol::Smtp => self.smtp_user_name.as_deref(),
            Protocol::Pop3 => self.pop3_user_name.as_deref(),
            Protocol::Imap => self.imap_user_name.as_deref(),
        }
        .unwrap_or(&self.address)
    }

    /// Who is expected to consent.
    pub fn expected_owner(&self) -> &str {
        self.owner.as_deref().unwrap_or(&self.address)
    }

    /// What an admin would have to say to get this account.
    pub fn described(&self) -> NewAccount {
        let account = self.clone();
        NewAccount {
            address: account.address,
            provider: account.provider,
            smtp_user_name: account.smtp_user_name,
            pop3_user_name: account.pop3_user_name,
            imap_user_name: account.imap_user_name,
            owner: account.owner,
            token_account: account.token_account,
            disabled: account.disabled,
        }
    }
}

/// An account as the admin describes it. The fields are those of [`Account`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewAccount {
    /// The mailbox.
    pub address: String,
    /// A name from the configuration file.
    pub provider: String,
    /// The address where `None`.
    pub smtp_user_name: Option<String>,
    /// The address where `None`.
    pub pop3_user_name: Option<String>,
    /// The address where `None`.
    pub imap_user_name: Option<String>,
    /// The mailbox itself where `None`.
    pub owner: Option<String>,
    /// The account itself where `None`.
    pub token_account: Option<AccountId>,
    /// Switched off.
    pub disabled: bool,
}

#[derive(FromRow)]
pub(super) struct AccountRow {
    id: i64,
    address: String,
    provider: String,
    smtp_user_name: Option<String>,
    pop3_user_name: Option<String>,
    imap_user_name: Option<String>,
    owner: Option<String>,
    token_account_id: Option<i64>,
    disabled: bool,
}

impl From<AccountRow> for Account {
    fn from(row: AccountRow) -> Self {
        Self {
            id: AccountId(row.id),
            address: row.address,
            provider: row.provider,
            smtp_user_name: row.smtp_user_name,
            pop3_user_name: row.pop3_user_name,
            imap_user_name: row.imap_user_name,
            owner: row.owner,
            token_account: row.token_account_id.map(AccountId),
            disabled: row.disabled,
        }
    }
}

impl Store {
    /// Notes that the provider let a login of the account in; one that is noted for later is from before the clock was set back.
    pub async fn note_login(&self, id: AccountId, now: SystemTime) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE accounts SET last_login_at = $2
             WHERE id = $1 AND (last_login_at IS NULL OR last_login_at < $2 OR last_login_at > $3)",
        )
        .bind(id.0)
        .bind(milliseconds(now))
        .bind(milliseconds(now + NOTED_WITHIN))
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    /// When the provider last let a login in, of each account that has had one.
    pub async fn last_logins(&self) -> Result<BTreeMap<AccountId, SystemTime>, StoreError> {
        let rows: Vec<(i64, i64)> =
            sqlx::query_as("SELECT id, last_login_at FROM accounts WHERE last_login_at IS NOT NULL")
                .fetch_all(&self.pool)
                .await?;
        Ok(rows.into_iter().map(|(id, at)| (AccountId(id), system_time(at))).collect())
    }

    /// All accounts, by address.
    pub async fn accounts(&self) -> Result<Vec<Account>, StoreError> {
        all(&mut *self.pool.acquire().await?).await
    }

    /// The account, if it is still there.
    pub async fn account(&self, AccountId(id): AccountId) -> Result<Option<Account>, StoreError> {
        let row: Option<AccountRow> = sqlx::query_as("SELECT * FROM accounts WHERE id = $1")
            .bind(id)
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.map(Account::from))
    }

    /// The accounts with this address: at most one per provider.
    pub async fn accounts_at(&self, address: &str) -> Result<Vec<Account>, StoreError> {
        let [written, in_ascii, in_its_script] = spellings(address);
        let rows: Vec<AccountRow> =
            sqlx::query_as("SELECT * FROM accounts WHERE lower(address) IN ($1, $2, $3) ORDER BY provider")
                .bind(written)
                .bind(in_ascii)
                .bind(in_its_script)
                .fetch_all(&self.pool)
                .await?;
        Ok(rows.into_iter().map(Account::from).collect())
    }

    /// Adds the account and, where one is given, its first credential: both or none.
    pub async fn add_account(
        &self,
        account: &NewAccount,
        credential: Option<&NewCredential>,
    ) -> Result<(AccountId, Option<CredentialId>), StoreError> {
        let (mut transaction, sealer) = self.begin_writing().await?;
        let id = insert(&mut transaction, account).await?;
        let credential = match credential {
            Some(credential) => Some(credentials::insert(&sealer, &mut transaction, id, credential).await?),
            None => None,
        };
        transaction.commit().await?;
        Ok((id, credential))
    }

    /// Removes the account with its credentials and its grant; false when it was gone already.
    pub async fn remove_account(&self, id: AccountId) -> Result<bool, StoreError> {
        remove(&mut *self.writer.acquire().await?, id).await
    }

    /// Makes the account what is described; its provider stays. False when it is gone.
    pub async fn update_account(&self, id: AccountId, account: &NewAccount) -> Result<bool, StoreError> {
        update(&mut *self.writer.acquire().await?, id, account).await
    }

    /// Keeps who consents, and as whom SMTP goes; false when the account is gone. Nothing else is touched: somebody may have
    /// changed the rest of the account while a consent was waited for.
    pub async fn remember_owner(
        &self,
        AccountId(id): AccountId,
        owner: Option<&str>,
        smtp_user_name: Option<&str>,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query("UPDATE accounts SET owner = $2, smtp_user_name = $3 WHERE id = $1")
            .bind(id)
            .bind(owner)
            .bind(smtp_user_name)
            .execute(&self.writer)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Switches the account off or on; false when it is gone.
    pub async fn set_disabled(&self, AccountId(id): AccountId, disabled: bool) -> Result<bool, StoreError> {
        let done = sqlx::query("UPDATE accounts SET disabled = $2 WHERE id = $1")
            .bind(id)
            .bind(disabled)
            .execute(&self.writer)
            .await?;
        Ok(done.rows_affected() == 1)
    }
}

pub(super) async fn all(connection: &mut SqliteConnection) -> Result<Vec<Account>, StoreError> {
    let rows: Vec<AccountRow> = sqlx::query_as("SELECT * FROM accounts ORDER BY lower(address), provider")
        .fetch_all(connection)
        .await?;
    Ok(rows.into_iter().map(Account::from).collect())
}

/// Only within a transaction, whose commit says whether it was done.
pub(super) async fn insert(
    connection: &mut SqliteConnection,
    account: &NewAccount,
) -> Result<AccountId, StoreError> {
    sqlx::query_scalar(
        "INSERT INTO accounts
             (address, provider, smtp_user_name, pop3_user_name, imap_user_name, owner, token_account_id, disabled)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id",
    )
    .bind(&account.address)
    .bind(&account.provider)
    .bind(&account.smtp_user_name)
    .bind(&account.pop3_user_name)
    .bind(&account.imap_user_name)
    .bind(&account.owner)
    .bind(account.token_account.map(|AccountId(id)| id))
    .bind(account.disabled)
    .fetch_one(connection)
    .await
    .map(AccountId)
    .map_err(|error| match error.as_database_error() {
        Some(database) if database.is_unique_violation() => {
            StoreError::AccountExists { address: account.address.clone(), provider: account.provider.clone() }
        }
        _ => error.into(),
    })
}

pub(super) async fn update(
    connection: &mut SqliteConnection,
    AccountId(id): AccountId,
    account: &NewAccount,
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "UPDATE accounts SET address = $2, smtp_user_name = $3, pop3_user_name = $4, imap_user_name = $5, owner = $6,
             token_account_id = $7, disabled = $8
         WHERE id = $1",
    )
    .bind(id)
    .bind(&account.address)
    .bind(&account.smtp_user_name)
    .bind(&account.pop3_user_name)
    .bind(&account.imap_user_name)
    .bind(&account.owner)
    .bind(account.token_account.map(|AccountId(id)| id))
    .bind(account.disabled)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The account of this address that has a grant of its own.
pub(super) async fn with_own_grant(
    connection: &mut SqliteConnection,
    provider: &str,
    address: &str,
) -> Result<Option<AccountId>, StoreError> {
    let id: Option<i64> = sqlx::query_scalar(
        "SELECT id FROM accounts WHERE provider = $1 AND lower(address) = $2 AND token_account_id IS NULL",
    )
    .bind(provider)
    .bind(address.to_ascii_lowercase())
    .fetch_optional(connection)
    .await?;
    Ok(id.map(AccountId))
}

pub(super) async fn remove(
    connection: &mut SqliteConnection,
    AccountId(id): AccountId,
) -> Result<bool, StoreError> {
    let done = sqlx::query("DELETE FROM accounts WHERE id = $1").bind(id).execute(connection).await?;
    Ok(done.rows_affected() == 1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::time::{Duration, SystemTime};

    use gatepost_protocol::secret::Secret;

    use super::super::grants::{GrantKey, NewTokens};
    use super::super::tests::open;
    use super::*;

    fn account(address: &str, provider: &str) -> NewAccount {
        NewAccount {
            address: address.to_owned(),
            provider: provider.to_owned(),
            smtp_user_name: Some("delegate@example.com".to_owned()),
            ..NewAccount::default()
        }
    }

    #[tokio::test]
    async fn an_address_exists_once_per_provider_in_whatever_case() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await.unwrap();
        let (id, _) = store.add_account(&account("Ann@example.com", "contoso"), None).await.unwrap();
        let refused = store.add_account(&account("ann@EXAMPLE.com", "contoso"), None).await.unwrap_err();
        assert_eq!(refused.to_string(), "ann@EXAMPLE.com is there already for provider contoso");
        store.add_account(&account("ann@example.com", "fabrikam"), None).await.unwrap();
        let found = store.accounts_at("ANN@example.com").await.unwrap();
        assert_eq!(found.len(), 2);
        let first = found.first().unwrap();
        assert_eq!((first.id, first.address.as_str()), (id, "Ann@example.com"));
        assert_eq!(first.smtp_user_name.as_deref(), Some("delegate@example.com"));
        assert_eq!(store.account(id).await.unwrap().as_ref(), Some(first));
    }

    #[tokio::test]
    async fn what_belongs_to_an_account_goes_with_it_and_its_number_never_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await.unwrap();
        let credential = NewCredential {
            user_name: "ann".to_owned(),
            mailbox: None,
            password_hash: Secret::new(String::new()),
            label: None,
        };
        let tokens = NewTokens {
            access_token: Secret::new("a".to_owned()),
            refresh_token: None,
            issued_at: SystemTime::UNIX_EPOCH,
            expires_at: SystemTime::now(),
            scopes: Vec::new(),
            identity: None,
        };
        let (id, _) = store.add_account(&account("ann", "contoso"), Some(&credential)).await.unwrap();
        store.replace_grant(&GrantKey::Account(id), &tokens).await.unwrap();
        store.replace_grant(&GrantKey::Provider("contoso".into()), &tokens).await.unwrap();
        assert_eq!(store.standings().await.unwrap().len(), 2);
        assert!(store.remove_account(id).await.unwrap());
        assert!(!store.remove_account(id).await.unwrap());
        assert!(store.credentials(None).await.unwrap().is_empty());
        assert!(store.grant(&GrantKey::Account(id)).await.unwrap().is_none());
        let rest: Vec<_> = store.standings().await.unwrap().into_keys().collect();
        assert_eq!(rest, [GrantKey::Provider("contoso".into())]);
        assert_ne!(store.add_account(&account("ann", "contoso"), None).await.unwrap().0, id);
    }

    #[tokio::test]
    async fn an_account_that_used_another_ones_grant_loses_it_with_that_account() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await.unwrap();
        let (ann, _) = store.add_account(&account("ann@example.com", "contoso"), None).await.unwrap();
        let shared = NewAccount {
            owner: Some("ann@example.com".to_owned()),
            token_account: Some(ann),
            ..account("office@example.com", "contoso")
        };
        let (office, _) = store.add_account(&shared, None).await.unwrap();
        let stored = store.account(office).await.unwrap().unwrap();
        assert_eq!(stored.described(), shared);
        assert_eq!((stored.expected_owner(), stored.token_account), ("ann@example.com", Some(ann)));
        assert!(store.remove_account(ann).await.unwrap());
        let stored = store.account(office).await.unwrap().unwrap();
        assert_eq!((stored.expected_owner(), stored.token_account), ("ann@example.com", None));
        let own = NewAccount { owner: None, smtp_user_name: None, ..stored.described() };
        assert!(store.update_account(office, &own).await.unwrap());
        assert_eq!(store.account(office).await.unwrap().unwrap().described(), own);
        assert!(!store.update_account(ann, &own).await.unwrap());
    }

    #[tokio::test]
    async fn a_login_that_was_noted_while_the_clock_was_ahead_is_corrected() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await.unwrap();
        let (id, _) = store.add_account(&account("ann", "contoso"), None).await.unwrap();
        let (noon, second) = (system_time(1_700_000_000_000), Duration::from_secs(1));
        for (at, expected) in [
            (noon, noon),
            (noon - 59 * second, noon),
            (noon - 61 * second, noon - 61 * second),
            (noon + second, noon + second),
        ] {
            store.note_login(id, at).await.unwrap();
            assert_eq!(store.last_logins().await.unwrap(), BTreeMap::from([(id, expected)]));
        }
    }

    #[tokio::test]
    async fn who_consented_is_kept_and_what_an_admin_changed_meanwhile_stays() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await.unwrap();
        let new = NewAccount { imap_user_name: Some("office".to_owned()), ..account("office", "contoso") };
        let (id, _) = store.add_account(&new, None).await.unwrap();
        assert!(store.set_disabled(id, true).await.unwrap());
        assert!(store.remember_owner(id, Some("ann"), Some("ann")).await.unwrap());
        let kept = store.account(id).await.unwrap().unwrap();
        assert!(kept.disabled);
        assert_eq!(kept.imap_user_name.as_deref(), Some("office"));
        assert_eq!((kept.owner.as_deref(), kept.smtp_user_name.as_deref()), (Some("ann"), Some("ann")));
        assert!(!store.remember_owner(AccountId(id.0 + 1), None, None).await.unwrap());
    }

    #[tokio::test]
    async fn an_account_is_added_with_its_credential_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await.unwrap();
        let credential = NewCredential {
            user_name: "shared".to_owned(),
            mailbox: None,
            password_hash: Secret::new(String::new()),
            label: None,
        };
        for number in 0..9 {
            let new = account(&number.to_string(), "contoso");
            let added = store.add_account(&new, Some(&credential)).await;
            assert_eq!(added.is_ok(), number < 8, "{added:?}");
        }
        assert_eq!(store.accounts().await.unwrap().len(), 8);
    }
}
