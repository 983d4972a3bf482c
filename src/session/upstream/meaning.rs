//! What a failed login at a provider means: the row of the diagnosis table, what the client hears of it, and whether a newer
//! token may help. The table decides; what it does not know is passed on in the provider's own words.

use std::io;

use gatepost_protocol::Protocol;
use gatepost_protocol::failure::{AuthFailure, Cause, Refusal, RefusalKind};
use rustls::CertificateError;

use super::UpstreamError;
use crate::diagnosis::{Diagnosis, by_id, find, trimmed};
use crate::session::driver::Ended;
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

    /// The same where a password was sent: what a newer token may help against says nothing but that the password is wrong.
    pub fn diagnosis_with_password(&self, protocol: Protocol) -> Option<&'static Diagnosis> {
        let row = self.diagnosis(protocol);
        if self.is_wrong_secret() && row.is_none_or(|row| row.refresh) { by_id(WRONG_PASSWORD) } else { row }
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

    /// Whether the provider refused the login, and would do so again. `row` is what is known of it.
    pub fn is_lasting_refusal(&self, row: Option<&Diagnosis>) -> bool {
        let Self::Refused(Refusal { kind, .. }) = self else { return false };
        row.map_or(matches!(kind, RefusalKind::Rejected | RefusalKind::NoMailbox), |row| row.permanent)
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
            (Self::Refused(Refusal { kind: RefusalKind::Busy, .. }), Some(row)) if !row.permanent => {
                AuthFailure::Busy(row.cause_for_client())
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
