//! Reads the tree of the file key by key. A [`Section`] is a mapping whose keys are known: each is taken once, and what
//! nobody took is complained about with the nearest name. Every value of the wrong kind becomes a complaint and `None`,
//! so that reading always goes on to the end.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::complaint::{Complaints, Finding, suggestion};
use super::edit;
use super::file::{Node, Value};

const EMPTY: &str = "is empty; write a value or leave the key out";

/// A value in the file, with the way to it.
#[derive(Clone, Debug)]
pub(crate) struct Field<'a> {
    pub(super) key: String,
    pub(super) line: u64,
    pub(super) node: &'a Node,
    complaints: &'a Complaints,
}

impl<'a> Field<'a> {
    pub(crate) fn root(node: &'a Node, complaints: &'a Complaints) -> Self {
        Self { key: String::new(), line: node.line, node, complaints }
    }

    /// The same place in the file, with a node that was made from it.
    pub(super) fn with_node<'b>(&self, node: &'b Node) -> Field<'b>
    where
        'a: 'b,
    {
        Field { key: self.key.clone(), line: self.line, node, complaints: self.complaints }
    }

    pub(crate) fn complain(&self, finding: impl Into<Finding>) {
        let written = edit::value(self.node).filter(|_| self.node.is_written());
        let written = written.map(|value| (self.node.place.start, value));
        self.complaints.add(Some(self.line), &self.key, finding.into(), written);
    }

    /// The value of a key, where this is a mapping that has it. Nothing is complained about.
    pub(super) fn find(&self, key: &str) -> Option<Self> {
        let entry = self.node.entries().iter().find(|entry| entry.key == key)?;
        Some(self.child(key, entry.line, &entry.node))
    }

    /// The value as it is written.
    pub(crate) fn text(&self) -> Option<&'a str> {
        let Some(text) = self.node.scalar().map(str::trim) else {
            self.complain_kind("a single value");
            return None;
        };
        // They would reach log lines, protocol lines and terminals.
        if text.contains(char::is_control) {
            self.complain("has a line end or another control character in it; leave that out");
            return None;
        }
        if text.is_empty() {
            self.complain(EMPTY);
            return None;
        }
        Some(text)
    }

    /// One of a few words.
    pub(crate) fn choice<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        let text = self.text()?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let names = words.iter().map(|(word, _)| *word);
            self.complain(format!("`{text}` is not known here; {}", suggestion(text, names)));
        }
        found
    }

    /// A whole number from a range.
    pub(super) fn number(&self, range: RangeInclusive<u32>) -> Option<u32> {
        let text = self.text()?;
        let found = text.parse().ok().filter(|number| range.contains(number));
        if found.is_none() {
            let (low, high) = range.into_inner();
            self.complain(format!("`{text}` is not a whole number from {low} to {high}"));
        }
        found
    }

    /// A time with its unit, from a range.
    pub(super) fn duration(&self, range: RangeInclusive<Duration>) -> Option<Duration> {
        let text = self.text()?;
        let Some(duration) = parse_duration(text) else {
            let hint = if text.bytes().all(|byte| byte.is_ascii_digit()) {
                format!("write `{text}s` for seconds or `{text}m` for minutes")
            } else {
                "write a whole number and its unit, like `30s`, `10m` or `2h`".to_owned()
            };
            self.complain(format!("`{text}` is not a time; {hint}"));
            return None;
        };
        if !range.contains(&duration) {
            let (low, high) = range.into_inner();
            let (low, high) = (in_words(low), in_words(high));
            self.complain(format!("`{text}` is not sensible; write a time from `{low}` to `{high}`"));
            return None;
        }
        Some(duration)
    }

    /// A path; a relative one starts at the folder of the configuration file.
    pub(super) fn path(&self, folder: &Path) -> Option<PathBuf> {
        self.text().map(|text| folder.join(text))
    }

    /// The path of a file that can be read.
    pub(super) fn readable_file(&self, folder: &Path) -> Option<PathBuf> {
        let path = self.path(folder)?;
        match std::fs::File::open(&path).and_then(|file| file.metadata()) {
            Ok(metadata) if metadata.is_file() => return Some(path),
            Ok(_) => self.complain(format!("{} is not a file", path.display())),
            Err(error) => self.complain(format!("{} cannot be read: {error}", path.display())),
        }
        None
    }

    /// The members of a list.
    pub(crate) fn list(&self) -> Vec<Self> {
        let Value::Sequence(nodes) = &self.node.value else {
            let example = self.node.scalar().map_or_else(|| "one, two".to_owned(), members_of);
            self.complain_kind(&format!("a list, like `[{example}]`"));
            return Vec::new();
        };
        let member = |(number, node): (usize, &'a Node)| Self {
            key: format!("{}[{number}]", self.key),
            line: node.line,
            node,
            complaints: self.complaints,
        };
        nodes.iter().enumerate().map(member).collect()
    }

    /// The texts in a list.
    pub(super) fn texts(&self) -> Vec<String> {
        self.list().iter().filter_map(|field| field.text().map(str::to_owned)).collect()
    }

    /// The entries of a mapping whose keys are free.
    pub(super) fn entries(&self) -> Vec<(&'a str, Self)> {
        let Value::Mapping(entries) = &self.node.value else {
            self.complain_kind("a mapping with keys of its own");
            return Vec::new();
        };
        entries
            .iter()
            .map(|entry| (entry.key.as_str(), self.child(&entry.key, entry.line, &entry.node)))
            .collect()
    }

    /// A mapping whose keys are known.
    pub(crate) fn section(&self) -> Option<Section<'a>> {
        if matches!(self.node.value, Value::Mapping(_)) {
            return Some(Section { field: self.clone(), known: Vec::new() });
        }
        self.complain_kind("a mapping with keys of its own");
        None
    }

    fn complain_kind(&self, expected: &str) {
        self.complain(match self.node.value {
            Value::Nothing => EMPTY.to_owned(),
            Value::Mapping(_) => format!("must be {expected}, not a mapping"),
            Value::Scalar(_) => format!("must be {expected}, not a single value"),
            Value::Sequence(_) => format!("must be {expected}, not a list"),
        });
    }

    fn child(&self, key: &str, line: u64, node: &'a Node) -> Self {
        let key = if self.key.is_empty() { key.to_owned() } else { format!("{}.{key}", self.key) };
        Self { key, line, node, complaints: self.complaints }
    }
}

/// A mapping whose keys are known to the reader.
#[derive(Debug)]
pub(crate) struct Section<'a> {
    pub(super) field: Field<'a>,
    known: Vec<&'static str>,
}

impl<'a> Section<'a> {
    /// The value of a key, if the file has it.
    pub(crate) fn take(&mut self, key: &'static str) -> Option<Field<'a>> {
        self.known.push(key);
        let Value::Mapping(entries) = &self.field.node.value else { return None };
        let entry = entries.iter().find(|entry| entry.key == key)?;
        Some(self.field.child(key, entry.line, &entry.node))
    }

    /// The value of a key that must be there; `example` says what to write.
    pub(crate) fn require(&mut self, key: &'static str, example: &str) -> Option<Field<'a>> {
        let field = self.take(key);
        if field.is_none() {
            self.field.complain(format!("`{key}` is missing; write {example}"));
        }
        field
    }

    /// Complains about every key that was never asked for.
    pub(crate) fn finish(self) {
        for (key, field) in self.field.entries() {
            if !self.known.contains(&key) {
                field.complain(format!("no such key; {}", suggestion(key, self.known.iter().copied())));
            }
        }
    }
}

/// What an optional key holds: `None` where the key is there and cannot be read.
// The outer level is for `?`, the inner one is the key that need not be there.
#[allow(clippy::option_option)]
pub(super) fn readable<T>(written: Option<Option<T>>) -> Option<Option<T>> {
    match written {
        Some(value) => value.map(Some),
        None => Some(None),
    }
}

/// What was meant to be a list but written as one text: with commas, or else with spaces, between its members.
fn members_of(text: &str) -> String {
    if text.contains(',') {
        return text.to_owned();
    }
    text.split_whitespace().collect::<Vec<_>>().join(", ")
}

fn parse_duration(text: &str) -> Option<Duration> {
    let number = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let seconds_each = match text.get(number.len()..)? {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    Some(Duration::from_secs(number.parse::<u64>().ok()?.checked_mul(seconds_each)?))
}

/// As the file writes it.
pub(super) fn in_words(duration: Duration) -> String {
    match duration.as_secs() {
        seconds if seconds > 86_400 && seconds % 86_400 == 0 => format!("{}d", seconds / 86_400),
        seconds if seconds >= 3600 && seconds % 3600 == 0 => format!("{}h", seconds / 3600),
        seconds if seconds >= 60 && seconds % 60 == 0 => format!("{}m", seconds / 60),
        seconds => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{in_words, members_of, parse_duration};

    #[test]
    fn a_time_has_a_whole_number_and_a_unit() {
        for (text, seconds) in [
            ("30s", Some(30)),
            ("10m", Some(600)),
            ("2h", Some(7200)),
            ("90d", Some(7_776_000)),
            ("0s", Some(0)),
        ] {
            assert_eq!(parse_duration(text), seconds.map(Duration::from_secs), "{text}");
        }
        for text in ["30", "1.5h", "-1s", "10 m", "10min", "1w", "s", "99999999999999999999s", ""] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn a_text_in_place_of_a_list_is_cut_into_members() {
        for (text, list) in [("IDLE", "IDLE"), ("IDLE  ID", "IDLE, ID"), ("SIZE 100, DSN", "SIZE 100, DSN")] {
            assert_eq!(members_of(text), list);
        }
    }

    #[test]
    fn a_time_is_said_as_it_is_written() {
        for text in ["30s", "90s", "10m", "2h", "24h", "90d"] {
            assert_eq!(parse_duration(text).map(in_words).as_deref(), Some(text));
        }
    }
}
