//! When a grant is to be refreshed. Pure.
//!
//! - In use, which is: a login wanted its token within a week. Then before the token ends, so that no login waits.
//! - Idle, with a refresh token: once a week, or twice as often as its consent would lapse, since refreshing is what keeps it.
//! - Refused, with nothing to redeem, or without a token ever: never. A wrong name that somebody typed is asked about by logins
//!   alone.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::config::provider::OAuthClient;
use crate::store::grants::GrantKey;
use crate::store::standings::Standing;

const DAY: Duration = Duration::from_hours(24);
const WEEK: Duration = Duration::from_hours(7 * 24);

/// How long before its end a token in use is refreshed, at the latest; by jitter earlier, for up to the other. Logins do it
/// themselves at five minutes.
const LATEST: Duration = Duration::from_mins(6);
const SPREAD: Duration = Duration::from_mins(4);

/// A life below this is too short for that; its tokens are refreshed when about two thirds of it are over.
const SHORT_LIFE: Duration = Duration::from_mins(20);

/// No token is refreshed when it is younger than this, however short its life.
const YOUNG: Duration = Duration::from_secs(30);

/// More than two looks at the clock can differ without anybody setting it.
const CLOCK_SET_BACK: Duration = Duration::from_mins(5);

/// A grant, and what it depends on when it is due.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject<'a> {
    /// Which.
    pub(super) key: &'a GrantKey,
    /// How it stands in the store.
    pub(super) standing: &'a Standing,
    /// Where it comes from.
    pub(super) client: &'a Arc<OAuthClient>,
    /// What its owner is called in messages; the mailbox, where a service account signs for one.
    pub(super) address: &'a str,
    /// Whether any account that uses it may log in.
    pub(super) enabled: bool,
}

/// What waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Urgency {
    /// The next login.
    InUse,
    /// Nobody.
    Idle,
}

/// When the grant is due. `jitter` is from 0 to 1. `None`: not as long as it stands like that.
pub(super) fn due(subject: &Subject<'_>, now: SystemTime, jitter: f64) -> Option<(Urgency, SystemTime)> {
    let Subject { standing, client, enabled, .. } = *subject;
    let redeemable = standing.renewable || !client.grant.needs_person();
    if standing.refused.is_some() || standing.never_had_token() || !redeemable {
        return None;
    }
    if enabled && is_in_use(standing, now) {
        return Some((Urgency::InUse, before_the_end(standing, now, jitter)));
    }
    let every = client.consent_idle_limit.map_or(WEEK, |limit| WEEK.min(limit / 2));
    standing.renewable.then(|| (Urgency::Idle, once_in(every, standing.issued_at, now, jitter)))
}

/// A use in the future is from before the clock was set back.
fn is_in_use(standing: &Standing, now: SystemTime) -> bool {
    standing.used_at.is_some_and(|used_at| {
        let apart = now.duration_since(used_at).unwrap_or_else(|ahead| ahead.duration());
        apart < WEEK
    })
}

fn before_the_end(standing: &Standing, now: SystemTime, jitter: f64) -> SystemTime {
    let lead = LATEST + SPREAD.mul_f64(jitter);
    match (standing.issued_at, standing.expires_at) {
        (_, None) => now,
        // The clock was set back since, so nobody knows how much of its life is left.
        (Some(issued_at), _) if issued_at > now + CLOCK_SET_BACK => now,
        (None, Some(end)) if end > now + DAY => now,
        (None, Some(end)) => end - lead,
        (Some(issued_at), Some(end)) => {
            let life = end.duration_since(issued_at).unwrap_or_default();
            if life < SHORT_LIFE {
                issued_at + life.mul_f64(0.6 + jitter / 15.0).max(YOUNG)
            } else {
                end - lead
            }
        }
    }
}

/// Tokens of an unknown age, from an older Gatepost or by a clock that was far ahead, are due.
fn once_in(every: Duration, issued_at: Option<SystemTime>, now: SystemTime, jitter: f64) -> SystemTime {
    match issued_at {
        Some(issued_at) if issued_at <= now + DAY => issued_at + every.mul_f64(1.0 - jitter / 14.0),
        _ => now,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::sync::LazyLock;
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::account::AccountId;
    use crate::config::provider::GrantType;

    const MINUTE: i64 = 60;
    const HOUR: i64 = 60 * MINUTE;
    const DAYS: i64 = 24 * HOUR;

    static CLIENT: LazyLock<OAuthClient> = LazyLock::new(crate::oauth::tests::client);

    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_hours(500_000)
    }

    /// So many seconds from now.
    fn at(seconds: i64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_800_000_000_u64.saturating_add_signed(seconds))
    }

    fn standing(issued_at: i64, expires_at: i64, used_at: i64) -> Standing {
        Standing {
            version: 1,
            renewable: true,
            issued_at: Some(at(issued_at)),
            expires_at: Some(at(expires_at)),
            used_at: Some(at(used_at)),
            ..Standing::default()
        }
    }

    /// In seconds from now, without jitter and with all of it.
    fn due_in(standing: &Standing, client: &OAuthClient, enabled: bool) -> Option<(Urgency, i64, i64)> {
        let (key, client) = (GrantKey::Account(AccountId(1)), Arc::new(client.clone()));
        let subject = Subject { key: &key, standing, client: &client, address: "ann@example.com", enabled };
        let seconds = |at: SystemTime| match at.duration_since(now()) {
            Ok(ahead) => i64::try_from(ahead.as_secs()).unwrap(),
            Err(ago) => -i64::try_from(ago.duration().as_secs()).unwrap(),
        };
        let (urgency, at) = due(&subject, now(), 0.0)?;
        let (_, at_most) = due(&subject, now(), 1.0)?;
        Some((urgency, seconds(at), seconds(at_most)))
    }

    #[test]
    fn a_grant_in_use_is_refreshed_before_its_token_ends() {
        for (issued_at, expires_at, earliest, latest, what) in [
            (0, HOUR, 50 * MINUTE, 54 * MINUTE, "an hour"),
            (0, DAYS, DAYS - 10 * MINUTE, DAYS - 6 * MINUTE, "a day"),
            (0, 20 * MINUTE, 10 * MINUTE, 14 * MINUTE, "twenty minutes"),
            (0, 15 * MINUTE, 9 * MINUTE, 10 * MINUTE, "a quarter of an hour"),
            (0, 5 * MINUTE, 180, 200, "five minutes"),
            (0, 60, 36, 40, "a minute"),
            (0, 1, 30, 30, "a second"),
            (-HOUR, 0, -10 * MINUTE, -6 * MINUTE, "it has ended"),
            (-90 * DAYS, HOUR - 90 * DAYS, -90 * DAYS + 50 * MINUTE, -90 * DAYS + 54 * MINUTE, "long ago"),
            (HOUR, 2 * HOUR, 0, 0, "the clock was set back by an hour"),
            (10 * 365 * DAYS, 10 * 365 * DAYS + HOUR, 0, 0, "the clock was set back by ten years"),
            (60, HOUR + 60, 51 * MINUTE, 55 * MINUTE, "the clock was set a minute back"),
        ] {
            let (urgency, one, other) =
                due_in(&standing(issued_at, expires_at, -DAYS), &CLIENT, true).unwrap();
            assert_eq!(
                (urgency, one.min(other), one.max(other)),
                (Urgency::InUse, earliest, latest),
                "{what}"
            );
        }
    }

    #[test]
    fn what_is_not_known_of_a_grant_in_use_makes_it_due() {
        let known = standing(0, HOUR, 0);
        for (standing, expected, what) in [
            (Standing { expires_at: None, ..known.clone() }, 0, "no end"),
            (Standing { issued_at: None, ..known.clone() }, 50 * MINUTE, "no beginning"),
            (
                Standing { issued_at: None, expires_at: Some(at(2 * DAYS)), ..known },
                0,
                "no token lives so long",
            ),
        ] {
            assert_eq!(due_in(&standing, &CLIENT, true).unwrap().2, expected, "{what}");
        }
    }

    #[test]
    fn an_idle_grant_is_refreshed_once_a_week_or_sooner_where_its_consent_lapses_sooner() {
        let limited = |days: i64| OAuthClient {
            consent_idle_limit: Some(Duration::from_secs(days.unsigned_abs() * 86_400)),
            ..CLIENT.clone()
        };
        let (week, earliest) = (7 * DAYS, 7 * DAYS - 12 * HOUR);
        for (issued_at, client, expected, what) in [
            (0, CLIENT.clone(), (week, earliest), "no limit"),
            (0, limited(90), (week, earliest), "ninety days"),
            (0, limited(14), (week, earliest), "two weeks"),
            (0, limited(7), (84 * HOUR, 78 * HOUR), "a week"),
            (0, limited(1), (12 * HOUR, 12 * HOUR - 3086), "a day"),
            (-90 * DAYS, CLIENT.clone(), (-83 * DAYS, -83 * DAYS - 12 * HOUR), "long ago"),
            (HOUR, CLIENT.clone(), (week + HOUR, earliest + HOUR), "the clock was set back by an hour"),
            (2 * DAYS, CLIENT.clone(), (0, 0), "the clock was set back by days"),
        ] {
            let standing = standing(issued_at, issued_at + HOUR, -8 * DAYS);
            let due = due_in(&standing, &client, true).unwrap();
            assert_eq!((due.0, (due.1, due.2)), (Urgency::Idle, expected), "{what}");
        }
        let of_old = Standing { issued_at: None, used_at: None, ..standing(0, HOUR, 0) };
        assert_eq!(due_in(&of_old, &CLIENT, true), Some((Urgency::Idle, 0, 0)));
    }

    #[test]
    fn use_is_known_for_a_week_and_a_use_in_the_future_for_no_longer() {
        for (used_at, in_use) in [
            (0, true),
            (-7 * DAYS + 1, true),
            (-7 * DAYS, false),
            (HOUR, true),
            (7 * DAYS - 1, true),
            (3650 * DAYS, false),
        ] {
            let (urgency, ..) = due_in(&standing(0, HOUR, used_at), &CLIENT, true).unwrap();
            assert_eq!(urgency == Urgency::InUse, in_use, "{used_at}");
        }
    }

    #[test]
    fn what_cannot_be_refreshed_or_is_not_waited_for_is_left_alone() {
        let application = OAuthClient { grant: GrantType::ClientCredentials, ..CLIENT.clone() };
        let used = standing(0, HOUR, 0);
        let idle = standing(0, HOUR, -8 * DAYS);
        let refused = Standing { refused: Some("invalid_grant".to_owned()), ..used.clone() };
        let without = |standing: &Standing| Standing { renewable: false, ..standing.clone() };
        let urgency = |standing: &Standing, client: &OAuthClient, enabled| {
            due_in(standing, client, enabled).map(|(urgency, ..)| urgency)
        };
        assert_eq!(urgency(&refused, &CLIENT, true), None, "refused");
        assert_eq!(urgency(&without(&used), &CLIENT, true), None, "nothing to redeem");
        assert_eq!(urgency(&without(&used), &application, true), Some(Urgency::InUse));
        assert_eq!(
            urgency(&without(&idle), &application, true),
            None,
            "another one is had when it is wanted"
        );
        assert_eq!(urgency(&without(&used), &application, false), None, "nobody may log in");
        let never = Standing { issued_at: None, expires_at: None, ..without(&used) };
        assert_eq!(urgency(&never, &application, true), None, "it may be a wrong name");
        assert_eq!(urgency(&used, &CLIENT, false), Some(Urgency::Idle), "switched off is not withdrawn");
    }
}
