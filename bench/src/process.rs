//! What processes cost: processor time, memory and descriptors, read from `/proc`; and how the bench's own processes begin and end.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// As many descriptors as the system grants.
pub fn raise_descriptors() {
    let granted = getrlimit(Resource::Nofile).maximum;
    // Where that is refused, the load says which connection failed.
    let _as_before = setrlimit(Resource::Nofile, Rlimit { current: granted, maximum: granted });
}

/// Ends when standard input does: whoever started this process is done with it, or gone.
pub async fn standard_input_ended() {
    let (ended, waiting) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let _end = io::copy(&mut io::stdin(), &mut io::sink());
        let _nobody_waits = ended.send(());
    });
    let _ended = waiting.await;
}
