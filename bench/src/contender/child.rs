//! The processes of a contender: they end when their value does, and are there once a port answers.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tokio::net::TcpStream;

/// How long a program may take until it listens.
const START: Duration = Duration::from_secs(60);

/// A process that is killed and waited for when this is dropped.
pub struct Running(Child);

impl Running {
    /// Starts it with a pipe as standard input and its output in a file, which an error shows the end of.
    pub fn start(command: &mut Command, output: &Path) -> anyhow::Result<Self> {
        let file = std::fs::File::create(output)?;
        let child = command
            .stdin(Stdio::piped())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        Ok(Self(child))
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Waits until all of these addresses take connections; how long that took.
    pub async fn listens(&mut self, addresses: &[SocketAddr], output: &Path) -> anyhow::Result<Duration> {
        let started = Instant::now();
        for address in addresses {
            while TcpStream::connect(address).await.is_err() {
                let ended = self.0.try_wait()?;
                if ended.is_some() || started.elapsed() > START {
                    let said = std::fs::read_to_string(output).unwrap_or_default();
                    bail!("nobody listens at {address} ({ended:?}):\n{said}");
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
        Ok(started.elapsed())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _killed = self.0.kill();
        let _status = self.0.wait();
    }
}
