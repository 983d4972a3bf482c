//! [`Mistake`]: what is known of the mistakes that people really make in configuration files: why they are made and what to
//! write. They are data, embedded from `config/mistakes.yaml`; `check`, `explain` and `docs/errors.md` say what stands there.

use std::fmt;
use std::sync::LazyLock;

use serde::Deserialize;

/// One row of the table.
#[derive(Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Mistake {
    /// What people look it up by, like `L05`.
    pub code: String,
    /// How bad it is.
    pub level: Level,
    /// The mistake as a heading, not longer than a line of a terminal: no full stop, no advice.
    pub title: String,
    /// Why it is one, and why people make it, in a few sentences.
    pub cause: String,
    /// What to write, in a few sentences.
    pub fix: String,
    /// Whether `gatepost check --fix` puts it right, where only one right value can be meant.
    pub repaired: bool,
}

/// How bad a finding of `gatepost check` is.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Gatepost does not start with it.
    Error,
    /// It is allowed, and hardly meant.
    Warning,
    /// Something to know.
    Note,
}

impl Level {
    /// As it is printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// The file as it is embedded.
const FILE: &str = include_str!("../../config/mistakes.yaml");

/// A test says that it can be read.
static MISTAKES: LazyLock<Vec<Mistake>> = LazyLock::new(|| serde_saphyr::from_str(FILE).unwrap_or_default());

/// Every row, in the order of the file.
pub fn all() -> &'static [Mistake] {
    &MISTAKES
}

/// The row with this code; case makes no difference.
pub fn by_code(code: &str) -> Option<&'static Mistake> {
    all().iter().find(|mistake| mistake.code.eq_ignore_ascii_case(code))
}

impl Mistake {
    /// Where it stands in the documentation.
    pub fn anchor(&self) -> String {
        format!("docs/errors.md#{}", self.code.to_ascii_lowercase())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn the_table_can_be_read_and_has_all_24_in_their_order() {
        let rows: Vec<Mistake> = serde_saphyr::from_str(FILE).unwrap();
        assert_eq!(rows.as_slice(), all());
        let codes: Vec<&str> = all().iter().map(|mistake| mistake.code.as_str()).collect();
        let expected: Vec<String> = (1..=24).map(|number| format!("L{number:02}")).collect();
        assert_eq!(codes, expected);
    }

    #[test]
    fn every_row_is_whole() {
        for Mistake { code, title, cause, fix, .. } in all() {
            assert!(!title.is_empty() && title.chars().count() <= 76, "{code}: {title}");
            assert!(!title.ends_with('.'), "{code}: {title}");
            assert!(cause.ends_with('.') && fix.ends_with('.'), "{code}");
            assert!(!fix.contains('\n') && !cause.contains('\n'), "{code}: a paragraph is one line");
        }
    }
}
