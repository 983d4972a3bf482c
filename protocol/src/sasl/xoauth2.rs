//! XOAUTH2, client side: the one message that carries our token, and the care that nothing the provider says back
//! carries it into a log.

use std::fmt::Write as _;
use std::str;

use zeroize::Zeroizing;

use super::{base64, challenge};
use crate::dialogue::Output;
use crate::secret::Secret;

/// A user name and a token that can be put into an XOAUTH2 message: neither is empty or has a control character.
#[derive(Clone, Debug)]
pub struct Xoauth2 {
    user_name: String,
    token: Secret<String>,
}

/// The user name or the token is empty, or carries a byte that would break out of its field (0x01 separates them).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForbiddenByte;

impl Xoauth2 {
    /// Takes the two parts, if they are fit for the message.
    pub fn new(user_name: String, token: Secret<String>) -> Result<Self, ForbiddenByte> {
        let fits = |text: &str| !text.is_empty() && !text.chars().any(char::is_control);
        if fits(&user_name) && fits(token.expose()) {
            Ok(Self { user_name, token })
        } else {
            Err(ForbiddenByte)
        }
    }

    /// Writes the message in base64 as a line.
    pub(crate) fn write_line(&self, output: &mut Output) {
        output.write(&self.encoded());
        output.write(b"\r\n");
    }

    /// What the provider's failure challenge means, our token left out should it be in there.
    pub(crate) fn challenge_meaning(&self, challenge: &[u8]) -> Option<String> {
        challenge::meaning(challenge.trim_ascii()).map(|meaning| self.censor(meaning.as_bytes()))
    }

    /// One line of the provider's as printable ASCII. Every word that holds a run of our token, or of the message that it
    /// was sent in, becomes `[token]`: some servers echo what they did not like.
    pub(crate) fn censor(&self, line: &[u8]) -> String {
        let encoded = self.encoded();
        let mut censored = String::with_capacity(line.len());
        for word in line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()) {
            if !censored.is_empty() {
                censored.push(' ');
            }
            if shares_a_run(word, self.token.expose().as_bytes()) || shares_a_run(word, &encoded) {
                censored.push_str("[token]");
            } else {
                let printable = word.iter().map(|&byte| if byte.is_ascii_graphic() { byte } else { b'?' });
                censored.extend(printable.map(char::from));
            }
        }
        censored
    }

    /// `base64("user=" user ^A "auth=Bearer " token ^A ^A)`
    fn encoded(&self) -> Zeroizing<Vec<u8>> {
        let token = self.token.expose();
        // The room is made first: growing would leave a copy behind.
        let mut message = Zeroizing::new(String::with_capacity(self.user_name.len() + token.len() + 20));
        let written = write!(message, "user={}\x01auth=Bearer {token}\x01\x01", self.user_name);
        debug_assert!(written.is_ok(), "a String takes everything");
        base64::encode(message.as_bytes())
    }
}

/// Whether the word contains 16 bytes in a row of the secret, or all of a shorter one.
fn shares_a_run(word: &[u8], secret: &[u8]) -> bool {
    let run = secret.len().min(16);
    word.windows(run).any(|piece| secret.windows(run).any(|part| part == piece))
}

#[cfg(test)]
// A test that meets the unexpected should stop there.
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{ForbiddenByte, Xoauth2};
    use crate::dialogue::Output;
    use crate::secret::Secret;

    const USER_NAME: &str = "someuser@example.com";
    const TOKEN: &str = "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg";
    const ENCODED: &str = "dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRmdDRxbVRjMk52YjNSbGNrQmhk\
                           SFJoZG1semRHRXVZMjl0Q2cBAQ==";

    fn xoauth2() -> Xoauth2 {
        Xoauth2::new(USER_NAME.to_owned(), Secret::new(TOKEN.to_owned())).unwrap()
    }

    #[test]
    fn the_message_is_googles_example() {
        let mut output = Output::default();
        xoauth2().write_line(&mut output);
        assert_eq!(output.as_bytes(), format!("{ENCODED}\r\n").as_bytes());
    }

    #[test]
    fn nothing_that_breaks_out_of_its_field_gets_in() {
        for (user_name, token) in [
            ("a\x01auth=Bearer x", "t"),
            ("a\r\n", "t"),
            ("a", "t\x01"),
            ("a", "t\n"),
            ("a", "\0"),
            ("a", ""),
            ("", "t"),
        ] {
            let result = Xoauth2::new(user_name.to_owned(), Secret::new(token.to_owned()));
            assert_eq!(result.err(), Some(ForbiddenByte), "{user_name:?} {token:?}");
        }
    }

    #[test]
    fn an_echoed_token_is_left_out_in_every_form() {
        let (half_token, half_encoded) = (&TOKEN[10..30], &ENCODED[60..]);
        let table = [
            (format!("bad token {TOKEN}, sorry"), "bad token [token] sorry".to_owned()),
            (format!("bad line <{ENCODED}>"), "bad line [token]".to_owned()),
            (format!("bad {half_token}... and {half_encoded}"), "bad [token] and [token]".to_owned()),
            (format!("user={USER_NAME}\x01auth=Bearer {TOKEN}\x01"), {
                format!("user={USER_NAME}?auth=Bearer [token]")
            }),
            ("5.7.3 Authentication\tunsuccessful".to_owned(), "5.7.3 Authentication unsuccessful".to_owned()),
            ("Zugang gesperrt: \u{fc}\x1b[31m".to_owned(), "Zugang gesperrt: ???[31m".to_owned()),
        ];
        for (line, expected) in table {
            assert_eq!(xoauth2().censor(line.as_bytes()), expected);
        }
    }

    #[test]
    fn a_short_token_is_left_out_too() {
        let short = Xoauth2::new("a".to_owned(), Secret::new("ya29.test".to_owned())).unwrap();
        assert_eq!(short.censor(b"no \"ya29.test\" here"), "no [token] here");
    }

    #[test]
    fn debug_shows_no_token() {
        assert!(!format!("{:?}", xoauth2()).contains("ya29"));
    }
}
