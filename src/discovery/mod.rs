//! Finds an address's provider.

use url::Url;

use crate::config::presets;

/// What is known.
#[derive(Clone, Debug)]
pub enum Found {
    /// A preset.
    Preset {
        /// Its name.
        preset: String,
        /// Why.
        because: Because,
    },
    /// An OpenID issuer.
    Issuer {
        /// Its address.
        issuer: Url,
        /// Where its mail is.
        servers: Servers,
    },
    /// Nothing.
    Nothing,
}

/// Why a preset is the right one.
#[derive(Clone, Debug)]
pub enum Because {
    /// It was said.
    Named,
    /// By the address's domain.
    Domain,
    /// By the server that takes the domain's mail.
    Mx(String),
}

/// A mail server that a domain names.
#[derive(Clone, Debug)]
pub struct Server {
    /// Its name.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether TLS begins with the first byte.
    pub tls: crate::config::provider::UpstreamTls,
}

/// Mail servers that a domain names (RFC 6186, RFC 8314).
#[derive(Clone, Debug, Default)]
pub struct Servers {
    /// Sends.
    pub smtp: Option<Server>,
    /// Fetches.
    pub pop3: Option<Server>,
    /// Reads.
    pub imap: Option<Server>,
}

/// Looks at the address's domain.
#[allow(clippy::unused_async)]
pub async fn provider_of(address: &str) -> Found {
    let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain);
    let found = presets::all().into_iter().find(|preset| preset.domains.iter().any(|known| known == domain));
    found.map_or(Found::Nothing, |preset| Found::Preset {
        preset: preset.name.clone(),
        because: Because::Domain,
    })
}
