//! What the file says of its providers in its own words, before presets are laid under them: enough to tell which of them
//! is meant, in a file that may have mistakes elsewhere.

use std::path::Path;

use super::file;

/// A provider's name, and what it is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenProvider {
    /// As the file names it.
    pub name: String,
    /// The preset that it starts from.
    pub preset: Option<String>,
    /// Where its OpenID configuration is.
    pub issuer: Option<String>,
    /// The application that Gatepost is there.
    pub client_id: Option<String>,
}

/// The providers in the text; none where it cannot be read.
pub fn providers(text: &str) -> Vec<WrittenProvider> {
    let Ok(root) = file::parse(Path::new(""), text) else { return Vec::new() };
    let Some(providers) = root.find("providers") else { return Vec::new() };
    let written = |name: &str| {
        let provider = providers.find(name)?;
        let text = |key| provider.find(key).and_then(file::Node::scalar).map(|text| text.trim().to_owned());
        Some(WrittenProvider {
            name: name.to_owned(),
            preset: text("preset"),
            issuer: text("issuer"),
            client_id: text("client_id"),
        })
    };
    providers.entries().iter().filter_map(|entry| written(&entry.key)).collect()
}

/// The line of a key like `listeners[0]` or `on_alarm.mail_account`; `None` where the text has no such key.
pub fn line_of(text: &str, key: &str) -> Option<u64> {
    let root = file::parse(Path::new(""), text).ok()?;
    let (mut node, mut line) = (&root, None);
    for part in key.split('.') {
        let (name, member) = match part.trim_end_matches(']').split_once('[') {
            Some((name, number)) => (name, number.parse().ok()),
            None => (part, None),
        };
        let entry = node.entries().iter().find(|entry| entry.key == name)?;
        (node, line) = (&entry.node, Some(entry.line));
        if let Some(member) = member {
            node = node.member(member)?;
            line = Some(node.line);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::{line_of, providers};

    #[test]
    fn a_key_is_found_on_its_line() {
        let text =
            "a: 1\non_alarm:\n  mail_account: x\nlisteners:\n  - { protocol: smtp }\n  - protocol: pop3\n";
        for (key, line) in [
            ("a", Some(1)),
            ("on_alarm.mail_account", Some(3)),
            ("listeners[0]", Some(5)),
            ("listeners[1].protocol", Some(6)),
            ("listeners[2]", None),
            ("on_alarm.command", None),
            ("", None),
        ] {
            assert_eq!(line_of(text, key), line, "{key}");
        }
    }

    #[test]
    fn names_and_what_they_are_made_from() {
        let text =
            "providers:\n  a: { preset: google, client_id: x }\n  b: { issuer: 'https://b.example' }\n  c:\n";
        let found: Vec<_> = providers(text)
            .into_iter()
            .map(|one| (one.name, one.preset, one.issuer, one.client_id))
            .collect();
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            found,
            [
                ("a".to_owned(), some("google"), None, some("x")),
                ("b".to_owned(), None, some("https://b.example"), None),
                ("c".to_owned(), None, None, None),
            ]
        );
        for text in ["", "# nothing", "providers:", "providers: {}", "providers: [", "state: /s"] {
            assert_eq!(providers(text), [], "{text:?}");
        }
    }
}
