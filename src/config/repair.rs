//! [`Repair`]: a value in gatepost.yaml that `gatepost check --fix` writes anew. Rule: nothing else in the text changes, not a
//! comment, not a blank; and the new text is read again, and differs in this value alone, or nothing comes of it.

use std::cmp::Reverse;

use super::complaint::Complaint;
use super::edit::{self, Value};
use super::file::{Node, Value as Written};

/// A value in the file, and the one that was meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repair {
    /// Where the value stands in the text, in octets.
    pub(super) start: usize,
    /// What stands there.
    pub old: Value,
    /// What is to stand there.
    pub new: Value,
}

/// The text with this repair; `None` where it cannot be written without touching something else.
pub fn repaired(text: &str, repair: &Repair) -> Option<String> {
    let mut expected = edit::read(text)?;
    let node = find(&mut expected, repair)?;
    let change = edit::replacement(text, node, &repair.new).or_else(|| in_lines(text, node, &repair.new))?;
    *node = edit::node(&repair.new);
    let mut new = text.to_owned();
    new.replace_range(change.place, &change.text);
    let is_meant = edit::is_same(&edit::read(&new)?, &expected);
    is_meant.then_some(new)
}

/// The text with all repairs that go together, and the complaints that are done with, in their order.
pub fn repaired_all<'a>(text: &str, complaints: &'a [Complaint]) -> (String, Vec<&'a Complaint>) {
    let mut with_repair: Vec<(&Repair, &Complaint)> =
        complaints.iter().filter_map(|complaint| Some((complaint.repair.as_ref()?, complaint))).collect();
    // From the end, so that the places before stay what they are.
    with_repair.sort_by_key(|(repair, _)| Reverse(repair.start));
    let (mut text, mut done) = (text.to_owned(), Vec::new());
    for (repair, complaint) in with_repair {
        if let Some(new) = repaired(&text, repair) {
            text = new;
            done.push(complaint);
        }
    }
    done.reverse();
    (text, done)
}

/// The value that begins there, of the same kind.
fn find<'a>(node: &'a mut Node, repair: &Repair) -> Option<&'a mut Node> {
    let is_it = node.place.start == repair.start
        && match (&node.value, &repair.new) {
            (Written::Scalar(_), Value::Text(_)) | (Written::Sequence(_), Value::List(_)) => {
                edit::is_same(node, &edit::node(&repair.old))
            }
            _ => false,
        };
    if is_it {
        return Some(node);
    }
    match &mut node.value {
        Written::Mapping(entries) => entries.iter_mut().find_map(|entry| find(&mut entry.node, repair)),
        Written::Sequence(nodes) => nodes.iter_mut().find_map(|node| find(node, repair)),
        Written::Nothing | Written::Scalar(_) => None,
    }
}

/// A list with a line for each member, of which the last is written anew, or gets others behind it.
fn in_lines(text: &str, sequence: &Node, new: &Value) -> Option<edit::Change> {
    let (Written::Sequence(old), Value::List(new)) = (&sequence.value, new) else { return None };
    let (last, before) = old.split_last()?;
    let kept = before.iter().zip(new).filter(|(old, new)| old.scalar() == Some(new.as_str())).count();
    let (first, further) = new.get(before.len()..)?.split_first()?;
    let line_start = text.get(..last.place.start)?.rfind('\n')? + 1;
    let dash = text.get(line_start..last.place.start)?;
    if kept < before.len() || dash.trim_matches(' ') != "-" || last.place.is_empty() {
        return None;
    }
    let line_end = if text.get(..line_start)?.ends_with("\r\n") { "\r\n" } else { "\n" };
    // A comment stays on the line of its member.
    let comment = text.get(last.place.end..)?.split(['\r', '\n']).next()?;
    let mut lines = edit::quoted(first) + comment;
    for member in further {
        lines.extend([line_end, dash, &edit::quoted(member)]);
    }
    Some(edit::Change { place: last.place.start..last.place.end + comment.len(), text: lines })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    fn list(members: &[&str]) -> Value {
        Value::List(members.iter().map(|member| (*member).to_owned()).collect())
    }

    /// The value of `key` becomes another one.
    fn with(file: &str, key: &str, new: Value) -> Option<String> {
        let root = edit::read(file).unwrap();
        let node = root.find(key).unwrap();
        let old = edit::value(node).unwrap();
        repaired(file, &Repair { start: node.place.start, old, new })
    }

    #[test]
    fn a_value_is_written_anew_and_all_else_stays() {
        for (before, new, after) in [
            ("# Ours.\na: one   # here\nb: two\n", text("1"), "# Ours.\na: 1   # here\nb: two\n"),
            ("a: 'one'\r\nb: two\r\n", text("1"), "a: 1\r\nb: two\r\n"),
            ("{ b: two, a: \"one\", c: 3 }", text("1"), "{ b: two, a: 1, c: 3 }"),
            ("b: two\na:\n  one # far\n", text("1"), "b: two\na:\n  1 # far\n"),
            ("a: one", text("https://x/{y}"), "a: \"https://x/{y}\""),
            ("b: &b one\na: *b\n", text("1"), "b: &b one\na: 1\n"),
            ("a: [one, two] # both\n", list(&["1"]), "a: [1] # both\n"),
            (
                "a:\n  - one # first\n  - two # last\nb: 3\n",
                list(&["one", "two", "3"]),
                "a:\n  - one # first\n  - two # last\n  - 3\nb: 3\n",
            ),
            ("a:\n- one\nb: 3\n", list(&["1"]), "a:\n- 1\nb: 3\n"),
        ] {
            assert_eq!(with(before, "a", new).as_deref(), Some(after), "{before}");
        }
    }

    #[test]
    fn what_cannot_be_written_without_touching_more_is_left_alone() {
        for (before, new) in [
            ("a:\n  - one\n  - two\n", list(&["1"])),
            ("a:\n  - one\n  - two\n", list(&["1", "two"])),
            ("a: { one: 1 }\n", text("1")),
        ] {
            let root = edit::read(before).unwrap();
            let node = root.find("a").unwrap();
            let old = edit::value(node).unwrap_or_else(|| text("one"));
            let repair = Repair { start: node.place.start, old, new };
            assert_eq!(repaired(before, &repair), None, "{before}");
        }
    }

    #[test]
    fn a_file_that_changed_in_the_meantime_is_left_alone() {
        let repair = Repair { start: 3, old: text("one"), new: text("1") };
        assert_eq!(repaired("a: one\n", &repair).as_deref(), Some("a: 1\n"));
        assert_eq!(repaired("a: two\n", &repair), None);
        assert_eq!(repaired("ab: one\n", &repair), None);
    }
}
