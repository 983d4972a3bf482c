//! `gatepost account`: the mailboxes that Gatepost opens. They live in the store alone; the daemon sees every change at once.

use std::fmt::Write as _;
use std::io;

use clap::{Args, Subcommand};
use serde_json::json;

use super::device_password::{self, Prepared};
use super::table::{json, print, table};
use super::{Context, Exit, Failure, account_file, find};
use crate::account::name::{wrong_address, wrong_user_name};
use crate::account::{Account, CredentialId};
use crate::config::provider::GrantType;
use crate::config::{Config, Listener, suggestion};
use crate::store::accounts::NewAccount;
use crate::store::grants::GrantKey;
use crate::store::{Store, StoreError};

/// `gatepost account …`.
#[derive(Subcommand, Clone, Debug)]
pub enum Command {
    /// Add a mailbox, and a first password that a device logs in with
    Add(Add),
    /// Bring the accounts to what a YAML file says; applying it again changes nothing
    Apply(account_file::Apply),
    /// Switch an account off: whoever has the right password is told so, and sessions end
    Disable(Named),
    /// Switch an account on again
    Enable(Named),
    /// List the accounts
    List(List),
    /// Remove an account with its passwords and its grant
    Remove(Named),
}

/// `gatepost account add`.
#[derive(Args, Clone, Debug)]
pub struct Add {
    /// The mailbox
    address: String,
    /// Its provider in the configuration file
    #[arg(long, value_name = "NAME")]
    provider: String,
    #[command(flatten)]
    device: Device,
    /// Add no password yet
    #[arg(long, conflicts_with_all = ["user_name", "password_stdin", "label"])]
    no_credential: bool,
}

/// What is said about a device's login.
#[derive(Args, Clone, Debug, Default)]
pub struct Device {
    /// What the device sends as user name [default: the address]
    #[arg(long, value_name = "NAME")]
    pub(super) user_name: Option<String>,
    /// Which device it is, for `credential list`
    #[arg(long, value_name = "TEXT")]
    pub(super) label: Option<String>,
    /// Read the password from standard input, to keep what the device has; else one is made and shown once
    #[arg(long)]
    pub(super) password_stdin: bool,
}

/// An account that exists.
#[derive(Args, Clone, Debug)]
pub struct Named {
    /// The mailbox
    pub(super) address: String,
    /// Its provider, where the address exists at several
    #[arg(long, value_name = "NAME")]
    pub(super) provider: Option<String>,
}

/// `gatepost account list`.
#[derive(Args, Clone, Debug)]
pub struct List {
    /// Print a JSON array instead: [{"id", "address", "provider", "provider_known", "disabled", "smtp_user_name",
    /// "pop3_user_name", "grant": "connected" | "none" | "refused" | "application", "refused", "credentials"}]
    #[arg(long)]
    json: bool,
}

impl Command {
    /// Does it, and prints what was done.
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let config = context.config()?;
        let store = context.store(&config).await?;
        let said = match self {
            Self::Add(arguments) => arguments.run(&config, &store, io::stdin()).await?,
            Self::Apply(arguments) => arguments.run(&config, &store).await?,
            Self::Disable(named) => named.set_disabled(&store, true).await?,
            Self::Enable(named) => named.set_disabled(&store, false).await?,
            Self::List(arguments) => arguments.run(&config, &store).await?,
            Self::Remove(named) => named.remove(&store).await?,
        };
        print(&said)
    }
}

impl Add {
    async fn run(self, config: &Config, store: &Store, input: impl io::Read) -> Result<String, Failure> {
        known_provider(config, &self.provider)?;
        refuse("the address", &self.address, wrong_address)?;
        let account = NewAccount {
            address: self.address.clone(),
            provider: self.provider.clone(),
            smtp_user_name: None,
            pop3_user_name: None,
            disabled: false,
        };
        let mut said = format!("Added {} at {}.\n", account.address, account.provider);
        if self.no_credential {
            store.add_account(&account, None).await?;
        } else {
            let prepared = self.device.prepare(store, &account.address, &account.provider, input).await?;
            let (_, credential) = store.add_account(&account, Some(&prepared.credential)).await?;
            said += &settings(config, &account.provider, &prepared, credential);
        }
        let by_application = config
            .providers
            .get(&account.provider)
            .is_some_and(|provider| provider.oauth.grant == GrantType::ClientCredentials);
        let next = if by_application { "test" } else { "connect" };
        let _ = writeln!(said, "\nNext: gatepost {next} {}", account.address);
        Ok(said)
    }
}

impl Device {
    /// The credential for this device.
    pub(super) async fn prepare(
        self,
        store: &Store,
        address: &str,
        provider: &str,
        input: impl io::Read,
    ) -> Result<Prepared, Failure> {
        let user_name = self.user_name.unwrap_or_else(|| address.to_owned());
        refuse("the user name", &user_name, wrong_user_name)?;
        let password = if self.password_stdin { Some(device_password::read(input)?) } else { None };
        if let Some(note) = password.as_ref().and_then(device_password::note) {
            eprintln!("{note}");
        }
        device_password::prepare(store, provider, user_name, self.label, password).await
    }
}

impl Named {
    async fn set_disabled(self, store: &Store, disabled: bool) -> Result<String, Failure> {
        let account = find::account(store, &self.address, self.provider.as_deref()).await?;
        if !store.set_disabled(account.id, disabled).await? {
            return Err(StoreError::AccountGone.into());
        }
        let done = if disabled { "Disabled" } else { "Enabled" };
        Ok(format!("{done} {} at {}.\n", account.address, account.provider))
    }

    async fn remove(self, store: &Store) -> Result<String, Failure> {
        let account = find::account(store, &self.address, self.provider.as_deref()).await?;
        let credentials = store.credentials(Some(account.id)).await?.len();
        if !store.remove_account(account.id).await? {
            return Err(StoreError::AccountGone.into());
        }
        let passwords = if credentials == 1 { "password" } else { "passwords" };
        Ok(format!(
            "Removed {} at {}, with {credentials} {passwords} and what the provider granted.\n",
            account.address, account.provider
        ))
    }
}

impl List {
    async fn run(self, config: &Config, store: &Store) -> Result<String, Failure> {
        let accounts = store.accounts().await?;
        let refusals = store.refusals().await?;
        let credentials = store.credentials(None).await?;
        let count = |account: &Account| credentials.iter().filter(|one| one.account == account.id).count();
        let grants: Vec<GrantWord> =
            accounts.iter().map(|account| GrantWord::of(config, account, &refusals)).collect();
        if self.json {
            let rows = accounts.iter().zip(&grants).map(|(account, grant)| {
                json!({
                    "id": account.id.0,
                    "address": account.address,
                    "provider": account.provider,
                    "provider_known": config.providers.contains_key(&account.provider),
                    "disabled": account.disabled,
                    "smtp_user_name": account.smtp_user_name,
                    "pop3_user_name": account.pop3_user_name,
                    "grant": grant.name,
                    "refused": grant.refused,
                    "credentials": count(account),
                })
            });
            return Ok(json(&rows.collect()));
        }
        if accounts.is_empty() {
            return Ok("There are no accounts yet: gatepost account add ADDRESS --provider NAME\n".to_owned());
        }
        let rows: Vec<_> = accounts
            .iter()
            .zip(&grants)
            .map(|(account, grant)| {
                let state = state(config, account, grant);
                [account.address.clone(), account.provider.clone(), count(account).to_string(), state]
            })
            .collect();
        Ok(table(["Address", "Provider", "Passwords", "State"], &rows))
    }
}

/// What the provider gave for an account, in a word that scripts can rely on.
struct GrantWord {
    name: &'static str,
    refused: Option<String>,
}

impl GrantWord {
    fn of(
        config: &Config,
        account: &Account,
        refusals: &std::collections::BTreeMap<GrantKey, Option<String>>,
    ) -> Self {
        let provider = config.providers.get(&account.provider);
        let by_application =
            provider.is_some_and(|provider| provider.oauth.grant == GrantType::ClientCredentials);
        let key = if by_application {
            GrantKey::Provider(account.provider.clone())
        } else {
            GrantKey::Account(account.id)
        };
        match refusals.get(&key) {
            Some(Some(reason)) => Self { name: "refused", refused: Some(reason.clone()) },
            _ if by_application => Self { name: "application", refused: None },
            Some(None) => Self { name: "connected", refused: None },
            None => Self { name: "none", refused: None },
        }
    }
}

/// What stands most in the way of a login.
fn state(config: &Config, account: &Account, grant: &GrantWord) -> String {
    if !config.providers.contains_key(&account.provider) {
        return "provider is not in the configuration".to_owned();
    }
    if account.disabled {
        return "disabled".to_owned();
    }
    match (grant.name, &grant.refused) {
        (_, Some(reason)) => format!("refused: {reason}"),
        ("none", None) => "not connected".to_owned(),
        ("application", None) => "by the application's token".to_owned(),
        (name, None) => name.to_owned(),
    }
}

/// What is to be set on the device.
pub(super) fn settings(
    config: &Config,
    provider: &str,
    prepared: &Prepared,
    credential: Option<CredentialId>,
) -> String {
    let mut said = String::from("\nOn the device:\n");
    let _ = writeln!(said, "  User name  {}", prepared.credential.user_name);
    let _ = match &prepared.shown_once {
        Some(password) => writeln!(said, "  Password   {}   (not shown again)", password.expose()),
        None => writeln!(said, "  Password   as given"),
    };
    for listener in config.listeners.iter().filter(|listener| serves(config, listener, provider)) {
        let place = if listener.address.ip().is_unspecified() {
            format!("this machine, port {}", listener.address.port())
        } else {
            format!("{}, port {}", listener.address.ip(), listener.address.port())
        };
        let protocol = listener.protocol.to_string();
        let _ = writeln!(said, "  {protocol:<9}  {place}, TLS: {}", listener.tls.name());
    }
    if let Some(CredentialId(id)) = credential {
        let _ = writeln!(said, "To revoke this password alone: gatepost credential revoke {id}");
    }
    said
}

fn serves(config: &Config, listener: &Listener, provider: &str) -> bool {
    let offered =
        config.providers.get(provider).is_some_and(|provider| provider.endpoint(listener.protocol).is_some());
    offered && listener.provider.as_deref().is_none_or(|only| only == provider)
}

fn known_provider(config: &Config, name: &str) -> Result<(), Failure> {
    if config.providers.contains_key(name) {
        return Ok(());
    }
    let known = config.providers.keys().map(String::as_str);
    let message =
        format!("there is no provider `{name}` in {}; {}", config.path.display(), suggestion(name, known));
    Err(Failure::new(Exit::Failed, message))
}

fn refuse(what: &str, text: &str, wrong: fn(&str) -> Option<&'static str>) -> Result<(), Failure> {
    match wrong(text) {
        Some(reason) => Err(Failure::new(Exit::Failed, format!("{what} {text:?} {reason}"))),
        None => Ok(()),
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let exit = match error {
            StoreError::AccountExists { .. }
            | StoreError::AccountGone
            | StoreError::TooManyCredentials { .. } => Exit::Failed,
            _ => Exit::State,
        };
        Self::new(exit, error)
    }
}
