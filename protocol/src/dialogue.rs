//! The one contract between a login dialogue and whatever drives it.
//!
//! A [`Dialogue`] is fed one line at a time and answers with a [`Step`]; what is to be sent goes into an [`Output`]
//! that the driver owns, sends and wipes. The machine never waits, reads or writes: `session/driver.rs` in the program
//! is the only loop that feeds one, and tests feed it bytes cut anywhere.

use zeroize::Zeroize;

/// What a dialogue asks of its driver once its output has been sent.
#[derive(Debug)]
pub enum Step<T> {
    /// Feed the next line.
    NeedLine,
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

    /// The peer sent more than [`Dialogue::line_limit`] octets without ending the line.
    fn line_too_long(&mut self, output: &mut Output) -> Step<Self::Yield>;

    /// The TLS handshake that [`Step::StartTls`] asked for is complete.
    fn tls_started(&mut self, output: &mut Output) -> Step<Self::Yield>;
}

/// What TLS a client-side dialogue has, may get, or must get before it sends a password.
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
    /// Gatepost stops.
    ShuttingDown,
    /// The client took too long.
    TimedOut,
    /// The third wrong password.
    TooManyFailures,
    /// An HTTP verb or a TLS ClientHello on a plain port, or bytes behind STARTTLS: nothing is said.
    Violation,
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

#[cfg(test)]
mod tests {
    use super::Output;

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
