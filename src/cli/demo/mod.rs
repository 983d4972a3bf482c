//! `gatepost demo`: Gatepost as it runs in production, in a temporary folder, beside a provider in this process; an old
//! mail program sends a message through it by SMTP and fetches it back by POP3 and by IMAP. Only the provider and the person at the browser are
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

use self::legacy_client::{LegacyClient, LegacyClientError};
use super::run::stop_signal;
use super::table::print;
use super::{Context, Exit, Failure, find, style};
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
        let daemon = Daemon::start(config, &store).map_err(failed)?;
        let client = LegacyClient { user: ADDRESS.to_owned(), password };
        Ok(Self { sandbox, daemon, store, client, _folder: folder })
    }

    /// Sends and fetches, prints the transcript, and tells whether the message came back identical.
    async fn show(&self) -> Result<bool, Failure> {
        let message = message();
        let mut dialogues = Protocol::ALL.map(Dialogue::new);
        let begun = Instant::now();
        let fetched = self.there_and_back(&message, &mut dialogues).await;
        let duration = begun.elapsed();
        print(LEGEND)?;
        for dialogue in dialogues.iter().filter(|dialogue| !dialogue.lines.is_empty()) {
            print(&self.both_sides(dialogue))?;
        }
        let fetched = fetched.map_err(|error| failed(format!("the old program gives up: {error}")))?;
        print(&result(&message, &fetched, duration))?;
        Ok(fetched.iter().all(|(_, fetched)| *fetched == message))
    }

    /// The message as it came back, by each protocol that fetches.
    async fn there_and_back(
        &self,
        message: &[u8],
        [smtp, pop3, imap]: &mut [Dialogue; 3],
    ) -> Result<[(Protocol, Vec<u8>); 2], LegacyClientError> {
        let server = |protocol| self.address(protocol, ListenerTls::StartTls);
        self.client.send(server(Protocol::Smtp), message, smtp).await?;
        let by_pop3 = self.client.fetch_by_pop3(server(Protocol::Pop3), pop3).await?;
        let by_imap = self.client.fetch_by_imap(server(Protocol::Imap), imap).await?;
        Ok([(Protocol::Pop3, by_pop3), (Protocol::Imap, by_imap)])
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
        let smtp = self.address(Protocol::Smtp, ListenerTls::StartTls);
        let pop3 = self.address(Protocol::Pop3, ListenerTls::StartTls);
        let imap = self.address(Protocol::Imap, ListenerTls::StartTls);
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
curl 'imap://{imap}/INBOX;UID=1' --user '{user}:{password}'

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
  - {{ protocol: smtp, address: \"127.0.0.1:0\", tls: starttls }}
  - {{ protocol: pop3, address: \"127.0.0.1:0\", tls: starttls }}
  - {{ protocol: imap, address: \"127.0.0.1:0\", tls: starttls }}
  - {{ protocol: smtp, address: \"127.0.0.1:0\", tls: implicit }}
  - {{ protocol: pop3, address: \"127.0.0.1:0\", tls: implicit }}
  - {{ protocol: imap, address: \"127.0.0.1:0\", tls: implicit }}
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
    let account =
        NewAccount { address: ADDRESS.to_owned(), provider: provider.name.clone(), ..NewAccount::default() };
    let label = Some("demo".to_owned());
    let credential = NewCredential { user_name: ADDRESS.to_owned(), mailbox: None, password_hash, label };
    let (id, _) = store.add_account(&account, Some(&credential)).await.map_err(failed)?;
    let account =
        store.account(id).await.map_err(failed)?.ok_or_else(|| failed("the demo's account is gone"))?;
    let client = find::oauth(provider)?;
    consent::connect(client, &account, store).await.map_err(failed)?;
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

fn result(message: &[u8], fetched: &[(Protocol, Vec<u8>)], duration: Duration) -> String {
    let changed: Vec<&Protocol> =
        fetched.iter().filter(|(_, fetched)| fetched != message).map(|(protocol, _)| protocol).collect();
    let (mark, words, named) = if changed.is_empty() {
        (style::tick(), "identical", fetched.iter().map(|(protocol, _)| protocol).collect())
    } else {
        (style::cross(), "changed", changed)
    };
    let by: Vec<String> = named.into_iter().map(|protocol| format!("by {protocol}")).collect();
    let bytes = message.len() + fetched.iter().map(|(_, fetched)| fetched.len()).sum::<usize>();
    format!(
        "{mark} The message came back {words} {}.\n  {bytes} bytes there and back in {} ms.\n\n",
        by.join(" and "),
        duration.as_millis()
    )
}

fn server(listener: &Listener, address: SocketAddr) -> String {
    let tls = match listener.tls {
        ListenerTls::Implicit => "SSL/TLS (accept Gatepost's own certificate)",
        ListenerTls::None => "no encryption",
        ListenerTls::StartTls => "no encryption, or STARTTLS",
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

    use std::time::Duration;

    use gatepost_protocol::Protocol::{Imap, Pop3};

    use super::{Demo, result, style};

    #[test]
    fn the_result_names_the_protocols_that_changed_the_message() {
        let (same, other) = (b"ab".to_vec(), b"abc".to_vec());
        let tick = style::tick();
        for (by_pop3, by_imap, expected) in [
            (&same, &same, "identical by POP3 and by IMAP.\n  6"),
            (&same, &other, "changed by IMAP.\n  7"),
            (&other, &same, "changed by POP3.\n  7"),
            (&other, &other, "changed by POP3 and by IMAP.\n  8"),
        ] {
            let fetched = [(Pop3, by_pop3.clone()), (Imap, by_imap.clone())];
            let line = result(b"ab", &fetched, Duration::from_millis(5));
            let words = format!(" The message came back {expected} bytes there and back in 5 ms.\n\n");
            assert!(line.ends_with(&words), "{line}");
            assert_eq!(line.starts_with(&tick), expected.starts_with("identical"), "{line}");
        }
    }

    #[tokio::test]
    async fn the_message_comes_back_identical() {
        let demo = Demo::start().await.unwrap();
        assert!(demo.show().await.unwrap());
        let counters = demo.sandbox.counters();
        assert_eq!((counters.smtp_logins, counters.pop3_logins, counters.imap_logins), (1, 1, 1));
        assert_eq!(counters.refused_logins, 0);
        assert_eq!((counters.code_requests, counters.refresh_requests), (1, 0));
        demo.stop().await;
    }
}
