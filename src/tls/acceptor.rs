//! The TLS side toward clients: one certificate for all listeners, which can be renewed while they run.

use std::path::Path;
use std::sync::{Arc, RwLock};

use gatepost_protocol::Protocol;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;

use super::{CertificateFiles, TlsError, read_certificates};

/// The certificate that clients are shown now.
#[derive(Debug)]
pub struct ServerCertificate(RwLock<Arc<CertifiedKey>>);

impl ServerCertificate {
    /// Reads the files; fails unless key and certificate belong together.
    pub fn load(files: &CertificateFiles) -> Result<Arc<Self>, TlsError> {
        Ok(Arc::new(Self(RwLock::new(read(files)?))))
    }

    /// Reads the files again. New connections see the new certificate.
    pub fn reload(&self, files: &CertificateFiles) -> Result<(), TlsError> {
        let renewed = read(files)?;
        if let Ok(mut current) = self.0.write() {
            *current = renewed;
        }
        Ok(())
    }

    /// The TLS configuration of a listener. A session is resumed at the listener it began at only, and a client that names
    /// another protocol by ALPN is refused (RFC 7301; cross-protocol attacks).
    pub fn server_config(self: &Arc<Self>, protocol: Protocol) -> Result<Arc<ServerConfig>, TlsError> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::unusable(Path::new("rustls"), &error))?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = match protocol {
            Protocol::Smtp => vec![b"smtp".to_vec()],
            Protocol::Pop3 => vec![b"pop3".to_vec()],
            Protocol::Imap => vec![b"imap".to_vec()],
        };
        Ok(Arc::new(config))
    }
}

impl ResolvesServerCert for ServerCertificate {
    fn resolve(&self, _client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // One certificate for every name: devices often send none, or the wrong one.
        self.0.read().ok().map(|current| Arc::clone(&current))
    }
}

fn read(files: &CertificateFiles) -> Result<Arc<CertifiedKey>, TlsError> {
    let chain = read_certificates(&files.certificate)?;
    let key =
        PrivateKeyDer::from_pem_file(&files.key).map_err(|error| TlsError::unusable(&files.key, &error))?;
    let certified = CertifiedKey::from_der(chain, key, &default_provider()).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => TlsError::unusable(
            &files.key,
            &format!("is not the private key of the first certificate in {}", files.certificate.display()),
        ),
        error => TlsError::unusable(
            &files.key,
            &format!("cannot be used with {}: {error}", files.certificate.display()),
        ),
    })?;
    Ok(Arc::new(certified))
}
