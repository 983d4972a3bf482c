//! The commands as a person at a terminal meets them: what they say, where they say it, and what they leave alone.

// A test says what it expects by failing.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use gatepost::config::provider::UpstreamTls;
use gatepost::sandbox::{CLIENT_SECRET, CLIENT_SECRET_VARIABLE, MailFault};
use tempfile::TempDir;

use support::world::{ADDRESS, World};

/// Two providers behind the same listener, at ports that nobody serves.
const CONFIGURATION: &str = "
providers:
  contoso: { preset: microsoft365, client_id: 00000000-0000-0000-0000-000000000001 }
  fabrikam: { preset: outlook, client_id: 00000000-0000-0000-0000-000000000002 }
listeners:
  - { protocol: smtp, address: '127.0.0.1:0', tls: none }
state: state
";

/// A provider at a port of this machine that nobody serves.
fn nowhere() -> String {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    format!(
        "providers:
  contoso:
    grant: authorization_code
    client_id: abc
    authorization_endpoint: https://127.0.0.1:{port}/authorize
    token_endpoint: https://127.0.0.1:{port}/token
    scopes: [mail]
    smtp: {{ host: 127.0.0.1, port: {port}, tls: implicit }}
listeners: [{{ protocol: smtp, address: '127.0.0.1:0', tls: none }}]
state: state
"
    )
}

fn home(configuration: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("gatepost.yaml"), configuration).unwrap();
    folder
}

fn gatepost(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
    command.current_dir(home).args(arguments).stdin(Stdio::null());
    for variable in ["CREDENTIALS_DIRECTORY", "GATEPOST_CONFIG", "GATEPOST_KEY_FILE", "RUST_LOG"] {
        command.env_remove(variable);
    }
    command
}

/// Exit status, standard output, standard error.
fn outcome(home: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = gatepost(home, arguments).output().unwrap();
    let text = |octets| String::from_utf8(octets).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn check_makes_nothing_and_looks_into_what_is_there() {
    let home = home(CONFIGURATION);
    let (status, said, _) = outcome(home.path(), &["check"]);
    assert!(status == Some(0) && said.contains("(nothing there yet)"), "{said}");
    assert!(!home.path().join("state").exists());
    let add = ["account", "add", "ann@example.com", "--provider", "contoso"];
    assert_eq!(outcome(home.path(), &add).0, Some(0));
    let (_, said, _) = outcome(home.path(), &["check"]);
    assert!(said.contains("(1 account)"), "{said}");
    fs::rename(home.path().join("state/master.key"), home.path().join("lost")).unwrap();
    let (status, _, error) = outcome(home.path(), &["check"]);
    assert!(status == Some(4) && error.contains("not its master key"), "{error}");
}

#[test]
fn a_variable_that_names_no_file_is_what_is_wrong() {
    let home = tempfile::tempdir().unwrap();
    let with_variable = |arguments: &[&str]| {
        let mut command = gatepost(home.path(), arguments);
        let output = command.env("GATEPOST_CONFIG", home.path().join("none.yaml")).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (status, error) = with_variable(&["account", "list"]);
    assert_eq!(status, Some(3), "{error}");
    assert!(error.contains("none.yaml, which GATEPOST_CONFIG names\nTo make it: gatepost setup"), "{error}");
    // What is known without a file is told without a word about it.
    assert_eq!(with_variable(&["providers", "google"]), (Some(0), String::new()));
}

#[test]
fn check_reads_the_certificate_and_its_key() {
    let made = || rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (ours, other) = (made(), made());
    for (certificate, key, expected) in [
        (ours.cert.pem(), ours.signing_key.serialize_pem(), None),
        (ours.cert.pem(), other.signing_key.serialize_pem(), Some("key.pem: is not the private key of")),
        (ours.signing_key.serialize_pem(), ours.cert.pem(), Some("cert.pem: holds no certificate")),
    ] {
        let home = home(&format!("{CONFIGURATION}certificate: {{ certificate: cert.pem, key: key.pem }}\n"));
        fs::write(home.path().join("cert.pem"), certificate).unwrap();
        fs::write(home.path().join("key.pem"), key).unwrap();
        let (status, _, error) = outcome(home.path(), &["check"]);
        assert_eq!(status, Some(if expected.is_some() { 3 } else { 0 }), "{error}");
        assert!(expected.is_none_or(|words| error.contains(words)), "{error}");
    }
}

#[test]
fn a_user_name_at_both_providers_stops_check_and_run_before_anything_listens() {
    let home = home(CONFIGURATION);
    let hash =
        "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$dGhpcnR5LXR3byBvY3RldHMgb2Ygbm90aGluZyBoZXI";
    let account = |provider: &str| {
        format!(
            "- {{ address: scan@example.com, provider: {provider}, credentials: [{{ password_hash: '{hash}' }}] }}\n"
        )
    };
    fs::write(home.path().join("accounts.yaml"), account("contoso") + &account("fabrikam")).unwrap();
    let (status, said, _) = outcome(home.path(), &["account", "apply", "accounts.yaml"]);
    assert!(status == Some(0) && said.contains("`gatepost run` will refuse to start"), "{said}");
    for command in ["check", "run"] {
        let (status, _, error) = outcome(home.path(), &[command]);
        assert_eq!(status, Some(3), "{command}: {error}");
        assert!(error.contains("listeners[0]: the user name `scan@example.com`"), "{command}: {error}");
    }
}

#[test]
fn what_a_test_finds_is_told_once_and_not_logged_as_well() {
    let home = home(&nowhere());
    let add = ["account", "add", "ann@example.com", "--provider", "contoso"];
    assert_eq!(outcome(home.path(), &add).0, Some(0));
    let (status, said, error) = outcome(home.path(), &["test", "ann@example.com"]);
    assert_eq!(status, Some(5));
    assert!(
        said.contains("\u{2717} token: ") && said.contains("ann@example.com: not connected yet"),
        "{said}"
    );
    assert!(said.contains("- SMTP login: not tried: there is no token to log in with"), "{said}");
    assert_eq!(error, "gatepost: ann@example.com does not work yet\n");
}

#[tokio::test]
async fn a_test_has_a_tick_for_the_token_and_for_each_protocol_or_the_reason() {
    let world = World::with(UpstreamTls::StartTls, |_| {}).await;
    fs::write(world.folder().join("gatepost.yaml"), &world.yaml).unwrap();
    let ports = world.sandbox.ports();
    let lets_in = |port| format!("localhost:{port} let {ADDRESS} in");
    let works = [
        format!("\u{2713} token: a live token of 512 characters, by the consent of {ADDRESS}"),
        format!("\u{2713} SMTP login: {}", lets_in(ports.smtp)),
        format!("\u{2713} POP3 login: {}", lets_in(ports.pop3)),
        format!("\u{2713} IMAP login: {}", lets_in(ports.imap)),
        "It works: devices are let in while `gatepost run` runs.".to_owned(),
    ];
    let mut without_mailbox = works.clone()[..4].to_vec();
    without_mailbox[3] = format!(
        "localhost:{}, as {ADDRESS}: awaiting the response to LIST after the login: User is authenticated but not \
         connected.",
        ports.imap
    );
    for (faults, status, expected) in
        [(vec![], 0, works.to_vec()), (vec![MailFault::exchange_not_connected()], 5, without_mailbox)]
    {
        world.sandbox.change(|personality| personality.mail = faults);
        let mut command = gatepost(world.folder(), &["test", ADDRESS]);
        command.env(CLIENT_SECRET_VARIABLE, CLIENT_SECRET).env_remove("NO_COLOR");
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.starts_with(&format!("{ADDRESS} at sandbox\n")), "{said}");
        let told = one_line(&said);
        for words in expected {
            assert!(told.contains(&words), "{words}\n{said}");
        }
        assert_eq!(output.status.code(), Some(status));
    }
}

#[tokio::test]
async fn a_check_online_asks_every_server_and_the_token_endpoint() {
    let world = World::with(UpstreamTls::Implicit, |_| {}).await;
    fs::write(world.folder().join("gatepost.yaml"), &world.yaml).unwrap();
    let mut command = gatepost(world.folder(), &["check", "--online"]);
    command.env(CLIENT_SECRET_VARIABLE, CLIENT_SECRET);
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    for words in [
        "is in order",
        "sandbox, asked just now",
        "\u{2713} SMTP TLS: TLS 1.3",
        "\u{2713} IMAP capabilities: ",
    ] {
        assert!(said.contains(words), "{words}\n{said}");
    }
    assert!(said.contains("\u{2713} OAuth client: gatepost-sandbox is known there"), "{said}");
    assert_eq!(world.sandbox.counters().refused_logins, 0, "nobody logs in for a check");
}

#[test]
fn a_check_online_fails_where_a_server_cannot_be_reached() {
    let home = home(&nowhere());
    let (status, said, error) = outcome(home.path(), &["check", "--online"]);
    assert_eq!(status, Some(5), "{said}");
    assert!(said.contains("\u{2717} SMTP TCP: ") && said.contains("\u{2717} OAuth client: "), "{said}");
    assert_eq!(error, "gatepost: not all is well with contoso: see above\n");
    assert!(!home.path().join("state").exists(), "nothing is made for a check");
}

/// Without the ends of lines, which fall where the terminal's edge is.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_demo_shows_the_dialogue_and_no_log() {
    let folder = tempfile::tempdir().unwrap();
    let (status, said, error) = outcome(folder.path(), &["demo", "--once"]);
    assert_eq!((status, error.as_str()), (Some(0), ""), "{said}");
    assert!(said.contains("came back identical"), "{said}");
}

#[test]
fn a_reader_who_has_seen_enough_makes_no_command_panic() {
    let home = home(CONFIGURATION);
    for arguments in [&["check"][..], &["account", "list"], &["certificate", "export"], &["demo", "--once"]] {
        let mut child =
            gatepost(home.path(), arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), error.as_str()), (Some(0), ""), "{arguments:?}");
    }
}

#[test]
fn commands_that_start_at_the_same_time_make_one_authority() {
    let home = home(CONFIGURATION);
    let export = || gatepost(home.path(), &["certificate", "export"]).stdout(Stdio::piped()).spawn().unwrap();
    let children: Vec<_> = (0..4).map(|_| export()).collect();
    let outputs: Vec<_> =
        children.into_iter().map(|child| child.wait_with_output().unwrap().stdout).collect();
    assert!(outputs[0].starts_with(b"-----BEGIN CERTIFICATE-----"));
    assert!(outputs.iter().all(|output| *output == outputs[0]), "devices would trust different ones");
}
