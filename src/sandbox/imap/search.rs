//! SEARCH: the criteria of RFC 3501 section 6.4.4, but for dates and keywords. Strings are looked for in the message as it is,
//! without decoding it.

use bytes::Bytes;

use super::command::{Arguments, Set};
use super::fetch::{Section, fields};
use super::selected::{By, Selected};
use crate::sandbox::mailbox::{Flags, Message};

/// What a message must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Criterion {
    All(Vec<Self>),
    Either(Box<Self>, Box<Self>),
    Field { name: Bytes, holds: Bytes },
    Flag(Flags),
    Holds(Section, Bytes),
    Larger(usize),
    Not(Box<Self>),
    Numbers(Set, By),
    Smaller(usize),
}

impl Criterion {
    /// All criteria up to the end of the command; each must hold.
    pub(super) fn parse(arguments: &mut Arguments) -> Option<Self> {
        let mut all = vec![criterion(arguments)?];
        while !arguments.is_empty() {
            arguments.space()?;
            all.push(criterion(arguments)?);
        }
        Some(Self::All(all))
    }

    /// Whether the message with this number is one that is looked for.
    pub(super) fn fits(&self, number: u32, message: &Message, selected: &Selected) -> bool {
        match self {
            Self::All(criteria) => criteria.iter().all(|criterion| criterion.fits(number, message, selected)),
            Self::Either(one, other) => {
                one.fits(number, message, selected) || other.fits(number, message, selected)
            }
            Self::Field { name, holds } => {
                let header = Section::Header.of(&message.bytes);
                fields(&header).any(|(known, field)| {
                    let body = field.get(known.len() + 1..).unwrap_or_default();
                    known.eq_ignore_ascii_case(name) && contains(body, holds)
                })
            }
            Self::Flag(flag) => message.flags.contains(*flag),
            Self::Holds(section, text) => contains(&section.of(&message.bytes), text),
            Self::Larger(size) => message.bytes.len() > *size,
            Self::Not(criterion) => !criterion.fits(number, message, selected),
            Self::Numbers(set, by @ By::Number) => set.contains(number, selected.largest(*by)),
            Self::Numbers(set, by @ By::Uid) => set.contains(message.uid, selected.largest(*by)),
            Self::Smaller(size) => message.bytes.len() < *size,
        }
    }
}

fn criterion(arguments: &mut Arguments) -> Option<Criterion> {
    match arguments.peek()? {
        b'(' => return list(arguments),
        b'*' | b'0'..=b'9' => return Some(Criterion::Numbers(arguments.set()?, By::Number)),
        _ => {}
    }
    let key = arguments.atom()?.to_ascii_uppercase();
    Some(match key.as_str() {
        // Nothing is recent here, and all is old.
        "ALL" | "OLD" => Criterion::All(Vec::new()),
        "NEW" | "RECENT" => none(),
        "BCC" | "CC" | "FROM" | "SUBJECT" | "TO" => {
            Criterion::Field { name: key.clone().into(), holds: string(arguments)? }
        }
        "HEADER" => Criterion::Field { name: string(arguments)?, holds: string(arguments)? },
        "BODY" => Criterion::Holds(Section::Text, string(arguments)?),
        "TEXT" => Criterion::Holds(Section::Whole, string(arguments)?),
        "LARGER" => Criterion::Larger(size(arguments)?),
        "SMALLER" => Criterion::Smaller(size(arguments)?),
        "NOT" => Criterion::Not(Box::new(next(arguments)?)),
        "OR" => Criterion::Either(Box::new(next(arguments)?), Box::new(next(arguments)?)),
        "UID" => {
            arguments.space()?;
            Criterion::Numbers(arguments.set()?, By::Uid)
        }
        _ => return flag(&key),
    })
}

fn next(arguments: &mut Arguments) -> Option<Criterion> {
    arguments.space()?;
    criterion(arguments)
}

fn string(arguments: &mut Arguments) -> Option<Bytes> {
    arguments.space()?;
    arguments.astring()
}

fn size(arguments: &mut Arguments) -> Option<usize> {
    arguments.space()?;
    arguments.number()
}

fn list(arguments: &mut Arguments) -> Option<Criterion> {
    arguments.take("(")?;
    let mut all = vec![criterion(arguments)?];
    while arguments.take(")").is_none() {
        all.push(next(arguments)?);
    }
    Some(Criterion::All(all))
}

/// `SEEN`, `UNSEEN` and so on.
fn flag(key: &str) -> Option<Criterion> {
    let named = |name: &str| Flags::named(&format!(r"\{name}")).map(Criterion::Flag);
    match key.strip_prefix("UN") {
        Some(name) => Some(Criterion::Not(Box::new(named(name)?))),
        None => named(key),
    }
}

fn none() -> Criterion {
    Criterion::Not(Box::new(Criterion::All(Vec::new())))
}

/// In any case of ASCII letters. An empty string is in everything.
fn contains(octets: &[u8], text: &[u8]) -> bool {
    text.is_empty() || octets.windows(text.len()).any(|window| window.eq_ignore_ascii_case(text))
}
