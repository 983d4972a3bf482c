//! [`Entry`]: something that Gatepost can explain, whatever table it stands in.

use serde_json::{Value, json};

use crate::config::mistakes::{self, Level, Mistake};
use crate::diagnosis::{self, Diagnosis, trimmed};

/// Something that can be explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// From `config/diagnosis.yaml`.
    Failure(&'static Diagnosis),
    /// From `config/mistakes.yaml`.
    Mistake(&'static Mistake),
}

impl Entry {
    /// What mistakes in the configuration are called together.
    pub(super) const MISTAKES: &'static str = "The configuration file";

    pub(super) fn all() -> impl Iterator<Item = Self> {
        diagnosis::table().iter().map(Self::Failure).chain(mistakes::all().iter().map(Self::Mistake))
    }

    pub(super) fn id(&self) -> &'static str {
        match self {
            Self::Failure(row) => &row.id,
            Self::Mistake(row) => &row.code,
        }
    }

    pub(super) fn title(&self) -> &'static str {
        match self {
            Self::Failure(row) => &row.title,
            Self::Mistake(row) => &row.title,
        }
    }

    /// Whose failure it is.
    pub(super) fn about(&self) -> &'static str {
        match self {
            Self::Failure(row) => row.about.title(),
            Self::Mistake(_) => Self::MISTAKES,
        }
    }

    pub(super) fn cause(&self) -> &'static str {
        match self {
            Self::Failure(row) => &row.cause,
            Self::Mistake(row) => &row.cause,
        }
    }

    pub(super) fn fix(&self) -> &'static str {
        match self {
            Self::Failure(row) => &row.fix,
            Self::Mistake(row) => &row.fix,
        }
    }

    /// Whether it stays until somebody does something.
    pub(super) fn is_permanent(&self) -> bool {
        match self {
            Self::Failure(row) => row.permanent,
            Self::Mistake(row) => row.level == Level::Error,
        }
    }

    /// Whether it is worth to try again; of a mistake whether Gatepost can put it right.
    pub(super) fn retry_in_words(&self) -> String {
        match self {
            Self::Failure(row) => row.retry_in_words(),
            Self::Mistake(row) if row.repaired => "`gatepost check --fix` puts it right.".to_owned(),
            Self::Mistake(_) => "`gatepost check` tells whether it is gone.".to_owned(),
        }
    }

    /// How it looks where it is shown or logged.
    pub(super) fn said(&self) -> Vec<String> {
        match self {
            Self::Failure(row) => row.samples.iter().map(|sample| trimmed(sample)).collect(),
            Self::Mistake(_) => Vec::new(),
        }
    }

    /// What it has in common with a text that is like it.
    pub(super) fn in_words(&self) -> String {
        match self {
            Self::Failure(row) => format!("{} {} {}", row.title, row.line, row.samples.join(" ")),
            Self::Mistake(row) => format!("{} {}", row.title, row.cause),
        }
    }

    /// Where it stands in the documentation.
    pub(super) fn anchor(&self) -> String {
        match self {
            Self::Failure(row) => row.anchor(),
            Self::Mistake(row) => row.anchor(),
        }
    }

    pub(super) fn in_short_json(&self) -> Value {
        json!({ "id": self.id(), "title": self.title() })
    }

    pub(super) fn in_json(&self, others: &[Self]) -> Value {
        let retry: &[_] = match self {
            Self::Failure(row) => &row.retry,
            Self::Mistake(_) => &[diagnosis::Retry::Never],
        };
        json!({
            "id": self.id(),
            "title": self.title(),
            "about": self.about(),
            "cause": self.cause(),
            "fix": self.fix(),
            "retry": retry,
            "retry_in_words": self.retry_in_words(),
            "permanent": self.is_permanent(),
            "read_more": self.anchor(),
            "also": others.iter().map(Self::in_short_json).collect::<Vec<_>>(),
        })
    }
}
