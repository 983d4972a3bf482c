//! [`Clock`]: wall time. What a provider gave ends by wall time, which goes on while a machine sleeps and may be set at any
//! moment; so nobody remembers a moment to wake at, but looks at the clock again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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
