//! What a provider says back, fit for a log: printable ASCII, and without our secret. Some servers echo what they did not like.

/// A run of this many octets of a secret is as good as the secret; of a shorter one, all of it.
const RUN: usize = 16;

/// One line of the provider's. Every word that holds a run of a secret, in any of the forms that it was sent in, becomes
/// `placeholder`; a secret may have blanks in it, and then takes several words with it.
pub(super) fn censored(line: &[u8], forms: &[&[u8]], placeholder: &str) -> String {
    let mut hidden = vec![false; line.len()];
    for form in forms {
        hide(&mut hidden, line, form);
    }
    let mut censored = String::with_capacity(line.len());
    let mut start = 0;
    for word in line.split(u8::is_ascii_whitespace) {
        let end = start + word.len();
        let is_hidden = hidden.get(start..end).is_some_and(|word| word.contains(&true));
        start = end + 1;
        if word.is_empty() || (is_hidden && censored.ends_with(placeholder)) {
            continue;
        }
        if !censored.is_empty() {
            censored.push(' ');
        }
        if is_hidden {
            censored.push_str(placeholder);
        } else {
            let printable = word.iter().map(|&byte| if byte.is_ascii_graphic() { byte } else { b'?' });
            censored.extend(printable.map(char::from));
        }
    }
    censored
}

/// Marks every octet of the line that belongs to a run of the secret.
fn hide(hidden: &mut [bool], line: &[u8], secret: &[u8]) {
    let run = secret.len().min(RUN);
    if run == 0 {
        return;
    }
    for (at, piece) in line.windows(run).enumerate() {
        if secret.windows(run).any(|part| part == piece) {
            hidden.iter_mut().skip(at).take(run).for_each(|octet| *octet = true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::censored;

    #[test]
    fn a_secret_with_blanks_in_it_is_one_secret() {
        let forms: [&[u8]; 2] = [b"abcd efgh ijkl mnop", b"c2VjcmV0"];
        for (line, expected) in [
            ("no <abcd efgh ijkl mnop> here", "no [password] here"),
            ("abcd efgh ijkl mnop", "[password]"),
            ("c2VjcmV0\tabcd efgh ijkl mno", "[password]"),
            ("abcd efgh is not all of it", "abcd efgh is not all of it"),
            ("c2VjcmV0 or c2VjcmV0=", "[password] or [password]"),
            ("  two   blanks ", "two blanks"),
            ("Zugang gesperrt: \u{fc}\x1b[31m", "Zugang gesperrt: ???[31m"),
        ] {
            assert_eq!(censored(line.as_bytes(), &forms, "[password]"), expected);
        }
    }

    #[test]
    fn an_empty_form_hides_nothing() {
        assert_eq!(censored(b"all of it", &[b""], "[token]"), "all of it");
    }
}
