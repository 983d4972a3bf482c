//! [`Connection::drive`]: the only loop that feeds a login dialogue. Whoever calls it puts a deadline around it.

use std::future::pending;
use std::io;

use gatepost_protocol::dialogue::{self, Dialogue, Output, Step, Violation, looks_like_tls};
use gatepost_protocol::line::LineBuffer;
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tracing::trace;

use super::stream::{Stream, Upgrade};
use crate::tls::reason::in_words;

/// Answers to pipelined commands are sent together up to this much, and then before the next command is read: a reply is
/// far longer than its EHLO (invariant 11).
const OUTPUT_LIMIT: usize = 8 * 1024;

/// A stream, what was received and not yet understood, and what is to be sent.
pub struct Connection {
    /// Where bytes come from and go to.
    pub stream: Stream,
    /// Bytes that came and were not taken as a line. After the login they belong to the other side.
    pub received: LineBuffer,
    /// What the dialogue wants sent. Wiped once it is.
    pub output: Output,
}

/// Why a dialogue ended without yielding.
#[derive(Debug, Error)]
pub enum Ended {
    /// The dialogue closed it, having said why.
    #[error("closed")]
    Closed,
    /// The peer speaks another protocol.
    #[error("{}", .0.as_str())]
    Foreign(Violation),
    /// The peer closed the connection.
    #[error("the other side closed the connection")]
    Gone,
    /// The network failed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The TLS handshake failed.
    #[error("TLS handshake: {}", in_words(.0))]
    Tls(io::Error),
    /// Bytes came behind STARTTLS, in clear, as if they had been said inside TLS (CVE-2011-0411).
    #[error("bytes in clear behind STARTTLS")]
    EarlyPlaintext,
}

impl Connection {
    /// Nothing received, nothing to send.
    pub fn new(stream: Stream) -> Self {
        Self { stream, received: LineBuffer::new(), output: Output::default() }
    }

    /// Feeds the dialogue, beginning with `step`, until it yields. Pipelined lines are answered together, within bounds.
    pub async fn drive<D: Dialogue + ?Sized>(
        &mut self,
        dialogue: &mut D,
        mut step: Step<D::Yield>,
        upgrade: &Upgrade,
    ) -> Result<D::Yield, Ended> {
        loop {
            step = match step {
                Step::NeedLine => self.feed(dialogue, None).await?,
                Step::NeedLiteral(length) => self.feed(dialogue, Some(length)).await?,
                Step::StartTls => {
                    self.start_tls(upgrade).await?;
                    dialogue.tls_started(&mut self.output)
                }
                Step::Yield(value) => {
                    self.send().await?;
                    return Ok(value);
                }
                Step::Close => {
                    self.send().await?;
                    return Err(Ended::Closed);
                }
            };
            trace!(state = dialogue.state_name(), "dialogue");
        }
    }

    /// Sends and wipes what is to be sent.
    pub async fn send(&mut self) -> io::Result<()> {
        if !self.output.is_empty() {
            self.stream.write_all(self.output.as_bytes()).await?;
            self.stream.flush().await?;
            self.output.wipe();
        }
        Ok(())
    }

    /// Resolves when the peer is gone while it waits for us. A peer that only ended its own direction, and has said
    /// something that is still to be answered, is not gone. What it says meanwhile is kept.
    pub async fn gone(&mut self) {
        loop {
            let spare = self.received.spare();
            if spare.is_empty() {
                return pending().await;
            }
            match self.stream.read(spare).await {
                Ok(0) if self.received.rest().is_empty() => return,
                Ok(0) => return pending().await,
                Ok(count) => self.received.filled(count),
                Err(_) => return,
            }
        }
    }

    async fn feed<D: Dialogue + ?Sized>(
        &mut self,
        dialogue: &mut D,
        literal: Option<usize>,
    ) -> Result<Step<D::Yield>, Ended> {
        if self.output.as_bytes().len() >= OUTPUT_LIMIT {
            self.send().await?;
        }
        loop {
            let step = dialogue::feed(dialogue, literal, &mut self.received, &mut self.output);
            if let Some(step) = step {
                return Ok(step);
            }
            // A ClientHello need not hold a line's end, so it is looked for before one is waited for.
            if literal.is_none() && looks_like_tls(self.received.rest()) {
                return Err(Ended::Foreign(Violation::TlsClientHello));
            }
            self.send().await?;
            match self.stream.read(self.received.spare()).await? {
                0 => return Err(Ended::Gone),
                count => self.received.filled(count),
            }
        }
    }

    /// Invariant 1: no byte that came in clear survives into TLS.
    async fn start_tls(&mut self, upgrade: &Upgrade) -> Result<(), Ended> {
        self.send().await?;
        if !self.received.rest().is_empty() {
            self.received.clear();
            return Err(Ended::EarlyPlaintext);
        }
        self.stream.upgrade(upgrade).await.map_err(Ended::Tls)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test says what is wrong by panicking")]
mod tests {
    use gatepost_protocol::dialogue::{Dialogue, Output, Step};
    use gatepost_protocol::line::LineBuffer;
    use tokio::io::AsyncReadExt as _;
    use tokio::net::{TcpListener, TcpStream};

    use super::{Connection, OUTPUT_LIMIT};
    use crate::session::stream::{Stream, Upgrade};

    /// Answers every line with as many octets as an EHLO reply has, and ends at an empty one.
    #[derive(Default)]
    struct Talkative {
        most: usize,
    }

    const ANSWER: [u8; 300] = [b'x'; 300];

    impl Dialogue for Talkative {
        type Yield = ();

        fn open(&mut self, _output: &mut Output) {}

        fn line_limit(&self) -> usize {
            512
        }

        fn state_name(&self) -> &'static str {
            "talking"
        }

        fn line(&mut self, line: &[u8], output: &mut Output) -> Step<()> {
            output.write(&ANSWER);
            self.most = self.most.max(output.as_bytes().len());
            if line.is_empty() { Step::Yield(()) } else { Step::NeedLine }
        }

        fn line_too_long(&mut self, _output: &mut Output) -> Step<()> {
            Step::Close
        }

        fn tls_started(&mut self, _output: &mut Output) -> Step<()> {
            Step::Close
        }
    }

    #[tokio::test]
    async fn a_buffer_full_of_short_commands_is_not_answered_in_one_piece() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut far = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (near, _) = listener.accept().await.unwrap();
        let mut connection = Connection::new(Stream::new(near).unwrap());
        let commands = LineBuffer::CAPACITY / 2;
        let said = [b"E\n".repeat(commands - 1), b"\n\n".to_vec()].concat();
        assert_eq!(connection.received.receive(&said), LineBuffer::CAPACITY);
        let mut dialogue = Talkative::default();
        let mut heard = vec![0; commands * ANSWER.len()];
        let (driven, read) = tokio::join!(
            connection.drive(&mut dialogue, Step::NeedLine, &Upgrade::Never),
            far.read_exact(&mut heard)
        );
        driven.unwrap();
        assert_eq!(read.unwrap(), heard.len(), "and every one is answered");
        assert!(dialogue.most < OUTPUT_LIMIT + ANSWER.len(), "{} octets at once", dialogue.most);
    }
}
