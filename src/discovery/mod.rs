//! Finding the provider of an address: a preset by its domain, or by where the domain's mail is delivered; else what the
//! domain itself publishes, its OpenID Connect issuer and its mail servers. Rule: it always ends within seconds, and says why
//! nothing was found.

mod dns;
mod openid;

use std::net::SocketAddr;
use std::time::Duration;

use url::Host;

use self::dns::Dns;
use crate::address;
use crate::config::presets;
use crate::config::provider::UpstreamTls;
use crate::tls::Trust;

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

/// How long one question may take; a few are asked one after the other.
const PATIENCE: Duration = Duration::from_secs(3);

/// Where the questions go.
#[derive(Clone, Debug)]
pub struct Network {
    /// The resolver that is asked; the system's where `None`.
    pub dns: Option<SocketAddr>,
    /// The port at which domains serve https.
    pub https_port: u16,
    /// Who may vouch for them.
    pub trust: Trust,
}

/// Finds the provider of an address. Never fails: without a network it finds what the presets tell, or nothing and why.
/// `GATEPOST_DNS` names the resolver to ask, for networks whose own is another one than this machine's settings say.
pub async fn provider_of(address: &str) -> Found {
    match Network::of_this_machine() {
        Ok(network) => network.provider_of(address).await,
        Err(problem) => by_domain(&domain_of(address).unwrap_or_default())
            .unwrap_or(Found::Nothing { servers: Servers::default(), why: vec![problem] }),
    }
}

impl Network {
    /// As this machine and its environment have it.
    pub fn of_this_machine() -> Result<Self, String> {
        let named = std::env::var(dns::VARIABLE).ok().filter(|text| !text.is_empty());
        let dns = named.map(|text| dns::address(&text)).transpose()?;
        let trust = Trust::load(None).map_err(|error| error.to_string())?;
        Ok(Self { dns, https_port: 443, trust })
    }

    /// Finds the provider of an address, or of a domain.
    pub async fn provider_of(&self, address: &str) -> Found {
        let nothing = |why| Found::Nothing { servers: Servers::default(), why: vec![why] };
        let Some(domain) = domain_of(address) else {
            return nothing(format!("`{}` has no domain that could be asked", printable(address)));
        };
        if let Some(found) = by_domain(&domain) {
            return found;
        }
        let dns = match Dns::new(self.dns) {
            Ok(dns) => dns,
            Err(problem) => return nothing(problem),
        };
        let mut why = Vec::new();
        match dns.mx(&domain).await {
            Ok(hosts) => {
                let known = hosts.iter().find_map(|host| Some((presets::by_mx(host)?, host)));
                if let Some((preset, host)) = known {
                    return Found::Preset { preset: preset.name.clone(), because: Because::Mx(host.clone()) };
                }
                why.push(match hosts.first() {
                    Some(host) => {
                        format!("mail for {domain} is delivered to {host}, which is no known provider's")
                    }
                    None => format!("{domain} has no MX record"),
                });
            }
            Err(problem) => why.push(problem),
        }
        let authority = match self.https_port {
            443 => domain.clone(),
            port => format!("{domain}:{port}"),
        };
        let (servers, issuer) =
            tokio::join!(dns.servers(&domain), openid::issuer(address, &authority, &self.trust));
        let servers = servers.unwrap_or_else(|problem| {
            why.push(problem);
            Servers::default()
        });
        match issuer {
            Ok(issuer) => Found::Issuer { issuer, servers },
            Err(problems) => {
                why.extend(problems);
                Found::Nothing { servers, why }
            }
        }
    }
}

fn by_domain(domain: &str) -> Option<Found> {
    let preset = presets::by_domain(domain)?;
    Some(Found::Preset { preset: preset.name.clone(), because: Because::Domain })
}

/// What follows the `@`, as DNS and https know it: in lower case, and other scripts in ASCII.
fn domain_of(address: &str) -> Option<String> {
    let domain = address::domain(address.trim()).unwrap_or(address);
    match Host::parse(domain.trim().trim_end_matches('.')) {
        Ok(Host::Domain(domain)) => Some(domain),
        _ => None,
    }
}

/// For a terminal.
fn printable(text: &str) -> String {
    text.replace(char::is_control, "?")
}

#[cfg(test)]
mod tests {
    use super::domain_of;

    #[test]
    fn the_domain_of_an_address_is_one_that_can_be_asked() {
        for (address, expected) in [
            ("ann@Example.COM", Some("example.com")),
            ("example.com.", Some("example.com")),
            ("\"a@b\"@example.com", Some("example.com")),
            ("ann@bücher.example", Some("xn--bcher-kva.example")),
            ("ann@192.0.2.1", None),
            ("ann@[192.0.2.1]", None),
            ("ann@a/b", None),
            ("ann@a:80", None),
            ("ann@", None),
            ("", None),
        ] {
            assert_eq!(domain_of(address).as_deref(), expected, "{address}");
        }
    }
}
