//! Gatepost's own messages, to people: composed (RFC 5322), and handed to a provider by the login that devices get, over the
//! same verified TLS.

use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use gatepost_protocol::Protocol;
use gatepost_protocol::sasl::{UpstreamCredentials, UpstreamSecret};
use gatepost_protocol::smtp::data;
use gatepost_protocol::smtp::reply::{LINE_LIMIT, Reply, ReplyLine};
use mail_builder::MessageBuilder;
use mail_builder::headers::address::Address;
use mail_builder::headers::date::Date;
use mail_builder::headers::raw::Raw;
use thiserror::Error;
use tokio::io::AsyncReadExt as _;
use tokio::time::{Instant, timeout_at};

use crate::account::Account;
use crate::config::Provider;
use crate::random::number;
use crate::session::driver::Connection;
use crate::session::upstream::{self, UpstreamError};

/// No command that is logged in with needs a tag in SMTP.
const NO_TAG: &str = "";

/// A message in plain text.
#[derive(Clone, Debug)]
pub struct Message {
    /// Whom it is to; at least one.
    pub to: Vec<String>,
    /// One line.
    pub subject: String,
    /// Lines of text.
    pub text: String,
    /// When it is written.
    pub at: SystemTime,
}

/// A message that a provider has taken.
#[derive(Clone, Debug)]
pub struct Taken {
    /// Its last words.
    pub said: String,
    /// By which the message is found again, without the angle brackets.
    pub message_id: String,
}

/// Why a message was not taken.
#[derive(Debug, Error)]
pub enum SubmissionError {
    /// An address that no plain SMTP can carry.
    #[error("{0} cannot be written to or from: it is not plain ASCII")]
    Address(String),
    /// The dialogue broke off after the login.
    #[error("{error} while {command} was to be answered")]
    BrokenOff {
        /// What was said last.
        command: &'static str,
        /// How.
        error: io::Error,
    },
    /// The provider has no SMTP, or the configuration says so.
    #[error("provider {0} has no SMTP")]
    NoSmtp(String),
    /// The login failed.
    #[error(transparent)]
    Login(#[from] UpstreamError),
    /// It said no to one of the commands.
    #[error("{command} is refused: {said}")]
    Refused {
        /// Which.
        command: &'static str,
        /// Its words.
        said: String,
    },
    /// The time ran out.
    #[error("no answer to {0} in time")]
    TimedOut(&'static str),
}

/// Whether plain SMTP can carry the address, without quotes (RFC 5321 section 4.1.2) and without SMTPUTF8.
pub fn can_carry(address: &str) -> bool {
    address.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>()[],;:\"\\".contains(&byte))
}

/// Hands the message to the account's provider, which takes it with the account as its author.
pub async fn submit(
    provider: &Provider,
    account: &Account,
    secret: UpstreamSecret,
    message: &Message,
    deadline: Instant,
) -> Result<Taken, SubmissionError> {
    let addresses = || std::iter::once(&account.address).chain(&message.to);
    if let Some(address) = addresses().find(|address| !can_carry(address)) {
        return Err(SubmissionError::Address(address.clone()));
    }
    let endpoint =
        provider.endpoint(Protocol::Smtp).ok_or_else(|| SubmissionError::NoSmtp(provider.name.clone()))?;
    let user_name = account.upstream_user_name(Protocol::Smtp);
    let credentials = upstream::credentials(endpoint, user_name, secret)?;
    let login =
        upstream::log_in(Protocol::Smtp, NO_TAG, endpoint, &provider.trust, credentials.clone(), deadline);
    let (connection, _) = login.await?;
    let mut transaction = Transaction { connection, credentials, deadline };
    let message_id = message.new_id(&account.address);
    let said = transaction.run(&account.address, message, &message_id).await;
    transaction.end().await;
    said.map(|said| Taken { said, message_id })
}

impl Message {
    /// A Message-ID that no other message has.
    fn new_id(&self, from: &str) -> String {
        let domain = from.rsplit_once('@').map_or("localhost", |(_, domain)| domain);
        format!("gatepost.{}.{:x}@{domain}", self.seconds(), number())
    }

    fn seconds(&self) -> u64 {
        self.at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
    }

    /// As it is sent, from this address. Nobody's out-of-office note answers it (RFC 3834 section 5).
    fn composed(&self, from: &str, message_id: &str) -> Vec<u8> {
        let to: Vec<&str> = self.to.iter().map(String::as_str).collect();
        let mut message = Vec::new();
        MessageBuilder::new()
            .from(("Gatepost", from))
            .to(Address::from(to))
            .subject(self.subject.replace(char::is_control, " "))
            .date(Date::new(i64::try_from(self.seconds()).unwrap_or(i64::MAX)))
            .message_id(message_id)
            .header("Auto-Submitted", Raw::new("auto-generated"))
            .text_body(self.text.replace('\n', "\r\n"))
            .serialize(&mut message);
        message
    }
}

/// A connection that is logged in.
struct Transaction {
    connection: Connection,
    /// What the provider must not be quoted with.
    credentials: UpstreamCredentials,
    deadline: Instant,
}

impl Transaction {
    /// One refused recipient refuses all: somebody's address in the configuration is wrong, and has to be heard of.
    async fn run(
        &mut self,
        from: &str,
        message: &Message,
        message_id: &str,
    ) -> Result<String, SubmissionError> {
        self.say("MAIL FROM", &format!("MAIL FROM:<{from}>"), 250).await?;
        for to in &message.to {
            self.say("RCPT TO", &format!("RCPT TO:<{to}>"), 250).await?;
        }
        self.say("DATA", "DATA", 354).await?;
        data::write_message(&message.composed(from, message_id), &mut self.connection.output);
        self.answer("the message", 250).await
    }

    async fn say(
        &mut self,
        command: &'static str,
        line: &str,
        expected: u16,
    ) -> Result<String, SubmissionError> {
        self.connection.output.line(line);
        self.answer(command, expected).await
    }

    /// The provider's words, if they are a yes. 251 is one to RCPT TO (RFC 5321 section 4.2.2).
    async fn answer(&mut self, command: &'static str, expected: u16) -> Result<String, SubmissionError> {
        let Self { connection, credentials, deadline } = self;
        match timeout_at(*deadline, reply(connection, credentials)).await {
            Err(_) => Err(SubmissionError::TimedOut(command)),
            Ok(Err(error)) => Err(SubmissionError::BrokenOff { command, error }),
            Ok(Ok(Reply { code, text, .. })) if code == expected || (code, expected) == (251, 250) => {
                Ok(text)
            }
            Ok(Ok(Reply { text, .. })) => Err(SubmissionError::Refused { command, said: text }),
        }
    }

    async fn end(&mut self) {
        self.connection.output.line("QUIT");
        // Whether it hears our goodbye changes nothing.
        let _ = timeout_at(self.deadline, self.connection.send()).await;
        self.connection.stream.end().await;
    }
}

/// Sends what is to be sent, and reads a whole reply.
pub(crate) async fn reply(
    connection: &mut Connection,
    credentials: &UpstreamCredentials,
) -> io::Result<Reply> {
    let not_understood = || io::Error::new(io::ErrorKind::InvalidData, "what came is no SMTP reply");
    connection.send().await?;
    let mut so_far = None;
    loop {
        let line = loop {
            let line = connection.received.next_line(LINE_LIMIT).map_err(|_| not_understood())?;
            if let Some(line) = line {
                break line.to_owned();
            }
            match connection.stream.read(connection.received.spare()).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => connection.received.filled(count),
            }
        };
        let line = ReplyLine::parse(&line).ok_or_else(not_understood)?;
        let reply = Reply::add(so_far, &line, credentials).ok_or_else(not_understood)?;
        if line.last {
            return Ok(reply);
        }
        so_far = Some(reply);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use time::macros::datetime;

    use super::*;

    fn composed(subject: &str, text: &str) -> String {
        let message = Message {
            to: vec!["admin@example.com".to_owned(), "night@example.org".to_owned()],
            subject: subject.to_owned(),
            text: text.to_owned(),
            at: datetime!(2027-01-31 0:00 UTC).into(),
        };
        let id = message.new_id("scanner@example.com");
        String::from_utf8(message.composed("scanner@example.com", &id)).unwrap()
    }

    #[test]
    fn a_message_says_who_when_and_that_nobody_wrote_it() {
        let message = composed("Gatepost: 1 alarm", "One line\n.\nanother\n");
        let (header, body) = message.split_once("\r\n\r\n").unwrap();
        for line in [
            "From: \"Gatepost\" <scanner@example.com>",
            "To: <admin@example.com>, <night@example.org>",
            "Subject: Gatepost: 1 alarm",
            "Date: Sun, 31 Jan 2027 00:00:00 +0000",
            "Auto-Submitted: auto-generated",
            "MIME-Version: 1.0",
        ] {
            assert!(header.lines().any(|said| said == line), "{line} is not in\n{header}");
        }
        let id = header.lines().find(|line| line.starts_with("Message-ID: <gatepost.1801353600.")).unwrap();
        assert!(id.ends_with("@example.com>"), "{id}");
        assert!(header.contains("Content-Type: text/plain; charset=\"utf-8\""), "{header}");
        assert_eq!(body, "One line\r\n.\r\nanother\r\n");
        assert!(message.is_ascii());
    }

    #[test]
    fn nothing_in_a_subject_or_a_text_becomes_a_header_or_leaves_ascii() {
        let message = composed("Jörg\r\nBcc: all@example.com\r\n\r\nhello", "Zugriff für Jörg\nverweigert");
        let (header, _) = message.split_once("\r\n\r\n").unwrap();
        assert!(!header.lines().any(|line| line.starts_with("Bcc")), "{header}");
        assert!(message.is_ascii(), "{message}");
        assert!(message.lines().all(|line| line.len() <= 78), "{message}");
    }

    #[test]
    fn an_address_that_would_need_quotes_or_more_than_ascii_is_not_carried() {
        for (address, expected) in [
            ("admin@example.com", true),
            ("admin+night@example.com", true),
            ("jörg@example.com", false),
            ("\"a b\"@example.com", false),
            ("a>@example.com", false),
            ("a\r\nRCPT@example.com", false),
            ("a,b@example.com", false),
        ] {
            assert_eq!(can_carry(address), expected, "{address:?}");
        }
    }
}
