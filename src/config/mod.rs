//! [`Config`]: what the YAML file says, valid by construction. Whoever holds one needs to check nothing.

pub mod file;
pub mod lint;
pub mod provider;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gatepost_protocol::Protocol;
use ipnet::IpNet;

pub use provider::Provider;

/// Everything that the configuration file decides. Accounts are not in it: they live in the store alone.
#[derive(Debug)]
pub struct Config {
    /// The file it was read from, for messages.
    pub path: PathBuf,
    /// By name.
    pub providers: BTreeMap<String, Arc<Provider>>,
    /// In the order of the file.
    pub listeners: Vec<Listener>,
    /// The certificate shown to clients; ours where `None`.
    pub certificate: Option<CertificateFiles>,
    /// Where the store, the key and our own CA live.
    pub state_dir: PathBuf,
    /// Caps and times.
    pub limits: Limits,
}

/// An address that mail programs connect to.
#[derive(Clone, Debug)]
pub struct Listener {
    /// What is spoken.
    pub protocol: Protocol,
    /// Port 0 takes any free port (tests, demo).
    pub address: SocketAddr,
    /// How the client's side is encrypted.
    pub tls: ListenerTls,
    /// Whether a password is taken in clear: always on loopback without TLS, elsewhere only when the file says
    /// `plaintext: allowed` and names the networks.
    pub plaintext_allowed: bool,
    /// The one provider of its accounts; any provider that offers the protocol where `None`.
    pub provider: Option<String>,
    /// Who may connect; everybody where empty.
    pub allow_from: Vec<IpNet>,
}

/// How a listener encrypts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerTls {
    /// From the first byte.
    Implicit,
    /// Not at all.
    None,
    /// By STARTTLS or STLS.
    StartTls,
}

/// A certificate chain and its key, both PEM.
#[derive(Clone, Debug)]
pub struct CertificateFiles {
    /// The leaf first.
    pub certificate: PathBuf,
    /// PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
}

/// Caps and times. The defaults are safe; the file may change each.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Client connections in all.
    pub connections: usize,
    /// Client connections from one address (one /64 of IPv6).
    pub connections_per_address: usize,
    /// Wrong passwords on one connection before it is closed.
    pub wrong_passwords: u32,
    /// From the client's last credential byte to the verdict it hears. Devices hang up at 20 s.
    pub login: Duration,
    /// What the client itself may take before it is logged in, in all.
    pub before_login: Duration,
    /// After how long a wrong password is told, plus up to a quarter of jitter.
    pub wrong_password_delay: Duration,
    /// Silence in both directions after login, by protocol.
    pub idle_smtp: Duration,
    /// As above.
    pub idle_pop3: Duration,
    /// How long a stop waits for sessions that are logged in.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            connections_per_address: 50,
            wrong_passwords: 3,
            login: Duration::from_secs(15),
            before_login: Duration::from_secs(60),
            wrong_password_delay: Duration::from_secs(1),
            idle_smtp: Duration::from_secs(10 * 60),
            idle_pop3: Duration::from_secs(30 * 60),
            drain: Duration::from_secs(30),
        }
    }
}
