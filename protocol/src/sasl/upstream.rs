//! What we log in with at the provider, client side: a token or a password, the mechanisms that each has, and the care that
//! nothing the provider says back carries it into a log. A password is never sent as a token, nor a token as a password:
//! each kind has mechanisms of its own.

mod echo;
mod password;
mod token;

use self::token::TokenMechanism;
use super::{base64, challenge};
use crate::dialogue::Output;
use crate::failure::{Refusal, RefusalKind};
use crate::secret::Secret;

pub(crate) use self::password::{PasswordMechanism, quoted};

/// A mechanism that we log in with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamMechanism {
    /// User name and password one after the other: AUTH LOGIN in SMTP, USER and PASS in POP3, LOGIN in IMAP.
    Login,
    /// The standard's way to send a token: RFC 7628.
    OauthBearer,
    /// User name and password in one message: RFC 4616.
    Plain,
    /// Google's and Microsoft's way to send a token.
    Xoauth2,
}

impl UpstreamMechanism {
    /// Every mechanism.
    pub const ALL: [Self; 4] = [Self::Login, Self::OauthBearer, Self::Plain, Self::Xoauth2];

    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Login => "LOGIN",
            Self::OauthBearer => "OAUTHBEARER",
            Self::Plain => "PLAIN",
            Self::Xoauth2 => "XOAUTH2",
        }
    }

    /// Whether a password is sent by it, and not a token.
    pub const fn takes_password(self) -> bool {
        matches!(self, Self::Login | Self::Plain)
    }

    /// Those of ours among the names that a server announces.
    pub(crate) fn offered<'a>(names: impl Iterator<Item = &'a [u8]>) -> Vec<Self> {
        let known =
            |name: &[u8]| Self::ALL.into_iter().find(|it| name.eq_ignore_ascii_case(it.name().as_bytes()));
        names.filter_map(known).collect()
    }
}

/// What opens a mailbox at its provider.
#[derive(Clone, Debug)]
pub enum UpstreamSecret {
    /// The mailbox's own, or one that the provider made for an application.
    Password(Secret<String>),
    /// An access token.
    Token(Secret<String>),
}

/// A user name and a secret that can be put into every message: neither is empty or has a control character.
#[derive(Clone, Debug)]
pub struct UpstreamCredentials {
    user_name: String,
    proof: Proof,
    /// Whether the mechanism stays what it is, whatever is announced.
    named: bool,
    server: (String, u16),
}

/// A secret, and the mechanism that it is sent by as far as is known.
#[derive(Clone, Debug)]
enum Proof {
    Password(PasswordMechanism, Secret<String>),
    Token(TokenMechanism, Secret<String>),
}

/// What was sent last of a login.
#[derive(Debug)]
pub(crate) enum Sent {
    /// The command that begins it.
    Command,
    /// The user name, where the password goes by itself.
    UserName,
    /// The password, and with it everything.
    Password,
    /// The token, and with it everything.
    Token,
    /// The answer to the challenge that tells a failure, whose meaning this is.
    Acknowledgement(Option<String>),
}

impl Sent {
    /// Whether the verdict may come.
    pub(crate) fn is_all(&self) -> bool {
        matches!(self, Self::Password | Self::Token | Self::Acknowledgement(_))
    }

    /// What the failure challenge meant, if there was one.
    pub(crate) fn challenge(&self) -> Option<String> {
        match self {
            Self::Acknowledgement(meaning) => meaning.clone(),
            _ => None,
        }
    }
}

/// The user name or the secret is empty, or carries a byte that would break out of its field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForbiddenByte;

impl UpstreamCredentials {
    /// Takes the parts, if they are fit for the messages. The server is the one that they are meant for; OAUTHBEARER tells
    /// it so. `named` is the mechanism to use whatever is announced; one that does not take this kind of secret says nothing.
    pub fn new(
        user_name: String,
        secret: UpstreamSecret,
        server: (String, u16),
        named: Option<UpstreamMechanism>,
    ) -> Result<Self, ForbiddenByte> {
        let fits = |text: &str| !text.is_empty() && !text.chars().any(char::is_control);
        let (UpstreamSecret::Password(text) | UpstreamSecret::Token(text)) = &secret;
        if !fits(&user_name) || !fits(text.expose()) {
            return Err(ForbiddenByte);
        }
        let (proof, named) = match secret {
            UpstreamSecret::Password(password) => {
                let named = named.and_then(PasswordMechanism::of);
                (Proof::Password(named.unwrap_or(PasswordMechanism::Plain), password), named.is_some())
            }
            UpstreamSecret::Token(token) => {
                let named = named.and_then(TokenMechanism::of);
                (Proof::Token(named.unwrap_or(TokenMechanism::Xoauth2), token), named.is_some())
            }
        };
        Ok(Self { user_name, proof, named, server })
    }

    /// Whether the mechanism stays what it is, whatever is announced.
    pub(crate) fn is_named(&self) -> bool {
        self.named
    }

    /// The mechanism that is used.
    pub(crate) fn mechanism(&self) -> UpstreamMechanism {
        match self.proof {
            Proof::Password(PasswordMechanism::Login, _) => UpstreamMechanism::Login,
            Proof::Password(PasswordMechanism::Plain, _) => UpstreamMechanism::Plain,
            Proof::Token(TokenMechanism::OauthBearer, _) => UpstreamMechanism::OauthBearer,
            Proof::Token(TokenMechanism::Xoauth2, _) => UpstreamMechanism::Xoauth2,
        }
    }

    /// Chooses the mechanism for a server that announces these, unless one was named. A server that announces none for this
    /// secret is tried with the usual one, which for a password is `usual`: it says best itself why not.
    pub(crate) fn choose(&mut self, offered: &[UpstreamMechanism], usual: PasswordMechanism) {
        if self.named {
            return;
        }
        match &mut self.proof {
            Proof::Password(mechanism, _) => *mechanism = PasswordMechanism::among(offered).unwrap_or(usual),
            Proof::Token(mechanism, _) => *mechanism = TokenMechanism::among(offered),
        }
    }

    /// User name and password, where they go one after the other.
    pub(crate) fn one_by_one(&self) -> Option<(&str, &Secret<String>)> {
        match &self.proof {
            Proof::Password(PasswordMechanism::Login, password) => Some((&self.user_name, password)),
            _ => None,
        }
    }

    /// Answers the server's challenge with the next line of the SASL exchange. `None` where none is left to be said.
    pub(crate) fn answer(&self, sent: &Sent, challenge: &[u8], output: &mut Output) -> Option<Sent> {
        match (&self.proof, sent) {
            (Proof::Password(PasswordMechanism::Login, _), Sent::Command) => {
                write_line(&base64::encode(self.user_name.as_bytes()), output);
                Some(Sent::UserName)
            }
            (Proof::Password(PasswordMechanism::Login, password), Sent::UserName) => {
                write_line(&base64::encode(password.expose().as_bytes()), output);
                Some(Sent::Password)
            }
            (_, Sent::Command) => Some(self.write_message(output)),
            (Proof::Token(mechanism, _), Sent::Token) => {
                // The final word comes only after this line.
                output.line(mechanism.acknowledgement());
                let meaning = challenge::meaning(challenge.trim_ascii());
                Some(Sent::Acknowledgement(meaning.map(|meaning| self.censor(meaning.as_bytes()))))
            }
            _ => None,
        }
    }

    /// Writes the message that holds everything as a line; of LOGIN, which has none, PLAIN's.
    pub(crate) fn write_message(&self, output: &mut Output) -> Sent {
        let (message, sent) = match &self.proof {
            Proof::Password(_, password) => {
                (password::plain(&self.user_name, password.expose()), Sent::Password)
            }
            Proof::Token(mechanism, token) => {
                (mechanism.message(&self.user_name, token.expose(), &self.server), Sent::Token)
            }
        };
        write_line(&message, output);
        sent
    }

    /// What the provider said when it did not let us in, fit for a log. `sent` is how far the login was, if it had begun.
    pub(crate) fn refusal(
        &self,
        kind: RefusalKind,
        state: &'static str,
        text: &[u8],
        sent: Option<&Sent>,
    ) -> Refusal {
        let mut text = self.censor(text);
        text.truncate(Refusal::MAX_TEXT_LEN);
        let after_secret = sent.is_some_and(Sent::is_all);
        Refusal { kind, state, text, after_secret, challenge: sent.and_then(Sent::challenge) }
    }

    /// One line of the provider's as printable ASCII. Every word that holds a run of our secret, or of a message that it
    /// may have been sent in, becomes `[token]` or `[password]`: some servers echo what they did not like.
    pub fn censor(&self, line: &[u8]) -> String {
        match &self.proof {
            Proof::Password(_, password) => {
                let password = password.expose();
                let (plain, quoted) = (password::plain(&self.user_name, password), quoted(password));
                let encoded = base64::encode(password.as_bytes());
                let quoted = quoted.get(1..quoted.len() - 1).unwrap_or_default();
                echo::censored(line, &[password.as_bytes(), quoted, &encoded, &plain], "[password]")
            }
            Proof::Token(_, token) => {
                let [xoauth2, oauthbearer] = [TokenMechanism::Xoauth2, TokenMechanism::OauthBearer]
                    .map(|mechanism| mechanism.message(&self.user_name, token.expose(), &self.server));
                echo::censored(line, &[token.expose().as_bytes(), &xoauth2, &oauthbearer], "[token]")
            }
        }
    }
}

fn write_line(line: &[u8], output: &mut Output) {
    output.write(line);
    output.write(b"\r\n");
}

#[cfg(test)]
// A test that meets the unexpected should stop there.
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::base64;
    use super::{
        ForbiddenByte, PasswordMechanism, Sent, UpstreamCredentials, UpstreamMechanism, UpstreamSecret,
    };
    use crate::dialogue::Output;
    use crate::secret::Secret;

    const USER_NAME: &str = "someuser@example.com";
    const TOKEN: &str = "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg";
    const ENCODED: &str = "dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRmdDRxbVRjMk52YjNSbGNrQmhk\
                           SFJoZG1semRHRXVZMjl0Q2cBAQ==";
    const PASSWORD: &str = "abcd efgh \"ijkl\" mnöp";

    fn token(token: &str) -> UpstreamSecret {
        UpstreamSecret::Token(Secret::new(token.to_owned()))
    }

    fn password(password: &str) -> UpstreamSecret {
        UpstreamSecret::Password(Secret::new(password.to_owned()))
    }

    fn credentials(user_name: &str, secret: UpstreamSecret) -> Result<UpstreamCredentials, ForbiddenByte> {
        named(user_name, secret, None)
    }

    fn named(
        user_name: &str,
        secret: UpstreamSecret,
        named: Option<UpstreamMechanism>,
    ) -> Result<UpstreamCredentials, ForbiddenByte> {
        UpstreamCredentials::new(user_name.to_owned(), secret, ("server.example.com".to_owned(), 143), named)
    }

    fn usual() -> UpstreamCredentials {
        credentials(USER_NAME, token(TOKEN)).unwrap()
    }

    /// What is said to challenges without a text, one after the other.
    fn said(credentials: &UpstreamCredentials) -> Vec<String> {
        let (mut said, mut sent, mut output) = (Vec::new(), Sent::Command, Output::default());
        while let Some(next) = credentials.answer(&sent, b"", &mut output) {
            said.push(output.as_bytes().escape_ascii().to_string());
            output.wipe();
            sent = next;
        }
        assert!(sent.is_all());
        said
    }

    #[test]
    fn the_messages_are_googles_example_and_the_standards() {
        assert_eq!(said(&usual()), [format!("{ENCODED}\\r\\n"), "\\r\\n".to_owned()]);
        // RFC 7628, section 4.1.
        let standard = named(
            "user@example.com",
            token("vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="),
            Some(UpstreamMechanism::OauthBearer),
        );
        let expected = "bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9MTQzAWF1dGg9QmVhcmVyIHZGOWRm\
                        dDRxbVRjMk52YjNSbGNrQmhiSFJoZG1semRHRXVZMjl0Q2c9PQEB\\r\\n";
        assert_eq!(said(&standard.unwrap()), [expected, "AQ==\\r\\n"]);
        // RFC 4616, section 4; the second challenge of LOGIN asks for the password.
        let mut standard = credentials("tim", password("tanstaaftanstaaf")).unwrap();
        assert_eq!(said(&standard), ["AHRpbQB0YW5zdGFhZnRhbnN0YWFm\\r\\n"]);
        standard.choose(&[UpstreamMechanism::Login], PasswordMechanism::Plain);
        assert_eq!(said(&standard), ["dGlt\\r\\n", "dGFuc3RhYWZ0YW5zdGFhZg==\\r\\n"]);
    }

    #[test]
    fn a_password_in_plain_is_utf_8() {
        let line = said(&credentials("jörg", password("schlüssel")).unwrap()).concat();
        let decoded = base64::decode(line.trim_end_matches("\\r\\n").as_bytes()).unwrap();
        assert_eq!(decoded.as_slice(), "\0jörg\0schlüssel".as_bytes());
    }

    #[test]
    fn a_name_is_escaped_where_the_header_would_end() {
        let bearer = named("a=b,c", token("t"), Some(UpstreamMechanism::OauthBearer)).unwrap();
        let mut output = Output::default();
        bearer.write_message(&mut output);
        let plain = base64::decode(output.as_bytes().trim_ascii()).unwrap();
        assert!(plain.starts_with(b"n,a=a=3Db=2Cc,\x01host="), "{}", plain.escape_ascii());
    }

    #[test]
    fn the_mechanism_is_the_named_one_or_one_that_is_offered() {
        use UpstreamMechanism::{Login, OauthBearer, Plain, Xoauth2};
        let offered = |names: &str| UpstreamMechanism::offered(names.as_bytes().split(|byte| *byte == b' '));
        for (names, by_token, by_password) in [
            ("PLAIN XOAUTH2 OAUTHBEARER", Xoauth2, Plain),
            ("oauthbearer xoauth2 login plain", Xoauth2, Plain),
            ("LOGIN OAUTHBEARER", OauthBearer, Login),
            ("LOGIN XOAUTH PLAIN-CLIENTTOKEN", Xoauth2, Login),
            ("", Xoauth2, Plain),
        ] {
            for (secret, expected) in [(token("t"), by_token), (password("p"), by_password)] {
                let mut credentials = credentials(USER_NAME, secret.clone()).unwrap();
                credentials.choose(&offered(names), PasswordMechanism::Plain);
                assert_eq!(credentials.mechanism(), expected, "{names}");
                for name in UpstreamMechanism::ALL {
                    let mut credentials = named(USER_NAME, secret.clone(), Some(name)).unwrap();
                    credentials.choose(&offered(names), PasswordMechanism::Plain);
                    let fits = name.takes_password() == expected.takes_password();
                    assert_eq!(credentials.is_named(), fits);
                    assert_eq!(credentials.mechanism(), if fits { name } else { expected }, "{names}");
                }
            }
        }
        let mut nothing_said = credentials(USER_NAME, password("p")).unwrap();
        nothing_said.choose(&[], PasswordMechanism::Login);
        assert_eq!(nothing_said.mechanism(), Login);
    }

    #[test]
    fn nothing_that_breaks_out_of_its_field_gets_in() {
        for (user_name, secret) in [
            ("a\x01auth=Bearer x", "t"),
            ("a\r\n", "t"),
            ("a", "t\x01"),
            ("a", "t\n"),
            ("a", "\0"),
            ("a", ""),
            ("", "t"),
        ] {
            for secret in [token(secret), password(secret)] {
                assert_eq!(credentials(user_name, secret).err(), Some(ForbiddenByte), "{user_name:?}");
            }
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
        ];
        for (line, expected) in table {
            assert_eq!(usual().censor(line.as_bytes()), expected);
        }
    }

    #[test]
    fn an_echoed_password_is_left_out_in_every_form() {
        let credentials = credentials(USER_NAME, password(PASSWORD)).unwrap();
        let encode = |text: &str| String::from_utf8(base64::encode(text.as_bytes()).to_vec()).unwrap();
        for echo in [
            PASSWORD.to_owned(),
            "abcd efgh \\\"ijkl\\\" mnöp".to_owned(),
            encode(PASSWORD),
            encode(&format!("\0{USER_NAME}\0{PASSWORD}")),
        ] {
            let line = format!("what is <{echo}>, {USER_NAME}?");
            assert_eq!(
                credentials.censor(line.as_bytes()),
                format!("what is [password] {USER_NAME}?"),
                "{echo}"
            );
        }
    }

    #[test]
    fn a_short_secret_is_left_out_too() {
        let short = credentials("a", token("ya29.test")).unwrap();
        assert_eq!(short.censor(b"no \"ya29.test\" here"), "no [token] here");
        let short = credentials("a", password("xyz")).unwrap();
        assert_eq!(short.censor(b"no \"xyz\" here nor eHl6"), "no [password] here nor [password]");
    }

    #[test]
    fn debug_shows_no_secret() {
        assert!(!format!("{:?}", usual()).contains("ya29"));
        assert!(!format!("{:?}", credentials("a", password(PASSWORD)).unwrap()).contains("efgh"));
    }
}
