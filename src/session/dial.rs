//! Connecting to a provider over all its addresses, IPv6 and IPv4 in turn and staggered (RFC 8305), so that a broken
//! IPv6 route costs a quarter of a second and not the login.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// RFC 8305 section 8, "Connection Attempt Delay".
const STAGGER: Duration = Duration::from_millis(250);

/// A connection to the first of the host's addresses that takes one. The error of a name that is not found is
/// [`io::ErrorKind::NotFound`].
pub async fn dial(host: &str, port: u16) -> io::Result<TcpStream> {
    connect(resolve(host, port).await?).await
}

/// The host's addresses, in the order in which they are tried. The error of a name that is not found is
/// [`io::ErrorKind::NotFound`].
pub async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let addresses = lookup_host((host, port)).await;
    let addresses = addresses.map_err(|error| io::Error::new(io::ErrorKind::NotFound, error))?;
    Ok(in_turn(addresses.collect()))
}

/// The first connection that comes about. The error is the last attempt's.
pub async fn connect(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut waiting = addresses.into_iter();
    let mut attempts = JoinSet::new();
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    loop {
        if let Some(address) = waiting.next() {
            attempts.spawn(TcpStream::connect(address));
        } else if attempts.is_empty() {
            return Err(failure);
        }
        // The next address is tried when an attempt fails or its time is up; after the last one there is only waiting.
        let result = tokio::select! {
            Some(result) = attempts.join_next() => result,
            () = sleep(STAGGER), if waiting.len() > 0 => continue,
        };
        match result {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => failure = error,
            Err(stopped) => failure = io::Error::other(stopped),
        }
    }
}

/// The families in turn, beginning with the resolver's first choice (RFC 8305 section 4).
fn in_turn(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_ipv6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == first_is_ipv6);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut ordered = Vec::with_capacity(first.len() + second.len());
    while first.len() + second.len() > 0 {
        ordered.extend(first.next());
        ordered.extend(second.next());
    }
    ordered
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]
mod tests {
    use tokio::net::TcpListener;

    use super::{dial, in_turn};

    #[test]
    fn families_take_turns() {
        let addresses = ["[::1]:1", "[::2]:1", "127.0.0.1:1", "127.0.0.2:1", "127.0.0.3:1"];
        let ordered = in_turn(addresses.iter().map(|address| address.parse().unwrap()).collect());
        let expected = ["[::1]:1", "127.0.0.1:1", "[::2]:1", "127.0.0.2:1", "127.0.0.3:1"];
        assert_eq!(ordered.iter().map(ToString::to_string).collect::<Vec<_>>(), expected);
    }

    #[tokio::test]
    async fn a_listener_on_one_family_alone_is_reached_by_name() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(dial("localhost", port).await.unwrap().peer_addr().unwrap().port(), port);
    }

    #[tokio::test]
    async fn nobody_listening_is_an_error_at_once() {
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        assert_eq!(dial("127.0.0.1", port).await.unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
    }
}
