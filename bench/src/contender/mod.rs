//! What the load runs against. Every contender is started fresh in a folder of its own, listens on free ports of loopback,
//! and ends with its value.

mod dovecot;
mod emailproxy;
mod gatepost;
mod haproxy;
mod naive;
mod nginx;
mod program;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context as _, bail, ensure};

pub use self::gatepost::{Prepared, Setup, prepare as prepare_gatepost, user_name};
pub(crate) use self::naive::connector as tls_connector;
pub use self::naive::{Arguments as NaiveArguments, run as run_naive};
pub use self::program::NotInstalled;
use crate::upstream::Upstream;

/// Starts the contender of this name in front of the upstream, and waits until it listens. A program that this machine does not have is
/// [`NotInstalled`]. One file for each has
/// `pub(super) async fn start(upstream: &Upstream) -> anyhow::Result<Contender>`.
pub async fn start(name: &str, upstream: &Upstream) -> anyhow::Result<Contender> {
    match name {
        "direct" => Ok(direct(upstream)),
        "naive" => naive::start(upstream).await,
        "gatepost" => gatepost::start(upstream, Setup::default()).await,
        "gatepost-tls" => gatepost::start(upstream, Setup { local_tls: true, ..Setup::default() }).await,
        "emailproxy" => emailproxy::start(upstream).await,
        "dovecot" => dovecot::start(upstream).await,
        "nginx" => nginx::start(upstream).await,
        "haproxy" => haproxy::start(upstream).await,
        _ => bail!("no contender is called {name}"),
    }
}

/// A program between the load and the upstream, running.
pub struct Contender {
    /// As in the table: `gatepost`, `gatepost-tls`, `naive`, `direct`, `emailproxy`, `dovecot`, `nginx`, `haproxy`.
    pub name: &'static str,
    /// Where a client's POP3 goes, in clear unless it is `direct`.
    pub pop3: SocketAddr,
    /// Where a client's SMTP goes.
    pub smtp: SocketAddr,
    /// How the load logs in there.
    pub login: Login,
    /// The roots of its process trees, which are measured whole; none with `direct`.
    pub processes: Vec<u32>,
    /// Whom a client has to trust there, in a PEM file; the provider's authority where `None`.
    pub authority: Option<PathBuf>,
    /// What keeps it running: child processes that end when they are dropped, and its folder.
    pub running: Box<dyn Send>,
}

/// How the load logs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login {
    /// `USER`/`PASS`, `AUTH PLAIN`, in clear.
    Password,
    /// The same inside TLS (`gatepost-tls`).
    PasswordInTls,
    /// TLS and XOAUTH2 by itself, straight at the upstream (`direct`).
    Token,
    /// XOAUTH2 in clear; the program in between does TLS and no login (`naive`, HAProxy).
    TokenInClear,
}

impl Login {
    /// Whether a password is what the client has.
    pub fn is_password(self) -> bool {
        matches!(self, Self::Password | Self::PasswordInTls)
    }

    /// Whether the client begins with TLS.
    pub fn is_in_tls(self) -> bool {
        matches!(self, Self::Token | Self::PasswordInTls)
    }
}

/// No program at all: the load logs in at the upstream by itself.
pub(crate) fn direct(upstream: &Upstream) -> Contender {
    Contender {
        name: "direct",
        pop3: upstream.pop3s,
        smtp: upstream.smtps,
        login: Login::Token,
        processes: Vec::new(),
        authority: None,
        running: Box::new(()),
    }
}

/// One of this workspace's executables: this very one, or the one beside it.
pub(crate) fn own_executable(name: &str) -> anyhow::Result<PathBuf> {
    let executable = std::env::current_exe()?.parent().context("this executable is in no folder")?.join(name);
    ensure!(executable.is_file(), "there is no {}; build it first", executable.display());
    Ok(executable)
}
