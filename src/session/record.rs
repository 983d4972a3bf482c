//! [`Record`]: what is known of a connection, for the one INFO line at its end. No secret can get into it, and nothing of a
//! message.

use std::fmt;
use std::net::SocketAddr;

use gatepost_protocol::Protocol;
use tokio::time::Instant;
use tracing::info;

/// Grows with the connection; becomes a line when the connection ends.
#[derive(Debug)]
pub struct Record {
    protocol: Protocol,
    listener: SocketAddr,
    /// Where it came from.
    pub client: SocketAddr,
    started: Instant,
    /// The mailbox, once the local password was right.
    pub account: Option<String>,
    /// How far it came.
    pub phase: Phase,
    /// Why the last attempt with a local password failed. What the provider refused has a line of its own.
    pub last_failure: Option<String>,
}

/// The phases of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing useful was said.
    Connected,
    /// A password was tried.
    Tried,
    /// A password was right.
    Identified,
    /// The provider let us in.
    LoggedIn,
}

impl fmt::Display for Phase {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Connected => "connected",
            Self::Tried => "tried",
            Self::Identified => "identified",
            Self::LoggedIn => "logged-in",
        })
    }
}

impl Record {
    /// A connection that was just accepted.
    pub fn new(protocol: Protocol, listener: SocketAddr, client: SocketAddr) -> Self {
        let phase = Phase::Connected;
        Self { protocol, listener, client, started: Instant::now(), account: None, phase, last_failure: None }
    }

    /// The line.
    pub fn close(&self, outcome: &str, bytes_up: u64, bytes_down: u64) {
        let seconds = (self.started.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;
        info!(
            protocol = self.protocol.name(),
            listener = %self.listener,
            client = %self.client,
            account = self.account.as_deref().unwrap_or("-"),
            phase = %self.phase,
            outcome,
            failure = self.last_failure.as_deref(),
            bytes_up,
            bytes_down,
            seconds,
            "session"
        );
    }
}
