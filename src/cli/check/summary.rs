//! What a configuration file means, for people.

use std::fmt::Write as _;

use gatepost_protocol::Protocol;

use crate::config::provider::Login;
use crate::config::{Config, Listener, ListenerTls, OnAlarm, Provider};

/// What the file means, for people.
pub(super) fn summary(config: &Config, state: &str) -> String {
    let mut text = format!("{} is in order.\n\nProviders\n", config.path.display());
    for provider in config.providers.values() {
        text.push_str(&in_words(provider));
    }
    text.push_str("\nListeners\n");
    for listener in &config.listeners {
        let _ = writeln!(
            text,
            "  {} {}: {}; {}; {}",
            listener.protocol,
            listener.address,
            encryption(listener),
            clients(listener),
            accounts(listener)
        );
    }
    let certificate = match &config.certificate {
        Some(files) => files.certificate.display().to_string(),
        None => "made by Gatepost itself".to_owned(),
    };
    let _ = writeln!(
        text,
        "\nCertificate: {certificate}\nState: {} ({state})\nAlarms: {}",
        config.state_dir.display(),
        alarms(&config.on_alarm)
    );
    text
}

/// Who hears of them, besides whoever reads the log.
fn alarms(on_alarm: &OnAlarm) -> String {
    let mut told = vec!["the log".to_owned()];
    told.extend(on_alarm.command.as_ref().map(|command| command.program.display().to_string()));
    if !on_alarm.mail_to.is_empty() {
        let through = on_alarm.mail_account.as_ref().map(|address| format!(" through {address}"));
        told.push(format!("mail to {}{}", on_alarm.mail_to.join(", "), through.unwrap_or_default()));
    }
    told.join("; ")
}

fn in_words(provider: &Provider) -> String {
    let login = match &provider.login {
        Login::OAuth(client) => {
            format!("{} at {}", client.grant.name(), client.token_endpoint.host_str().unwrap_or_default())
        }
        Login::Password => "password".to_owned(),
    };
    let mut text = format!("  {}: {login}\n", provider.name);
    for protocol in Protocol::ALL {
        if let Some(endpoint) = provider.endpoint(protocol) {
            let (host, port, tls) = (&endpoint.host, endpoint.port, endpoint.tls.name());
            let _ = writeln!(text, "    {protocol} {host}:{port}, TLS {tls}");
        }
    }
    text
}

fn encryption(listener: &Listener) -> &'static str {
    match (listener.tls, listener.plaintext_allowed, listener.protocol) {
        (ListenerTls::Implicit, ..) => "TLS from the first byte",
        (ListenerTls::None, ..) => "no TLS",
        (ListenerTls::StartTls, true, Protocol::Smtp | Protocol::Imap) => "STARTTLS for those who ask",
        (ListenerTls::StartTls, false, Protocol::Smtp | Protocol::Imap) => "STARTTLS before the password",
        (ListenerTls::StartTls, true, Protocol::Pop3) => "STLS for those who ask",
        (ListenerTls::StartTls, false, Protocol::Pop3) => "STLS before the password",
    }
}

fn clients(listener: &Listener) -> String {
    if !listener.allow_from.is_empty() {
        let networks: Vec<String> = listener.allow_from.iter().map(ToString::to_string).collect();
        return format!("from {}", networks.join(", "));
    }
    if listener.address.ip().is_loopback() { "from this machine" } else { "from anywhere" }.to_owned()
}

fn accounts(listener: &Listener) -> String {
    match &listener.provider {
        Some(name) => format!("accounts of {name}"),
        None => "accounts of every provider".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::path::Path;

    use super::summary;
    use crate::config::Config;

    #[test]
    fn the_summary_says_who_may_connect_where_and_how() {
        let text = "providers:
  contoso: { preset: microsoft365, client_id: abc, tenant: contoso.example }
listeners:
  - { protocol: smtp, tls: implicit }
  - { protocol: imap }
  - protocol: smtp
    address: 192.168.1.10
    tls: none
    plaintext: allowed
    allow_from: [192.168.1.0/24, 10.0.0.7]
    provider: contoso
state: /var/lib/gatepost
on_alarm:
  command: [page, --urgent]
  mail_to: [admin@example.com, night@example.com]
  mail_account: scan@example.com
";
        let config = Config::parse(Path::new("gatepost.yaml"), text, &|_| None).unwrap();
        let expected = "gatepost.yaml is in order.

Providers
  contoso: authorization_code at login.microsoftonline.com
    SMTP smtp.office365.com:587, TLS starttls
    POP3 outlook.office365.com:995, TLS implicit
    IMAP outlook.office365.com:993, TLS implicit

Listeners
  SMTP 127.0.0.1:1465: TLS from the first byte; from this machine; accounts of every provider
  IMAP 127.0.0.1:1143: STARTTLS for those who ask; from this machine; accounts of every provider
  SMTP 192.168.1.10:1587: no TLS; from 192.168.1.0/24, 10.0.0.7/32; accounts of contoso

Certificate: made by Gatepost itself
State: /var/lib/gatepost (2 accounts)
Alarms: the log; page; mail to admin@example.com, night@example.com through scan@example.com
";
        assert_eq!(summary(&config, "2 accounts"), expected);
    }
}
