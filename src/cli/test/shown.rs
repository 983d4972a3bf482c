//! A step as people read it, and as scripts do. What failed has always the same parts in the same order: the cause as a heading
//! with its id, the other side's words, the cause, and what to do.

use std::time::Duration;

use super::super::style;
use super::super::table::wrapped;
use crate::trial::{Outcome, Remark, Step, Trouble};

/// Of a terminal.
const COLUMNS: usize = 80;

/// Where lines go on.
const INDENT: &str = "      ";

/// For people.
pub(in super::super) fn shown(step: &Step) -> String {
    let Step { name, took, outcome, .. } = step;
    match outcome {
        Outcome::Well { detail, remarks } => {
            let time = took.map(|took| format!(" ({})", milliseconds(took))).unwrap_or_default();
            let line = marked(&style::tick(), &format!("{name}: {detail}{time}"));
            remarks.iter().fold(line, |text, it| text + &remark(it))
        }
        Outcome::Failed(trouble) => {
            let Trouble { diagnosis, title, said, cause, fix, .. } = trouble;
            let aside: Vec<String> =
                diagnosis.map(|row| row.id.clone()).into_iter().chain(took.map(milliseconds)).collect();
            let aside = if aside.is_empty() { String::new() } else { format!(" ({})", aside.join(", ")) };
            let heading = marked(&style::cross(), &format!("{name}: {title}{aside}"));
            heading + &paragraph("", said) + &paragraph("Cause: ", cause) + &paragraph("Fix: ", fix)
        }
        Outcome::NotTried(reason) => marked("-", &format!("{name}: not tried: {reason}")),
    }
}

/// For scripts. `detail` is all that stands in one line.
pub(super) fn in_json(address: &str, ok: bool, token_owner: Option<&str>, steps: &[Step]) -> String {
    let steps: Vec<_> = steps.iter().map(step_in_json).collect();
    let told =
        serde_json::json!({ "address": address, "ok": ok, "token_owner": token_owner, "steps": steps });
    format!("{told}\n")
}

fn step_in_json(step: &Step) -> serde_json::Value {
    let Step { name, user_name, took, outcome, .. } = step;
    let ms = took.map(|took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
    let (detail, warnings) = match outcome {
        Outcome::Well { detail, remarks } => (detail.clone(), remarks.as_slice()),
        Outcome::Failed(trouble) => (format!("{}: {}", trouble.title, trouble.said), [].as_slice()),
        Outcome::NotTried(reason) => (format!("not tried: {reason}"), [].as_slice()),
    };
    let warnings: Vec<_> = warnings
        .iter()
        .map(|Remark { title, cause, fix }| serde_json::json!({ "title": title, "cause": cause, "fix": fix }))
        .collect();
    let trouble = if let Outcome::Failed(trouble) = outcome { Some(trouble) } else { None };
    serde_json::json!({
        "step": name,
        "ok": step.is_well(),
        "tried": !matches!(outcome, Outcome::NotTried(_)),
        "detail": detail,
        "user_name": user_name,
        "ms": ms,
        "diagnosis": trouble.and_then(|trouble| trouble.diagnosis).map(|row| &row.id),
        "said": trouble.map(|trouble| &trouble.said),
        "cause": trouble.map(|trouble| &trouble.cause),
        "fix": trouble.map(|trouble| &trouble.fix),
        "warnings": warnings,
    })
}

fn remark(Remark { title, cause, fix }: &Remark) -> String {
    let heading = wrapped(title, COLUMNS - INDENT.len());
    let heading: Vec<String> = heading
        .into_iter()
        .enumerate()
        .map(
            |(at, line)| {
                if at == 0 { format!("    {} {line}\n", style::yellow("!")) } else { indented(&line) }
            },
        )
        .collect();
    heading.concat() + &paragraph("", cause) + &paragraph("Fix: ", fix)
}

/// A line that begins with a mark of one column.
fn marked(mark: &str, text: &str) -> String {
    wrapped(text, COLUMNS - INDENT.len())
        .into_iter()
        .enumerate()
        .map(|(at, line)| if at == 0 { format!("  {mark} {line}\n") } else { indented(&line) })
        .collect()
}

/// Nothing for an empty text.
fn paragraph(begin: &str, text: &str) -> String {
    if text.is_empty() {
        return String::new();
    }
    let lines = wrapped(&format!("{begin}{text}"), COLUMNS - INDENT.len());
    lines.iter().map(|line| indented(line)).collect()
}

fn indented(line: &str) -> String {
    format!("{INDENT}{line}\n")
}

fn milliseconds(time: Duration) -> String {
    // A blank at which no line ends.
    format!("{}\u{a0}ms", time.as_millis())
}
