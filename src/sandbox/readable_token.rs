//! Access tokens that can be read, as Microsoft's for work accounts are: JWTs whose claims say whose they are and for what. The
//! signature is made up, which only the mail servers could find out, and these know what they gave.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::CLIENT_ID;
use crate::jwt;

/// Where the claims leave no room: what stands behind them is what nobody can guess.
pub(super) const SIGNATURE_LENGTH: usize = 86;

/// The one organisation of the sandbox.
const TENANT: &str = "66666666-7777-4888-9999-000000000000";

/// What a token says of itself.
pub(super) struct Claims<'a> {
    /// `None` for the application's own.
    pub(super) mailbox: Option<&'a str>,
    pub(super) scope: &'a str,
    pub(super) lifetime: Duration,
}

impl Claims<'_> {
    /// All of the token up to its signature.
    pub(super) fn encoded(&self) -> String {
        let header = json!({ "typ": "JWT", "alg": "RS256", "kid": "sandbox" });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.", part(&header), part(&self.claims()))
    }

    fn claims(&self) -> Value {
        let (issued_at, expires_at) = jwt::times(SystemTime::now(), self.lifetime);
        let mut claims = json!({
            "aud": resource(self.scope).unwrap_or("https://outlook.office.com"),
            "iss": format!("https://sts.windows.net/{TENANT}/"),
            "iat": issued_at,
            "nbf": issued_at,
            "exp": expires_at,
            "appid": CLIENT_ID,
            "tid": TENANT,
            "ver": "1.0",
        });
        let Some(object) = claims.as_object_mut() else { return claims };
        if let Some(mailbox) = self.mailbox {
            let scopes = self.scope.split(' ').filter(|scope| *scope != "offline_access");
            let granted: Vec<&str> = scopes.map(permission).collect();
            object.insert("scp".to_owned(), granted.join(" ").into());
            object.insert("upn".to_owned(), mailbox.into());
        } else {
            let granted = ["IMAP.AccessAsApp", "POP.AccessAsApp", "SMTP.SendAsApp"];
            object.insert("roles".to_owned(), granted.as_slice().into());
            object.insert("idtyp".to_owned(), "app".into());
        }
        claims
    }
}

/// The resource that the first URL among these scopes belongs to.
pub(super) fn resource(scope: &str) -> Option<&str> {
    let url = scope.split(' ').find(|scope| scope.starts_with("https://"))?;
    url.rsplit_once('/').map(|(resource, _)| resource)
}

/// A scope without its resource.
fn permission(scope: &str) -> &str {
    scope.rsplit_once('/').map_or(scope, |(_, permission)| permission)
}
