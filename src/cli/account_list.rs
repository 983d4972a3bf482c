//! `gatepost account list`: every mailbox, with what stands most in the way of a login to it.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use serde_json::json;

use super::Failure;
use super::table::{json, table};
use crate::account::{Account, AccountId};
use crate::config::Config;
use crate::config::provider::Login;
use crate::oauth::grant_key;
use crate::store::Store;
use crate::store::grants::{GrantKey, Standing};

/// `gatepost account list`.
#[derive(Args, Clone, Debug)]
pub struct List {
    /// Print a JSON array instead: [{"id", "address", "provider", "provider_known", "disabled", "smtp_user_name",
    /// "pop3_user_name", "imap_user_name", "owner", "consent_by", "grant": "connected" | "none" | "refused" |
    /// "application" | "password", "refused", "credentials"}]: owner is who is to consent where it is another one,
    /// consent_by who did
    #[arg(long)]
    json: bool,
}

impl List {
    pub(super) async fn run(self, config: &Config, store: &Store) -> Result<String, Failure> {
        let accounts = store.accounts().await?;
        let grants =
            Grants { standings: store.standings().await?, passwords: store.accounts_with_password().await? };
        let credentials = store.credentials(None).await?;
        let count = |account: &Account| credentials.iter().filter(|one| one.account == account.id).count();
        let words: Vec<GrantWord> =
            accounts.iter().map(|account| GrantWord::of(config, account, &grants)).collect();
        if self.json {
            let rows = accounts.iter().zip(&words).map(|(account, grant)| {
                json!({
                    "id": account.id.0,
                    "address": account.address,
                    "provider": account.provider,
                    "provider_known": config.providers.contains_key(&account.provider),
                    "disabled": account.disabled,
                    "smtp_user_name": account.smtp_user_name,
                    "pop3_user_name": account.pop3_user_name,
                    "imap_user_name": account.imap_user_name,
                    "owner": account.owner,
                    "consent_by": grant.identity,
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
        let rows: Vec<[String; 5]> = accounts
            .iter()
            .zip(&words)
            .map(|(account, grant)| {
                let by = another(account, grant);
                let state = state(config, account, grant);
                [account.address.clone(), account.provider.clone(), count(account).to_string(), by, state]
            })
            .collect();
        // Most people consent for themselves, and nobody needs a column to hear it.
        if rows.iter().all(|[_, _, _, by, _]| by.is_empty()) {
            let rows = rows
                .into_iter()
                .map(|[address, provider, count, _, state]| [address, provider, count, state]);
            return Ok(table(["Address", "Provider", "Passwords", "State"], &rows.collect::<Vec<_>>()));
        }
        Ok(table(["Address", "Provider", "Passwords", "Consent by", "State"], &rows))
    }
}

/// What is stored to log in with.
struct Grants {
    standings: BTreeMap<GrantKey, Standing>,
    passwords: BTreeSet<AccountId>,
}

/// What the provider gave for an account, in a word that scripts can rely on.
struct GrantWord {
    name: &'static str,
    refused: Option<String>,
    /// Who consented, where the provider told.
    identity: Option<String>,
}

impl GrantWord {
    fn of(config: &Config, account: &Account, grants: &Grants) -> Self {
        let provider = config.providers.get(&account.provider);
        if provider.is_some_and(|provider| matches!(provider.login, Login::Password)) {
            let name = if grants.passwords.contains(&account.id) { "password" } else { "none" };
            return Self { name, refused: None, identity: None };
        }
        let client = provider.and_then(|provider| provider.oauth());
        let by_application = client.is_some_and(|client| !client.grant.needs_person());
        let key = client.map_or(GrantKey::Account(account.id), |client| grant_key(client, account));
        let standing = grants.standings.get(&key);
        let Standing { refused, identity, .. } = standing.cloned().unwrap_or_default();
        let name = match (&refused, standing) {
            (Some(_), _) => "refused",
            _ if by_application => "application",
            (None, Some(_)) => "connected",
            (None, None) => "none",
        };
        Self { name, refused, identity }
    }
}

/// Who consented or is to consent, where that is another one than the mailbox.
fn another(account: &Account, grant: &GrantWord) -> String {
    let who = grant.identity.as_ref().or(account.owner.as_ref());
    who.filter(|who| !who.eq_ignore_ascii_case(&account.address)).cloned().unwrap_or_default()
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
        ("password", None) => "connected by password".to_owned(),
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
            issued_at: SystemTime::UNIX_EPOCH,
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
                ..NewAccount::default()
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
