//! Keeps up what runs beside the sessions. Rule: a fault in it is logged, and it begins again; mail goes on meanwhile, since every
//! login refreshes its own token where nobody did it before.

use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::error;

/// Long enough that a fault which comes at once every time does not fill the disk with its log.
const MOMENT: Duration = Duration::from_secs(10);

/// Runs it until it ends by itself, which it does when Gatepost stops.
pub(super) async fn kept_up<Running>(
    what: &'static str,
    stopping: CancellationToken,
    run: impl Fn(CancellationToken) -> Running,
) where
    Running: Future<Output = ()> + Send + 'static,
{
    // In a task of its own, because a panic ends the task that it happens in.
    while tokio::spawn(run(stopping.clone())).await.is_err() {
        error!(
            "a fault in Gatepost has ended {what}; it begins again in {} s: please report this",
            MOMENT.as_secs()
        );
        if stopping.run_until_cancelled(sleep(MOMENT)).await.is_none() {
            return;
        }
    }
}

#[cfg(test)]
#[allow(clippy::panic, reason = "it is what the tests are about")]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_panics_begins_again_and_what_ends_does_not() {
        let begun = Arc::new(AtomicU32::new(0));
        let run = |_| {
            let begun = Arc::clone(&begun);
            async move {
                assert!(begun.fetch_add(1, Ordering::Relaxed) >= 2, "on purpose");
            }
        };
        kept_up("what is tried", CancellationToken::new(), run).await;
        assert_eq!(begun.load(Ordering::Relaxed), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_begins_again_while_gatepost_stops() {
        let stopping = CancellationToken::new();
        let run = |stopping: CancellationToken| async move {
            assert!(!stopping.is_cancelled(), "it began again");
            stopping.cancel();
            panic!("on purpose");
        };
        kept_up("what is tried", stopping.clone(), run).await;
    }
}
