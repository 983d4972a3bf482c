//! What a failed login at a provider means: the row of the diagnosis table, what the client hears of it, and whether a newer
//! token may help. The table decides; what it does not know is passed on in the provider's own words.

use std::io;
use std::time::SystemTime;

use gatepost_protocol::Protocol;
use gatepost_protocol::failure::{AuthFailure, Cause, Refusal, RefusalKind};
use rustls::CertificateError;

use super::UpstreamError;
use crate::diagnosis::{Diagnosis, by_id, find, trimmed};
use crate::session::driver::Ended;
use crate::store::upstream_logins::RefusedLogin;
use crate::tls::untrusted;

/// The stored password is not the right one.
const WRONG_PASSWORD: &str = "G19";

/// What is true of everybody whom the row is about: permanent on the wire where only somebody's deed ends it (invariant 9).
pub fn failure_of(row: &Diagnosis) -> AuthFailure {
    if row.permanent {
        AuthFailure::NeedsAdmin(row.cause_for_client())
    } else {
        AuthFailure::Temporary(row.cause_for_client())
    }
}

impl UpstreamError {
    /// What is known of it where a token was sent; `None` where the provider said something that the table does not know.
    pub fn diagnosis(&self, protocol: Protocol) -> Option<&'static Diagnosis> {
        match (self, self.own_id()) {
            (_, Some(id)) => by_id(id),
            (Self::Refused(_), None) => find(protocol.into(), &self.words()?),
            (_, None) => None,
        }
    }

    /// The same where a password was sent: what a newer token may help against, or what is said for many reasons, says nothing but
    /// that the password is wrong.
    pub fn diagnosis_with_password(&self, protocol: Protocol) -> Option<&'static Diagnosis> {
        let row = self.diagnosis(protocol);
        if self.is_wrong_secret() && row.is_none_or(|row| row.refresh || row.general) {
            by_id(WRONG_PASSWORD)
        } else {
            row
        }
    }

    /// What the client hears where a token was sent.
    pub fn failure(&self, protocol: Protocol) -> AuthFailure {
        self.failure_by(self.diagnosis(protocol))
    }

    /// What the client hears where a password was sent.
    pub fn failure_with_password(&self, protocol: Protocol) -> AuthFailure {
        self.failure_by(self.diagnosis_with_password(protocol))
    }

    /// What the provider said, without what it hangs on for itself; `None` where it said nothing to us.
    pub fn words(&self) -> Option<String> {
        let Self::Refused(Refusal { text, challenge, .. }) = self else { return None };
        let challenge = challenge.as_ref().map(|meaning| format!(" (challenge: {meaning})"));
        Some(trimmed(text) + challenge.unwrap_or_default().as_str())
    }

    /// What is noted about the account, where the provider refused the login and would do so again. `row` is what is known of it.
    /// That a stored password is wrong is noted with the password.
    pub fn refused_login(&self, row: Option<&Diagnosis>) -> Option<RefusedLogin> {
        let Self::Refused(Refusal { kind, .. }) = self else { return None };
        let passes = matches!(kind, RefusalKind::Busy | RefusalKind::Temporary);
        let lasts = !passes
            && row.map_or(matches!(kind, RefusalKind::Rejected | RefusalKind::NoMailbox), |row| {
                row.permanent && row.id != WRONG_PASSWORD
            });
        let diagnosis = row.map(|row| row.id.clone());
        self.words().filter(|_| lasts).map(|said| RefusedLogin { at: SystemTime::now(), said, diagnosis })
    }

    /// Whether a newer token may help: the provider rejected this one, and what is known of its words does not say otherwise.
    pub fn may_a_new_token_help(&self, protocol: Protocol) -> bool {
        let is_rejected =
            matches!(self, Self::Refused(Refusal { kind, .. }) if *kind == RefusalKind::Rejected);
        is_rejected && self.diagnosis(protocol).is_none_or(|row| row.refresh)
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

    /// The row that says what we found out ourselves; `None` where the provider's words have to tell.
    fn own_id(&self) -> Option<&'static str> {
        match self {
            Self::Dial(error) => Some(id_of_dial(error)),
            Self::TimedOut("connecting") => Some("D109"),
            Self::TimedOut("awaiting the greeting") => Some("G06"),
            Self::TimedOut(_) => Some("G05"),
            Self::Ended { error, .. } => Some(id_of_end(error)),
            Self::Refused(Refusal { kind: RefusalKind::NotUnderstood, .. }) => Some("G09"),
            Self::Refused(Refusal { kind: RefusalKind::NoStartTls, .. }) => Some("G12"),
            Self::ForbiddenByte => Some("G13"),
            Self::HostName(_) => Some("G14"),
            Self::Refused(_) => None,
        }
    }

    fn failure_by(&self, row: Option<&Diagnosis>) -> AuthFailure {
        match (self, row) {
            // A provider that asks us to come back knows better than any row whether that helps (invariant 9).
            (Self::Refused(Refusal { kind: RefusalKind::Busy, .. }), Some(row)) => {
                AuthFailure::Busy(row.cause_for_client())
            }
            (Self::Refused(Refusal { kind: RefusalKind::Temporary, .. }), Some(row)) => {
                AuthFailure::Temporary(row.cause_for_client())
            }
            (_, Some(row)) => failure_of(row),
            (Self::Refused(refusal), None) => passed_on(refusal),
            // Every other one has a row, as a test says.
            (other, None) => AuthFailure::Temporary(Cause::new(other.to_string())),
        }
    }
}

fn id_of_dial(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "G02",
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => "G03",
        io::ErrorKind::NotFound => "G04",
        io::ErrorKind::ConnectionReset => "G07",
        io::ErrorKind::TimedOut => "D109",
        _ => "G01",
    }
}

fn id_of_end(error: &Ended) -> &'static str {
    match error {
        Ended::Tls(error) => match untrusted(error) {
            Some(why) => id_of_certificate(why),
            None if error.kind() == io::ErrorKind::InvalidData => "G08",
            None => "G07",
        },
        Ended::EarlyPlaintext | Ended::Foreign(_) => "G09",
        Ended::Closed | Ended::Gone | Ended::Io(_) => "G07",
    }
}

fn id_of_certificate(error: &CertificateError) -> &'static str {
    match error {
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => "G10",
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => "G11",
        _ => "D110",
    }
}

/// What nobody has written a row for yet: the provider's words, which begin with its code.
fn passed_on(Refusal { kind, text, .. }: &Refusal) -> AuthFailure {
    let words = trimmed(text);
    let or = |otherwise: &'static str| {
        if words.is_empty() { Cause::new(otherwise) } else { Cause::new(words.clone()) }
    };
    match kind {
        RefusalKind::Busy => AuthFailure::Busy(or("mailbox has too many sessions; try again")),
        RefusalKind::NoMailbox => {
            AuthFailure::NeedsAdmin(or("provider gives no access to this mailbox; ask admin"))
        }
        RefusalKind::Rejected | RefusalKind::NoStartTls => {
            AuthFailure::NeedsAdmin(or("provider refused this mailbox; ask admin"))
        }
        RefusalKind::Temporary | RefusalKind::NotUnderstood => {
            AuthFailure::Temporary(or("provider says try later"))
        }
    }
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

    use std::time::Duration;

    use Protocol::{Imap, Pop3, Smtp};
    use gatepost_protocol::dialogue::Violation;
    use rustls_pki_types::{ServerName, UnixTime};

    use super::*;
    use crate::diagnosis::find_anywhere;

    fn refused(kind: RefusalKind, text: &str) -> UpstreamError {
        UpstreamError::Refused(Refusal {
            kind,
            state: "awaiting the response to the token",
            text: text.to_owned(),
            after_secret: true,
            challenge: None,
        })
    }

    fn rejected(text: &str) -> UpstreamError {
        refused(RefusalKind::Rejected, text)
    }

    fn tls(error: rustls::Error) -> UpstreamError {
        let error = Ended::Tls(io::Error::new(io::ErrorKind::InvalidData, error));
        UpstreamError::Ended { error, state: "beginning" }
    }

    fn certificate(error: CertificateError) -> UpstreamError {
        tls(rustls::Error::InvalidCertificate(error))
    }

    fn from_system(number: i32) -> UpstreamError {
        UpstreamError::Dial(io::Error::from_raw_os_error(number))
    }

    /// One of each kind that we meet ourselves.
    fn own() -> Vec<(UpstreamError, &'static str)> {
        let ended = |error| UpstreamError::Ended { error, state: "awaiting the reply to EHLO" };
        let day = |days: u64| UnixTime::since_unix_epoch(Duration::from_hours(24 * days));
        let no_start_tls = |state, text: &str| {
            let text = text.to_owned();
            let kind = RefusalKind::NoStartTls;
            UpstreamError::Refused(Refusal { kind, state, text, after_secret: false, challenge: None })
        };
        vec![
            (from_system(24), "G01"),
            (from_system(111), "G02"),
            (from_system(113), "G03"),
            (from_system(101), "G03"),
            (from_system(110), "D109"),
            (from_system(104), "G07"),
            (
                UpstreamError::Dial(io::Error::new(
                    io::ErrorKind::NotFound,
                    io::Error::other("failed to lookup address information: Name or service not known"),
                )),
                "G04",
            ),
            (UpstreamError::TimedOut("connecting"), "D109"),
            (UpstreamError::TimedOut("awaiting the greeting"), "G06"),
            (UpstreamError::TimedOut("awaiting the reply to STARTTLS"), "G05"),
            (UpstreamError::TimedOut("in the TLS handshake"), "G05"),
            (ended(Ended::Gone), "G07"),
            (ended(Ended::Io(io::Error::from_raw_os_error(104))), "G07"),
            (ended(Ended::Tls(io::Error::new(io::ErrorKind::UnexpectedEof, "tls handshake eof"))), "G07"),
            (tls(rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType)), "G08"),
            (tls(rustls::Error::AlertReceived(rustls::AlertDescription::ProtocolVersion)), "G08"),
            (ended(Ended::EarlyPlaintext), "G09"),
            (ended(Ended::Foreign(Violation::TlsClientHello)), "G09"),
            (refused(RefusalKind::NotUnderstood, "HTTP/1.1 400 Bad Request"), "G09"),
            (certificate(CertificateError::ExpiredContext { time: day(3), not_after: day(2) }), "G10"),
            (certificate(CertificateError::NotValidYetContext { time: day(1), not_before: day(2) }), "G10"),
            (certificate(CertificateError::Expired), "G10"),
            (
                certificate(CertificateError::NotValidForNameContext {
                    expected: ServerName::try_from("mail.example.com").unwrap(),
                    presented: vec!["DnsName(\"other.example.com\")".to_owned()],
                }),
                "G11",
            ),
            (certificate(CertificateError::NotValidForName), "G11"),
            (certificate(CertificateError::UnknownIssuer), "D110"),
            (certificate(CertificateError::BadSignature), "D110"),
            (no_start_tls("awaiting the reply to EHLO", "STARTTLS is missing in the reply to EHLO"), "G12"),
            (no_start_tls("awaiting the reply to STARTTLS", "454 4.7.0 TLS not available"), "G12"),
            (no_start_tls("awaiting the response to STLS", "no"), "G12"),
            (no_start_tls("awaiting the response to STARTTLS", "no"), "G12"),
            (UpstreamError::ForbiddenByte, "G13"),
            (UpstreamError::HostName("mail server".to_owned()), "G14"),
        ]
    }

    #[test]
    fn what_we_meet_ourselves_has_a_row_that_is_found_by_our_words_too() {
        for (error, id) in own() {
            for protocol in Protocol::ALL {
                assert_eq!(error.diagnosis(protocol).map(|row| row.id.as_str()), Some(id), "{error}");
            }
            assert_eq!(find_anywhere(&error.to_string()).map(|row| row.id.as_str()), Some(id), "{error}");
            let row = by_id(id).unwrap();
            let told = match error.failure(Smtp) {
                AuthFailure::NeedsAdmin(cause) if row.permanent => cause,
                AuthFailure::Temporary(cause) if !row.permanent => cause,
                other => panic!("{error}: {other:?}"),
            };
            assert_eq!(told, row.cause_for_client(), "{error}");
            assert!(!error.may_a_new_token_help(Smtp), "{error}");
        }
    }

    #[test]
    fn what_the_link_says_itself_has_rows() {
        for id in ["G05", "G15", "G16", "G17", "G18", WRONG_PASSWORD] {
            assert!(by_id(id).is_some(), "{id}");
        }
    }

    #[test]
    fn who_asks_us_to_come_back_is_believed_whatever_a_row_says() {
        for (protocol, kind, text) in [
            (Imap, RefusalKind::Temporary, "[SERVERBUG] Internal error, login failed. Try again later"),
            (Pop3, RefusalKind::Temporary, "[SYS/TEMP] mailbox is disabled"),
            (Smtp, RefusalKind::Temporary, "454 4.7.0 account is locked, try again later"),
            (Smtp, RefusalKind::Temporary, "554 5.3.2 System not accepting network messages"),
            (Imap, RefusalKind::Busy, "[LIMIT] IMAP access is disabled for your domain"),
        ] {
            let error = refused(kind, text);
            match (error.failure(protocol), kind) {
                (AuthFailure::Temporary(_), RefusalKind::Temporary)
                | (AuthFailure::Busy(_), RefusalKind::Busy) => {}
                (other, _) => panic!("{text}: {other:?}"),
            }
            assert!(error.refused_login(error.diagnosis(protocol)).is_none(), "{text}");
        }
    }

    #[test]
    fn a_refused_token_is_one_in_whatever_words_and_a_newer_one_is_tried() {
        for (protocol, text) in [
            (Imap, "Login failed: authentication failure"),
            (Imap, "[AUTHENTICATIONFAILED] Login failed."),
            (Smtp, "554 5.7.8 Authentication failed: token expired"),
            (Smtp, "550 5.7.1 Authentication failed"),
            (Smtp, "530 5.7.0 Authentication failed"),
        ] {
            assert!(rejected(text).may_a_new_token_help(protocol), "{text}");
        }
        for text in ["LOGIN failed.", "[AUTHENTICATIONFAILED] Login failed."] {
            let row = rejected(text).diagnosis_with_password(Imap);
            assert_eq!(row.map(|row| row.id.as_str()), Some(WRONG_PASSWORD), "{text}");
        }
    }

    #[test]
    fn what_nobody_knows_is_passed_on_in_its_own_words() {
        let long =
            "599 9.9.9 zyx the quick brown fox jumps over the lazy dog and away [MX1.EXAMPLE 2026-11-21]";
        let cause = |text: &str| Cause::new(text.to_owned());
        for (error, expected) in [
            (
                rejected(long),
                AuthFailure::NeedsAdmin(cause(
                    "599 9.9.9 zyx the quick brown fox jumps over the lazy dog an",
                )),
            ),
            (rejected("zyx"), AuthFailure::NeedsAdmin(cause("zyx"))),
            (rejected(""), AuthFailure::NeedsAdmin(cause("provider refused this mailbox; ask admin"))),
            (refused(RefusalKind::NoMailbox, "zyx"), AuthFailure::NeedsAdmin(cause("zyx"))),
            (refused(RefusalKind::Temporary, "499 zyx"), AuthFailure::Temporary(cause("499 zyx"))),
            (refused(RefusalKind::Busy, "zyx"), AuthFailure::Busy(cause("zyx"))),
            (
                refused(RefusalKind::Busy, ""),
                AuthFailure::Busy(cause("mailbox has too many sessions; try again")),
            ),
        ] {
            assert_eq!(error.diagnosis(Imap), None, "{error}");
            assert_eq!(error.failure(Imap), expected, "{error}");
        }
    }

    #[test]
    fn the_table_says_what_a_newer_token_may_help_against_and_what_lasts() {
        let tenant =
            "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.";
        for (error, refreshes, lasts) in [
            (rejected(tenant), false, true),
            (rejected("599 9.9.9 zyx"), true, true),
            (refused(RefusalKind::Temporary, "499 9.9.9 zyx"), false, false),
            (refused(RefusalKind::Busy, "499 9.9.9 zyx"), false, false),
            (refused(RefusalKind::NoMailbox, "zyx"), false, true),
            (UpstreamError::TimedOut("connecting"), false, false),
            // Another server in the place of the provider's has refused nothing.
            (certificate(CertificateError::UnknownIssuer), false, false),
        ] {
            assert_eq!(error.may_a_new_token_help(Smtp), refreshes, "{error}");
            let refused = error.refused_login(error.diagnosis(Smtp));
            assert_eq!(refused.is_some(), lasts, "{error}");
        }
        let error = rejected(tenant);
        let noted = error.refused_login(error.diagnosis(Smtp)).unwrap();
        assert_eq!((noted.said.as_str(), noted.diagnosis.as_deref()), (tenant, Some("D02")));
    }

    #[test]
    fn a_refused_password_is_a_wrong_one_unless_the_words_say_otherwise() {
        let id = |text: &str, protocol| rejected(text).diagnosis_with_password(protocol).map(|row| &*row.id);
        assert_eq!(id("535 5.7.8 zyx", Smtp), Some(WRONG_PASSWORD));
        assert_eq!(id("[AUTH] zyx", Pop3), Some(WRONG_PASSWORD));
        assert_eq!(id("599 9.9.9 zyx", Smtp), None);
        assert_eq!(rejected("535 5.7.8 zyx").refused_login(by_id(WRONG_PASSWORD)), None);
    }

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
}
