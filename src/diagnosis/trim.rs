//! What providers hang on to their texts for themselves: hosts, dates, ids of requests. They are other ones each time, say nothing
//! to a person, and could be taken for codes.

/// The text without it, on one line.
pub fn trimmed(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let text = without_ids(&text);
    let text = without_brackets(text);
    without_encoded(without_gmail_id(text).trim_end())
}

/// The failure challenge of XOAUTH2, said once more behind the refusal (Postfix does that), and tokens: JSON in base64, which begins like
/// this. It is for programs, and may hold what is nobody's business (invariant 4).
fn without_encoded(text: &str) -> String {
    const JSON: [&str; 3] = ["eyJ", "eyA", "ewo"];
    const SHORTEST: usize = 16;
    let is_encoded = |word: &str| word.len() >= SHORTEST && JSON.iter().any(|begin| word.starts_with(begin));
    text.split(' ').map(|word| if is_encoded(word) { "[...]" } else { word }).collect::<Vec<_>>().join(" ")
}

/// Entra: `AADSTS50173: …. Trace ID: … Correlation ID: … Timestamp: …`.
fn without_ids(text: &str) -> &str {
    text.split_once("Trace ID:").map_or(text, |(text, _)| text)
}

/// Exchange: `… [FR0P281CA0001.DEUP281.PROD.OUTLOOK.COM 2026-11-21T08:00:00.000Z 08DE28A1B2C3D4E5]` and `[Hostname=…]`. Response
/// codes of POP3 and IMAP stand in brackets too, in front of the words.
fn without_brackets(text: &str) -> &str {
    let Some((said, inside)) = text.trim_end().strip_suffix(']').and_then(|text| text.rsplit_once(" ["))
    else {
        return text;
    };
    let is_host_and_date =
        inside.split(' ').count() >= 2 && inside.contains(|character: char| character.is_ascii_digit());
    if inside.starts_with("Hostname=") || is_host_and_date { said } else { text }
}

/// Gmail: `… a640c23a62f3a-aa0f5d1c9e6sm123.45 - gsmtp`.
fn without_gmail_id(text: &str) -> &str {
    let Some(said) = text.trim_end().strip_suffix(" - gsmtp") else { return text };
    said.rsplit_once(' ').map_or(said, |(said, _)| said)
}

#[cfg(test)]
mod tests {
    use super::trimmed;

    #[test]
    fn what_is_for_the_provider_alone_is_left_out() {
        for (text, expected) in [
            (
                "535 5.7.3 Authentication unsuccessful [FR0P281CA0001.DEUP281.PROD.OUTLOOK.COM \
                 2026-11-21T08:00:00.000Z 08DE28A1B2C3D4E5]",
                "535 5.7.3 Authentication unsuccessful",
            ),
            ("430 4.2.0 STOREDRV; no [Hostname=FR0P281MB0001.PROD]", "430 4.2.0 STOREDRV; no"),
            (
                "AADSTS50173: revoked. Trace ID: 5.7.139 Correlation ID: x Timestamp: 2026-11-21 08:00:00Z",
                "AADSTS50173: revoked.",
            ),
            (
                "535 5.7.8 https://support.google.com/ a640c23a62f3a-aa0sm12.45 - gsmtp",
                "535 5.7.8 https://support.google.com/",
            ),
            (
                "[ALERT] Too many simultaneous connections. (Failure)",
                "[ALERT] Too many simultaneous connections. (Failure)",
            ),
            ("no [AUTH]", "no [AUTH]"),
            (
                "599 no eyJzdGF0dXMiOiI0MDAiLCJzY2hlbWVzIjoiQmVhcmVyIiwic2NvcGUiOiJodHRwczovL21haWwuZ29vZ2xlLmNvbS8ifQ== bye",
                "599 no [...] bye",
            ),
            ("eyJhbGciOiJub25lIn0.eyJhIjoxfQ.c2ln", "[...]"),
            ("eyJ is short", "eyJ is short"),
            ("two\r\n  lines ", "two lines"),
        ] {
            assert_eq!(trimmed(text), expected);
        }
    }
}
