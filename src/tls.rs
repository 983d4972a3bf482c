//! Both TLS sides. Toward clients: the configured certificate, or one from our own CA. Upstream: one verifier for mail
//! and HTTPS, from the system's roots (`SSL_CERT_FILE` honoured) plus a provider's `ca_file` (invariant 5). There is no
//! switch to turn verification off.

pub mod acceptor;
pub mod authority;
pub mod reason;
pub mod witness;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{CertificateError, CipherSuite, ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::{self, PemObject};
use thiserror::Error;

/// What is trusted upstream. One for each provider, used for its mail servers and its token endpoint alike, so that TLS
/// sessions are resumed. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Trust {
    config: Arc<ClientConfig>,
    roots: Arc<RootCertStore>,
}

/// A certificate chain and its key, both PEM.
#[derive(Clone, Debug)]
pub struct CertificateFiles {
    /// The leaf first.
    pub certificate: PathBuf,
    /// PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
}

/// A certificate or key cannot be used.
#[derive(Debug, Error)]
pub enum TlsError {
    /// There is no system root certificate and no `ca_file`.
    #[error(
        "no root certificates found on this system: install the package ca-certificates, or set SSL_CERT_FILE"
    )]
    NoRoots,
    /// The file cannot be read.
    #[error("{path}: {source}", path = path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file cannot be written.
    #[error("{path}: cannot be written: {source}", path = path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file is not what it should be.
    #[error("{path}: {problem}", path = path.display())]
    Unusable {
        /// Which file.
        path: PathBuf,
        /// In words.
        problem: String,
    },
}

impl TlsError {
    fn unusable(path: &Path, problem: &impl ToString) -> Self {
        Self::Unusable { path: path.to_owned(), problem: problem.to_string() }
    }
}

impl Trust {
    /// The system's roots, and those in `ca_file` (PEM).
    pub fn load(ca_file: Option<&Path>) -> Result<Self, TlsError> {
        let mut roots = system_roots();
        if let Some(path) = ca_file {
            let more = Arc::make_mut(&mut roots);
            for certificate in read_certificates(path)? {
                more.add(certificate).map_err(|error| {
                    TlsError::unusable(path, &format!("not a usable CA certificate: {error}"))
                })?;
            }
        }
        if roots.is_empty() {
            return Err(TlsError::NoRoots);
        }
        let config = ClientConfig::builder_with_provider(Arc::new(upstream_crypto()))
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::unusable(Path::new("rustls"), &error))?
            .with_root_certificates(Arc::clone(&roots))
            .with_no_client_auth();
        Ok(Self { config: Arc::new(config), roots })
    }

    /// The configuration of every connection upstream.
    pub fn client_config(&self) -> &Arc<ClientConfig> {
        &self.config
    }
}

/// rustls' own, with AES-128 before AES-256 in TLS 1.3, as browsers have it: its hash is SHA-256, for which processors have
/// instructions, and with SHA-384 a tenth of a login goes into deriving keys. A provider that wants AES-256 chooses it.
fn upstream_crypto() -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites.sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
    provider
}

/// Whether a connection failed because the other side's certificate was not trusted, and not because of anything that
/// passes by itself.
pub fn is_untrusted(error: &io::Error) -> bool {
    untrusted(error).is_some()
}

/// What is wrong with the other side's certificate, where that is why a connection failed.
pub fn untrusted(error: &io::Error) -> Option<&CertificateError> {
    match tls_error(error)? {
        rustls::Error::InvalidCertificate(why) => Some(why),
        _ => None,
    }
}

/// What TLS has against a connection, where it is that.
pub fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    let cause = error.get_ref()?;
    // HTTP clients wrap it once more.
    cause.downcast_ref().or_else(|| cause.downcast_ref().and_then(tls_error))
}

/// What the system trusts. Some hundred and fifty certificates, read when they are first needed and shared by all providers.
fn system_roots() -> Arc<RootCertStore> {
    static SYSTEM: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let read = || {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Arc::new(roots)
    };
    Arc::clone(SYSTEM.get_or_init(read))
}

/// The certificates in a PEM file; at least one.
fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| match error {
        pem::Error::Io(source) => TlsError::Read { path: path.to_owned(), source },
        other => TlsError::unusable(path, &format!("not PEM: {other}")),
    })?;
    if certificates.is_empty() {
        return Err(TlsError::unusable(path, &"holds no certificate"));
    }
    Ok(certificates)
}

#[cfg(test)]
mod tests {
    use rustls::CipherSuite;
    use rustls::crypto::aws_lc_rs::default_provider;

    use super::upstream_crypto;

    #[test]
    fn aes_128_is_offered_first_and_everything_else_after_it() {
        let names = |suites: &[rustls::SupportedCipherSuite]| -> Vec<_> {
            suites.iter().map(rustls::SupportedCipherSuite::suite).collect()
        };
        let (ours, mut usual) =
            (names(&upstream_crypto().cipher_suites), names(&default_provider().cipher_suites));
        usual.retain(|suite| *suite != CipherSuite::TLS13_AES_128_GCM_SHA256);
        usual.insert(0, CipherSuite::TLS13_AES_128_GCM_SHA256);
        assert_eq!(ours, usual);
    }
}
