//! [`Clock`]: wall time. What a provider gave ends by wall time, which goes on while a machine sleeps and may be set at any
//! moment; so nobody remembers a moment to wake at, but looks at the clock again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use time::macros::datetime;

/// Tells the time. Cheap to clone; clones tell the same time.
#[derive(Clone, Debug, Default)]
pub struct Clock(Option<Arc<AtomicU64>>);

/// Sets a [`Clock`] by hand, so that a year can pass in a second.
#[derive(Debug)]
pub struct Hands(Arc<AtomicU64>);

impl Clock {
    /// The system's.
    pub fn system() -> Self {
        Self::default()
    }

    /// One that stands at `at` until its hands are moved.
    pub fn by_hand(at: SystemTime) -> (Self, Hands) {
        let hands = Hands(Arc::default());
        hands.set(at);
        (Self(Some(Arc::clone(&hands.0))), hands)
    }

    /// The time now.
    pub fn now(&self) -> SystemTime {
        match &self.0 {
            Some(milliseconds) => UNIX_EPOCH + Duration::from_millis(milliseconds.load(Ordering::Relaxed)),
            None => SystemTime::now(),
        }
    }
}

/// The day and time in UTC. Beyond the year 9999, where RFC 3339 ends, it is the last second of that.
pub fn utc(moment: SystemTime) -> OffsetDateTime {
    let since = match moment.duration_since(UNIX_EPOCH) {
        Ok(since) => i128::try_from(since.as_nanos()).ok(),
        Err(before) => i128::try_from(before.duration().as_nanos()).ok().map(|before| -before),
    };
    since
        .and_then(|since| OffsetDateTime::from_unix_timestamp_nanos(since).ok())
        .unwrap_or(datetime!(9999-12-31 23:59:59 UTC))
}

impl Hands {
    /// Sets it, to the millisecond, forward or back.
    pub fn set(&self, at: SystemTime) {
        let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
        self.0.store(u64::try_from(since.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Moves it forward.
    pub fn forward(&self, by: Duration) {
        self.0.fetch_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_moment_has_a_day() {
        let seconds = Duration::from_secs;
        for (moment, expected) in [
            (UNIX_EPOCH - seconds(1), "1969-12-31"),
            (UNIX_EPOCH + seconds(1_700_000_000), "2023-11-14"),
            (UNIX_EPOCH + seconds(253_402_300_799), "9999-12-31"),
            (UNIX_EPOCH + seconds(253_402_300_800), "9999-12-31"),
            (UNIX_EPOCH + Duration::from_millis(u64::MAX / 2), "9999-12-31"),
        ] {
            assert_eq!(utc(moment).date().to_string(), expected);
        }
    }

    #[test]
    fn a_clock_by_hand_stands_until_it_is_moved() {
        let start = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let (clock, hands) = Clock::by_hand(start);
        let copy = clock.clone();
        assert_eq!(clock.now(), start);
        hands.forward(Duration::from_hours(1));
        assert_eq!(copy.now(), start + Duration::from_hours(1));
        hands.set(start);
        assert_eq!(clock.now(), start);
        assert!(Clock::system().now() > start);
    }
}
