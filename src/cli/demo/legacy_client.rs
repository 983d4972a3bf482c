//! An old mail program: plain TCP, AUTH LOGIN, USER and PASS, LOGIN, no TLS, no idea of OAuth. What it says and hears is kept for
//! the transcript, the password as stars.

use std::io;
use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gatepost_protocol::secret::Secret;
use thiserror::Error;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
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
    pub(super) async fn fetch_by_pop3(
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

    /// Fetches the first message by IMAP.
    pub(super) async fn fetch_by_imap(
        &self,
        server: SocketAddr,
        dialogue: &mut Dialogue,
    ) -> Result<Vec<u8>, LegacyClientError> {
        let mut wire = Wire::connect(server, dialogue).await?;
        wire.expect("* OK").await?;
        wire.ask_secret(self.password.expose(), &format!("a1 LOGIN {} ", self.user), "a1 OK").await?;
        wire.ask_tagged("a2", "SELECT INBOX").await?;
        let message = wire.ask_tagged("a3", "FETCH 1 BODY[]").await?;
        wire.ask_tagged("a4", "LOGOUT").await?;
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

    /// An IMAP command that must succeed. Gives the literals of the untagged responses.
    async fn ask_tagged(&mut self, tag: &str, command: &str) -> Result<Vec<u8>, LegacyClientError> {
        let command = format!("{tag} {command}");
        self.dialogue.push(Speaker::Client, &command);
        self.stream.write_all(format!("{command}\r\n").as_bytes()).await?;
        let mut literals = Vec::new();
        // The rest of a response behind its literal begins with anything; a message's octets are not read as lines.
        let mut behind_literal = false;
        loop {
            let line = self.line().await?;
            if let Some(length) = literal_length(&line) {
                let read = (&mut self.stream).take(length).read_to_end(&mut literals).await?;
                self.dialogue.push(Speaker::Server, &format!("(the message, {read} bytes)"));
                behind_literal = true;
            } else if line.starts_with(&format!("{tag} OK")) {
                return Ok(literals);
            } else if !behind_literal && !line.starts_with("* ") {
                return Err(LegacyClientError::Unexpected(line));
            } else {
                behind_literal = false;
            }
        }
    }

    /// The next line, without its end.
    async fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        if self.stream.read_until(b'\n', &mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = String::from_utf8_lossy(line.trim_ascii_end()).into_owned();
        self.dialogue.push(Speaker::Server, &line);
        Ok(line)
    }

    /// Reads a reply, all lines of it, that must begin so.
    async fn expect(&mut self, expected: &str) -> Result<(), LegacyClientError> {
        loop {
            let line = self.line().await?;
            let Some(rest) = line.strip_prefix(expected) else {
                return Err(LegacyClientError::Unexpected(line));
            };
            // `250-` is followed by more lines (RFC 5321 section 4.2.1); the others' replies are single here.
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

/// The number in `{321}` at the line's end (RFC 3501 section 4.3).
fn literal_length(line: &str) -> Option<u64> {
    line.strip_suffix('}')?.rsplit_once('{')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    // A test says what went wrong by panicking.
    #![allow(clippy::unwrap_used)]

    use gatepost_protocol::Protocol;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_message_comes_by_imap_with_every_octet_and_the_password_stays_out_of_the_transcript() {
        // What looks like the end is inside the literal.
        let greeting_and_login = "* OK ready\r\na1 OK Logged in\r\n";
        let mailbox = "* 1 EXISTS\r\n* OK [UIDVALIDITY 1] Valid\r\na2 OK Selected\r\n";
        let message = "* 1 FETCH (BODY[] {11}\r\na3 OK\r\n{9}\n FLAGS (\\Seen))\r\na3 OK Fetched\r\n";
        let script = format!("{greeting_and_login}{mailbox}{message}* BYE\r\na4 OK Bye\r\n");
        let (fetched, dialogue) = played(script).await;
        assert_eq!(fetched.unwrap(), b"a3 OK\r\n{9}\n");
        let said: Vec<&str> = dialogue.lines.iter().map(|line| line.text.as_str()).collect();
        assert!(said.contains(&"a1 LOGIN ada ********"), "{said:?}");
        assert!(said.contains(&"(the message, 11 bytes)"), "{said:?}");
        assert!(!said.iter().any(|line| line.contains("secret")), "{said:?}");
    }

    #[tokio::test]
    async fn an_answer_that_is_not_ok_is_shown_to_the_person() {
        let (fetched, _) = played("* OK ready\r\na1 NO [LIMIT] Too many\r\n".to_owned()).await;
        let words = "it did not expect the answer `a1 NO [LIMIT] Too many`";
        assert_eq!(fetched.unwrap_err().to_string(), words);
    }

    /// Fetches from a server that says this, whatever it hears.
    async fn played(script: String) -> (Result<Vec<u8>, LegacyClientError>, Dialogue) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let client = LegacyClient { user: "ada".to_owned(), password: Secret::new("secret".to_owned()) };
        let mut dialogue = Dialogue::new(Protocol::Imap);
        let server = async {
            let (mut socket, _) = listener.accept().await.unwrap();
            socket.write_all(script.as_bytes()).await.unwrap();
            // Until the client leaves; then what it said does not matter.
            drop(tokio::io::copy(&mut socket, &mut tokio::io::sink()).await);
        };
        let (fetched, ()) = tokio::join!(client.fetch_by_imap(address, &mut dialogue), server);
        (fetched, dialogue)
    }
}
