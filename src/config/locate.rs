//! Finds the configuration file, and the state folder where the file does not name one.

use std::path::{Path, PathBuf};

use super::ConfigError;

/// The file given on the command line, else the first that exists in the usual places.
pub(super) fn configuration_file(
    given: Option<&Path>,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<PathBuf, ConfigError> {
    // A file that was asked for by name is taken as it is: falling back to another one would hide the mistake.
    if let Some(path) = given {
        return Ok(path.to_owned());
    }
    if let Some(path) = environment("GATEPOST_CONFIG").filter(|path| !path.is_empty()) {
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
