//! A certificate authority for one test, and one certificate for `localhost` that all servers show.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData,
};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

/// The files, and what trusts them.
pub(crate) struct Certificates {
    pub(crate) ca_file: PathBuf,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) ca_pem: String,
    /// SHA-256 of the servers' public key (RFC 7469 section 2.4), which is how a browser is told whom to trust.
    pub(crate) key_digest: String,
    /// Trusts this authority and no other.
    pub(crate) client: Arc<ClientConfig>,
}

impl Certificates {
    pub(crate) fn make(folder: &Path) -> Self {
        let ca_key = KeyPair::generate().unwrap();
        let mut ca = CertificateParams::new(Vec::new()).unwrap();
        ca.distinguished_name.push(DnType::CommonName, "Authority of the Gatepost tests");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca_certificate = ca.self_signed(&ca_key).unwrap();
        let issuer = Issuer::new(ca, ca_key);

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
            key_digest: STANDARD.encode(digest(&SHA256, &key.subject_public_key_info())),
            client: trusting(ca_certificate.der().clone()),
        }
    }
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
