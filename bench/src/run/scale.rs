//! How much of everything: enough for figures that can be trusted, or as little as shows that all of it works.

use std::time::Duration;

/// Numbers of a run.
pub(super) struct Scale {
    /// KiB of a message that is large.
    pub(super) large: usize,
    /// Octets of such messages in all.
    pub(super) volume: usize,
    /// Logins before anything is counted.
    pub(super) warm_up: usize,
    /// Logins that are counted.
    pub(super) logins: usize,
    /// Small messages.
    pub(super) messages: u32,
    /// Logins at an upstream far away, and messages, each beside a direct one.
    pub(super) far: usize,
    /// Sessions that wait, one number after the other.
    pub(super) sessions: Vec<usize>,
    /// Logins of a program that has just started.
    pub(super) at_once: usize,
    /// The same by people with a password of their own each.
    pub(super) storm: usize,
    /// Messages of the curve, in KiB.
    pub(super) sizes: Vec<usize>,
    /// Clients of the curve.
    pub(super) clients: Vec<usize>,
    /// Accounts of the start.
    pub(super) accounts: usize,
    /// After that, a slow program need do no more of the same.
    pub(super) patience: Duration,
    /// Between two looks at memory.
    pub(super) settle: Duration,
}

impl Scale {
    pub(super) fn full() -> Self {
        Self {
            large: 25 * 1024,
            volume: 1 << 30,
            warm_up: 20,
            logins: 1_000,
            messages: 2_000,
            far: 15,
            sessions: vec![1, 10, 100, 1_000, 3_000, 9_800],
            at_once: 256,
            storm: 400,
            sizes: vec![1, 4, 16, 64, 256, 1_024, 4_096, 25 * 1024, 150 * 1024],
            clients: vec![1, 4, 16, 64, 256],
            accounts: 1_000,
            patience: Duration::from_secs(6),
            settle: Duration::from_millis(300),
        }
    }

    pub(super) fn quick() -> Self {
        Self {
            large: 1024,
            volume: 2 << 20,
            warm_up: 1,
            logins: 3,
            messages: 3,
            far: 1,
            sessions: vec![2, 8],
            at_once: 4,
            storm: 3,
            sizes: vec![1, 64],
            clients: vec![1, 2],
            accounts: 3,
            patience: Duration::from_mins(1),
            settle: Duration::from_millis(5),
        }
    }
}
