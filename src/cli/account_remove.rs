//! `gatepost account remove`: the account with everything that is stored for it. A consent is not withdrawn by that, which is said.

use std::fmt::Write as _;

use clap::Args;

use super::account::Named;
use super::{Exit, Failure, confirm, disconnect, find, who};
use crate::account::Account;
use crate::config::{Config, Provider};
use crate::store::grants::GrantKey;
use crate::store::{Store, StoreError};

/// `gatepost account remove`.
#[derive(Args, Clone, Debug)]
pub struct Remove {
    #[command(flatten)]
    pub(super) named: Named,
    /// Do not ask
    #[arg(long)]
    pub(super) yes: bool,
}

impl Remove {
    /// Asks a person at the terminal first; a script means what it says.
    pub(super) async fn run(self, config: &Config, store: &Store) -> Result<String, Failure> {
        let account = find::account(store, &self.named.address, self.named.provider.as_deref()).await?;
        let provider = consented_at(config, &account, store).await?;
        let users = who::users_of(account.id, store).await?;
        if !self.yes && confirm::is_possible() && !confirm::yes(&question(&account, provider, &users)).await {
            return Err(Failure::new(Exit::Failed, format!("{} stays", account.address)));
        }
        let credentials = store.credentials(Some(account.id)).await?.len();
        if !store.remove_account(account.id).await? {
            return Err(StoreError::AccountGone.into());
        }
        let passwords = if credentials == 1 { "password" } else { "passwords" };
        let mut said = format!(
            "Removed {} at {}, with {credentials} {passwords} and what the provider granted.\n",
            account.address, account.provider
        );
        if let Some(provider) = provider {
            said += &disconnect::still_stands(provider);
        }
        for other in users {
            let _ = writeln!(said, "{other} used the same grant; next: gatepost connect {other}");
        }
        Ok(said)
    }
}

/// The account's provider, where a consent for this very account stands there.
async fn consented_at<'a>(
    config: &'a Config,
    account: &Account,
    store: &Store,
) -> Result<Option<&'a Provider>, Failure> {
    let Some(provider) = config.providers.get(&account.provider) else { return Ok(None) };
    if account.token_account.is_some() || !provider.oauth().is_some_and(|client| client.grant.needs_person())
    {
        return Ok(None);
    }
    let standings = store.standings().await?;
    let standing = standings.get(&GrantKey::Account(account.id));
    Ok(standing.is_some_and(|standing| standing.refused.is_none()).then_some(provider))
}

fn question(account: &Account, provider: Option<&Provider>, users: &[String]) -> String {
    let address = &account.address;
    let mut text = String::new();
    if let Some(provider) = provider {
        let _ = writeln!(
            text,
            "The consent for {address} would go on standing at {}.\n\
             To revoke it as well, answer no, and first run: gatepost disconnect {address}",
            provider.name
        );
    }
    for user in users {
        let _ = writeln!(text, "{user} uses the same consent, and stops working.");
    }
    let _ = write!(text, "Remove {address} at {} with its passwords?", account.provider);
    text
}
