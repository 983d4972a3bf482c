//! Connecting to a provider over all its addresses, IPv6 and IPv4 in turn and staggered (RFC 8305), so that a broken
//! IPv6 route costs a quarter of a second and not the login. The address that answered last is tried first for a moment, so that
//! logins that follow one another ask the resolver once.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// RFC 8305 section 8, "Connection Attempt Delay".
const STAGGER: Duration = Duration::from_millis(250);

/// For how long an address that answered is taken without asking the resolver. Shorter than a name's own time to live at any provider.
const REMEMBERED: Duration = Duration::from_secs(10);

/// Servers that are remembered at once. A configuration has a few.
const MOST_REMEMBERED: usize = 64;

/// By name and port, what answered last, and until when it is believed.
static ANSWERED: Answered = Answered(Mutex::new(BTreeMap::new()));

struct Answered(Mutex<BTreeMap<(String, u16), (SocketAddr, Instant)>>);

/// Who says something first on a new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// We do, at once: our ClientHello is on its way as soon as there is a connection.
    Ours,
    /// The server does, or it does not matter.
    Theirs,
}

/// A connection to the first of the host's addresses that takes one. The error of a name that is not found is
/// [`io::ErrorKind::NotFound`].
pub async fn dial(host: &str, port: u16, opening: Opening) -> io::Result<TcpStream> {
    if let Some(address) = ANSWERED.find(host, port, Instant::now())
        && let Ok(Ok(stream)) = timeout(STAGGER, open(address, opening)).await
    {
        return Ok(stream);
    }
    // Seldom needed, and far larger than the rest.
    let addresses = Box::pin(resolve(host, port)).await?;
    let (stream, took) = Box::pin(first_to_answer(addresses, opening)).await?;
    // One that took longer would not be waited for either the next time.
    if took < STAGGER
        && let Ok(address) = stream.peer_addr()
    {
        ANSWERED.keep(host, port, address, Instant::now());
    }
    Ok(stream)
}

/// Asks the resolver again the next time: what answered by TCP was not the provider, or no provider any more.
pub fn forget(host: &str, port: u16) {
    ANSWERED.forget(host, port);
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
    first_to_answer(addresses, Opening::Theirs).await.map(|(stream, _)| stream)
}

async fn open(address: SocketAddr, opening: Opening) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if opening == Opening::Ours {
        acknowledge_by_what_we_say(&socket);
    }
    socket.connect(address).await
}

/// The last segment of TCP's handshake then says something: Linux holds the bare acknowledgement back for a moment, and the ClientHello,
/// which carries it too, is there before. A segment less, and the server wakes once and not twice.
#[cfg(target_os = "linux")]
fn acknowledge_by_what_we_say(socket: &TcpSocket) {
    // It saves a little where it works.
    let _saved = socket2::SockRef::from(socket).set_tcp_quickack(false);
}

#[cfg(not(target_os = "linux"))]
fn acknowledge_by_what_we_say(_: &TcpSocket) {}

/// The first connection that comes about, and how long its own address took: those before it may have been silent.
async fn first_to_answer(addresses: Vec<SocketAddr>, opening: Opening) -> io::Result<(TcpStream, Duration)> {
    let mut waiting = addresses.into_iter();
    let mut attempts = JoinSet::new();
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    loop {
        if let Some(address) = waiting.next() {
            attempts.spawn(async move {
                let started = Instant::now();
                open(address, opening).await.map(|stream| (stream, started.elapsed()))
            });
        } else if attempts.is_empty() {
            return Err(failure);
        }
        // The next address is tried when an attempt fails or its time is up; after the last one there is only waiting.
        let result = tokio::select! {
            Some(result) = attempts.join_next() => result,
            () = sleep(STAGGER), if waiting.len() > 0 => continue,
        };
        match result {
            Ok(Ok(connected)) => return Ok(connected),
            Ok(Err(error)) => failure = error,
            Err(stopped) => failure = io::Error::other(stopped),
        }
    }
}

impl Answered {
    fn find(&self, host: &str, port: u16, now: Instant) -> Option<SocketAddr> {
        let answered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        answered.get(&(host.to_owned(), port)).filter(|(_, until)| now < *until).map(|(address, _)| *address)
    }

    fn forget(&self, host: &str, port: u16) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&(host.to_owned(), port));
    }

    fn keep(&self, host: &str, port: u16, address: SocketAddr, now: Instant) {
        let mut answered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if answered.len() >= MOST_REMEMBERED {
            answered.clear();
        }
        answered.insert((host.to_owned(), port), (address, now + REMEMBERED));
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
    use std::collections::BTreeMap;
    use std::net::Ipv4Addr;
    use std::sync::Mutex;
    use std::time::Duration;

    use tokio::io::AsyncWriteExt as _;
    use tokio::net::{TcpListener, TcpSocket, TcpStream};
    use tokio::task::yield_now;
    use tokio::time::Instant;

    use super::{
        ANSWERED, Answered, MOST_REMEMBERED, Opening, STAGGER, dial, first_to_answer, in_turn, open,
    };

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
        assert_eq!(dial("localhost", port, Opening::Theirs).await.unwrap().peer_addr().unwrap().port(), port);
    }

    #[test]
    fn what_answered_last_is_believed_for_ten_seconds_and_by_that_port_alone() {
        let (answered, start) = (Answered(Mutex::new(BTreeMap::new())), Instant::now());
        let address = "127.0.0.1:993".parse().unwrap();
        answered.keep("mail.example.com", 993, address, start);
        for (host, port, seconds, expected) in [
            ("mail.example.com", 993, 9, true),
            ("mail.example.com", 993, 10, false),
            ("mail.example.com", 995, 0, false),
            ("example.com", 993, 0, false),
        ] {
            let found = answered.find(host, port, start + Duration::from_secs(seconds));
            assert_eq!(found == Some(address), expected, "{host} {port} {seconds}");
        }
        answered.forget("mail.example.com", 993);
        assert_eq!(answered.find("mail.example.com", 993, start), None);
        for port in 0..1000 {
            answered.keep("mail.example.com", port, address, start);
        }
        assert!(answered.0.lock().unwrap().len() <= MOST_REMEMBERED);
    }

    #[tokio::test]
    async fn an_address_that_answers_no_more_costs_a_look_and_not_the_login() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let gone = (Ipv4Addr::new(127, 0, 0, 9), address.port()).into();
        ANSWERED.keep("localhost", address.port(), gone, Instant::now());
        for _ in 0..2 {
            assert_eq!(
                dial("localhost", address.port(), Opening::Ours).await.unwrap().peer_addr().unwrap(),
                address
            );
        }
        assert_eq!(ANSWERED.find("localhost", address.port(), Instant::now()), Some(address));
    }

    #[tokio::test]
    async fn an_address_that_answers_is_quick_however_silent_the_one_before_it() {
        // Whose queue is full answers no SYN at all, as where a firewall drops them.
        let silent = TcpSocket::new_v4().unwrap();
        silent.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let silent = silent.listen(0).unwrap();
        let hole = silent.local_addr().unwrap();
        let _queued = TcpStream::connect(hole).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let begun = Instant::now();
        let (stream, took) = first_to_answer(vec![hole, address], Opening::Ours).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), address);
        assert!(begun.elapsed() >= STAGGER, "the first address answered");
        assert!(took + STAGGER <= begun.elapsed(), "the other one's silence is not its own");
    }

    #[tokio::test]
    async fn nobody_listening_is_an_error_at_once() {
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        assert_eq!(
            dial("127.0.0.1", port, Opening::Ours).await.unwrap_err().kind(),
            std::io::ErrorKind::ConnectionRefused
        );
    }

    #[tokio::test]
    async fn a_server_that_waits_for_our_words_hears_of_us_with_them() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        for (opening, expected) in [(Opening::Ours, 0_u32), (Opening::Theirs, 20)] {
            let mut at_once = 0;
            for _ in 0..20 {
                let mut stream = open(address, opening).await.unwrap();
                // What is held back goes by itself after a while, on a machine that stops for so long just here.
                let mut accepted = listener.accept().ok();
                at_once += u32::from(accepted.is_some());
                stream.write_all(b"\x16").await.unwrap();
                while accepted.is_none() {
                    accepted = listener.accept().ok();
                    yield_now().await;
                }
            }
            assert!(
                expected.abs_diff(at_once) < 10 || cfg!(not(target_os = "linux")),
                "{opening:?}: {at_once}"
            );
        }
    }
}
