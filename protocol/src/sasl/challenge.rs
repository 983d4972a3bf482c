//! The provider's XOAUTH2 failure challenge: base64 JSON that is read for a few known fields and goes no further
//! (invariant 4).

use std::str;

use nom::branch::alt;
use nom::bytes::complete::{tag, take, take_while1};
use nom::character::complete::multispace0;
use nom::combinator::recognize;
use nom::multi::{many0_count, separated_list0};
use nom::sequence::{delimited, preceded, separated_pair};
use nom::{IResult, Parser as _};

use super::base64;

/// The fields that mean something: Google's and RFC 7628's.
const FIELDS: [&[u8]; 3] = [b"status", b"schemes", b"scope"];

/// No field of theirs needs more.
const MAX_VALUE_LEN: usize = 80;

/// The meaning, for example `status 400, schemes Bearer`. `None` if there is none to be found.
pub(super) fn meaning(encoded: &[u8]) -> Option<String> {
    let decoded = base64::decode(encoded).ok()?;
    let (_, members) = object(&decoded).ok()?;
    let known = members.iter().filter(|(name, _)| FIELDS.contains(name)).filter_map(|(name, value)| {
        let value: String = str::from_utf8(value).ok()?.replace('\\', "");
        let printable = !value.is_empty() && value.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        (printable && value.len() <= MAX_VALUE_LEN).then(|| format!("{} {value}", name.escape_ascii()))
    });
    let known: Vec<String> = known.take(FIELDS.len()).collect();
    (!known.is_empty()).then(|| known.join(", "))
}

/// `object = begin-object [ member *( value-separator member ) ] end-object` (RFC 8259), with flat values.
fn object(input: &[u8]) -> IResult<&[u8], Vec<(&[u8], &[u8])>> {
    let members = separated_list0(tag(","), delimited(multispace0, member, multispace0));
    delimited((multispace0, tag("{")), members, (multispace0, tag("}"))).parse(input)
}

/// `member = string name-separator value`
fn member(input: &[u8]) -> IResult<&[u8], (&[u8], &[u8])> {
    let scalar = take_while1(|byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'+'));
    separated_pair(string, (multispace0, tag(":"), multispace0), alt((string, scalar))).parse(input)
}

/// `string = quotation-mark *char quotation-mark`, escapes as they are.
fn string(input: &[u8]) -> IResult<&[u8], &[u8]> {
    // By bytes, not characters: nom's character parsers count a byte above 0x7F as two, and panic at the end of the input.
    let plain = take_while1(|byte: u8| !matches!(byte, b'"' | b'\\'));
    let text = recognize(many0_count(alt((preceded(tag("\\"), take(1_usize)), plain))));
    delimited(tag("\""), text, tag("\"")).parse(input)
}

#[cfg(test)]
mod tests {
    use super::{base64, meaning};

    #[test]
    fn googles_challenge_is_understood() {
        let challenge = b"eyJzdGF0dXMiOiI0MDAiLCJzY2hlbWVzIjoiQmVhcmVyIiwic2NvcGUiOiJodHRwczovL21haWwuZ29vZ2xlLmNvbS8ifQ==";
        assert_eq!(
            meaning(challenge).as_deref(),
            Some("status 400, schemes Bearer, scope https://mail.google.com/")
        );
    }

    #[test]
    fn only_known_short_printable_fields_are_taken() {
        let table = [
            (r#"{"status":"401"}"#, Some("status 401")),
            (r#" { "status" : 401 , "x" : true } "#, Some("status 401")),
            (r#"{"scope":"https:\/\/mail.google.com\/"}"#, Some("scope https://mail.google.com/")),
            (
                r#"{"status":"invalid_token","openid-configuration":"https://x/"}"#,
                Some("status invalid_token"),
            ),
            (r#"{"status":"","scope":""}"#, None),
            (r#"{"token":"ya29.secret"}"#, None),
            ("{\"status\":\"4\r\n00\"}", None),
            (r#"{"status":{"deep":"1"}}"#, None),
            (r#"{"status":"400""#, None),
            (r#"{"status":"\"#, None),
            ("[]", None),
            ("", None),
        ];
        for (json, expected) in table {
            assert_eq!(meaning(&base64::encode(json.as_bytes())).as_deref(), expected, "{json}");
        }
        let long = format!(r#"{{"scope":"{}"}}"#, "x".repeat(81));
        assert_eq!(meaning(&base64::encode(long.as_bytes())), None);
        assert_eq!(meaning(b"not base64!"), None);
    }

    #[test]
    fn a_challenge_that_ends_in_the_middle_of_a_character_is_no_challenge() {
        for json in
            [&b"{\"status\":\"\xff"[..], b"{\"\xff", b"{\"status\":\"\\\xff", b"{\"status\":\xff", b"\xff"]
        {
            assert_eq!(meaning(&base64::encode(json)), None, "{json:?}");
        }
    }
}
