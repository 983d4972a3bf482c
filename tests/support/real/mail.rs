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

    /// Logs in by XOAUTH2 in two steps, in SMTP or POP3. Gives the verdict; a challenge that tells a failure is
    /// acknowledged first.
    pub(crate) fn xoauth2(&mut self, user: &str, token: &str) -> String {
        let challenge = self.ask("AUTH XOAUTH2");
        assert!(challenge.starts_with("334") || challenge.starts_with('+'), "{challenge}");
        let response = STANDARD.encode(format!("user={user}\x01auth=Bearer {token}\x01\x01"));
        let verdict = self.ask(&response);
        if verdict.starts_with("334") || verdict.starts_with("+ ") { self.ask("") } else { verdict }
    }

    /// Sends an IMAP command under the tag `a`, and reads all that is said up to its tagged line, which stands last.
    /// Literals stand in it as they are.
    pub(crate) fn imap(&mut self, command: &str) -> Vec<u8> {
        self.send(format!("a {command}\r\n").as_bytes());
        let mut said = Vec::new();
        loop {
            let line = self.raw_line();
            said.extend_from_slice(&line);
            if line.starts_with(b"a ") {
                return said;
            }
            if let Some(length) = literal(&line) {
                let start = said.len();
                said.resize(start + length, 0);
                self.stream.read_exact(&mut said[start..]).unwrap();
            }
        }
    }

    /// The same for a command that must succeed and says nothing but text.
    pub(crate) fn imap_ok(&mut self, command: &str) -> String {
        let said = String::from_utf8(self.imap(command)).unwrap();
        assert!(said.lines().last().unwrap().starts_with("a OK"), "{command}: {said}");
        said
    }

    /// The message of this number in the folder of IMAP that is selected.
    pub(crate) fn imap_message(&mut self, number: usize) -> Vec<u8> {
        let said = self.imap(&format!("FETCH {number} BODY.PEEK[]"));
        let end = said.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        let length = literal(&said[..end])
            .unwrap_or_else(|| panic!("no message {number}: {}", String::from_utf8_lossy(&said)));
        said[end..end + length].to_vec()
    }

    /// Appends a message to a folder of IMAP, with a literal that waits to be asked for.
    pub(crate) fn imap_append(&mut self, folder: &str, message: &[u8]) {
        let asked = self.ask(&format!("a APPEND {folder} {{{}}}", message.len()));
        assert!(asked.starts_with('+'), "{asked}");
        self.send(message);
        let verdict = self.ask("");
        assert!(verdict.starts_with("a OK"), "{verdict}");
    }

    /// Logs in by XOAUTH2 in IMAP, with an initial response or in two steps. Gives the verdict and, of a failure, the challenge
    /// that told it, which is acknowledged.
    pub(crate) fn imap_xoauth2(&mut self, user: &str, token: &str, initial: bool) -> (String, String) {
        let response = STANDARD.encode(format!("user={user}\x01auth=Bearer {token}\x01\x01"));
        let mut verdict = if initial {
            self.ask(&format!("a AUTHENTICATE XOAUTH2 {response}"))
        } else {
            let challenge = self.ask("a AUTHENTICATE XOAUTH2");
            assert_eq!(challenge, "+");
            self.ask(&response)
        };
        let mut challenge = String::new();
        if let Some(told) = verdict.strip_prefix("+ ") {
            challenge = String::from_utf8(STANDARD.decode(told).unwrap()).unwrap();
            verdict = self.ask("");
        }
        while verdict.starts_with("* ") {
            verdict = self.line();
        }
        (verdict, challenge)
    }

    fn raw_line(&mut self) -> Vec<u8> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line).unwrap();
        assert!(line.ends_with(b"\n"), "the server hung up after {:?}", String::from_utf8_lossy(&line));
        line
    }
}

/// How many octets follow a line that ends with a literal's length.
fn literal(line: &[u8]) -> Option<usize> {
    let line = line.strip_suffix(b"}\r\n")?;
    let start = line.iter().rposition(|byte| *byte == b'{')?;
    String::from_utf8_lossy(&line[start + 1..]).parse().ok()
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
