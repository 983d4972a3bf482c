//! A mail client of the test's own, line by line, in clear or inside TLS.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use gatepost::config::ListenerTls;
use gatepost::config::provider;
use gatepost::session::stream::{Stream, Upgrade};
use gatepost::tls::Trust;
use gatepost_protocol::Protocol;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsStream;

use super::world::{ADDRESS, PASSWORD, World};

/// The answer of Gatepost's own to a login that worked.
pub fn success(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Smtp => "235 2.7.0 Authentication succeeded",
        Protocol::Pop3 => "+OK Logged in",
        Protocol::Imap => "a1 OK [CAPABILITY IMAP4rev1 IDLE LITERAL+ UIDPLUS] Logged in",
    }
}

/// What a wrong password and an unknown user name are told, both.
pub fn wrong(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Smtp => "535 5.7.8 Wrong user name or password",
        Protocol::Pop3 => "-ERR [AUTH] Wrong user name or password",
        Protocol::Imap => "a1 NO [AUTHENTICATIONFAILED] Wrong user name or password",
    }
}

/// The one account's login as one line, without its end.
pub fn login(protocol: Protocol, password: &str) -> String {
    login_as(protocol, ADDRESS, password)
}

/// Anybody's.
pub fn login_as(protocol: Protocol, user_name: &str, password: &str) -> String {
    let message = BASE64_STANDARD.encode(format!("\0{user_name}\0{password}"));
    authenticate(protocol, &format!("PLAIN {message}"))
}

/// A login by SASL: `words` begin with the mechanism.
pub fn authenticate(protocol: Protocol, words: &str) -> String {
    match protocol {
        Protocol::Smtp | Protocol::Pop3 => format!("AUTH {words}"),
        Protocol::Imap => format!("a1 AUTHENTICATE {words}"),
    }
}

/// The command by which TLS begins.
pub fn start_tls(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Smtp => "STARTTLS",
        Protocol::Pop3 => "STLS",
        Protocol::Imap => "a0 STARTTLS",
    }
}

/// The command by which a client takes its leave.
pub fn quit(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Smtp | Protocol::Pop3 => "QUIT",
        Protocol::Imap => "a9 LOGOUT",
    }
}

/// How the last line begins that a client hears for whom there is no place, or no time, now.
pub fn busy(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Smtp => "421 4.3.2 ",
        Protocol::Pop3 => "-ERR [SYS/TEMP] ",
        Protocol::Imap => "* BYE ",
    }
}

/// A connection to Gatepost.
pub struct Wire {
    stream: BufReader<Stream>,
}

impl Wire {
    /// In clear.
    pub async fn connect(address: SocketAddr) -> Self {
        let tcp = TcpStream::connect(address).await.unwrap();
        Self { stream: BufReader::new(Stream::new(tcp).unwrap()) }
    }

    /// Inside TLS from now on, trusting Gatepost's own CA alone.
    pub async fn start_tls(&mut self, state_dir: &Path) {
        assert!(self.stream.buffer().is_empty(), "bytes behind the answer to STARTTLS");
        let trust = Trust::load(Some(&state_dir.join("ca.pem"))).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let upgrade = Upgrade::Connect(trust.client_config().clone(), name, provider::TlsStream::Buffered);
        self.stream.get_mut().upgrade(&upgrade).await.unwrap();
    }

    /// In clear, from another address of this machine.
    pub async fn connect_from(source: [u8; 4], address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((source, 0).into()).unwrap();
        Self { stream: BufReader::new(Stream::new(socket.connect(address).await.unwrap()).unwrap()) }
    }

    /// At a kind of listener, greeted and ready to log in.
    pub async fn greeted(world: &World, protocol: Protocol, tls: ListenerTls) -> Self {
        let mut wire = Self::connect(world.address(protocol, tls)).await;
        if tls == ListenerTls::Implicit {
            wire.start_tls(&world.state_dir()).await;
        }
        wire.line().await;
        if tls == ListenerTls::StartTls {
            wire.ask(start_tls(protocol)).await;
            wire.start_tls(&world.state_dir()).await;
        }
        wire
    }

    /// At the listener with STARTTLS, greeted, before TLS.
    pub async fn greeted_in_clear(world: &World, protocol: Protocol) -> Self {
        let mut wire = Self::connect(world.address(protocol, ListenerTls::StartTls)).await;
        wire.line().await;
        wire
    }

    /// Greeted in clear, and logged in.
    pub async fn logged_in(world: &World, protocol: Protocol) -> Self {
        let mut wire = Self::greeted(world, protocol, ListenerTls::None).await;
        assert_eq!(wire.log_in(protocol).await, success(protocol));
        wire
    }

    /// The answer to the right password.
    pub async fn log_in(&mut self, protocol: Protocol) -> String {
        self.ask(&login(protocol, PASSWORD)).await
    }

    /// Sends bytes as they are.
    pub async fn say(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// Sends as much as is taken: for when the other side may close in between.
    pub async fn try_say(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.stream.write_all(bytes.as_ref()).await?;
        self.stream.flush().await
    }

    /// The next line without its CRLF; empty at the end of the stream.
    pub async fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).await.unwrap();
        line.trim_end_matches(['\r', '\n']).to_owned()
    }

    /// An SMTP reply: its lines up to the one with a space behind the code.
    pub async fn reply(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = self.line().await;
            let more = line.as_bytes().get(3) == Some(&b'-');
            lines.push(line);
            if !more {
                return lines;
            }
        }
    }

    /// Sends an IMAP command and reads up to the line with its tag.
    pub async fn command(&mut self, tag: &str, command: &str) -> Vec<String> {
        self.say(format!("{tag} {command}\r\n")).await;
        let mut lines = Vec::new();
        loop {
            let line = self.line().await;
            let last = line.is_empty() || line.starts_with(&format!("{tag} "));
            lines.push(line);
            if last {
                return lines;
            }
        }
    }

    /// The one message in the mailbox that is selected in IMAP, as its literal has it.
    pub async fn fetch(&mut self) -> Vec<u8> {
        self.say("f1 FETCH 1 BODY.PEEK[]\r\n").await;
        let line = self.line().await;
        let (_, length) = line.strip_suffix('}').and_then(|line| line.rsplit_once('{')).unwrap();
        let mut message = vec![0; length.parse().unwrap()];
        self.stream.read_exact(&mut message).await.unwrap();
        assert_eq!(self.line().await, ")");
        assert!(self.line().await.starts_with("f1 OK"));
        message
    }

    /// Whether nothing has come that was not read.
    pub async fn is_silent(&mut self) -> bool {
        // Twice, so that what has come in is noticed.
        for _ in 0..2 {
            tokio::select! {
                biased;
                _ = self.stream.fill_buf() => return false,
                () = tokio::task::yield_now() => {}
            }
        }
        true
    }

    /// Sends a line and reads a reply of one line.
    pub async fn ask(&mut self, line: &str) -> String {
        self.say(format!("{line}\r\n")).await;
        self.line().await
    }

    /// Ends our direction.
    pub async fn end(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    /// Breaks the connection off with a reset.
    pub fn reset(self) {
        let descriptor = match self.stream.into_inner() {
            Stream::Plain(tcp) => tcp,
            Stream::Tls(tls) => match *tls {
                TlsStream::Client(tls) => tls.into_inner().0,
                TlsStream::Server(tls) => tls.into_inner().0,
            },
            Stream::Pooled(_) => unreachable!("it was put inside TLS above"),
            Stream::Closed => return,
        };
        // Closing with this set drops what is under way and says RST.
        socket2::SockRef::from(&descriptor).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// A POP3 message as it was before its dots were stuffed.
    pub async fn read_to_lone_dot(&mut self) -> Vec<u8> {
        let mut message = Vec::new();
        loop {
            let start = message.len();
            assert_ne!(
                self.stream.read_until(b'\n', &mut message).await.unwrap(),
                0,
                "cut off at {start} bytes"
            );
            match message.get(start..) {
                Some(b".\r\n") => {
                    message.truncate(start);
                    return message;
                }
                Some([b'.', ..]) => drop(message.remove(start)),
                _ => {}
            }
        }
    }

    /// Everything up to the end of the stream.
    pub async fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.stream.read_to_end(&mut bytes).await.unwrap();
        bytes
    }
}

/// What a device's display shows where this row of the table is what is known.
pub fn of_row(id: &str) -> String {
    gatepost::diagnosis::by_id(id).unwrap().cause_for_client().as_str().to_owned()
}
