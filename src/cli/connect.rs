//! `gatepost connect ADDRESS`: somebody consents in the way that suits this machine or types a password, or the application
//! itself gets its first token. The daemon need not be told: the store is the truth, and the next login reads it.

mod browser;
mod device;
mod identity;
mod password;
mod way;

use std::sync::Arc;

pub(super) use self::browser::read_line;
pub(super) use self::way::Named;
use self::way::Way;
use super::table::{print, wrapped};
use super::{Context, Exit, Failure, catch_all, find, interrupt, mailbox_password, progress, style, who};
use crate::account::Account;
use crate::account::catch_all::domain;
use crate::config::Config;
use crate::config::provider::{GrantType, Login, OAuthClient};
use crate::diagnosis::Diagnosis;
use crate::oauth::consent::{ConsentError, Destination};
use crate::oauth::grant_key;
use crate::oauth::issuer::Issuers;
use crate::store::grants::NewTokens;
use crate::store::{Store, StoreError};

/// `gatepost connect`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// The mailbox
    address: String,
    /// The account's provider, where the address exists at several
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    #[command(flatten)]
    consent: Consent,
}

/// Who consents, and how.
#[derive(clap::Args, Clone, Debug, Default)]
pub(super) struct Consent {
    /// Who consents, where it is another one than the mailbox: a delegate, or another sign-in name
    #[arg(long, value_name = "WHO")]
    pub(super) owner: Option<String>,
    /// It is a shared mailbox: POP3 and IMAP go as its address, SMTP as whoever consents
    #[arg(long)]
    pub(super) shared: bool,
    #[command(flatten)]
    pub(super) way: Named,
}

impl Arguments {
    /// Ends well when the grant is committed.
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let config = context.config()?;
        let store = context.store(&config).await?;
        let account = find::account(&store, &self.address, self.provider.as_deref()).await?;
        self.consent.connect(&config, &store, &account).await?;
        let address = &account.address;
        print(&match domain(address) {
            Some(domain) => format!("Next: gatepost test '{address}' --mailbox scan@{domain}\n"),
            None => format!("Next: gatepost test {address}\n"),
        })
    }
}

impl Consent {
    /// Gets what the account's provider is to give, and says what that was.
    pub(super) async fn connect(
        &self,
        config: &Config,
        store: &Store,
        found: &Account,
    ) -> Result<(), Failure> {
        let provider = find::provider(config, found)?;
        if let Some(reason) = who::nobody_consents(provider).filter(|_| self.shared || self.owner.is_some()) {
            return Err(Failure::new(Exit::Failed, reason));
        }
        let client = match &provider.login {
            Login::OAuth(client) => client,
            Login::Password if self.way.is_any() => {
                let message = format!("nobody consents at {}: its mailboxes have passwords", provider.name);
                return Err(Failure::new(Exit::Failed, message));
            }
            Login::Password => return password::connect(provider, found, store, config.limits.login).await,
        };
        if !client.grant.needs_person() {
            return application(client, found, store.clone()).await;
        }
        if let (Some(_), Some(reason)) = (domain(&found.address), catch_all::wrong_provider(provider)) {
            return Err(Failure::new(
                Exit::Failed,
                format!("{} cannot be connected: {reason}", found.address),
            ));
        }
        let account = self.whose_grant(found, store).await?;
        let owner = self.owner.as_deref().map(str::trim).filter(|owner| !owner.is_empty());
        let owner = owner.or(account.owner.as_deref());
        let client = &completed(client).await?;
        let key = grant_key(client, &account);
        let destination = Destination { address: &account.address, owner, key, store };
        let tokens = match client.grant {
            GrantType::Password => mailbox_password::connect(client, &destination).await?,
            _ => consent(client, &destination, self.way).await?,
        };
        print(&identity::in_words(client, &destination, &tokens))?;
        identity::remember(&account, &destination, &tokens, self.shared).await
    }

    /// The account whose grant this one uses, which is the one that is connected.
    async fn whose_grant(&self, account: &Account, store: &Store) -> Result<Account, Failure> {
        let Some(id) = account.token_account else { return Ok(account.clone()) };
        let (address, failed) = (&account.address, |error| Failure::new(Exit::State, error));
        let other =
            store.account(id).await.map_err(failed)?.ok_or_else(|| failed(StoreError::AccountGone))?;
        if self.shared || self.owner.is_some() {
            let message = format!(
                "{address} uses the grant of {}; to let another one consent for it: gatepost account set {address} --owner WHO",
                other.address
            );
            return Err(Failure::new(Exit::Failed, message));
        }
        print(&format!(
            "{address} uses the grant of {}, which is what is connected now.\n\n",
            other.address
        ))?;
        Ok(other)
    }
}

/// The client with what its issuer tells, where it has one.
async fn completed(client: &Arc<OAuthClient>) -> Result<Arc<OAuthClient>, Failure> {
    let completed = Issuers::default().completed(client).await;
    completed.map_err(|error| Failure::new(Exit::Upstream, format!("provider {}: {error}", client.provider)))
}

async fn consent(
    client: &OAuthClient,
    destination: &Destination<'_>,
    named: Named,
) -> Result<NewTokens, Failure> {
    let (way, why) = way::choose(named, way::has_display(), client);
    if let Some(why) = why {
        print(&format!("{why} --device, --paste and --no-browser choose otherwise.\n\n"))?;
    }
    let consented = match way {
        Way::Browser { open } => browser::here(client, destination, open).await?,
        Way::DeviceCode => device::elsewhere(client, destination).await?,
        Way::Paste => browser::pasted(client, destination).await?,
    };
    identity::settled(client, destination, consented).await.map_err(|error| told(destination.address, &error))
}

async fn application(client: &Arc<OAuthClient>, account: &Account, store: Store) -> Result<(), Failure> {
    if domain(&account.address).is_some() && client.grant == GrantType::ServiceAccount {
        return print(&format!(
            "Nothing has to be connected: at {}, each mailbox gets its own token when it is opened first.\n",
            client.provider
        ));
    }
    let tokens = interrupt::tokens(store);
    progress::shown("token", tokens.connect_application(client, account)).await.map_err(|error| {
        let message = not_connected(&account.address, error.diagnosis(), &error.to_string());
        Failure::new(Exit::Upstream, message)
    })?;
    let (tick, name) = (style::tick(), &client.provider);
    print(&if client.grant == GrantType::ServiceAccount {
        let (address, service_account) = (&account.address, &client.client_id);
        format!(
            "{tick} {address} is connected to {name} by the service account {service_account}. Nobody has to consent.\n"
        )
    } else {
        format!(
            "{tick} Gatepost itself is connected to {name} (client credentials). Nobody has to consent, and every account \
             there is served by this token.\n"
        )
    })
}

fn told(address: &str, error: &ConsentError) -> Failure {
    let exit = match error {
        ConsentError::NoConsent(_) | ConsentError::NoDeviceCodes(_) => Exit::Configuration,
        ConsentError::Store(_) => Exit::State,
        ConsentError::AdminNeeded { .. }
        | ConsentError::Denied(_)
        | ConsentError::Device { .. }
        | ConsentError::Endpoint { .. }
        | ConsentError::NoRefreshToken => Exit::Upstream,
        ConsentError::AnotherIdentity { .. }
        | ConsentError::DeviceCodeExpired
        | ConsentError::Listen(_)
        | ConsentError::NotUnderstood
        | ConsentError::TimedOut
        | ConsentError::WrongState => Exit::Failed,
    };
    Failure::new(exit, not_connected(address, error.diagnosis(), &error.to_string()))
}

/// What it is, what was said, why, and what to do. What was said may hold an address to be copied, and is never cut.
fn not_connected(address: &str, known: Option<&Diagnosis>, said: &str) -> String {
    let Some(row) = known else { return format!("{address} is not connected: {said}") };
    let why = [row.cause.clone(), row.fix_for(address)];
    let lines = why.iter().flat_map(|text| wrapped(text, 80)).collect::<Vec<_>>().join("\n");
    format!("{address} is not connected: {} ({})\n{said}\n{lines}", row.title, row.id)
}
