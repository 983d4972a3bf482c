//! Tokens that an organisation allows an application or a service account, asked for to see whether it does by now: they are
//! kept nowhere, and no account is needed.

use std::sync::Arc;
use std::time::SystemTime;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use gatepost_protocol::secret::Secret;
use serde_json::Value;

use super::diagnosis::{EndpointError, presentable};
use super::http::Endpoint;
use super::issuer::Issuers;
use super::{client_credentials, service_account};
use crate::config::provider::{GrantType, OAuthClient};

/// What an access token says about the application that it was given to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// The object id of its enterprise application.
    pub object_id: Option<String>,
    /// What the organisation's administrator has allowed it.
    pub roles: Vec<String>,
}

/// A new token for the mailbox. Only for grants that need no person; the others have nothing to redeem.
pub async fn token(client: &Arc<OAuthClient>, mailbox: &str) -> Result<Secret<String>, EndpointError> {
    let client = &Issuers::default().completed(client).await?;
    let endpoint = Endpoint::new(client)?;
    let tokens = match client.grant {
        GrantType::ClientCredentials => {
            client_credentials::request(&endpoint, client, SystemTime::now()).await
        }
        GrantType::ServiceAccount => {
            service_account::request(&endpoint, client, mailbox, SystemTime::now()).await
        }
        GrantType::AuthorizationCode | GrantType::Password => Err(EndpointError::NothingToRedeem),
    };
    tokens.map(|tokens| tokens.access_token)
}

/// Reads a token of Entra's. How a token looks inside is the provider's own affair (RFC 6749 section 1.4), so this is a hint
/// for people, and `None` is no fault.
pub fn claims(token: &Secret<String>) -> Option<Claims> {
    let claims = token.expose().split('.').nth(1)?.trim_end_matches('=');
    let claims: Value = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
    // Without it the token is somebody else's kind of token, whose silence about roles means nothing.
    claims.get("tid")?;
    let text = |value: &Value| value.as_str().map(|text| presentable(text, &[], 64));
    Some(Claims {
        object_id: claims.get("oid").and_then(text),
        roles: claims.get("roles").and_then(Value::as_array).into_iter().flatten().filter_map(text).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_entra_s_tokens_are_read() {
        let claims_of = |token: &str| claims(&Secret::new(token.to_owned()));
        let read = |text: &str| claims_of(&format!("e30.{}.signature", BASE64_URL_SAFE_NO_PAD.encode(text)));
        let full = r#"{"tid":"t","oid":"o","roles":["SMTP.SendAsApp","IMAP.AccessAsApp"]}"#;
        let expected = Claims {
            object_id: Some("o".to_owned()),
            roles: vec!["SMTP.SendAsApp".to_owned(), "IMAP.AccessAsApp".to_owned()],
        };
        assert_eq!(read(full), Some(expected));
        assert_eq!(read(r#"{"tid":"t"}"#), Some(Claims::default()));
        for other in [r#"{"oid":"o"}"#, "[]", "tid"] {
            assert_eq!(read(other), None, "{other}");
        }
        for opaque in ["", "ya29.a0", "a.b.c", "a.!.c"] {
            assert_eq!(claims_of(opaque), None, "{opaque}");
        }
    }
}
