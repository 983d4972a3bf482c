//! The SASL mechanisms that carry a token or a password, server side. Written here once more, so that Gatepost's own way of writing them
//! is held against another reading of the same rules.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A mechanism that carries a secret in one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mechanism {
    /// RFC 4616: 0x00 USER 0x00 PASSWORD
    Plain,
    /// `user=` USER 0x01 `auth=Bearer ` TOKEN 0x01 0x01
    Xoauth2,
    /// RFC 7628 section 3.1: `n,a=` USER `,` 0x01 {KEY `=` VALUE 0x01} 0x01
    OauthBearer,
}

impl Mechanism {
    const ALL: [Self; 3] = [Self::Plain, Self::Xoauth2, Self::OauthBearer];

    /// The one of this name, in any case of letters.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mechanism| mechanism.name().eq_ignore_ascii_case(name))
    }

    /// As it is announced.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Xoauth2 => "XOAUTH2",
            Self::OauthBearer => "OAUTHBEARER",
        }
    }

    /// What the client must answer the failure challenge with, or it hears no final word.
    pub(super) const fn acknowledgement(self) -> &'static str {
        match self {
            // PLAIN has no challenge.
            Self::Plain | Self::Xoauth2 => "",
            // A lone 0x01 (RFC 7628 section 3.2.3).
            Self::OauthBearer => "AQ==",
        }
    }

    /// The user name and the secret in a line of base64.
    pub(super) fn parse(self, line: &str) -> Option<(String, String)> {
        let decoded = String::from_utf8(STANDARD.decode(line).ok()?).ok()?;
        let (user, fields) = match self {
            Self::Plain => {
                let (user, password) = decoded.strip_prefix('\0')?.split_once('\0')?;
                return Some((user.to_owned(), password.to_owned()));
            }
            Self::Xoauth2 => decoded.strip_prefix("user=")?.split_once('\x01')?,
            Self::OauthBearer => decoded.strip_prefix("n,a=")?.split_once(",\x01")?,
        };
        // Every field ends with 0x01, and so does the message.
        let mut fields = fields.strip_suffix("\x01\x01")?.split('\x01');
        let (token, others) = match self {
            Self::Plain | Self::Xoauth2 => (fields.next()?, fields.next()),
            Self::OauthBearer => (fields.find(|field| field.starts_with("auth="))?, None),
        };
        let token = token.strip_prefix("auth=Bearer ")?;
        // RFC 5801 section 4: how a comma and an equals sign are written in a name.
        let user = match self {
            Self::Plain | Self::Xoauth2 => user.to_owned(),
            Self::OauthBearer => user.replace("=2C", ",").replace("=3D", "="),
        };
        others.is_none().then(|| (user, token.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_taken_apart_or_refused() {
        let found = |user: &str, token: &str| Some((user.to_owned(), token.to_owned()));
        for (mechanism, message, expected) in [
            (Mechanism::Plain, "\0a@b\0two words", found("a@b", "two words")),
            (Mechanism::Plain, "a@b\0password", None),
            (Mechanism::Xoauth2, "user=a@b\x01auth=Bearer t\x01\x01", found("a@b", "t")),
            (Mechanism::Xoauth2, "user=a@b\x01auth=Bearer t\x01", None),
            (Mechanism::Xoauth2, "user=a@b\x01auth=Bearer t\x01x=y\x01\x01", None),
            (Mechanism::Xoauth2, "n,a=a@b,\x01auth=Bearer t\x01\x01", None),
            (
                Mechanism::OauthBearer,
                "n,a=a=2Cb=3D@c,\x01host=h\x01port=1\x01auth=Bearer t\x01\x01",
                found("a,b=@c", "t"),
            ),
            (Mechanism::OauthBearer, "n,a=a@b,\x01host=h\x01\x01", None),
            (Mechanism::OauthBearer, "user=a@b\x01auth=Bearer t\x01\x01", None),
        ] {
            assert_eq!(mechanism.parse(&STANDARD.encode(message)), expected, "{message:?}");
        }
    }
}
