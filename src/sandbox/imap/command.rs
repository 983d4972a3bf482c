//! A command as it is on the wire, its literals included, and a reader that takes it apart (RFC 3501 section 9). Every
//! method of [`Arguments`] takes what it names from the front, or gives `None`; then the command is BAD.

use std::io;

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::sandbox::mail::{Connection, without_end};
use crate::sandbox::mailbox::Flags;
use crate::sandbox::record::Speaker;
use crate::sandbox::sasl::Mechanism;

/// A whole command.
pub(super) struct Command {
    pub(super) tag: String,
    /// In capitals; what follows UID is part of it: `UID FETCH`.
    pub(super) name: String,
    pub(super) arguments: Arguments,
}

/// What stands behind the command's name.
pub(super) struct Arguments {
    rest: Bytes,
}

/// `1:3,5,*` of message numbers or UIDs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Set(Vec<(Bound, Bound)>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bound {
    Number(u32),
    /// `*`
    Largest,
}

impl Command {
    /// Reads one, with all its literals. `None` when it was none, and has been answered.
    pub(super) async fn read<S: AsyncRead + AsyncWrite + Unpin>(
        connection: &mut Connection<S>,
        logged_in: bool,
    ) -> io::Result<Option<Self>> {
        /// Exchange Online's limit for a message, 150 MiB.
        const MESSAGE: usize = 157_286_400;
        /// Before login there is nothing long to say.
        const WORD: usize = 1024;
        let limit = if logged_in { MESSAGE } else { WORD };
        let mut read = Vec::new();
        loop {
            let start = read.len();
            connection.raw_line(&mut read).await?;
            let line = without_end(read.get(start..).unwrap_or_default());
            note(connection, line, start == 0);
            let Some((length, waits)) = announced_literal(line) else { break };
            if length > limit {
                // The client may be sending it already, so that nothing sensible can follow.
                return connection.close(b"* BYE Literal too long\r\n").await;
            }
            if waits {
                connection.say("+ Go on\r\n").await?;
            }
            connection.literal(length, &mut read).await?;
        }
        read.truncate(without_end(&read).len());
        let command = Self::parse(Bytes::from(read));
        if command.is_none() {
            connection.say("* BAD Not a command\r\n").await?;
        }
        Ok(command)
    }

    fn parse(bytes: Bytes) -> Option<Self> {
        let mut arguments = Arguments { rest: bytes };
        // An astring's characters without the plus.
        let tag = arguments.word(|byte| byte != b'+' && (is_atom(byte) || byte == b']'))?;
        arguments.space()?;
        let mut name = arguments.atom()?.to_ascii_uppercase();
        if name == "UID" {
            arguments.space()?;
            name = format!("UID {}", arguments.atom()?.to_ascii_uppercase());
        }
        // What follows must be apart from the name.
        if !arguments.is_empty() {
            arguments.space()?;
        }
        Some(Self { tag, name, arguments })
    }
}

impl Arguments {
    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Nothing more stands there.
    pub(super) fn end(&self) -> Option<()> {
        self.is_empty().then_some(())
    }

    /// Exactly these octets.
    pub(super) fn take(&mut self, expected: &str) -> Option<()> {
        self.rest.starts_with(expected.as_bytes()).then(|| self.rest.advance(expected.len()))
    }

    pub(super) fn space(&mut self) -> Option<()> {
        self.take(" ")
    }

    pub(super) fn atom(&mut self) -> Option<String> {
        self.word(is_atom)
    }

    /// What a SASL mechanism's data is made of.
    pub(super) fn base64(&mut self) -> Option<String> {
        self.word(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='))
    }

    pub(super) fn number(&mut self) -> Option<usize> {
        self.word(|byte| byte.is_ascii_digit())?.parse().ok()
    }

    /// As many of such octets as there are, but one at least.
    pub(super) fn word(&mut self, allowed: impl Fn(u8) -> bool) -> Option<String> {
        let length = self.rest.iter().take_while(|byte| allowed(**byte)).count();
        if length == 0 {
            return None;
        }
        String::from_utf8(self.rest.split_to(length).to_vec()).ok()
    }

    /// An atom (with `]`), a quoted string or a literal.
    pub(super) fn astring(&mut self) -> Option<Bytes> {
        match self.rest.first()? {
            b'"' => self.quoted(),
            b'{' => self.literal(),
            _ => self.word(|byte| is_atom(byte) || byte == b']').map(Bytes::from),
        }
    }

    /// An astring, or an atom with the wildcards of LIST in it.
    pub(super) fn pattern(&mut self) -> Option<Bytes> {
        match self.rest.first()? {
            b'"' | b'{' => self.astring(),
            _ => self.word(|byte| is_atom(byte) || matches!(byte, b']' | b'%' | b'*')).map(Bytes::from),
        }
    }

    pub(super) fn quoted(&mut self) -> Option<Bytes> {
        self.take("\"")?;
        let mut string = Vec::new();
        loop {
            let byte = self.rest.try_get_u8().ok()?;
            match byte {
                b'"' => return Some(string.into()),
                b'\\' => match self.rest.try_get_u8().ok()? {
                    escaped @ (b'"' | b'\\') => string.push(escaped),
                    _ => return None,
                },
                b'\r' | b'\n' => return None,
                _ => string.push(byte),
            }
        }
    }

    /// `{n}` or `{n+}`, the line's end, and n octets, which are not copied.
    pub(super) fn literal(&mut self) -> Option<Bytes> {
        self.take("{")?;
        let length = self.number()?;
        let _waits_not = self.take("+");
        self.take("}")?;
        let _bare = self.take("\r");
        self.take("\n")?;
        (length <= self.rest.len()).then(|| self.rest.split_to(length))
    }

    /// `1:3,5,*`
    pub(super) fn set(&mut self) -> Option<Set> {
        let text = self.word(|byte| byte.is_ascii_digit() || matches!(byte, b'*' | b':' | b','))?;
        let ranges = text.split(',').map(|range| {
            let (first, last) = range.split_once(':').unwrap_or((range, range));
            Some((Bound::parse(first)?, Bound::parse(last)?))
        });
        ranges.collect::<Option<_>>().map(Set)
    }

    /// `(\Seen \Deleted)`. Flags that the sandbox does not keep are passed over, as PERMANENTFLAGS announces.
    pub(super) fn flags(&mut self) -> Option<Flags> {
        self.take("(")?;
        if self.take(")").is_some() {
            return Some(Flags::default());
        }
        let flags = self.bare_flags()?;
        self.take(")").map(|()| flags)
    }

    /// The same without the parentheses, as STORE may have it.
    pub(super) fn bare_flags(&mut self) -> Option<Flags> {
        let mut flags = Flags::default();
        loop {
            let flag = self.word(|byte| is_atom(byte) || byte == b'\\')?;
            flags = flags.with(Flags::named(&flag).unwrap_or_default());
            if self.space().is_none() {
                return Some(flags);
            }
        }
    }

    /// The next octet, which is not taken.
    pub(super) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }
}

impl Set {
    /// Whether a number or UID is in the set, when the largest is this one.
    pub(super) fn contains(&self, number: u32, largest: u32) -> bool {
        self.0.iter().any(|(first, last)| {
            let (first, last) = (first.resolved(largest), last.resolved(largest));
            (first.min(last)..=first.max(last)).contains(&number)
        })
    }

    /// The largest number that is written in it.
    pub(super) fn largest_named(&self) -> u32 {
        self.0.iter().map(|(first, last)| first.resolved(0).max(last.resolved(0))).max().unwrap_or_default()
    }
}

impl Bound {
    fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Largest);
        }
        text.parse().ok().filter(|number| *number > 0).map(Self::Number)
    }

    fn resolved(self, largest: u32) -> u32 {
        match self {
            Self::Number(number) => number,
            Self::Largest => largest,
        }
    }
}

/// The line for the record. A token that stands in it is noted by the login, shortened.
fn note<S: AsyncRead + AsyncWrite + Unpin>(connection: &Connection<S>, line: &[u8], first: bool) {
    let text = String::from_utf8_lossy(line);
    let mut words = text.split(' ');
    let (tag, name, mechanism) = (words.next(), words.next().unwrap_or_default(), words.next());
    let response = first && name.eq_ignore_ascii_case("AUTHENTICATE") && words.next().is_some();
    match (tag, mechanism) {
        (Some(_), Some(mechanism)) if response && Mechanism::named(mechanism).is_some() => {}
        (Some(tag), Some(_)) if response => connection.note(Speaker::Client, &format!("{tag} {name} (...)")),
        _ => connection.note(Speaker::Client, &text),
    }
}

/// `{n}` at the line's end, and whether the client waits for leave to send it.
fn announced_literal(line: &[u8]) -> Option<(usize, bool)> {
    let line = line.strip_suffix(b"}")?;
    let start = line.iter().rposition(|byte| *byte == b'{')?;
    let inside = std::str::from_utf8(line.get(start + 1..)?).ok()?;
    let length = inside.strip_suffix('+').unwrap_or(inside);
    if !length.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some((length.parse().ok()?, !inside.ends_with('+')))
}

/// ATOM-CHAR.
fn is_atom(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'(' | b')' | b'{' | b'%' | b'*' | b'"' | b'\\' | b']')
}
