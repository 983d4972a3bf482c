//! A client secret that was typed: kept in a file beside the configuration that its owner alone can read. Rules: no file that
//! is there is overwritten, because a provider shows a secret once; and the new one goes again unless the configuration comes to
//! name it, so that a `setup` that failed is no obstacle to the next.

use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};

use gatepost_protocol::secret::Secret;

use super::super::super::{Exit, Failure};
use crate::config::replace;

/// More names than these are not tried.
const MOST_NAMES: u32 = 100;

/// The file. Dropped, it goes again.
#[derive(Debug)]
pub(super) struct SecretFile {
    pub(super) path: PathBuf,
    goes_again: bool,
}

impl SecretFile {
    /// Makes it, named after the provider.
    pub(super) fn make(
        configuration: &Path,
        provider: &str,
        secret: &Secret<String>,
    ) -> Result<Self, Failure> {
        let numbered = (2..MOST_NAMES).map(|number| format!("{provider}-{number}.secret"));
        for name in std::iter::once(format!("{provider}.secret")).chain(numbered) {
            let path = configuration.with_file_name(name);
            match replace::make_private(&path, secret.expose()) {
                Ok(()) => return Ok(Self { path, goes_again: true }),
                Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(cannot(&path, &error)),
                // Somebody's who was interrupted here the last time.
                Err(_) if is_the_same(&path, secret) => return Ok(Self { path, goes_again: false }),
                Err(_) => {}
            }
        }
        let all_taken = ErrorKind::AlreadyExists.into();
        Err(cannot(&configuration.with_file_name(format!("{provider}.secret")), &all_taken))
    }

    /// Lets the service read it: root may set Gatepost up, and the service runs as whoever owns the state folder. Tells what to
    /// do where that is not settled yet.
    pub(super) fn hand_to_service(&self, state: &Path) -> Result<Option<String>, Failure> {
        let failed = |error| cannot(&self.path, &error);
        let file = fs::metadata(&self.path).map_err(failed)?;
        if file.uid() != 0 || !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        match fs::metadata(state).ok().filter(|folder: &Metadata| folder.uid() != 0) {
            Some(folder) => {
                chown(&self.path, Some(folder.uid()), Some(folder.gid())).map_err(failed)?;
                Ok(None)
            }
            None => Ok(Some(format!(
                "Only root can read {0}.\nWhere Gatepost is to run as another user: chown USER {0}\n",
                self.path.display()
            ))),
        }
    }

    /// The configuration names it now.
    pub(super) fn keep(mut self) {
        self.goes_again = false;
    }
}

impl Drop for SecretFile {
    fn drop(&mut self) {
        if self.goes_again {
            // One that cannot be removed costs the next one another name, and nothing else.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn is_the_same(path: &Path, secret: &Secret<String>) -> bool {
    fs::read(path).map(Secret::new).is_ok_and(|there| there.expose() == secret.expose().as_bytes())
}

fn cannot(path: &Path, error: &std::io::Error) -> Failure {
    let message =
        format!("the secret cannot be kept in {}: {error}; see --client-secret-file", path.display());
    Failure::new(Exit::Failed, message)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    #[test]
    fn a_file_that_nothing_names_goes_again_and_no_other_one_is_touched() {
        let home = tempfile::tempdir().unwrap();
        let configuration = home.path().join("gatepost.yaml");
        let names = || {
            let mut names: Vec<_> =
                fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        };
        drop(SecretFile::make(&configuration, "post", &secret("one")).unwrap());
        assert!(names().is_empty(), "{:?}", names());
        SecretFile::make(&configuration, "post", &secret("one")).unwrap().keep();
        drop(SecretFile::make(&configuration, "post", &secret("two")).unwrap());
        // One that was left over, by a power cut say, is taken.
        drop(SecretFile::make(&configuration, "post", &secret("one")).unwrap());
        assert_eq!(names(), ["post.secret"]);
        SecretFile::make(&configuration, "post", &secret("two")).unwrap().keep();
        assert_eq!(names(), ["post-2.secret", "post.secret"]);
        assert_eq!(fs::read_to_string(home.path().join("post.secret")).unwrap(), "one");
    }

    #[test]
    fn the_service_can_read_what_root_typed() {
        let home = tempfile::tempdir().unwrap();
        let state = home.path().join("state");
        let made = SecretFile::make(&home.path().join("gatepost.yaml"), "post", &secret("one")).unwrap();
        if !rustix::process::geteuid().is_root() {
            // Who typed it is who runs Gatepost.
            assert_eq!(made.hand_to_service(&state).unwrap(), None);
            return;
        }
        let told = made.hand_to_service(&state).unwrap().unwrap();
        assert!(told.contains("chown USER "), "{told}");
        fs::create_dir(&state).unwrap();
        chown(&state, Some(4711), Some(4712)).unwrap();
        assert_eq!(made.hand_to_service(&state).unwrap(), None);
        let there = fs::metadata(&made.path).unwrap();
        assert_eq!((there.uid(), there.gid(), there.mode() & 0o777), (4711, 4712, 0o600));
    }
}
