//! The authorization code grant (RFC 6749 section 4.1), always with PKCE S256 (RFC 7636): a person consents in a browser, and
//! the code that comes back by redirect is redeemed. A code counts only beside the `state` that we made, and a consent
//! without a refresh token is not kept: it would be dead within the hour.

use std::borrow::Cow;
use std::time::SystemTime;

use gatepost_protocol::secret::Secret;
use oauth2::{AuthUrl, AuthorizationCode, CsrfToken, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl};
use subtle::ConstantTimeEq;
use thiserror::Error;
use url::{Url, form_urlencoded};

use super::diagnosis::{EndpointError, presentable};
use super::http::Endpoint;
use super::token_request::{new_tokens, oauth2, scopes};
use crate::config::Provider;
use crate::config::provider::GrantType;
use crate::store::StoreError;
use crate::store::grants::NewTokens;

/// A consent that is being asked for.
#[derive(Debug)]
pub struct Authorization<'a> {
    provider: &'a Provider,
    url: Url,
    redirect: RedirectUrl,
    state: CsrfToken,
    verifier: Secret<String>,
}

/// A consent did not become a grant. Nothing was stored, and an older grant stays as it is.
#[derive(Debug, Error)]
pub enum ConsentError {
    /// The provider sent the browser back with an error.
    #[error("the provider gave no consent: {0}")]
    Denied(String),
    /// The token endpoint did not take the code.
    #[error("the consent was given, but the token endpoint of {host} did not redeem it: {error}")]
    Endpoint {
        /// The endpoint's host.
        host: String,
        /// What it did.
        error: EndpointError,
    },
    /// No port of the loopback address is free.
    #[error(
        "no port can be opened on the loopback address for the browser to come back to: {0}; use --paste"
    )]
    Listen(std::io::Error),
    /// The provider is used another way.
    #[error("provider {0} has no authorization_endpoint, so there is nobody to consent")]
    NoConsent(String),
    /// The consent would end with its first access token.
    #[error(
        "the provider gave no refresh token, so nothing was stored: access would end within the hour. For Microsoft, \
         the scopes must hold offline_access; for Google, authorization_parameters must hold access_type: offline and \
         prompt: consent (both stand in the presets)"
    )]
    NoRefreshToken,
    /// What came back is no redirect of ours.
    #[error("this is not the address that the browser was sent back to: it must hold one code and one state")]
    NotUnderstood,
    /// The tokens could not be kept.
    #[error("the consent was given, but could not be stored: {0}")]
    Store(#[from] StoreError),
    /// Nobody came.
    #[error("nobody consented within 10 minutes")]
    TimedOut,
    /// It belongs to another attempt, or somebody forged it.
    #[error("the state does not match: this answer belongs to another attempt. Use the newest address, once")]
    WrongState,
}

impl<'a> Authorization<'a> {
    /// Prepares a consent of `address` at the provider; its answer will come to `redirect_uri`.
    pub fn begin(provider: &'a Provider, address: &str, redirect_uri: String) -> Result<Self, ConsentError> {
        let no_consent = || ConsentError::NoConsent(provider.name.clone());
        let ours = &provider.oauth;
        let endpoint = match ours.grant {
            GrantType::AuthorizationCode => ours.authorization_endpoint.clone().ok_or_else(no_consent)?,
            GrantType::ClientCredentials | GrantType::Password | GrantType::ServiceAccount => {
                return Err(no_consent());
            }
        };
        let redirect = RedirectUrl::new(redirect_uri).map_err(|_| ConsentError::NotUnderstood)?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let client = oauth2(provider).set_auth_uri(AuthUrl::from_url(endpoint));
        let mut request = client
            .authorize_url(CsrfToken::new_random)
            .set_redirect_uri(Cow::Borrowed(&redirect))
            .set_pkce_challenge(challenge)
            .add_scopes(scopes(provider))
            // Not a standard, but Microsoft, Google and OpenID Connect know it: it offers the right account.
            .add_extra_param("login_hint", address.to_owned());
        for (name, value) in &ours.authorization_parameters {
            request = request.add_extra_param(name.clone(), value.clone());
        }
        let (url, state) = request.url();
        Ok(Self { provider, url, redirect, state, verifier: Secret::new(verifier.into_secret()) })
    }

    /// Where the browser goes.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The code in what came back: the whole address, or its query alone. Anybody may send us an address, so it counts
    /// only with our state in it.
    pub fn code(&self, returned: &str) -> Result<Secret<String>, ConsentError> {
        let returned = returned.trim().trim_matches(['<', '>', '"', '\'']);
        let query = returned.split_once('?').map_or(returned, |(_, query)| query);
        let query = query.split('#').next().unwrap_or_default();
        let only = |name: &str| {
            let mut values = form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key == name);
            values
                .next()
                .filter(|_| values.next().is_none())
                .map(|(_, value)| Secret::new(value.into_owned()))
        };
        let state = only("state").ok_or(ConsentError::NotUnderstood)?;
        if !bool::from(state.expose().as_bytes().ct_eq(self.state.secret().as_bytes())) {
            return Err(ConsentError::WrongState);
        }
        if let Some(error) = only("error") {
            let description = only("error_description");
            return Err(denied(error.expose(), description.as_ref().map(|text| text.expose().as_str())));
        }
        only("code").filter(|code| !code.expose().is_empty()).ok_or(ConsentError::NotUnderstood)
    }

    /// Redeems the code. A code is good for one attempt, so this is never tried twice.
    pub async fn redeem(&self, code: Secret<String>) -> Result<NewTokens, ConsentError> {
        let host = || self.provider.oauth.token_endpoint.host_str().unwrap_or_default().to_owned();
        let failed = |error| ConsentError::Endpoint { host: host(), error };
        let endpoint = Endpoint::new(self.provider).map_err(failed)?;
        let asked_at = SystemTime::now();
        let answer = oauth2(self.provider)
            .exchange_code(AuthorizationCode::new(code.expose().clone()))
            .set_redirect_uri(Cow::Borrowed(&self.redirect))
            .set_pkce_verifier(PkceCodeVerifier::new(self.verifier.expose().clone()))
            .request_async(&endpoint)
            .await;
        let tokens = new_tokens(answer, asked_at).map_err(failed)?;
        if tokens.refresh_token.is_none() {
            return Err(ConsentError::NoRefreshToken);
        }
        // RFC 6749 section 5.1: an answer without scopes grants those that were asked for.
        let scopes =
            if tokens.scopes.is_empty() { self.provider.oauth.scopes.clone() } else { tokens.scopes };
        Ok(NewTokens { scopes, ..tokens })
    }
}

/// The errors of RFC 6749 section 4.1.2.1 in words.
fn denied(error: &str, description: Option<&str>) -> ConsentError {
    let words = match error {
        "access_denied" => "it was declined, or an administrator must allow the application first",
        "consent_required" | "interaction_required" | "login_required" => {
            "the provider wants an interactive sign-in"
        }
        "invalid_scope" => "it does not know a scope in the configuration",
        "server_error" | "temporarily_unavailable" => "it has a fault; try again later",
        "unauthorized_client" => "this application may not ask for consent; check its registration",
        "unsupported_response_type" | "invalid_request" => {
            "it does not take our request; check its registration"
        }
        _ => "it answered with an error",
    };
    let detail = description.map(|text| format!(": {}", presentable(text, &[], 300))).unwrap_or_default();
    ConsentError::Denied(format!("{words} ({}{detail})", presentable(error, &[], 64)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::oauth::tests::provider;

    fn query(url: &Url, name: &str) -> Vec<String> {
        url.query_pairs().filter(|(key, _)| key == name).map(|(_, value)| value.into_owned()).collect()
    }

    #[test]
    fn the_request_carries_pkce_state_hint_and_the_preset_s_parameters() {
        let provider = provider();
        let authorization =
            Authorization::begin(&provider, "ann@example.com", "http://localhost:4711".to_owned()).unwrap();
        let url = authorization.url();
        for (name, value) in [
            ("response_type", "code"),
            ("client_id", "gatepost"),
            ("redirect_uri", "http://localhost:4711"),
            ("scope", "mail offline_access"),
            ("login_hint", "ann@example.com"),
            ("code_challenge_method", "S256"),
            ("prompt", "select_account"),
        ] {
            assert_eq!(query(url, name), [value], "{name}");
        }
        assert_eq!(query(url, "code_challenge").concat().len(), 43);
        assert!(query(url, "state").concat().len() >= 16);
        assert!(!url.as_str().contains(authorization.verifier.expose()));
    }

    #[test]
    fn only_our_own_state_brings_a_code() {
        let provider = provider();
        let authorization =
            Authorization::begin(&provider, "ann@example.com", "http://localhost".to_owned()).unwrap();
        let state = authorization.state.secret();
        for returned in [
            format!("http://localhost/?code=c%2F1&state={state}"),
            format!("  <http://localhost/?state={state}&code=c%2F1&session_state=x#fragment>\n"),
            format!("?code=c%2F1&state={state}"),
            format!("code=c/1&state={state}"),
        ] {
            assert_eq!(authorization.code(&returned).unwrap().expose(), "c/1", "{returned}");
        }
        for returned in ["?code=c&state=other", "?error=access_denied&state="] {
            assert!(matches!(authorization.code(returned), Err(ConsentError::WrongState)), "{returned}");
        }
        for returned in [
            String::new(),
            "c/1".to_owned(),
            "?code=c".to_owned(),
            format!("?state={state}"),
            format!("?code=&state={state}"),
            format!("?code=a&code=b&state={state}"),
            format!("?code=a&state={state}&state={state}"),
        ] {
            assert!(matches!(authorization.code(&returned), Err(ConsentError::NotUnderstood)), "{returned}");
        }
    }

    #[test]
    fn a_refusal_is_told_in_words() {
        let provider = provider();
        let authorization =
            Authorization::begin(&provider, "ann@example.com", "http://localhost".to_owned()).unwrap();
        let state = authorization.state.secret();
        let returned = format!("?error=access_denied&error_description=AADSTS65004%0a:+no&state={state}");
        assert_eq!(
            authorization.code(&returned).unwrap_err().to_string(),
            "the provider gave no consent: it was declined, or an administrator must allow the application first \
             (access_denied: AADSTS65004 : no)"
        );
    }
}
