//! What the mail servers share: buffered lines over plain TCP or TLS, the upgrade, and the one place where a fault takes the
//! place of a reply.

mod login;
mod message;

use std::io;
use std::sync::Arc;

use gatepost_protocol::Protocol;
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader, BufWriter,
};
use tokio::net::TcpStream;

use super::dialect::Dialect;
use super::faults::{Action, Moment};
use super::record::Speaker;
use super::sasl::Mechanism;
use super::{Shared, imap, pop3, smtp};
use crate::config::provider::UpstreamTls;

pub(super) use self::login::LoggedIn;

/// How far the connection is when a dialogue begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// No TLS yet; there is no login here.
    Plain,
    /// After STARTTLS or STLS: no greeting is said again.
    Upgraded,
    /// TLS from the first byte.
    Implicit,
}

/// How a dialogue ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing follows.
    Close,
    /// The TLS handshake follows.
    StartTls,
}

/// One connection, in clear or inside TLS.
pub(super) struct Connection<S> {
    /// Reads and writes are whole buffers, so that a message of 20 MB is few calls.
    stream: BufReader<BufWriter<S>>,
    peer: Peer,
    /// The tag of the IMAP command that is being answered, and the space behind it. Empty in SMTP and POP3.
    pub(super) tag: String,
}

/// Whose connection it is.
struct Peer {
    shared: Arc<Shared>,
    protocol: Protocol,
    record: u64,
}

/// The longest line that is read; a token of 8 KiB fits in.
const LINE: u64 = 12_288;

/// Serves one connection until its end, however it ends: a client that goes away is not the sandbox's trouble.
pub(super) async fn serve(shared: Arc<Shared>, protocol: Protocol, tls: UpstreamTls, socket: TcpStream) {
    let record = {
        let mut world = shared.world();
        match protocol {
            Protocol::Smtp => world.counters.smtp_connections += 1,
            Protocol::Pop3 => world.counters.pop3_connections += 1,
            Protocol::Imap => world.counters.imap_connections += 1,
        }
        world.records.begin(protocol)
    };
    drop(converse(Peer { shared, protocol, record }, tls, socket).await);
}

async fn converse(peer: Peer, tls: UpstreamTls, socket: TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let mut plain = Connection::new(socket, peer);
    let stage = match tls {
        UpstreamTls::Implicit => Stage::Implicit,
        UpstreamTls::StartTls => {
            if plain.dialogue(Stage::Plain).await? == Next::Close {
                return plain.stream.shutdown().await;
            }
            Stage::Upgraded
        }
    };
    if !plain.reply(Moment::Handshake, "").await? {
        // What follows garbage is no handshake.
        plain.drain().await?;
        return Err(io::ErrorKind::ConnectionAborted.into());
    }
    if !plain.stream.buffer().is_empty() {
        // Bytes behind STARTTLS were not protected.
        plain.stream.flush().await?;
        return Err(io::ErrorKind::ConnectionAborted.into());
    }
    let Connection { stream, peer, .. } = plain;
    let stream = peer.shared.acceptor.accept(stream.into_inner().into_inner()).await?;
    peer.note(Speaker::Client, "(TLS begins)");
    let mut encrypted = Connection::new(stream, peer);
    encrypted.dialogue(stage).await?;
    encrypted.stream.shutdown().await
}

impl Peer {
    fn note(&self, speaker: Speaker, text: &str) {
        self.shared.world().records.push(self.record, speaker, text);
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    fn new(stream: S, peer: Peer) -> Self {
        const BUFFER: usize = 64 * 1024;
        let stream = BufReader::with_capacity(BUFFER, BufWriter::with_capacity(BUFFER, stream));
        Self { stream, peer, tag: String::new() }
    }

    async fn dialogue(&mut self, stage: Stage) -> io::Result<Next> {
        let next = match self.peer.protocol {
            Protocol::Smtp => smtp::dialogue(self, stage).await,
            Protocol::Pop3 => pop3::dialogue(self, stage).await,
            Protocol::Imap => imap::dialogue(self, stage).await,
        }?;
        self.stream.flush().await?;
        Ok(next)
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.peer.shared
    }

    pub(super) fn dialect(&self) -> &'static Dialect {
        self.shared().world().personality.dialect
    }

    /// The next line as text without its end. A token that stands in it is noted by the login, shortened.
    pub(super) async fn line(&mut self) -> io::Result<String> {
        let line = self.unrecorded_line().await?;
        let mut words = line.split(' ');
        let is_auth = words.next().is_some_and(|verb| verb.eq_ignore_ascii_case("AUTH"));
        match (words.next(), words.next()) {
            (Some(mechanism), Some(_)) if is_auth && Mechanism::named(mechanism).is_some() => {}
            (Some(mechanism), Some(_)) if is_auth => {
                self.note(Speaker::Client, &format!("AUTH {mechanism} (...)"));
            }
            _ => self.note(Speaker::Client, &line),
        }
        Ok(line)
    }

    pub(super) fn note(&self, speaker: Speaker, text: &str) {
        self.peer.note(speaker, text);
    }

    /// Says `reply`, which is due at this moment, or does what the personality wants instead; then it is false.
    pub(super) async fn reply(&mut self, moment: Moment, reply: &str) -> io::Result<bool> {
        match self.fault(moment) {
            None | Some(Action::Refuse { .. } | Action::Echo) => self.say(reply).await.map(|()| true),
            Some(Action::Close) => Err(io::ErrorKind::ConnectionAborted.into()),
            Some(Action::Answer(words)) => self.answer(&format!("{words}\r\n")).await.map(|()| false),
            Some(Action::Say(bytes)) => self.stream.write_all(&bytes).await.map(|()| false),
            Some(Action::SayAndClose(bytes)) => self.close(&bytes).await,
            Some(Action::Stall) => {
                self.drain().await?;
                Err(io::ErrorKind::ConnectionAborted.into())
            }
        }
    }

    /// Waits until the client says something or leaves; reads nothing, so it may be given up at any time.
    pub(super) async fn readable(&mut self) -> io::Result<()> {
        self.stream.flush().await?;
        self.stream.fill_buf().await.map(drop)
    }

    /// Says this behind the tag, whatever the personality wants.
    pub(super) async fn answer(&mut self, words: &str) -> io::Result<()> {
        self.say(&format!("{}{words}", self.tag)).await
    }

    /// Says this, whatever the personality wants.
    pub(super) async fn say(&mut self, reply: &str) -> io::Result<()> {
        self.note(Speaker::Server, reply);
        self.stream.write_all(reply.as_bytes()).await
    }

    /// Says this, and ends the connection.
    pub(super) async fn close<T>(&mut self, last_words: &[u8]) -> io::Result<T> {
        self.stream.write_all(last_words).await?;
        self.stream.shutdown().await?;
        Err(io::ErrorKind::ConnectionAborted.into())
    }

    /// Says no more, and waits until the client leaves.
    async fn drain(&mut self) -> io::Result<()> {
        self.stream.flush().await?;
        tokio::io::copy(&mut self.stream, &mut tokio::io::sink()).await.map(drop)
    }

    async fn unrecorded_line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        self.raw_line(&mut line).await?;
        Ok(String::from_utf8_lossy(without_end(&line)).into_owned())
    }

    /// Appends the next line, its end included, to what has been read.
    pub(super) async fn raw_line(&mut self, read: &mut Vec<u8>) -> io::Result<()> {
        self.flush_before_waiting().await?;
        let start = read.len();
        (&mut self.stream).take(LINE).read_until(b'\n', read).await?;
        if read.len() > start && read.ends_with(b"\n") {
            Ok(())
        } else {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }

    /// Replies to a pipelined group leave together.
    async fn flush_before_waiting(&mut self) -> io::Result<()> {
        if self.stream.buffer().is_empty() { self.stream.flush().await } else { Ok(()) }
    }

    fn fault(&self, moment: Moment) -> Option<Action> {
        let world = self.peer.shared.world();
        let mut faults = world.personality.mail.iter();
        faults
            .find(|fault| fault.protocol == self.peer.protocol && fault.at == moment)
            .map(|fault| fault.action.clone())
    }
}

/// A line without CRLF or a bare LF.
pub(super) fn without_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}
