//! A certificate authority for one test, and one certificate for `localhost` that all servers show; and three that nobody should
//! trust, for servers that go wrong.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PublicKeyData, date_time_ymd,
};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

/// The files, and what trusts them.
pub(crate) struct Certificates {
    pub(crate) ca_file: PathBuf,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) ca_pem: String,
    pub(crate) bad: Bad,
    /// SHA-256 of the servers' public key (RFC 7469 section 2.4), which is how a browser is told whom to trust.
    pub(crate) key_digest: String,
    /// Trusts this authority and no other.
    pub(crate) client: Arc<ClientConfig>,
}

/// Certificates with their keys, each in a file.
pub(crate) struct Bad {
    /// For `localhost`, from another authority.
    pub(crate) untrusted: PathBuf,
    /// For `localhost`, until the end of 2020.
    pub(crate) expired: PathBuf,
    /// For `mail.example.test` alone.
    pub(crate) other_name: PathBuf,
}

impl Certificates {
    pub(crate) fn make(folder: &Path) -> Self {
        let (issuer, ca_certificate) = authority("Authority of the Gatepost tests");
        let key = KeyPair::generate().unwrap();
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let leaf = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();

        let write = |name: &str, pem: &str| {
            let path = folder.join(name);
            fs::write(&path, pem).unwrap();
            path
        };
        Self {
            ca_file: write("ca.pem", &ca_certificate.pem()),
            certificate: write("server.pem", &leaf.pem()),
            key: write("server.key", &key.serialize_pem()),
            ca_pem: ca_certificate.pem(),
            bad: Bad::make(folder, &issuer),
            key_digest: STANDARD.encode(digest(&SHA256, &key.subject_public_key_info())),
            client: trusting(ca_certificate.der().clone()),
        }
    }
}

impl Bad {
    fn make(folder: &Path, issuer: &Issuer<'static, KeyPair>) -> Self {
        let (stranger, _) = authority("Somebody else");
        let good = |name: &str| CertificateParams::new(vec![name.to_owned()]).unwrap();
        let mut expired = good("localhost");
        (expired.not_before, expired.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2020, 12, 31));
        let write = |file: &str, certificate: CertificateParams, issuer| {
            let key = KeyPair::generate().unwrap();
            let certificate = certificate.signed_by(&key, issuer).unwrap();
            let path = folder.join(file);
            fs::write(&path, key.serialize_pem() + &certificate.pem()).unwrap();
            path
        };
        Self {
            untrusted: write("untrusted.pem", good("localhost"), &stranger),
            expired: write("expired.pem", expired, issuer),
            other_name: write("other-name.pem", good("mail.example.test"), issuer),
        }
    }
}

/// One that vouches for others.
fn authority(name: &str) -> (Issuer<'static, KeyPair>, Certificate) {
    let key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.distinguished_name.push(DnType::CommonName, name);
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = authority.self_signed(&key).unwrap();
    (Issuer::new(authority, key), certificate)
}

/// For a mail program that trusts this authority and no other.
pub(crate) fn trusting(authority: CertificateDer<'static>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(authority).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(client)
}
