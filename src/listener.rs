//! [`listen`] and [`run`]: accepts connections at one address until Gatepost stops. Caps answer with a polite line, never with a hanging
//! accept, and what one client costs is bounded before a byte of it is read.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use gatepost_protocol::dialogue::Goodbye;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::config::{Limits, ListenerTls};
use crate::session::driver::Connection;
use crate::session::slots::counted_address;
use crate::session::stream::Stream;
use crate::session::{self, Entrance, Gateway};

/// Connections that the kernel keeps for us while we are busy: as many as it will, which is 4096 where nobody has set `net.core.somaxconn`. Beyond them it
/// drops whoever comes, and may let a client believe that it is connected, which then waits for a greeting from nobody. The usual
/// 128 are too few for the devices of a company after a power cut.
const QUEUE: u32 = 4096;

/// How long accepting pauses when the system has no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long a refused client may take to take its line, the TLS handshake included.
const REFUSAL_TIME: Duration = Duration::from_secs(2);

/// Refused clients that are being told so at once; further ones are just closed, so that a flood costs nothing.
const REFUSALS_AT_ONCE: usize = 64;

/// Counts the connections of all listeners.
#[derive(Debug)]
pub struct Door {
    most: usize,
    most_per_address: usize,
    inside: AtomicUsize,
    refusals: AtomicUsize,
    by_address: DashMap<IpAddr, usize>,
}

/// A counted connection; no longer counted when dropped.
#[derive(Debug)]
struct Admission {
    door: Arc<Door>,
    address: IpAddr,
}

impl Door {
    /// With nobody inside.
    pub fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            most: limits.connections,
            most_per_address: limits.connections_per_address,
            inside: AtomicUsize::new(0),
            refusals: AtomicUsize::new(0),
            by_address: DashMap::new(),
        })
    }

    /// Connections now.
    pub fn inside(&self) -> usize {
        self.inside.load(Ordering::Relaxed)
    }

    fn admit(self: &Arc<Self>, client: IpAddr) -> Option<Admission> {
        let address = counted_address(client);
        let mut from_there = self.by_address.entry(address).or_insert(0);
        let inside = self.inside.fetch_add(1, Ordering::Relaxed);
        if inside >= self.most || *from_there >= self.most_per_address {
            self.inside.fetch_sub(1, Ordering::Relaxed);
            let nobody = *from_there == 0;
            drop(from_there);
            if nobody {
                self.by_address.remove_if(&address, |_, count| *count == 0);
            }
            return None;
        }
        *from_there += 1;
        drop(from_there);
        Some(Admission { door: Arc::clone(self), address })
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.door.inside.fetch_sub(1, Ordering::Relaxed);
        if let Some(mut count) = self.door.by_address.get_mut(&self.address) {
            *count -= 1;
        }
        self.door.by_address.remove_if(&self.address, |_, count| *count == 0);
    }
}

/// Listens at the address. From then on clients can connect, and wait.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // On Windows that would let two programs have one address.
    #[cfg(not(windows))]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(QUEUE)
}

/// Accepts until Gatepost stops. Sessions run in `tasks`.
pub async fn run(
    listener: TcpListener,
    entrance: Arc<Entrance>,
    gateway: Arc<Gateway>,
    door: Arc<Door>,
    tasks: TaskTracker,
) {
    loop {
        let accepted = tokio::select! {
            () = gateway.stopping.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((client, address)) => meet(client, address, &entrance, &gateway, &door, &tasks),
            Err(error) if is_the_clients(&error) => debug!("connection gone before it was accepted: {error}"),
            Err(error) => {
                warn!(listener = %entrance.address, "cannot accept connections: {error}");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn meet(
    client: TcpStream,
    address: SocketAddr,
    entrance: &Arc<Entrance>,
    gateway: &Arc<Gateway>,
    door: &Arc<Door>,
    tasks: &TaskTracker,
) {
    let networks = &entrance.listener.allow_from;
    let ip = address.ip().to_canonical();
    if !networks.is_empty() && !networks.iter().any(|network| network.contains(&ip)) {
        warn!(listener = %entrance.address, client = %address, "refused: not in allow_from");
        refuse(client, Goodbye::NotAllowed, entrance, door, tasks);
    } else if let Some(admission) = door.admit(ip) {
        let (gateway, entrance) = (Arc::clone(gateway), Arc::clone(entrance));
        tasks.spawn(async move {
            session::run(gateway, entrance, client, address).await;
            drop(admission);
        });
    } else {
        warn!(listener = %entrance.address, client = %address, "refused: too many connections");
        refuse(client, Goodbye::Busy, entrance, door, tasks);
    }
}

fn refuse(
    client: TcpStream,
    reason: Goodbye,
    entrance: &Arc<Entrance>,
    door: &Arc<Door>,
    tasks: &TaskTracker,
) {
    if door.refusals.fetch_add(1, Ordering::Relaxed) >= REFUSALS_AT_ONCE {
        door.refusals.fetch_sub(1, Ordering::Relaxed);
        return;
    }
    let (entrance, door) = (Arc::clone(entrance), Arc::clone(door));
    tasks.spawn(async move {
        let _told_or_gone = timeout(REFUSAL_TIME, tell(client, reason, &entrance)).await;
        door.refusals.fetch_sub(1, Ordering::Relaxed);
    });
}

async fn tell(client: TcpStream, reason: Goodbye, entrance: &Entrance) -> io::Result<()> {
    let mut connection = Connection::new(Stream::new(client)?);
    if entrance.listener.tls == ListenerTls::Implicit {
        connection.stream.upgrade(&entrance.upgrade).await?;
    }
    entrance.goodbye(reason, &mut connection.output);
    connection.send().await?;
    connection.stream.end().await;
    Ok(())
}

/// Errors of `accept` that concern one connection only.
fn is_the_clients(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]
mod tests {
    use super::Door;
    use crate::config::Limits;

    #[test]
    fn caps_count_by_address_and_in_all_and_forget_who_left() {
        let door = Door::new(&Limits { connections: 3, connections_per_address: 2, ..Limits::default() });
        let [desk, scanner, same_house] =
            ["192.0.2.1", "2001:db8:1:2::3", "2001:db8:1:2:ffff::4"].map(|address| address.parse().unwrap());
        let first = door.admit(desk).unwrap();
        let second = door.admit(desk).unwrap();
        assert!(door.admit(desk).is_none(), "two from one address");
        let third = door.admit(scanner).unwrap();
        assert!(door.admit(same_house).is_none(), "three in all");
        drop(first);
        let fourth = door.admit(same_house).unwrap();
        drop((second, third, fourth));
        assert_eq!((door.inside(), door.by_address.len()), (0, 0));
    }
}
