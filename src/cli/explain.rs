//! `gatepost explain CODE-OR-TEXT`: what something means that a device, a log or a provider has shown. It needs no
//! configuration, no store and no network. What was pasted is never printed: a line of a log may carry somebody's secret.

mod entry;
mod near;
mod page;

use std::fmt::Write as _;
use std::io::{Read as _, stdin};

use serde_json::json;

use self::entry::Entry;
use self::near::near;
use super::table::{json, print, wrapped};
use super::{Exit, Failure, style};
use crate::config::mistakes;
use crate::diagnosis::{look_up, names};

/// `gatepost explain`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// A code or a whole line, with or without quotes; `-` reads it from standard input. What begins with # needs quotes:
    /// gatepost explain '#839'
    #[arg(value_name = "CODE-OR-TEXT", required_unless_present = "all", allow_hyphen_values = true)]
    text: Vec<String>,
    /// Print all that is known instead, as Markdown
    #[arg(long, conflicts_with_all = ["text", "json"])]
    all: bool,
    /// Print one JSON object instead: {"id", "title", "about", "cause", "fix", "retry", "retry_in_words", "permanent", "read_more",
    /// "also": [{"id", "title"}]}; where nothing is known {"id": null, "also": what looks like it}
    #[arg(long)]
    json: bool,
}

/// How wide the text is.
const WIDTH: usize = 80;

/// Nobody pastes more; the rest is not looked at.
const MOST_OCTETS: u64 = 64 * 1024;

/// More rows that may be meant are not listed.
const MOST_LISTED: usize = 12;

impl Arguments {
    /// Ends well when something is known.
    pub fn run(mut self) -> Result<(), Failure> {
        // `-ERR no` has to be taken as it is, so clap takes all that stands behind the first word as it is.
        let words = self.text.len();
        self.text.retain(|word| word != "--json");
        self.json |= self.text.len() < words;
        if self.all {
            return print(&page::page());
        }
        let text = if self.text == ["-"] { read()? } else { self.text.join(" ") };
        let named: Vec<_> = Entry::all().filter(|entry| names(&text, entry.id())).collect();
        if !named.is_empty() && !self.json {
            return print(&named.iter().map(in_full).collect::<Vec<_>>().join("\n"));
        }
        let meant = if named.is_empty() { meant(&text) } else { named };
        if let [entry, others @ ..] = meant.as_slice() {
            return print(&if self.json { json(&entry.in_json(others)) } else { told(entry, others) });
        }
        let near = near(&text);
        if self.json {
            let also: Vec<_> = near.iter().map(Entry::in_short_json).collect();
            print(&json(&json!({ "id": null, "also": also })))?;
        }
        Err(Failure::new(Exit::Failed, unknown(&near)))
    }
}

fn read() -> Result<String, Failure> {
    let mut octets = Vec::new();
    let read = stdin().lock().take(MOST_OCTETS).read_to_end(&mut octets);
    read.map_err(|error| Failure::new(Exit::Failed, format!("cannot read standard input: {error}")))?;
    Ok(String::from_utf8_lossy(&octets).into_owned())
}

/// What the text means; where it may be several things, the most general of them comes first.
fn meant(text: &str) -> Vec<Entry> {
    let mut entries: Vec<_> = look_up(text).into_iter().map(Entry::Failure).collect();
    if entries.is_empty() && is_name_of_entra(text) {
        entries.extend(mistakes::by_code("L22").map(Entry::Mistake));
    }
    entries
}

/// Whether it is a name that Microsoft Entra ID had once or in a misprint, and nothing else.
fn is_name_of_entra(text: &str) -> bool {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    let name = text.strip_prefix("microsoft ").unwrap_or(&text);
    ["azure ad", "azure active directory", "entra", "entra id", "extra id"].contains(&name)
}

/// For people.
fn told(entry: &Entry, others: &[Entry]) -> String {
    if others.is_empty() {
        return in_full(entry);
    }
    let mut text = String::new();
    let first = format!(
        "This can mean one of {} things. The most general of them comes first. Paste more of the text, and the answer \
         will be more exact.",
        others.len() + 1
    );
    paragraph(&mut text, "", &first);
    let _ = writeln!(text, "\n{}\nIt can also mean:", in_full(entry));
    list(&mut text, others);
    text.push('\n');
    text
}

fn in_full(entry: &Entry) -> String {
    let mut text = String::new();
    for line in wrapped(&format!("{} ({})", entry.title(), entry.id()), WIDTH) {
        let _ =
            writeln!(text, "{}", if entry.is_permanent() { style::red(&line) } else { style::yellow(&line) });
    }
    text.push('\n');
    for (label, words) in [
        ("About", entry.about()),
        ("Cause", entry.cause()),
        ("Fix", entry.fix()),
        ("Retry", &entry.retry_in_words()),
        ("More", &entry.anchor()),
    ] {
        paragraph(&mut text, &format!("  {label:<7}"), words);
    }
    text
}

fn unknown(near: &[Entry]) -> String {
    let mut text = "Gatepost does not know this text yet; please report it, without\n\
                    passwords, tokens and addresses.\n"
        .to_owned();
    if near.is_empty() {
        text.push_str("Paste the whole line, or only the code in it.");
    } else {
        text.push_str("What looks most like it:\n");
        list(&mut text, near);
    }
    text
}

fn list(text: &mut String, entries: &[Entry]) {
    for entry in entries.iter().take(MOST_LISTED) {
        paragraph(text, &format!("  {:<5}", entry.id()), entry.title());
    }
    if let Some(more) = entries.len().checked_sub(MOST_LISTED).filter(|more| *more > 0) {
        let _ = writeln!(text, "  and {more} more");
    }
    let example = entries.first().map_or("", Entry::id);
    let _ = write!(text, "One of them in full, for example: gatepost explain {example}");
}

/// In as many lines as it takes, the first behind `start`, the others under it.
fn paragraph(text: &mut String, start: &str, words: &str) {
    let indent = start.chars().count();
    for (number, line) in wrapped(words, WIDTH - indent).iter().enumerate() {
        let start = if number == 0 { start } else { "" };
        let _ = writeln!(text, "{start:indent$}{line}");
    }
}
