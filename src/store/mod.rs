//! [`Store`]: accounts, credentials and grants at rest, in one SQLite file; secrets are sealed before they get here.

pub mod accounts;
pub mod credentials;
pub mod grants;
pub mod key;
pub mod seal;

use std::path::Path;

use thiserror::Error;

/// The open store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    pool: sqlx::SqlitePool,
    sealer: std::sync::Arc<seal::Sealer>,
}

/// The store cannot be used, or could not do what was asked.
#[derive(Debug, Error)]
pub enum StoreError {
    /// stub
    #[error("stub")]
    Stub,
}

impl Store {
    /// Opens the store in the state folder, making folder, key and file at the first start.
    pub async fn open(state_dir: &Path) -> Result<Self, StoreError> {
        let _ = state_dir;
        unimplemented!()
    }

    /// A number that changes whenever any process commits (SQLite's `data_version`): cheap to ask every second.
    pub async fn data_version(&self) -> Result<i64, StoreError> {
        unimplemented!()
    }
}
