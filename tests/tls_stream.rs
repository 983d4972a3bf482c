//! Both TLS streams toward a provider, held to the same: whatever the network cuts and whatever the other side does, what was
//! said arrives whole and in order, or it is an error.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
#![allow(dead_code, unreachable_pub, missing_docs, reason = "the support is a module of this program")]

#[path = "support/tls_peer.rs"]
mod tls_peer;

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use gatepost::config::provider::TlsStream;
use gatepost::session::stream::Stream;
use gatepost::tls::{tls_error, untrusted};
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider};
use rustls::crypto::{CipherSuiteCommon, CryptoProvider};
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{
    AlertDescription, CertificateError, Error, HandshakeKind, RootCertStore, ServerConfig,
    SupportedCipherSuite, Tls13CipherSuite,
};
use tls_peer::{Cut, Ends, KINDS, Peer, VERSIONS, settle};
use tokio::io::{AsyncReadExt as _, AsyncWrite as _, AsyncWriteExt as _};
use tokio::runtime::Builder;
use tokio::time::timeout;

/// Nothing here takes nearly as long: it only turns a hang into a failure.
const HANG: Duration = Duration::from_mins(2);

const QUESTION: &[u8] = b"STAT\r\n";
const ANSWER: [&[u8]; 3] = [b"+OK 1 28\r\n", &[b'x'; 300], b".\r\n"];

/// A handshake, a question, an answer in several records, and the end, all the way to `end`.
async fn exchange(ends: &Ends, kind: TlsStream, cut: Cut) -> (io::Result<Vec<u8>>, usize) {
    let (mut stream, mut peer) = ends.wire().await;
    peer.cut = cut;
    let upgrade = ends.upgrade(kind);
    let client = async move {
        stream.upgrade(&upgrade).await?;
        stream.write_all(QUESTION).await?;
        stream.flush().await?;
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).await?;
        stream.shutdown().await?;
        Ok(heard)
    };
    let server = async move {
        peer.handshake().await;
        let mut heard = peer.content();
        while heard.len() < QUESTION.len() && peer.hear().await {
            heard.extend(peer.content());
        }
        if heard == QUESTION {
            peer.tell(&ANSWER).await;
            peer.tls.send_close_notify();
            peer.say().await;
        }
        // Unread bytes would make an RST of the end.
        while peer.hear().await {}
        peer.said
    };
    timeout(HANG, async { tokio::join!(client, server) })
        .await
        .unwrap_or_else(|_| panic!("{kind:?} {cut:?}: it hangs"))
}

#[tokio::test]
async fn a_stream_that_is_cut_at_every_byte_arrives_whole() {
    for version in VERSIONS {
        let ends = Ends::new(version).without_resumption();
        for kind in KINDS {
            let (whole, length) = exchange(&ends, kind, Cut::Nowhere).await;
            assert_eq!(whole.unwrap(), ANSWER.concat());
            let cuts = (0..length).map(Cut::Before).chain([Cut::Everywhere]);
            for cut in cuts {
                let (heard, _) = exchange(&ends, kind, cut).await;
                assert_eq!(heard.unwrap(), ANSWER.concat(), "{version:?} {kind:?} {cut:?}");
            }
        }
    }
}

#[tokio::test]
async fn an_end_at_any_byte_before_close_notify_is_an_error() {
    for version in VERSIONS {
        let ends = Ends::new(version).without_resumption();
        for kind in KINDS {
            let (_, mut length) = exchange(&ends, kind, Cut::Nowhere).await;
            // Signatures and tickets are not always of one length.
            length -= 8;
            for at in 0..length {
                let (heard, _) = exchange(&ends, kind, Cut::EndBefore(at)).await;
                let error = heard.expect_err("it was cut");
                assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{version:?} {kind:?} {at}: {error}");
            }
        }
    }
}

#[tokio::test]
async fn what_was_said_before_a_cut_is_heard_first() {
    for (kind, version) in table() {
        let (mut stream, mut peer) = Ends::new(version).session(kind).await;
        peer.tell(&ANSWER).await;
        peer.tcp.shutdown().await.unwrap();
        let mut heard = vec![0; ANSWER.concat().len()];
        stream.read_exact(&mut heard).await.unwrap();
        assert_eq!(heard, ANSWER.concat());
        for _ in 0..2 {
            assert_eq!(
                stream.read(&mut heard).await.unwrap_err().kind(),
                ErrorKind::UnexpectedEof,
                "{kind:?}"
            );
        }
    }
}

#[test]
fn megabytes_in_pieces_of_any_length_come_back_the_same() {
    for (kind, version) in table() {
        for threads in [1, 2] {
            let mut runtime =
                if threads == 1 { Builder::new_current_thread() } else { Builder::new_multi_thread() };
            let runtime = runtime.worker_threads(threads).enable_all().build().unwrap();
            runtime.block_on(async {
                timeout(HANG, echo(kind, Ends::new(version), 3 << 20)).await.expect("it hangs");
            });
        }
    }
}

/// Everything goes to a server of another make, which gives it back; both directions at once, in two tasks.
async fn echo(kind: TlsStream, ends: Ends, length: usize) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::clone(&ends.server));
    let server = tokio::spawn(async move {
        let far = acceptor.accept(listener.accept().await.unwrap().0).await.unwrap();
        let (mut from, mut to) = tokio::io::split(far);
        tokio::io::copy(&mut from, &mut to).await.unwrap();
        to.shutdown().await.unwrap();
    });
    let mut stream = Stream::new(near).unwrap();
    stream.upgrade(&ends.upgrade(kind)).await.unwrap();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let content: Arc<Vec<u8>> =
        Arc::new((0..length).map(|_| u8::try_from(random.below(256)).unwrap()).collect());
    let (mut from, mut to) = tokio::io::split(stream);
    let sent = Arc::clone(&content);
    let writer = tokio::spawn(async move {
        let mut rest = &sent[..];
        while !rest.is_empty() {
            let (piece, later) = rest.split_at(random.below(200_000).min(rest.len()));
            to.write_all(piece).await.unwrap();
            if random.below(2) == 0 {
                to.flush().await.unwrap();
            }
            rest = later;
        }
        to.shutdown().await.unwrap();
    });
    let mut heard = Vec::new();
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    loop {
        // Mostly tiny at first, so that a record is taken in many pieces.
        let most = if heard.len() < 2000 { 1 } else { 1 + random.below(150_000) };
        let mut piece = vec![0; most];
        match from.read(&mut piece).await.unwrap() {
            0 => break,
            count => heard.extend_from_slice(&piece[..count]),
        }
    }
    writer.await.unwrap();
    server.await.unwrap();
    assert!(heard == *content, "{kind:?}: {} of {length} bytes, or others", heard.len());
}

#[tokio::test]
async fn keys_change_whoever_wants_it() {
    for kind in KINDS {
        // Our own end comes after three records, instead of millions.
        let ends = Ends::with(&TLS13, with_limit(3), &[]);
        let (mut stream, mut peer) = ends.session(kind).await;
        for round in 0..20_u8 {
            if round % 3 == 0 {
                peer.tls.refresh_traffic_keys().unwrap();
            }
            peer.tell(&[&[round; 1000]]).await;
            let mut heard = [0; 1000];
            stream.read_exact(&mut heard).await.unwrap();
            stream.write_all(&heard).await.unwrap();
            stream.flush().await.unwrap();
            assert_eq!(peer.content_of(1000).await, [round; 1000], "{kind:?}");
        }
        // A KeyUpdate is five bytes, one for their type, and sixteen that vouch for them.
        let updates = records(&peer.heard).filter(|(kind, length)| (*kind, *length) == (23, 22)).count();
        assert!(updates >= 7 + 5, "{kind:?}: {updates} answers and changes of our own");
    }
}

/// The type and length of each record.
fn records(mut bytes: &[u8]) -> impl Iterator<Item = (u8, usize)> {
    std::iter::from_fn(move || {
        let (header, rest) = bytes.split_first_chunk::<5>()?;
        let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
        bytes = &rest[length..];
        Some((header[0], length))
    })
}

fn with_limit(records: u64) -> CryptoProvider {
    let SupportedCipherSuite::Tls13(suite) = cipher_suite::TLS13_AES_128_GCM_SHA256 else {
        panic!("it is of TLS 1.3")
    };
    let common = CipherSuiteCommon { confidentiality_limit: records, ..suite.common };
    let suite: &'static Tls13CipherSuite = Box::leak(Box::new(Tls13CipherSuite { common, ..*suite }));
    CryptoProvider { cipher_suites: vec![SupportedCipherSuite::Tls13(suite)], ..default_provider() }
}

#[tokio::test]
async fn each_direction_ends_for_itself() {
    for (kind, version) in table() {
        let ends = Ends::new(version);
        // Ours first: the answer is still heard.
        let (mut stream, mut peer) = ends.session(kind).await;
        stream.write_all(QUESTION).await.unwrap();
        stream.shutdown().await.unwrap();
        assert!(stream.write_all(b"more").await.is_err(), "{kind:?}: nothing goes behind close_notify");
        while peer.hear().await {}
        assert_eq!(peer.content(), QUESTION);
        peer.tell(&ANSWER).await;
        peer.tls.send_close_notify();
        peer.say().await;
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, ANSWER.concat(), "{kind:?} {version:?}");

        // Theirs first: what we say is still heard.
        let (mut stream, mut peer) = ends.session(kind).await;
        peer.tell(&ANSWER).await;
        peer.tls.send_close_notify();
        peer.say().await;
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).await.unwrap();
        assert_eq!(stream.read(&mut [0; 9]).await.unwrap(), 0, "it stays at its end");
        stream.write_all(QUESTION).await.unwrap();
        stream.shutdown().await.unwrap();
        assert_eq!(peer.content_of(QUESTION.len()).await, QUESTION, "{kind:?} {version:?}");
        while peer.hear().await {}
        assert!(peer.tls.process_new_packets().unwrap().peer_has_closed(), "{kind:?} {version:?}");
    }
}

#[tokio::test]
async fn a_fatal_alert_says_what_was_wrong() {
    for (kind, version) in table() {
        let mut ends = Ends::new(version);
        // It wants a certificate of ours, and hears of none.
        let mut roots = RootCertStore::empty();
        let own = rcgen::generate_simple_self_signed(vec!["nobody".to_owned()]).unwrap();
        roots.add(own.cert.der().clone()).unwrap();
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(default_provider()));
        let server = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_cert_resolver(Arc::clone(&ends.server.cert_resolver));
        ends.server = Arc::new(server);
        let (mut stream, mut peer) = ends.wire().await;
        let upgrade = ends.upgrade(kind);
        let client = async {
            stream.upgrade(&upgrade).await?;
            stream.read(&mut [0; 9]).await
        };
        let (heard, ()) = tokio::join!(client, peer.handshake());
        let error = heard.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
        assert!(matches!(tls_error(&error), Some(Error::AlertReceived(_))), "{kind:?} {version:?}: {error}");
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_is_said_to_both_sides() {
    for (kind, version) in table() {
        let (own, other) = (Ends::new(version), Ends::new(version));
        let ends = Ends { server: other.server, ..own };
        let (mut stream, mut peer) = ends.wire().await;
        let upgrade = ends.upgrade(kind);
        let (upgraded, ()) = tokio::join!(stream.upgrade(&upgrade), peer.handshake());
        let error = upgraded.unwrap_err();
        assert_eq!(
            untrusted(&error),
            Some(&CertificateError::UnknownIssuer),
            "{kind:?} {version:?}: {error}"
        );
        assert_alerted(&mut peer, &[AlertDescription::UnknownCA]);
    }
}

/// The client gave up, saying one of these.
fn assert_alerted(peer: &mut Peer, alerts: &[AlertDescription]) {
    match peer.tls.process_new_packets() {
        Err(Error::AlertReceived(alert)) if alerts.contains(&alert) => {}
        other => panic!("{other:?} and not {alerts:?}"),
    }
}

#[tokio::test]
async fn what_is_not_tls_is_an_error_behind_all_that_was() {
    let junk: &[(&[u8], &[AlertDescription])] = &[
        (&[&[23, 3, 3, 0, 64][..], &[7; 64]].concat(), &[AlertDescription::BadRecordMac]),
        (
            &[&[23, 3, 3, 0xff, 0xff][..], &vec![7; 70_000]].concat(),
            &[AlertDescription::DecodeError, AlertDescription::RecordOverflow],
        ),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", &[AlertDescription::DecodeError]),
        (&[0; 40], &[AlertDescription::DecodeError]),
    ];
    for (kind, version) in table() {
        for (bytes, alerts) in junk {
            let (mut stream, mut peer) = Ends::new(version).session(kind).await;
            peer.tell(&ANSWER).await;
            peer.say_bytes(bytes).await;
            let mut heard = Vec::new();
            let error = stream.read_to_end(&mut heard).await.unwrap_err();
            // The buffered one tells the failure first, and what came in the same segment behind it.
            if kind == TlsStream::Pooled {
                assert_eq!(heard, ANSWER.concat());
                assert_eq!(stream.read(&mut [0; 9]).await.unwrap_err().kind(), ErrorKind::InvalidData);
            }
            assert!(tls_error(&error).is_some(), "{kind:?} {version:?}: {error}");
            while peer.hear().await {
                // Until the alert, which ends it.
            }
            assert_alerted(&mut peer, alerts);
        }
        // From the first byte on.
        let ends = Ends::new(version);
        for (bytes, _) in junk {
            let (mut stream, mut peer) = ends.wire().await;
            peer.say_bytes(bytes).await;
            let error = stream.upgrade(&ends.upgrade(kind)).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData, "{kind:?} {version:?}: {error}");
        }
    }
}

#[tokio::test]
async fn a_certificate_of_sixty_kilobytes_is_taken_and_a_longer_one_is_an_error() {
    let names = |count: usize| -> Vec<String> {
        (0..count).map(|number| format!("a-rather-long-name-{number:05}.example.com")).collect()
    };
    for (kind, version) in table() {
        let (mut stream, mut peer) =
            Ends::with(version, default_provider(), &names(1600)).session(kind).await;
        assert!(peer.said > 60_000, "{}", peer.said);
        peer.tell(&ANSWER).await;
        let mut heard = vec![0; ANSWER.concat().len()];
        stream.read_exact(&mut heard).await.unwrap();
        assert_eq!(heard, ANSWER.concat());

        let ends = Ends::with(version, default_provider(), &names(2000));
        let (mut stream, mut peer) = ends.wire().await;
        let upgrade = ends.upgrade(kind);
        let client = async {
            let upgraded = stream.upgrade(&upgrade).await;
            drop(stream);
            upgraded
        };
        let (upgraded, ()) = tokio::join!(client, peer.handshake());
        assert_eq!(upgraded.unwrap_err().kind(), ErrorKind::InvalidData, "{kind:?} {version:?}");
    }
}

#[tokio::test]
async fn the_second_handshake_is_a_short_one() {
    for (kind, version) in table() {
        let ends = Ends::new(version);
        for expected in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let (mut stream, mut peer) = ends.session(kind).await;
            assert_eq!(stream.tls_state().unwrap().handshake_kind(), Some(expected), "{kind:?} {version:?}");
            peer.tell(&ANSWER).await;
            let mut heard = vec![0; ANSWER.concat().len()];
            stream.read_exact(&mut heard).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_peer_that_stops_reading_is_not_written_for() {
    /// Far more than what the system's socket buffers take.
    const MUCH: usize = 256 << 20;
    for kind in KINDS {
        let (mut stream, mut peer) = Ends::new(&TLS13).session(kind).await;
        let piece = vec![b'x'; 1 << 20];
        let mut taken = 0;
        // On a current_thread runtime nobody else runs meanwhile: it is full when it says so again and again.
        let mut refused = 0;
        while refused < 100 {
            let written = poll_fn(|context| {
                Poll::Ready(match Pin::new(&mut stream).poll_write(context, &piece) {
                    Poll::Ready(count) => Some(count.unwrap()),
                    Poll::Pending => None,
                })
            });
            match written.await {
                Some(count) => (taken, refused) = (taken + count, 0),
                None => refused += 1,
            }
            settle().await;
            assert!(taken < MUCH, "{kind:?}");
        }
        // And when it reads again, everything arrives.
        let (flushed, heard) = tokio::join!(stream.flush(), peer.content_of(taken));
        flushed.unwrap();
        assert_eq!(heard.len(), taken);
    }
}

#[tokio::test]
async fn a_stream_says_when_it_can_be_read() {
    for (kind, version) in table() {
        let (mut stream, mut peer) = Ends::new(version).session(kind).await;
        // Tickets may have come: what they leave is no content.
        settle().await;
        assert!(reads_nothing(&mut stream).await, "{kind:?}");
        assert!(!readable(&mut stream).await, "{kind:?} {version:?}: nothing was said");
        peer.tell(&[&[b'a'; 10], &[b'b'; 10]]).await;
        poll_fn(|context| stream.poll_readable(context)).await.unwrap();
        for expected in [b'a', b'b'] {
            for _ in 0..10 {
                assert!(readable(&mut stream).await, "{kind:?} {version:?}");
                assert_eq!(stream.read_u8().await.unwrap(), expected);
            }
        }
        assert!(reads_nothing(&mut stream).await);
        assert!(!readable(&mut stream).await, "{kind:?} {version:?}: all was read");
        peer.tls.send_close_notify();
        peer.say().await;
        for _ in 0..2 {
            poll_fn(|context| stream.poll_readable(context)).await.unwrap();
            assert_eq!(stream.read(&mut [0; 9]).await.unwrap(), 0, "{kind:?} {version:?}");
        }
    }
}

async fn readable(stream: &mut Stream) -> bool {
    poll_fn(|context| Poll::Ready(stream.poll_readable(context).is_ready())).await
}

async fn reads_nothing(stream: &mut Stream) -> bool {
    tokio::select! {
        biased;
        _ = stream.read_u8() => false,
        () = settle() => true,
    }
}

fn table() -> impl Iterator<Item = (TlsStream, &'static rustls::SupportedProtocolVersion)> {
    KINDS.into_iter().flat_map(|kind| [&TLS12, &TLS13].map(|version| (kind, version)))
}

/// Always the same numbers (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit).unwrap()
    }
}
