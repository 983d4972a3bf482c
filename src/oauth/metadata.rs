//! The document in which an issuer says where its endpoints are (OpenID Connect Discovery 1.0 section 4, RFC 8414). Rule: it
//! counts only when it comes over verified TLS from where the issuer's own name leads, and carries exactly that name.

use serde::Deserialize;
use thiserror::Error;
use url::Url;

use super::diagnosis::{EndpointError, presentable, transport};
use super::http;
use crate::tls::Trust;

/// The longest name of another issuer that is shown.
const MAX_NAME: usize = 200;

/// What an issuer says about itself, as far as it matters here.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Metadata {
    issuer: String,
    authorization_endpoint: Option<String>,
    device_authorization_endpoint: Option<String>,
    token_endpoint: Option<String>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    revocation_endpoint: Option<String>,
    revocation_endpoint_auth_methods_supported: Option<Vec<String>>,
}

/// An issuer does not tell its endpoints.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{url} does not tell the endpoints of the issuer: {problem}")]
pub struct IssuerError {
    /// Where it was asked.
    pub url: String,
    /// Why not.
    pub problem: Problem,
}

/// What is wrong with an issuer's answer.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Problem {
    /// An endpoint without TLS.
    #[error("its {0} is not an https address")]
    Insecure(&'static str),
    /// An endpoint that is needed.
    #[error("it has no {0}; write that beside `issuer`")]
    Lacks(&'static str),
    /// Something else than the document.
    #[error("the answer is not an issuer's configuration (JSON); is `issuer` right?")]
    NotTheDocument,
    /// Another issuer's document: whoever followed it would send secrets elsewhere (section 4.3).
    #[error("it calls itself `{0}`; if that is who you mean, write exactly this as `issuer`")]
    OtherIssuer(String),
    /// It leads elsewhere.
    #[error("it answers with a redirect (HTTP {0}), which is never followed; is `issuer` right?")]
    Redirected(u16),
    /// There is nothing.
    #[error("HTTP status {0}; is `issuer` right?")]
    Status(u16),
    /// Longer than anybody's.
    #[error("the answer is longer than 1 MiB")]
    TooLong,
    /// No answer in time.
    #[error("no answer within {} s", http::TIMEOUT.as_secs())]
    TimedOut,
    /// No connection.
    #[error("not reachable: {0}")]
    Unreachable(String),
    /// Nobody vouches for it.
    #[error("its certificate is not trusted: {0}; check `issuer` and `ca_file`")]
    Untrusted(String),
}

impl Problem {
    /// Whether there may be a document elsewhere: something answered, and it was not one.
    fn is_absence(&self) -> bool {
        matches!(self, Self::NotTheDocument | Self::Redirected(_) | Self::Status(400..=499))
    }
}

impl From<EndpointError> for Problem {
    fn from(error: EndpointError) -> Self {
        match error {
            EndpointError::NotUnderstood(_) => Self::TooLong,
            EndpointError::TimedOut => Self::TimedOut,
            EndpointError::Untrusted(why) => Self::Untrusted(why),
            other => Self::Unreachable(other.to_string()),
        }
    }
}

/// Asks an issuer, at the address of OpenID Connect and, where nothing stands there, at that of RFC 8414.
pub(crate) async fn metadata(issuer: &str, trust: &Trust) -> Result<Metadata, IssuerError> {
    let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
    let told = document(&url, issuer, trust).await;
    match told {
        Err(problem) if problem.is_absence() => {
            // Its section 3.1: in front of the issuer's own path. The first address is the one to tell of.
            let other = in_front_of_path(issuer);
            let told = document(&other, issuer, trust).await;
            told.or(Err(IssuerError { url, problem }))
        }
        told => told.map_err(|problem| IssuerError { url, problem }),
    }
}

async fn document(url: &str, issuer: &str, trust: &Trust) -> Result<Metadata, Problem> {
    let response = http::client(trust)?.get(url).send().await.map_err(|error| transport(&error))?;
    match response.status() {
        status if status.is_redirection() => return Err(Problem::Redirected(status.as_u16())),
        status if !status.is_success() => return Err(Problem::Status(status.as_u16())),
        _ => {}
    }
    let body = http::body(response).await?;
    let metadata: Metadata = serde_json::from_slice(&body).map_err(|_| Problem::NotTheDocument)?;
    if metadata.issuer != issuer {
        return Err(Problem::OtherIssuer(presentable(&metadata.issuer, &[], MAX_NAME)));
    }
    Ok(metadata)
}

fn in_front_of_path(issuer: &str) -> String {
    let (scheme, rest) = issuer.split_once("://").unwrap_or(("https", issuer));
    let (host, path) = rest.trim_end_matches('/').split_once('/').unwrap_or((rest.trim_end_matches('/'), ""));
    let path = if path.is_empty() { String::new() } else { format!("/{path}") };
    format!("{scheme}://{host}/.well-known/oauth-authorization-server{path}")
}

impl Metadata {
    /// Where the browser goes.
    pub(super) fn authorization_endpoint(&self) -> Result<Option<Url>, Problem> {
        secure("authorization_endpoint", self.authorization_endpoint.as_deref())
    }

    /// Where device codes are asked for.
    pub(super) fn device_authorization_endpoint(&self) -> Result<Option<Url>, Problem> {
        secure("device_authorization_endpoint", self.device_authorization_endpoint.as_deref())
    }

    /// Where tokens are asked for.
    pub(super) fn token_endpoint(&self) -> Result<Url, Problem> {
        let url = secure("token_endpoint", self.token_endpoint.as_deref())?;
        url.ok_or(Problem::Lacks("token_endpoint"))
    }

    /// Where tokens are revoked. One without TLS (RFC 8414 section 2 forbids it) is as good as none: no login needs it.
    pub(super) fn revocation_endpoint(&self) -> Option<Url> {
        secure("revocation_endpoint", self.revocation_endpoint.as_deref()).ok().flatten()
    }

    /// Whether a client's secret has to go into the header. An issuer that does not say so takes it nowhere else (RFC 8414
    /// section 2). Of two ways that the token endpoint takes, it is the one that the revocation endpoint takes too; where that
    /// one's list is left out, the standard means the header, but issuers mean that what is good there is good here.
    pub(super) fn wants_secret_in_header(&self) -> bool {
        let Some(methods) = &self.token_endpoint_auth_methods_supported else { return true };
        let (basic, post) = in_header_in_body(methods);
        let revocation = self.revocation_endpoint_auth_methods_supported.as_deref().map(in_header_in_body);
        basic && (!post || revocation == Some((true, false)))
    }
}

/// Whether these methods have one with a secret in the header, and one with it in the body.
fn in_header_in_body(methods: &[String]) -> (bool, bool) {
    let takes = |method: &str| methods.iter().any(|one| one == method);
    (takes("client_secret_basic"), takes("client_secret_post"))
}

fn secure(name: &'static str, text: Option<&str>) -> Result<Option<Url>, Problem> {
    let Some(text) = text else { return Ok(None) };
    match Url::parse(text) {
        Ok(url) if url.scheme() == "https" && url.fragment().is_none() => Ok(Some(url)),
        _ => Err(Problem::Insecure(name)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn the_other_address_has_the_well_known_part_in_front() {
        for (issuer, expected) in [
            ("https://a.example", "https://a.example/.well-known/oauth-authorization-server"),
            ("https://a.example/", "https://a.example/.well-known/oauth-authorization-server"),
            (
                "https://a.example:8443/b/c",
                "https://a.example:8443/.well-known/oauth-authorization-server/b/c",
            ),
        ] {
            assert_eq!(in_front_of_path(issuer), expected);
        }
    }

    #[test]
    fn the_secret_goes_where_the_issuer_takes_it() {
        let wants = |methods: &str| {
            let text = format!("{{ \"issuer\": \"https://a.example\"{methods} }}");
            serde_json::from_str::<Metadata>(&text).unwrap().wants_secret_in_header()
        };
        assert!(wants(""));
        for (methods, expected) in [
            ("\"client_secret_basic\"", true),
            ("\"client_secret_post\"", false),
            ("\"client_secret_basic\", \"client_secret_post\"", false),
            ("\"private_key_jwt\"", false),
        ] {
            let methods = format!(", \"token_endpoint_auth_methods_supported\": [{methods}]");
            assert_eq!(wants(&methods), expected, "{methods}");
        }
        let both = "\"client_secret_basic\", \"client_secret_post\"";
        for (revocation, expected) in
            [(both, false), ("\"client_secret_basic\"", true), ("\"client_secret_post\"", false)]
        {
            let methods = format!(
                ", \"token_endpoint_auth_methods_supported\": [{both}], \
                 \"revocation_endpoint_auth_methods_supported\": [{revocation}]"
            );
            assert_eq!(wants(&methods), expected, "{methods}");
        }
    }

    #[test]
    fn a_revocation_endpoint_without_tls_is_none() {
        let told = |endpoint: &str| {
            let text = format!(r#"{{ "issuer": "https://a.example", "revocation_endpoint": "{endpoint}" }}"#);
            serde_json::from_str::<Metadata>(&text).unwrap().revocation_endpoint()
        };
        let url = "https://a.example/revoke";
        assert_eq!(told(url).map(|url| url.to_string()).as_deref(), Some(url));
        for useless in ["http://a.example/revoke", "https://a.example/revoke#here", "revoke"] {
            assert_eq!(told(useless), None, "{useless}");
        }
    }
}
