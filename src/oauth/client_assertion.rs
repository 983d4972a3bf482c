//! Client authentication by private_key_jwt (RFC 7523 section 2.2): in place of a secret, every request carries a token that
//! the registered certificate's key has signed. Each is made for one request: some endpoints take none twice.

use std::time::{Duration, SystemTime};

use oauth2::CsrfToken;
use serde_json::json;
use url::form_urlencoded;

use super::diagnosis::EndpointError;
use crate::config::provider::{ClientCertificate, OAuthClient};
use crate::jwt::{self, Algorithm};

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Long enough for clocks that differ a little.
const LIFE: Duration = Duration::from_mins(5);

/// Adds the assertion to a form.
pub(super) fn add_to(
    form: &mut Vec<u8>,
    client: &OAuthClient,
    certificate: &ClientCertificate,
    now: SystemTime,
) -> Result<(), EndpointError> {
    let thumbprint = match certificate.algorithm {
        Algorithm::Ps256 => "x5t#S256",
        Algorithm::Rs256 => "x5t",
    };
    let (issued_at, expires_at) = jwt::times(now, LIFE);
    let claims = json!({
        "iss": client.client_id,
        "sub": client.client_id,
        "aud": client.token_endpoint.as_str(),
        "jti": CsrfToken::new_random().secret(),
        "iat": issued_at,
        "nbf": issued_at,
        "exp": expires_at,
    });
    let header = Some((thumbprint, certificate.thumbprint.as_str()));
    let assertion = certificate.key.sign(certificate.algorithm, header, &claims);
    let assertion = assertion.map_err(|_| EndpointError::NotSigned)?;
    let pairs = form_urlencoded::Serializer::new(String::new())
        .append_pair("client_assertion_type", ASSERTION_TYPE)
        .append_pair("client_assertion", assertion.expose())
        .finish();
    form.push(b'&');
    form.extend_from_slice(pairs.as_bytes());
    Ok(())
}
