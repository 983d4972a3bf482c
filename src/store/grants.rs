//! Grants at rest: what a provider gave. One row per grant; a version that every change raises; a lease, so that one
//! process at a time refreshes (invariant 8).

use std::fmt;
use std::time::{Duration, SystemTime};

use gatepost_protocol::secret::Secret;
use sqlx::FromRow;

use super::accounts::AccountId;
use super::seal::{Record, Sealer};
use super::{Store, StoreError, milliseconds, system_time};
use crate::crash_point::crash_point;

/// Whose grant it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum GrantKey {
    /// A mailbox owner's consent.
    Account(AccountId),
    /// What a service account got for one mailbox, in lower case; a catch-all account has many.
    Mailbox(AccountId, String),
    /// The application's own token at a provider (client credentials).
    Provider(String),
}

impl GrantKey {
    pub(super) fn account(&self) -> Option<i64> {
        match self {
            Self::Account(AccountId(id)) | Self::Mailbox(AccountId(id), _) => Some(*id),
            Self::Provider(_) => None,
        }
    }
}

impl fmt::Display for GrantKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(AccountId(id)) => write!(formatter, "account:{id}"),
            Self::Mailbox(AccountId(id), mailbox) => write!(formatter, "mailbox:{id}:{mailbox}"),
            Self::Provider(name) => write!(formatter, "provider:{name}"),
        }
    }
}

/// What a provider gave.
#[derive(Clone, Debug)]
pub struct Grant {
    /// Whose it is.
    pub key: GrantKey,
    /// Raised by every change; a writer names the version it read.
    pub version: i64,
    /// `None` for client credentials.
    pub refresh_token: Option<Secret<String>>,
    /// The newest access token.
    pub access_token: Option<Secret<String>>,
    /// When the tokens came, by this machine's clock.
    pub issued_at: Option<SystemTime>,
    /// When the access token ends, by this machine's clock.
    pub expires_at: Option<SystemTime>,
    /// As granted, not as asked for.
    pub scopes: Vec<String>,
    /// Who consented, where the provider told.
    pub identity: Option<String>,
    /// Set once the provider said `invalid_grant` or the like: its words, for the admin. The tokens stay.
    pub refused: Option<String>,
    /// When a login last wanted the token, to the hour.
    pub used_at: Option<SystemTime>,
}

/// What a provider answered to a redeemed code or a refresh.
#[derive(Clone, Debug)]
pub struct NewTokens {
    /// The new access token.
    pub access_token: Secret<String>,
    /// `None`: the old one stays valid.
    pub refresh_token: Option<Secret<String>>,
    /// When they were asked for, by this machine's clock.
    pub issued_at: SystemTime,
    /// By this machine's clock.
    pub expires_at: SystemTime,
    /// Empty: as before.
    pub scopes: Vec<String>,
    /// `None`: as before.
    pub identity: Option<Identity>,
}

/// Who consented, by every name that the provider tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    name: String,
    others: Vec<String>,
}

impl Identity {
    /// `None` without a name. The first is the one that is shown.
    pub fn new(names: impl IntoIterator<Item = String>) -> Option<Self> {
        let mut names = names.into_iter();
        Some(Self { name: names.next()?, others: names.collect() })
    }

    /// The one that is shown and stored.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether one of the names is this one, in whatever case.
    pub fn is(&self, name: &str) -> bool {
        std::iter::once(&self.name).chain(&self.others).any(|own| own.eq_ignore_ascii_case(name))
    }

    /// The same one, shown by this name, as the provider spells it, if it is one of theirs.
    #[must_use]
    pub fn shown_as(self, name: &str) -> Self {
        let Self { name: first, mut others } = self;
        let found = others.iter_mut().find(|own| own.eq_ignore_ascii_case(name));
        let mut shown = first;
        if let Some(own) = found.filter(|_| !shown.eq_ignore_ascii_case(name)) {
            std::mem::swap(own, &mut shown);
        }
        Self { name: shown, others }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name)
    }
}

impl Store {
    /// The grant, opened. One that was forgotten is none, though its row stays.
    pub async fn grant(&self, key: &GrantKey) -> Result<Option<Grant>, StoreError> {
        let (mut transaction, sealer) = self.begin_reading().await?;
        let row: Option<GrantRow> = sqlx::query_as(
            "SELECT version, refresh_token_sealed, access_token_sealed, issued_at, expires_at, scopes, identity, refused,
                 used_at
             FROM grants
             WHERE owner = $1
                 AND (access_token_sealed IS NOT NULL OR refresh_token_sealed IS NOT NULL OR failure IS NOT NULL)",
        )
        .bind(key.to_string())
        .fetch_optional(&mut *transaction)
        .await?;
        row.map(|row| opened(&sealer, key, row)).transpose()
    }

    /// A new grant in place of whatever was there; gives its version. Ends any lease.
    pub async fn replace_grant(&self, key: &GrantKey, tokens: &NewTokens) -> Result<i64, StoreError> {
        if let GrantKey::Mailbox(..) = key {
            self.forget_unused_mailboxes(tokens.issued_at).await?;
        }
        let (mut transaction, sealer) = self.begin_writing().await?;
        let octets = sealed(&sealer, key, tokens)?;
        let versions: Vec<i64> = sqlx::query_scalar(
            "INSERT INTO grants
                 (owner, account_id, version, refresh_token_sealed, access_token_sealed, expires_at, scopes, identity,
                  issued_at, used_at)
             VALUES ($1, $2, 1, $3, $4, $5, $6, $7, $8, $8)
             ON CONFLICT (owner) DO UPDATE SET
                 version = grants.version + 1, refresh_token_sealed = excluded.refresh_token_sealed,
                 access_token_sealed = excluded.access_token_sealed, expires_at = excluded.expires_at,
                 scopes = excluded.scopes, identity = excluded.identity, issued_at = excluded.issued_at,
                 used_at = excluded.used_at,
                 refused = NULL, failed_since = NULL, failed_at = NULL, failure = NULL, failure_lasts = FALSE,
                 lease_holder = NULL, lease_until = NULL
             RETURNING version",
        )
        .bind(key.to_string())
        .bind(key.account())
        .bind(octets.refresh_token)
        .bind(octets.access_token)
        .bind(milliseconds(tokens.expires_at))
        .bind(tokens.scopes.join(" "))
        .bind(tokens.identity.as_ref().map(Identity::name))
        .bind(milliseconds(tokens.issued_at))
        .fetch_all(&mut *transaction)
        .await
        .map_err(gone)?;
        transaction.commit().await?;
        versions.first().copied().ok_or(StoreError::AccountGone)
    }

    /// Commits a refresh of version `read`; `None` when the grant changed meanwhile. Ends the lease.
    pub async fn commit_refresh(
        &self,
        key: &GrantKey,
        read: i64,
        tokens: &NewTokens,
    ) -> Result<Option<i64>, StoreError> {
        let (mut transaction, sealer) = self.begin_writing().await?;
        let octets = sealed(&sealer, key, tokens)?;
        crash_point("before-commit");
        let done = sqlx::query(
            "UPDATE grants SET
                 version = version + 1, refresh_token_sealed = COALESCE($3, refresh_token_sealed),
                 access_token_sealed = $4, expires_at = $5,
                 scopes = CASE WHEN $6 = '' THEN scopes ELSE $6 END, identity = COALESCE($7, identity),
                 issued_at = $8, refused = NULL, failed_since = NULL, failed_at = NULL, failure = NULL,
                 failure_lasts = FALSE, lease_holder = NULL, lease_until = NULL
             WHERE owner = $1 AND version = $2",
        )
        .bind(key.to_string())
        .bind(read)
        .bind(octets.refresh_token)
        .bind(octets.access_token)
        .bind(milliseconds(tokens.expires_at))
        .bind(tokens.scopes.join(" "))
        .bind(tokens.identity.as_ref().map(Identity::name))
        .bind(milliseconds(tokens.issued_at))
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        crash_point("after-commit");
        Ok((done.rows_affected() == 1).then_some(read + 1))
    }

    /// Notes that the provider refused version `read` for good; changes nothing when the grant changed meanwhile. Ends the
    /// lease, and raises the version, so that whoever waited with the old one looks again instead of asking again.
    pub async fn mark_refused(&self, key: &GrantKey, read: i64, reason: &str) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE grants SET version = version + 1, refused = $3, lease_holder = NULL, lease_until = NULL
             WHERE owner = $1 AND version = $2",
        )
        .bind(key.to_string())
        .bind(read)
        .bind(reason)
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    /// Gives the lease back after a failed refresh.
    pub async fn release_grant(&self, key: &GrantKey, holder: &str) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE grants SET lease_holder = NULL, lease_until = NULL WHERE owner = $1 AND lease_holder = $2",
        )
        .bind(key.to_string())
        .bind(holder)
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    /// Takes the right to refresh version `read` until `duration` after `now`; false while another process holds it or
    /// when the version is gone. A dead holder's lease runs out by itself.
    pub async fn lease_grant(
        &self,
        now: SystemTime,
        key: &GrantKey,
        read: i64,
        holder: &str,
        duration: Duration,
    ) -> Result<bool, StoreError> {
        // Everybody leases for about the same time, so a lease that ends much later than ours would is from before the clock
        // was set back; waiting for it could take hours. A little later is somebody who asked at the same moment.
        let done = sqlx::query(
            "UPDATE grants SET lease_holder = $3, lease_until = $4
             WHERE owner = $1 AND version = $2 AND (lease_until IS NULL OR lease_until <= $5 OR lease_until > $6)",
        )
        .bind(key.to_string())
        .bind(read)
        .bind(holder)
        .bind(milliseconds(now + duration))
        .bind(milliseconds(now))
        .bind(milliseconds(now + 2 * duration))
        .execute(&self.writer)
        .await?;
        Ok(done.rows_affected() == 1)
    }
}

#[derive(FromRow)]
struct GrantRow {
    version: i64,
    refresh_token_sealed: Option<Vec<u8>>,
    access_token_sealed: Option<Vec<u8>>,
    issued_at: Option<i64>,
    expires_at: Option<i64>,
    scopes: String,
    identity: Option<String>,
    refused: Option<String>,
    used_at: Option<i64>,
}

struct SealedTokens {
    refresh_token: Option<Vec<u8>>,
    access_token: Vec<u8>,
}

fn sealed(sealer: &Sealer, key: &GrantKey, tokens: &NewTokens) -> Result<SealedTokens, StoreError> {
    let owner = key.to_string();
    let refresh_token = tokens.refresh_token.as_ref();
    Ok(SealedTokens {
        refresh_token: refresh_token.map(|token| sealer.seal(refresh_record(&owner), token)).transpose()?,
        access_token: sealer.seal(access_record(&owner), &tokens.access_token)?,
    })
}

fn opened(sealer: &Sealer, key: &GrantKey, row: GrantRow) -> Result<Grant, StoreError> {
    let owner = key.to_string();
    let (refresh_token, access_token) = (row.refresh_token_sealed, row.access_token_sealed);
    Ok(Grant {
        key: key.clone(),
        version: row.version,
        refresh_token: refresh_token
            .map(|sealed| sealer.open(refresh_record(&owner), &sealed))
            .transpose()?,
        access_token: access_token.map(|sealed| sealer.open(access_record(&owner), &sealed)).transpose()?,
        issued_at: row.issued_at.map(system_time),
        expires_at: row.expires_at.map(system_time),
        scopes: row.scopes.split_ascii_whitespace().map(str::to_owned).collect(),
        identity: row.identity,
        refused: row.refused,
        used_at: row.used_at.map(system_time),
    })
}

pub(super) fn refresh_record(owner: &str) -> Record<'_> {
    Record { table: "grants", column: "refresh_token", key: owner }
}

pub(super) fn access_record(owner: &str) -> Record<'_> {
    Record { table: "grants", column: "access_token", key: owner }
}

/// Something for an account that was removed while its owner consented or typed.
pub(super) fn gone(error: sqlx::Error) -> StoreError {
    match error.as_database_error() {
        Some(database) if database.is_foreign_key_violation() => StoreError::AccountGone,
        _ => error.into(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::super::tests::open;
    use super::*;

    pub(in super::super) const TEN: Duration = Duration::from_secs(10);

    pub(in super::super) fn key() -> GrantKey {
        GrantKey::Provider("contoso".to_owned())
    }

    pub(in super::super) fn tokens(access: &str, refresh: Option<&str>) -> NewTokens {
        NewTokens {
            access_token: Secret::new(access.to_owned()),
            refresh_token: refresh.map(|token| Secret::new(token.to_owned())),
            issued_at: system_time(1_700_000_000_000),
            expires_at: system_time(1_700_000_000_123),
            scopes: Vec::new(),
            identity: None,
        }
    }

    /// Access token, refresh token.
    fn opened(grant: &Grant) -> (Option<&str>, Option<&str>) {
        (
            grant.access_token.as_ref().map(|token| token.expose().as_str()),
            grant.refresh_token.as_ref().map(|token| token.expose().as_str()),
        )
    }

    #[tokio::test]
    async fn a_grant_comes_back_as_it_was_given() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await.unwrap();
        assert!(store.grant(&key()).await.unwrap().is_none());
        let given = NewTokens {
            scopes: vec!["mail".to_owned(), "offline_access".to_owned()],
            identity: Identity::new(["ann@example.com".to_owned()]),
            ..tokens("a1", Some("r1"))
        };
        assert_eq!(store.replace_grant(&key(), &given).await.unwrap(), 1);
        let grant = store.grant(&key()).await.unwrap().unwrap();
        assert_eq!(opened(&grant), (Some("a1"), Some("r1")));
        assert_eq!((grant.version, grant.expires_at), (1, Some(given.expires_at)));
        let identity = grant.identity.as_deref();
        assert_eq!((grant.scopes, identity, grant.refused), (given.scopes, Some("ann@example.com"), None));
    }

    #[tokio::test]
    async fn a_refresh_keeps_what_the_answer_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await.unwrap();
        let given = NewTokens {
            scopes: vec!["mail".to_owned()],
            identity: Identity::new(["ann".to_owned()]),
            ..tokens("a1", Some("r1"))
        };
        store.replace_grant(&key(), &given).await.unwrap();
        assert_eq!(store.commit_refresh(&key(), 1, &tokens("a2", None)).await.unwrap(), Some(2));
        let grant = store.grant(&key()).await.unwrap().unwrap();
        assert_eq!(opened(&grant), (Some("a2"), Some("r1")));
        assert_eq!((grant.version, grant.scopes, grant.identity.as_deref()), (2, given.scopes, Some("ann")));
        assert_eq!(store.commit_refresh(&key(), 2, &tokens("a3", Some("r3"))).await.unwrap(), Some(3));
        assert_eq!(opened(&store.grant(&key()).await.unwrap().unwrap()), (Some("a3"), Some("r3")));
    }

    #[tokio::test]
    async fn a_refresh_of_an_old_version_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await.unwrap();
        store.replace_grant(&key(), &tokens("a1", Some("r1"))).await.unwrap();
        assert_eq!(store.replace_grant(&key(), &tokens("a2", None)).await.unwrap(), 2);
        assert_eq!(store.commit_refresh(&key(), 1, &tokens("late", Some("late"))).await.unwrap(), None);
        store.mark_refused(&key(), 1, "invalid_grant").await.unwrap();
        let grant = store.grant(&key()).await.unwrap().unwrap();
        assert_eq!((opened(&grant), grant.version, &grant.refused), ((Some("a2"), None), 2, &None));
    }

    #[tokio::test]
    async fn a_refusal_keeps_the_tokens_and_a_new_grant_clears_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await.unwrap();
        store.replace_grant(&key(), &tokens("a1", Some("r1"))).await.unwrap();
        store.mark_refused(&key(), 1, "invalid_grant").await.unwrap();
        let grant = store.grant(&key()).await.unwrap().unwrap();
        assert_eq!(opened(&grant), (Some("a1"), Some("r1")));
        assert_eq!((grant.version, grant.refused.as_deref()), (2, Some("invalid_grant")));
        assert!(
            !store.lease_grant(SystemTime::now(), &key(), 1, "late", TEN).await.unwrap(),
            "looks again first"
        );
        assert_eq!(store.replace_grant(&key(), &tokens("a3", Some("r3"))).await.unwrap(), 3);
        assert_eq!(store.grant(&key()).await.unwrap().unwrap().refused, None);
    }

    #[tokio::test]
    async fn one_at_a_time_holds_the_lease_until_it_runs_out() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await.unwrap();
        let noon = system_time(1_700_000_000_000);
        let lease =
            async |now, version, holder| store.lease_grant(now, &key(), version, holder, TEN).await.unwrap();
        assert!(!lease(noon, 1, "one").await, "there is no grant");
        store.replace_grant(&key(), &tokens("a1", Some("r1"))).await.unwrap();
        assert!(!lease(noon, 2, "one").await, "there is no such version");
        assert!(lease(noon, 1, "one").await);
        assert!(!lease(noon + TEN / 2, 1, "two").await, "held");
        assert!(!lease(noon, 1, "one").await, "held, by a task of the same process");
        assert!(lease(noon + TEN, 1, "two").await, "the first one died");
        store.release_grant(&key(), "one").await.unwrap();
        assert!(!lease(noon + TEN, 1, "three").await, "not the first one's to give back");
        store.release_grant(&key(), "two").await.unwrap();
        assert!(lease(noon + TEN, 1, "three").await);
        assert!(lease(noon - TEN, 1, "four").await, "the clock was set back");
    }

    #[tokio::test]
    async fn every_new_version_ends_the_lease() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await.unwrap();
        store.replace_grant(&key(), &tokens("a1", Some("r1"))).await.unwrap();
        assert!(store.lease_grant(SystemTime::now(), &key(), 1, "one", TEN).await.unwrap());
        store.commit_refresh(&key(), 1, &tokens("a2", None)).await.unwrap();
        assert!(store.lease_grant(SystemTime::now(), &key(), 2, "two", TEN).await.unwrap());
        store.replace_grant(&key(), &tokens("a3", None)).await.unwrap();
        assert!(store.lease_grant(SystemTime::now(), &key(), 3, "three", TEN).await.unwrap());
        store.mark_refused(&key(), 3, "invalid_grant").await.unwrap();
        assert!(store.lease_grant(SystemTime::now(), &key(), 4, "four", TEN).await.unwrap());
    }

    #[tokio::test]
    async fn of_many_at_once_one_gets_the_lease() {
        let folder = tempfile::tempdir().unwrap();
        let (ours, theirs) = (open(folder.path()).await.unwrap(), open(folder.path()).await.unwrap());
        ours.replace_grant(&key(), &tokens("a1", Some("r1"))).await.unwrap();
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..20 {
            let store = if number % 2 == 0 { ours.clone() } else { theirs.clone() };
            tasks.spawn(async move {
                store.lease_grant(SystemTime::now(), &key(), 1, &number.to_string(), TEN).await.unwrap()
            });
        }
        assert_eq!(tasks.join_all().await.into_iter().filter(|&held| held).count(), 1);
    }

    #[tokio::test]
    async fn a_row_copied_to_another_owner_does_not_open() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await.unwrap();
        store.replace_grant(&key(), &tokens("a1", Some("r1"))).await.unwrap();
        sqlx::query("UPDATE grants SET owner = 'provider:fabrikam'").execute(&store.pool).await.unwrap();
        let other = GrantKey::Provider("fabrikam".to_owned());
        let refused = store.grant(&other).await.unwrap_err();
        assert!(matches!(refused, StoreError::Forged { .. }), "{refused}");
    }

    #[tokio::test]
    async fn a_token_moved_to_the_other_column_does_not_open() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await.unwrap();
        store.replace_grant(&key(), &tokens("a1", Some("r1"))).await.unwrap();
        let swap = "UPDATE grants SET access_token_sealed = refresh_token_sealed";
        sqlx::query(swap).execute(&store.pool).await.unwrap();
        assert!(matches!(store.grant(&key()).await, Err(StoreError::Forged { .. })));
    }

    #[test]
    fn one_who_consented_is_known_by_every_name() {
        let names = ["ann@example.com", "Ann.Other@example.com"].map(str::to_owned);
        let ann = Identity::new(names).unwrap();
        for (name, expected) in
            [("ANN@example.com", true), ("ann.other@example.com", true), ("bob@example.com", false)]
        {
            assert_eq!(ann.is(name), expected, "{name}");
            let shown = ann.clone().shown_as(name);
            assert_eq!(shown.name().eq_ignore_ascii_case(name), expected, "{name}");
            assert!(shown.is("ann@example.com") && shown.is("ann.other@example.com"), "no name is lost");
        }
        assert_eq!(Identity::new([]), None);
    }

    #[tokio::test]
    async fn an_account_that_is_gone_gets_no_grant() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await.unwrap();
        let refused = store.replace_grant(&GrantKey::Account(AccountId(7)), &tokens("a1", None)).await;
        assert!(matches!(refused, Err(StoreError::AccountGone)), "{refused:?}");
    }
}
