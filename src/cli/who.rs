//! Who is who at an account, each its own setting: the mailbox, who consents, and the user name toward each of the provider's
//! servers.

use std::fmt::Write as _;
use std::path::Path;

use clap::Args;
use gatepost_protocol::Protocol;

use super::{Exit, Failure};
use crate::account::name::wrong_user_name;
use crate::account::{AccountId, catch_all};
use crate::config::{Complaint, Provider, lint};
use crate::store::Store;
use crate::store::accounts::NewAccount;
use crate::store::grants::GrantKey;

/// What may be said where it is not the address everywhere.
#[derive(Args, Clone, Debug, Default)]
pub struct Who {
    /// It is a shared mailbox: POP3 and IMAP go as its address, SMTP as --owner, who may open it
    #[arg(long)]
    pub(super) shared: bool,
    /// Who consents, where that is another one than the mailbox: a delegate, or another sign-in name
    #[arg(long, value_name = "WHO")]
    pub(super) owner: Option<String>,
    /// The user name toward the provider's SMTP server [default: the address]
    #[arg(long, value_name = "NAME")]
    pub(super) smtp_user_name: Option<String>,
    /// The user name toward the provider's POP3 server [default: the address]
    #[arg(long, value_name = "NAME")]
    pub(super) pop3_user_name: Option<String>,
    /// The user name toward the provider's IMAP server [default: the address]
    #[arg(long, value_name = "NAME")]
    pub(super) imap_user_name: Option<String>,
}

impl Who {
    /// Puts what was said into the account, which is the one with this number where it is there already. An owner who has an
    /// account at the same provider has consented there, or will; that grant is used. Gives whether anything was said.
    pub(super) async fn settle(
        self,
        account: &mut NewAccount,
        id: Option<AccountId>,
        provider: &Provider,
        store: &Store,
    ) -> Result<bool, Failure> {
        let says_name = self.names().iter().any(Option::is_some);
        if !self.shared && self.owner.is_none() && !says_name {
            return Ok(false);
        }
        let refused = |text: String| Err(Failure::new(Exit::Failed, text));
        if catch_all::domain(&account.address).is_some() {
            return refused(format!(
                "{} stands for many mailboxes, each opened by its own address; give a mailbox that differs an account of its own",
                account.address
            ));
        }
        for name in self.names().into_iter().chain([self.owner.as_deref()]).flatten() {
            if let Some(reason) = wrong_user_name(name.trim()) {
                return refused(format!("{name:?} {reason}"));
            }
        }
        if self.shared || self.owner.is_some() {
            if let Some(reason) = nobody_consents(provider) {
                return refused(reason);
            }
            self.settle_owner(account, id, store).await?;
        }
        let Self { smtp_user_name, pop3_user_name, imap_user_name, .. } = self;
        for (place, name) in [
            (&mut account.smtp_user_name, smtp_user_name),
            (&mut account.pop3_user_name, pop3_user_name),
            (&mut account.imap_user_name, imap_user_name),
        ] {
            if let Some(name) = name {
                *place = Some(name.trim().to_owned());
            }
        }
        Ok(true)
    }

    fn names(&self) -> [Option<&str>; 3] {
        [&self.smtp_user_name, &self.pop3_user_name, &self.imap_user_name].map(Option::as_deref)
    }

    async fn settle_owner(
        &self,
        account: &mut NewAccount,
        id: Option<AccountId>,
        store: &Store,
    ) -> Result<(), Failure> {
        let refused = |text: String| Err(Failure::new(Exit::Failed, text));
        let owner = self.owner.as_deref().map(str::trim).or(account.owner.as_deref()).map(str::to_owned);
        let Some(owner) = owner.filter(|owner| !owner.eq_ignore_ascii_case(&account.address)) else {
            return refused(if self.shared {
                "--shared needs --owner WHO: who may open the mailbox, consents for it, and sends as themselves".to_owned()
            } else {
                format!("{} consents for itself unless another --owner is named", account.address)
            });
        };
        let there = store.accounts_at(&owner).await?;
        let delegate = there.into_iter().find(|other| other.provider == account.provider);
        if let Some(delegate) = &delegate {
            if let Some(further) = delegate.owner.as_ref().filter(|_| delegate.token_account.is_some()) {
                return refused(format!("{owner} is opened by {further} itself: name --owner {further}"));
            }
            let users = match id {
                Some(id) => users_of(id, store).await?,
                None => Vec::new(),
            };
            if let Some(user) = users.first() {
                return refused(format!(
                    "{user} uses the grant of {}, which must stay its own: give {user} another --owner first",
                    account.address
                ));
            }
        }
        account.token_account = delegate.map(|delegate| delegate.id);
        if self.shared {
            account.smtp_user_name = Some(owner.clone());
        }
        account.owner = Some(owner);
        Ok(())
    }
}

/// Why nobody can be named who consents; `None` where somebody does.
pub(super) fn nobody_consents(provider: &Provider) -> Option<String> {
    let name = &provider.name;
    match provider.oauth() {
        Some(client) if client.grant.needs_person() => None,
        Some(client) => Some(format!(
            "at {name} nobody consents ({}): a shared mailbox too is opened by its own address; leave `shared` and `owner` out",
            client.grant.name()
        )),
        None => Some(format!(
            "at {name} nobody consents, its mailboxes have passwords; leave `shared` and `owner` out"
        )),
    }
}

/// What is hardly meant about its user names, a line each.
pub(super) fn warnings(account: &NewAccount, provider: &Provider) -> String {
    let mut said = String::new();
    for Complaint { code, text, .. } in lint::account_names(Path::new(""), provider, account) {
        let _ = writeln!(said, "Warning {}: {}: {text}", code.unwrap_or_default(), account.address);
    }
    said
}

/// Who is who at the account, where it is not its address everywhere.
pub(super) fn in_words(account: &NewAccount) -> String {
    if catch_all::domain(&account.address).is_some() {
        return "  Each mailbox goes as its own address.\n".to_owned();
    }
    let mut text = String::new();
    if let Some(owner) = &account.owner {
        let used = if account.token_account.is_some() { ", whose grant is used" } else { "" };
        let _ = writeln!(text, "  Consent         by {owner}{used}");
    }
    for (protocol, name) in [
        (Protocol::Smtp, &account.smtp_user_name),
        (Protocol::Pop3, &account.pop3_user_name),
        (Protocol::Imap, &account.imap_user_name),
    ] {
        let name = name.as_ref().unwrap_or(&account.address);
        let _ = writeln!(text, "  {:<14}  {name}", format!("{protocol} as"));
    }
    text
}

/// Whether the account uses a grant that is there already, so that nobody has to consent.
pub(super) async fn has_its_grant(account: &NewAccount, store: &Store) -> Result<bool, Failure> {
    let Some(id) = account.token_account else { return Ok(false) };
    Ok(store.standings().await?.get(&GrantKey::Account(id)).is_some_and(|grant| grant.refused.is_none()))
}

/// The accounts that use the grant of this one.
pub(super) async fn users_of(id: AccountId, store: &Store) -> Result<Vec<String>, Failure> {
    let mut accounts = store.accounts().await?;
    accounts.retain(|account| account.token_account == Some(id));
    Ok(accounts.into_iter().map(|account| account.address).collect())
}
