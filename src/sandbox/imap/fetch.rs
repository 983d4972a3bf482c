//! FETCH: the items that a client may ask for (RFC 3501 section 6.4.5), but for ENVELOPE and BODYSTRUCTURE, and what they say
//! about a message. A message's octets are never copied.

use bytes::Bytes;
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use super::command::Arguments;
use crate::sandbox::mailbox::Message;

/// One thing to tell about a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    Flags,
    InternalDate,
    Size,
    Uid,
    Octets {
        /// As the response names it.
        name: String,
        section: Section,
        /// Without setting `\Seen`.
        peek: bool,
        /// From which octet on, and at most how many.
        partial: Option<(usize, usize)>,
    },
}

/// A part of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Section {
    Whole,
    Header,
    /// These fields of the header, or all but these.
    Fields {
        names: Vec<Bytes>,
        except: bool,
    },
    Text,
}

/// `date-time`
pub(super) const DATE_TIME: &[BorrowedFormatItem<'static>] = format_description!(
    "[day padding:space]-[month repr:short]-[year] [hour]:[minute]:[second] [offset_hour sign:mandatory][offset_minute]"
);

/// One item, a macro, or a list of items.
pub(super) fn items(arguments: &mut Arguments) -> Option<Vec<Item>> {
    if arguments.take("(").is_none() {
        return item(arguments);
    }
    let mut items = item(arguments)?;
    while arguments.take(")").is_none() {
        arguments.space()?;
        items.extend(item(arguments)?);
    }
    Some(items)
}

impl Item {
    pub(super) fn sets_seen(&self) -> bool {
        matches!(self, Self::Octets { peek: false, .. })
    }

    /// The response, and the octets that stand behind it as a literal.
    pub(super) fn response(&self, message: &Message) -> (String, Option<Bytes>) {
        match self {
            Self::Flags => (format!("FLAGS {}", message.flags), None),
            Self::InternalDate => (format!("INTERNALDATE \"{}\"", date_time(message.received)), None),
            Self::Size => (format!("RFC822.SIZE {}", message.bytes.len()), None),
            Self::Uid => (format!("UID {}", message.uid), None),
            Self::Octets { name, section, partial, .. } => {
                let mut octets = section.of(&message.bytes);
                if let Some((from, count)) = partial {
                    let from = octets.len().min(*from);
                    octets = octets.slice(from..octets.len().min(from.saturating_add(*count)));
                }
                (format!("{name} {{{}}}\r\n", octets.len()), Some(octets))
            }
        }
    }
}

impl Section {
    pub(super) fn of(&self, message: &Bytes) -> Bytes {
        match self {
            Self::Whole => message.clone(),
            Self::Header => message.slice(..header_length(message)),
            Self::Text => message.slice(header_length(message)..),
            Self::Fields { names, except } => {
                let header = message.slice(..header_length(message));
                let listed = |name: &[u8]| names.iter().any(|listed| listed.eq_ignore_ascii_case(name));
                let chosen = fields(&header).filter(|(name, _)| listed(name) != *except);
                let mut octets: Vec<u8> = chosen.flat_map(|(_, field)| field.iter().copied()).collect();
                // The empty line is always there.
                octets.extend_from_slice(b"\r\n");
                octets.into()
            }
        }
    }
}

/// The fields of a header: each one's name, and the whole of it with its continuation lines. The empty line is none.
pub(super) fn fields(header: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = header;
    std::iter::from_fn(move || {
        let mut length = 0;
        for line in rest.split_inclusive(|byte| *byte == b'\n') {
            if length > 0 && !line.starts_with(b" ") && !line.starts_with(b"\t") {
                break;
            }
            length += line.len();
        }
        let (field, behind) = rest.split_at_checked(length)?;
        rest = behind;
        let name = field.split(|byte| *byte == b':').next().unwrap_or_default().trim_ascii_end();
        (!field.is_empty() && field != b"\r\n").then_some((name, field))
    })
}

fn item(arguments: &mut Arguments) -> Option<Vec<Item>> {
    let name = arguments.word(|byte| byte.is_ascii_alphanumeric() || byte == b'.')?.to_ascii_uppercase();
    let octets = |section, peek| Item::Octets { name: name.clone(), section, peek, partial: None };
    Some(match name.as_str() {
        "FAST" => vec![Item::Flags, Item::InternalDate, Item::Size],
        "FLAGS" => vec![Item::Flags],
        "INTERNALDATE" => vec![Item::InternalDate],
        "RFC822" => vec![octets(Section::Whole, false)],
        "RFC822.HEADER" => vec![octets(Section::Header, true)],
        "RFC822.SIZE" => vec![Item::Size],
        "RFC822.TEXT" => vec![octets(Section::Text, false)],
        "UID" => vec![Item::Uid],
        "BODY" => vec![body(arguments, false)?],
        "BODY.PEEK" => vec![body(arguments, true)?],
        _ => return None,
    })
}

/// `[HEADER.FIELDS (From To)]<0.100>`
fn body(arguments: &mut Arguments, peek: bool) -> Option<Item> {
    arguments.take("[")?;
    let word = arguments.word(|byte| byte.is_ascii_alphabetic() || byte == b'.').unwrap_or_default();
    let word = word.to_ascii_uppercase();
    let section = match word.as_str() {
        "" => Section::Whole,
        "HEADER" => Section::Header,
        "HEADER.FIELDS" | "HEADER.FIELDS.NOT" => {
            Section::Fields { names: field_names(arguments)?, except: word.ends_with("NOT") }
        }
        "TEXT" => Section::Text,
        _ => return None,
    };
    arguments.take("]")?;
    let partial = if arguments.take("<").is_some() {
        let from = arguments.number()?;
        arguments.take(".")?;
        let count = arguments.number().filter(|count| *count > 0)?;
        arguments.take(">")?;
        Some((from, count))
    } else {
        None
    };
    let listed = match &section {
        Section::Fields { names, .. } => {
            let names: Vec<_> = names.iter().map(|name| String::from_utf8_lossy(name)).collect();
            format!(" ({})", names.join(" "))
        }
        _ => String::new(),
    };
    let origin = partial.map(|(from, _)| format!("<{from}>")).unwrap_or_default();
    Some(Item::Octets { name: format!("BODY[{word}{listed}]{origin}"), section, peek, partial })
}

fn field_names(arguments: &mut Arguments) -> Option<Vec<Bytes>> {
    arguments.take(" (")?;
    let mut names = vec![arguments.astring()?];
    while arguments.take(")").is_none() {
        arguments.space()?;
        names.push(arguments.astring()?);
    }
    // The response repeats them as atoms.
    let plain =
        |name: &Bytes| name.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    names.iter().all(plain).then_some(names)
}

/// With the empty line behind it; a message without one is all header.
fn header_length(message: &[u8]) -> usize {
    if message.starts_with(b"\r\n") {
        return 2;
    }
    message.windows(4).position(|four| four == b"\r\n\r\n").map_or(message.len(), |at| at + 4)
}

fn date_time(at: OffsetDateTime) -> String {
    // Only a year of five digits cannot be written.
    at.format(DATE_TIME).unwrap_or_default()
}
