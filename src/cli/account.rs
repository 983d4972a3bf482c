//! `gatepost account`: the mailboxes that Gatepost opens. They live in the store alone; the daemon sees every change at once.

use std::fmt::Write as _;
use std::io;

use clap::{Args, Subcommand};
use gatepost_protocol::secret::Secret;

use super::device_password::{self, Prepared};
use super::table::print;
use super::who::{self, Who};
use super::{
    Context, Exit, Failure, account_file, account_list, account_remove, account_set, catch_all, complain,
    find, user_names,
};
use crate::account::CredentialId;
use crate::account::catch_all::{address_for, domain};
use crate::account::name::{wrong_account_address, wrong_user_name};
use crate::config::{Config, Listener, ListenerTls, Provider, suggestion};
use crate::store::accounts::NewAccount;
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
    List(account_list::List),
    /// Remove an account with its passwords and its grant
    Remove(account_remove::Remove),
    /// Change who consents for an account, and its user names toward the provider
    Set(account_set::Set),
}

/// `gatepost account add`.
#[derive(Args, Clone, Debug)]
pub struct Add {
    /// The mailbox, or '*@contoso.com' for every mailbox of a domain, where the provider trusts the application itself
    address: String,
    /// Its provider in the configuration file, where that has several
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    device: Device,
    /// Add no password yet
    #[arg(long, conflicts_with_all = ["user_name", "password_stdin", "label", "mailbox", "all_mailboxes"])]
    no_credential: bool,
}

/// What is said about a device's login.
#[derive(Args, Clone, Debug, Default)]
pub struct Device {
    /// What the device sends as user name [default: the address]
    #[arg(long, value_name = "NAME")]
    pub(super) user_name: Option<String>,
    /// The one mailbox that the device opens, of an account like '*@contoso.com'
    #[arg(long, value_name = "ADDRESS", conflicts_with = "all_mailboxes")]
    pub(super) mailbox: Option<String>,
    /// The device may open every mailbox of an account like '*@contoso.com': it sends the mailbox as user name
    #[arg(long, conflicts_with = "user_name")]
    pub(super) all_mailboxes: bool,
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

impl Command {
    /// Does it, and prints what was done.
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let config = context.config()?;
        let store = match &self {
            Self::List(list) => match context.store_to_look_at(&config).await? {
                Some(store) => store,
                None => return print(&list.without_a_store()),
            },
            _ => context.store(&config).await?,
        };
        print(&match self {
            Self::Add(arguments) => {
                let input = device_password::input(arguments.device.password_stdin).await?;
                arguments.run(&config, &store, input).await?
            }
            Self::Apply(arguments) => arguments.run(&config, &store).await?,
            Self::Disable(named) => named.set_disabled(&store, true).await?,
            Self::Enable(named) => named.set_disabled(&store, false).await?,
            Self::List(arguments) => arguments.run(&config, &store).await?,
            Self::Remove(arguments) => arguments.run(&config, &store).await?,
            Self::Set(arguments) => arguments.run(&config, &store).await?,
        })
    }
}

impl Add {
    pub(super) async fn run(
        self,
        config: &Config,
        store: &Store,
        input: impl io::Read,
    ) -> Result<String, Failure> {
        let provider = provider(config, self.provider)?;
        refuse("the address", &self.address, wrong_account_address)?;
        let there = store.accounts_at(&self.address).await?;
        if there.iter().any(|account| account.provider == provider.name) {
            let message = format!(
                "{address} is there already for provider {name}; for another device: gatepost credential add {address}",
                address = self.address,
                name = provider.name
            );
            return Err(Failure::new(Exit::Failed, message));
        }
        let mut account =
            NewAccount { address: self.address, provider: provider.name.clone(), ..NewAccount::default() };
        if let (Some(_), Some(reason)) = (domain(&account.address), catch_all::wrong_provider(provider)) {
            return Err(Failure::new(Exit::Failed, format!("{} cannot be added: {reason}", account.address)));
        }
        let is_told = self.who.settle(&mut account, None, provider, store).await?;
        let mut said = format!("Added {} at {}.\n", account.address, account.provider);
        if is_told {
            said += &who::in_words(&account);
        }
        said += &who::warnings(&account, provider);
        let without =
            self.no_credential || (domain(&account.address).is_some() && self.device.says_nothing());
        if without {
            store.add_account(&account, None).await?;
        } else {
            let prepared =
                self.device.prepare(config, store, &account.address, &account.provider, input).await?;
            let (_, credential) = store.add_account(&account, Some(&prepared.credential)).await?;
            said += &settings(config, &account.provider, &prepared, credential);
        }
        Ok(said + &next(&account, provider, without, store).await?)
    }
}

/// What has to follow, and what else has changed.
async fn next(
    account: &NewAccount,
    provider: &Provider,
    without_password: bool,
    store: &Store,
) -> Result<String, Failure> {
    let address = &account.address;
    let by_application = provider.oauth().is_some_and(|client| !client.grant.needs_person());
    let every_mailbox = match address_for(address) {
        Some(every_mailbox) => store.accounts_at(&every_mailbox).await?,
        None => Vec::new(),
    };
    let mut said = String::new();
    if let Some(before) = every_mailbox.iter().find(|other| other.provider == account.provider) {
        let _ = writeln!(said, "\nNote: only its own passwords open it now, none of {}.", before.address);
    }
    if let Some(domain) = domain(address) {
        if without_password {
            let _ = write!(
                said,
                "No password was made, because each device gets one for its own mailbox:\n  \
                 gatepost credential add '{address}' --mailbox scan@{domain}\n"
            );
        }
        let _ = writeln!(said, "\nNext: gatepost test '{address}' --mailbox scan@{domain}");
        return Ok(said);
    }
    let has_its_grant = who::has_its_grant(account, store).await?;
    if let (true, Some(owner)) = (has_its_grant, &account.owner) {
        let _ = writeln!(said, "\n{owner} is connected, so nobody has to consent again.");
    }
    let next = if by_application || has_its_grant { "test" } else { "connect" };
    let _ = writeln!(said, "\nNext: gatepost {next} {address}");
    Ok(said)
}

impl Device {
    fn says_nothing(&self) -> bool {
        let Self { user_name, mailbox, all_mailboxes, label, password_stdin } = self;
        user_name.is_none() && mailbox.is_none() && !all_mailboxes && label.is_none() && !password_stdin
    }

    /// Whether it is said what the device opens of a catch-all account.
    pub(super) fn says_mailbox(&self) -> bool {
        self.all_mailboxes || self.mailbox.is_some()
    }

    /// The credential for this device.
    pub(super) async fn prepare(
        self,
        config: &Config,
        store: &Store,
        address: &str,
        provider: &str,
        input: impl io::Read,
    ) -> Result<Prepared, Failure> {
        let password = if self.password_stdin { Some(device_password::read(input)?) } else { None };
        self.prepare_with(config, store, address, provider, password).await
    }

    /// The credential for this device with this password, or with one that is made.
    pub(super) async fn prepare_with(
        self,
        config: &Config,
        store: &Store,
        address: &str,
        provider: &str,
        password: Option<Secret<String>>,
    ) -> Result<Prepared, Failure> {
        let opens = catch_all::opens(store, address, provider, &self).await?;
        if !self.all_mailboxes {
            refuse("the user name", &opens.user_name, wrong_user_name)?;
        }
        user_names::refuse_new(config, store, provider, &opens.user_name).await?;
        if let Some(note) = password.as_ref().and_then(device_password::note) {
            complain(&note);
        }
        device_password::prepare(store, provider, opens, self.label, password).await
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
}

/// What is to be set on the device.
pub(super) fn settings(
    config: &Config,
    provider: &str,
    prepared: &Prepared,
    credential: Option<CredentialId>,
) -> String {
    let mut said = String::from("\nOn the device:\n");
    let _ = match domain(&prepared.credential.user_name) {
        Some(domain) => writeln!(said, "  User name  the mailbox, like scan@{domain}"),
        None => writeln!(said, "  User name  {}", prepared.credential.user_name),
    };
    let _ = match &prepared.shown_once {
        Some(password) => writeln!(said, "  Password   {}   (not shown again)", password.expose()),
        None => writeln!(said, "  Password   as given"),
    };
    said += &servers(config, provider);
    if let Some(CredentialId(id)) = credential {
        let _ = writeln!(said, "To revoke this password alone: gatepost credential revoke {id}");
    }
    if domain(&prepared.credential.user_name).is_some() {
        said += &catch_all::warning(&prepared.credential.user_name);
    }
    said
}

/// Where the account's mail programs find us.
pub(super) fn servers(config: &Config, provider: &str) -> String {
    let mut said = String::new();
    for listener in listeners(config, provider) {
        let (ip, port) = (listener.address.ip(), listener.address.port());
        let place = if ip.is_unspecified() { "this machine's address".to_owned() } else { ip.to_string() };
        let only = if ip.is_loopback() { " (this machine only)" } else { "" };
        let protocol = listener.protocol.to_string();
        let _ = writeln!(said, "  {protocol:<9}  {place}, port {port}, {}{only}", encryption(listener));
    }
    said
}

/// Where accounts of the provider can log in.
pub(super) fn listeners<'a>(config: &'a Config, provider: &str) -> impl Iterator<Item = &'a Listener> {
    let provider = config.providers.get(provider);
    config.listeners.iter().filter(move |listener| provider.is_some_and(|provider| listener.serves(provider)))
}

/// As mail programs call it.
fn encryption(listener: &Listener) -> &'static str {
    match (listener.tls, listener.plaintext_allowed) {
        (ListenerTls::Implicit, _) => "SSL/TLS",
        (ListenerTls::None, _) => "no encryption",
        (ListenerTls::StartTls, true) => "STARTTLS or no encryption",
        (ListenerTls::StartTls, false) => "STARTTLS",
    }
}

/// The provider that is named, or the only one that there is.
fn provider(config: &Config, named: Option<String>) -> Result<&Provider, Failure> {
    let known: Vec<&str> = config.providers.keys().map(String::as_str).collect();
    let name = match (&named, known.as_slice()) {
        (None, [only]) => Some(*only),
        (named, _) => named.as_deref(),
    };
    if let Some(provider) = name.and_then(|name| config.providers.get(name)) {
        return Ok(provider);
    }
    let message = match (named, known.as_slice()) {
        (Some(name), known) => format!(
            "there is no provider `{name}` in {}; {}",
            config.path.display(),
            suggestion(&name, known.iter().copied())
        ),
        (None, known) => format!(
            "{} has several providers: add --provider {}",
            config.path.display(),
            known.join(" or --provider ")
        ),
    };
    Err(Failure::new(Exit::Failed, message))
}

pub(super) fn refuse(what: &str, text: &str, wrong: fn(&str) -> Option<&'static str>) -> Result<(), Failure> {
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

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::path::Path;

    use gatepost_protocol::sasl::Credentials;
    use gatepost_protocol::secret::Secret;
    use tempfile::TempDir;

    use super::*;
    use crate::account::Accounts;
    use crate::store::tests::open;

    const CONFIGURATION: &str = "
providers:
  contoso: { preset: microsoft365, client_id: 00000000-0000-0000-0000-000000000001 }
  fabrikam: { preset: google, client_id: fabrikam, client_secret: { env: SECRET } }
listeners:
  - { protocol: smtp, address: '127.0.0.1:1587', tls: starttls, provider: contoso }
  - { protocol: pop3, address: '127.0.0.1:1995', tls: implicit, provider: contoso }
  - { protocol: imap, address: '127.0.0.1:1143', tls: starttls, provider: contoso }
  - { protocol: pop3, address: '127.0.0.1:1110', tls: none, provider: fabrikam }
";

    /// A configuration and an empty store.
    pub(in crate::cli) async fn desk() -> (TempDir, Config, Store) {
        let folder = tempfile::tempdir().unwrap();
        let environment = |name: &str| (name == "SECRET").then(|| "tanstaaf".to_owned());
        let config = Config::parse(Path::new("gatepost.yaml"), CONFIGURATION, &environment).unwrap();
        let store = open(folder.path()).await.unwrap();
        (folder, config, store)
    }

    pub(in crate::cli) fn add(address: &str, provider: &str, device: Device) -> Add {
        let provider = Some(provider.to_owned());
        let who = Who::default();
        Add { address: address.to_owned(), provider, who, device, no_credential: false }
    }

    pub(in crate::cli) fn named(address: &str, provider: Option<&str>) -> Named {
        Named { address: address.to_owned(), provider: provider.map(str::to_owned) }
    }

    async fn logs_in(store: &Store, provider: &str, user_name: &str, password: &str) -> bool {
        let password = Secret::new(password.to_owned());
        let credentials = Credentials { user_name: user_name.to_owned(), password };
        Accounts::new(store.clone()).verify(&[provider], &credentials, std::future::ready(())).await.is_ok()
    }

    #[tokio::test]
    async fn the_password_that_was_shown_logs_in() {
        let (_folder, config, store) = desk().await;
        let new = add("ann@example.com", "contoso", Device::default());
        let said = new.run(&config, &store, io::empty()).await.unwrap();
        let password = said.lines().find_map(|line| line.trim().strip_prefix("Password")).unwrap();
        let password = password.split_whitespace().next().unwrap();
        assert_eq!(
            said.replace(password, "PASSWORD"),
            "Added ann@example.com at contoso.\n\
             \n\
             On the device:\n\
             \x20 User name  ann@example.com\n\
             \x20 Password   PASSWORD   (not shown again)\n\
             \x20 SMTP       127.0.0.1, port 1587, STARTTLS or no encryption (this machine only)\n\
             \x20 POP3       127.0.0.1, port 1995, SSL/TLS (this machine only)\n\
             \x20 IMAP       127.0.0.1, port 1143, STARTTLS or no encryption (this machine only)\n\
             To revoke this password alone: gatepost credential revoke 1\n\
             \n\
             Next: gatepost connect ann@example.com\n"
        );
        assert!(logs_in(&store, "contoso", "ann@example.com", password).await);
    }

    #[tokio::test]
    async fn a_device_keeps_the_password_that_it_has() {
        let (_folder, config, store) = desk().await;
        let device = Device {
            user_name: Some("scanner".to_owned()),
            password_stdin: true,
            label: Some("2nd floor".to_owned()),
            ..Device::default()
        };
        let said = add("ann@example.com", "contoso", device.clone())
            .run(&config, &store, &b"tanstaaf\n"[..])
            .await
            .unwrap();
        assert!(said.contains("Password   as given") && !said.contains("tanstaaf"), "{said}");
        assert!(logs_in(&store, "contoso", "scanner", "tanstaaf").await);
        // The same user name and password for another mailbox: which one would it open?
        let refused = add("bob@example.com", "contoso", device)
            .run(&config, &store, &b"tanstaaf"[..])
            .await
            .unwrap_err();
        assert!(refused.message.starts_with("credential 1 has the same user name"), "{}", refused.message);
        assert!(store.accounts_at("bob@example.com").await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn what_cannot_be_added_is_refused_with_the_remedy() {
        let (_folder, config, store) = desk().await;
        add("ann@example.com", "contoso", Device::default()).run(&config, &store, io::empty()).await.unwrap();
        let odd = |user_name: &str| Device { user_name: Some(user_name.to_owned()), ..Device::default() };
        for (new, expected) in [
            (
                add("ann@example.com", "contosso", Device::default()),
                "there is no provider `contosso` in gatepost.yaml; did you mean `contoso`?",
            ),
            (
                add("ANN@example.com", "contoso", Device::default()),
                "ANN@example.com is there already for provider contoso; for another device: gatepost credential add \
                 ANN@example.com",
            ),
            (
                Add { provider: None, ..add("bob@example.com", "", Device::default()) },
                "gatepost.yaml has several providers: add --provider contoso or --provider fabrikam",
            ),
            (
                add("ann", "contoso", Device::default()),
                "the address \"ann\" is not an address like ann@example.com",
            ),
            (
                add("bob@example.com", "contoso", odd("a\u{1}b")),
                "the user name \"a\\u{1}b\" has a control character in it",
            ),
        ] {
            let refused = new.run(&config, &store, io::empty()).await.unwrap_err();
            assert_eq!((refused.exit, refused.message.as_str()), (Exit::Failed, expected));
        }
        assert_eq!(store.accounts().await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn an_account_is_switched_off_on_and_away() {
        let (_folder, config, store) = desk().await;
        for provider in ["contoso", "fabrikam"] {
            let new = add("ann@example.com", provider, Device::default());
            new.run(&config, &store, io::empty()).await.unwrap();
        }
        let remove = |named| account_remove::Remove { named, yes: true }.run(&config, &store);
        let refused = remove(named("ann@example.com", None)).await.unwrap_err();
        assert!(refused.message.contains("--provider contoso or fabrikam"), "{}", refused.message);
        let here = || named("Ann@example.com", Some("contoso"));
        assert_eq!(
            here().set_disabled(&store, true).await.unwrap(),
            "Disabled ann@example.com at contoso.\n"
        );
        let disabled = async || {
            store.accounts().await.unwrap().iter().map(|account| account.disabled).collect::<Vec<_>>()
        };
        assert_eq!(disabled().await, [true, false]);
        here().set_disabled(&store, false).await.unwrap();
        assert_eq!(disabled().await, [false, false]);
        assert_eq!(
            remove(here()).await.unwrap(),
            "Removed ann@example.com at contoso, with 1 password and what the provider granted.\n"
        );
        assert_eq!(store.accounts().await.unwrap().len(), 1);
    }
}
