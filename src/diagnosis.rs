//! [`Diagnosis`]: what is known of a failure: its cause, what to do, and whether waiting or a newer token helps. They are data,
//! embedded from `config/diagnosis.yaml`. The line to the client, the log, `status`, `test`, `explain` and `docs/errors.md` all
//! say what stands there, so that they say the same.

mod lookup;
mod phrase;
mod retry;
mod trim;

use std::sync::LazyLock;

use gatepost_protocol::Protocol;
use gatepost_protocol::failure::Cause;
use serde::{Deserialize, Serialize};

pub use self::lookup::{look_up, names};
use self::phrase::Text;
pub use self::trim::trimmed;

/// One row of the table.
#[derive(Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Diagnosis {
    /// What people look it up by, like `D02`: D is what a provider says, G what Gatepost says itself, K what a device shows.
    pub id: String,
    /// Whose failure it is; a section of `docs/errors.md`.
    pub about: About,
    /// Where it is said.
    pub at: Vec<Place>,
    /// What it is known by: one of these is enough.
    pub signs: Vec<Sign>,
    /// Whether it counts only where no other row fits: OAuth's own words stand in front of a provider's more telling code.
    #[serde(default)]
    pub general: bool,
    /// The cause as a heading, not longer than a line of a terminal: no full stop, no advice.
    pub title: String,
    /// The same for a device's display, with a word on what to do: printable ASCII, at most [`LONGEST_LINE`] of it.
    pub line: String,
    /// The cause in a few sentences.
    pub cause: String,
    /// What to do, in a few sentences for whoever has to do it. [`MAILBOX`] stands for the mailbox at hand.
    pub fix: String,
    /// What would make trying again worth it; the most likely first.
    pub retry: Vec<Retry>,
    /// Whether it stays until somebody does something. What is not permanent passes by itself.
    pub permanent: bool,
    /// Whether a newer access token may help.
    pub refresh: bool,
    /// What was really said, or looks like it.
    pub samples: Vec<String>,
    /// What looks much like it, and is something else.
    #[serde(default)]
    pub near_misses: Vec<String>,
}

/// Phrases that must all be in the text, in any order, each as a whole: `5.7.139` is not in `5.7.1399`. Case and the width of
/// blanks make no difference.
pub type Sign = Vec<String>;

/// Room for [`Diagnosis::line`], so that ` (D110)` fits behind it on a device's display.
pub const LONGEST_LINE: usize = Cause::MAX_LEN - " (D110)".len();

/// In [`Diagnosis::fix`]: the mailbox at hand, or whatever mailbox the reader means.
pub const MAILBOX: &str = "MAILBOX";

/// Whose failure it is.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Hash)]
#[serde(rename_all = "kebab-case")]
pub enum About {
    /// Exchange Online's mail servers.
    Microsoft365,
    /// Microsoft's token endpoint.
    Entra,
    /// Google, its mail servers and its token endpoint.
    Google,
    /// Every provider.
    AnyProvider,
    /// The way to the provider.
    Network,
    /// Gatepost.
    Gatepost,
    /// The device itself.
    Device,
}

impl About {
    /// All of them, in the order of the documentation.
    pub const ALL: [Self; 7] = [
        Self::Gatepost,
        Self::Network,
        Self::Microsoft365,
        Self::Entra,
        Self::Google,
        Self::AnyProvider,
        Self::Device,
    ];

    /// A heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::Microsoft365 => "Microsoft 365 mail servers",
            Self::Entra => "Microsoft sign-in (Entra ID)",
            Self::Google => "Google",
            Self::AnyProvider => "Any provider",
            Self::Network => "The way to the provider",
            Self::Gatepost => "Gatepost itself",
            Self::Device => "Devices",
        }
    }
}

/// Where something is said.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Hash)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// By a provider's SMTP server, up to the login.
    Smtp,
    /// By a provider's SMTP server, of a message after the login. What is said there says nothing about a login in the same words.
    Message,
    /// By a provider's POP3 server.
    Pop3,
    /// By a provider's IMAP server.
    Imap,
    /// By a token endpoint, or on the page where a person consents.
    Token,
    /// By the machine, about a connection.
    Connection,
    /// By Gatepost.
    Gatepost,
    /// On a device's display.
    Device,
}

impl From<Protocol> for Place {
    fn from(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Smtp => Self::Smtp,
            Protocol::Pop3 => Self::Pop3,
            Protocol::Imap => Self::Imap,
        }
    }
}

/// What would make trying again worth it.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, Hash)]
#[serde(rename_all = "kebab-case")]
pub enum Retry {
    /// Nothing: what is asked is wrong, and has to be put right first.
    Never,
    /// Time.
    Wait,
    /// An admin, or whoever owns the setting.
    Admin,
    /// A person who signs in again.
    SignIn,
    /// A newer token, once.
    Once,
}

/// A test says that it can be read.
static TABLE: LazyLock<Vec<Diagnosis>> =
    LazyLock::new(|| serde_saphyr::from_str(include_str!("../config/diagnosis.yaml")).unwrap_or_default());

/// Every row, in the order of the file.
pub fn table() -> &'static [Diagnosis] {
    &TABLE
}

/// The row with this id; case makes no difference.
pub fn by_id(id: &str) -> Option<&'static Diagnosis> {
    table().iter().find(|row| row.id.eq_ignore_ascii_case(id))
}

/// The row that knows this text. Where several do, the sign with the most in it counts: what is said beside a code tells more
/// than the code alone. [`Diagnosis::general`] rows stand behind all others.
pub fn find(place: Place, text: &str) -> Option<&'static Diagnosis> {
    found(text, |row| row.at.contains(&place))
}

/// The same, where nobody knows who said it.
pub fn find_anywhere(text: &str) -> Option<&'static Diagnosis> {
    found(text, |_| true)
}

fn found(text: &str, is_meant: impl Fn(&Diagnosis) -> bool) -> Option<&'static Diagnosis> {
    let text = Text::new(&trimmed(text));
    let mut best: Option<((bool, usize), &Diagnosis)> = None;
    for row in table().iter().filter(|row| is_meant(row)) {
        let Some(weight) = text.weight_of_any(row) else { continue };
        if best.is_none_or(|(heaviest, _)| weight > heaviest) {
            best = Some((weight, row));
        }
    }
    best.map(|(_, row)| row)
}

impl Diagnosis {
    /// What the client hears.
    pub fn cause_for_client(&self) -> Cause {
        Cause::new(format!("{} ({})", self.line, self.id))
    }

    /// What to do about this mailbox.
    pub fn fix_for(&self, mailbox: &str) -> String {
        self.fix.replace(MAILBOX, mailbox)
    }

    /// Where it stands in the documentation.
    pub fn anchor(&self) -> String {
        format!("docs/errors.md#{}", self.id.to_ascii_lowercase())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_table_can_be_read() {
        let rows: Vec<Diagnosis> = serde_saphyr::from_str(include_str!("../config/diagnosis.yaml")).unwrap();
        assert_eq!(rows.as_slice(), table());
    }

    #[test]
    fn every_row_is_whole() {
        let mut ids = BTreeSet::new();
        for row in table() {
            let Diagnosis { id, title, line, .. } = row;
            assert!(ids.insert(id.to_ascii_lowercase()), "{id} is there twice");
            assert!(!row.at.is_empty() && !row.signs.is_empty() && !row.retry.is_empty(), "{id}");
            assert!(row.signs.iter().all(|sign| !sign.is_empty()), "{id}");
            assert!(row.signs.iter().flatten().all(|phrase| !phrase.trim().is_empty()), "{id}");
            assert!(!row.samples.is_empty(), "{id}");
            assert!(!title.is_empty() && title.len() <= 76 && !title.ends_with('.'), "{id}: {title}");
            assert!(line.len() <= LONGEST_LINE, "{id}: {} are too many: {line}", line.len());
            assert_eq!(row.cause_for_client().as_str(), format!("{line} ({id})"), "{id}");
            assert!(row.cause.ends_with('.') && row.fix.ends_with(['.', '`']), "{id}");
            // What only time helps against is not permanent, and what time cannot help against is.
            assert!(row.permanent || row.retry.contains(&Retry::Wait) || row.refresh, "{id}");
            assert!(!row.permanent || row.retry != [Retry::Wait], "{id}");
            assert_eq!(row.refresh, row.retry.contains(&Retry::Once), "{id}");
        }
    }

    #[test]
    fn every_sample_finds_its_row_wherever_it_is_said() {
        for row in table() {
            for sample in &row.samples {
                for place in &row.at {
                    let found = find(*place, sample).map(|found| found.id.as_str());
                    assert_eq!(found, Some(row.id.as_str()), "{place:?}: {sample}");
                }
                let found = find_anywhere(sample).map(|found| found.id.as_str());
                assert_eq!(found, Some(row.id.as_str()), "anywhere: {sample}");
            }
        }
    }

    #[test]
    fn a_near_miss_finds_another_row_or_none() {
        for row in table() {
            for near_miss in &row.near_misses {
                for place in &row.at {
                    assert_ne!(find(*place, near_miss), Some(row), "{near_miss}");
                }
                assert_ne!(find_anywhere(near_miss), Some(row), "{near_miss}");
            }
        }
    }

    #[test]
    fn a_code_with_one_more_digit_is_another_code() {
        for row in table() {
            for sign in row.signs.iter().filter(|sign| sign.len() == 1) {
                let Some(code) =
                    sign.first().filter(|phrase| phrase.ends_with(|last: char| last.is_ascii_digit()))
                else {
                    continue;
                };
                for longer in [format!("{code}9"), format!("{code}.9"), format!("9{code}")] {
                    assert_ne!(find_anywhere(&longer), Some(row), "{longer}");
                }
            }
        }
    }
}
