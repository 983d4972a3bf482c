//! A year of a hundred accounts in seconds: the real schedule between a machine that sleeps, restarts and has its clock set, and a
//! model of three providers with rotation and reuse detection, idle limits, outages and revocations.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::due::Subject;
use super::schedule::{Due, Schedule, Trouble};
use crate::account::AccountId;
use crate::config::provider::{GrantType, OAuthClient};
use crate::oauth::TokenError;
use crate::oauth::diagnosis::EndpointError;
use crate::oauth::tests::client;
use crate::store::grants::GrantKey;
use crate::store::standings::Standing;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const WEEK: i64 = 7 * DAY;

/// A look comes up to this late; those before it in the queue take some time too.
const SLACK: i64 = 2 * MINUTE;

/// What a provider does besides its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Down,
    Stalled,
    /// 429 with so many seconds in `Retry-After`.
    TooMany(i64),
    InvalidClient,
}

impl Fault {
    fn error(self, provider: &str) -> TokenError {
        let [whose, provider, host] = [provider; 3].map(str::to_owned);
        let error = Box::new(match self {
            Self::Down => EndpointError::Unreachable("no route to host".to_owned()),
            Self::Stalled => EndpointError::TimedOut,
            Self::TooMany(seconds) => EndpointError::Status {
                status: 429,
                retry_after: Some(Duration::from_secs(seconds.unsigned_abs())),
            },
            Self::InvalidClient => EndpointError::Refused {
                status: 401,
                code: "invalid_client".to_owned(),
                description: None,
                retry_after: None,
            },
        });
        match self {
            Self::InvalidClient => {
                TokenError::ClientRefused { whose, provider, grant: GrantType::AuthorizationCode, error }
            }
            _ => TokenError::Endpoint { whose, provider, host, error },
        }
    }
}

#[derive(Clone, Debug)]
enum Event {
    Login(GrantKey),
    Sleeps,
    Wakes,
    /// The machine's clock is so many seconds ahead of the provider's from now on.
    ClockSet(i64),
    Begins(&'static str, Fault),
    Ends(&'static str),
    Revoked(GrantKey),
    Restarts,
    /// So many processes on one store.
    Processes(u64),
}

/// A provider.
struct Provider {
    client: Arc<OAuthClient>,
    /// Seconds that an access token lives.
    life: i64,
    rotates: bool,
    fault: Option<Fault>,
    /// When the last fault ended.
    calm_since: i64,
    /// Since the fault began.
    requests: Vec<i64>,
}

/// A grant, as the store and as its provider know it.
struct Grant {
    standing: Standing,
    provider: &'static str,
    /// The number of the refresh token that the provider takes, and of the one that is stored.
    newest: u32,
    stored: u32,
    redeemed_at: i64,
    revoked: bool,
    requests_since_revoked: u32,
    refreshes: u64,
}

struct Year {
    /// Seconds since it began, by the provider's clock.
    now: i64,
    offset: i64,
    awake: bool,
    awake_since: i64,
    clock_set_at: i64,
    awake_for: i64,
    disturbances: u64,
    grants: BTreeMap<GrantKey, Grant>,
    providers: BTreeMap<&'static str, Provider>,
    processes: Vec<Schedule>,
    waited: u64,
    logins: u64,
}

fn account(number: i64) -> GrantKey {
    GrantKey::Account(AccountId(number))
}

/// A number below `sides`, always the same for the same thing.
fn dice(of: impl Hash, sides: i64) -> i64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    i64::try_from(hasher.finish() >> 2).unwrap() % sides
}

/// Accounts 1 to 6 are in use, and the others are not; so are the application's grant and two mailboxes of a service account.
fn in_use() -> impl Iterator<Item = GrantKey> {
    let mailboxes = ["ann@example.com", "bob@example.com"];
    let mailboxes = mailboxes.map(|mailbox| GrantKey::Mailbox(AccountId(200), mailbox.to_owned()));
    (1..=6).map(account).chain([GrantKey::Provider("application".to_owned())]).chain(mailboxes)
}

/// Two large providers, and a small one whose consents lapse after two weeks.
fn provider_of(key: &GrantKey) -> &'static str {
    match key {
        GrantKey::Provider(_) => "application",
        GrantKey::Mailbox(..) => "service",
        GrantKey::Account(AccountId(6)) => "small",
        GrantKey::Account(AccountId(number)) => ["microsoft", "google"][usize::try_from(number % 2).unwrap()],
    }
}

impl Year {
    fn new() -> Self {
        let provider = |name: &'static str, grant, life, rotates, limit: Option<i64>| {
            let limit = limit.map(|seconds| Duration::from_secs(seconds.unsigned_abs()));
            let client =
                OAuthClient { provider: name.to_owned(), grant, consent_idle_limit: limit, ..client() };
            let (client, requests) = (Arc::new(client), Vec::new());
            (name, Provider { client, life, rotates, fault: None, calm_since: 0, requests })
        };
        let person = GrantType::AuthorizationCode;
        let providers = BTreeMap::from([
            provider("microsoft", person, 4000, true, Some(90 * DAY)),
            provider("google", person, 3599, false, Some(180 * DAY)),
            provider("small", person, 15 * MINUTE, true, Some(14 * DAY)),
            provider("application", GrantType::ClientCredentials, HOUR, false, None),
            provider("service", GrantType::ServiceAccount, HOUR, false, None),
        ]);
        let mut year = Self {
            now: 0,
            offset: 0,
            awake: true,
            awake_since: 0,
            clock_set_at: 0,
            awake_for: 0,
            disturbances: 0,
            grants: BTreeMap::new(),
            providers,
            processes: vec![Schedule::new(1)],
            waited: 0,
            logins: 0,
        };
        for key in (1..=97).map(account).chain(in_use()) {
            // The last ten idle ones are at the small provider.
            let small = matches!(key, GrantKey::Account(AccountId(88..)));
            let provider = if small { "small" } else { provider_of(&key) };
            let life = year.providers[provider].life;
            let standing = Standing {
                version: 1,
                renewable: year.providers[provider].client.grant.needs_person(),
                issued_at: Some(year.wall()),
                expires_at: Some(year.wall() + seconds(life)),
                used_at: Some(year.wall() - seconds(8 * DAY)),
                ..Standing::default()
            };
            let grant = Grant {
                standing,
                provider,
                newest: 1,
                stored: 1,
                redeemed_at: 0,
                revoked: false,
                requests_since_revoked: 0,
                refreshes: 0,
            };
            year.grants.insert(key, grant);
        }
        year
    }

    /// What the machine takes for the time.
    fn wall(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_800_000_000_u64.saturating_add_signed(self.now + self.offset))
    }

    fn run_until(&mut self, at: i64) {
        while self.now < at {
            if !self.awake {
                self.now = at;
                return;
            }
            let before = self.now;
            let again = self.look();
            let pause = again.map_or(DAY, |again| {
                let ahead = again.duration_since(self.wall()).unwrap_or_default();
                i64::try_from(ahead.as_secs()).unwrap() + 1
            });
            // The looks in between find nothing, by what the schedule itself said.
            let pause = if pause <= 37 { pause.max(5) } else { (pause + 36) / 37 * 37 };
            self.now = (self.now + pause).min(at.max(self.now));
            self.awake_for += self.now - before;
        }
    }

    /// One look of every process at the same moment, and all that follows from it.
    fn look(&mut self) -> Option<SystemTime> {
        let mut processes = std::mem::take(&mut self.processes);
        let mut again =
            processes.iter_mut().filter_map(|process| process.plan(self.wall(), self.subjects())).min();
        loop {
            let wall = self.wall();
            let begun: Vec<_> = processes
                .iter_mut()
                .map(|process| std::iter::from_fn(|| process.begin(wall)).collect::<Vec<_>>())
                .collect();
            if begun.iter().all(Vec::is_empty) {
                break;
            }
            // When these are due again, the next look finds out.
            again = Some(wall);
            let stalled = self.providers.values().any(|provider| provider.fault == Some(Fault::Stalled));
            self.now += if stalled { 10 } else { 1 };
            for (process, begun) in processes.iter_mut().zip(begun) {
                assert!(begun.len() <= 8, "{} at once", begun.len());
                for due in begun {
                    self.check_against_the_rules(&due);
                    let result = self.redeem(&due.key, due.version);
                    process.ended(&due, self.wall(), result.map_err(|error| Trouble::from(&error)));
                }
            }
        }
        self.processes = processes;
        again
    }

    fn subjects(&self) -> impl Iterator<Item = Subject<'_>> {
        self.grants.iter().map(|(key, grant)| Subject {
            key,
            standing: &grant.standing,
            client: &self.providers[grant.provider].client,
            address: "",
            // One in twenty idle ones is switched off.
            enabled: !matches!(key, GrantKey::Account(AccountId(20 | 40 | 60 | 80))),
        })
    }

    /// What a request for the version comes to, and what is committed.
    fn redeem(&mut self, key: &GrantKey, version: i64) -> Result<(), TokenError> {
        let (now, wall) = (self.now, self.wall());
        let grant = self.grants.get_mut(key).unwrap();
        if grant.standing.version != version {
            return Ok(());
        }
        let provider = self.providers.get_mut(grant.provider).unwrap();
        grant.requests_since_revoked += u32::from(grant.revoked);
        if let Some(fault) = provider.fault {
            provider.requests.push(now);
            return Err(fault.error(grant.provider));
        }
        if grant.revoked {
            grant.standing.version += 1;
            grant.standing.refused = Some("invalid_grant".to_owned());
            let reason = "invalid_grant".to_owned();
            return Err(TokenError::GrantRefused { whose: String::new(), address: String::new(), reason });
        }
        if let (true, Some(limit)) = (grant.standing.renewable, provider.client.consent_idle_limit) {
            assert!(
                seconds(now - grant.redeemed_at) < limit,
                "{key} lapsed after {} s",
                now - grant.redeemed_at
            );
        }
        assert_eq!(grant.stored, grant.newest, "{key}: a refresh token is used twice");
        grant.newest += u32::from(provider.rotates);
        grant.stored = grant.newest;
        grant.redeemed_at = now;
        grant.refreshes += 1;
        let standing = &mut grant.standing;
        standing.version += 1;
        standing.issued_at = Some(wall);
        standing.expires_at = Some(wall + seconds(provider.life));
        Ok(())
    }

    /// No refresh in the background is earlier than the rules say, and without trouble none is later.
    fn check_against_the_rules(&self, due: &Due) {
        let grant = &self.grants[&due.key];
        let provider = &self.providers[grant.provider];
        if grant.standing.version != due.version || self.clock_set_at >= grant.redeemed_at {
            return;
        }
        let age = self.now - grant.redeemed_at;
        let used = self.wall().duration_since(grant.standing.used_at.unwrap()).unwrap_or_default();
        let (earliest, latest) = match (used < seconds(WEEK), provider.life) {
            (true, life @ 1200..) => (life - 10 * MINUTE, life - 6 * MINUTE),
            (true, life) => (life * 6 / 10, life * 67 / 100),
            (false, _) => (WEEK - 12 * HOUR, WEEK),
        };
        assert!(age >= earliest, "{} after {age} s, at {}", due.key, self.now);
        let calm_since = self.awake_since.max(provider.calm_since + 90 * MINUTE).max(self.clock_set_at);
        let was_calm = provider.fault.is_none() && calm_since < grant.redeemed_at + latest;
        assert!(!was_calm || age <= latest + SLACK, "{} after {age} s, at {}", due.key, self.now);
    }

    /// A login finds a token, or refreshes it itself and waits for that.
    fn logs_in(&mut self, key: &GrantKey) {
        if !self.awake {
            return;
        }
        self.logins += 1;
        let wall = self.wall();
        let grant = self.grants.get_mut(key).unwrap();
        let provider = &self.providers[grant.provider];
        let standing = &mut grant.standing;
        if standing.refused.is_some() {
            return;
        }
        let used_at = standing.used_at.replace(wall).unwrap();
        let was_in_use = wall.duration_since(used_at).is_ok_and(|ago| ago < seconds(WEEK));
        let left = standing.expires_at.unwrap().duration_since(wall).unwrap_or_default();
        if left >= seconds((provider.life / 10).min(5 * MINUTE)) {
            return;
        }
        let trouble = provider.fault.is_some() || self.now < provider.calm_since + 90 * MINUTE;
        let first_minute = self.now < self.awake_since + MINUTE || self.now < self.clock_set_at + MINUTE;
        assert!(
            trouble || first_minute || !was_in_use,
            "{key}: a login waits for a refresh, at {}",
            self.now
        );
        let version = standing.version;
        if provider.fault.is_none() {
            self.waited += 1;
            let _ = self.redeem(key, version);
        }
    }

    fn happens(&mut self, event: &Event) {
        match event {
            Event::Login(key) => return self.logs_in(key),
            Event::Sleeps => self.awake = false,
            Event::Wakes => {
                self.awake = true;
                self.awake_since = self.now;
            }
            Event::ClockSet(offset) => {
                self.offset = *offset;
                self.clock_set_at = self.now;
            }
            Event::Begins(name, fault) => {
                let provider = self.providers.get_mut(name).unwrap();
                provider.fault = Some(*fault);
                provider.requests.clear();
            }
            Event::Ends(name) => {
                let processes = i64::try_from(self.processes.len()).unwrap();
                let provider = self.providers.get_mut(name).unwrap();
                let fault = provider.fault.take().unwrap();
                provider.calm_since = self.now;
                few_enough(name, fault, &provider.requests, processes);
            }
            Event::Revoked(key) => self.grants.get_mut(key).unwrap().revoked = true,
            Event::Restarts => {
                let seed = u64::try_from(self.now).unwrap();
                self.processes.iter_mut().for_each(|process| *process = Schedule::new(seed));
                self.awake_since = self.now;
            }
            Event::Processes(count) => {
                self.processes = (0..*count).map(Schedule::new).collect();
                self.awake_since = self.now;
            }
        }
        self.disturbances += u64::from(matches!(event, Event::Wakes | Event::ClockSet(_)));
    }
}

fn seconds(number: i64) -> Duration {
    Duration::from_secs(number.unsigned_abs())
}

/// How often a provider with a fault was asked: by a few at the beginning, then by one at a time, less and less often.
fn few_enough(name: &str, fault: Fault, requests: &[i64], processes: i64) {
    let within = |length: i64| {
        let window = |(index, first): (usize, &i64)| {
            requests[index..].iter().take_while(|at| **at < first + length).count()
        };
        i64::try_from(requests.iter().enumerate().map(window).max().unwrap_or_default()).unwrap()
    };
    // Four at once, and then after 30 s, 1, 2, 4, 8 and 15 minutes.
    for (length, most) in [(MINUTE, 5), (15 * MINUTE, 9), (HOUR, 13), (DAY, 9 + 4 * 24)] {
        let found = within(length);
        assert!(found <= most * processes, "{name}, {fault:?}: {found} requests within {length} s");
    }
    if let Fault::TooMany(retry_after) = fault {
        assert!(within(retry_after) <= 4 * processes, "{name} is asked again before it wants to be");
    }
    assert!(!requests.is_empty(), "{name}, {fault:?}: nobody noticed");
}

/// What happens in the year, in order.
fn events() -> Vec<(i64, Event)> {
    let mut events = Vec::new();
    for day in 0..365 {
        let midnight = day * DAY;
        // Most nights the machine sleeps; in two weeks of the year it does for days.
        let long_sleep = matches!(day, 100..106 | 250..256);
        if !long_sleep && day % 7 != 3 {
            let awake = 6 * HOUR + dice(("wakes", day), HOUR);
            let asleep = 21 * HOUR + dice(("sleeps", day), 2 * HOUR);
            events.extend([(midnight + awake, Event::Wakes), (midnight + asleep, Event::Sleeps)]);
        }
        if day % 9 == 0 {
            events.push((midnight + 10 * HOUR, Event::Restarts));
        }
        for key in in_use() {
            for login in 0..3 {
                // Account 5 is used once a month, and the one before it on one day of the week.
                let quiet = match key {
                    GrantKey::Account(AccountId(5)) => day % 30 != 0,
                    GrantKey::Account(AccountId(4)) => day % 7 != 1,
                    _ => false,
                };
                if !quiet {
                    let at = midnight + dice(("login", day, &key, login), DAY);
                    events.push((at, Event::Login(key.clone())));
                }
            }
        }
    }
    let mut fault = |day: i64, hours: i64, name, fault| {
        let begins = day * DAY + dice((name, day), DAY);
        events.extend([(begins, Event::Begins(name, fault)), (begins + hours * HOUR, Event::Ends(name))]);
    };
    fault(20, 30, "microsoft", Fault::Down);
    fault(40, 5 * 24, "small", Fault::Down);
    fault(60, 4 * 24, "microsoft", Fault::Stalled);
    fault(81, 24, "google", Fault::TooMany(600));
    fault(130, 48, "google", Fault::InvalidClient);
    fault(151, 48, "microsoft", Fault::TooMany(3600));
    fault(210, 48, "application", Fault::Down);
    fault(300, 48, "google", Fault::Down);
    for (day, hours, offset) in
        [(30, 2, -HOUR), (50, 3, -DAY), (70, 1, -3650 * DAY), (90, 2, 100 * DAY), (330, 24, -30 * MINUTE)]
    {
        let set = day * DAY + 12 * HOUR;
        events.extend([(set, Event::ClockSet(offset)), (set + hours * HOUR, Event::ClockSet(0))]);
    }
    for (day, key) in
        [(15, account(3)), (45, account(50)), (115, account(95)), (200, account(6)), (260, account(70))]
    {
        events.push((day * DAY + dice(&key, DAY), Event::Revoked(key)));
    }
    events.extend([(180 * DAY, Event::Processes(2)), (240 * DAY, Event::Processes(1))]);
    events.sort_by_key(|(at, _)| *at);
    events
}

#[test]
fn in_a_year_no_grant_lapses_and_each_is_refreshed_when_the_rules_say_so() {
    let mut year = Year::new();
    for (at, event) in events() {
        year.run_until(at);
        year.happens(&event);
    }
    year.run_until(365 * DAY);

    assert_eq!(year.grants.len(), 100);
    for (key, grant) in &year.grants {
        assert_eq!(grant.standing.refused.is_some(), grant.revoked, "{key}");
        if grant.revoked {
            assert_eq!(grant.requests_since_revoked, 1, "{key}: what was refused is asked for no more");
        } else if grant.standing.renewable {
            assert!(year.now - grant.redeemed_at < WEEK + HOUR, "{key} lives");
        }
    }
    let refreshes = |key: &GrantKey| year.grants[key].refreshes;
    // All year in use, undisturbed but by what befell the machine itself.
    for mailbox in in_use().skip(7) {
        let (least, most) =
            (year.awake_for / (HOUR - 6 * MINUTE + SLACK), year.awake_for / (HOUR - 10 * MINUTE));
        let (least, most) =
            (u64::try_from(least).unwrap() - 20, u64::try_from(most).unwrap() + year.disturbances);
        let found = refreshes(&mailbox);
        assert!((least..=most).contains(&found), "{mailbox}: {found} of {least} to {most}");
    }
    // Once a week; each time that the clock is set far ahead or back may cost one more.
    for idle in (7..88).filter(|number| ![50, 70].contains(number)).map(account) {
        let found = refreshes(&idle);
        assert!((51..=56 + 5).contains(&found), "{idle}: {found}");
    }
    assert!(year.waited * 20 < year.logins, "{} of {} logins waited", year.waited, year.logins);
}
