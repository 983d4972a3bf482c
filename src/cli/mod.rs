//! The command line: a file per subcommand. Each has its arguments and one `run`; what it prints for people goes to
//! standard output, what went wrong becomes a [`Failure`] that `main` prints and turns into the exit status.

pub mod check;

use std::fmt;
use std::path::PathBuf;

/// What the exit status says. 0 is success, 2 is clap's own for a wrong command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It was tried and did not work; the text says why.
    Failed = 1,
    /// The configuration file is missing or wrong.
    Configuration = 3,
    /// The state folder, its key or its owner is not as it must be.
    State = 4,
    /// The provider refused, or cannot be reached.
    Upstream = 5,
}

/// A command that did not do its job.
#[derive(Debug)]
pub struct Failure {
    /// The exit status.
    pub exit: Exit,
    /// What happened, to what, and what to do next. May have several lines.
    pub message: String,
}

impl Failure {
    /// A failure told in the given words.
    pub fn new(exit: Exit, message: impl fmt::Display) -> Self {
        Self { exit, message: message.to_string() }
    }
}

/// What every subcommand gets.
#[derive(Clone, Debug)]
pub struct Context {
    /// `--config`; searched for in the usual places where `None`.
    pub config: Option<PathBuf>,
}
