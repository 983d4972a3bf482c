//! [`next`]: from what is seen and what was told before to what is to be done now. No clock, no store, nothing is told here.
//!
//! A refusal is told at once, because nothing but a person ends it. Tokens that have merely ended may be an outage, and where a
//! mail server refuses a login, the next one may get in: those are told once they have lasted. That all is well again is told once it has lasted too, so that an account that comes and
//! goes rings no more often than that.

use std::time::{Duration, SystemTime};

use super::matter::{Matter, Seen};
use crate::standing::State;
use crate::store::alarms::AlarmRecord;

/// An outage that is over sooner wakes nobody.
const OUTAGE: Duration = Duration::from_mins(30);

/// Who is well for so long stays well.
const RECOVERED: Duration = Duration::from_mins(10);

/// What nobody has seen for so long is not there any more.
const GONE: Duration = Duration::from_mins(10);

/// A line in the log for whatever stands.
const DAY: Duration = Duration::from_hours(24);

/// What is to be done about one subject. After each but the last two it is looked at again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A record is made.
    Begin,
    /// What is seen is not what the record says.
    Note,
    /// It is not seen any more since then; `None`: it is seen again.
    Gone(Option<SystemTime>),
    /// There is something to tell; this is the short word for it.
    Raise(String),
    /// The log says it, again or for the first time.
    Log,
    /// The record has served its time.
    Forget,
    /// Nothing.
    Rest,
}

/// `since` is when this process began to look: what happened before it was there may be over already.
pub(super) fn next(
    matter: Option<&Matter>,
    record: Option<&AlarmRecord>,
    since: SystemTime,
    now: SystemTime,
) -> Step {
    let (matter, record) = match (matter, record) {
        (Some(matter), Some(record)) => (matter, record),
        (Some(Matter { seen: Seen::Well | Seen::End { threshold: None, .. }, .. }) | None, None) => {
            return Step::Rest;
        }
        (Some(_), None) => return Step::Begin,
        (None, Some(record)) => return missed(record, now),
    };
    if record.gone_since.is_some() {
        return Step::Gone(None);
    }
    // A clock that was set back has made the record one of the future.
    if record.seen != matter.seen.word() || (record.since > now && !matches!(matter.seen, Seen::End { .. })) {
        return Step::Note;
    }
    let stood = now.duration_since(record.since.max(since)).unwrap_or_default();
    let told = record.told.as_deref();
    match matter.seen {
        Seen::Well if told.is_none() => Step::Forget,
        Seen::Well if told == Some(State::Connected.word()) => match record.logged_at {
            None => Step::Log,
            Some(_) if stood >= DAY => Step::Forget,
            Some(_) => Step::Rest,
        },
        Seen::Well if stood >= RECOVERED => Step::Raise(matter.seen.word()),
        Seen::Trouble(state) if told != Some(state.word()) => {
            raised_if(matter, state == State::Refused || stood >= OUTAGE)
        }
        Seen::RefusedLogins { since: refused } if told != Some(State::Refused.word()) => {
            // Before the clock was set back, the record is all that is known.
            let refused = if refused > now { record.since } else { refused };
            let stood = now.duration_since(refused.max(since)).unwrap_or_default();
            raised_if(matter, stood >= OUTAGE)
        }
        Seen::End { threshold: Some(days), .. } if told.is_none_or(|told| days < told_days(told)) => {
            Step::Raise(days.to_string())
        }
        Seen::Trouble(_) | Seen::RefusedLogins { .. } | Seen::End { threshold: Some(_), .. }
            if is_log_due(record, now) =>
        {
            Step::Log
        }
        _ => Step::Rest,
    }
}

fn raised_if(matter: &Matter, is_time: bool) -> Step {
    if is_time { Step::Raise(matter.seen.word()) } else { Step::Rest }
}

fn missed(record: &AlarmRecord, now: SystemTime) -> Step {
    match record.gone_since.and_then(|at| now.duration_since(at).ok()) {
        None => Step::Gone(Some(now)),
        Some(ago) if ago >= GONE => Step::Forget,
        Some(_) => Step::Rest,
    }
}

fn told_days(told: &str) -> u64 {
    told.parse().unwrap_or(u64::MAX)
}

/// A clock that was set back a little silences nothing for long, and repeats nothing.
fn is_log_due(record: &AlarmRecord, now: SystemTime) -> bool {
    record.logged_at.is_none_or(|at| match now.duration_since(at) {
        Ok(ago) => ago >= DAY,
        Err(ahead) => ahead.duration() >= DAY,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::time::UNIX_EPOCH;

    use super::super::words::Alarm;
    use super::*;
    use crate::store::alarms::Telling;

    /// Any moment will do.
    const NOW: SystemTime = UNIX_EPOCH;
    const REFUSED: Seen = Seen::Trouble(State::Refused);
    const EXPIRED: Seen = Seen::Trouble(State::Expired);

    /// What happens to one subject while time goes by: each step is carried out on the record as the store would.
    #[derive(Default)]
    struct Story {
        record: Option<AlarmRecord>,
        /// When the process began to look.
        since: Option<SystemTime>,
    }

    impl Story {
        /// Looks once. Gives what is told, and whether the log says something.
        fn look(&mut self, seen: Option<Seen>, now: SystemTime) -> (Option<String>, bool) {
            let since = self.since.map_or(now, |since| since.min(now));
            self.since = Some(since);
            let subject = || "it".to_owned();
            let matter = seen.map(|seen| Matter { subject: subject(), seen, alarm: Alarm::sample() });
            let (mut told, mut logged) = (None, false);
            for _ in 0..10 {
                let step = next(matter.as_ref(), self.record.as_ref(), since, now);
                let word = seen.map(Seen::word).unwrap_or_default();
                match (step, &mut self.record) {
                    (Step::Begin, record) => {
                        let telling = Telling { left: 0, at: now };
                        *record = Some(AlarmRecord {
                            subject: subject(),
                            seen: word,
                            since: now,
                            gone_since: None,
                            logged_at: None,
                            number: 0,
                            told: None,
                            alarm: None,
                            command: telling,
                            mail: telling,
                        });
                    }
                    (Step::Gone(since), Some(record)) => record.gone_since = since,
                    (Step::Note, Some(record)) => (record.seen, record.since) = (word, now),
                    (Step::Raise(what), Some(record)) => {
                        (record.told, record.logged_at) = (Some(what.clone()), None);
                        told = Some(what);
                    }
                    (Step::Log, Some(record)) => {
                        record.logged_at = Some(now);
                        logged = true;
                    }
                    (Step::Forget, record) => *record = None,
                    (Step::Rest, _) => return (told, logged),
                    (step, None) => unreachable!("{step:?} without a record"),
                }
            }
            unreachable!("it never rests");
        }
    }

    /// A table of minutes, what is seen then, what is told, and whether the log says something.
    fn plays(name: &str, table: &[(u64, Option<Seen>, Option<&str>, bool)]) {
        let mut story = Story::default();
        for (minute, seen, told, logged) in table {
            let now = NOW + Duration::from_mins(*minute);
            let heard = story.look(*seen, now);
            assert_eq!((heard.0.as_deref(), heard.1), (*told, *logged), "{name}: minute {minute}");
        }
    }

    #[test]
    fn a_refusal_is_told_at_once_and_logged_once_a_day() {
        plays(
            "refused",
            &[
                (0, Some(REFUSED), Some("refused"), true),
                (1, Some(REFUSED), None, false),
                (24 * 60 - 1, Some(REFUSED), None, false),
                (24 * 60, Some(REFUSED), None, true),
                (24 * 60 + 1, Some(REFUSED), None, false),
                (48 * 60, Some(REFUSED), None, true),
            ],
        );
    }

    #[test]
    fn an_outage_of_minutes_wakes_nobody_and_one_of_an_hour_does() {
        plays(
            "five minutes",
            &[
                (0, Some(Seen::Well), None, false),
                (1, Some(EXPIRED), None, false),
                (6, Some(Seen::Well), None, false),
                (7, Some(EXPIRED), None, false),
                (36, Some(EXPIRED), None, false),
                (36, Some(Seen::Well), None, false),
            ],
        );
        plays(
            "an hour",
            &[
                (0, Some(EXPIRED), None, false),
                (29, Some(EXPIRED), None, false),
                (30, Some(EXPIRED), Some("expired"), true),
                (60, Some(Seen::Well), None, false),
                (69, Some(Seen::Well), None, false),
                (70, Some(Seen::Well), Some("connected"), true),
                (71, Some(Seen::Well), None, false),
                (70 + 24 * 60, Some(Seen::Well), None, false),
            ],
        );
    }

    #[test]
    fn a_refused_login_wakes_nobody_unless_half_an_hour_brings_no_other() {
        let refused = |minute| Some(Seen::RefusedLogins { since: NOW + Duration::from_mins(minute) });
        plays(
            "a passing refusal",
            &[
                (0, Some(Seen::Well), None, false),
                (1, refused(0), None, false),
                (29, refused(0), None, false),
                (29, Some(Seen::Well), None, false),
                (31, Some(Seen::Well), None, false),
            ],
        );
        plays(
            "a login got in between two looks",
            &[(1, refused(0), None, false), (30, refused(29), None, false), (58, refused(29), None, false)],
        );
        plays(
            "half an hour",
            &[
                (0, Some(Seen::Well), None, false),
                (1, refused(0), None, false),
                (30, refused(0), Some("refused"), true),
                (31, refused(0), None, false),
                (32, Some(Seen::Well), None, false),
                (42, Some(Seen::Well), Some("connected"), true),
            ],
        );
        plays("the consent, too", &[(1, refused(0), None, false), (2, Some(REFUSED), Some("refused"), true)]);
        plays(
            "a clock that was set back",
            &[
                (1, refused(600), None, false),
                (30, refused(600), None, false),
                (31, refused(600), Some("refused"), true),
            ],
        );
    }

    #[test]
    fn who_comes_and_goes_is_told_when_it_lasts() {
        plays(
            "flapping",
            &[
                (0, Some(REFUSED), Some("refused"), true),
                (5, Some(Seen::Well), None, false),
                (10, Some(REFUSED), None, false),
                (12, Some(Seen::Well), None, false),
                (21, Some(Seen::Well), None, false),
                (22, Some(Seen::Well), Some("connected"), true),
                (23, Some(REFUSED), Some("refused"), true),
                (24, Some(EXPIRED), None, false),
                (30, Some(REFUSED), None, false),
                (31, Some(EXPIRED), None, false),
                (61, Some(EXPIRED), Some("expired"), true),
                (62, Some(REFUSED), Some("refused"), true),
            ],
        );
    }

    #[test]
    fn what_is_switched_off_or_removed_is_told_no_more() {
        plays(
            "switched off",
            &[
                (0, Some(REFUSED), Some("refused"), true),
                (1, None, None, false),
                (11, None, None, false),
                (20, Some(Seen::Well), None, false),
                (40, Some(Seen::Well), None, false),
                (41, Some(REFUSED), Some("refused"), true),
            ],
        );
    }

    #[allow(clippy::unnecessary_wraps, reason = "as it stands in the tables")]
    fn end(threshold: Option<u64>) -> Option<Seen> {
        Some(Seen::End { until: NOW + Duration::from_hours(24 * 31), threshold })
    }

    #[test]
    fn an_end_is_told_once_at_each_threshold_and_logged_every_day() {
        const DAY: u64 = 24 * 60;
        plays(
            "an end",
            &[
                (0, end(None), None, false),
                (DAY, end(Some(30)), Some("30"), true),
                (DAY + 1, end(Some(30)), None, false),
                (2 * DAY, end(Some(30)), None, true),
                (24 * DAY, end(Some(7)), Some("7"), true),
                (25 * DAY, end(Some(7)), None, true),
                (30 * DAY, end(Some(1)), Some("1"), true),
                (31 * DAY, end(Some(0)), Some("0"), true),
                (32 * DAY, end(Some(0)), None, true),
            ],
        );
        plays(
            "down for weeks",
            &[(DAY, end(Some(30)), Some("30"), true), (30 * DAY, end(Some(1)), Some("1"), true)],
        );
        plays("first seen late", &[(0, end(Some(7)), Some("7"), true)]);
        plays("first seen too late", &[(0, end(Some(0)), Some("0"), true), (1, end(Some(0)), None, false)]);
    }

    #[test]
    fn what_another_process_does_not_see_is_told_once() {
        let expired = [(0, Some(EXPIRED)), (10, None), (20, Some(EXPIRED)), (29, None)]
            .map(|(at, seen)| (at, seen, None, false));
        let expired: Vec<_> =
            expired.into_iter().chain([(30, Some(EXPIRED), Some("expired"), true)]).collect();
        plays("expired", &expired);
        plays(
            "an end",
            &[
                (0, end(Some(7)), Some("7"), true),
                (1, None, None, false),
                (2, end(Some(7)), None, false),
                (11, None, None, false),
                (12, end(Some(7)), None, false),
                (13, None, None, false),
                (23, None, None, false),
                (24, end(Some(7)), Some("7"), true),
            ],
        );
    }

    #[test]
    fn a_clock_that_is_set_back_repeats_nothing_and_silences_nothing_for_long() {
        let mut story = Story::default();
        let back = NOW - Duration::from_hours(20);
        assert_eq!(story.look(end(Some(7)), NOW), (Some("7".to_owned()), true));
        for (seen, now, logged) in [
            (end(Some(30)), back, false),
            (end(None), NOW - Duration::from_hours(24 * 365), false),
            (end(Some(7)), NOW, false),
            (end(Some(7)), NOW + DAY, true),
            (end(Some(30)), NOW - Duration::from_hours(72), true),
        ] {
            assert_eq!(story.look(seen, now), (None, logged), "{seen:?}");
        }

        let mut story = Story::default();
        assert_eq!(story.look(Some(EXPIRED), NOW), (None, false));
        assert_eq!(story.look(Some(EXPIRED), back), (None, false));
        assert_eq!(story.look(Some(EXPIRED), back + OUTAGE).0.as_deref(), Some("expired"));
    }

    #[test]
    fn what_was_seen_before_a_restart_has_to_last_again() {
        let mut story = Story::default();
        story.look(Some(EXPIRED), NOW);
        story.since = Some(NOW + Duration::from_hours(8));
        for (minutes, told) in [(8 * 60, None), (8 * 60 + 29, None), (8 * 60 + 30, Some("expired"))] {
            let heard = story.look(Some(EXPIRED), NOW + Duration::from_mins(minutes));
            assert_eq!(heard.0.as_deref(), told, "minute {minutes}");
        }
    }
}
