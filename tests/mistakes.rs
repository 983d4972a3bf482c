//! The mistakes of `config/mistakes.yaml`: each is found where it is made and nowhere else, and repaired where the table says so.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use gatepost::config::mistakes::{self, Level};
use gatepost::config::presets;
use gatepost::config::provider::LoginKind;
use gatepost::config::repair::repaired_all;
use gatepost::config::{Complaint, Config, ConfigError};

fn environment(name: &str) -> Option<String> {
    match name {
        "HOME" => Some("/home/somebody".to_owned()),
        "OWN_CLIENT_SECRET" | "BM_SECRET" => Some("planted-secret".to_owned()),
        "GUID_SECRET" => Some("3b3d4c1e-0f3a-4b61-9d3c-5d7b2f0a9c11".to_owned()),
        _ => None,
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// Everything that is found in the text.
fn findings(text: &str) -> Vec<Complaint> {
    match Config::parse(Path::new("gatepost.yaml"), text, &environment) {
        Ok(config) => config.remarks,
        Err(ConfigError::Wrong { complaints }) => complaints,
        Err(error) => panic!("{error}"),
    }
}

fn codes(findings: &[Complaint]) -> BTreeSet<&'static str> {
    findings.iter().filter_map(|finding| finding.code).collect()
}

/// As `--fix` does it.
fn repaired(text: &str) -> String {
    let mut text = text.to_owned();
    for _ in 0..8 {
        let found = findings(&text);
        let (new, done) = repaired_all(&text, &found);
        if done.is_empty() {
            break;
        }
        text = new;
    }
    text
}

fn files() -> Vec<(String, String)> {
    let mut files: Vec<_> = fs::read_dir(root().join("mistakes"))
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            (path.file_stem().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(path).unwrap())
        })
        .collect();
    files.sort();
    files
}

#[test]
fn each_mistake_is_found_in_its_file_and_nothing_in_a_near_miss() {
    let files = files();
    for mistake in mistakes::all() {
        // Accounts do not stand in this file; theirs is tested beside `check` and `account`.
        let is_there = |name: &str| files.iter().any(|(file, _)| file == name);
        let of_accounts = mistake.code == "L19";
        assert_eq!(is_there(&mistake.code), !of_accounts, "{}", mistake.code);
        assert_eq!(is_there(&format!("{}_near_miss", mistake.code)), !of_accounts, "{}", mistake.code);
    }
    for (name, text) in &files {
        let found = findings(text);
        let lines: Vec<String> = found.iter().map(Complaint::to_string).collect();
        let expected: BTreeSet<&str> =
            if name.ends_with("_near_miss") { BTreeSet::new() } else { [name.as_str()].into() };
        assert_eq!(codes(&found), expected, "{name}\n{}", lines.join("\n"));
        for finding in &found {
            if let Some(code) = finding.code {
                assert!(finding.level >= mistakes::by_code(code).unwrap().level, "{finding}");
            }
            assert!(finding.line.is_some(), "{finding}");
        }
        // A near miss has nothing else either that would hide what is looked for.
        assert!(
            expected.len() == 1 || !found.iter().any(Complaint::is_error),
            "{name}\n{}",
            lines.join("\n")
        );
    }
}

#[test]
fn what_the_table_calls_repaired_is_repaired_and_nothing_is_left_to_repair() {
    for (name, text) in files() {
        let is_repaired = mistakes::by_code(&name).is_some_and(|mistake| mistake.repaired);
        let new = repaired(&text);
        let left = findings(&new);
        assert!(left.iter().all(|finding| finding.repair.is_none()), "{name}\n{new}");
        if is_repaired {
            assert_ne!(new, text, "{name}");
            let count =
                |findings: &[Complaint]| findings.iter().filter(|finding| finding.code.is_some()).count();
            assert!(count(&left) < count(&findings(&text)), "{name}\n{new}");
        } else if mistakes::by_code(&name).is_some() && name != "L18" {
            assert_eq!(new, text, "{name}");
        }
    }
}

#[test]
fn every_code_in_the_program_has_a_row_and_every_row_is_used() {
    fn sources(folder: &Path, text: &mut String) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, text);
            } else {
                *text += &fs::read_to_string(path).unwrap();
            }
        }
    }
    let mut text = String::new();
    sources(&root().join("../src/config"), &mut text);
    let used: BTreeSet<&str> = text
        .match_indices("\"L")
        .filter_map(|(at, _)| text.get(at + 1..at + 5)?.strip_suffix('"'))
        .filter(|code| code[1..].bytes().all(|byte| byte.is_ascii_digit()))
        .collect();
    let rows: BTreeSet<&str> = mistakes::all().iter().map(|mistake| mistake.code.as_str()).collect();
    assert_eq!(used, rows);
}

#[test]
fn a_configuration_after_the_two_manuals_gets_what_they_got_wrong() {
    for (name, before, after) in [
        ("bp_event", &[][..], &[][..]),
        (
            "business_manager",
            &["L01", "L04", "L08", "L13", "L16", "L20", "L22", "L24"],
            &["L08", "L13", "L16", "L20", "L22", "L24"],
        ),
    ] {
        let text = fs::read_to_string(root().join(format!("manuals/{name}.yaml"))).unwrap();
        assert_eq!(codes(&findings(&text)).into_iter().collect::<Vec<_>>(), before, "{name}");
        let left = findings(&repaired(&text));
        assert_eq!(codes(&left).into_iter().collect::<Vec<_>>(), after, "{name}");
    }
}

/// A whole configuration of each block of YAML in the text of a manual.
fn examples(name: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join("..").join(name)).unwrap();
    let provider =
        "providers:\n  it:\n    preset: microsoft365\n    client_id: 9a8b7c6d-0000-4000-8000-123456789abc\n";
    let mut blocks = Vec::new();
    let mut block: Option<Vec<&str>> = None;
    for line in text.lines() {
        match (line.trim(), block.take()) {
            ("```yaml", None) => block = Some(Vec::new()),
            ("```", Some(lines)) => blocks.push(lines),
            (_, Some(mut lines)) => {
                lines.push(line);
                block = Some(lines);
            }
            (_, None) => {}
        }
    }
    let whole = |lines: Vec<&str>| {
        let text = lines.join("\n") + "\n";
        match text.trim_start() {
            it if it.starts_with("providers:") => text,
            it if it.starts_with("client_secret:") => format!("{provider}    {it}"),
            _ => format!("{provider}{text}"),
        }
    };
    blocks.into_iter().map(whole).collect()
}

#[test]
fn what_the_manuals_show_is_no_mistake() {
    let mut texts = Vec::new();
    for name in [
        "README.md",
        "docs/alarms.md",
        "docs/google.md",
        "docs/microsoft-365.md",
        "docs/monitoring.md",
        "docs/other-providers.md",
    ] {
        let found = examples(name);
        assert!(!found.is_empty(), "{name}");
        texts.extend(found.into_iter().map(|text| (name, text)));
    }
    let example = fs::read_to_string(root().join("../config/gatepost.example.yaml")).unwrap();
    texts.push(("everything on", example.replace("#: ", "")));
    texts.push(("the example", example));
    for (name, text) in texts {
        // A day that has passed by then is another matter.
        let text = text.replace("expires: 20", "expires: 90");
        let found = findings(&text);
        let lines: Vec<String> = found.iter().map(Complaint::to_string).collect();
        assert_eq!(codes(&found), BTreeSet::new(), "{name}\n{text}\n{}", lines.join("\n"));
        // Their files are not here.
        let is_missing =
            |text: &str| ["No such file", "there is no program"].iter().any(|it| text.contains(it));
        let mut errors = found.iter().filter(|finding| finding.is_error());
        assert!(errors.all(|error| is_missing(&error.text)), "{name}\n{text}\n{}", lines.join("\n"));
    }
}

#[test]
fn a_preset_gets_a_note_at_most() {
    for preset in presets::all() {
        let name = &preset.name;
        let login = match preset.login {
            LoginKind::OAuth => ", client_id: 9a8b7c6d-0000-4000-8000-123456789abc",
            LoginKind::Password => "",
        };
        let found = findings(&format!("providers: {{ it: {{ preset: {name}{login} }} }}\n"));
        assert!(found.iter().all(|it| it.level == Level::Note && it.code.is_none()), "{name}: {found:?}");
    }
}

#[test]
fn what_is_found_beside_the_rows_own_examples() {
    let own = "client_id: abc, authorization_endpoint: https://login.example.org/a, token_endpoint: https://login.example.org/t, scopes: [mail]";
    let contoso = "preset: microsoft365, client_id: abc, grant: client_credentials, client_secret: { env: OWN_CLIENT_SECRET }";
    for (provider, code, level, absent) in [
        // The listeners of a file that names none.
        (
            format!("{own}, smtp: {{ host: localhost, port: 1587, tls: starttls }}"),
            "L23",
            Level::Error,
            "planted",
        ),
        (format!("{contoso}, tenant: Common"), "L12", Level::Error, "planted"),
        (format!("{contoso}, tenant: abc8Q~TopSecretTenant"), "L13", Level::Error, "TopSecret"),
        (
            "preset: microsoft365, client_id: abc8Q~TopSecretValueThatWasPastedHere123".to_owned(),
            "L14",
            Level::Warning,
            "TopSecret",
        ),
        (
            "preset: microsoft365, client_id: '{9a8b7c6d-0000-4000-8000-123456789abc}'".to_owned(),
            "L14",
            Level::Warning,
            "9a8b",
        ),
        (
            "preset: yahoo, login: password, smtp: { host: smtp.gmial.com }".to_owned(),
            "L04",
            Level::Warning,
            "spelt wrong",
        ),
    ] {
        let found = findings(&format!("providers: {{ it: {{ {provider} }} }}\n"));
        let found: Vec<_> = found.into_iter().filter(|finding| finding.code.is_some()).collect();
        assert_eq!(codes(&found), [code].into(), "{provider}");
        assert!(found.iter().all(|it| it.level == level && it.repair.is_none()), "{provider}: {found:?}");
        assert!(found.iter().all(|it| !it.text.contains(absent)), "{provider}: {found:?}");
    }
}

/// What a person reads: exit status, standard output, standard error.
fn check(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_gatepost"))
        .args(["--config", "gatepost.yaml", "check"])
        .args(arguments)
        .current_dir(folder)
        .env("BM_SECRET", "planted-secret")
        .env_remove("STATE_DIRECTORY")
        .output()
        .unwrap();
    let text = |octets| String::from_utf8(octets).unwrap();
    format!(
        "exit status {}\n---- standard output\n{}---- standard error\n{}",
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr)
    )
}

#[test]
fn what_check_says_about_the_two_manuals() {
    for name in ["bp_event", "business_manager"] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gatepost.yaml");
        fs::copy(root().join(format!("manuals/{name}.yaml")), &file).unwrap();
        let before = check(folder.path(), &[]);
        insta::assert_snapshot!(format!("check_{name}"), before);
        let fixed = check(folder.path(), &["--fix"]);
        insta::assert_snapshot!(format!("fix_{name}"), fixed);
        let text = fs::read_to_string(&file).unwrap();
        insta::assert_snapshot!(format!("fixed_{name}"), text);
        let again = check(folder.path(), &["--fix"]);
        assert!(again.contains("There is nothing in gatepost.yaml that --fix could repair."), "{again}");
        assert_eq!(fs::read_to_string(&file).unwrap(), text);
        assert!(!folder.path().join("state").exists(), "nothing is made for a check");
        assert!(![before, fixed, again].concat().contains("planted-secret"));
    }
}

#[test]
fn for_programs_there_is_a_list() {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(root().join("mistakes/L01.yaml"), folder.path().join("gatepost.yaml")).unwrap();
    let said = check(folder.path(), &["--json"]);
    let start = said.find('[').unwrap();
    let end = said.rfind(']').unwrap();
    let list: serde_json::Value = serde_json::from_str(&said[start..=end]).unwrap();
    assert_eq!(
        list,
        serde_json::json!([{
            "file": "gatepost.yaml",
            "line": 2,
            "key": "providers.it.pop3.tls",
            "code": "L01",
            "level": "error",
            "text": "port 995 speaks TLS from the first byte; write `tls: implicit`",
            "repair": { "old": "starttls", "new": "implicit" },
        }])
    );
    assert!(said.starts_with("exit status 3\n"), "{said}");
}
