//! [`Server`]: the way to a server, without a secret: its name, its addresses, a connection, verified TLS, and of a mail server what
//! it offers before and inside TLS. Each stage is a [`Step`]; what comes behind one that failed was not tried.

mod trouble;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use gatepost_protocol::Protocol;
use gatepost_protocol::dialogue::{Dialogue as _, Step as Next};
use hyper_util::client::proxy::matcher::Matcher;
use rustls::{CommonState, ProtocolVersion};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use self::trouble::{NoTls, no_address};
use super::certificate::{Leaf, listed};
use super::greeting::Greeting;
use super::{Fault, Outcome, Part, Step, Told, Trouble};
use crate::config::Provider;
use crate::config::provider::{OAuthClient, TlsStream, UpstreamTls};
use crate::oauth::issuer::Issuers;
use crate::session::dial::{connect, resolve};
use crate::session::driver::{Connection, Ended};
use crate::session::stream::{Stream, Upgrade};
use crate::session::upstream::UpstreamError;
use crate::tls::Trust;
use crate::tls::witness::Witness;

pub use super::greeting::Offered;

/// For everything up to a server's capabilities.
const PATIENCE: Duration = Duration::from_secs(10);

/// So many addresses are listed.
const MOST_ADDRESSES: usize = 2;

/// A server of a provider.
#[derive(Clone, Debug)]
pub struct Server {
    /// For people: `SMTP`, `token endpoint`.
    pub name: String,
    /// As configured; its certificate must carry it.
    pub host: String,
    /// As configured.
    pub port: u16,
    kind: Kind,
    trust: Trust,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Mail(Protocol, UpstreamTls, TlsStream),
    Https,
}

impl Server {
    /// The provider's mail server, if it has one for this protocol.
    pub fn of_mail(provider: &Provider, protocol: Protocol) -> Option<Self> {
        let endpoint = provider.endpoint(protocol)?;
        Some(Self {
            name: protocol.to_string(),
            host: endpoint.host.clone(),
            port: endpoint.port,
            kind: Kind::Mail(protocol, endpoint.tls, endpoint.tls_stream),
            trust: provider.trust.clone(),
        })
    }

    /// The token endpoint, which its issuer may have to tell: where it does not, the issuer itself. `None` for an address without a
    /// host, which no configuration has.
    pub async fn of_tokens(client: &Arc<OAuthClient>) -> Option<Self> {
        let is_known = client.issuer.as_ref().is_none_or(|issuer| issuer.token_endpoint_is_written);
        let told = if is_known { None } else { Some(Issuers::default().completed(client).await) };
        let (name, url) = match &told {
            None => ("token endpoint", &client.token_endpoint),
            Some(Ok(completed)) => ("token endpoint", &completed.token_endpoint),
            // It stands in the place of what it does not tell.
            Some(Err(_)) => ("issuer", &client.token_endpoint),
        };
        Some(Self {
            name: name.to_owned(),
            // An IPv6 address stands in brackets there.
            host: url.host_str()?.trim_matches(['[', ']']).to_owned(),
            port: url.port_or_known_default()?,
            kind: Kind::Https,
            trust: client.trust.clone(),
        })
    }

    /// Goes all the way, and tells each stage. Gives what the server offers where all went well.
    pub(crate) async fn reach(&self, told: &Told) -> Option<Offered> {
        let deadline = Instant::now() + PATIENCE;
        let way = Way { server: self, told, deadline };
        if let Some(proxy) = self.proxy() {
            let reason =
                format!("HTTPS goes through the proxy {proxy} here, which finds {} itself", self.host);
            way.tell("TLS", None, Outcome::NotTried(reason));
            return None;
        }
        let addresses = way.resolve().await?;
        let tcp = way.connect(addresses).await?;
        way.encrypt(tcp).await
    }

    /// Of the environment's, the one that HTTPS goes through; without the password that it may have.
    fn proxy(&self) -> Option<String> {
        if matches!(self.kind, Kind::Mail(..)) {
            return None;
        }
        let destination = format!("https://{}:{}/", bracketed(&self.host), self.port).parse().ok()?;
        let proxy = Matcher::from_env().intercept(&destination)?;
        Some(proxy.uri().authority().map(|place| place.host().to_owned()).unwrap_or_default())
    }

    fn place(&self) -> String {
        format!("{}:{}", bracketed(&self.host), self.port)
    }
}

/// One attempt.
struct Way<'a> {
    server: &'a Server,
    told: &'a Told,
    deadline: Instant,
}

/// In their order.
const STAGES: [&str; 3] = ["DNS", "TCP", "TLS"];

impl Way<'_> {
    async fn resolve(&self) -> Option<Vec<SocketAddr>> {
        let Server { host, port, .. } = self.server;
        let begin = Instant::now();
        let found = match timeout_at(self.deadline, resolve(host, *port)).await {
            Err(_) => Err(no_address(host, &io::ErrorKind::TimedOut.into())),
            Ok(Err(error)) => Err(no_address(host, &error)),
            Ok(Ok(addresses)) if addresses.is_empty() => {
                Err(no_address(host, &io::Error::new(io::ErrorKind::NotFound, "the name has no address")))
            }
            Ok(Ok(addresses)) => Ok(addresses),
        };
        let addresses = self.settle("DNS", begin, found)?;
        let shown: Vec<String> = addresses.iter().map(|address| address.ip().to_string()).collect();
        let detail = match host.parse::<IpAddr>() {
            Ok(_) => format!("{host} is an address"),
            Err(_) => format!("{host} is {}", listed(&shown, MOST_ADDRESSES).unwrap_or_default()),
        };
        self.tell("DNS", Some(begin.elapsed()), Outcome::well(detail));
        Some(addresses)
    }

    async fn connect(&self, addresses: Vec<SocketAddr>) -> Option<Stream> {
        let begin = Instant::now();
        let connected = match timeout_at(self.deadline, connect(addresses)).await {
            Err(_) => Err(UpstreamError::TimedOut("connecting")),
            Ok(tcp) => tcp.and_then(with_address).map_err(UpstreamError::Dial),
        };
        let connected = connected.map_err(|error| self.trouble(&error));
        let (stream, address) = self.settle("TCP", begin, connected)?;
        self.tell("TCP", Some(begin.elapsed()), Outcome::well(format!("{address} answers")));
        Some(stream)
    }

    async fn encrypt(&self, mut stream: Stream) -> Option<Offered> {
        let begin = Instant::now();
        let encrypted = match self.upgrade() {
            Err(trouble) => Err(trouble),
            Ok((upgrade, witness)) => {
                let talked = self.talk(&mut stream, &upgrade).await;
                let leaf = witness.presented().as_ref().and_then(Leaf::read);
                talked.map(|offered| (offered, leaf.clone())).map_err(|error| error.told(self, leaf.as_ref()))
            }
        };
        let (offered, version, leaf) = self
            .settle("TLS", begin, encrypted)
            .map(|((offered, version), leaf)| (offered, version, leaf))?;
        let mut detail = version;
        if let Some(leaf) = &leaf {
            detail = format!("{detail}; a certificate {}", leaf.told());
        }
        let remarks = leaf.and_then(|leaf| leaf.remark(SystemTime::now())).into_iter().collect();
        self.tell("TLS", Some(begin.elapsed()), Outcome::Well { detail, remarks });
        Some(offered)
    }

    fn upgrade(&self) -> Result<(Upgrade, Arc<Witness>), Trouble> {
        let Server { host, trust, .. } = self.server;
        let name = ServerName::try_from(host.clone()).map_err(|_| {
            let mut trouble = self.trouble(&UpstreamError::HostName(host.clone()));
            trouble.fault = Fault::Configuration;
            trouble
        })?;
        let (config, witness) = trust.witnessed().ok_or_else(|| {
            self.trouble(&UpstreamError::Dial(io::Error::other("there are no root certificates")))
        })?;
        let stream = match self.server.kind {
            Kind::Mail(_, _, stream) => stream,
            Kind::Https => TlsStream::default(),
        };
        Ok((Upgrade::Connect(config, name, stream), witness))
    }

    /// Up to the capabilities inside TLS. Gives the version of TLS, too.
    async fn talk(&self, stream: &mut Stream, upgrade: &Upgrade) -> Result<(Offered, String), NoTls> {
        let timed_out = |state| NoTls::Broken(UpstreamError::TimedOut(state));
        let start_tls = matches!(self.server.kind, Kind::Mail(_, UpstreamTls::StartTls, _));
        if !start_tls {
            timeout_at(self.deadline, stream.upgrade(upgrade))
                .await
                .map_err(|_| timed_out("in the TLS handshake"))?
                .map_err(|error| {
                    NoTls::Broken(UpstreamError::Ended { error: Ended::Tls(error), state: "beginning" })
                })?;
        }
        let Kind::Mail(protocol, ..) = self.server.kind else {
            return Ok((Offered::default(), version(stream)));
        };
        let mut greeting = Greeting::new(protocol, start_tls);
        let mut connection = Connection::new(std::mem::replace(stream, Stream::Closed));
        let driven =
            timeout_at(self.deadline, connection.drive(&mut greeting, Next::NeedLine, upgrade)).await;
        let state = greeting.state_name();
        *stream = connection.stream;
        let offered = driven
            .map_err(|_| timed_out(state))?
            .map_err(|error| NoTls::Broken(UpstreamError::Ended { error, state }))?
            .map_err(NoTls::Left)?;
        let version = version(stream);
        // What it has to say to our goodbye is no matter.
        stream.end().await;
        Ok((offered, version))
    }

    /// Tells a failure, and that what would come behind it was not tried.
    fn settle<T>(&self, stage: &str, begin: Instant, result: Result<T, Trouble>) -> Option<T> {
        let trouble = match result {
            Ok(value) => return Some(value),
            Err(trouble) => trouble,
        };
        self.tell(stage, Some(begin.elapsed()), Outcome::Failed(trouble));
        for later in STAGES.into_iter().skip_while(|name| *name != stage).skip(1) {
            self.tell(later, None, Outcome::NotTried(format!("it comes behind {stage}")));
        }
        None
    }

    fn tell(&self, stage: &str, took: Option<Duration>, outcome: Outcome) {
        let name = format!("{} {stage}", self.server.name);
        // Nobody hears it when the trial has been given up.
        let _ = self.told.send(Step { name, part: Part::Server, user_name: None, took, outcome });
    }
}

fn with_address(tcp: TcpStream) -> io::Result<(Stream, SocketAddr)> {
    let address = tcp.peer_addr()?;
    Ok((Stream::new(tcp)?, address))
}

fn version(stream: &Stream) -> String {
    match stream.tls_state().and_then(CommonState::protocol_version) {
        Some(ProtocolVersion::TLSv1_3) => "TLS 1.3".to_owned(),
        Some(ProtocolVersion::TLSv1_2) => "TLS 1.2".to_owned(),
        other => format!("TLS {other:?}"),
    }
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}
