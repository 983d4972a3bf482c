//! The one contract between a login dialogue and whatever drives it.
//!
//! A [`Dialogue`] is fed one line at a time and answers with a [`Step`]; what is to be sent goes into an [`Output`]
//! that the driver owns, sends and wipes. The machine never waits, reads or writes: `session/driver.rs` in the program
//! is the only loop that feeds one, and tests feed it bytes cut anywhere.

use std::fmt;

use zeroize::Zeroize;

use crate::failure::AuthFailure;
use crate::line::LineBuffer;
use crate::sasl::Credentials;

/// What a dialogue asks of its driver once its output has been sent.
#[derive(Debug)]
pub enum Step<T> {
    /// Feed the next line.
    NeedLine,
    /// Send the output, then feed this many octets, whatever they are, to [`Dialogue::literal`]. At most
    /// [`LineBuffer::CAPACITY`].
    NeedLiteral(usize),
    /// Send the output, drop every byte received so far (there must be none), upgrade the stream to TLS in our role,
    /// then call [`Dialogue::tls_started`].
    StartTls,
    /// The dialogue has got what it is for. No line may be fed until its owner has answered.
    Yield(T),
    /// Send the output, then close the connection.
    Close,
}

/// One role in one protocol's login: we toward the mail client, or we toward the provider.
pub trait Dialogue {
    /// What the dialogue produces: credentials on the client's side, a verdict on the provider's.
    type Yield;

    /// Begins: a server writes its greeting, a client writes nothing and waits for one.
    fn open(&mut self, output: &mut Output);

    /// The longest line that is accepted next, in octets including its terminator.
    fn line_limit(&self) -> usize;

    /// The state in the words of a log line, for example `awaiting the password`.
    fn state_name(&self) -> &'static str;

    /// Takes one line, without its terminator.
    fn line(&mut self, line: &[u8], output: &mut Output) -> Step<Self::Yield>;

    /// Takes the octets that [`Step::NeedLiteral`] asked for. Only IMAP has literals.
    fn literal(&mut self, _octets: &[u8], _output: &mut Output) -> Step<Self::Yield> {
        Step::Close
    }

    /// The peer sent more than [`Dialogue::line_limit`] octets without ending the line.
    fn line_too_long(&mut self, output: &mut Output) -> Step<Self::Yield>;

    /// The TLS handshake that [`Step::StartTls`] asked for is complete.
    fn tls_started(&mut self, output: &mut Output) -> Step<Self::Yield>;
}

/// The role toward the mail client: it yields credentials, and is told the verdict on them.
pub trait ServerDialogue: Dialogue<Yield = Credentials> {
    /// The answer to the credentials that were yielded. `Step::NeedLine` after success too: the owner stops driving then.
    fn verdict(&mut self, verdict: &Result<Success, AuthFailure>, output: &mut Output) -> Step<Credentials>;

    /// The tag of the command whose credentials were yielded: in IMAP the provider is asked under the client's own
    /// (invariant 3). The other protocols have none.
    fn tag(&self) -> Option<&str> {
        None
    }

    /// What the client turned out to be, where that is why the dialogue closed.
    fn violation(&self) -> Option<Violation>;
}

/// What the provider said with its success, for the client to hear with ours. SMTP and POP3 have nothing to add.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Success {
    /// What the provider can do for this mailbox now, as words with one space between them. Empty where it was not asked.
    pub capabilities: String,
    /// Whole lines that it said behind its success and that nobody asked for, an alert for example. The client gets them as
    /// they are, behind its own success.
    pub behind: Vec<u8>,
}

/// Feeds the dialogue what it needs next, `literal` octets or a line, if that much has been received.
pub fn feed<D: Dialogue + ?Sized>(
    dialogue: &mut D,
    literal: Option<usize>,
    received: &mut LineBuffer,
    output: &mut Output,
) -> Option<Step<D::Yield>> {
    if let Some(length) = literal {
        return received.next_literal(length).map(|octets| dialogue.literal(octets, output));
    }
    match received.next_line(dialogue.line_limit()) {
        Ok(line) => line.map(|line| dialogue.line(line, output)),
        Err(_) => Some(dialogue.line_too_long(output)),
    }
}

/// What TLS a dialogue with a mail client has, may get, or must get before a password is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// The stream is inside TLS.
    Active,
    /// The upgrade is offered, and a password is taken without it too.
    Optional,
    /// The upgrade is offered, and no password is taken before it.
    Required,
    /// The listener has no TLS; a password is taken in clear.
    Unavailable,
}

/// Why we end a connection that nobody has logged in on. Each protocol has one line for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goodbye {
    /// A cap on connections is reached; said in place of the greeting.
    Busy,
    /// The client's address is not one that the listener serves; said in place of the greeting.
    NotAllowed,
    /// Gatepost stops.
    ShuttingDown,
    /// The client took too long.
    TimedOut,
    /// The third wrong password.
    TooManyFailures,
    /// An HTTP verb or a TLS ClientHello on a plain port, or bytes behind STARTTLS: nothing is said.
    Violation,
}

/// A peer that speaks another protocol. It is closed without a word, and the log says what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// An HTTP request: a browser made to reach us (ALPACA, CVE-2021-3618), or a wrong port.
    HttpRequest,
    /// A TLS handshake on a port that begins in clear: a client with "SSL" ticked.
    TlsClientHello,
}

impl Violation {
    /// What a line in place of a command shows its sender to be, if not a mail program.
    pub fn in_line(line: &[u8]) -> Option<Self> {
        if looks_like_tls(line) {
            return Some(Self::TlsClientHello);
        }
        let word = line.split(|&byte| byte == b' ').next().unwrap_or_default();
        HTTP_METHODS.iter().any(|method| word.eq_ignore_ascii_case(method)).then_some(Self::HttpRequest)
    }

    /// In the words of a log line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HttpRequest => "the client speaks HTTP",
            Self::TlsClientHello => "the client speaks TLS on a port that begins without it",
        }
    }
}

/// No mail command has one of these names.
const HTTP_METHODS: [&[u8]; 10] =
    [b"CONNECT", b"DELETE", b"GET", b"HEAD", b"OPTIONS", b"PATCH", b"POST", b"PRI", b"PUT", b"TRACE"];

/// Whether the first bytes from a client begin a TLS record with a handshake in it. A ClientHello may hold no LF, so it
/// must be asked for before a line is waited for.
pub fn looks_like_tls(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x16, 0x03])
}

/// Bytes to be sent. They may carry a token, so they are wiped when sent and when dropped, and never reallocated
/// without wiping.
#[derive(Default)]
pub struct Output {
    bytes: Vec<u8>,
}

impl Output {
    /// The bytes written since the last [`Output::wipe`].
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Appends bytes as they are.
    pub fn write(&mut self, bytes: &[u8]) {
        let needed = self.bytes.len() + bytes.len();
        if needed > self.bytes.capacity() {
            let mut grown = Vec::with_capacity(needed.max(512).next_power_of_two());
            grown.extend_from_slice(&self.bytes);
            self.bytes.zeroize();
            self.bytes = grown;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Appends a line and its CRLF.
    pub fn line(&mut self, line: &str) {
        self.write(line.as_bytes());
        self.write(b"\r\n");
    }

    /// Forgets what was sent.
    pub fn wipe(&mut self) {
        self.bytes.as_mut_slice().zeroize();
        self.bytes.clear();
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.wipe();
    }
}

/// A count only: the bytes may be a token.
impl fmt::Debug for Output {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Output({} bytes)", self.bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::{Output, Violation};

    #[test]
    fn a_browser_and_a_tls_client_are_known_by_their_first_line() {
        let table: [(&[u8], Option<Violation>); 8] = [
            (b"GET / HTTP/1.1", Some(Violation::HttpRequest)),
            (b"POST /login HTTP/1.1", Some(Violation::HttpRequest)),
            (b"CONNECT mail.example.com:25 HTTP/1.1", Some(Violation::HttpRequest)),
            (b"\x16\x03\x01\x02\x00\x01", Some(Violation::TlsClientHello)),
            (b"\x16", None),
            (b"HELO GET", None),
            (b"GETTING", None),
            (b"", None),
        ];
        for (line, violation) in table {
            assert_eq!(Violation::in_line(line), violation, "{line:?}");
        }
    }

    #[test]
    fn output_grows_without_losing_bytes_and_wipes_to_empty() {
        let mut output = Output::default();
        for _ in 0..1000 {
            output.line("NOOP");
        }
        assert_eq!(output.as_bytes(), b"NOOP\r\n".repeat(1000));
        output.wipe();
        assert!(output.is_empty());
    }
}
