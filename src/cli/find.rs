//! Which account is meant by an address on the command line, and whose it is.

use std::sync::Arc;

use super::setup::shell_word;
use super::{Exit, Failure, catch_all};
use crate::account::Account;
use crate::address::every_mailbox_of;
use crate::config::provider::OAuthClient;
use crate::config::{Config, Provider, nearest, suggestion};
use crate::standing;
use crate::store::{Store, StoreError};

/// More addresses than this are not listed in a message.
const MOST_LISTED: usize = 5;

/// The account of this address, at this provider where one is named. Says which addresses or providers there are when it is
/// not clear.
pub async fn account(store: &Store, address: &str, provider: Option<&str>) -> Result<Account, Failure> {
    let failed = |error| Failure::new(Exit::State, error);
    let mut found = store.accounts_at(address).await.map_err(failed)?;
    if found.is_empty() {
        let all = store.accounts().await.map_err(failed)?;
        let addresses: Vec<_> = all.iter().map(|account| account.address.as_str()).collect();
        let next = match catch_all::told_instead(store, address).await.map_err(failed)? {
            Some(instead) => instead,
            None => suggested(address, &addresses),
        };
        return Err(Failure::new(Exit::Failed, format!("there is no account {address}: {next}")));
    }
    if let Some(provider) = provider {
        let providers: Vec<_> = found.iter().map(|account| account.provider.clone()).collect();
        found.retain(|account| account.provider == provider);
        if found.is_empty() {
            let next = suggestion(provider, providers.iter().map(String::as_str));
            return Err(Failure::new(
                Exit::Failed,
                format!("{address} is not an account of provider {provider}: {next}"),
            ));
        }
    }
    let providers: Vec<_> = found.iter().map(|account| account.provider.clone()).collect();
    if let (Some(account), true) = (found.pop(), found.is_empty()) {
        return Ok(account);
    }
    let message =
        format!("{address} is an account of several providers: add --provider {}", providers.join(" or "));
    Err(Failure::new(Exit::Failed, message))
}

/// What is said about an address where there are no accounts at all.
pub fn no_account(address: &str) -> Failure {
    Failure::new(Exit::Failed, format!("there is no account {address}: {}", suggested(address, &[])))
}

/// The account's provider, which may have left the configuration since the account was added.
pub fn provider<'a>(config: &'a Config, account: &Account) -> Result<&'a Arc<Provider>, Failure> {
    config.providers.get(&account.provider).ok_or_else(|| {
        let Account { address, provider, .. } = account;
        let message = format!(
            "{address} is an account of provider {provider}, which is not in {}: write it there, or remove the account: \
             gatepost account remove {} --provider {provider}",
            config.path.display(),
            shell_word(address)
        );
        Failure::new(Exit::Configuration, message)
    })
}

/// The account as it is typed behind a command: with its provider, where the address alone is not enough.
pub async fn typed(account: &Account, store: &Store) -> Result<String, StoreError> {
    let several = store.accounts_at(&account.address).await?.len() > 1;
    Ok(standing::typed(account, several))
}

/// The provider of this name.
pub fn at<'a>(config: &'a Config, name: &str) -> Result<&'a Arc<Provider>, Failure> {
    config.providers.get(name).ok_or_else(|| {
        let known = suggestion(name, config.providers.keys().map(String::as_str));
        let message = format!("there is no provider {name} in {}: {known}", config.path.display());
        Failure::new(Exit::Configuration, message)
    })
}

/// Gatepost as the provider's OAuth client.
pub fn oauth(provider: &Provider) -> Result<&Arc<OAuthClient>, Failure> {
    provider.oauth().ok_or_else(|| {
        let message = format!("provider {} has no OAuth: its mailboxes have passwords", provider.name);
        Failure::new(Exit::Configuration, message)
    })
}

fn suggested(address: &str, addresses: &[&str]) -> String {
    match addresses.len() {
        0 if every_mailbox_of(address).is_none() => format!("to set it up: gatepost setup {address}"),
        0 => format!("add it: gatepost account add {} --provider NAME", shell_word(address)),
        1..=MOST_LISTED => suggestion(address, addresses.iter().copied()),
        many => match nearest(address, addresses.iter().copied()) {
            Some(name) => format!("did you mean `{name}`?"),
            None => format!("`gatepost account list` shows the {many} that there are"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::suggested;

    #[test]
    fn addresses_are_listed_while_they_are_few() {
        let addresses = [
            "ann@a.example",
            "bob@a.example",
            "carl@a.example",
            "dora@a.example",
            "e@a.example",
            "f@a.example",
        ];
        let (few, _) = addresses.split_at(2);
        for (address, addresses, expected) in [
            ("ann@a.example", &[][..], "to set it up: gatepost setup ann@a.example"),
            ("*@a.example", &[], "add it: gatepost account add '*@a.example' --provider NAME"),
            ("someone@else.example", few, "there are `ann@a.example`, `bob@a.example`"),
            ("someone@else.example", &addresses, "`gatepost account list` shows the 6 that there are"),
            ("karl@a.example", &addresses, "did you mean `carl@a.example`?"),
            ("gwen@a.example", &addresses, "`gatepost account list` shows the 6 that there are"),
        ] {
            assert_eq!(suggested(address, addresses), expected);
        }
    }
}
