//! Revocation: the provider is told that a grant is not wanted any more (RFC 7009), and then it is forgotten here.
//!
//! Rule 1: nothing is forgotten before the provider has answered, unless whoever asks says so.
//! Rule 2: the grant's lease is held meanwhile, so that no refresh brings a new token for the one that is revoked.

use std::sync::Arc;
use std::time::Duration;

use gatepost_protocol::secret::Secret;
use thiserror::Error;
use tokio::time::{Instant, sleep};

use super::diagnosis::EndpointError;
use super::http::Endpoint;
use super::issuer::Issuers;
use super::refresh::{LEASE, POLL};
use crate::clock::Clock;
use crate::config::provider::OAuthClient;
use crate::store::grants::{Grant, GrantKey};
use crate::store::{Store, StoreError};

/// What the provider made of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revoked {
    /// No token of the grant is good any more.
    AtProvider,
    /// It was not asked, because nobody wanted that.
    NotAsked,
    /// It has no way: no revocation endpoint, or none for such tokens.
    NotPossible,
}

/// A grant is stored as before.
#[derive(Debug, Error)]
pub enum RevocationError {
    /// Another consent came in between.
    #[error(
        "it was connected again meanwhile, and what is stored now was not touched; if that is to go too, run this again"
    )]
    ConnectedMeanwhile,
    /// The provider did not do it.
    #[error("{host} did not revoke the consent: {error}")]
    Endpoint {
        /// Of the endpoint, or of the issuer that would have told it.
        host: String,
        /// What it did.
        error: EndpointError,
    },
    /// Another process has been refreshing this grant for longer than a refresh can take.
    #[error("another Gatepost process holds the refresh of this grant; is one stuck?")]
    HeldElsewhere,
    /// The provider has done it, and the store failed.
    #[error("the consent is revoked, but its tokens could not be forgotten ({0}); run this again")]
    StillStored(StoreError),
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Revokes the grant and forgets it; with `ask` false it forgets alone. `None` when there is none.
pub async fn withdraw(
    store: &Store,
    client: &Arc<OAuthClient>,
    key: &GrantKey,
    ask: bool,
) -> Result<Option<Revoked>, RevocationError> {
    let client = if ask { completed(client).await? } else { Arc::clone(client) };
    let holder = oauth2::CsrfToken::new_random().into_secret();
    let Some(grant) = leased(store, key, &holder).await? else { return Ok(None) };
    let tokens = (grant.refresh_token.as_ref(), grant.access_token.as_ref());
    let revoked = if ask { revoke(&client, tokens).await } else { Ok(Revoked::NotAsked) };
    let revoked = match revoked {
        Ok(revoked) => revoked,
        Err(error) => {
            store.release_grant(key, &holder).await?;
            return Err(error);
        }
    };
    match store.forget_grant(key, grant.version).await {
        Ok(true) => Ok(Some(revoked)),
        Ok(false) => Err(RevocationError::ConnectedMeanwhile),
        Err(error) if revoked == Revoked::AtProvider => Err(RevocationError::StillStored(error)),
        Err(error) => Err(error.into()),
    }
}

/// Revokes a refresh token, which takes its access tokens along (RFC 7009 section 2.1), or where there is none the access
/// token. The client is one whose issuer has told its endpoints.
pub async fn revoke(
    client: &OAuthClient,
    (refresh_token, access_token): (Option<&Secret<String>>, Option<&Secret<String>>),
) -> Result<Revoked, RevocationError> {
    let Some(endpoint) = &client.revocation_endpoint else { return Ok(Revoked::NotPossible) };
    let (token, kind) = match (refresh_token, access_token) {
        (Some(token), _) => (token, "refresh_token"),
        (None, Some(token)) => (token, "access_token"),
        (None, None) => return Ok(Revoked::NotPossible),
    };
    let fields = [("token", token.expose().as_str()), ("token_type_hint", kind)];
    let answer = match Endpoint::new(client) {
        Ok(way) => way.post(endpoint, &fields).await.map(|_| ()),
        Err(error) => Err(error),
    };
    judge(answer).map_err(|error| {
        let host = endpoint.host_str().unwrap_or_default().to_owned();
        RevocationError::Endpoint { host, error }
    })
}

/// RFC 7009 section 2.2: 200 for a token that is unknown, too. Google says `invalid_token` instead, with 400.
fn judge(answer: Result<(), EndpointError>) -> Result<Revoked, EndpointError> {
    match answer {
        Ok(()) | Err(EndpointError::Status { status: 200..=299, .. }) => Ok(Revoked::AtProvider),
        Err(EndpointError::Refused { status: 400, code, .. }) if code == "invalid_token" => {
            Ok(Revoked::AtProvider)
        }
        Err(EndpointError::Refused { code, .. }) if code == "unsupported_token_type" => {
            Ok(Revoked::NotPossible)
        }
        Err(error) => Err(error),
    }
}

async fn completed(client: &Arc<OAuthClient>) -> Result<Arc<OAuthClient>, RevocationError> {
    let completed = Issuers::default().completed(client).await;
    completed.map_err(|error| {
        let host = client.token_endpoint.host_str().unwrap_or_default().to_owned();
        RevocationError::Endpoint { host, error }
    })
}

/// The grant, once no refresh of it is on its way.
async fn leased(store: &Store, key: &GrantKey, holder: &str) -> Result<Option<Grant>, RevocationError> {
    let give_up = Instant::now() + LEASE + Duration::from_secs(5);
    loop {
        let Some(grant) = store.grant(key).await? else { return Ok(None) };
        if store.lease_grant(Clock::system().now(), key, grant.version, holder, LEASE).await? {
            return Ok(Some(grant));
        }
        if Instant::now() >= give_up {
            return Err(RevocationError::HeldElsewhere);
        }
        sleep(POLL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_is_dead_already_is_revoked_and_what_passes_is_not() {
        let refused = |status, code: &str| {
            let code = code.to_owned();
            Err(EndpointError::Refused { status, code, description: None, retry_after: None })
        };
        let status = |status| Err(EndpointError::Status { status, retry_after: None });
        for (answer, expected) in [
            (Ok(()), Some(Revoked::AtProvider)),
            (status(204), Some(Revoked::AtProvider)),
            (refused(400, "invalid_token"), Some(Revoked::AtProvider)),
            (refused(400, "unsupported_token_type"), Some(Revoked::NotPossible)),
            (refused(503, "invalid_token"), None),
            (refused(401, "invalid_client"), None),
            (refused(400, "invalid_request"), None),
            (status(503), None),
            (status(404), None),
            (Err(EndpointError::Redirected(307)), None),
            (Err(EndpointError::TimedOut), None),
        ] {
            assert_eq!(judge(answer.clone()).ok(), expected, "{answer:?}");
        }
    }
}
