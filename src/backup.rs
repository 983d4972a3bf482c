//! A backup as a file: all that the store and our CA are, as JSON in an age file that a passphrase opens. Rule: whoever has the
//! passphrase has every mailbox, and whoever has not, nothing; what was changed or cut off is told, and nothing of it is believed.
//!
//! The format is age's own (age-encryption.org/v1, scrypt), so `age --decrypt` opens it too.

use std::io::{self, Read};
use std::iter;

use age::secrecy::SecretString;
use age::{DecryptError, Decryptor, Encryptor, scrypt};
use gatepost_protocol::secret::Secret;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::store::contents::{Carried, Contents, is_moment};
use crate::tls::authority::KeptAuthority;

/// Of every age file.
const BEGINNING: &[u8] = b"age-encryption.org/";

/// What scrypt costs for each guess at a passphrase: 2^17 blocks of 1 KiB, so 128 MiB of memory and about half a second.
pub const WORK_FACTOR: u8 = 17;

/// A backup that asks for more is not one of ours, and would take all the memory there is.
const MAX_WORK_FACTOR: u8 = 20;

/// Raised by every change that an older Gatepost would read wrongly.
const VERSION: u32 = 1;

/// What `gatepost export` writes.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backup {
    version: u32,
    /// Milliseconds since 1970.
    pub made_at: i64,
    /// Accounts and what belongs to them.
    pub contents: Contents,
    authority: Option<Authority>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Authority {
    certificate: String,
    key: Carried,
}

/// The one thing that is read whatever the version is.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

/// A backup cannot be made or read.
#[derive(Debug, Error)]
pub enum BackupError {
    /// The file is not whole.
    #[error("it is damaged or cut off, so nothing in it can be relied on; take another copy of it")]
    Damaged,
    /// A newer program made it.
    #[error(
        "it was made by a newer Gatepost (its format is {0}, and this one knows {VERSION}); use that one"
    )]
    Newer(u32),
    /// Something else.
    #[error("it is not a backup by `gatepost export`")]
    NotOurs,
    /// It cannot be sealed.
    #[error("it cannot be sealed: {0}")]
    Sealing(#[from] io::Error),
    /// It does not open.
    #[error("the passphrase is wrong")]
    WrongPassphrase,
}

impl Backup {
    /// Of all this.
    pub fn new(made_at: i64, contents: Contents, authority: Option<KeptAuthority>) -> Self {
        let authority =
            authority.map(|KeptAuthority { certificate, key }| Authority { certificate, key: Carried(key) });
        Self { version: VERSION, made_at, contents, authority }
    }

    /// Our CA, where one had been made.
    pub fn authority(&self) -> Option<KeptAuthority> {
        let kept = |authority: &Authority| KeptAuthority {
            certificate: authority.certificate.clone(),
            key: authority.key.0.clone(),
        };
        self.authority.as_ref().map(kept)
    }

    /// The octets of the file.
    pub fn seal(&self, passphrase: &Secret<String>, work_factor: u8) -> Result<Vec<u8>, BackupError> {
        let mut recipient = scrypt::Recipient::new(handed_to_age(passphrase));
        recipient.set_work_factor(work_factor);
        let recipient: &dyn age::Recipient = &recipient;
        let encryptor = Encryptor::with_recipients(iter::once(recipient)).map_err(io::Error::other)?;
        let mut sealed = Vec::new();
        // Straight into the sealing: nowhere is the whole text in clear.
        let mut writer = encryptor.wrap_output(&mut sealed)?;
        serde_json::to_writer(&mut writer, self).map_err(io::Error::from)?;
        writer.finish()?;
        Ok(sealed)
    }

    /// Opens the octets of a file.
    pub fn open(sealed: &[u8], passphrase: &Secret<String>) -> Result<Self, BackupError> {
        if !sealed.starts_with(BEGINNING) {
            return Err(BackupError::NotOurs);
        }
        let decryptor = Decryptor::new_buffered(sealed).map_err(|error| refused(&error))?;
        if !decryptor.is_scrypt() {
            return Err(BackupError::NotOurs);
        }
        let mut identity = scrypt::Identity::new(handed_to_age(passphrase));
        identity.set_max_work_factor(MAX_WORK_FACTOR);
        let identity: &dyn age::Identity = &identity;
        let mut reader = decryptor.decrypt(iter::once(identity)).map_err(|error| refused(&error))?;
        // Never longer than what it was sealed into, so no piece of it is left behind where it grows.
        let mut text = Zeroizing::new(Vec::with_capacity(sealed.len()));
        reader.read_to_end(&mut text).map_err(|_| BackupError::Damaged)?;
        // What is wrong with it in detail may hold a piece of it, and helps nobody.
        let Versioned { version } = serde_json::from_slice(&text).map_err(|_| BackupError::NotOurs)?;
        if version > VERSION {
            return Err(BackupError::Newer(version));
        }
        let backup: Self = serde_json::from_slice(&text).map_err(|_| BackupError::NotOurs)?;
        if !(is_moment(backup.made_at) && backup.contents.has_moments_only()) {
            return Err(BackupError::Damaged);
        }
        Ok(backup)
    }
}

/// age wipes it, too.
fn handed_to_age(passphrase: &Secret<String>) -> SecretString {
    SecretString::from(passphrase.expose().clone())
}

fn refused(error: &DecryptError) -> BackupError {
    match error {
        DecryptError::DecryptionFailed | DecryptError::KeyDecryptionFailed | DecryptError::NoMatchingKeys => {
            BackupError::WrongPassphrase
        }
        DecryptError::InvalidMac | DecryptError::Io(_) => BackupError::Damaged,
        _ => BackupError::NotOurs,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

    use std::collections::BTreeMap;

    use super::*;

    /// So little that a test takes no time.
    const EASY: u8 = 2;

    fn passphrase() -> Secret<String> {
        Secret::new("correct horse battery".to_owned())
    }

    fn backup() -> Backup {
        let contents = Contents { accounts: Vec::new(), applications: BTreeMap::new() };
        let key = Secret::new("-----BEGIN PRIVATE KEY-----\n".to_owned());
        Backup::new(7, contents, Some(KeptAuthority { certificate: "planted".to_owned(), key }))
    }

    #[test]
    fn what_was_sealed_comes_back_and_nothing_of_it_can_be_seen() {
        let sealed = backup().seal(&passphrase(), EASY).unwrap();
        assert!(!sealed.windows(7).any(|window| window == b"planted"));
        let opened = Backup::open(&sealed, &passphrase()).unwrap();
        assert_eq!(opened.made_at, 7);
        let authority = opened.authority().unwrap();
        assert_eq!(authority.certificate, "planted");
        assert!(authority.key.expose().ends_with("KEY-----\n"));
    }

    #[test]
    fn a_wrong_passphrase_is_told_as_such() {
        let sealed = backup().seal(&passphrase(), EASY).unwrap();
        let wrong = Secret::new("correct horse".to_owned());
        let refused = Backup::open(&sealed, &wrong);
        assert!(matches!(refused, Err(BackupError::WrongPassphrase)), "{refused:?}");
    }

    #[test]
    fn a_change_or_a_cut_anywhere_is_refused() {
        let sealed = backup().seal(&passphrase(), EASY).unwrap();
        for position in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[position] ^= 1;
            assert!(Backup::open(&changed, &passphrase()).is_err(), "octet {position}");
            let cut = Backup::open(&sealed[..position], &passphrase());
            let is_told = matches!(cut, Err(BackupError::Damaged | BackupError::NotOurs));
            assert!(is_told, "cut at {position}: {cut:?}");
        }
        let mut longer = sealed.clone();
        longer.push(0);
        assert!(matches!(Backup::open(&longer, &passphrase()), Err(BackupError::Damaged)));
    }

    #[test]
    fn what_is_no_backup_of_ours_is_told_as_such() {
        let other = |text: &str| {
            let mut recipient = scrypt::Recipient::new(handed_to_age(&passphrase()));
            recipient.set_work_factor(EASY);
            age::encrypt(&recipient, text.as_bytes()).unwrap()
        };
        let for_a_key = age::encrypt(&age::x25519::Identity::generate().to_public(), b"{}").unwrap();
        for file in
            [Vec::new(), b"SQLite format 3\0".to_vec(), for_a_key, other("{}"), other(r#"{"version":1}"#)]
        {
            let refused = Backup::open(&file, &passphrase());
            assert!(matches!(refused, Err(BackupError::NotOurs)), "{refused:?}");
        }
        let newer = Backup::open(&other(r#"{"version":2,"more":[]}"#), &passphrase());
        assert!(matches!(newer, Err(BackupError::Newer(2))), "{newer:?}");
    }

    #[test]
    fn a_backup_from_beyond_the_calendar_is_refused() {
        let backup = Backup { made_at: i64::MAX, ..backup() };
        let refused = Backup::open(&backup.seal(&passphrase(), EASY).unwrap(), &passphrase());
        assert!(matches!(refused, Err(BackupError::Damaged)), "{refused:?}");
    }

    #[test]
    fn a_backup_that_would_take_all_the_memory_is_refused_before_it_does() {
        let sealed = backup().seal(&passphrase(), EASY).unwrap();
        let header = String::from_utf8_lossy(&sealed).find(" 2\n").unwrap();
        let mut hard = sealed.clone();
        hard.splice(header + 1..header + 2, *b"40");
        assert!(matches!(Backup::open(&hard, &passphrase()), Err(BackupError::NotOurs)));
    }
}
