//! What is under way, for whoever would wonder: shown on the terminal when it takes longer than a second, and gone with it.

use std::io::{IsTerminal, Write, stderr};
use std::time::Duration;

use tokio::time::{Instant, timeout};

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

/// The same from the start, with the time that is left until `end` beside it.
pub(super) async fn counted_down<T>(what: &str, end: Instant, step: impl Future<Output = T>) -> T {
    let note = || format!("{what}, {} left", minutes(end.saturating_duration_since(Instant::now())));
    if stderr().is_terminal() { ticking_on(&mut stderr(), note, step).await } else { step.await }
}

/// The same, with the time that has gone by since `begin`.
pub(super) async fn counted_up<T>(what: &str, begin: Instant, step: impl Future<Output = T>) -> T {
    let note = || format!("{what}, {} since the beginning", minutes(begin.elapsed()));
    if stderr().is_terminal() { ticking_on(&mut stderr(), note, step).await } else { step.await }
}

fn minutes(time: Duration) -> String {
    format!("{}:{:02}", time.as_secs() / 60, time.as_secs() % 60)
}

async fn ticking_on<T>(
    terminal: &mut impl Write,
    note: impl Fn() -> String,
    step: impl Future<Output = T>,
) -> T {
    let mut step = std::pin::pin!(step);
    loop {
        let note = format!("  … {}", note());
        let _ = write!(terminal, "{note}").and_then(|()| terminal.flush());
        let result = timeout(Duration::from_secs(1), &mut step).await;
        // The next note may be shorter.
        let blanks = " ".repeat(note.chars().count());
        let _ = write!(terminal, "\r{blanks}\r").and_then(|()| terminal.flush());
        if let Ok(result) = result {
            return result;
        }
    }
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

    #[tokio::test(start_paused = true)]
    async fn the_seconds_that_are_left_are_counted() {
        let mut terminal = Vec::new();
        let step = sleep(Duration::from_millis(2500));
        let end = Instant::now() + Duration::from_mins(10);
        let note = || format!("consent, {} left", minutes(end.saturating_duration_since(Instant::now())));
        ticking_on(&mut terminal, note, step).await;
        let wiped = |note: &str| format!("{note}\r{}\r", " ".repeat(note.chars().count()));
        let expected: String =
            ["  … consent, 10:00 left", "  … consent, 9:59 left", "  … consent, 9:58 left"]
                .into_iter()
                .map(wiped)
                .collect();
        assert_eq!(String::from_utf8_lossy(&terminal), expected);
    }
}
