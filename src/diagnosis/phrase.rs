//! Phrases in a text: whole ones only, since a code that is longer by a digit is another code.

use super::Diagnosis;

/// A text in which phrases are looked for.
pub(super) struct Text(String);

impl Text {
    pub(super) fn new(text: &str) -> Self {
        Self(plain(text))
    }

    /// How much of the text a sign accounts for; `None` where one of its phrases is not in it.
    pub(super) fn weight_of(&self, sign: &[String]) -> Option<usize> {
        sign.iter()
            .map(|phrase| plain(phrase))
            .try_fold(0, |weight, phrase| self.has(&phrase).then_some(weight + phrase.len()))
    }

    /// How well a row fits: by the sign that accounts for the most of the text; any row better than a general one.
    pub(super) fn weight_of_any(&self, row: &Diagnosis) -> Option<(bool, usize)> {
        let weight = row.signs.iter().filter_map(|sign| self.weight_of(sign)).max()?;
        Some((!row.general, weight))
    }

    fn has(&self, phrase: &str) -> bool {
        self.0.match_indices(phrase).any(|(start, _)| {
            let before = self.0.get(..start).unwrap_or_default();
            let behind = self.0.get(start + phrase.len()..).unwrap_or_default();
            let is_cut = phrase.starts_with(is_of_word) && goes_on(before.chars().rev())
                || phrase.ends_with(is_of_word) && goes_on(behind.chars());
            !is_cut
        })
    }
}

/// Lower case, single blanks; a reply of several lines has `535-5.7.8` where one of a single line has `535 5.7.8`.
fn plain(text: &str) -> String {
    let mut plain = text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    let is_code = |text: &str| text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
    if plain.get(..3).is_some_and(is_code) && plain.get(3..4) == Some("-") {
        plain.replace_range(3..4, " ");
    }
    plain
}

fn is_of_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Whether the word or number goes on, seen from its edge: a full stop is part of a code only between digits.
fn goes_on(mut from_edge: impl Iterator<Item = char>) -> bool {
    match from_edge.next() {
        Some('.') => from_edge.next().is_some_and(|next| next.is_ascii_digit()),
        Some(next) => is_of_word(next),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::Text;

    #[test]
    fn a_phrase_is_found_whole_or_not_at_all() {
        for (text, phrase, found) in [
            ("535 5.7.139 Authentication unsuccessful", "5.7.139", true),
            ("535 5.7.1399 Authentication unsuccessful", "5.7.139", false),
            ("535 15.7.139 Authentication", "5.7.139", false),
            ("535 5.7.139.2 Authentication", "5.7.139", false),
            ("see 5.7.139.", "5.7.139", true),
            ("535-5.7.8 no\u{a0}way", "535 5.7.8 no way", true),
            ("AADSTS500011: no", "AADSTS50001", false),
            ("aadsts50001: no", "AADSTS50001", true),
            ("invalid_grant_of_another_kind", "invalid_grant", false),
            ("(invalid_grant)", "invalid_grant", true),
            ("* BYE [ALERT]Too  many", "[alert]too MANY", true),
        ] {
            assert_eq!(
                Text::new(text).weight_of(&[phrase.to_owned()]).is_some(),
                found,
                "{phrase} in {text}"
            );
        }
    }

    #[test]
    fn a_sign_needs_all_its_phrases_and_weighs_what_they_weigh() {
        let text = Text::new("535 5.7.3 Authentication unsuccessful");
        let sign = |phrases: &[&str]| phrases.iter().map(|phrase| (*phrase).to_owned()).collect::<Vec<_>>();
        assert_eq!(text.weight_of(&sign(&["unsuccessful", "5.7.3"])), Some(17));
        assert_eq!(text.weight_of(&sign(&["5.7.3"])), Some(5));
        assert_eq!(text.weight_of(&sign(&["5.7.3", "disabled"])), None);
    }
}
