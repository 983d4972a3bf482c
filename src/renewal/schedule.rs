//! [`Schedule`]: which grants are to be refreshed now, and when to look again. Pure: it is told the time and how each refresh
//! ended. When a grant is due stands in [`super::due`].
//!
//! Rule: a provider that gives no tokens is asked by one request at a time, less and less often; what goes wrong with one grant
//! holds up no other for long, and nothing at one provider holds up another.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::due::{Subject, Urgency, due};
use crate::config::provider::OAuthClient;
use crate::pause::Pause;
use crate::store::grants::GrantKey;

/// How many refreshes run at once, at all providers together and at one of them.
const AT_ONCE: usize = 8;
const AT_ONE_PROVIDER: usize = 4;

/// How many idle grants are begun at one look: after a long sleep all of them are due, and none of them is waited for.
const IDLE_AT_ONE_LOOK: usize = 20;

/// How long a provider is left alone after failures in a row.
const PROVIDER_PAUSES: RangeInclusive<Duration> = Duration::from_secs(30)..=Duration::from_mins(15);

/// How long a grant is, where waiting may help and where somebody has to do something.
const PASSING_PAUSES: RangeInclusive<Duration> = Duration::from_secs(30)..=Duration::from_mins(15);
const LASTING_PAUSES: RangeInclusive<Duration> = Duration::from_mins(15)..=Duration::from_hours(1);

/// For how long a grant's failures are remembered after its pause.
const REMEMBERED: Duration = Duration::from_hours(24);

/// What is to be refreshed, and what went wrong lately.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    /// Makes the jitter of this process another one than that of the next.
    seed: u64,
    waiting: VecDeque<Due>,
    running: HashMap<GrantKey, String>,
    grants: HashMap<GrantKey, (i64, Pause)>,
    providers: HashMap<String, Pause>,
}

/// A grant to be refreshed now.
#[derive(Clone, Debug)]
pub(super) struct Due {
    /// Which.
    pub(super) key: GrantKey,
    /// The version that is to be replaced.
    pub(super) version: i64,
    /// Where it comes from.
    pub(super) client: Arc<OAuthClient>,
    /// As in [`Subject`].
    pub(super) address: String,
}

/// Why a grant was not refreshed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Trouble {
    /// Whether its provider may meet the others with the same.
    pub(super) at_provider: bool,
    /// Whether somebody has to do something about it.
    pub(super) lasts: bool,
    /// What the provider asked for.
    pub(super) retry_after: Option<Duration>,
}

impl Schedule {
    /// With jitter of its own.
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    /// Looks at all grants anew. Gives the time of the next look, where nothing else calls for one before.
    pub(super) fn plan<'a>(
        &mut self,
        now: SystemTime,
        subjects: impl IntoIterator<Item = Subject<'a>>,
    ) -> Option<SystemTime> {
        self.grants.retain(|_, (_, pause)| now < pause.until() + REMEMBERED);
        let mut due_now = Vec::new();
        let mut again: Option<SystemTime> = None;
        for subject in subjects {
            if self.running.contains_key(subject.key) {
                continue;
            }
            let Some((urgency, at)) = due(&subject, now, self.jitter((subject.key, subject.standing.version)))
            else {
                continue;
            };
            let pauses = [self.pause_of(&subject), self.providers.get(&subject.client.provider)];
            let paused = pauses.into_iter().flatten().filter(|pause| !pause.is_over(now)).map(Pause::until).max();
            let at = paused.map_or(at, |until| at.max(until));
            if at > now {
                again = Some(again.map_or(at, |again| again.min(at)));
                continue;
            }
            let failures = self.pause_of(&subject).map_or(0, Pause::failures);
            due_now.push(((failures > 0, urgency, failures, subject.standing.expires_at), subject));
        }
        due_now.sort_by(|(one, _), (other, _)| one.cmp(other));
        let mut idle = 0;
        due_now.retain(|((_, urgency, ..), _)| {
            idle += usize::from(*urgency == Urgency::Idle);
            *urgency == Urgency::InUse || idle <= IDLE_AT_ONE_LOOK
        });
        self.waiting = due_now.into_iter().map(|(_, subject)| Due::from(&subject)).collect();
        if idle > IDLE_AT_ONE_LOOK { Some(now) } else { again }
    }

    /// The next refresh that may begin now. Whoever takes it tells how it [`ended`](Self::ended).
    pub(super) fn begin(&mut self, now: SystemTime) -> Option<Due> {
        if self.running.len() >= AT_ONCE {
            return None;
        }
        let position = self.waiting.iter().position(|due| self.may_begin(&due.client.provider, now))?;
        let due = self.waiting.remove(position)?;
        self.running.insert(due.key.clone(), due.client.provider.clone());
        Some(due)
    }

    /// How a refresh ended.
    pub(super) fn ended(&mut self, due: &Due, now: SystemTime, result: Result<(), Trouble>) {
        self.running.remove(&due.key);
        let provider = &due.client.provider;
        let of_provider = self.providers.get(provider);
        let paused = of_provider.is_some_and(|pause| !pause.is_over(now));
        let trouble = match result {
            Ok(()) => {
                self.grants.remove(&due.key);
                // One that began before the provider's pause did says nothing about it.
                if !paused {
                    self.providers.remove(provider);
                }
                return;
            }
            Err(trouble) => trouble,
        };
        let jitter = self.jitter((&due.key, now));
        if trouble.at_provider {
            // Several that were on their way at once are one failure.
            let before = of_provider.filter(|_| !paused);
            let pause = Pause::after(before, now, &PROVIDER_PAUSES, trouble.retry_after, jitter);
            if !paused || of_provider.is_some_and(|of_provider| of_provider.until() < pause.until()) {
                self.providers.insert(provider.clone(), pause);
            }
        }
        let lengths = if trouble.lasts { LASTING_PAUSES } else { PASSING_PAUSES };
        let before = self.grants.get(&due.key).filter(|(version, _)| *version == due.version);
        let pause = Pause::after(before.map(|(_, pause)| pause), now, &lengths, trouble.retry_after, jitter);
        self.grants.insert(due.key.clone(), (due.version, pause));
    }

    /// A provider that failed last is tried by one request.
    fn may_begin(&self, provider: &str, now: SystemTime) -> bool {
        let most = match self.providers.get(provider) {
            None => AT_ONE_PROVIDER,
            Some(pause) if pause.is_over(now) => 1,
            Some(_) => 0,
        };
        self.running.values().filter(|running| *running == provider).count() < most
    }

    /// That of the version that is there now: another one has not failed yet.
    fn pause_of(&self, subject: &Subject<'_>) -> Option<&Pause> {
        let (version, pause) = self.grants.get(subject.key)?;
        (*version == subject.standing.version).then_some(pause)
    }

    /// From 0 to 1; the same for the same thing, so that looking twice changes nothing.
    #[allow(clippy::cast_precision_loss, reason = "32 bits fit")]
    fn jitter(&self, of: impl Hash) -> f64 {
        let mut hasher = DefaultHasher::new();
        (self.seed, of).hash(&mut hasher);
        (hasher.finish() >> 32) as f64 / 4_294_967_296.0
    }
}

impl From<&Subject<'_>> for Due {
    fn from(subject: &Subject<'_>) -> Self {
        Self {
            key: subject.key.clone(),
            version: subject.standing.version,
            client: Arc::clone(subject.client),
            address: subject.address.to_owned(),
        }
    }
}
