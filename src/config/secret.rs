//! Reads a secret from where the configuration file says it is. The file itself never holds one: it is copied, mailed
//! and kept in version control too easily.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use gatepost_protocol::secret::Secret;

use super::Surroundings;
use super::file::Value;
use super::section::Field;

/// No client secret or key is longer.
const LONGEST: u64 = 64 * 1024;

/// Reads `{ file: PATH }` or `{ env: NAME }`.
pub(super) fn read(field: &Field<'_>, surroundings: &Surroundings<'_>) -> Option<Secret<String>> {
    if matches!(field.node.value, Value::Scalar(_)) {
        field.complain(
            "secrets do not stand in this file; write `{ file: /path/to/secret }` or `{ env: NAME }`, and replace \
             this secret if others could read it here",
        );
        return None;
    }
    let mut section = field.section()?;
    let (file, variable) = (section.take("file"), section.take("env"));
    section.finish();
    match (file, variable) {
        (Some(file), None) => from_file(&file, surroundings.folder),
        (None, Some(variable)) => from_environment(&variable, surroundings),
        _ => {
            field.complain("write either `{ file: /path/to/secret }` or `{ env: NAME }`");
            None
        }
    }
}

fn from_file(field: &Field<'_>, folder: &Path) -> Option<Secret<String>> {
    let path = field.path(folder)?;
    match read_private(&path) {
        Ok(secret) => return Some(secret),
        Err(problem) => field.complain(format!("{} {problem}", path.display())),
    }
    None
}

/// The content of a file that others cannot read, without the line end that editors put there.
fn read_private(path: &Path) -> Result<Secret<String>, String> {
    let cannot = |error: std::io::Error| format!("cannot be read: {error}");
    let file = File::open(path).map_err(cannot)?;
    let metadata = file.metadata().map_err(cannot)?;
    if !metadata.is_file() {
        return Err("is not a file".to_owned());
    }
    if metadata.permissions().mode() & 0o007 != 0 {
        return Err(format!("can be read by everybody on this machine; run `chmod 600 {}`", path.display()));
    }
    let mut text = String::new();
    file.take(LONGEST).read_to_string(&mut text).map_err(cannot)?;
    let text = Secret::new(text);
    let trimmed = text.expose().trim_end_matches(['\r', '\n']);
    if trimmed.trim().is_empty() {
        return Err("is empty; put the secret into it".to_owned());
    }
    Ok(Secret::new(trimmed.to_owned()))
}

fn from_environment(field: &Field<'_>, surroundings: &Surroundings<'_>) -> Option<Secret<String>> {
    let name = field.text()?;
    match (surroundings.environment)(name).filter(|value| !value.trim().is_empty()) {
        Some(value) => return Some(Secret::new(value)),
        None => field.complain(format!("the environment variable {name} is not set, or empty")),
    }
    None
}
