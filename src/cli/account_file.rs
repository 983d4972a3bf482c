//! `gatepost account apply FILE`: accounts for people who keep them in version control. A YAML list, read like the
//! configuration: every mistake told at once with file, line and key, and nothing done while there is one.
//!
//! ```yaml
//! - address: scanner@example.com
//!   provider: contoso
//!   owner: office@example.com            # who consents, where it is another one
//!   shared: true                         # a shared mailbox: SMTP goes as its owner
//!   pop3_user_name: office/scanner       # where the provider wants another one; also smtp_user_name, imap_user_name
//!   credentials:                         # left out: made by commands, and left alone here
//!     - user_name: scanner               # the address where left out
//!       label: Epson, 2nd floor
//!       password_hash: $argon2id$…       # as `gatepost credential hash` prints it
//! ```
//!
//! An account like `*@example.com` says with each credential what it opens: `mailbox: scan@example.com`, or `all_mailboxes: true`.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use gatepost_protocol::secret::Secret;

use super::{Exit, Failure, catch_all, user_names, who};
use crate::account::catch_all::domain;
use crate::account::name::{wrong_account_address, wrong_address, wrong_user_name};
use crate::account::password::check_hash;
use crate::config::complaint::Complaints;
use crate::config::section::{Field, Section};
use crate::config::{Config, ConfigError, Provider, file, suggestion};
use crate::store::Store;
use crate::store::accounts::NewAccount;
use crate::store::apply::{Applied, Change, WantedAccount};
use crate::store::credentials::NewCredential;

/// `gatepost account apply`.
#[derive(Args, Clone, Debug)]
pub struct Apply {
    /// A YAML list of accounts: address, provider, and optionally owner, shared, smtp_user_name, pop3_user_name,
    /// imap_user_name, disabled and credentials (user_name, mailbox, all_mailboxes, label, password_hash)
    file: PathBuf,
    /// Remove accounts that are not in the file, and passwords that are not in an account's `credentials`
    #[arg(long)]
    prune: bool,
}

impl Apply {
    pub(super) async fn run(self, config: &Config, store: &Store) -> Result<String, Failure> {
        let wrong = |error: ConfigError| {
            let heading =
                if matches!(error, ConfigError::Wrong { .. }) { "nothing was applied\n" } else { "" };
            Failure::new(Exit::Failed, format!("{heading}{error}"))
        };
        let text = std::fs::read_to_string(&self.file)
            .map_err(|source| wrong(ConfigError::Read { path: self.file.clone(), source }))?;
        let wanted = read(&self.file, &text, config).map_err(wrong)?;
        let applied = store.apply(&wanted, self.prune).await?;
        let mut said = report(&applied);
        for WantedAccount { account, .. } in &wanted {
            if let Some(provider) = config.providers.get(&account.provider) {
                said += &who::warnings(account, provider);
            }
        }
        for one in wanted_for_all(&applied) {
            said += &catch_all::warning(one);
        }
        for complaint in user_names::ambiguous(config, store).await? {
            let _ = writeln!(said, "Warning: `gatepost run` will refuse to start: {complaint}");
        }
        Ok(said)
    }
}

/// The user names of passwords that were added and open every mailbox of a domain.
fn wanted_for_all(applied: &[Applied]) -> impl Iterator<Item = &str> {
    let added = applied.iter().filter(|one| one.change == Change::Added);
    added
        .filter_map(|one| one.credential.as_ref())
        .map(|(name, _)| name.as_str())
        .filter(|name| domain(name).is_some())
}

/// More than these would bury what was done; `gatepost account list` shows them as well.
const MOST_KEPT_LISTED: usize = 10;

/// A line for everything that is not as before, and a sum.
fn report(applied: &[Applied]) -> String {
    let mut said = String::new();
    let count = |change| applied.iter().filter(|one| one.change == change).count();
    let kept = count(Change::Kept);
    let is_told = |change| match change {
        Change::Unchanged => false,
        Change::Kept => kept <= MOST_KEPT_LISTED,
        _ => true,
    };
    for one in applied.iter().filter(|one| is_told(one.change)) {
        let _ = write!(said, "{:<16} {} at {}", one.change, one.address, one.provider);
        let _ = match &one.credential {
            Some((user_name, Some(label))) => writeln!(said, ": user name {user_name} ({label})"),
            Some((user_name, None)) => writeln!(said, ": user name {user_name}"),
            None => writeln!(said),
        };
    }
    let _ = writeln!(
        said,
        "{} added, {} changed, {} removed, {} unchanged",
        count(Change::Added),
        count(Change::Changed),
        count(Change::Removed),
        count(Change::Unchanged)
    );
    if kept > 0 {
        let _ = writeln!(said, "{kept} not in the file, left alone (--prune removes them)");
    }
    said
}

fn read(path: &Path, text: &str, config: &Config) -> Result<Vec<WantedAccount>, ConfigError> {
    let root =
        file::parse(path, text).map_err(|complaint| ConfigError::Wrong { complaints: vec![*complaint] })?;
    let complaints = Complaints::new(path);
    let mut reader = Reader { config, addresses: HashSet::new(), hashes: HashSet::new() };
    let fields = Field::root(&root, &complaints).list();
    let read: Vec<_> = fields.iter().filter_map(|field| Some((field, reader.account(field)?))).collect();
    for (field, wanted) in &read {
        let owned_by = |address: &str| {
            read.iter().map(|(_, other)| &other.account).find(|other| {
                other.provider == wanted.account.provider && other.address.eq_ignore_ascii_case(address)
            })
        };
        let owner = wanted.account.owner.as_deref().and_then(owned_by);
        if let Some(further) = owner.and_then(|owner| owner.owner.as_deref()).and_then(owned_by) {
            field.complain(format!("its owner is opened by {0} itself; write `owner: {0}`", further.address));
        }
    }
    let wanted = read.into_iter().map(|(_, wanted)| wanted).collect();
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

impl<'a> Reader<'a> {
    /// `None` only after a complaint.
    fn account(&mut self, field: &Field<'_>) -> Option<WantedAccount> {
        let mut section = field.section()?;
        let address = section.require("address", "the mailbox, like `ann@example.com`");
        let address = address.and_then(|field| right(&field, wrong_account_address));
        let provider = section.require("provider", "the name of a provider in the configuration");
        let provider = provider.and_then(|field| self.provider(&field));
        let who = Who::take(&mut section);
        let disabled = flag(&mut section, "disabled");
        let credentials = section.take("credentials");
        section.finish();
        let (address, provider_of) = (address?, provider?);
        let provider = provider_of.name.clone();
        if let (Some(_), Some(reason)) = (domain(&address), catch_all::wrong_provider(provider_of)) {
            field.complain(format!("{address}: {reason}"));
        }
        let account = who.account(field, &address, provider_of);
        if !self.addresses.insert((provider.clone(), address.to_ascii_lowercase())) {
            field.complain(format!("{address} at {provider} stands in the file twice"));
        }
        let credentials = credentials.map(|field| {
            field.list().iter().filter_map(|field| self.credential(field, &address, &provider)).collect()
        });
        Some(WantedAccount { account: NewAccount { disabled, ..account }, credentials })
    }

    fn provider(&self, field: &Field<'_>) -> Option<&'a Provider> {
        let name = field.text()?;
        if let Some(provider) = self.config.providers.get(name) {
            return Some(provider);
        }
        let known = self.config.providers.keys().map(String::as_str);
        field.complain(format!("there is no provider `{name}`; {}", suggestion(name, known)));
        None
    }

    fn credential(&mut self, field: &Field<'_>, address: &str, provider: &str) -> Option<NewCredential> {
        let mut section = field.section()?;
        let user_name = section.take("user_name");
        let mailbox_field = section.take("mailbox");
        let all_mailboxes = flag(&mut section, "all_mailboxes");
        let label = section.take("label").and_then(|field| field.text().map(str::to_owned));
        let hash = section.require("password_hash", "what `gatepost credential hash` prints");
        section.finish();
        let mailbox = match &mailbox_field {
            Some(field) => {
                let mailbox = right(field, wrong_address)?;
                if let Some(reason) = catch_all::wrong_mailbox(address, &mailbox) {
                    field.complain(format!("{reason}; `mailbox` is for accounts like `*@contoso.com`"));
                }
                Some(mailbox)
            }
            None => None,
        };
        match (domain(address), &mailbox, all_mailboxes) {
            (None, None, false) | (Some(_), Some(_), false) | (Some(_), None, true) => {}
            (None, Some(_), _) => return None,
            (None, None, true) => {
                field.complain("`all_mailboxes` is for accounts like `*@contoso.com`; leave it out");
                return None;
            }
            (Some(_), ..) => {
                field.complain(
                    "write either `mailbox:` with the one that the device opens, or `all_mailboxes: true`",
                );
                return None;
            }
        }
        let user_name = match user_name {
            Some(field) if all_mailboxes => {
                field.complain(
                    "does not go with `all_mailboxes`: the device sends the mailbox; leave this out",
                );
                return None;
            }
            Some(field) => right(&field, wrong_user_name)?,
            None => mailbox.clone().unwrap_or_else(|| address.to_owned()),
        };
        let hash = hash?;
        let phc = hash.text()?;
        if let Err(error) = check_hash(phc) {
            // Between braces a comma ends the value.
            let cut = if phc.ends_with("$m=19456") {
                "; it ends at its comma, so put quotes around it"
            } else {
                ""
            };
            hash.complain(format!("{error}{cut}"));
            return None;
        }
        let once = (provider.to_owned(), user_name.to_ascii_lowercase(), phc.to_owned());
        if !self.hashes.insert(once) {
            hash.complain(format!("user name {user_name} has this password twice"));
        }
        Some(NewCredential { user_name, mailbox, password_hash: Secret::new(phc.to_owned()), label })
    }
}

/// Who is who, as it is written.
struct Who<'a> {
    shared: bool,
    owner: Option<Field<'a>>,
    smtp_user_name: Option<String>,
    pop3_user_name: Option<String>,
    imap_user_name: Option<String>,
    is_written: bool,
}

impl<'a> Who<'a> {
    fn take(section: &mut Section<'a>) -> Self {
        let owner = section.take("owner");
        let shared = flag(section, "shared");
        let [smtp_user_name, pop3_user_name, imap_user_name] =
            ["smtp_user_name", "pop3_user_name", "imap_user_name"]
                .map(|key| section.take(key).and_then(|field| right(&field, wrong_user_name)));
        let names = [&smtp_user_name, &pop3_user_name, &imap_user_name];
        let is_written = shared || owner.is_some() || names.iter().any(|name| name.is_some());
        Self { shared, owner, smtp_user_name, pop3_user_name, imap_user_name, is_written }
    }

    fn account(self, account: &Field<'_>, address: &str, provider: &Provider) -> NewAccount {
        if domain(address).is_some() && self.is_written {
            account.complain(format!(
                "{address} stands for many mailboxes, each opened by its own address; leave user names, `owner` and `shared` out"
            ));
        }
        if let (true, Some(reason)) = (self.shared || self.owner.is_some(), who::nobody_consents(provider)) {
            account.complain(reason);
        }
        if self.shared && self.owner.is_none() {
            account.complain("`shared` needs `owner: WHO`, who consents and sends as themselves");
        }
        let owner = self.owner.and_then(|field| right(&field, wrong_user_name));
        let owner = owner.filter(|owner| !owner.eq_ignore_ascii_case(address));
        let sends_as = owner.clone().filter(|_| self.shared);
        NewAccount {
            address: address.to_owned(),
            provider: provider.name.clone(),
            smtp_user_name: self.smtp_user_name.or(sends_as),
            pop3_user_name: self.pop3_user_name,
            imap_user_name: self.imap_user_name,
            owner,
            ..NewAccount::default()
        }
    }
}

fn flag(section: &mut Section<'_>, key: &'static str) -> bool {
    let field = section.take(key);
    field.and_then(|field| field.choice(&[("true", true), ("false", false)])).unwrap_or(false)
}

fn right(field: &Field<'_>, wrong: fn(&str) -> Option<&'static str>) -> Option<String> {
    let text = field.text()?;
    match wrong(text) {
        Some(reason) => field.complain(format!("{text:?} {reason}")),
        None => return Some(text.to_owned()),
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use gatepost_protocol::Protocol;

    use super::super::account::tests::desk;
    use super::*;

    const ONE: &str =
        "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$dGhpcnR5LXR3byBvY3RldHMgb2Ygbm90aGluZyBoZXI";
    const TWO: &str =
        "$argon2id$v=19$m=19456,t=2,p=1$b3RoZXJzYWx0b3RoZXI$dGhpcnR5LXR3byBvY3RldHMgb2Ygbm90aGluZyBoZXI";

    async fn apply(config: &Config, store: &Store, text: &str, prune: bool) -> Result<String, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text.replace("ONE", ONE).replace("TWO", TWO)).unwrap();
        let path = file.path().display().to_string();
        let apply = Apply { file: file.path().to_owned(), prune };
        let outcome = apply.run(config, store).await;
        outcome.map_err(|failure| failure.message.replace(&path, "accounts.yaml"))
    }

    /// Each file is applied to what the one before left; what is said about it, and what is said the second time.
    #[tokio::test]
    async fn a_file_is_applied_once_and_again_without_change() {
        let (_folder, config, store) = desk().await;
        let steps = [
            (
                "- { address: ann@example.com, provider: contoso, pop3_user_name: office@example.com }\n\
                 - address: bob@example.com\n  provider: contoso\n  credentials:\n\
                 \x20   - { password_hash: 'ONE' }\n    - { user_name: scanner, label: Epson, password_hash: 'TWO' }\n",
                false,
                "added            ann@example.com at contoso\n\
                 added            bob@example.com at contoso\n\
                 added            bob@example.com at contoso: user name bob@example.com\n\
                 added            bob@example.com at contoso: user name scanner (Epson)\n\
                 4 added, 0 changed, 0 removed, 0 unchanged\n",
                "0 added, 0 changed, 0 removed, 4 unchanged\n",
            ),
            (
                "- { address: ann@example.com, provider: contoso, disabled: true }\n\
                 - address: bob@example.com\n  provider: contoso\n  credentials:\n\
                 \x20   - { user_name: scanner, label: Canon, password_hash: 'TWO' }\n",
                false,
                "changed          ann@example.com at contoso\n\
                 not in the file  bob@example.com at contoso: user name bob@example.com\n\
                 changed          bob@example.com at contoso: user name scanner (Canon)\n\
                 0 added, 2 changed, 0 removed, 1 unchanged\n\
                 1 not in the file, left alone (--prune removes them)\n",
                "not in the file  bob@example.com at contoso: user name bob@example.com\n\
                 0 added, 0 changed, 0 removed, 3 unchanged\n\
                 1 not in the file, left alone (--prune removes them)\n",
            ),
            (
                "- { address: BOB@example.com, provider: contoso, credentials: [{ user_name: scanner, password_hash: 'TWO' }] }\n",
                true,
                "removed          ann@example.com at contoso\n\
                 changed          BOB@example.com at contoso\n\
                 removed          BOB@example.com at contoso: user name bob@example.com\n\
                 changed          BOB@example.com at contoso: user name scanner\n\
                 0 added, 2 changed, 2 removed, 0 unchanged\n",
                "0 added, 0 changed, 0 removed, 2 unchanged\n",
            ),
            // Nothing is said about passwords, so none is pruned.
            (
                "- { address: BOB@example.com, provider: contoso }\n",
                true,
                "0 added, 0 changed, 0 removed, 1 unchanged\n",
                "0 added, 0 changed, 0 removed, 1 unchanged\n",
            ),
        ];
        for (text, prune, first, again) in steps {
            assert_eq!(apply(&config, &store, text, prune).await.unwrap(), first);
            assert_eq!(apply(&config, &store, text, prune).await.unwrap(), again);
        }
        let left: Vec<_> = store
            .credentials(None)
            .await
            .unwrap()
            .into_iter()
            .map(|one| (one.user_name, one.label))
            .collect();
        assert_eq!(left, [("scanner".to_owned(), None)]);
    }

    #[tokio::test]
    async fn a_shared_mailbox_has_a_user_name_for_each_protocol() {
        let (_folder, config, store) = desk().await;
        let (smtp, pop3) = ("smtp_user_name: ann@example.com", "pop3_user_name: 'example/ann/office'");
        let imap = "imap_user_name: 'ann@example.com\\office'";
        let office = "office@example.com";
        for (names, told, expected) in [
            (
                vec![smtp, pop3, imap],
                "1 added, 0 changed",
                ["ann@example.com", "example/ann/office", "ann@example.com\\office"],
            ),
            (
                vec![smtp, pop3, "imap_user_name: ann@example.com"],
                "0 added, 1 changed",
                ["ann@example.com", "example/ann/office", "ann@example.com"],
            ),
            (vec![smtp, pop3], "0 added, 1 changed", ["ann@example.com", "example/ann/office", office]),
            (vec![], "0 added, 1 changed", [office; 3]),
        ] {
            let lines = [vec!["- address: office@example.com", "provider: contoso"], names].concat();
            let text = lines.join("\n  ");
            let said = apply(&config, &store, &text, false).await.unwrap();
            assert!(said.contains(told), "{text}{said}");
            let accounts = store.accounts().await.unwrap();
            let account = accounts.first().unwrap();
            assert_eq!(Protocol::ALL.map(|protocol| account.upstream_user_name(protocol)), expected);
        }
    }

    #[tokio::test]
    async fn who_is_who_is_written_and_an_owner_in_the_same_file_lends_its_grant() {
        let (_folder, config, store) = desk().await;
        let ann = "- { address: ann@example.com, provider: contoso }\n";
        let office = "- { address: office@example.com, provider: contoso, owner: Ann@example.com";
        for (text, told, smtp, lent) in [
            (format!("{office}, shared: true }}\n"), "1 added", "Ann@example.com", false),
            // The owner comes behind, and is there all the same.
            (format!("{office}, shared: true }}\n{ann}"), "1 added, 1 changed", "Ann@example.com", true),
            (format!("{ann}{office}, shared: true }}\n"), "2 unchanged", "Ann@example.com", true),
            (
                format!("{ann}{office}, shared: true, smtp_user_name: ann.upn@example.com }}\n"),
                "1 changed",
                "ann.upn@example.com",
                true,
            ),
            (format!("{ann}{office}, shared: false }}\n"), "1 changed", "office@example.com", true),
            (
                format!("{ann}- {{ address: office@example.com, provider: contoso }}\n"),
                "1 changed",
                "office@example.com",
                false,
            ),
        ] {
            let said = apply(&config, &store, &text, false).await.unwrap();
            assert!(said.contains(told), "{text}{said}");
            let office = store.accounts_at("office@example.com").await.unwrap().pop().unwrap();
            assert_eq!(office.upstream_user_name(Protocol::Smtp), smtp, "{text}");
            assert_eq!(office.upstream_user_name(Protocol::Imap), "office@example.com", "{text}");
            assert_eq!(office.owner.is_some(), text.contains("owner"), "{text}");
            assert_eq!(office.token_account.is_some(), lent, "{text}");
        }
    }

    const APPLICATION: &str = "
providers:
  contoso: { preset: microsoft365, client_id: abc, tenant: contoso.example, grant: client_credentials, client_secret: { env: S } }
listeners: [{ protocol: smtp }]
";

    #[tokio::test]
    async fn a_catch_all_account_says_what_each_password_opens() {
        let folder = tempfile::tempdir().unwrap();
        let store = crate::store::tests::open(folder.path()).await.unwrap();
        let environment = |_: &str| Some("tanstaaf".to_owned());
        let config = Config::parse(Path::new("gatepost.yaml"), APPLICATION, &environment).unwrap();
        let file = |credentials: &str| {
            format!("- address: '*@contoso.example'\n  provider: contoso\n  credentials:\n{credentials}")
        };
        let all = "  - { all_mailboxes: true, label: archive, password_hash: 'ONE' }\n";
        let warning = "Mind: whoever has this password can read every mailbox of contoso.example.";
        for (credentials, told, warned) in [
            (
                format!("  - {{ mailbox: scan@contoso.example, password_hash: 'TWO' }}\n{all}"),
                "3 added",
                true,
            ),
            (
                format!("  - {{ mailbox: Scan@contoso.example, password_hash: 'TWO' }}\n{all}"),
                "3 unchanged",
                false,
            ),
            (
                format!(
                    "  - {{ user_name: scan@contoso.example, mailbox: erp@contoso.example, password_hash: 'TWO' }}\n{all}"
                ),
                "0 added, 1 changed",
                false,
            ),
        ] {
            let said = apply(&config, &store, &file(&credentials), true).await.unwrap();
            assert!(said.contains(told), "{credentials}{said}");
            assert_eq!(said.contains(warning), warned, "{said}");
        }
        let mut stored: Vec<_> = store
            .credentials(None)
            .await
            .unwrap()
            .into_iter()
            .map(|one| (one.user_name, one.mailbox))
            .collect();
        stored.sort();
        let erp = ("scan@contoso.example".to_owned(), Some("erp@contoso.example".to_owned()));
        assert_eq!(stored, [("*@contoso.example".to_owned(), None), erp]);

        let text = "\
- address: '*@contoso.example'
  provider: contoso
  owner: ann@contoso.example
  credentials:
    - { password_hash: 'ONE' }
    - { mailbox: scan@contoso.example, all_mailboxes: true, password_hash: 'ONE' }
    - { mailbox: scan@sub.contoso.example, password_hash: 'ONE' }
    - { user_name: scanner, all_mailboxes: true, password_hash: 'ONE' }
    - { user_name: '*@contoso.example', mailbox: scan@contoso.example, password_hash: 'ONE' }
- address: ann@contoso.example
  provider: contoso
  shared: true
  credentials:
    - { all_mailboxes: true, password_hash: 'ONE' }
    - { mailbox: ann@contoso.example, password_hash: 'ONE' }
";
        let refused = apply(&config, &store, text, true).await.unwrap_err();
        let mut lines = refused.lines();
        assert_eq!(lines.next(), Some("nothing was applied"));
        for (line, words) in [
            (1, "stands for many mailboxes"),
            (1, "nobody consents (client_credentials)"),
            (5, "write either `mailbox:`"),
            (6, "write either `mailbox:`"),
            (7, "scan@sub.contoso.example is not a mailbox of contoso.example"),
            (8, "does not go with `all_mailboxes`"),
            (9, "begins with `*@`"),
            (10, "nobody consents (client_credentials)"),
            (10, "`shared` needs `owner: WHO`"),
            (14, "`all_mailboxes` is for accounts like `*@contoso.com`"),
            (15, "ann@contoso.example has one mailbox, its own"),
        ] {
            let told = lines.next().unwrap();
            assert!(
                told.starts_with(&format!("accounts.yaml:{line}:")) && told.contains(words),
                "{words}: {refused}"
            );
        }
        assert_eq!(lines.next(), None, "{refused}");
    }

    #[tokio::test]
    async fn a_catch_all_account_is_refused_where_people_consent_and_owners_that_go_round() {
        let (_folder, config, store) = desk().await;
        let refused = |text: &'static str| apply(&config, &store, text, true);
        let text = "- { address: '*@contoso.example', provider: contoso }\n";
        let told = refused(text).await.unwrap_err();
        assert!(told.contains("each mailbox needs a consent of its own (authorization_code)"), "{told}");
        let text = "- { address: a@b.example, provider: contoso, owner: b@b.example }\n\
                    - { address: b@b.example, provider: contoso, owner: c@b.example }\n\
                    - { address: c@b.example, provider: contoso }\n";
        let told = refused(text).await.unwrap_err();
        assert!(
            told.contains("accounts.yaml:1: [0]: error: its owner is opened by c@b.example itself"),
            "{told}"
        );
    }

    #[tokio::test]
    async fn whose_grant_is_used_does_not_depend_on_the_order_of_the_file() {
        let line = |address: &str, owner: &str| {
            let owner = if owner.is_empty() { String::new() } else { format!(", owner: {owner}@b.example") };
            format!("- {{ address: {address}@b.example, provider: contoso{owner} }}\n")
        };
        for turned in [false, true] {
            let (_folder, config, store) = desk().await;
            let apply = async |lines: [String; 2]| {
                let [first, second] = lines;
                let text = if turned { second + &first } else { first + &second };
                apply(&config, &store, &text, false).await.unwrap();
                let again = apply(&config, &store, &text, false).await.unwrap();
                assert!(again.contains("0 added, 0 changed"), "{again}");
            };
            // Whose grant each uses.
            let used = async || {
                let accounts = store.accounts().await.unwrap();
                let address =
                    |id| accounts.iter().find(|one| Some(one.id) == id).map(|one| one.address.clone());
                let used = accounts.iter().map(|one| address(one.token_account).unwrap_or_default());
                used.collect::<Vec<_>>()
            };
            apply([line("c", ""), line("d", "")]).await;
            // The owner's grant is that of one beside the list, and grants are used directly.
            apply([line("a", "b"), line("b", "c")]).await;
            assert_eq!(used().await, ["", "c@b.example", "", ""], "turned: {turned}");
            // Now the owner has its own.
            apply([line("a", "b"), line("b", "")]).await;
            assert_eq!(used().await, ["b@b.example", "", "", ""], "turned: {turned}");
        }
    }

    #[test]
    fn many_that_are_left_alone_are_only_counted() {
        let one = |change, number: usize| Applied {
            change,
            address: format!("{number}@example.com"),
            provider: "contoso".to_owned(),
            credential: None,
        };
        for (kept, lines) in [(MOST_KEPT_LISTED, MOST_KEPT_LISTED + 3), (MOST_KEPT_LISTED + 1, 3)] {
            let mut applied: Vec<_> = (0..kept).map(|number| one(Change::Kept, number)).collect();
            applied.push(one(Change::Added, kept));
            let said = report(&applied);
            assert_eq!(said.lines().count(), lines, "{said}");
            assert!(said.contains(&format!("{kept} not in the file")), "{said}");
        }
    }

    #[tokio::test]
    async fn every_mistake_is_told_with_its_line_and_nothing_is_done() {
        let (_folder, config, store) = desk().await;
        let text = "\
- address: ann@example.com
  provider: contosso
  disable: true
- address: ann
  provider: contoso
- provider: contoso
- address: bob@example.com
  provider: contoso
  disabled: perhaps
  credentials:
    - password: secret
    - password_hash: $2y$10$abcdefghijklmnopqrstuv
    - { user_name: scanner, password_hash: 'ONE' }
    - { user_name: Scanner, password_hash: 'ONE' }
- address: Bob@example.com
  provider: contoso
- carl@example.com
";
        let expected = "\
nothing was applied
accounts.yaml:2: [0].provider: error: there is no provider `contosso`; did you mean `contoso`?
accounts.yaml:3: [0].disable: error: no such key; did you mean `disabled`?
accounts.yaml:4: [1].address: error: \"ann\" is not an address like ann@example.com
accounts.yaml:6: [2]: error: `address` is missing; write the mailbox, like `ann@example.com`
accounts.yaml:9: [3].disabled: error: `perhaps` is not known here; there are `true`, `false`
accounts.yaml:11: [3].credentials[0]: error: `password_hash` is missing; write what `gatepost credential hash` prints
accounts.yaml:11: [3].credentials[0].password: error: no such key; there are `user_name`, `mailbox`, `all_mailboxes`, `label`, `password_hash`
accounts.yaml:12: [3].credentials[1].password_hash: error: not an Argon2id hash with the costs m=19456,t=2,p=1 as a PHC string ($argon2id$v=19$m=19456,t=2,p=1$…)
accounts.yaml:14: [3].credentials[3].password_hash: error: user name Scanner has this password twice
accounts.yaml:15: [4]: error: Bob@example.com at contoso stands in the file twice
accounts.yaml:17: [5]: error: must be a mapping with keys of its own, not a single value";
        assert_eq!(apply(&config, &store, text, true).await.unwrap_err(), expected);
        let unquoted = "- { address: a@b, provider: contoso, credentials: [{ password_hash: ONE }] }\n";
        let refused = apply(&config, &store, unquoted, true).await.unwrap_err();
        assert!(refused.contains("put quotes around it"), "{refused}");
        let repeated = "- address: a@b\n  address: c@d\n  provider: contoso\n";
        let refused = apply(&config, &store, repeated, true).await.unwrap_err();
        assert!(refused.contains("\naccounts.yaml:2:") && refused.contains("address"), "{refused}");
        assert!(store.accounts().await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_refusal_in_the_middle_leaves_everything_as_it_was() {
        let (_folder, config, store) = desk().await;
        apply(&config, &store, "- { address: ann@example.com, provider: contoso }\n", false).await.unwrap();
        let mut text = String::new();
        for number in 0..9 {
            let hash = ONE.replace("c29tZX", &format!("c29tZ{number}"));
            let _ = writeln!(
                text,
                "- {{ address: {number}@example.com, provider: contoso, credentials: [{{ user_name: shared, \
                 password_hash: '{hash}' }}] }}"
            );
        }
        let refused = apply(&config, &store, &text, true).await.unwrap_err();
        assert!(refused.starts_with("user name shared has 8 passwords at provider contoso"), "{refused}");
        let left: Vec<_> = store.accounts().await.unwrap().into_iter().map(|one| one.address).collect();
        assert_eq!(left, ["ann@example.com"]);
    }

    #[tokio::test]
    async fn the_file_described_above_is_understood() {
        let (_folder, config, _store) = desk().await;
        let above = include_str!("account_file.rs")
            .lines()
            .skip_while(|line| !line.starts_with("//! ```yaml"))
            .skip(1)
            .take_while(|line| !line.starts_with("//! ```"))
            .map(|line| line.trim_start_matches("//!").to_owned() + "\n")
            .collect::<String>()
            .replace("$argon2id$…", ONE);
        assert_eq!(read(Path::new("accounts.yaml"), &above, &config).unwrap().len(), 1);
    }
}
