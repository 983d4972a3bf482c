//! A command that waits for somebody who is not at its terminal: read line by line while it runs.

// Each test program takes its own part of this.
#![allow(dead_code)]

use std::process::{Output, Stdio};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// A command that waits for somebody.
pub(crate) struct Waiting {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// What it has said so far.
    pub(crate) told: String,
}

impl Waiting {
    /// Starts it, with nothing on its standard input.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines, told: String::new() }
    }

    /// Starts it, with this on its standard input.
    pub(crate) async fn start_with(command: &mut Command, input: &str) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        // A command that ends before it has read all of it is fine.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes()).await;
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines, told: String::new() }
    }

    /// The next line that begins so.
    pub(crate) async fn line(&mut self, start: &str) -> String {
        while let Some(line) = self.lines.next_line().await.unwrap() {
            self.told.push_str(&line);
            self.told.push('\n');
            if line.trim_start().starts_with(start) {
                return line.trim().to_owned();
            }
        }
        let mut errors = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut errors).await.unwrap();
        panic!("there is no line {start:?} in:\n{}{errors}", self.told);
    }

    /// The page and the code that a person is told.
    pub(crate) async fn code(&mut self) -> (String, String) {
        let page = self.line("https://").await;
        self.line("type the code").await;
        self.line("").await;
        (page, self.line("").await)
    }

    /// Presses Ctrl-C.
    pub(crate) fn interrupt(&self) {
        let id = self
            .child
            .id()
            .and_then(|id| rustix::process::Pid::from_raw(i32::try_from(id).unwrap()))
            .unwrap();
        rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
    }

    /// Its exit status, and all that it said.
    pub(crate) async fn end(mut self) -> (Option<i32>, String) {
        while let Some(line) = self.lines.next_line().await.unwrap() {
            self.told.push_str(&line);
            self.told.push('\n');
        }
        let Output { status, stderr, .. } = self.child.wait_with_output().await.unwrap();
        (status.code(), self.told + &String::from_utf8(stderr).unwrap())
    }
}
