//! The provider's side: where it is, and what it takes.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The host name in the provider's certificate. It is what everything upstream is verified against.
pub const HOST: &str = "localhost";

/// The mailbox whose login everybody uses; the upstream takes any name.
pub const USER_NAME: &str = "ann@example.com";

/// The OAuth access token that the upstream takes, as XOAUTH2.
pub const TOKEN: &str =
    "bench-access-token-which-is-as-long-as-a-real-one-because-it-is-sent-with-every-login-0123456789";

/// The password that the upstream takes from the programs that know no XOAUTH2, and that every contender takes from a client.
pub const PASSWORD: &str = "bench-password";

/// Where the provider is reached, on loopback.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Upstream {
    /// The certificate of its authority, as PEM.
    pub ca_file: PathBuf,
    /// Inside TLS from the first byte.
    pub pop3s: SocketAddr,
    /// Inside TLS from the first byte.
    pub smtps: SocketAddr,
    /// In clear, for nginx, which knows no TLS there.
    pub pop3: SocketAddr,
    /// In clear.
    pub smtp: SocketAddr,
}
