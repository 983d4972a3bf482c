//! IMAP responses: ours, that tell a mail client why it may not log in, and the provider's, which are hostile input: capped in
//! length, their form read strictly.

use nom::branch::alt;
use nom::bytes::complete::{tag, tag_no_case, take_till, take_till1};
use nom::combinator::{rest, value, verify};
use nom::sequence::{delimited, preceded, terminated};
use nom::{IResult, Parser as _};

use crate::dialogue::Output;
use crate::failure::AuthFailure;

/// The longest line from a provider in octets, its terminator included; a `+` may be as long as a SASL line.
pub const LINE_LIMIT: usize = 8192;

/// The longest list of capabilities that is passed on, in octets.
const MAX_CAPABILITIES_LEN: usize = 2048;

/// Why a login is refused, as a tagged response: the one way from an [`AuthFailure`] to IMAP. The codes are those of RFC 9051,
/// section 7.1.
pub(super) fn write_failure(tag: &str, failure: &AuthFailure, output: &mut Output) {
    let (status, text) = match failure {
        AuthFailure::Malformed => ("BAD", "Cannot read the login data"),
        AuthFailure::Cancelled => ("BAD", "Login cancelled"),
        AuthFailure::EncryptionRequired => {
            ("NO [PRIVACYREQUIRED]", "Encryption required: use STARTTLS first")
        }
        AuthFailure::WrongCredentials => ("NO [AUTHENTICATIONFAILED]", "Wrong user name or password"),
        AuthFailure::Disabled => ("NO [AUTHORIZATIONFAILED]", "This account is switched off"),
        AuthFailure::NeedsAdmin(cause) => ("NO [CONTACTADMIN]", cause.as_str()),
        AuthFailure::Temporary(cause) => ("NO [UNAVAILABLE]", cause.as_str()),
        AuthFailure::Busy(cause) => ("NO [LIMIT]", cause.as_str()),
    };
    output.line(&format!("{tag} {status} {text}"));
}

/// A response of the provider's; before and at a login each takes one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Response<'a> {
    /// `* CAPABILITY …`: the words.
    Capability(&'a [u8]),
    /// `+`: the exchange goes on. The text behind it.
    Continuation(&'a [u8]),
    /// Any other untagged response.
    Other,
    /// `tag OK`, or `* OK` where there is no tag.
    Status {
        /// Of the command that it answers.
        tag: Option<&'a [u8]>,
        /// How.
        status: Status,
        /// What stands behind that.
        text: &'a [u8],
    },
}

/// How a status response begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The command was not understood.
    Bad,
    /// The connection ends.
    Bye,
    /// The command failed.
    No,
    /// It was done.
    Ok,
    /// A greeting: somebody is logged in already.
    Preauth,
}

impl<'a> Response<'a> {
    /// Reads a line without its terminator.
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        response(line).ok().map(|(_, response)| response)
    }
}

fn response(input: &[u8]) -> IResult<&[u8], Response<'_>> {
    let continuation = preceded(tag("+"), text).map(Response::Continuation);
    let untagged = preceded(
        tag("* "),
        alt((
            (status, text).map(|(status, text)| Response::Status { tag: None, status, text }),
            preceded(tag_no_case("CAPABILITY"), text).map(Response::Capability),
            verify(rest, |other: &[u8]| !other.is_empty()).map(|_| Response::Other),
        )),
    );
    // Last, because it would take `*` for a tag.
    let tagged = (terminated(take_till1(|byte| byte == b' '), tag(" ")), status, text)
        .map(|(tag, status, text)| Response::Status { tag: Some(tag), status, text });
    alt((continuation, untagged, verify(tagged, |response| !is_bye_or_preauth(response)))).parse(input)
}

/// `resp-cond-state = ("OK" / "NO" / "BAD")`: the other two are never tagged.
fn is_bye_or_preauth(response: &Response<'_>) -> bool {
    matches!(response, Response::Status { status: Status::Bye | Status::Preauth, .. })
}

fn status(input: &[u8]) -> IResult<&[u8], Status> {
    alt((
        value(Status::Ok, tag_no_case("OK")),
        value(Status::No, tag_no_case("NO")),
        value(Status::Bad, tag_no_case("BAD")),
        value(Status::Bye, tag_no_case("BYE")),
        value(Status::Preauth, tag_no_case("PREAUTH")),
    ))
    .parse(input)
}

/// The rest of the line behind a space, or its end.
fn text(input: &[u8]) -> IResult<&[u8], &[u8]> {
    let behind_a_space = preceded(tag(" "), rest);
    alt((behind_a_space, verify(rest, |rest: &[u8]| rest.is_empty()))).parse(input)
}

/// `resp-text-code` at the beginning of a text: its name, and what stands behind that in the brackets.
pub(super) fn code(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let name = take_till1(|byte| matches!(byte, b' ' | b']'));
    let arguments = take_till(|byte| byte == b']');
    let parsed: IResult<&[u8], (&[u8], &[u8])> = delimited(tag("["), (name, arguments), tag("]")).parse(text);
    parsed.ok().map(|(_, code)| code)
}

/// Capabilities as they can be told to a client within brackets: the words with one space between them, without what is no
/// atom.
pub fn capabilities(words: &[u8]) -> String {
    let is_atom = |word: &&[u8]| {
        !word.is_empty() && word.iter().all(|byte| byte.is_ascii_graphic() && !b"(){%*\"\\]".contains(byte))
    };
    let mut list = String::new();
    for word in words.split(u8::is_ascii_whitespace).filter(is_atom) {
        if list.len() + word.len() >= MAX_CAPABILITIES_LEN {
            break;
        }
        if !list.is_empty() {
            list.push(' ');
        }
        list.extend(word.iter().copied().map(char::from));
    }
    list
}

/// Whether a list of capabilities has this one.
pub(super) fn has(capabilities: &str, name: &str) -> bool {
    capabilities.split(' ').any(|word| word.eq_ignore_ascii_case(name))
}

/// Capabilities without those that say how one logs in. Some mail programs stop at LOGINDISABLED even then, and Exchange goes
/// on saying it.
pub(super) fn told_to_a_client(capabilities: &str) -> String {
    let about_the_login = |word: &&str| {
        ["LOGINDISABLED", "SASL-IR", "STARTTLS"].iter().any(|it| word.eq_ignore_ascii_case(it))
            || word.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("AUTH="))
    };
    let rest: Vec<&str> = capabilities.split(' ').filter(|word| !about_the_login(word)).collect();
    rest.join(" ")
}

#[cfg(test)]
mod tests {
    use super::{MAX_CAPABILITIES_LEN, Response, Status, capabilities, code, write_failure};
    use crate::dialogue::Output;
    use crate::failure::{AuthFailure, Cause};

    #[test]
    fn a_response_is_read_strictly() {
        let status = |tag, status, text| Some(Response::Status { tag, status, text });
        let table: [(&[u8], Option<Response<'_>>); 22] = [
            (b"* OK Gimap ready", status(None, Status::Ok, b"Gimap ready")),
            (b"* ok", status(None, Status::Ok, b"")),
            (b"* BYE later", status(None, Status::Bye, b"later")),
            (b"* PREAUTH hello", status(None, Status::Preauth, b"hello")),
            (b"* CAPABILITY IMAP4rev1 IDLE", Some(Response::Capability(b"IMAP4rev1 IDLE"))),
            (b"* CAPABILITY", Some(Response::Capability(b""))),
            (b"* 3 EXISTS", Some(Response::Other)),
            (b"* OKAY", Some(Response::Other)),
            (b"* CAPABILITYX", Some(Response::Other)),
            (b"a1 OK done", status(Some(b"a1"), Status::Ok, b"done")),
            (b"a1 NO", status(Some(b"a1"), Status::No, b"")),
            (b"a1 bad what", status(Some(b"a1"), Status::Bad, b"what")),
            (b"a1 BYE", None),
            (b"a1 PREAUTH", None),
            (b"a1 OKAY", None),
            (b"a1", None),
            (b"+", Some(Response::Continuation(b""))),
            (b"+ eyJ9", Some(Response::Continuation(b"eyJ9"))),
            (b"+OK POP3", None),
            (b"* ", None),
            (b"220 ready", None),
            (b"", None),
        ];
        for (line, expected) in table {
            assert_eq!(Response::parse(line), expected, "{:?}", line.escape_ascii());
        }
    }

    #[test]
    fn codes_stand_first_and_in_brackets() {
        let table: [(&[u8], Option<(&[u8], &[u8])>); 5] = [
            (b"[CAPABILITY IMAP4rev1 IDLE] hello", Some((b"CAPABILITY", b" IMAP4rev1 IDLE"))),
            (b"[UNAVAILABLE] later", Some((b"UNAVAILABLE", b""))),
            (b"later [LIMIT]", None),
            (b"[LIMIT", None),
            (b"[] x", None),
        ];
        for (text, expected) in table {
            assert_eq!(code(text), expected, "{:?}", text.escape_ascii());
        }
    }

    #[test]
    fn capabilities_are_atoms_and_not_too_many() {
        assert_eq!(
            capabilities(b" IMAP4rev1  AUTH=XOAUTH2 a]b \x01 caf\xe9 I18NLEVEL=1 "),
            "IMAP4rev1 AUTH=XOAUTH2 I18NLEVEL=1"
        );
        let many = capabilities(&b"X-LONG-NAME ".repeat(1000));
        assert!(many.len() < MAX_CAPABILITIES_LEN && many.ends_with("X-LONG-NAME"));
    }

    #[test]
    fn every_failure_has_its_response() {
        let cause = || Cause::new("Provider not available");
        let table = [
            (AuthFailure::Malformed, "a BAD Cannot"),
            (AuthFailure::Cancelled, "a BAD Login"),
            (AuthFailure::EncryptionRequired, "a NO [PRIVACYREQUIRED] Enc"),
            (AuthFailure::WrongCredentials, "a NO [AUTHENTICATIONFAILED] Wrong"),
            (AuthFailure::Disabled, "a NO [AUTHORIZATIONFAILED] This"),
            (AuthFailure::NeedsAdmin(cause()), "a NO [CONTACTADMIN] Provider"),
            (AuthFailure::Temporary(cause()), "a NO [UNAVAILABLE] Provider"),
            (AuthFailure::Busy(cause()), "a NO [LIMIT] Provider"),
        ];
        for (failure, start) in table {
            let mut output = Output::default();
            write_failure("a", &failure, &mut output);
            assert!(output.as_bytes().starts_with(start.as_bytes()), "{failure:?}");
        }
    }
}
