//! [`Dialect`]: how a provider's mail servers talk and whom they let in, as data: greetings, capabilities, the words and the
//! rules of a login. A provider is a constant in a file of its own; the servers have no path for any of them.
//!
//! A reply is written without its last CRLF; in IMAP, without the tag.

mod exchange;
mod gmail;
mod plain;
mod post;

pub(super) use self::exchange::EXCHANGE;
pub(super) use self::gmail::GMAIL;
pub(super) use self::plain::PLAIN;
pub(super) use self::post::POST;

use super::sasl::Mechanism;

/// The mail servers of a provider.
#[derive(Debug)]
pub(super) struct Dialect {
    /// What a scope must begin with for its token to be taken; any will do where there is none. A scope that is no URL is taken
    /// everywhere.
    pub(super) resources: &'static [&'static str],
    pub(super) smtp: Smtp,
    pub(super) pop3: Pop3,
    pub(super) imap: Imap,
}

/// What SMTP says.
#[derive(Debug)]
pub(super) struct Smtp {
    pub(super) greeting: &'static str,
    /// The first line of the reply to EHLO, behind its code.
    pub(super) hello: &'static str,
    /// What follows there before TLS.
    pub(super) in_clear: &'static [&'static str],
    /// And inside TLS. After login the line with AUTH is left out.
    pub(super) in_tls: &'static [&'static str],
    /// To a command that needs a login.
    pub(super) not_logged_in: &'static str,
    /// To a message from a sender for whom `{user}` may not send. `None`: anybody may be the `{sender}`.
    pub(super) send_as_denied: Option<&'static str>,
    pub(super) one_line: OneLine,
    pub(super) login: Login,
}

/// What POP3 says.
#[derive(Debug)]
pub(super) struct Pop3 {
    pub(super) greeting: &'static str,
    /// To CAPA before TLS.
    pub(super) in_clear: &'static [&'static str],
    /// To CAPA inside TLS.
    pub(super) in_tls: &'static [&'static str],
    pub(super) one_line: OneLine,
    pub(super) login: Login,
}

/// What IMAP says.
#[derive(Debug)]
pub(super) struct Imap {
    /// Behind `* OK `, and behind the capabilities where the personality has them there.
    pub(super) greeting: &'static str,
    /// The capabilities before TLS.
    pub(super) in_clear: &'static str,
    /// Inside TLS. Without SASL-IR where the personality has none.
    pub(super) in_tls: &'static str,
    /// After login.
    pub(super) logged_in: &'static str,
    /// In answer to ID (RFC 2971).
    pub(super) id: &'static str,
    pub(super) login: Login,
}

/// What a server says during a login, and whose tokens open which mailbox.
#[derive(Debug)]
pub(super) struct Login {
    pub(super) mechanisms: &'static [Mechanism],
    /// To any other mechanism.
    pub(super) other_mechanism: Rejection,
    /// To the mechanism, when the token is to come in a line of its own.
    pub(super) go_on: &'static str,
    pub(super) accepted: &'static str,
    /// What comes ahead of `refused`, before it is put into base64.
    pub(super) challenge: Option<&'static str>,
    pub(super) refused: &'static str,
    pub(super) malformed: &'static str,
    pub(super) cancelled: &'static str,
    /// Where an admin has switched the protocol off, for the mailbox and for all of the organisation.
    pub(super) switched_off: SwitchedOff,
    /// Whether somebody with full access to a mailbox may log in for it.
    pub(super) delegates: bool,
    /// What becomes of a person who may not open the mailbox.
    pub(super) stranger: Unpermitted,
    /// What becomes of the application's own token for a mailbox that was not granted to it.
    pub(super) application: Unpermitted,
}

impl Login {
    /// The mechanism of this name, if it is taken here.
    pub(super) fn mechanism(&self, name: &str) -> Option<Mechanism> {
        Mechanism::named(name).filter(|mechanism| self.mechanisms.contains(mechanism))
    }
}

/// The replies of a server that an admin has switched off.
#[derive(Debug)]
pub(super) struct SwitchedOff {
    pub(super) mailbox: &'static str,
    pub(super) tenant: &'static str,
}

/// What becomes of a good token for a mailbox that it does not open.
#[derive(Clone, Copy, Debug)]
pub(super) enum Unpermitted {
    LetIn,
    Refused,
    /// The login succeeds, and what needs the mailbox is answered with this.
    WithoutMailbox(&'static str),
}

/// A reply that may be the last one.
#[derive(Debug)]
pub(super) struct Rejection {
    pub(super) words: &'static str,
    pub(super) hangs_up: bool,
}

/// How long a line of AUTH may be that has the token in it.
#[derive(Debug)]
pub(super) struct OneLine {
    /// With its CRLF; 0 where the token must have a line of its own.
    pub(super) longest: usize,
    /// To a longer one.
    pub(super) longer: Rejection,
}
