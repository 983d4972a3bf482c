//! Refreshing: one refresh per grant at a time, across logins and across processes (invariant 8).
//!
//! Rule 1: logins only wait. Request and commit run in a task of their own, so a client that hangs up cancels nothing.
//! Rule 2: whoever waits shares the outcome, the failure too.
//! Rule 3: a token is handed out after the answer it came with is committed (invariant 7).
//! Rule 4: between processes a lease row decides; no transaction is held over HTTP.

use std::sync::Arc;
use std::time::Duration;

use dashmap::{DashMap, Entry};
use gatepost_protocol::secret::Secret;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::diagnosis::{EndpointError, Remedy};
use super::error::{TokenError, Whose};
use super::http::Endpoints;
use super::issuer::Issuers;
use super::token::TokenState;
use super::troubled::Troubled;
use super::{AccessToken, client_credentials, refresh_token, service_account};
use crate::clock::Clock;
use crate::config::provider::GrantType;
use crate::config::provider::OAuthClient;
use crate::crash_point::crash_point;
use crate::pause::Pause;
use crate::store::grants::{Grant, GrantKey, NewTokens};
use crate::store::{Store, StoreError};

/// How long one process may hold a refresh: the request's 10 s, and time for a store that is slow to commit.
pub(super) const LEASE: Duration = Duration::from_secs(30);

/// How often a row is read that another process is refreshing.
pub(super) const POLL: Duration = Duration::from_millis(150);

/// More grants than these are not remembered without need: whoever may open every mailbox of a domain can name any number.
const MOST_REMEMBERED: usize = 1024;

/// How often a store that does not take an answer is asked again, once a second.
const COMMIT_ATTEMPTS: u32 = 15;

/// The refreshes of this process.
#[derive(Debug)]
pub(super) struct Refreshes {
    store: Store,
    clock: Clock,
    endpoints: Endpoints,
    issuers: Issuers,
    /// This process, toward the others.
    holder: String,
    /// The refreshes that are on their way, and those that failed.
    last: DashMap<GrantKey, Refresh>,
    /// The providers that give no tokens now.
    troubled: Troubled,
    /// By provider, the failure that the log was told last: a thousand grants may meet the same one.
    told: DashMap<String, String>,
    /// The requests on their way: a stop waits for them, since an answer may hold a rotated refresh token.
    running: TaskTracker,
}

/// A grant to be refreshed.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// Where it comes from.
    pub(super) client: Arc<OAuthClient>,
    /// Where it is stored.
    pub(super) key: GrantKey,
    /// For messages.
    pub(super) whose: Whose,
}

/// The last refresh of a grant.
#[derive(Debug)]
enum Refresh {
    Failed(Failed),
    /// It is on its way.
    Running(watch::Receiver<Option<Outcome>>),
}

/// The version could not be refreshed, and is not tried again until the pause is over.
#[derive(Debug)]
struct Failed {
    version: Option<i64>,
    error: TokenError,
    pause: Pause,
}

impl Failed {
    /// Whether it is about the version that is stale now. Where there was no grant, the failure itself gave it a version.
    fn is_of(&self, stale: Option<i64>) -> bool {
        self.version.is_none() || self.version == stale
    }
}

/// Why there is no token.
#[derive(Debug)]
pub struct NotRenewed {
    /// As a login hears it.
    pub error: TokenError,
    /// False where it is what somebody else heard before, who was told to wait.
    pub asked: bool,
}

/// What every waiting login hears.
pub(super) type Outcome = Result<AccessToken, TokenError>;

impl Refreshes {
    /// Over the given store, with its requests in this tracker.
    pub(super) fn new(store: Store, clock: Clock, running: TaskTracker) -> Self {
        let holder = oauth2::CsrfToken::new_random().into_secret();
        Self {
            store,
            clock,
            endpoints: Endpoints::default(),
            issuers: Issuers::default(),
            holder,
            last: DashMap::new(),
            troubled: Troubled::default(),
            told: DashMap::new(),
            running,
        }
    }

    /// A token of another version than `stale`, which the caller found missing, ending or refused.
    pub(super) async fn refresh(self: &Arc<Self>, wanted: &Wanted, stale: Option<i64>) -> Outcome {
        self.attempt(wanted, stale).await.map_err(|not_renewed| not_renewed.error)
    }

    /// The same, for who counts the failures of a provider.
    pub(super) async fn attempt(
        self: &Arc<Self>,
        wanted: &Wanted,
        stale: Option<i64>,
    ) -> Result<AccessToken, NotRenewed> {
        let token = self.outcome(wanted, stale).await?;
        if Some(token.version) != stale {
            return Ok(token);
        }
        // We joined a refresh that began for an older version and only found ours. It is over now.
        self.outcome(wanted, stale).await
    }

    async fn outcome(
        self: &Arc<Self>,
        wanted: &Wanted,
        stale: Option<i64>,
    ) -> Result<AccessToken, NotRenewed> {
        let remembered = |error| NotRenewed { error, asked: false };
        let mut outcome = self.join_or_start(wanted, stale).map_err(remembered)?;
        let outcome = outcome.wait_for(Option::is_some).await.ok().and_then(|outcome| outcome.clone());
        let interrupted = || Err(TokenError::Interrupted { whose: wanted.whose.owner.clone() });
        outcome.unwrap_or_else(interrupted).map_err(|error| NotRenewed { error, asked: true })
    }

    /// What a stop waits for.
    pub(super) fn running(&self) -> &TaskTracker {
        &self.running
    }

    /// Waits until every refresh that has begun is over.
    pub(super) async fn settled(&self) {
        self.running.close();
        self.running.wait().await;
        self.running.reopen();
    }

    fn join_or_start(
        self: &Arc<Self>,
        wanted: &Wanted,
        stale: Option<i64>,
    ) -> Result<watch::Receiver<Option<Outcome>>, TokenError> {
        let (sender, receiver) = watch::channel(None);
        let now = self.clock.now();
        let provider = &wanted.whose.provider;
        let admit =
            || self.troubled.admit(provider, &receiver, now).map_err(|error| wanted.whose.endpoint(error));
        if self.last.len() > MOST_REMEMBERED {
            self.last.retain(
                |_, refresh| !matches!(refresh, Refresh::Failed(failed) if failed.pause.is_over(now)),
            );
        }
        let last = match self.last.entry(wanted.key.clone()) {
            Entry::Occupied(mut place) => match place.get() {
                // A sender that is gone means a task that was killed: then there is nothing to wait for.
                Refresh::Running(outcome) if outcome.has_changed().is_ok() => return Ok(outcome.clone()),
                Refresh::Failed(failed) if failed.is_of(stale) && !failed.pause.is_over(now) => {
                    return Err(failed.error.clone());
                }
                _ => {
                    admit()?;
                    Some(place.insert(Refresh::Running(receiver.clone())))
                }
            },
            Entry::Vacant(place) => {
                admit()?;
                place.insert(Refresh::Running(receiver.clone()));
                None
            }
        };
        let last = last.and_then(|refresh| match refresh {
            Refresh::Failed(failed) => Some(failed).filter(|failed| failed.is_of(stale)),
            Refresh::Running(_) => None,
        });
        let (refreshes, wanted) = (Arc::clone(self), wanted.clone());
        self.running.spawn(async move {
            let result = refreshes.obtain(&wanted, stale).await;
            // Settled first: a login that comes now must not join a refresh that is over.
            refreshes.settle(wanted, stale, &result, last.as_ref());
            sender.send_replace(Some(result));
        });
        Ok(receiver)
    }

    /// Remembers a failure for as long as it is not to be repeated, and a success not at all: the store has it.
    fn settle(&self, wanted: Wanted, stale: Option<i64>, result: &Outcome, last: Option<&Failed>) {
        let provider = &wanted.whose.provider;
        self.troubled.note(provider, result, self.clock.now());
        let Err(error) = result else {
            if self.told.remove(provider).is_some() {
                tracing::info!(provider, "the provider gives tokens again");
            }
            self.last.remove(&wanted.key);
            return;
        };
        self.tell(provider, error, last);
        if let Some(pause) = error.pause(last.map(|last| &last.pause), self.clock.now()) {
            let failed = Failed { version: stale, error: error.clone(), pause };
            self.last.insert(wanted.key, Refresh::Failed(failed));
        } else {
            self.last.remove(&wanted.key);
        }
    }

    /// A login that fails is told in the log whenever it does. Here a failure is told when it is another one than before, of
    /// this grant and at this provider.
    fn tell(&self, provider: &str, error: &TokenError, last: Option<&Failed>) {
        let Some(endpoint) = error.endpoint().map(ToString::to_string) else {
            // That nobody has consented yet is no fault of a refresh, and the login tells it.
            if !matches!(error, TokenError::NotConnected { .. }) {
                tracing::warn!(provider, "no token: {}", error.for_log());
            }
            return;
        };
        let before = last.and_then(|last| last.error.endpoint()).map(ToString::to_string);
        let is_told = self.told.get(provider).is_some_and(|told| *told == endpoint);
        if is_told || before.as_ref() == Some(&endpoint) {
            tracing::debug!(provider, "no token: {error}");
        } else {
            tracing::warn!(provider, "no token: {}", error.for_log());
            self.told.insert(provider.to_owned(), endpoint);
        }
    }

    /// Reads the row until it holds another version than `stale`, refreshing it as soon as the lease is ours.
    async fn obtain(&self, wanted: &Wanted, stale: Option<i64>) -> Outcome {
        let stored = |error: StoreError| wanted.whose.store(error);
        let give_up = Instant::now() + LEASE + Duration::from_secs(5);
        loop {
            let Some(grant) = self.store.grant(&wanted.key).await.map_err(stored)? else {
                return self.begin(wanted).await;
            };
            match TokenState::of(&grant, self.clock.now()) {
                TokenState::Refused(reason) => return Err(wanted.whose.refused(reason)),
                TokenState::Live(token) | TokenState::Due { usable: Some(token) }
                    if Some(token.version) != stale =>
                {
                    return Ok(token);
                }
                _ => {}
            }
            // Before the lease, whose time is for the refresh alone.
            if let Err(error) = self.issuers.completed(&wanted.client).await {
                self.note_failure(wanted, Some(grant.version), &error).await;
                return Err(wanted.whose.endpoint(error));
            }
            let leased =
                self.store.lease_grant(self.clock.now(), &wanted.key, grant.version, &self.holder, LEASE);
            if leased.await.map_err(stored)? {
                if let Some(token) = self.redeem(wanted, &grant).await? {
                    return Ok(token);
                }
                // The grant was replaced while we asked, by `gatepost connect`: the row knows better than our answer.
            } else if Instant::now() < give_up {
                tokio::time::sleep(POLL).await;
            } else {
                return Err(TokenError::HeldElsewhere { whose: wanted.whose.owner.clone() });
            }
        }
    }

    /// A token without an older one to begin with. Two processes that both begin cost one request too many, and nothing
    /// else: there is no refresh token that could be lost.
    pub(super) async fn begin(&self, wanted: &Wanted) -> Outcome {
        match wanted.client.grant {
            GrantType::AuthorizationCode | GrantType::Password => {
                Err(TokenError::NotConnected { address: wanted.whose.address.clone() })
            }
            GrantType::ClientCredentials | GrantType::ServiceAccount => {
                let tokens = match self.request(wanted, None).await {
                    Ok(tokens) => tokens,
                    Err(error) => {
                        self.note_failure(wanted, None, &error).await;
                        return Err(wanted.whose.endpoint(error));
                    }
                };
                let version = self.store.replace_grant(&wanted.key, &tokens).await;
                let version = version.map_err(|error| wanted.whose.store(error))?;
                Ok(AccessToken { secret: tokens.access_token, version })
            }
        }
    }

    /// One request under the lease, committed. `None` when the grant changed meanwhile.
    async fn redeem(&self, wanted: &Wanted, grant: &Grant) -> Result<Option<AccessToken>, TokenError> {
        crash_point("before-token-request");
        let answer = self.request(wanted, grant.refresh_token.as_ref()).await;
        crash_point("after-token-answer");
        match answer {
            Ok(tokens) => {
                let version = self.commit(wanted, grant.version, &tokens).await?;
                tracing::debug!(whose = wanted.whose.owner, "token refreshed");
                Ok(version.map(|version| AccessToken { secret: tokens.access_token, version }))
            }
            Err(error) => {
                self.note_failure(wanted, Some(grant.version), &error).await;
                Err(wanted.whose.endpoint(error))
            }
        }
    }

    async fn request(
        &self,
        wanted: &Wanted,
        refresh_token: Option<&Secret<String>>,
    ) -> Result<NewTokens, EndpointError> {
        let client = &self.issuers.completed(&wanted.client).await?;
        let endpoint = self.endpoints.of(client)?;
        let now = self.clock.now();
        match (client.grant, refresh_token) {
            (GrantType::AuthorizationCode | GrantType::Password, Some(refresh_token)) => {
                refresh_token::request(&endpoint, client, refresh_token, now).await
            }
            (GrantType::AuthorizationCode | GrantType::Password, None) => Err(EndpointError::NothingToRedeem),
            (GrantType::ClientCredentials, _) => client_credentials::request(&endpoint, client, now).await,
            (GrantType::ServiceAccount, _) => {
                service_account::request(&endpoint, client, &wanted.whose.address, now).await
            }
        }
    }

    /// The answer may hold a rotated refresh token that exists nowhere else, so a store that fails is asked again for
    /// as long as the lease lasts.
    async fn commit(
        &self,
        wanted: &Wanted,
        read: i64,
        tokens: &NewTokens,
    ) -> Result<Option<i64>, TokenError> {
        for _ in 1..COMMIT_ATTEMPTS {
            match self.store.commit_refresh(&wanted.key, read, tokens).await {
                Ok(version) => return Ok(version),
                Err(error) => {
                    tracing::error!("{}: new tokens not committed yet: {error}", wanted.whose.owner);
                }
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let committed = self.store.commit_refresh(&wanted.key, read, tokens).await;
        committed.map_err(|error| wanted.whose.store(error))
    }

    /// The tokens stay whatever happened; only the provider's word about the grant is noted in its row.
    async fn note_failure(&self, wanted: &Wanted, read: Option<i64>, error: &EndpointError) {
        let (key, text) = (&wanted.key, error.to_string());
        let noted = match (error.remedy(), read) {
            // Where nobody consented, the refusal is about the request and not about what is stored.
            (Remedy::Reconnect, Some(read)) if wanted.whose.grant.needs_person() => {
                self.store.mark_refused(key, read, &text).await
            }
            _ => self.store.note_failure(key, read, self.clock.now(), &text, error.lasts()).await,
        };
        let released = self.store.release_grant(&wanted.key, &self.holder).await;
        if let Err(error) = noted.and(released) {
            // The lease runs out by itself, and the next refusal is noted then.
            tracing::warn!("{}: a failed refresh is not noted in the store: {error}", wanted.whose.owner);
        }
    }
}
