//! The YAML file as written: a tree in which every node knows its line, so that whatever is wrong with it later can be
//! told together. Only what cannot be read as YAML at all, a repeated key too, ends the reading at once.

use std::fmt;
use std::ops::Range;
use std::path::Path;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

use super::complaint::Complaint;
use super::mistakes::Level;

/// A value in the file.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// Counted from 1.
    pub(super) line: u64,
    /// Where it stands in the text, in octets. Of a mapping or a list only the start is known.
    pub(super) place: Range<usize>,
    pub(super) value: Value,
}

/// What a [`Node`] holds. Scalars stay text: only the key decides whether `0123` is a number or a name.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// In the order of the file.
    Mapping(Vec<Entry>),
    Nothing,
    Scalar(String),
    Sequence(Vec<Node>),
}

/// A key and its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) line: u64,
    /// Where the key stands in the text, in octets.
    pub(super) place: Range<usize>,
    pub(super) node: Node,
}

/// No section of the file is nested deeper; more would only cost stack.
const DEEPEST: usize = 16;

/// Reads the text of the file.
pub(crate) fn parse(path: &Path, text: &str) -> Result<Node, Box<Complaint>> {
    let options = serde_saphyr::options! { budget: serde_saphyr::budget! { max_depth: DEEPEST } };
    serde_saphyr::from_str_with_options(text, options).map(|root| into_node(root, text)).map_err(|error| {
        Box::new(Complaint {
            file: path.to_owned(),
            line: error.location().map(|location| location.line()),
            key: String::new(),
            code: None,
            level: Level::Error,
            text: in_words(error.without_snippet()),
            repair: None,
        })
    })
}

impl Node {
    /// Lays `over` on this node: mappings are merged key by key, anything else is replaced.
    pub(super) fn overlaid(self, over: Self) -> Self {
        let (line, place) = (over.line, over.place);
        let (below, above) = match (self.value, over.value) {
            (Value::Mapping(below), Value::Mapping(above)) => (below, above),
            (_, value) => return Self { line, place, value },
        };
        let mut entries = below;
        for entry in above {
            match entries.iter().position(|known| known.key == entry.key) {
                Some(position) => {
                    let known = entries.remove(position);
                    let node = known.node.overlaid(entry.node);
                    entries.insert(position, Entry { node, ..entry });
                }
                None => entries.push(entry),
            }
        }
        Self { line, place, value: Value::Mapping(entries) }
    }

    /// The same, as if all of it stood on one line: a preset is complained about where the file names it. Nothing of it stands
    /// in the text that could be written anew.
    pub(super) fn moved_to(self, line: u64) -> Self {
        let value = match self.value {
            Value::Mapping(entries) => Value::Mapping(
                entries
                    .into_iter()
                    .map(|entry| Entry { line, place: 0..0, node: entry.node.moved_to(line), ..entry })
                    .collect(),
            ),
            Value::Sequence(nodes) => {
                Value::Sequence(nodes.into_iter().map(|node| node.moved_to(line)).collect())
            }
            scalar => scalar,
        };
        Self { line, place: 0..0, value }
    }

    /// Whether it stands in the file itself, and was not brought by a preset. No value begins at the first octet, where the first
    /// key is.
    pub(super) fn is_written(&self) -> bool {
        self.place.start > 0
    }

    /// The value of a key, where this is a mapping that has it.
    pub(super) fn find(&self, key: &str) -> Option<&Self> {
        self.entries().iter().find(|entry| entry.key == key).map(|entry| &entry.node)
    }

    /// Takes a key out of a mapping, and gives its value.
    pub(super) fn remove(&mut self, key: &str) -> Option<Self> {
        let Value::Mapping(entries) = &mut self.value else { return None };
        let position = entries.iter().position(|entry| entry.key == key)?;
        Some(entries.remove(position).node)
    }

    /// The entries of a mapping; none where it is something else.
    pub(super) fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Mapping(entries) => entries,
            _ => &[],
        }
    }

    /// A member of a list, counted from 0.
    pub(super) fn member(&self, number: usize) -> Option<&Self> {
        match &self.value {
            Value::Sequence(nodes) => nodes.get(number),
            _ => None,
        }
    }

    /// The single values in a list; none where this is something else.
    pub(super) fn texts(&self) -> Vec<&str> {
        match &self.value {
            Value::Sequence(nodes) => nodes.iter().filter_map(Self::scalar).collect(),
            _ => Vec::new(),
        }
    }

    pub(super) fn is_nothing(&self) -> bool {
        matches!(self.value, Value::Nothing)
    }

    pub(super) fn is_empty_mapping(&self) -> bool {
        matches!(&self.value, Value::Mapping(entries) if entries.is_empty())
    }

    pub(super) fn is_empty_list(&self) -> bool {
        matches!(&self.value, Value::Sequence(nodes) if nodes.is_empty())
    }

    /// The text of a single value.
    pub(super) fn scalar(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(text) => Some(text),
            _ => None,
        }
    }
}

fn in_words(error: &serde_saphyr::Error) -> String {
    if let serde_saphyr::Error::DuplicateMappingKey { key: Some(key), .. } = error {
        return format!("`{key}` stands in the same mapping twice; keep one of them");
    }
    let words = error.render_with_formatter(&serde_saphyr::UserMessageFormatter);
    let Some(location) = error.location() else { return format!("not valid YAML: {words}") };
    let words =
        words.trim_end_matches(&format!(" at line {}, column {}", location.line(), location.column()));
    format!("not valid YAML at column {}: {words}", location.column())
}

/// What serde hands over, before plain scalars got their text back.
enum Written {
    Mapping(Vec<(Spanned<String>, Spanned<Self>)>),
    Nothing,
    /// A number or boolean: its text is still in the file.
    Plain,
    Sequence(Vec<Spanned<Self>>),
    Text(String),
}

fn into_node(written: Spanned<Written>, source: &str) -> Node {
    let value = match written.value {
        Written::Mapping(entries) => Value::Mapping(
            entries
                .into_iter()
                .map(|(key, node)| Entry {
                    line: key.referenced.line(),
                    place: place_of(key.referenced),
                    key: key.value,
                    node: into_node(node, source),
                })
                .collect(),
        ),
        Written::Nothing => Value::Nothing,
        Written::Plain => Value::Scalar(text_at(source, written.defined)),
        Written::Sequence(nodes) => {
            Value::Sequence(nodes.into_iter().map(|node| into_node(node, source)).collect())
        }
        Written::Text(text) => Value::Scalar(text),
    };
    Node { line: written.referenced.line(), place: place_of(written.referenced), value }
}

/// The text of the file at a place.
fn text_at(source: &str, place: Location) -> String {
    source.get(place_of(place)).unwrap_or_default().trim().to_owned()
}

fn place_of(place: Location) -> Range<usize> {
    let octets = |number: Option<u64>| number.and_then(|number| usize::try_from(number).ok());
    let start = octets(place.span().byte_offset()).unwrap_or_default();
    start..start + octets(place.span().byte_len()).unwrap_or_default()
}

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WrittenVisitor)
    }
}

struct WrittenVisitor;

impl<'de> Visitor<'de> for WrittenVisitor {
    type Value = Written;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a mapping, a list or a value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Written, E> {
        Ok(Written::Plain)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Written, E> {
        Ok(Written::Plain)
    }

    fn visit_i128<E>(self, _: i128) -> Result<Written, E> {
        Ok(Written::Plain)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Written, E> {
        Ok(Written::Plain)
    }

    fn visit_u128<E>(self, _: u128) -> Result<Written, E> {
        Ok(Written::Plain)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Written, E> {
        Ok(Written::Plain)
    }

    fn visit_str<E>(self, text: &str) -> Result<Written, E> {
        Ok(Written::Text(text.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Written, E> {
        Ok(Written::Nothing)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Written, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = access.next_element()? {
            nodes.push(node);
        }
        Ok(Written::Sequence(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Written, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(Written::Mapping(entries))
    }
}
