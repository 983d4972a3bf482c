//! The real program, run as a daemon.

use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use gatepost::sandbox::{CLIENT_SECRET, CLIENT_SECRET_VARIABLE};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::timeout;

/// How long anything that it does may take before a test gives it up.
const PATIENCE: Duration = Duration::from_mins(1);

/// `gatepost run`. It is killed when it is dropped.
pub struct Process {
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
    /// Where it listens, in the order of the configuration file.
    pub addresses: Vec<SocketAddr>,
}

impl Process {
    /// Starts and waits until it is ready.
    pub async fn ready(config: &Path) -> Self {
        let mut process = Self::begin(config, None);
        assert!(process.becomes_ready().await, "it ended before it was ready");
        process
    }

    /// Starts; it is to end at this crash point.
    pub fn begin(config: &Path, crash_at: Option<&str>) -> Self {
        let mut command = command(config);
        command.args(["--log-format", "json", "run"]).stderr(Stdio::piped());
        command.env("RUST_LOG", "info").envs(crash_at.map(|name| ("GATEPOST_CRASH_AT", name)));
        let mut child = command.spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, log, addresses: Vec::new() }
    }

    /// Reads the log until it says so; false when it ends before.
    pub async fn becomes_ready(&mut self) -> bool {
        let reading = async {
            while let Some(line) = self.log.next_line().await.unwrap() {
                let event: serde_json::Value = serde_json::from_str(&line).unwrap();
                match event["message"].as_str() {
                    Some("listening") => {
                        self.addresses.push(event["address"].as_str().unwrap().parse().unwrap());
                    }
                    Some("ready") => return true,
                    _ => {}
                }
            }
            false
        };
        timeout(PATIENCE, reading).await.unwrap()
    }

    /// Reads the log until it says this.
    pub async fn says(&mut self, message: &str) {
        let reading = async {
            while let Some(line) = self.log.next_line().await.unwrap() {
                let event: serde_json::Value = serde_json::from_str(&line).unwrap();
                if event["message"] == message {
                    return true;
                }
            }
            false
        };
        assert!(timeout(PATIENCE, reading).await.unwrap(), "it never said: {message}");
    }

    /// Reads the log to the end. Its exit status.
    pub async fn ends(mut self) -> ExitStatus {
        while let Some(_line) = self.log.next_line().await.unwrap() {}
        timeout(PATIENCE, self.child.wait()).await.unwrap().unwrap()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// Waits until it has aborted.
    pub async fn aborts(mut self) {
        // What it still logs must not make it wait.
        while let Some(_line) = self.log.next_line().await.unwrap() {}
        let status: ExitStatus = timeout(PATIENCE, self.child.wait()).await.unwrap().unwrap();
        assert_eq!(status.signal(), Some(rustix::process::Signal::ABORT.as_raw()), "{status}");
    }

    /// Kills it, and waits until it is gone.
    pub async fn killed(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Asks it to stop, and waits until it has.
    pub async fn stops(self) {
        signal(self.id(), rustix::process::Signal::TERM);
        let status = self.ends().await;
        assert!(status.success(), "{status}");
    }
}

/// Runs another subcommand to its end, with this on its standard input. Gives its exit status and all that it said.
pub async fn said(config: &Path, arguments: &[&str], input: &str) -> (Option<i32>, String) {
    let mut child =
        command(config).args(arguments).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A command that reads nothing may be gone by now.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes()).await;
    let output = timeout(PATIENCE, child.wait_with_output()).await.unwrap().unwrap();
    let text = [output.stdout, output.stderr].map(|octets| String::from_utf8(octets).unwrap()).concat();
    (output.status.code(), text)
}

/// Runs another subcommand to its end, with this on its standard input.
pub async fn run(config: &Path, arguments: &[&str], input: &str) {
    let mut child = command(config).args(arguments).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
    let output = timeout(PATIENCE, child.wait_with_output()).await.unwrap().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
}

/// Runs another subcommand, which is to end at this crash point.
pub async fn aborts_at(config: &Path, arguments: &[&str], place: &str) {
    let child = command(config).args(arguments).env("GATEPOST_CRASH_AT", place).spawn().unwrap();
    let output = timeout(PATIENCE, child.wait_with_output()).await.unwrap().unwrap();
    let abort = rustix::process::Signal::ABORT.as_raw();
    assert_eq!(output.status.signal(), Some(abort), "{place} was not met: {output:?}");
}

/// Begins another subcommand, whose standard error is read line by line.
pub fn begin(config: &Path, arguments: &[&str]) -> (Child, Lines<BufReader<ChildStderr>>) {
    let mut child =
        command(config).args(arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let said = BufReader::new(child.stderr.take().unwrap()).lines();
    (child, said)
}

/// Sends a process this signal.
pub fn signal(id: u32, signal: rustix::process::Signal) {
    let id = i32::try_from(id).ok().and_then(rustix::process::Pid::from_raw).unwrap();
    rustix::process::kill_process(id, signal).unwrap();
}

fn command(config: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
    command.arg("--config").arg(config).env(CLIENT_SECRET_VARIABLE, CLIENT_SECRET);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    command
}
