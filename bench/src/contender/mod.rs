//! What the load runs against. Every contender is started fresh in a folder of its own, listens on free ports of loopback,
//! and ends with its value.

use std::net::SocketAddr;

/// A program between the load and the upstream, running.
pub struct Contender {
    /// As in the table: `gatepost`, `naive`, `direct`, `emailproxy`, `dovecot`, `nginx`, `haproxy`.
    pub name: &'static str,
    /// Where a client's POP3 goes, in clear unless it is `direct`.
    pub pop3: SocketAddr,
    /// Where a client's SMTP goes.
    pub smtp: SocketAddr,
    /// How the load logs in there.
    pub login: Login,
    /// The roots of its process trees, which are measured whole; none with `direct`.
    pub processes: Vec<u32>,
    /// What keeps it running: child processes that end when they are dropped, and its folder.
    pub running: Box<dyn Send>,
}

/// How the load logs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login {
    /// `USER`/`PASS`, `AUTH PLAIN`, in clear.
    Password,
    /// TLS and XOAUTH2 by itself, straight at the upstream (`direct`).
    Token,
    /// XOAUTH2 in clear; the program in between does TLS and no login (`naive`, HAProxy).
    TokenInClear,
}
