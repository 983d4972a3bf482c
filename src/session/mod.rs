//! A session's life: [`Accepted`] → [`Identified`] → [`Linked`], each consumed by the next, ended with one log line.
//!
//! Hear the client out, get in upstream, get out of the way. The client dialogue never interleaves with the upstream
//! dialogue, nothing goes upstream before the local password is verified (invariant 6), and the client hears success only
//! after the provider said success (invariant 3).

pub mod buffers;
pub mod dial;
pub mod driver;
mod failed;
mod identify;
mod link;
pub mod live;
mod queue;
pub mod record;
pub mod slots;
pub mod splice;
pub mod stream;
pub mod tls_client;
mod turn;
pub mod upstream;

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use gatepost_protocol::Protocol;
use gatepost_protocol::dialogue::{Encryption, Goodbye, Output, ServerDialogue, Step};
use gatepost_protocol::sasl::Credentials;
use gatepost_protocol::{imap, pop3, smtp};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::account::{Accounts, Verified};
use crate::config::{Limits, Listener, Provider};
use crate::mailbox_password::MailboxPasswords;
use crate::oauth::Tokens;
use driver::Connection;
use live::{Live, LiveSession};
use record::{Phase, Record};
use slots::{Mailbox, Slot, Slots};
use splice::{SpliceEnd, splice};
use stream::{Stream, Upgrade};

/// What all sessions share.
#[derive(Debug)]
pub struct Gateway {
    /// Local logins.
    pub accounts: Accounts,
    /// Their tokens.
    pub tokens: Tokens,
    /// Their passwords, where the provider has no tokens.
    pub mailbox_passwords: Arc<MailboxPasswords>,
    /// By name.
    pub providers: BTreeMap<String, Arc<Provider>>,
    /// Caps and times.
    pub limits: Limits,
    /// Sessions per mailbox.
    pub slots: Arc<Slots<Mailbox>>,
    /// Password checks per client address: one that guesses on many connections keeps nobody else waiting.
    pub checks: Arc<Slots<IpAddr>>,
    /// Who is logged in.
    pub live: Arc<Live>,
    /// Cancelled when Gatepost stops: who is not logged in is told so.
    pub stopping: CancellationToken,
    /// Cancelled when the time to drain is over: every session is closed.
    pub drained: CancellationToken,
}

/// What the sessions of one listener share.
#[derive(Debug)]
pub struct Entrance {
    /// As configured.
    pub listener: Listener,
    /// Where it really listens.
    pub address: SocketAddr,
    /// The names of the providers whose accounts may log in here.
    pub providers: Vec<String>,
    /// What a client is told before it logs in.
    pub capabilities: Vec<String>,
    /// Our name toward clients.
    pub host_name: String,
    /// How a client's stream is encrypted.
    pub upgrade: Upgrade,
}

impl Entrance {
    fn encryption(&self) -> Encryption {
        use crate::config::ListenerTls::{Implicit, None, StartTls};
        match (self.listener.tls, self.listener.plaintext_allowed) {
            (Implicit, _) => Encryption::Active,
            (None, _) => Encryption::Unavailable,
            (StartTls, true) => Encryption::Optional,
            (StartTls, false) => Encryption::Required,
        }
    }

    /// Our side of the client's dialogue.
    fn dialogue(&self, limits: &Limits) -> Box<dyn ServerDialogue + Send> {
        let (host_name, capabilities) = (self.host_name.clone(), self.capabilities.clone());
        let (encryption, wrong_passwords) = (self.encryption(), limits.wrong_passwords);
        match self.listener.protocol {
            Protocol::Smtp => {
                Box::new(smtp::Server::new(host_name, capabilities, encryption, wrong_passwords))
            }
            Protocol::Pop3 => {
                Box::new(pop3::Server::new(host_name, capabilities, encryption, wrong_passwords))
            }
            Protocol::Imap => {
                Box::new(imap::Server::new(host_name, capabilities, encryption, wrong_passwords))
            }
        }
    }

    /// The line with which a connection ends that nobody logged in on.
    pub fn goodbye(&self, reason: Goodbye, output: &mut Output) {
        match self.listener.protocol {
            Protocol::Smtp => smtp::goodbye(&self.host_name, reason, output),
            Protocol::Pop3 => pop3::goodbye(reason, output),
            Protocol::Imap => imap::goodbye(reason, output),
        }
    }
}

/// A connection whose client has not been let in.
pub struct Accepted {
    gateway: Arc<Gateway>,
    entrance: Arc<Entrance>,
    client: Connection,
    dialogue: Box<dyn ServerDialogue + Send>,
    /// Where the dialogue stands.
    step: Step<Credentials>,
    /// What is left of the time that the client itself may take.
    patience: Duration,
    record: Record,
}

/// A client whose local password is right.
pub struct Identified {
    accepted: Accepted,
    verified: Verified,
    /// When the client must have its verdict.
    deadline: Instant,
}

/// A client that is in at its provider and knows it.
pub struct Linked {
    gateway: Arc<Gateway>,
    idle: Duration,
    client: Connection,
    upstream: Connection,
    session: LiveSession,
    /// Held until the session at the provider has ended.
    slot: Option<Slot<Mailbox>>,
    record: Record,
}

/// How a connection ended that nobody logged in on.
pub struct Closed {
    client: Stream,
    record: Record,
    outcome: String,
}

impl Closed {
    async fn end(mut self) {
        self.record.close(&self.outcome, 0, 0);
        self.client.end().await;
    }
}

/// Everything that happens to a connection.
pub async fn run(gateway: Arc<Gateway>, entrance: Arc<Entrance>, client: TcpStream, address: SocketAddr) {
    // Each phase lives on the heap and is gone when it is over: a session that waits for hours is as small as what it still needs.
    let last: Pin<Box<dyn Future<Output = ()> + Send>> =
        match Box::pin(Accepted::new(gateway, entrance, client, address).log_in()).await {
            Ok(linked) => Box::pin(linked.splice()),
            Err(closed) => Box::pin(closed.end()),
        };
    last.await;
}

impl Accepted {
    fn new(gateway: Arc<Gateway>, entrance: Arc<Entrance>, client: TcpStream, address: SocketAddr) -> Self {
        let record = Record::new(entrance.listener.protocol, entrance.address, address);
        // Socket options are a courtesy; a connection that refuses them is dead and says so at the first read.
        let client = Connection::new(Stream::new(client).unwrap_or(Stream::Closed));
        let dialogue = entrance.dialogue(&gateway.limits);
        let patience = gateway.limits.before_login;
        Self { gateway, entrance, client, dialogue, step: Step::NeedLine, patience, record }
    }

    /// Phases one and two, as often as the client tries.
    async fn log_in(self) -> Result<Linked, Closed> {
        let mut accepted = self.greet().await?;
        loop {
            accepted = match accepted.identify().await?.link().await? {
                Ok(linked) => return Ok(linked),
                Err(refused) => refused,
            }
        }
    }

    fn close(self, outcome: impl Into<String>) -> Closed {
        Closed { client: self.client.stream, record: self.record, outcome: outcome.into() }
    }
}

impl Linked {
    /// Phase three.
    fn splice(self) -> impl Future<Output = ()> + Send {
        let Self { gateway, idle, client, upstream, session, slot, mut record } = self;
        record.phase = Phase::LoggedIn;
        let splicing = Box::pin(splice(client, upstream, idle, session.ended.clone().cancelled_owned()));
        async move {
            let spliced = splicing.await;
            drop(slot);
            let outcome = match &spliced.end {
                SpliceEnd::Finished => "finished".to_owned(),
                SpliceEnd::Idle => "closed: idle too long".to_owned(),
                SpliceEnd::Stopped if gateway.drained.is_cancelled() => "closed: stopping".to_owned(),
                SpliceEnd::Stopped => "closed: credential revoked".to_owned(),
                // Many providers end TLS like that behind the answer to QUIT; it has to be told apart from a line that went dead.
                SpliceEnd::Broken { side, error } if error.kind() == io::ErrorKind::UnexpectedEof => {
                    format!("{side} ended without close_notify")
                }
                SpliceEnd::Broken { side, error } => format!("{side} broke off: {error}"),
            };
            record.close(&outcome, spliced.bytes_up, spliced.bytes_down);
            drop(session);
        }
    }
}
