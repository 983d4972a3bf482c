//! [`Pause`]: for how long what failed is left alone: longer after each failure in a row, with jitter, and never shorter than
//! the other side asked for. Rule: a clock that jumps ends a pause early, and never makes it longer.

use std::ops::RangeInclusive;
use std::time::{Duration, SystemTime};

/// More than this is not waited for, whatever `Retry-After` says: it may be a mistake, and mail waits.
const LONGEST_ASKED_FOR: Duration = Duration::from_hours(1);

/// The time after the last of some failures in a row.
#[derive(Clone, Debug)]
pub(crate) struct Pause {
    failures: u32,
    began: SystemTime,
    length: Duration,
}

impl Pause {
    /// The one that begins now, with a failure after those of `last`. The first takes the shortest of `lengths`; each further
    /// failure doubles it, up to the longest. `jitter`, from 0 to 1, adds up to a fifth.
    pub(crate) fn after(
        last: Option<&Self>,
        now: SystemTime,
        lengths: &RangeInclusive<Duration>,
        asked_for: Option<Duration>,
        jitter: f64,
    ) -> Self {
        let before = last.map_or(0, |last| last.failures);
        let doubled = lengths.start().saturating_mul(2_u32.saturating_pow(before)).min(*lengths.end());
        let length = doubled.max(asked_for.unwrap_or_default().min(LONGEST_ASKED_FOR));
        Self { failures: before.saturating_add(1), began: now, length: length + length.mul_f64(jitter / 5.0) }
    }

    /// How many failures in a row there were.
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    /// Whether it is over. It began by the clock, so before its beginning the clock was set back, and nobody knows.
    pub(crate) fn is_over(&self, now: SystemTime) -> bool {
        now.duration_since(self.began).map_or(true, |passed| passed >= self.length)
    }

    /// When it is over.
    pub(crate) fn until(&self) -> SystemTime {
        self.began + self.length
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn each_failure_in_a_row_doubles_the_pause_up_to_the_longest() {
        let (mut last, mut lengths) = (None, Vec::new());
        for _ in 0..40 {
            let pause = Pause::after(last.as_ref(), UNIX_EPOCH, &(2 * SECOND..=60 * SECOND), None, 0.0);
            lengths.push(pause.length.as_secs());
            last = Some(pause);
        }
        assert_eq!(lengths.first_chunk(), Some(&[2, 4, 8, 16, 32, 60, 60]));
        assert_eq!((lengths.last(), last.map(|last| last.failures())), (Some(&60), Some(40)));
    }

    #[test]
    fn it_lasts_as_long_as_was_asked_for_within_reason() {
        for (asked_for, jitter, seconds) in [
            (None, 0.0, 2),
            (Some(1), 0.0, 2),
            (Some(60), 0.0, 60),
            (Some(60), 1.0, 72),
            (Some(u64::MAX), 0.0, 3600),
        ] {
            let asked_for = asked_for.map(Duration::from_secs);
            let pause = Pause::after(None, UNIX_EPOCH, &(2 * SECOND..=10 * SECOND), asked_for, jitter);
            assert_eq!(pause.length, seconds * SECOND, "{asked_for:?}");
        }
    }

    #[test]
    fn a_clock_that_jumps_ends_it_and_never_makes_it_longer() {
        let noon = UNIX_EPOCH + Duration::from_hours(12);
        let pause = Pause::after(None, noon, &(60 * SECOND..=60 * SECOND), None, 0.0);
        for (now, over) in [
            (noon, false),
            (noon + 59 * SECOND, false),
            (pause.until(), true),
            (noon + Duration::from_hours(2000), true),
            (noon - SECOND, true),
            (UNIX_EPOCH, true),
        ] {
            assert_eq!(pause.is_over(now), over, "{now:?}");
        }
    }
}
