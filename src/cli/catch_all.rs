//! Catch-all accounts (`*@contoso.com`) on the command line: at which providers there can be one, and which of its mailboxes is
//! meant.

use super::account::Device;
use super::{Exit, Failure};
use crate::account::Account;
use crate::account::catch_all::{address_for, covers, domain};
use crate::account::name::wrong_address;
use crate::config::Provider;
use crate::store::{Store, StoreError};

/// What a device is to send, and the one mailbox of a catch-all account that it opens.
#[derive(Debug)]
pub(super) struct Opens {
    pub(super) user_name: String,
    pub(super) mailbox: Option<String>,
}

/// Why a provider cannot have a catch-all account; `None` if it can.
pub(super) fn wrong_provider(provider: &Provider) -> Option<String> {
    let name = &provider.name;
    let one_by_one = match provider.oauth() {
        Some(client) if !client.grant.needs_person() => return None,
        Some(client) => {
            format!("at {name} each mailbox needs a consent of its own ({})", client.grant.name())
        }
        None => format!("at {name} each mailbox has a password of its own"),
    };
    Some(format!(
        "only an application that may open every mailbox can have one, and {one_by_one}; add the mailboxes one by one, \
         or write a provider with `grant: client_credentials` or `grant: service_account`"
    ))
}

/// What is wrong with a mailbox as one of the account's; `None` if it is one.
pub(super) fn wrong_mailbox(address: &str, mailbox: &str) -> Option<String> {
    match (domain(address), wrong_address(mailbox)) {
        (_, Some(reason)) => Some(format!("{mailbox:?} {reason}")),
        (None, _) => Some(format!("{address} has one mailbox, its own")),
        (Some(domain), None) if !covers(address, mailbox) => {
            Some(format!("{mailbox} is not a mailbox of {domain}"))
        }
        _ => None,
    }
}

/// What the device is to send and opens, as it was said or left out.
pub(super) async fn opens(
    store: &Store,
    address: &str,
    provider: &str,
    device: &Device,
) -> Result<Opens, Failure> {
    let Some(domain) = domain(address) else {
        if device.says_mailbox() {
            let message = format!(
                "{address} has one mailbox; --mailbox and --all-mailboxes are for accounts like '*@contoso.com'"
            );
            return Err(Failure::new(Exit::Failed, message));
        }
        return Ok(Opens {
            user_name: device.user_name.clone().unwrap_or_else(|| address.to_owned()),
            mailbox: None,
        });
    };
    match &device.mailbox {
        None if device.all_mailboxes => Ok(Opens { user_name: address.to_owned(), mailbox: None }),
        None => Err(Failure::new(
            Exit::Failed,
            format!(
                "{address} has many mailboxes: add --mailbox scan@{domain} for the one that the device opens, or \
                 --all-mailboxes for a device that may open every one of them"
            ),
        )),
        Some(mailbox) => {
            refuse_mailbox(store, address, provider, mailbox).await?;
            let user_name = device.user_name.clone().unwrap_or_else(|| mailbox.clone());
            Ok(Opens { user_name, mailbox: Some(mailbox.clone()) })
        }
    }
}

/// The account, as a login opens it for one mailbox. Only a catch-all account has to be told which.
pub(super) async fn opened(
    store: &Store,
    account: Account,
    mailbox: Option<&str>,
) -> Result<Account, Failure> {
    match (domain(&account.address), mailbox) {
        (None, None) => Ok(account),
        (Some(domain), None) => {
            let message = format!(
                "{0} has many mailboxes: say which one, like --mailbox scan@{domain}",
                account.address
            );
            Err(Failure::new(Exit::Failed, message))
        }
        (_, Some(mailbox)) => {
            refuse_mailbox(store, &account.address, &account.provider, mailbox).await?;
            Ok(Account { address: mailbox.to_owned(), ..account })
        }
    }
}

/// Who would have expected that an address without an account is opened all the same; `None` where no catch-all account has it.
pub(super) async fn told_instead(store: &Store, mailbox: &str) -> Result<Option<String>, StoreError> {
    let Some(address) = address_for(mailbox) else { return Ok(None) };
    let found = store.accounts_at(&address).await?;
    let told = |account: &Account| {
        format!(
            "it is a mailbox of '{}': name that account, and --mailbox {mailbox} where one is meant",
            account.address
        )
    };
    Ok(found.first().map(told))
}

/// What the warning has to say about a password that opens every mailbox of this catch-all account.
pub(super) fn warning(address: &str) -> String {
    let domain = domain(address).unwrap_or(address);
    format!("Mind: whoever has this password can read every mailbox of {domain}.\n")
}

async fn refuse_mailbox(store: &Store, address: &str, provider: &str, mailbox: &str) -> Result<(), Failure> {
    if let Some(reason) = wrong_mailbox(address, mailbox) {
        return Err(Failure::new(Exit::Failed, reason));
    }
    if store.accounts_at(mailbox).await?.iter().any(|own| own.provider == provider) {
        let message =
            format!("{mailbox} has an account of its own at {provider}, which alone opens it: name that one");
        return Err(Failure::new(Exit::Failed, message));
    }
    Ok(())
}
