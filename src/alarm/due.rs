//! What of the alarms in the store is to be told now, and what together: pure, by the time alone.

use std::time::{Duration, SystemTime};

use super::words::{Alarm, Kind};
use crate::store::alarms::{AlarmRecord, Channel, Telling};

/// How often telling is tried.
pub(super) const TRIES: i64 = 5;

/// After this kind of alarm at a provider, more of the kind are gathered: where an outage takes a hundred accounts one after the
/// other, nobody wants a hundred calls.
const GATHERED: Duration = Duration::from_mins(30);

/// The least time between two messages.
const BETWEEN_MESSAGES: Duration = Duration::from_mins(15);

/// Messages in 24 hours. What is over that waits, and goes into one.
const MESSAGES_A_DAY: usize = 10;

const DAY: Duration = Duration::from_hours(24);

/// An alarm that is to be told.
#[derive(Clone, Debug)]
pub(super) struct Due {
    /// As it was read: whoever claims it names it.
    pub(super) record: AlarmRecord,
    pub(super) alarm: Alarm,
}

impl Due {
    /// What has changed since, or is not seen any more, waits until it is clear what has become of it.
    fn still_holds(&self) -> bool {
        match self.alarm.kind {
            _ if self.record.gone_since.is_some() => false,
            Kind::Account | Kind::AllClear => self.record.told.as_ref() == Some(&self.record.seen),
            _ => true,
        }
    }
}

/// When the next try after one that leaves so many comes. All are longer than a try may take, since a try that nobody ended may
/// still be under way.
pub(super) fn pause(left: i64) -> Duration {
    match left {
        4.. => Duration::from_mins(3),
        3 => Duration::from_mins(10),
        2 => Duration::from_hours(1),
        _ => LONGEST_PAUSE,
    }
}

const LONGEST_PAUSE: Duration = Duration::from_hours(4);

/// Everything that the channel is to tell now.
pub(super) fn due(records: Vec<AlarmRecord>, channel: Channel, now: SystemTime) -> Vec<Due> {
    records
        .into_iter()
        .filter(|record| is_due(record.telling(channel), now))
        .filter_map(|record| Some(Due { alarm: alarm(&record)?, record }))
        .filter(Due::still_holds)
        .collect()
}

/// The same in groups of which each is told by one run of the command.
pub(super) fn due_groups(records: Vec<AlarmRecord>, now: SystemTime) -> Vec<Vec<Due>> {
    let channel = Channel::Command;
    let lately: Vec<Group> = records
        .iter()
        .filter(|record| was_told_lately(record.telling(channel), now))
        .filter_map(|record| alarm(record).map(|alarm| group(&alarm)))
        .collect();
    let mut groups: Vec<(Group, Vec<Due>)> = Vec::new();
    for due in due(records, channel, now) {
        let group = group(&due.alarm);
        // A try that failed is not held up by one that succeeded.
        if lately.contains(&group) && due.record.telling(channel).left == TRIES {
            continue;
        }
        match groups.iter_mut().find(|(known, _)| *known == group) {
            Some((_, together)) => together.push(due),
            None => groups.push((group, vec![due])),
        }
    }
    groups.into_iter().map(|(_, together)| together).collect()
}

/// Whether another message may go out, after those.
pub(super) fn may_send(sent: &[SystemTime], now: SystemTime) -> bool {
    // Messages of the future are from before the clock was set back.
    let ago = || sent.iter().filter_map(|at| now.duration_since(*at).ok());
    ago().all(|ago| ago >= BETWEEN_MESSAGES) && ago().filter(|ago| *ago < DAY).count() < MESSAGES_A_DAY
}

/// How far back messages count.
pub(super) fn oldest_message(now: SystemTime) -> SystemTime {
    now.checked_sub(DAY).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// What is told together.
type Group = (Kind, String, Option<String>);

fn group(alarm: &Alarm) -> Group {
    (alarm.kind, alarm.provider.clone(), alarm.state.clone())
}

fn alarm(record: &AlarmRecord) -> Option<Alarm> {
    serde_json::from_str(record.alarm.as_deref()?).ok()
}

/// A time further away than any pause is from before the clock was set back.
fn is_due(Telling { left, at }: Telling, now: SystemTime) -> bool {
    let ahead = at.duration_since(now).unwrap_or_default();
    left > 0 && (ahead.is_zero() || ahead > LONGEST_PAUSE)
}

fn was_told_lately(Telling { left, at }: Telling, now: SystemTime) -> bool {
    left == 0 && now.duration_since(at).is_ok_and(|ago| ago < GATHERED)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::time::UNIX_EPOCH;

    use super::*;

    /// Any moment will do.
    const NOW: SystemTime = UNIX_EPOCH;

    fn record(subject: &str, provider: &str, kind: Kind, left: i64, at: SystemTime) -> AlarmRecord {
        let alarm = Alarm { kind, provider: provider.to_owned(), ..Alarm::sample() };
        let telling = Telling { left, at };
        AlarmRecord {
            subject: subject.to_owned(),
            seen: "refused".to_owned(),
            since: NOW,
            gone_since: None,
            logged_at: None,
            number: 1,
            told: Some("refused".to_owned()),
            alarm: Some(serde_json::to_string(&alarm).unwrap()),
            command: telling,
            mail: telling,
        }
    }

    fn subjects(groups: Vec<Vec<Due>>) -> Vec<String> {
        let names =
            |group: Vec<Due>| group.into_iter().map(|due| due.record.subject).collect::<Vec<_>>().join("+");
        groups.into_iter().map(names).collect()
    }

    #[test]
    fn a_try_comes_when_its_time_has_come_or_the_clock_was_set_back() {
        let second = Duration::from_secs(1);
        for (left, at, expected) in [
            (5, NOW, true),
            (5, NOW - DAY, true),
            (1, NOW + second, false),
            (1, NOW + LONGEST_PAUSE, false),
            (1, NOW + LONGEST_PAUSE + second, true),
            (0, NOW - DAY, false),
        ] {
            assert_eq!(is_due(Telling { left, at }, NOW), expected, "{left} left");
        }
    }

    #[test]
    fn what_has_changed_since_or_is_gone_is_not_told_of() {
        let changed =
            AlarmRecord { seen: "connected".to_owned(), ..record("a", "contoso", Kind::Account, TRIES, NOW) };
        assert_eq!(due(vec![changed.clone()], Channel::Mail, NOW).len(), 0);
        let gone =
            AlarmRecord { gone_since: Some(NOW), ..record("a", "contoso", Kind::ClientSecret, TRIES, NOW) };
        assert_eq!(due(vec![gone], Channel::Mail, NOW).len(), 0);
        let back = AlarmRecord { seen: "refused".to_owned(), ..changed };
        assert_eq!(due(vec![back], Channel::Mail, NOW).len(), 1);
    }

    #[test]
    fn the_pauses_grow_and_none_is_shorter_than_a_try() {
        let pauses: Vec<_> = (0..TRIES).rev().map(pause).collect();
        assert!(pauses.is_sorted() && pauses.first() >= Some(&Duration::from_mins(3)), "{pauses:?}");
    }

    #[test]
    fn accounts_of_a_provider_in_the_same_trouble_are_one_call() {
        let records = vec![
            record("a", "contoso", Kind::Account, TRIES, NOW),
            record("b", "fabrikam", Kind::Account, TRIES, NOW),
            record("c", "contoso", Kind::Account, TRIES, NOW),
            record("d", "contoso", Kind::AllClear, TRIES, NOW),
            record("e", "contoso", Kind::Account, 2, NOW + Duration::from_mins(1)),
        ];
        assert_eq!(subjects(due_groups(records, NOW)), ["a+c", "b", "d"]);
    }

    #[test]
    fn after_one_call_the_next_of_its_kind_are_gathered_for_half_an_hour() {
        let records = |ago: u64| {
            vec![
                record("told", "contoso", Kind::Account, 0, NOW - Duration::from_mins(ago)),
                record("new", "contoso", Kind::Account, TRIES, NOW - Duration::from_mins(1)),
                record("failed", "contoso", Kind::Account, TRIES - 1, NOW - Duration::from_mins(1)),
                record("elsewhere", "fabrikam", Kind::Account, TRIES, NOW),
            ]
        };
        assert_eq!(subjects(due_groups(records(29), NOW)), ["failed", "elsewhere"]);
        assert_eq!(subjects(due_groups(records(30), NOW)), ["new+failed", "elsewhere"]);
    }

    #[test]
    fn messages_keep_their_distance_and_are_no_more_than_ten_a_day() {
        let minutes = |ago: u64| NOW - Duration::from_mins(ago);
        let ten: Vec<_> = (1..=10).map(|hour| minutes(60 * hour)).collect();
        let nine_and_an_old_one: Vec<_> = (1..=9).map(|hour| minutes(60 * hour)).chain([NOW - DAY]).collect();
        for (sent, expected) in [
            (vec![], true),
            (vec![minutes(14)], false),
            (vec![minutes(15)], true),
            (ten, false),
            (nine_and_an_old_one, true),
            (vec![NOW + DAY; 20], true),
        ] {
            assert_eq!(may_send(&sent, NOW), expected, "{sent:?}");
        }
    }
}
