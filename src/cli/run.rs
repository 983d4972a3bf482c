//! `gatepost run`: Gatepost in production, until SIGTERM or Ctrl-C.

use std::io;

use tracing::{info, warn};

use super::{Context, Exit, Failure};
use crate::daemon::{Daemon, StartError};

/// `gatepost run`.
#[derive(clap::Args, Debug)]
pub struct Arguments {}

impl Arguments {
    /// Runs until told to stop, then drains.
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        // Before anything else: a stop that comes early is a stop too, and not a kill.
        let stop = stop_signal().map_err(|error| Failure::new(Exit::Failed, error))?;
        let config = context.config()?;
        let store = context.store(&config).await?;
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
        let signal = stop.await;
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

/// Listens from now on for the signals that ask us to stop; what it gives resolves with the name of the first.
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
    Ok(async {
        match tokio::signal::ctrl_c().await {
            Ok(()) => "Ctrl-C",
            Err(_) => std::future::pending().await,
        }
    })
}
