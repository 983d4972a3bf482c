//! Somebody else's program as a child process: found, started in the foreground in a folder of its own, waited for, and ended
//! with its value.
//!
//! Rule: nothing stays behind. It runs in a process group of its own, which is ended as a whole, also where this
//! process is killed.

use std::fmt;
use std::fs::{self, File, Permissions};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// As many sessions as every program is set up for. Two descriptors each are what a process can have where the limit is 20,000.
pub(super) const SESSIONS: usize = 9_900;

/// How long a program may take to start or to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long it may be silent behind a connection before it is asked anew.
const GREETING: Duration = Duration::from_secs(5);

/// A program that this machine does not have. `scripts/install-bench-peers` installs them all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotInstalled;

impl fmt::Display for NotInstalled {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("not installed")
    }
}

impl std::error::Error for NotInstalled {}

/// Where a program is, also in the folders that only root has in its PATH.
pub(super) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// Addresses of loopback that nobody listens on, each another one. For programs that cannot choose one themselves.
pub(super) fn free_addresses<const N: usize>() -> io::Result<[SocketAddr; N]> {
    let mut addresses = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); N];
    let mut held = Vec::new();
    for address in &mut addresses {
        let listener = TcpListener::bind(*address)?;
        *address = listener.local_addr()?;
        held.push(listener);
    }
    Ok(addresses)
}

/// A temporary folder that a program can also reach after it gave up being root.
pub(super) fn folder() -> io::Result<TempDir> {
    let folder = tempfile::Builder::new().prefix("gatepost-bench-").tempdir()?;
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755))?;
    Ok(folder)
}

/// A program, running until this is dropped. Fields are dropped in order: the folder goes last.
pub(super) struct Program {
    child: Child,
    watch: Child,
    log: PathBuf,
    _folder: TempDir,
}

impl Program {
    /// Starts it. What it prints goes into a file of the folder.
    pub(super) fn start(command: &mut Command, folder: TempDir) -> anyhow::Result<Self> {
        let log = folder.path().join("output.log");
        let output = File::create(&log)?;
        let child = command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        let watch = watch(child.id())?;
        Ok(Self { child, watch, log, _folder: folder })
    }

    /// The root of its process tree.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until somebody who connects there hears a line that begins so.
    pub(super) async fn greets(&mut self, address: SocketAddr, greeting: &str) -> anyhow::Result<()> {
        let heard = async || {
            timeout(GREETING, first_line(address)).await.is_ok_and(|line| line.starts_with(greeting))
        };
        self.comes_to(&format!("greet on {address}"), heard).await
    }

    /// Waits until the file is there.
    pub(super) async fn writes(&mut self, file: &Path) -> anyhow::Result<()> {
        self.comes_to(&format!("write {}", file.display()), async || file.exists()).await
    }

    async fn comes_to(&mut self, what: &str, there: impl AsyncFn() -> bool) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("ended by itself ({status}). It said:\n{}", self.output());
            }
            if there().await {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("does not {what}. It said:\n{}", self.output());
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    fn output(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    fn end(&mut self) -> io::Result<()> {
        self.watch.kill()?;
        self.watch.wait()?;
        let group = Pid::from_child(&self.child);
        // Who ended already is only waited for.
        let _gone = kill_process_group(group, Signal::TERM);
        let deadline = Instant::now() + PATIENCE;
        while self.child.try_wait()?.is_none() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(10));
        }
        // Its children, and itself where it did not listen.
        let _gone = kill_process_group(group, Signal::KILL);
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("cannot end process {}: {error}", self.child.id());
        }
    }
}

/// Ends the process group as soon as our end of a pipe is closed, which the kernel does for us when we are killed. It is no parent of
/// the program, so it isn't measured.
fn watch(group: u32) -> io::Result<Child> {
    Command::new("/bin/sh")
        .args(["-c", "read -r _; kill -TERM -\"$1\"", "watch", &group.to_string()])
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}

/// Empty where nobody answers.
async fn first_line(address: SocketAddr) -> String {
    let mut line = String::new();
    if let Ok(socket) = TcpStream::connect(address).await {
        // A connection that breaks is asked for again, as one that is refused.
        let _broken = BufReader::new(socket).read_line(&mut line).await;
    }
    line
}

/// Writes a file of the folder, and says where it is.
pub(super) fn write(folder: &Path, name: &str, content: &str) -> io::Result<PathBuf> {
    let file = folder.join(name);
    fs::write(&file, content)?;
    Ok(file)
}
