//! The refresh token grant (RFC 6749 section 6). No scope is asked for, which means: those granted before.

use std::time::SystemTime;

use gatepost_protocol::secret::Secret;
use oauth2::RefreshToken;

use super::diagnosis::EndpointError;
use super::http::Endpoint;
use super::token_request::{new_tokens, oauth2};
use crate::config::provider::OAuthClient;
use crate::store::grants::NewTokens;

/// Redeems a refresh token. The provider may rotate it: what comes back must be committed before it is used.
pub(super) async fn request(
    endpoint: &Endpoint<'_>,
    client: &OAuthClient,
    refresh_token: &Secret<String>,
    asked_at: SystemTime,
) -> Result<NewTokens, EndpointError> {
    let refresh_token = RefreshToken::new(refresh_token.expose().clone());
    let answer = oauth2(client).exchange_refresh_token(&refresh_token).request_async(endpoint).await;
    new_tokens(answer, asked_at)
}
