//! [`Witness`]: remembers which certificate a server presented, so that a handshake that failed can be told. Rule: it decides
//! nothing. Whatever the one verifier says of a certificate or a signature is passed on as it is (invariant 5).

use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::Trust;

/// Stands beside the verifier.
#[derive(Debug)]
pub struct Witness {
    verifier: Arc<WebPkiServerVerifier>,
    presented: Mutex<Option<CertificateDer<'static>>>,
}

impl Trust {
    /// A configuration that trusts the same and resumes nothing, so that a certificate is always presented; and who sees it.
    /// `None` only where no root is usable, and then there is no [`Trust`] either.
    pub fn witnessed(&self) -> Option<(Arc<ClientConfig>, Arc<Witness>)> {
        let provider = Arc::clone(self.config.crypto_provider());
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::clone(&self.roots), provider).build().ok()?;
        let witness = Arc::new(Witness { verifier, presented: Mutex::default() });
        let mut config = ClientConfig::clone(&self.config);
        config.resumption = Resumption::disabled();
        config.dangerous().set_certificate_verifier(Arc::<Witness>::clone(&witness));
        Some((Arc::new(config), witness))
    }
}

impl Witness {
    /// The server's own certificate, if one was presented.
    pub fn presented(&self) -> Option<CertificateDer<'static>> {
        self.presented.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        *self.presented.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(end_entity.clone().into_owned());
        self.verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}
