//! Where the dialogue with an IMAP provider stands, and what a refusal means there. Exchange and Gmail say some of it in words
//! alone, so their words are looked for.

use super::response::code;
use crate::failure::RefusalKind;
use crate::sasl::Sent;

/// Named by what is waited for.
#[derive(Debug)]
pub(super) enum ClientState {
    AwaitGreeting,
    AwaitStartTls,
    AwaitTls,
    AwaitCapability,
    LoggingIn(Sent),
    AwaitNewCapability,
    AwaitMailbox,
    Over,
}

impl ClientState {
    pub(super) fn sent(&self) -> Option<&Sent> {
        if let Self::LoggingIn(sent) = self { Some(sent) } else { None }
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::AwaitGreeting => "awaiting the greeting",
            Self::AwaitStartTls => "awaiting the response to STARTTLS",
            Self::AwaitTls => "awaiting the TLS handshake",
            Self::AwaitCapability => "awaiting the response to CAPABILITY",
            Self::LoggingIn(Sent::Command) => "awaiting the response to AUTHENTICATE",
            Self::LoggingIn(Sent::UserName) => "awaiting the response to the user name",
            Self::LoggingIn(Sent::Password) => "awaiting the response to the password",
            Self::LoggingIn(Sent::Token) => "awaiting the response to the token",
            Self::LoggingIn(Sent::Acknowledgement(_)) => "awaiting the response after the challenge",
            Self::AwaitNewCapability => "awaiting the response to CAPABILITY after the login",
            Self::AwaitMailbox => "awaiting the response to LIST after the login",
            Self::Over => "over",
        }
    }

    /// What a tagged NO or BAD means in a state. Exchange and Gmail say some of it in words alone.
    pub(super) fn kind(&self, text: &[u8]) -> RefusalKind {
        if is_crowded(text) {
            return RefusalKind::Busy;
        }
        match (code(text).map(|(name, _)| name.to_ascii_uppercase()).as_deref(), self) {
            (Some(b"UNAVAILABLE" | b"INUSE" | b"SERVERBUG"), _) | (_, Self::AwaitCapability) => {
                RefusalKind::Temporary
            }
            _ if says(text, b"Server Unavailable") => RefusalKind::Temporary,
            (_, Self::AwaitStartTls) => RefusalKind::NoStartTls,
            (_, Self::AwaitNewCapability | Self::AwaitMailbox) if is_without_mailbox(text) => {
                RefusalKind::NoMailbox
            }
            (_, Self::AwaitNewCapability) => RefusalKind::Temporary,
            _ => RefusalKind::Rejected,
        }
    }

    /// What it means that the provider hangs up. `remark` is what it said before.
    pub(super) fn kind_of_bye(&self, remark: &str, text: &[u8]) -> RefusalKind {
        match self {
            _ if is_crowded(text) => RefusalKind::Busy,
            Self::AwaitNewCapability | Self::AwaitMailbox if is_without_mailbox(remark.as_bytes()) => {
                RefusalKind::NoMailbox
            }
            // Some hang up on a wrong password instead of answering.
            Self::LoggingIn(sent) if sent.is_all() && has_code(text, b"AUTHENTICATIONFAILED") => {
                RefusalKind::Rejected
            }
            _ => RefusalKind::Temporary,
        }
    }
}

/// Exchange: "User is authenticated but not connected."
pub(super) fn is_without_mailbox(text: &[u8]) -> bool {
    says(text, b"not connected")
}

/// Whether the mailbox has too many sessions or asks too often: `[LIMIT]` (RFC 9051), Gmail's alert, Exchange's throttling.
pub(super) fn is_crowded(text: &[u8]) -> bool {
    has_code(text, b"LIMIT")
        || says(text, b"too many simultaneous connections")
        || says(text, b"request is throttled")
}

fn has_code(text: &[u8], expected: &[u8]) -> bool {
    code(text).is_some_and(|(name, _)| name.eq_ignore_ascii_case(expected))
}

fn says(text: &[u8], words: &[u8]) -> bool {
    text.windows(words.len()).any(|part| part.eq_ignore_ascii_case(words))
}
