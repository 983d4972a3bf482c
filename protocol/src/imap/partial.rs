//! [`Partial`]: a command that goes on behind a literal, in one room that never grows and is wiped: a password may be in it.

use std::fmt;

use zeroize::Zeroizing;

use super::command::LIMIT;

/// The command so far: its lines with what they announced, as the client sent them.
pub(super) struct Partial(Zeroizing<Vec<u8>>);

impl Partial {
    /// Begins with a line, which must not be longer than [`LIMIT`] for there to be room for more.
    pub(super) fn new(line: &[u8]) -> Self {
        let mut bytes = Zeroizing::new(Vec::with_capacity(LIMIT.max(line.len())));
        bytes.extend_from_slice(line);
        Self(bytes)
    }

    /// Whether this many octets more, and a line end, stay within [`LIMIT`].
    pub(super) fn has_room_for(&self, octets: usize) -> bool {
        octets.saturating_add(b"\r\n".len()) <= LIMIT.saturating_sub(self.0.len())
    }

    /// Adds a line's end and the literal behind it.
    pub(super) fn push_literal(&mut self, octets: &[u8]) {
        self.0.extend_from_slice(b"\r\n");
        self.push(octets);
    }

    /// Adds what stands behind a literal.
    pub(super) fn push(&mut self, line: &[u8]) {
        self.0.extend_from_slice(line);
    }

    /// Everything so far.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A count only: the bytes may be a password.
impl fmt::Debug for Partial {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Partial({} bytes)", self.0.len())
    }
}
