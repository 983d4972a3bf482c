//! A delivery as two steps of a trial: the message that is sent, and its arrival.

use std::time::Duration;

use gatepost_protocol::Protocol;

use super::{Arrival, InboxError, Mailbox, PATIENCE, Sent, find, send};
use crate::config::provider::Login;
use crate::diagnosis::{self, Diagnosis, Place};
use crate::session::upstream::UpstreamError;
use crate::store::StoreError;
use crate::submission::SubmissionError;
use crate::trial::secret::Key;
use crate::trial::{Fault, Outcome, Part, Step, Trial, Trouble};

/// Sends a message through the trial's mailbox. There is nothing to look for where that failed.
pub async fn message(trial: &Trial, to: &str) -> Result<(Step, Option<Sent>), StoreError> {
    let Trial { provider, account, tokens, time, .. } = trial;
    let Some(endpoint) = provider.endpoint(Protocol::Smtp) else {
        return Ok((no_message(format!("provider {} has no SMTP", provider.name)), None));
    };
    let key = Key::fetch(trial).await?;
    let Some(secret) = key.secret else { return Ok((key.step, None)) };
    let from = Mailbox { provider, account, secret };
    Ok(match send(from, to, tokens.clock().now(), *time).await {
        Ok(sent) => {
            let place = format!("{}:{}", endpoint.host, endpoint.port);
            let said = diagnosis::trimmed(&sent.taken.said);
            let outcome = Outcome::well(format!("{place} took one for {to} with the words: {said}"));
            (step("message", Some(sent.took), outcome), Some(sent))
        }
        Err(error) => (
            step("message", None, Outcome::Failed(not_sent(&provider.login, &error, &account.address))),
            None,
        ),
    })
}

/// A message that is not sent, for this reason.
pub fn no_message(reason: String) -> Step {
    step("message", None, Outcome::NotTried(reason))
}

/// Looks for the message in the inbox of this address, where it is a mailbox that can be opened here.
pub async fn arrival(sent: &Sent, to: &str, inbox: Option<&Trial>) -> Result<Step, StoreError> {
    let not_tried = |reason: String| {
        step("arrival", None, Outcome::NotTried(format!("{reason}; look into the inbox of {to}")))
    };
    let Some(trial) = inbox else {
        return Ok(not_tried(format!("{to} is no mailbox that Gatepost can open")));
    };
    let Trial { provider, account, time, .. } = trial;
    let Some(secret) = Key::fetch(trial).await?.secret else {
        return Ok(not_tried(format!("Gatepost has nothing to open {to} with")));
    };
    Ok(match find(sent, Mailbox { provider, account, secret }, *time).await {
        Ok(Arrival::Found { protocol, after }) => {
            let outcome = Outcome::well(format!("it is in the inbox of {to}, found by {protocol}"));
            step("arrival", Some(after), outcome)
        }
        Ok(Arrival::NotYet) => step("arrival", Some(PATIENCE), Outcome::Failed(not_there(to))),
        Ok(Arrival::NoWayToLook) => {
            not_tried(format!("provider {} has neither IMAP nor POP3", provider.name))
        }
        Err((protocol, error)) => {
            step("arrival", None, Outcome::Failed(not_looked(&provider.login, protocol, &error, to)))
        }
    })
}

fn step(name: &str, took: Option<Duration>, outcome: Outcome) -> Step {
    Step { name: name.to_owned(), part: Part::Delivery, user_name: None, took, outcome }
}

fn not_sent(login: &Login, error: &SubmissionError, mailbox: &str) -> Trouble {
    let row = match error {
        SubmissionError::Login(error) => of_login(login, Protocol::Smtp, error),
        SubmissionError::Refused { said, .. } => {
            diagnosis::find(Place::Message, said).or_else(|| diagnosis::find(Place::Smtp, said))
        }
        other => diagnosis::find(Place::Connection, &other.to_string()),
    };
    let mut trouble = Trouble::new(row, "The provider did not take the message", &error.to_string(), mailbox);
    if matches!(error, SubmissionError::Address(_)) {
        trouble.fault = Fault::Configuration;
        "Write an address in plain ASCII, without blanks and quotes.".clone_into(&mut trouble.fix);
    }
    trouble
}

fn not_looked(login: &Login, protocol: Protocol, error: &InboxError, to: &str) -> Trouble {
    let row = match error {
        InboxError::Login(error) => of_login(login, protocol, error),
        InboxError::Refused { said, .. } => diagnosis::find(Place::from(protocol), said),
        other => diagnosis::find(Place::Connection, &other.to_string()),
    };
    Trouble::new(row, "The inbox cannot be looked into", &error.to_string(), to)
}

/// As the session's log has it.
fn of_login(login: &Login, protocol: Protocol, error: &UpstreamError) -> Option<&'static Diagnosis> {
    match login {
        Login::Password => error.diagnosis_with_password(protocol),
        Login::OAuth(_) => error.diagnosis(protocol),
    }
}

fn not_there(to: &str) -> Trouble {
    Trouble {
        diagnosis: None,
        title: format!("the message is not in the inbox after {} s", PATIENCE.as_secs()),
        said: String::new(),
        cause: "The provider took it. It may still be on its way, or it was sorted into another folder, or a rule forwards it."
            .to_owned(),
        fix: format!("Look into the junk folder of {to}. If it is not there after some minutes, the provider's admin can trace it."),
        fault: Fault::Upstream,
    }
}

#[cfg(test)]
mod tests {
    use gatepost_protocol::failure::{Refusal, RefusalKind};

    use super::*;

    #[test]
    fn a_refused_message_is_told_by_its_row() {
        for (said, id) in [
            ("550 5.7.60 SMTP; Client does not have permissions to send as this sender", Some("D12")),
            ("550 5.1.8 Access denied, bad outbound sender", Some("D22")),
            ("556 5.9.9 never heard of", None),
        ] {
            let error = SubmissionError::Refused { command: "MAIL FROM", said: said.to_owned() };
            let trouble = not_sent(&Login::Password, &error, "scanner@contoso.example");
            assert_eq!(trouble.diagnosis.map(|row| row.id.as_str()), id, "{said}");
            assert!(trouble.said.contains(said) && !trouble.fix.is_empty(), "{trouble:?}");
        }
    }

    #[test]
    fn a_wrong_password_is_told_as_in_the_log() {
        let refused = || {
            UpstreamError::Refused(Refusal {
                kind: RefusalKind::Rejected,
                state: "awaiting the reply to the password",
                text: "535 5.7.8 Error: authentication failed".to_owned(),
                after_secret: true,
                challenge: None,
            })
        };
        let row = refused().diagnosis_with_password(Protocol::Smtp);
        assert_eq!(row.map(|row| row.id.as_str()), Some("G19"));
        let sent = not_sent(&Login::Password, &SubmissionError::Login(refused()), "ann@example.com");
        let looked =
            not_looked(&Login::Password, Protocol::Imap, &InboxError::Login(refused()), "ann@example.com");
        for trouble in [sent, looked] {
            assert_eq!(trouble.diagnosis.map(|row| row.id.as_str()), Some("G19"), "{trouble:?}");
        }
    }
}
