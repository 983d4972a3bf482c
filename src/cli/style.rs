//! Colour for people: on a terminal, and never with `NO_COLOR` (no-color.org). And how wide their terminal is.

use std::io::{IsTerminal, stdout};

/// Whether standard output takes colour.
pub fn is_on() -> bool {
    stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// The width of a terminal; `None` where it is unknown, or no terminal.
#[cfg(unix)]
pub fn columns(terminal: impl std::os::fd::AsFd) -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(terminal).ok()?;
    // Serial consoles often say 0.
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

/// Nobody is asked elsewhere.
#[cfg(not(unix))]
pub fn columns<T>(_terminal: T) -> Option<usize> {
    None
}

/// Before what worked.
pub fn tick() -> &'static str {
    if is_on() { "\u{1b}[32m\u{2713}\u{1b}[0m" } else { "\u{2713}" }
}

/// Before what did not.
pub fn cross() -> &'static str {
    if is_on() { "\u{1b}[31m\u{2717}\u{1b}[0m" } else { "\u{2717}" }
}
