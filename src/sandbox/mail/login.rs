//! The login, which SMTP, POP3 and IMAP share: a token or a password in one line or in two, and the verdict on it. The words are
//! the dialect's; a secret is noted shortened, and nowhere else.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gatepost_protocol::Protocol;
use tokio::io::{AsyncRead, AsyncWrite};

use super::Connection;
use crate::sandbox::dialect::{Login, OneLine, Rejection};
use crate::sandbox::faults::{Action, Moment};
use crate::sandbox::permissions::Verdict;
use crate::sandbox::record::{Speaker, shortened};
use crate::sandbox::sasl::Mechanism;

/// Who has been let in.
#[derive(Clone, Debug)]
pub(in crate::sandbox) struct LoggedIn {
    pub(in crate::sandbox) mailbox: String,
    /// What is said to everything about the mailbox, where none is behind the login.
    pub(in crate::sandbox) without_mailbox: Option<&'static str>,
}

/// What a client hears that is not let in.
struct Refusal {
    challenge: Option<&'static str>,
    /// With its line ends.
    reply: String,
}

/// The challenge of a fault, at a provider that has none of its own.
const CHALLENGE: &str = r#"{"status":"400","schemes":"Bearer","scope":"https://mail.example.com/"}"#;

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// `AUTH` of SMTP and POP3, from behind that word on; `None` when the login failed.
    pub(in crate::sandbox) async fn auth(
        &mut self,
        login: &Login,
        one_line: &OneLine,
        argument: &str,
    ) -> io::Result<Option<LoggedIn>> {
        let (name, response) = match argument.split_once(' ') {
            Some((name, response)) => (name, Some(response)),
            None => (argument, None),
        };
        let length = "AUTH ".len() + argument.len() + "\r\n".len();
        let rejection = match login.mechanism(name) {
            Some(mechanism) if response.is_none() || length <= one_line.longest => {
                return self.authenticate(login, mechanism, response).await;
            }
            Some(_) => &one_line.longer,
            None => &login.other_mechanism,
        };
        self.reject(rejection, name, response.is_some()).await.map(|()| None)
    }

    /// Answers a login that never came to its token.
    pub(in crate::sandbox) async fn reject(
        &mut self,
        rejection: &Rejection,
        mechanism: &str,
        with_response: bool,
    ) -> io::Result<()> {
        if with_response && Mechanism::named(mechanism).is_some() {
            self.note(Speaker::Client, &format!("{}{mechanism} (...)", self.command()));
        }
        self.reply(Moment::Auth, &format!("{}{}\r\n", self.tag, rejection.words)).await?;
        if rejection.hangs_up { self.close(b"").await } else { Ok(()) }
    }

    /// The exchange itself, from the server's go-ahead on, or from the initial response.
    pub(in crate::sandbox) async fn authenticate(
        &mut self,
        login: &Login,
        mechanism: Mechanism,
        initial_response: Option<&str>,
    ) -> io::Result<Option<LoggedIn>> {
        // With an initial response no go-ahead is due, but a fault may be.
        let line = if let Some(response) = initial_response {
            if !self.reply(Moment::Auth, "").await? {
                return Ok(None);
            }
            response.to_owned()
        } else {
            self.reply(Moment::Auth, &format!("{}\r\n", login.go_on)).await?;
            self.unrecorded_line().await?
        };
        if line == "*" {
            self.note(Speaker::Client, "*");
            return self.answer(&format!("{}\r\n", login.cancelled)).await.map(|()| None);
        }
        let before = initial_response.map(|_| format!("{}{} ", self.command(), mechanism.name()));
        let before = before.unwrap_or_default();
        let Some((user, secret)) = mechanism.parse(&line) else {
            self.note(Speaker::Client, &format!("{before}(something that is not {})", mechanism.name()));
            return self.answer(&format!("{}\r\n", login.malformed)).await.map(|()| None);
        };
        let kind = if mechanism == Mechanism::Plain { "password=" } else { "auth=Bearer " };
        self.note(Speaker::Client, &format!("{before}user={user} {kind}{}", shortened(&secret)));
        let verdict = self.verdict(login, mechanism, &line, user, &secret);
        self.count_login(verdict.is_ok());
        match verdict {
            Ok(logged_in) => {
                let accepted = format!("{}{}\r\n", self.tag, login.accepted);
                Ok(self.reply(Moment::Verdict, &accepted).await?.then_some(logged_in))
            }
            Err(refusal) => self.refuse(login, mechanism, refusal).await.map(|()| None),
        }
    }

    /// What comes of a secret for this user, which came in this line.
    fn verdict(
        &self,
        login: &Login,
        mechanism: Mechanism,
        line: &str,
        user: String,
        secret: &str,
    ) -> Result<LoggedIn, Refusal> {
        match self.fault(Moment::Verdict) {
            Some(Action::Refuse { challenge, reply }) => {
                let challenge = challenge.then_some(login.challenge.unwrap_or(CHALLENGE));
                return Err(Refusal { challenge, reply });
            }
            Some(Action::Echo) => {
                let last_line = login.refused.lines().next_back().unwrap_or_default();
                let code = last_line.split(' ').next().unwrap_or_default();
                let reply = format!("{code} Not accepted: {line} which is \"{secret}\"\r\n");
                return Err(Refusal { challenge: None, reply });
            }
            _ => {}
        }
        let verdict = match mechanism {
            Mechanism::Plain if self.shared().world().personality.password.as_deref() == Some(secret) => {
                Verdict::Welcome
            }
            Mechanism::Plain => Verdict::Refused(login.refused),
            Mechanism::Xoauth2 | Mechanism::OauthBearer => {
                self.shared().world().judge(self.peer.protocol, login, &user, secret)
            }
        };
        match verdict {
            Verdict::Welcome => Ok(LoggedIn { mailbox: user, without_mailbox: None }),
            Verdict::WithoutMailbox(words) => Ok(LoggedIn { mailbox: user, without_mailbox: Some(words) }),
            Verdict::Refused(words) => {
                Err(Refusal { challenge: login.challenge, reply: format!("{words}\r\n") })
            }
        }
    }

    /// The final word comes only to a client that knows how to take a challenge.
    async fn refuse(&mut self, login: &Login, mechanism: Mechanism, refusal: Refusal) -> io::Result<()> {
        let Refusal { challenge, reply } = refusal;
        if let Some(challenge) = challenge {
            self.say(&format!("{} {}\r\n", login.go_on.trim_end(), STANDARD.encode(challenge))).await?;
            if self.line().await? != mechanism.acknowledgement() {
                return self.answer(&format!("{}\r\n", login.malformed)).await;
            }
        }
        // What IMAP says ahead of the tagged response has no tag.
        let ahead = if reply.starts_with("* ") { reply.find("\r\n").map_or(0, |end| end + 2) } else { 0 };
        let (untagged, words) = reply.split_at(ahead);
        self.reply(Moment::Verdict, &format!("{untagged}{}{words}", self.tag)).await.map(drop)
    }

    /// The command as it was given up to the mechanism's name.
    fn command(&self) -> String {
        format!("{}{} ", self.tag, if self.tag.is_empty() { "AUTH" } else { "AUTHENTICATE" })
    }

    fn count_login(&self, success: bool) {
        let counters = &mut self.shared().world().counters;
        match (success, self.peer.protocol) {
            (false, _) => counters.refused_logins += 1,
            (true, Protocol::Smtp) => counters.smtp_logins += 1,
            (true, Protocol::Pop3) => counters.pop3_logins += 1,
            (true, Protocol::Imap) => counters.imap_logins += 1,
        }
    }
}
