//! A mail client of the test's own, line by line, in clear or inside TLS.

use std::net::SocketAddr;
use std::path::Path;

use gatepost::session::stream::{Stream, Upgrade};
use gatepost::tls::Trust;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// A connection to Gatepost.
pub struct Wire {
    stream: BufReader<Stream>,
}

impl Wire {
    /// In clear.
    pub async fn connect(address: SocketAddr) -> Self {
        let tcp = TcpStream::connect(address).await.unwrap();
        Self { stream: BufReader::new(Stream::new(tcp).unwrap()) }
    }

    /// Inside TLS from now on, trusting Gatepost's own CA alone.
    pub async fn start_tls(&mut self, state_dir: &Path) {
        assert!(self.stream.buffer().is_empty(), "bytes behind the answer to STARTTLS");
        let trust = Trust::load(Some(&state_dir.join("ca.pem"))).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let upgrade = Upgrade::Connect(trust.client_config().clone(), name);
        self.stream.get_mut().upgrade(&upgrade).await.unwrap();
    }

    /// Sends bytes as they are.
    pub async fn say(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// The next line without its CRLF; empty at the end of the stream.
    pub async fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).await.unwrap();
        line.trim_end_matches(['\r', '\n']).to_owned()
    }

    /// An SMTP reply: its lines up to the one with a space behind the code.
    pub async fn reply(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = self.line().await;
            let more = line.as_bytes().get(3) == Some(&b'-');
            lines.push(line);
            if !more {
                return lines;
            }
        }
    }

    /// Sends a line and reads a reply of one line.
    pub async fn ask(&mut self, line: &str) -> String {
        self.say(format!("{line}\r\n")).await;
        self.line().await
    }

    /// Ends our direction.
    pub async fn end(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    /// Everything up to the end of the stream.
    pub async fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.stream.read_to_end(&mut bytes).await.unwrap();
        bytes
    }
}
