//! [`Running`]: tells other processes that a Gatepost runs over this state folder, by a lock that ends with the process however
//! that ends. Several may run at once: each holds the lock shared, and whoever asks tries to have it alone for a moment.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::{StoreError, folder};

/// Two who ask at the same moment are in each other's way for microseconds, and no Gatepost is as quick.
const TRIES: u32 = 5;
const BETWEEN: Duration = Duration::from_millis(2);

/// While it lives, a Gatepost runs.
#[derive(Debug)]
pub struct Running(#[allow(dead_code, reason = "held for its lock")] File);

impl Running {
    /// Says so from now on.
    pub fn begin(state_dir: &Path) -> Result<Self, StoreError> {
        let path = file(state_dir);
        let failed = |source| StoreError::file("cannot lock", &path, source);
        let file = folder::private().create(true).truncate(false).open(&path).map_err(failed)?;
        // Whoever asks lets go at once.
        file.lock_shared().map_err(failed)?;
        Ok(Self(file))
    }

    /// Whether any Gatepost runs over this state folder.
    pub fn is_any(state_dir: &Path) -> Result<bool, StoreError> {
        let path = file(state_dir);
        let failed = |source| StoreError::file("cannot look at", &path, source);
        let file = match folder::private().open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(failed(error)),
        };
        for _ in 0..TRIES {
            match file.try_lock() {
                Ok(()) => return Ok(false),
                Err(TryLockError::WouldBlock) => thread::sleep(BETWEEN),
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
        }
        Ok(true)
    }
}

fn file(state_dir: &Path) -> PathBuf {
    state_dir.join("running")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn any_number_may_run_and_the_last_one_to_end_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let is_any = || Running::is_any(folder.path()).unwrap();
        assert!(!is_any());
        assert!(!file(folder.path()).exists(), "asking makes nothing");
        let (one, two) = (Running::begin(folder.path()).unwrap(), Running::begin(folder.path()).unwrap());
        assert!(is_any());
        drop(one);
        assert!(is_any());
        drop(two);
        assert!(!is_any());
        let _again = Running::begin(folder.path()).unwrap();
        assert!(is_any());
    }
}
