//! Completes a client whose endpoints its issuer tells: asked before the first request, and once a day after that; what the
//! file says wins over what it tells. Rule: a failure keeps what was told before, and is never permanent.

use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::diagnosis::EndpointError;
use super::metadata::{IssuerError, Metadata, Problem, metadata};
use crate::config::provider::{ClientAuthentication, GrantType, Issuer, OAuthClient};

/// How long what an issuer told is taken for true.
const TRUE_FOR: Duration = Duration::from_hours(24);

/// How long a failure is told again in place of asking again: every account of the provider would ask.
const PAUSE: Duration = Duration::from_secs(10);

/// What the issuers of this process have told, by provider.
#[derive(Debug, Default)]
pub struct Issuers(DashMap<String, Arc<Mutex<Asked>>>);

/// What came of asking.
#[derive(Debug, Default)]
struct Asked {
    told: Option<Told>,
    failed: Option<(EndpointError, Instant)>,
}

#[derive(Debug)]
struct Told {
    /// As the file has it; of another file nothing is known.
    written: Arc<OAuthClient>,
    completed: Arc<OAuthClient>,
    at: Instant,
}

impl Issuers {
    /// The client with everything that its issuer tells. One without an issuer is complete as it is.
    pub async fn completed(&self, client: &Arc<OAuthClient>) -> Result<Arc<OAuthClient>, EndpointError> {
        let Some(issuer) = &client.issuer else { return Ok(Arc::clone(client)) };
        let asked = Arc::clone(&self.0.entry(client.provider.clone()).or_default());
        // Whoever comes meanwhile waits for the same answer.
        let mut asked = asked.lock().await;
        if asked.told.as_ref().is_some_and(|told| !Arc::ptr_eq(&told.written, client)) {
            *asked = Asked::default();
        }
        let known = asked.told.as_ref().map(|told| (Arc::clone(&told.completed), told.at));
        if let Some((completed, at)) = &known
            && at.elapsed() < TRUE_FOR
        {
            return Ok(Arc::clone(completed));
        }
        let failure = asked.failed.as_ref().filter(|(_, at)| at.elapsed() < PAUSE);
        let result = match failure {
            Some((error, _)) => Err(error.clone()),
            None => ask(client, issuer).await,
        };
        match (result, known) {
            (Ok(completed), _) => {
                let (written, at) = (Arc::clone(client), Instant::now());
                *asked = Asked {
                    told: Some(Told { written, completed: Arc::clone(&completed), at }),
                    failed: None,
                };
                Ok(completed)
            }
            (Err(error), known) => {
                if failure.is_none() {
                    tracing::warn!(provider = client.provider, "{error}");
                    asked.failed = Some((error.clone(), Instant::now()));
                }
                known.map(|(completed, _)| completed).ok_or(error)
            }
        }
    }
}

async fn ask(client: &OAuthClient, issuer: &Issuer) -> Result<Arc<OAuthClient>, EndpointError> {
    let told = metadata(&issuer.url, &client.trust).await?;
    let completed = complete(client, issuer, &told)
        .map_err(|problem| IssuerError { url: issuer.url.clone(), problem })?;
    Ok(Arc::new(completed))
}

fn complete(client: &OAuthClient, issuer: &Issuer, told: &Metadata) -> Result<OAuthClient, Problem> {
    let mut completed = client.clone();
    if !issuer.token_endpoint_is_written {
        completed.token_endpoint = told.token_endpoint()?;
    }
    if client.grant == GrantType::AuthorizationCode {
        if client.authorization_endpoint.is_none() {
            completed.authorization_endpoint = told.authorization_endpoint()?;
        }
        if client.device_authorization_endpoint.is_none() {
            completed.device_authorization_endpoint = told.device_authorization_endpoint()?;
        }
    }
    if let (ClientAuthentication::ClientSecretPost(secret), false) =
        (&client.authentication, issuer.authentication_is_written)
        && told.wants_secret_in_header()
    {
        completed.authentication = ClientAuthentication::ClientSecretBasic(secret.clone());
    }
    Ok(completed)
}
