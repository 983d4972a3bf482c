//! Other people's programs: found, started, waited for and stopped. Every one is a child of `tests/servers/guard`, which
//! stops it as soon as our end of a pipe is closed, so nothing stays behind however the test ends.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How long a server may take for anything that it is asked, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where `tests/servers` is.
pub(crate) fn servers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers")
}

/// A program by its name, also in the folders that only root has in its PATH.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// Says whether a program is there, and makes it known where it isn't.
pub(crate) fn needs(program: &str) -> bool {
    find(program).is_some() || missing(program)
}

/// Servers that change to other users can only be started by root.
pub(crate) fn needs_root(who: &str) -> bool {
    rustix::process::geteuid().is_root() || missing(&format!("being root, which {who} must be started as"))
}

/// A test cannot be run: a failure where `CI=true`, elsewhere a line that nobody can overlook and that
/// `scripts/test` counts.
pub(crate) fn missing(what: &str) -> bool {
    let test = thread::current().name().unwrap_or("a test").to_owned();
    let message =
        format!("SKIP: {test} needs {what}. scripts/install-test-dependencies installs what the tests need.");
    assert!(env::var_os("CI").is_none_or(|ci| ci != "true"), "{message}");
    // Not eprintln!, which the test runner keeps to itself when a test passes.
    let mut stderr = std::io::stderr();
    writeln!(stderr, "{message}").unwrap();
    if let Some(file) = env::var_os("GATEPOST_SKIPS") {
        let mut skips = OpenOptions::new().append(true).create(true).open(file).unwrap();
        writeln!(skips, "{message}").unwrap();
    }
    false
}

/// Ports of 127.0.0.1 that nobody listens on, each another one. For servers that cannot choose one themselves. They are below those
/// that the system gives to connections, or else one of these could have a port before its server does.
pub(crate) fn free_ports<const N: usize>() -> [u16; N] {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    [(); N].map(|()| {
        loop {
            let place = std::process::id().wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed)) % 12_000;
            let port = 20_000 + u16::try_from(place).unwrap();
            if TcpListener::bind(("127.0.0.1", port)).is_ok() {
                return port;
            }
        }
    })
}

/// Other programs don't say when they are ready: looks again until it is so, or gives up.
pub(crate) fn eventually(mut is_so: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        if Instant::now() > deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(20));
    }
    true
}

/// A program that runs until this is dropped.
pub(crate) struct Server {
    name: &'static str,
    guard: Child,
    log: PathBuf,
}

impl Server {
    /// Starts a program in the foreground. What it prints goes into the log file.
    pub(crate) fn start<A: AsRef<OsStr>>(
        name: &'static str,
        log: &Path,
        program: &Path,
        arguments: impl IntoIterator<Item = A>,
    ) -> Self {
        let output = File::create(log).unwrap();
        let (server, _) = Self::spawn(name, log, program, arguments, Stdio::from(output));
        server
    }

    /// The same for a program that tells something on its stdout first.
    pub(crate) fn start_listening<A: AsRef<OsStr>>(
        name: &'static str,
        log: &Path,
        program: &Path,
        arguments: impl IntoIterator<Item = A>,
    ) -> (Self, ChildStdout) {
        let (server, stdout) = Self::spawn(name, log, program, arguments, Stdio::piped());
        (server, stdout.unwrap())
    }

    fn spawn<A: AsRef<OsStr>>(
        name: &'static str,
        log: &Path,
        program: &Path,
        arguments: impl IntoIterator<Item = A>,
        stdout: Stdio,
    ) -> (Self, Option<ChildStdout>) {
        let errors = OpenOptions::new().append(true).create(true).open(log).unwrap();
        let mut guard = Command::new(servers().join("guard"))
            .arg(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(stdout)
            .stderr(errors)
            .spawn()
            .unwrap();
        let stdout = guard.stdout.take();
        (Self { name, guard, log: log.to_owned() }, stdout)
    }

    /// Waits until the port takes connections. Fails with the log where it never does.
    pub(crate) fn reachable_at(&mut self, port: u16) {
        let mut ended = None;
        let reached = eventually(|| {
            ended = self.guard.try_wait().unwrap();
            ended.is_some() || TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        if let Some(status) = ended {
            self.fail(&format!("ended by itself ({status})"));
        }
        if !reached {
            self.fail(&format!("does not listen on port {port}"));
        }
    }

    /// Ends the test with what the server had to say.
    pub(crate) fn fail(&self, what: &str) -> ! {
        panic!("{} {what}. Its log:\n{}", self.name, self.log());
    }

    /// Everything that it wrote so far.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if thread::panicking() {
            // Postfix writes its log through a process of its own, which would be stopped with the last lines unwritten.
            thread::sleep(Duration::from_millis(500));
        }
        // The end of the guard's stdin is its sign to stop the server, and it ends when the server has ended.
        drop(self.guard.stdin.take());
        eventually(|| !matches!(self.guard.try_wait(), Ok(None)));
        if thread::panicking() {
            let _ = writeln!(std::io::stderr(), "--- log of {} ---\n{}", self.name, self.log());
        }
    }
}
