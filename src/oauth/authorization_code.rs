//! The authorization code grant (RFC 6749 section 4.1), always with PKCE S256 (RFC 7636): a person consents in a browser, and
//! the code that comes back by redirect is redeemed. A code counts only beside the `state` that we made, and a consent
//! without a refresh token is not kept: it would be dead within the hour.

use std::borrow::Cow;
use std::time::SystemTime;

use gatepost_protocol::secret::Secret;
use oauth2::{AuthUrl, AuthorizationCode, CsrfToken, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl};
use subtle::ConstantTimeEq;
use url::{Url, form_urlencoded};

use super::admin_consent;
use super::consent::{ConsentError, denied, worth_keeping};
use super::http::Endpoint;
use super::token_request::{new_tokens, oauth2, scopes};
use crate::config::provider::{GrantType, OAuthClient};
use crate::store::grants::NewTokens;

/// A consent that is being asked for.
#[derive(Debug)]
pub struct Authorization<'a> {
    client: &'a OAuthClient,
    url: Url,
    redirect: RedirectUrl,
    state: CsrfToken,
    verifier: Secret<String>,
}

impl<'a> Authorization<'a> {
    /// Prepares a consent of `address` at the provider; its answer will come to `redirect_uri`.
    pub fn begin(client: &'a OAuthClient, address: &str, redirect_uri: String) -> Result<Self, ConsentError> {
        let no_consent = || ConsentError::NoConsent(client.provider.clone());
        let endpoint = match client.grant {
            GrantType::AuthorizationCode => client.authorization_endpoint.clone().ok_or_else(no_consent)?,
            GrantType::ClientCredentials | GrantType::Password | GrantType::ServiceAccount => {
                return Err(no_consent());
            }
        };
        let redirect = RedirectUrl::new(redirect_uri).map_err(|_| ConsentError::NotUnderstood)?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let at_endpoint = oauth2(client).set_auth_uri(AuthUrl::from_url(endpoint));
        let mut request = at_endpoint
            .authorize_url(CsrfToken::new_random)
            .set_redirect_uri(Cow::Borrowed(&redirect))
            .set_pkce_challenge(challenge)
            .add_scopes(scopes(client))
            // Not a standard, but Microsoft, Google and OpenID Connect know it: it offers the right account.
            .add_extra_param("login_hint", address.to_owned());
        for (name, value) in &client.authorization_parameters {
            request = request.add_extra_param(name.clone(), value.clone());
        }
        let (url, state) = request.url();
        Ok(Self { client, url, redirect, state, verifier: Secret::new(verifier.into_secret()) })
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
            let (error, description) =
                (error.expose(), description.as_ref().map(|text| text.expose().as_str()));
            return Err(admin_consent::needed(self.client, error, description)
                .unwrap_or_else(|| denied(error, description)));
        }
        only("code").filter(|code| !code.expose().is_empty()).ok_or(ConsentError::NotUnderstood)
    }

    /// Redeems the code. A code is good for one attempt, so this is never tried twice.
    pub async fn redeem(&self, code: Secret<String>) -> Result<NewTokens, ConsentError> {
        let host = || self.client.token_endpoint.host_str().unwrap_or_default().to_owned();
        let failed = |error| {
            admin_consent::needed_by(self.client, &error)
                .unwrap_or_else(|| ConsentError::Endpoint { host: host(), error })
        };
        let endpoint = Endpoint::new(self.client).map_err(failed)?;
        let asked_at = SystemTime::now();
        let answer = oauth2(self.client)
            .exchange_code(AuthorizationCode::new(code.expose().clone()))
            .set_redirect_uri(Cow::Borrowed(&self.redirect))
            .set_pkce_verifier(PkceCodeVerifier::new(self.verifier.expose().clone()))
            .request_async(&endpoint)
            .await;
        worth_keeping(self.client, new_tokens(answer, asked_at).map_err(failed)?)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::oauth::tests::client;

    fn query(url: &Url, name: &str) -> Vec<String> {
        url.query_pairs().filter(|(key, _)| key == name).map(|(_, value)| value.into_owned()).collect()
    }

    #[test]
    fn the_request_carries_pkce_state_hint_and_the_preset_s_parameters() {
        let client = client();
        let authorization =
            Authorization::begin(&client, "ann@example.com", "http://localhost:4711".to_owned()).unwrap();
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
        let client = client();
        let authorization =
            Authorization::begin(&client, "ann@example.com", "http://localhost".to_owned()).unwrap();
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
        let client = client();
        let authorization =
            Authorization::begin(&client, "ann@example.com", "http://localhost".to_owned()).unwrap();
        let state = authorization.state.secret();
        let returned = format!("?error=access_denied&error_description=AADSTS65004%0a:+no&state={state}");
        assert_eq!(
            authorization.code(&returned).unwrap_err().to_string(),
            "the provider gave no consent: it was declined, or an administrator must allow the application first \
             (access_denied: AADSTS65004 : no)"
        );
    }
}
