//! [`StoreError`]: what the person at the command line or in front of the log meets when the store cannot be used: which file, and
//! what to do. Never a value from a record.

use std::io;
use std::path::{Path, PathBuf};

use sqlx::migrate::MigrateError;
use thiserror::Error;

use super::credentials::most;
use crate::address::every_mailbox_of;

/// The store cannot be used, or could not do what was asked.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The address is taken.
    #[error("{address} is there already for provider {provider}")]
    AccountExists {
        /// The mailbox.
        address: String,
        /// From the configuration file.
        provider: String,
    },
    /// It was removed meanwhile.
    #[error("the account was removed meanwhile")]
    AccountGone,
    /// SQLite failed.
    #[error("the store does not answer: {0}")]
    Database(#[from] sqlx::Error),
    /// Others can read the key.
    #[error(
        "others can read the master key {} (mode {mode:04o}); if nobody has, run: chmod 600 {}",
        key.display(), key.display()
    )]
    ExposedKey {
        /// The file.
        key: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A file or folder of the store is not accessible.
    #[error("{what} {}: {source}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The key cannot be replaced where it is.
    #[error("{} is a link, or a file that was mounted by itself, so that no new key can be put in its place. Name the file \
         itself by GATEPOST_KEY_FILE, where it really is; nothing was changed", key.display())]
    FixedKey {
        /// The file that was named.
        key: PathBuf,
    },
    /// A sealed value does not open although the key is right.
    #[error(
        "a record of the store was changed or moved from outside ({record}); restore the store from a backup"
    )]
    Forged {
        /// Table, key and column.
        record: String,
    },
    /// Not a key.
    #[error("{} is not a master key: 32 octets in base64 are expected, as in what `openssl rand -base64 32` prints",
        key.display())]
    MalformedKey {
        /// The file.
        key: PathBuf,
    },
    /// There is data, and no key.
    #[error(
        "{} is there, but not its master key {}; without it nothing in there opens. Put the key back from the \
         backup, or name it by GATEPOST_KEY_FILE. To begin anew (every account is connected again), move {} away",
        database.display(), key.display(), database.display()
    )]
    MissingKey {
        /// The file that is missing.
        key: PathBuf,
        /// The store.
        database: PathBuf,
    },
    /// The tables are not as expected.
    #[error("{} cannot be brought up to date: {source}", database.display())]
    Migration {
        /// The store.
        database: PathBuf,
        /// What went wrong.
        source: MigrateError,
    },
    /// A newer program has been here.
    #[error("{} was made by a newer Gatepost; use that one, or restore the backup made before the update",
        database.display())]
    Newer {
        /// The store.
        database: PathBuf,
    },
    /// The rotation is done, but for the key's name.
    #[error("every secret is sealed under the new master key {}, but that cannot be moved to {}: {source}. Gatepost finds \
         it where it is; move it yourself: mv {} {}", new.display(), key.display(), new.display(), key.display())]
    NewKeyBeside {
        /// Where it belongs.
        key: PathBuf,
        /// Where it is.
        new: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The key was named, and is not there.
    #[error("the master key {} is not there; Gatepost makes none where GATEPOST_KEY_FILE or systemd names one. \
         For a new store, make it: (umask 077; openssl rand -base64 32 > {})", key.display(), key.display())]
    NoKeyFile {
        /// The file that was named.
        key: PathBuf,
    },
    /// systemd hands over the old key alone.
    #[error("systemd hands the master key over, and so it must hand over the new one too. As root:\n  \
         (umask 077; openssl rand -base64 32 > /etc/gatepost/gatepost-key.new)\n\
         Then give the unit this line, restart it, and run this command again with the same beside its -p LoadCredential:\n  \
         LoadCredential=gatepost-key.new:/etc/gatepost/gatepost-key.new\n\
         Nothing was changed: {} is still the key", key.display())]
    NoNewCredential {
        /// The one in use.
        key: PathBuf,
    },
    /// Run as somebody else than the daemon.
    #[error(
        "the state folder {} belongs to {owner}, and this runs as {user}; run it as that user: sudo -u {owner} gatepost …",
        folder.display()
    )]
    OtherUser {
        /// The state folder.
        folder: PathBuf,
        /// Whose it is.
        owner: String,
        /// Who we are.
        user: String,
    },
    /// A user name has as many passwords as it may.
    #[error(
        "user name {user_name} has {} passwords at provider {provider} already; revoke one first{}",
        most(user_name),
        if every_mailbox_of(user_name).is_some() { "" } else { ", or choose another user name" }
    )]
    TooManyCredentials {
        /// What devices type.
        user_name: String,
        /// From the configuration file.
        provider: String,
    },
    /// SQLite failed to say whether anybody has committed.
    #[error("the store does not answer: {0}")]
    Version(#[from] rusqlite::Error),
    /// Others can write into the state folder.
    #[error("others can write into the state folder {}; run: chmod go-w {}", folder.display(), folder.display())]
    WritableFolder {
        /// The state folder.
        folder: PathBuf,
    },
    /// systemd's new key is in use already.
    #[error("every secret is sealed under {} already", new.display())]
    RotatedBefore {
        /// The key that opens the store.
        new: PathBuf,
    },
    /// The key belongs to another store, or to another time.
    #[error(
        "the master key {} is not the one that {} is sealed under; put the right key there, or name it by GATEPOST_KEY_FILE. \
         After `gatepost key rotate` that is the new one",
        key.display(), database.display()
    )]
    WrongKey {
        /// Where the key was read.
        key: PathBuf,
        /// The store.
        database: PathBuf,
    },
}

impl StoreError {
    pub(super) fn file(what: &'static str, path: &Path, source: io::Error) -> Self {
        Self::File { what, path: path.to_owned(), source }
    }
}
