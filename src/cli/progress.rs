//! What is under way, for whoever would wonder: shown on the terminal when it takes longer than a second, and gone with it.

use std::io::{IsTerminal, Write, stderr};
use std::time::Duration;

use tokio::time::timeout;

/// Nobody wonders sooner.
const PATIENCE: Duration = Duration::from_secs(1);

/// Waits for the step. Only people see what it is called; standard output stays as it is.
pub(super) async fn shown<T>(what: &str, step: impl Future<Output = T>) -> T {
    if stderr().is_terminal() { shown_on(&mut stderr(), what, step).await } else { step.await }
}

async fn shown_on<T>(terminal: &mut impl Write, what: &str, step: impl Future<Output = T>) -> T {
    let mut step = std::pin::pin!(step);
    if let Ok(result) = timeout(PATIENCE, &mut step).await {
        return result;
    }
    let note = format!("  … {what}");
    let _ = write!(terminal, "{note}").and_then(|()| terminal.flush());
    let result = step.await;
    let blanks = " ".repeat(note.chars().count());
    let _ = write!(terminal, "\r{blanks}\r").and_then(|()| terminal.flush());
    result
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_a_slow_step_is_shown_and_then_wiped_away() {
        for (seconds, expected) in [(0.9, ""), (2.0, "  … token\r         \r")] {
            let mut terminal = Vec::new();
            let step = async {
                sleep(Duration::from_secs_f64(seconds)).await;
                7
            };
            assert_eq!(shown_on(&mut terminal, "token", step).await, 7);
            assert_eq!(String::from_utf8_lossy(&terminal), expected);
        }
    }
}
