//! The state folder. Rule: it belongs to the user that the daemon runs as, nobody else may write there, and a command that
//! runs as somebody else (root included, whose files the daemon could not open) refuses before it touches anything.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;

use super::StoreError;

/// Makes the folder where there is none, and checks whose it is.
pub(super) fn prepare(folder: &Path) -> Result<(), StoreError> {
    if !folder.try_exists().map_err(|source| StoreError::file("cannot look at", folder, source))? {
        make(folder).map_err(|source| {
            StoreError::file("cannot make the state folder (`state` in the configuration)", folder, source)
        })?;
    }
    check(folder)
}

/// Held while the store is opened, so that two first starts do not make the same tables.
pub(super) async fn lock(folder: &Path) -> Result<File, StoreError> {
    let path = folder.join("open.lock");
    let failed = |source| StoreError::file("cannot lock", &path, source);
    let file = private().create(true).truncate(false).open(&path).map_err(failed)?;
    // Waits in a thread of its own: the holder may be a task of this very runtime.
    tokio::task::spawn_blocking(move || file.lock().map(|()| file))
        .await
        .map_err(|error| failed(io::Error::other(error)))?
        .map_err(failed)
}

/// Makes an empty database file that only its owner can read; SQLite gives its journal the same mode. An existing file is
/// not opened: closing it again would drop the locks that SQLite holds on it in this process.
pub(super) fn make_database(path: &Path) -> Result<(), StoreError> {
    let failed = |source| StoreError::file("cannot make", path, source);
    match private().create_new(true).open(path) {
        Ok(_) => sync(path.parent().unwrap_or(Path::new("."))).map_err(failed),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(failed(error)),
    }
}

/// Makes a new name in the folder outlive a power cut.
#[cfg(unix)]
pub(super) fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Other systems do not open folders; they keep names in their journal.
#[cfg(not(unix))]
pub(super) fn sync(_folder: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn make(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;

    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(not(unix))]
fn make(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)
}

#[cfg(unix)]
pub(super) fn private() -> OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;

    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

#[cfg(not(unix))]
pub(super) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    options
}

/// Whose folder it is, and who may write there.
#[cfg(unix)]
pub(super) fn check(folder: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::MetadataExt;

    let metadata =
        fs::metadata(folder).map_err(|source| StoreError::file("cannot look at", folder, source))?;
    if !metadata.is_dir() {
        return Err(StoreError::file(
            "cannot use as state folder",
            folder,
            io::ErrorKind::NotADirectory.into(),
        ));
    }
    let user = rustix::process::geteuid().as_raw();
    // Absent or unreadable, the numbers will do.
    let names = fs::read_to_string("/etc/passwd").unwrap_or_default();
    refuse_other_user(folder, metadata.uid(), user, &names)?;
    if metadata.mode() & 0o022 == 0 {
        return Ok(());
    }
    Err(StoreError::WritableFolder { folder: folder.to_owned() })
}

/// Elsewhere the folder's access list decides.
#[cfg(not(unix))]
pub(super) fn check(_folder: &Path) -> Result<(), StoreError> {
    Ok(())
}

#[cfg(unix)]
fn refuse_other_user(folder: &Path, owner: u32, user: u32, passwd: &str) -> Result<(), StoreError> {
    if owner == user {
        return Ok(());
    }
    // `sudo -u` takes a number as `#1000`.
    let name = |uid: u32| user_name(passwd, uid).unwrap_or_else(|| format!("#{uid}"));
    Err(StoreError::OtherUser { folder: folder.to_owned(), owner: name(owner), user: name(user) })
}

/// The name in a line of passwd(5): `name:password:UID:…`.
#[cfg(unix)]
fn user_name(passwd: &str, uid: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

#[cfg(all(test, unix))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/sh\n# comment\n\ngatepost:x:998:998::/var/lib/gatepost:/bin/false\n";

    #[test]
    fn another_user_is_told_whose_folder_it_is() {
        let folder = Path::new("/var/lib/gatepost");
        let refused = refuse_other_user(folder, 998, 0, PASSWD).unwrap_err().to_string();
        assert!(refused.contains("belongs to gatepost, and this runs as root"), "{refused}");
        assert!(refused.contains("sudo -u gatepost gatepost"), "{refused}");
        let refused = refuse_other_user(folder, 1000, 998, PASSWD).unwrap_err().to_string();
        assert!(refused.contains("sudo -u #1000 "), "{refused}");
        assert!(refuse_other_user(folder, 998, 998, PASSWD).is_ok());
    }

    #[test]
    fn a_new_folder_is_closed_to_others_and_an_open_one_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("state/gatepost");
        prepare(&folder).unwrap();
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
        prepare(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o770)).unwrap();
        assert!(matches!(prepare(&folder), Err(StoreError::WritableFolder { .. })));
    }

    #[test]
    fn a_file_is_no_state_folder() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(prepare(file.path()).unwrap_err().to_string().starts_with("cannot use as state folder"));
    }
}
