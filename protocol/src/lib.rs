//! The login dialogues of SMTP, POP3 and IMAP, as pure state machines: bytes in, values out.
//!
//! Nothing here touches a socket, a clock, a log or an account, and the crate's three dependencies (nom,
//! base64, zeroize) keep it so. Each protocol folder has the same four files: `command` and `reply`/`response`
//! (the grammar), `server` (we, toward the mail client) and `client` (we, toward the provider). The protocols never
//! import each other; they share [`mod@line`], [`sasl`] and the contract in [`dialogue`].

pub mod dialogue;
pub mod failure;
#[doc(hidden)]
pub mod fuzz;
pub mod imap;
pub mod line;
mod patience;
pub mod pop3;
pub mod sasl;
pub mod secret;
pub mod smtp;

use std::fmt;

/// A mail protocol that Gatepost speaks on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// Message submission, RFC 6409 over RFC 5321.
    Smtp,
    /// The Post Office Protocol, RFC 1939.
    Pop3,
    /// The Internet Message Access Protocol, RFC 9051 and RFC 3501.
    Imap,
}

impl Protocol {
    /// Every protocol, in the order in which users are shown them.
    pub const ALL: [Self; 3] = [Self::Smtp, Self::Pop3, Self::Imap];

    /// The name as configuration files and log lines write it: `smtp`, `pop3`, `imap`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Smtp => "smtp",
            Self::Pop3 => "pop3",
            Self::Imap => "imap",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Smtp => "SMTP",
            Self::Pop3 => "POP3",
            Self::Imap => "IMAP",
        })
    }
}
