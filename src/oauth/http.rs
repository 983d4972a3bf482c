//! The way to a token endpoint: `oauth2` asks, reqwest carries. Verified TLS by the provider's own [`crate::tls::Trust`],
//! no redirects, one deadline for everything, a cap on what is read. What is not a plain 200 becomes an
//! [`EndpointError`] here, while status and `Retry-After` are still at hand.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use dashmap::DashMap;
use http::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use oauth2::{AsyncHttpClient, HttpRequest, HttpResponse};
use rustls::ClientConfig;
use url::{Url, form_urlencoded};
use zeroize::Zeroizing;

use super::diagnosis::{self, EndpointError};
use crate::config::Provider;

/// From the first packet to the last byte of the answer.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);

/// The longest answer that is read; real ones stay below 10 KiB.
const MAX_BODY: usize = 1 << 20;

/// One HTTP client per provider, made when it is first needed, and anew when its trust has changed.
#[derive(Debug, Default)]
pub(super) struct Endpoints(DashMap<String, (Arc<ClientConfig>, Endpoint)>);

/// The way to one token endpoint. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Endpoint(reqwest::Client);

impl Endpoints {
    /// The way to the provider's endpoint.
    pub(super) fn of(&self, provider: &Provider) -> Result<Endpoint, EndpointError> {
        let config = provider.trust.client_config();
        if let Some(known) = self.0.get(&provider.name)
            && Arc::ptr_eq(&known.0, config)
        {
            return Ok(known.1.clone());
        }
        let endpoint = Endpoint::new(provider)?;
        self.0.insert(provider.name.clone(), (Arc::clone(config), endpoint.clone()));
        Ok(endpoint)
    }
}

impl Endpoint {
    /// Proxies are taken from the environment (`HTTPS_PROXY`, `NO_PROXY`); TLS goes through them to the endpoint itself.
    pub(super) fn new(provider: &Provider) -> Result<Self, EndpointError> {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(ClientConfig::clone(provider.trust.client_config()))
            .https_only(true)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            .timeout(TIMEOUT)
            // A refresh is rare, and a kept connection that the server closes at the wrong moment leaves open whether
            // the refresh token was used up.
            .pool_max_idle_per_host(0)
            .user_agent(concat!("gatepost/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| diagnosis::transport(&error))?;
        Ok(Self(client))
    }

    /// Posts a form, for requests that `oauth2` does not know. Gives the body of the answer.
    pub(super) async fn post(&self, url: &Url, fields: &[(&str, &str)]) -> Result<Vec<u8>, EndpointError> {
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = http::Request::post(url.as_str())
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(ACCEPT, "application/json")
            .body(form.into_bytes())
            .map_err(|error| EndpointError::Unreachable(error.to_string()))?;
        self.send(request).await.map(HttpResponse::into_body)
    }

    /// Sends what `oauth2` prepared. The answer is a 200 without an `error` in it.
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, EndpointError> {
        let sent = secrets_in(request.body());
        let transport = |error: reqwest::Error| diagnosis::transport(&error);
        let request = reqwest::Request::try_from(request).map_err(transport)?;
        let mut response = self.0.execute(request).await.map_err(transport)?;
        let retry_after = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| diagnosis::retry_after(value, SystemTime::now()));
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(transport)? {
            if body.len() + chunk.len() > MAX_BODY {
                return Err(EndpointError::NotUnderstood("longer than 1 MiB"));
            }
            body.extend_from_slice(&chunk);
        }
        diagnosis::judge(response.status(), retry_after, &body, &sent)?;
        // Without its headers: `oauth2` would refuse JSON that calls itself text/plain.
        Ok(HttpResponse::new(body))
    }
}

impl<'c> AsyncHttpClient<'c> for Endpoint {
    type Error = EndpointError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, EndpointError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.send(request))
    }
}

/// What must not come back in an error text.
fn secrets_in(form: &[u8]) -> Vec<Zeroizing<String>> {
    form_urlencoded::parse(form)
        .filter(|(key, _)| {
            matches!(
                key.as_ref(),
                "client_secret" | "code" | "code_verifier" | "device_code" | "refresh_token"
            )
        })
        .map(|(_, value)| Zeroizing::new(value.into_owned()))
        .collect()
}
