//! [`Matter`]: what in a survey may have to be told: how accounts stand, and what ends.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::words::{Alarm, Kind, days_left};
use crate::clock::utc;
use crate::standing::{AccountStanding, ProviderStanding, State, Survey, Way};

/// How many days before an end it is told, once each; 0 is the end itself.
const THRESHOLDS: [u64; 4] = [0, 1, 7, 30];

/// Something that may have to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Matter {
    /// What the store keeps it under. Another end is another thing: a new secret, a consent that was used.
    pub(super) subject: String,
    pub(super) seen: Seen,
    /// What is told if it is.
    pub(super) alarm: Alarm,
}

/// How it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// Nobody is needed.
    Well,
    /// Somebody is, for as long as the state lasts.
    Trouble(State),
    /// A mail server refuses logins since then. The next one may get in.
    RefusedLogins { since: SystemTime },
    /// Something ends then. `threshold` is the nearest one that has been passed.
    End { until: SystemTime, threshold: Option<u64> },
}

impl Seen {
    /// As the store keeps it: what is seen is another thing where this is another word.
    pub(super) fn word(self) -> String {
        match self {
            Self::Well => State::Connected.word().to_owned(),
            Self::Trouble(state) => state.word().to_owned(),
            Self::RefusedLogins { .. } => State::Refused.word().to_owned(),
            Self::End { until, .. } => {
                until.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis().to_string()
            }
        }
    }
}

/// Everything that may have to be told.
pub(super) fn matters(survey: &Survey) -> Vec<Matter> {
    let states = survey.accounts.iter().filter_map(state);
    let consents = survey.accounts.iter().filter_map(|account| consent(account, survey.at));
    let proofs = survey.providers.iter().filter_map(|provider| proof(provider, survey.at));
    states.chain(consents).chain(proofs).collect()
}

/// An account that was switched off, or that nobody has connected yet, is as its admin left it.
fn state(standing: &AccountStanding) -> Option<Matter> {
    let seen = match (standing.verdict.state, standing.logins_refused_since) {
        (State::Connected, _) => Seen::Well,
        (State::Refused, Some(since)) => Seen::RefusedLogins { since },
        (state @ (State::Expired | State::Refused), _) => Seen::Trouble(state),
        (State::Disabled | State::NotConnected, _) => return None,
    };
    let kind = if seen == Seen::Well { Kind::AllClear } else { Kind::Account };
    Some(Matter {
        subject: format!("account:{}", standing.account.id.0),
        seen,
        alarm: Alarm {
            kind,
            provider: standing.account.provider.clone(),
            account: Some(standing.account.address.clone()),
            state: Some(standing.verdict.state.word().to_owned()),
            // What is in the way of a connected account's next token is not about this.
            reason: standing.verdict.reason.clone().filter(|_| kind == Kind::Account),
            next_step: standing.verdict.next_step.clone().filter(|_| kind == Kind::Account),
            until: None,
        },
    })
}

/// A consent that could still be used, and is not. Afterwards the account's state says so.
fn consent(standing: &AccountStanding, now: SystemTime) -> Option<Matter> {
    let until = standing.consent_until?;
    let alive = standing.verdict.state == State::Connected && standing.way == Some(Way::Consent);
    if !alive || until <= now {
        return None;
    }
    let limit =
        standing.last_refresh.and_then(|issued| until.duration_since(issued).ok()).unwrap_or_default();
    let used = standing.last_refresh.map(|at| utc(at).date());
    let reason = used.map(|day| format!("it was last used on {day}, and each use makes it live anew"));
    let next_step = || format!("gatepost test {}", standing.typed);
    let seen = Seen::End { until, threshold: threshold(until, now, Some(limit)) };
    Some(Matter {
        subject: format!("consent:{}:{}", standing.account.id.0, seen.word()),
        seen,
        alarm: Alarm {
            kind: Kind::Consent,
            provider: standing.account.provider.clone(),
            account: Some(standing.account.address.clone()),
            state: Some(standing.verdict.state.word().to_owned()),
            reason,
            next_step: Some(standing.verdict.next_step.clone().unwrap_or_else(next_step)),
            until: seconds(until),
        },
    })
}

fn proof(provider: &ProviderStanding, now: SystemTime) -> Option<Matter> {
    let proof = provider.proof.filter(|_| provider.is_used)?;
    let kind = if proof.is_certificate { Kind::ClientCertificate } else { Kind::ClientSecret };
    let until = proof.until;
    let accounts = match provider.accounts {
        1 => "1 account gets its tokens with it".to_owned(),
        accounts => format!("{accounts} accounts get their tokens with it"),
    };
    let seen = Seen::End { until, threshold: threshold(until, now, None) };
    Some(Matter {
        subject: format!("client:{}:{}", provider.name, seen.word()),
        seen,
        alarm: Alarm {
            kind,
            provider: provider.name.clone(),
            account: None,
            state: None,
            reason: Some(accounts),
            next_step: Some(proof.next_step().to_owned()),
            until: seconds(until),
        },
    })
}

/// The nearest threshold that has been passed. Of a consent that lives so long after each use, only those count that Gatepost's
/// own weekly use does not come near to.
fn threshold(until: SystemTime, now: SystemTime, lives: Option<Duration>) -> Option<u64> {
    let left = days_left(until, now);
    let counts = |days: u64| lives.is_none_or(|lives| Duration::from_hours(24 * days) <= lives / 3);
    THRESHOLDS.into_iter().find(|days| left <= *days).filter(|days| counts(*days))
}

fn seconds(time: SystemTime) -> Option<u64> {
    time.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs())
}
