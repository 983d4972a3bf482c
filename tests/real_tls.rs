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

use std::io::{ErrorKind, Read as _, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use gatepost::config::provider::TlsStream;
use gatepost::session::stream::{Stream, Upgrade};
use real::certificates::Certificates;
use real::process::{eventually, free_ports, needs};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, HandshakeKind};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

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

impl Server {
    /// `None` where OpenSSL is not installed, said out loud.
    fn start(version: &str) -> Option<Self> {
        if !needs("openssl") {
            return None;
        }
        let folder = tempfile::Builder::new().prefix("gatepost-test-").tempdir().unwrap();
        let certificates = Certificates::make(folder.path());
        let [port] = free_ports();
        let mut process = Command::new("openssl")
            .args(["s_server", version, "-accept", &format!("127.0.0.1:{port}")])
            .arg("-cert")
            .arg(&certificates.certificate)
            .arg("-key")
            .arg(&certificates.key)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdout = process.stdout.take().unwrap();
        let (sender, told) = channel();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = stdout.read(&mut buffer) {
                if sender.send(buffer[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        let stdin = process.stdin.take();
        let client = certificates.client;
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
        let tcp = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        let mut stream = Stream::new(tcp).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        stream.upgrade(&Upgrade::Connect(Arc::clone(&self.client), name, kind)).await.unwrap();
        stream
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
