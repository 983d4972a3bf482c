//! [`Claims`]: what an access token says of itself, where it is a JSON Web Token whose claims can be read (RFC 9068, and Entra's
//! older ones). For explaining only: nothing is verified, because a token is the mail server's to judge, and nothing is decided by
//! it. The token itself goes nowhere.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use gatepost_protocol::secret::Secret;
use serde_json::Value;

use super::diagnosis::presentable;

/// The longest claim that is kept.
const MAX_CLAIM: usize = 320;

/// What a token says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// `aud`: for whom it is.
    pub audience: Vec<String>,
    /// `scp` or `scope`: what a person let the application do.
    pub scopes: Vec<String>,
    /// `roles`: what an admin let the application itself do.
    pub roles: Vec<String>,
    /// `preferred_username`, `upn`, `unique_name`, `email`: every name of the one who signed in.
    pub names: Vec<String>,
    /// `exp`: until when it is good.
    pub expires_at: Option<SystemTime>,
}

impl Claims {
    /// `None` for a token that only its provider can read, as Google's and those of Microsoft for private accounts are.
    pub fn read(token: &Secret<String>) -> Option<Self> {
        let mut parts = token.expose().split('.');
        let (Some(_), Some(claims), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return None;
        };
        let claims = BASE64_URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).ok()?;
        let Value::Object(claims) = serde_json::from_slice(&claims).ok()? else { return None };
        let list = |name: &str| words(claims.get(name));
        let split = |name: &str| -> Vec<String> {
            list(name).iter().flat_map(|text| text.split_ascii_whitespace()).map(str::to_owned).collect()
        };
        let names = ["preferred_username", "upn", "unique_name", "email"];
        Some(Self {
            audience: list("aud"),
            scopes: [split("scp"), split("scope")].concat(),
            roles: list("roles"),
            names: names.into_iter().flat_map(list).collect(),
            expires_at: claims
                .get("exp")
                .and_then(Value::as_u64)
                .and_then(|seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds))),
        })
    }
}

/// A text, or a list of them.
fn words(claim: Option<&Value>) -> Vec<String> {
    let text = |value: &Value| value.as_str().map(|text| presentable(text, &[], MAX_CLAIM));
    match claim {
        Some(Value::Array(list)) => list.iter().filter_map(text).filter(|text| !text.is_empty()).collect(),
        Some(value) => text(value).filter(|text| !text.is_empty()).into_iter().collect(),
        None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(claims: &str) -> Secret<String> {
        Secret::new(format!("e30.{}.signature", BASE64_URL_SAFE_NO_PAD.encode(claims)))
    }

    #[test]
    fn claims_are_read_however_they_are_written() {
        let list = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let entra = r#"{"aud":"https://outlook.office.com","scp":"IMAP.AccessAsUser.All SMTP.Send","upn":"ann@contoso.com",
            "exp":1801353601}"#;
        let expected = Claims {
            audience: list(&["https://outlook.office.com"]),
            scopes: list(&["IMAP.AccessAsUser.All", "SMTP.Send"]),
            names: list(&["ann@contoso.com"]),
            expires_at: Some(UNIX_EPOCH + Duration::from_secs(1_801_353_601)),
            ..Claims::default()
        };
        assert_eq!(Claims::read(&token(entra)), Some(expected));
        let application = r#"{"aud":["a","b"],"roles":["SMTP.SendAsApp",7],"exp":"soon"}"#;
        let expected =
            Claims { audience: list(&["a", "b"]), roles: list(&["SMTP.SendAsApp"]), ..Claims::default() };
        assert_eq!(Claims::read(&token(application)), Some(expected));
        assert_eq!(Claims::read(&token("{}")), Some(Claims::default()));
    }

    #[test]
    fn a_token_that_is_no_jwt_says_nothing() {
        let opaque = |text: &str| Secret::new(text.to_owned());
        for useless in [
            opaque(""),
            opaque("ya29.a0AfH6.x"),
            opaque("a.!.c"),
            opaque("a.b.c.d.e"),
            token("[]"),
            token("7"),
        ] {
            assert_eq!(Claims::read(&useless), None);
        }
    }
}
