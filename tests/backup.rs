//! `gatepost export` and `import`: a mailbox that works goes from one machine to another, and nothing of it can be read on the way.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test says what is wrong by panicking")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use gatepost::config::ListenerTls;
use gatepost::config::provider::UpstreamTls;
use gatepost_protocol::Protocol::Smtp;
use tempfile::TempDir;

use support::process::{Process, run, said};
use support::wire::{Wire, login, success};
use support::world::{ADDRESS, PASSWORD, World};

const PASSPHRASE: &str = "correct horse battery";
const SMTP: &str = "\n  - { protocol: smtp, address: \"127.0.0.1:0\", tls: none }\n";

const CONFIGURATION: &str = "
providers:
  contoso: { preset: microsoft365, client_id: 00000000-0000-0000-0000-000000000001 }
state: state
";

fn home() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("gatepost.yaml");
    fs::write(&config, CONFIGURATION).unwrap();
    (folder, config)
}

async fn export(config: &Path, file: &Path, more: &[&str]) -> (Option<i32>, String) {
    let arguments = [&["export", file.to_str().unwrap(), "--passphrase-stdin"], more].concat();
    said(config, &arguments, PASSPHRASE).await
}

async fn import(config: &Path, file: &Path, more: &[&str]) -> (Option<i32>, String) {
    let arguments = [&["import", file.to_str().unwrap(), "--passphrase-stdin"], more].concat();
    said(config, &arguments, PASSPHRASE).await
}

#[tokio::test]
async fn a_mailbox_goes_to_another_machine_and_works_there() {
    let world = World::with_listeners(UpstreamTls::Implicit, SMTP, |_| {}).await;
    world.connect_with_an_expired_token().await;
    let (here, there) = (world.folder().join("gatepost.yaml"), world.folder().join("there/gatepost.yaml"));
    fs::create_dir(there.parent().unwrap()).unwrap();
    fs::write(&here, &world.yaml).unwrap();
    fs::write(&there, &world.yaml).unwrap();
    let file = world.folder().join("backup.age");
    let (status, shown) = export(&here, &file, &[]).await;
    assert_eq!(status, Some(0), "{shown}");
    assert!(shown.contains("1 account and 1 password of devices"), "{shown}");
    assert!(shown.contains("Not in it: the configuration"), "{shown}");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let sealed = fs::read(&file).unwrap();
    assert!(sealed.starts_with(b"age-encryption.org/v1\n"));
    assert!(!sealed.windows(ADDRESS.len()).any(|window| window == ADDRESS.as_bytes()));

    // A Gatepost that runs there hears of it by itself.
    let running = Process::ready(&there).await;
    let (status, shown) = import(&there, &file, &[]).await;
    assert_eq!(status, Some(0), "{shown}");
    assert!(shown.contains("1 added, 0 replaced, 0 left alone"), "{shown}");
    assert!(shown.contains("Stop it there before it runs here"), "{shown}");
    let mut wire = Wire::connect(running.addresses[0]).await;
    wire.line().await;
    assert_eq!(wire.ask(&login(Smtp, PASSWORD)).await, success(Smtp));
    drop(wire);
    running.stops().await;

    let (status, shown) = import(&there, &file, &[]).await;
    assert_eq!(status, Some(0), "{shown}");
    assert!(shown.contains("0 added, 0 replaced, 1 left alone"), "{shown}");
    assert!(shown.contains(&format!("  {ADDRESS} at sandbox\n")), "{shown}");
    let (_, shown) = import(&there, &file, &["--replace"]).await;
    assert!(shown.contains("0 added, 1 replaced, 0 left alone"), "{shown}");
}

#[tokio::test]
async fn a_session_of_an_account_that_is_replaced_ends() {
    let world = World::with_listeners(UpstreamTls::Implicit, SMTP, |_| {}).await;
    let config = world.folder().join("gatepost.yaml");
    fs::write(&config, &world.yaml).unwrap();
    let file = world.folder().join("backup.age");
    assert_eq!(export(&config, &file, &[]).await.0, Some(0));
    let mut wire = Wire::greeted(&world, Smtp, ListenerTls::None).await;
    assert_eq!(wire.ask(&login(Smtp, PASSWORD)).await, success(Smtp));
    assert_eq!(import(&config, &file, &["--replace"]).await.0, Some(0));
    assert_eq!(wire.rest().await, b"", "its credential is another one now");
    drop(Wire::logged_in(&world, Smtp).await);
}

#[tokio::test]
async fn devices_go_on_trusting_the_authority() {
    let (folder, config) = home();
    let (other_folder, other) = home();
    let file = folder.path().join("backup.age");
    let ours = said(&config, &["certificate", "export"], "").await;
    assert_eq!(export(&config, &file, &[]).await.0, Some(0));

    let (status, shown) = import(&other, &file, &[]).await;
    assert!(status == Some(0) && shown.contains("The CA of the backup is here too"), "{shown}");
    assert_eq!(said(&other, &["certificate", "export"], "").await, ours);

    // Another one that devices may trust already is not lost by accident.
    for name in ["ca.pem", "ca.key"] {
        fs::remove_file(other_folder.path().join("state").join(name)).unwrap();
    }
    let theirs = said(&other, &["certificate", "export"], "").await;
    assert_ne!(theirs, ours);
    let (status, shown) = import(&other, &file, &[]).await;
    assert!(status == Some(0) && shown.contains("The CA that is here stays"), "{shown}");
    assert_eq!(said(&other, &["certificate", "export"], "").await, theirs);
    let state = other_folder.path().join("state");
    let old = fs::read(state.join("ca.pem")).unwrap();
    assert_eq!(import(&other, &file, &["--replace"]).await.0, Some(0));
    assert_eq!(said(&other, &["certificate", "export"], "").await, ours);

    // Cut short between the key and the certificate.
    fs::write(state.join("ca.pem"), old).unwrap();
    let (status, shown) = import(&other, &file, &[]).await;
    assert!(status == Some(4) && shown.contains("is not the key of ca.pem"), "{shown}");
    assert_eq!(import(&other, &file, &["--replace"]).await.0, Some(0));
    assert_eq!(said(&other, &["certificate", "export"], "").await, ours);
}

#[tokio::test]
async fn what_is_wrong_is_told_and_changes_nothing() {
    let (folder, config) = home();
    let file = folder.path().join("backup.age");
    let path = file.to_str().unwrap();
    let (status, shown) = export(&config, &file, &[]).await;
    assert!(status == Some(1) && shown.contains("nothing is stored in"), "{shown}");
    run(&config, &["account", "add", "ann@example.com", "--provider", "contoso"], "").await;
    for (passphrase, why) in [("too short", "must have 12"), ("", "is empty")] {
        let (status, shown) = said(&config, &["export", path, "--passphrase-stdin"], passphrase).await;
        assert!(status == Some(1) && shown.contains(why), "{shown}");
    }
    let (status, shown) = said(&config, &["export", path], PASSPHRASE).await;
    assert!(status == Some(1) && shown.contains("--passphrase-stdin"), "{shown}");
    let nowhere = folder.path().join("not-mounted/backup.age");
    let (status, shown) = export(&config, &nowhere, &[]).await;
    assert!(status == Some(1) && shown.contains("there is no folder"), "{shown}");
    assert!(!file.exists());

    assert_eq!(export(&config, &file, &[]).await.0, Some(0));
    let before = fs::read(&file).unwrap();
    let (status, shown) = export(&config, &file, &[]).await;
    assert!(status == Some(1) && shown.contains("--force replaces it"), "{shown}");
    assert_eq!(fs::read(&file).unwrap(), before);
    assert_eq!(export(&config, &file, &["--force"]).await.0, Some(0));
    let sealed = fs::read(&file).unwrap();
    assert_ne!(sealed, before);

    let (other_folder, other) = home();
    let (status, shown) = said(&other, &["import", path, "--passphrase-stdin"], "not that one").await;
    assert!(status == Some(1) && shown.contains("the passphrase is wrong. Nothing was changed"), "{shown}");
    for (octets, why) in [
        (&sealed[..sealed.len() - 1], "is damaged or cut off"),
        (&b"PK\x03\x04"[..], "is not a backup by `gatepost export`"),
    ] {
        fs::write(&file, octets).unwrap();
        let (status, shown) = import(&other, &file, &[]).await;
        assert!(status == Some(1) && shown.contains(why), "{shown}");
    }
    assert!(!other_folder.path().join("state").exists(), "nothing was made for what could not be read");
}

#[tokio::test]
async fn a_configuration_that_does_not_fit_is_told() {
    let (folder, config) = home();
    let (_other_folder, other) = home();
    let file = folder.path().join("backup.age");
    run(&config, &["account", "add", "ann@example.com", "--provider", "contoso"], "").await;
    assert_eq!(export(&config, &file, &[]).await.0, Some(0));
    fs::write(&other, CONFIGURATION.replace("contoso", "fabrikam")).unwrap();
    let (status, shown) = import(&other, &file, &[]).await;
    assert_eq!(status, Some(0), "{shown}");
    assert!(shown.contains("has no provider contoso"), "{shown}");
}
