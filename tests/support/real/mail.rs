//! A mail program that knows OAuth, to try the servers without Gatepost in between. One line out, one line in.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

/// No answer for this long fails the test.
const ANSWER: Duration = Duration::from_secs(30);

/// A connection to a mail server.
pub(crate) struct Connection {
    stream: BufReader<Stream>,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Connection {
    /// Connects without TLS.
    pub(crate) fn plain(port: u16) -> Self {
        let socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
        socket.set_read_timeout(Some(ANSWER)).unwrap();
        Self { stream: BufReader::new(Stream::Plain(socket)) }
    }

    /// Connects with TLS from the first byte.
    pub(crate) fn implicit(port: u16, tls: &Arc<ClientConfig>) -> Self {
        Self::plain(port).upgraded(tls)
    }

    /// Goes on over TLS.
    pub(crate) fn upgraded(self, tls: &Arc<ClientConfig>) -> Self {
        assert!(self.stream.buffer().is_empty(), "bytes before the TLS handshake");
        let Stream::Plain(socket) = self.stream.into_inner() else { panic!("TLS already") };
        let name = ServerName::try_from("localhost").unwrap();
        let session = ClientConnection::new(Arc::clone(tls), name).unwrap();
        Self { stream: BufReader::new(Stream::Tls(Box::new(StreamOwned::new(session, socket)))) }
    }

    /// Reads a line, without its end.
    pub(crate) fn line(&mut self) -> String {
        String::from_utf8_lossy(&self.raw_line()).trim_end().to_owned()
    }

    /// Sends a line and reads one.
    pub(crate) fn ask(&mut self, line: &str) -> String {
        self.send(format!("{line}\r\n").as_bytes());
        self.line()
    }

    /// Sends an SMTP command and reads the reply to its last line.
    pub(crate) fn smtp(&mut self, line: &str) -> String {
        let mut reply = self.ask(line);
        while reply.lines().last().is_some_and(|last| last.as_bytes().get(3) == Some(&b'-')) {
            reply = format!("{reply}\n{}", self.line());
        }
        reply
    }

    /// Sends a POP3 command and reads its answer of several lines, dots taken away.
    pub(crate) fn pop3_lines(&mut self, line: &str) -> Vec<u8> {
        let status = self.ask(line);
        assert!(status.starts_with("+OK"), "{line}: {status}");
        let mut message = Vec::new();
        loop {
            let line = self.raw_line();
            if line == b".\r\n" {
                return message;
            }
            message.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
        }
    }

    /// Sends bytes as they are.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        let stream = self.stream.get_mut();
        stream.write_all(bytes).unwrap();
        stream.flush().unwrap();
    }

    /// Logs in by XOAUTH2 in two steps, in either protocol. Gives the verdict; a challenge that tells a failure is
    /// acknowledged first.
    pub(crate) fn xoauth2(&mut self, user: &str, token: &str) -> String {
        let challenge = self.ask("AUTH XOAUTH2");
        assert!(challenge.starts_with("334") || challenge.starts_with('+'), "{challenge}");
        let response = STANDARD.encode(format!("user={user}\x01auth=Bearer {token}\x01\x01"));
        let verdict = self.ask(&response);
        if verdict.starts_with("334") || verdict.starts_with("+ ") { self.ask("") } else { verdict }
    }

    fn raw_line(&mut self) -> Vec<u8> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line).unwrap();
        assert!(line.ends_with(b"\n"), "the server hung up after {:?}", String::from_utf8_lossy(&line));
        line
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}
