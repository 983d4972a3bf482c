//! Who consented: shown beside the mailbox, and asked about where it is another one. A person at the terminal may say yes;
//! a script has to have said it beforehand with `--owner`.

use std::fmt::Write as _;

use super::super::table::print;
use super::super::{Exit, Failure, complain, confirm, progress, style, who};
use crate::account::Account;
use crate::config::provider::OAuthClient;
use crate::oauth::consent::{ConsentError, Destination};
use crate::oauth::revocation::{Revoked, revoke};
use crate::store::grants::{Identity, NewTokens};
use crate::store::{Store, StoreError};

/// Scopes that providers grant without naming them in their answer.
const SILENT_SCOPES: [&str; 4] = ["email", "offline_access", "openid", "profile"];

/// What came of a consent, after the question about another identity where there is somebody to answer it. What is not kept
/// would stay good at the provider with nobody to use it, so it is revoked.
pub(super) async fn settled(
    client: &OAuthClient,
    destination: &Destination<'_>,
    consented: Result<NewTokens, ConsentError>,
) -> Result<NewTokens, ConsentError> {
    let (identity, expected, tokens) = match consented {
        Err(ConsentError::AnotherIdentity { identity, expected, tokens }) => (identity, expected, tokens),
        other => return other,
    };
    let question = format!(
        "{identity} consented, not {expected}.\nThat is right for a shared mailbox that {identity} may open,\n\
         or where {identity} is another name of it.\nKeep it?"
    );
    if confirm::is_possible() && confirm::yes(&question).await {
        return destination.commit_whoever_consented(*tokens).await;
    }
    if let Some(said) = taken_back(client, destination.store, &tokens).await? {
        complain(&said);
    }
    Err(ConsentError::AnotherIdentity { identity, expected, tokens })
}

/// Revokes what is not kept, and says so. Not where the same person has connected an account here: at some providers that
/// would end with it.
async fn taken_back(
    client: &OAuthClient,
    store: &Store,
    tokens: &NewTokens,
) -> Result<Option<String>, StoreError> {
    let Some(identity) = &tokens.identity else { return Ok(None) };
    let standings = store.standings().await?;
    let people = standings.values().filter_map(|standing| standing.identity.as_deref());
    if client.revocation_endpoint.is_none() || people.into_iter().any(|person| identity.is(person)) {
        return Ok(None);
    }
    let revoked = revoke(client, (tokens.refresh_token.as_ref(), Some(&tokens.access_token)));
    Ok(match progress::shown("revoking that consent", revoked).await {
        Ok(Revoked::AtProvider) => {
            Some(format!("The consent of {identity} is revoked at {}.", client.provider))
        }
        Ok(Revoked::NotAsked | Revoked::NotPossible) => None,
        Err(error) => {
            Some(format!("The consent of {identity} is not kept here, but stands at the provider: {error}"))
        }
    })
}

/// Keeps who consented with the account, so that the next time the same one is expected; of a shared mailbox, SMTP goes as
/// them from now on.
pub(super) async fn remember(
    account: &Account,
    destination: &Destination<'_>,
    tokens: &NewTokens,
    shared: bool,
) -> Result<(), Failure> {
    let is_itself = |name: &str| name.eq_ignore_ascii_case(&account.address);
    let who = tokens.identity.as_ref().map(Identity::name).or(destination.owner);
    let other = who.filter(|name| !is_itself(name)).map(str::to_owned);
    if shared && other.is_none() {
        let reason = match who {
            Some(_) => {
                format!("{} consented for itself, so it is not set up as a shared mailbox", account.address)
            }
            None => "the provider does not tell who consented, so SMTP goes as the mailbox".to_owned(),
        };
        let next = format!("gatepost account set {} --shared --owner WHO", account.address);
        return Err(Failure::new(Exit::Failed, format!("{reason}; to name the delegate: {next}")));
    }
    let mut after = account.described();
    if who.is_some() {
        after.owner.clone_from(&other);
    }
    if shared {
        after.smtp_user_name = other;
    }
    if after == account.described() {
        return Ok(());
    }
    let (owner, smtp_user_name) = (after.owner.as_deref(), after.smtp_user_name.as_deref());
    if !destination.store.remember_owner(account.id, owner, smtp_user_name).await? {
        return Err(StoreError::AccountGone.into());
    }
    if shared { print(&who::in_words(&after)) } else { Ok(()) }
}

/// What was granted, and by whom.
pub(super) fn in_words(client: &OAuthClient, destination: &Destination<'_>, tokens: &NewTokens) -> String {
    let address = destination.address;
    let by = match &tokens.identity {
        Some(identity) => format!(" by {identity}"),
        None => String::new(),
    };
    let mut text = format!(
        "{} {address} is connected to {}{by}.\nScopes granted: {}\n",
        style::tick(),
        client.provider,
        tokens.scopes.join(" ")
    );
    let missing = missing_scopes(&client.scopes, &tokens.scopes);
    if !missing.is_empty() {
        let _ = writeln!(text, "Not granted, though asked for: {}", missing.join(" "));
    }
    let _ = match (&tokens.identity, destination.owner) {
        (Some(identity), _) if !identity.is(address) => writeln!(
            text,
            "Whether {identity} may open {address}, the provider's mail servers decide: the test tells."
        ),
        (None, Some(owner)) => {
            writeln!(
                text,
                "The provider does not tell who consented, so nobody made sure that it was {owner}."
            )
        }
        _ => Ok(()),
    };
    text
}

/// Asked for, not granted, and worth a word.
fn missing_scopes<'a>(asked: &'a [String], granted: &[String]) -> Vec<&'a str> {
    asked
        .iter()
        .filter(|scope| !SILENT_SCOPES.contains(&scope.as_str()))
        .filter(|scope| !granted.iter().any(|granted| granted.eq_ignore_ascii_case(scope)))
        .map(String::as_str)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::missing_scopes;

    #[test]
    fn only_scopes_that_providers_name_can_be_missing() {
        let scopes = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let asked = scopes("https://mail.example/SMTP.Send https://mail.example/POP offline_access openid");
        assert_eq!(
            missing_scopes(&asked, &scopes("https://mail.example/smtp.send")),
            ["https://mail.example/POP"]
        );
        assert!(missing_scopes(&asked, &asked).is_empty());
    }
}
