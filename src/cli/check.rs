//! `gatepost check`: reads the configuration file as `run` would, and tells every mistake in it, or what it means. Rule: it
//! makes nothing; where there is no store yet, there is none afterwards.

mod online;

use std::fmt::Write as _;

use clap::Args;
use gatepost_protocol::Protocol;

use super::table::print;
use super::{Context, Exit, Failure, user_names};
use crate::account::Account;
use crate::config::provider::Login;
use crate::config::{Config, Listener, ListenerTls, OnAlarm, Provider, lint};
use crate::store::{Store, StoreError};
use crate::tls::acceptor::ServerCertificate;

/// `gatepost check`.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// Ask every server and token endpoint, too: names, TLS, capabilities, and whether Gatepost is known as a client
    #[arg(long)]
    online: bool,
}

impl Arguments {
    /// Ends well if the file can be used; warnings do not change that.
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let config = context.config()?;
        if let Some(files) = &config.certificate {
            ServerCertificate::load(files).map_err(|error| Failure::new(Exit::Configuration, error))?;
        }
        let (state, warning) = state(&config).await?;
        print(&(summary(&config, &state) + &warning))?;
        if self.online { online::check(&config).await } else { Ok(()) }
    }
}

/// What the state folder holds, in words, and a warning where that does not fit the file. Fails where `run` would refuse it, but leaves what is another user's alone: an
/// admin may check a file whose state belongs to the daemon's user.
async fn state(config: &Config) -> Result<(String, String), Failure> {
    let store = match Store::open_existing(&config.state_dir).await {
        Ok(Some(store)) => store,
        Ok(None) => return Ok(("nothing there yet".to_owned(), String::new())),
        Err(StoreError::OtherUser { owner, .. }) => {
            return Ok((format!("not looked into, because it belongs to {owner}"), String::new()));
        }
        Err(error) => return Err(Failure::new(Exit::State, error)),
    };
    user_names::refuse_ambiguous(config, &store).await?;
    let accounts = store.accounts().await?;
    let plural = if accounts.len() == 1 { "" } else { "s" };
    Ok((format!("{} account{plural}", accounts.len()), no_such_sender(&config.on_alarm, &accounts)))
}

fn no_such_sender(on_alarm: &OnAlarm, accounts: &[Account]) -> String {
    let is = |address: &str| accounts.iter().any(|account| account.address.eq_ignore_ascii_case(address));
    match on_alarm.mail_account.as_deref().filter(|address| !is(address)) {
        Some(address) => format!(
            "Warning: `mail_account` says {address}, which is no account; alarms are mailed through another one\n"
        ),
        None => String::new(),
    }
}

/// What the file means, for people.
fn summary(config: &Config, state: &str) -> String {
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
    for provider in config.providers.values() {
        if let Some(preset) = provider.preset.filter(|_| !provider.unverified.is_empty()) {
            let _ = writeln!(
                text,
                "Note: the preset `{}` of the provider `{}` has values that nobody has verified ({}); `gatepost providers {}` \
                 shows them",
                preset.name,
                provider.name,
                provider.unverified.join(", "),
                preset.name
            );
        }
    }
    for warning in lint::warnings(config) {
        let _ = writeln!(text, "Warning: {warning}");
    }
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
    // A test says what it expects by failing.
    #![allow(clippy::unwrap_used)]

    use std::path::Path;

    use gatepost_protocol::secret::Secret;

    use super::super::{Context, Exit};
    use super::{Arguments, state, summary};
    use crate::config::Config;
    use crate::store::Store;
    use crate::store::accounts::NewAccount;
    use crate::store::credentials::NewCredential;

    #[tokio::test]
    async fn a_user_name_that_a_listener_cannot_tell_apart_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let (path, state) = (folder.path().join("gatepost.yaml"), folder.path().join("state"));
        let text = "providers:
  a: { preset: microsoft365, client_id: abc }
  b: { preset: microsoft365, client_id: abc }
listeners: [{ protocol: smtp }]
state: state
";
        std::fs::write(&path, text).unwrap();
        let context = Context { config: Some(path) };
        (Arguments { online: false }).run(&context).await.unwrap();
        assert!(!state.exists(), "nothing is made for a check");
        let store = Store::open(&state).await.unwrap();
        for (provider, expected) in [("a", true), ("b", false)] {
            let account = NewAccount {
                address: "ann@example.com".to_owned(),
                provider: provider.to_owned(),
                ..NewAccount::default()
            };
            let credential = NewCredential {
                user_name: "scanner".to_owned(),
                mailbox: None,
                password_hash: Secret::new(String::new()),
                label: None,
            };
            store.add_account(&account, Some(&credential)).await.unwrap();
            match (Arguments { online: false }).run(&context).await {
                Ok(()) => assert!(expected),
                Err(failure) => {
                    assert_eq!(failure.exit, Exit::Configuration);
                    assert!(!expected && failure.message.contains("`scanner`"), "{}", failure.message);
                }
            }
        }
    }

    #[tokio::test]
    async fn an_alarm_s_sender_that_is_no_account_is_warned_of() {
        let folder = tempfile::tempdir().unwrap();
        let text = "providers:
  a: { preset: microsoft365, client_id: abc }
listeners: [{ protocol: smtp }]
state: state
on_alarm: { mail_to: admin@example.com, mail_account: Ann@example.com }
";
        let config = Config::parse(&folder.path().join("gatepost.yaml"), text, &|_| None).unwrap();
        let store = Store::open(&config.state_dir).await.unwrap();
        let (_, warning) = state(&config).await.unwrap();
        assert!(warning.contains("`mail_account` says Ann@example.com, which is no account"), "{warning}");
        let account = NewAccount {
            address: "ann@example.com".to_owned(),
            provider: "a".to_owned(),
            ..NewAccount::default()
        };
        store.add_account(&account, None).await.unwrap();
        assert_eq!(state(&config).await.unwrap(), ("1 account".to_owned(), String::new()));
    }

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
Warning: no listener serves POP3 for the provider `contoso`
";
        assert_eq!(summary(&config, "2 accounts"), expected);
    }
}
