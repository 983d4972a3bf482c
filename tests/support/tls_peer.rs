//! A TLS server in the test's own hands: it says when which bytes go onto the wire, and where the wire is cut.

use std::io::{ErrorKind, Read as _, Write as _};
use std::sync::Arc;

use gatepost::config::provider::TlsStream;
use gatepost::session::stream::{Stream, Upgrade};
use rcgen::{CertificateParams, Issuer, KeyPair};
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{default_provider, sign::any_ecdsa_type};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    ClientConfig, ProtocolVersion, RootCertStore, ServerConfig, ServerConnection, SupportedProtocolVersion,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Everything is done with both streams and both versions.
pub const KINDS: [TlsStream; 2] = [TlsStream::Pooled, TlsStream::Buffered];
pub const VERSIONS: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];

/// Both ends' configuration.
#[derive(Clone)]
pub struct Ends {
    pub client: Arc<ClientConfig>,
    pub server: Arc<ServerConfig>,
}

impl Ends {
    pub fn new(version: &'static SupportedProtocolVersion) -> Self {
        Self::with(version, default_provider(), &[])
    }

    /// With a leaf that has these names too, and a client whose cryptography is as told.
    pub fn with(
        version: &'static SupportedProtocolVersion,
        provider: CryptoProvider,
        names: &[String],
    ) -> Self {
        let authority_key = KeyPair::generate().unwrap();
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        // Another name for each: two authorities of one name would be taken for one whose key was stolen.
        authority
            .distinguished_name
            .push(rcgen::DnType::CommonName, format!("{:?}", authority_key.public_key_raw()));
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let root = authority.self_signed(&authority_key).unwrap();
        let issuer = Issuer::new(authority, authority_key);
        let key = KeyPair::generate().unwrap();
        let names = [&["localhost".to_owned()], names].concat();
        let leaf = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(root.der().clone()).unwrap();
        let client = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let key = any_ecdsa_type(&PrivateKeyDer::try_from(key.serialize_der()).unwrap()).unwrap();
        let chain: Vec<CertificateDer<'static>> = vec![leaf.der().clone()];
        let server = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(CertifiedKey::new(chain, key))));
        Self { client: Arc::new(client), server: Arc::new(server) }
    }

    /// The same, and every handshake is a whole one.
    pub fn without_resumption(mut self) -> Self {
        let mut client = (*self.client).clone();
        client.resumption = Resumption::disabled();
        self.client = Arc::new(client);
        self
    }

    /// What the stream under test is made of.
    pub fn upgrade(&self, kind: TlsStream) -> Upgrade {
        Upgrade::Connect(Arc::clone(&self.client), ServerName::try_from("localhost").unwrap(), kind)
    }

    /// A connection on which nothing was said.
    pub async fn wire(&self) -> (Stream, Peer) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (far, _) = listener.accept().await.unwrap();
        far.set_nodelay(true).unwrap();
        let tls = ServerConnection::new(Arc::clone(&self.server)).unwrap();
        (
            Stream::new(near).unwrap(),
            Peer { tcp: far, tls, cut: Cut::Nowhere, said: 0, heard: Vec::new(), content: Vec::new() },
        )
    }

    /// A connection whose handshake is over.
    pub async fn session(&self, kind: TlsStream) -> (Stream, Peer) {
        let (mut stream, mut peer) = self.wire().await;
        let upgrade = self.upgrade(kind);
        let (upgraded, ()) = tokio::join!(stream.upgrade(&upgrade), peer.handshake());
        upgraded.unwrap();
        (stream, peer)
    }
}

/// Where the wire is cut on the way to the client.
#[derive(Clone, Copy, Debug)]
pub enum Cut {
    Nowhere,
    /// The client has taken all that came before each byte.
    Everywhere,
    /// The client has taken all that came before this byte.
    Before(usize),
    /// The connection ends before this byte.
    EndBefore(usize),
}

/// The server.
pub struct Peer {
    pub tcp: TcpStream,
    pub tls: ServerConnection,
    pub cut: Cut,
    /// How many bytes went onto the wire.
    pub said: usize,
    /// What came over the wire.
    pub heard: Vec<u8>,
    /// What it says, and nobody asked for yet.
    content: Vec<u8>,
}

impl Peer {
    /// Up to its end, or that of the connection.
    pub async fn handshake(&mut self) {
        while self.tls.is_handshaking() {
            if !self.hear().await {
                return;
            }
            self.say().await;
        }
        // In TLS 1.3 the tickets go by themselves.
        self.say().await;
    }

    /// Takes what has come; `false` at the end, or where TLS has something against it.
    pub async fn hear(&mut self) -> bool {
        let mut buffer = vec![0; 64 * 1024];
        match self.tcp.read(&mut buffer).await {
            Ok(0) | Err(_) => return false,
            Ok(count) => buffer.truncate(count),
        }
        self.heard.extend_from_slice(&buffer);
        let mut rest = &buffer[..];
        while !rest.is_empty() {
            self.tls.read_tls(&mut rest).unwrap();
            if self.tls.process_new_packets().is_err() {
                self.say().await;
                return false;
            }
            match self.tls.reader().read_to_end(&mut self.content) {
                Ok(_) => {}
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}"),
            }
        }
        true
    }

    /// Content, as much as there is.
    pub fn content(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.content)
    }

    /// Waits for so much content.
    pub async fn content_of(&mut self, length: usize) -> Vec<u8> {
        let mut content = self.content();
        while content.len() < length {
            assert!(self.hear().await, "it ended after {} bytes", content.len());
            content.extend(self.content());
        }
        content
    }

    /// Says content, in records as large as these pieces.
    pub async fn tell(&mut self, pieces: &[&[u8]]) {
        for piece in pieces {
            self.tls.writer().write_all(piece).unwrap();
        }
        self.say().await;
    }

    /// Puts onto the wire what TLS wants there.
    pub async fn say(&mut self) {
        let mut bytes = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut bytes).unwrap();
        }
        self.say_bytes(&bytes).await;
    }

    /// Puts bytes onto the wire as they are.
    pub async fn say_bytes(&mut self, bytes: &[u8]) {
        let (begin, end) = (self.said, self.said + bytes.len());
        self.said = end;
        let (first, rest) = match self.cut {
            Cut::Nowhere => (bytes, &bytes[..0]),
            Cut::Everywhere => {
                for byte in bytes {
                    self.put(std::slice::from_ref(byte)).await;
                    settle().await;
                }
                return;
            }
            Cut::Before(at) => bytes.split_at(at.clamp(begin, end) - begin),
            Cut::EndBefore(at) => (&bytes[..at.clamp(begin, end) - begin], &bytes[..0]),
        };
        self.put(first).await;
        if !rest.is_empty() {
            settle().await;
            self.put(rest).await;
        }
        if matches!(self.cut, Cut::EndBefore(at) if at < end) {
            // A client that hung up first has what it needs.
            let _ = self.tcp.shutdown().await;
        }
    }

    async fn put(&mut self, bytes: &[u8]) {
        // The client may have hung up over what it heard; that is looked at on its side.
        let _ = self.tcp.write_all(bytes).await;
    }

    pub fn version(&self) -> ProtocolVersion {
        self.tls.protocol_version().unwrap()
    }
}

/// Lets everybody else take what is there: on loopback it is there as soon as it is written, and a turn looks for it.
pub async fn settle() {
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
}
