//! Reads a secret from where the configuration file says it is. The file itself never holds one: it is copied, mailed
//! and kept in version control too easily.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::SystemTime;

use gatepost_protocol::secret::Secret;
use time::Date;
use time::macros::format_description;

use super::file::Value;
use super::section::Field;
use super::{Surroundings, secret_command};

const EXPIRES: &str = "expires";

/// No client secret or key is longer.
pub(super) const LONGEST: u64 = 64 * 1024;

const WAYS: &str = "`{ file: /path/to/secret }`, `{ env: NAME }`, `{ credential: NAME }` or `{ command: [PROGRAM, ARGUMENT] }`";

/// Reads `{ file: PATH }`, `{ env: NAME }`, `{ credential: NAME }` or `{ command: [PROGRAM, ARGUMENT] }`.
pub(super) fn read(field: &Field<'_>, surroundings: &Surroundings<'_>) -> Option<Secret<String>> {
    if matches!(field.node.value, Value::Scalar(_)) {
        field.complain(format!(
            "secrets do not stand in this file; write {WAYS}, and replace this secret if others could read it here"
        ));
        return None;
    }
    let mut section = field.section()?;
    let ways = ["file", "env", "credential", "command"].map(|key| section.take(key));
    section.take(EXPIRES);
    section.finish();
    match ways {
        [Some(file), None, None, None] => from_file(&file, surroundings.folder),
        [None, Some(variable), None, None] => from_environment(&variable, surroundings),
        [None, None, Some(credential), None] => from_credential(&credential, surroundings),
        [None, None, None, Some(command)] => from_command(&command, surroundings.folder),
        _ => {
            field.complain(format!("write one of {WAYS}"));
            None
        }
    }
}

/// When the provider takes the secret no more: `expires: 2027-01-31` beside where it is. The provider shows the day when the
/// secret is made, and tells nobody when it comes.
pub(super) fn expires(field: &Field<'_>) -> Option<SystemTime> {
    let Value::Mapping(_) = field.node.value else { return None };
    let (_, field) = field.entries().into_iter().find(|(key, _)| *key == EXPIRES)?;
    let text = field.text()?;
    match Date::parse(text, format_description!("[year]-[month]-[day]")) {
        Ok(day) => return Some(day.midnight().assume_utc().into()),
        Err(_) => field.complain(format!("`{text}` is not a day; write it like `2027-01-31`")),
    }
    None
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
pub(super) fn read_private(path: &Path) -> Result<Secret<String>, String> {
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

/// What systemd hands to a unit by `LoadCredential=NAME:…` or `LoadCredentialEncrypted=NAME:…`.
fn from_credential(field: &Field<'_>, surroundings: &Surroundings<'_>) -> Option<Secret<String>> {
    let name = field.text()?;
    if name.contains('/') || name == "." || name == ".." {
        field.complain(format!("`{name}` is not a credential's name; for a path write `{{ file: {name} }}`"));
        return None;
    }
    let Some(folder) = (surroundings.environment)("CREDENTIALS_DIRECTORY") else {
        field.complain(format!(
            "there is no CREDENTIALS_DIRECTORY, which systemd sets for a unit with `LoadCredential={name}:/path/to/secret`"
        ));
        return None;
    };
    let path = Path::new(&folder).join(name);
    match read_private(&path) {
        Ok(secret) => return Some(secret),
        Err(problem) => field.complain(format!("{} {problem}", path.display())),
    }
    None
}

/// The first line of what a program prints.
fn from_command(field: &Field<'_>, folder: &Path) -> Option<Secret<String>> {
    if matches!(field.node.value, Value::Scalar(_)) {
        field.complain(
            "is run without a shell; write the program and its arguments as a list, like `[pass, show, mail/gatepost]`",
        );
        return None;
    }
    let words = field.list().iter().map(Field::text).collect::<Option<Vec<_>>>()?;
    let Some((program, arguments)) = words.split_first() else {
        field.complain("has no program in it; write `[PROGRAM, ARGUMENT]`");
        return None;
    };
    match secret_command::first_line(program, arguments, folder, secret_command::PATIENCE) {
        Ok(secret) => return Some(secret),
        Err(problem) => field.complain(format!("`{program}` {problem}")),
    }
    None
}
