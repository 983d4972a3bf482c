//! The master key: 32 octets that open every secret in the store. Rule: a key is made once, together with an empty
//! store, and never again; where data is and its key is not, the store refuses to open.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gatepost_protocol::secret::Secret;
use zeroize::Zeroizing;

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

impl KeySource {
    pub(super) fn find(state_dir: &Path, environment: impl Fn(&str) -> Option<OsString>) -> Self {
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
            Err(StoreError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
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

    fn read(&self) -> Result<MasterKey, StoreError> {
        let path = self.path();
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

/// Writes a new key beside its place, and moves it there only when it is safely on disk: a crash leaves either no key or
/// a whole one. Where another process was faster, its key stays.
fn make(path: &Path) -> Result<(), StoreError> {
    let failed = |source| StoreError::file("cannot make", path, source);
    let mut octets = Zeroizing::new([0; LEN]);
    aws_lc_rs::rand::fill(octets.as_mut_slice())
        .map_err(|_| failed(io::Error::other("the system gives no random numbers")))?;
    let text = Zeroizing::new(STANDARD.encode(octets.as_slice()) + "\n");
    let folder = path.parent().unwrap_or(Path::new("."));
    // 0600 and O_EXCL.
    let mut file = tempfile::Builder::new().prefix(".master.key.").tempfile_in(folder).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    crash_point("key-written");
    match file.persist_noclobber(path) {
        Err(error) if error.error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error.error)),
        _ => {}
    }
    folder::sync(folder).map_err(failed)?;
    crash_point("key-made");
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
            KeySource::find(state, |name| match name {
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
