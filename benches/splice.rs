//! What passes through a whole Gatepost over loopback, beside the same without it. Load, provider and Gatepost are in this
//! process, and the times are those of all of them; `scripts/bench` tells what Gatepost's share is.

#![allow(clippy::unwrap_used, reason = "a bench that fails ends")]

#[path = "support/rooms.rs"]
mod rooms;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gatepost_bench::message::Message;
use tokio::runtime::Runtime;

use rooms::Rooms;

criterion_group!(benches, splice);
criterion_main!(benches);

fn splice(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let rooms = runtime.block_on(Rooms::new()).unwrap();
    let message = Message::of_kib(8 * 1024).unwrap();

    let mut group = criterion.benchmark_group("download");
    group.sample_size(20).throughput(Throughput::Bytes(message.wire.len() as u64));
    for (name, client) in &rooms.clients {
        let mut session = runtime.block_on(client.pop3()).unwrap();
        group.bench_function(*name, |bencher| {
            bencher.iter(|| runtime.block_on(session.fetch(&message)).unwrap());
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("upload");
    group.sample_size(20).throughput(Throughput::Bytes(message.wire.len() as u64));
    for (name, client) in &rooms.clients {
        let mut session = runtime.block_on(client.smtp()).unwrap();
        group.bench_function(*name, |bencher| {
            bencher.iter(|| runtime.block_on(session.send(&message)).unwrap());
        });
    }
    group.finish();
}
