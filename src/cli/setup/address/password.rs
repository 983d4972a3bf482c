//! The password that the mail program types: made where there is none, never a second one unless asked for.

use gatepost_protocol::secret::Secret;

use super::super::super::account::{Device, refuse, servers, settings};
use super::super::super::{Exit, Failure, device_password, style};
use crate::account::name::wrong_user_name;
use crate::account::{Account, Accounts, Credential, NewPasswordError};
use crate::config::Config;
use crate::store::Store;

/// A login that the mail program can use.
pub(super) struct Given {
    pub(super) user_name: String,
    /// What is to be set on the device, with the password where it was made now.
    pub(super) words: String,
}

/// What is said about the mail program's login.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct Login {
    /// What the mail program sends as user name [default: the address]
    #[arg(long, value_name = "NAME")]
    user_name: Option<String>,
    /// Which device or program it is, for `credential list`
    #[arg(long, value_name = "TEXT")]
    label: Option<String>,
    /// Read the password from standard input, to keep what the device has; else one is made and shown once
    #[arg(long)]
    pub(super) password_stdin: bool,
}

/// Finds or makes the account's password.
pub(super) async fn given(
    login: Login,
    config: &Config,
    store: &Store,
    account: &Account,
) -> Result<Given, Failure> {
    let Login { user_name, label, password_stdin } = login;
    let device = Device { user_name, label, password_stdin, ..Device::default() };
    let wanted = device.user_name.clone().unwrap_or_else(|| account.address.clone());
    refuse("the user name", &wanted, wrong_user_name)?;
    let mut there = store.credentials(Some(account.id)).await?;
    there.retain(|credential| is_asked_for(credential, &device));
    let password = if device.password_stdin {
        Some(device_password::read(device_password::input(true).await?)?)
    } else {
        None
    };
    let has_it = match &password {
        Some(password) => !there.is_empty() && is_in_use(store, account, &wanted, password).await?,
        None => !there.is_empty(),
    };
    if let (true, Some(credential)) = (has_it, there.first()) {
        let words = kept(config, account, credential);
        return Ok(Given { user_name: credential.user_name.clone(), words });
    }
    let prepared = device.prepare_with(config, store, &account.address, &account.provider, password).await?;
    let id = store.add_credential(account.id, &prepared.credential).await?;
    let settings = settings(config, &account.provider, &prepared, Some(id));
    let words = format!("{} A password for the mail program was made.\n{settings}", style::tick());
    Ok(Given { user_name: prepared.credential.user_name, words })
}

fn kept(config: &Config, account: &Account, credential: &Credential) -> String {
    format!(
        "{} There is a password already.\n\nOn the device:\n  User name  {}\n  Password   the one it was given   (for another: \
         gatepost credential add {})\n{}",
        style::tick(),
        credential.user_name,
        account.address,
        servers(config, &account.provider)
    )
}

/// Whether the device that the command line describes may be the one that has this password.
fn is_asked_for(credential: &Credential, device: &Device) -> bool {
    device.user_name.as_ref().is_none_or(|name| credential.user_name.eq_ignore_ascii_case(name))
        && device.label.as_ref().is_none_or(|label| credential.label.as_ref() == Some(label))
}

async fn is_in_use(
    store: &Store,
    account: &Account,
    user_name: &str,
    password: &Secret<String>,
) -> Result<bool, Failure> {
    match Accounts::new(store.clone()).hash_new_password(&account.provider, user_name, password).await {
        Ok(_) => Ok(false),
        Err(NewPasswordError::InUse { .. }) => Ok(true),
        Err(error) => Err(Failure::new(Exit::Failed, error)),
    }
}
