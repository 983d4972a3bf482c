//! L01, L02, L03, L06, L21: ports, and the ways in which TLS begins there.

use gatepost_protocol::Protocol;

use super::super::complaint::Finding;
use super::super::edit::Value;
use super::super::provider::UpstreamTls;
use super::super::section::Field;

/// What the well-known mail ports are for (RFC 8314, RFC 6409, RFC 1939, RFC 9051).
const WELL_KNOWN: [(u16, Protocol, UpstreamTls); 7] = [
    (25, Protocol::Smtp, UpstreamTls::StartTls),
    (110, Protocol::Pop3, UpstreamTls::StartTls),
    (143, Protocol::Imap, UpstreamTls::StartTls),
    (465, Protocol::Smtp, UpstreamTls::Implicit),
    (587, Protocol::Smtp, UpstreamTls::StartTls),
    (993, Protocol::Imap, UpstreamTls::Implicit),
    (995, Protocol::Pop3, UpstreamTls::Implicit),
];

/// The server for sending of Microsoft 365, which has no port for TLS from the first byte.
const MICROSOFT_365: &str = "smtp.office365.com";

/// A server as far as it could be read.
pub(in crate::config) struct Server<'a> {
    pub(in crate::config) protocol: Protocol,
    pub(in crate::config) host: Option<&'a str>,
    pub(in crate::config) port: u16,
    pub(in crate::config) tls: UpstreamTls,
}

/// Complains about a port that does not go with the protocol or with `tls`. The two fields are what the file says of them.
pub(in crate::config) fn judge(server: &Server<'_>, port_field: Option<&Field<'_>>, tls_field: &Field<'_>) {
    let written_port = port_field.filter(|field| field.node.is_written());
    if server.protocol == Protocol::Smtp
        && server.port == 465
        && server.host.is_some_and(|host| host.eq_ignore_ascii_case(MICROSOFT_365))
    {
        let right = |word: &str| Some(Value::Text(word.to_owned()));
        let (field, right) = written_port.map_or((tls_field, right("starttls")), |port| (port, right("587")));
        let text =
            format!("`{MICROSOFT_365}` is not offered on port 465; write `port: 587` with `tls: starttls`");
        return field.complain(Finding::coded("L06", text).right(right));
    }
    let Some((_, owner, right)) = WELL_KNOWN.iter().find(|(known, ..)| *known == server.port) else { return };
    if *owner != server.protocol {
        let (port, right) = (server.port, usual_port(server.protocol));
        written_port.unwrap_or(tls_field).complain(format!("port {port} belongs to {owner}; write {right}"));
    } else if *right != server.tls {
        // Where the file says only the port, either of them may be meant.
        let field = if tls_field.node.is_written() { tls_field } else { written_port.unwrap_or(tls_field) };
        let is_tls = tls_field.node.is_written();
        let value = Value::Text(right.name().to_owned());
        field.complain(other_start_of_tls(server.port, *right).right(Some(value).filter(|_| is_tls)));
    }
}

fn other_start_of_tls(port: u16, right: UpstreamTls) -> Finding {
    let text = match right {
        UpstreamTls::Implicit => format!("port {port} speaks TLS from the first byte; write `tls: implicit`"),
        UpstreamTls::StartTls => format!("port {port} begins in clear and upgrades; write `tls: starttls`"),
    };
    match port {
        995 => Finding::coded("L01", text),
        465 | 993 => Finding::coded("L02", text),
        587 => Finding::coded("L03", text),
        _ => text.into(),
    }
}

fn usual_port(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Smtp => "`port: 587` with `tls: starttls`, or `port: 465` with `tls: implicit`",
        Protocol::Pop3 => "`port: 995` with `tls: implicit`",
        Protocol::Imap => "`port: 993` with `tls: implicit`",
    }
}

/// Words with which people say that there is to be no TLS.
const NO_TLS: [&str; 8] = ["none", "no", "off", "false", "plain", "plaintext", "clear", "disabled"];

/// L21: no TLS toward the provider. A well-known port tells which way was meant.
pub(in crate::config) fn no_tls(word: &str, protocol: Protocol, port: Option<&str>) -> Option<Finding> {
    if !NO_TLS.iter().any(|no| no.eq_ignore_ascii_case(word)) {
        return None;
    }
    let port = port.and_then(|port| port.parse::<u16>().ok());
    let right = WELL_KNOWN
        .iter()
        .find(|(known, owner, _)| Some(*known) == port && *owner == protocol)
        .map(|(.., tls)| Value::Text(tls.name().to_owned()));
    let advice = match &right {
        Some(word) => format!("write `tls: {word}`"),
        None => "write `starttls` or `implicit`, as the provider documents it".to_owned(),
    };
    let text = format!("tokens and passwords leave over verified TLS only; {advice}");
    Some(Finding::coded("L21", text).right(right))
}
