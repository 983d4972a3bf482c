//! The certificate that all listeners share, and the names that it must vouch for.

use std::net::IpAddr;
use std::sync::Arc;

use super::host_name;
use crate::config::{Config, Listener, ListenerTls};
use crate::tls::acceptor::ServerCertificate;
use crate::tls::authority::{Authority, Names};
use crate::tls::{CertificateFiles, TlsError};

/// Where the certificate for clients comes from, if any listener needs one.
pub(super) struct Certificate {
    /// What listeners show now.
    pub(super) current: Arc<ServerCertificate>,
    pub(super) source: CertificateSource,
}

/// The files that the configuration names, or our own authority.
pub(super) enum CertificateSource {
    Files(CertificateFiles),
    Own(Authority, Names),
}

impl CertificateSource {
    /// Where the certificate is now; renewed first where it is ours and that is due.
    pub(super) fn files(&self) -> Result<CertificateFiles, TlsError> {
        match self {
            Self::Files(files) => Ok(files.clone()),
            Self::Own(authority, names) => authority.leaf(names),
        }
    }
}

impl Certificate {
    /// What the configuration wants; `None` where no listener has TLS.
    pub(super) fn of(config: &Config) -> Result<Option<Self>, TlsError> {
        if config.listeners.iter().all(|listener| listener.tls == ListenerTls::None) {
            return Ok(None);
        }
        let source = match &config.certificate {
            Some(files) => CertificateSource::Files(files.clone()),
            None => {
                CertificateSource::Own(Authority::new(&config.state_dir), listener_names(&config.listeners))
            }
        };
        let current = ServerCertificate::load(&source.files()?)?;
        Ok(Some(Self { current, source }))
    }
}

/// What clients may call us: the host's name, and every address that a listener can be reached at.
fn listener_names(listeners: &[Listener]) -> Names {
    let mut hosts = vec!["localhost".to_owned()];
    hosts.extend(Some(host_name()).filter(|name| name != "localhost"));
    let mut addresses: Vec<IpAddr> =
        vec![IpAddr::from([127, 0, 0, 1]), IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])];
    for listener in listeners {
        match listener.address.ip() {
            any if any.is_unspecified() => {
                addresses
                    .extend(if_addrs::get_if_addrs().unwrap_or_default().iter().map(if_addrs::Interface::ip));
            }
            address => addresses.push(address),
        }
    }
    addresses.sort_unstable();
    addresses.dedup();
    Names { hosts, addresses }
}
