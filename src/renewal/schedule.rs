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
            let Some((urgency, at)) =
                due(&subject, now, self.jitter((subject.key, subject.standing.version)))
            else {
                continue;
            };
            let until = if at > now { Some(at) } else { self.paused_until(&subject, now) };
            if let Some(until) = until {
                again = Some(again.map_or(until, |again| again.min(until)));
                continue;
            }
            let failures = self.pause_of(&subject).map_or(0, Pause::failures);
            due_now.push(((failures > 0, urgency, failures, subject.standing.expires_at), subject));
        }
        due_now.sort_by_key(|(order, _)| *order);
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

    /// Nobody was asked for it: the refresh met what somebody else heard before. It is no other failure, and takes no longer
    /// pause.
    pub(super) fn not_asked(&mut self, due: &Due) {
        self.running.remove(&due.key);
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

    fn paused_until(&self, subject: &Subject<'_>, now: SystemTime) -> Option<SystemTime> {
        let pauses = [self.pause_of(subject), self.providers.get(&subject.client.provider)];
        pauses.into_iter().flatten().filter(|pause| !pause.is_over(now)).map(Pause::until).max()
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::account::AccountId;
    use crate::store::standings::Standing;

    const MINUTE: Duration = Duration::from_mins(1);
    const HOUR: Duration = Duration::from_hours(1);

    const DOWN: Result<(), Trouble> = Err(Trouble { at_provider: true, lasts: false, retry_after: None });

    fn noon() -> SystemTime {
        UNIX_EPOCH + Duration::from_hours(500_000)
    }

    /// Grants at providers, each due since its token ended at noon.
    struct Grants(Vec<(GrantKey, Standing, Arc<OAuthClient>)>);

    impl Grants {
        /// So many at each provider, by name; in use or idle.
        fn of(providers: &[(&str, i64, Urgency)]) -> Self {
            let mut grants = Vec::new();
            for (name, count, urgency) in providers {
                let client =
                    Arc::new(OAuthClient { provider: (*name).to_owned(), ..crate::oauth::tests::client() });
                for _ in 0..*count {
                    let standing = Standing {
                        version: 1,
                        renewable: true,
                        issued_at: (*urgency == Urgency::InUse).then(|| noon() - HOUR),
                        expires_at: Some(noon()),
                        used_at: (*urgency == Urgency::InUse).then(noon),
                        ..Standing::default()
                    };
                    let id = i64::try_from(grants.len()).unwrap() + 1;
                    grants.push((GrantKey::Account(AccountId(id)), standing, Arc::clone(&client)));
                }
            }
            Self(grants)
        }

        fn subjects(&self) -> impl Iterator<Item = Subject<'_>> {
            self.0.iter().map(|(key, standing, client)| Subject {
                key,
                standing,
                client,
                address: "ann@example.com",
                enabled: true,
            })
        }

        /// What begins at a look, by provider.
        fn begun(&self, schedule: &mut Schedule, now: SystemTime) -> Vec<Due> {
            schedule.plan(now, self.subjects());
            std::iter::from_fn(|| schedule.begin(now)).collect()
        }
    }

    fn names(begun: &[Due]) -> Vec<&str> {
        begun.iter().map(|due| due.client.provider.as_str()).collect()
    }

    #[test]
    fn a_few_run_at_once_at_all_providers_and_fewer_at_one() {
        use Urgency::InUse;
        for (providers, expected) in [
            (&[("a", 100, InUse)][..], 4),
            (&[("a", 100, InUse), ("b", 3, InUse)], 7),
            (&[("a", 100, InUse), ("b", 100, InUse), ("c", 100, InUse)], 8),
        ] {
            let (grants, mut schedule) = (Grants::of(providers), Schedule::new(1));
            let begun = grants.begun(&mut schedule, noon());
            assert_eq!(begun.len(), expected, "{providers:?}");
            assert!(grants.begun(&mut schedule, noon()).is_empty(), "another look begins nothing twice");
            let first = begun.first().unwrap();
            schedule.ended(first, noon(), Ok(()));
            assert!(schedule.begin(noon()).is_some(), "what ended makes room");
        }
    }

    #[test]
    fn what_is_waited_for_comes_first_and_idle_grants_come_a_few_at_a_time() {
        let grants = Grants::of(&[("idle", 50, Urgency::Idle), ("used", 30, Urgency::InUse)]);
        let mut schedule = Schedule::new(1);
        let again = schedule.plan(noon(), grants.subjects());
        assert_eq!(again, Some(noon()), "there are more");
        let mut begun = Vec::new();
        while let Some(due) = schedule.begin(noon()) {
            schedule.ended(&due, noon(), Ok(()));
            begun.push(due);
        }
        let names = names(&begun);
        assert_eq!(names.len(), 30 + IDLE_AT_ONE_LOOK);
        assert!(names.iter().take(30).all(|name| *name == "used"));
    }

    #[test]
    fn a_provider_that_fails_is_tried_by_one_at_a_time_and_holds_up_no_other() {
        let grants = Grants::of(&[("down", 1000, Urgency::InUse), ("up", 2, Urgency::InUse)]);
        let mut schedule = Schedule::new(1);
        let mut now = noon();
        let begun = grants.begun(&mut schedule, now);
        assert_eq!(names(&begun).iter().filter(|name| **name == "up").count(), 2);
        for due in &begun {
            schedule.ended(due, now, if due.client.provider == "up" { Ok(()) } else { DOWN });
        }
        let mut tried = Vec::new();
        for minutes in 1..=120 {
            now = noon() + minutes * MINUTE;
            let begun: Vec<_> = grants
                .begun(&mut schedule, now)
                .into_iter()
                .filter(|due| due.client.provider == "down")
                .collect();
            assert!(begun.len() <= 1, "{} at once", begun.len());
            for due in begun {
                schedule.ended(&due, now, DOWN);
                tried.push((minutes, due.key));
            }
        }
        let minutes: Vec<_> = tried.iter().map(|(minutes, _)| *minutes).collect();
        let gaps: Vec<_> = minutes.iter().zip(minutes.iter().skip(1)).map(|(one, next)| next - one).collect();
        assert!(gaps.iter().all(|gap| *gap <= 18) && gaps.last() >= Some(&15), "{minutes:?}");
        assert!(tried.len() <= 14, "{minutes:?}");
        let keys: std::collections::HashSet<_> = tried.iter().map(|(_, key)| key).collect();
        assert_eq!(keys.len(), tried.len(), "each time by another grant, in case it was about the first");

        now += HOUR;
        let probe =
            grants.begun(&mut schedule, now).into_iter().find(|due| due.client.provider == "down").unwrap();
        schedule.ended(&probe, now, Ok(()));
        let begun = std::iter::from_fn(|| schedule.begin(now)).count();
        assert_eq!(begun, AT_ONE_PROVIDER, "it gives tokens again");
    }

    #[test]
    fn a_remembered_failure_makes_no_pause_longer() {
        let (grants, mut schedule) = (Grants::of(&[("a", 1, Urgency::InUse)]), Schedule::new(1));
        for _ in 0..20 {
            let begun = grants.begun(&mut schedule, noon());
            assert_eq!(begun.len(), 1, "it is not on its way any more, and nothing is paused");
            for due in &begun {
                schedule.not_asked(due);
            }
        }
        for due in grants.begun(&mut schedule, noon()) {
            schedule.ended(&due, noon(), DOWN);
        }
        assert_eq!(
            grants.begun(&mut schedule, noon() + MINUTE).len(),
            1,
            "after the first pause, not the tenth"
        );
    }

    #[test]
    fn what_is_wrong_with_one_grant_pauses_that_grant_alone_until_it_is_another_version() {
        let mut grants = Grants::of(&[("a", 2, Urgency::InUse)]);
        let mut schedule = Schedule::new(1);
        let begun = grants.begun(&mut schedule, noon());
        let alone = Trouble { at_provider: false, lasts: true, retry_after: None };
        schedule.ended(begun.first().unwrap(), noon(), Err(alone));
        schedule.ended(begun.last().unwrap(), noon(), Ok(()));
        let again = |grants: &Grants, schedule: &mut Schedule, now| {
            let begun = grants.begun(schedule, now);
            for due in &begun {
                schedule.ended(due, now, Ok(()));
            }
            begun.len()
        };
        assert_eq!(again(&grants, &mut schedule, noon() + MINUTE), 1, "the other one");
        for (_, standing, _) in &mut grants.0 {
            standing.version += 1;
        }
        assert_eq!(again(&grants, &mut schedule, noon() + MINUTE), 2, "somebody has connected it again");
    }

    #[test]
    fn a_provider_is_left_alone_for_as_long_as_it_asks_for_and_not_longer_when_the_clock_is_set_back() {
        for (now, begins) in [
            (noon() + 9 * MINUTE, 0),
            (noon() + 13 * MINUTE, 1),
            (noon() + 24 * 90 * HOUR, 1),
            (noon() - MINUTE, 1),
        ] {
            let (grants, mut schedule) = (Grants::of(&[("a", 4, Urgency::InUse)]), Schedule::new(1));
            for due in grants.begun(&mut schedule, noon()) {
                let retry_after = Some(10 * MINUTE);
                let busy = Trouble { at_provider: true, lasts: false, retry_after };
                schedule.ended(&due, noon(), Err(busy));
            }
            let begun = grants.begun(&mut schedule, now).len();
            assert_eq!(begun, begins, "{now:?}");
        }
    }
}
