//! [`Limits`]: caps and times, within bounds that keep a device or a standard from being broken by a number.

use std::time::Duration;

use gatepost_protocol::Protocol;

use super::section::Section;

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
    /// As above.
    pub idle_imap: Duration,
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
            before_login: Duration::from_mins(1),
            wrong_password_delay: Duration::from_secs(1),
            idle_smtp: Duration::from_mins(10),
            idle_pop3: Duration::from_mins(30),
            idle_imap: Duration::from_mins(35),
            drain: Duration::from_secs(30),
        }
    }
}

impl Limits {
    /// How long a session of the protocol may be silent after its login.
    pub fn idle(&self, protocol: Protocol) -> Duration {
        match protocol {
            Protocol::Smtp => self.idle_smtp,
            Protocol::Pop3 => self.idle_pop3,
            Protocol::Imap => self.idle_imap,
        }
    }
}

/// Reads the section `limits`, and `drain` beside it.
pub(super) fn read(root: &mut Section<'_>) -> Limits {
    let mut limits = Limits::default();
    let (seconds, minutes) = (Duration::from_secs, Duration::from_mins);
    if let Some(time) = root.take("drain").and_then(|field| field.duration(seconds(0)..=minutes(60))) {
        limits.drain = time;
    }
    let Some(mut section) = root.take("limits").and_then(|field| field.section()) else { return limits };

    // A cap of 0 would let nobody in.
    for (key, cap) in [
        ("connections", &mut limits.connections),
        ("connections_per_address", &mut limits.connections_per_address),
    ] {
        if let Some(number) = section.take(key).and_then(|field| field.number(1..=1_000_000)) {
            *cap = number as usize;
        }
    }
    if let Some(number) = section.take("wrong_passwords").and_then(|field| field.number(1..=100)) {
        limits.wrong_passwords = number;
    }
    for (key, time, range) in [
        // Devices hang up at 20 s.
        ("login", &mut limits.login, seconds(5)..=seconds(20)),
        ("before_login", &mut limits.before_login, seconds(10)..=minutes(10)),
        ("wrong_password_delay", &mut limits.wrong_password_delay, seconds(1)..=seconds(10)),
        // RFC 5321 section 4.5.3.2.7: a server waits at least 5 minutes for the next command.
        ("idle_smtp", &mut limits.idle_smtp, minutes(5)..=minutes(24 * 60)),
        // RFC 1939 section 3: an autologout timer is at least 10 minutes.
        ("idle_pop3", &mut limits.idle_pop3, minutes(10)..=minutes(24 * 60)),
        // RFC 9051 section 5.4: an autologout timer is at least 30 minutes. RFC 2177: IDLE is said again after 29.
        ("idle_imap", &mut limits.idle_imap, minutes(31)..=minutes(24 * 60)),
    ] {
        if let Some(written) = section.take(key).and_then(|field| field.duration(range)) {
            *time = written;
        }
    }
    section.finish();
    limits
}
