//! An inbox in which one message is looked for by its Message-ID: with IMAP by SEARCH in a session that stays, with POP3 by the
//! headers of the newest messages, in a session for each look, because what arrives later is not seen in it (RFC 1939
//! section 5).

use std::io;
use std::time::Duration;

use gatepost_protocol::Protocol;
use gatepost_protocol::sasl::UpstreamCredentials;
use thiserror::Error;
use tokio::io::AsyncReadExt as _;
use tokio::time::{Instant, timeout_at};

use super::Mailbox;
use crate::config::provider::Endpoint;
use crate::diagnosis;
use crate::session::driver::Connection;
use crate::session::upstream::{self, UpstreamError};

/// Of every command, in IMAP: each is answered before the next one is said.
const TAG: &str = "find";

/// The newest messages whose headers are read, in POP3.
const NEWEST: usize = 10;

/// The longest line that is taken, in octets. Headers may have lines of 998 (RFC 5322 section 2.1.1), lists are longer.
const LINE_LIMIT: usize = 8192;

/// More lines than any answer that is asked for here has.
const MOST_LINES: usize = 10_000;

/// Why an inbox could not be looked into.
#[derive(Debug, Error)]
pub enum InboxError {
    /// The dialogue broke off after the login.
    #[error("{error} while {command} was to be answered")]
    BrokenOff {
        /// What was said last.
        command: &'static str,
        /// How.
        error: io::Error,
    },
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

/// Rows that say no more than that the next look has to wait: another program has the mailbox, or the last look was just before.
const WAIT: [&str; 2] = ["D120", "D121"];

impl InboxError {
    fn passes(&self, protocol: Protocol) -> bool {
        let row = match self {
            Self::Login(error) => error.diagnosis(protocol),
            Self::Refused { said, .. } => diagnosis::find(protocol.into(), said),
            Self::BrokenOff { .. } | Self::TimedOut(_) => None,
        };
        row.is_some_and(|row| WAIT.contains(&row.id.as_str()))
    }
}

/// An inbox.
pub(super) struct Inbox<'a> {
    mailbox: Mailbox<'a>,
    protocol: Protocol,
    endpoint: &'a Endpoint,
    time: Duration,
    /// The one that stays.
    session: Option<Session>,
}

impl<'a> Inbox<'a> {
    /// `time` is for each look. `None` where there is no way to look.
    pub(super) fn of(mailbox: Mailbox<'a>, time: Duration) -> Option<Self> {
        let provider = mailbox.provider;
        let mut ways = [Protocol::Imap, Protocol::Pop3].into_iter();
        let (protocol, endpoint) =
            ways.find_map(|protocol| Some((protocol, provider.endpoint(protocol)?)))?;
        Some(Self { mailbox, protocol, endpoint, time, session: None })
    }

    pub(super) fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Whether the message is there now; it is not, as far as anybody can see, while the server wants us to wait.
    pub(super) async fn has(&mut self, message_id: &str) -> Result<bool, InboxError> {
        match self.look(message_id).await {
            Err(error) if error.passes(self.protocol) => Ok(false),
            seen => seen,
        }
    }

    async fn look(&mut self, message_id: &str) -> Result<bool, InboxError> {
        let deadline = Instant::now() + self.time;
        let mut session = match self.session.take() {
            Some(session) => Session { deadline, ..session },
            None => self.log_in(deadline).await?,
        };
        if self.protocol == Protocol::Pop3 {
            let is_there = session.pop3_has(message_id).await?;
            session.end("QUIT").await;
            return Ok(is_there);
        }
        let is_there = session.imap_has(message_id).await?;
        if is_there {
            session.end(&format!("{TAG} LOGOUT")).await;
        } else {
            self.session = Some(session);
        }
        Ok(is_there)
    }

    async fn log_in(&self, deadline: Instant) -> Result<Session, InboxError> {
        let Self { mailbox: Mailbox { provider, account, secret }, protocol, endpoint, .. } = self;
        let user_name = account.upstream_user_name(*protocol);
        let credentials = upstream::credentials(endpoint, user_name, secret.clone())?;
        let login =
            upstream::log_in(*protocol, TAG, endpoint, &provider.trust, credentials.clone(), deadline);
        let (connection, _) = login.await?;
        Ok(Session { connection, credentials, deadline, selected: false })
    }
}

/// A connection that is logged in.
struct Session {
    connection: Connection,
    /// What the provider must not be quoted with.
    credentials: UpstreamCredentials,
    deadline: Instant,
    /// Whether the inbox is, in IMAP.
    selected: bool,
}

impl Session {
    /// EXAMINE leaves everything as it is, the mark of what is new too (RFC 3501 section 6.3.2).
    async fn imap_has(&mut self, message_id: &str) -> Result<bool, InboxError> {
        if !self.selected {
            self.imap("EXAMINE", "EXAMINE INBOX").await?;
            self.selected = true;
        }
        // Some servers look for new messages when they are asked by NOOP, and not when they search.
        self.imap("NOOP", "NOOP").await?;
        let search = format!("SEARCH HEADER Message-ID \"<{message_id}>\"");
        let lines = self.imap("SEARCH", &search).await?;
        let is_found =
            |line: &String| line.strip_prefix("* SEARCH").is_some_and(|found| !found.trim().is_empty());
        Ok(lines.iter().any(is_found))
    }

    async fn pop3_has(&mut self, message_id: &str) -> Result<bool, InboxError> {
        let said = self.pop3("STAT", "STAT").await?;
        let count = said.split(' ').nth(1).and_then(|count| count.parse::<usize>().ok()).unwrap_or(0);
        for number in (1..=count).rev().take(NEWEST) {
            self.pop3("TOP", &format!("TOP {number} 0")).await?;
            let mut headers = Vec::new();
            for _ in 0..MOST_LINES {
                let line = self.line("TOP").await?;
                if line == "." {
                    break;
                }
                headers.push(line);
            }
            if are_of(&headers, message_id) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The untagged lines of the answer, if it is a yes.
    async fn imap(&mut self, command: &'static str, line: &str) -> Result<Vec<String>, InboxError> {
        self.connection.output.line(&format!("{TAG} {line}"));
        let mut lines = Vec::new();
        while lines.len() < MOST_LINES {
            let line = self.line(command).await?;
            match line.strip_prefix(TAG).and_then(|rest| rest.strip_prefix(' ')) {
                None => lines.push(line),
                Some(said) if said.get(..3).is_some_and(|ok| ok.eq_ignore_ascii_case("OK ")) => {
                    return Ok(lines);
                }
                Some(said) => return Err(InboxError::Refused { command, said: said.to_owned() }),
            }
        }
        let error = io::Error::new(io::ErrorKind::InvalidData, "the answer has no end");
        Err(InboxError::BrokenOff { command, error })
    }

    /// The first line of the answer, if it is a yes.
    async fn pop3(&mut self, command: &'static str, line: &str) -> Result<String, InboxError> {
        self.connection.output.line(line);
        let said = self.line(command).await?;
        if said.starts_with("+OK") { Ok(said) } else { Err(InboxError::Refused { command, said }) }
    }

    /// Sends what is to be sent, and reads a line, without what nobody may see.
    async fn line(&mut self, command: &'static str) -> Result<String, InboxError> {
        let Self { connection, credentials, deadline, .. } = self;
        match timeout_at(*deadline, next_line(connection)).await {
            Err(_) => Err(InboxError::TimedOut(command)),
            Ok(Err(error)) => Err(InboxError::BrokenOff { command, error }),
            Ok(Ok(line)) => Ok(credentials.censor(&line)),
        }
    }

    async fn end(mut self, goodbye: &str) {
        self.connection.output.line(goodbye);
        // Whether it hears our goodbye changes nothing.
        let _ = timeout_at(self.deadline, self.connection.send()).await;
        self.connection.stream.end().await;
    }
}

/// Whether these are the headers of this message itself: an answer to it names it in headers of its own (RFC 5322 section 3.6.4).
/// A field may go on in lines that begin with a blank.
fn are_of(headers: &[String], message_id: &str) -> bool {
    let mut is_name = false;
    headers.iter().any(|line| {
        let mut value = line.as_str();
        if !line.starts_with([' ', '\t']) {
            let (name, rest) = line.split_once(':').unwrap_or_default();
            is_name = name.trim_end().eq_ignore_ascii_case("Message-ID");
            value = rest;
        }
        is_name && value.trim() == format!("<{message_id}>")
    })
}

async fn next_line(connection: &mut Connection) -> io::Result<Vec<u8>> {
    connection.send().await?;
    loop {
        let too_long = |_| io::Error::new(io::ErrorKind::InvalidData, "a line is too long");
        if let Some(line) = connection.received.next_line(LINE_LIMIT).map_err(too_long)? {
            return Ok(line.to_owned());
        }
        match connection.stream.read(connection.received.spare()).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => connection.received.filled(count),
        }
    }
}

#[cfg(test)]
mod tests {
    use gatepost_protocol::failure::{Refusal, RefusalKind};

    use super::*;

    #[test]
    fn only_the_message_itself_has_its_id() {
        for (headers, expected) in [
            ("Message-ID: <7@gatepost>", true),
            ("message-id:<7@gatepost>", true),
            ("Subject: a test\nMessage-ID:\n <7@gatepost>\nTo: ann@example.com", true),
            ("Message-ID:\n\t<7@gatepost> ", true),
            ("Message-ID: <17@gatepost>", false),
            (
                "Message-ID: <8@bounces>\nIn-Reply-To: <7@gatepost>\nReferences: <6@gatepost>\n <7@gatepost>",
                false,
            ),
            ("X-Failed-Message-ID: <7@gatepost>", false),
            (" <7@gatepost>", false),
            ("", false),
        ] {
            let headers: Vec<String> = headers.lines().map(str::to_owned).collect();
            assert_eq!(are_of(&headers, "7@gatepost"), expected, "{headers:?}");
        }
    }

    #[test]
    fn a_server_that_wants_a_pause_is_asked_again() {
        let login = |text: &str| {
            InboxError::Login(UpstreamError::Refused(Refusal {
                kind: RefusalKind::Rejected,
                text: text.to_owned(),
                challenge: None,
                state: "logging in",
                after_secret: true,
            }))
        };
        let command = |said: &str| InboxError::Refused { command: "STAT", said: said.to_owned() };
        for (error, expected) in [
            (login("[LOGIN-DELAY] minimum time between mail checks violation"), true),
            (login("[IN-USE] Do you have another POP session running?"), true),
            (command("-ERR [IN-USE] maildrop already locked"), true),
            (login("[AUTH] no"), false),
            (command("-ERR no"), false),
            (InboxError::TimedOut("STAT"), false),
        ] {
            assert_eq!(error.passes(Protocol::Pop3), expected, "{error}");
        }
    }
}
