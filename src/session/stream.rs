//! [`Stream`]: a TCP connection, in clear or inside TLS, in either role. How TLS is done is known here alone: toward a provider
//! there are two ways, and nobody notices which one it is.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::{ClientConfig, CommonState, ServerConfig};
use rustls_pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf, copy, sink};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use super::tls_client::TlsClient;
use crate::config::provider;

/// How long the other side may take to notice that a stream has ended.
const ENDING: Duration = Duration::from_secs(1);

/// How much of what it sends meanwhile is read: what is under way on a fast network, and not a flood.
const DROPPED_AT_THE_END: u64 = 4 << 20;

/// One side of a session.
#[derive(Debug)]
pub enum Stream {
    /// A TLS handshake did not come to its end. Reads as the end of the stream.
    Closed,
    /// In clear.
    Plain(TcpStream),
    /// Inside TLS, as server or as client.
    Tls(Box<TlsStream<TcpStream>>),
    /// Inside TLS, as client.
    Pooled(Box<TlsClient>),
}

/// The TLS role that a stream may be upgraded to.
#[derive(Clone, Debug)]
pub enum Upgrade {
    /// Toward a mail client.
    Accept(Arc<ServerConfig>),
    /// Toward a provider, whose certificate must carry this name, with one of our two streams.
    Connect(Arc<ClientConfig>, ServerName<'static>, provider::TlsStream),
    /// The listener has no TLS.
    Never,
}

impl Stream {
    /// Takes a fresh connection: small writes go out at once, and a peer that vanished is noticed within minutes although
    /// neither side has anything to say.
    pub fn new(tcp: TcpStream) -> io::Result<Self> {
        tcp.set_nodelay(true)?;
        let keepalive =
            TcpKeepalive::new().with_time(Duration::from_mins(2)).with_interval(Duration::from_secs(30));
        SockRef::from(&tcp).set_tcp_keepalive(&keepalive)?;
        Ok(Self::Plain(tcp))
    }

    /// Puts TLS over a plain stream. Whatever was received in clear must have been dropped before (invariant 1).
    pub async fn upgrade(&mut self, upgrade: &Upgrade) -> io::Result<()> {
        let Self::Plain(tcp) = std::mem::replace(self, Self::Closed) else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "there is TLS already"));
        };
        *self = match upgrade {
            Upgrade::Accept(config) => {
                Self::tls(TlsAcceptor::from(Arc::clone(config)).accept(tcp).await?.into())
            }
            Upgrade::Connect(config, name, provider::TlsStream::Pooled) => {
                let tls = TlsClient::connect(Arc::clone(config), name.clone(), tcp).await?;
                Self::Pooled(Box::new(tls))
            }
            Upgrade::Connect(config, name, provider::TlsStream::Buffered) => {
                Self::tls(TlsConnector::from(Arc::clone(config)).connect(name.clone(), tcp).await?.into())
            }
            Upgrade::Never => {
                return Err(io::Error::new(io::ErrorKind::Unsupported, "there is no certificate"));
            }
        };
        Ok(())
    }

    fn tls(stream: TlsStream<TcpStream>) -> Self {
        Self::Tls(Box::new(stream))
    }

    /// What TLS agreed on, where there is TLS.
    pub fn tls_state(&self) -> Option<&CommonState> {
        match self {
            Self::Closed | Self::Plain(_) => None,
            Self::Tls(stream) => Some(stream.get_ref().1),
            Self::Pooled(stream) => Some(stream.state()),
        }
    }

    /// Ready when a read may give something: bytes, the end, or why it broke off. So nobody has to hold a buffer to find out.
    pub fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Closed => Poll::Ready(Ok(())),
            Self::Plain(stream) => stream.poll_read_ready(context),
            Self::Tls(stream) => {
                let (tcp, state) = match &mut **stream {
                    TlsStream::Client(stream) => {
                        let (tcp, tls) = stream.get_mut();
                        (tcp, tls.process_new_packets())
                    }
                    TlsStream::Server(stream) => {
                        let (tcp, tls) = stream.get_mut();
                        (tcp, tls.process_new_packets())
                    }
                };
                // What TLS has against the other side is told by the read.
                let waiting = state
                    .map_or(true, |state| state.plaintext_bytes_to_read() > 0 || state.peer_has_closed());
                if waiting { Poll::Ready(Ok(())) } else { tcp.poll_read_ready(context) }
            }
            Self::Pooled(stream) => stream.poll_readable(context),
        }
    }

    /// Whether it is known already that nothing more can be read. Where TLS is tokio-rustls', or there is none, a read has to tell.
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Pooled(stream) if stream.is_over())
    }

    /// Writes what is said last, and shut down behind it: in clear it goes out with the FIN, as one segment that the other side wakes
    /// once for.
    pub fn poll_write_last(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            #[cfg(target_os = "linux")]
            Self::Plain(tcp) => poll_send_more(tcp, context, bytes),
            _ => Pin::new(self).poll_write(context, bytes),
        }
    }

    /// Ends it so that the other side hears all that was said. Our end goes first (close_notify, FIN); then what it still
    /// sends is read and dropped for a moment, because a socket that is closed with unread bytes says RST (RFC 1122
    /// section 4.2.2.13), and many systems throw away what came before one.
    pub async fn end(&mut self) {
        let ending = async {
            self.shutdown().await?;
            copy(&mut self.take(DROPPED_AT_THE_END), &mut sink()).await
        };
        let _gone_or_too_slow = timeout(ENDING, ending).await;
    }
}

/// Linux waits with it for what comes next, which is a FIN; were there none, for a moment.
#[cfg(target_os = "linux")]
fn poll_send_more(tcp: &TcpStream, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
    use rustix::net::{SendFlags, send};
    let more = || Ok(send(tcp, bytes, SendFlags::MORE | SendFlags::NOSIGNAL)?);
    loop {
        std::task::ready!(tcp.poll_write_ready(context))?;
        match tcp.try_io(tokio::io::Interest::WRITABLE, more) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            sent => return Poll::Ready(sent),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Closed => Poll::Ready(Ok(())),
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => {
                let client_is_there = matches!(**stream, TlsStream::Server(_));
                match Pin::new(stream).poll_read(context, buffer) {
                    // Most mail programs close TLS without saying so. Their protocols say when they are done, so it is
                    // no more than the end; a provider that does it has broken off.
                    Poll::Ready(Err(error))
                        if client_is_there && error.kind() == io::ErrorKind::UnexpectedEof =>
                    {
                        Poll::Ready(Ok(()))
                    }
                    other => other,
                }
            }
            Self::Pooled(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Closed => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Pooled(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Closed => Poll::Ready(Ok(())),
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
            Self::Pooled(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Closed => Poll::Ready(Ok(())),
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Pooled(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]
mod tests {
    use std::future::poll_fn;
    use std::io::Read as _;

    use socket2::SockRef;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::{TcpListener, TcpStream};

    use super::Stream;

    #[tokio::test]
    async fn a_peer_that_vanishes_is_noticed_and_small_writes_go_out_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = Stream::new(TcpStream::connect(listener.local_addr().unwrap()).await.unwrap()).unwrap();
        assert!(
            matches!(&stream, Stream::Plain(tcp) if SockRef::from(tcp).keepalive().unwrap() && tcp.nodelay().unwrap())
        );
    }

    #[tokio::test]
    async fn what_is_said_last_goes_out_with_the_end() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut kept_back = 0;
        for _ in 0..20 {
            let mut far = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let mut near = Stream::new(listener.accept().await.unwrap().0).unwrap();
            let written = poll_fn(|context| near.poll_write_last(context, b"+OK bye\r\n")).await.unwrap();
            assert_eq!(written, 9);
            let mut heard = [0; 10];
            far.set_nonblocking(true).unwrap();
            // Only a machine that stops for 200 ms just here hears it before the end.
            let early = far.read(&mut heard).unwrap_or(0);
            near.shutdown().await.unwrap();
            far.set_nonblocking(false).unwrap();
            let mut rest = Vec::new();
            far.read_to_end(&mut rest).unwrap();
            assert_eq!([heard.split_at(early).0, &rest].concat(), b"+OK bye\r\n");
            kept_back += usize::from(early == 0);
        }
        assert!(kept_back > 10 || cfg!(not(target_os = "linux")), "{kept_back} of 20");
    }
}
