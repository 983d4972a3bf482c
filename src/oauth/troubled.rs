//! Providers that give no tokens, whoever asks. Rule: a thousand grants of one provider ask it no more often than one does. After a
//! pause a single request tries it, and the others hear what it said last; a success ends that.

use std::ops::RangeInclusive;
use std::time::{Duration, SystemTime};

use dashmap::DashMap;
use tokio::sync::watch;

use super::diagnosis::EndpointError;
use super::error::TokenError;
use super::refresh::Outcome;
use crate::pause::Pause;
use crate::random;

/// Between requests to a provider that fails. Where it says when it wants to be asked again, that counts.
const PAUSES: RangeInclusive<Duration> = Duration::from_secs(2)..=Duration::from_mins(1);

/// By name, the providers that failed last.
#[derive(Debug, Default)]
pub(super) struct Troubled(DashMap<String, Trouble>);

#[derive(Debug)]
struct Trouble {
    error: EndpointError,
    pause: Pause,
    /// The one refresh that tries whether it is over.
    probe: Option<watch::Receiver<Option<Outcome>>>,
}

impl Troubled {
    /// Whether the provider may be asked now, by the refresh that ends with this outcome; if not, what it said last.
    pub(super) fn admit(
        &self,
        provider: &str,
        refresh: &watch::Receiver<Option<Outcome>>,
        now: SystemTime,
    ) -> Result<(), EndpointError> {
        let Some(mut trouble) = self.0.get_mut(provider) else { return Ok(()) };
        // A sender that is gone means a task that was killed.
        let is_tried = trouble.probe.as_ref().is_some_and(|probe| probe.has_changed().is_ok());
        if is_tried || !trouble.pause.is_over(now) {
            return Err(trouble.error.clone());
        }
        trouble.probe = Some(refresh.clone());
        Ok(())
    }

    /// How a refresh ended.
    pub(super) fn note(&self, provider: &str, outcome: &Outcome, now: SystemTime) {
        let error = match outcome.as_ref().map_err(TokenError::endpoint) {
            Ok(_) => None,
            Err(Some(error)) => Some(error),
            // It was not asked, or what it said is about a person.
            Err(None) => return,
        };
        let last = self.0.get(provider).map(|trouble| trouble.pause.clone());
        // Several that were on their way at once are one failure; and one that began before the pause says nothing of it.
        let paused = last.as_ref().filter(|pause| !pause.is_over(now));
        // What concerns one grant alone says that the provider answers.
        let Some(error) = error.filter(|error| error.concerns_provider()) else {
            if paused.is_none() {
                self.0.remove(provider);
            }
            return;
        };
        let before = last.as_ref().filter(|_| paused.is_none());
        let pause = Pause::after(before, now, &PAUSES, error.retry_after(), random::fraction());
        if paused.is_none_or(|paused| paused.until() < pause.until()) {
            self.0.insert(provider.to_owned(), Trouble { error: error.clone(), pause, probe: None });
        }
    }
}
