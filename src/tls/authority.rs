//! Gatepost's own certificate authority, for listeners without a configured certificate. It lives ten years in the state
//! folder, so that a device needs it once; the certificate it signs is renewed without anybody noticing. Both keys are
//! RSA-2048, which old mail programs know.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use gatepost_protocol::secret::Secret;
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

/// A CA as a backup keeps it, PEM.
#[derive(Clone, Debug)]
pub struct KeptAuthority {
    /// What devices trust.
    pub certificate: String,
    /// What signs.
    pub key: Secret<String>,
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
        match read_if_there(&self.certificate_file())? {
            Some(certificate) => Ok(certificate),
            None => self.made(&self.lock()?),
        }
    }

    /// A leaf for these names with its CA behind it; the one in the state folder as long as it is this CA's, vouches for them, has
    /// more than a month left, and has its own key beside it: a crash may have left the key of the next one there.
    pub fn leaf(&self, names: &Names) -> Result<CertificateFiles, TlsError> {
        let files = CertificateFiles {
            certificate: self.state_dir.join("certificate.pem"),
            key: self.state_dir.join("certificate.key"),
        };
        let now = OffsetDateTime::now_utc();
        if self.is_good(&files, names, now)? {
            return Ok(files);
        }
        let lock = self.lock()?;
        let authority = self.made(&lock)?;
        // Another process may have renewed it meanwhile.
        if !self.is_good(&files, names, now)? {
            self.renew(&authority, &files, names, now)?;
        }
        Ok(files)
    }

    /// The CA with its key, for a backup; `None` where none was made yet. Fails where the two do not belong together.
    pub fn kept(&self) -> Result<Option<KeptAuthority>, TlsError> {
        let _lock = self.lock()?;
        let Some(certificate) = read_if_there(&self.certificate_file())? else { return Ok(None) };
        let kept = KeptAuthority { certificate, key: self.key()? };
        self.issuer(&kept)?;
        Ok(Some(kept))
    }

    /// Puts the CA of a backup in the place of whatever was there.
    pub fn restore(&self, kept: &KeptAuthority) -> Result<(), TlsError> {
        let lock = self.lock()?;
        self.issuer(kept)?;
        self.keep(kept, &lock)
    }

    /// Makes the CA, unless another process has meanwhile: a device that has imported one would not trust the other.
    fn made(&self, lock: &File) -> Result<String, TlsError> {
        let file = self.certificate_file();
        if let Some(certificate) = read_if_there(&file)? {
            return Ok(certificate);
        }
        let key = new_key(&self.key_file())?;
        let certificate = authority_params(OffsetDateTime::now_utc())
            .self_signed(&key)
            .map_err(|error| TlsError::unusable(&file, &error))?
            .pem();
        let kept = KeptAuthority { certificate, key: Secret::new(key.serialize_pem()) };
        self.keep(&kept, lock)?;
        Ok(kept.certificate)
    }

    /// The key first: a certificate without its key could never be used. A crash in between leaves a pair that [`Self::issuer`]
    /// refuses.
    fn keep(&self, kept: &KeptAuthority, _lock: &File) -> Result<(), TlsError> {
        write_private(&self.key_file(), kept.key.expose())?;
        write_private(&self.certificate_file(), &kept.certificate)
    }

    /// Held while something is made. It is not the store's lock, because whoever holds this one never waits for a task: so it may
    /// be waited for in any thread.
    fn lock(&self) -> Result<File, TlsError> {
        let path = self.state_dir.join("ca.lock");
        let locked = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        locked.and_then(|file| file.lock().map(|()| file)).map_err(|source| TlsError::Write { path, source })
    }

    fn certificate_file(&self) -> PathBuf {
        self.state_dir.join("ca.pem")
    }

    fn key_file(&self) -> PathBuf {
        self.state_dir.join("ca.key")
    }

    fn key(&self) -> Result<Secret<String>, TlsError> {
        let file = self.key_file();
        let key = read_if_there(&file)?.ok_or_else(|| {
            let problem = "is missing. Remove ca.pem too for a new CA, which devices must then import";
            TlsError::unusable(&file, &problem)
        })?;
        Ok(Secret::new(key))
    }

    /// What signs. Whatever another key signs, no device believes.
    fn issuer(&self, kept: &KeptAuthority) -> Result<Issuer<'static, KeyPair>, TlsError> {
        let unusable = |error| TlsError::unusable(&self.key_file(), &error);
        let key = KeyPair::from_pem(kept.key.expose()).map_err(unusable)?;
        if !is_key_of(&kept.certificate, &key) {
            let problem = "is not the key of ca.pem. If an import was cut short, run it again: gatepost import --replace FILE. \
                           Otherwise remove both for a new CA, which devices must then import";
            return Err(TlsError::unusable(&self.key_file(), &problem));
        }
        Issuer::from_ca_cert_pem(&kept.certificate, key).map_err(unusable)
    }

    fn is_good(
        &self,
        files: &CertificateFiles,
        names: &Names,
        now: OffsetDateTime,
    ) -> Result<bool, TlsError> {
        let Some(authority) = read_if_there(&self.certificate_file())? else { return Ok(false) };
        let Some(chain) = read_if_there(&files.certificate)? else { return Ok(false) };
        Ok(chain.ends_with(&authority)
            && vouches_for(&chain, names, now)
            && ServerCertificate::load(files).is_ok())
    }

    /// Only under the lock.
    fn renew(
        &self,
        authority: &str,
        files: &CertificateFiles,
        names: &Names,
        now: OffsetDateTime,
    ) -> Result<(), TlsError> {
        let issuer = self.issuer(&KeptAuthority { certificate: authority.to_owned(), key: self.key()? })?;
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

fn is_key_of(certificate: &str, key: &KeyPair) -> bool {
    let Ok((_, pem)) = parse_x509_pem(certificate.as_bytes()) else { return false };
    let Ok(certificate) = pem.parse_x509() else { return false };
    *certificate.public_key().subject_public_key.data == *key.public_key_raw()
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

    #[test]
    fn whoever_asks_at_the_same_time_gets_the_same_authority() {
        let folder = tempfile::tempdir().unwrap();
        let asked = || {
            let authority = Authority::new(folder.path());
            ServerCertificate::load(&authority.leaf(&names()).unwrap()).unwrap();
            authority.certificate().unwrap()
        };
        let certificates: Vec<String> = std::thread::scope(|scope| {
            let asking: Vec<_> = (0..4).map(|_| scope.spawn(asked)).collect();
            asking.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(certificates.windows(2).all(|pair| pair.first() == pair.last()));
        assert_eq!(Authority::new(folder.path()).kept().unwrap().unwrap().certificate, asked());
    }

    #[test]
    fn a_restored_authority_signs_the_next_leaf() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (authority, older) = (Authority::new(folder.path()), Authority::new(other.path()));
        assert!(older.kept().unwrap().is_none(), "asking makes none");
        older.leaf(&names()).unwrap();
        authority.leaf(&names()).unwrap();
        authority.restore(&older.kept().unwrap().unwrap()).unwrap();
        let files = authority.leaf(&names()).unwrap();
        ServerCertificate::load(&files).unwrap();
        let chain = fs::read_to_string(files.certificate).unwrap();
        assert!(chain.ends_with(&older.certificate().unwrap()));
    }

    #[test]
    fn a_key_of_another_authority_signs_nothing_and_another_restore_mends_it() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (authority, older) = (Authority::new(folder.path()), Authority::new(other.path()));
        authority.certificate().unwrap();
        older.certificate().unwrap();
        let kept = older.kept().unwrap().unwrap();
        // A crash between the two files of a restore.
        fs::copy(other.path().join("ca.key"), folder.path().join("ca.key")).unwrap();
        let refused =
            [authority.leaf(&names()).unwrap_err().to_string(), authority.kept().unwrap_err().to_string()];
        for refused in refused {
            assert!(refused.contains("is not the key of ca.pem"), "{refused}");
            assert!(refused.contains("gatepost import --replace"), "{refused}");
        }
        authority.restore(&kept).unwrap();
        ServerCertificate::load(&authority.leaf(&names()).unwrap()).unwrap();
        assert_eq!(authority.kept().unwrap().unwrap().certificate, kept.certificate);
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
