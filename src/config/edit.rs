//! Extends the text of gatepost.yaml by what `gatepost setup` found out. Rule: not an octet of what stands there changes, but
//! for a value that is replaced; and the new text is read again, and means what the old one meant with the addition laid
//! over it, or nothing comes of it.
//!
//! Places come from the reader of the file, so that no second opinion on YAML is needed. What it does not know (where a block
//! ends, and to which entry a comment belongs) indentation tells.

use std::fmt;
use std::ops::Range;
use std::path::Path;

use super::file::{self, Entry, Node, Value as Written};

/// What is to stand in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// In the order in which it is written.
    Section(Vec<(String, Self)>),
    /// A list of texts.
    List(Vec<String>),
    /// A single value.
    Text(String),
}

/// As it is written on one line.
impl fmt::Display for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&in_flow(self))
    }
}

/// The text with the addition in it; `None` where it cannot be written without touching something else. Keys that are there
/// with other values get the new ones; sections are joined.
pub fn extended(text: &str, addition: &[(String, Value)]) -> Option<String> {
    let old = read(text)?;
    let mut new = text.to_owned();
    // Each round writes one key; whatever needs more is a mistake of ours.
    for _ in 0..MOST_CHANGES {
        let tree = read(&new)?;
        let Some(change) = first_change(&new, &tree, addition, None)? else {
            let expected = old.overlaid(node(&Value::Section(addition.to_vec())));
            return is_same(&tree, &expected).then_some(new);
        };
        new.replace_range(change.place, &change.text);
    }
    None
}

/// The addition alone, as a person would write it into the file.
pub fn in_words(addition: &[(String, Value)]) -> String {
    let mut text = String::new();
    let layout = Layout { indentation: 0, step: 2, line_end: "\n" };
    write_block(&mut text, addition, layout, 0);
    text
}

const MOST_CHANGES: usize = 64;

/// Sections nested as deep as this stand on one line: `smtp: { host: …, port: … }`.
const FLOW_DEPTH: usize = 2;

/// New text in place of what stands there, which may be nothing.
pub(super) struct Change {
    pub(super) place: Range<usize>,
    pub(super) text: String,
}

/// How a block is written.
#[derive(Clone, Copy)]
struct Layout {
    indentation: usize,
    step: usize,
    line_end: &'static str,
}

pub(super) fn read(text: &str) -> Option<Node> {
    file::parse(Path::new(""), text).ok()
}

/// What is to be done first so that the section holds the addition. The outer level fails where that cannot be written.
// The outer level is for `?`, the inner one says that nothing is left to do.
#[allow(clippy::option_option)]
fn first_change(
    text: &str,
    section: &Node,
    addition: &[(String, Value)],
    above: Option<(&Entry, usize)>,
) -> Option<Option<Change>> {
    let depth = above.map_or(0, |(_, depth)| depth + 1);
    for (key, value) in addition {
        let Some(entry) = section.entries().iter().find(|entry| entry.key == *key) else {
            return insertion(text, section, (key, value), above.map(|(entry, _)| entry), depth).map(Some);
        };
        let change = match (value, &entry.node.value) {
            (Value::Section(inner), Written::Mapping(_) | Written::Nothing) => {
                first_change(text, &entry.node, inner, Some((entry, depth)))?
            }
            _ if is_same(&node(value), &entry.node) => None,
            _ => Some(replacement(text, &entry.node, value)?),
        };
        if change.is_some() {
            return Some(change);
        }
    }
    Some(None)
}

/// A value that stands in one piece, written anew.
pub(super) fn replacement(text: &str, old: &Node, value: &Value) -> Option<Change> {
    let place = match old.value {
        Written::Scalar(_) => old.place.clone(),
        Written::Sequence(_) if text.get(old.place.start..)?.starts_with('[') => {
            old.place.start..flow_end(text, old.place.start)?.1 + 1
        }
        Written::Mapping(_) | Written::Nothing | Written::Sequence(_) => return None,
    };
    (!place.is_empty()).then(|| Change { place, text: in_flow(value) })
}

/// A new entry of a section, behind all that belongs to its last one. `above` is the section's own key.
fn insertion(
    text: &str,
    section: &Node,
    (key, value): (&str, &Value),
    above: Option<&Entry>,
    depth: usize,
) -> Option<Change> {
    let new_entry = [(key.to_owned(), value.clone())];
    if section.is_nothing() && !section.place.is_empty() {
        // `~` or `null`.
        let place = section.place.clone();
        return Some(Change { place, text: in_flow(&Value::Section(new_entry.into())) });
    }
    if text.get(section.place.start..).is_some_and(|rest| rest.starts_with('{')) {
        return flow_insertion(text, section, key, value);
    }
    let layout = layout(text, section.entries(), above);
    let (first, start) = match (section.entries(), above) {
        ([first, .., last], _) => (first.place.start, line_of(text, end_of(last)).end),
        ([only], _) => (only.place.start, line_of(text, end_of(only)).end),
        ([], Some(above)) => (text.len(), line_of(text, above.place.start).end),
        ([], None) => (text.len(), text.len()),
    };
    let end = block_end(text, start, layout.indentation);
    let mut new = String::new();
    if text.get(..end).is_some_and(|before| !before.is_empty() && !before.ends_with('\n')) {
        new.push_str(layout.line_end);
    }
    // Sections that stand apart stay so.
    let stand_apart = |block: &str| block.lines().any(|line| line.trim().is_empty());
    if is_block(value, depth) && text.get(first..end).is_some_and(stand_apart) {
        new.push_str(layout.line_end);
    }
    write_block(&mut new, &new_entry, layout, depth);
    Some(Change { place: end..end, text: new })
}

fn flow_insertion(text: &str, section: &Node, key: &str, value: &Value) -> Option<Change> {
    let (last, close) = flow_end(text, section.place.start)?;
    let is_empty = section.entries().is_empty();
    let before = if is_empty || text.get(..last)?.ends_with(',') { " " } else { ", " };
    let behind = if is_empty && last == close { " " } else { "" };
    Some(Change { place: last..last, text: format!("{before}{}: {}{behind}", quoted(key), in_flow(value)) })
}

/// As what stands there is written.
fn layout(text: &str, entries: &[Entry], above: Option<&Entry>) -> Layout {
    let column = |entry: &Entry| entry.place.start - line_of(text, entry.place.start).start;
    let inner_step = |entry: &Entry| {
        let inner = entry.node.entries().first().filter(|inner| inner.line > entry.line)?;
        column(inner).checked_sub(column(entry))
    };
    let own = entries.first().map(column);
    let step = match (entries.iter().find_map(inner_step), own, above.map(column)) {
        (Some(step), _, _) => step,
        (None, Some(own), Some(above)) => own.saturating_sub(above),
        _ => 2,
    };
    Layout {
        indentation: own.or(above.map(|above| column(above) + step)).unwrap_or(0),
        step: step.max(1),
        line_end: if text
            .lines()
            .next()
            .is_some_and(|line| text.get(line.len()..).is_some_and(|rest| rest.starts_with("\r\n")))
        {
            "\r\n"
        } else {
            "\n"
        },
    }
}

/// Where the block with this indentation ends, looked for from `start`, the line behind its last value. Comments with at
/// least its indentation belong to it, and so do the settings that are commented out in Gatepost's own example.
fn block_end(text: &str, start: usize, indentation: usize) -> usize {
    let (mut end, mut next) = (start, start);
    for line in text.get(start..).unwrap_or_default().split_inclusive('\n') {
        next += line.len();
        let written = line.trim();
        let indented = line.len() - line.trim_start_matches(' ').len();
        if written.is_empty() {
            continue;
        }
        if written.starts_with('#') {
            if indented >= indentation {
                end = next;
            }
            continue;
        }
        // More of the last value: what its text does not end with, like a closing bracket.
        if indented <= indentation && !written.starts_with(['}', ']']) {
            break;
        }
        end = next;
    }
    end
}

/// Of a section or list in brackets that begins at `start`: where its last member ends, and where its own bracket closes.
fn flow_end(text: &str, start: usize) -> Option<(usize, usize)> {
    let (mut depth, mut last) = (0_usize, start);
    // What the character before was, and the last one that was neither blank nor comment.
    let (mut before, mut meant) = (' ', ',');
    let mut characters = text.get(start..)?.char_indices();
    while let Some((offset, character)) = characters.next() {
        match character {
            '#' if before.is_whitespace() => {
                characters.find(|(_, character)| *character == '\n')?;
                before = '\n';
                continue;
            }
            // A quote inside a plain text is only a character.
            '"' | '\'' if "{[,:".contains(meant) || (before == '\'' && character == '\'') => loop {
                match characters.next()?.1 {
                    '\\' if character == '"' => drop(characters.next()?),
                    end if end == character => break,
                    _ => {}
                }
            },
            '{' | '[' => depth += 1,
            '}' | ']' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if depth == 0 {
            return Some((last, start + offset));
        }
        before = character;
        if !character.is_whitespace() {
            meant = character;
            last = start + characters.offset();
        }
    }
    None
}

/// The line in which this octet stands, with its line end.
fn line_of(text: &str, at: usize) -> Range<usize> {
    let start = text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |end| end + 1);
    let end = text.get(at..).and_then(|rest| rest.find('\n')).map_or(text.len(), |end| at + end + 1);
    start..end
}

/// Where the last value in this entry ends, as far as the reader tells.
fn end_of(entry: &Entry) -> usize {
    fn end_of_node(node: &Node) -> usize {
        match &node.value {
            Written::Mapping(entries) => entries.last().map_or(node.place.start, end_of),
            Written::Sequence(nodes) => nodes.last().map_or(node.place.start, end_of_node),
            // The line end behind a text that is written in lines is not on the next line.
            Written::Nothing | Written::Scalar(_) => node.place.end.saturating_sub(1).max(node.place.start),
        }
    }
    end_of_node(&entry.node).max(entry.place.start)
}

fn is_block(value: &Value, depth: usize) -> bool {
    depth < FLOW_DEPTH && matches!(value, Value::Section(entries) if !entries.is_empty())
}

fn write_block(text: &mut String, entries: &[(String, Value)], layout: Layout, depth: usize) {
    let Layout { indentation, step, line_end } = layout;
    for (key, value) in entries {
        text.push_str(&" ".repeat(indentation));
        text.push_str(&quoted(key));
        text.push(':');
        match value {
            Value::Section(inner) if is_block(value, depth) => {
                text.push_str(line_end);
                write_block(text, inner, Layout { indentation: indentation + step, ..layout }, depth + 1);
            }
            value => {
                text.push(' ');
                text.push_str(&in_flow(value));
                text.push_str(line_end);
            }
        }
    }
}

fn in_flow(value: &Value) -> String {
    match value {
        Value::Section(entries) if entries.is_empty() => "{}".to_owned(),
        Value::Section(entries) => {
            let entries: Vec<_> =
                entries.iter().map(|(key, value)| format!("{}: {}", quoted(key), in_flow(value))).collect();
            format!("{{ {} }}", entries.join(", "))
        }
        Value::List(members) => {
            format!("[{}]", members.iter().map(|member| quoted(member)).collect::<Vec<_>>().join(", "))
        }
        Value::Text(text) => quoted(text),
    }
}

/// Plain where that is safe in a block and in brackets (YAML 1.2.2 section 7.3.3), else in double quotes.
pub(super) fn quoted(text: &str) -> String {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "._/@:+=-".contains(character);
    let begins = |character: char| character.is_ascii_alphanumeric() || "/._".contains(character);
    if text.starts_with(begins)
        && text.chars().all(is_plain)
        && !text.ends_with(':')
        && !text.eq_ignore_ascii_case("null")
    {
        return text.to_owned();
    }
    let escaped: String = text
        .chars()
        .map(|character| match character {
            '"' | '\\' => format!("\\{character}"),
            control if control.is_control() => format!("\\U{:08x}", u32::from(control)),
            other => other.to_string(),
        })
        .collect();
    format!("\"{escaped}\"")
}

pub(super) fn node(value: &Value) -> Node {
    let value = match value {
        Value::Section(entries) => Written::Mapping(
            entries
                .iter()
                .map(|(key, value)| Entry { key: key.clone(), line: 0, place: 0..0, node: node(value) })
                .collect(),
        ),
        Value::List(members) => {
            Written::Sequence(members.iter().map(|member| node(&Value::Text(member.clone()))).collect())
        }
        Value::Text(text) => Written::Scalar(text.clone()),
    };
    Node { line: 0, place: 0..0, value }
}

/// What stands there, where it is a single value or a list of such.
pub(super) fn value(node: &Node) -> Option<Value> {
    match &node.value {
        Written::Scalar(text) => Some(Value::Text(text.clone())),
        Written::Sequence(nodes) => {
            let texts: Option<Vec<_>> = nodes.iter().map(|node| node.scalar().map(str::to_owned)).collect();
            texts.map(Value::List)
        }
        Written::Mapping(_) | Written::Nothing => None,
    }
}

/// Whether both mean the same, wherever they stand.
pub(super) fn is_same(one: &Node, other: &Node) -> bool {
    match (&one.value, &other.value) {
        (Written::Mapping(entries), Written::Mapping(others)) => {
            entries.len() == others.len()
                && entries
                    .iter()
                    .all(|entry| other.find(&entry.key).is_some_and(|found| is_same(&entry.node, found)))
        }
        (Written::Sequence(nodes), Written::Sequence(others)) => {
            nodes.len() == others.len() && nodes.iter().zip(others).all(|(node, other)| is_same(node, other))
        }
        (Written::Scalar(text), Written::Scalar(other)) => text == other,
        (Written::Nothing, Written::Nothing) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn text(value: &str) -> Value {
        Value::Text(value.to_owned())
    }

    fn section(entries: &[(&str, Value)]) -> Value {
        Value::Section(entries.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect())
    }

    /// `providers:` with one of this name.
    fn provider(name: &str, keys: &[(&str, Value)]) -> Vec<(String, Value)> {
        vec![("providers".to_owned(), section(&[(name, section(keys))]))]
    }

    fn gmail() -> Vec<(String, Value)> {
        provider("gmail", &[("preset", text("google")), ("client_id", text("1-a.example"))])
    }

    #[test]
    fn a_provider_is_added_where_a_person_would_write_it() {
        for (what, before, after) in [
            ("no text", "", "providers:\n  gmail:\n    preset: google\n    client_id: 1-a.example\n"),
            (
                "comments alone",
                "# Ours.\n",
                "# Ours.\nproviders:\n  gmail:\n    preset: google\n    client_id: 1-a.example\n",
            ),
            (
                "a document that begins",
                "---\n",
                "---\nproviders:\n  gmail:\n    preset: google\n    client_id: 1-a.example\n",
            ),
            (
                "no providers",
                "# Ours.\n\nstate: /s # here\n",
                "# Ours.\n\nstate: /s # here\nproviders:\n  gmail:\n    preset: google\n    client_id: 1-a.example\n",
            ),
            (
                "nothing in providers",
                "providers: # ours\n  #: contoso:\n# Where.\nstate: /s\n",
                "providers: # ours\n  #: contoso:\n  gmail:\n    preset: google\n    client_id: 1-a.example\n# Where.\nstate: /s\n",
            ),
            (
                "null",
                "providers: ~ # none\n",
                "providers: { gmail: { preset: google, client_id: 1-a.example } } # none\n",
            ),
            (
                "one in a block",
                "providers:\n  contoso:\n    preset: microsoft365\nstate: /s\n",
                "providers:\n  contoso:\n    preset: microsoft365\n  gmail:\n    preset: google\n    client_id: 1-a.example\nstate: /s\n",
            ),
            (
                "wide indentation and blank lines",
                "providers:\n    a:\n          preset: outlook\n\n    b: { preset: outlook }\n\nstate: /s\n",
                "providers:\n    a:\n          preset: outlook\n\n    b: { preset: outlook }\n\n    gmail:\n          preset: google\n          client_id: 1-a.example\n\nstate: /s\n",
            ),
            (
                "one column",
                "providers:\n a: { preset: outlook }",
                "providers:\n a: { preset: outlook }\n gmail:\n  preset: google\n  client_id: 1-a.example\n",
            ),
            (
                "comments behind the last one",
                "providers:\n  a:\n    preset: outlook\n    # Not used.\n    #: pop3: none\n\n  #: b:\n  #:   preset: google\n\n# Where programs connect.\n#: listeners:\n",
                "providers:\n  a:\n    preset: outlook\n    # Not used.\n    #: pop3: none\n\n  #: b:\n  #:   preset: google\n\n  gmail:\n    preset: google\n    client_id: 1-a.example\n\n# Where programs connect.\n#: listeners:\n",
            ),
            (
                "CRLF",
                "providers:\r\n  a: { preset: outlook }\r\n# end",
                "providers:\r\n  a: { preset: outlook }\r\n  gmail:\r\n    preset: google\r\n    client_id: 1-a.example\r\n# end",
            ),
            (
                "brackets",
                "providers: { a: { preset: outlook } } # ours\n",
                "providers: { a: { preset: outlook }, gmail: { preset: google, client_id: 1-a.example } } # ours\n",
            ),
            (
                "empty brackets",
                "providers: {}\nstate: /s\n",
                "providers: { gmail: { preset: google, client_id: 1-a.example } }\nstate: /s\n",
            ),
            (
                "brackets over several lines",
                "providers: {\n  a: { preset: outlook, client_id: \"}'\" }, # it's {\n  # b\n}\n",
                "providers: {\n  a: { preset: outlook, client_id: \"}'\" }, gmail: { preset: google, client_id: 1-a.example } # it's {\n  # b\n}\n",
            ),
            (
                "everything in brackets",
                "{state: 'it''s }'}",
                "{state: 'it''s }', providers: { gmail: { preset: google, client_id: 1-a.example } }}",
            ),
            (
                "anchors and the end of the document",
                "---\nproviders: &all\n  a: &a\n    preset: outlook\n  b: *a\n...\n",
                "---\nproviders: &all\n  a: &a\n    preset: outlook\n  b: *a\n  gmail:\n    preset: google\n    client_id: 1-a.example\n...\n",
            ),
            (
                "a list that is not indented",
                "listeners:\n- protocol: smtp\n- protocol: imap\n  tls: none # yes\n# end\n",
                "listeners:\n- protocol: smtp\n- protocol: imap\n  tls: none # yes\n# end\nproviders:\n  gmail:\n    preset: google\n    client_id: 1-a.example\n",
            ),
            (
                "a text in lines",
                "state: |\n  /s\n\n\nproviders:\n  a:\n    client_id: >-\n      one\n      two\n\n  # behind\n",
                "state: |\n  /s\n\n\nproviders:\n  a:\n    client_id: >-\n      one\n      two\n\n  # behind\n\n  gmail:\n    preset: google\n    client_id: 1-a.example\n",
            ),
            (
                "there already",
                "providers:\n  gmail: { client_id: '1-a.example', preset: google }\n",
                "providers:\n  gmail: { client_id: '1-a.example', preset: google }\n",
            ),
        ] {
            assert_eq!(extended(before, &gmail()).as_deref(), Some(after), "{what}");
        }
    }

    #[test]
    fn a_key_of_a_provider_is_set_where_it_stands() {
        let mail = section(&[("host", text("mail.example")), ("port", text("465"))]);
        let scopes = Value::List(vec!["mail".to_owned(), "https://mail.example/all".to_owned()]);
        for (what, before, key, value, after) in [
            (
                "a plain one",
                "providers:\n  a:\n    client_id: 0 # ours\n    preset: google\n",
                "client_id",
                &text("1"),
                "providers:\n  a:\n    client_id: 1 # ours\n    preset: google\n",
            ),
            (
                "a quoted one",
                "providers: { a: { client_id: \"old one\", preset: google } }\n",
                "client_id",
                &text("new: one"),
                "providers: { a: { client_id: \"new: one\", preset: google } }\n",
            ),
            (
                "a missing one",
                "providers:\n  a:\n    preset: google\n    # none yet\n  b: {}\n",
                "client_id",
                &text("1"),
                "providers:\n  a:\n    preset: google\n    # none yet\n    client_id: 1\n  b: {}\n",
            ),
            (
                "a server in place of none",
                "providers:\n  a:\n    smtp: none\n    imap: none\n",
                "smtp",
                &mail,
                "providers:\n  a:\n    smtp: { host: mail.example, port: 465 }\n    imap: none\n",
            ),
            (
                "a server that has another port",
                "providers:\n  a:\n    smtp:\n      host: mail.example\n      port: 587 # why?\n",
                "smtp",
                &mail,
                "providers:\n  a:\n    smtp:\n      host: mail.example\n      port: 465 # why?\n",
            ),
            (
                "a list",
                "providers:\n  a:\n    scopes: [mail, 'x]'] # all\n",
                "scopes",
                &scopes,
                "providers:\n  a:\n    scopes: [mail, https://mail.example/all] # all\n",
            ),
        ] {
            let addition = provider("a", &[(key, value.clone())]);
            assert_eq!(extended(before, &addition).as_deref(), Some(after), "{what}");
        }
    }

    #[test]
    fn what_would_change_something_else_is_refused() {
        for (what, before) in [
            ("not YAML", "providers: [\n"),
            ("a list", "- providers\n"),
            ("a value", "providers\n"),
            ("providers that are a text", "providers: |\n  all\n  of them\nstate: /s\n"),
            ("another name for the same", "x: &all\n  a: { preset: outlook }\nproviders: *all\n"),
            ("two documents", "state: /s\n---\nstate: /t\n"),
        ] {
            let after = extended(before, &gmail());
            assert!(after.is_none(), "{what}: {after:?}");
        }
        let list = provider("a", &[("scopes", Value::List(vec!["x".to_owned()]))]);
        assert_eq!(extended("providers:\n  a:\n    scopes:\n      - mail # all\n", &list), None);
    }

    /// Whatever the file looks like, what stood there stands there still, in the same order.
    #[test]
    fn not_a_comment_is_lost() {
        let example = include_str!("../../config/gatepost.example.yaml");
        let switched_on: String = example.lines().map(|line| line.replacen("#: ", "", 1) + "\r\n").collect();
        for before in [example, &switched_on, &example.replace("  ", "      ")] {
            let after = extended(before, &gmail()).unwrap();
            let mut kept = after.lines();
            for line in before.lines() {
                assert!(kept.any(|after| after == line), "{line:?} in {after}");
            }
            assert_eq!(after.lines().count(), before.lines().count() + 4, "three lines and a blank one");
            assert_eq!(after.matches("\r\n").count() > 0, before.contains("\r\n"));
        }
    }

    #[test]
    fn any_text_can_be_a_value() {
        for value in [
            "a",
            "null",
            "NULL",
            "~",
            "",
            " ",
            "- a",
            "a: b",
            "a:",
            "#a",
            "a #b",
            "{a}",
            "[a]",
            "*a",
            "&a",
            "!a",
            "%a",
            "@a",
            "'",
            "\"",
            "\\",
            "0123",
            "true",
            "1e3",
            "wörd",
            "a\nb",
            "\u{7}",
            "https://a.example/{tenant}?x=y",
            "-",
            "?",
            ":",
        ] {
            for before in ["", "providers: { a: { b: 1 } }"] {
                let after = extended(before, &provider("a", &[("client_id", text(value))]));
                let tree = read(&after.unwrap()).unwrap();
                let found = tree.find("providers").unwrap().find("a").unwrap().find("client_id").unwrap();
                assert_eq!(found.scalar(), Some(value), "{value:?}");
            }
        }
    }
}
