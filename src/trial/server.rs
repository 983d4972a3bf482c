//! [`Server`]: the way to a server, without a secret: its name, its addresses, a connection, verified TLS, and of a mail server what
//! it offers before and inside TLS. Each stage is a [`Step`]; what comes behind one that failed was not tried.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

use gatepost_protocol::Protocol;
use gatepost_protocol::dialogue::{Dialogue as _, Step as Next};
use hyper_util::client::proxy::matcher::Matcher;
use rustls::{Error, ProtocolVersion};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::certificate::{Leaf, listed, untrusted};
use super::greeting::{Greeting, NoGreeting};
use super::{Fault, Outcome, Part, Step, Told, Trouble, known};
use crate::config::Provider;
use crate::config::provider::{OAuthClient, UpstreamTls};
use crate::diagnosis::{self, Diagnosis, Place};
use crate::session::dial::{connect, resolve};
use crate::session::driver::{Connection, Ended};
use crate::session::stream::{Stream, Upgrade};
use crate::session::upstream::UpstreamError;
use crate::tls::{Trust, tls_error};

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
    Mail(Protocol, UpstreamTls),
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
            kind: Kind::Mail(protocol, endpoint.tls),
            trust: provider.trust.clone(),
        })
    }

    /// The token endpoint; `None` for an address without a host, which no configuration has.
    pub fn of_tokens(client: &OAuthClient) -> Option<Self> {
        let url = &client.token_endpoint;
        Some(Self {
            name: "token endpoint".to_owned(),
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

    fn upgrade(&self) -> Result<(Upgrade, std::sync::Arc<crate::tls::witness::Witness>), Trouble> {
        let Server { host, trust, .. } = self.server;
        let name = ServerName::try_from(host.clone()).map_err(|_| {
            let mut trouble = self.trouble(&UpstreamError::HostName(host.clone()));
            trouble.fault = Fault::Configuration;
            trouble
        })?;
        let (config, witness) = trust.witnessed().ok_or_else(|| {
            self.trouble(&UpstreamError::Dial(io::Error::other("there are no root certificates")))
        })?;
        Ok((Upgrade::Connect(config, name), witness))
    }

    /// Up to the capabilities inside TLS. Gives the version of TLS, too.
    async fn talk(&self, stream: &mut Stream, upgrade: &Upgrade) -> Result<(Offered, String), NoTls> {
        let timed_out = |state| NoTls::Broken(UpstreamError::TimedOut(state));
        let start_tls = matches!(self.server.kind, Kind::Mail(_, UpstreamTls::StartTls));
        if !start_tls {
            timeout_at(self.deadline, stream.upgrade(upgrade))
                .await
                .map_err(|_| timed_out("in the TLS handshake"))?
                .map_err(|error| {
                    NoTls::Broken(UpstreamError::Ended { error: Ended::Tls(error), state: "beginning" })
                })?;
        }
        let Kind::Mail(protocol, _) = self.server.kind else {
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

    /// What is known of a failure on the way.
    fn trouble(&self, error: &UpstreamError) -> Trouble {
        let said = format!("{}: {error}", self.server.place());
        let mut trouble = Trouble::new(self.known(error), "There is no connection to the server", &said, "");
        if let Some(explained) = self.explained(error) {
            trouble.explain(explained);
        }
        trouble
    }

    fn known(&self, error: &UpstreamError) -> Option<&'static Diagnosis> {
        // A token endpoint is connected to as any server is.
        let protocol = match self.server.kind {
            Kind::Mail(protocol, _) => protocol,
            Kind::Https => Protocol::Smtp,
        };
        known(error, protocol)
    }

    /// What the table need not know, because only the place tells it.
    fn explained(&self, error: &UpstreamError) -> Option<(&'static str, String, String)> {
        let Server { host, port, kind, .. } = self.server;
        Some(match error {
            UpstreamError::Dial(error) if error.kind() == io::ErrorKind::ConnectionRefused => (
                "Nothing listens at the server's port",
                format!("{host} can be reached, and takes no connections at port {port}; or a firewall says so."),
                "Compare host and port in the configuration with what the provider says, and ask whoever runs the \
                 firewall."
                    .to_owned(),
            ),
            UpstreamError::TimedOut("awaiting the greeting") => (
                "The server takes the connection and says nothing",
                "Either it is overloaded, or something between here and there swallows what it says, or its port \
                 speaks TLS from the first byte and waits for us."
                    .to_owned(),
                "Look whether the provider's port wants `tls: implicit`; try again in a few minutes; try another \
                 network."
                    .to_owned(),
            ),
            UpstreamError::TimedOut(_) => (
                "The server takes the connection and does not answer",
                "It is overloaded, or something between here and there swallows what is said.".to_owned(),
                "Try again in a few minutes, and then from another network.".to_owned(),
            ),
            UpstreamError::Ended { error: Ended::Tls(error), .. } if speaks_no_tls(error) => (
                "The server's port does not begin with TLS",
                format!("What came from {host} port {port} is not TLS: it speaks in clear there at first."),
                match kind {
                    Kind::Mail(..) => "Write `tls: starttls` for this server, or the port that the provider names \
                                       for TLS from the first byte: 465 (SMTP), 995 (POP3), 993 (IMAP)."
                        .to_owned(),
                    Kind::Https => "Compare the token endpoint's address in the configuration with what the \
                                    provider says."
                        .to_owned(),
                },
            ),
            UpstreamError::HostName(_) => (
                "This is not a host name",
                "No certificate can carry it.".to_owned(),
                "Write the name that the provider gives for this server.".to_owned(),
            ),
            UpstreamError::Ended { .. } => (
                "The server broke off",
                "The connection ended before there was TLS: the server, or something between here and there, did not \
                 want it."
                    .to_owned(),
                "Try again in a few minutes; then compare host, port and `tls` in the configuration with what the \
                 provider says."
                    .to_owned(),
            ),
            _ => return None,
        })
    }
}

/// There was a connection, and then no TLS.
#[derive(Debug)]
enum NoTls {
    Broken(UpstreamError),
    Left(NoGreeting),
}

impl NoTls {
    fn told(&self, way: &Way<'_>, leaf: Option<&Leaf>) -> Trouble {
        let host = &way.server.host;
        match self {
            Self::Broken(error) => {
                let mut trouble = way.trouble(error);
                let case = match error {
                    UpstreamError::Ended { error: Ended::Tls(error), .. } => tls_error(error),
                    _ => None,
                };
                let case = case.and_then(|error| untrusted(error, host, leaf, SystemTime::now()));
                if let Some(explained) = case {
                    trouble.explain(explained);
                }
                trouble
            }
            Self::Left(NoGreeting::NoStartTls(said)) => {
                let row = diagnosis::find(Place::Connection, said);
                let said = format!("{}: {said}", way.server.place());
                Trouble {
                    title: "The server offers no STARTTLS".to_owned(),
                    cause: "Without TLS Gatepost sends neither a token nor a password. A virus scanner or a firewall \
                            that reads along often takes STARTTLS out of what a server says."
                        .to_owned(),
                    fix: "Compare port and `tls` in the configuration with what the provider says, and ask whoever runs \
                          the firewall to leave this connection alone."
                        .to_owned(),
                    ..Trouble::new(row, "", &said, "")
                }
            }
            Self::Left(NoGreeting::Refused(said)) => {
                let place = match way.server.kind {
                    Kind::Mail(protocol, _) => Place::from(protocol),
                    Kind::Https => Place::Connection,
                };
                let row = diagnosis::find(place, said);
                let said = format!("{} said: {said}", way.server.place());
                Trouble::new(row, "The server turns everybody away, or speaks another protocol", &said, "")
            }
        }
    }
}

/// Why a name has no address. A name that does not exist and a resolver that does not answer are told by the system's words alone.
fn no_address(host: &str, error: &io::Error) -> Trouble {
    let text = match error.kind() {
        io::ErrorKind::TimedOut => "no answer from DNS in time".to_owned(),
        _ => error.to_string(),
    };
    let lower = text.to_ascii_lowercase();
    let no_such_name =
        ["not known", "does not resolve", "no address", "nodename nor servname", "no such host"];
    let said = format!("{host}: {text}");
    let (title, cause, fix) = if no_such_name.iter().any(|words| lower.contains(words)) {
        (
            "There is no server of this name (L04)",
            format!("DNS knows no {host}."),
            format!(
                "Compare `{host}` in the configuration letter by letter with what the provider says. If it is right, \
                 this machine asks a resolver that does not know the internet."
            ),
        )
    } else {
        (
            "This machine cannot look up names",
            "The resolver of this machine does not answer, or says that it cannot answer now.".to_owned(),
            "Look whether this machine is on the internet, and at its DNS settings (`/etc/resolv.conf`)."
                .to_owned(),
        )
    };
    let diagnosis = diagnosis::find(Place::Connection, &format!("cannot connect: {text}"));
    Trouble { diagnosis, title: title.to_owned(), said, cause, fix, fault: Fault::Upstream }
}

fn speaks_no_tls(error: &io::Error) -> bool {
    matches!(tls_error(error), Some(Error::InvalidMessage(_)))
}

fn with_address(tcp: TcpStream) -> io::Result<(Stream, SocketAddr)> {
    let address = tcp.peer_addr()?;
    Ok((Stream::new(tcp)?, address))
}

fn version(stream: &Stream) -> String {
    let version = match stream {
        Stream::Tls(tls) => tls.get_ref().1.protocol_version(),
        Stream::Closed | Stream::Plain(_) => None,
    };
    match version {
        Some(ProtocolVersion::TLSv1_3) => "TLS 1.3".to_owned(),
        Some(ProtocolVersion::TLSv1_2) => "TLS 1.2".to_owned(),
        other => format!("TLS {other:?}"),
    }
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::no_address;

    #[test]
    fn a_name_that_is_not_there_is_told_from_a_resolver_that_is_not() {
        for (text, title) in [
            ("failed to lookup address information: Name or service not known", "There is no server"),
            ("failed to lookup address information: Name does not resolve", "There is no server"),
            (
                "failed to lookup address information: No address associated with hostname",
                "There is no server",
            ),
            ("the name has no address", "There is no server"),
            (
                "failed to lookup address information: nodename nor servname provided, or not known",
                "There is no server",
            ),
            (
                "failed to lookup address information: Temporary failure in name resolution",
                "This machine cannot",
            ),
            ("failed to lookup address information: Try again", "This machine cannot"),
        ] {
            let trouble = no_address("mail.example", &io::Error::other(text));
            assert!(trouble.title.starts_with(title), "{text}: {}", trouble.title);
            assert!(trouble.said.ends_with(text), "{}", trouble.said);
        }
    }
}
