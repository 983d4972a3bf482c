//! One client: logs in, and fetches, sends, waits.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use aws_lc_rs::digest::{self, SHA256};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::contender::{Contender, Login, tls_connector};
use crate::message::{Message, hex};
use crate::upstream::{HOST, PASSWORD, TOKEN, USER_NAME, Upstream};

/// How long an answer, or the next octets of a message, may take. Whoever is slower hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// What everybody needs who is to log in at a contender.
#[derive(Clone)]
pub struct Client {
    name: &'static str,
    pop3: SocketAddr,
    smtp: SocketAddr,
    login: Login,
    user_name: String,
    tls: TlsConnector,
}

/// A connection that is logged in.
pub struct Session {
    stream: BufReader<Box<dyn Octets>>,
}

/// TCP, or TLS over it.
trait Octets: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Octets for T {}

impl Client {
    /// Of this contender.
    pub fn new(contender: &Contender, upstream: &Upstream) -> anyhow::Result<Arc<Self>> {
        let &Contender { name, pop3, smtp, login, ref authority, .. } = contender;
        let tls = tls_connector(authority.as_ref().unwrap_or(&upstream.ca_file))?;
        Ok(Arc::new(Self { name, pop3, smtp, login, user_name: USER_NAME.to_owned(), tls }))
    }

    /// The same, who logs in by another name.
    #[must_use]
    pub fn named(&self, user_name: String) -> Self {
        Self { user_name, ..self.clone() }
    }

    /// Logs in by POP3.
    pub async fn pop3(&self) -> anyhow::Result<Session> {
        self.pop3_login().await.with_context(|| format!("{}, POP3 login", self.name))
    }

    /// Logs in by SMTP.
    pub async fn smtp(&self) -> anyhow::Result<Session> {
        self.smtp_login().await.with_context(|| format!("{}, SMTP login", self.name))
    }

    async fn pop3_login(&self) -> anyhow::Result<Session> {
        let mut session = self.connect(self.pop3).await?;
        session.hears("+OK").await?;
        if self.login.is_password() {
            session.says(&format!("USER {}\r\n", self.user_name), "+OK").await?;
            session.says(&format!("PASS {PASSWORD}\r\n"), "+OK").await?;
        } else {
            session.says(&format!("AUTH XOAUTH2 {}\r\n", xoauth2()), "+OK").await?;
        }
        Ok(session)
    }

    async fn smtp_login(&self) -> anyhow::Result<Session> {
        let mut session = self.connect(self.smtp).await?;
        session.hears("220").await?;
        session.says("EHLO [127.0.0.1]\r\n", "250").await?;
        let (mechanism, response) = if self.login.is_password() {
            ("PLAIN", BASE64_STANDARD.encode(format!("\0{}\0{PASSWORD}", self.user_name)))
        } else {
            ("XOAUTH2", xoauth2())
        };
        session.says(&format!("AUTH {mechanism} {response}\r\n"), "235").await?;
        Ok(session)
    }

    async fn connect(&self, address: SocketAddr) -> anyhow::Result<Session> {
        let socket = timeout(PATIENCE, TcpStream::connect(address))
            .await
            .context("takes no connection within 30 s")?
            .with_context(|| format!("cannot connect to {address}"))?;
        socket.set_nodelay(true)?;
        let stream: Box<dyn Octets> = if self.login.is_in_tls() {
            Box::new(self.tls.connect(ServerName::try_from(HOST)?, socket).await?)
        } else {
            Box::new(socket)
        };
        // Small, since thousands of sessions wait at once; large reads go past it.
        Ok(Session { stream: BufReader::with_capacity(512, stream) })
    }
}

impl Session {
    /// Fetches the message that has as many KiB, by POP3, and compares its length and its hash.
    pub async fn fetch(&mut self, message: &Message) -> anyhow::Result<()> {
        self.fetched(message).await.with_context(|| format!("RETR of {} KiB", message.wire.len() / 1024))
    }

    /// Sends the message by SMTP, and compares what the upstream got of it.
    pub async fn send(&mut self, message: &Message) -> anyhow::Result<()> {
        self.sent(message).await.with_context(|| format!("DATA of {} KiB", message.wire.len() / 1024))
    }

    /// Asks for nothing: a round trip. The protocol's own answer.
    pub async fn nothing(&mut self, success: &str) -> anyhow::Result<()> {
        self.says("NOOP\r\n", success).await.context("NOOP")
    }

    /// Says goodbye, and waits until the other side has closed.
    pub async fn quit(mut self) -> anyhow::Result<()> {
        self.write(b"QUIT\r\n").await?;
        let answer = self.line().await.context("QUIT")?;
        ensure!(answer.starts_with("+OK") || answer.starts_with("221"), "QUIT was answered with {answer:?}");
        let mut rest = Vec::new();
        timeout(PATIENCE, self.stream.read_to_end(&mut rest))
            .await
            .context("does not close after QUIT")??;
        ensure!(rest.is_empty(), "more behind the answer to QUIT: {}", rest.escape_ascii());
        Ok(())
    }

    async fn fetched(&mut self, message: &Message) -> anyhow::Result<()> {
        self.says(&format!("RETR {}\r\n", message.wire.len() / 1024), "+OK").await?;
        let mut digest = digest::Context::new(&SHA256);
        let mut buffer = vec![0; message.wire.len().min(256 * 1024)];
        let mut missing = message.wire.len();
        while missing > 0 {
            let piece = buffer.get_mut(..missing.min(256 * 1024)).unwrap_or_default();
            let length = timeout(PATIENCE, self.stream.read(piece))
                .await
                .with_context(|| format!("nothing for 30 s with {missing} octets missing"))??;
            ensure!(length > 0, "ended with {missing} octets missing");
            digest.update(piece.get(..length).unwrap_or_default());
            missing -= length;
        }
        ensure!(hex(digest.finish().as_ref()) == message.digest, "other octets than those of the message");
        let end = self.line().await?;
        ensure!(end == ".\r\n", "{end:?} where the message ends");
        Ok(())
    }

    async fn sent(&mut self, message: &Message) -> anyhow::Result<()> {
        self.says(&format!("MAIL FROM:<{USER_NAME}>\r\n"), "250").await?;
        self.says("RCPT TO:<bob@example.org>\r\n", "250").await?;
        self.says("DATA\r\n", "354").await?;
        let written = async {
            self.stream.write_all(&message.wire).await?;
            self.stream.write_all(b".\r\n").await?;
            self.stream.flush().await
        };
        // As a whole: a message is minutes at most, and who takes nothing hangs.
        timeout(10 * PATIENCE, written).await.context("does not take the message")??;
        let answer = self.line().await?;
        let expected = format!("250 {} {}\r\n", message.wire.len(), message.digest);
        ensure!(answer == expected, "the upstream got {answer:?}, not {expected:?}");
        Ok(())
    }

    async fn says(&mut self, command: &str, success: &str) -> anyhow::Result<()> {
        self.write(command.as_bytes()).await?;
        self.hears(success).await
    }

    /// An answer of one line or, as SMTP has it, of several.
    async fn hears(&mut self, success: &str) -> anyhow::Result<()> {
        loop {
            let line = self.line().await?;
            ensure!(line.starts_with(success), "{line:?}, not {success}");
            if !(success.len() == 3 && line.chars().nth(3) == Some('-')) {
                return Ok(());
            }
        }
    }

    async fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        timeout(PATIENCE, self.stream.read_line(&mut line)).await.context("no answer within 30 s")??;
        ensure!(line.ends_with('\n'), "ended in the middle of an answer: {line:?}");
        Ok(line)
    }

    async fn write(&mut self, octets: &[u8]) -> anyhow::Result<()> {
        self.stream.write_all(octets).await?;
        Ok(self.stream.flush().await?)
    }
}

fn xoauth2() -> String {
    BASE64_STANDARD.encode(format!("user={USER_NAME}\x01auth=Bearer {TOKEN}\x01\x01"))
}
