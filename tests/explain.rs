//! `gatepost explain` as a person meets it, and what Gatepost itself says to clients: each of its lines can be explained.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use gatepost::diagnosis::{Place, find};
use gatepost_protocol::dialogue::{Encryption, Goodbye, Output, ServerDialogue, Step, Violation};
use gatepost_protocol::failure::AuthFailure;
use gatepost_protocol::{imap, pop3, smtp};

/// Exit status, standard output, standard error.
fn outcome(arguments: &[&str], input: &str) -> (Option<i32>, String, String) {
    let nowhere = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
    command.current_dir(nowhere.path()).env_clear().arg("explain").args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().unwrap();
    process.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = process.wait_with_output().unwrap();
    assert_eq!(nowhere.path().read_dir().unwrap().count(), 0, "nothing is made");
    let text = |octets| String::from_utf8(octets).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// What is printed where something is known.
fn explained(arguments: &[&str]) -> String {
    let (status, said, error) = outcome(arguments, "");
    assert_eq!((status, error.as_str()), (Some(0), ""), "{arguments:?}: {said}");
    let is_narrow = |line: &str| line.chars().count() <= 80;
    assert!(arguments.contains(&"--json") || said.lines().all(is_narrow), "{said}");
    said
}

#[test]
fn what_a_device_shows_is_explained() {
    insta::assert_snapshot!("kyocera", explained(&["Error", "1102"]));
    insta::assert_snapshot!(
        "line_to_the_device",
        explained(&["454 4.7.0 SMTP AUTH is off in Microsoft 365; ask admin (D02)"])
    );
    insta::assert_snapshot!(
        "own_line",
        explained(&["-ERR", "[AUTH]", "Wrong", "user", "name", "or", "password"])
    );
}

#[test]
fn a_mistake_in_the_configuration_is_explained() {
    insta::assert_snapshot!("mistake", explained(&["gatepost.yaml:7:", "error", "L05"]));
    let both = explained(&["D02", "or", "L05"]);
    assert!(both.contains("(D02)") && both.contains("(L05)") && !both.contains("can mean"), "{both}");
    for name in ["Microsoft Extra ID", "azure AD", "l22"] {
        assert!(explained(&[name]).contains("(L22)"), "{name}");
    }
}

#[test]
fn a_code_that_has_many_reasons_lists_them() {
    insta::assert_snapshot!("bare_code", explained(&["5.7.139"]));
}

#[test]
fn json_is_the_same_for_scripts() {
    let before = explained(&["--json", "D02"]);
    assert_eq!(before, explained(&["D02", "--json"]));
    insta::assert_snapshot!("json", before);
    let (status, said, _) = outcome(&["--json", "hello"], "");
    assert_eq!(status, Some(1));
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&said).unwrap(),
        serde_json::json!({ "id": null, "also": [] })
    );
}

#[test]
fn what_nobody_knows_is_said_to_be_unknown() {
    let (status, said, error) = outcome(&["Kyocera", "2101"], "");
    assert_eq!((status, said.as_str()), (Some(1), ""));
    insta::assert_snapshot!("unknown_and_near", error);
    let (status, _, error) = outcome(&["hello"], "");
    assert_eq!(status, Some(1));
    insta::assert_snapshot!("unknown", error);
}

#[test]
fn a_pasted_log_line_is_explained_and_no_secret_in_it_is_shown() {
    let token = "ya29.a0AfH6SMBplanted";
    let line = format!(
        "2026-11-21T08:00:00Z  WARN not let in account=scanner@contoso.example bearer={token} \
         said=\"535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. Visit \
         https://aka.ms/smtp_auth_disabled\" port=1102"
    );
    let (status, said, error) = outcome(&["-"], &line);
    assert!(status == Some(0) && said.contains("(D02)"), "{said}{error}");
    let unknown = outcome(&["-"], &format!("bearer={token}"));
    assert_eq!(unknown.0, Some(1));
    for text in [&said, &error, &unknown.1, &unknown.2] {
        assert!(!text.contains("planted"), "{text}");
    }
}

#[test]
fn the_page_is_in_step_with_what_it_is_made_from() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/errors.md");
    let written = std::fs::read_to_string(file).unwrap_or_default();
    let same = explained_page() == written;
    assert!(
        same,
        "docs/errors.md is not what is known now. To write it again: cargo run -- explain --all > docs/errors.md"
    );
}

fn explained_page() -> String {
    let (status, page, _) = outcome(&["--all"], "");
    assert_eq!(status, Some(0));
    page
}

/// The three servers, new: each with what logs in to it.
fn servers(encryption: Encryption) -> [(Box<dyn ServerDialogue>, &'static [&'static str]); 3] {
    let host = || "gatepost.example".to_owned();
    [
        (Box::new(smtp::Server::new(host(), vec![], encryption, 1)), &["AUTH PLAIN AHRpbQBzZWNyZXQ="]),
        (Box::new(pop3::Server::new(host(), vec![], encryption, 1)), &["USER tim", "PASS secret"]),
        (Box::new(imap::Server::new(host(), vec![], encryption, 1)), &["a1 LOGIN tim secret"]),
    ]
}

/// Each line is known by the row.
fn assert_known(output: &Output, id: &str) {
    let said = output.as_bytes().escape_ascii().to_string().replace("\\r\\n", "\n").replace("\\\"", "\"");
    assert!(!said.is_empty(), "{id}");
    let line = said.lines().next().unwrap();
    assert_eq!(find(Place::Gatepost, line).map(|row| row.id.as_str()), Some(id), "{line}");
}

#[test]
fn every_verdict_of_gatepost_itself_has_its_row() {
    for (failure, id) in [
        (AuthFailure::Malformed, "G44"),
        (AuthFailure::Cancelled, "G45"),
        (AuthFailure::EncryptionRequired, "G42"),
        (AuthFailure::WrongCredentials, "G40"),
        (AuthFailure::Disabled, "G41"),
    ] {
        for (mut server, login) in servers(Encryption::Active) {
            let mut output = Output::default();
            let steps: Vec<_> = login.iter().map(|line| server.line(line.as_bytes(), &mut output)).collect();
            assert!(matches!(steps.last(), Some(Step::Yield(_))), "{steps:?}");
            output.wipe();
            server.verdict(&Err(failure.clone()), &mut output);
            assert_known(&output, id);
        }
    }
}

#[test]
fn every_refused_command_has_its_row() {
    use Encryption::{Active, Required, Unavailable};
    let table: [(Encryption, &str, [&str; 3]); 9] = [
        (Active, "G43", ["MAIL FROM:<tim@example.com>", "STAT", "a1 SELECT INBOX"]),
        (Required, "G42", ["AUTH LOGIN", "USER tim", "a1 LOGIN tim secret"]),
        (Required, "G42", ["MAIL FROM:<tim@example.com>", "PASS secret", "a1 AUTHENTICATE PLAIN"]),
        (Active, "G46", ["AUTH NTLM", "AUTH NTLM", "a1 AUTHENTICATE NTLM"]),
        (Active, "G44", ["AUTH PLAIN !", "AUTH PLAIN !", "a1 AUTHENTICATE PLAIN !"]),
        (Unavailable, "G53", ["STARTTLS", "STLS", "a1 STARTTLS"]),
        (Active, "G54", ["STARTTLS", "STLS", "a1 STARTTLS"]),
        (Active, "G56", ["XYZZY", "XYZZY", "a1 XYZZY"]),
        (Active, "G56", ["AUTH", "USER", "?"]),
    ];
    for (encryption, id, lines) in table {
        for ((mut server, _), line) in servers(encryption).into_iter().zip(lines) {
            let mut output = Output::default();
            server.line(line.as_bytes(), &mut output);
            assert_known(&output, id);
        }
    }
    let mut output = Output::default();
    servers(Active)[1].0.line(b"APOP tim c4c9334bac560ecc979e58001b3e22fb", &mut output);
    assert_known(&output, "G46");
    for (mut server, _) in servers(Active) {
        let mut output = Output::default();
        server.line_too_long(&mut output);
        assert_known(&output, "G55");
    }
}

#[test]
fn every_goodbye_has_its_row() {
    for (reason, id) in [
        (Goodbye::Busy, "G48"),
        (Goodbye::NotAllowed, "G50"),
        (Goodbye::ShuttingDown, "G51"),
        (Goodbye::TimedOut, "G52"),
        (Goodbye::TooManyFailures, "G47"),
    ] {
        let mut outputs = [Output::default(), Output::default(), Output::default()];
        smtp::goodbye("gatepost.example", reason, &mut outputs[0]);
        pop3::goodbye(reason, &mut outputs[1]);
        imap::goodbye(reason, &mut outputs[2]);
        for output in &outputs {
            assert_known(output, id);
        }
    }
    for (violation, id) in [(Violation::TlsClientHello, "G57"), (Violation::HttpRequest, "G58")] {
        let row = find(Place::Gatepost, violation.as_str());
        assert_eq!(row.map(|row| row.id.as_str()), Some(id));
    }
}
