//! `gatepost account list`: every mailbox, with what stands most in the way of a login to it.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::json;

use super::Failure;
use super::table::{json, table};
use crate::account::Account;
use crate::config::Config;
use crate::oauth::grant_key;
use crate::store::Store;
use crate::store::grants::GrantKey;

/// `gatepost account list`.
#[derive(Args, Clone, Debug)]
pub struct List {
    /// Print a JSON array instead: [{"id", "address", "provider", "provider_known", "disabled", "smtp_user_name",
    /// "pop3_user_name", "imap_user_name", "grant": "connected" | "none" | "refused" | "application", "refused",
    /// "credentials"}]
    #[arg(long)]
    json: bool,
}

impl List {
    pub(super) async fn run(self, config: &Config, store: &Store) -> Result<String, Failure> {
        let accounts = store.accounts().await?;
        let refusals = store.refusals().await?;
        let credentials = store.credentials(None).await?;
        let count = |account: &Account| credentials.iter().filter(|one| one.account == account.id).count();
        let grants: Vec<GrantWord> =
            accounts.iter().map(|account| GrantWord::of(config, account, &refusals)).collect();
        if self.json {
            let rows = accounts.iter().zip(&grants).map(|(account, grant)| {
                json!({
                    "id": account.id.0,
                    "address": account.address,
                    "provider": account.provider,
                    "provider_known": config.providers.contains_key(&account.provider),
                    "disabled": account.disabled,
                    "smtp_user_name": account.smtp_user_name,
                    "pop3_user_name": account.pop3_user_name,
                    "imap_user_name": account.imap_user_name,
                    "grant": grant.name,
                    "refused": grant.refused,
                    "credentials": count(account),
                })
            });
            return Ok(json(&rows.collect()));
        }
        if accounts.is_empty() {
            return Ok("There are no accounts yet: gatepost account add ADDRESS --provider NAME\n".to_owned());
        }
        let rows: Vec<_> = accounts
            .iter()
            .zip(&grants)
            .map(|(account, grant)| {
                let state = state(config, account, grant);
                [account.address.clone(), account.provider.clone(), count(account).to_string(), state]
            })
            .collect();
        Ok(table(["Address", "Provider", "Passwords", "State"], &rows))
    }
}

/// What the provider gave for an account, in a word that scripts can rely on.
struct GrantWord {
    name: &'static str,
    refused: Option<String>,
}

impl GrantWord {
    fn of(config: &Config, account: &Account, refusals: &BTreeMap<GrantKey, Option<String>>) -> Self {
        let client = config.providers.get(&account.provider).and_then(|provider| provider.oauth());
        let by_application = client.is_some_and(|client| !client.grant.needs_person());
        let key = client.map_or(GrantKey::Account(account.id), |client| grant_key(client, account));
        match refusals.get(&key) {
            Some(Some(reason)) => Self { name: "refused", refused: Some(reason.clone()) },
            _ if by_application => Self { name: "application", refused: None },
            Some(None) => Self { name: "connected", refused: None },
            None => Self { name: "none", refused: None },
        }
    }
}

/// What stands most in the way of a login.
fn state(config: &Config, account: &Account, grant: &GrantWord) -> String {
    if !config.providers.contains_key(&account.provider) {
        return "provider is not in the configuration".to_owned();
    }
    if account.disabled {
        return "disabled".to_owned();
    }
    match (grant.name, &grant.refused) {
        (_, Some(reason)) => format!("refused: {reason}"),
        ("none", None) => "not connected".to_owned(),
        ("application", None) => "by the application's token".to_owned(),
        (name, None) => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::time::SystemTime;

    use gatepost_protocol::secret::Secret;

    use super::super::account::tests::desk;
    use super::*;
    use crate::store::accounts::NewAccount;
    use crate::store::grants::NewTokens;

    #[tokio::test]
    async fn the_list_says_what_stands_in_the_way_of_each() {
        let (_folder, config, store) = desk().await;
        let tokens = NewTokens {
            access_token: Secret::new("tanstaaf".to_owned()),
            refresh_token: None,
            expires_at: SystemTime::now(),
            scopes: Vec::new(),
            identity: None,
        };
        let account = async |address: &str, provider: &str| {
            let shared =
                |protocol: &str| Some(format!("{protocol}.{address}")).filter(|_| provider == "fabrikam");
            let new = NewAccount {
                address: address.to_owned(),
                provider: provider.to_owned(),
                smtp_user_name: shared("smtp"),
                pop3_user_name: shared("pop3"),
                imap_user_name: shared("imap"),
                disabled: false,
            };
            store.add_account(&new, None).await.unwrap().0
        };
        account("a@example.com", "contoso").await;
        let connected = GrantKey::Account(account("b@example.com", "contoso").await);
        store.replace_grant(&connected, &tokens).await.unwrap();
        let refused = GrantKey::Account(account("c@example.com", "contoso").await);
        store.replace_grant(&refused, &tokens).await.unwrap();
        store.mark_refused(&refused, 1, "invalid_grant").await.unwrap();
        account("d@example.com", "gone").await;
        let off = account("e@example.com", "fabrikam").await;
        store.set_disabled(off, true).await.unwrap();

        let listed = List { json: false }.run(&config, &store).await.unwrap();
        assert_eq!(
            listed,
            "Address        Provider  Passwords  State\n\
             a@example.com  contoso   0          not connected\n\
             b@example.com  contoso   0          connected\n\
             c@example.com  contoso   0          refused: invalid_grant\n\
             d@example.com  gone      0          provider is not in the configuration\n\
             e@example.com  fabrikam  0          disabled\n"
        );
        let listed = List { json: true }.run(&config, &store).await.unwrap();
        let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
        let column = |name: &str| {
            listed.as_array().unwrap().iter().map(|row| row.get(name).unwrap().clone()).collect::<Vec<_>>()
        };
        assert_eq!(column("grant"), ["none", "connected", "refused", "none", "none"]);
        assert_eq!(column("provider_known"), [true, true, true, false, true]);
        assert_eq!(column("disabled"), [false, false, false, false, true]);
        for protocol in ["smtp", "pop3", "imap"] {
            let mut names = column(&format!("{protocol}_user_name"));
            assert_eq!(names.pop().unwrap(), format!("{protocol}.e@example.com"));
            assert!(names.iter().all(serde_json::Value::is_null), "{protocol}: {names:?}");
        }
    }
}
