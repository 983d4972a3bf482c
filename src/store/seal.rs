//! [`Sealer`]: secrets at rest, under AES-256-GCM. Rule: a sealed value opens only under its key and only in the record that
//! it was sealed for, because the record's identity is the associated data. A row that somebody copies elsewhere stays shut.
//!
//! ```text
//! format version (1 octet, 1) │ nonce (12 octets, random) │ ciphertext │ tag (16 octets)
//! ```

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::error::Unspecified;
use gatepost_protocol::secret::Secret;
use zeroize::Zeroizing;

use super::StoreError;
use super::key::MasterKey;

const FORMAT: u8 = 1;

/// The place of a sealed value in the store.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'a> {
    pub(super) table: &'static str,
    pub(super) column: &'static str,
    pub(super) key: &'a str,
}

impl Record<'_> {
    /// Table and column are our own words without a line end, so that no two records share these bytes.
    fn associated_data(self) -> String {
        format!("gatepost {FORMAT}\n{}\n{}\n{}", self.table, self.column, self.key)
    }
}

impl fmt::Display for Record<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}, {}, {}", self.table, self.key, self.column)
    }
}

/// Seals and opens under one master key.
#[derive(Debug)]
pub(super) struct Sealer {
    key: RandomizedNonceKey,
}

impl Sealer {
    pub(super) fn new(key: &MasterKey) -> Result<Self, Unspecified> {
        Ok(Self { key: RandomizedNonceKey::new(&AES_256_GCM, key.expose())? })
    }

    pub(super) fn seal(&self, record: Record<'_>, value: &Secret<String>) -> Result<Vec<u8>, StoreError> {
        self.sealed(record, value.expose().as_bytes()).map_err(|_| forged(record))
    }

    /// What does not open has another key, is of another record, or was changed. Which one cannot be told.
    pub(super) fn open(&self, record: Record<'_>, sealed: &[u8]) -> Result<Secret<String>, StoreError> {
        self.opened(record, sealed).map_err(|_| forged(record))
    }

    fn sealed(&self, record: Record<'_>, plain: &[u8]) -> Result<Vec<u8>, Unspecified> {
        // Wiped: it holds the plaintext until it is encrypted in place. Room for the tag, so that no copy is left behind.
        let mut text = Zeroizing::new(Vec::with_capacity(plain.len() + AES_256_GCM.tag_len()));
        text.extend_from_slice(plain);
        let associated = Aad::from(record.associated_data());
        let nonce = self.key.seal_in_place_append_tag(associated, &mut *text)?;
        let mut sealed = Vec::with_capacity(1 + NONCE_LEN + text.len());
        sealed.push(FORMAT);
        sealed.extend_from_slice(nonce.as_ref());
        sealed.extend_from_slice(&text);
        Ok(sealed)
    }

    fn opened(&self, record: Record<'_>, sealed: &[u8]) -> Result<Secret<String>, Unspecified> {
        let (&format, rest) = sealed.split_first().ok_or(Unspecified)?;
        if format != FORMAT {
            return Err(Unspecified);
        }
        let (nonce, text) = rest.split_first_chunk::<NONCE_LEN>().ok_or(Unspecified)?;
        let mut text = Zeroizing::new(text.to_vec());
        let associated = Aad::from(record.associated_data());
        let plain = self.key.open_in_place(Nonce::assume_unique_for_key(*nonce), associated, &mut text)?;
        let plain = str::from_utf8(plain).map_err(|_| Unspecified)?;
        Ok(Secret::new(plain.to_owned()))
    }
}

/// Out of one key's hands into another's, within the same record.
#[derive(Debug)]
pub(super) struct Resealing<'a> {
    pub(super) old: &'a Sealer,
    pub(super) new: &'a Sealer,
}

impl Resealing<'_> {
    pub(super) fn resealed(&self, record: Record<'_>, sealed: &[u8]) -> Result<Vec<u8>, StoreError> {
        self.new.seal(record, &self.old.open(record, sealed)?)
    }
}

fn forged(record: Record<'_>) -> StoreError {
    StoreError::Forged { record: record.to_string() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    const HOME: Record<'static> = Record { table: "grants", column: "refresh_token", key: "account:5" };

    fn sealer(octet: u8) -> Sealer {
        Sealer::new(&MasterKey::new([octet; 32])).unwrap()
    }

    fn token() -> Secret<String> {
        Secret::new("tanstaaf".to_owned())
    }

    #[test]
    fn a_sealed_value_opens_at_home_only() {
        let sealed = sealer(1).seal(HOME, &token()).unwrap();
        assert_eq!(sealer(1).open(HOME, &sealed).unwrap().expose(), "tanstaaf");
        let elsewhere = [
            Record { key: "account:6", ..HOME },
            Record { key: "provider:5", ..HOME },
            Record { column: "access_token", ..HOME },
            Record { table: "credentials", ..HOME },
            Record { table: "grants", column: "refresh", key: "token\naccount:5" },
        ];
        for record in elsewhere {
            assert!(sealer(1).open(record, &sealed).is_err(), "opened as {record}");
        }
        assert!(sealer(2).open(HOME, &sealed).is_err(), "opened under another key");
    }

    #[test]
    fn a_change_of_any_octet_keeps_it_shut() {
        let sealed = sealer(1).seal(HOME, &token()).unwrap();
        for position in 0..sealed.len() {
            let mut changed = sealed.clone();
            *changed.get_mut(position).unwrap() ^= 1;
            assert!(sealer(1).open(HOME, &changed).is_err(), "octet {position}");
            assert!(sealer(1).open(HOME, sealed.get(..position).unwrap()).is_err(), "cut at {position}");
        }
    }

    #[test]
    fn sealing_twice_gives_different_octets_without_the_value() {
        let (one, two) = (sealer(1).seal(HOME, &token()).unwrap(), sealer(1).seal(HOME, &token()).unwrap());
        assert_ne!(one, two);
        assert!(!one.windows(8).any(|window| window == b"tanstaaf"));
    }
}
