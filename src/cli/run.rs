//! `gatepost run`: Gatepost in production, until SIGTERM or Ctrl-C.

use std::io;

use tracing::{info, warn};

use super::{Context, Exit, Failure, user_names};
use crate::daemon::{Daemon, StartError};

/// `gatepost run`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// How many threads carry the sessions. One carries several Gbit/s or a thousand logins a second, and a login costs it less than
    /// two; take more where one core is not enough
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(super) threads: u8,
}

impl Arguments {
    /// Runs until told to stop, then drains.
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let config = context.config()?;
        let store = context.store(&config).await?;
        user_names::refuse_ambiguous(&config, &store).await?;
        let path = config.path.clone();
        let stop = stop_signal().map_err(|error| Failure::new(Exit::Failed, error))?;
        let daemon = Daemon::start(config, &store).map_err(|error| {
            let exit = match error {
                StartError::Bind { .. } => Exit::Failed,
                StartError::Store(_) => Exit::State,
                StartError::Tls(_) => Exit::Configuration,
            };
            Failure::new(exit, error)
        })?;
        info!(config = %path.display(), "ready");
        notify(&[sd_notify::NotifyState::Ready]);
        let signal = stop.await;
        info!(signal, "told to stop");
        notify(&[sd_notify::NotifyState::Stopping]);
        let again = stop_signal().map_err(|error| Failure::new(Exit::Failed, error))?;
        let tokens = daemon.tokens().clone();
        tokio::select! {
            () = daemon.stop() => Ok(()),
            signal = again => {
                info!(signal, "told to stop at once");
                // An answer on its way may hold the only refresh token that is still good. None takes longer than its lease.
                tokens.settled().await;
                let message = format!("ended by a second {signal}, before every session had finished");
                Err(Failure::new(Exit::Failed, message))
            }
        }
    }
}

/// Tells systemd, where it started us (Type=notify).
fn notify(states: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        warn!("systemd was not told: {error}");
    }
}

/// Listens from now on for the signals that ask us to stop; what it gives resolves with the name of the first. Whoever
/// says that it is ready must listen already: a signal that nobody listens for kills at once.
pub fn stop_signal() -> io::Result<impl Future<Output = &'static str>> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        Ok(async move {
            tokio::select! {
                _ = interrupt.recv() => "Ctrl-C",
                _ = terminate.recv() => "SIGTERM",
            }
        })
    }
    #[cfg(not(unix))]
    {
        let mut interrupt = tokio::signal::windows::ctrl_c()?;
        Ok(async move {
            interrupt.recv().await;
            "Ctrl-C"
        })
    }
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]
mod tests {
    use rustix::process::{Signal, getpid, kill_process};

    use super::stop_signal;

    #[tokio::test]
    async fn a_signal_that_comes_before_anybody_waits_is_not_missed() {
        let stop = stop_signal().unwrap();
        kill_process(getpid(), Signal::TERM).unwrap();
        assert_eq!(stop.await, "SIGTERM");
    }
}
