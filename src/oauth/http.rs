//! The way to a token endpoint: `oauth2` asks, reqwest carries. Verified TLS by the provider's own [`crate::tls::Trust`],
//! no redirects, one deadline for everything, a cap on what is read. What is not a plain 200 becomes an
//! [`EndpointError`] here, while status and `Retry-After` are still at hand.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use dashmap::DashMap;
use gatepost_protocol::secret::Secret;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE, RETRY_AFTER};
use oauth2::{AsyncHttpClient, HttpRequest, HttpResponse};
use rustls::ClientConfig;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;
use url::{Url, form_urlencoded};
use zeroize::Zeroizing;

use super::client_assertion;
use super::diagnosis::{self, EndpointError, transport};
use crate::config::provider::{ClientAuthentication, OAuthClient};
use crate::tls::Trust;

/// From the first packet to the last byte of the answer.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);

/// The longest answer that is read; real ones stay below 10 KiB.
const MAX_BODY: usize = 1 << 20;

/// One HTTP client per provider, made when it is first needed, and anew when its trust has changed.
#[derive(Debug, Default)]
pub(super) struct Endpoints(DashMap<String, (Arc<ClientConfig>, reqwest::Client)>);

/// The way to one token endpoint.
#[derive(Debug)]
pub(super) struct Endpoint<'a> {
    http: reqwest::Client,
    client: &'a OAuthClient,
}

impl Endpoints {
    /// The way to the provider's endpoint.
    pub(super) fn of<'a>(&self, client: &'a OAuthClient) -> Result<Endpoint<'a>, EndpointError> {
        let config = client.trust.client_config();
        if let Some(known) = self.0.get(&client.provider)
            && Arc::ptr_eq(&known.0, config)
        {
            return Ok(Endpoint { http: known.1.clone(), client });
        }
        let endpoint = Endpoint::new(client)?;
        self.0.insert(client.provider.clone(), (Arc::clone(config), endpoint.http.clone()));
        Ok(endpoint)
    }
}

impl<'a> Endpoint<'a> {
    pub(super) fn new(client: &'a OAuthClient) -> Result<Self, EndpointError> {
        Ok(Self { http: self::client(&client.trust)?, client })
    }

    /// Posts a form, for requests that `oauth2` does not know, with what says and proves who asks. Gives the body of the answer.
    pub(super) async fn post(&self, url: &Url, fields: &[(&str, &str)]) -> Result<Vec<u8>, EndpointError> {
        let request = self.form(url, fields)?;
        self.send(request).await.map(HttpResponse::into_body)
    }

    fn form(&self, url: &Url, fields: &[(&str, &str)]) -> Result<HttpRequest, EndpointError> {
        let OAuthClient { client_id, authentication, .. } = self.client;
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(fields).append_pair("client_id", client_id);
        let mut request = http::Request::post(url.as_str())
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(ACCEPT, "application/json");
        match authentication {
            ClientAuthentication::ClientSecretPost(secret) => {
                form.append_pair("client_secret", secret.expose());
            }
            ClientAuthentication::ClientSecretBasic(secret) => {
                request = request.header(AUTHORIZATION, basic(client_id, secret));
            }
            // The assertion is added to every request, below.
            ClientAuthentication::None | ClientAuthentication::PrivateKeyJwt(_) => {}
        }
        request
            .body(form.finish().into_bytes())
            .map_err(|error| EndpointError::Unreachable(error.to_string()))
    }

    /// Sends a request for tokens, signed where the client proves itself that way. The answer is a 200 without an `error`
    /// in it.
    async fn send(&self, mut request: HttpRequest) -> Result<HttpResponse, EndpointError> {
        if let ClientAuthentication::PrivateKeyJwt(certificate) = &self.client.authentication {
            client_assertion::add_to(request.body_mut(), self.client, certificate, SystemTime::now())?;
        }
        let sent = secrets_in(&request);
        let transport = |error: reqwest::Error| transport(&error);
        let request = reqwest::Request::try_from(request).map_err(transport)?;
        let response = self.http.execute(request).await.map_err(transport)?;
        let retry_after = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| diagnosis::retry_after(value, SystemTime::now()));
        let status = response.status();
        let body = body(response).await?;
        diagnosis::judge(status, retry_after, &body, &sent)?;
        // Without its headers: `oauth2` would refuse JSON that calls itself text/plain.
        Ok(HttpResponse::new(body))
    }
}

impl<'c> AsyncHttpClient<'c> for Endpoint<'_> {
    type Error = EndpointError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, EndpointError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.send(request))
    }
}

/// What time it is by the endpoint's clock. It is asked for nothing else, and is told nothing.
pub(crate) async fn date(client: &OAuthClient) -> Option<SystemTime> {
    let http = self::client(&client.trust).ok()?;
    let answer = http.head(client.token_endpoint.clone()).send().await.ok()?;
    let date = answer.headers().get(DATE)?.to_str().ok()?;
    OffsetDateTime::parse(date, &Rfc2822).ok().map(SystemTime::from)
}

/// Proxies are taken from the environment (`HTTPS_PROXY`, `NO_PROXY`); TLS goes through them to the endpoint itself.
pub(super) fn client(trust: &Trust) -> Result<reqwest::Client, EndpointError> {
    reqwest::Client::builder()
        .tls_backend_preconfigured(ClientConfig::clone(trust.client_config()))
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
        .map_err(|error| transport(&error))
}

/// An answer's body, up to a length.
pub(super) async fn body(mut response: reqwest::Response) -> Result<Vec<u8>, EndpointError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| transport(&error))? {
        if body.len() + chunk.len() > MAX_BODY {
            return Err(EndpointError::NotUnderstood("longer than 1 MiB"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The client's name and secret for the header, each form-encoded first (RFC 6749 section 2.3.1).
fn basic(client_id: &str, secret: &Secret<String>) -> String {
    let encoded =
        |text: &str| Zeroizing::new(form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>());
    let pair = Zeroizing::new(format!("{}:{}", *encoded(client_id), *encoded(secret.expose())));
    format!("Basic {}", BASE64_STANDARD.encode(pair.as_bytes()))
}

/// The fields of a form whose values must not come back in an error text.
const SECRET_FIELDS: [&str; 9] = [
    "assertion",
    "client_assertion",
    "client_secret",
    "code",
    "code_verifier",
    "device_code",
    "password",
    "refresh_token",
    "token",
];

/// What must not come back in an error text. A secret in the header has three faces there: base64, form-encoded, itself.
fn secrets_in(request: &HttpRequest) -> Vec<Zeroizing<String>> {
    let mut secrets: Vec<_> = form_urlencoded::parse(request.body())
        .filter(|(key, _)| SECRET_FIELDS.contains(&key.as_ref()))
        .map(|(_, value)| Zeroizing::new(value.into_owned()))
        .collect();
    let header = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    if let Some(basic) = header.and_then(|value| value.strip_prefix("Basic ")) {
        secrets.push(Zeroizing::new(basic.to_owned()));
        let decoded = BASE64_STANDARD.decode(basic).map(Zeroizing::new).unwrap_or_default();
        if let Some(colon) = decoded.iter().position(|byte| *byte == b':') {
            let encoded = decoded.get(colon + 1..).unwrap_or_default();
            secrets.push(Zeroizing::new(String::from_utf8_lossy(encoded).into_owned()));
            secrets.extend(
                form_urlencoded::parse(encoded).map(|(secret, _)| Zeroizing::new(secret.into_owned())),
            );
        }
    }
    secrets
}
