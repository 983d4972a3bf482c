//! Which mailboxes an organisation opens to Gatepost: named one by one, listed in a file, or all of a domain. No name gets
//! further that could break out of the line or the string that it will stand in.

use std::path::{Path, PathBuf};

use super::super::{Exit, Failure};
use super::question;
use crate::account::Account;
use crate::account::name::wrong_address;
use crate::address::{self, every_mailbox_of, same_domain};
use crate::config::Config;
use crate::store::{Store, StoreError};

/// How they are named on the command line.
#[derive(clap::Args, Debug, Default)]
pub(super) struct MailboxArguments {
    /// The mailboxes, or '*@DOMAIN' for all of a domain
    #[arg(value_name = "MAILBOX")]
    named: Vec<String>,
    /// A file that lists them, one on each line; a line that begins with # is a comment
    #[arg(long = "mailboxes", value_name = "FILE")]
    file: Option<PathBuf>,
    /// All mailboxes of this domain
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<String>,
}

/// The mailboxes that are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Mailboxes {
    /// One by one, in the order in which they were named, each once.
    pub(super) named: Vec<String>,
    /// All of this domain besides, in lower case.
    pub(super) domain: Option<String>,
}

impl MailboxArguments {
    /// What the command line says. Nothing at all is for the caller to deal with.
    pub(super) fn read(&self) -> Result<Mailboxes, Failure> {
        let mut mailboxes = Mailboxes::default();
        if let Some(domain) = &self.domain {
            mailboxes.add_domain(every_mailbox_of(domain).unwrap_or(domain))?;
        }
        for name in &self.named {
            mailboxes.add(name)?;
        }
        if let Some(path) = &self.file {
            mailboxes.add_file(path)?;
        }
        Ok(mailboxes)
    }
}

impl Mailboxes {
    /// Asks for them.
    pub(super) async fn asked() -> Result<Self, Failure> {
        let parsed = |text: &str| {
            let mut mailboxes = Self::default();
            text.split([' ', ',', '\t'])
                .filter(|name| !name.is_empty())
                .try_for_each(|name| mailboxes.add(name))
                .map(|()| mailboxes)
        };
        let wrong = |text: &str| match parsed(text) {
            Ok(mailboxes) if mailboxes.is_empty() => Some("is no address like scan@example.com".to_owned()),
            Ok(_) => None,
            Err(failure) => Some(format!("will not do: {}", failure.message)),
        };
        let question = "Mailboxes, with blanks between them, or *@DOMAIN for all of a domain";
        parsed(&question::answer(question, "MAILBOX", wrong).await?)
    }

    /// Whether none is meant.
    pub(super) fn is_empty(&self) -> bool {
        self.named.is_empty() && self.domain.is_none()
    }

    /// In a few words, for a heading.
    pub(super) fn in_words(&self) -> String {
        let named = match self.named.as_slice() {
            [only] => only.clone(),
            several => format!("{} mailboxes", several.len()),
        };
        match &self.domain {
            None => named,
            Some(domain) if self.named.is_empty() => format!("every mailbox of {domain}"),
            Some(domain) => format!("every mailbox of {domain}, and {named}"),
        }
    }

    /// The domain of all of them, or of the first.
    pub(super) fn domain_name(&self) -> Option<&str> {
        let of_first = || address::domain(self.named.first()?);
        self.domain.as_deref().or_else(of_first)
    }

    /// One by one, with their accounts where they have one; all accounts where none is named.
    pub(super) async fn with_accounts(
        &self,
        config: &Config,
        provider: &str,
    ) -> Result<Vec<(String, Option<Account>)>, Failure> {
        let stored = match Store::open_existing(&config.state_dir).await {
            Ok(Some(store)) => store.accounts().await?,
            Ok(None) => Vec::new(),
            // Whoever names the mailboxes need not be the daemon's user.
            Err(StoreError::OtherUser { .. }) if !self.named.is_empty() => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let mut stored: Vec<_> = stored.into_iter().filter(|account| account.provider == provider).collect();
        if !self.named.is_empty() {
            let account = |name: &String| {
                let is_it = |account: &&Account| address::same(&account.address, name);
                (name.clone(), stored.iter().find(is_it).cloned())
            };
            return Ok(self.named.iter().map(account).collect());
        }
        let is_meant = |address: &str| match (address::domain(address), &self.domain) {
            (Some(domain), Some(wanted)) => same_domain(domain, wanted),
            (_, wanted) => wanted.is_none(),
        };
        // An account for a whole domain is no mailbox.
        stored.retain(|account| every_mailbox_of(&account.address).is_none() && is_meant(&account.address));
        Ok(stored.into_iter().map(|account| (account.address.clone(), Some(account))).collect())
    }

    fn add(&mut self, name: &str) -> Result<(), Failure> {
        let name = name.trim();
        if let Some(domain) = every_mailbox_of(name) {
            return self.add_domain(domain);
        }
        if let Some(problem) = wrong_address(name) {
            return Err(refused(&format!("the mailbox {name:?} {problem}")));
        }
        let is_there = |there: &String| there.to_lowercase() == name.to_lowercase();
        if !self.named.iter().any(is_there) {
            self.named.push(name.to_owned());
        }
        Ok(())
    }

    fn add_domain(&mut self, domain: &str) -> Result<(), Failure> {
        let domain = domain.trim().to_lowercase();
        let fits = |character: char| character.is_alphanumeric() || matches!(character, '.' | '-');
        if !domain.contains('.') || !domain.chars().all(fits) {
            return Err(refused(&format!("{domain:?} is not a domain like example.com")));
        }
        if self.domain.as_ref().is_some_and(|other| *other != domain) {
            return Err(refused("only one domain at a time can be named; run it again for the other"));
        }
        self.domain = Some(domain);
        Ok(())
    }

    fn add_file(&mut self, path: &Path) -> Result<(), Failure> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| refused(&format!("{} cannot be read: {error}", path.display())))?;
        // Windows' editors begin a file with a byte order mark.
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if !line.is_empty() && !line.starts_with('#') {
                self.add(line).map_err(|failure| {
                    refused(&format!("{}:{number}: {}", path.display(), failure.message))
                })?;
            }
        }
        Ok(())
    }
}

fn refused(message: &str) -> Failure {
    Failure::new(Exit::Failed, message)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn read(named: &[&str], domain: Option<&str>, file: Option<&str>) -> Result<Mailboxes, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list");
        let file = file.map(|text| std::fs::write(&path, text).map(|()| path).unwrap());
        let named = named.iter().map(|&name| name.to_owned()).collect();
        let arguments = MailboxArguments { named, file, domain: domain.map(str::to_owned) };
        arguments.read().map_err(|failure| failure.message)
    }

    #[test]
    fn mailboxes_are_taken_from_everywhere_and_each_once() {
        let list = "\u{feff}# scanners\r\n\r\n  second@b.example\r\nANN@b.example\n";
        let all = read(&["ann@b.example", "*@B.example"], None, Some(list)).unwrap();
        assert_eq!(all.named, ["ann@b.example", "second@b.example"]);
        assert_eq!(all.domain.as_deref(), Some("b.example"));
        assert_eq!(all.in_words(), "every mailbox of b.example, and 2 mailboxes");
        for (named, domain, words) in [
            (&["ann@b.example"][..], None, "ann@b.example"),
            (&["a@b.example", "b@b.example"], None, "2 mailboxes"),
            (&[], Some("*@b.example"), "every mailbox of b.example"),
            (&[], Some("b.example"), "every mailbox of b.example"),
        ] {
            assert_eq!(read(named, domain, None).unwrap().in_words(), words);
        }
        assert!(read(&[], None, None).unwrap().is_empty());
    }

    #[test]
    fn what_is_no_mailbox_is_refused_and_shown_without_its_control_characters() {
        for (named, domain, file, expected) in [
            (&["ann"][..], None, None, "the mailbox \"ann\" is not an address like ann@example.com"),
            (&["ann@b\n'; x"], None, None, "the mailbox \"ann@b\\n'; x\" has a blank in it"),
            (&["a\u{1b}[2J@b"], None, None, "the mailbox \"a\\u{1b}[2J@b\" has a control character in it"),
            (&[], Some("b'"), None, "\"b'\" is not a domain like example.com"),
            (&["*@a.example", "*@b.example"], None, None, "only one domain at a time"),
            (&[], None, Some("a@b.example\nann\n"), "list:2: the mailbox \"ann\" is not an address"),
        ] {
            let problem = read(named, domain, file).unwrap_err();
            assert!(problem.contains(expected), "{problem}");
        }
    }
}
