//! What is under way, for whoever would wonder: shown on the terminal when it takes longer than a second, and gone with it. It
//! never takes more than one line, because a second one could not be wiped away.

use std::io::{IsTerminal, Stderr, Write, stderr};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::{interrupt, style};

/// Nobody wonders sooner.
const PATIENCE: Duration = Duration::from_secs(1);

/// Waits for the step. Only people see what it is called; standard output stays as it is.
pub(super) async fn shown<T>(what: &str, step: impl Future<Output = T>) -> T {
    if stderr().is_terminal() { shown_on(&mut Line::of(stderr()), what, step).await } else { step.await }
}

async fn shown_on<T>(line: &mut Line<impl Write>, what: &str, step: impl Future<Output = T>) -> T {
    let mut step = std::pin::pin!(step);
    if let Ok(result) = timeout(PATIENCE, &mut step).await {
        return result;
    }
    line.show(&format!("  … {what}"));
    let result = step.await;
    line.wipe();
    result
}

/// The same from the start, with the time that is left until `end` beside it.
pub(super) async fn counted_down<T>(what: &str, end: Instant, step: impl Future<Output = T>) -> T {
    let note = || format!("{what}, {} left", minutes(end.saturating_duration_since(Instant::now())));
    ticking(note, step).await
}

/// The same, with the time that has gone by since `begin`.
pub(super) async fn counted_up<T>(what: &str, begin: Instant, step: impl Future<Output = T>) -> T {
    let note = || format!("{what}, {} since the beginning", minutes(begin.elapsed()));
    ticking(note, step).await
}

fn minutes(time: Duration) -> String {
    format!("{}:{:02}", time.as_secs() / 60, time.as_secs() % 60)
}

async fn ticking<T>(note: impl Fn() -> String, step: impl Future<Output = T>) -> T {
    if !stderr().is_terminal() {
        return step.await;
    }
    interrupt::listen();
    ticking_on(&mut Line::of(stderr()), note, step).await
}

async fn ticking_on<T>(
    line: &mut Line<impl Write>,
    note: impl Fn() -> String,
    step: impl Future<Output = T>,
) -> T {
    let mut step = std::pin::pin!(step);
    loop {
        line.show(&format!("  … {}", note()));
        let result = timeout(Duration::from_secs(1), &mut step).await;
        // The next note may be shorter.
        line.wipe();
        if let Ok(result) = result {
            return result;
        }
    }
}

/// A line of the terminal with a note in it. A terminal that cannot be written to shows none.
struct Line<W: Write> {
    terminal: W,
    columns: usize,
    /// How many columns the note takes.
    taken: usize,
}

impl Line<Stderr> {
    fn of(terminal: Stderr) -> Self {
        let columns = style::columns(&terminal).unwrap_or(80);
        Self { terminal, columns, taken: 0 }
    }
}

impl<W: Write> Line<W> {
    /// Shows as much of the note as fits. The last column stays free: some terminals begin the next line behind it.
    fn show(&mut self, note: &str) {
        let note: String = note.chars().take(self.columns.saturating_sub(1)).collect();
        self.taken = note.chars().count();
        let _ = write!(self.terminal, "{note}").and_then(|()| self.terminal.flush());
    }

    fn wipe(&mut self) {
        let blanks = " ".repeat(self.taken);
        let _ = write!(self.terminal, "\r{blanks}\r").and_then(|()| self.terminal.flush());
        self.taken = 0;
    }
}

/// Whoever stops a wait finds no half a note in front of the next prompt.
impl<W: Write> Drop for Line<W> {
    fn drop(&mut self) {
        if self.taken > 0 {
            self.wipe();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    /// A line of so many columns, on nothing.
    fn line(columns: usize) -> Line<Vec<u8>> {
        Line { terminal: Vec::new(), columns, taken: 0 }
    }

    fn written(line: &Line<Vec<u8>>) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&line.terminal)
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_slow_step_is_shown_and_then_wiped_away() {
        for (seconds, columns, expected) in
            [(0.9, 80, ""), (2.0, 80, "  … token\r         \r"), (2.0, 7, "  … to\r      \r")]
        {
            let mut line = line(columns);
            let step = async {
                sleep(Duration::from_secs_f64(seconds)).await;
                7
            };
            assert_eq!(shown_on(&mut line, "token", step).await, 7);
            assert_eq!(written(&line), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_seconds_that_are_left_are_counted() {
        let mut line = line(80);
        let step = sleep(Duration::from_millis(2500));
        let end = Instant::now() + Duration::from_mins(10);
        let note = || format!("consent, {} left", minutes(end.saturating_duration_since(Instant::now())));
        ticking_on(&mut line, note, step).await;
        let wiped = |note: &str| format!("{note}\r{}\r", " ".repeat(note.chars().count()));
        let expected: String =
            ["  … consent, 10:00 left", "  … consent, 9:59 left", "  … consent, 9:58 left"]
                .into_iter()
                .map(wiped)
                .collect();
        assert_eq!(written(&line), expected);
    }
}
