//! What Ctrl-C and SIGTERM do to a command: it is dropped where it waits, and the process ends with status 130.
//!
//! Rule: not before every refresh that has begun is in the store. The provider may have rotated the refresh token already, and then
//! its answer holds the only one that is still good (invariant 7).

use std::io::{IsTerminal, stderr};
use std::sync::{LazyLock, Once};
use std::time::Duration;

use tokio::task::JoinError;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Failure;
use super::run::stop_signal;
use crate::oauth::Tokens;
use crate::store::Store;

/// What shells take for the end by Ctrl-C.
const INTERRUPTED: i32 = 130;

/// As long as a refresh holds its lease. Behind it another process may refresh.
const LONGEST: Duration = Duration::from_secs(30);

// Signals are the process's, and so is this.
static INTERRUPT: LazyLock<CancellationToken> = LazyLock::new(CancellationToken::new);
static UNDER_WAY: LazyLock<TaskTracker> = LazyLock::new(TaskTracker::new);

/// Runs the command. It is this that the signals end, once somebody listens to them.
pub(super) async fn ends(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let Some(result) = INTERRUPT.run_until_cancelled(command).await else { end().await };
    result
}

/// From now on the signals end the command in order. Before, they end the process at once.
pub(super) fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Without the signals the process ends as any other does.
        let Ok(stop) = stop_signal() else { return };
        tokio::spawn(async move {
            stop.await;
            INTERRUPT.cancel();
        });
    });
}

/// Tokens whose refreshes no signal cuts short.
pub(super) fn tokens(store: Store) -> Tokens {
    listen();
    Tokens::tracked_by(UNDER_WAY.clone(), store)
}

/// A step that no signal cuts short.
pub(super) async fn whole<T: Send + 'static>(
    step: impl Future<Output = T> + Send + 'static,
) -> Result<T, JoinError> {
    listen();
    UNDER_WAY.spawn(step).await
}

async fn end() -> ! {
    if stderr().is_terminal() {
        eprintln!();
    }
    UNDER_WAY.close();
    if !UNDER_WAY.is_empty() {
        eprintln!("gatepost: ending as soon as the provider has answered: new tokens must not get lost");
        if timeout(LONGEST, UNDER_WAY.wait()).await.is_err() {
            eprintln!("gatepost: it did not answer");
        }
    }
    std::process::exit(INTERRUPTED)
}
