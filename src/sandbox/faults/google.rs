//! What Google's token endpoint says.

use super::TokenFault;

impl TokenFault {
    /// `invalid_grant`: the consent was taken back, has run out, or was one too many.
    pub fn google_revoked() -> Self {
        Self::google(400, "invalid_grant", "Token has been expired or revoked.")
    }

    /// `invalid_client`: there is no such client, or its secret is another one.
    pub fn google_unknown_client() -> Self {
        Self::google(401, "invalid_client", "The OAuth client was not found.")
    }

    /// `deleted_client`: somebody deleted it in the console.
    pub fn google_deleted_client() -> Self {
        Self::google(401, "deleted_client", "The OAuth client was deleted.")
    }

    /// `unauthorized_client`: the organisation has not allowed the service account these scopes.
    pub fn google_not_delegated() -> Self {
        Self::google(
            401,
            "unauthorized_client",
            "Client is unauthorized to retrieve access tokens using this method, or client not authorized for any of the scopes \
             requested.",
        )
    }

    /// `invalid_scope`: mail is not for a client of this kind.
    pub fn google_invalid_scope() -> Self {
        Self::google(
            400,
            "invalid_scope",
            "Some requested scopes were invalid. {valid=[], invalid=[https://mail.google.com/]}",
        )
    }

    /// `invalid_grant` to a service account: its clock is wrong.
    pub fn google_invalid_jwt() -> Self {
        Self::google(
            400,
            "invalid_grant",
            "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp \
             values in the JWT claim.",
        )
    }

    fn google(status: u16, error: &str, words: &str) -> Self {
        Self::json(status, &serde_json::json!({ "error": error, "error_description": words }))
    }
}
