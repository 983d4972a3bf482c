//! [`splice`]: phase three. Bytes pass both ways, unread and unchanged, and what was received during the login goes first
//! (invariant 2). Memory is bounded: one buffer for each direction, taken when there is something to read and given back when it
//! is written, and nothing is read from one side before the other has taken what was read (invariant 11). A session ends by FIN
//! or close_notify, never by text in a stream that is not ours any more.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::buffers::{self, Buffer, CONTENT};
use super::driver::Connection;
use super::stream::Stream;
use super::turn::give_way;

/// How long the client may take to notice that the provider has ended the session.
const LINGER: Duration = Duration::from_secs(10);

/// When a direction has moved so much, every other session has its turn, so that a large message does not keep small ones waiting. With
/// the last read it comes to less than a third of a MiB, which is a quarter of a millisecond's work.
const TURN: u64 = 64 * 1024;

/// How often it reads meanwhile, however little comes of it: of records with one octet each a buffer holds thousands, and every one
/// costs as much as a full one.
const READS: usize = 2;

/// What passed, and how it ended.
#[derive(Debug)]
pub struct Spliced {
    /// From the client to the provider.
    pub bytes_up: u64,
    /// From the provider to the client.
    pub bytes_down: u64,
    /// The last thing that happened.
    pub end: SpliceEnd,
}

/// How a spliced session ended.
#[derive(Debug)]
pub enum SpliceEnd {
    /// Both sides said all they had to say.
    Finished,
    /// Nobody said anything for the idle time.
    Idle,
    /// A side broke off.
    Broken {
        /// `client` or `upstream`.
        side: &'static str,
        /// What the network said.
        error: io::Error,
    },
    /// We were told to end it: a stop, or a revoked credential.
    Stopped,
}

/// Passes bytes until both sides are done, `idle` has gone by in silence, or `stop` resolves.
pub fn splice(
    client: Connection,
    upstream: Connection,
    idle: Duration,
    stop: impl Future<Output = ()> + Send + 'static,
) -> impl Future<Output = Spliced> {
    // Made before the future, so that the future, which may live for hours, holds nothing of the login.
    let mut splice = Splice::new(client, upstream, idle, Box::pin(stop));
    async move {
        let end = (&mut splice).await;
        let Splice { mut client, mut upstream, up, down, .. } = splice;
        let (bytes_up, bytes_down) = (up.moved, down.moved);
        let is_told = up.is_done() && down.is_done();
        // What is in flight nobody takes any more; its buffers are not kept while both sides are told.
        drop((up, down));
        if !is_told {
            Box::pin(async move { tokio::join!(client.end(), upstream.end()) }).await;
        }
        Spliced { bytes_up, bytes_down, end }
    }
}

/// A session while its bytes pass.
struct Splice {
    client: Stream,
    upstream: Stream,
    up: Direction,
    down: Direction,
    /// The provider takes nothing any more. What it said before that goes on.
    broken: Option<SpliceEnd>,
    deadline: Deadline,
    stop: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Splice {
    fn new(
        client: Connection,
        upstream: Connection,
        idle: Duration,
        stop: Pin<Box<dyn Future<Output = ()> + Send>>,
    ) -> Self {
        let (up, down) = (Direction::new(client.received.rest()), Direction::new(upstream.received.rest()));
        let deadline = Deadline::new(idle);
        Self { client: client.stream, upstream: upstream.stream, up, down, broken: None, deadline, stop }
    }
}

impl Future for Splice {
    type Output = SpliceEnd;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<SpliceEnd> {
        let this = self.get_mut();
        if this.stop.as_mut().poll(context).is_ready() {
            return Poll::Ready(SpliceEnd::Stopped);
        }
        let moved_before = this.up.moved + this.down.moved;
        if let Some(end) = this.poll_up(context) {
            return Poll::Ready(end);
        }
        let down_done = this.down.poll(&mut this.upstream, &mut this.client, context);
        if this.up.moved + this.down.moved > moved_before {
            this.deadline.push_back();
        }
        let end = match down_done {
            Poll::Ready(Err(failure)) => Some(failure.told("upstream", "client")),
            // The provider has ended: whatever the client still sends, nobody reads.
            Poll::Ready(Ok(())) if this.up.is_done() => Some(SpliceEnd::Finished),
            Poll::Ready(Ok(())) => this.broken.take(),
            Poll::Pending => None,
        };
        if let Some(end) = end {
            return Poll::Ready(this.broken.take().unwrap_or(end));
        }
        if this.is_ending() {
            this.deadline.pull_forward(LINGER);
        }
        this.deadline.poll(context).map(|()| this.overdue())
    }
}

impl Splice {
    /// How the session ends, if it ends by this. A provider that takes nothing more has often said why not, so it is heard out.
    fn poll_up(&mut self, context: &mut Context<'_>) -> Option<SpliceEnd> {
        if self.broken.is_some() {
            return None;
        }
        let Poll::Ready(Err(failure)) = self.up.poll(&mut self.client, &mut self.upstream, context) else {
            return None;
        };
        if self.down.is_done() {
            return Some(SpliceEnd::Finished);
        }
        let is_heard_out = matches!(failure, DirectionError::Write(_));
        let end = failure.told("client", "upstream");
        if is_heard_out {
            self.broken = Some(end);
            return None;
        }
        Some(end)
    }

    fn is_ending(&self) -> bool {
        self.broken.is_some() || self.down.is_done() || self.up.failed.is_some() || self.down.failed.is_some()
    }

    /// What ended the session, when the time for its end, or for silence, is over.
    fn overdue(&mut self) -> SpliceEnd {
        let broken = |side| move |error| SpliceEnd::Broken { side, error };
        (self.broken.take())
            .or_else(|| self.down.failed.take().map(broken("upstream")))
            .or_else(|| self.up.failed.take().map(broken("client")))
            .unwrap_or(if self.down.is_done() { SpliceEnd::Finished } else { SpliceEnd::Idle })
    }
}

/// One direction of a session.
struct Direction {
    /// What came before the splice began.
    leftover: Vec<u8>,
    /// What was read and not yet written: the filled part of a pooled buffer.
    in_flight: Option<(Buffer, usize)>,
    /// How much of `leftover` or `in_flight` has been written.
    written: usize,
    state: State,
    /// What is in flight is the last.
    last: bool,
    /// Why nothing more can be read. It is told when all that was read before has reached the writer.
    failed: Option<io::Error>,
    moved: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Passing,
    /// Everything is written; TLS may still hold some of it.
    Flushing,
    /// The reader's side has ended; the writer is being told.
    Ending,
    Done,
}

/// Which half of a direction failed.
enum DirectionError {
    Read(io::Error),
    Write(io::Error),
}

impl DirectionError {
    fn told(self, reader: &'static str, writer: &'static str) -> SpliceEnd {
        match self {
            Self::Read(error) => SpliceEnd::Broken { side: reader, error },
            Self::Write(error) => SpliceEnd::Broken { side: writer, error },
        }
    }
}

impl Direction {
    fn new(leftover: &[u8]) -> Self {
        Self {
            leftover: leftover.to_vec(),
            in_flight: None,
            written: 0,
            state: State::Passing,
            last: false,
            failed: None,
            moved: 0,
        }
    }

    fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Ready once the reader's end has been passed on to the writer.
    fn poll(
        &mut self,
        reader: &mut Stream,
        writer: &mut Stream,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), DirectionError>> {
        let turn_ends = self.moved + TURN;
        let mut reads = 0;
        loop {
            ready!(self.poll_write_out(writer, context))?;
            match self.state {
                State::Passing if !self.last && (self.moved >= turn_ends || reads == READS) => {
                    give_way(context);
                    return Poll::Pending;
                }
                State::Passing => match self.poll_read(reader, context) {
                    Poll::Ready(()) => reads += 1,
                    // What TLS holds back is flushed only when there is nothing more to add to it.
                    Poll::Pending => {
                        let _flushing =
                            Pin::new(&mut *writer).poll_flush(context).map_err(DirectionError::Write)?;
                        return Poll::Pending;
                    }
                },
                State::Flushing => {
                    ready!(Pin::new(&mut *writer).poll_flush(context)).map_err(DirectionError::Write)?;
                    if let Some(error) = self.failed.take() {
                        return Poll::Ready(Err(DirectionError::Read(error)));
                    }
                    self.state = State::Ending;
                }
                State::Ending => {
                    ready!(Pin::new(&mut *writer).poll_shutdown(context)).map_err(DirectionError::Write)?;
                    self.state = State::Done;
                }
                State::Done => return Poll::Ready(Ok(())),
            }
        }
    }

    fn poll_write_out(
        &mut self,
        writer: &mut Stream,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), DirectionError>> {
        loop {
            let pending = match &self.in_flight {
                Some((buffer, filled)) => buffer.get(self.written..*filled),
                None => self.leftover.get(self.written..),
            }
            .unwrap_or_default();
            if pending.is_empty() {
                break;
            }
            let written = if self.last {
                writer.poll_write_last(context, pending)
            } else {
                Pin::new(&mut *writer).poll_write(context, pending)
            };
            let count = ready!(written).map_err(DirectionError::Write)?;
            if count == 0 {
                return Poll::Ready(Err(DirectionError::Write(io::ErrorKind::WriteZero.into())));
            }
            self.written += count;
            self.moved += count as u64;
        }
        self.written = 0;
        self.leftover = Vec::new();
        self.in_flight = None;
        Poll::Ready(Ok(()))
    }

    /// Reads once, into a buffer that is taken when there is something to read.
    fn poll_read(&mut self, reader: &mut Stream, context: &mut Context<'_>) -> Poll<()> {
        let mut read = ready!(reader.poll_readable(context)).map(|()| None);
        if read.is_ok() {
            let mut buffer = buffers::take();
            // So much that TLS makes full records of it, and that they fit into one buffer.
            let room = buffer.len().min(CONTENT);
            let mut unfilled = ReadBuf::new(buffer.get_mut(..room).unwrap_or_default());
            let result = ready!(Pin::new(&mut *reader).poll_read(context, &mut unfilled));
            let filled = unfilled.filled().len();
            read = result.map(|()| (filled > 0).then_some((buffer, filled)));
        }
        match read {
            Ok(Some(filled)) => (self.in_flight, self.last) = (Some(filled), reader.is_over()),
            Ok(None) => self.state = State::Flushing,
            Err(error) => (self.state, self.failed) = (State::Flushing, Some(error)),
        }
        Poll::Ready(())
    }
}

/// The idle time, re-armed lazily: passing data only moves the mark, and the timer looks at it when it fires.
struct Deadline {
    idle: Duration,
    mark: Instant,
    timer: Pin<Box<Sleep>>,
    lingering: bool,
}

impl Deadline {
    fn new(idle: Duration) -> Self {
        let mark = Instant::now() + idle;
        Self { idle, mark, timer: Box::pin(sleep_until(mark)), lingering: false }
    }

    fn push_back(&mut self) {
        if !self.lingering {
            self.mark = Instant::now() + self.idle;
        }
    }

    fn pull_forward(&mut self, linger: Duration) {
        if !self.lingering {
            self.lingering = true;
            self.mark = Instant::now() + linger;
            self.timer.as_mut().reset(self.mark);
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.timer.as_mut().poll(context));
            if Instant::now() >= self.mark {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(self.mark);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test says what is wrong by panicking")]
mod tests {
    use std::future::{pending, poll_fn};
    use std::io::{self, Write as _};
    use std::pin::Pin;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::task::JoinHandle;
    use tokio::time::{Instant, sleep};
    use tokio_util::sync::CancellationToken;

    use super::{Splice, SpliceEnd, Spliced, State, TURN, splice};
    use crate::session::buffers::LARGE;
    use crate::session::driver::Connection;
    use crate::session::stream::Stream;

    const IDLE: Duration = Duration::from_mins(10);

    async fn pair() -> (TcpStream, Connection) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let far = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (near, _) = listener.accept().await.unwrap();
        (far, Connection::new(Stream::new(near).unwrap()))
    }

    fn receive(connection: &mut Connection, bytes: &[u8]) {
        assert_eq!(connection.received.receive(bytes), bytes.len());
    }

    struct Session {
        client: TcpStream,
        upstream: TcpStream,
        stop: CancellationToken,
        splice: JoinHandle<Spliced>,
    }

    async fn session(from_client: &[u8], from_upstream: &[u8]) -> Session {
        let ((client, mut near_client), (upstream, mut near_upstream)) = (pair().await, pair().await);
        receive(&mut near_client, from_client);
        receive(&mut near_upstream, from_upstream);
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let splice = tokio::spawn(splice(near_client, near_upstream, IDLE, stopped));
        Session { client, upstream, stop, splice }
    }

    #[tokio::test]
    async fn leftovers_go_first_and_the_end_is_passed_on_both_ways() {
        let mut session = session(b"MAIL FROM:<a@example.com>\r\n", b"250-early\r\n").await;
        session.client.write_all(b"RCPT TO:<b@example.com>\r\n").await.unwrap();
        session.client.shutdown().await.unwrap();
        let mut heard = Vec::new();
        session.upstream.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\n");
        session.upstream.write_all(b"250 late\r\n").await.unwrap();
        drop(session.upstream);
        let mut heard = Vec::new();
        session.client.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"250-early\r\n250 late\r\n", "a half-closed client still hears the answer");
        let spliced = session.splice.await.unwrap();
        assert!(matches!(spliced.end, SpliceEnd::Finished), "{spliced:?}");
        assert_eq!((spliced.bytes_up, spliced.bytes_down), (52, 21));
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_session_holds_no_buffer_and_ends_by_fin() {
        let ((mut client, near_client), (mut upstream, near_upstream)) = (pair().await, pair().await);
        upstream.write_all(b"+OK\r\n").await.unwrap();
        let mut splice = Splice::new(near_client, near_upstream, IDLE, Box::pin(pending()));
        let end = (&mut splice).await;
        assert!(matches!(end, SpliceEnd::Idle), "{end:?}");
        assert!(splice.up.in_flight.is_none() && splice.down.in_flight.is_none());
        assert_eq!((splice.up.moved, splice.down.moved), (0, 5));
        drop(splice);
        let mut heard = Vec::new();
        client.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"+OK\r\n", "no text in a stream that is not ours");
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_in_which_something_is_said_is_not_idle() {
        let mut session = session(b"", b"").await;
        for _ in 0..3 {
            sleep(IDLE.mul_f32(0.99)).await;
            session.upstream.write_all(b"*").await.unwrap();
            assert_eq!(session.client.read_u8().await.unwrap(), b'*');
        }
        let silent_since = Instant::now();
        let spliced = session.splice.await.unwrap();
        assert!(matches!(spliced.end, SpliceEnd::Idle), "{spliced:?}");
        let silent = silent_since.elapsed();
        assert!((IDLE.mul_f32(0.99)..IDLE.mul_f32(1.01)).contains(&silent), "{silent:?}");
    }

    /// Drives it to its end beside these two; how it ended, and the most that was moved at one turn.
    async fn most_in_a_turn(splice: &mut Splice, beside: impl Future<Output = ((), ())>) -> (SpliceEnd, u64) {
        let mut most = 0;
        let splicing = poll_fn(|context| {
            let before = splice.up.moved + splice.down.moved;
            let polled = Pin::new(&mut *splice).poll(context);
            most = most.max(splice.up.moved + splice.down.moved - before);
            polled
        });
        let (end, _) = tokio::join!(splicing, beside);
        (end, most)
    }

    #[tokio::test]
    async fn a_large_message_gives_every_other_session_its_turn() {
        let all = 16 * TURN;
        for goes_up in [false, true] {
            let ((client, near_client), (upstream, near_upstream)) = (pair().await, pair().await);
            let mut splice = Splice::new(near_client, near_upstream, IDLE, Box::pin(pending()));
            let (mut from, mut to) = if goes_up { (client, upstream) } else { (upstream, client) };
            let sending = async {
                from.write_all(&vec![b'x'; usize::try_from(all).unwrap()]).await.unwrap();
                drop(from);
            };
            let receiving = async {
                tokio::io::copy(&mut to, &mut tokio::io::sink()).await.unwrap();
                drop(to);
            };
            let (end, most) = most_in_a_turn(&mut splice, async { tokio::join!(sending, receiving) }).await;
            assert!(matches!(end, SpliceEnd::Finished), "{end:?}");
            assert_eq!(splice.up.moved + splice.down.moved, all);
            assert!(most <= TURN + LARGE as u64, "{most} bytes in one turn");
        }
    }

    #[tokio::test]
    async fn what_a_provider_says_last_reaches_the_client_with_the_end() {
        let (mut client, near_client) = pair().await;
        let (near_upstream, mut upstream) = crate::session::tls_client::tests::pair().await;
        let near_upstream = Connection::new(Stream::Pooled(Box::new(near_upstream)));
        let mut splice = Splice::new(near_client, near_upstream, IDLE, Box::pin(pending()));
        // In one segment, as most providers answer QUIT.
        let tls = upstream.get_mut().1;
        tls.writer().write_all(b"+OK bye\r\n").unwrap();
        tls.send_close_notify();
        upstream.flush().await.unwrap();
        let hearing = async {
            let mut heard = Vec::new();
            client.read_to_end(&mut heard).await.unwrap();
            drop(client);
            heard
        };
        let (end, heard) = tokio::join!(&mut splice, hearing);
        assert!(matches!(end, SpliceEnd::Finished), "{end:?}");
        assert_eq!(heard, b"+OK bye\r\n");
        assert!(splice.down.last, "nothing more was waited for");
    }

    /// Every record of TLS costs, however little is in it.
    #[tokio::test]
    async fn a_flood_of_tiny_records_gives_every_other_session_its_turn() {
        let (mut client, near_client) = pair().await;
        let (near_upstream, mut upstream) = crate::session::tls_client::tests::pair().await;
        let near_upstream = Connection::new(Stream::Pooled(Box::new(near_upstream)));
        let records = 200_000;
        let tls = upstream.get_mut().1;
        tls.set_buffer_limit(None);
        for _ in 0..records {
            tls.writer().write_all(b"x").unwrap();
        }
        let mut splice = Splice::new(near_client, near_upstream, IDLE, Box::pin(pending()));
        let sending = async {
            upstream.flush().await.unwrap();
            upstream.shutdown().await.unwrap();
            assert_eq!(upstream.read(&mut [0]).await.unwrap(), 0);
        };
        let receiving = async {
            tokio::io::copy(&mut client, &mut tokio::io::sink()).await.unwrap();
            drop(client);
        };
        let (end, most) = most_in_a_turn(&mut splice, async { tokio::join!(sending, receiving) }).await;
        assert!(matches!(end, SpliceEnd::Finished), "{end:?}");
        assert_eq!(splice.down.moved, records);
        // Each of them has 23 octets on the wire.
        assert!(most <= (2 * LARGE / 23) as u64, "{most} records in one turn");
    }

    #[tokio::test]
    async fn a_session_that_waits_is_small() {
        let ((_client, near_client), (_upstream, near_upstream)) = (pair().await, pair().await);
        let splicing = splice(near_client, near_upstream, IDLE, pending());
        assert!(size_of_val(&splicing) <= 768, "{} octets", size_of_val(&splicing));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_notice_the_end_is_left_after_a_while() {
        let session = session(b"", b"").await;
        drop(session.upstream);
        let spliced = session.splice.await.unwrap();
        assert!(matches!(spliced.end, SpliceEnd::Finished), "{spliced:?}");
    }

    #[tokio::test]
    async fn being_told_to_stop_ends_it_at_once() {
        let mut session = session(b"", b"").await;
        session.stop.cancel();
        assert!(matches!(session.splice.await.unwrap().end, SpliceEnd::Stopped));
        assert_eq!(session.client.read(&mut [0]).await.unwrap(), 0);
        assert_eq!(session.upstream.read(&mut [0]).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_client_that_stops_reading_is_not_read_for() {
        let ((client, near_client), (mut upstream, near_upstream)) = (pair().await, pair().await);
        let flood = async {
            let chunk = vec![b'x'; 1 << 20];
            for _ in 0..1024 {
                upstream.write_all(&chunk).await.unwrap();
            }
        };
        let splicing = splice(near_client, near_upstream, IDLE, pending());
        // A gibibyte is far more than what the system's socket buffers take.
        tokio::select! {
            () = flood => panic!("somebody kept a gibibyte for a client that does not read"),
            spliced = splicing => panic!("{spliced:?}"),
            () = quiet() => {}
        }
        drop(client);
    }

    #[tokio::test]
    async fn what_the_provider_said_before_it_broke_off_is_heard() {
        let ((mut client, mut near_client), (mut far, mut near_upstream)) = (pair().await, pair().await);
        // A short read: now the runtime takes the provider for silent until the network says otherwise.
        far.write_all(b"250 go on\r\n").await.unwrap();
        assert_eq!(near_upstream.stream.read(&mut [0; 64]).await.unwrap(), 11);
        receive(&mut near_client, b"a message that is too long");
        near_upstream.stream.write_all(b"its beginning").await.unwrap();
        // All of it at once, and with unread bytes: RST follows the line before anybody can have seen it.
        let mut far = far.into_std().unwrap();
        std::io::Write::write_all(&mut far, b"552 too long\r\n").unwrap();
        drop(far);
        let spliced = splice(near_client, near_upstream, IDLE, pending()).await;
        assert!(matches!(spliced.end, SpliceEnd::Broken { side: "upstream", .. }), "{spliced:?}");
        let mut heard = String::new();
        client.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "552 too long\r\n");
    }

    #[tokio::test]
    async fn a_client_that_speaks_after_the_provider_has_ended_breaks_nothing() {
        let mut session = session(b"", b"").await;
        session.upstream.write_all(b"+OK bye\r\n").await.unwrap();
        drop(session.upstream);
        let mut heard = Vec::new();
        session.client.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"+OK bye\r\n");
        for _ in 0..2 {
            session.client.write_all(b"NOOP\r\n").await.unwrap();
            quiet().await;
        }
        drop(session.client);
        let spliced = session.splice.await.unwrap();
        assert!(matches!(spliced.end, SpliceEnd::Finished), "{spliced:?}");
    }

    /// Toward a client in TLS that reads nothing for a while, a provider's last words wait in TLS, and its failure behind them.
    #[tokio::test]
    async fn what_was_received_reaches_a_slow_client_before_the_failure_behind_it_is_told() {
        let ((client, near_client), (upstream, near_upstream)) = (pair().await, pair().await);
        let mut splice = Splice::new(near_client, near_upstream, IDLE, Box::pin(pending()));
        splice.down.failed = Some(io::ErrorKind::UnexpectedEof.into());
        splice.down.state = State::Flushing;
        splice.down.leftover = b"+OK 5 octets\r\n".to_vec();
        let end = (&mut splice).await;
        assert!(
            matches!(&end, SpliceEnd::Broken { side: "upstream", error } if error.kind() == io::ErrorKind::UnexpectedEof),
            "{end:?}"
        );
        assert_eq!(splice.down.moved, 14);
        drop((client, upstream));
    }

    /// Resolves once this thread's runtime has had nothing to do for a good many turns.
    async fn quiet() {
        for _ in 0..200_000 {
            tokio::task::yield_now().await;
        }
    }
}
