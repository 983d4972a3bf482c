//! A provider that is far away: every octet arrives later by the same time, however many are on their way.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// Octets on their way in each direction, at most.
const PIECE: usize = 64 * 1024;

/// How much later than asked Tokio's timer may be.
const TIMER: Duration = Duration::from_millis(2);

/// The connection, as it is seen behind a line with this delay in each direction.
pub(super) fn delayed(socket: TcpStream, delay: Duration) -> DuplexStream {
    let (here, there) = tokio::io::duplex(PIECE);
    tokio::spawn(async move {
        // Loopback connects at once; over a line that is a round trip.
        if arrival(Instant::now() + 2 * delay).await.is_err() {
            return;
        }
        let (from_client, to_client) = socket.into_split();
        let (from_provider, to_provider) = tokio::io::split(there);
        let _ended =
            tokio::join!(carry(from_client, to_provider, delay), carry(from_provider, to_client, delay));
    });
    here
}

/// Waits until then, to a tenth of a millisecond. Tokio's timer alone waits up to a millisecond longer, by an amount that
/// depends on what a program did before: over the trips of a login that is a tenth of one.
async fn arrival(when: Instant) -> io::Result<()> {
    sleep_until(when - TIMER).await;
    let rest = when.saturating_duration_since(Instant::now());
    tokio::task::spawn_blocking(move || std::thread::sleep(rest)).await?;
    Ok(())
}

async fn carry<R, W>(mut from: R, mut to: W, delay: Duration) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let (sent, mut arriving) = mpsc::channel::<(Instant, Vec<u8>)>(256);
    let read = async move {
        let mut buffer = vec![0; PIECE];
        loop {
            let length = from.read(&mut buffer).await?;
            let piece = buffer.get(..length).unwrap_or_default().to_vec();
            if length == 0 || sent.send((Instant::now() + delay, piece)).await.is_err() {
                return io::Result::Ok(());
            }
        }
    };
    let write = async move {
        while let Some((when, piece)) = arriving.recv().await {
            arrival(when).await?;
            to.write_all(&piece).await?;
        }
        to.shutdown().await
    };
    let (read, written) = tokio::join!(read, write);
    read.and(written)
}
