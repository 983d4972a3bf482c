//! Connecting where there is no OAuth: the mailbox's password is asked for, tried at every server of the provider, and kept only
//! if one of them takes it.

use std::io::{IsTerminal, stdin};
use std::time::{Duration, SystemTime};

use gatepost_protocol::Protocol;
use gatepost_protocol::sasl::UpstreamSecret;
use gatepost_protocol::secret::Secret;
use tokio::time::Instant;

use super::super::table::print;
use super::super::test::shown;
use super::super::{Exit, Failure, device_password, mailbox_password, progress, style};
use crate::account::Account;
use crate::config::Provider;
use crate::store::Store;
use crate::trial::login::{Against, attempt};

/// Asks for the password of the account's mailbox, and stores it once a server has let us in with it.
pub(super) async fn connect(
    provider: &Provider,
    account: &Account,
    store: &Store,
    time: Duration,
) -> Result<(), Failure> {
    let password =
        if stdin().is_terminal() { asked(provider, account).await? } else { device_password::read(stdin())? };
    let mut answers = Vec::new();
    let mut let_in = Vec::new();
    for protocol in Protocol::ALL {
        let answer = tried(provider, account, protocol, &password, Instant::now() + time).await?;
        let_in.extend((answer == Some(Answer::LetIn)).then_some(protocol));
        answers.extend(answer);
    }
    let (address, name) = (&account.address, &provider.name);
    if !answers.contains(&Answer::LetIn) {
        let next = if answers.contains(&Answer::PasswordRefused) {
            "Many providers take only a password that they make for one program: look for app passwords where they \
             keep your account"
        } else if answers.contains(&Answer::MailboxRefused) {
            "They have nothing against the password: see above why they do not open the mailbox"
        } else {
            "None of them got as far as the password: see above, and look at the network first"
        };
        let message = format!(
            "{address} is not connected: no server of {name} let Gatepost in, and nothing was stored. {next}"
        );
        return Err(Failure::new(Exit::Upstream, message));
    }
    store.replace_mailbox_password(account.id, &password).await?;
    for protocol in let_in {
        store.note_trial(account.id, protocol, SystemTime::now(), None).await?;
    }
    print(&format!(
        "{} {address} is connected to {name} by its password, which is kept sealed.\n",
        style::tick()
    ))
}

async fn asked(provider: &Provider, account: &Account) -> Result<Secret<String>, Failure> {
    let servers = Protocol::ALL.into_iter().filter_map(|protocol| provider.endpoint(protocol));
    let mut hosts: Vec<&str> = servers.map(|server| server.host.as_str()).collect();
    hosts.dedup();
    mailbox_password::typed(&format!(
        "Type the app password that the provider made for Gatepost, or the mailbox's own\nwhere it has none \
         such. It goes to {} over TLS,\nand is kept sealed on this machine.\nPassword of {}: ",
        hosts.join(", "),
        account.address
    ))
    .await
}

/// What a server said to the password.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// It is right.
    LetIn,
    /// Nothing: it was not reached, or failed before.
    None,
    /// It is not taken.
    PasswordRefused,
    /// The mailbox is not opened, whatever the password.
    MailboxRefused,
}

/// Logs in by one protocol, and says how that went. `None` where the provider does not have it.
async fn tried(
    provider: &Provider,
    account: &Account,
    protocol: Protocol,
    password: &Secret<String>,
    deadline: Instant,
) -> Result<Option<Answer>, Failure> {
    let secret = UpstreamSecret::Password(password.clone());
    let attempt = attempt(provider, account, protocol, secret, deadline);
    let Some(attempt) = progress::shown(&format!("{protocol} login"), attempt).await else { return Ok(None) };
    print(&shown(&attempt.step))?;
    Ok(Some(match attempt.against {
        None => Answer::LetIn,
        Some(Against::Secret) => Answer::PasswordRefused,
        Some(Against::Mailbox) => Answer::MailboxRefused,
        Some(Against::Neither) => Answer::None,
    }))
}
