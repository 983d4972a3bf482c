//! [`Listener`]: an address that mail programs connect to. Keeps the rule that a password is taken in clear only where
//! nobody else can listen: on loopback, or where the file says so and names the networks.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use gatepost_protocol::Protocol;
use ipnet::IpNet;

use super::complaint::suggestion;
use super::section::{Field, readable};
use super::{Provider, lint};

/// An address that mail programs connect to.
#[derive(Clone, Debug)]
pub struct Listener {
    /// What is spoken.
    pub protocol: Protocol,
    /// Port 0 takes any free port (tests, demo).
    pub address: SocketAddr,
    /// How the client's side is encrypted.
    pub tls: ListenerTls,
    /// Whether a password is taken in clear: on loopback unless the file says `plaintext: refused`, elsewhere only when
    /// it says `plaintext: allowed` and names the networks.
    pub plaintext_allowed: bool,
    /// The one provider of its accounts; any provider that offers the protocol where `None`.
    pub provider: Option<String>,
    /// Who may connect; everybody where empty.
    pub allow_from: Vec<IpNet>,
}

/// How a listener encrypts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerTls {
    /// From the first byte.
    Implicit,
    /// Not at all.
    None,
    /// By STARTTLS or STLS.
    StartTls,
}

impl ListenerTls {
    /// As the file writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Implicit => "implicit",
            Self::None => "none",
            Self::StartTls => "starttls",
        }
    }
}

impl Listener {
    /// Whether accounts of the provider can log in here.
    pub fn serves(&self, provider: &Provider) -> bool {
        provider.endpoint(self.protocol).is_some()
            && self.provider.as_ref().is_none_or(|name| *name == provider.name)
    }
}

/// By name, as far as they could be read: `None` is a provider that was complained about.
pub(super) type ReadProviders = BTreeMap<String, Option<Arc<Provider>>>;

/// The listeners of a file that names none: each protocol that a provider offers, on loopback.
pub(super) fn defaults(providers: &ReadProviders) -> Vec<Listener> {
    let mut listeners = Vec::new();
    for protocol in Protocol::ALL {
        if !providers.values().flatten().any(|provider| provider.endpoint(protocol).is_some()) {
            continue;
        }
        for tls in [ListenerTls::StartTls, ListenerTls::Implicit] {
            listeners.push(Listener {
                protocol,
                address: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), default_port(protocol, tls)),
                tls,
                plaintext_allowed: tls != ListenerTls::Implicit,
                provider: None,
                allow_from: Vec::new(),
            });
        }
    }
    listeners
}

/// The section `listeners`.
pub(super) fn read_all(field: &Field<'_>, providers: &ReadProviders) -> Vec<Listener> {
    if field.node.is_empty_list() {
        field.complain("is empty; leave the key out for the usual listeners on loopback");
    }
    let mut listeners: Vec<Listener> = Vec::new();
    for member in field.list() {
        let Some(listener) = read(&member, providers) else { continue };
        if let Some(position) = listeners.iter().position(|other| collide(other.address, listener.address)) {
            member.complain(format!(
                "{} is taken by listeners[{position}] already; give it another port",
                listener.address
            ));
        }
        listeners.push(listener);
    }
    listeners
}

fn default_port(protocol: Protocol, tls: ListenerTls) -> u16 {
    match (protocol, tls) {
        (Protocol::Smtp, ListenerTls::Implicit) => 1465,
        (Protocol::Smtp, ListenerTls::None | ListenerTls::StartTls) => 1587,
        (Protocol::Pop3, ListenerTls::Implicit) => 1995,
        (Protocol::Pop3, ListenerTls::None | ListenerTls::StartTls) => 1110,
        (Protocol::Imap, ListenerTls::Implicit) => 1993,
        (Protocol::Imap, ListenerTls::None | ListenerTls::StartTls) => 1143,
    }
}

/// Whether the second socket could not be bound.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let everywhere = |address: SocketAddr| address.ip().is_unspecified();
    one.port() != 0
        && one.port() == other.port()
        && one.is_ipv4() == other.is_ipv4()
        && (one.ip() == other.ip() || everywhere(one) || everywhere(other))
}

fn read(field: &Field<'_>, providers: &ReadProviders) -> Option<Listener> {
    let mut section = field.section()?;
    let protocol = section.require("protocol", "`protocol: smtp`, `protocol: pop3` or `protocol: imap`");
    let address = section.take("address");
    let tls = section.take("tls");
    let plaintext = section.take("plaintext");
    let provider = section.take("provider");
    let allow_from = section.take("allow_from");
    section.finish();

    // All are read before the first `?`, so that one complaint does not hide the next.
    let protocol = protocol.and_then(|field| field.choice(&Protocol::ALL.map(|it| (it.name(), it))));
    let tls = tls.map_or(Some(ListenerTls::StartTls), |field| read_tls(&field));
    let default_port = protocol.zip(tls).map_or(0, |(protocol, tls)| default_port(protocol, tls));
    let address = match &address {
        Some(field) => read_address(field, default_port),
        None => Some(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), default_port)),
    };
    let says = plaintext.as_ref().map(|field| field.choice(&[("allowed", true), ("refused", false)]));
    let networks = allow_from.map(|field| read_networks(&field)).unwrap_or_default();
    let bound_to = provider.as_ref().map(Field::text);
    let (protocol, address, tls) = (protocol?, address?, tls?);
    let (says, bound_to) = (readable(says)?, readable(bound_to)?);

    check_provider(provider.as_ref().unwrap_or(field), protocol, bound_to, providers);
    if let Some(problem) = lint::listeners::plaintext(address.ip(), tls, says, &networks) {
        plaintext.as_ref().unwrap_or(field).complain(problem);
    }
    if let Some(problem) =
        providers.values().flatten().find_map(|it| lint::listeners::proxy_loop(address, it))
    {
        field.complain(problem);
    }
    Some(Listener {
        protocol,
        address,
        tls,
        plaintext_allowed: says.unwrap_or(address.ip().is_loopback()) && tls != ListenerTls::Implicit,
        provider: bound_to.map(str::to_owned),
        allow_from: networks,
    })
}

fn read_tls(field: &Field<'_>) -> Option<ListenerTls> {
    let words = [ListenerTls::StartTls, ListenerTls::Implicit, ListenerTls::None];
    field.choice(&words.map(|tls| (tls.name(), tls)))
}

fn read_address(field: &Field<'_>, default_port: u16) -> Option<SocketAddr> {
    let text = field.text()?;
    let address =
        text.parse().or_else(|_| text.parse().map(|address: IpAddr| SocketAddr::new(address, default_port)));
    if let Ok(address) = address {
        return Some(address);
    }
    let hint = match text.rsplit_once(':') {
        None if text.parse::<u16>().is_ok() => format!("write `127.0.0.1:{text}`"),
        Some(("localhost", port)) => format!("write `127.0.0.1:{port}`"),
        None if text == "localhost" => "write `127.0.0.1`".to_owned(),
        _ => "write it like `127.0.0.1:1587`, `192.168.1.10` or `[::1]:1587`".to_owned(),
    };
    field.complain(format!("`{text}` is not an IP address with a port; {hint}"));
    None
}

fn read_networks(field: &Field<'_>) -> Vec<IpNet> {
    if field.node.is_empty_list() {
        field.complain("is empty, which would let nobody in; write the networks, or leave the key out");
    }
    let mut networks = Vec::new();
    for member in field.list() {
        let Some(text) = member.text() else { continue };
        let network = text.parse().or_else(|_| text.parse().map(|address: IpAddr| IpNet::from(address)));
        match network {
            Ok(network) if network.trunc() != network => member.complain(format!(
                "`{text}` has an address that is not the network's first; write `{}`, or `{}` for that one address",
                network.trunc(),
                network.addr()
            )),
            Ok(network) => networks.push(network),
            Err(_) => member.complain(format!(
                "`{text}` is not a network; write it like `192.168.1.0/24`, `192.168.1.20` or `fd00::/8`"
            )),
        }
    }
    networks
}

/// Complains where no account could ever log in. A provider that could not be read may have meant to offer anything.
fn check_provider(field: &Field<'_>, protocol: Protocol, bound_to: Option<&str>, providers: &ReadProviders) {
    let may_offer = |provider: &Option<Arc<Provider>>| {
        provider.as_ref().is_none_or(|provider| provider.endpoint(protocol).is_some())
    };
    let key = protocol.name();
    match bound_to.map(|name| (name, providers.get(name))) {
        Some((name, None)) => {
            let names = providers.keys().map(String::as_str);
            field.complain(format!("there is no provider `{name}`; {}", suggestion(name, names)));
        }
        Some((name, Some(provider))) if !may_offer(provider) => field.complain(format!(
            "the provider `{name}` has no `{key}`; add it there, or leave this listener out"
        )),
        None if !providers.is_empty() && !providers.values().any(may_offer) => {
            field.complain(format!("no provider has `{key}`; add it to one, or leave this listener out"));
        }
        _ => {}
    }
}
