//! What the options of `gatepost setup ADDRESS` say of a provider, as keys of the configuration file.

use std::path::{Path, PathBuf};

use gatepost_protocol::Protocol;

use super::super::super::{Exit, Failure};
use crate::config::edit::Value;
use crate::config::provider::{Endpoint, UpstreamTls};

/// What is said of a provider. Where it is in the configuration already, each of these takes its place there.
#[derive(clap::Args, Clone, Debug, Default)]
pub(super) struct Settings {
    /// The application (client) id that the provider gave you for Gatepost
    #[arg(long, value_name = "ID")]
    pub(super) client_id: Option<String>,
    /// Log in with a password that the provider makes for applications, in place of OAuth
    #[arg(long, conflicts_with_all = ["client_id", "client_secret_file", "tenant", "scopes", "issuer"])]
    pub(super) app_password: bool,
    /// A file with the application's secret, where it has one; nobody else may read it
    #[arg(long, value_name = "FILE")]
    pub(super) client_secret_file: Option<PathBuf>,
    /// The directory (tenant) id, or a domain of it, at Microsoft [default: the address's domain]
    #[arg(long, value_name = "ID")]
    pub(super) tenant: Option<String>,
    /// The server that takes mail, or none
    #[arg(long, value_name = "HOST[:PORT][/TLS]", value_parser = server)]
    pub(super) smtp: Option<Server>,
    /// The server that mail is fetched from by POP3, or none
    #[arg(long, value_name = "HOST[:PORT][/TLS]", value_parser = server)]
    pub(super) pop3: Option<Server>,
    /// The server that mail is read on by IMAP, or none; TLS is `implicit` or `starttls`
    #[arg(long, value_name = "HOST[:PORT][/TLS]", value_parser = server)]
    pub(super) imap: Option<Server>,
    /// A scope to ask for, where the usual ones are not right; may be repeated
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// Who else may vouch for the provider's servers (PEM)
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

/// A mail server, as the command line writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Server {
    /// The protocol is not to be used.
    None,
    /// Where it is.
    At {
        /// Its name.
        host: String,
        /// The usual one where `None`.
        port: Option<u16>,
        /// How TLS begins.
        tls: UpstreamTls,
    },
}

impl Settings {
    /// The keys, in the order in which a person would write them. `before` are the servers that the provider has without them.
    pub(super) fn keys(&self, before: &[(Protocol, Endpoint)]) -> Result<Vec<(String, Value)>, Failure> {
        let mut keys = Vec::new();
        let mut add =
            |key: &str, value: Option<Value>| keys.extend(value.map(|value| (key.to_owned(), value)));
        let text = |text: &Option<String>| text.clone().map(Value::Text);
        add("login", self.app_password.then(|| Value::Text("password".to_owned())));
        add("tenant", text(&self.tenant));
        add("client_id", text(&self.client_id));
        let secret = self.client_secret_file.as_deref().map(absolute).transpose()?;
        add("client_secret", secret.map(|file| Value::Section(vec![("file".to_owned(), Value::Text(file))])));
        add("scopes", (!self.scopes.is_empty()).then(|| Value::List(self.scopes.clone())));
        add("ca_file", self.ca_file.as_deref().map(absolute).transpose()?.map(Value::Text));
        for protocol in Protocol::ALL {
            let before = before.iter().find(|(other, _)| *other == protocol).map(|(_, endpoint)| endpoint);
            add(protocol.name(), self.server(protocol).map(|server| server.value(protocol, before)));
        }
        Ok(keys)
    }

    /// What was said of the server for a protocol.
    pub(super) fn server(&self, protocol: Protocol) -> Option<&Server> {
        match protocol {
            Protocol::Smtp => self.smtp.as_ref(),
            Protocol::Pop3 => self.pop3.as_ref(),
            Protocol::Imap => self.imap.as_ref(),
        }
    }

    /// The same, to be filled in.
    pub(super) fn server_mut(&mut self, protocol: Protocol) -> &mut Option<Server> {
        match protocol {
            Protocol::Smtp => &mut self.smtp,
            Protocol::Pop3 => &mut self.pop3,
            Protocol::Imap => &mut self.imap,
        }
    }
}

impl Server {
    /// What is not written here stays as it was before, so that of another host everything is.
    fn value(&self, protocol: Protocol, before: Option<&Endpoint>) -> Value {
        let Self::At { host, port, tls } = self else { return Value::Text("none".to_owned()) };
        let replaced = before.filter(|before| !before.host.eq_ignore_ascii_case(host));
        let port = port.or_else(|| replaced.map(|_| tls.usual_port(protocol)));
        let mut keys = vec![("host".to_owned(), Value::Text(host.clone()))];
        keys.extend(port.map(|port| ("port".to_owned(), Value::Text(port.to_string()))));
        keys.push(("tls".to_owned(), Value::Text(tls.name().to_owned())));
        if replaced.is_some_and(|before| !before.capabilities.is_empty()) {
            keys.push(("capabilities".to_owned(), Value::List(Vec::new())));
        }
        Value::Section(keys)
    }
}

/// Reads `HOST`, `HOST:PORT`, either with `/starttls` or `/implicit` behind, or `none`. Ports that are known for STARTTLS mean
/// that; else TLS begins with the first byte, as RFC 8314 wants it.
pub(super) fn server(text: &str) -> Result<Server, String> {
    const EXAMPLE: &str = "write it like mail.example.org, mail.example.org:587/starttls, or none";
    if text == "none" {
        return Ok(Server::None);
    }
    let (place, tls) = match text.split_once('/') {
        None => (text, None),
        Some((place, "implicit")) => (place, Some(UpstreamTls::Implicit)),
        Some((place, "starttls")) => (place, Some(UpstreamTls::StartTls)),
        Some((_, other)) => {
            return Err(format!("has `{other}`, which is neither starttls nor implicit; {EXAMPLE}"));
        }
    };
    let (host, port) = match place.split_once(':') {
        None => (place, None),
        Some((host, port)) => {
            let port = port.parse().ok().filter(|port| *port != 0);
            (host, Some(port.ok_or_else(|| format!("has no port that there is; {EXAMPLE}"))?))
        }
    };
    if host.is_empty() || host.contains(|character: char| character.is_control() || character.is_whitespace())
    {
        return Err(format!("has no host; {EXAMPLE}"));
    }
    let usual = match port {
        Some(25 | 110 | 143 | 587) => UpstreamTls::StartTls,
        _ => UpstreamTls::Implicit,
    };
    Ok(Server::At { host: host.to_owned(), port, tls: tls.unwrap_or(usual) })
}

/// The configuration may be elsewhere, and reads paths from there.
fn absolute(path: &Path) -> Result<String, Failure> {
    let wrong = |why: &str| Failure::new(Exit::Failed, format!("{}: {why}", path.display()));
    let path = std::path::absolute(path).map_err(|error| wrong(&error.to_string()))?;
    path.to_str().map(str::to_owned).ok_or_else(|| wrong("a path in the configuration is UTF-8"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::config::edit::in_words;
    use crate::config::presets;

    #[test]
    fn another_host_keeps_nothing_of_the_one_before() {
        let before = &presets::named("google").unwrap().servers;
        for (imap, expected) in [
            ("imap.gmail.com", "{ host: imap.gmail.com, tls: implicit }"),
            ("mail.example", "{ host: mail.example, port: 993, tls: implicit, capabilities: [] }"),
            ("mail.example/starttls", "{ host: mail.example, port: 143, tls: starttls, capabilities: [] }"),
            ("mail.example:1993", "{ host: mail.example, port: 1993, tls: implicit, capabilities: [] }"),
        ] {
            let settings = Settings { imap: Some(server(imap).unwrap()), ..Settings::default() };
            let provider = Value::Section(settings.keys(before).unwrap());
            let written = in_words(&[("a".to_owned(), Value::Section(vec![("b".to_owned(), provider)]))]);
            assert_eq!(written, format!("a:\n  b:\n    imap: {expected}\n"));
        }
    }

    #[test]
    fn a_server_is_written_in_one_word() {
        let at = |host: &str, port, tls| Server::At { host: host.to_owned(), port, tls };
        for (text, expected) in [
            ("none", Server::None),
            ("mail.example", at("mail.example", None, UpstreamTls::Implicit)),
            ("mail.example:993", at("mail.example", Some(993), UpstreamTls::Implicit)),
            ("mail.example:587", at("mail.example", Some(587), UpstreamTls::StartTls)),
            ("mail.example:587/implicit", at("mail.example", Some(587), UpstreamTls::Implicit)),
            ("mail.example/starttls", at("mail.example", None, UpstreamTls::StartTls)),
        ] {
            assert_eq!(server(text).unwrap(), expected, "{text}");
        }
        for text in
            ["", ":993", "mail.example:0", "mail.example:imap", "mail.example/none", "mail example", "a:1:2"]
        {
            assert!(server(text).is_err(), "{text}");
        }
    }
}
