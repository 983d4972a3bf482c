//! [`TlsClient`]: TLS toward a provider on buffers of our own, so that several records go through one system call, and a
//! session that waits holds none. It is the only file that names rustls' unbuffered API; all cryptography and the whole
//! protocol stay in rustls, and here is only who holds which bytes.
//!
//! What was received is decrypted where it lies and handed to the reader, as many records as it has room for. Content is put aside
//! where a reader has no room for a whole record, and where a write has to get past received records: never more than one buffer of
//! them, because writing receives nothing.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, ReadTraffic, UnbufferedStatus};
use rustls::{ClientConfig, CommonState};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::queue::Queue;
use super::turn::give_way;

/// What one record carries (RFC 8446 section 5.1).
const RECORD: usize = 16 * 1024;

/// What comes to that: header, nonce, tag and type, and in front of it perhaps a KeyUpdate.
const AROUND_A_RECORD: usize = 256;

/// A connection whose handshake is over.
pub struct TlsClient {
    tcp: TcpStream,
    tls: UnbufferedClientConnection,
    /// Received. A handshake message waits here until it is whole, up to the queue's limit.
    incoming: Queue,
    /// Decrypted, and not yet read.
    plaintext: Queue,
    /// Encrypted, and not yet sent.
    outgoing: Queue,
    /// There may be whole records in `incoming`, or rustls has one decrypted.
    unread: bool,
    /// Why nothing will be received any more.
    end: Option<End>,
    /// We said close_notify.
    shut: bool,
}

enum End {
    CloseNotify,
    /// The connection ended without one: whoever cut it could have cut a message.
    Truncated,
    Failed(rustls::Error),
}

impl TlsClient {
    /// The handshake. It needs little room, and gives all of it back.
    pub async fn connect(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
        tcp: TcpStream,
    ) -> io::Result<Self> {
        let mut client = Self {
            tcp,
            tls: UnbufferedClientConnection::new(config, name).map_err(invalid)?,
            incoming: Queue::default(),
            plaintext: Queue::default(),
            outgoing: Queue::default(),
            unread: false,
            end: None,
            shut: false,
        };
        poll_fn(|context| client.poll_handshake(context)).await?;
        for queue in [&mut client.incoming, &mut client.plaintext, &mut client.outgoing] {
            queue.use_pool();
        }
        Ok(client)
    }

    /// What was agreed on.
    pub fn state(&self) -> &CommonState {
        &self.tls
    }

    /// Ready when a read may give something.
    pub fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.unread || self.end.is_some() || !self.plaintext.is_empty() {
            return Poll::Ready(Ok(()));
        }
        self.tcp.poll_read_ready(context)
    }

    /// Whether a read would find nothing but the end, which the other side has announced.
    pub fn is_over(&self) -> bool {
        matches!(self.end, Some(End::CloseNotify)) && !self.unread && self.plaintext.is_empty()
    }

    fn poll_handshake(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let advanced = self.advance(None);
            let sent = self.poll_send(context);
            // Why it failed matters more than whether the alert could be sent.
            advanced?;
            ready!(sent)?;
            if !self.tls.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            if ready!(self.poll_receive(context))? == 0 {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, "tls handshake eof")));
            }
        }
    }

    /// Lets rustls work on what was received, until it needs more or the reader has enough. What it wants sent in reply is
    /// queued.
    fn advance(&mut self, mut reader: Option<&mut ReadBuf<'_>>) -> io::Result<()> {
        let before = reader.as_ref().map_or(0, |reader| reader.remaining());
        loop {
            let UnbufferedStatus { mut discard, state } =
                self.tls.process_tls_records(self.incoming.bytes_mut());
            let mut go_on = true;
            let handled = match state {
                Ok(ConnectionState::ReadTraffic(traffic)) => {
                    take_records(traffic, reader.as_deref_mut(), before, &mut self.plaintext).map(|taken| {
                        discard += taken.discard;
                        (self.unread, go_on) = (!taken.all, taken.all);
                    })
                }
                Ok(ConnectionState::EncodeTlsData(data)) => encode(data, &mut self.outgoing),
                // It is queued, and goes in its turn.
                Ok(ConnectionState::TransmitTlsData(data)) => {
                    data.done();
                    Ok(())
                }
                Ok(ConnectionState::PeerClosed) => {
                    self.end = Some(End::CloseNotify);
                    Ok(())
                }
                // It needs more, or can go no further.
                Ok(
                    ConnectionState::BlockedHandshake
                    | ConnectionState::WriteTraffic(_)
                    | ConnectionState::Closed,
                ) => {
                    (self.unread, go_on) = (false, false);
                    Ok(())
                }
                Ok(other) => {
                    Err(rustls::Error::General(format!("TLS is in a state unknown here: {other:?}")))
                }
                Err(error) => Err(error),
            };
            self.incoming.consume(discard);
            if let Err(error) = handled {
                return Err(self.fail(error));
            }
            if !go_on {
                break;
            }
        }
        if matches!(self.end, Some(End::CloseNotify)) {
            // Nothing behind it counts (RFC 8446 section 6.1). Anywhere else rustls counts on what it has begun to read.
            self.incoming.clear();
        }
        self.incoming.release();
        Ok(())
    }

    /// Remembers the failure, and queues the alert that tells the other side.
    fn fail(&mut self, error: rustls::Error) -> io::Error {
        // Asked no more often than there is something to say: rustls would look at the bad record once more.
        while self.tls.wants_write() {
            let state = self.tls.process_tls_records(self.incoming.bytes_mut()).state;
            let Ok(ConnectionState::EncodeTlsData(data)) = state else { break };
            if encode(data, &mut self.outgoing).is_err() {
                break;
            }
        }
        self.incoming.clear();
        self.unread = false;
        self.end = Some(End::Failed(error.clone()));
        invalid(error)
    }

    /// Encrypts as many records as one buffer takes, and says how many bytes of content that was.
    fn encrypt(&mut self, content: &[u8]) -> io::Result<usize> {
        match &self.end {
            Some(End::Failed(error)) => return Err(invalid(error.clone())),
            _ if self.shut => return Err(io::ErrorKind::BrokenPipe.into()),
            _ => self.advance(None)?,
        }
        let mut encrypted = 0;
        for chunk in content.chunks(RECORD) {
            let wanted = chunk.len() + AROUND_A_RECORD;
            if encrypted > 0 && self.outgoing.unused() < wanted {
                break;
            }
            let UnbufferedStatus { discard, state } = self.tls.process_tls_records(self.incoming.bytes_mut());
            let Ok(ConnectionState::WriteTraffic(mut traffic)) = state else {
                return Err(io::ErrorKind::BrokenPipe.into());
            };
            let count = traffic.encrypt(chunk, self.outgoing.room(wanted)).map_err(io::Error::other)?;
            self.outgoing.filled(count);
            self.incoming.consume(discard);
            encrypted += chunk.len();
        }
        Ok(encrypted)
    }

    /// Queues our close_notify, unless the other side has heard an alert already.
    fn close(&mut self) -> io::Result<()> {
        if matches!(self.end, Some(End::Failed(_))) || self.advance(None).is_err() {
            return Ok(());
        }
        let UnbufferedStatus { discard, state } = self.tls.process_tls_records(self.incoming.bytes_mut());
        if let Ok(ConnectionState::WriteTraffic(mut traffic)) = state {
            let count =
                traffic.queue_close_notify(self.outgoing.room(AROUND_A_RECORD)).map_err(io::Error::other)?;
            self.outgoing.filled(count);
            self.incoming.consume(discard);
        }
        Ok(())
    }

    /// Ready when everything that was encrypted is sent.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outgoing.is_empty() {
            let count = ready!(Pin::new(&mut self.tcp).poll_write(context, self.outgoing.bytes()))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.outgoing.consume(count);
        }
        self.outgoing.release();
        Poll::Ready(Ok(()))
    }

    /// Receives once. A buffer is taken only when there is something.
    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if !self.incoming.holds_buffer() {
            ready!(self.tcp.poll_read_ready(context))?;
        }
        let room = self.incoming.room(1);
        if room.is_empty() {
            let words = format!("a handshake message in more than {} KiB of records", Queue::LIMIT / 1024);
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, words)));
        }
        let mut room = ReadBuf::new(room);
        let received = Pin::new(&mut self.tcp).poll_read(context, &mut room);
        let count = room.filled().len();
        self.incoming.filled(count);
        self.incoming.release();
        received.map_ok(|()| count)
    }
}

struct Taken {
    all: bool,
    discard: usize,
}

/// Gives the reader, who had room for `before` bytes, the records that fit. One that does not fit is left in rustls, unless
/// the reader would get nothing at all: then its rest is put aside. Without a reader everything is.
fn take_records(
    mut traffic: ReadTraffic<'_, '_, ClientConnectionData>,
    mut reader: Option<&mut ReadBuf<'_>>,
    before: usize,
    aside: &mut Queue,
) -> Result<Taken, rustls::Error> {
    let mut discard = 0;
    while let Some(length) = traffic.peek_len() {
        let room = reader.as_ref().map_or(usize::MAX, |reader| reader.remaining());
        if room < length.get() && room < before {
            return Ok(Taken { all: false, discard });
        }
        let Some(record) = traffic.next_record().transpose()? else { break };
        discard += record.discard;
        let later = match &mut reader {
            Some(reader) => {
                let (now, later) = record.payload.split_at(record.payload.len().min(room));
                reader.put_slice(now);
                later
            }
            None => record.payload,
        };
        if !later.is_empty() && !aside.push(later) {
            return Err(no_room());
        }
    }
    Ok(Taken { all: true, discard })
}

fn encode(
    mut data: EncodeTlsData<'_, ClientConnectionData>,
    outgoing: &mut Queue,
) -> Result<(), rustls::Error> {
    let encoded = match data.encode(outgoing.room(AROUND_A_RECORD)) {
        Err(EncodeError::InsufficientSize(size)) => data.encode(outgoing.room(size.required_size)),
        other => other,
    };
    outgoing.filled(encoded.map_err(|_| no_room())?);
    Ok(())
}

fn no_room() -> rustls::Error {
    rustls::Error::General(format!("more than {} KiB at once", Queue::LIMIT / 1024))
}

/// As tokio-rustls has it, so that whoever asks what went wrong need not know which stream it was.
fn invalid(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

impl AsyncRead for TlsClient {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let room = buffer.remaining();
        let mut received = false;
        loop {
            if !this.plaintext.is_empty() {
                let count = this.plaintext.bytes().len().min(room);
                buffer.put_slice(this.plaintext.bytes().get(..count).unwrap_or_default());
                this.plaintext.consume(count);
                this.plaintext.release();
                return Poll::Ready(Ok(()));
            }
            if this.unread {
                let nothing_was_queued = this.outgoing.is_empty();
                // What went wrong is told behind what was read before it.
                let _told_below = this.advance(Some(buffer));
                if nothing_was_queued && !this.outgoing.is_empty() {
                    let _told_to_the_writer = this.poll_send(context);
                }
            }
            if buffer.remaining() < room || room == 0 {
                return Poll::Ready(Ok(()));
            }
            match &this.end {
                None => {}
                Some(End::CloseNotify) => return Poll::Ready(Ok(())),
                Some(End::Truncated) => {
                    let words = "peer closed connection without sending TLS close_notify";
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, words)));
                }
                Some(End::Failed(error)) => return Poll::Ready(Err(invalid(error.clone()))),
            }
            if received {
                // Without content in it: a part of a record, or a flood of tickets, which is nobody's reason to keep all others waiting.
                give_way(context);
                return Poll::Pending;
            }
            received = ready!(this.poll_receive(context))? > 0;
            this.unread = received;
            if !received {
                this.end = Some(End::Truncated);
            }
        }
    }
}

impl AsyncWrite for TlsClient {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        // Nobody is read for while the other side takes nothing.
        ready!(this.poll_send(context))?;
        let encrypted = this.encrypt(bytes);
        match this.poll_send(context) {
            Poll::Ready(Err(error)) if encrypted.is_ok() => Poll::Ready(Err(error)),
            _ => Poll::Ready(encrypted),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_send(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_send(context))?;
        if !this.shut {
            this.shut = true;
            this.close()?;
            ready!(this.poll_send(context))?;
        }
        Pin::new(&mut this.tcp).poll_shutdown(context)
    }
}

impl fmt::Debug for TlsClient {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("TlsClient").finish_non_exhaustive()
    }
}

#[cfg(test)]
#[allow(clippy::panic, clippy::unwrap_used, reason = "a test says what is wrong by panicking")]
pub(super) mod tests {
    use std::io::Write as _;
    use std::sync::Arc;

    use rustls::crypto::aws_lc_rs::default_provider;
    use rustls::{ClientConfig, RootCertStore, ServerConfig};
    use rustls_pki_types::{PrivateKeyDer, ServerName};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::server::TlsStream;

    use super::{Queue, TlsClient};

    pub(in crate::session) async fn pair() -> (TlsClient, TlsStream<TcpStream>) {
        let own = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(default_provider());
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![own.cert.der().clone()], key)
            .unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(own.cert.der().clone()).unwrap();
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (far, _) = listener.accept().await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let (client, server) = tokio::join!(
            TlsClient::connect(Arc::new(client), name, near),
            TlsAcceptor::from(Arc::new(server)).accept(far)
        );
        (client.unwrap(), server.unwrap())
    }

    /// How many buffers it holds.
    fn held(client: &TlsClient) -> usize {
        [&client.incoming, &client.plaintext, &client.outgoing]
            .into_iter()
            .filter(|queue| queue.holds_buffer())
            .count()
    }

    /// Nothing more comes: a read waits, and then nothing is held.
    async fn waits(client: &mut TlsClient) {
        tokio::select! {
            biased;
            read = client.read_u8() => panic!("{read:?}"),
            () = async { for _ in 0..8 { tokio::task::yield_now().await } } => {}
        }
        assert_eq!(held(client), 0);
    }

    #[tokio::test]
    async fn a_connection_that_waits_holds_no_buffer() {
        let (mut client, mut server) = pair().await;
        assert_eq!(held(&client), 0, "the handshake's are given back");
        waits(&mut client).await;
        let message = vec![b'x'; 3 * Queue::LIMIT];
        let mut heard = vec![0; message.len()];
        let (told, read) = tokio::join!(server.write_all(&message), client.read_exact(&mut heard));
        told.unwrap();
        read.unwrap();
        assert!(heard == message);
        waits(&mut client).await;
        let saying = async {
            client.write_all(&message).await.unwrap();
            client.flush().await.unwrap();
        };
        let ((), read) = tokio::join!(saying, server.read_exact(&mut heard));
        read.unwrap();
        assert_eq!(held(&client), 0);
        server.shutdown().await.unwrap();
        assert_eq!(client.read(&mut heard).await.unwrap(), 0);
        assert_eq!(held(&client), 0);
    }

    #[tokio::test]
    async fn several_records_make_one_write_and_one_read() {
        let (mut client, mut server) = pair().await;
        let message = vec![b'x'; 3 * super::RECORD];
        assert_eq!(client.encrypt(&message).unwrap(), message.len());
        assert!(client.outgoing.bytes().len() > message.len(), "nothing was sent yet");
        let mut heard = vec![0; message.len()];
        let (sent, read) = tokio::join!(client.flush(), server.read_exact(&mut heard));
        sent.unwrap();
        read.unwrap();
        assert!(heard == message);
        for _ in 0..3 {
            server.get_mut().1.writer().write_all(&[b'y'; 1000]).unwrap();
        }
        server.flush().await.unwrap();
        assert_eq!(client.read(&mut heard).await.unwrap(), 3000);
    }

    #[tokio::test]
    async fn writing_receives_nothing_and_what_it_puts_aside_is_read_first() {
        let (mut client, mut server) = pair().await;
        waits(&mut client).await;
        let message: Vec<u8> = (0..=255).cycle().take(100_000).collect();
        server.write_all(&message).await.unwrap();
        server.flush().await.unwrap();
        // One record is read in part, so that others are waiting behind it.
        let mut heard = vec![0; message.len()];
        client.read_exact(heard.split_at_mut(10).0).await.unwrap();
        let (written, asked) = tokio::join!(client.write_all(b"NOOP"), server.read_u32());
        written.unwrap();
        assert_eq!(asked.unwrap().to_be_bytes(), *b"NOOP");
        assert!(client.incoming.bytes().len() < super::RECORD, "all whole records were decrypted for it");
        client.read_exact(heard.split_at_mut(10).1).await.unwrap();
        assert!(heard == message);
    }
}
