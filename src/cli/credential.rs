//! `gatepost credential`: the passwords that devices log in with, one for each device, each revocable by itself.

use std::io;

use clap::{Args, Subcommand};
use serde_json::json;

use super::account::{self, Device, Named};
use super::device_password;
use super::moment::{rfc_3339, to_the_minute};
use super::table::{json, print, table};
use super::{Context, Exit, Failure, find};
use crate::account::catch_all::domain;
use crate::account::password::Hasher;
use crate::account::{Account, Credential, CredentialId};
use crate::config::Config;
use crate::store::Store;

/// `gatepost credential …`.
#[derive(Subcommand, Clone, Debug)]
pub enum Command {
    /// Add a password for another device
    Add(Add),
    /// Hash the password on standard input, for a file that `account apply` reads
    Hash,
    /// List the passwords' user names, devices and last uses
    List(List),
    /// Revoke a password; sessions that were opened with it end
    Revoke(Revoke),
}

/// `gatepost credential add`.
#[derive(Args, Clone, Debug)]
pub struct Add {
    #[command(flatten)]
    named: Named,
    #[command(flatten)]
    device: Device,
}

/// `gatepost credential list`.
#[derive(Args, Clone, Debug)]
pub struct List {
    /// Only those of this mailbox
    address: Option<String>,
    /// Its provider, where the address exists at several
    #[arg(long, value_name = "NAME", requires = "address")]
    provider: Option<String>,
    /// Print a JSON array instead: [{"id", "user_name", "address", "mailbox", "provider", "label", "created_at",
    /// "last_used_at"}], times as in RFC 3339; no mailbox where it is every one of a domain
    #[arg(long)]
    json: bool,
}

/// `gatepost credential revoke`.
#[derive(Args, Clone, Debug)]
pub struct Revoke {
    /// Its number in `gatepost credential list`
    #[arg(value_parser = number)]
    id: i64,
}

impl Command {
    /// Does it, and prints what was done.
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        if matches!(self, Self::Hash) {
            return print(&hash(device_password::input(true).await?).await?);
        }
        let config = context.config()?;
        let store = match &self {
            Self::List(list) => match context.store_to_look_at(&config).await? {
                Some(store) => store,
                None => return print(&list.without_a_store()?),
            },
            _ => context.store(&config).await?,
        };
        let said = match self {
            Self::Add(arguments) => {
                let input = device_password::input(arguments.device.password_stdin).await?;
                arguments.run(&config, &store, input).await?
            }
            Self::Hash => String::new(),
            Self::List(arguments) => arguments.run(&store).await?,
            Self::Revoke(arguments) => arguments.run(&store).await?,
        };
        print(&said)
    }
}

impl Add {
    async fn run(self, config: &Config, store: &Store, input: impl io::Read) -> Result<String, Failure> {
        let account = find::account(store, &self.named.address, self.named.provider.as_deref()).await?;
        let prepared = self.device.prepare(config, store, &account.address, &account.provider, input).await?;
        let id = store.add_credential(account.id, &prepared.credential).await?;
        let settings = account::settings(config, &account.provider, &prepared, Some(id));
        let mailbox = prepared.credential.mailbox.as_ref().unwrap_or(&account.address);
        Ok(format!("Added a password for {mailbox} at {}.\n{settings}", account.provider))
    }
}

impl List {
    /// What is said where nothing is stored yet; looking makes nothing.
    fn without_a_store(&self) -> Result<String, Failure> {
        match &self.address {
            Some(address) => Err(find::no_account(address)),
            None if self.json => Ok(json(&json!([]))),
            None => Ok(none_yet("ADDRESS")),
        }
    }

    async fn run(self, store: &Store) -> Result<String, Failure> {
        let only = match &self.address {
            Some(address) => Some(find::account(store, address, self.provider.as_deref()).await?.id),
            None => None,
        };
        let accounts = store.accounts().await?;
        let credentials = store.credentials(only).await?;
        let rows: Vec<(&Credential, &Account)> = credentials
            .iter()
            .filter_map(|one| Some((one, accounts.iter().find(|account| account.id == one.account)?)))
            .collect();
        if self.json {
            let rows = rows.into_iter().map(|(credential, account)| {
                let all = domain(&account.address).is_some() && credential.mailbox.is_none();
                json!({
                    "id": credential.id.0,
                    "user_name": credential.user_name,
                    "address": account.address,
                    "mailbox": (!all).then(|| credential.mailbox.as_ref().unwrap_or(&account.address)),
                    "provider": account.provider,
                    "label": credential.label,
                    "created_at": rfc_3339(credential.created_at),
                    "last_used_at": credential.last_used_at.map(rfc_3339),
                })
            });
            return Ok(json(&rows.collect()));
        }
        if rows.is_empty() {
            return Ok(none_yet(self.address.as_deref().unwrap_or("ADDRESS")));
        }
        let rows: Vec<_> = rows
            .into_iter()
            .map(|(credential, account)| {
                [
                    credential.id.0.to_string(),
                    credential.user_name.clone(),
                    format!(
                        "{} ({})",
                        credential.mailbox.as_ref().unwrap_or(&account.address),
                        account.provider
                    ),
                    credential.label.clone().unwrap_or_default(),
                    to_the_minute(credential.created_at),
                    credential.last_used_at.map_or_else(|| "never".to_owned(), to_the_minute),
                ]
            })
            .collect();
        Ok(table(["ID", "User name", "Mailbox", "Label", "Created (UTC)", "Last use (UTC)"], &rows))
    }
}

impl Revoke {
    async fn run(self, store: &Store) -> Result<String, Failure> {
        if store.revoke_credential(CredentialId(self.id)).await? {
            return Ok(format!("Revoked credential {}.\n", self.id));
        }
        let message = format!("there is no credential {}; see: gatepost credential list", self.id);
        Err(Failure::new(Exit::Failed, message))
    }
}

fn number(text: &str) -> Result<i64, &'static str> {
    text.parse().map_err(|_| "a number is expected, as in `gatepost credential list`")
}

async fn hash(input: impl io::Read) -> Result<String, Failure> {
    let password = device_password::read(input)?;
    let hash = Hasher::new().hash(&password).await.map_err(|error| Failure::new(Exit::Failed, error))?;
    Ok(format!("{}\n", hash.expose()))
}

fn none_yet(address: &str) -> String {
    format!("There are no passwords yet: gatepost credential add {address}\n")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::time::{Duration, UNIX_EPOCH};

    use super::super::account::tests::{add, desk, named};
    use super::*;
    use crate::account::password::check_hash;

    #[tokio::test]
    async fn each_device_is_listed_and_revoked_by_itself() {
        let (_folder, config, store) = desk().await;
        let all = || List { address: None, provider: None, json: false };
        assert!(all().run(&store).await.unwrap().starts_with("There are no passwords yet"));
        let first = Device { user_name: Some("scanner".to_owned()), ..Device::default() };
        add("ann@example.com", "contoso", first).run(&config, &store, io::empty()).await.unwrap();
        let device = Device { label: Some("Epson".to_owned()), ..Device::default() };
        let second = Add { named: named("ann@example.com", None), device };
        let said = second.run(&config, &store, io::empty()).await.unwrap();
        assert!(said.contains("gatepost credential revoke 2"), "{said}");
        let noon = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        store.note_use(CredentialId(2), noon).await.unwrap();

        let listed = all().run(&store).await.unwrap();
        let columns: Vec<Vec<&str>> = listed
            .lines()
            .map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect())
            .collect();
        let created = to_the_minute(store.credentials(None).await.unwrap().first().unwrap().created_at);
        assert_eq!(
            columns,
            [
                vec!["ID", "User name", "Mailbox", "Label", "Created (UTC)", "Last use (UTC)"],
                vec!["1", "scanner", "ann@example.com (contoso)", &created, "never"],
                vec![
                    "2",
                    "ann@example.com",
                    "ann@example.com (contoso)",
                    "Epson",
                    &created,
                    "2023-11-14 22:13"
                ],
            ]
        );
        let one = List { address: Some("ann@example.com".to_owned()), provider: None, json: true };
        let listed: serde_json::Value = serde_json::from_str(&one.run(&store).await.unwrap()).unwrap();
        let last_uses: Vec<_> =
            listed.as_array().unwrap().iter().map(|row| row.get("last_used_at").unwrap().as_str()).collect();
        assert_eq!(last_uses, [None, Some("2023-11-14T22:13:00Z")]);

        assert_eq!(Revoke { id: 1 }.run(&store).await.unwrap(), "Revoked credential 1.\n");
        assert!(Revoke { id: 1 }.run(&store).await.unwrap_err().message.contains("no credential 1"));
        let left: Vec<_> = store.credentials(None).await.unwrap().iter().map(|one| one.id).collect();
        assert_eq!(left, [CredentialId(2)]);
    }

    #[tokio::test]
    async fn a_printed_hash_is_one_that_a_file_may_have() {
        let printed = hash(&b"tanstaaf\n"[..]).await.unwrap();
        check_hash(printed.trim_end()).unwrap();
        assert!(!printed.contains("tanstaaf"));
    }
}
