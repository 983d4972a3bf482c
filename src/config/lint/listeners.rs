//! Listeners: passwords in clear, Gatepost as its own provider (L23), names that a listener cannot tell apart, and protocols that
//! nobody can reach.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use gatepost_protocol::Protocol;
use ipnet::IpNet;

use super::super::Config;
use super::super::complaint::{Complaint, Finding};
use super::super::endpoint::Endpoint;
use super::super::listener::{Listener, ListenerTls};
use super::super::mistakes::Level;
use super::super::provider::Provider;
use super::super::section::Field;
use crate::address::spellings;

/// Passwords in clear where others can listen. `says` is what the file writes after `plaintext:`.
pub(in crate::config) fn plaintext(
    address: IpAddr,
    tls: ListenerTls,
    says: Option<bool>,
    allow_from: &[IpNet],
) -> Option<String> {
    match (tls, says) {
        (ListenerTls::Implicit, Some(true)) => {
            return Some("nothing is in clear with `tls: implicit`; leave `plaintext` out".to_owned());
        }
        (ListenerTls::None, Some(false)) => {
            return Some("without TLS every password comes in clear; write `tls: starttls`".to_owned());
        }
        _ => {}
    }
    let in_clear = tls == ListenerTls::None || says == Some(true);
    if address.is_loopback() || !in_clear {
        return None;
    }
    if says != Some(true) {
        return Some(
            "passwords would cross the network in clear; write `tls: starttls` or `tls: implicit`, or, for devices \
             that know no TLS, `plaintext: allowed` with their networks in `allow_from`"
                .to_owned(),
        );
    }
    if allow_from.is_empty() {
        return Some(
            "`plaintext: allowed` needs `allow_from` with the networks of the devices, like `[192.168.1.0/24]`: \
             passwords in clear are for known places only"
                .to_owned(),
        );
    }
    allow_from.iter().find(|network| network.prefix_len() == 0).map(|network| {
        format!("`{network}` in `allow_from` is everybody, which `plaintext: allowed` forbids; write your own networks")
    })
}

/// L23: a provider's server that is the listener itself.
pub(in crate::config) fn proxy_loop(listener: SocketAddr, provider: &Provider) -> Option<Finding> {
    looped(listener, provider).map(|endpoint| {
        let text = format!(
            "the provider `{}` has this very address as its server ({}:{}); write the provider's own there",
            provider.name, endpoint.host, endpoint.port
        );
        Finding::coded("L23", text)
    })
}

/// L23, where the file names no listeners. `field` is what it says of the provider.
pub(in crate::config) fn judge_usual(field: &Field<'_>, provider: &Provider, usual: &[Listener]) {
    if let Some(endpoint) = usual.iter().find_map(|listener| looped(listener.address, provider)) {
        let text = format!(
            "Gatepost itself listens at {}:{} where `listeners` is left out; write the provider's own server",
            endpoint.host, endpoint.port
        );
        field.complain(Finding::coded("L23", text));
    }
}

fn looped(listener: SocketAddr, provider: &Provider) -> Option<&Endpoint> {
    let mut endpoints = Protocol::ALL.into_iter().filter_map(|protocol| provider.endpoint(protocol));
    let same = |host: &str| match host.parse::<IpAddr>() {
        Ok(address) => address == listener.ip() || (address.is_loopback() && listener.ip().is_unspecified()),
        Err(_) => host == "localhost" && (listener.ip().is_loopback() || listener.ip().is_unspecified()),
    };
    endpoints.find(|endpoint| endpoint.port == listener.port() && same(&endpoint.host))
}

/// User names that a listener could not tell apart: the same one for accounts of several providers that it serves.
/// `user_names` are those of the store, each with the provider of its account; the case of ASCII and the spelling of a domain make no difference. `*@contoso.com` is one
/// of them, and makes no name of that domain ambiguous: what is stored for the name itself comes first.
pub fn ambiguous_user_names(config: &Config, user_names: &[(String, String)]) -> Vec<Complaint> {
    let mut providers_of: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (user_name, provider) in user_names {
        let [.., in_own_script] = spellings(user_name);
        let providers = providers_of.entry(in_own_script).or_default();
        if !providers.contains(&provider.as_str()) {
            providers.push(provider);
        }
    }
    let mut complaints = Vec::new();
    for (number, listener) in config.listeners.iter().enumerate() {
        let serves =
            |name: &&&str| config.providers.get(**name).is_some_and(|provider| listener.serves(provider));
        let mut ambiguous = providers_of
            .iter()
            .map(|(user_name, providers)| {
                (user_name, providers.iter().filter(serves).copied().collect::<Vec<_>>())
            })
            .filter(|(_, among)| among.len() > 1);
        // The first as an example: where two providers have the same people, there are as many as people.
        let Some((user_name, among)) = ambiguous.next() else { continue };
        let more = match ambiguous.count() {
            0 => String::new(),
            more => format!(" (and {more} more like it)"),
        };
        complaints.push(Complaint {
            file: config.path.clone(),
            line: None,
            key: format!("listeners[{number}]"),
            code: None,
            level: Level::Error,
            repair: None,
            text: format!(
                "the user name `{user_name}` exists for the providers `{}`{more}, and this listener ({} {}) serves \
                 them all; write `provider:` here, or give one of the accounts another user name",
                among.join("`, `"),
                listener.protocol,
                listener.address
            ),
        });
    }
    complaints
}

/// Complains about the protocols of a provider that no listener serves. `field` is what the file says of it.
pub(in crate::config) fn judge_unserved(field: &Field<'_>, provider: &Provider, listeners: &[Listener]) {
    for protocol in Protocol::ALL {
        let listens = listeners.iter().any(|it| it.protocol == protocol && it.serves(provider));
        if provider.endpoint(protocol).is_some() && !listens {
            let text = format!("no listener serves {protocol} for the provider `{}`", provider.name);
            field.find(protocol.name()).as_ref().unwrap_or(field).complain(Finding::warning(text));
        }
    }
}
