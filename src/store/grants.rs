//! Grants at rest: what a provider gave. One row per grant; a version that every change raises; a lease, so that one
//! process at a time refreshes (invariant 8).

use std::time::{Duration, SystemTime};

use gatepost_protocol::secret::Secret;

use super::{Store, StoreError};
use crate::account::AccountId;

/// Whose grant it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum GrantKey {
    /// A mailbox owner's consent.
    Account(AccountId),
    /// The application's own token at a provider (client credentials).
    Provider(String),
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
    /// When the access token ends, by this machine's clock.
    pub expires_at: Option<SystemTime>,
    /// As granted, not as asked for.
    pub scopes: Vec<String>,
    /// Who consented, where the provider told.
    pub identity: Option<String>,
    /// Set once the provider said `invalid_grant` or the like: its words, for the admin. The tokens stay.
    pub refused: Option<String>,
}

/// What a provider answered to a redeemed code or a refresh.
#[derive(Clone, Debug)]
pub struct NewTokens {
    /// The new access token.
    pub access_token: Secret<String>,
    /// `None`: the old one stays valid.
    pub refresh_token: Option<Secret<String>>,
    /// By this machine's clock.
    pub expires_at: SystemTime,
    /// Empty: as before.
    pub scopes: Vec<String>,
    /// `None`: as before.
    pub identity: Option<String>,
}

impl Store {
    /// The grant, opened.
    pub async fn grant(&self, key: &GrantKey) -> Result<Option<Grant>, StoreError> {
        let _ = key;
        unimplemented!()
    }

    /// A new grant in place of whatever was there; gives its version. Ends any lease.
    pub async fn replace_grant(&self, key: &GrantKey, tokens: &NewTokens) -> Result<i64, StoreError> {
        let _ = (key, tokens);
        unimplemented!()
    }

    /// Commits a refresh of version `read`; `None` when the grant changed meanwhile. Ends the lease.
    pub async fn commit_refresh(
        &self,
        key: &GrantKey,
        read: i64,
        tokens: &NewTokens,
    ) -> Result<Option<i64>, StoreError> {
        let _ = (key, read, tokens);
        unimplemented!()
    }

    /// Notes that the provider refused version `read` for good; changes nothing when the grant changed meanwhile.
    pub async fn mark_refused(&self, key: &GrantKey, read: i64, reason: &str) -> Result<(), StoreError> {
        let _ = (key, read, reason);
        unimplemented!()
    }

    /// Takes the right to refresh version `read` until `duration` from now; false while another process holds it or
    /// when the version is gone. A dead holder's lease runs out by itself.
    pub async fn lease_grant(
        &self,
        key: &GrantKey,
        read: i64,
        holder: &str,
        duration: Duration,
    ) -> Result<bool, StoreError> {
        let _ = (key, read, holder, duration);
        unimplemented!()
    }

    /// Gives the lease back after a failed refresh.
    pub async fn release_grant(&self, key: &GrantKey, holder: &str) -> Result<(), StoreError> {
        let _ = (key, holder);
        unimplemented!()
    }
}
