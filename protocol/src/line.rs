//! [`LineBuffer`]: received bytes until they are lines, and `word`, by which a command line is taken apart.
//!
//! The rule: a fixed room, so that a peer cannot make us grow, and every byte that was taken or moved is wiped, because
//! it may have been a password.

use std::fmt;

use nom::bytes::complete::{take_till1, take_while};
use nom::sequence::preceded;
use nom::{IResult, Parser as _};
use zeroize::Zeroize;

/// At most 16 KiB of received bytes. It begins with what a dialogue mostly needs, because thousands may be going on at once, and takes
/// all of its room when that is full; more than that no peer can make it take. What was consumed, and what it grew out of, is wiped: it may
/// have been a password.
pub struct LineBuffer {
    bytes: Box<[u8]>,
    /// Where the line handed out last begins; it is wiped at the next call.
    taken: usize,
    /// Where what has not been taken begins.
    start: usize,
    /// Where what has been received ends.
    end: usize,
    /// How many bytes from `start` are known to hold no LF, so that a byte at a time costs no rescan.
    searched: usize,
}

/// The line is longer than the limit, or not ended within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineTooLong;

impl LineBuffer {
    /// The whole room: above the longest line limit (12,288) by enough for what a client pipelines behind it.
    pub const CAPACITY: usize = 16 * 1024;

    /// What it begins with: a long reply to EHLO, or a few pipelined commands.
    const FIRST: usize = 2 * 1024;

    /// An empty buffer.
    pub fn new() -> Self {
        Self { bytes: vec![0; Self::FIRST].into_boxed_slice(), taken: 0, start: 0, end: 0, searched: 0 }
    }

    /// Where the next bytes from the peer go; empty when the buffer is full, which is back pressure.
    pub fn spare(&mut self) -> &mut [u8] {
        self.wipe_taken();
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            let kept = self.end - self.start;
            self.wipe(kept, self.end);
            (self.taken, self.start, self.end) = (0, 0, kept);
        }
        if self.end == self.bytes.len() && self.end < Self::CAPACITY {
            let mut all = vec![0; Self::CAPACITY].into_boxed_slice();
            all.get_mut(..self.end).unwrap_or_default().copy_from_slice(&self.bytes);
            self.bytes.zeroize();
            self.bytes = all;
        }
        self.bytes.get_mut(self.end..).unwrap_or_default()
    }

    /// The first `count` bytes of [`LineBuffer::spare`] have been written.
    pub fn filled(&mut self, count: usize) {
        self.end = self.end.saturating_add(count).min(self.bytes.len());
    }

    /// Receives as many of the bytes as there is room for, and says how many. For those who have them already.
    pub fn receive(&mut self, bytes: &[u8]) -> usize {
        let mut received = 0;
        loop {
            let left = bytes.get(received..).unwrap_or_default();
            let spare = self.spare();
            let count = spare.len().min(left.len());
            if count == 0 {
                return received;
            }
            for (place, byte) in spare.iter_mut().zip(left) {
                *place = *byte;
            }
            self.filled(count);
            received += count;
        }
    }

    /// The next whole line without its terminator (CRLF or bare LF; stray CRs before it are dropped), if one is there.
    /// It is wiped at the next call.
    pub fn next_line(&mut self, limit: usize) -> Result<Option<&[u8]>, LineTooLong> {
        self.wipe_taken();
        let limit = limit.min(Self::CAPACITY);
        let unread = self.end - self.start;
        let window = self.bytes.get(self.start..self.start + unread.min(limit)).unwrap_or_default();
        let unsearched = window.get(self.searched..).unwrap_or_default();
        let Some(found) = unsearched.iter().position(|&byte| byte == b'\n') else {
            self.searched = window.len();
            return if unread >= limit { Err(LineTooLong) } else { Ok(None) };
        };
        let mut length = self.searched + found;
        self.start += length + 1;
        self.searched = 0;
        while length > 0 && window.get(length - 1) == Some(&b'\r') {
            length -= 1;
        }
        Ok(self.bytes.get(self.taken..self.taken + length))
    }

    /// The next `length` octets, whatever they are, if they are all there. They are wiped at the next call.
    pub fn next_literal(&mut self, length: usize) -> Option<&[u8]> {
        self.wipe_taken();
        if self.end - self.start < length {
            return None;
        }
        self.start += length;
        self.searched = 0;
        self.bytes.get(self.taken..self.start)
    }

    /// What has been received and not been taken.
    pub fn rest(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    /// Wipes and forgets everything received.
    pub fn clear(&mut self) {
        self.wipe(0, self.end);
        (self.taken, self.start, self.end, self.searched) = (0, 0, 0, 0);
    }

    fn wipe_taken(&mut self) {
        self.wipe(self.taken, self.start);
        self.taken = self.start;
    }

    fn wipe(&mut self, from: usize, to: usize) {
        self.bytes.get_mut(from..to).unwrap_or_default().zeroize();
    }
}

impl Default for LineBuffer {
    fn default() -> Self {
        Self::new()
    }
}

/// Behind the end nothing was received, or it has been wiped.
impl Drop for LineBuffer {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Counts only: the bytes may be a password.
impl fmt::Debug for LineBuffer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "LineBuffer({} bytes)", self.rest().len())
    }
}

/// `*WSP 1*(%x21-7E)`: the first word of a command line, and what stands behind it. `None` if there are blanks alone.
pub(crate) fn word(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let blank = |byte: u8| matches!(byte, b' ' | b'\t');
    let parsed: IResult<&[u8], &[u8]> = preceded(take_while(blank), take_till1(blank)).parse(line);
    parsed.ok().map(|(behind, word)| (word, behind))
}

#[cfg(test)]
// A test that meets the unexpected should stop there.
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::{LineBuffer, LineTooLong};

    fn holding(bytes: &[u8]) -> LineBuffer {
        let mut buffer = LineBuffer::new();
        assert_eq!(buffer.receive(bytes), bytes.len());
        buffer
    }

    #[test]
    fn lines_end_with_lf_and_lose_their_crs() {
        let table: [(&[u8], Option<&[u8]>, &[u8]); 7] = [
            (b"", None, b""),
            (b"NOOP\r", None, b"NOOP\r"),
            (b"NOOP\r\nQUIT", Some(b"NOOP"), b"QUIT"),
            (b"NOOP\nQUIT\n", Some(b"NOOP"), b"QUIT\n"),
            (b"NOOP\r\r\n", Some(b"NOOP"), b""),
            (b"\r\n", Some(b""), b""),
            (b"a\rb\n", Some(b"a\rb"), b""),
        ];
        for (received, line, rest) in table {
            let mut buffer = holding(received);
            assert_eq!(buffer.next_line(512).unwrap(), line, "{received:?}");
            assert_eq!(buffer.rest(), rest, "{received:?}");
        }
    }

    #[test]
    fn the_limit_counts_the_terminator() {
        assert_eq!(holding(b"12345678\r\n").next_line(10), Ok(Some(&b"12345678"[..])));
        assert_eq!(holding(b"123456789\r\n").next_line(10), Err(LineTooLong));
        assert_eq!(holding(b"123456789").next_line(10), Ok(None));
        assert_eq!(holding(b"1234567890").next_line(10), Err(LineTooLong));
    }

    #[test]
    fn a_limit_above_the_room_cannot_make_a_full_buffer_wait_forever() {
        assert_eq!(holding(&[b'x'; LineBuffer::CAPACITY]).next_line(usize::MAX), Err(LineTooLong));
    }

    #[test]
    fn what_was_taken_is_wiped_at_the_next_call() {
        let mut buffer = holding(b"PASS tanstaaf\r\nSTAT\r\n");
        assert_eq!(buffer.next_line(512).unwrap(), Some(&b"PASS tanstaaf"[..]));
        assert_eq!(buffer.next_line(512).unwrap(), Some(&b"STAT"[..]));
        assert!(buffer.bytes[..15].iter().all(|&byte| byte == 0));
        buffer.spare();
        assert!(buffer.bytes.iter().all(|&byte| byte == 0));
    }

    #[test]
    fn moving_the_rest_to_the_front_leaves_no_copy() {
        let mut buffer = holding(b"A\nPASS tanstaaf");
        buffer.next_line(512).unwrap();
        buffer.spare();
        assert_eq!(buffer.rest(), b"PASS tanstaaf");
        assert_eq!(&buffer.bytes[..15], b"PASS tanstaaf\0\0");
        buffer.clear();
        assert!(buffer.bytes.iter().all(|&byte| byte == 0));
    }

    #[test]
    fn a_full_buffer_has_no_room_and_gets_it_back_line_by_line() {
        let mut buffer = holding(&b"NOOP\r\n".repeat(LineBuffer::CAPACITY / 6));
        assert_eq!(buffer.receive(b"\n\n\n\n\n"), 4);
        assert!(buffer.spare().is_empty());
        buffer.next_line(512).unwrap();
        assert_eq!(buffer.spare().len(), 6);
    }

    #[test]
    fn it_takes_all_of_its_room_only_when_the_first_part_is_full() {
        let mut buffer = holding(&[b'x'; LineBuffer::FIRST - 1]);
        assert_eq!(buffer.spare().len(), 1);
        assert_eq!(buffer.receive(b"yz"), 2);
        assert_eq!((buffer.bytes.len(), buffer.rest().len()), (LineBuffer::CAPACITY, LineBuffer::FIRST + 1));
        assert!(buffer.rest().ends_with(b"xyz"));
    }

    #[test]
    fn any_cut_gives_the_same_lines() {
        let text = b"EHLO a\r\n\nAUTH PLAIN\r\r\nAHRp\rbQ==\nQUIT\r\n";
        for cut in 0..=text.len() {
            let (head, tail) = text.split_at(cut);
            let mut buffer = holding(head);
            let mut lines = Vec::new();
            while let Some(line) = buffer.next_line(64).unwrap() {
                lines.push(line.to_vec());
            }
            buffer.spare()[..tail.len()].copy_from_slice(tail);
            buffer.filled(tail.len());
            while let Some(line) = buffer.next_line(64).unwrap() {
                lines.push(line.to_vec());
            }
            assert_eq!(lines, [&b"EHLO a"[..], b"", b"AUTH PLAIN", b"AHRp\rbQ==", b"QUIT"], "cut at {cut}");
        }
    }
}
