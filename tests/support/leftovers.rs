//! That nothing is left behind: no connection, session, task, place at a mailbox, nor socket.
//!
//! Sockets are counted for the whole process, so a test program that counts them runs its tests one after the other: each
//! begins with [`Alone::begin`].

use std::collections::HashSet;
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};
use tokio::time::sleep;

use super::world::World;

/// How often a condition is looked at before it is given up: twenty seconds at least.
const LOOKS: usize = 2000;

/// The sandbox's own listening sockets.
const SANDBOX_LISTENERS: usize = 7;

static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// A test that has the process to itself.
pub struct Alone(#[allow(dead_code, reason = "held, not read")] MutexGuard<'static, ()>);

impl Alone {
    /// Waits for the test before, and for its sockets.
    pub async fn begin() -> Self {
        let turn = ONE_AT_A_TIME.lock().await;
        eventually("the test before has left no socket", || tcp_sockets() == 0).await;
        Self(turn)
    }

    /// Waits until only what listens is there. The test's own connections must be gone already.
    pub async fn nothing_left(&self, world: &World, what: &str) {
        let daemon = &world.daemon;
        let listening = SANDBOX_LISTENERS + daemon.addresses().count();
        let mut seen = String::new();
        for _ in 0..LOOKS {
            let left = (daemon.connections(), daemon.sessions(), daemon.mailboxes_in_use());
            let (tasks, sockets) = (daemon.tasks(), tcp_sockets());
            if left == (0, 0, 0) && tasks == world.idle_tasks && sockets == listening {
                return;
            }
            seen = format!(
                "connections, sessions, mailboxes {left:?}, tasks {tasks} of {}, sockets {sockets} of {listening}",
                world.idle_tasks
            );
            sleep(Duration::from_millis(10)).await;
        }
        unreachable!("left behind after {what}: {seen}");
    }
}

/// Waits until it is so.
pub async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..LOOKS {
        if is_so() {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
    unreachable!("this never came about: {what}");
}

/// This process's TCP sockets. Other descriptors come and go with the runtime and the store.
pub fn tcp_sockets() -> usize {
    let inodes: HashSet<String> = ["/proc/self/net/tcp", "/proc/self/net/tcp6"]
        .iter()
        .flat_map(|table| {
            let table = std::fs::read_to_string(table).unwrap();
            let rows = table.lines().skip(1);
            rows.filter_map(|row| row.split_whitespace().nth(9).map(|inode| format!("socket:[{inode}]")))
                .collect::<Vec<_>>()
        })
        .collect();
    let descriptors = std::fs::read_dir("/proc/self/fd").unwrap();
    let target = |entry: std::io::Result<std::fs::DirEntry>| std::fs::read_link(entry.ok()?.path()).ok();
    descriptors
        .filter_map(target)
        .filter(|path| path.to_str().is_some_and(|path| inodes.contains(path)))
        .count()
}
