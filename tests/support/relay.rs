//! A second address for ports of 127.0.0.1: the same server under a name that its certificate does not have.

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Where the relays listen.
pub const HOST: &str = "127.0.0.2";

/// Listens on the same ports of [`HOST`]. Relays stop when they are dropped.
pub async fn start<const COUNT: usize>(ports: [u16; COUNT]) -> JoinSet<()> {
    let mut relays = JoinSet::new();
    for port in ports {
        let listener = TcpListener::bind((HOST, port)).await.unwrap();
        relays.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (mut near, _) = listener.accept().await.unwrap();
                connections.spawn(async move {
                    let mut far = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                    // Either side may break off; that is what the test is about.
                    drop(tokio::io::copy_bidirectional(&mut near, &mut far).await);
                });
            }
        });
    }
    relays
}
