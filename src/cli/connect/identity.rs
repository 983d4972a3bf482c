//! Who consented: shown beside the mailbox, and asked about where it is another one. A person at the terminal may say yes;
//! a script has to have said it beforehand with `--owner`.

use std::fmt::Write as _;
use std::io::{IsTerminal, stderr, stdin};

use super::super::table::print;
use super::super::{Exit, Failure, style, who};
use super::browser::read_line;
use crate::account::Account;
use crate::config::provider::OAuthClient;
use crate::oauth::consent::{ConsentError, Destination};
use crate::store::StoreError;
use crate::store::grants::{Identity, NewTokens};

/// Scopes that providers grant without naming them in their answer.
const SILENT_SCOPES: [&str; 4] = ["email", "offline_access", "openid", "profile"];

/// What came of a consent, after the question about another identity where there is somebody to answer it.
pub(super) async fn settled(
    destination: &Destination<'_>,
    consented: Result<NewTokens, ConsentError>,
) -> Result<NewTokens, ConsentError> {
    match consented {
        Err(ConsentError::AnotherIdentity { identity, expected, tokens })
            if stdin().is_terminal() && stderr().is_terminal() =>
        {
            eprint!(
                "{identity} consented, not {expected}.\nThat is right for a shared mailbox that {identity} may open,\n\
                 or where {identity} is another name of it.\nKeep it? [y/N] "
            );
            if is_yes(read_line().await.as_deref()) {
                destination.commit_whoever_consented(*tokens).await
            } else {
                Err(ConsentError::AnotherIdentity { identity, expected, tokens })
            }
        }
        other => other,
    }
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

fn is_yes(answer: Option<&str>) -> bool {
    answer.is_some_and(|answer| ["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str()))
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
    use super::{is_yes, missing_scopes};

    #[test]
    fn only_a_yes_is_a_yes() {
        for (answer, expected) in [
            (Some("y\n"), true),
            (Some(" YES \r\n"), true),
            (Some("\n"), false),
            (Some("n\n"), false),
            (Some("why\n"), false),
            (None, false),
        ] {
            assert_eq!(is_yes(answer), expected, "{answer:?}");
        }
    }

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
