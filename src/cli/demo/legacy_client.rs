//! An old mail program: plain TCP, AUTH LOGIN, USER and PASS, no TLS, no idea of OAuth. What it says and hears is kept for
//! the transcript, the password as stars.

use std::io;
use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gatepost_protocol::secret::Secret;
use thiserror::Error;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::sandbox::record::{Dialogue, Speaker};

/// What the old program was set up with, once and for all.
pub(super) struct LegacyClient {
    pub(super) user: String,
    pub(super) password: Secret<String>,
}

/// The old program shows a box with an error in it.
#[derive(Debug, Error)]
pub(super) enum LegacyClientError {
    #[error("the connection broke: {0}")]
    Connection(#[from] io::Error),
    #[error("it did not expect the answer `{0}`")]
    Unexpected(String),
}

impl LegacyClient {
    /// Sends a message to its own address by SMTP.
    pub(super) async fn send(
        &self,
        server: SocketAddr,
        message: &[u8],
        dialogue: &mut Dialogue,
    ) -> Result<(), LegacyClientError> {
        let mut wire = Wire::connect(server, dialogue).await?;
        wire.expect("220").await?;
        wire.ask("EHLO scanner", "250").await?;
        wire.ask("AUTH LOGIN", "334").await?;
        wire.ask(&STANDARD.encode(&self.user), "334").await?;
        wire.ask_secret(&STANDARD.encode(self.password.expose()), "", "235").await?;
        wire.ask(&format!("MAIL FROM:<{}>", self.user), "250").await?;
        wire.ask(&format!("RCPT TO:<{}>", self.user), "250").await?;
        wire.ask("DATA", "354").await?;
        for line in message.split_inclusive(|byte| *byte == b'\n') {
            if line.starts_with(b".") {
                wire.stream.write_all(b".").await?;
            }
            wire.stream.write_all(line).await?;
        }
        wire.dialogue.push(Speaker::Client, &format!("(the message, {} bytes)", message.len()));
        wire.ask(".", "250").await?;
        wire.ask("QUIT", "221").await
    }

    /// Fetches the first message by POP3.
    pub(super) async fn fetch(
        &self,
        server: SocketAddr,
        dialogue: &mut Dialogue,
    ) -> Result<Vec<u8>, LegacyClientError> {
        let mut wire = Wire::connect(server, dialogue).await?;
        wire.expect("+OK").await?;
        wire.ask(&format!("USER {}", self.user), "+OK").await?;
        wire.ask_secret(self.password.expose(), "PASS ", "+OK").await?;
        wire.ask("STAT", "+OK").await?;
        wire.ask("RETR 1", "+OK").await?;
        let message = wire.message().await?;
        wire.ask("QUIT", "+OK").await?;
        Ok(message)
    }
}

struct Wire<'a> {
    stream: BufReader<TcpStream>,
    dialogue: &'a mut Dialogue,
}

impl<'a> Wire<'a> {
    async fn connect(server: SocketAddr, dialogue: &'a mut Dialogue) -> io::Result<Self> {
        Ok(Self { stream: BufReader::new(TcpStream::connect(server).await?), dialogue })
    }

    async fn ask(&mut self, command: &str, expected: &str) -> Result<(), LegacyClientError> {
        self.dialogue.push(Speaker::Client, command);
        self.stream.write_all(format!("{command}\r\n").as_bytes()).await?;
        self.expect(expected).await
    }

    async fn ask_secret(
        &mut self,
        secret: &str,
        verb: &str,
        expected: &str,
    ) -> Result<(), LegacyClientError> {
        self.dialogue.push(Speaker::Client, &format!("{verb}********"));
        self.stream.write_all(format!("{verb}{secret}\r\n").as_bytes()).await?;
        self.expect(expected).await
    }

    /// Reads a reply, all lines of it, that must begin so.
    async fn expect(&mut self, expected: &str) -> Result<(), LegacyClientError> {
        loop {
            let mut line = Vec::new();
            if self.stream.read_until(b'\n', &mut line).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            let line = String::from_utf8_lossy(line.trim_ascii_end()).into_owned();
            self.dialogue.push(Speaker::Server, &line);
            let Some(rest) = line.strip_prefix(expected) else {
                return Err(LegacyClientError::Unexpected(line));
            };
            // `250-` is followed by more lines (RFC 5321 section 4.2.1); POP3's replies are single here.
            if !rest.starts_with('-') {
                return Ok(());
            }
        }
    }

    async fn message(&mut self) -> io::Result<Vec<u8>> {
        let mut message = Vec::new();
        loop {
            let start = message.len();
            if self.stream.read_until(b'\n', &mut message).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            match message.get(start..) {
                Some(b".\r\n") => {
                    message.truncate(start);
                    self.dialogue.push(Speaker::Server, &format!("(the message, {start} bytes)"));
                    return Ok(message);
                }
                Some([b'.', ..]) => {
                    message.remove(start);
                }
                _ => {}
            }
        }
    }
}
