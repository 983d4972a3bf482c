//! [`Queue`]: bytes that wait for their turn, in one buffer that is held only while there are any (invariant 11).

use super::buffers::{self, Buffer, LARGE};

/// What a queue begins with before it may use the pool: a handshake is short, and mostly waited for.
const FIRST: usize = 4 * 1024;

/// Bytes in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Queue {
    buffer: Option<Buffer>,
    start: usize,
    end: usize,
    pooled: bool,
}

impl Queue {
    /// How much waits at most.
    pub(super) const LIMIT: usize = LARGE;

    /// From now on buffers come from the pool.
    pub(super) fn use_pool(&mut self) {
        self.pooled = true;
        self.release();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    pub(super) fn holds_buffer(&self) -> bool {
        self.buffer.is_some()
    }

    /// How much more goes into the buffer that it holds.
    pub(super) fn unused(&self) -> usize {
        self.length() - (self.end - self.start)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.buffer.as_ref().and_then(|buffer| buffer.get(self.start..self.end)).unwrap_or_default()
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        self.buffer.as_mut().and_then(|buffer| buffer.get_mut(self.start..self.end)).unwrap_or_default()
    }

    /// Takes bytes off the front.
    pub(super) fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
        if self.is_empty() {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Drops all that waits.
    pub(super) fn clear(&mut self) {
        self.consume(self.end);
        self.release();
    }

    /// Gives the buffer back, if nothing waits in it.
    pub(super) fn release(&mut self) {
        if self.is_empty() {
            self.buffer = None;
        }
    }

    /// Where the next bytes go: at least `wanted`, unless that would be more than [`Self::LIMIT`] in all.
    pub(super) fn room(&mut self, wanted: usize) -> &mut [u8] {
        let waiting = self.start..self.end;
        let (length, needed) = (self.length(), (waiting.len() + wanted).min(Self::LIMIT));
        if length < needed {
            let mut larger = self.take(needed);
            if let Some(place) = larger.get_mut(..waiting.len()) {
                place.copy_from_slice(self.bytes());
            }
            self.buffer = Some(larger);
        } else if waiting.start > 0
            && let Some(buffer) = &mut self.buffer
        {
            buffer.copy_within(waiting.clone(), 0);
        }
        (self.start, self.end) = (0, waiting.len());
        self.buffer.as_mut().and_then(|buffer| buffer.get_mut(waiting.len()..)).unwrap_or_default()
    }

    /// So many bytes were written into the room.
    pub(super) fn filled(&mut self, count: usize) {
        self.end = (self.end + count).min(self.length());
    }

    /// Puts bytes at the end; `false` if they would be too many.
    #[must_use]
    pub(super) fn push(&mut self, bytes: &[u8]) -> bool {
        let Some(place) = self.room(bytes.len()).get_mut(..bytes.len()) else { return false };
        place.copy_from_slice(bytes);
        self.filled(bytes.len());
        true
    }

    fn length(&self) -> usize {
        self.buffer.as_ref().map_or(0, |buffer| buffer.len())
    }

    fn take(&self, needed: usize) -> Buffer {
        if self.pooled {
            let buffer = buffers::take();
            if buffer.len() >= needed {
                return buffer;
            }
        }
        buffers::apart(needed.next_power_of_two().clamp(FIRST, Self::LIMIT))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]
mod tests {
    use super::{FIRST, Queue};

    #[test]
    fn bytes_keep_their_order_while_the_buffer_grows_up_to_its_limit() {
        for pooled in [false, true] {
            let mut queue = Queue::default();
            if pooled {
                queue.use_pool();
            }
            let content: Vec<u8> = (0..=250).cycle().take(Queue::LIMIT + FIRST).collect();
            let (first, rest) = content.split_at(FIRST);
            assert!(queue.push(first));
            queue.consume(FIRST - 1);
            assert_eq!(queue.bytes(), first.get(FIRST - 1..).unwrap());
            queue.consume(1);
            for chunk in rest.chunks(1000) {
                assert!(queue.push(chunk));
            }
            assert_eq!(queue.bytes(), rest);
            assert!(!queue.push(b"x") && queue.room(1).is_empty(), "it is full");
            queue.clear();
            assert!(queue.is_empty() && !queue.holds_buffer());
        }
    }

    #[test]
    fn a_buffer_is_given_back_only_when_nothing_waits() {
        let mut queue = Queue::default();
        assert_eq!(queue.room(1).len(), FIRST);
        assert!(queue.push(b"ab"));
        queue.consume(1);
        queue.release();
        assert_eq!(queue.bytes(), b"b");
        queue.consume(1);
        assert!(queue.holds_buffer());
        queue.release();
        assert!(!queue.holds_buffer());
    }
}
