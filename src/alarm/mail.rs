//! An alarm by mail: which account it goes through, and what it says. The account is one that works, if possible at another
//! provider than those in trouble; where there is no other, one of the same provider that works still is better than silence.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use gatepost_protocol::Protocol;
use gatepost_protocol::sasl::UpstreamSecret;
use tokio::time::{Instant, timeout_at};

use super::words::Alarm;
use crate::account::{Account, catch_all};
use crate::config::provider::{Login, OAuthClient};
use crate::config::{Config, Provider};
use crate::daemon::host_name;
use crate::mailbox_password::MailboxPasswords;
use crate::oauth::Tokens;
use crate::standing::{AccountStanding, Survey};
use crate::submission::{Message, SubmissionError, can_carry, submit};

/// For each account that is tried.
const PATIENCE: Duration = Duration::from_secs(30);

/// Accounts that are tried at a time. Three times [`PATIENCE`] is less than the pause before the next try.
const CANDIDATES: usize = 3;

/// An account that a message may go through.
#[derive(Clone, Debug)]
pub(super) struct Sender {
    pub(super) account: Account,
    provider: Arc<Provider>,
}

/// Those that work, the best first: the one that the configuration names, those at providers that no alarm is about, then the
/// others.
pub(super) fn senders(survey: &Survey, config: &Config, alarms: &[Alarm]) -> Vec<Sender> {
    let troubled: BTreeSet<&str> = alarms.iter().map(|alarm| alarm.provider.as_str()).collect();
    let preferred = config.on_alarm.mail_account.as_deref();
    let working = survey.accounts.iter().filter(|standing| standing.can_send());
    let mut senders: Vec<(&AccountStanding, Sender)> = working
        .filter(|AccountStanding { account, .. }| {
            catch_all::domain(&account.address).is_none() && can_carry(&account.address)
        })
        .filter_map(|standing| {
            let provider = Arc::clone(config.providers.get(&standing.account.provider)?);
            provider.endpoint(Protocol::Smtp)?;
            Some((standing, Sender { account: standing.account.clone(), provider }))
        })
        .collect();
    senders.sort_by_key(|(AccountStanding { account, verdict, .. }, _)| {
        let is_preferred =
            preferred.is_some_and(|preferred| preferred.eq_ignore_ascii_case(&account.address));
        let is_troubled = troubled.contains(account.provider.as_str());
        // A mailbox of several people may lack the right to send.
        let is_shared = account.token_account.is_some() || account.owner.is_some();
        (!is_preferred, is_troubled, verdict.reason.is_some(), is_shared)
    });
    senders.into_iter().map(|(_, sender)| sender).collect()
}

/// What is written about these.
pub(super) fn message(to: &[String], alarms: &[Alarm], now: SystemTime) -> Message {
    let host = host_name();
    let subject = match alarms {
        [only] => format!("Gatepost on {host}: {}", only.headline(now)),
        all => format!("Gatepost on {host}: {} alarms", all.len()),
    };
    let footer = format!("On {host}, `gatepost status` shows how everything stands.\n");
    let paragraphs = alarms.iter().map(|alarm| alarm.paragraph(now) + "\n");
    Message { to: to.to_vec(), subject, text: paragraphs.chain([footer]).collect(), at: now }
}

/// Sends it through the first that can. Gives that one's address; `Err` says in words what each met.
pub(super) async fn send(
    senders: &[Sender],
    tokens: &Tokens,
    passwords: &MailboxPasswords,
    message: &Message,
) -> Result<String, String> {
    let mut failures = Vec::new();
    for sender in senders.iter().take(CANDIDATES) {
        match sender.send(tokens, passwords, message).await {
            Ok(()) => return Ok(sender.account.address.clone()),
            Err(failure) => failures.push(format!("through {}: {failure}", sender.account.address)),
        }
    }
    Err(failures.join("; "))
}

impl Sender {
    async fn send(
        &self,
        tokens: &Tokens,
        passwords: &MailboxPasswords,
        message: &Message,
    ) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        let sent = timeout_at(deadline, async {
            match &self.provider.login {
                Login::OAuth(client) => self.send_with_token(client, tokens, message, deadline).await,
                Login::Password => self.send_with_password(passwords, message, deadline).await,
            }
        });
        sent.await.unwrap_or_else(|_| Err("it took too long".to_owned()))
    }

    async fn send_with_token(
        &self,
        client: &Arc<OAuthClient>,
        tokens: &Tokens,
        message: &Message,
        deadline: Instant,
    ) -> Result<(), String> {
        let token = tokens.access_token(client, &self.account).await.map_err(|error| error.to_string())?;
        let secret = UpstreamSecret::Token(token.secret);
        let reply = submit(&self.provider, &self.account, secret, message, deadline).await;
        reply.map(drop).map_err(|error| error.to_string())
    }

    /// What the provider says is remembered as it is for a device: it is not to lock the mailbox.
    async fn send_with_password(
        &self,
        passwords: &MailboxPasswords,
        message: &Message,
        deadline: Instant,
    ) -> Result<(), String> {
        let usable = passwords.usable(&self.account, Protocol::Smtp).await;
        let (password, _turn) = usable.map_err(|error| error.to_string())?;
        let secret = UpstreamSecret::Password(password.secret.clone());
        let reply = submit(&self.provider, &self.account, secret, message, deadline).await;
        let (account, version) = (&self.account, password.version);
        match &reply {
            Err(SubmissionError::Login(error)) if error.is_about_secret() => {
                passwords.refused(account, Protocol::Smtp, version, error).await;
            }
            // Nothing was said about it.
            Err(SubmissionError::Login(_) | SubmissionError::Address(_) | SubmissionError::NoSmtp(_)) => {}
            // Whatever became of the message, it was let in.
            Ok(_) | Err(_) => passwords.taken(account, Protocol::Smtp, version, password.refused).await,
        }
        reply.map(drop).map_err(|error| error.to_string())
    }
}
