//! Why a certificate is not taken, in words for people; the library names most reasons as its code does.

use std::io;
use std::time::{Duration, UNIX_EPOCH};

use rustls::CertificateError;
use rustls_pki_types::UnixTime;

use super::untrusted;
use crate::clock::utc;

/// What the other side's certificate has against it, or else what the error says.
pub fn in_words(error: &io::Error) -> String {
    match untrusted(error) {
        Some(reason) => format!("invalid peer certificate: {}", reason_in_words(reason)),
        None => error.to_string(),
    }
}

/// Without "the certificate" in front where it is a thing of its own.
pub fn reason_in_words(reason: &CertificateError) -> String {
    if is_of_an_authority(reason) {
        return "the server shows the certificate of an authority as its own".to_owned();
    }
    let words = match reason {
        CertificateError::ExpiredContext { not_after, .. } => {
            return format!("certificate expired on {}", day(*not_after));
        }
        CertificateError::NotValidYetContext { not_before, .. } => {
            return format!("certificate not valid yet, but from {} on", day(*not_before));
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            return format!("certificate not valid for name {}; {}", expected.to_str(), for_names(presented));
        }
        CertificateError::Expired => "certificate expired",
        CertificateError::NotValidYet => "certificate not valid yet",
        CertificateError::NotValidForName => "certificate not valid for name",
        CertificateError::UnknownIssuer => "nobody who is trusted here vouches for it",
        CertificateError::BadSignature => {
            "the signature is not that of the authority known here by this name"
        }
        CertificateError::BadEncoding => "it cannot be read",
        CertificateError::Revoked => "it was revoked",
        CertificateError::UnhandledCriticalExtension => "it demands something that is not known here",
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "it is signed in a way that is too old, or not known here"
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "it is not made for servers"
        }
        _ => "it does not hold what a server's certificate has to",
    };
    words.to_owned()
}

/// Whether the server shows what `openssl req -x509` makes unless told otherwise: a certificate that may sign others.
pub fn is_of_an_authority(reason: &CertificateError) -> bool {
    // The verifier's own error has no type that we could name.
    matches!(reason, CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity"))
}

fn day(moment: UnixTime) -> String {
    utc(UNIX_EPOCH + Duration::from_secs(moment.as_secs())).date().to_string()
}

/// The library has a name as `DnsName("mail.contoso.com")`.
fn for_names(presented: &[String]) -> String {
    let bare = |name: &String| name.split('"').nth(1).unwrap_or(name).to_owned();
    match presented.iter().take(MOST_NAMES).map(bare).collect::<Vec<_>>().join(", ") {
        names if names.is_empty() => "it is for no name at all".to_owned(),
        names => format!("it is for {names}"),
    }
}

const MOST_NAMES: usize = 4;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use rustls_pki_types::ServerName;

    use super::*;

    #[test]
    fn no_name_of_a_program_reaches_a_person() {
        let day = |days: u64| UnixTime::since_unix_epoch(Duration::from_hours(24 * days));
        let name = |presented: &[&str]| CertificateError::NotValidForNameContext {
            expected: ServerName::try_from("mail.example").unwrap(),
            presented: presented.iter().map(|name| (*name).to_owned()).collect(),
        };
        for (reason, expected) in [
            (
                CertificateError::ExpiredContext { time: day(3), not_after: day(2) },
                "certificate expired on 1970-01-03",
            ),
            (
                CertificateError::NotValidYetContext { time: day(1), not_before: day(2) },
                "certificate not valid yet, but from 1970-01-03 on",
            ),
            (
                name(&["DnsName(\"a.example\")", "DnsName(\"b.example\")"]),
                "certificate not valid for name mail.example; it is for a.example, b.example",
            ),
            (name(&[]), "certificate not valid for name mail.example; it is for no name at all"),
            (CertificateError::UnknownIssuer, "nobody who is trusted here vouches for it"),
            (CertificateError::InvalidPurpose, "it is not made for servers"),
            (
                CertificateError::ApplicationVerificationFailure,
                "it does not hold what a server's certificate has to",
            ),
        ] {
            let error =
                io::Error::new(io::ErrorKind::InvalidData, rustls::Error::InvalidCertificate(reason.clone()));
            assert_eq!(in_words(&error), format!("invalid peer certificate: {expected}"), "{reason:?}");
        }
        assert_eq!(in_words(&io::Error::other("tls handshake eof")), "tls handshake eof");
    }
}
