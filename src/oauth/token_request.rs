//! What all grants share: Gatepost as `oauth2`'s client, and what a token response (RFC 6749 section 5.1) becomes. The
//! response is read leniently where providers differ (`expires_in` as text or absent, `token_type` in any case) and
//! strictly where a mistake would cost a mailbox. `oauth2`'s parse error carries the raw body, so it ends here.

use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use gatepost_protocol::secret::Secret;
use oauth2::basic::{
    BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse, BasicTokenType,
};
use oauth2::{
    AuthType, Client, ClientId, ClientSecret, EndpointNotSet, EndpointSet, RefreshToken, RequestTokenError,
    Scope, StandardRevocableToken, TokenResponse, TokenUrl,
};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::diagnosis::{self, EndpointError};
use crate::config::provider::ClientAuthentication;
use crate::config::provider::OAuthClient;
use crate::store::grants::{Identity, NewTokens};

/// What is taken for the life of a token whose response does not tell it.
const USUAL_LIFE: Duration = Duration::from_hours(1);

/// No token is taken for shorter or longer than this, whatever the response says.
const SHORTEST_LIFE: Duration = Duration::from_secs(1);
pub(super) const LONGEST_LIFE: Duration = Duration::from_hours(24);

/// The longest access token that fits into the login dialogues.
const MAX_TOKEN: usize = 8192;

/// `oauth2`'s client with our own token response in place of its stricter one.
pub(super) type OAuth2 = Client<
    BasicErrorResponse,
    Answer,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;

/// Gatepost as the provider knows it. Without a choice the secret goes into the body: with HTTP Basic, providers disagree on
/// whether it is form-encoded first. What is signed for each request is added when it is sent.
pub(super) fn oauth2(ours: &OAuthClient) -> OAuth2 {
    let auth_type = match &ours.authentication {
        ClientAuthentication::ClientSecretBasic(_) => AuthType::BasicAuth,
        ClientAuthentication::ClientSecretPost(_)
        | ClientAuthentication::None
        | ClientAuthentication::PrivateKeyJwt(_) => AuthType::RequestBody,
    };
    let client = Client::new(ClientId::new(ours.client_id.clone()))
        .set_auth_type(auth_type)
        .set_token_uri(TokenUrl::from_url(ours.token_endpoint.clone()));
    match ours.authentication.secret() {
        Some(secret) => client.set_client_secret(ClientSecret::new(secret.expose().clone())),
        None => client,
    }
}

/// The provider's scopes as `oauth2` takes them.
pub(super) fn scopes(client: &OAuthClient) -> impl Iterator<Item = Scope> {
    client.scopes.iter().cloned().map(Scope::new)
}

/// Takes an answer apart. `asked_at` is the moment before the request was sent: a slow answer must not lengthen a
/// token's life.
pub(super) fn new_tokens(
    answer: Result<Answer, RequestTokenError<EndpointError, BasicErrorResponse>>,
    asked_at: SystemTime,
) -> Result<NewTokens, EndpointError> {
    let answer = answer.map_err(|error| match error {
        RequestTokenError::Request(error) => error,
        // Everything else may hold the body, or a part of it.
        _ => EndpointError::NotUnderstood("not the JSON of RFC 6749 section 5.1"),
    })?;
    if answer.token_type != BasicTokenType::Bearer {
        return Err(EndpointError::NotUnderstood("its token_type is not Bearer"));
    }
    let access_token = Secret::new(answer.access_token.into_secret());
    if access_token.expose().is_empty() || !access_token.expose().bytes().all(|byte| byte.is_ascii_graphic())
    {
        return Err(EndpointError::NotUnderstood("its access_token is empty or not printable"));
    }
    if access_token.expose().len() > MAX_TOKEN {
        return Err(EndpointError::NotUnderstood("its access_token is longer than 8192 characters"));
    }
    let life = answer.expires_in.map_or(USUAL_LIFE, Duration::from_secs).clamp(SHORTEST_LIFE, LONGEST_LIFE);
    Ok(NewTokens {
        access_token,
        refresh_token: answer
            .refresh_token
            .map(|token| Secret::new(token.into_secret()))
            .filter(|token| !token.expose().is_empty()),
        issued_at: asked_at,
        expires_at: asked_at + life,
        scopes: answer.scope.unwrap_or_default().iter().map(|scope| scope.to_string()).collect(),
        identity: answer.id_token.as_ref().and_then(|token| identity(token.expose())),
    })
}

/// A token response as it is met in the field. `oauth2` asks for `Serialize`; nothing here is ever serialized.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Answer {
    access_token: oauth2::AccessToken,
    #[serde(default = "bearer", deserialize_with = "token_type")]
    token_type: BasicTokenType,
    #[serde(default, deserialize_with = "seconds")]
    expires_in: Option<u64>,
    #[serde(default)]
    refresh_token: Option<RefreshToken>,
    #[serde(default, deserialize_with = "scope_list")]
    scope: Option<Vec<Scope>>,
    #[serde(default, deserialize_with = "id_token", skip_serializing)]
    id_token: Option<Secret<String>>,
}

impl TokenResponse for Answer {
    type TokenType = BasicTokenType;

    fn access_token(&self) -> &oauth2::AccessToken {
        &self.access_token
    }

    fn token_type(&self) -> &BasicTokenType {
        &self.token_type
    }

    fn expires_in(&self) -> Option<Duration> {
        self.expires_in.map(Duration::from_secs)
    }

    fn refresh_token(&self) -> Option<&RefreshToken> {
        self.refresh_token.as_ref()
    }

    fn scopes(&self) -> Option<&Vec<Scope>> {
        self.scope.as_ref()
    }
}

/// Who consented, as an id_token names them. Its signature need not be checked: it came from the token endpoint itself over
/// verified TLS (OpenID Connect Core section 3.1.3.7, point 6).
fn identity(id_token: &str) -> Option<Identity> {
    let claims = id_token.split('.').nth(1)?.trim_end_matches('=');
    let claims: Value = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
    // All of them: where the sign-in name is not the address, the address is in another one.
    let names = ["preferred_username", "email", "upn"]
        .iter()
        .filter_map(|claim| claims.get(claim)?.as_str())
        .map(|name| diagnosis::presentable(name, &[], 320))
        .filter(|name| !name.is_empty());
    Identity::new(names)
}

fn bearer() -> BasicTokenType {
    BasicTokenType::Bearer
}

fn token_type<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BasicTokenType, D::Error> {
    Ok(match Option::<String>::deserialize(deserializer)? {
        Some(name) if name.eq_ignore_ascii_case("bearer") => BasicTokenType::Bearer,
        Some(name) => BasicTokenType::Extension(name),
        None => BasicTokenType::Bearer,
    })
}

/// A number of seconds: `3600`, `3600.0` or `"3600"`. What is none is taken as not said.
pub(super) fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let number = match Value::deserialize(deserializer)? {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    Ok(number.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).map(|life| life.as_secs()))
}

/// Space-separated, or as some write it, a list.
fn scope_list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<Scope>>, D::Error> {
    let words =
        |text: &str| text.split_ascii_whitespace().map(str::to_owned).map(Scope::new).collect::<Vec<_>>();
    Ok(match Value::deserialize(deserializer)? {
        Value::Array(list) => Some(list.iter().filter_map(Value::as_str).flat_map(words).collect()),
        Value::String(text) => Some(words(&text)),
        _ => None,
    })
}

fn id_token<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret<String>>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(Secret::new))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot read its own table must fail")]

    use super::*;

    fn tokens(body: &str) -> Result<NewTokens, EndpointError> {
        let answer = serde_json::from_str::<Answer>(body)
            .map_err(|_| RequestTokenError::Other(format!("body with a planted secret: {body}")));
        new_tokens(answer, SystemTime::UNIX_EPOCH)
    }

    #[test]
    fn a_life_is_read_however_it_is_written_and_kept_within_reason() {
        let table = [
            ("", 3600),
            (r#","expires_in":3599"#, 3599),
            (r#","expires_in":"1200""#, 1200),
            (r#","expires_in":599.5"#, 599),
            (r#","expires_in":null"#, 3600),
            (r#","expires_in":"soon""#, 3600),
            (r#","expires_in":-5"#, 3600),
            (r#","expires_in":0"#, 1),
            (r#","expires_in":1e300"#, 3600),
            (r#","expires_in":18446744073709551615"#, 3600),
            (r#","expires_in":31536000"#, 86_400),
        ];
        for (field, seconds) in table {
            let tokens = tokens(&format!(r#"{{"access_token":"a","token_type":"bearer"{field}}}"#)).unwrap();
            assert_eq!(tokens.expires_at, SystemTime::UNIX_EPOCH + Duration::from_secs(seconds), "{field}");
        }
    }

    #[test]
    fn only_a_bearer_token_is_taken_and_only_a_printable_one() {
        for body in [r#"{"access_token":"a","token_type":"BEARER"}"#, r#"{"access_token":"a"}"#] {
            assert_eq!(tokens(body).unwrap().access_token.expose(), "a");
        }
        for body in [
            r#"{"access_token":"planted","token_type":"mac"}"#,
            r#"{"access_token":"planted\u0001","token_type":"bearer"}"#,
            r#"{"access_token":"","token_type":"bearer"}"#,
            r#"{"token_type":"bearer","refresh_token":"planted"}"#,
            "\"planted\"",
        ] {
            let error = tokens(body).unwrap_err();
            assert!(matches!(error, EndpointError::NotUnderstood(_)), "{body}");
            assert!(!format!("{error} {error:?}").contains("planted"), "{body}");
        }
    }

    #[test]
    fn scopes_are_kept_as_granted_and_an_empty_refresh_token_is_none() {
        let body = r#"{"access_token":"a","scope":"x  y","refresh_token":""}"#;
        let granted = tokens(body).unwrap();
        assert_eq!(granted.scopes, ["x", "y"]);
        assert!(granted.refresh_token.is_none());
        assert_eq!(tokens(r#"{"access_token":"a","scope":["x","y z"]}"#).unwrap().scopes, ["x", "y", "z"]);
    }

    #[test]
    fn the_one_who_consented_is_read_from_the_id_token() {
        let id_token = |claims: &str| format!("e30.{}.sig", BASE64_URL_SAFE_NO_PAD.encode(claims));
        for (claims, shown, known) in [
            (r#"{"email":"a@b.example"}"#, "a@b.example", "A@B.example"),
            (r#"{"upn":"u","preferred_username":"p"}"#, "p", "u"),
            (r#"{"email":"e","upn":7,"preferred_username":""}"#, "e", "e"),
            (r#"{"email":"e","upn":"u","preferred_username":"p"}"#, "p", "e"),
        ] {
            let identity = identity(&id_token(claims)).unwrap();
            assert!(identity.name() == shown && identity.is(known) && !identity.is("7"), "{identity:?}");
        }
        for useless in ["", "a.b", "a.!.c", &id_token("[]"), &id_token("{}")] {
            assert_eq!(identity(useless), None);
        }
    }
}
