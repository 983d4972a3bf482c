//! From a local login to an account. A [`Credential`] is what a device types; an [`Account`] is a mailbox at a provider.
//! The two are never derived from each other, nor from a token.

pub mod password;

use std::time::SystemTime;

use gatepost_protocol::failure::AuthFailure;
use gatepost_protocol::sasl::Credentials;
use gatepost_protocol::{Protocol, secret::Secret};

use crate::store::Store;

/// A row number in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountId(pub i64);

/// A row number in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CredentialId(pub i64);

/// A mailbox at a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Where it stands in the store.
    pub id: AccountId,
    /// The mailbox.
    pub address: String,
    /// A name from the configuration file.
    pub provider: String,
    /// The user name toward the provider; the address where `None`. A shared mailbox may differ per protocol.
    pub smtp_user_name: Option<String>,
    /// As above.
    pub pop3_user_name: Option<String>,
    /// Switched off by the admin.
    pub disabled: bool,
}

impl Account {
    /// The user name that goes into XOAUTH2.
    pub fn upstream_user_name(&self, protocol: Protocol) -> &str {
        match protocol {
            Protocol::Smtp => self.smtp_user_name.as_deref(),
            Protocol::Pop3 => self.pop3_user_name.as_deref(),
        }
        .unwrap_or(&self.address)
    }
}

/// What a device types. Any number per account, one per device, each revocable.
#[derive(Clone, Debug)]
pub struct Credential {
    /// Where it stands in the store.
    pub id: CredentialId,
    /// The mailbox it opens.
    pub account: AccountId,
    /// What the device sends as user name; the account's address unless the admin chose another.
    pub user_name: String,
    /// Argon2id, as a PHC string.
    pub password_hash: Secret<String>,
    /// Which device it is, in the admin's words.
    pub label: Option<String>,
    /// When it was made.
    pub created_at: SystemTime,
    /// The last successful login, to the minute.
    pub last_used_at: Option<SystemTime>,
}

/// The one call that a session makes.
#[derive(Debug)]
pub struct Accounts {
    store: Store,
    hasher: password::Hasher,
}

/// A login whose local password is right.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The mailbox.
    pub account: Account,
    /// Which of its credentials.
    pub credential: CredentialId,
}

impl Accounts {
    /// Over the given store.
    pub fn new(store: Store) -> Self {
        Self { store, hasher: password::Hasher::new() }
    }

    /// Finds the account that the credentials open among those of `providers`. An unknown user costs the same Argon2
    /// run as a wrong password. Fails with `WrongCredentials`, `Disabled`, or `Temporary` when the store does not answer.
    pub async fn verify(
        &self,
        providers: &[&str],
        credentials: &Credentials,
    ) -> Result<Verified, AuthFailure> {
        let _ = (&self.store, &self.hasher, providers, credentials);
        unimplemented!()
    }
}
