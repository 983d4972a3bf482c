//! Counts what is taken from the heap: for the dialogue of a login, for a whole login, and for a MiB in either direction. The whole ones
//! count load and provider too, which are in this process; what `direct` counts is theirs, with TLS as Gatepost does it upstream.

#![allow(clippy::unwrap_used, reason = "a bench that fails ends")]

mod support;

#[path = "support/rooms.rs"]
mod rooms;

use gatepost_bench::message::Message;
use tokio::runtime::Runtime;

use rooms::Rooms;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// Of everything, for the mean.
const TIMES: u64 = 20;

const MIB: usize = 1024;

fn main() {
    let _counting = dhat::Profiler::builder().testing().build();
    println!("{:<34} {:>12} {:>14}", "", "allocations", "octets");

    let token = support::token();
    let dialogue = || assert!(support::login(&token).1, "the dialogue does not come to its end");
    count("POP3 dialogue, no socket", dialogue);

    let runtime = Runtime::new().unwrap();
    let rooms = runtime.block_on(Rooms::new()).unwrap();
    let message = Message::of_kib(MIB).unwrap();
    for (name, client) in &rooms.clients {
        let login = || runtime.block_on(async { client.pop3().await?.quit().await }).unwrap();
        count(&format!("{name}, POP3 login"), login);
        let mut session = runtime.block_on(client.pop3()).unwrap();
        count(&format!("{name}, 1 MiB down"), || runtime.block_on(session.fetch(&message)).unwrap());
        let mut session = runtime.block_on(client.smtp()).unwrap();
        count(&format!("{name}, 1 MiB up"), || runtime.block_on(session.send(&message)).unwrap());
    }
}

/// Does it once to warm up, then so many times, and prints what one took.
fn count(name: &str, mut work: impl FnMut()) {
    work();
    let before = dhat::HeapStats::get();
    for _ in 0..TIMES {
        work();
    }
    let after = dhat::HeapStats::get();
    let allocations = (after.total_blocks - before.total_blocks) / TIMES;
    let octets = (after.total_bytes - before.total_bytes) / TIMES;
    println!("{name:<34} {allocations:>12} {octets:>14}");
}
