//! Finds the configuration file, and the state folder where the file does not name one.

use std::path::{Path, PathBuf};

use super::ConfigError;

const VARIABLE: &str = "GATEPOST_CONFIG";

/// The file given on the command line, else the first that exists in the usual places.
pub(super) fn configuration_file(
    given: Option<&Path>,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<PathBuf, ConfigError> {
    // A file that was asked for by name is taken as it is: falling back to another one would hide the mistake.
    if let Some(path) = given {
        return Ok(path.to_owned());
    }
    if let Some(path) = environment(VARIABLE).filter(|path| !path.is_empty()) {
        return Ok(path.into());
    }
    let mut places = vec![PathBuf::from("gatepost.yaml")];
    places.extend(
        xdg_folder(environment, "XDG_CONFIG_HOME", ".config").map(|folder| folder.join("gatepost.yaml")),
    );
    places.push("/etc/gatepost/gatepost.yaml".into());
    match places.iter().find(|place| place.exists()) {
        Some(place) => Ok(place.clone()),
        None => Err(ConfigError::NotFound { places }),
    }
}

/// What named the file; `None` where it was found in one of the usual places.
pub(super) fn named_by(
    given: Option<&Path>,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Option<&'static str> {
    match given {
        Some(_) => Some("--config"),
        None => environment(VARIABLE).filter(|path| !path.is_empty()).map(|_| VARIABLE),
    }
}

/// Where a file is made where there is none: the system's folder for root, the user's own else.
pub(super) fn new_configuration_file(environment: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    #[cfg(unix)]
    if rustix::process::geteuid().is_root() {
        return Some("/etc/gatepost/gatepost.yaml".into());
    }
    xdg_folder(environment, "XDG_CONFIG_HOME", ".config").map(|folder| folder.join("gatepost.yaml"))
}

/// Where state is kept if the file does not say: systemd's `StateDirectory=`, the system's folder for root, the user's
/// own else.
pub(super) fn state_folder(environment: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    // systemd separates several by colons; ours is the first.
    let given = environment("STATE_DIRECTORY")
        .and_then(|folders| folders.split(':').next().map(PathBuf::from))
        .filter(|folder| folder.is_absolute());
    if given.is_some() {
        return given;
    }
    #[cfg(unix)]
    if rustix::process::geteuid().is_root() {
        return Some("/var/lib/gatepost".into());
    }
    xdg_folder(environment, "XDG_STATE_HOME", ".local/state")
}

/// Gatepost's folder under a base folder of the XDG specification, which says to ignore relative ones.
fn xdg_folder(
    environment: &dyn Fn(&str) -> Option<String>,
    variable: &str,
    under_home: &str,
) -> Option<PathBuf> {
    let absolute = |path: String| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
    environment(variable)
        .and_then(absolute)
        .or_else(|| environment("HOME").and_then(absolute).map(|home| home.join(under_home)))
        .map(|folder| folder.join("gatepost"))
}

#[cfg(test)]
mod tests {
    // A test says what it expects by failing.
    #![allow(clippy::unwrap_used)]

    use std::fs;
    use std::path::{Path, PathBuf};

    use super::{ConfigError, configuration_file, state_folder, xdg_folder};

    #[test]
    fn a_file_asked_for_by_name_is_taken_even_if_it_is_not_there() {
        let environment =
            |name: &str| (name == "GATEPOST_CONFIG").then(|| "/from/environment.yaml".to_owned());
        let given = configuration_file(Some(Path::new("/given.yaml")), &environment).unwrap();
        assert_eq!(given, Path::new("/given.yaml"));
        assert_eq!(configuration_file(None, &environment).unwrap(), Path::new("/from/environment.yaml"));
    }

    #[test]
    fn the_xdg_folder_is_looked_into() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("gatepost/gatepost.yaml");
        let environment =
            |name: &str| (name == "XDG_CONFIG_HOME").then(|| home.path().to_str().unwrap().to_owned());
        match configuration_file(None, &environment) {
            Err(ConfigError::NotFound { places }) => assert_eq!(
                places,
                [PathBuf::from("gatepost.yaml"), file.clone(), "/etc/gatepost/gatepost.yaml".into()]
            ),
            // A machine on which Gatepost is installed.
            found => assert_eq!(found.unwrap(), Path::new("/etc/gatepost/gatepost.yaml")),
        }
        fs::create_dir(home.path().join("gatepost")).unwrap();
        fs::write(&file, "").unwrap();
        assert_eq!(configuration_file(None, &environment).unwrap(), file);
    }

    #[test]
    fn systemd_says_where_state_is_kept() {
        for (value, expected) in [("/var/lib/a", "/var/lib/a"), ("/var/lib/a:/var/lib/b", "/var/lib/a")] {
            let environment = |name: &str| (name == "STATE_DIRECTORY").then(|| value.to_owned());
            assert_eq!(state_folder(&environment).unwrap(), Path::new(expected));
        }
    }

    #[test]
    fn relative_xdg_folders_are_ignored() {
        let folder = |xdg: Option<&'static str>, home: Option<&'static str>| {
            let environment = move |name: &str| if name == "HOME" { home } else { xdg }.map(str::to_owned);
            xdg_folder(&environment, "XDG_STATE_HOME", ".local/state")
        };
        assert_eq!(folder(Some("/state"), Some("/home/a")), Some("/state/gatepost".into()));
        assert_eq!(folder(Some("state"), Some("/home/a")), Some("/home/a/.local/state/gatepost".into()));
        assert_eq!(folder(None, Some("/home/a")), Some("/home/a/.local/state/gatepost".into()));
        assert_eq!(folder(None, None), None);
    }
}
