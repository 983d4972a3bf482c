//! JSON Web Tokens (RFC 7519) that Gatepost signs to say who it is to a token endpoint. Rule: an RSA key is read once, when
//! the configuration is, and never leaves its [`SigningKey`]; tokens of others are neither read nor verified here.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use gatepost_protocol::secret::Secret;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Value, json};
use thiserror::Error;

/// How a token is signed (RFC 7518 section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
}

/// An RSA key that signs. Cheap to clone.
#[derive(Clone)]
pub struct SigningKey(Arc<rsa::KeyPair>);

/// A text is no key that can sign.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum KeyError {
    /// It is locked with a passphrase.
    #[error(
        "is locked with a passphrase; unlock it with `openssl pkey -in LOCKED -out KEY`, and `chmod 600` the result"
    )]
    Locked,
    /// It holds no key.
    #[error("holds no private key in PEM (`-----BEGIN PRIVATE KEY-----`)")]
    NotPem,
    /// It holds a key of another kind.
    #[error("is not an RSA key of 2048 to 8192 bits")]
    NotRsa,
}

/// The system gave no randomness, or the key is broken.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("a JWT could not be signed")]
pub struct SigningError;

impl SigningKey {
    /// From PEM: PKCS#8 or PKCS#1.
    pub fn from_pem(pem: &Secret<String>) -> Result<Self, KeyError> {
        if pem.expose().contains("ENCRYPTED") {
            return Err(KeyError::Locked);
        }
        let key = PrivateKeyDer::from_pem_slice(pem.expose().as_bytes()).map_err(|_| KeyError::NotPem)?;
        let pair = match &key {
            PrivateKeyDer::Pkcs8(der) => rsa::KeyPair::from_pkcs8(der.secret_pkcs8_der()),
            PrivateKeyDer::Pkcs1(der) => rsa::KeyPair::from_der(der.secret_pkcs1_der()),
            _ => return Err(KeyError::NotRsa),
        };
        pair.map(|pair| Self(Arc::new(pair))).map_err(|_| KeyError::NotRsa)
    }

    /// Whether this is the other half of a public key, given as RSAPublicKey (RFC 8017 appendix A.1.1).
    pub fn belongs_to(&self, public_key: &[u8]) -> bool {
        self.0.public_key().as_ref() == public_key
    }

    /// A signed token. `header` is what stands there beside `alg` and `typ`.
    pub fn sign(
        &self,
        algorithm: Algorithm,
        header: Option<(&str, &str)>,
        claims: &Value,
    ) -> Result<Secret<String>, SigningError> {
        let mut head = json!({ "alg": algorithm.name(), "typ": "JWT" });
        if let (Some((name, value)), Some(head)) = (header, head.as_object_mut()) {
            head.insert(name.to_owned(), Value::from(value));
        }
        let mut token = [&head, claims].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
        let padding = match algorithm {
            Algorithm::Ps256 => &RSA_PSS_SHA256,
            Algorithm::Rs256 => &RSA_PKCS1_SHA256,
        };
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0
            .sign(padding, &SystemRandom::new(), token.as_bytes(), &mut signature)
            .map_err(|_| SigningError)?;
        token.push('.');
        BASE64_URL_SAFE_NO_PAD.encode_string(&signature, &mut token);
        Ok(Secret::new(token))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SigningKey(..)")
    }
}

impl Algorithm {
    /// As RFC 7518 writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ps256 => "PS256",
            Self::Rs256 => "RS256",
        }
    }
}

/// `iat` and `exp` of a token that is good for `life` from `now`: seconds since 1970 (RFC 7519 section 2).
pub(crate) fn times(now: SystemTime, life: Duration) -> (u64, u64) {
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    (now.as_secs(), (now + life).as_secs())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};
    use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, RsaKeySize};

    use super::*;

    fn rsa_pem() -> Secret<String> {
        let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
        Secret::new(key.serialize_pem())
    }

    #[test]
    fn a_token_is_three_parts_of_which_the_last_signs_the_others() {
        let key = SigningKey::from_pem(&rsa_pem()).unwrap();
        let claims = json!({ "iss": "me", "exp": 7 });
        for (algorithm, verification) in
            [(Algorithm::Ps256, &RSA_PSS_2048_8192_SHA256), (Algorithm::Rs256, &RSA_PKCS1_2048_8192_SHA256)]
        {
            let token = key.sign(algorithm, Some(("kid", "k")), &claims).unwrap();
            let (signed, signature) = token.expose().rsplit_once('.').unwrap();
            let decoded = |part: &str| BASE64_URL_SAFE_NO_PAD.decode(part).unwrap();
            let (head, body) = signed.split_once('.').unwrap();
            let read = |part: &str| serde_json::from_slice::<Value>(&decoded(part)).unwrap();
            assert_eq!(read(head), json!({ "alg": algorithm.name(), "typ": "JWT", "kid": "k" }));
            assert_eq!(read(body), claims);
            let public = UnparsedPublicKey::new(verification, key.0.public_key().as_ref());
            public.verify(signed.as_bytes(), &decoded(signature)).unwrap();
        }
    }

    #[test]
    fn only_an_rsa_key_that_is_not_locked_signs() {
        let elliptic = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap().serialize_pem();
        for (pem, expected) in [
            (elliptic.as_str(), KeyError::NotRsa),
            ("", KeyError::NotPem),
            ("planted", KeyError::NotPem),
            ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", KeyError::NotRsa),
            (
                "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
                KeyError::Locked,
            ),
        ] {
            assert_eq!(SigningKey::from_pem(&Secret::new(pem.to_owned())).unwrap_err(), expected, "{pem}");
        }
    }

    #[test]
    fn a_key_is_not_printed() {
        assert_eq!(format!("{:?}", SigningKey::from_pem(&rsa_pem()).unwrap()), "SigningKey(..)");
    }
}
