//! Golden transcripts: how a file is read. Who plays it, and over what, is another's affair.
//!
//! A transcript is one idea; its file's name is the sentence that says it. Line by line:
//!
//! ```text
//! # why this is so
//! @ encryption: active | optional | required | unavailable     toward the client; optional unless said
//! @ upstream: implicit | starttls                              TLS toward the provider; implicit unless said
//! @ account: ready | disabled | not connected                  ready unless said
//! @ password: TEXT                                             what we log in with at the provider, in place of the token
//! @ mechanism: plain | login                                   the one that the configuration names; none unless said
//! C: the mail client says this line to us                      ends with CRLF
//! S: we say this line to the mail client
//! P: we say this line to the provider
//! U: the provider says this line to us
//! C~: said as it stands: \r \n \t \0 \\ and \x80, no CRLF       for each of the four
//! C: <TLS>      the client's handshake happens here            P: <TLS> ours with the provider
//! S: <closed>   we close the client's connection               P: <closed> ours to the provider
//! ```
//!
//! Lines of one speaker in a row are one packet. The world is always the same: we are `gatepost.test`; the user is
//! `scanner@example.com` with the password `tanstaaftanstaaf`, anything else is wrong; the token is `ya29.test`; the provider is
//! known to honour what [`CAPABILITIES`] says; the third wrong password ends a connection.

use std::fs;
use std::path::{Path, PathBuf};

use gatepost_protocol::Protocol;
use gatepost_protocol::dialogue::Encryption;
use gatepost_protocol::sasl::UpstreamMechanism;

/// Our name toward clients and toward the provider.
pub const HOST_NAME: &str = "gatepost.test";
/// The one user.
pub const USER_NAME: &str = "scanner@example.com";
/// The right password.
pub const PASSWORD: &str = "tanstaaftanstaaf";
/// What the OAuth server gave us.
pub const TOKEN: &str = "ya29.test";
/// The provider's server, as OAUTHBEARER tells it. On the wire the port is another.
pub const SERVER: (&str, u16) = ("localhost", 1);
/// Wrong passwords per connection.
pub const WRONG_PASSWORDS: u32 = 3;
/// What the provider's preset says, for SMTP, for POP3 and for IMAP.
pub const CAPABILITIES: [&[&str]; 3] =
    [&["SIZE 35882577", "8BITMIME"], &["TOP", "UIDL"], &["IDLE", "LITERAL+"]];

/// A dialogue of four parties, as a file has it.
pub struct Transcript {
    /// Where it stands, for messages.
    pub path: PathBuf,
    /// From the folder's name.
    pub protocol: Protocol,
    /// Toward the client.
    pub encryption: Encryption,
    /// Whether TLS toward the provider begins with STARTTLS or STLS.
    pub upstream_start_tls: bool,
    /// The state of the one account.
    pub account: AccountState,
    /// The mailbox's password, where the provider has no tokens.
    pub password: Option<String>,
    /// The mechanism to use whatever is announced.
    pub mechanism: Option<UpstreamMechanism>,
    /// What is said and done, in order. No speaker has two turns of bytes in a row.
    pub turns: Vec<Turn>,
}

/// What a right password leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountState {
    /// To the provider.
    Ready,
    /// Switched off by the admin.
    Disabled,
    /// Nobody has consented yet.
    NotConnected,
}

/// Something said or done by one party.
#[derive(Clone, PartialEq, Eq)]
pub struct Turn {
    /// Who.
    pub speaker: Speaker,
    /// What.
    pub deed: Deed,
}

/// The four parties; two of them are us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaker {
    /// `C`: the mail client.
    Client,
    /// `S`: us, toward the mail client.
    Server,
    /// `P`: us, toward the provider.
    Proxy,
    /// `U`: the provider.
    Upstream,
}

/// What a party can do.
#[derive(Clone, PartialEq, Eq)]
pub enum Deed {
    /// Send bytes.
    Say(Vec<u8>),
    /// Begin TLS.
    Tls,
    /// Close the connection.
    Close,
}

impl Turn {
    /// Whether it comes from outside, so that a player must do it; the others are what we are expected to do.
    pub fn is_cue(&self) -> bool {
        matches!(self.speaker, Speaker::Client | Speaker::Upstream) || self.deed == Deed::Tls
    }
}

impl std::fmt::Debug for Turn {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let letter = match self.speaker {
            Speaker::Client => 'C',
            Speaker::Server => 'S',
            Speaker::Proxy => 'P',
            Speaker::Upstream => 'U',
        };
        match &self.deed {
            Deed::Say(bytes) => write!(formatter, "{letter}~: {}", bytes.escape_ascii()),
            Deed::Tls => write!(formatter, "{letter}: <TLS>"),
            Deed::Close => write!(formatter, "{letter}: <closed>"),
        }
    }
}

/// Adds a turn; bytes join the turn before if that was the same speaker's.
pub fn push(turns: &mut Vec<Turn>, speaker: Speaker, deed: Deed) {
    if let (Deed::Say(bytes), Some(Turn { speaker: last, deed: Deed::Say(so_far) })) =
        (&deed, turns.last_mut())
        && *last == speaker
    {
        so_far.extend_from_slice(bytes);
        return;
    }
    turns.push(Turn { speaker, deed });
}

impl Transcript {
    /// Every transcript of a protocol, in the order of their names. A folder without any is a mistake.
    pub fn all(protocol: Protocol) -> Vec<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts").join(protocol.name());
        let mut paths: Vec<PathBuf> = fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
            .map(|entry| entry.expect("a folder's entry").path())
            .collect();
        paths.sort();
        assert!(!paths.is_empty(), "{}: no transcripts", folder.display());
        paths.into_iter().map(|path| Self::read(path, protocol)).collect()
    }

    fn read(path: PathBuf, protocol: Protocol) -> Self {
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut transcript = Self {
            path,
            protocol,
            encryption: Encryption::Optional,
            upstream_start_tls: false,
            account: AccountState::Ready,
            password: None,
            mechanism: None,
            turns: Vec::new(),
        };
        for (index, line) in text.lines().enumerate() {
            transcript.take(line).unwrap_or_else(|| {
                panic!("{}:{}: not understood: {line}", transcript.path.display(), index + 1)
            });
        }
        transcript
    }

    fn take(&mut self, line: &str) -> Option<()> {
        if line.is_empty() || line.starts_with('#') {
            return Some(());
        }
        if let Some(setting) = line.strip_prefix("@ ") {
            return self.set(setting);
        }
        let mut rest = line.chars();
        let speaker = match rest.next()? {
            'C' => Speaker::Client,
            'S' => Speaker::Server,
            'P' => Speaker::Proxy,
            'U' => Speaker::Upstream,
            _ => return None,
        };
        let rest = rest.as_str();
        let deed = if let Some(raw) = rest.strip_prefix("~:") {
            Deed::Say(unescape(raw.strip_prefix(' ')?)?)
        } else {
            let text = rest.strip_prefix(':')?;
            match (text.strip_prefix(' ').unwrap_or(text), speaker) {
                ("<TLS>", Speaker::Client | Speaker::Proxy) => Deed::Tls,
                ("<closed>", Speaker::Server | Speaker::Proxy) => Deed::Close,
                (text, _) => Deed::Say(format!("{text}\r\n").into_bytes()),
            }
        };
        push(&mut self.turns, speaker, deed);
        Some(())
    }

    fn set(&mut self, setting: &str) -> Option<()> {
        match setting.split_once(": ")? {
            ("encryption", "active") => self.encryption = Encryption::Active,
            ("encryption", "optional") => self.encryption = Encryption::Optional,
            ("encryption", "required") => self.encryption = Encryption::Required,
            ("encryption", "unavailable") => self.encryption = Encryption::Unavailable,
            ("upstream", "implicit") => self.upstream_start_tls = false,
            ("upstream", "starttls") => self.upstream_start_tls = true,
            ("account", "ready") => self.account = AccountState::Ready,
            ("account", "disabled") => self.account = AccountState::Disabled,
            ("account", "not connected") => self.account = AccountState::NotConnected,
            ("password", text) => self.password = Some(text.to_owned()),
            ("mechanism", "plain") => self.mechanism = Some(UpstreamMechanism::Plain),
            ("mechanism", "login") => self.mechanism = Some(UpstreamMechanism::Login),
            _ => return None,
        }
        Some(())
    }
}

fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'\\' => match rest.next()? {
                b'r' => b'\r',
                b'n' => b'\n',
                b't' => b'\t',
                b'0' => 0,
                b'\\' => b'\\',
                b'x' => {
                    let digits = [rest.next()?, rest.next()?];
                    u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
                }
                _ => return None,
            },
            other => other,
        });
    }
    Some(bytes)
}
