//! Access tokens for accounts. One call, [`Tokens::access_token`], behind which a token is read from the store, or
//! refreshed: once per grant at a time, in a task of its own, committed before it is used (invariants 7 and 8).
//!
//! A file per grant (RFC 6749 section 4, RFC 7523): [`authorization_code`], `client_credentials`, [`password`],
//! `refresh_token`, `service_account`. Another grant is another file, a [`GrantType`], and an arm in `refresh` and in
//! `connect`. [`device_code`] is another way to the grant that [`authorization_code`] gives; what both end with is in
//! [`consent`].

pub mod admin_consent;
pub mod application;
pub mod authorization_code;
pub mod claims;
mod client_assertion;
mod client_credentials;
pub mod consent;
pub mod device_code;
pub mod diagnosis;
mod error;
pub(crate) mod http;
pub mod issuer;
mod landing_page;
pub mod metadata;
pub mod password;
pub mod probe;
pub mod redirect;
mod refresh;
mod refresh_token;
pub mod revocation;
mod service_account;
mod token;
mod token_request;
mod troubled;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gatepost_protocol::Protocol;
use gatepost_protocol::secret::Secret;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

pub use self::error::TokenError;
use self::error::Whose;
pub(crate) use self::error::what_to_check;
pub use self::refresh::NotRenewed;
use self::refresh::{Refreshes, Wanted};
use self::token::TokenState;
use crate::account::Account;
use crate::clock::Clock;
use crate::config::provider::{GrantType, OAuthClient};
use crate::store::Store;
use crate::store::fresh::Fresh;
use crate::store::grants::{Grant, GrantKey};

/// For how long a service's refusal forces no second refresh.
const REFUSAL_REMEMBERED: Duration = Duration::from_mins(5);

/// How exactly it is known when a grant was last used.
const USE_NOTED_EVERY: Duration = Duration::from_hours(1);

/// How long a login waits for a refresh while the old token has not ended.
const PATIENCE_WITH_USABLE_TOKEN: Duration = Duration::from_secs(3);

/// A token that is good to use now.
#[derive(Clone, Debug)]
pub struct AccessToken {
    /// What goes into XOAUTH2.
    pub secret: Secret<String>,
    /// The grant's version that it belongs to: say it when a service refuses the token.
    pub version: i64,
}

/// Tokens of all grants in use. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tokens {
    store: Store,
    /// Without their refresh tokens, which no login needs.
    known: Arc<Fresh<GrantKey, Arc<Grant>>>,
    clock: Clock,
    refreshes: Arc<Refreshes>,
    /// When a service's refusal last forced a refresh; at most one entry per grant and service.
    forced: Arc<Mutex<HashMap<(GrantKey, Protocol), Instant>>>,
}

/// Where the account's grant is stored: the one that it uses, which may be that of another account.
pub fn grant_key(client: &OAuthClient, account: &Account) -> GrantKey {
    match client.grant {
        GrantType::AuthorizationCode | GrantType::Password => {
            GrantKey::Account(account.token_account.unwrap_or(account.id))
        }
        GrantType::ServiceAccount => GrantKey::Mailbox(account.id, account.address.to_ascii_lowercase()),
        GrantType::ClientCredentials => GrantKey::Provider(client.provider.clone()),
    }
}

impl Tokens {
    /// Over the given store. A provider's own [`crate::tls::Trust`] verifies its token endpoint.
    pub fn new(store: Store) -> Self {
        Self::by(Clock::system(), store)
    }

    /// As [`Tokens::new`]; whoever has this tracker can wait for the refreshes that have begun.
    pub fn tracked_by(running: TaskTracker, store: Store) -> Self {
        Self::new_by(Clock::system(), running, store)
    }

    /// As [`Tokens::new`], by another clock.
    pub fn by(clock: Clock, store: Store) -> Self {
        Self::new_by(clock, TaskTracker::new(), store)
    }

    /// The token of a login whose password was verified within the time that a login has: the store was asked then whether anybody has
    /// committed, and is not asked again for a token that is live. Else as [`Tokens::access_token`].
    pub async fn token_at_hand(
        &self,
        client: &Arc<OAuthClient>,
        account: &Account,
    ) -> Result<AccessToken, TokenError> {
        let key = wanted(client, account).key;
        if let Some(grant) = self.known.last_known(&self.store, &key)
            && let TokenState::Live(token) = TokenState::of(&grant, self.clock.now())
        {
            self.note_use(&key, &grant);
            return Ok(token);
        }
        self.access_token(client, account).await
    }

    /// A live token for the account, refreshed first if it has less than five minutes left (a tenth of its life, where that is
    /// less). A token that has not ended is used when its refresh fails or is slow.
    pub async fn access_token(
        &self,
        client: &Arc<OAuthClient>,
        account: &Account,
    ) -> Result<AccessToken, TokenError> {
        let wanted = wanted(client, account);
        let Some(grant) = self.grant(&wanted).await? else {
            return self.refreshes.refresh(&wanted, None).await;
        };
        self.note_use(&wanted.key, &grant);
        match TokenState::of(&grant, self.clock.now()) {
            TokenState::Refused(reason) => Err(wanted.whose.refused(reason)),
            TokenState::Live(token) => Ok(token),
            TokenState::Due { usable: None } => self.refreshes.refresh(&wanted, Some(grant.version)).await,
            TokenState::Due { usable: Some(token) } => {
                let refreshed = self.refreshes.refresh(&wanted, Some(grant.version));
                match tokio::time::timeout(PATIENCE_WITH_USABLE_TOKEN, refreshed).await {
                    Ok(Err(error)) if !error.leaves_token_usable() => Err(error),
                    Ok(Ok(new)) => Ok(new),
                    Ok(Err(_)) | Err(_) => Ok(token),
                }
            }
        }
    }

    /// A service refused `version` for a reason that a new token may mend: refreshes if that version is still the
    /// current one. `Ok(None)` when this service's refusal forced a refresh of the grant minutes ago, so that a device that
    /// retries does not hammer the token endpoint.
    pub async fn renewed(
        &self,
        client: &Arc<OAuthClient>,
        account: &Account,
        service: Protocol,
        version: i64,
    ) -> Result<Option<AccessToken>, TokenError> {
        let wanted = wanted(client, account);
        let current = self.grant(&wanted).await?.map(|grant| grant.version);
        if current != Some(version) {
            return self.access_token(client, account).await.map(Some);
        }
        if !self.may_force(&wanted.key, service) {
            return Ok(None);
        }
        let renewed = self.refreshes.refresh(&wanted, Some(version)).await;
        if renewed.is_err() {
            // It changed nothing, so it may be forced again; the endpoint is guarded by the failure's own pause.
            self.lock_forced().remove(&(wanted.key, service));
        }
        renewed.map(Some)
    }

    /// Refreshes version `read` of a grant before anybody has to wait for it; another version in the store is good enough.
    /// `address` is what the owner is called in messages, and the mailbox that a service account signs for.
    pub async fn renew(
        &self,
        client: &Arc<OAuthClient>,
        key: GrantKey,
        address: &str,
        read: i64,
    ) -> Result<(), NotRenewed> {
        self.refreshes.attempt(&wanted_of(client, key, address), Some(read)).await.map(|_| ())
    }

    /// What tells the time here.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Waits until every refresh that has begun is committed or failed. Whoever ends the process waits for this first: an
    /// answer on its way may hold the only refresh token that is still good.
    pub async fn settled(&self) {
        self.refreshes.settled().await;
    }

    /// A token that nobody has to consent to, in place of a stored one: what `gatepost connect` does at a provider with
    /// client credentials or a service account. Elsewhere somebody must consent, and it fails with [`TokenError::NotConnected`].
    pub async fn connect_application(
        &self,
        client: &Arc<OAuthClient>,
        account: &Account,
    ) -> Result<(), TokenError> {
        self.refreshes.begin(&wanted(client, account)).await.map(|_| ())
    }

    fn new_by(clock: Clock, running: TaskTracker, store: Store) -> Self {
        let refreshes = Arc::new(Refreshes::new(store.clone(), clock.clone(), running));
        Self { store, known: Arc::default(), clock, refreshes, forced: Arc::default() }
    }

    async fn grant(&self, wanted: &Wanted) -> Result<Option<Arc<Grant>>, TokenError> {
        let read = async || {
            let grant = self.store.grant(&wanted.key).await?;
            Ok(grant.map(|grant| Arc::new(Grant { refresh_token: None, ..grant })))
        };
        let found = self.known.or_read(&self.store, wanted.key.clone(), read).await;
        found.map_err(|error| wanted.whose.store(error))
    }

    /// Beside the login, which does not wait for a disk; at most once an hour for each grant. A grant in use is refreshed
    /// before its token ends.
    fn note_use(&self, key: &GrantKey, grant: &Grant) {
        let now = self.clock.now();
        let lately = |used| now.duration_since(used).is_ok_and(|ago| ago < USE_NOTED_EVERY);
        if grant.used_at.is_some_and(lately) {
            return;
        }
        let (store, key) = (self.store.clone(), key.clone());
        self.refreshes.running().spawn(async move {
            if let Err(error) = store.note_grant_used(&key, now).await {
                tracing::warn!(%error, grant = %key, "cannot note that a grant is in use");
            }
        });
    }

    /// Whether a refusal may force a refresh now; if so, that it did is remembered.
    fn may_force(&self, key: &GrantKey, service: Protocol) -> bool {
        let now = Instant::now();
        let mut forced = self.lock_forced();
        forced.retain(|_, at| now.duration_since(*at) < REFUSAL_REMEMBERED);
        match forced.entry((key.clone(), service)) {
            std::collections::hash_map::Entry::Occupied(_) => false,
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert(now);
                true
            }
        }
    }

    fn lock_forced(&self) -> std::sync::MutexGuard<'_, HashMap<(GrantKey, Protocol), Instant>> {
        // Nothing under this lock can leave the map half changed.
        self.forced.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wanted(client: &Arc<OAuthClient>, account: &Account) -> Wanted {
    wanted_of(client, grant_key(client, account), &account.address)
}

fn wanted_of(client: &Arc<OAuthClient>, key: GrantKey, address: &str) -> Wanted {
    let owner = match &key {
        GrantKey::Account(_) | GrantKey::Mailbox(..) => address.to_owned(),
        GrantKey::Provider(name) => format!("provider {name}"),
    };
    let whose = Whose {
        grant: client.grant,
        owner,
        address: address.to_owned(),
        provider: client.provider.clone(),
        host: client.token_endpoint.host_str().unwrap_or_default().to_owned(),
    };
    Wanted { client: Arc::clone(client), key, whose }
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::config::provider::ClientAuthentication;
    use crate::tls::Trust;

    /// A client of a provider whose hosts do not exist.
    pub(crate) fn client() -> OAuthClient {
        OAuthClient {
            provider: "example".to_owned(),
            issuer: None,
            trust: Trust::load(None).unwrap(),
            grant: GrantType::AuthorizationCode,
            authorization_endpoint: Some("https://login.invalid/authorize".parse().unwrap()),
            device_authorization_endpoint: Some("https://login.invalid/device".parse().unwrap()),
            token_endpoint: "https://login.invalid/token".parse().unwrap(),
            revocation_endpoint: None,
            client_id: "gatepost".to_owned(),
            authentication: ClientAuthentication::None,
            authentication_ends: None,
            consent_idle_limit: None,
            service_account: None,
            scopes: vec!["mail".to_owned(), "offline_access".to_owned()],
            authorization_parameters: vec![("prompt".to_owned(), "select_account".to_owned())],
            redirect_host: "localhost".to_owned(),
            redirect_uri: None,
        }
    }
}
