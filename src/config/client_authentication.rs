//! [`ClientAuthentication`]: how Gatepost proves to a token endpoint that it is the registered application (RFC 6749
//! section 2.3, RFC 7523). Which way follows from what is written; only where a secret goes has to be chosen.

use std::path::Path;
use std::time::SystemTime;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use gatepost_protocol::secret::Secret;
use url::Url;
use x509_parser::pem::parse_x509_pem;

use super::complaint::Finding;
use super::proof::Proof;
use super::section::{Field, Section, readable};
use super::{Surroundings, lint, secret};
use crate::jwt::{Algorithm, SigningKey};

/// How Gatepost proves who it is. The names are those of RFC 7591 section 2.
#[derive(Clone, Debug)]
pub enum ClientAuthentication {
    /// Not at all: a public client.
    None,
    /// The secret goes into the `Authorization` header, form-encoded first (RFC 6749 section 2.3.1).
    ClientSecretBasic(Secret<String>),
    /// The secret goes into the body.
    ClientSecretPost(Secret<String>),
    /// No secret goes anywhere: a token is signed for each request.
    PrivateKeyJwt(ClientCertificate),
}

/// A certificate that is registered at the provider, with its key.
#[derive(Clone, Debug)]
pub struct ClientCertificate {
    /// Signs.
    pub key: SigningKey,
    /// How.
    pub algorithm: Algorithm,
    /// Names the certificate toward the provider (RFC 7515 section 4.1): its SHA-256 under `x5t#S256`, or its SHA-1 under
    /// `x5t`.
    pub thumbprint: String,
    /// When the provider takes it no more.
    pub expires_at: SystemTime,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Basic,
    Post,
    PrivateKeyJwt,
}

const METHODS: [(&str, Method); 3] = [
    ("client_secret_post", Method::Post),
    ("client_secret_basic", Method::Basic),
    ("private_key_jwt", Method::PrivateKeyJwt),
];

/// Microsoft's documents ask for PS256 today; RS256 is what they asked for before, and what other providers know.
const ALGORITHMS: [(&str, Algorithm); 2] = [("PS256", Algorithm::Ps256), ("RS256", Algorithm::Rs256)];

/// The keys of a provider that say how Gatepost proves who it is.
pub(super) struct Written<'a> {
    method: Option<Field<'a>>,
    pub(super) secret: Option<Field<'a>>,
    certificate: Option<Field<'a>>,
}

impl<'a> Written<'a> {
    pub(super) fn take(section: &mut Section<'a>) -> Self {
        Self {
            method: section.take("client_authentication"),
            secret: section.take("client_secret"),
            certificate: section.take("client_certificate"),
        }
    }

    /// Whether there is anything that an application alone could prove itself with.
    pub(super) fn proves_something(&self) -> bool {
        self.secret.is_some() || self.certificate.is_some()
    }

    /// Whether the way is chosen by name.
    pub(super) fn names_method(&self) -> bool {
        self.method.is_some()
    }

    /// Every key that is there.
    pub(super) fn fields(&self) -> impl Iterator<Item = &Field<'a>> {
        [&self.method, &self.secret, &self.certificate].into_iter().flatten()
    }

    /// When the secret ends by what the file says, or the certificate by what stands in it. `None` where that is not known.
    pub(super) fn ends(&self, authentication: Option<&ClientAuthentication>) -> Option<SystemTime> {
        match (&self.secret, authentication) {
            (Some(field), _) => secret::expires(field),
            (None, Some(ClientAuthentication::PrivateKeyJwt(certificate))) => Some(certificate.expires_at),
            _ => None,
        }
    }

    /// L16: complains where what Gatepost proves itself with ends soon.
    pub(super) fn judge_end(&self, until: Option<SystemTime>, provider: &str) {
        let Some(field) = self.secret.as_ref().or(self.certificate.as_ref()) else { return };
        let proof = until.map(|until| Proof { is_certificate: self.secret.is_none(), until });
        if let Some(text) = proof.and_then(|proof| lint::ends(proof, provider, SystemTime::now())) {
            let expires = field.find("expires");
            expires.as_ref().unwrap_or(field).complain(Finding::coded("L16", text));
        }
    }

    /// L14: complains where the secret is the id of one. `read` is what was read of it.
    pub(super) fn judge_secret(&self, read: Option<&ClientAuthentication>, token_endpoint: &Url) {
        let Some((field, secret)) = self.secret.as_ref().zip(read.and_then(ClientAuthentication::secret))
        else {
            return;
        };
        if let Some(problem) = lint::client_secret(token_endpoint, secret) {
            field.complain(problem);
        }
    }

    /// `None` only after a complaint.
    pub(super) fn read(&self, surroundings: &Surroundings<'_>) -> Option<ClientAuthentication> {
        let method = readable(self.method.as_ref().map(|field| field.choice(&METHODS)));
        let secret = readable(self.secret.as_ref().map(|field| secret::read(field, surroundings)));
        let certificate =
            readable(self.certificate.as_ref().map(|field| read_certificate(field, surroundings.folder)));
        if let (Some(_), Some(field)) = (&self.secret, &self.certificate) {
            field.complain("stands beside `client_secret`; keep one of them");
            return None;
        }
        match (method?, secret?, certificate?) {
            (None, None, None) => Some(ClientAuthentication::None),
            (None | Some(Method::Post), Some(secret), _) => {
                Some(ClientAuthentication::ClientSecretPost(secret))
            }
            (Some(Method::Basic), Some(secret), _) => Some(ClientAuthentication::ClientSecretBasic(secret)),
            (None | Some(Method::PrivateKeyJwt), _, Some(certificate)) => {
                Some(ClientAuthentication::PrivateKeyJwt(certificate))
            }
            (Some(method), ..) => {
                let needed = match method {
                    Method::Basic | Method::Post => "client_secret",
                    Method::PrivateKeyJwt => "client_certificate",
                };
                if let Some(field) = &self.method {
                    field.complain(Finding::coded("L15", format!("needs `{needed}` beside it")));
                }
                None
            }
        }
    }
}

impl ClientAuthentication {
    /// The secret, where there is one.
    pub fn secret(&self) -> Option<&Secret<String>> {
        match self {
            Self::ClientSecretBasic(secret) | Self::ClientSecretPost(secret) => Some(secret),
            Self::None | Self::PrivateKeyJwt(_) => None,
        }
    }
}

fn read_certificate(field: &Field<'_>, folder: &Path) -> Option<ClientCertificate> {
    let mut section = field.section()?;
    let certificate = section.require("certificate", "the PEM file that you uploaded to the provider");
    let key = section.require("key", "the PEM file with its private key");
    let algorithm = section.take("algorithm");
    section.finish();

    let algorithm = readable(algorithm.map(|field| field.choice(&ALGORITHMS)));
    let parsed = certificate.and_then(|field| parse_certificate(&field, folder));
    let key = key.and_then(|field| Some((read_key(&field, folder)?, field)));
    let (algorithm, parsed, (key, key_field)) = (algorithm?.unwrap_or(Algorithm::Ps256), parsed?, key?);
    if !key.belongs_to(&parsed.public_key) {
        key_field.complain(format!(
            "{} is the key of another certificate; write the one that belongs to it",
            key_field.path(folder)?.display()
        ));
        return None;
    }
    let hash = match algorithm {
        Algorithm::Ps256 => &SHA256,
        Algorithm::Rs256 => &SHA1_FOR_LEGACY_USE_ONLY,
    };
    let thumbprint = BASE64_URL_SAFE_NO_PAD.encode(digest(hash, &parsed.der));
    Some(ClientCertificate { key, algorithm, thumbprint, expires_at: parsed.expires_at })
}

/// What of a certificate matters here.
struct Parsed {
    der: Vec<u8>,
    /// RSAPublicKey, where it is one.
    public_key: Vec<u8>,
    expires_at: SystemTime,
}

fn parse_certificate(field: &Field<'_>, folder: &Path) -> Option<Parsed> {
    let path = field.readable_file(folder)?;
    let name = path.display();
    let read = std::fs::read(&path).ok();
    let pem = read.as_deref().and_then(|bytes| parse_x509_pem(bytes).ok()).map(|(_, pem)| pem);
    let Some((pem, certificate)) = pem.as_ref().and_then(|pem| Some((pem, pem.parse_x509().ok()?))) else {
        field.complain(format!("{name} holds no certificate in PEM (`-----BEGIN CERTIFICATE-----`)"));
        return None;
    };
    Some(Parsed {
        der: pem.contents.clone(),
        public_key: certificate.public_key().subject_public_key.data.to_vec(),
        expires_at: certificate.validity().not_after.to_datetime().into(),
    })
}

fn read_key(field: &Field<'_>, folder: &Path) -> Option<SigningKey> {
    let path = field.path(folder)?;
    let key = secret::read_private(&path)
        .and_then(|pem| SigningKey::from_pem(&pem).map_err(|error| error.to_string()));
    match key {
        Ok(key) => return Some(key),
        Err(problem) => field.complain(format!("{} {problem}", path.display())),
    }
    None
}
