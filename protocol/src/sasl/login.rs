//! SASL LOGIN, server side: draft-murchison-sasl-login. The prompts are sent byte for byte, because some devices compare
//! them; the user name is asked for once at most.

use super::Credentials;
use crate::failure::AuthFailure;

/// What the exchange waits for.
#[derive(Debug)]
pub(super) enum Login {
    /// The user name.
    AwaitUserName,
    /// The password of this user.
    AwaitPassword {
        /// As received.
        user_name: Vec<u8>,
    },
}

impl Login {
    /// The prompt, in base64: `Username:` or `Password:`.
    pub(super) fn challenge(&self) -> &'static str {
        match self {
            Self::AwaitUserName => "VXNlcm5hbWU6",
            Self::AwaitPassword { .. } => "UGFzc3dvcmQ6",
        }
    }

    /// Takes a decoded response: another prompt to send, or the end.
    pub(super) fn respond(self, response: &[u8]) -> Result<Self, Result<Credentials, AuthFailure>> {
        match self {
            // An empty name is refused with the password, as an unknown one is.
            Self::AwaitUserName => Ok(Self::AwaitPassword { user_name: response.to_vec() }),
            Self::AwaitPassword { user_name } => Err(Ok(Credentials::new(&user_name, response))),
        }
    }
}
