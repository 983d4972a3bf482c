//! Gatepost's own certificate authority, for listeners without a configured certificate. It lives ten years in the state
//! folder, so that a device needs it once; the certificate it signs is renewed without anybody noticing. Both keys are
//! RSA-2048, which old mail programs know.

use std::fs;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_RSA_SHA256, RsaKeySize, SanType,
};
use time::{Duration, OffsetDateTime};
use x509_parser::pem::parse_x509_pem;
use x509_parser::prelude::GeneralName;

use super::acceptor::ServerCertificate;
use super::{CertificateFiles, TlsError};

/// The CA's life.
const AUTHORITY_DAYS: i64 = 3652;

/// The leaf's life: the longest that common programs accept.
const LEAF_DAYS: i64 = 397;

/// How long before its end the leaf is renewed.
const RENEW_DAYS: i64 = 30;

/// What a listener's certificate must vouch for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Host names.
    pub hosts: Vec<String>,
    /// Addresses, for devices that are given nothing else.
    pub addresses: Vec<IpAddr>,
}

/// The CA's files in the state folder.
#[derive(Clone, Debug)]
pub struct Authority {
    state_dir: PathBuf,
}

impl Authority {
    /// In the given state folder; nothing is made yet.
    pub fn new(state_dir: &Path) -> Self {
        Self { state_dir: state_dir.to_owned() }
    }

    /// The CA's certificate, PEM: what a device imports. Made at the first call.
    pub fn certificate(&self) -> Result<String, TlsError> {
        let (certificate_file, key_file) = (self.state_dir.join("ca.pem"), self.state_dir.join("ca.key"));
        if let Some(certificate) = read_if_there(&certificate_file)? {
            return Ok(certificate);
        }
        let key = new_key(&key_file)?;
        let certificate = authority_params(OffsetDateTime::now_utc())
            .self_signed(&key)
            .map_err(|error| TlsError::unusable(&certificate_file, &error))?
            .pem();
        // The key first: a certificate without its key could never be used.
        write_private(&key_file, &key.serialize_pem())?;
        write_private(&certificate_file, &certificate)?;
        Ok(certificate)
    }

    /// A leaf for these names with its CA behind it; the one in the state folder as long as it is this CA's, vouches for them, has
    /// more than a month left, and has its own key beside it: a crash may have left the key of the next one there.
    pub fn leaf(&self, names: &Names) -> Result<CertificateFiles, TlsError> {
        let files = CertificateFiles {
            certificate: self.state_dir.join("certificate.pem"),
            key: self.state_dir.join("certificate.key"),
        };
        let now = OffsetDateTime::now_utc();
        if let Some(chain) = read_if_there(&files.certificate)?
            && chain.ends_with(&self.certificate()?)
            && vouches_for(&chain, names, now)
            && ServerCertificate::load(&files).is_ok()
        {
            return Ok(files);
        }
        self.renew(&files, names, now)?;
        Ok(files)
    }

    fn renew(&self, files: &CertificateFiles, names: &Names, now: OffsetDateTime) -> Result<(), TlsError> {
        let authority_file = self.state_dir.join("ca.key");
        let authority = self.certificate()?;
        let key = read_if_there(&authority_file)?.ok_or_else(|| {
            let problem = "is missing. Remove ca.pem too for a new CA, which devices must then import";
            TlsError::unusable(&authority_file, &problem)
        })?;
        let issuer = KeyPair::from_pem(&key)
            .and_then(|key| Issuer::from_ca_cert_pem(&authority, key))
            .map_err(|error| TlsError::unusable(&authority_file, &error))?;
        let leaf_key = new_key(&files.key)?;
        let leaf = leaf_params(names, now)
            .and_then(|params| params.signed_by(&leaf_key, &issuer))
            .map_err(|error| TlsError::unusable(&files.certificate, &error))?;
        write_private(&files.key, &leaf_key.serialize_pem())?;
        write_private(&files.certificate, &format!("{}{authority}", leaf.pem()))
    }
}

fn authority_params(now: OffsetDateTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Gatepost local CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = now - Duration::days(1);
    params.not_after = now + Duration::days(AUTHORITY_DAYS);
    params
}

fn leaf_params(names: &Names, now: OffsetDateTime) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let common_name = names.hosts.first().map_or("localhost", String::as_str);
    params.distinguished_name.push(DnType::CommonName, common_name);
    for host in &names.hosts {
        params.subject_alt_names.push(SanType::DnsName(Ia5String::try_from(host.as_str())?));
    }
    params.subject_alt_names.extend(names.addresses.iter().map(|address| SanType::IpAddress(*address)));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    params.not_before = now - Duration::days(1);
    params.not_after = now + Duration::days(LEAF_DAYS);
    Ok(params)
}

/// Whether the first certificate of the chain names them all and will for another month.
fn vouches_for(chain: &str, names: &Names, now: OffsetDateTime) -> bool {
    let Ok((_, pem)) = parse_x509_pem(chain.as_bytes()) else { return false };
    let Ok(certificate) = pem.parse_x509() else { return false };
    let ends = certificate.validity().not_after.timestamp();
    if ends < (now + Duration::days(RENEW_DAYS)).unix_timestamp() {
        return false;
    }
    let Ok(Some(alternative)) = certificate.subject_alternative_name() else { return false };
    let (mut hosts, mut addresses) = (Vec::new(), Vec::new());
    for name in &alternative.value.general_names {
        match name {
            GeneralName::DNSName(host) => hosts.push(*host),
            GeneralName::IPAddress(bytes) => addresses.push(*bytes),
            _ => {}
        }
    }
    names.hosts.iter().all(|host| hosts.contains(&host.as_str()))
        && names.addresses.iter().all(|address| match address {
            IpAddr::V4(address) => addresses.contains(&address.octets().as_slice()),
            IpAddr::V6(address) => addresses.contains(&address.octets().as_slice()),
        })
}

fn new_key(for_file: &Path) -> Result<KeyPair, TlsError> {
    KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)
        .map_err(|error| TlsError::unusable(for_file, &error))
}

fn read_if_there(path: &Path) -> Result<Option<String>, TlsError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(TlsError::Read { path: path.to_owned(), source }),
    }
}

/// Whole or not at all, and readable by its owner only.
fn write_private(path: &Path, text: &str) -> Result<(), TlsError> {
    let written = || -> io::Result<()> {
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    };
    written().map_err(|source| TlsError::Write { path: path.to_owned(), source })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]
mod tests {
    use std::fs;

    use time::{Duration, OffsetDateTime};

    use super::{Authority, LEAF_DAYS, Names, RENEW_DAYS, ServerCertificate, vouches_for};

    fn names() -> Names {
        Names { hosts: vec!["localhost".into()], addresses: vec!["127.0.0.1".parse().unwrap()] }
    }

    #[test]
    fn the_authority_and_the_leaf_stay_until_there_is_a_reason() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new(folder.path());
        let first = authority.certificate().unwrap();
        let files = authority.leaf(&names()).unwrap();
        let leaf = fs::read_to_string(&files.certificate).unwrap();
        assert!(leaf.ends_with(&first), "the chain carries its CA");
        authority.leaf(&names()).unwrap();
        assert_eq!(fs::read_to_string(&files.certificate).unwrap(), leaf);

        let mut more = names();
        more.addresses.push("192.168.1.10".parse().unwrap());
        authority.leaf(&more).unwrap();
        let renewed = fs::read_to_string(&files.certificate).unwrap();
        assert_ne!(renewed, leaf);
        assert_eq!(authority.certificate().unwrap(), first, "devices keep trusting the same CA");
        let now = OffsetDateTime::now_utc();
        assert!(vouches_for(&renewed, &more, now + Duration::days(LEAF_DAYS - RENEW_DAYS - 1)));
        assert!(!vouches_for(&renewed, &more, now + Duration::days(LEAF_DAYS - RENEW_DAYS + 1)));
    }

    #[test]
    fn a_leaf_that_cannot_be_used_any_more_is_made_anew() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let authority = Authority::new(folder.path());
        let files = authority.leaf(&names()).unwrap();
        let leaf = fs::read_to_string(&files.certificate).unwrap();
        // A crash between the two files of a renewal.
        fs::copy(Authority::new(other.path()).leaf(&names()).unwrap().key, &files.key).unwrap();
        ServerCertificate::load(&authority.leaf(&names()).unwrap()).unwrap();
        let renewed = fs::read_to_string(&files.certificate).unwrap();
        assert_ne!(renewed, leaf);
        // The admin wanted a new CA, which devices will be given.
        for file in ["ca.pem", "ca.key"] {
            fs::remove_file(folder.path().join(file)).unwrap();
        }
        authority.leaf(&names()).unwrap();
        let renewed = fs::read_to_string(&files.certificate).unwrap();
        assert!(renewed.ends_with(&authority.certificate().unwrap()));
    }

    #[cfg(unix)]
    #[test]
    fn keys_are_readable_by_their_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        Authority::new(folder.path()).leaf(&names()).unwrap();
        for file in ["ca.key", "certificate.key"] {
            let mode = fs::metadata(folder.path().join(file)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
    }
}
