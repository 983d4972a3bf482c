//! `gatepost account set`: who is who at an account that is there, changed. Said without any change, it shows it.

use clap::Args;

use super::account::Named;
use super::who::{self, Who};
use super::{Exit, Failure, find};
use crate::config::Config;
use crate::store::accounts::NewAccount;
use crate::store::{Store, StoreError};

/// `gatepost account set`.
#[derive(Args, Clone, Debug)]
pub struct Set {
    #[command(flatten)]
    named: Named,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    without: Without,
}

/// What is taken away again.
#[derive(Args, Clone, Copy, Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct Without {
    /// It is no shared mailbox: it consents for itself, and SMTP goes as its address
    #[arg(long, conflicts_with_all = ["shared", "owner", "smtp_user_name"])]
    no_shared: bool,
    /// The mailbox consents for itself
    #[arg(long, conflicts_with_all = ["shared", "owner"])]
    no_owner: bool,
    /// SMTP goes as the address
    #[arg(long, conflicts_with_all = ["shared", "smtp_user_name"])]
    no_smtp_user_name: bool,
    /// POP3 goes as the address
    #[arg(long, conflicts_with = "pop3_user_name")]
    no_pop3_user_name: bool,
    /// IMAP goes as the address
    #[arg(long, conflicts_with = "imap_user_name")]
    no_imap_user_name: bool,
}

impl Without {
    fn take_away(self, account: &mut NewAccount) {
        if self.no_shared || self.no_owner {
            account.owner = None;
            account.token_account = None;
        }
        for (taken, place) in [
            (self.no_shared || self.no_smtp_user_name, &mut account.smtp_user_name),
            (self.no_pop3_user_name, &mut account.pop3_user_name),
            (self.no_imap_user_name, &mut account.imap_user_name),
        ] {
            if taken {
                *place = None;
            }
        }
    }
}

impl Set {
    pub(super) async fn run(self, config: &Config, store: &Store) -> Result<String, Failure> {
        let account = find::account(store, &self.named.address, self.named.provider.as_deref()).await?;
        let provider = find::provider(config, &account)?;
        let before = account.described();
        let mut after = before.clone();
        self.without.take_away(&mut after);
        self.who.settle(&mut after, Some(account.id), provider, store).await?;
        if after != before && !store.update_account(account.id, &after).await? {
            return Err(Failure::new(Exit::Failed, StoreError::AccountGone));
        }
        let mut said = format!("{} at {}\n{}", after.address, after.provider, who::in_words(&after));
        if (&after.owner, after.token_account) != (&before.owner, before.token_account) {
            said += &next(&after, store).await?;
        }
        Ok(said)
    }
}

/// What has to follow when another one consents.
async fn next(account: &NewAccount, store: &Store) -> Result<String, Failure> {
    let (address, owner) = (&account.address, account.owner.as_ref().unwrap_or(&account.address));
    Ok(if who::has_its_grant(account, store).await? {
        format!("\n{owner} is connected, so nobody has to consent again.\nNext: gatepost test {address}\n")
    } else {
        format!("\nNext: gatepost connect {address}\n")
    })
}
