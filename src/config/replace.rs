//! Puts a new text in the place of gatepost.yaml: whole or not at all, with the old one's owner and mode. A symbolic link
//! stays one, and what it leads to is replaced; a link that somebody else made is not followed.

use std::fs::{self, Metadata, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// The file holds no secret, and the service may run as another user than whoever sets it up.
const MODE: u32 = 0o644;
const FOLDER_MODE: u32 = 0o755;

/// Writes the text; makes the file, and its folder, where there is none.
pub fn replace(path: &Path, text: &str) -> io::Result<()> {
    let (path, old) = real(path)?;
    let folder = folder_of(&path);
    make_folder(folder)?;
    // 0600 and O_EXCL, until it is whole.
    let mut file = tempfile::Builder::new().prefix(".gatepost.").tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    let mode = old.as_ref().map_or(MODE, |old| old.mode() & 0o7777);
    if let Some(old) = &old {
        let new = file.as_file().metadata()?;
        let changed = |old: u32, new: u32| (old != new).then_some(old);
        let (user, group) = (changed(old.uid(), new.uid()), changed(old.gid(), new.gid()));
        if user.or(group).is_some() {
            fchown(file.as_file(), user, group).map_err(|error| {
                let whose = format!("it belongs to user {} and group {}", old.uid(), old.gid());
                io::Error::new(error.kind(), format!("{whose}, which only root can give it again ({error})"))
            })?;
        }
    }
    file.as_file().set_permissions(Permissions::from_mode(mode))?;
    file.as_file().sync_all()?;
    file.persist(&path)?;
    fs::File::open(folder)?.sync_all()
}

/// Makes a file that only its owner can read, and its folder, where there is none. Fails where there is a file already.
pub fn make_private(path: &Path, text: impl AsRef<[u8]>) -> io::Result<()> {
    private_beside(path, text.as_ref())?.persist_noclobber(path)?;
    fs::File::open(folder_of(path))?.sync_all()
}

/// The same, in the place of a file that is there.
pub fn replace_private(path: &Path, text: impl AsRef<[u8]>) -> io::Result<()> {
    private_beside(path, text.as_ref())?.persist(path)?;
    fs::File::open(folder_of(path))?.sync_all()
}

/// Whole, and still to be moved to its place.
fn private_beside(path: &Path, text: &[u8]) -> io::Result<NamedTempFile> {
    make_folder(folder_of(path))?;
    let mut file = tempfile::Builder::new().prefix(".gatepost.").tempfile_in(folder_of(path))?;
    file.write_all(text)?;
    file.as_file().sync_all()?;
    Ok(file)
}

/// Where the text really stands, and what is there now.
fn real(path: &Path) -> io::Result<(PathBuf, Option<Metadata>)> {
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok((path.to_owned(), None)),
        found => found?,
    };
    let ours = rustix::process::geteuid().as_raw();
    if found.is_symlink() && ![0, ours].contains(&found.uid()) {
        return Err(io::Error::other("it is a symbolic link that belongs to another user"));
    }
    let path = fs::canonicalize(path)?;
    let metadata = fs::metadata(&path)?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    Ok((path, Some(metadata)))
}

/// The service has to get at the file, and this process makes everything for its own user alone.
fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.try_exists()? {
        return Ok(());
    }
    fs::create_dir_all(folder)?;
    fs::set_permissions(folder, Permissions::from_mode(FOLDER_MODE))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::os::unix::fs::symlink;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    fn names(folder: &Path) -> usize {
        fs::read_dir(folder).unwrap().count()
    }

    #[test]
    fn a_new_file_gets_its_folder_and_an_old_one_keeps_its_mode() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("etc/gatepost/gatepost.yaml");
        replace(&path, "one\n").unwrap();
        assert_eq!((fs::read_to_string(&path).unwrap(), mode(&path)), ("one\n".to_owned(), MODE));
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        replace(&path, "two\n").unwrap();
        assert_eq!((fs::read_to_string(&path).unwrap(), mode(&path)), ("two\n".to_owned(), 0o640));
        assert_eq!(names(path.parent().unwrap()), 1, "nothing is left beside it");
    }

    #[test]
    fn a_link_stays_a_link() {
        let home = tempfile::tempdir().unwrap();
        let (link, file) = (home.path().join("gatepost.yaml"), home.path().join("kept.yaml"));
        fs::write(&file, "one\n").unwrap();
        symlink("kept.yaml", &link).unwrap();
        replace(&link, "two\n").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&file).unwrap(), "two\n");
    }

    #[test]
    fn what_is_no_file_is_left_alone() {
        let home = tempfile::tempdir().unwrap();
        let (dangling, folder) = (home.path().join("dangling.yaml"), home.path().join("folder.yaml"));
        symlink("nowhere", &dangling).unwrap();
        fs::create_dir(&folder).unwrap();
        for path in [&dangling, &folder] {
            assert!(replace(path, "one\n").is_err(), "{}", path.display());
        }
        assert_eq!(names(home.path()), 2);
    }

    #[test]
    fn a_secret_is_read_by_its_owner_alone_and_never_replaced() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("contoso.secret");
        make_private(&path, "one\n").unwrap();
        assert_eq!(mode(&path), 0o600);
        assert!(make_private(&path, "two\n").is_err());
        assert_eq!((fs::read_to_string(&path).unwrap(), names(home.path())), ("one\n".to_owned(), 1));
        replace_private(&path, "two\n").unwrap();
        assert_eq!((fs::read_to_string(&path).unwrap(), mode(&path)), ("two\n".to_owned(), 0o600));
    }
}
