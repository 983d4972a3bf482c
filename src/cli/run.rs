//! `gatepost run`: Gatepost in production, until SIGTERM or Ctrl-C.

use std::io;

use tracing::{info, warn};

use super::{Context, Exit, Failure, user_names};
use crate::daemon::{Daemon, StartError};

/// `gatepost run`.
#[derive(clap::Args, Debug)]
pub struct Arguments {}

impl Arguments {
    /// Runs until told to stop, then drains.
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let config = context.config()?;
        let store = context.store(&config).await?;
        user_names::refuse_ambiguous(&config, &store).await?;
        let path = config.path.clone();
        let daemon = Daemon::start(config, store).await.map_err(|error| {
            let exit = match error {
                StartError::Bind { .. } => Exit::Failed,
                StartError::Store(_) => Exit::State,
                StartError::Tls(_) => Exit::Configuration,
            };
            Failure::new(exit, error)
        })?;
        info!(config = %path.display(), "ready");
        notify(&[sd_notify::NotifyState::Ready]);
        let signal = stop_signal().await.map_err(|error| Failure::new(Exit::Failed, error))?;
        info!(signal, "told to stop");
        notify(&[sd_notify::NotifyState::Stopping]);
        daemon.stop().await;
        Ok(())
    }
}

/// Tells systemd, where it started us (Type=notify).
fn notify(states: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        warn!("systemd was not told: {error}");
    }
}

/// Resolves with the name of the signal that asks us to stop.
pub async fn stop_signal() -> io::Result<&'static str> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted.map(|()| "Ctrl-C"),
            _ = terminate.recv() => Ok("SIGTERM"),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await.map(|()| "Ctrl-C")
}
