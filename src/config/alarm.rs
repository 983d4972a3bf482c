//! `on_alarm`: whom Gatepost tells what needs somebody, besides its log.

use std::path::{Path, PathBuf};

use super::section::{Field, Section};
use crate::account::name::wrong_address;
use crate::submission::can_carry;

/// Whom to tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OnAlarm {
    /// What is run.
    pub command: Option<AlarmCommand>,
    /// Who gets a message; nobody where it is empty.
    pub mail_to: Vec<String>,
    /// The account that messages go through while it works; any that works where `None`.
    pub mail_account: Option<String>,
}

/// A program, which no shell runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlarmCommand {
    /// A name that is looked up in `PATH`, or a path.
    pub program: PathBuf,
    /// As they are.
    pub arguments: Vec<String>,
}

const EXAMPLE: &str = "`command: [PROGRAM, ARGUMENT, …]`, `mail_to: admin@example.com`, or both";

/// Reads the section.
pub(super) fn read(root: &mut Section<'_>, folder: &Path) -> OnAlarm {
    let Some(field) = root.take("on_alarm") else { return OnAlarm::default() };
    if field.node.is_empty_mapping() {
        field.complain(format!("has nothing in it; write {EXAMPLE}"));
    }
    let Some(mut section) = field.section() else { return OnAlarm::default() };
    let command = section.take("command").and_then(|field| read_command(&field, folder));
    let written_to = section.take("mail_to");
    let mail_to = written_to.as_ref().map(recipients).unwrap_or_default();
    let mail_account = section.take("mail_account").and_then(|field| {
        if written_to.is_none() {
            field
                .complain("is for messages, and nobody gets one; write `mail_to` beside it, or leave it out");
        }
        address(&field)
    });
    section.finish();
    OnAlarm { command, mail_to, mail_account }
}

fn read_command(field: &Field<'_>, folder: &Path) -> Option<AlarmCommand> {
    if field.node.is_empty_list() {
        field.complain("is an empty list; write `[PROGRAM, ARGUMENT, …]`");
    }
    let mut words = field.list().into_iter();
    let program_field = words.next()?;
    let arguments = words.filter_map(|field| field.text().map(str::to_owned)).collect();
    let name = program_field.text()?;
    if !name.contains('/') {
        return Some(AlarmCommand { program: name.into(), arguments });
    }
    let program = folder.join(name);
    // Found at night it would be found too late.
    if !program.is_file() {
        program_field.complain(format!("there is no program {}", program.display()));
    }
    Some(AlarmCommand { program, arguments })
}

fn recipients(field: &Field<'_>) -> Vec<String> {
    if field.node.scalar().is_some() {
        return address(field).into_iter().collect();
    }
    if field.node.is_empty_list() {
        field.complain("is an empty list; write an address, or leave the key out");
    }
    field.list().iter().filter_map(address).collect()
}

fn address(field: &Field<'_>) -> Option<String> {
    let text = field.text()?;
    let wrong = wrong_address(text)
        .or_else(|| (!can_carry(text)).then_some("has a character that plain SMTP cannot carry"));
    match wrong {
        None => Some(text.to_owned()),
        Some(wrong) => {
            field.complain(format!("`{text}` {wrong}"));
            None
        }
    }
}
