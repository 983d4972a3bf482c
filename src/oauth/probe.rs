//! Whether a token endpoint takes Gatepost as its client, found out without anybody's consent: it is asked to redeem a refresh token
//! that does not exist. A client that it does not know is refused before it looks at the token; one that it knows hears that the
//! token is no good. No account's secret leaves.

use std::sync::Arc;
use std::time::SystemTime;

use gatepost_protocol::secret::Secret;

use super::diagnosis::EndpointError;
use super::http::Endpoint;
use super::issuer::Issuers;
use super::{client_credentials, refresh_token};
use crate::config::provider::{GrantType, OAuthClient};

/// No provider has ever made this one.
const MADE_UP: &str = "gatepost-check-asks-with-a-made-up-token";

/// What came of asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It knows this client, and has nothing against how it proves itself.
    Known,
    /// There is nothing to ask with: a service account signs for each mailbox.
    NotAsked,
    /// It has something against the client, or could not be asked.
    Refused(EndpointError),
}

/// Asks.
pub async fn ask(client: &Arc<OAuthClient>) -> Answer {
    if client.grant == GrantType::ServiceAccount {
        return Answer::NotAsked;
    }
    match asked(client).await {
        Ok(()) => Answer::Known,
        Err(EndpointError::Refused { code, .. }) if code == "invalid_grant" => Answer::Known,
        Err(error) => Answer::Refused(error),
    }
}

/// A token that comes of it is dropped.
async fn asked(client: &Arc<OAuthClient>) -> Result<(), EndpointError> {
    let client = Issuers::default().completed(client).await?;
    let endpoint = Endpoint::new(&client)?;
    let now = SystemTime::now();
    if client.grant == GrantType::ClientCredentials {
        // It has no refresh tokens, and nothing but the client is asked for.
        return client_credentials::request(&endpoint, &client, now).await.map(|_| ());
    }
    let made_up = Secret::new(MADE_UP.to_owned());
    refresh_token::request(&endpoint, &client, &made_up, now).await.map(|_| ())
}
