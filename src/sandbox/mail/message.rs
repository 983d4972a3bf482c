//! How whole messages go over the wire: behind DATA and RETR with dots stuffed, as literals in IMAP; and the faults that
//! happen in the middle of one.

use std::io;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::Connection;
use crate::sandbox::faults::Moment;
use crate::sandbox::record::Speaker;

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// A message up to the lone dot, without the dots that were stuffed (RFC 5321 section 4.5.2). `None` when it is
    /// longer than `limit`; the rest of it has been read then too.
    pub(in crate::sandbox) async fn message(&mut self, limit: usize) -> io::Result<Option<Vec<u8>>> {
        self.flush_before_waiting().await?;
        let mut message = Vec::new();
        let mut too_long = false;
        let mut fault_at = self.body_fault();
        loop {
            let start = message.len();
            if self.stream.read_until(b'\n', &mut message).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let after_line_end =
                start == 0 || message.get(..start).is_some_and(|read| read.ends_with(b"\r\n"));
            match message.get(start..) {
                Some(b".\r\n") if after_line_end => {
                    message.truncate(start);
                    self.note(Speaker::Client, &format!("(the message, {} bytes)", message.len()));
                    return Ok((!too_long).then_some(message));
                }
                Some([b'.', ..]) if after_line_end => {
                    message.remove(start);
                }
                _ => {}
            }
            if let Some(at) = fault_at.take_if(|at| message.len() >= *at) {
                self.reply(Moment::Body(at), "").await?;
            }
            if message.len() > limit {
                too_long = true;
                message.drain(..message.len() - 2);
            }
        }
    }

    /// Sends a message with dots stuffed and the lone dot behind it. `lines` limits what comes after the header.
    pub(in crate::sandbox) async fn send_message(
        &mut self,
        message: &[u8],
        lines: Option<usize>,
    ) -> io::Result<()> {
        let mut fault_at = self.body_fault();
        let mut sent = 0;
        let mut body_lines = None;
        let mut after_line_end = true;
        for line in message.split_inclusive(|byte| *byte == b'\n') {
            if body_lines.is_some() && body_lines == lines {
                break;
            }
            // A bare LF ends no line, here as in DATA.
            if after_line_end && line.starts_with(b".") {
                self.stream.write_all(b".").await?;
            }
            self.stream.write_all(line).await?;
            after_line_end = line.ends_with(b"\r\n");
            sent += line.len();
            if let Some(at) = fault_at.take_if(|at| sent >= *at) {
                self.stream.flush().await?;
                self.reply(Moment::Body(at), "").await?;
            }
            body_lines = match body_lines {
                Some(count) => Some(count + 1),
                None => (line == b"\r\n").then_some(0),
            };
        }
        if sent > 0 && !message.ends_with(b"\r\n") && lines.is_none() {
            self.stream.write_all(b"\r\n").await?;
        }
        self.note(Speaker::Server, &format!("(the message, {sent} bytes)"));
        self.say(".\r\n").await
    }

    /// Appends exactly this many octets to what has been read: a literal of IMAP.
    pub(in crate::sandbox) async fn literal(&mut self, length: usize, read: &mut Vec<u8>) -> io::Result<()> {
        self.stream.flush().await?;
        let end = read.len() + length;
        if let Some(at) = self.body_fault().filter(|at| *at <= length) {
            self.octets(read.len() + at, read).await?;
            self.reply(Moment::Body(at), "").await?;
        }
        self.octets(end, read).await?;
        self.note(Speaker::Client, &format!("({length} bytes)"));
        Ok(())
    }

    /// Sends a message, or a part of one, as an IMAP literal: exactly as it is.
    pub(in crate::sandbox) async fn send_literal(&mut self, octets: &[u8]) -> io::Result<()> {
        let fault_at = self.body_fault().filter(|at| *at <= octets.len());
        let (first, rest) = octets.split_at_checked(fault_at.unwrap_or(0)).unwrap_or_default();
        self.stream.write_all(first).await?;
        if let Some(at) = fault_at {
            self.stream.flush().await?;
            self.reply(Moment::Body(at), "").await?;
        }
        self.note(Speaker::Server, &format!("({} bytes)", octets.len()));
        self.stream.write_all(rest).await
    }

    /// Reads until this many octets have been read.
    async fn octets(&mut self, end: usize, read: &mut Vec<u8>) -> io::Result<()> {
        let missing = end.saturating_sub(read.len());
        read.reserve(missing);
        (&mut self.stream).take(missing as u64).read_to_end(read).await?;
        if read.len() == end { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    /// After how many bytes of a message something happens.
    fn body_fault(&self) -> Option<usize> {
        self.peer.shared.world().personality.mail.iter().find_map(|fault| match fault.at {
            Moment::Body(at) if fault.protocol == self.peer.protocol => Some(at),
            _ => None,
        })
    }
}
