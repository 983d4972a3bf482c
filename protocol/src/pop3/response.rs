//! POP3 responses: ours, that tell a mail client why it may not log in, and the provider's, which are hostile input: capped in
//! length, their status read strictly.

use nom::IResult;
use nom::Parser as _;
use nom::branch::alt;
use nom::bytes::complete::{tag, tag_no_case, take_till1};
use nom::combinator::value;
use nom::sequence::delimited;

use crate::dialogue::Output;
use crate::failure::AuthFailure;

/// The longest line from a provider in octets, its terminator included; a `+` may be as long as a SASL line.
pub const LINE_LIMIT: usize = 2048;

/// Why a login is refused, as a response: the one way from an [`AuthFailure`] to POP3. The codes are those of RFC 3206.
pub(super) fn write_failure(failure: &AuthFailure, output: &mut Output) {
    let (code, text) = match failure {
        AuthFailure::Malformed => ("", "Cannot read the login data"),
        AuthFailure::Cancelled => ("", "Login cancelled"),
        AuthFailure::EncryptionRequired => ("", "Encryption required: use STLS first"),
        AuthFailure::WrongCredentials => ("[AUTH] ", "Wrong user name or password"),
        AuthFailure::Disabled => ("[AUTH] ", "This account is switched off"),
        AuthFailure::NeedsAdmin(cause) => ("[SYS/PERM] ", cause.as_str()),
        AuthFailure::Temporary(cause) | AuthFailure::Busy(cause) => ("[SYS/TEMP] ", cause.as_str()),
    };
    output.line(&format!("-ERR {code}{text}"));
}

/// A response of the provider's; each takes one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Response<'a> {
    /// How it begins.
    pub status: Status,
    /// What stands behind that.
    pub text: &'a [u8],
}

/// How a response begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// `+`: the exchange goes on.
    Continuation,
    /// `-ERR`
    Err,
    /// `+OK`
    Ok,
}

impl<'a> Response<'a> {
    /// Reads a line without its terminator.
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        let (text, status) = status(line).ok()?;
        match text {
            [] => Some(Self { status, text }),
            [b' ', text @ ..] => Some(Self { status, text }),
            _ => None,
        }
    }

    /// `resp-code = "[" resp-level *("/" resp-level) "]"` (RFC 2449, section 8) in capitals, without the brackets.
    pub fn code(&self) -> Option<String> {
        let mut code = delimited(tag("["), take_till1(|byte| byte == b']'), tag("]"));
        let parsed: IResult<&[u8], &[u8]> = code.parse(self.text);
        parsed.ok().map(|(_, code)| code.to_ascii_uppercase().escape_ascii().to_string())
    }
}

/// `status = "+OK" / "-ERR" / "+"`
fn status(input: &[u8]) -> IResult<&[u8], Status> {
    alt((
        value(Status::Ok, tag_no_case("+OK")),
        value(Status::Err, tag_no_case("-ERR")),
        value(Status::Continuation, tag("+")),
    ))
    .parse(input)
}

#[cfg(test)]
mod tests {
    use super::{Response, Status, write_failure};
    use crate::dialogue::Output;
    use crate::failure::{AuthFailure, Cause};

    #[test]
    fn a_status_is_read_strictly() {
        let response = |status, text| Some(Response { status, text });
        let table: [(&[u8], Option<Response<'_>>); 11] = [
            (b"+OK Gpop ready", response(Status::Ok, b"Gpop ready")),
            (b"+OK", response(Status::Ok, b"")),
            (b"+", response(Status::Continuation, b"")),
            (b"+ ", response(Status::Continuation, b"")),
            (b"+ eyJ9", response(Status::Continuation, b"eyJ9")),
            (b"-ERR no", response(Status::Err, b"no")),
            (b"-ERR", response(Status::Err, b"")),
            (b"+OKAY", None),
            (b"-ERROR", None),
            (b"220 ready", None),
            (b"", None),
        ];
        for (line, expected) in table {
            assert_eq!(Response::parse(line), expected, "{line:?}");
        }
    }

    #[test]
    fn codes_stand_first_and_in_brackets() {
        let table: [(&[u8], Option<&str>); 5] = [
            (b"[SYS/TEMP] later", Some("SYS/TEMP")),
            (b"[in-use] locked", Some("IN-USE")),
            (b"later [AUTH]", None),
            (b"[AUTH", None),
            (b"[] x", None),
        ];
        for (text, code) in table {
            assert_eq!(Response { status: Status::Err, text }.code().as_deref(), code, "{text:?}");
        }
    }

    #[test]
    fn every_failure_has_its_response() {
        let cause = || Cause::new("Provider not available");
        let table = [
            (AuthFailure::Malformed, "-ERR "),
            (AuthFailure::Cancelled, "-ERR "),
            (AuthFailure::EncryptionRequired, "-ERR "),
            (AuthFailure::WrongCredentials, "-ERR [AUTH] "),
            (AuthFailure::Disabled, "-ERR [AUTH] "),
            (AuthFailure::NeedsAdmin(cause()), "-ERR [SYS/PERM] Provider"),
            (AuthFailure::Temporary(cause()), "-ERR [SYS/TEMP] Provider"),
            (AuthFailure::Busy(cause()), "-ERR [SYS/TEMP] Provider"),
        ];
        for (failure, start) in table {
            let mut output = Output::default();
            write_failure(&failure, &mut output);
            assert!(output.as_bytes().starts_with(start.as_bytes()), "{failure:?}");
            assert!(start.contains('[') || !output.as_bytes().contains(&b'['), "{failure:?}");
        }
    }
}
