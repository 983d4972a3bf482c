//! Colour for people: on a terminal, and never with `NO_COLOR` (no-color.org).

use std::io::{IsTerminal, stdout};

/// Whether standard output takes colour.
pub fn is_on() -> bool {
    stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Before what worked.
pub fn tick() -> &'static str {
    if is_on() { "\u{1b}[32m\u{2713}\u{1b}[0m" } else { "\u{2713}" }
}

/// Before what did not.
pub fn cross() -> &'static str {
    if is_on() { "\u{1b}[31m\u{2717}\u{1b}[0m" } else { "\u{2717}" }
}
