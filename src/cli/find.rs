//! Which account is meant by an address on the command line.

use super::{Exit, Failure};
use crate::account::Account;
use crate::config::suggestion;
use crate::store::Store;

/// The account of this address, at this provider where one is named. Says which addresses or providers there are when it is
/// not clear.
pub async fn account(store: &Store, address: &str, provider: Option<&str>) -> Result<Account, Failure> {
    let failed = |error| Failure::new(Exit::State, error);
    let mut found = store.accounts_at(address).await.map_err(failed)?;
    if found.is_empty() {
        let all = store.accounts().await.map_err(failed)?;
        let addresses: Vec<_> = all.iter().map(|account| account.address.as_str()).collect();
        let next = if addresses.is_empty() {
            format!("add it: gatepost account add {address} --provider NAME")
        } else {
            suggestion(address, addresses)
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
