//! [`Renewal`]: refreshes grants before anybody has to wait for it, or before they lapse. What is due when stands in `due.rs`;
//! what is begun when, in `schedule.rs`. A refresh itself is that of [`Tokens`], which a login may join.
//!
//! Rule: no moment is slept for. A machine may sleep too, and its clock may be set, so the wall clock is looked at at least every
//! 37 seconds.

mod due;
mod schedule;
#[cfg(test)]
mod year;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::task::{Id, JoinSet};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use self::due::Subject;
use self::schedule::{Due, Schedule, Trouble};
use crate::account::{Account, AccountId};
use crate::config::Provider;
use crate::config::provider::{GrantType, OAuthClient};
use crate::oauth::{NotRenewed, TokenError, Tokens};
use crate::random;
use crate::store::grants::GrantKey;
use crate::store::standings::Standing;
use crate::store::{Store, StoreError};

/// The longest time between two looks at the clock and the store.
const LONGEST_SLEEP: Duration = Duration::from_secs(37);

/// The shortest: a look reads a row of every grant.
const SHORTEST_SLEEP: Duration = Duration::from_secs(5);

/// The background refresh of one process.
#[derive(Debug)]
pub struct Renewal {
    tokens: Tokens,
    store: Store,
    providers: BTreeMap<String, Arc<Provider>>,
    schedule: Schedule,
    running: JoinSet<Result<(), NotRenewed>>,
    /// What each task refreshes.
    begun: HashMap<Id, Due>,
}

impl Renewal {
    /// Over the grants of these providers.
    pub fn new(tokens: Tokens, store: Store, providers: BTreeMap<String, Arc<Provider>>) -> Self {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "any number will do")]
        let seed = (random::fraction() * 4_294_967_296.0) as u64;
        Self {
            tokens,
            store,
            providers,
            schedule: Schedule::new(seed),
            running: JoinSet::new(),
            begun: HashMap::new(),
        }
    }

    /// Goes on until Gatepost stops. What has begun goes on for itself: [`Tokens::settled`] waits for it.
    pub async fn run(mut self, stopping: CancellationToken) {
        let looking = async {
            loop {
                let wake = Instant::now() + self.look().await;
                while tokio::time::timeout_at(wake, self.one_ended()).await.is_ok_and(|ended| ended) {}
                sleep_until(wake).await;
            }
        };
        stopping.run_until_cancelled(looking).await;
    }

    /// Looks once at the clock and the store, and begins what is due. Gives the time until the next look.
    pub async fn look(&mut self) -> Duration {
        let now = self.tokens.clock().now();
        let again = match self.plan().await {
            Ok(again) => again,
            Err(error) => {
                tracing::warn!("cannot look for tokens that end: {error}");
                None
            }
        };
        self.begin();
        let until = again.map(|again| again.duration_since(now).unwrap_or_default());
        until.unwrap_or(LONGEST_SLEEP).clamp(SHORTEST_SLEEP, LONGEST_SLEEP)
    }

    /// Waits until everything that is due is over.
    pub async fn settled(&mut self) {
        while self.one_ended().await {}
    }

    async fn plan(&mut self) -> Result<Option<SystemTime>, StoreError> {
        let standings = self.store.standings().await?;
        let accounts = Accounts::of(&self.store).await?;
        let subjects =
            standings.iter().filter_map(|(key, standing)| accounts.subject(&self.providers, key, standing));
        Ok(self.schedule.plan(self.tokens.clock().now(), subjects))
    }

    fn begin(&mut self) {
        while let Some(due) = self.schedule.begin(self.tokens.clock().now()) {
            let (tokens, wanted) = (self.tokens.clone(), due.clone());
            self.track(due, async move {
                tokens.renew(&wanted.client, wanted.key, &wanted.address, wanted.version).await
            });
        }
    }

    fn track(&mut self, due: Due, task: impl Future<Output = Result<(), NotRenewed>> + Send + 'static) {
        let id = self.running.spawn(task).id();
        self.begun.insert(id, due);
    }

    /// Waits for one refresh, and begins what may follow it. False when none is on its way.
    async fn one_ended(&mut self) -> bool {
        let Some(ended) = self.running.join_next_with_id().await else { return false };
        let (id, result) = match ended {
            Ok((id, result)) => (id, Some(result)),
            Err(error) => (error.id(), None),
        };
        let Some(due) = self.begun.remove(&id) else { return true };
        let now = self.tokens.clock().now();
        match result {
            Some(Ok(())) => self.schedule.ended(&due, now, Ok(())),
            Some(Err(NotRenewed { asked: false, .. })) => self.schedule.not_asked(&due),
            Some(Err(NotRenewed { error, .. })) => {
                self.schedule.ended(&due, now, Err(Trouble::from(&error)));
            }
            None => {
                tracing::error!(
                    whose = due.address,
                    "a fault in Gatepost has ended a refresh; please report this"
                );
                self.schedule.ended(&due, now, Err(Trouble::default()));
            }
        }
        self.begin();
        true
    }
}

/// The accounts, by what decides about their grants.
struct Accounts {
    by_id: HashMap<AccountId, Account>,
    /// Those that may log in, and those whose grant one of them uses.
    enabled: HashSet<AccountId>,
}

impl Accounts {
    async fn of(store: &Store) -> Result<Self, StoreError> {
        let accounts = store.accounts().await?;
        let enabled = accounts
            .iter()
            .filter(|account| !account.disabled)
            .flat_map(|account| [Some(account.id), account.token_account])
            .flatten()
            .collect();
        Ok(Self { by_id: accounts.into_iter().map(|account| (account.id, account)).collect(), enabled })
    }

    /// A grant that can be refreshed by what the configuration says of its provider.
    fn subject<'a>(
        &'a self,
        providers: &'a BTreeMap<String, Arc<Provider>>,
        key: &'a GrantKey,
        standing: &'a Standing,
    ) -> Option<Subject<'a>> {
        let (provider, address, enabled) = match key {
            GrantKey::Account(id) => {
                let account = self.by_id.get(id)?;
                (&account.provider, &account.address, self.enabled.contains(id))
            }
            GrantKey::Mailbox(id, mailbox) => {
                (&self.by_id.get(id)?.provider, mailbox, self.enabled.contains(id))
            }
            GrantKey::Provider(name) => {
                let uses_it = |account: &Account| account.provider == *name && !account.disabled;
                (name, name, self.by_id.values().any(uses_it))
            }
        };
        let client = providers.get(provider)?.oauth()?;
        is_of(client, key).then_some(Subject { key, standing, client, address, enabled })
    }
}

/// Whether the client's way to tokens is the one that this grant came by.
fn is_of(client: &OAuthClient, key: &GrantKey) -> bool {
    match key {
        GrantKey::Account(_) => client.grant.needs_person(),
        GrantKey::Mailbox(..) => client.grant == GrantType::ServiceAccount,
        GrantKey::Provider(_) => client.grant == GrantType::ClientCredentials,
    }
}

impl From<&TokenError> for Trouble {
    fn from(error: &TokenError) -> Self {
        let Some(endpoint) = error.endpoint() else { return Self::default() };
        let of_one_mailbox =
            matches!(error, TokenError::ClientRefused { grant: GrantType::ServiceAccount, .. });
        Self { at_provider: !of_one_mailbox, lasts: endpoint.lasts(), retry_after: endpoint.retry_after() }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::store::tests::open;

    #[tokio::test]
    async fn a_refresh_that_panics_is_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await.unwrap();
        let mut renewal = Renewal::new(Tokens::new(store.clone()), store, BTreeMap::new());
        let now = SystemTime::now();
        let (key, client) = (GrantKey::Account(AccountId(1)), Arc::new(crate::oauth::tests::client()));
        let standing = Standing {
            version: 1,
            renewable: true,
            issued_at: Some(now - Duration::from_hours(2)),
            expires_at: Some(now - Duration::from_hours(1)),
            used_at: Some(now),
            ..Standing::default()
        };
        let subject =
            Subject { key: &key, standing: &standing, client: &client, address: "ann", enabled: true };
        renewal.schedule.plan(now, [subject]);
        let due = renewal.schedule.begin(now).unwrap();
        renewal.track(due, async { panic!("on purpose") });
        renewal.settled().await;
        let later = now + Duration::from_hours(2);
        renewal.schedule.plan(later, [subject]);
        assert!(renewal.schedule.begin(later).is_some(), "it is not taken for one that runs for ever");
    }
}
