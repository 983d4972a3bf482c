//! What the sandbox does on a bad day, as data. The servers look here at a few named points, so a new fault is a new value
//! and not a new path through them. What a provider of some make says on its bad days has a file of its own.

mod entra;
mod exchange;
mod gmail;
mod google;

use std::time::Duration;

use gatepost_protocol::Protocol;
use tokio_util::sync::CancellationToken;

/// What a token endpoint does on a bad day.
#[derive(Clone, Debug)]
pub enum TokenFault {
    /// Answers this, whatever is asked.
    Answer {
        /// The HTTP status.
        status: u16,
        /// Besides those of HTTP itself.
        headers: Vec<(&'static str, String)>,
        /// As it is.
        body: String,
    },
    /// Answers this status, and the request's form as the description of an error: what a debugging proxy does.
    Echo {
        /// The HTTP status.
        status: u16,
    },
    /// Does its work when this is cancelled, and not before.
    Hold(CancellationToken),
    /// Does its work (a refresh token may rotate), then closes the connection in place of an answer.
    LoseAnswer,
    /// Reads the request and never answers.
    Stall,
}

impl TokenFault {
    /// 500 with a page made for people, as load balancers send it.
    pub fn internal_error() -> Self {
        Self::html(500)
    }

    /// 429 with `Retry-After`.
    pub fn too_many_requests(retry_after: Duration) -> Self {
        Self::Answer {
            status: 429,
            headers: vec![("retry-after", retry_after.as_secs().to_string())],
            body: r#"{"error":"temporarily_unavailable"}"#.to_owned(),
        }
    }

    /// A page made for people where JSON belongs: a captive portal, with status 200.
    pub fn html(status: u16) -> Self {
        Self::Answer {
            status,
            headers: vec![("content-type", "text/html".to_owned())],
            body: "<html><body><h1>Sandbox</h1></body></html>".to_owned(),
        }
    }

    /// A redirect, which must not be followed with a secret in hand.
    pub fn redirect(to: &str) -> Self {
        Self::Answer { status: 307, headers: vec![("location", to.to_owned())], body: String::new() }
    }

    /// 400 with an error of RFC 6749 section 5.2, for example `invalid_grant`.
    pub fn error(error: &str, description: &str) -> Self {
        Self::json(400, &serde_json::json!({ "error": error, "error_description": description }))
    }

    fn json(status: u16, body: &serde_json::Value) -> Self {
        Self::Answer {
            status,
            headers: vec![("content-type", "application/json".to_owned())],
            body: body.to_string(),
        }
    }
}

/// One thing that a mail server does at one moment.
#[derive(Clone, Debug)]
pub struct MailFault {
    /// Of which server.
    pub protocol: Protocol,
    /// When.
    pub at: Moment,
    /// What.
    pub action: Action,
}

/// A point in a dialogue, named by the reply that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The first line.
    Greeting,
    /// To EHLO, CAPA or CAPABILITY before TLS, and to what else is no step of the login there.
    Hello,
    /// To STARTTLS or STLS.
    StartTls,
    /// In place of our part of the TLS handshake.
    Handshake,
    /// To EHLO, CAPA or CAPABILITY inside TLS, and to what else is no step of the login there.
    HelloInTls,
    /// To `AUTH XOAUTH2` or `AUTHENTICATE XOAUTH2`. With an initial response the token is not looked at.
    Auth,
    /// To the token.
    Verdict,
    /// To any command after login.
    Command,
    /// To an IMAP command after login that needs a mailbox: all but CAPABILITY, ID, LOGOUT and NOOP.
    Mailbox,
    /// Once this many bytes of a message have come (SMTP, IMAP's APPEND) or gone out (POP3, IMAP's FETCH). SMTP and POP3
    /// count whole lines.
    Body(usize),
}

/// What happens in place of the reply that is due.
#[derive(Clone, Debug)]
pub enum Action {
    /// This line, behind the command's tag in IMAP. The command is not carried out, and the dialogue goes on.
    Answer(String),
    /// The connection ends.
    Close,
    /// Only at [`Moment::Verdict`]: the token is refused, and said back as it came and as it was meant.
    Echo,
    /// Only at [`Moment::Verdict`]: the token is refused although it is good.
    Refuse {
        /// Whether the failure challenge comes first (Gmail) or not (Exchange).
        challenge: bool,
        /// The final reply, with its line ends; in IMAP what stands behind the client's tag, where a line `* ...` goes ahead of
        /// the tagged one.
        reply: String,
    },
    /// These bytes go out, and the dialogue goes on: garbage, or another reply.
    Say(Vec<u8>),
    /// These bytes go out, then the connection ends.
    SayAndClose(Vec<u8>),
    /// Nothing, ever. The connection stays open until the client leaves.
    Stall,
}

impl MailFault {
    /// The login fails in these words, whole lines in SMTP and POP3. In IMAP they stand behind the client's tag, for example
    /// `NO [AUTHENTICATIONFAILED] Invalid credentials`, and need no line end; a line `* ...` may stand ahead of them.
    pub fn refusal(protocol: Protocol, challenge: bool, reply: &str) -> Self {
        let line_end = if reply.ends_with('\n') { "" } else { "\r\n" };
        let reply = format!("{reply}{line_end}");
        Self { protocol, at: Moment::Verdict, action: Action::Refuse { challenge, reply } }
    }
}
