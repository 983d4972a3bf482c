//! A question before something that cannot be undone: only a clear yes goes on.

use std::io::{IsTerminal, stderr, stdin};

use super::connect::read_line;

/// Whether there is somebody who could answer.
pub(super) fn is_possible() -> bool {
    stdin().is_terminal() && stderr().is_terminal()
}

/// Asks for yes or no; Enter is no. Ask only where it [`is_possible`].
pub(super) async fn yes(question: &str) -> bool {
    eprint!("{question} [y/N] ");
    is_yes(read_line().await.as_deref())
}

fn is_yes(answer: Option<&str>) -> bool {
    answer.is_some_and(|answer| ["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str()))
}

#[cfg(test)]
mod tests {
    use super::is_yes;

    #[test]
    fn only_a_yes_is_a_yes() {
        for (answer, expected) in [
            (Some("y\n"), true),
            (Some(" YES \r\n"), true),
            (Some("\n"), false),
            (Some("n\n"), false),
            (Some("why\n"), false),
            (None, false),
        ] {
            assert_eq!(is_yes(answer), expected, "{answer:?}");
        }
    }
}
