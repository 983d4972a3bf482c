//! [`Leaf`]: the certificate that a server presented, for people; and which of the ways not to be trusted it has. It judges nothing:
//! the verifier did.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::{CertificateError, Error};
use rustls_pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::{FromDer as _, GeneralName};
use x509_parser::x509::X509Name;

use super::Remark;
use crate::clock::utc;
use crate::tls::reason::{is_of_an_authority, reason_in_words};

/// A certificate that is renewed by itself has more than this left.
const SOON: Duration = Duration::from_hours(14 * 24);

/// So many names are listed.
const MOST_NAMES: usize = 4;

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Whose it is.
    pub subject: String,
    /// Who vouches for it.
    pub issuer: String,
    /// Hosts and addresses.
    pub names: Vec<String>,
    /// From when.
    pub begins: SystemTime,
    /// Until when.
    pub ends: SystemTime,
}

impl Leaf {
    /// `None` for what is no certificate.
    pub fn read(der: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let moment = |seconds: i64| UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
        let validity = certificate.validity();
        Some(Self {
            subject: name(certificate.subject()),
            issuer: name(certificate.issuer()),
            names: names(&certificate),
            begins: moment(validity.not_before.timestamp()),
            ends: moment(validity.not_after.timestamp()),
        })
    }

    /// For a server that is trusted.
    pub(super) fn told(&self) -> String {
        format!("for {}, by {}, until {}", self.listed(), self.issuer, day(self.ends))
    }

    /// That it ends, where somebody should have renewed it by now.
    pub(super) fn remark(&self, now: SystemTime) -> Option<Remark> {
        let left = self.ends.duration_since(now).ok().filter(|left| *left < SOON)?;
        Some(Remark {
            title: match left.as_secs() / 86_400 {
                0 => "Its certificate ends today or tomorrow".to_owned(),
                1 => "Its certificate ends in 1 day".to_owned(),
                days => format!("Its certificate ends in {days} days"),
            },
            cause: "From then on Gatepost does not talk to this server any more.".to_owned(),
            fix: "Most servers renew it by themselves a few days before. Where the server is yours, look whether it \
                  does."
                .to_owned(),
        })
    }

    /// For one that is not.
    pub(super) fn presented(&self) -> String {
        format!(
            "a certificate of {}, for {}, issued by {}, good from {} until {}",
            self.subject,
            self.listed(),
            self.issuer,
            day(self.begins),
            day(self.ends)
        )
    }

    fn listed(&self) -> String {
        listed(&self.names, MOST_NAMES).unwrap_or_else(|| "no name at all".to_owned())
    }
}

/// Why a certificate is not trusted, and what to do: a heading, a cause and a way out.
pub(super) fn untrusted(
    error: &Error,
    host: &str,
    now: SystemTime,
) -> Option<(&'static str, String, String)> {
    let Error::InvalidCertificate(error) = error else { return None };
    let today = day(now);
    let (title, cause, fix) = match error {
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => (
            "The server's certificate is for another name",
            format!("None of the certificate's names is {host}."),
            format!(
                "Write one of its names in place of `{host}` in the configuration, if that is the same server. If it \
                 is none that you know, something else answers at this address: a firewall, a login page, an old DNS \
                 entry."
            ),
        ),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => (
            "The server's certificate has expired",
            format!("By this machine's clock it is {today}."),
            "Where that is not today's date, set this machine's clock. Otherwise whoever runs the server has to renew \
             its certificate."
                .to_owned(),
        ),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => (
            "The server's certificate is not valid yet",
            format!("By this machine's clock it is {today}."),
            "Set this machine's clock. Where it is right, whoever runs the server has to put the right certificate \
             there."
                .to_owned(),
        ),
        CertificateError::UnknownIssuer => (
            "Nobody whom this machine trusts vouches for the server's certificate",
            "Where its issuer is not a public one, it is most likely a firewall or a virus scanner that reads along and \
             signs with its own CA, or a server with a certificate of its own making."
                .to_owned(),
            format!(
                "If that is meant to be so, save the CA's certificate as a PEM file and name it in the configuration, \
                 under this provider: `ca_file: /etc/gatepost/ca.pem`. If not, let the firewall leave {host} alone."
            ),
        ),
        CertificateError::BadSignature => (
            "The server's certificate is not from the authority that is known here",
            "An authority of its issuer's name is known here, and has another key: the authority was made anew, or \
             `ca_file` in the configuration is out of date."
                .to_owned(),
            "Get the authority's certificate of today from whoever runs the server, and put it in place of the file \
             that `ca_file` names."
                .to_owned(),
        ),
        other if is_of_an_authority(other) => (
            "The server shows the certificate of an authority",
            "The server shows the certificate of an authority itself, which is for signing others (CA:TRUE). So \
             `openssl req -x509` makes it unless told otherwise."
                .to_owned(),
            format!(
                "Make it once more, with this behind `openssl req -x509`: `-addext basicConstraints=critical,CA:FALSE \
                 -addext subjectAltName={}:{host}`. Give it to the server, and name it as this provider's `ca_file`.",
                if host.parse::<IpAddr>().is_ok() { "IP" } else { "DNS" }
            ),
        ),
        other => (
            "The server's certificate cannot be used",
            format!("It is not taken: {}.", reason_in_words(other)),
            "Whoever runs the server has to put a certificate there that is made for servers.".to_owned(),
        ),
    };
    Some((title, cause, fix))
}

/// `a, b and 3 more`; `None` for nothing.
pub(super) fn listed(items: &[String], most: usize) -> Option<String> {
    let (shown, rest) = items.split_at_checked(most).unwrap_or((items, &[]));
    match (shown, rest.len()) {
        ([], _) => None,
        ([only], 0) => Some(only.clone()),
        ([before @ .., last], 0) => Some(format!("{} and {last}", before.join(", "))),
        (shown, more) => Some(format!("{} and {more} more", shown.join(", "))),
    }
}

pub(super) fn day(moment: SystemTime) -> String {
    utc(moment).date().to_string()
}

/// What a person would call it: the common name, the organisation, or all of it.
fn name(name: &X509Name<'_>) -> String {
    let common = name.iter_common_name().next();
    let organisation = name.iter_organization().next();
    let text = common
        .or(organisation)
        .and_then(|attribute| attribute.as_str().ok())
        .map_or_else(|| name.to_string(), str::to_owned);
    printable(if text.is_empty() { "an unnamed one" } else { &text })
}

fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(alternatives)) = certificate.subject_alternative_name() else { return Vec::new() };
    alternatives
        .value
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::DNSName(host) => Some(printable(host)),
            GeneralName::IPAddress(octets) => <[u8; 4]>::try_from(*octets)
                .map(|octets| Ipv4Addr::from(octets).to_string())
                .or_else(|_| <[u8; 16]>::try_from(*octets).map(|octets| Ipv6Addr::from(octets).to_string()))
                .ok(),
            _ => None,
        })
        .collect()
}

/// Whoever presents a certificate chooses its words.
fn printable(text: &str) -> String {
    text.chars().take(100).map(|character| if character.is_control() { '?' } else { character }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_that_ends_within_two_weeks_is_told_of() {
        let now = UNIX_EPOCH + Duration::from_hours(499_668);
        let leaf = |left: Duration| Leaf {
            subject: String::new(),
            issuer: String::new(),
            names: Vec::new(),
            begins: now,
            ends: now + left,
        };
        let day = Duration::from_hours(24);
        let remark = |left| leaf(left).remark(now).map(|remark| remark.title);
        assert_eq!(remark(day * 12).as_deref(), Some("Its certificate ends in 12 days"));
        assert_eq!(remark(day).as_deref(), Some("Its certificate ends in 1 day"));
        assert_eq!(remark(day / 2).as_deref(), Some("Its certificate ends today or tomorrow"));
        assert_eq!(remark(day * 14), None);
    }

    #[test]
    fn a_list_is_told_up_to_a_length() {
        for (items, expected) in [
            (&[][..], None),
            (&["a"][..], Some("a")),
            (&["a", "b"][..], Some("a and b")),
            (&["a", "b", "c"][..], Some("a, b and 1 more")),
        ] {
            let items: Vec<String> = items.iter().map(|item| (*item).to_owned()).collect();
            assert_eq!(listed(&items, 2).as_deref(), expected, "{items:?}");
        }
    }
}
