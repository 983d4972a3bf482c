//! [`Entry`]: something that Gatepost can explain, whatever list it stands in.

use serde_json::{Value, json};

use crate::diagnosis::{Diagnosis, trimmed};

/// Something that can be explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// A failure, from `config/diagnosis.yaml`.
    Failure(&'static Diagnosis),
}

impl Entry {
    pub(super) fn id(&self) -> &'static str {
        match self {
            Self::Failure(row) => &row.id,
        }
    }

    pub(super) fn title(&self) -> &'static str {
        match self {
            Self::Failure(row) => &row.title,
        }
    }

    pub(super) fn said_by(&self) -> &'static str {
        match self {
            Self::Failure(row) => row.about.title(),
        }
    }

    pub(super) fn cause(&self) -> &'static str {
        match self {
            Self::Failure(row) => &row.cause,
        }
    }

    pub(super) fn fix(&self) -> &'static str {
        match self {
            Self::Failure(row) => &row.fix,
        }
    }

    pub(super) fn retry_in_words(&self) -> String {
        match self {
            Self::Failure(row) => row.retry_in_words(),
        }
    }

    /// What is shown or logged, as it looks like.
    pub(super) fn said(&self) -> Vec<String> {
        match self {
            Self::Failure(row) => row.samples.iter().map(|sample| trimmed(sample)).collect(),
        }
    }

    /// Where it stands in the documentation.
    pub(super) fn read_more(&self) -> String {
        format!("docs/errors.md#{}", self.id().to_ascii_lowercase())
    }

    pub(super) fn in_short_json(&self) -> Value {
        json!({ "id": self.id(), "title": self.title() })
    }

    pub(super) fn in_json(&self, others: &[Self]) -> Value {
        let (retry, permanent) = match self {
            Self::Failure(row) => (&row.retry, row.permanent),
        };
        json!({
            "id": self.id(),
            "title": self.title(),
            "said_by": self.said_by(),
            "cause": self.cause(),
            "fix": self.fix(),
            "retry": retry,
            "retry_helps": self.retry_in_words(),
            "permanent": permanent,
            "read_more": self.read_more(),
            "also": others.iter().map(Self::in_short_json).collect::<Vec<_>>(),
        })
    }
}
