//! Both TLS streams toward a server that nobody here wrote: `openssl s_server`, with TLS 1.2 and 1.3.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
#![allow(dead_code, reason = "the support is shared with other tests")]

#[path = "support/real/mod.rs"]
mod real;

use std::fs;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use gatepost::config::provider::TlsStream;
use gatepost::session::stream::{Stream, Upgrade};
use gatepost::tls::{tls_error, untrusted};
use real::certificates::{Certificates, trusting};
use real::process::{eventually, free_ports, needs};
use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig, Error, HandshakeKind};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const TABLE: [(TlsStream, &str); 4] = [
    (TlsStream::Pooled, "-tls1_2"),
    (TlsStream::Pooled, "-tls1_3"),
    (TlsStream::Buffered, "-tls1_2"),
    (TlsStream::Buffered, "-tls1_3"),
];

/// How long it may take for anything, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(30);

/// The server says what it reads from stdin, and tells on stdout what it hears. It ends with its stdin, so also with the test.
struct Server {
    process: Child,
    stdin: Option<ChildStdin>,
    told: Receiver<Vec<u8>>,
    heard: String,
    port: u16,
    client: Arc<ClientConfig>,
    _folder: TempDir,
}

/// What the server shows.
#[derive(Clone, Copy)]
enum Shown {
    Trusted,
    /// From an authority that the client does not know.
    Untrusted,
    /// Trusted, and of more than sixty kilobytes.
    Large,
}

impl Server {
    /// `None` where OpenSSL is not installed, said out loud.
    fn start(version: &str) -> Option<Self> {
        Self::start_as(version, &[], Shown::Trusted)
    }

    fn start_as(version: &str, arguments: &[&str], shown: Shown) -> Option<Self> {
        if !needs("openssl") {
            return None;
        }
        let folder = tempfile::Builder::new().prefix("gatepost-test-").tempdir().unwrap();
        let certificates = Certificates::make(folder.path());
        let (certificate, key, client) = match shown {
            Shown::Trusted => (certificates.certificate, certificates.key, certificates.client),
            Shown::Untrusted => {
                (certificates.bad.untrusted.clone(), certificates.bad.untrusted, certificates.client)
            }
            Shown::Large => large(folder.path()),
        };
        let [port] = free_ports();
        let (mut reader, writer) = std::io::pipe().unwrap();
        let mut process = Command::new("openssl")
            .args(["s_server", version, "-accept", &format!("127.0.0.1:{port}")])
            .args(arguments)
            .arg("-cert")
            .arg(certificate)
            .arg("-key")
            .arg(key)
            .stdin(Stdio::piped())
            .stdout(writer.try_clone().unwrap())
            .stderr(writer)
            .spawn()
            .unwrap();
        let (sender, told) = channel();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = reader.read(&mut buffer) {
                if sender.send(buffer[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        let stdin = process.stdin.take();
        let mut server = Self { process, stdin, told, heard: String::new(), port, client, _folder: folder };
        server.wait_for("ACCEPT\n");
        Some(server)
    }

    /// Until it has printed this.
    fn wait_for(&mut self, words: &str) {
        while !self.heard.contains(words) {
            let more = self
                .told
                .recv_timeout(PATIENCE)
                .unwrap_or_else(|_| panic!("{words:?} not in {}", self.heard));
            self.heard += &String::from_utf8_lossy(&more);
        }
    }

    /// Content, or one of its commands, which is a line's first letter.
    fn say(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(text.as_bytes()).unwrap();
        stdin.flush().unwrap();
    }

    async fn connect(&self, kind: TlsStream) -> Stream {
        self.try_to_connect(kind, self.port).await.unwrap()
    }

    /// By that port of 127.0.0.1.
    async fn try_to_connect(&self, kind: TlsStream, port: u16) -> io::Result<Stream> {
        let mut stream = Stream::new(TcpStream::connect(("127.0.0.1", port)).await?)?;
        let name = ServerName::try_from("localhost").unwrap();
        stream.upgrade(&Upgrade::Connect(Arc::clone(&self.client), name, kind)).await?;
        Ok(stream)
    }
}

/// A certificate with 1600 names, its key, and what trusts it.
fn large(folder: &Path) -> (PathBuf, PathBuf, Arc<ClientConfig>) {
    let names = (0..1600).map(|number| format!("a-rather-long-name-{number:05}.example.com"));
    let names: Vec<_> = ["localhost".to_owned()].into_iter().chain(names).collect();
    let own = rcgen::generate_simple_self_signed(names).unwrap();
    let (certificate, key) = (folder.join("large.pem"), folder.join("large.key"));
    fs::write(&certificate, own.cert.pem()).unwrap();
    fs::write(&key, own.signing_key.serialize_pem()).unwrap();
    (certificate, key, trusting(own.cert.der().clone()))
}

/// Where what the server says is cut on its way.
#[derive(Clone, Copy, Debug)]
enum Cut {
    /// The client has taken all that came before each byte.
    Everywhere,
    /// It ends before this byte.
    EndBefore(usize),
}

/// Passes one connection on, cut; gives how many bytes the server said.
async fn pass_on(listener: &TcpListener, port: u16, cut: Cut) -> usize {
    let (near, _) = listener.accept().await.unwrap();
    near.set_nodelay(true).unwrap();
    let far = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let (mut from_client, mut to_client) = near.into_split();
    let (mut from_server, mut to_server) = far.into_split();
    let forward = async move {
        // Whoever hangs up first is looked at on the client's side.
        let _gone = tokio::io::copy(&mut from_client, &mut to_server).await;
    };
    let back = async move {
        let (mut said, mut byte) = (0, [0]);
        loop {
            if matches!(cut, Cut::EndBefore(at) if at == said) {
                break;
            }
            match from_server.read(&mut byte).await {
                Ok(1) => said += 1,
                _ => break,
            }
            let _gone = to_client.write_all(&byte).await;
            if matches!(cut, Cut::Everywhere) {
                settle().await;
            }
        }
        let _gone = to_client.shutdown().await;
        said
    };
    tokio::join!(forward, back).1
}

/// Lets the client take what is there: on loopback it is there as soon as it is written.
async fn settle() {
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _gone_already = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn hear(stream: &mut Stream, expected: &str) {
    let mut heard = vec![0; expected.len()];
    tokio::time::timeout(PATIENCE, stream.read_exact(&mut heard)).await.expect("it hangs").unwrap();
    assert_eq!(String::from_utf8(heard).unwrap(), expected);
}

async fn say(stream: &mut Stream, text: &str) {
    stream.write_all(text.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
}

#[tokio::test]
async fn openssl_is_talked_with_both_ways_and_over_new_keys() {
    for (kind, version) in TABLE {
        let Some(mut server) = Server::start(version) else { return };
        let mut stream = server.connect(kind).await;
        say(&mut stream, "one\n").await;
        server.wait_for("one\n");
        server.say("1 one\n");
        hear(&mut stream, "1 one\n").await;
        if version == "-tls1_3" {
            // `k` changes its keys, `K` asks for ours to be changed too.
            for (command, round) in [("k\n", 2), ("K\n", 3), ("k\n", 4), ("K\n", 5)] {
                server.say(command);
                // It looks at its stdin before its socket, and takes what it reads there at once for one command or one text.
                say(&mut stream, &format!("after {round}\n")).await;
                server.wait_for(&format!("after {round}\n"));
                server.say(&format!("{round} new\n"));
                hear(&mut stream, &format!("{round} new\n")).await;
                say(&mut stream, &format!("answer {round}\n")).await;
                server.wait_for(&format!("answer {round}\n"));
            }
        }
        // Its own end, which it does not announce.
        server.say("Q\n");
        let mut rest = Vec::new();
        let read = stream.read_to_end(&mut rest);
        let error = tokio::time::timeout(PATIENCE, read).await.expect("it hangs").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{kind:?} {version}");
    }
}

#[tokio::test]
async fn openssl_knows_us_again() {
    for (kind, version) in TABLE {
        let Some(mut server) = Server::start(version) else { return };
        for expected in [HandshakeKind::Full, HandshakeKind::Resumed] {
            server.heard.clear();
            let mut stream = server.connect(kind).await;
            assert_eq!(stream.tls_state().unwrap().handshake_kind(), Some(expected), "{kind:?} {version}");
            say(&mut stream, "hello\n").await;
            server.wait_for("hello\n");
            // The tickets came before this.
            server.say("1\n");
            hear(&mut stream, "1\n").await;
            stream.shutdown().await.unwrap();
            let mut rest = Vec::new();
            tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("it hangs").unwrap();
        }
    }
}

#[tokio::test]
async fn what_openssl_says_is_whole_however_it_is_cut_and_an_error_where_it_ends_early() {
    for (kind, version) in TABLE {
        // It says each line the other way round, and its goodbye after CLOSE.
        let Some(server) = Server::start_as(version, &["-rev"], Shown::Trusted) else { return };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let exchange = async |cut| {
            let client = async {
                let mut stream = server.try_to_connect(kind, listener.local_addr()?.port()).await?;
                stream.write_all(b"TATS\n").await?;
                stream.flush().await?;
                let mut heard = vec![0; 5];
                stream.read_exact(&mut heard).await?;
                stream.write_all(b"CLOSE\n").await?;
                stream.flush().await?;
                stream.read_to_end(&mut heard).await?;
                io::Result::Ok(heard)
            };
            let both = async { tokio::join!(client, pass_on(&listener, server.port, cut)) };
            tokio::time::timeout(PATIENCE, both)
                .await
                .unwrap_or_else(|_| panic!("{kind:?} {version} {cut:?}: it hangs"))
        };
        let (heard, length) = exchange(Cut::Everywhere).await;
        assert_eq!(heard.unwrap(), b"STAT\n", "{kind:?} {version}");
        // Signatures are not always of one length, and later handshakes are short ones.
        let (heard, short) = exchange(Cut::Everywhere).await;
        assert_eq!(heard.unwrap(), b"STAT\n", "{kind:?} {version}");
        for at in 0..length.min(short) - 8 {
            let (heard, _) = exchange(Cut::EndBefore(at)).await;
            let error = heard.expect_err("it was cut");
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{kind:?} {version} {at}: {error}");
        }
    }
}

#[tokio::test]
async fn alerts_pass_between_openssl_and_us() {
    for (kind, version) in TABLE {
        // It wants a certificate of ours, and hears of none: in TLS 1.3 it says so after the handshake.
        let Some(server) = Server::start_as(version, &["-Verify", "1"], Shown::Trusted) else { return };
        let refused = async {
            let mut stream = server.try_to_connect(kind, server.port).await?;
            stream.read(&mut [0; 9]).await
        };
        let error = tokio::time::timeout(PATIENCE, refused).await.expect("it hangs").unwrap_err();
        assert!(matches!(tls_error(&error), Some(Error::AlertReceived(_))), "{kind:?} {version}: {error}");

        let Some(mut server) = Server::start_as(version, &[], Shown::Untrusted) else { return };
        let error = server.try_to_connect(kind, server.port).await.unwrap_err();
        assert_eq!(untrusted(&error), Some(&CertificateError::UnknownIssuer), "{kind:?} {version}: {error}");
        server.wait_for("alert unknown ca");
    }
}

#[tokio::test]
async fn a_certificate_of_sixty_kilobytes_comes_from_openssl_whole() {
    for (kind, version) in TABLE {
        let Some(mut server) = Server::start_as(version, &[], Shown::Large) else { return };
        let mut stream = server.connect(kind).await;
        say(&mut stream, "hello\n").await;
        server.wait_for("hello\n");
        server.say("1\n");
        hear(&mut stream, "1\n").await;
    }
}

#[tokio::test]
async fn a_long_download_from_openssl_is_whole_and_its_death_is_an_error() {
    for (kind, version) in TABLE {
        let Some(mut server) = Server::start(version) else { return };
        let mut stream = server.connect(kind).await;
        say(&mut stream, "RETR\n").await;
        server.wait_for("RETR\n");
        let mut sent = Context::new(&SHA256);
        let line = (0..6000_u32).map(|number| format!("{number:07}")).collect::<Vec<_>>().join(" ");
        let pieces = 200;
        for _ in 0..pieces {
            sent.update(line.as_bytes());
        }
        let length = line.len() * pieces;
        let stdin = server.stdin.take().unwrap();
        // Its stdin stays open: it would end with it.
        let feeder = thread::spawn(move || {
            let mut stdin = stdin;
            for _ in 0..pieces {
                stdin.write_all(line.as_bytes()).unwrap();
            }
            stdin
        });
        let mut heard = Context::new(&SHA256);
        let (mut left, mut buffer) = (length, vec![0; 128 * 1024]);
        while left > 0 {
            let read = tokio::time::timeout(PATIENCE, stream.read(&mut buffer));
            let count = read.await.expect("it hangs").unwrap();
            assert!(count > 0, "{kind:?} {version}: {left} bytes are missing");
            heard.update(&buffer[..count]);
            left -= count;
        }
        assert_eq!(heard.finish().as_ref(), sent.finish().as_ref(), "{kind:?} {version}");
        let _stdin = feeder.join().unwrap();
        server.process.kill().unwrap();
        assert!(eventually(|| server.process.try_wait().unwrap().is_some()));
        let error = stream.read(&mut buffer).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{kind:?} {version}");
    }
}
