//! SASL without a protocol round it: the two mechanisms that old programs log in with ([`Exchange`]), and the message that
//! we log in with ([`UpstreamCredentials`]). What comes in is base64 lines; the protocol adds `334 ` or `+ `.

mod base64;
mod challenge;
mod login;
mod plain;
mod upstream;

use std::str;

pub use self::upstream::{ForbiddenByte, UpstreamCredentials, UpstreamMechanism, UpstreamSecret};
pub(crate) use self::upstream::{PasswordMechanism, Sent, quoted};

use self::login::Login;
use crate::failure::AuthFailure;
use crate::line::word;
use crate::secret::{Secret, SecretBytes};

/// The longest line with SASL data in octets, its terminator included: RFC 4954, section 4.
pub const LINE_LIMIT: usize = 12_288;

/// What a mail client logs in with.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// 1 to 255 bytes of UTF-8 without control characters; empty in [`Credentials::nobodys`].
    pub user_name: String,
    /// Not empty but in [`Credentials::nobodys`]. What is not UTF-8 was read as Latin-1, which old programs send.
    pub password: Secret<String>,
}

impl Credentials {
    /// In place of a name that nobody can have or an empty password. They are judged like any others, so that the answer
    /// takes as long as any other (invariant 6).
    pub fn nobodys() -> Self {
        Self { user_name: String::new(), password: Secret::new(String::new()) }
    }

    /// A name that nobody can have and an empty password are [`Credentials::nobodys`].
    pub(crate) fn new(user_name: &[u8], password: &[u8]) -> Self {
        let usable = |name: &&str| (1..=255).contains(&name.len()) && !name.chars().any(char::is_control);
        match str::from_utf8(user_name).ok().filter(usable) {
            Some(user_name) if !password.is_empty() && !password.contains(&0) => {
                let password =
                    str::from_utf8(password).map_or_else(|_| from_latin_1(password), str::to_owned);
                Self { user_name: user_name.to_owned(), password: Secret::new(password) }
            }
            _ => Self::nobodys(),
        }
    }
}

/// A mechanism that a mail client may use. NTLM, GSSAPI and the challenge-response ones are never offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// User name and password one after the other; .NET knows no other.
    Login,
    /// User name and password in one message: RFC 4616.
    Plain,
}

impl Mechanism {
    /// Every mechanism, in the order in which they are offered.
    pub const ALL: [Self; 2] = [Self::Plain, Self::Login];

    /// The name in any case (.NET sends `login`), if it is one of ours.
    pub fn parse(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|mechanism| name.eq_ignore_ascii_case(mechanism.name().as_bytes()))
    }

    /// The name as it is offered.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Login => "LOGIN",
            Self::Plain => "PLAIN",
        }
    }
}

/// What stands behind AUTH, in any protocol: `[SP sasl-mech [SP initial-response]]` (RFC 4954 section 8, RFC 5034 section 4).
/// The mechanism is empty in a bare AUTH.
pub(crate) fn auth_parameters(parameters: &[u8]) -> (&[u8], Option<SecretBytes<'_>>) {
    let (mechanism, behind) = word(parameters).unwrap_or_default();
    let response = behind.trim_ascii();
    (mechanism, (!response.is_empty()).then(|| SecretBytes::new(response)))
}

/// One login attempt, server side. A new attempt is a new value, so nothing is left over from the one before.
#[derive(Debug)]
pub struct Exchange(State);

#[derive(Debug)]
enum State {
    Login(Login),
    Plain,
}

/// Where an [`Exchange`] has got to.
#[derive(Debug)]
pub enum Progress {
    /// Send [`Exchange::challenge`] and feed the answer to [`Exchange::respond`].
    Challenge(Exchange),
    /// It is over.
    Finished(Result<Credentials, AuthFailure>),
}

impl Exchange {
    /// Begins; for LOGIN the initial response is the user name, so only the password is asked for.
    pub fn begin(mechanism: Mechanism, initial_response: Option<SecretBytes<'_>>) -> Progress {
        let exchange = Self(match mechanism {
            Mechanism::Login => State::Login(Login::AwaitUserName),
            Mechanism::Plain => State::Plain,
        });
        match initial_response {
            None => Progress::Challenge(exchange),
            Some(response) => exchange.respond(response.expose()),
        }
    }

    /// What is sent to the client, in base64; empty for PLAIN.
    pub fn challenge(&self) -> &'static str {
        match &self.0 {
            State::Login(login) => login.challenge(),
            State::Plain => "",
        }
    }

    /// Takes a line from the client: base64, or `*` to give up.
    pub fn respond(self, line: &[u8]) -> Progress {
        if line.trim_ascii() == b"*" {
            return Progress::Finished(Err(AuthFailure::Cancelled));
        }
        let Ok(response) = base64::decode(line) else {
            return Progress::Finished(Err(AuthFailure::Malformed));
        };
        match self.0 {
            State::Plain => Progress::Finished(plain::credentials(&response)),
            State::Login(login) => match login.respond(&response) {
                Ok(login) => Progress::Challenge(Self(State::Login(login))),
                Err(result) => Progress::Finished(result),
            },
        }
    }
}

/// In Latin-1 each byte is the character of the same number. The room is made first: growing would leave a copy behind.
fn from_latin_1(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    text.extend(bytes.iter().copied().map(char::from));
    text
}

#[cfg(test)]
mod tests {
    use super::{Credentials, Exchange, Mechanism, Progress};
    use crate::failure::AuthFailure;
    use crate::secret::SecretBytes;

    /// Answers every challenge with the next line, and gives what was asked and how it ended.
    fn run(
        mechanism: Mechanism,
        initial_response: Option<&[u8]>,
        lines: &[&[u8]],
    ) -> (Vec<&'static str>, Option<Result<(String, String), AuthFailure>>) {
        let mut asked = Vec::new();
        let mut lines = lines.iter();
        let mut progress = Exchange::begin(mechanism, initial_response.map(SecretBytes::new));
        loop {
            match progress {
                Progress::Challenge(exchange) => {
                    asked.push(exchange.challenge());
                    let Some(line) = lines.next() else { return (asked, None) };
                    progress = exchange.respond(line);
                }
                Progress::Finished(result) => {
                    let result = result
                        .map(|Credentials { user_name, password }| (user_name, password.expose().clone()));
                    return (asked, Some(result));
                }
            }
        }
    }

    #[test]
    fn every_way_to_log_in_gives_the_same_credentials() {
        let (user, pass) = ("VXNlcm5hbWU6", "UGFzc3dvcmQ6");
        let table: [(Mechanism, Option<&[u8]>, &[&[u8]], &[&str]); 6] = [
            (Mechanism::Plain, Some(b"AHRpbQB0YW5zdGFhZg=="), &[], &[]),
            (Mechanism::Plain, Some(b"AHRpb QB0YW5zdGFhZg"), &[], &[]),
            (Mechanism::Plain, None, &[b"AHRpbQB0YW5zdGFhZg=="], &[""]),
            (Mechanism::Login, None, &[b"dGlt", b"dGFuc3RhYWY="], &[user, pass]),
            (Mechanism::Login, Some(b"dGlt"), &[b"dGFuc3RhYWY"], &[pass]),
            (Mechanism::Login, Some(b"dGlt"), &[b"dGFuc3RhYWY= "], &[pass]),
        ];
        for (mechanism, initial_response, lines, prompts) in table {
            let (asked, result) = run(mechanism, initial_response, lines);
            assert_eq!(asked, prompts);
            assert_eq!(result, Some(Ok(("tim".to_owned(), "tanstaaf".to_owned()))));
        }
    }

    #[test]
    fn an_exchange_ends_where_the_client_errs_or_gives_up() {
        let table: [(Mechanism, Option<&[u8]>, &[&[u8]], AuthFailure); 6] = [
            (Mechanism::Plain, None, &[b"*"], AuthFailure::Cancelled),
            (Mechanism::Login, None, &[b"*"], AuthFailure::Cancelled),
            (Mechanism::Login, None, &[b"dGlt", b"*"], AuthFailure::Cancelled),
            (Mechanism::Plain, Some(b"="), &[], AuthFailure::Malformed),
            (Mechanism::Plain, None, &[b"%%%"], AuthFailure::Malformed),
            (Mechanism::Login, None, &[b"dGlt", b"%%%"], AuthFailure::Malformed),
        ];
        for (mechanism, initial_response, lines, failure) in table {
            assert_eq!(run(mechanism, initial_response, lines).1, Some(Err(failure)));
        }
        for lines in [[&b""[..], b"dGFuc3RhYWY="], [b"dGlt", b""]] {
            let nobodys = Ok((String::new(), String::new()));
            assert_eq!(run(Mechanism::Login, None, &lines).1, Some(nobodys), "judged like any others");
        }
    }

    #[test]
    fn mechanisms_are_known_in_any_case() {
        assert_eq!(Mechanism::parse(b"login"), Some(Mechanism::Login));
        assert_eq!(Mechanism::parse(b"Plain"), Some(Mechanism::Plain));
        for name in [&b"NTLM"[..], b"GSSAPI", b"CRAM-MD5", b"XOAUTH2", b"PLAIN-CLIENTTOKEN", b""] {
            assert_eq!(Mechanism::parse(name), None);
        }
    }

    #[test]
    fn a_user_name_is_bounded_text() {
        let long = [b'a'; 256];
        for name in [&b""[..], b"a\x01b", b"a\nb", b"a\xffb", "a\u{85}b".as_bytes(), &long] {
            assert_eq!(Credentials::new(name, b"x").user_name, "", "{name:?}");
        }
        for name in [&b"DOM\\user"[..], b"first last", "m\u{fc}ller@example.com".as_bytes(), &[b'a'; 255]] {
            assert_eq!(Credentials::new(name, b"x").user_name.as_bytes(), name, "{name:?}");
        }
    }

    #[test]
    fn a_password_that_is_not_utf_8_is_latin_1() {
        let password = |bytes| Credentials::new(b"tim", bytes).password.expose().clone();
        assert_eq!(password("caf\u{e9}".as_bytes()), "caf\u{e9}");
        assert_eq!(password(b"caf\xe9"), "caf\u{e9}");
        assert_eq!(password(b"a\0b"), "", "nobody's");
    }
}
