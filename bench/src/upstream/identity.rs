//! The provider's certificate: ECDSA P-256 as at the large providers, TLS 1.3, and tickets, so that sessions can be resumed.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::{self, Ticketer};
use rustls_pki_types::PrivatePkcs8KeyDer;

use super::HOST;

pub(super) struct Identity {
    /// PEM.
    pub(super) authority: String,
    pub(super) server: Arc<ServerConfig>,
}

impl Identity {
    pub(super) fn generate() -> anyhow::Result<Self> {
        let mut authority = named(Vec::new(), "Gatepost bench authority")?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let authority_key = KeyPair::generate()?;
        let authority_pem = authority.self_signed(&authority_key)?.pem();
        let issuer = Issuer::new(authority, authority_key);

        let mut leaf = named(vec![HOST.to_owned(), "127.0.0.1".to_owned()], "Gatepost bench upstream")?;
        leaf.use_authority_key_identifier_extension = true;
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let leaf_key = KeyPair::generate()?;
        let leaf = leaf.signed_by(&leaf_key, &issuer)?;

        let mut server = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_no_client_auth()
            .with_single_cert(
                vec![leaf.der().clone()],
                PrivatePkcs8KeyDer::from(leaf_key.serialize_der()).into(),
            )?;
        server.ticketer = Ticketer::new()?;
        Ok(Self { authority: authority_pem, server: Arc::new(server) })
    }
}

fn named(hosts: Vec<String>, common_name: &str) -> anyhow::Result<CertificateParams> {
    let mut parameters = CertificateParams::new(hosts)?;
    parameters.distinguished_name.push(DnType::CommonName, common_name);
    Ok(parameters)
}
