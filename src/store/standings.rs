//! How grants stand, read without opening them, and what is noted of them between two tokens: failures and uses. Rule: what is noted
//! of a version that is gone changes nothing.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use sqlx::FromRow;

use super::accounts::AccountId;
use super::grants::{GrantKey, gone};
use super::{NOTED_WITHIN, Store, StoreError, milliseconds, system_time};

/// A mailbox of a catch-all account that nobody opens for so long is forgotten.
const UNUSED: Duration = Duration::from_hours(7 * 24);

/// How a grant stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// As in [`super::grants::Grant`].
    pub version: i64,
    /// The provider's words, where it refused the grant.
    pub refused: Option<String>,
    /// Who consented, where the provider told.
    pub identity: Option<String>,
    /// Whether there is a refresh token.
    pub renewable: bool,
    /// When the access token ends.
    pub expires_at: Option<SystemTime>,
    /// When the tokens came, by consent or by a refresh.
    pub issued_at: Option<SystemTime>,
    /// When a login last wanted the token, to the hour.
    pub used_at: Option<SystemTime>,
    /// What keeps it from being refreshed, where the last attempt failed.
    pub failure: Option<Failure>,
}

impl Standing {
    /// Whether it is only there because no token could be had. Tokens of older Gateposts have an end, and no beginning.
    pub fn never_had_token(&self) -> bool {
        self.issued_at.is_none() && self.expires_at.is_none() && !self.renewable
    }
}

/// Refreshes that failed since the tokens came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The first of them.
    pub since: SystemTime,
    /// The last of them.
    pub at: SystemTime,
    /// What happened, for the admin.
    pub text: String,
    /// Whether waiting cannot help.
    pub lasts: bool,
}

impl Store {
    /// Which grants there are, and how each stands. Opens none of them.
    pub async fn standings(&self) -> Result<BTreeMap<GrantKey, Standing>, StoreError> {
        let rows: Vec<StandingRow> = sqlx::query_as(
            "SELECT owner, account_id, version, refused, identity, refresh_token_sealed IS NOT NULL AS renewable,
                 expires_at, issued_at, used_at, failed_since, failed_at, failure, failure_lasts
             FROM grants
             WHERE access_token_sealed IS NOT NULL OR refresh_token_sealed IS NOT NULL OR failure IS NOT NULL",
        )
        .fetch_all(&self.pool)
        .await?;
        let mailbox = |owner: &str| Some(owner.strip_prefix("mailbox:")?.split_once(':')?.1.to_owned());
        let key = |row: &StandingRow| match (row.account_id, mailbox(&row.owner)) {
            (Some(id), Some(mailbox)) => GrantKey::Mailbox(AccountId(id), mailbox),
            (Some(id), None) => GrantKey::Account(AccountId(id)),
            (None, _) => {
                GrantKey::Provider(row.owner.strip_prefix("provider:").unwrap_or(&row.owner).to_owned())
            }
        };
        Ok(rows.into_iter().map(|row| (key(&row), row.into())).collect())
    }

    /// Notes that version `read` could not be refreshed; changes nothing when the grant changed meanwhile. Its version stays,
    /// since nothing that anybody waits for is different. A token that was never had gets a row, so that people hear why.
    pub async fn note_failure(
        &self,
        key: &GrantKey,
        read: Option<i64>,
        now: SystemTime,
        text: &str,
        lasts: bool,
    ) -> Result<(), StoreError> {
        if let (GrantKey::Mailbox(..), None) = (key, read) {
            self.forget_unused_mailboxes(now).await?;
        }
        sqlx::query(
            "INSERT INTO grants (owner, account_id, version, scopes, failed_since, failed_at, failure, failure_lasts)
             SELECT $1, $2, 1, '', $4, $4, $5, $6 WHERE $3 IS NULL
             ON CONFLICT (owner) DO NOTHING",
        )
        .bind(key.to_string())
        .bind(key.account())
        .bind(read)
        .bind(milliseconds(now))
        .bind(text)
        .bind(lasts)
        .execute(&self.writer)
        .await
        .map_err(gone)?;
        sqlx::query(
            "UPDATE grants SET failed_since = COALESCE(failed_since, $3), failed_at = $3, failure = $4, failure_lasts = $5
             WHERE owner = $1 AND (version = $2 OR ($2 IS NULL AND issued_at IS NULL))",
        )
        .bind(key.to_string())
        .bind(read)
        .bind(milliseconds(now))
        .bind(text)
        .bind(lasts)
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    /// Notes that a login wants the token. A use that is noted for later than now is from before the clock was set back.
    pub async fn note_grant_used(&self, key: &GrantKey, now: SystemTime) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE grants SET used_at = $2 WHERE owner = $1 AND (used_at IS NULL OR used_at < $2 OR used_at > $3)",
        )
        .bind(key.to_string())
        .bind(milliseconds(now))
        .bind(milliseconds(now + NOTED_WITHIN))
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    /// Forgets mailboxes of catch-all accounts that nobody opened for a week: nothing can be renewed with what they had, and there
    /// are as many as names were typed. Those that never had a token go by their last failure.
    pub(super) async fn forget_unused_mailboxes(&self, now: SystemTime) -> Result<(), StoreError> {
        sqlx::query(
            "DELETE FROM grants
             WHERE owner LIKE 'mailbox:%' AND account_id IN (SELECT id FROM accounts WHERE address LIKE '*@%')
                 AND ((expires_at <= $1 AND COALESCE(used_at, issued_at, expires_at) <= $2)
                     OR (expires_at IS NULL AND failed_at <= $2))",
        )
        .bind(milliseconds(now))
        .bind(milliseconds(now.checked_sub(UNUSED).unwrap_or(SystemTime::UNIX_EPOCH)))
        .execute(&self.writer)
        .await?;
        Ok(())
    }
}

#[derive(FromRow)]
struct StandingRow {
    owner: String,
    account_id: Option<i64>,
    version: i64,
    refused: Option<String>,
    identity: Option<String>,
    renewable: bool,
    expires_at: Option<i64>,
    issued_at: Option<i64>,
    used_at: Option<i64>,
    failed_since: Option<i64>,
    failed_at: Option<i64>,
    failure: Option<String>,
    failure_lasts: bool,
}

impl From<StandingRow> for Standing {
    fn from(row: StandingRow) -> Self {
        let failure = match (row.failed_since, row.failed_at, row.failure) {
            (Some(since), Some(at), Some(text)) => Some(Failure {
                since: system_time(since),
                at: system_time(at),
                text,
                lasts: row.failure_lasts,
            }),
            _ => None,
        };
        Self {
            version: row.version,
            refused: row.refused,
            identity: row.identity,
            renewable: row.renewable,
            expires_at: row.expires_at.map(system_time),
            issued_at: row.issued_at.map(system_time),
            used_at: row.used_at.map(system_time),
            failure,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::super::accounts::NewAccount;
    use super::super::grants::NewTokens;
    use super::super::grants::tests::{TEN, key, tokens};
    use super::super::tests::open;
    use super::*;

    #[tokio::test]
    async fn failures_are_noted_until_tokens_come() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await.unwrap();
        let noon = system_time(1_700_000_000_000);
        let standing = async || store.standings().await.unwrap().remove(&key()).unwrap_or_default();
        store.note_failure(&key(), None, noon, "HTTP status 503", false).await.unwrap();
        store.note_failure(&key(), Some(1), noon + TEN, "invalid_client", true).await.unwrap();
        let failure = Failure { since: noon, at: noon + TEN, text: "invalid_client".to_owned(), lasts: true };
        assert_eq!((standing().await.failure, standing().await.issued_at), (Some(failure), None));
        assert_eq!(store.commit_refresh(&key(), 1, &tokens("a1", None)).await.unwrap(), Some(2));
        assert_eq!((standing().await.failure, standing().await.renewable), (None, false));
        for stale in [None, Some(1)] {
            store.note_failure(&key(), stale, noon, "late", false).await.unwrap();
            assert_eq!(standing().await.failure, None, "{stale:?}: the grant changed meanwhile");
        }
        assert!(store.lease_grant(noon, &key(), 2, "one", TEN).await.unwrap());
        store.note_failure(&key(), Some(2), noon, "HTTP status 503", false).await.unwrap();
        store.replace_grant(&key(), &tokens("a2", Some("r2"))).await.unwrap();
        assert_eq!((standing().await.failure, standing().await.renewable), (None, true));
        store.note_grant_used(&key(), noon + TEN).await.unwrap();
        store.note_grant_used(&key(), noon).await.unwrap();
        assert_eq!(standing().await.used_at, Some(noon + TEN));
        let earlier = noon - Duration::from_hours(1000);
        store.note_grant_used(&key(), earlier).await.unwrap();
        assert_eq!(standing().await.used_at, Some(earlier), "the clock was set back");
    }

    /// Tokens that live for an hour.
    fn tokens_of(issued_at: SystemTime) -> NewTokens {
        NewTokens { issued_at, expires_at: issued_at + Duration::from_hours(1), ..tokens("a1", None) }
    }

    #[tokio::test]
    async fn mailboxes_that_nobody_opened_for_a_week_are_forgotten_when_the_next_one_comes() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await.unwrap();
        let account = NewAccount { address: "*@example.com".to_owned(), ..NewAccount::default() };
        let (account, _) = store.add_account(&account, None).await.unwrap();
        let of = |mailbox: &str| GrantKey::Mailbox(account, format!("{mailbox}@example.com"));
        let noon = system_time(1_700_000_000_000);
        let left = async || store.standings().await.unwrap().into_keys().collect::<Vec<_>>();
        store.replace_grant(&key(), &tokens_of(noon)).await.unwrap();
        for mailbox in ["unused", "used", "c:d"] {
            store.replace_grant(&of(mailbox), &tokens_of(noon)).await.unwrap();
        }
        store.note_failure(&of("wrong"), None, noon, "HTTP status 400", true).await.unwrap();
        store.note_failure(&of("used"), Some(1), noon + TEN, "HTTP status 503", false).await.unwrap();
        store.note_grant_used(&of("used"), noon + 2 * TEN).await.unwrap();
        store.replace_grant(&of("new"), &tokens_of(noon + UNUSED - TEN)).await.unwrap();
        assert_eq!(left().await, [of("c:d"), of("new"), of("unused"), of("used"), of("wrong"), key()]);
        store.replace_grant(&of("newer"), &tokens_of(noon + UNUSED)).await.unwrap();
        assert_eq!(left().await, [of("new"), of("newer"), of("used"), key()]);
        let used = store.standings().await.unwrap().remove(&of("used")).unwrap();
        assert_eq!((used.used_at, used.failure.is_some()), (Some(noon + 2 * TEN), true));
        assert!(store.remove_account(account).await.unwrap());
        assert_eq!(left().await, [key()], "they go with their account");
    }

    #[tokio::test]
    async fn names_that_were_typed_wrong_are_forgotten_after_a_week_whatever_comes_then() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await.unwrap();
        let account = NewAccount { address: "*@example.com".to_owned(), ..NewAccount::default() };
        let (account, _) = store.add_account(&account, None).await.unwrap();
        let noon = system_time(1_700_000_000_000);
        for day in 0..30_u32 {
            let (wrong, now) = (format!("{day}@example.com"), noon + Duration::from_hours(24) * day);
            let key = GrantKey::Mailbox(account, wrong);
            store.note_failure(&key, None, now, "HTTP status 400", true).await.unwrap();
            store.note_grant_used(&key, now).await.unwrap();
            let left = store.standings().await.unwrap();
            assert!(left.len() <= 7 && left.values().all(Standing::never_had_token), "{left:?}");
        }
    }

    #[tokio::test]
    async fn a_service_account_that_is_idle_keeps_its_mailbox_while_another_comes_and_goes() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await.unwrap();
        let mut keys = Vec::new();
        for address in ["ann@example.com", "bob@example.com"] {
            let account = NewAccount { address: address.to_owned(), ..NewAccount::default() };
            let (account, _) = store.add_account(&account, None).await.unwrap();
            keys.push(GrantKey::Mailbox(account, address.to_owned()));
        }
        let mut now = system_time(1_700_000_000_000);
        for _ in 0..3 {
            for key in &keys {
                store.replace_grant(key, &tokens_of(now)).await.unwrap();
                now += 4 * UNUSED;
                let other = keys.iter().find(|other| *other != key).unwrap();
                store.replace_grant(other, &tokens_of(now)).await.unwrap();
                assert!(store.standings().await.unwrap().contains_key(key), "{key} is idle and still there");
            }
        }
    }
}
