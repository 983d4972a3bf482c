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
        match &client.issuer {
            Some(issuer) => self.remembered(client, async || ask(client, issuer).await).await,
            None => Ok(Arc::clone(client)),
        }
    }

    async fn remembered(
        &self,
        client: &Arc<OAuthClient>,
        ask: impl AsyncFnOnce() -> Result<Arc<OAuthClient>, EndpointError>,
    ) -> Result<Arc<OAuthClient>, EndpointError> {
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
        if let Some((error, at)) = &asked.failed
            && at.elapsed() < PAUSE
        {
            return known.map(|(completed, _)| completed).ok_or_else(|| error.clone());
        }
        match ask().await {
            Ok(completed) => {
                let (written, at) = (Arc::clone(client), Instant::now());
                let told = Told { written, completed: Arc::clone(&completed), at };
                *asked = Asked { told: Some(told), failed: None };
                Ok(completed)
            }
            Err(error) => {
                tracing::warn!(provider = client.provider, "{error}");
                asked.failed = Some((error.clone(), Instant::now()));
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
    if client.revocation_endpoint.is_none() {
        completed.revocation_endpoint = told.revocation_endpoint();
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use tokio::time::advance;

    use super::*;
    use crate::oauth::tests::client;

    fn told(host: &str) -> Arc<OAuthClient> {
        let token_endpoint = format!("https://{host}/token").parse().unwrap();
        Arc::new(OAuthClient { token_endpoint, ..client() })
    }

    /// The host that is known after asking an issuer that would answer so, and whether it was asked at all.
    async fn host(
        issuers: &Issuers,
        client: &Arc<OAuthClient>,
        answer: Result<Arc<OAuthClient>, EndpointError>,
    ) -> (Option<String>, bool) {
        let mut asked = false;
        let completed = issuers.remembered(client, async || {
            asked = true;
            answer
        });
        let host = completed.await.ok().map(|client| client.token_endpoint.host_str().unwrap().to_owned());
        (host, asked)
    }

    #[tokio::test(start_paused = true)]
    async fn an_issuer_is_asked_once_a_day_and_what_it_told_outlives_its_failure() {
        let (issuers, client) = (Issuers::default(), Arc::new(client()));
        let failed = || Err(EndpointError::TimedOut);
        let known = |host: &str, asked| (Some(host.to_owned()), asked);
        assert_eq!(host(&issuers, &client, Ok(told("old.example"))).await, known("old.example", true));
        assert_eq!(host(&issuers, &client, Ok(told("new.example"))).await, known("old.example", false));
        advance(TRUE_FOR).await;
        assert_eq!(host(&issuers, &client, failed()).await, known("old.example", true));
        assert_eq!(host(&issuers, &client, Ok(told("new.example"))).await, known("old.example", false));
        advance(PAUSE).await;
        assert_eq!(host(&issuers, &client, Ok(told("new.example"))).await, known("new.example", true));
        // Another reading of the file may have another issuer.
        let other = Arc::new(OAuthClient::clone(&client));
        assert_eq!(host(&issuers, &other, failed()).await, (None, true));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_told_again_for_a_while_and_then_tried_again() {
        let (issuers, client) = (Issuers::default(), Arc::new(client()));
        let failed = || Err(EndpointError::TimedOut);
        assert_eq!(host(&issuers, &client, failed()).await, (None, true));
        assert_eq!(host(&issuers, &client, Ok(told("a.example"))).await, (None, false));
        advance(PAUSE).await;
        assert_eq!(
            host(&issuers, &client, Ok(told("a.example"))).await,
            (Some("a.example".to_owned()), true)
        );
    }
}
