//! `gatepost key rotate` as an admin meets it: wherever the key comes from, and while Gatepost runs.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test says what is wrong by panicking")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use gatepost::config::provider::UpstreamTls;
use gatepost_protocol::Protocol::Smtp;
use tempfile::TempDir;

use support::process::{Process, run, said};
use support::wire::{Wire, login, success};
use support::world::{ADDRESS, PASSWORD, World};

const CONFIGURATION: &str = "
providers:
  contoso: { preset: microsoft365, client_id: 00000000-0000-0000-0000-000000000001 }
state: state
";

fn home() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("gatepost.yaml"), CONFIGURATION).unwrap();
    folder
}

/// Exit status, standard output, standard error.
fn outcome(home: &Path, arguments: &[&str], key: Option<(&str, &Path)>) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
    command.arg("--config").arg(home.join("gatepost.yaml")).args(arguments).stdin(Stdio::null());
    for variable in ["CREDENTIALS_DIRECTORY", "GATEPOST_KEY_FILE", "GATEPOST_CRASH_AT", "RUST_LOG"] {
        command.env_remove(variable);
    }
    let output = command.envs(key).output().unwrap();
    let text = |octets| String::from_utf8(octets).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

const ADD: [&str; 5] = ["account", "add", "ann@example.com", "--provider", "contoso"];
const LIST: [&str; 2] = ["credential", "list"];
const ROTATE: [&str; 2] = ["key", "rotate"];

fn write_key(path: &Path, octet: char) {
    fs::write(path, format!("{}=\n", octet.to_string().repeat(43))).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn the_key_in_the_state_folder_is_replaced_and_people_are_told_about_old_copies() {
    let home = home();
    let (status, _, error) = outcome(home.path(), &ROTATE, None);
    assert!(status == Some(1) && error.contains("nothing is stored in"), "{error}");
    assert!(!home.path().join("state").exists(), "asking makes nothing");

    assert_eq!(outcome(home.path(), &ADD, None).0, Some(0));
    let listed = outcome(home.path(), &LIST, None);
    let key = home.path().join("state/master.key");
    let first = fs::read(&key).unwrap();
    let (status, said, error) = outcome(home.path(), &ROTATE, None);
    assert_eq!((status, error.as_str()), (Some(0), ""));
    assert!(said.contains("1 secret is sealed under a new master key:"), "{said}");
    assert!(said.contains("copies of the database") || said.contains("Copies of the database"), "{said}");
    assert!(
        said.lines().filter(|line| !line.contains("state")).all(|line| line.chars().count() <= 90),
        "{said}"
    );
    assert_ne!(fs::read(&key).unwrap(), first);
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(outcome(home.path(), &LIST, None), listed);

    fs::write(&key, first).unwrap();
    let (status, _, error) = outcome(home.path(), &LIST, None);
    assert_eq!(status, Some(4));
    assert!(error.contains("After `gatepost key rotate` that is the new one"), "{error}");
}

#[test]
fn a_key_file_is_replaced_where_it_is_and_the_old_one_is_kept() {
    let home = home();
    let keys = home.path().join("keys");
    fs::create_dir(&keys).unwrap();
    let file = keys.join("key");
    write_key(&file, 'A');
    let key = Some(("GATEPOST_KEY_FILE", file.as_path()));
    assert_eq!(outcome(home.path(), &ADD, key).0, Some(0));
    let (status, said, error) = outcome(home.path(), &ROTATE, key);
    assert_eq!(status, Some(0), "{error}");
    let old = keys.join("key.old");
    assert!(said.contains(&old.display().to_string()), "{said}");
    assert!(fs::read_to_string(&old).unwrap().starts_with("AAAA"));
    assert!(!fs::read_to_string(&file).unwrap().starts_with("AAAA"));
    assert_eq!(outcome(home.path(), &LIST, key).0, Some(0));
    assert_eq!(outcome(home.path(), &LIST, Some(("GATEPOST_KEY_FILE", &old))).0, Some(4));
}

#[test]
fn with_systemd_people_are_told_what_to_do_before_and_after() {
    let home = home();
    let credentials = home.path().join("credentials");
    fs::create_dir(&credentials).unwrap();
    write_key(&credentials.join("gatepost-key"), 'A');
    let key = Some(("CREDENTIALS_DIRECTORY", credentials.as_path()));
    assert_eq!(outcome(home.path(), &ADD, key).0, Some(0));
    let (status, _, error) = outcome(home.path(), &ROTATE, key);
    assert_eq!(status, Some(4));
    assert!(error.contains("LoadCredential=gatepost-key.new:"), "{error}");
    assert_eq!(outcome(home.path(), &LIST, key).0, Some(0), "nothing was changed");

    write_key(&credentials.join("gatepost-key.new"), 'Q');
    let (status, said, error) = outcome(home.path(), &ROTATE, key);
    assert_eq!(status, Some(0), "{error}");
    assert!(said.contains("mv /etc/gatepost/gatepost-key.new /etc/gatepost/gatepost-key"), "{said}");
    assert_eq!(outcome(home.path(), &LIST, key).0, Some(0), "with both");
    let (status, _, error) = outcome(home.path(), &ROTATE, key);
    assert!(status == Some(4) && error.contains("already"), "{error}");
    fs::rename(credentials.join("gatepost-key.new"), credentials.join("gatepost-key")).unwrap();
    assert_eq!(outcome(home.path(), &LIST, key).0, Some(0), "with the new one in its place");
}

#[tokio::test]
async fn a_running_gatepost_refreshes_and_takes_new_passwords_while_keys_rotate() {
    let listener = "\n  - { protocol: smtp, address: \"127.0.0.1:0\", tls: none }\n";
    let world = World::with_listeners(UpstreamTls::Implicit, listener, |_| {}).await;
    let config = world.folder().join("gatepost.yaml");
    fs::write(&config, &world.yaml).unwrap();
    let running = Process::ready(&config).await;
    let add = ["credential", "add", ADDRESS, "--password-stdin"];
    for round in 0..4 {
        world.connect_with_an_expired_token().await;
        let password = format!("{PASSWORD} {round}");
        let log_in = async {
            let mut wire = Wire::connect(running.addresses[0]).await;
            wire.line().await;
            wire.ask(&login(Smtp, PASSWORD)).await
        };
        let (told, (), (status, shown)) =
            tokio::join!(log_in, run(&config, &add, &password), said(&config, &ROTATE, ""));
        assert_eq!(told, success(Smtp), "round {round}");
        assert_eq!(status, Some(0), "{shown}");
        let mut wire = Wire::connect(running.addresses[0]).await;
        wire.line().await;
        assert_eq!(wire.ask(&login(Smtp, &password)).await, success(Smtp), "round {round}");
    }
    assert!(world.sandbox.counters().refresh_requests >= 4, "one for each expiry");
    running.stops().await;
    let process = Process::ready(&config).await;
    let mut wire = Wire::connect(process.addresses[0]).await;
    wire.line().await;
    assert_eq!(wire.ask(&login(Smtp, PASSWORD)).await, success(Smtp), "started anew");
    drop(wire);
    process.stops().await;
}
