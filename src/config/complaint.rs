//! [`Complaint`]: one thing that is wrong in the configuration file, told with file, line and key so that it can be put
//! right without searching. They are collected, never stopped at: one run of `check` shows all of them.

use std::cell::RefCell;
use std::fmt;
use std::path::{Path, PathBuf};

/// One mistake in the configuration file, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// The file it stands in.
    pub file: PathBuf,
    /// Counted from 1; `None` where no single line is to blame.
    pub line: Option<u64>,
    /// The way to the key, like `listeners[0].tls`; empty where it is the file as a whole.
    pub key: String,
    /// What is wrong, and the nearest right value or what to write.
    pub text: String,
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
        write!(formatter, " {}", self.text)
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
    pub(super) fn add(&self, line: u64, key: &str, text: impl Into<String>) {
        self.found.borrow_mut().push(Complaint {
            file: self.file.clone(),
            line: Some(line),
            key: key.replace(char::is_control, "?"),
            text: text.into().replace(char::is_control, "?"),
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
