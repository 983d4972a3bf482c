//! The configuration file as `gatepost setup ADDRESS` meets it: there or not, and extended by one provider. Nothing is written
//! that would not be read, and what cannot be written is said, to be written by hand.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::super::super::{Context, Exit, Failure};
use crate::config::edit::{self, Value};
use crate::config::file as yaml;
use crate::config::written::{self, WrittenProvider};
use crate::config::{Config, ConfigError, replace};

/// What a new file begins with.
const HEADING: &str = "\
# Gatepost's configuration. `gatepost check` says what it means, `gatepost setup ADDRESS` adds to it.
# Accounts and passwords do not stand here: they are in the state folder.

";

/// The file, before anything is written.
pub(super) struct File {
    pub(super) path: PathBuf,
    /// What stands in it; nothing where it is yet to be made.
    text: Option<String>,
}

/// The file as it is to be.
pub(super) struct Draft {
    pub(super) config: Config,
    /// Whether it is another one than what stands there.
    pub(super) is_new: bool,
    text: String,
    by_hand: String,
}

impl File {
    pub(super) fn find(context: &Context) -> Result<Self, Failure> {
        let failed = |error: ConfigError| Failure::new(Exit::Configuration, error);
        let path = Config::place(context.config.as_deref()).map_err(failed)?;
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(source) => return Err(failed(ConfigError::Read { path, source })),
        };
        // What cannot be read cannot be added to, and needs no questions.
        if let Some(Err(complaint)) = text.as_deref().map(|text| yaml::parse(&path, text)) {
            return Err(Failure::new(
                Exit::Configuration,
                format!("the configuration is wrong\n{complaint}"),
            ));
        }
        Ok(Self { path, text })
    }

    /// The providers in it; none where there is no file.
    pub(super) fn providers(&self) -> Vec<WrittenProvider> {
        self.text.as_deref().map(written::providers).unwrap_or_default()
    }

    /// What it says; `None` while no provider stands in it.
    pub(super) fn config(&self) -> Result<Option<Config>, Failure> {
        match &self.text {
            Some(text) if !written::providers(text).is_empty() => {
                parsed(&self.path, text, "the configuration is wrong").map(Some)
            }
            _ => Ok(None),
        }
    }

    /// The file with these keys of a provider.
    pub(super) fn with(&self, provider: &str, keys: &[(String, Value)]) -> Result<Draft, Failure> {
        let provider = vec![(provider.to_owned(), Value::Section(keys.to_vec()))];
        let addition = [("providers".to_owned(), Value::Section(provider))];
        let by_hand = edit::in_words(&addition);
        let text = edit::extended(self.text.as_deref().unwrap_or(HEADING), &addition).ok_or_else(|| {
            let why = "is written in a way that cannot be added to without changing something else";
            self.by_hand(why, &by_hand)
        })?;
        let wrong = format!("{} was left as it is; what was to be added is wrong", self.path.display());
        let config = parsed(&self.path, &text, &wrong)?;
        Ok(Draft { config, is_new: self.text.as_ref() != Some(&text), text, by_hand })
    }

    /// Makes the file what the draft says.
    pub(super) fn write(&self, draft: &Draft) -> Result<(), Failure> {
        // Whoever was asked questions had time to write into it, too.
        let there = match std::fs::read_to_string(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            read => read.map(Some),
        };
        let written = match there {
            Ok(there) if there != self.text => {
                let message = format!("{} has changed meanwhile; run this again", self.path.display());
                return Err(Failure::new(Exit::Failed, message));
            }
            Ok(_) => replace::replace(&self.path, &draft.text),
            Err(error) => Err(error),
        };
        written.map_err(|error| self.by_hand(&format!("cannot be written: {error}"), &draft.by_hand))
    }

    fn by_hand(&self, why: &str, lines: &str) -> Failure {
        let path = self.path.display();
        let message = format!("{path} {why}. See that this stands in it, and run this again:\n\n{lines}");
        Failure::new(Exit::Configuration, message)
    }
}

fn parsed(path: &Path, text: &str, heading: &str) -> Result<Config, Failure> {
    Config::parse(path, text, &|name| std::env::var(name).ok())
        .map_err(|error| Failure::new(Exit::Configuration, format!("{heading}\n{error}")))
}
