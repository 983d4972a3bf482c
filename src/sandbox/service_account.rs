//! A service account as Google has them (RFC 7523 section 2.1): it signs that it acts for a mailbox, which holds for the domains and
//! scopes that an admin has delegated to it.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{KeyPair, PKCS_RSA_SHA256, PublicKeyData as _, RsaKeySize};
use serde::Deserialize;
use serde_json::json;

use super::grants::Issued;
use super::{Sandbox, SandboxError, World};

/// Who signs.
const EMAIL: &str = "gatepost@sandbox.iam.gserviceaccount.com";

/// The longest life of an assertion, in seconds.
const LONGEST_LIFE: u64 = 3600;

/// The one service account. Without a key there is none.
#[derive(Default)]
pub(super) struct ServiceAccount {
    public_key: Option<Vec<u8>>,
    /// Domains and scopes.
    delegated: Vec<(String, String)>,
}

/// The claims of an assertion that count.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    scope: String,
    aud: String,
    iat: u64,
    exp: u64,
}

/// An error of RFC 6749 section 5.2, and its description.
pub(super) type Refused = (&'static str, &'static str);

impl Sandbox {
    /// Makes the service account, or a new key of it, and gives the JSON key file.
    pub fn service_account_key(&self) -> Result<String, SandboxError> {
        let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?;
        self.shared.world().service_account.public_key = Some(key.der_bytes().to_vec());
        let file = json!({
            "type": "service_account",
            "client_email": EMAIL,
            "client_id": "100000000000000000001",
            "private_key": key.serialize_pem(),
            "private_key_id": "1",
            "token_uri": format!("https://localhost:{}/token", self.ports.https),
        });
        Ok(file.to_string())
    }

    /// Lets the service account act for every mailbox of a domain with this scope (domain-wide delegation).
    pub fn delegate_domain(&self, domain: &str, scope: &str) {
        self.shared.world().service_account.delegated.push((domain.to_owned(), scope.to_owned()));
    }
}

impl World {
    /// A token of the mailbox that an assertion names, at this token endpoint.
    pub(super) fn redeem_assertion(
        &mut self,
        assertion: &str,
        token_endpoint: &str,
    ) -> Result<Issued, Refused> {
        let Some(public_key) = &self.service_account.public_key else {
            return Err(("unsupported_grant_type", "there is no service account here"));
        };
        let claims = verified(assertion, public_key).ok_or(("invalid_grant", "Invalid JWT Signature."))?;
        if claims.iss != EMAIL || claims.aud != token_endpoint {
            return Err(("invalid_grant", "Invalid grant: account not found"));
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let short = claims.exp.checked_sub(claims.iat).is_some_and(|life| life <= LONGEST_LIFE);
        if !short || claims.exp < now || claims.iat > now + LONGEST_LIFE {
            return Err((
                "invalid_grant",
                "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your \
                 iat and exp values in the JWT claim.",
            ));
        }
        let domain = claims.sub.rsplit_once('@').map(|(_, domain)| domain).unwrap_or_default();
        let delegated = |scope: &str| {
            self.service_account
                .delegated
                .iter()
                .any(|(of, allowed)| of.eq_ignore_ascii_case(domain) && allowed == scope)
        };
        if !claims.scope.split(' ').all(delegated) {
            return Err((
                "unauthorized_client",
                "Client is unauthorized to retrieve access tokens using this method, or client not authorized for any \
                 of the scopes requested.",
            ));
        }
        let personality = self.personality.clone();
        Ok(self.grants.delegated(claims.sub, claims.scope, &personality))
    }
}

/// What stands in a token that this key has signed.
fn verified(assertion: &str, public_key: &[u8]) -> Option<Claims> {
    let (signed, signature) = assertion.rsplit_once('.')?;
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public_key);
    key.verify(signed.as_bytes(), &signature).ok()?;
    let (_, claims) = signed.split_once('.')?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()
}
