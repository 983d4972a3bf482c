//! `gatepost account apply FILE`: accounts for people who keep them in version control. A YAML list, read like the
//! configuration: every mistake told at once with file, line and key, and nothing done while there is one.
//!
//! ```yaml
//! - address: scanner@example.com
//!   provider: contoso
//!   smtp_user_name: office@example.com   # where the provider wants another one (a shared mailbox)
//!   credentials:                         # left out: made by commands, and left alone here
//!     - user_name: scanner               # the address where left out
//!       label: Epson, 2nd floor
//!       password_hash: $argon2id$…       # as `gatepost credential hash` prints it
//! ```

use std::collections::HashSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use gatepost_protocol::secret::Secret;

use super::{Exit, Failure};
use crate::account::name::{wrong_address, wrong_user_name};
use crate::account::password::check_hash;
use crate::config::complaint::Complaints;
use crate::config::section::{Field, Section};
use crate::config::{Config, ConfigError, file, suggestion};
use crate::store::Store;
use crate::store::accounts::NewAccount;
use crate::store::apply::{Applied, Change, WantedAccount};
use crate::store::credentials::NewCredential;

/// `gatepost account apply`.
#[derive(Args, Clone, Debug)]
pub struct Apply {
    /// A YAML list of accounts: address, provider, and optionally smtp_user_name, pop3_user_name, disabled and
    /// credentials (user_name, label, password_hash)
    file: PathBuf,
    /// Remove accounts that are not in the file, and passwords that are not in an account's `credentials`
    #[arg(long)]
    prune: bool,
}

impl Apply {
    pub(super) async fn run(self, config: &Config, store: &Store) -> Result<String, Failure> {
        let wrong = |error: ConfigError| Failure::new(Exit::Failed, error);
        let text = std::fs::read_to_string(&self.file)
            .map_err(|source| wrong(ConfigError::Read { path: self.file.clone(), source }))?;
        let wanted = read(&self.file, &text, config).map_err(wrong)?;
        Ok(report(&store.apply(&wanted, self.prune).await?))
    }
}

/// A line for everything that is not as before, and a sum.
fn report(applied: &[Applied]) -> String {
    let mut said = String::new();
    for one in applied.iter().filter(|one| one.change != Change::Unchanged) {
        let _ = write!(said, "{:<16} {} at {}", one.change, one.address, one.provider);
        let _ = match &one.credential {
            Some((user_name, Some(label))) => writeln!(said, ": user name {user_name} ({label})"),
            Some((user_name, None)) => writeln!(said, ": user name {user_name}"),
            None => writeln!(said),
        };
    }
    let count = |change| applied.iter().filter(|one| one.change == change).count();
    let _ = writeln!(
        said,
        "{} added, {} changed, {} removed, {} unchanged",
        count(Change::Added),
        count(Change::Changed),
        count(Change::Removed),
        count(Change::Unchanged)
    );
    let kept = count(Change::Kept);
    if kept > 0 {
        let _ = writeln!(said, "{kept} not in the file, left alone (--prune removes them)");
    }
    said
}

fn read(path: &Path, text: &str, config: &Config) -> Result<Vec<WantedAccount>, ConfigError> {
    let root =
        file::parse(path, text).map_err(|complaint| ConfigError::Wrong { complaints: vec![complaint] })?;
    let complaints = Complaints::new(path);
    let mut reader = Reader { config, addresses: HashSet::new(), hashes: HashSet::new() };
    let wanted: Vec<_> =
        Field::root(&root, &complaints).list().iter().filter_map(|field| reader.account(field)).collect();
    let complaints = complaints.into_sorted();
    if complaints.is_empty() { Ok(wanted) } else { Err(ConfigError::Wrong { complaints }) }
}

/// Remembers what may stand in the file only once.
struct Reader<'a> {
    config: &'a Config,
    /// Provider, address.
    addresses: HashSet<(String, String)>,
    /// Provider, user name, hash.
    hashes: HashSet<(String, String, String)>,
}

impl Reader<'_> {
    /// `None` only after a complaint.
    fn account(&mut self, field: &Field<'_>) -> Option<WantedAccount> {
        let mut section = field.section()?;
        let address = section.require("address", "the mailbox, like `ann@example.com`");
        let address = address.and_then(|field| right(&field, wrong_address));
        let provider = section.require("provider", "the name of a provider in the configuration");
        let provider = provider.and_then(|field| self.provider(&field));
        let smtp_user_name = optional(&mut section, "smtp_user_name", wrong_user_name);
        let pop3_user_name = optional(&mut section, "pop3_user_name", wrong_user_name);
        let disabled = section.take("disabled");
        let disabled = disabled.and_then(|field| field.choice(&[("true", true), ("false", false)]));
        let credentials = section.take("credentials");
        section.finish();
        let (address, provider) = (address?, provider?);
        if !self.addresses.insert((provider.clone(), address.to_ascii_lowercase())) {
            field.complain(format!("{address} at {provider} stands in the file twice"));
        }
        let credentials = credentials.map(|field| {
            field.list().iter().filter_map(|field| self.credential(field, &address, &provider)).collect()
        });
        let disabled = disabled.unwrap_or(false);
        let account = NewAccount { address, provider, smtp_user_name, pop3_user_name, disabled };
        Some(WantedAccount { account, credentials })
    }

    fn provider(&self, field: &Field<'_>) -> Option<String> {
        let name = field.text()?;
        if self.config.providers.contains_key(name) {
            return Some(name.to_owned());
        }
        let known = self.config.providers.keys().map(String::as_str);
        field.complain(format!("there is no provider `{name}`; {}", suggestion(name, known)));
        None
    }

    fn credential(&mut self, field: &Field<'_>, address: &str, provider: &str) -> Option<NewCredential> {
        let mut section = field.section()?;
        let user_name = section.take("user_name");
        let label = section.take("label").and_then(|field| field.text().map(str::to_owned));
        let hash = section.require("password_hash", "what `gatepost credential hash` prints");
        section.finish();
        let user_name = match user_name {
            Some(field) => right(&field, wrong_user_name)?,
            None => address.to_owned(),
        };
        let hash = hash?;
        let phc = hash.text()?;
        if let Err(error) = check_hash(phc) {
            hash.complain(error.to_string());
            return None;
        }
        let once = (provider.to_owned(), user_name.to_ascii_lowercase(), phc.to_owned());
        if !self.hashes.insert(once) {
            hash.complain(format!("user name {user_name} has this password twice"));
        }
        Some(NewCredential { user_name, password_hash: Secret::new(phc.to_owned()), label })
    }
}

fn optional(
    section: &mut Section<'_>,
    key: &'static str,
    wrong: fn(&str) -> Option<&'static str>,
) -> Option<String> {
    section.take(key).and_then(|field| right(&field, wrong))
}

fn right(field: &Field<'_>, wrong: fn(&str) -> Option<&'static str>) -> Option<String> {
    let text = field.text()?;
    match wrong(text) {
        Some(reason) => field.complain(format!("{text:?} {reason}")),
        None => return Some(text.to_owned()),
    }
    None
}
