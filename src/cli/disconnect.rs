//! `gatepost disconnect ADDRESS`: the consent is revoked at the provider where that can be done, and what opened the mailbox is
//! forgotten. The account and the passwords of its devices stay.

use std::fmt::Write as _;
use std::sync::Arc;

use super::account::Named;
use super::table::print;
use super::{Context, Exit, Failure, confirm, find, interrupt, progress, style, who};
use crate::account::Account;
use crate::config::Provider;
use crate::config::provider::{GrantType, Login, OAuthClient};
use crate::oauth::grant_key;
use crate::oauth::revocation::{RevocationError, Revoked, withdraw};
use crate::store::grants::GrantKey;
use crate::store::{Store, StoreError};

/// `gatepost disconnect`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    named: Named,
    /// Forget it here without telling the provider, where the consent then stands
    #[arg(long)]
    forget: bool,
    /// Do not ask, though other accounts stop working too
    #[arg(long)]
    yes: bool,
}

impl Arguments {
    /// Ends well when nothing opens the mailbox any more, or nothing did before.
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let config = context.config()?;
        let store = context.store(&config).await?;
        let account = find::account(&store, &self.named.address, self.named.provider.as_deref()).await?;
        let provider = find::provider(&config, &account)?;
        print(&match &provider.login {
            Login::Password => password(provider, &account, &store).await?,
            Login::OAuth(client) if client.grant.needs_person() => {
                self.consent(provider, client, &account, &store).await?
            }
            Login::OAuth(client) => application(client, &account, &store).await?,
        })
    }

    async fn consent(
        &self,
        provider: &Provider,
        client: &Arc<OAuthClient>,
        account: &Account,
        store: &Store,
    ) -> Result<String, Failure> {
        refuse_borrowed(account, store).await?;
        let (typed, key) = (find::typed(account, store).await?, grant_key(client, account));
        let Some(standing) = store.standings().await?.remove(&key) else {
            return Ok(not_connected(account));
        };
        let users = who::users_of(account.id, store).await?;
        let asks = !self.forget && (client.revocation_endpoint.is_some() || client.issuer.is_some());
        let same_person = match (&standing.identity, asks) {
            (Some(person), true) => connected_by(person, account, store).await?,
            _ => Vec::new(),
        };
        self.agreed(&account.address, &users, &same_person).await?;
        let (store, client, ask) = (store.clone(), Arc::clone(client), !self.forget);
        let withdrawn = interrupt::whole(async move { withdraw(&store, &client, &key, ask).await });
        let revoked = progress::shown("revoking the consent", withdrawn).await;
        let revoked = revoked.map_err(|error| Failure::new(Exit::Failed, error))?;
        match revoked.map_err(|error| told(account, &typed, &error))? {
            Some(revoked) => Ok(in_words(provider, account, &typed, revoked)),
            None => Ok(not_connected(account)),
        }
    }

    /// Whoever else stops working is named, and agreed to.
    async fn agreed(&self, address: &str, users: &[String], same_person: &[String]) -> Result<(), Failure> {
        if self.yes || (users.is_empty() && same_person.is_empty()) {
            return Ok(());
        }
        let mut affected = String::new();
        for user in users {
            let _ = writeln!(affected, "{user} uses the consent of {address}, and stops working too.");
        }
        for other in same_person {
            let _ = writeln!(
                affected,
                "{other} was connected by the same person, and may stop working too: some\n\
                 providers, like Google, end all that a person allowed an application."
            );
        }
        if !confirm::is_possible() {
            let message = format!("{affected}Nothing was done. If that is meant, add --yes");
            return Err(Failure::new(Exit::Failed, message));
        }
        if confirm::yes(&format!("{affected}Disconnect {address}?")).await {
            Ok(())
        } else {
            Err(Failure::new(Exit::Failed, format!("{address} stays connected")))
        }
    }
}

/// Nobody's consent is withdrawn by way of somebody else's mailbox.
async fn refuse_borrowed(account: &Account, store: &Store) -> Result<(), Failure> {
    let Some(id) = account.token_account else { return Ok(()) };
    let lender = store.account(id).await?.ok_or(StoreError::AccountGone)?;
    let (address, owner) = (&account.address, &lender.address);
    let (typed, lender) = (find::typed(account, store).await?, find::typed(&lender, store).await?);
    let message = format!(
        "{address} has no consent of its own: it uses that of {owner}, which stays.\n\
         To withdraw that one, for every mailbox it opens: gatepost disconnect {lender}\n\
         To switch this mailbox off alone: gatepost account disable {typed}"
    );
    Err(Failure::new(Exit::Failed, message))
}

/// Other accounts at the same provider with a consent of the same person.
async fn connected_by(person: &str, account: &Account, store: &Store) -> Result<Vec<String>, StoreError> {
    let standings = store.standings().await?;
    let mut accounts = store.accounts().await?;
    accounts.retain(|other| {
        let standing = standings.get(&GrantKey::Account(other.id));
        let by = standing.and_then(|standing| standing.identity.as_deref());
        other.id != account.id
            && other.provider == account.provider
            && by.is_some_and(|by| by.eq_ignore_ascii_case(person))
    });
    Ok(accounts.into_iter().map(|account| account.address).collect())
}

fn in_words(provider: &Provider, account: &Account, typed: &str, revoked: Revoked) -> String {
    let (tick, address, name) = (style::tick(), &account.address, &provider.name);
    let mut said = match revoked {
        Revoked::AtProvider => {
            format!("{tick} {address} is disconnected: {name} has revoked the consent.\n")
        }
        Revoked::NotAsked => format!("{tick} {address} is disconnected here. {name} was not told.\n"),
        Revoked::NotPossible => {
            format!("{tick} {address} is disconnected here. {name} has no way for Gatepost to revoke it.\n")
        }
    };
    if revoked != Revoked::AtProvider {
        said += &still_stands(provider);
    }
    let _ = writeln!(
        said,
        "The account and the passwords of its devices stay. To open it again:\n  gatepost connect {typed}"
    );
    said
}

/// A consent that only people can withdraw, and where.
pub(super) fn still_stands(provider: &Provider) -> String {
    let mut said = String::from("The consent itself stands until somebody withdraws it at the provider:\n");
    let known = provider.preset.map(|preset| preset.withdrawal.as_slice()).unwrap_or_default();
    if known.is_empty() {
        said += "  in the person's account there, where it lists the applications with access\n";
    }
    for line in known {
        let _ = writeln!(said, "  {line}");
    }
    said
}

fn not_connected(account: &Account) -> String {
    format!("{} is not connected to {}: there is nothing to withdraw.\n", account.address, account.provider)
}

async fn password(provider: &Provider, account: &Account, store: &Store) -> Result<String, Failure> {
    if !store.forget_mailbox_password(account.id).await? {
        return Ok(not_connected(account));
    }
    let (tick, address, name) = (style::tick(), &account.address, &provider.name);
    let typed = find::typed(account, store).await?;
    Ok(format!(
        "{tick} {address} is disconnected: its password at {name} is forgotten here.\n\
         If it is an app password, it opens the mailbox until you delete it at the provider.\n\
         The account and the passwords of its devices stay. To open it again:\n  gatepost connect {typed}\n"
    ))
}

/// Where nobody consented there is nothing to revoke, and the next login gets a new token.
async fn application(client: &Arc<OAuthClient>, account: &Account, store: &Store) -> Result<String, Failure> {
    let (address, name) = (&account.address, &client.provider);
    let typed = find::typed(account, store).await?;
    let is_service_account = client.grant == GrantType::ServiceAccount;
    let forgotten = if is_service_account {
        store.forget_mailbox_tokens(account.id).await? > 0
    } else {
        let forgotten = withdraw(store, client, &grant_key(client, account), false).await;
        forgotten.map_err(|error| told(account, &typed, &error))?.is_some()
    };
    let mut said = match (forgotten, is_service_account) {
        (false, _) => format!("No token is kept for {address}.\n"),
        (true, true) => format!("The tokens that were kept for {address} are forgotten.\n"),
        (true, false) => {
            format!("The token that was kept for every account of {name} is forgotten.\n")
        }
    };
    let (whom, how) = if is_service_account {
        (
            "the service account",
            "in the Admin console, Security, Access and data control, API controls,\n  Manage domain wide delegation: delete its line",
        )
    } else {
        (
            "the application",
            "at Microsoft 365: its rights on the mailbox in Exchange, or the application\n  itself under Enterprise applications in Microsoft Entra",
        )
    };
    let _ = write!(
        said,
        "But nobody consented here: the organisation trusts {whom},\n\
         so the next login gets a new one. To switch the account off:\n  gatepost account disable {typed}\n\
         The organisation's admin takes the access away:\n  {how}\n"
    );
    Ok(said)
}

fn told(account: &Account, typed: &str, error: &RevocationError) -> Failure {
    let (exit, next) = match error {
        RevocationError::Endpoint { .. } => (
            Exit::Upstream,
            format!(
                ".\nNothing was forgotten. Try again later, or forget it here alone, which leaves the\n\
                 consent at the provider: gatepost disconnect {typed} --forget"
            ),
        ),
        RevocationError::ConnectedMeanwhile | RevocationError::HeldElsewhere => (Exit::Failed, String::new()),
        RevocationError::StillStored(_) | RevocationError::Store(_) => (Exit::State, String::new()),
    };
    Failure::new(exit, format!("{}: {error}{next}", account.address))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::time::SystemTime;

    use gatepost_protocol::secret::Secret;

    use super::super::account::tests::desk;
    use super::*;
    use crate::oauth::tests::client;
    use crate::store::accounts::NewAccount;
    use crate::store::grants::NewTokens;

    #[tokio::test]
    async fn a_service_account_s_tokens_are_forgotten_and_the_admin_console_is_named() {
        let (_folder, _config, store) = desk().await;
        let every = NewAccount {
            address: "*@example.com".to_owned(),
            provider: "example".to_owned(),
            ..NewAccount::default()
        };
        let (id, _) = store.add_account(&every, None).await.unwrap();
        let account = store.account(id).await.unwrap().unwrap();
        let tokens = NewTokens {
            access_token: Secret::new("a".to_owned()),
            refresh_token: None,
            issued_at: SystemTime::now(),
            expires_at: SystemTime::now(),
            scopes: Vec::new(),
            identity: None,
        };
        store.replace_grant(&GrantKey::Mailbox(id, "ann@example.com".to_owned()), &tokens).await.unwrap();
        let client = Arc::new(OAuthClient { grant: GrantType::ServiceAccount, ..client() });
        for first in ["The tokens that were kept for *@example.com are forgotten.", "No token is kept for"] {
            let said = application(&client, &account, &store).await.unwrap();
            assert!(said.starts_with(first), "{said}");
            for words in ["gatepost account disable '*@example.com'", "Manage domain wide delegation"] {
                assert!(said.contains(words), "{said}");
            }
            assert!(said.lines().all(|line| line.len() <= 80), "{said}");
            assert!(store.standings().await.unwrap().is_empty());
        }
    }

    #[tokio::test]
    async fn a_command_names_the_provider_where_the_address_is_not_enough() {
        let (_folder, _config, store) = desk().await;
        let (address, mut ids) = ("o'brien@example.com", Vec::new());
        for provider in ["contoso", "fabrikam"] {
            let account = NewAccount {
                address: address.to_owned(),
                provider: provider.to_owned(),
                ..NewAccount::default()
            };
            ids.push(store.add_account(&account, None).await.unwrap().0);
        }
        let lender = store.account(ids.remove(0)).await.unwrap().unwrap();
        let borrower = store.account(ids.remove(0)).await.unwrap().unwrap();
        let borrower = Account { token_account: Some(lender.id), ..borrower };
        let said = refuse_borrowed(&borrower, &store).await.unwrap_err().message;
        for command in [
            r"gatepost disconnect 'o'\''brien@example.com' --provider contoso",
            r"gatepost account disable 'o'\''brien@example.com' --provider fabrikam",
        ] {
            assert!(said.contains(command), "{said}");
        }
    }

    #[tokio::test]
    async fn where_a_consent_is_withdrawn_stands_in_the_preset() {
        let (_folder, config, _store) = desk().await;
        for (name, words) in [
            ("contoso", "the person: https://myapps.microsoft.com"),
            ("contoso", "the admin: Entra admin center, Users, the person, Revoke sessions"),
            ("fabrikam", "https://myaccount.google.com/connections"),
        ] {
            let said = still_stands(config.providers.get(name).unwrap());
            assert!(said.contains(words), "{said}");
            assert!(said.lines().all(|line| line.len() <= 80), "{said}");
        }
    }
}
