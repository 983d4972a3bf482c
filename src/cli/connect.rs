//! `gatepost connect ADDRESS`: somebody consents in the way that suits this machine or types a password, or the application
//! itself gets its first token. The daemon need not be told: the store is the truth, and the next login reads it.

mod browser;
mod device;
mod identity;
mod way;

use std::sync::Arc;

pub(super) use self::browser::read_line;
pub(super) use self::way::Named;
use self::way::Way;
use super::table::print;
use super::{Context, Exit, Failure, find, mailbox_password, progress, style};
use crate::account::Account;
use crate::config::Provider;
use crate::config::provider::{GrantType, OAuthClient};
use crate::oauth::consent::{ConsentError, Destination};
use crate::oauth::{Tokens, grant_key};
use crate::store::Store;

/// `gatepost connect`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// The mailbox
    address: String,
    /// The account's provider, where the address exists at several
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    /// Who consents, where it is another one than the mailbox: a delegate, or another sign-in name
    #[arg(long, value_name = "WHO")]
    owner: Option<String>,
    #[command(flatten)]
    way: Named,
}

impl Arguments {
    /// Ends well when the grant is committed.
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let config = context.config()?;
        let store = context.store(&config).await?;
        let account = find::account(&store, &self.address, self.provider.as_deref()).await?;
        let provider = find::provider(&config, &account)?;
        connect(provider, &account, &store, self.owner.as_deref(), self.way).await?;
        print(&format!("Next: gatepost test {}\n", account.address))
    }
}

/// Gets what the account's provider is to give, and says what that was.
pub(super) async fn connect(
    provider: &Provider,
    account: &Account,
    store: &Store,
    owner: Option<&str>,
    way: Named,
) -> Result<(), Failure> {
    let client = find::oauth(provider)?;
    let key = grant_key(client, account);
    let owner = owner.map(str::trim);
    let destination = Destination { address: &account.address, owner, key, store };
    match client.grant {
        GrantType::AuthorizationCode => consent(client, &destination, way).await,
        GrantType::Password => {
            let tokens = mailbox_password::connect(client, account, store).await?;
            print(&identity::in_words(client, &destination, &tokens))
        }
        GrantType::ClientCredentials | GrantType::ServiceAccount => {
            application(client, account, store.clone()).await
        }
    }
}

async fn consent(client: &OAuthClient, destination: &Destination<'_>, named: Named) -> Result<(), Failure> {
    let (way, why) = way::choose(named, way::has_display(), client);
    if let Some(why) = why {
        print(&format!("{why} --device, --paste and --no-browser choose otherwise.\n\n"))?;
    }
    let consented = match way {
        Way::Browser { open } => browser::here(client, destination, open).await?,
        Way::DeviceCode => device::elsewhere(client, destination).await?,
        Way::Paste => browser::pasted(client, destination).await?,
    };
    let tokens =
        identity::settled(destination, consented).await.map_err(|error| told(destination.address, &error))?;
    print(&identity::in_words(client, destination, &tokens))
}

async fn application(client: &Arc<OAuthClient>, account: &Account, store: Store) -> Result<(), Failure> {
    let tokens = Tokens::new(store);
    progress::shown("token", tokens.connect_application(client, account))
        .await
        .map_err(|error| Failure::new(Exit::Upstream, error))?;
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
    Failure::new(exit, format!("{address} is not connected: {error}"))
}
