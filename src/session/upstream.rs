//! Phase two on the wire: one login at a provider, over verified TLS or not at all (invariants 3 to 5), and what its failure
//! means to the client.

use std::io;

use gatepost_protocol::Protocol;
use gatepost_protocol::dialogue::{Dialogue, Step, Success};
use gatepost_protocol::failure::{AuthFailure, Cause, Refusal, RefusalKind};
use gatepost_protocol::sasl::{UpstreamCredentials, UpstreamSecret};
use gatepost_protocol::{imap, pop3, smtp};
use rustls_pki_types::ServerName;
use thiserror::Error;
use tokio::time::{Instant, timeout_at};

use super::dial::dial;
use super::driver::{Connection, Ended};
use super::stream::{Stream, Upgrade};
use crate::config::provider::{Endpoint, UpstreamTls};
use crate::tls::{Trust, is_untrusted};

/// The EHLO name. An address literal is always valid (RFC 5321 section 4.1.4), where a host's own idea of its name often
/// is not, and Gmail hangs up on those.
pub(crate) const OWN_NAME: &str = "[127.0.0.1]";

/// Why the provider did not let us in.
#[derive(Debug, Error)]
pub enum UpstreamError {
    /// No connection.
    #[error("cannot connect: {0}")]
    Dial(io::Error),
    /// The dialogue broke off.
    #[error("{error} while {state}")]
    Ended {
        /// How.
        error: Ended,
        /// Where in the dialogue.
        state: &'static str,
    },
    /// The user name or the secret carries a control character.
    #[error("the user name or the token or password cannot be sent: it is empty or has a control character")]
    ForbiddenByte,
    /// The configured name cannot be in a certificate.
    #[error("{0:?} is not a host name")]
    HostName(String),
    /// It answered, and the answer was no.
    #[error("{state}: {text}{challenge}", state = .0.state, text = .0.text, challenge = challenge(.0))]
    Refused(Refusal),
    /// The time for the login ran out.
    #[error("no answer in time while {0}")]
    TimedOut(&'static str),
}

fn challenge(refusal: &Refusal) -> String {
    refusal.challenge.as_ref().map(|meaning| format!(" (challenge: {meaning})")).unwrap_or_default()
}

impl UpstreamError {
    /// Whether a newer token may help: the provider rejected this one, and not because of a policy.
    pub fn may_a_new_token_help(&self) -> bool {
        match self {
            Self::Refused(refusal) => refusal.kind == RefusalKind::Rejected && !is_policy(&refusal.text),
            _ => false,
        }
    }

    /// Whether the provider had our token or password, and does not take it.
    pub fn is_about_secret(&self) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.kind == RefusalKind::Rejected && refusal.after_secret)
    }

    /// Whether the provider says that our token or password is not the right one, and not that it will not open the mailbox
    /// for another reason.
    pub fn is_wrong_secret(&self) -> bool {
        matches!(self, Self::Refused(refusal) if self.is_about_secret() && says_wrong_secret(&refusal.text))
    }

    /// What it means to the client where a password was sent. For a token it is [`AuthFailure::from`].
    pub fn with_password(&self) -> AuthFailure {
        match self {
            Self::Refused(refusal) if self.is_wrong_secret() => AuthFailure::NeedsAdmin(Cause::new(format!(
                "provider refused stored password{}; ask admin",
                codes(&refusal.text)
            ))),
            other => AuthFailure::from(other),
        }
    }
}

/// Codes by which a provider says that no token of this account will do until somebody changes a setting: Exchange's
/// disabled SMTP AUTH and conditional access, Gmail's web login and application password.
const POLICY_CODES: [&str; 4] = ["5.7.139", "5.7.14", "5.7.9", "5.7.57"];

/// The same in POP3 and IMAP, which have no such codes: RFC 5530's, and Gmail's words.
const POLICY_WORDS: [&str; 6] = [
    "[authorizationfailed]",
    "[contactadmin]",
    "[webalert",
    "not enabled for imap",
    "web browser",
    "web login required",
];

fn is_policy(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    text.split(|character: char| !(character.is_ascii_digit() || character == '.'))
        .any(|word| POLICY_CODES.contains(&word.trim_end_matches('.')))
        || POLICY_WORDS.iter().any(|words| lower.contains(words))
}

/// What SMTP says of a secret itself (RFC 4954 section 6): it is wrong, or one of another kind is needed (Gmail's application
/// password).
const SECRET_CODES: [&str; 4] = ["535", "534", "5.7.8", "5.7.9"];

/// Behind a code for a wrong secret: Exchange has SMTP AUTH switched off for the mailbox.
const SWITCHED_OFF: [&str; 2] = ["5.7.139", "5.7.57"];

/// POP3 and IMAP say of a wrong secret what they like, and mark what is something else (RFC 3206, RFC 5530).
const OTHER_REASONS: [&str; 4] =
    ["[authorizationfailed]", "[contactadmin]", "[sys/perm]", "not enabled for imap"];

fn says_wrong_secret(text: &str) -> bool {
    let is_smtp = text.as_bytes().first_chunk::<3>().is_some_and(|code| code.iter().all(u8::is_ascii_digit));
    if !is_smtp {
        let lower = text.to_ascii_lowercase();
        return !OTHER_REASONS.iter().any(|words| lower.contains(words));
    }
    // The reply code and the enhanced one (RFC 2034) come first.
    let codes = text.split([' ', '-']).take(2);
    let has = |wanted: &[&str]| codes.clone().any(|code| wanted.contains(&code));
    has(&SECRET_CODES) && !has(&SWITCHED_OFF)
}

impl From<&UpstreamError> for AuthFailure {
    fn from(error: &UpstreamError) -> Self {
        match error {
            UpstreamError::Dial(_) => {
                Self::Temporary(Cause::new("mail provider cannot be reached; try again"))
            }
            UpstreamError::TimedOut(_) => Self::Temporary(Cause::new("mail provider too slow; try again")),
            UpstreamError::ForbiddenByte => {
                Self::NeedsAdmin(Cause::new("account's user name is not usable; ask admin"))
            }
            UpstreamError::HostName(_) => {
                Self::NeedsAdmin(Cause::new("provider's host name is wrong; ask admin"))
            }
            UpstreamError::Ended { error: Ended::Tls(error), .. } if is_untrusted(error) => {
                Self::NeedsAdmin(Cause::new("provider's certificate not trusted; ask admin"))
            }
            UpstreamError::Ended { error, .. } if is_foreign(error) => {
                Self::Temporary(Cause::new("mail provider not understood; try again"))
            }
            UpstreamError::Ended { .. } => Self::Temporary(Cause::new("mail provider hung up; try again")),
            UpstreamError::Refused(refusal) => refused(refusal),
        }
    }
}

/// Whether what came was no TLS, or TLS that could not be agreed upon, or was said in clear where TLS was due.
fn is_foreign(error: &Ended) -> bool {
    match error {
        Ended::Tls(error) => error.kind() == io::ErrorKind::InvalidData,
        Ended::EarlyPlaintext | Ended::Foreign(_) => true,
        Ended::Closed | Ended::Gone | Ended::Io(_) => false,
    }
}

fn refused(refusal: &Refusal) -> AuthFailure {
    match refusal.kind {
        RefusalKind::Busy => AuthFailure::Busy(Cause::new("mailbox has too many sessions; try again")),
        RefusalKind::NoMailbox => {
            AuthFailure::NeedsAdmin(Cause::new("provider gives no access to this mailbox; ask admin"))
        }
        RefusalKind::NoStartTls => {
            AuthFailure::NeedsAdmin(Cause::new("provider offers no STARTTLS; ask admin"))
        }
        RefusalKind::NotUnderstood => {
            AuthFailure::Temporary(Cause::new("mail provider not understood; try again"))
        }
        RefusalKind::Rejected => AuthFailure::NeedsAdmin(Cause::new(format!(
            "provider refused this mailbox{}; ask admin",
            codes(&refusal.text)
        ))),
        RefusalKind::Temporary => {
            AuthFailure::Temporary(Cause::new(format!("provider says try later{}", codes(&refusal.text))))
        }
    }
}

/// The reply code and the enhanced code, as ` (535 5.7.3)`: what an admin looks up, and short enough for a panel.
fn codes(text: &str) -> String {
    let is_code =
        |word: &&str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let codes: Vec<_> = text.split([' ', '-']).take(2).take_while(is_code).collect();
    if codes.is_empty() { String::new() } else { format!(" ({})", codes.join(" ")) }
}

/// What we log in with at this server.
pub fn credentials(
    endpoint: &Endpoint,
    user_name: &str,
    secret: UpstreamSecret,
) -> Result<UpstreamCredentials, UpstreamError> {
    let server = (endpoint.host.clone(), endpoint.port);
    UpstreamCredentials::new(user_name.to_owned(), secret, server, endpoint.mechanism)
        .map_err(|_| UpstreamError::ForbiddenByte)
}

/// Logs in for the mailbox. The connection that comes back has its client's whole attention: the provider has said
/// success; what it said behind that is in [`Success::behind`] and then in `received`. `tag` is that of the client's command, in IMAP.
pub async fn log_in(
    protocol: Protocol,
    tag: &str,
    endpoint: &Endpoint,
    trust: &Trust,
    credentials: UpstreamCredentials,
    deadline: Instant,
) -> Result<(Connection, Success), UpstreamError> {
    let name = ServerName::try_from(endpoint.host.clone())
        .map_err(|_| UpstreamError::HostName(endpoint.host.clone()))?;
    let upgrade = Upgrade::Connect(trust.client_config().clone(), name);
    let start_tls = endpoint.tls == UpstreamTls::StartTls;
    let tcp = timeout_at(deadline, dial(&endpoint.host, endpoint.port))
        .await
        .map_err(|_| UpstreamError::TimedOut("connecting"))?
        .map_err(UpstreamError::Dial)?;
    let mut stream = Stream::new(tcp).map_err(UpstreamError::Dial)?;
    if !start_tls {
        timeout_at(deadline, stream.upgrade(&upgrade))
            .await
            .map_err(|_| UpstreamError::TimedOut("in the TLS handshake"))?
            .map_err(|error| UpstreamError::Ended { error: Ended::Tls(error), state: "beginning" })?;
    }
    let mut connection = Connection::new(stream);
    let mut dialogue: Box<dyn Dialogue<Yield = Result<Success, Refusal>> + Send> = match protocol {
        Protocol::Smtp => Box::new(smtp::Client::new(OWN_NAME.to_owned(), start_tls, credentials)),
        Protocol::Pop3 => Box::new(pop3::Client::new(start_tls, credentials)),
        Protocol::Imap => Box::new(imap::Client::new(tag.to_owned(), start_tls, credentials)),
    };
    dialogue.open(&mut connection.output);
    let verdict = timeout_at(deadline, connection.drive(&mut *dialogue, Step::NeedLine, &upgrade)).await;
    let state = dialogue.state_name();
    match verdict {
        Err(_) => Err(UpstreamError::TimedOut(state)),
        Ok(Err(error)) => Err(UpstreamError::Ended { error, state }),
        Ok(Ok(Err(refusal))) => Err(UpstreamError::Refused(refusal)),
        Ok(Ok(Ok(success))) => Ok((connection, success)),
    }
}

#[cfg(test)]
mod tests {
    use super::{codes, is_policy, says_wrong_secret};

    #[test]
    fn only_what_is_said_of_the_secret_makes_it_a_wrong_one() {
        for (text, wrong) in [
            ("535 5.7.8 Error: authentication failed", true),
            ("535 Incorrect authentication data", true),
            ("534 5.7.9 Application-specific password required", true),
            ("500 5.7.8 no", true),
            ("535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled", false),
            ("550 5.2.1 This account is disabled", false),
            ("554 5.7.1 Your 535 are not wanted", false),
            ("554 5.7.1 Access denied", false),
            ("530 5.7.57 Client not authenticated", false),
            ("525 5.7.13 User account disabled", false),
            ("[AUTH] no", true),
            ("wrong password", true),
            ("[SYS/PERM] mailbox is disabled", false),
            ("[AUTHENTICATIONFAILED] no", true),
            ("[AUTHORIZATIONFAILED] no", false),
            ("[CONTACTADMIN] no", false),
        ] {
            assert_eq!(says_wrong_secret(text), wrong, "{text}");
        }
    }

    #[test]
    fn policy_codes_match_whole() {
        for (text, policy) in [
            ("535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled", true),
            ("535 5.7.1399 something newer", false),
            ("535 5.7.3 Authentication unsuccessful", false),
            ("534-5.7.14 Please log in via your web browser", true),
            ("535 5.7.8 Username and Password not accepted", false),
            ("[AUTH] Web login required: https://support.google.com/mail/answer/78754", true),
            ("[ALERT] Please log in via your web browser (Failure)", true),
            ("[ALERT] no (before that: [WEBALERT https://accounts.google.com/] Web login required.)", true),
            ("[ALERT] Your account is not enabled for IMAP use. (Failure)", true),
            ("[AUTHORIZATIONFAILED] no", true),
            ("[AUTHENTICATIONFAILED] Invalid credentials (Failure)", false),
            ("AUTHENTICATE failed.", false),
        ] {
            assert_eq!(is_policy(text), policy, "{text}");
        }
    }

    #[test]
    fn codes_are_taken_from_the_front() {
        assert_eq!(codes("535 5.7.3 Authentication unsuccessful"), " (535 5.7.3)");
        assert_eq!(codes("535-5.7.1 (5.7.8) Username"), " (535 5.7.1)");
        assert_eq!(codes("-ERR Authentication failure"), "");
        assert_eq!(codes("454 Temporary"), " (454)");
    }
}
