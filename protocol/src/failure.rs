//! [`AuthFailure`]: where every reason for refusing a login meets. Each protocol has ONE function from it to wire bytes,
//! so that a failure is permanent on the wire only where the client must change something.

use std::borrow::Cow;

/// Why a login is refused, sorted by what the client should do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthFailure {
    /// The client wrote something that is not its protocol: bad base64, a foreign authzid, an overlong line.
    Malformed,
    /// The client took its attempt back with `*`.
    Cancelled,
    /// The listener wants TLS before a password.
    EncryptionRequired,
    /// Wrong password or unknown user, which sound the same.
    WrongCredentials,
    /// The password is right, but the account or the credential was switched off.
    Disabled,
    /// The client is right and somebody else must act: not connected, grant revoked, refused by the provider's policy.
    /// It must not ask for another password, and a queue must keep the mail.
    NeedsAdmin(Cause),
    /// The endpoint or the provider is down or slow. Trying again helps.
    Temporary(Cause),
    /// Caps or pacing. Trying again in a moment helps.
    Busy(Cause),
}

/// The text after the reply code: at most 60 printable ASCII characters, the cause first, because a scanner's panel
/// cuts it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause(Cow<'static, str>);

impl Cause {
    /// The longest text that is sent to a client.
    pub const MAX_LEN: usize = 60;

    /// Takes a text; what is not printable ASCII becomes `?`, and what is over [`Cause::MAX_LEN`] is cut.
    pub fn new(text: impl Into<Cow<'static, str>>) -> Self {
        let text = text.into();
        if text.len() <= Self::MAX_LEN && text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return Self(text);
        }
        let printable = |character: char| if matches!(character, ' '..='~') { character } else { '?' };
        Self(text.chars().take(Self::MAX_LEN).map(printable).collect::<String>().into())
    }

    /// The text, ready for the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What the provider said when it did not let us in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// How it is to be taken.
    pub kind: RefusalKind,
    /// The state in which it came, in the words of a log line.
    pub state: &'static str,
    /// The provider's final reply as one line: printable, at most 512 characters, and without our token or password
    /// whatever the provider echoed. A client hears it only where nothing more is known of it.
    pub text: String,
    /// Whether our token or password had been sent, so that it may be what is refused.
    pub after_secret: bool,
    /// What the XOAUTH2 failure challenge meant, for example `status 400`. The JSON itself goes nowhere.
    pub challenge: Option<String>,
}

impl Refusal {
    /// The longest [`Refusal::text`].
    pub const MAX_TEXT_LEN: usize = 512;
}

/// How a [`Refusal`] is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// The provider is there and will not have this many sessions or logins now.
    Busy,
    /// It takes the token or password and opens no mailbox for it: none is there, or its owner gave no permission.
    NoMailbox,
    /// It offers no STARTTLS, so nothing secret may be sent.
    NoStartTls,
    /// It wrote something that is not its protocol.
    NotUnderstood,
    /// It does not take this token or password for this mailbox, or our mechanism at all: a permanent reply to AUTH. A
    /// permanent reply before AUTH is [`RefusalKind::Temporary`]: no other token would help.
    Rejected,
    /// It asks us to come back later.
    Temporary,
}

#[cfg(test)]
mod tests {
    use super::Cause;

    #[test]
    fn a_cause_fits_the_panel_whatever_it_is_made_from() {
        let cause = Cause::new("Zugang gesperrt: \u{fc}berpr\u{fc}fen\r\n".repeat(4));
        assert_eq!(cause.as_str().len(), Cause::MAX_LEN);
        assert!(cause.as_str().starts_with("Zugang gesperrt: ?berpr?fen??"));
    }
}
