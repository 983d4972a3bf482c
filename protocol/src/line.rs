//! [`LineBuffer`]: received bytes until they are lines.

/// A fixed 16 KiB of received bytes. It never grows, so a peer cannot make it, and never leaves a copy behind. What was
/// consumed is wiped: it may have been a password.
pub struct LineBuffer {}

/// The line is longer than the limit, or not ended within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineTooLong;

impl LineBuffer {
    /// The whole room: above the longest line limit (12,288) by enough for what a client pipelines behind it.
    pub const CAPACITY: usize = 16 * 1024;

    /// An empty buffer.
    pub fn new() -> Self {
        Self {}
    }

    /// Where the next bytes from the peer go; empty when the buffer is full, which is back pressure.
    pub fn spare(&mut self) -> &mut [u8] {
        unimplemented!()
    }

    /// The first `count` bytes of [`LineBuffer::spare`] have been written.
    pub fn filled(&mut self, count: usize) {
        let _ = count;
    }

    /// The next whole line without its terminator (CRLF or bare LF; stray CRs before it are dropped), if one is there.
    /// The line is wiped at the next call.
    pub fn next_line(&mut self, limit: usize) -> Result<Option<&[u8]>, LineTooLong> {
        let _ = limit;
        Ok(None)
    }

    /// What has been received and not been taken as a line.
    pub fn rest(&self) -> &[u8] {
        &[]
    }

    /// Wipes and forgets everything received.
    pub fn clear(&mut self) {}
}
