//! A service account as Google has them (RFC 7523 section 2.1): it signs that it acts for a mailbox, which holds for the
//! domains and scopes that an admin has delegated to it.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
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

/// An error of RFC 6749 section 5.2.
pub(super) struct Refused {
    pub(super) status: StatusCode,
    pub(super) error: &'static str,
    pub(super) description: &'static str,
}

const NO_SERVICE_ACCOUNT: Refused = Refused {
    status: StatusCode::BAD_REQUEST,
    error: "unsupported_grant_type",
    description: "there is no service account here",
};

const WRONG_SIGNATURE: Refused = Refused {
    status: StatusCode::BAD_REQUEST,
    error: "invalid_grant",
    description: "Invalid JWT Signature.",
};

const UNKNOWN_ACCOUNT: Refused = Refused {
    status: StatusCode::BAD_REQUEST,
    error: "invalid_grant",
    description: "Invalid grant: account not found",
};

const WRONG_TIMES: Refused = Refused {
    status: StatusCode::BAD_REQUEST,
    error: "invalid_grant",
    description: "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat \
                  and exp values in the JWT claim.",
};

/// No delegation, another scope, or a mailbox of another domain: Google does not say which.
const NOT_DELEGATED: Refused = Refused {
    status: StatusCode::UNAUTHORIZED,
    error: "unauthorized_client",
    description: "Client is unauthorized to retrieve access tokens using this method, or client not authorized for any of \
                  the scopes requested.",
};

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
        let public_key = self.service_account.public_key.as_ref().ok_or(NO_SERVICE_ACCOUNT)?;
        let claims = verified(assertion, public_key).ok_or(WRONG_SIGNATURE)?;
        if claims.iss != EMAIL || claims.aud != token_endpoint {
            return Err(UNKNOWN_ACCOUNT);
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let is_short = claims.exp.checked_sub(claims.iat).is_some_and(|life| life <= LONGEST_LIFE);
        if !is_short || claims.exp < now || claims.iat > now + LONGEST_LIFE {
            return Err(WRONG_TIMES);
        }
        if !self.service_account.acts_for(&claims.sub, &claims.scope) {
            return Err(NOT_DELEGATED);
        }
        let personality = self.personality.clone();
        Ok(self.grants.delegated(claims.sub, claims.scope, &personality))
    }
}

impl ServiceAccount {
    /// Whether all of these scopes were delegated for the mailbox's domain.
    fn acts_for(&self, mailbox: &str, scopes: &str) -> bool {
        let domain = mailbox.rsplit_once('@').map(|(_, domain)| domain).unwrap_or_default();
        let delegated = |scope: &str| {
            self.delegated.iter().any(|(of, allowed)| of.eq_ignore_ascii_case(domain) && allowed == scope)
        };
        scopes.split(' ').all(delegated)
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
