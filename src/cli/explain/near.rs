//! What is like a text that nobody knows: whatever has rare words in common with it.

use std::collections::{BTreeMap, BTreeSet};

use super::entry::Entry;

/// A word that more entries have says nothing.
const MOST_ENTRIES_OF_A_WORD: usize = 12;

/// So many are shown.
const MOST: usize = 5;

/// The entries that are like it, what is most like it first.
pub(super) fn near(text: &str) -> Vec<Entry> {
    let asked = words(text);
    let mut entries_of: BTreeMap<&str, Vec<Entry>> = BTreeMap::new();
    for entry in Entry::all() {
        let said = words(&entry.in_words());
        for word in asked.iter().filter(|word| said.contains(*word)) {
            entries_of.entry(word).or_default().push(entry);
        }
    }
    let mut in_common: Vec<(usize, Entry)> = Vec::new();
    for entry in entries_of.into_values().filter(|entries| entries.len() <= MOST_ENTRIES_OF_A_WORD).flatten()
    {
        match in_common.iter_mut().find(|(_, known)| *known == entry) {
            Some((count, _)) => *count += 1,
            None => in_common.push((1, entry)),
        }
    }
    in_common.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
    in_common.into_iter().map(|(_, entry)| entry).take(MOST).collect()
}

/// Words of three letters and more, in lower case.
fn words(text: &str) -> BTreeSet<String> {
    let words = text.split(|character: char| !character.is_alphanumeric());
    words.filter(|word| word.chars().count() >= 3).map(str::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::near;

    #[test]
    fn rare_words_in_common_make_entries_near() {
        for (text, expected) in [
            ("Kyocera 2102", Some("K01")),
            ("Canon iR", Some("K02")),
            ("smtplib.office365.com", Some("L04")),
            ("port 995 with STARTTLS", Some("L01")),
            ("hello", None),
            ("", None),
        ] {
            let ids: Vec<_> = near(text).iter().map(super::Entry::id).collect();
            assert_eq!(ids.first().copied(), expected, "{text}: {ids:?}");
        }
    }
}
