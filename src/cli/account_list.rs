//! `gatepost account list`: every mailbox, with the word for how it stands.

use std::time::SystemTime;

use clap::Args;
use serde_json::json;

use super::Failure;
use super::table::{json, table};
use crate::config::Config;
use crate::standing::{AccountStanding, Attention, Survey, Way};
use crate::store::Store;

/// `gatepost account list`.
#[derive(Args, Clone, Debug)]
pub struct List {
    /// Print a JSON array instead: [{"id", "address", "provider", "provider_known", "disabled", "smtp_user_name",
    /// "pop3_user_name", "imap_user_name", "owner", "consent_by", "way": "consent" | "application" | "password", "state",
    /// "reason", "next_step", "credentials"}]: owner is who is to consent where it is another one, consent_by who did; state,
    /// reason and next_step are those of `gatepost status`
    #[arg(long)]
    json: bool,
}

const NONE_YET: &str = "There are no accounts yet: gatepost account add ADDRESS --provider NAME\n";

impl List {
    /// What is said where nothing is stored yet; looking makes nothing.
    pub(super) fn without_a_store(&self) -> String {
        if self.json { json(&json!([])) } else { NONE_YET.to_owned() }
    }

    pub(super) async fn run(self, config: &Config, store: &Store) -> Result<String, Failure> {
        let survey = Survey::take(config, store, SystemTime::now()).await?;
        let credentials = store.credentials(None).await?;
        let count = |standing: &AccountStanding| {
            credentials.iter().filter(|one| one.account == standing.account.id).count()
        };
        if self.json {
            let rows = survey.accounts.iter().map(|standing| {
                let AccountStanding { account, verdict, .. } = standing;
                json!({
                    "id": account.id.0,
                    "address": account.address,
                    "provider": account.provider,
                    "provider_known": standing.way.is_some(),
                    "disabled": account.disabled,
                    "smtp_user_name": account.smtp_user_name,
                    "pop3_user_name": account.pop3_user_name,
                    "imap_user_name": account.imap_user_name,
                    "owner": account.owner,
                    "consent_by": standing.consent_by,
                    "way": standing.way.map(Way::word),
                    "state": verdict.state.word(),
                    "reason": verdict.reason,
                    "next_step": verdict.next_step,
                    "credentials": count(standing),
                })
            });
            return Ok(json(&rows.collect()));
        }
        if survey.accounts.is_empty() {
            return Ok(NONE_YET.to_owned());
        }
        let rows: Vec<[String; 5]> = survey
            .accounts
            .iter()
            .map(|standing| {
                let AccountStanding { account, verdict, .. } = standing;
                let by = standing.another().unwrap_or_default().to_owned();
                let (count, state) = (count(standing).to_string(), verdict.state.word().to_owned());
                [account.address.clone(), account.provider.clone(), count, by, state]
            })
            .collect();
        // Most people consent for themselves, and nobody needs a column to hear it.
        let mut text = if rows.iter().all(|[_, _, _, by, _]| by.is_empty()) {
            let rows = rows
                .into_iter()
                .map(|[address, provider, count, _, state]| [address, provider, count, state]);
            table(["Address", "Provider", "Passwords", "State"], &rows.collect::<Vec<_>>())
        } else {
            table(["Address", "Provider", "Passwords", "Consent by", "State"], &rows)
        };
        if survey.accounts.iter().any(|standing| standing.verdict.attention() > Attention::None) {
            text.push_str("Why, and what to do: gatepost status\n");
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use gatepost_protocol::secret::Secret;

    use super::super::account::tests::desk;
    use super::*;
    use crate::store::accounts::NewAccount;
    use crate::store::grants::{GrantKey, NewTokens};

    #[tokio::test]
    async fn the_list_says_what_stands_in_the_way_of_each() {
        let (_folder, config, store) = desk().await;
        let tokens = NewTokens {
            access_token: Secret::new("tanstaaf".to_owned()),
            refresh_token: None,
            issued_at: SystemTime::now(),
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
             c@example.com  contoso   0          refused\n\
             d@example.com  gone      0          not connected\n\
             e@example.com  fabrikam  0          disabled\n\
             Why, and what to do: gatepost status\n"
        );
        let listed = List { json: true }.run(&config, &store).await.unwrap();
        let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
        let column = |name: &str| {
            listed.as_array().unwrap().iter().map(|row| row.get(name).unwrap().clone()).collect::<Vec<_>>()
        };
        assert_eq!(column("state"), ["not connected", "connected", "refused", "not connected", "disabled"]);
        assert_eq!(
            column("way"),
            [json!("consent"), json!("consent"), json!("consent"), json!(null), json!("consent")]
        );
        assert_eq!(column("provider_known"), [true, true, true, false, true]);
        assert_eq!(column("disabled"), [false, false, false, false, true]);
        for protocol in ["smtp", "pop3", "imap"] {
            let mut names = column(&format!("{protocol}_user_name"));
            assert_eq!(names.pop().unwrap(), format!("{protocol}.e@example.com"));
            assert!(names.iter().all(serde_json::Value::is_null), "{protocol}: {names:?}");
        }
    }
}
