//! An application that is registered with a certificate: its certificate and key, and what checks its signatures.

// Each test program takes its own part of this.
#![allow(dead_code)]

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256, PublicKeyData, RsaKeySize};
use serde_json::Value;
use time::{Duration, OffsetDateTime};

/// The certificate and its RSA key.
pub(crate) struct Application {
    /// PEM.
    pub(crate) certificate: String,
    pub(crate) der: Vec<u8>,
    /// PEM.
    pub(crate) key: String,
    public_key: Vec<u8>,
}

impl Application {
    /// Its certificate is good for a year.
    pub(crate) fn new() -> Self {
        Self::with_days_left(365)
    }

    pub(crate) fn with_days_left(days: i64) -> Self {
        let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
        let mut certificate = CertificateParams::new(Vec::new()).unwrap();
        let now = OffsetDateTime::now_utc();
        certificate.not_before = now - Duration::days(400);
        // An hour more, so that a test that takes its time counts the same days.
        certificate.not_after = now + Duration::days(days) + Duration::hours(1);
        let certificate = certificate.self_signed(&key).unwrap();
        Self {
            certificate: certificate.pem(),
            der: certificate.der().to_vec(),
            key: key.serialize_pem(),
            public_key: key.der_bytes().to_vec(),
        }
    }

    /// Header and claims of a token that this key has signed.
    pub(crate) fn verify(&self, token: &str) -> Option<(Value, Value)> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (head, claims) = signed.split_once('.')?;
        let decoded = |part: &str| BASE64_URL_SAFE_NO_PAD.decode(part).ok();
        let head: Value = serde_json::from_slice(&decoded(head)?).ok()?;
        let verification = match head.get("alg")?.as_str()? {
            "PS256" => &RSA_PSS_2048_8192_SHA256,
            "RS256" => &RSA_PKCS1_2048_8192_SHA256,
            _ => return None,
        };
        UnparsedPublicKey::new(verification, &self.public_key)
            .verify(signed.as_bytes(), &decoded(signature)?)
            .ok()?;
        Some((head, serde_json::from_slice(&decoded(claims)?).ok()?))
    }
}
