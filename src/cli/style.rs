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

/// The height of a terminal; `None` where it is unknown, or no terminal.
#[cfg(unix)]
pub fn rows(terminal: impl std::os::fd::AsFd) -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(terminal).ok()?;
    Some(usize::from(size.ws_row)).filter(|rows| *rows > 0)
}

/// Nobody is asked elsewhere.
#[cfg(not(unix))]
pub fn rows<T>(_terminal: T) -> Option<usize> {
    None
}

/// Before what worked.
pub fn tick() -> String {
    green("\u{2713}")
}

/// Before what did not.
pub fn cross() -> String {
    red("\u{2717}")
}

/// What is well.
pub fn green(text: &str) -> String {
    coloured(32, text)
}

/// What is not.
pub fn red(text: &str) -> String {
    coloured(31, text)
}

/// What will not be well for ever.
pub fn yellow(text: &str) -> String {
    coloured(33, text)
}

/// By a number of ECMA-48's SGR.
fn coloured(colour: u8, text: &str) -> String {
    if is_on() { format!("\u{1b}[{colour}m{text}\u{1b}[0m") } else { text.to_owned() }
}
