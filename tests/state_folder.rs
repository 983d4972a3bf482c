//! The program over its state folder: killed at every step of its first start, run by the wrong user, told the wrong key, and
//! restored from a backup.

#![cfg(unix)]
// A test says what it expects by failing.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

const CONFIGURATION: &str = "
providers:
  contoso: { preset: microsoft365, client_id: 00000000-0000-0000-0000-000000000001 }
state: state
";

const ADD: [&str; 6] = ["account", "add", "ann@example.com", "--provider", "contoso", "--no-credential"];

/// A folder with a configuration whose state folder is `state`.
fn home() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("gatepost.yaml"), CONFIGURATION).unwrap();
    folder
}

fn gatepost(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
    command
        .arg("--config")
        .arg(home.join("gatepost.yaml"))
        .args(arguments)
        .env_remove("GATEPOST_KEY_FILE")
        .env_remove("CREDENTIALS_DIRECTORY")
        .env_remove("GATEPOST_CRASH_AT")
        .env_remove("RUST_LOG");
    command
}

/// Standard output of a command that worked.
fn said(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Exit status and standard error of a command that did not.
fn refusal(command: &mut Command) -> (Option<i32>, String) {
    let output = command.output().unwrap();
    assert!(!output.status.success(), "{output:?}");
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

fn with_input(command: &mut Command, input: &str) -> Output {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn looking_makes_nothing() {
    let home = home();
    let setup = "There are no accounts yet: gatepost setup ADDRESS\n";
    let add = "There are no accounts yet: gatepost account add ADDRESS --provider NAME\n";
    let none = "There are no passwords yet: gatepost credential add ADDRESS\n";
    for (arguments, expected) in [
        (&["status"][..], setup),
        (&["status", "--watch"], setup),
        (&["account", "list"], add),
        (&["account", "list", "--json"], "[]\n"),
        (&["credential", "list"], none),
        (&["credential", "list", "--json"], "[]\n"),
    ] {
        assert_eq!(said(&mut gatepost(home.path(), arguments)), expected, "{arguments:?}");
    }
    let told = said(&mut gatepost(home.path(), &["status", "--json"]));
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(
        (told.get("accounts"), told.get("attention")),
        (Some(&serde_json::json!([])), Some(&"none".into()))
    );
    assert!(said(&mut gatepost(home.path(), &["check"])).contains("nothing there yet"));
    for command in ["status", "credential list"] {
        let arguments: Vec<_> = command.split(' ').chain(["ann@example.com"]).collect();
        let (status, error) = refusal(&mut gatepost(home.path(), &arguments));
        assert!(status == Some(1) && error.contains("gatepost setup ann@example.com"), "{error}");
    }
    assert!(!home.path().join("state").exists());
}

#[test]
fn a_first_start_that_was_killed_anywhere_is_completed_by_the_next() {
    for place in ["key-written", "key-made", "database-made", "tables-made"] {
        let home = home();
        let killed = gatepost(home.path(), &ADD).env("GATEPOST_CRASH_AT", place).output().unwrap();
        assert!(killed.status.signal().is_some(), "{place}: {killed:?}");
        said(&mut gatepost(home.path(), &ADD));
        assert!(said(&mut gatepost(home.path(), &["account", "list"])).contains("not connected"), "{place}");
    }
}

#[test]
fn a_lost_or_foreign_key_is_a_refusal_and_never_a_new_key() {
    let home = home();
    said(&mut gatepost(home.path(), &ADD));
    let key = home.path().join("state/master.key");
    let text = fs::read_to_string(&key).unwrap();
    fs::remove_file(&key).unwrap();
    let (status, error) = refusal(&mut gatepost(home.path(), &["account", "list"]));
    assert_eq!(status, Some(4));
    assert!(error.contains(&format!("not its master key {}", key.display())), "{error}");
    assert!(!key.exists());

    let elsewhere = home.path().join("key");
    fs::write(&elsewhere, text).unwrap();
    fs::set_permissions(&elsewhere, fs::Permissions::from_mode(0o600)).unwrap();
    said(gatepost(home.path(), &["account", "list"]).env("GATEPOST_KEY_FILE", &elsewhere));

    fs::write(&elsewhere, format!("{}=\n", "A".repeat(43))).unwrap();
    let (status, error) =
        refusal(gatepost(home.path(), &["account", "list"]).env("GATEPOST_KEY_FILE", &elsewhere));
    assert_eq!(status, Some(4));
    assert!(error.contains("is not the one that"), "{error}");
}

#[test]
fn the_folder_of_another_user_is_left_alone() {
    let home = home();
    let state = home.path().join("state");
    fs::create_dir(&state).unwrap();
    // Root may give a folder away; whoever else runs this finds one of root's.
    let (state, owner) = match std::os::unix::fs::chown(&state, Some(65_534), Some(65_534)) {
        Ok(()) => (state, 65_534),
        Err(_) => ("/usr".into(), 0),
    };
    fs::write(
        home.path().join("gatepost.yaml"),
        CONFIGURATION.replace("state: state", &format!("state: {}", state.display())),
    )
    .unwrap();
    let (status, error) = refusal(&mut gatepost(home.path(), &["account", "list"]));
    assert_eq!(status, Some(4));
    assert!(error.contains("run it as that user: sudo -u "), "{owner}: {error}");
    assert!(!state.join("master.key").exists() && !state.join("gatepost.db").exists());
}

#[test]
fn a_copy_of_the_database_and_the_key_is_a_backup() {
    let (home, restored) = (home(), home());
    let add = &["account", "add", "ann@example.com", "--provider", "contoso", "--password-stdin"];
    let added = with_input(&mut gatepost(home.path(), add), "the scanner's own\n");
    assert!(added.status.success(), "{added:?}");
    let (from, to) = (home.path().join("state"), restored.path().join("state"));
    fs::create_dir(&to).unwrap();
    for entry in fs::read_dir(&from).unwrap().map(Result::unwrap) {
        if entry.file_name().to_string_lossy().starts_with("gatepost.db") {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
    let listed = &["credential", "list"];
    let (_, error) = refusal(&mut gatepost(restored.path(), listed));
    assert!(error.contains("Put the key back from the backup"), "{error}");
    fs::copy(from.join("master.key"), to.join("master.key")).unwrap();
    assert_eq!(said(&mut gatepost(restored.path(), listed)), said(&mut gatepost(home.path(), listed)));
    // The same password again is recognised, so the hashes opened.
    let device = &["credential", "add", "ann@example.com", "--password-stdin"];
    let again = with_input(&mut gatepost(restored.path(), device), "the scanner's own");
    let error = String::from_utf8(again.stderr).unwrap();
    assert!(error.contains("credential 1 has the same user name and the same password"), "{error}");
}
