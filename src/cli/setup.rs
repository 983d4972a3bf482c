//! `gatepost setup`: from nothing to mail. With an address, everything that one person's mailbox needs; with the name of an
//! organisation's provider, everything that its admin has to do elsewhere before Gatepost can open mailboxes, made ready to be
//! clicked, pasted and run.

mod address;
mod attempt;
mod google;
mod mail_from;
mod mailboxes;
mod microsoft365;
mod powershell;
mod question;
mod wait;

use std::sync::Arc;

use clap::Subcommand as _;

use self::mailboxes::Mailboxes;
use super::{Context, Exit, Failure};
use crate::config::provider::{GrantType, Provider};
use crate::config::{Config, ConfigError, suggestion};

/// `gatepost setup …`.
#[derive(clap::Args, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Arguments {
    #[command(subcommand)]
    organisation: Option<Organisation>,
    /// The mailbox
    #[arg(required = true)]
    address: Option<String>,
    #[command(flatten)]
    mailbox: address::Mailbox,
}

/// What is prepared for a whole organisation. Rule: it changes nothing at the provider and nothing in the configuration.
#[derive(clap::Subcommand, Debug)]
pub enum Organisation {
    /// A Google Workspace: let a service account open its mailboxes
    Google(google::Arguments),
    /// A Microsoft 365 organisation: let an application open its mailboxes
    #[command(name = "microsoft365")]
    Microsoft365(microsoft365::Arguments),
}

impl Arguments {
    /// Sets a mailbox up step by step, prints what has to be done for an organisation, or waits until that has come into force.
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        match (self.organisation, self.address) {
            (Some(Organisation::Google(arguments)), _) => arguments.run(context).await,
            (Some(Organisation::Microsoft365(arguments)), _) => arguments.run(context).await,
            // clap has asked for the address.
            (None, address) => self.mailbox.run(address.unwrap_or_default(), context).await,
        }
    }
}

/// The configuration, unless there is none yet.
fn configuration(context: &Context) -> Result<Option<Config>, Failure> {
    match Config::load(context.config.as_deref()) {
        Err(ConfigError::NotFound { .. } | ConfigError::Missing { .. }) => Ok(None),
        Err(error) => Err(Failure::new(Exit::Configuration, error)),
        Ok(config) => Ok(Some(config)),
    }
}

/// The provider of this name, or the only one with this grant.
fn provider(config: &Config, name: Option<&str>, grant: GrantType) -> Result<Option<Arc<Provider>>, Failure> {
    let wrong = |message| Err(Failure::new(Exit::Configuration, message));
    let has_grant = |provider: &&Arc<Provider>| provider.oauth().is_some_and(|client| client.grant == grant);
    if let Some(name) = name {
        let Some(provider) = config.providers.get(name) else {
            let names = config.providers.keys().map(String::as_str);
            let message =
                format!("{} has no provider {name}: {}", config.path.display(), suggestion(name, names));
            return wrong(message);
        };
        if !has_grant(&provider) {
            return wrong(format!(
                "provider {name} is no application that the organisation allows: it needs `grant: {}`",
                grant.name()
            ));
        }
        return Ok(Some(Arc::clone(provider)));
    }
    let mut fitting = config.providers.values().filter(has_grant);
    match (fitting.next(), fitting.next()) {
        (Some(first), Some(second)) => {
            let message =
                format!("several providers fit: add --provider {} or {} …", first.name, second.name);
            wrong(message)
        }
        (only, _) => Ok(only.cloned()),
    }
}

/// What is to be run once the organisation's part is done.
fn commands(kind: &str, mailboxes: &Mailboxes, provider: &str) -> Vec<String> {
    let mut commands = vec!["gatepost check".to_owned()];
    if let Some(domain) = &mailboxes.domain {
        let every = shell_word(&format!("*@{domain}"));
        commands.push(format!("gatepost account add {every} --provider {provider}"));
        commands.push(format!("gatepost credential add {every} --mailbox ADDRESS"));
    }
    for mailbox in &mailboxes.named {
        commands.push(format!("gatepost account add {} --provider {provider}", shell_word(mailbox)));
    }
    // The mailboxes of the accounts are tried; those of a domain are nobody's account.
    let tried = if mailboxes.named.is_empty() { " ADDRESS" } else { "" };
    commands.push(format!("gatepost setup {kind} --provider {provider} --wait{tried}"));
    commands
}

/// The names of the organisations' providers.
fn organisations() -> Vec<String> {
    let command = Organisation::augment_subcommands(clap::Command::new("setup"));
    command.get_subcommands().map(|organisation| organisation.get_name().to_owned()).collect()
}

/// The command that is running, with every option that was given, to be run again.
fn this_command() -> String {
    let words = std::env::args_os().skip(1);
    words.fold("gatepost".to_owned(), |line, word| line + " " + &shell_word(&word.to_string_lossy()))
}

/// A word of a command as a shell takes it.
pub(super) fn shell_word(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"@._+-/".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

/// A name for a provider that is yet to be written: the first word of the domain.
fn name_for(domain: Option<&str>, otherwise: &str) -> String {
    let label = domain.and_then(|domain| domain.split('.').next()).unwrap_or_default();
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if !label.is_empty() && label.bytes().all(fits) { label.to_lowercase() } else { otherwise.to_owned() }
}

/// Commands as they stand in a text.
fn indented(commands: &[String]) -> String {
    commands.iter().flat_map(|command| ["   ", command, "\n"]).collect()
}

#[cfg(test)]
mod tests {
    use super::{name_for, shell_word};

    #[test]
    fn a_shell_reads_nothing_into_a_mailbox() {
        for (text, expected) in [
            ("scan+1@contoso.example", "scan+1@contoso.example"),
            ("*@contoso.example", "'*@contoso.example'"),
            ("o'brien@contoso.example", "'o'\\''brien@contoso.example'"),
            ("$(id)@contoso.example", "'$(id)@contoso.example'"),
            ("jörg@contoso.example", "'jörg@contoso.example'"),
        ] {
            assert_eq!(shell_word(text), expected);
        }
    }

    #[test]
    fn a_provider_is_named_like_the_organisation() {
        for (domain, expected) in
            [(Some("Contoso.example"), "contoso"), (Some("bücher.example"), "workspace"), (None, "workspace")]
        {
            assert_eq!(name_for(domain, "workspace"), expected);
        }
    }
}
