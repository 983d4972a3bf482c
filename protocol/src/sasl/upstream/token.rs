//! The messages that carry a token: XOAUTH2's and OAUTHBEARER's.

use std::fmt::Write as _;

use zeroize::Zeroizing;

use super::super::base64;
use super::UpstreamMechanism;

/// A mechanism that takes a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenMechanism {
    OauthBearer,
    Xoauth2,
}

impl TokenMechanism {
    /// The one to use with a server that announces these. XOAUTH2 where both are or none is: more is known of it.
    pub(super) fn among(offered: &[UpstreamMechanism]) -> Self {
        let has = |mechanism| offered.contains(&mechanism);
        if has(UpstreamMechanism::OauthBearer) && !has(UpstreamMechanism::Xoauth2) {
            Self::OauthBearer
        } else {
            Self::Xoauth2
        }
    }

    pub(super) fn of(mechanism: UpstreamMechanism) -> Option<Self> {
        match mechanism {
            UpstreamMechanism::OauthBearer => Some(Self::OauthBearer),
            UpstreamMechanism::Xoauth2 => Some(Self::Xoauth2),
            UpstreamMechanism::Login | UpstreamMechanism::Plain => None,
        }
    }

    /// What answers the failure challenge, so that the server says the final word: an empty line to XOAUTH2, a lone ^A in
    /// base64 to OAUTHBEARER (RFC 7628, section 3.2.3).
    pub(super) const fn acknowledgement(self) -> &'static str {
        match self {
            Self::Xoauth2 => "",
            Self::OauthBearer => "AQ==",
        }
    }

    /// XOAUTH2: `base64("user=" user ^A "auth=Bearer " token ^A ^A)`. OAUTHBEARER: `base64("n,a=" user "," ^A "host=" host
    /// ^A "port=" port ^A "auth=Bearer " token ^A ^A)`.
    pub(super) fn message(
        self,
        user_name: &str,
        token: &str,
        (host, port): &(String, u16),
    ) -> Zeroizing<Vec<u8>> {
        // The room is made first: growing would leave a copy behind.
        let room = 3 * user_name.len() + token.len() + host.len() + 64;
        let mut message = Zeroizing::new(String::with_capacity(room));
        let written = match self {
            Self::Xoauth2 => write!(message, "user={user_name}\x01auth=Bearer {token}\x01\x01"),
            Self::OauthBearer => {
                // RFC 5801, section 4: the two characters that a name in the header cannot have.
                let user_name = user_name.replace('=', "=3D").replace(',', "=2C");
                write!(
                    message,
                    "n,a={user_name},\x01host={host}\x01port={port}\x01auth=Bearer {token}\x01\x01"
                )
            }
        };
        debug_assert!(written.is_ok(), "a String takes everything");
        base64::encode(message.as_bytes())
    }
}
