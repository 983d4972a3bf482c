//! `gatepost check --fix`: writes what can only be meant, and tells each value that it changed. Everything else in the file stays.

use std::fmt::Write as _;
use std::path::Path;

use super::super::table::printable;
use super::super::{Context, Exit, Failure};
use crate::config::repair::repaired_all;
use crate::config::replace::replace;
use crate::config::{Complaint, Config, ConfigError};

/// A repair may bring to light what stood behind it, but hardly more often than this.
const MOST_ROUNDS: usize = 8;

/// Repairs the file, and says what was done.
pub(super) fn fix(context: &Context) -> Result<String, Failure> {
    let (path, old) = Config::text(context.config.as_deref()).map_err(|error| Context::wrong(&error))?;
    let (text, told) = repaired(&path, &old)?;
    if told.is_empty() {
        return Ok(format!("There is nothing in {} that --fix could repair.\n\n", path.display()));
    }
    replace(&path, &text).map_err(|error| {
        Failure::new(Exit::Failed, format!("{} cannot be written, and is as it was: {error}", path.display()))
    })?;
    let plural = if told.len() == 1 { "" } else { "s" };
    Ok(format!("Repaired {} mistake{plural} in {}:\n{}\n", told.len(), path.display(), told.concat()))
}

/// The text without what can be repaired, and a few lines about each repair.
fn repaired(path: &Path, text: &str) -> Result<(String, Vec<String>), Failure> {
    let (mut text, mut told) = (text.to_owned(), Vec::new());
    for _ in 0..MOST_ROUNDS {
        let complaints = match Config::parse(path, &text, &|name| std::env::var(name).ok()) {
            Ok(config) => config.remarks,
            Err(ConfigError::Wrong { complaints }) => complaints,
            Err(error) => return Err(Context::wrong(&error)),
        };
        let (new, done) = repaired_all(&text, &complaints);
        if done.is_empty() {
            break;
        }
        text = new;
        told.extend(done.into_iter().map(in_words));
    }
    Ok((text, told))
}

/// Only the value: the line around it may say what is nobody's business.
fn in_words(complaint: &Complaint) -> String {
    let line = complaint.line.map(|line| format!("{line}: ")).unwrap_or_default();
    let code = complaint.code.map(|code| format!(" ({code})")).unwrap_or_default();
    let mut words = format!("  {line}{}{code}\n", complaint.key);
    if let Some(repair) = &complaint.repair {
        let _ = writeln!(words, "    - {}", printable(&repair.old.to_string()));
        let _ = writeln!(words, "    + {}", printable(&repair.new.to_string()));
    }
    words
}
