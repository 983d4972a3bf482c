//! A person at a terminal: a program has a pseudo-terminal as its controlling terminal, shows something there, and is answered.
//!
//! ```text
//! let mut terminal = Terminal::start(gatepost.program(&["connect", "shared@example.test"]));
//! terminal.shows("Keep it? [y/N]");
//! terminal.types("y");
//! let (status, shown) = terminal.end();
//! ```
//!
//! Waiting blocks the thread. A test whose servers run in its own process takes `#[tokio::test(flavor = "multi_thread")]`.

// Each test program takes its own part of this.
#![allow(dead_code)]

use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use pty_process::Size;
use pty_process::blocking::{Pty, open};
use rustix::termios::{LocalModes, tcgetattr};

/// How long a program may think before a test gives it up, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_mins(1);

/// What most terminals begin with.
pub(crate) const COLUMNS: u16 = 80;
pub(crate) const ROWS: u16 = 24;

/// So far a person can scroll back. A taller screen shows the same, because Gatepost never goes up a line.
const LINES: NonZeroU16 = NonZeroU16::new(1000).unwrap();

/// A terminal with a program in it, which is killed when this is dropped.
pub(crate) struct Terminal {
    pty: Arc<Pty>,
    child: Child,
    output: Receiver<Vec<u8>>,
    octets: Vec<u8>,
    screen: vt100::Parser,
    /// How much of what was shown [`Self::shows`] has passed.
    read: usize,
}

impl Terminal {
    /// Starts a program in a terminal of 80 columns and 24 rows.
    pub(crate) fn start(command: Command) -> Self {
        Self::sized(command, COLUMNS, ROWS)
    }

    /// Starts a program in a terminal of this size.
    pub(crate) fn sized(mut command: Command, columns: u16, rows: u16) -> Self {
        command.env("TERM", "xterm-256color");
        // Whoever runs the tests may like it plain; a test that does says so.
        if !command.get_envs().any(|(name, _)| name == "NO_COLOR") {
            command.env_remove("NO_COLOR");
        }
        let (pty, pts) = open().unwrap();
        pty.resize(Size::new(rows, columns)).unwrap();
        let child = pty_process::blocking::Command::from(interruptible(&command)).spawn(pts).unwrap();
        let pty = Arc::new(pty);
        let (sender, output) = channel();
        let shown = Arc::clone(&pty);
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            // Linux answers EIO when the last program has left the terminal, other systems end the file.
            while let Ok(length @ 1..) = (&*shown).read(&mut buffer) {
                if sender.send(buffer[..length].to_vec()).is_err() {
                    break;
                }
            }
        });
        let screen = vt100::Parser::new(LINES, NonZeroU16::new(columns).unwrap(), 0);
        Self { pty, child, output, octets: Vec::new(), screen, read: 0 }
    }

    /// Waits until this is shown, behind what was waited for before. Gives all that was shown in between, without colours and
    /// with this text at its end.
    pub(crate) fn shows(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let shown = self.shown();
            let unread = &shown[self.read..];
            if let Some(position) = unread.find(text) {
                let end = position + text.len();
                self.read += end;
                return unread[..end].to_owned();
            }
            assert!(self.receive(deadline), "it ended without showing {text:?}. It showed:\n{shown}");
        }
    }

    /// Types a line, and presses Enter.
    pub(crate) fn types(&mut self, line: &str) {
        self.press(format!("{line}\r").as_bytes());
    }

    /// Presses Ctrl-C.
    pub(crate) fn interrupts(&mut self) {
        self.press(b"\x03");
    }

    /// Whether the terminal itself shows what is typed.
    pub(crate) fn echoes(&self) -> bool {
        tcgetattr(&*self.pty).unwrap().local_modes.contains(LocalModes::ECHO)
    }

    /// Waits until the program has ended. Its exit status, `None` where a signal ended it, and [`Self::screen`].
    pub(crate) fn end(&mut self) -> (Option<i32>, String) {
        let deadline = Instant::now() + PATIENCE;
        while self.receive(deadline) {}
        (self.child.wait().unwrap().code(), self.screen())
    }

    /// What a person sees now, scrolling back as well: what was wiped away is not there.
    pub(crate) fn screen(&self) -> String {
        self.screen.screen().contents()
    }

    /// Everything that the terminal was ever sent, colours and wiped text too.
    pub(crate) fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// The same without escape sequences, and with plain line ends.
    fn shown(&self) -> String {
        let text = String::from_utf8_lossy(&self.octets).replace("\r\n", "\n");
        let mut parts = text.split("\u{1b}[");
        let first = parts.next().unwrap_or_default().to_owned();
        // ECMA-48: parameters, then one octet from `@` to `~`.
        parts.fold(first, |shown, part| {
            shown + part.split_once(|octet| ('@'..='~').contains(&octet)).map_or("", |(_, text)| text)
        })
    }

    fn press(&mut self, keys: &[u8]) {
        (&*self.pty).write_all(keys).unwrap();
    }

    /// Takes in what comes next; false where the program has ended.
    fn receive(&mut self, deadline: Instant) -> bool {
        match self.output.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(octets) => {
                self.screen.process(&octets);
                self.octets.extend(octets);
                true
            }
            Err(RecvTimeoutError::Disconnected) => false,
            Err(RecvTimeoutError::Timeout) => panic!("it took too long. It showed:\n{}", self.shown()),
        }
    }
}

/// The same program with Ctrl-C as a terminal has it: a shell that runs the tests in the background ignores that signal, and whatever
/// it starts inherits this.
fn interruptible(command: &Command) -> Command {
    let mut interruptible = Command::new("env");
    interruptible.arg("--default-signal=INT").arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => interruptible.env(name, value),
            None => interruptible.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        interruptible.current_dir(folder);
    }
    interruptible
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // One that has ended already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
