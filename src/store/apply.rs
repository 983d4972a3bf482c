//! Bringing the store to what a list of accounts says, in one transaction: all of it, or nothing when anything is refused.
//! Applying the same list again changes nothing.

use std::fmt;

use sqlx::SqliteConnection;

use super::accounts::{Account, NewAccount, with_own_grant};
use super::credentials::{Credential, NewCredential};
use super::seal::Sealer;
use super::{Store, StoreError, accounts, credentials};

/// An account as the list wants it.
#[derive(Clone, Debug)]
pub struct WantedAccount {
    /// Found again by provider and address.
    pub account: NewAccount,
    /// Found again by user name and hash. `None`: the list says nothing about them.
    pub credentials: Option<Vec<NewCredential>>,
}

/// What was done for one thing on the list, or beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// What was done.
    pub change: Change,
    /// The mailbox.
    pub address: String,
    /// Its provider.
    pub provider: String,
    /// User name and label, where it is about a credential.
    pub credential: Option<(String, Option<String>)>,
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It was not there.
    Added,
    /// It was otherwise.
    Changed,
    /// It is not on the list, and stays, because nobody asked to prune.
    Kept,
    /// It is not on the list, and is gone.
    Removed,
    /// It was so already.
    Unchanged,
}

impl fmt::Display for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Added => "added",
            Self::Changed => "changed",
            Self::Kept => "not in the file",
            Self::Removed => "removed",
            Self::Unchanged => "unchanged",
        })
    }
}

impl Store {
    /// Applies the list. An account whose owner has an account at the same provider uses the grant of that one. With `prune`,
    /// accounts that are not on the list are removed, and so are credentials of accounts whose credentials are on it.
    pub async fn apply(&self, wanted: &[WantedAccount], prune: bool) -> Result<Vec<Applied>, StoreError> {
        let (mut transaction, sealer) = self.begin_writing().await?;
        let mut applied = Vec::new();
        let before = accounts::all(&mut transaction).await?;
        for account in before.iter().filter(|account| !wanted.iter().any(|wanted| is(account, wanted))) {
            if prune {
                accounts::remove(&mut transaction, account.id).await?;
            }
            applied.push(about(account, if prune { Change::Removed } else { Change::Kept }, None));
        }
        // First those that are not there yet, because one of them may be the owner of another.
        for wanted in wanted.iter().filter(|wanted| !before.iter().any(|account| is(account, wanted))) {
            accounts::insert(&mut transaction, &wanted.account).await?;
        }
        let now = accounts::all(&mut transaction).await?;
        let mut changed = Vec::new();
        for (place, wanted) in owners_first(wanted) {
            let account = now.iter().find(|account| is(account, wanted)).ok_or(StoreError::AccountGone)?;
            let is_new = !before.iter().any(|account| is(account, wanted));
            let change = apply_account(&mut transaction, account, is_new, &wanted.account).await?;
            changed.push((place, wanted, account, change));
        }
        changed.sort_by_key(|(place, ..)| *place);
        for (_, wanted, account, change) in changed {
            let account = &Account { address: wanted.account.address.clone(), ..account.clone() };
            applied.push(about(account, change, None));
            if let Some(list) = &wanted.credentials {
                apply_credentials(&sealer, &mut transaction, account, list, prune, &mut applied).await?;
            }
        }
        transaction.commit().await?;
        Ok(applied)
    }
}

async fn apply_credentials(
    sealer: &Sealer,
    connection: &mut SqliteConnection,
    account: &Account,
    wanted: &[NewCredential],
    prune: bool,
    applied: &mut Vec<Applied>,
) -> Result<(), StoreError> {
    let before = credentials::of(sealer, connection, Some(account.id)).await?;
    // First what goes, so that a password can be replaced where a user name has eight.
    for old in before.iter().filter(|old| !wanted.iter().any(|wanted| same(old, wanted))) {
        if prune {
            credentials::remove(connection, old.id).await?;
        }
        let change = if prune { Change::Removed } else { Change::Kept };
        applied.push(about(account, change, Some((old.user_name.clone(), old.label.clone()))));
    }
    for credential in wanted {
        let change = match before.iter().find(|old| same(old, credential)) {
            None => {
                credentials::insert(sealer, connection, account.id, credential).await?;
                Change::Added
            }
            Some(old) if !opens_the_same(old, credential) => {
                // A hash is sealed for its mailbox, and a session that it opened is one of the other mailbox.
                credentials::remove(connection, old.id).await?;
                credentials::insert(sealer, connection, account.id, credential).await?;
                Change::Changed
            }
            Some(old) if old.label != credential.label => {
                credentials::relabel(connection, old.id, credential.label.as_deref()).await?;
                Change::Changed
            }
            Some(_) => Change::Unchanged,
        };
        let words = (credential.user_name.clone(), credential.label.clone());
        applied.push(about(account, change, Some(words)));
    }
    Ok(())
}

/// The list with its places, those last whose owner is on it too: whose grant the owner uses is settled by then, in whatever
/// order the list is.
fn owners_first(wanted: &[WantedAccount]) -> impl Iterator<Item = (usize, &WantedAccount)> {
    let is_owned = |one: &NewAccount| {
        let is_owner = |other: &WantedAccount| {
            let owner = one.owner.as_deref().unwrap_or_default();
            other.account.provider == one.provider && other.account.address.eq_ignore_ascii_case(owner)
        };
        wanted.iter().any(is_owner)
    };
    let (owned, others): (Vec<_>, Vec<_>) =
        wanted.iter().enumerate().partition(|(_, one)| is_owned(&one.account));
    others.into_iter().chain(owned)
}

async fn apply_account(
    connection: &mut SqliteConnection,
    account: &Account,
    is_new: bool,
    wanted: &NewAccount,
) -> Result<Change, StoreError> {
    let token_account = match &wanted.owner {
        Some(owner) => with_own_grant(connection, &wanted.provider, owner).await?,
        None => None,
    };
    let wanted = NewAccount { token_account, ..wanted.clone() };
    let is_so = account.described() == wanted;
    if !is_so {
        accounts::update(connection, account.id, &wanted).await?;
    }
    Ok(match (is_new, is_so) {
        (true, _) => Change::Added,
        (false, true) => Change::Unchanged,
        (false, false) => Change::Changed,
    })
}

fn is(account: &Account, wanted: &WantedAccount) -> bool {
    account.provider == wanted.account.provider
        && account.address.eq_ignore_ascii_case(&wanted.account.address)
}

fn same(old: &Credential, wanted: &NewCredential) -> bool {
    old.user_name.eq_ignore_ascii_case(&wanted.user_name)
        && old.password_hash.expose() == wanted.password_hash.expose()
}

fn opens_the_same(old: &Credential, wanted: &NewCredential) -> bool {
    let mailbox = |mailbox: &Option<String>| mailbox.as_deref().map(str::to_ascii_lowercase);
    mailbox(&old.mailbox) == mailbox(&wanted.mailbox)
}

fn about(account: &Account, change: Change, credential: Option<(String, Option<String>)>) -> Applied {
    Applied { change, address: account.address.clone(), provider: account.provider.clone(), credential }
}
