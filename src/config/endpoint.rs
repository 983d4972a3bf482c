//! [`Endpoint`]: a provider's mail server. There is no way to write one without verified TLS (invariant 5).

use gatepost_protocol::Protocol;
use gatepost_protocol::sasl::UpstreamMechanism;
use rustls_pki_types::ServerName;

use super::lint::ports::{self, Server};
use super::provider::LoginKind;
use super::section::{Field, readable};

/// A provider's mail server. There is no way to write one without verified TLS.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The name that its certificate must carry.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// How TLS begins.
    pub tls: UpstreamTls,
    /// What a client is told before it logs in: what the provider is known to honour, without AUTH and STARTTLS.
    pub capabilities: Vec<String>,
    /// Sessions at once per mailbox; no cap where `None`.
    pub sessions: Option<usize>,
    /// How we log in; by what the server announces where `None`.
    pub mechanism: Option<UpstreamMechanism>,
    /// What the bytes of its sessions go through.
    pub tls_stream: TlsStream,
}

/// Which of our two TLS streams carries the sessions at a provider. On the wire both are the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsStream {
    /// With large buffers that all sessions share.
    #[default]
    Pooled,
    /// The usual one of tokio-rustls, with small buffers of its own in every session.
    Buffered,
}

pub(super) const TLS_STREAMS: [(&str, TlsStream); 2] =
    [("pooled", TlsStream::Pooled), ("buffered", TlsStream::Buffered)];

/// How TLS begins toward a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamTls {
    /// From the first byte.
    Implicit,
    /// By STARTTLS or STLS, and never without.
    StartTls,
}

impl UpstreamTls {
    /// As the file writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Implicit => "implicit",
            Self::StartTls => "starttls",
        }
    }

    /// The port that a server has where nobody says another one.
    pub fn usual_port(self, protocol: Protocol) -> u16 {
        match (protocol, self) {
            (Protocol::Smtp, Self::Implicit) => 465,
            (Protocol::Smtp, Self::StartTls) => 587,
            (Protocol::Pop3, Self::Implicit) => 995,
            (Protocol::Pop3, Self::StartTls) => 110,
            (Protocol::Imap, Self::Implicit) => 993,
            (Protocol::Imap, Self::StartTls) => 143,
        }
    }
}

/// Reads the section `smtp`, `pop3` or `imap` of a provider.
pub(super) fn read(field: &Field<'_>, protocol: Protocol, login: Option<LoginKind>) -> Option<Endpoint> {
    if let Some(text) = field.node.scalar().filter(|text| !text.is_empty()) {
        field.complain(format!(
            "`{text}` is not a server; write `{{ host: …, port: …, tls: … }}`, or `none` for a protocol that is not used"
        ));
        return None;
    }
    let mut section = field.section()?;
    let host = section.require("host", "the server's name, like `host: mail.example.org`");
    let tls = section.require("tls", "`tls: starttls` or `tls: implicit`, as the provider documents it");
    let port = section.take("port");
    let capabilities = section.take("capabilities");
    let sessions = section.take("sessions");
    let mechanism = section.take("mechanism");
    section.finish();

    let host = host.and_then(|field| read_host(&field));
    let tls_field = tls;
    let port_text = port.as_ref().and_then(|field| field.node.scalar());
    let tls = tls_field.as_ref().and_then(|field| read_tls(field, protocol, port_text));
    let capabilities = capabilities.map(|field| read_capabilities(&field, protocol)).unwrap_or_default();
    let sessions = sessions.and_then(|field| field.number(1..=1000)).map(|number| number as usize);
    let mechanism = mechanism.map(|field| read_mechanism(&field, login));
    let written_port = port.as_ref().map(|field| field.number(1..=u32::from(u16::MAX)));
    let port_field = port;
    let port = match (written_port, tls) {
        (Some(number), _) => u16::try_from(number?).ok()?,
        (None, tls) => tls?.usual_port(protocol),
    };
    if let (Some(tls), Some(tls_field)) = (tls, &tls_field) {
        let server = Server { protocol, host: host.as_deref(), port, tls };
        ports::judge(&server, port_field.as_ref(), tls_field);
    }
    Some(Endpoint {
        host: host?,
        port,
        tls: tls?,
        capabilities,
        sessions,
        mechanism: readable(mechanism)?,
        tls_stream: TlsStream::default(),
    })
}

/// As the file writes them.
const MECHANISMS: [(&str, UpstreamMechanism); 4] = [
    ("xoauth2", UpstreamMechanism::Xoauth2),
    ("oauthbearer", UpstreamMechanism::OauthBearer),
    ("plain", UpstreamMechanism::Plain),
    ("login", UpstreamMechanism::Login),
];

/// One that takes what is logged in with. What that is may not be known, if the file is wrong there.
fn read_mechanism(field: &Field<'_>, login: Option<LoginKind>) -> Option<UpstreamMechanism> {
    let mechanism = field.choice(&MECHANISMS)?;
    match (login, mechanism.takes_password()) {
        (Some(LoginKind::OAuth), true) => {
            field.complain("sends a password, and this provider has tokens; write `xoauth2` or `oauthbearer`, or give the provider `login: password`");
            None
        }
        (Some(LoginKind::Password), false) => {
            field.complain("sends a token, which `login: password` has none of; write `plain` or `login`");
            None
        }
        _ => Some(mechanism),
    }
}

fn read_host(field: &Field<'_>) -> Option<String> {
    let text = field.text()?;
    if ServerName::try_from(text).is_ok() {
        return Some(text.to_owned());
    }
    field.complain(match text.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') && port.parse::<u16>().is_ok() => {
            format!("`{text}` is a host and a port; write `host: {name}` and `port: {port}`")
        }
        _ => format!("`{text}` is not a host name; write only the name, like `mail.example.org`"),
    });
    None
}

fn read_tls(field: &Field<'_>, protocol: Protocol, port: Option<&str>) -> Option<UpstreamTls> {
    if let Some(finding) = field.node.scalar().and_then(|word| ports::no_tls(word.trim(), protocol, port)) {
        field.complain(finding);
        return None;
    }
    if let Some(word) = field.node.scalar().map(str::trim).filter(|word| is_ssl(word)) {
        field.complain(format!("`{word}` is called `implicit` here; write that (ports 465, 993 and 995)"));
        return None;
    }
    field.choice(&[("starttls", UpstreamTls::StartTls), ("implicit", UpstreamTls::Implicit)])
}

/// What mail programs call TLS from the first byte.
fn is_ssl(word: &str) -> bool {
    ["ssl", "ssl/tls", "tls/ssl"].iter().any(|ssl| ssl.eq_ignore_ascii_case(word))
}

/// Capabilities that say how one logs in to Gatepost, in any protocol, and `AUTH=…` beside them.
const OUR_OWN: [&str; 8] =
    ["AUTH", "IMAP4REV1", "LOGINDISABLED", "SASL", "SASL-IR", "STARTTLS", "STLS", "USER"];

fn read_capabilities(field: &Field<'_>, protocol: Protocol) -> Vec<String> {
    let mut capabilities = Vec::new();
    for member in field.list() {
        let Some(text) = member.text() else { continue };
        let word = text.split_ascii_whitespace().next().unwrap_or_default();
        let keyword = word.to_ascii_uppercase();
        if !text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
            member.complain("has characters that a capability cannot have; write printable ASCII");
        } else if OUR_OWN.contains(&keyword.as_str()) || keyword.starts_with("AUTH=") {
            member.complain(format!("`{word}` is Gatepost's own to offer; leave it out"));
        } else if protocol == Protocol::Imap && text.contains(' ') {
            let words: Vec<&str> = text.split_ascii_whitespace().collect();
            member.complain(format!("a capability of IMAP is one word; write `{}`", words.join(", ")));
        } else if protocol == Protocol::Imap && !is_atom(text) {
            member.complain(format!(
                "`{text}` has one of ( ) {{ ] % * \" \\ in it, which a capability of IMAP cannot have; leave it out"
            ));
        } else {
            capabilities.push(text.to_owned());
        }
    }
    capabilities
}

/// RFC 9051 section 9. Anything else would end the greeting's list of capabilities, or the line.
fn is_atom(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic() && !b"(){]%*\"\\".contains(&byte))
}
