//! The messages that carry a password: PLAIN's, and LOGIN's two.

use zeroize::Zeroizing;

use super::super::base64;
use super::UpstreamMechanism;

/// A mechanism that takes a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PasswordMechanism {
    /// User name and password one after the other, in the protocol's own way where it has one.
    Login,
    /// Both in one message: RFC 4616.
    Plain,
}

impl PasswordMechanism {
    /// The one to use with a server that announces these; PLAIN where both are.
    pub(super) fn among(offered: &[UpstreamMechanism]) -> Option<Self> {
        let has = |mechanism: &Self| offered.iter().any(|it| Self::of(*it) == Some(*mechanism));
        [Self::Plain, Self::Login].into_iter().find(has)
    }

    pub(super) fn of(mechanism: UpstreamMechanism) -> Option<Self> {
        match mechanism {
            UpstreamMechanism::Login => Some(Self::Login),
            UpstreamMechanism::Plain => Some(Self::Plain),
            UpstreamMechanism::OauthBearer | UpstreamMechanism::Xoauth2 => None,
        }
    }
}

/// `base64(^@ user ^@ password)`: nobody logs in for somebody else, so the authorization identity is empty.
pub(super) fn plain(user_name: &str, password: &str) -> Zeroizing<Vec<u8>> {
    // The room is made first: growing would leave a copy behind.
    let mut message = Zeroizing::new(String::with_capacity(user_name.len() + password.len() + 2));
    for part in ["\0", user_name, "\0", password] {
        message.push_str(part);
    }
    base64::encode(message.as_bytes())
}

/// A string within double quotes as IMAP writes it (RFC 9051, section 4.3).
pub(crate) fn quoted(text: &str) -> Zeroizing<Vec<u8>> {
    let mut quoted = Zeroizing::new(Vec::with_capacity(2 * text.len() + 2));
    quoted.push(b'"');
    for byte in text.bytes() {
        if matches!(byte, b'"' | b'\\') {
            quoted.push(b'\\');
        }
        quoted.push(byte);
    }
    quoted.push(b'"');
    quoted
}
