//! What a domain's DNS records say about its mail: where it is delivered (MX), and where people's programs send and fetch it
//! (SRV: RFC 6186, RFC 8314). Nothing of it is signed, so whoever acts on it shows it to a person first.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use tokio::time::timeout;

use super::{PATIENCE, Server, Servers};
use crate::config::provider::UpstreamTls;

/// Names the resolver, as `ADDRESS` or `ADDRESS:PORT`, where the system's own is not the right one.
pub(super) const VARIABLE: &str = "GATEPOST_DNS";

/// A server that does not answer is asked again once within our patience.
const ONE_TRY: Duration = Duration::from_millis(1400);

/// Asks one resolver.
pub(super) struct Dns(TokioResolver);

impl Dns {
    /// The resolver that is named, or the system's.
    pub(super) fn new(named: Option<SocketAddr>) -> Result<Self, String> {
        let unusable = |error: NetError| format!("this machine's DNS settings cannot be used: {error}");
        let mut builder = match named {
            Some(address) => {
                TokioResolver::builder_with_config(only(address), TokioRuntimeProvider::default())
            }
            None => TokioResolver::builder_tokio().map_err(unusable)?,
        };
        let options = builder.options_mut();
        options.timeout = ONE_TRY;
        options.attempts = 1;
        Ok(Self(builder.build().map_err(unusable)?))
    }

    /// The hosts to which mail for a domain is delivered, the preferred one first.
    pub(super) async fn mx(&self, domain: &str) -> Result<Vec<String>, String> {
        let lookup = self.lookup(domain, RecordType::MX).await?;
        let mut hosts: Vec<_> = records(lookup.as_ref())
            .filter_map(|data| match data {
                RData::MX(mx) => Some((mx.preference, host(&mx.exchange)?)),
                _ => None,
            })
            .collect();
        hosts.sort();
        Ok(hosts.into_iter().map(|(_, host)| host).collect())
    }

    /// The servers for people's programs. Those with TLS from the first byte come first (RFC 8314 section 3).
    pub(super) async fn servers(&self, domain: &str) -> Result<Servers, String> {
        let (smtp, pop3, imap) = tokio::join!(
            self.server(domain, "submissions", "submission"),
            self.server(domain, "pop3s", "pop3"),
            self.server(domain, "imaps", "imap"),
        );
        Ok(Servers { smtp: smtp?, pop3: pop3?, imap: imap? })
    }

    async fn server(&self, domain: &str, implicit: &str, upgraded: &str) -> Result<Option<Server>, String> {
        let (implicit, upgraded) = tokio::join!(self.srv(implicit, domain), self.srv(upgraded, domain));
        let server = |tls| move |(host, port)| Server { host, port, tls };
        let (implicit, upgraded) = (implicit?, upgraded?);
        Ok(implicit
            .map(server(UpstreamTls::Implicit))
            .or_else(|| upgraded.map(server(UpstreamTls::StartTls))))
    }

    /// Of several the one with the lowest priority, and of these the heaviest. A dot as the host means "there is none".
    async fn srv(&self, service: &str, domain: &str) -> Result<Option<(String, u16)>, String> {
        let lookup = self.lookup(&format!("_{service}._tcp.{domain}"), RecordType::SRV).await?;
        let best = records(lookup.as_ref())
            .filter_map(|data| match data {
                RData::SRV(srv) => Some(srv),
                _ => None,
            })
            .min_by_key(|srv| (srv.priority, u16::MAX - srv.weight));
        Ok(best.and_then(|srv| Some((host(&srv.target)?, srv.port))))
    }

    /// `None` where there is no such record.
    async fn lookup(&self, name: &str, kind: RecordType) -> Result<Option<Lookup>, String> {
        // With a dot at the end, or the names of this machine's own network would be tried too.
        let asked = self.0.lookup(format!("{name}."), kind);
        match timeout(PATIENCE, asked).await {
            Ok(Ok(lookup)) => Ok(Some(lookup)),
            Ok(Err(error)) if error.is_no_records_found() => Ok(None),
            Ok(Err(NetError::Timeout)) | Err(_) => Err(format!("no answer from DNS about {kind} of {name}")),
            Ok(Err(error)) => Err(format!("DNS about {kind} of {name}: {error}")),
        }
    }
}

/// Reads what [`VARIABLE`] says.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    let with_usual_port = || text.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, 53));
    text.parse().ok().or_else(with_usual_port).ok_or_else(|| {
        format!("{VARIABLE} is `{text}`, which is no address; write one like 192.168.1.1 or 127.0.0.1:5353")
    })
}

fn only(address: SocketAddr) -> ResolverConfig {
    let at_port = |mut connection: ConnectionConfig| {
        connection.port = address.port();
        connection
    };
    let connections = vec![at_port(ConnectionConfig::udp()), at_port(ConnectionConfig::tcp())];
    ResolverConfig::from_name_servers(vec![NameServerConfig::new(address.ip(), true, connections)])
}

fn records(lookup: Option<&Lookup>) -> impl Iterator<Item = &RData> {
    lookup.into_iter().flat_map(Lookup::answers).map(|record| &record.data)
}

/// A host's name without its last dot; `None` for the root, and for what is no host's name: it would be shown and dialled.
fn host(name: &Name) -> Option<String> {
    let text = name.to_ascii().to_ascii_lowercase();
    let text = text.trim_end_matches('.');
    let is_host = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    (!text.is_empty() && is_host).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_resolver_is_named_by_its_address_with_or_without_a_port() {
        for (text, expected) in [
            ("192.168.1.1", "192.168.1.1:53"),
            ("127.0.0.1:5353", "127.0.0.1:5353"),
            ("::1", "[::1]:53"),
            ("[::1]:5353", "[::1]:5353"),
        ] {
            assert_eq!(address(text).unwrap().to_string(), expected);
        }
        for text in ["", "dns.example.com", "127.0.0.1:", "127.0.0.1:dns"] {
            assert!(address(text).unwrap_err().contains("is no address"), "{text}");
        }
    }

    #[test]
    fn a_name_that_is_no_host_s_is_not_taken() {
        for (labels, expected) in [
            (&["MX", "Example", "com"][..], Some("mx.example.com")),
            (&[], None),
            (&["a b", "example", "com"], None),
            (&["a\u{1b}[2J", "example", "com"], None),
            (&["a/b", "com"], None),
        ] {
            let name = Name::from_labels(labels.iter().map(|label| label.as_bytes())).unwrap();
            assert_eq!(host(&name).as_deref(), expected, "{labels:?}");
        }
    }
}
