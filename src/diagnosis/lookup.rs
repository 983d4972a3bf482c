//! [`look_up`]: what a person means who pastes something that a device, a log or a provider has shown: a whole line, a code alone,
//! the id of a row. What is asked for is never part of the answer: a line of a log may carry somebody's secret.

use super::phrase::Text;
use super::{Diagnosis, Place, table, trimmed};

/// A device's display has few words. A longer text has a number like 1102 in it for another reason.
const MOST_WORDS_ON_A_DISPLAY: usize = 8;

/// So much of a [`Diagnosis::line`] is enough to know it by: displays cut it.
const SHORTEST_CUT_LINE: usize = 20;

/// A word in the samples of more rows than this says nothing.
const MOST_ROWS_OF_A_WORD: usize = 12;

/// What the text means: where it may be several things, the most general of them comes first. Nothing where nobody knows it.
pub fn look_up(text: &str) -> Vec<&'static Diagnosis> {
    let text = trimmed(text);
    let named = || table().iter().filter(|row| names(&text, &row.id)).collect();
    let ways: [&dyn Fn() -> Vec<&'static Diagnosis>; 3] =
        [&named, &|| known_by(&text), &|| known_by(&with_prefixes(&text))];
    ways.into_iter().map(|way| way()).find(|rows| !rows.is_empty()).unwrap_or_default()
}

/// Whether the id stands in the text, as in `… ask admin (D02)`. `d02` alone is an id; in a longer text ids stand in capitals, or
/// behind the mark of an anchor.
pub fn names(text: &str, id: &str) -> bool {
    text.split(|character: char| !character.is_ascii_alphanumeric()).any(|word| word == id)
        || text.eq_ignore_ascii_case(id)
        || Text::new(text).weight_of(&[format!("#{id}")]).is_some()
}

/// The row that the text has a sign of, or the most general of those that say the text among other words; behind it those that
/// may be meant as well.
fn known_by(text: &str) -> Vec<&'static Diagnosis> {
    if text.is_empty() {
        return Vec::new();
    }
    let said = Text::new(text);
    let in_lower_case = text.to_lowercase();
    let is_long = text.split_whitespace().count() > MOST_WORDS_ON_A_DISPLAY;
    let best = table()
        .iter()
        .filter(|row| !(is_long && row.at == [Place::Device]))
        .filter_map(|row| Some((said.weight_of_any(row).max(begun(row, &in_lower_case))?, row)))
        // The first of several: `max_by_key` would give the last.
        .rev()
        .max_by_key(|(weight, _)| *weight)
        .map(|(_, row)| row);
    let mut rows: Vec<_> = table().iter().filter(|row| says(row, text)).collect();
    let has_number = text.contains(|character: char| character.is_ascii_digit());
    if best.is_none() && !has_number && rows.len() > MOST_ROWS_OF_A_WORD {
        return Vec::new();
    }
    let general = best.or_else(|| rows.iter().min_by_key(|row| least_said(row)).copied());
    rows.retain(|row| Some(*row) != general);
    general.into_iter().chain(rows).collect()
}

/// Whether the whole text stands in one of the row's samples.
fn says(row: &Diagnosis, text: &str) -> bool {
    let text = [text.to_owned()];
    row.samples.iter().any(|sample| Text::new(&trimmed(sample)).weight_of(&text).is_some())
}

/// How much has to be said for the row at the least.
fn least_said(row: &Diagnosis) -> usize {
    row.signs.iter().map(|sign| sign.iter().map(String::len).sum()).min().unwrap_or(0)
}

/// Microsoft's codes are often quoted as numbers alone.
fn with_prefixes(text: &str) -> String {
    let is_number = |word: &str| word.len() >= 5 && word.bytes().all(|byte| byte.is_ascii_digit());
    let words = text.split(|character: char| !character.is_ascii_alphanumeric());
    let codes: Vec<_> = words.filter(|word| is_number(word)).map(|word| format!("AADSTS{word}")).collect();
    codes.join(" ")
}

/// How much of the row's line to the device stands in the text, cut by the display; as a weight.
fn begun(row: &Diagnosis, text: &str) -> Option<(bool, usize)> {
    let line = row.line.to_lowercase();
    let cut = (SHORTEST_CUT_LINE..=line.len())
        .rev()
        .find(|end| line.get(..*end).is_some_and(|begin| text.contains(begin)));
    cut.map(|weight| (!row.general, weight))
}

#[cfg(test)]
mod tests {
    use super::look_up;

    fn id(text: &str) -> Option<&'static str> {
        look_up(text).first().map(|row| row.id.as_str())
    }

    #[test]
    fn whatever_was_shown_leads_to_its_row() {
        for (text, expected) in [
            ("D02", "D02"),
            ("d02", "D02"),
            ("454 4.7.0 SMTP AUTH is off in Microsoft 365; ask admin (D02)", "D02"),
            ("-ERR [SYS/PERM] SMTP AUTH is off in Microsoft 365; ask", "D02"),
            ("see docs/errors.md#d02", "D02"),
            (
                "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.",
                "D02",
            ),
            ("AADSTS50173", "D71"),
            ("aadsts50173", "D71"),
            ("50173", "D71"),
            ("error code: 50173 (sign-in log)", "D71"),
            ("535 5.7.8 Wrong user name or password", "G40"),
            ("1102", "K01"),
            ("0x1102", "K01"),
            ("Error 1102", "K01"),
            ("#839", "K02"),
            ("839", "K02"),
            ("HP: system failure", "K04"),
        ] {
            assert_eq!(id(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_nobody_knows_is_not_guessed() {
        for text in ["11023", "see #d021", "AADSTS501731", "501731", "D021", "", "hello"] {
            assert_eq!(id(text), None, "{text}");
        }
    }

    #[test]
    fn a_number_in_a_long_line_is_not_a_devices() {
        assert_eq!(
            id(
                "session closed client=192.0.2.1:1102 listener=127.0.0.1:1587 protocol=smtp in 1102 ms and so on"
            ),
            None
        );
    }

    #[test]
    fn a_text_that_several_rows_say_leads_to_all_of_them() {
        let ids: Vec<_> = look_up("535").into_iter().map(|row| row.id.as_str()).collect();
        for expected in ["D02", "G40", "G41"] {
            assert!(ids.contains(&expected), "{expected} is not in {ids:?}");
        }
        assert_eq!(look_up("535 5.7.13 This account is switched off").len(), 1);
    }
}
