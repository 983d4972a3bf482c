//! What a user waits for is round trips to the provider: a login through Gatepost and a message cost at most one more than a program
//! pays that knows OAuth itself. `docs/performance.md` shows the same table.
//!
//! Nothing is timed. Each test has one thread, and whoever has something to say says all of it before another one's turn; so it is
//! enough to write down who speaks when. Only session tickets come when the provider likes, so they are held back until the client,
//! whose turn it is behind STARTTLS, has spoken.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what is wrong by panicking"
)]

mod support;

use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use gatepost::config::ListenerTls;
use gatepost::config::provider::{TlsStream, UpstreamTls};
use gatepost::sandbox::{Personality, Sandbox};
use gatepost::session::stream::{Stream, Upgrade};
use gatepost::tls::Trust;
use gatepost_protocol::Protocol::{self, Imap, Pop3, Smtp};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use support::wire::{login, start_tls};
use support::world::{ADDRESS, PASSWORD, World};

/// Without the message's headers.
const BODY_LEN: usize = 4096;

/// Who speaks on one connection to the provider.
#[derive(Default)]
struct Spoken {
    /// Octets in a row from the same side: `true` is the provider's.
    turns: Vec<(bool, usize)>,
    /// Which of them is the provider's part of the TLS handshake.
    handshake: Option<usize>,
}

impl Spoken {
    fn hear(&mut self, is_provider: bool, bytes: &[u8]) {
        match self.turns.last_mut() {
            Some((last, octets)) if *last == is_provider => *octets += bytes.len(),
            _ => self.turns.push((is_provider, bytes.len())),
        }
        // A record of the handshake (RFC 8446, section 5.1).
        if is_provider && bytes.starts_with(&[22, 3]) {
            self.handshake.get_or_insert(self.turns.len() - 1);
        }
    }

    /// TCP's own, and one for everything that the provider says and that is waited for.
    fn round_trips(&self) -> usize {
        1 + self.turns.iter().filter(|(is_provider, _)| *is_provider).count()
    }

    /// Whether the client has ended the handshake and said nothing behind it: then only session tickets can come, for which nobody waits.
    /// Its Finished takes up to 74 octets (RFC 8446 section 4.4.4, a record around a SHA-384), and 6 stand before it.
    fn only_tickets_can_come(&self) -> bool {
        let since = self.handshake.map_or(0, |handshake| {
            let said = self.turns.iter().skip(handshake).filter(|(is_provider, _)| !is_provider);
            said.map(|(_, octets)| octets).sum()
        });
        (1..=80).contains(&since)
    }

    /// The length of the provider's part of the TLS handshake. It is much shorter without a certificate in it.
    fn handshake(&self) -> usize {
        self.turns[self.handshake.unwrap()].1
    }
}

/// Stands before a port of the provider and listens.
struct Tap {
    port: u16,
    connections: Arc<Mutex<Vec<Spoken>>>,
    _tasks: JoinSet<()>,
}

impl Tap {
    async fn before(port: u16, tls: UpstreamTls) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap().port();
        let connections = Arc::<Mutex<Vec<Spoken>>>::default();
        let mut tasks = JoinSet::new();
        let log = Arc::clone(&connections);
        tasks.spawn(async move {
            let mut relays = JoinSet::new();
            loop {
                let (near, _) = listener.accept().await.unwrap();
                let far = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                let number = {
                    let mut log = log.lock().unwrap();
                    log.push(Spoken::default());
                    log.len() - 1
                };
                relays.spawn(relay(near, far, tls, Arc::clone(&log), number));
            }
        });
        Self { port: own, connections, _tasks: tasks }
    }

    /// Of the connection that began last: round trips so far, and how long the handshake was.
    fn last(&self) -> (usize, usize) {
        let connections = self.connections.lock().unwrap();
        let spoken = connections.last().unwrap();
        (spoken.round_trips(), spoken.handshake())
    }
}

/// Until either side ends.
async fn relay(
    mut near: TcpStream,
    mut far: TcpStream,
    tls: UpstreamTls,
    log: Arc<Mutex<Vec<Spoken>>>,
    number: usize,
) {
    let (mut from_near, mut from_far) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        let only_tickets = log.lock().unwrap().get(number).is_some_and(Spoken::only_tickets_can_come);
        let held_back = tls == UpstreamTls::StartTls && only_tickets;
        let (is_provider, count) = tokio::select! {
            Ok(count) = near.read(&mut from_near) => (false, count),
            Ok(count) = far.read(&mut from_far), if !held_back => (true, count),
            else => return,
        };
        if count == 0 {
            return;
        }
        if let Some(spoken) = log.lock().unwrap().get_mut(number) {
            spoken.hear(is_provider, if is_provider { &from_far[..count] } else { &from_near[..count] });
        }
        let (to, bytes) = if is_provider { (&mut near, &from_far) } else { (&mut far, &from_near) };
        if to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}

/// A mail program, line by line.
struct Program(BufReader<Stream>);

impl Program {
    async fn connect(port: u16) -> Self {
        let tcp = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        Self(BufReader::new(Stream::new(tcp).unwrap()))
    }

    async fn upgrade(&mut self, trust: &Trust) {
        let name = ServerName::try_from("localhost").unwrap();
        let upgrade = Upgrade::Connect(trust.client_config().clone(), name, TlsStream::default());
        self.0.get_mut().upgrade(&upgrade).await.unwrap();
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        assert_ne!(self.0.read_line(&mut line).await.unwrap(), 0, "the end");
        line
    }

    async fn say(&mut self, line: &str) {
        self.0.write_all(format!("{line}\r\n").as_bytes()).await.unwrap();
        self.0.flush().await.unwrap();
    }

    /// A command and its whole answer, which has to be a good one.
    async fn ask(&mut self, protocol: Protocol, command: &str) {
        self.say(command).await;
        loop {
            let line = self.line().await;
            let is_last = match protocol {
                Smtp => line.as_bytes().get(3) == Some(&b' '),
                Pop3 => true,
                Imap => !line.starts_with('*'),
            };
            if is_last {
                let is_good = line.starts_with(['2', '3', '+']) || line.contains(" OK");
                assert!(is_good, "{command}: {line}");
                return;
            }
        }
    }

    /// A login with a token as a program does it that saves every round trip.
    async fn log_in_directly(&mut self, world: &World, trust: &Trust, protocol: Protocol, tls: UpstreamTls) {
        if tls == UpstreamTls::Implicit {
            self.upgrade(trust).await;
        }
        self.line().await;
        if protocol == Smtp {
            self.ask(Smtp, "EHLO [127.0.0.1]").await;
        }
        if tls == UpstreamTls::StartTls {
            self.ask(protocol, start_tls(protocol)).await;
            self.upgrade(trust).await;
            if protocol == Smtp {
                self.ask(Smtp, "EHLO [127.0.0.1]").await;
            }
        }
        if protocol == Imap {
            // The greeting does not tell, and SASL-IR saves a round trip only where it is known.
            self.ask(Imap, "a0 CAPABILITY").await;
        }
        let token = world.grant().await.access_token.unwrap();
        let message = format!("user={ADDRESS}\u{1}auth=Bearer {}\u{1}\u{1}", token.expose());
        let message = BASE64_STANDARD.encode(message);
        let command = if protocol == Imap { "a1 AUTHENTICATE" } else { "AUTH" };
        self.ask(protocol, &format!("{command} XOAUTH2 {message}")).await;
    }

    /// A message of 4 KiB, sent or fetched.
    async fn message(&mut self, protocol: Protocol) {
        match protocol {
            Smtp => {
                self.ask(Smtp, &format!("MAIL FROM:<{ADDRESS}>")).await;
                self.ask(Smtp, &format!("RCPT TO:<{ADDRESS}>")).await;
                self.ask(Smtp, "DATA").await;
                self.ask(Smtp, &format!("{}\r\n.", message())).await;
            }
            Pop3 => {
                self.say("RETR 1").await;
                while self.line().await != ".\r\n" {}
            }
            Imap => {
                self.ask(Imap, "a2 SELECT INBOX").await;
                self.say("a3 FETCH 1 BODY[]").await;
                while !self.line().await.starts_with("a3 OK") {}
            }
        }
    }
}

fn message() -> String {
    format!(
        "From: <{ADDRESS}>\r\nTo: <{ADDRESS}>\r\n\r\n{}",
        format!("{}\r\n", "x".repeat(62)).repeat(BODY_LEN / 64)
    )
}

/// A world whose provider has its ears open, at its port for this protocol.
async fn tapped(protocol: Protocol, tls: UpstreamTls) -> (World, Tap) {
    let sandbox = Sandbox::start_as(Personality::gmail()).await.unwrap();
    let ports = sandbox.ports();
    let port = match (protocol, tls) {
        (Smtp, UpstreamTls::Implicit) => ports.smtps,
        (Smtp, UpstreamTls::StartTls) => ports.smtp,
        (Pop3, UpstreamTls::Implicit) => ports.pop3s,
        (Pop3, UpstreamTls::StartTls) => ports.pop3,
        (Imap, UpstreamTls::Implicit) => ports.imaps,
        (Imap, UpstreamTls::StartTls) => ports.imap,
    };
    sandbox.deliver(ADDRESS, message().into());
    let tap = Tap::before(port, tls).await;
    let moved = |yaml: String| yaml.replace(&format!("port: {port},"), &format!("port: {},", tap.port));
    let world = World::at(sandbox, tls, moved, |_| {}).await;
    world.connect().await;
    (world, tap)
}

#[tokio::test]
async fn a_login_and_a_message_cost_at_most_one_round_trip_more_than_a_direct_client_pays() {
    for (protocol, tls, direct, through_gatepost) in [
        (Smtp, UpstreamTls::Implicit, 9, 10),
        (Smtp, UpstreamTls::StartTls, 11, 12),
        (Pop3, UpstreamTls::Implicit, 5, 6),
        (Pop3, UpstreamTls::StartTls, 6, 7),
        (Imap, UpstreamTls::Implicit, 7, 8),
        (Imap, UpstreamTls::StartTls, 8, 9),
    ] {
        let case = format!("{protocol} {tls:?}");
        let (world, tap) = tapped(protocol, tls).await;
        let trust = Trust::load(Some(&world.folder().join("sandbox-ca.pem"))).unwrap();
        let mut handshakes = Vec::new();
        for is_first in [true, false] {
            let mut program = Program::connect(tap.port).await;
            program.log_in_directly(&world, &trust, protocol, tls).await;
            program.message(protocol).await;
            let (round_trips, handshake) = tap.last();
            assert_eq!(round_trips, direct, "{case}, directly, first: {is_first}");
            handshakes.push(handshake);
        }
        for is_first in [true, false] {
            let gateway = world.address(protocol, ListenerTls::None).port();
            let mut program = Program::connect(gateway).await;
            program.line().await;
            program.ask(protocol, &login(protocol, PASSWORD)).await;
            program.message(protocol).await;
            let (round_trips, handshake) = tap.last();
            assert_eq!(round_trips, through_gatepost, "{case}, first: {is_first}");
            handshakes.push(handshake);
        }
        // Gatepost has been at the provider's for its token before, so its first one is resumed too.
        let [new, resumed @ ..] = &handshakes[..] else { panic!("four logins") };
        assert!(resumed.iter().all(|octets| octets + 300 < *new), "{case}: TLS is resumed: {handshakes:?}");
        assert!(through_gatepost <= direct + 1, "{case}");
    }
}
