//! `gatepost demo`: Gatepost as it runs in production, in a temporary folder, beside a provider in this process; an old
//! mail program sends a message through it and fetches it back. Only the provider and the person at the browser are
//! played; configuration, store, consent, listeners and sessions are the real ones.

mod consent;
mod legacy_client;
mod transcript;

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use gatepost_protocol::Protocol;
use gatepost_protocol::secret::Secret;
use tempfile::TempDir;

use self::legacy_client::LegacyClient;
use super::run::stop_signal;
use super::table::print;
use super::{Context, Exit, Failure, style};
use crate::account::{Accounts, password};
use crate::config::provider::UpstreamTls;
use crate::config::{Config, Listener, ListenerTls};
use crate::daemon::Daemon;
use crate::sandbox::record::Dialogue;
use crate::sandbox::{CLIENT_SECRET, CLIENT_SECRET_VARIABLE, Sandbox};
use crate::store::Store;
use crate::store::accounts::NewAccount;
use crate::store::credentials::NewCredential;

const ADDRESS: &str = "demo@gatepost.example";
const LEGEND: &str = "\
C: the old mail program    S: Gatepost, to the old program
U: the provider            P: Gatepost, to the provider

";

/// `gatepost demo`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// End after the transcript; the exit status says whether the message came back identical
    #[arg(long)]
    once: bool,
}

impl Arguments {
    /// Shows the whole way of a message, then stays up to be tried.
    /// It brings its own configuration, so the context counts for nothing.
    pub async fn run(self, _context: &Context) -> Result<(), Failure> {
        let demo = Demo::start().await?;
        let identical = demo.show().await?;
        if !self.once {
            print(&demo.settings())?;
            stop_signal().map_err(failed)?.await;
        }
        demo.stop().await;
        if identical { Ok(()) } else { Err(failed("the message came back changed")) }
    }
}

/// Everything that runs.
struct Demo {
    sandbox: Sandbox,
    daemon: Daemon,
    store: Store,
    client: LegacyClient,
    /// Removed with everything in it when the demo ends.
    _folder: TempDir,
}

impl Demo {
    async fn start() -> Result<Self, Failure> {
        let folder = tempfile::Builder::new().prefix("gatepost-demo-").tempdir().map_err(failed)?;
        let sandbox = Sandbox::start().await.map_err(failed)?;
        let config = configuration(&sandbox, folder.path())?;
        let store = Store::open(&config.state_dir).await.map_err(failed)?;
        let password = add_account(&config, &store).await?;
        let daemon = Daemon::start(config, store.clone()).await.map_err(failed)?;
        let client = LegacyClient { user: ADDRESS.to_owned(), password };
        Ok(Self { sandbox, daemon, store, client, _folder: folder })
    }

    /// Sends and fetches, prints the transcript, and tells whether the message came back identical.
    async fn show(&self) -> Result<bool, Failure> {
        let message = message();
        let (mut smtp, mut pop3) = (Dialogue::new(Protocol::Smtp), Dialogue::new(Protocol::Pop3));
        let begun = Instant::now();
        let sent =
            self.client.send(self.address(Protocol::Smtp, ListenerTls::None), &message, &mut smtp).await;
        let fetched = match sent {
            Ok(()) => self.client.fetch(self.address(Protocol::Pop3, ListenerTls::None), &mut pop3).await,
            Err(error) => Err(error),
        };
        let duration = begun.elapsed();
        print(LEGEND)?;
        for dialogue in [&smtp, &pop3] {
            print(&self.both_sides(dialogue))?;
        }
        let fetched = fetched.map_err(|error| failed(format!("the old program gives up: {error}")))?;
        let identical = fetched == message;
        print(&result(message.len() + fetched.len(), duration, identical))?;
        Ok(identical)
    }

    fn both_sides(&self, client: &Dialogue) -> String {
        let recorded = self.sandbox.dialogues();
        let upstream = recorded.into_iter().rfind(|dialogue| dialogue.protocol == client.protocol);
        let upstream = upstream.unwrap_or_else(|| Dialogue::new(client.protocol));
        let width = width();
        let half = width / 2;
        format!(
            "{}\n{:<half$} Gatepost and the provider, inside TLS\n{}\n{}\n",
            client.protocol,
            "The old program and Gatepost, in clear",
            "-".repeat(width),
            transcript::side_by_side(client, &upstream, width, style::is_on())
        )
    }

    /// How to try it with one's own mail program.
    fn settings(&self) -> String {
        let servers: String =
            self.daemon.addresses().map(|(listener, address)| server(listener, address)).collect();
        let LegacyClient { user, password } = &self.client;
        let password = password.expose();
        let smtp = self.address(Protocol::Smtp, ListenerTls::None);
        let pop3 = self.address(Protocol::Pop3, ListenerTls::None);
        format!(
            "Try it with your own mail program:
{servers}  user name {user}
  password  {password}

Send with curl:
curl smtp://{smtp}/curl --user '{user}:{password}' --mail-from {user} --mail-rcpt {user} --crlf --upload-file - <<'END'
From: {user}
To: {user}
Subject: Between you, me and the gatepost

Hello from curl.
END

Fetch with curl (1 is the old program's message, the next are yours):
curl pop3://{pop3}/1 --user '{user}:{password}'

Ctrl-C ends the demo.
"
        )
    }

    fn address(&self, protocol: Protocol, tls: ListenerTls) -> SocketAddr {
        let mut addresses = self.daemon.addresses();
        let found = addresses.find(|(listener, _)| listener.protocol == protocol && listener.tls == tls);
        // A port that nobody listens on: the old program will say so.
        found.map_or(SocketAddr::from(([127, 0, 0, 1], 0)), |(_, address)| address)
    }

    async fn stop(self) {
        self.daemon.stop().await;
        self.store.close().await;
        self.sandbox.stop().await;
    }
}

/// The file that a person would write, with free ports.
fn configuration(sandbox: &Sandbox, folder: &Path) -> Result<Config, Failure> {
    let ca_file = folder.join("sandbox-ca.pem");
    std::fs::write(&ca_file, sandbox.ca_pem()).map_err(failed)?;
    let provider = sandbox.provider_yaml("sandbox", &ca_file, UpstreamTls::StartTls);
    let text = format!(
        "providers:\n{provider}
listeners:
  - {{ protocol: smtp, address: \"127.0.0.1:0\", tls: none }}
  - {{ protocol: pop3, address: \"127.0.0.1:0\", tls: none }}
  - {{ protocol: smtp, address: \"127.0.0.1:0\", tls: implicit }}
  - {{ protocol: pop3, address: \"127.0.0.1:0\", tls: implicit }}
state: state
"
    );
    let path = folder.join("gatepost.yaml");
    std::fs::write(&path, &text).map_err(failed)?;
    let environment = |name: &str| (name == CLIENT_SECRET_VARIABLE).then(|| CLIENT_SECRET.to_owned());
    Config::parse(&path, &text, &environment).map_err(|error| Failure::new(Exit::Configuration, error))
}

/// Adds the account, gives it a password, and connects it. Gives the password.
async fn add_account(config: &Config, store: &Store) -> Result<Secret<String>, Failure> {
    let provider = config.providers.get("sandbox").ok_or_else(|| failed("the demo's provider is missing"))?;
    let password = password::generate().map_err(failed)?;
    let accounts = Accounts::new(store.clone());
    let password_hash =
        accounts.hash_new_password(&provider.name, ADDRESS, &password).await.map_err(failed)?;
    let account = NewAccount {
        address: ADDRESS.to_owned(),
        provider: provider.name.clone(),
        smtp_user_name: None,
        pop3_user_name: None,
        imap_user_name: None,
        disabled: false,
    };
    let label = Some("demo".to_owned());
    let credential = NewCredential { user_name: ADDRESS.to_owned(), password_hash, label };
    let (id, _) = store.add_account(&account, Some(&credential)).await.map_err(failed)?;
    let account =
        store.account(id).await.map_err(failed)?.ok_or_else(|| failed("the demo's account is gone"))?;
    consent::connect(provider, &account, store).await.map_err(failed)?;
    Ok(password)
}

/// With what goes wrong most easily on the way: dots at line starts, and octets above 127.
fn message() -> Vec<u8> {
    format!(
        "From: {ADDRESS}\r\nTo: {ADDRESS}\r\nSubject: Between you, me and the gatepost\r\n\
         Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\
         Sch\u{f6}ne Gr\u{fc}\u{df}e from a program that has never heard of OAuth.\r\n.\r\n..dots\r\n"
    )
    .into_bytes()
}

fn result(bytes: usize, duration: Duration, identical: bool) -> String {
    let mark = if identical { style::tick() } else { style::cross() };
    let words = if identical { "identical" } else { "changed" };
    format!(
        "{mark} The message came back {words}: {bytes} bytes there and back in {} ms.\n\n",
        duration.as_millis()
    )
}

fn server(listener: &Listener, address: SocketAddr) -> String {
    let tls = match listener.tls {
        ListenerTls::Implicit => "SSL/TLS (accept the certificate: Gatepost made it)",
        ListenerTls::None => "no encryption",
        ListenerTls::StartTls => "STARTTLS",
    };
    format!("  {}  host {}  port {}  {tls}\n", listener.protocol, address.ip(), address.port())
}

/// The transcript's width: the terminal's, or 100 where there is none.
fn width() -> usize {
    #[cfg(unix)]
    let columns = rustix::termios::tcgetwinsize(std::io::stdout()).ok().map(|size| usize::from(size.ws_col));
    #[cfg(not(unix))]
    let columns = None;
    columns.filter(|columns| *columns > 0).unwrap_or(100).clamp(60, 160)
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Failed, error)
}

#[cfg(test)]
mod tests {
    // A test says what went wrong by panicking.
    #![allow(clippy::unwrap_used)]

    use super::Demo;

    #[tokio::test]
    async fn the_message_comes_back_identical() {
        let demo = Demo::start().await.unwrap();
        assert!(demo.show().await.unwrap());
        let counters = demo.sandbox.counters();
        assert_eq!((counters.smtp_logins, counters.pop3_logins, counters.refused_logins), (1, 1, 0));
        assert_eq!((counters.code_requests, counters.refresh_requests), (1, 0));
        demo.stop().await;
    }
}
