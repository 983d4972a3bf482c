//! Moments, as commands tell them: to people by how far away they are, or to the minute in UTC; to scripts as RFC 3339 has them.

use std::time::{Duration, SystemTime};

use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

use crate::clock::utc;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Further away than this, the day itself says more.
const MOST_DAYS: u64 = 99;

/// How far away it is: `3 days ago`, `now`, `in 59 min`. At most eleven characters.
pub(super) fn from(now: SystemTime, moment: SystemTime) -> String {
    let (distance, is_ahead) = match moment.duration_since(now) {
        Ok(distance) => (distance, true),
        Err(error) => (error.duration(), false),
    };
    match (far(distance).as_deref(), is_ahead) {
        (None, _) => day(moment),
        (Some(""), _) => "now".to_owned(),
        (Some(far), true) => format!("in {far}"),
        (Some(far), false) => format!("{far} ago"),
    }
}

/// To the minute, in UTC.
pub(super) fn to_the_minute(moment: SystemTime) -> String {
    // Only a year beyond 9999 has no such form.
    utc(moment).format(format_description!("[year]-[month]-[day] [hour]:[minute]")).unwrap_or_default()
}

/// For scripts.
pub(super) fn rfc_3339(moment: SystemTime) -> String {
    utc(moment).format(&Rfc3339).unwrap_or_default()
}

/// The day, in UTC.
pub(super) fn day(moment: SystemTime) -> String {
    utc(moment).date().to_string()
}

/// In whole units that have passed or are left; empty for less than a minute, `None` for more than can be pictured.
fn far(distance: Duration) -> Option<String> {
    let seconds = distance.as_secs();
    Some(match (seconds / MINUTE, seconds / HOUR, seconds / DAY) {
        (0, ..) => String::new(),
        (minutes @ 1..60, ..) => format!("{minutes} min"),
        (_, hours @ 0..48, _) => format!("{hours} h"),
        (.., days @ 0..=MOST_DAYS) => format!("{days} days"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn a_moment_is_as_far_away_as_one_can_picture() {
        let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        for (seconds, ahead, behind) in [
            (0, "now", "now"),
            (59, "now", "now"),
            (60, "in 1 min", "1 min ago"),
            (3599, "in 59 min", "59 min ago"),
            (3600, "in 1 h", "1 h ago"),
            (2 * DAY - 1, "in 47 h", "47 h ago"),
            (2 * DAY, "in 2 days", "2 days ago"),
            (100 * DAY - 1, "in 99 days", "99 days ago"),
            (100 * DAY, "2024-02-22", "2023-08-06"),
        ] {
            let distance = Duration::from_secs(seconds);
            assert_eq!(
                (from(now, now + distance), from(now, now - distance)),
                (ahead.to_owned(), behind.to_owned())
            );
        }
    }
}
