//! The master key: 32 octets that open every secret in the store. Rule: a key is made together with an empty store, or by a
//! rotation; where data is and its key is not, the store refuses to open.
//!
//! A rotation puts the new key beside the old one, as `master.key.new`, before anything is sealed under it, and moves it into the
//! old one's place when everything is. So one of the two opens the store at any time.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gatepost_protocol::secret::Secret;
use tempfile::NamedTempFile;
use zeroize::Zeroizing;

use super::rotate::Left;
use super::seal::Sealer;
use super::{StoreError, folder};
use crate::crash_point::crash_point;

const LEN: usize = 32;
/// 44 characters of base64 and a line end, with room for a stray one.
const MAX_FILE_LEN: u64 = 256;

pub(super) type MasterKey = Secret<[u8; LEN]>;

/// Where the key is read from. The admin's word goes before systemd's, and that before the state folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum KeySource {
    /// `GATEPOST_KEY_FILE`.
    File(PathBuf),
    /// Handed over by systemd (`LoadCredential=gatepost-key:…`).
    Credential(PathBuf),
    /// Made at the first start.
    StateFolder(PathBuf),
}

/// Where the key that opens the store was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Where it belongs.
    Own,
    /// Beside that, where a rotation left it.
    Beside,
}

impl KeySource {
    pub(super) fn locate(state_dir: &Path, environment: impl Fn(&str) -> Option<OsString>) -> Self {
        if let Some(file) = environment("GATEPOST_KEY_FILE").filter(|file| !file.is_empty()) {
            return Self::File(file.into());
        }
        if let Some(folder) = environment("CREDENTIALS_DIRECTORY") {
            let file = Path::new(&folder).join("gatepost-key");
            // The folder may be there for other credentials of the unit.
            if file.exists() {
                return Self::Credential(file);
            }
        }
        Self::StateFolder(state_dir.join("master.key"))
    }

    pub(super) fn path(&self) -> &Path {
        match self {
            Self::File(path) | Self::Credential(path) | Self::StateFolder(path) => path,
        }
    }

    /// Reads the key. Makes one only where the key belongs to the state folder and `database` is not there yet.
    pub(super) fn load(&self, database: &Path) -> Result<MasterKey, StoreError> {
        match self.read() {
            Err(error) if is_missing(&error) => {}
            read => return read,
        }
        if database.try_exists().map_err(|source| StoreError::file("cannot look at", database, source))? {
            let key = self.path().to_owned();
            return Err(StoreError::MissingKey { key, database: database.to_owned() });
        }
        match self {
            Self::StateFolder(path) => {
                make(path)?;
                self.read()
            }
            Self::File(path) | Self::Credential(path) => Err(StoreError::NoKeyFile { key: path.clone() }),
        }
    }

    /// The key that the store is sealed under: the one of which `opens` is true. Needs no lock: a new key is looked for first, because
    /// it moves from beside into place, and never back.
    pub(super) fn find(
        &self,
        opens: impl Fn(&Sealer) -> bool,
    ) -> Result<Option<(Sealer, Place)>, StoreError> {
        let new = self.read_at(&self.beside());
        if let Ok(key) = &new {
            let sealer = self.sealer(key)?;
            if opens(&sealer) {
                return Ok(Some((sealer, Place::Beside)));
            }
        }
        let sealer = self.sealer(&self.read()?)?;
        if opens(&sealer) {
            return Ok(Some((sealer, Place::Own)));
        }
        match new {
            // It may be the right one, if only it could be read.
            Err(error) if !is_missing(&error) => Err(error),
            _ => Ok(None),
        }
    }

    /// What seals under this key.
    pub(super) fn sealer(&self, key: &MasterKey) -> Result<Sealer, StoreError> {
        Sealer::new(key).map_err(|_| StoreError::MalformedKey { key: self.path().to_owned() })
    }

    /// A new key, safely on disk beside the old one, and what a rotation to it leaves to whoever keeps the key. Fails where the old
    /// one could not be replaced by it later.
    pub(super) fn make_new(&self) -> Result<(Sealer, Left), StoreError> {
        let new = self.beside();
        let left = match self {
            // Only root can have made it.
            Self::Credential(key) => {
                let read = self.read_at(&new);
                return match read {
                    Err(error) if is_missing(&error) => Err(StoreError::NoNewCredential { key: key.clone() }),
                    read => Ok((self.sealer(&read?)?, Left::Credential)),
                };
            }
            Self::File(key) => {
                refuse_mounted(key)?;
                Left::OldKey(self.keep(&self.read()?)?)
            }
            Self::StateFolder(_) => Left::Nothing,
        };
        let key = random(&new)?;
        write(&new, &key)?;
        crash_point("new-key-written");
        Ok((self.sealer(&key)?, left))
    }

    /// Moves the new key into the place of the old one.
    pub(super) fn put_in_place(&self) -> Result<(), StoreError> {
        let (Self::File(path) | Self::StateFolder(path)) = self else { return Ok(()) };
        let new = self.beside();
        let failed = |source| StoreError::NewKeyBeside { key: path.clone(), new: new.clone(), source };
        fs::rename(&new, path).and_then(|()| folder::sync(folder_of(path))).map_err(failed)?;
        crash_point("new-key-in-place");
        Ok(())
    }

    /// Completes a rotation that was cut short behind its commit, and clears away one that was cut short before.
    pub(super) fn settle(&self, place: Place) -> Result<(), StoreError> {
        match (self, place) {
            (_, Place::Beside) => self.put_in_place(),
            (Self::StateFolder(_), Place::Own) => match fs::remove_file(self.beside()) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    Err(StoreError::file("cannot remove the unused key", &self.beside(), source))
                }
                _ => Ok(()),
            },
            // Whoever keeps the key may have put a new one there for a rotation to come.
            (Self::File(_) | Self::Credential(_), Place::Own) => Ok(()),
        }
    }

    /// Where the key is after a rotation.
    pub(super) fn rotated(&self) -> PathBuf {
        match self {
            Self::Credential(_) => self.beside(),
            Self::File(path) | Self::StateFolder(path) => path.clone(),
        }
    }

    /// Where a new key is while a rotation goes on.
    pub(super) fn beside(&self) -> PathBuf {
        beside(self.path(), ".new")
    }

    /// Keeps the old key, which copies of the database need, and perhaps another store; gives its place. Whatever is kept there
    /// already stays: it may be the only copy of an older key.
    fn keep(&self, old: &MasterKey) -> Result<PathBuf, StoreError> {
        let mut number = 1;
        loop {
            let place = match number {
                1 => beside(self.path(), ".old"),
                _ => beside(self.path(), &format!(".old-{number}")),
            };
            let is_kept = self.read_at(&place).is_ok_and(|kept| kept.expose() == old.expose());
            if is_kept || write_where_nothing_is(&place, old)? {
                return Ok(place);
            }
            number += 1;
        }
    }

    fn read(&self) -> Result<MasterKey, StoreError> {
        self.read_at(self.path())
    }

    fn read_at(&self, path: &Path) -> Result<MasterKey, StoreError> {
        let failed = |source| StoreError::file("cannot read", path, source);
        let file = File::open(path).map_err(failed)?;
        // systemd hands credentials over with an access list, which shows as a group bit; it guards them itself.
        if !matches!(self, Self::Credential(_)) {
            refuse_exposed(&file, path)?;
        }
        let mut text = Zeroizing::new(String::new());
        file.take(MAX_FILE_LEN).read_to_string(&mut text).map_err(failed)?;
        let malformed = || StoreError::MalformedKey { key: path.to_owned() };
        let octets = Zeroizing::new(STANDARD.decode(text.trim()).map_err(|_| malformed())?);
        Ok(Secret::new(octets.as_slice().try_into().map_err(|_| malformed())?))
    }
}

/// Makes the first key. Where another process was faster, its key stays.
fn make(path: &Path) -> Result<(), StoreError> {
    write_where_nothing_is(path, &random(path)?)?;
    crash_point("key-made");
    Ok(())
}

/// Writes the key; false where something is there already, which stays.
fn write_where_nothing_is(path: &Path, key: &MasterKey) -> Result<bool, StoreError> {
    let failed = |source| StoreError::file("cannot make", path, source);
    let file = written(path, key).map_err(failed)?;
    crash_point("key-written");
    let is_written = match file.persist_noclobber(path) {
        Ok(_) => true,
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => false,
        Err(error) => return Err(failed(error.error)),
    };
    folder::sync(folder_of(path)).map_err(failed)?;
    Ok(is_written)
}

/// Writes the key in the place of whatever was there.
fn write(path: &Path, key: &MasterKey) -> Result<(), StoreError> {
    let failed = |source| StoreError::file("cannot write the key", path, source);
    let file = written(path, key).map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    folder::sync(folder_of(path)).map_err(failed)
}

/// The key on disk beside its place, to be moved there: a crash leaves either no key there or a whole one.
fn written(path: &Path, key: &MasterKey) -> io::Result<NamedTempFile> {
    let text = Zeroizing::new(STANDARD.encode(key.expose()) + "\n");
    // 0600 and O_EXCL.
    let mut file = tempfile::Builder::new().prefix(".master.key.").tempfile_in(folder_of(path))?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    Ok(file)
}

fn random(path: &Path) -> Result<MasterKey, StoreError> {
    let mut octets = Zeroizing::new([0; LEN]);
    aws_lc_rs::rand::fill(octets.as_mut_slice()).map_err(|_| {
        StoreError::file("cannot make", path, io::Error::other("the system gives no random numbers"))
    })?;
    Ok(Secret::new(*octets))
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn is_missing(error: &StoreError) -> bool {
    matches!(error, StoreError::File { source, .. } if source.kind() == io::ErrorKind::NotFound)
}

/// A file that a container was given by itself cannot be replaced, and one beside it would be gone with the container.
#[cfg(unix)]
fn refuse_mounted(path: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::MetadataExt;

    let failed = |source| StoreError::file("cannot look at", path, source);
    let (file, folder) =
        (fs::symlink_metadata(path).map_err(failed)?, fs::metadata(folder_of(path)).map_err(failed)?);
    if file.is_file() && file.dev() == folder.dev() {
        return Ok(());
    }
    Err(StoreError::FixedKey { key: path.to_owned() })
}

/// Elsewhere the move will tell.
#[cfg(not(unix))]
fn refuse_mounted(_path: &Path) -> Result<(), StoreError> {
    Ok(())
}

#[cfg(unix)]
fn refuse_exposed(file: &File, path: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::PermissionsExt;

    let mode = file
        .metadata()
        .map_err(|source| StoreError::file("cannot look at", path, source))?
        .permissions()
        .mode();
    let others = mode & 0o077;
    if others == 0 {
        return Ok(());
    }
    Err(StoreError::ExposedKey { key: path.to_owned(), mode: mode & 0o7777 })
}

/// Elsewhere the folder's access list decides.
#[cfg(not(unix))]
fn refuse_exposed(_file: &File, _path: &Path) -> Result<(), StoreError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn the_admins_key_goes_before_systemds_and_that_before_our_own() {
        let credentials = tempfile::tempdir().unwrap();
        let folder = credentials.path().as_os_str().to_owned();
        let state = Path::new("/state");
        let find = |key_file: Option<&str>, folder: Option<&OsString>| {
            let key_file = key_file.map(OsString::from);
            KeySource::locate(state, |name| match name {
                "GATEPOST_KEY_FILE" => key_file.clone(),
                "CREDENTIALS_DIRECTORY" => folder.cloned(),
                _ => None,
            })
        };
        let own = KeySource::StateFolder("/state/master.key".into());
        assert_eq!(find(None, None), own);
        assert_eq!(find(Some(""), Some(&folder)), own, "the unit has credentials, but none of ours");
        let handed_over = credentials.path().join("gatepost-key");
        std::fs::write(&handed_over, "").unwrap();
        assert_eq!(find(None, Some(&folder)), KeySource::Credential(handed_over));
        assert_eq!(find(Some("/key"), Some(&folder)), KeySource::File("/key".into()));
    }

    #[test]
    fn a_new_key_is_ours_alone_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let source = KeySource::StateFolder(folder.path().join("master.key"));
        let database = folder.path().join("gatepost.db");
        let made = source.load(&database).unwrap();
        assert_eq!(source.load(&database).unwrap().expose(), made.expose());
        make(source.path()).unwrap();
        assert_eq!(source.load(&database).unwrap().expose(), made.expose(), "another process made it first");
        let text = std::fs::read_to_string(source.path()).unwrap();
        assert_eq!((text.len(), text.ends_with('\n')), (45, true));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let metadata = std::fs::metadata(source.path()).unwrap();
            assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_key_that_was_named_is_never_made() {
        let folder = tempfile::tempdir().unwrap();
        let source = KeySource::File(folder.path().join("key"));
        let refused = source.load(&folder.path().join("gatepost.db"));
        assert!(matches!(refused, Err(StoreError::NoKeyFile { .. })), "{refused:?}");
        assert!(!source.path().exists());
    }

    #[test]
    fn what_is_no_key_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        // As strict as a file that the user makes by hand has to be.
        let write = |text: &str| {
            let mut file = tempfile::Builder::new().tempfile_in(folder.path()).unwrap();
            file.write_all(text.as_bytes()).unwrap();
            file.persist(&path).unwrap();
        };
        for text in ["", "secret", "AAAA", &STANDARD.encode([7; 33]), &"A".repeat(1_000)] {
            write(text);
            let refused = KeySource::File(path.clone()).load(Path::new("/none"));
            assert!(matches!(refused, Err(StoreError::MalformedKey { .. })), "{text:?}: {refused:?}");
        }
        write(&STANDARD.encode([7; 32]));
        assert_eq!(KeySource::File(path).load(Path::new("/none")).unwrap().expose(), &[7; 32]);
    }

    #[cfg(unix)]
    #[test]
    fn a_key_that_others_can_read_is_refused_with_the_remedy() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        let source = KeySource::StateFolder(folder.path().join("master.key"));
        make(source.path()).unwrap();
        for mode in [0o640, 0o604, 0o620] {
            std::fs::set_permissions(source.path(), std::fs::Permissions::from_mode(mode)).unwrap();
            let refused = source.load(Path::new("/none")).unwrap_err().to_string();
            assert!(refused.contains(&format!("mode 0{mode:o}")), "{refused}");
            assert!(refused.ends_with(&format!("chmod 600 {}", source.path().display())), "{refused}");
        }
        assert!(KeySource::Credential(source.path().to_owned()).load(Path::new("/none")).is_ok());
    }
}
