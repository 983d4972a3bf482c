//! [`take`]: the buffers that mail passes through, shared by all sessions. A session holds one only while it has something in
//! flight (invariant 11). What is out is bounded: when many large ones are, the next session gets a small one.

use std::mem::take as take_out;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

/// What a large buffer carries: sixteen full TLS records (RFC 8446 section 5.1), so that a fast session needs few system calls, and wakes
/// whoever it sends to seldom.
pub const CONTENT: usize = 16 * 16 * 1024;

/// A large buffer: that, and what encryption puts around it.
pub const LARGE: usize = CONTENT + 16 * 512;

/// A small one still takes the longest TLS record (RFC 5246 section 6.2.3: 18 KiB and its header).
pub const SMALL: usize = 20 * 1024;

/// How many large ones may be out at once: 16.5 MiB.
const LARGE_OUT: usize = 64;

/// How many are kept for the next session that has data: at most 1 MiB of large ones, and half as much of small ones. More are given back to
/// the system. One is mostly held for less than a millisecond, so a few serve thousands of sessions.
const LARGE_KEPT: usize = 4;
const SMALL_KEPT: usize = 24;

static POOL: Pool = Pool::new();

/// Bytes of some fixed length. What they are is left over from whoever had it before: only what its holder has written
/// into it means anything.
#[derive(Debug)]
pub struct Buffer {
    bytes: Vec<u8>,
    origin: Origin,
}

#[derive(Clone, Copy, Debug)]
enum Origin {
    Large(&'static Pool),
    Small(&'static Pool),
    /// Freed when it is dropped.
    Apart,
}

/// A buffer of [`LARGE`] or, while too many of these are out, of [`SMALL`] length. It goes back when it is dropped.
pub fn take() -> Buffer {
    POOL.take()
}

/// A buffer of another length, for what is rare and short: no other session gets it afterwards.
pub fn apart(length: usize) -> Buffer {
    Buffer { bytes: vec![0; length], origin: Origin::Apart }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        match self.origin {
            Origin::Large(pool) => pool.large_came_back(take_out(&mut self.bytes)),
            Origin::Small(pool) => pool.small_came_back(take_out(&mut self.bytes)),
            Origin::Apart => {}
        }
    }
}

#[derive(Debug)]
struct Pool(Mutex<Shelves>);

#[derive(Debug)]
struct Shelves {
    large: Vec<Vec<u8>>,
    small: Vec<Vec<u8>>,
    large_out: usize,
}

impl Pool {
    const fn new() -> Self {
        Self(Mutex::new(Shelves { large: Vec::new(), small: Vec::new(), large_out: 0 }))
    }

    fn take(&'static self) -> Buffer {
        let (kept, length, origin) = self.with(|shelves| {
            if shelves.large_out < LARGE_OUT {
                shelves.large_out += 1;
                (shelves.large.pop(), LARGE, Origin::Large(self))
            } else {
                (shelves.small.pop(), SMALL, Origin::Small(self))
            }
        });
        Buffer { bytes: kept.unwrap_or_else(|| vec![0; length]), origin }
    }

    fn large_came_back(&self, bytes: Vec<u8>) {
        self.with(|shelves| {
            shelves.large_out = shelves.large_out.saturating_sub(1);
            keep(&mut shelves.large, LARGE_KEPT, bytes)
        });
    }

    fn small_came_back(&self, bytes: Vec<u8>) {
        self.with(|shelves| keep(&mut shelves.small, SMALL_KEPT, bytes));
    }

    /// A thread that panicked here left nothing half done.
    fn with<T>(&self, act: impl FnOnce(&mut Shelves) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Gives back what there is no room for, so that it is freed outside the lock.
fn keep(shelf: &mut Vec<Vec<u8>>, most: usize, bytes: Vec<u8>) -> Option<Vec<u8>> {
    if shelf.len() >= most {
        return Some(bytes);
    }
    shelf.push(bytes);
    None
}

#[cfg(test)]
mod tests {
    use super::{Buffer, LARGE, LARGE_KEPT, LARGE_OUT, Pool, SMALL, SMALL_KEPT, apart};

    #[test]
    fn the_large_ones_are_bounded_and_what_is_spare_is_too() {
        let pool: &'static Pool = Box::leak(Box::new(Pool::new()));
        let out: Vec<Buffer> = (0..=LARGE_OUT + SMALL_KEPT).map(|_| pool.take()).collect();
        for (position, buffer) in out.iter().enumerate() {
            assert_eq!(buffer.len(), if position < LARGE_OUT { LARGE } else { SMALL }, "{position}");
        }
        drop(out);
        let (large, small, large_out) =
            pool.with(|shelves| (shelves.large.len(), shelves.small.len(), shelves.large_out));
        assert_eq!((large, small, large_out), (LARGE_KEPT, SMALL_KEPT, 0));
    }

    #[test]
    fn a_buffer_is_used_again_and_one_apart_is_not() {
        let pool: &'static Pool = Box::leak(Box::new(Pool::new()));
        let first = pool.take();
        let place = first.as_ptr();
        drop(first);
        let again = pool.take();
        assert_eq!(again.as_ptr(), place);
        drop(apart(SMALL));
        assert_eq!(pool.with(|shelves| (shelves.large.len(), shelves.small.len())), (0, 0));
    }
}
