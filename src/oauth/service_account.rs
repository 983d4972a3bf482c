//! The JWT bearer grant (RFC 7523 section 2.1) as Google means it: a service account signs that it acts for one mailbox, which
//! the organisation's admin has allowed for the scopes. Nobody consents, there is no refresh token, and each mailbox has a
//! token of its own.

use std::time::{Duration, SystemTime};

use http::header::CONTENT_TYPE;
use oauth2::{AsyncHttpClient, HttpRequest, RequestTokenError};
use serde_json::json;
use url::form_urlencoded;

use super::diagnosis::EndpointError;
use super::http::Endpoint;
use super::token_request::{Answer, new_tokens};
use crate::config::provider::OAuthClient;
use crate::config::provider::ServiceAccount;
use crate::jwt::{self, Algorithm};
use crate::store::grants::NewTokens;

const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// Google takes at most an hour; the request is made at once.
const LIFE: Duration = Duration::from_mins(10);

/// Asks for a token of the given mailbox. `asked_at` is the moment now.
pub(super) async fn request(
    endpoint: &Endpoint<'_>,
    client: &OAuthClient,
    mailbox: &str,
    asked_at: SystemTime,
) -> Result<NewTokens, EndpointError> {
    let service_account = client.service_account.as_ref().ok_or(EndpointError::NotSigned)?;
    let request = signed_request(service_account, &client.scopes, mailbox, asked_at)?;
    let answer = endpoint.call(request).await?;
    let answer = serde_json::from_slice::<Answer>(answer.body())
        .map_err(|_| RequestTokenError::Other("not a token response".to_owned()));
    new_tokens(answer, asked_at).map(|tokens| NewTokens { refresh_token: None, ..tokens })
}

fn signed_request(
    service_account: &ServiceAccount,
    scopes: &[String],
    mailbox: &str,
    now: SystemTime,
) -> Result<HttpRequest, EndpointError> {
    let (issued_at, expires_at) = jwt::times(now, LIFE);
    let claims = json!({
        "iss": service_account.email,
        "sub": mailbox,
        "scope": scopes.join(" "),
        "aud": service_account.token_endpoint.as_str(),
        "iat": issued_at,
        "exp": expires_at,
    });
    let header = service_account.key_id.as_deref().map(|id| ("kid", id));
    let assertion = service_account.key.sign(Algorithm::Rs256, header, &claims);
    let assertion = assertion.map_err(|_| EndpointError::NotSigned)?;
    let form = form_urlencoded::Serializer::new(String::new())
        .append_pair("grant_type", GRANT_TYPE)
        .append_pair("assertion", assertion.expose())
        .finish();
    let mut request = HttpRequest::new(form.into_bytes());
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() =
        service_account.token_endpoint.as_str().parse().map_err(|_| EndpointError::NotSigned)?;
    let form_type = http::HeaderValue::from_static("application/x-www-form-urlencoded");
    request.headers_mut().insert(CONTENT_TYPE, form_type);
    Ok(request)
}
