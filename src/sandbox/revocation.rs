//! The revocation endpoint (RFC 7009), as far as a provider of this make has one.

use http::{Response, StatusCode};

use super::World;
use super::oauth::{Body, Fields, error, page};

/// What a provider makes of a token that is revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revocation {
    /// It has no endpoint for that, as Microsoft.
    None,
    /// As the standard says: what came of the same consent ends, and a token that is unknown is no error.
    Rfc7009,
    /// All that the person ever allowed the application ends, and a token that is unknown is an error, as at Google.
    WholeConsent,
}

impl World {
    /// The endpoint's answer to one whose client is known.
    pub(super) fn revocation(&mut self, fields: &Fields) -> Response<Body> {
        let token = fields.get("token").map(String::as_str).unwrap_or_default();
        if token.is_empty() {
            return error(StatusCode::BAD_REQUEST, "invalid_request", "token is missing");
        }
        match self.personality.revocation {
            Revocation::None => page(StatusCode::NOT_FOUND, "There is no revocation here."),
            Revocation::Rfc7009 => {
                self.grants.revoke_token(token);
                page(StatusCode::OK, "")
            }
            Revocation::WholeConsent => match self.grants.owner(token) {
                Some(mailbox) => {
                    self.grants.revoke(&mailbox);
                    page(StatusCode::OK, "{}")
                }
                None => error(StatusCode::BAD_REQUEST, "invalid_token", "Token expired or revoked"),
            },
        }
    }
}
