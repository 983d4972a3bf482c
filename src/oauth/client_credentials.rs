//! The client credentials grant (RFC 6749 section 4.4): the provider's admin trusts the application itself, nobody
//! consents, and there is no refresh token. One token serves every mailbox of the provider.

use std::time::SystemTime;

use super::diagnosis::EndpointError;
use super::http::Endpoint;
use super::token_request::{new_tokens, oauth2, scopes};
use crate::config::provider::OAuthClient;
use crate::store::grants::NewTokens;

/// Asks for a token of the application's own.
pub(super) async fn request(
    endpoint: &Endpoint<'_>,
    client: &OAuthClient,
    asked_at: SystemTime,
) -> Result<NewTokens, EndpointError> {
    let answer =
        oauth2(client).exchange_client_credentials().add_scopes(scopes(client)).request_async(endpoint).await;
    // A refresh token has no business here (section 4.4.3); one that comes all the same is not kept.
    new_tokens(answer, asked_at).map(|tokens| NewTokens { refresh_token: None, ..tokens })
}
