//! [`Complaint`]: one finding about the configuration file, told with file, line and key so that it can be put right without
//! searching. They are collected, never stopped at: one run of `check` shows all of them.

use std::cell::RefCell;
use std::fmt;
use std::path::{Path, PathBuf};

use super::edit::Value;
use super::mistakes::{self, Level};
use super::repair::Repair;

/// One finding about the configuration file, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// The file it stands in.
    pub file: PathBuf,
    /// Counted from 1; `None` where no single line is to blame.
    pub line: Option<u64>,
    /// The way to the key, like `listeners[0].tls`; empty where it is the file as a whole.
    pub key: String,
    /// Its row in [`mistakes`], where it has one.
    pub code: Option<&'static str>,
    /// How bad it is.
    pub level: Level,
    /// What is wrong, and the nearest right value or what to write.
    pub text: String,
    /// What `gatepost check --fix` would write, where only one value can be meant.
    pub repair: Option<Repair>,
}

impl Complaint {
    /// Whether Gatepost does not start with it.
    pub fn is_error(&self) -> bool {
        self.level == Level::Error
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:", self.file.display())?;
        if let Some(line) = self.line {
            write!(formatter, "{line}:")?;
        }
        if !self.key.is_empty() {
            write!(formatter, " {}:", self.key)?;
        }
        write!(formatter, " {}", self.level)?;
        if let Some(code) = self.code {
            write!(formatter, " {code}")?;
        }
        write!(formatter, ": {}", self.text)
    }
}

/// What a rule says about a value. Whoever holds the value knows where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    code: Option<&'static str>,
    level: Level,
    pub(crate) text: String,
    right: Option<Value>,
}

impl Finding {
    /// A mistake that has a row in [`mistakes`], which says how bad it is.
    pub(crate) fn coded(code: &'static str, text: impl Into<String>) -> Self {
        let level = mistakes::by_code(code).map_or(Level::Error, |mistake| mistake.level);
        Self { code: Some(code), ..Self::with(level, text) }
    }

    pub(crate) fn warning(text: impl Into<String>) -> Self {
        Self::with(Level::Warning, text)
    }

    pub(crate) fn note(text: impl Into<String>) -> Self {
        Self::with(Level::Note, text)
    }

    /// Of a mistake that is likely and not certain: a configuration that works must go on working.
    pub(crate) fn likely(self) -> Self {
        Self { level: self.level.max(Level::Warning), ..self }
    }

    /// With the one value that can be meant.
    pub(crate) fn right(self, value: Option<Value>) -> Self {
        Self { right: value, ..self }
    }

    fn with(level: Level, text: impl Into<String>) -> Self {
        Self { code: None, level, text: text.into(), right: None }
    }
}

/// What has no code is an error.
impl<T: Into<String>> From<T> for Finding {
    fn from(text: T) -> Self {
        Self::with(Level::Error, text)
    }
}

/// Where the complaints about one file are put.
#[derive(Debug)]
pub(crate) struct Complaints {
    file: PathBuf,
    found: RefCell<Vec<Complaint>>,
}

impl Complaints {
    pub(crate) fn new(file: &Path) -> Self {
        Self { file: file.to_owned(), found: RefCell::default() }
    }

    /// What the file says may be quoted, so that control characters are shown as `?`: they could steer a terminal.
    /// `written` is the value at fault, as far as it stands in the file.
    pub(super) fn add(
        &self,
        line: Option<u64>,
        key: &str,
        finding: Finding,
        written: Option<(usize, Value)>,
    ) {
        let repair = written.zip(finding.right).map(|((start, old), new)| Repair { start, old, new });
        self.found.borrow_mut().push(Complaint {
            file: self.file.clone(),
            line,
            key: key.replace(char::is_control, "?"),
            code: finding.code,
            level: finding.level,
            text: finding.text.replace(char::is_control, "?"),
            repair,
        });
    }

    /// In the order of the file, each once.
    pub(crate) fn into_sorted(self) -> Vec<Complaint> {
        let mut found = self.found.into_inner();
        found.sort_by_key(|complaint| complaint.line);
        found.dedup();
        found
    }
}

/// The end of a complaint about a name that does not exist: the one that was probably meant, or all there are.
pub(crate) fn suggestion<'a>(written: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    match (nearest(written, names.iter().copied()), names.as_slice()) {
        (Some(name), _) => format!("did you mean `{name}`?"),
        (None, []) => "there is none to choose from".to_owned(),
        (None, [only]) => format!("there is only `{only}`"),
        (None, all) => format!("there are `{}`", all.join("`, `")),
    }
}

/// The name that was probably meant.
pub(crate) fn nearest<'a>(written: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let written = written.to_ascii_lowercase();
    let distance = |name: &str| strsim::damerau_levenshtein(&written, &name.to_ascii_lowercase());
    let (distance, name) = names.into_iter().map(|name| (distance(name), name)).min()?;
    // Of an address only what stands before the @ counts: colleagues share the rest.
    let own = name.find('@').unwrap_or(name.len());
    (distance <= 1.max(own / 3)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::suggestion;

    #[test]
    fn the_nearest_name_is_suggested_and_else_all_are_listed() {
        let names = ["starttls", "implicit", "none"];
        for (written, expected) in [
            ("starttsl", "did you mean `starttls`?"),
            ("STARTTLS", "did you mean `starttls`?"),
            ("nono", "did you mean `none`?"),
            ("START TLS", "did you mean `starttls`?"),
            ("ssl", "there are `starttls`, `implicit`, `none`"),
        ] {
            assert_eq!(suggestion(written, names), expected, "{written}");
        }
        assert_eq!(suggestion("contoso", ["fabrikam"]), "there is only `fabrikam`");
        assert_eq!(suggestion("contoso", []), "there is none to choose from");
    }
}
