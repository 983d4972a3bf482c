//! What is told of one failed login in each of the four places: to the client, in the log, by `gatepost status` and by `gatepost
//! test`. All of them must say the same row of the table.

use std::path::PathBuf;

use gatepost::config::ListenerTls;
use gatepost::diagnosis::{Diagnosis, by_id};
use gatepost_protocol::Protocol;
use gatepost_protocol::failure::Cause;
use serde_json::Value;

use super::log::Log;
use super::process::said;
use super::wire::Wire;
use super::world::{ADDRESS, World};

/// Who has to do something before the client may get in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hears {
    /// Somebody.
    NeedsAdmin,
    /// Nobody: it passes.
    Later,
    /// Nobody: there are too many at the moment.
    Busy,
}

impl Hears {
    /// What stands ahead of the cause.
    pub fn code(self, protocol: Protocol) -> &'static str {
        match (self, protocol) {
            (Self::NeedsAdmin | Self::Later, Protocol::Smtp) => "454 4.7.0",
            (Self::Busy, Protocol::Smtp) => "454 4.3.2",
            (Self::NeedsAdmin, Protocol::Pop3) => "-ERR [SYS/PERM]",
            (Self::Later | Self::Busy, Protocol::Pop3) => "-ERR [SYS/TEMP]",
            (Self::NeedsAdmin, Protocol::Imap) => "a1 NO [CONTACTADMIN]",
            (Self::Later, Protocol::Imap) => "a1 NO [UNAVAILABLE]",
            (Self::Busy, Protocol::Imap) => "a1 NO [LIMIT]",
        }
    }
}

/// A failed login, as it is told.
pub struct Told {
    /// To the client.
    pub line: String,
    /// Every warning about the account, as JSON.
    pub warnings: Vec<Value>,
    /// `gatepost status`: its exit status and all of its text.
    pub status: (Option<i32>, String),
    /// `gatepost test`, the same.
    pub test: (Option<i32>, String),
    /// `gatepost test --json`, the same.
    pub json: (Option<i32>, String),
}

impl Told {
    /// Logs in as a device does, and asks everywhere what became of it.
    pub async fn of(world: &World, protocol: Protocol, lasts: bool) -> Self {
        let log = Log::begin();
        let line = Wire::greeted(world, protocol, ListenerTls::None).await.log_in(protocol).await;
        let warnings =
            log.json().lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>();
        let about = |warning: &Value| warning["level"] == "WARN" && warning["account"] == ADDRESS;
        let warnings = warnings.into_iter().filter(about).collect();
        drop(log);
        let config = configuration(world);
        let mut status = said(&config, &["status"], "").await;
        // What lasts is noted beside the session.
        for _ in 0..50 {
            if !lasts || status.0 != Some(0) {
                break;
            }
            status = said(&config, &["status"], "").await;
        }
        let test = said(&config, &["test", ADDRESS], "").await;
        let json = said(&config, &["test", ADDRESS, "--json"], "").await;
        Self { line, warnings, status, test, json }
    }

    /// Where something else is told than what this row says, each with what it was.
    pub fn disagreements(&self, id: &str, protocol: Protocol, hears: Hears, lasts: bool) -> Vec<String> {
        let Some(row) = by_id(id) else { return vec![format!("the table has no row {id}")] };
        let mut found = Vec::new();
        let mut expect = |place: &str, is_so: bool, told: &dyn std::fmt::Display| {
            if !is_so {
                found.push(format!("{place}: {told}"));
            }
        };
        let line = format!("{} {}", hears.code(protocol), row.cause_for_client().as_str());
        expect("the line to the client", self.line == line, &self.line);
        expect("its length", row.cause_for_client().as_str().len() <= Cause::MAX_LEN, &line);
        expect(
            "the log",
            self.warnings.iter().any(|warning| is_in_log(row, warning)),
            &format!("{:?}", self.warnings),
        );
        let (exit, text) = &self.status;
        let (expected, is_told) = if lasts { (7, says(text, row)) } else { (0, !text.contains(id)) };
        expect("status", *exit == Some(expected) && is_told, &format!("{exit:?} {text}"));
        let (exit, text) = &self.test;
        expect(
            "test",
            *exit == Some(5) && says(text, row) && tells_what_to_do(text, row),
            &format!("{exit:?} {text}"),
        );
        let (exit, text) = &self.json;
        expect("test --json", *exit == Some(5) && is_in_json(text, row), &format!("{exit:?} {text}"));
        found
    }
}

/// The world's configuration, in a file for the program itself.
pub fn configuration(world: &World) -> PathBuf {
    let config = world.folder().join("gatepost.yaml");
    std::fs::write(&config, &world.yaml).unwrap();
    config
}

/// A text as one line, however it was broken into lines.
pub fn in_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn is_in_log(row: &Diagnosis, warning: &Value) -> bool {
    warning["diagnosis"] == row.id && warning["title"] == row.title && warning["see"] == row.anchor()
}

fn says(text: &str, row: &Diagnosis) -> bool {
    let text = in_one_line(text);
    text.contains(&row.title) && text.contains(&row.id)
}

fn tells_what_to_do(text: &str, row: &Diagnosis) -> bool {
    let text = in_one_line(text);
    // Where the provider says no more than no, the token itself may tell more than the row.
    let says_more = text.contains("Cause: Most likely ");
    says_more || text.contains(&in_one_line(&row.cause)) && text.contains(&in_one_line(&row.fix_for(ADDRESS)))
}

/// Whether a step that failed names the row.
fn is_in_json(text: &str, row: &Diagnosis) -> bool {
    let object = text.split_once("\ngatepost: ").map_or(text, |(object, _)| object);
    let Ok(told) = serde_json::from_str::<Value>(object) else { return false };
    let steps = told["steps"].as_array().cloned().unwrap_or_default();
    let says = |step: &Value| step["detail"].as_str().is_some_and(|detail| detail.starts_with(&row.title));
    steps.iter().any(|step| step["diagnosis"] == row.id && says(step))
}
