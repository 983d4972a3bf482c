//! The key that the store is sealed under now. Rule: whoever opens or seals a secret looks within the same transaction which key
//! that is, so that nothing is ever written under a key that another process has rotated away.
//!
//! What tells the keys apart is the check record, which a rotation writes anew together with everything else.

use std::path::Path;
use std::sync::{Arc, PoisonError};

use gatepost_protocol::secret::Secret;
use sqlx::{Row, Sqlite, SqliteConnection, SqlitePool, Transaction};

use super::key::{KeySource, Place};
use super::seal::{Record, Sealer};
use super::{Store, StoreError, database};

const KEY_CHECK: Record<'static> = Record { table: "meta", column: "value", key: "key_check" };

/// How often a reader looks for its key. Only a rotation that ends between two looks makes it look again.
const LOOKS: usize = 5;

/// The key that was read last, and the check record that it opens.
#[derive(Debug)]
pub(super) struct CurrentKey {
    sealer: Arc<Sealer>,
    check: Vec<u8>,
}

impl Store {
    /// What is read in it is of one moment, and the sealer opens it.
    pub(super) async fn begin_reading(
        &self,
    ) -> Result<(Transaction<'static, Sqlite>, Arc<Sealer>), StoreError> {
        self.begin_with(&self.pool, "BEGIN").await
    }

    /// What the sealer seals may be written in it, and only in it. It begins as a writer: a reader that turns into one fails where
    /// another process wrote in between.
    pub(super) async fn begin_writing(
        &self,
    ) -> Result<(Transaction<'static, Sqlite>, Arc<Sealer>), StoreError> {
        self.begin_with(&self.writer, "BEGIN IMMEDIATE").await
    }

    async fn begin_with(
        &self,
        pool: &SqlitePool,
        statement: &'static str,
    ) -> Result<(Transaction<'static, Sqlite>, Arc<Sealer>), StoreError> {
        for _ in 0..LOOKS {
            let mut transaction = pool.begin_with(statement).await?;
            let check = stored(&mut transaction).await?;
            if let Some(sealer) = self.sealer_of(&check) {
                return Ok((transaction, sealer));
            }
            if let Some((key, _)) = opening(&self.source, check)? {
                let sealer = Arc::clone(&key.sealer);
                *self.key.write().unwrap_or_else(PoisonError::into_inner) = key;
                return Ok((transaction, sealer));
            }
        }
        Err(wrong_key(&self.source, &database(&self.state_dir)))
    }

    fn sealer_of(&self, check: &[u8]) -> Option<Arc<Sealer>> {
        let key = self.key.read().unwrap_or_else(PoisonError::into_inner);
        (key.check == check).then(|| Arc::clone(&key.sealer))
    }
}

/// Writes the check record where the store holds no secret yet.
pub(super) async fn begin(pool: &SqlitePool, sealer: &Sealer) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO meta (name, value_sealed) SELECT $1, $2
         WHERE NOT EXISTS (SELECT 1 FROM accounts) AND NOT EXISTS (SELECT 1 FROM grants)
         ON CONFLICT (name) DO NOTHING",
    )
    .bind(KEY_CHECK.key)
    .bind(check(sealer)?)
    .execute(pool)
    .await?;
    Ok(())
}

/// The key that opens the store. Completes a rotation that was cut short, or clears it away. Only for whoever holds the state
/// folder's lock.
pub(super) async fn settled(
    connection: &mut SqliteConnection,
    source: &KeySource,
    database: &Path,
) -> Result<CurrentKey, StoreError> {
    let (key, place) =
        opening(source, stored(connection).await?)?.ok_or_else(|| wrong_key(source, database))?;
    source.settle(place)?;
    Ok(key)
}

/// The check record anew, under another key.
pub(super) async fn replace(connection: &mut SqliteConnection, new: &Sealer) -> Result<(), StoreError> {
    sqlx::query("UPDATE meta SET value_sealed = $2 WHERE name = $1")
        .bind(KEY_CHECK.key)
        .bind(check(new)?)
        .execute(connection)
        .await?;
    Ok(())
}

/// Whether the store is sealed under this key already.
pub(super) async fn is_opened_by(
    connection: &mut SqliteConnection,
    sealer: &Sealer,
) -> Result<bool, StoreError> {
    Ok(sealer.open(KEY_CHECK, &stored(connection).await?).is_ok())
}

async fn stored(connection: &mut SqliteConnection) -> Result<Vec<u8>, StoreError> {
    let row = sqlx::query("SELECT value_sealed FROM meta WHERE name = $1")
        .bind(KEY_CHECK.key)
        .fetch_optional(connection)
        .await?
        .ok_or_else(|| StoreError::Forged { record: KEY_CHECK.to_string() })?;
    Ok(row.try_get("value_sealed")?)
}

fn check(sealer: &Sealer) -> Result<Vec<u8>, StoreError> {
    sealer.seal(KEY_CHECK, &Secret::new("gatepost".to_owned()))
}

fn opening(source: &KeySource, check: Vec<u8>) -> Result<Option<(CurrentKey, Place)>, StoreError> {
    let found = source.find(|sealer| sealer.open(KEY_CHECK, &check).is_ok())?;
    Ok(found.map(|(sealer, place)| (CurrentKey { sealer: Arc::new(sealer), check }, place)))
}

fn wrong_key(source: &KeySource, database: &Path) -> StoreError {
    StoreError::WrongKey { key: source.path().to_owned(), database: database.to_owned() }
}
