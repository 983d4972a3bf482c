//! What a mail client says before it has logged in. Read kindly: keywords in any case, tabs and repeated spaces as one, atoms with
//! whatever a person may have in a user name; only the tag is read strictly, because it goes to the provider too.

use std::str;

use nom::branch::alt;
use nom::bytes::complete::{tag, take, take_till1, take_while, take_while1};
use nom::combinator::{all_consuming, opt, verify};
use nom::sequence::{delimited, preceded, terminated};
use nom::{IResult, Parser as _};
use zeroize::Zeroizing;

use crate::failure::AuthFailure;
use crate::line::word;
use crate::sasl::{self, Credentials};
use crate::secret::SecretBytes;

/// A command in octets, with its literals, is shorter than this. AUTHENTICATE alone may be as long as a SASL line.
pub const LIMIT: usize = 8192;

/// The longest literal in octets: before a login it holds a user name or a password.
pub const LITERAL_LIMIT: usize = 1024;

/// The longest tag in octets. Mail programs use ten at most.
const TAG_LIMIT: usize = 126;

/// A command, as far as a login needs to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command<'a> {
    /// By which the client knows the answer.
    pub tag: &'a str,
    /// What it asks for.
    pub request: Request<'a>,
}

/// What a command asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// A login by SASL.
    Authenticate {
        /// Empty where it is missing.
        mechanism: &'a [u8],
        /// In base64.
        initial_response: Option<SecretBytes<'a>>,
    },
    /// What do you offer?
    Capability,
    /// Who are you? What the client says of itself is not read.
    Id,
    /// User name and password, for [`credentials`] to read.
    Login(SecretBytes<'a>),
    /// The client leaves.
    Logout,
    /// One of the above with arguments that it does not have.
    Malformed,
    /// SELECT, LIST and the others that need a login first.
    NeedsLogin,
    /// Nothing.
    Noop,
    /// The upgrade to TLS.
    StartTls,
    /// None of the above.
    Unknown,
}

impl<'a> Command<'a> {
    /// Reads a command without its last line end; a literal in it stands behind its line end, as it was sent. `None` if it has
    /// no tag that could be answered.
    pub fn parse(command: &'a [u8]) -> Option<Self> {
        let (tag, rest) = word(command)?;
        if tag.len() > TAG_LIMIT || !tag.iter().all(|&byte| is_tag_byte(byte)) {
            return None;
        }
        Some(Self { tag: str::from_utf8(tag).ok()?, request: Request::parse(rest) })
    }
}

/// `tag = 1*<any ASTRING-CHAR except "+">`
fn is_tag_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"(){%*\"\\+".contains(&byte)
}

impl<'a> Request<'a> {
    fn parse(text: &'a [u8]) -> Self {
        let Some((name, arguments)) = word(text) else { return Self::Unknown };
        match name.to_ascii_uppercase().as_slice() {
            b"AUTHENTICATE" => {
                let (mechanism, initial_response) = sasl::auth_parameters(arguments);
                Self::Authenticate { mechanism, initial_response }
            }
            b"CAPABILITY" | b"LOGOUT" | b"NOOP" | b"STARTTLS" if !arguments.trim_ascii().is_empty() => {
                Self::Malformed
            }
            b"CAPABILITY" => Self::Capability,
            b"ID" => Self::Id,
            b"LOGIN" => Self::Login(SecretBytes::new(arguments)),
            b"LOGOUT" => Self::Logout,
            b"NOOP" => Self::Noop,
            b"STARTTLS" => Self::StartTls,
            b"APPEND" | b"CHECK" | b"CLOSE" | b"COMPRESS" | b"COPY" | b"CREATE" | b"DELETE" | b"ENABLE"
            | b"EXAMINE" | b"EXPUNGE" | b"FETCH" | b"GETQUOTA" | b"GETQUOTAROOT" | b"IDLE" | b"LIST"
            | b"LSUB" | b"MOVE" | b"NAMESPACE" | b"RENAME" | b"SEARCH" | b"SELECT" | b"STATUS" | b"STORE"
            | b"SUBSCRIBE" | b"UID" | b"UNSELECT" | b"UNSUBSCRIBE" | b"XLIST" => Self::NeedsLogin,
            _ => Self::Unknown,
        }
    }
}

/// What stands behind LOGIN: `userid SP password`, each an astring.
pub fn credentials(arguments: SecretBytes<'_>) -> Result<Credentials, AuthFailure> {
    let both = (preceded(blanks, astring), preceded(blanks, astring));
    let (_, (user_name, password)) = all_consuming(terminated(both, take_while(is_blank)))
        .parse(arguments.expose())
        .map_err(|_| AuthFailure::Malformed)?;
    Ok(Credentials::new(&user_name, &password))
}

/// The announcement of a literal at the end of a line: `"{" number ["+"] "}"` (RFC 9051; RFC 7888 for the `+`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Literal {
    /// In octets; whatever is too long for a number is [`usize::MAX`].
    pub length: usize,
    /// Whether the client waits for our `+` before it sends it.
    pub synchronizing: bool,
}

impl Literal {
    /// The literal that a line announces. One that is sent unasked is one whatever stands before it: what is in it must never
    /// be taken for a command. One that waits to be asked for is a word of its own, one in a list, or a `literal8` (RFC 3516), so
    /// that a password may end in `{1}`.
    pub fn at_end_of(line: &[u8]) -> Option<Self> {
        let start = line.iter().rposition(|&byte| byte == b'{')?;
        let (before, announcement) = line.split_at_checked(start)?;
        let is_word = before.last().is_none_or(|&byte| is_blank(byte) || matches!(byte, b'(' | b'~'));
        let (_, literal) = all_consuming(announced).parse(announcement).ok()?;
        (is_word || !literal.synchronizing).then_some(literal)
    }
}

fn announced(input: &[u8]) -> IResult<&[u8], Literal> {
    let digits = take_while1(|byte: u8| byte.is_ascii_digit());
    let (rest, (digits, plus)) = delimited(tag("{"), (digits, opt(tag("+"))), tag("}")).parse(input)?;
    let length = str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).unwrap_or(usize::MAX);
    Ok((rest, Literal { length, synchronizing: plus.is_none() }))
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn blanks(input: &[u8]) -> IResult<&[u8], &[u8]> {
    take_while1(is_blank).parse(input)
}

/// `astring = 1*ASTRING-CHAR / string`, with more in the first than the RFC has: `DOM\user` and `100%` are not quoted by all.
fn astring(input: &[u8]) -> IResult<&[u8], Zeroizing<Vec<u8>>> {
    let atom = take_till1(|byte| is_blank(byte) || matches!(byte, b'\r' | b'\n' | 0));
    let atom = verify(atom, |atom: &[u8]| !atom.starts_with(b"\""));
    let owned = |octets: &[u8]| Zeroizing::new(octets.to_vec());
    alt((literal.map(owned), quoted, atom.map(owned))).parse(input)
}

/// `literal = "{" number ["+"] "}" CRLF *CHAR8`
fn literal(input: &[u8]) -> IResult<&[u8], &[u8]> {
    let (rest, announced) = terminated(announced, tag("\r\n")).parse(input)?;
    take(announced.length).parse(rest)
}

/// `quoted = DQUOTE *QUOTED-CHAR DQUOTE`. A backslash escapes `"` and `\`; before anything else it is one that the client
/// forgot to escape.
fn quoted(input: &[u8]) -> IResult<&[u8], Zeroizing<Vec<u8>>> {
    let (mut rest, _) = tag("\"").parse(input)?;
    // The room is made first: growing would leave a copy behind.
    let mut octets = Zeroizing::new(Vec::with_capacity(rest.len()));
    loop {
        let (behind, octet) = match rest {
            [b'"', behind @ ..] => return Ok((behind, octets)),
            [b'\\', escaped @ (b'"' | b'\\'), behind @ ..] => (behind, *escaped),
            [octet, behind @ ..] => (behind, *octet),
            [] => return Err(nom::Err::Error(nom::error::Error::new(input, nom::error::ErrorKind::Eof))),
        };
        octets.push(octet);
        rest = behind;
    }
}

#[cfg(test)]
mod tests {
    use super::{Command, Literal, Request, TAG_LIMIT, credentials};
    use crate::failure::AuthFailure;
    use crate::secret::SecretBytes;

    #[test]
    fn commands_are_read_kindly() {
        let authenticate = |mechanism, response: Option<&'static [u8]>| Request::Authenticate {
            mechanism,
            initial_response: response.map(SecretBytes::new),
        };
        let login = |arguments: &'static [u8]| Request::Login(SecretBytes::new(arguments));
        let table: [(&[u8], &str, Request<'_>); 18] = [
            (b"a1 LOGIN tim tanstaaf", "a1", login(b" tim tanstaaf")),
            (b"1.9 login \"tim\" x ", "1.9", login(b" \"tim\" x ")),
            (b" \ta\t LOGIN", "a", login(b"")),
            (b"a LOGIN {3}\r\ntim {3+}\r\nx y", "a", login(b" {3}\r\ntim {3+}\r\nx y")),
            (b"a authenticate  plain", "a", authenticate(b"plain", None)),
            (b"a AUTHENTICATE PLAIN AHRpbQ==", "a", authenticate(b"PLAIN", Some(b"AHRpbQ=="))),
            (b"a AUTHENTICATE PLAIN =", "a", authenticate(b"PLAIN", Some(b"="))),
            (b"a AUTHENTICATE", "a", authenticate(b"", None)),
            (b"a capability ", "a", Request::Capability),
            (b"a ID (\"name\" \"Outlook\")", "a", Request::Id),
            (b"a STARTTLS", "a", Request::StartTls),
            (b"a Logout", "a", Request::Logout),
            (b"a NOOP", "a", Request::Noop),
            (b"a STARTTLS now", "a", Request::Malformed),
            (b"a noop {3}", "a", Request::Malformed),
            (b"a UID FETCH 1 FLAGS", "a", Request::NeedsLogin),
            (b"a XYZZY", "a", Request::Unknown),
            (b"DONE", "DONE", Request::Unknown),
        ];
        for (line, tag, request) in table {
            assert_eq!(Command::parse(line), Some(Command { tag, request }), "{:?}", line.escape_ascii());
        }
    }

    #[test]
    fn a_tag_is_read_strictly() {
        for line in [&b""[..], b" ", b"* OK", b"+ LOGIN", b"a+ NOOP", b"a\"b NOOP", b"a{ NOOP", b"\xe4 NOOP"]
        {
            assert_eq!(Command::parse(line), None, "{:?}", line.escape_ascii());
        }
        for (length, read) in [(TAG_LIMIT, true), (TAG_LIMIT + 1, false)] {
            let line = [vec![b'a'; length], b" NOOP".to_vec()].concat();
            assert_eq!(Command::parse(&line).is_some(), read, "{length}");
        }
    }

    #[test]
    fn user_name_and_password_come_in_three_forms() {
        let table: [(&[u8], Result<(&str, &str), AuthFailure>); 22] = [
            (b" tim tanstaaf", Ok(("tim", "tanstaaf"))),
            (b"\t tim \t tanstaaf ", Ok(("tim", "tanstaaf"))),
            (b" DOM\\tim 100%*]{x", Ok(("DOM\\tim", "100%*]{x"))),
            (b" tim pass{3}", Ok(("tim", "pass{3}"))),
            (b" tim {3} ", Ok(("tim", "{3}"))),
            (b" tim@example.com \"two  words\"", Ok(("tim@example.com", "two  words"))),
            (b" \"tim\" \"a\\\"b\\\\c\"", Ok(("tim", "a\"b\\c"))),
            (b" \"DOM\\tim\" \"x\"", Ok(("DOM\\tim", "x"))),
            (b" \"tim\" caf\xe9", Ok(("tim", "caf\u{e9}"))),
            (b" {3}\r\ntim {8+}\r\n\"a b\\\r\n{", Ok(("tim", "\"a b\\\r\n{"))),
            (b" {3}\r\ntim x", Ok(("tim", "x"))),
            (b" tim \"\"", Ok(("", ""))),
            (b" \"\" x", Ok(("", ""))),
            (b" {0}\r\n x", Ok(("", ""))),
            (b" \"t\x01m\" x", Ok(("", ""))),
            (b"", Err(AuthFailure::Malformed)),
            (b" tim", Err(AuthFailure::Malformed)),
            (b" tim x y", Err(AuthFailure::Malformed)),
            (b" tim \"x", Err(AuthFailure::Malformed)),
            (b" tim \"x\\\"", Err(AuthFailure::Malformed)),
            (b" tim \"x\"y", Err(AuthFailure::Malformed)),
            (b" {9}\r\ntim x", Err(AuthFailure::Malformed)),
        ];
        for (arguments, expected) in table {
            let expected = expected.map(|(name, password)| (name.to_owned(), password.to_owned()));
            let found = credentials(SecretBytes::new(arguments))
                .map(|found| (found.user_name.clone(), found.password.expose().clone()));
            assert_eq!(found, expected, "{:?}", arguments.escape_ascii());
        }
    }

    #[test]
    fn a_literal_is_announced_at_the_end_of_a_line() {
        let literal = |length, synchronizing| Some(Literal { length, synchronizing });
        let table: [(&[u8], Option<Literal>); 17] = [
            (b"a LOGIN {11}", literal(11, true)),
            (b"a LOGIN {11+}", literal(11, false)),
            (b"{0}", literal(0, true)),
            (b"a ID ({4}", literal(4, true)),
            (b"a APPEND INBOX {99999999999999999999999}", literal(usize::MAX, true)),
            (b"a APPEND INBOX {99999999999999999999999+}", literal(usize::MAX, false)),
            (b"a APPEND INBOX ~{22}", literal(22, true)),
            (b"a APPEND INBOX ~{22+}", literal(22, false)),
            (b"a LOGIN tim pass{3+}", literal(3, false)),
            (b"a LOGIN tim pass{3}", None),
            (b"a LOGIN {11} ", None),
            (b"a LOGIN {11++", None),
            (b"a LOGIN {}", None),
            (b"a LOGIN {+}", None),
            (b"a LOGIN {-1}", None),
            (b"a LOGIN {1x}", None),
            (b"a NOOP", None),
        ];
        for (line, expected) in table {
            assert_eq!(Literal::at_end_of(line), expected, "{:?}", line.escape_ascii());
        }
    }

    #[test]
    fn debug_shows_no_password() {
        for line in [&b"a LOGIN tim tanstaaf"[..], b"a AUTHENTICATE PLAIN tanstaaf"] {
            let command = format!("{:?}", Command::parse(line));
            assert!(!command.contains("116, 97, 110") && command.contains("SecretBytes(..)"), "{command}");
        }
    }
}
