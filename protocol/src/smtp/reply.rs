//! SMTP replies: ours, that tell a mail client why it may not log in, and the provider's, which are hostile input: capped in
//! length and number of lines, their codes read strictly.

use nom::IResult;
use nom::Parser as _;
use nom::bytes::complete::take_while_m_n;
use nom::combinator::{map_res, recognize, rest};

use crate::dialogue::Output;
use crate::failure::{AuthFailure, Refusal};
use crate::sasl::{UpstreamCredentials, UpstreamMechanism};

/// The longest line from a provider in octets, its terminator included; a 334 may be as long as a SASL line.
pub const LINE_LIMIT: usize = 2048;

/// More lines than any provider's EHLO reply has.
const MAX_LINES: usize = 128;

/// Why a login is refused, as a reply: the one way from an [`AuthFailure`] to SMTP.
pub(super) fn write_failure(failure: &AuthFailure, output: &mut Output) {
    let (code, text) = match failure {
        AuthFailure::Malformed => ("501 5.5.2", "Cannot read the login data"),
        AuthFailure::Cancelled => ("501 5.7.0", "Login cancelled"),
        AuthFailure::EncryptionRequired => ("538 5.7.11", ENCRYPTION_REQUIRED),
        AuthFailure::WrongCredentials => ("535 5.7.8", "Wrong user name or password"),
        AuthFailure::Disabled => ("535 5.7.13", "This account is switched off"),
        AuthFailure::NeedsAdmin(cause) | AuthFailure::Temporary(cause) => ("454 4.7.0", cause.as_str()),
        AuthFailure::Busy(cause) => ("454 4.3.2", cause.as_str()),
    };
    output.line(&format!("{code} {text}"));
}

/// The reply to MAIL and the others before a login. It says again why the last attempt failed, because .NET hides the
/// reply to AUTH and shows this one. What may pass stays a 454 here as well, or a queue would give the mail back.
pub(super) fn write_login_required(last_failure: Option<&AuthFailure>, output: &mut Output) {
    match last_failure {
        None | Some(AuthFailure::Malformed | AuthFailure::Cancelled) => {
            output.line("530 5.7.0 Authentication required");
        }
        Some(AuthFailure::EncryptionRequired) => output.line(&format!("530 5.7.0 {ENCRYPTION_REQUIRED}")),
        Some(AuthFailure::WrongCredentials) => output.line("530 5.7.0 Wrong user name or password"),
        Some(AuthFailure::Disabled) => output.line("530 5.7.0 This account is switched off"),
        Some(failure) => write_failure(failure, output),
    }
}

/// For both codes that say it.
const ENCRYPTION_REQUIRED: &str = "Encryption required: use STARTTLS first";

/// A whole reply of the provider's, put together line by line.
#[derive(Debug)]
pub struct Reply {
    /// The three digits.
    pub code: u16,
    /// Every line's text as one line: printable, bounded, and without our secret.
    pub text: String,
    /// Whether a line behind the first is the keyword STARTTLS.
    pub offers_start_tls: bool,
    /// What a line behind the first offers behind the keyword AUTH.
    pub mechanisms: Vec<UpstreamMechanism>,
    lines: usize,
}

impl Reply {
    /// Adds a line to the reply so far. `None` if the two cannot belong together, or the reply has too many lines.
    pub fn add(
        so_far: Option<Self>,
        line: &ReplyLine<'_>,
        credentials: &UpstreamCredentials,
    ) -> Option<Self> {
        let mut reply = so_far.unwrap_or_else(|| Self {
            code: line.code,
            text: line.code.to_string(),
            offers_start_tls: false,
            mechanisms: Vec::new(),
            lines: 0,
        });
        if reply.code != line.code || reply.lines >= MAX_LINES {
            return None;
        }
        if reply.lines > 0 {
            reply.offers_start_tls |= line.text.trim_ascii().eq_ignore_ascii_case(b"STARTTLS");
            reply.mechanisms.extend(mechanisms(line.text));
        }
        reply.lines += 1;
        if reply.code != 334 && reply.text.len() < Refusal::MAX_TEXT_LEN {
            reply.text.push(' ');
            reply.text.push_str(&credentials.censor(line.text));
            reply.text.truncate(Refusal::MAX_TEXT_LEN);
        }
        Some(reply)
    }

    /// Whether the enhanced code, which stands first in the text, is this one. Only whole codes match.
    pub fn has_enhanced_code(&self, enhanced_code: &str) -> bool {
        self.text.split(' ').nth(1) == Some(enhanced_code)
    }
}

/// `AUTH PLAIN XOAUTH2`, and `AUTH=PLAIN XOAUTH2`, which some servers say too.
fn mechanisms(text: &[u8]) -> Vec<UpstreamMechanism> {
    match text.split_at_checked(b"AUTH".len()) {
        Some((keyword, [b' ' | b'=', names @ ..])) if keyword.eq_ignore_ascii_case(b"AUTH") => {
            UpstreamMechanism::offered(names.split(u8::is_ascii_whitespace))
        }
        _ => Vec::new(),
    }
}

/// One line of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyLine<'a> {
    /// The three digits.
    pub code: u16,
    /// Whether the reply ends here.
    pub last: bool,
    /// What stands behind the code.
    pub text: &'a [u8],
}

impl<'a> ReplyLine<'a> {
    /// Reads a line without its terminator.
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        let (text, code) = reply_code(line).ok()?;
        match text {
            // Exchange ends a 334 without the space.
            [] => Some(Self { code, last: true, text }),
            [b' ', text @ ..] => Some(Self { code, last: true, text }),
            [b'-', text @ ..] => Some(Self { code, last: false, text }),
            _ => None,
        }
    }
}

/// `Reply-code = %x32-35 %x30-35 %x30-39`
fn reply_code(input: &[u8]) -> IResult<&[u8], u16> {
    let digit = |low: u8, high: u8| take_while_m_n(1, 1, move |byte: u8| (low..=high).contains(&byte));
    let digits = recognize((digit(b'2', b'5'), digit(b'0', b'5'), digit(b'0', b'9')));
    let (text, code) =
        map_res(digits, |digits: &[u8]| digits.escape_ascii().to_string().parse()).parse(input)?;
    let (_, text) = rest(text)?;
    Ok((text, code))
}

#[cfg(test)]
// A test that meets the unexpected should stop there.
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{MAX_LINES, Reply, ReplyLine, write_failure, write_login_required};
    use crate::dialogue::Output;
    use crate::failure::{AuthFailure, Cause, Refusal};
    use crate::sasl::{UpstreamCredentials, UpstreamMechanism, UpstreamSecret};
    use crate::secret::Secret;

    fn credentials() -> UpstreamCredentials {
        let token = UpstreamSecret::Token(Secret::new("ya29.test".to_owned()));
        let server = ("mail.example.com".to_owned(), 1);
        UpstreamCredentials::new("tim@example.com".to_owned(), token, server, None).unwrap()
    }

    fn collect(lines: &[&[u8]]) -> Option<Reply> {
        lines.iter().try_fold(None, |reply, line| {
            Some(Reply::add(reply, &ReplyLine::parse(line)?, &credentials())).filter(Option::is_some)
        })?
    }

    #[test]
    fn codes_are_read_strictly() {
        let line = |code, last, text| Some(ReplyLine { code, last, text });
        let table: [(&[u8], Option<ReplyLine<'_>>); 13] = [
            (b"220 ready", line(220, true, b"ready")),
            (b"250-SIZE 10", line(250, false, b"SIZE 10")),
            (b"334", line(334, true, b"")),
            (b"334 ", line(334, true, b"")),
            (b"250-", line(250, false, b"")),
            (b"235 caf\xe9", line(235, true, b"caf\xe9")),
            (b"2200 ready", None),
            (b"22 ready", None),
            (b"120 no", None),
            (b"620 no", None),
            (b"+20 no", None),
            (b"220\tno", None),
            (b"", None),
        ];
        for (bytes, expected) in table {
            assert_eq!(ReplyLine::parse(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn lines_make_one_reply() {
        let reply =
            collect(&[b"535-5.7.1 Username and Password", b"535-not ya29.test", b"535 5.7.1 gsmtp"]).unwrap();
        assert_eq!(reply.text, "535 5.7.1 Username and Password not [token] 5.7.1 gsmtp");
        assert!(reply.has_enhanced_code("5.7.1"));
        assert!(!reply.has_enhanced_code("5.7.13"));
        assert!(!reply.offers_start_tls);
    }

    #[test]
    fn the_keyword_starttls_counts_behind_the_first_line_only() {
        assert!(collect(&[b"250-mx", b"250-SIZE 1", b"250 starttls "]).unwrap().offers_start_tls);
        assert!(!collect(&[b"250-STARTTLS", b"250 STARTTLSX"]).unwrap().offers_start_tls);
    }

    #[test]
    fn mechanisms_stand_behind_auth_in_either_form() {
        use UpstreamMechanism::{Login, OauthBearer, Plain, Xoauth2};
        let table: [(&[&[u8]], &[UpstreamMechanism]); 4] = [
            (&[b"250-mx", b"250-auth LOGIN oauthbearer", b"250 SIZE 1"], &[Login, OauthBearer]),
            (
                &[b"250-mx", b"250-AUTH XOAUTH2 PLAIN", b"250 AUTH=OAUTHBEARER"],
                &[Xoauth2, Plain, OauthBearer],
            ),
            (&[b"250-AUTH XOAUTH2", b"250 XAUTH XOAUTH2"], &[]),
            (&[b"250-mx", b"250 AUTHXOAUTH2"], &[]),
        ];
        for (lines, expected) in table {
            assert_eq!(collect(lines).unwrap().mechanisms, expected);
        }
    }

    #[test]
    fn a_reply_is_bounded() {
        assert!(collect(&[b"250-a", b"251 b"]).is_none());
        assert!(collect(&[&b"250-a"[..]; MAX_LINES]).is_some());
        assert!(collect(&[&b"250-a"[..]; MAX_LINES + 1]).is_none());
        let long = [&b"250-"[..], &[b'x'; 2000]].concat();
        assert_eq!(collect(&[&long[..]; 100]).unwrap().text.len(), Refusal::MAX_TEXT_LEN);
    }

    #[test]
    fn every_failure_has_its_reply_and_is_said_again_to_mail_from() {
        let cause = || Cause::new("Provider not available");
        let table = [
            (AuthFailure::Malformed, "501 5.5.2", "530 5.7.0"),
            (AuthFailure::Cancelled, "501 5.7.0", "530 5.7.0"),
            (AuthFailure::EncryptionRequired, "538 5.7.11", "530 5.7.0"),
            (AuthFailure::WrongCredentials, "535 5.7.8", "530 5.7.0"),
            (AuthFailure::Disabled, "535 5.7.13", "530 5.7.0"),
            (AuthFailure::NeedsAdmin(cause()), "454 4.7.0", "454 4.7.0"),
            (AuthFailure::Temporary(cause()), "454 4.7.0", "454 4.7.0"),
            (AuthFailure::Busy(cause()), "454 4.3.2", "454 4.3.2"),
        ];
        for (failure, to_auth, to_mail) in table {
            let mut output = Output::default();
            write_failure(&failure, &mut output);
            assert!(output.as_bytes().starts_with(to_auth.as_bytes()), "{failure:?}");
            // A panel shows 60 characters behind the codes.
            assert!(output.as_bytes().len() - 2 <= to_auth.len() + 1 + Cause::MAX_LEN, "{failure:?}");
            output.wipe();
            write_login_required(Some(&failure), &mut output);
            assert!(output.as_bytes().starts_with(to_mail.as_bytes()), "{failure:?}");
        }
    }
}
