//! What we log in with at the provider, client side: the mechanisms, the one message that carries our secret, and the care that
//! nothing the provider says back carries it into a log.

use std::fmt::Write as _;
use std::str;

use zeroize::Zeroizing;

use super::{base64, challenge};
use crate::dialogue::Output;
use crate::failure::{Refusal, RefusalKind};
use crate::secret::Secret;

/// A mechanism that we log in with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamMechanism {
    /// Google's and Microsoft's way to send a token.
    Xoauth2,
    /// The standard's: RFC 7628.
    OauthBearer,
}

impl UpstreamMechanism {
    /// Every mechanism, the one that is preferred where both are offered first: more is known of it.
    pub const ALL: [Self; 2] = [Self::Xoauth2, Self::OauthBearer];

    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Xoauth2 => "XOAUTH2",
            Self::OauthBearer => "OAUTHBEARER",
        }
    }

    /// Those of ours among the names that a server announces.
    pub(crate) fn offered<'a>(names: impl Iterator<Item = &'a [u8]>) -> Vec<Self> {
        let known =
            |name: &[u8]| Self::ALL.into_iter().find(|it| name.eq_ignore_ascii_case(it.name().as_bytes()));
        names.filter_map(known).collect()
    }

    /// What answers the failure challenge, so that the server says the final word: an empty line to XOAUTH2, a lone ^A in
    /// base64 to OAUTHBEARER (RFC 7628, section 3.2.3).
    pub(crate) const fn acknowledgement(self) -> &'static str {
        match self {
            Self::Xoauth2 => "",
            Self::OauthBearer => "AQ==",
        }
    }
}

/// A user name and a token that can be put into either message: neither is empty or has a control character.
#[derive(Clone, Debug)]
pub struct UpstreamCredentials {
    user_name: String,
    token: Secret<String>,
    host: String,
    port: u16,
    named: Option<UpstreamMechanism>,
}

/// The user name or the token is empty, or carries a byte that would break out of its field (0x01 separates them).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForbiddenByte;

impl UpstreamCredentials {
    /// Takes the two parts, if they are fit for the messages. The server is the one that they are meant for; OAUTHBEARER tells
    /// it so. `named` is the mechanism to use whatever is announced.
    pub fn new(
        user_name: String,
        token: Secret<String>,
        (host, port): (String, u16),
        named: Option<UpstreamMechanism>,
    ) -> Result<Self, ForbiddenByte> {
        let fits = |text: &str| !text.is_empty() && !text.chars().any(char::is_control);
        if fits(&user_name) && fits(token.expose()) {
            Ok(Self { user_name, token, host, port, named })
        } else {
            Err(ForbiddenByte)
        }
    }

    /// The mechanism to use whatever is announced, if there is one.
    pub(crate) fn named(&self) -> Option<UpstreamMechanism> {
        self.named
    }

    /// The mechanism to use with a server that announces these. One that announces none of ours is tried with the first: it
    /// says best itself why not.
    pub(crate) fn mechanism(&self, offered: &[UpstreamMechanism]) -> UpstreamMechanism {
        let [first, ..] = UpstreamMechanism::ALL;
        let preferred = UpstreamMechanism::ALL.into_iter().find(|mechanism| offered.contains(mechanism));
        self.named.or(preferred).unwrap_or(first)
    }

    /// Writes the message in base64 as a line.
    pub(crate) fn write_line(&self, mechanism: UpstreamMechanism, output: &mut Output) {
        output.write(&self.encoded(mechanism));
        output.write(b"\r\n");
    }

    /// What the provider's failure challenge means, our token left out should it be in there.
    pub(crate) fn challenge_meaning(&self, challenge: &[u8]) -> Option<String> {
        challenge::meaning(challenge.trim_ascii()).map(|meaning| self.censor(meaning.as_bytes()))
    }

    /// What the provider said when it did not let us in, fit for a log.
    pub(crate) fn refusal(
        &self,
        kind: RefusalKind,
        state: &'static str,
        text: &[u8],
        challenge: Option<String>,
    ) -> Refusal {
        let mut text = self.censor(text);
        text.truncate(Refusal::MAX_TEXT_LEN);
        Refusal { kind, state, text, challenge }
    }

    /// One line of the provider's as printable ASCII. Every word that holds a run of our token, or of a message that it
    /// may have been sent in, becomes `[token]`: some servers echo what they did not like.
    pub(crate) fn censor(&self, line: &[u8]) -> String {
        let encoded = UpstreamMechanism::ALL.map(|mechanism| self.encoded(mechanism));
        let mut censored = String::with_capacity(line.len());
        for word in line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()) {
            if !censored.is_empty() {
                censored.push(' ');
            }
            if shares_a_run(word, self.token.expose().as_bytes())
                || encoded.iter().any(|encoded| shares_a_run(word, encoded))
            {
                censored.push_str("[token]");
            } else {
                let printable = word.iter().map(|&byte| if byte.is_ascii_graphic() { byte } else { b'?' });
                censored.extend(printable.map(char::from));
            }
        }
        censored
    }

    /// XOAUTH2: `base64("user=" user ^A "auth=Bearer " token ^A ^A)`. OAUTHBEARER: `base64("n,a=" user "," ^A "host=" host
    /// ^A "port=" port ^A "auth=Bearer " token ^A ^A)`.
    fn encoded(&self, mechanism: UpstreamMechanism) -> Zeroizing<Vec<u8>> {
        let Self { user_name, token, host, port, .. } = self;
        let token = token.expose();
        // The room is made first: growing would leave a copy behind.
        let room = 3 * user_name.len() + token.len() + host.len() + 64;
        let mut message = Zeroizing::new(String::with_capacity(room));
        let written = match mechanism {
            UpstreamMechanism::Xoauth2 => {
                write!(message, "user={user_name}\x01auth=Bearer {token}\x01\x01")
            }
            UpstreamMechanism::OauthBearer => {
                // RFC 5801, section 4: the two characters that a name in the header cannot have.
                let user_name = user_name.replace('=', "=3D").replace(',', "=2C");
                write!(
                    message,
                    "n,a={user_name},\x01host={host}\x01port={port}\x01auth=Bearer {token}\x01\x01"
                )
            }
        };
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
    use super::{ForbiddenByte, UpstreamCredentials, UpstreamMechanism};
    use crate::dialogue::Output;
    use crate::secret::Secret;

    const USER_NAME: &str = "someuser@example.com";
    const TOKEN: &str = "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg";
    const ENCODED: &str = "dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRmdDRxbVRjMk52YjNSbGNrQmhk\
                           SFJoZG1semRHRXVZMjl0Q2cBAQ==";

    fn credentials(user_name: &str, token: &str) -> Result<UpstreamCredentials, ForbiddenByte> {
        let server = ("server.example.com".to_owned(), 143);
        UpstreamCredentials::new(user_name.to_owned(), Secret::new(token.to_owned()), server, None)
    }

    fn usual() -> UpstreamCredentials {
        credentials(USER_NAME, TOKEN).unwrap()
    }

    #[test]
    fn the_messages_are_googles_example_and_the_standards() {
        let mut output = Output::default();
        usual().write_line(UpstreamMechanism::Xoauth2, &mut output);
        assert_eq!(output.as_bytes(), format!("{ENCODED}\r\n").as_bytes());
        output.wipe();
        // RFC 7628, section 4.1.
        let standard = credentials("user@example.com", "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==").unwrap();
        standard.write_line(UpstreamMechanism::OauthBearer, &mut output);
        let expected = "bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9MTQzAWF1dGg9QmVhcmVyIHZGOWRm\
                        dDRxbVRjMk52YjNSbGNrQmhiSFJoZG1semRHRXVZMjl0Q2c9PQEB\r\n";
        assert_eq!(output.as_bytes(), expected.as_bytes());
    }

    #[test]
    fn a_name_is_escaped_where_the_header_would_end() {
        let mut output = Output::default();
        credentials("a=b,c", "t").unwrap().write_line(UpstreamMechanism::OauthBearer, &mut output);
        let plain = super::super::base64::decode(output.as_bytes().trim_ascii()).unwrap();
        assert!(plain.starts_with(b"n,a=a=3Db=2Cc,\x01host="), "{}", plain.escape_ascii());
    }

    #[test]
    fn the_mechanism_is_the_named_one_or_one_that_is_offered() {
        use UpstreamMechanism::{OauthBearer, Xoauth2};
        let offered = |names: &str| UpstreamMechanism::offered(names.as_bytes().split(|byte| *byte == b' '));
        for (names, expected) in [
            ("PLAIN XOAUTH2 OAUTHBEARER", Xoauth2),
            ("oauthbearer xoauth2", Xoauth2),
            ("LOGIN OAUTHBEARER", OauthBearer),
            ("PLAIN LOGIN XOAUTH", Xoauth2),
            ("", Xoauth2),
        ] {
            assert_eq!(usual().mechanism(&offered(names)), expected, "{names}");
            let named = UpstreamCredentials { named: Some(OauthBearer), ..usual() };
            assert_eq!(named.mechanism(&offered(names)), OauthBearer, "{names}");
        }
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
            assert_eq!(credentials(user_name, token).err(), Some(ForbiddenByte), "{user_name:?} {token:?}");
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
            assert_eq!(usual().censor(line.as_bytes()), expected);
        }
    }

    #[test]
    fn a_short_token_is_left_out_too() {
        let short = credentials("a", "ya29.test").unwrap();
        assert_eq!(short.censor(b"no \"ya29.test\" here"), "no [token] here");
    }

    #[test]
    fn debug_shows_no_token() {
        assert!(!format!("{:?}", usual()).contains("ya29"));
    }
}
