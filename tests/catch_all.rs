//! `*@example.com`: one grant of the application's own, and devices that open one mailbox each, or any.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test says what is wrong by panicking")]

mod support;

use std::path::{Path, PathBuf};
use std::time::Duration;

use gatepost::config::{Limits, ListenerTls};
use gatepost_protocol::Protocol;

use support::log::Log;
use support::process::said;
use support::wire::{Wire, login_as, wrong};
use support::world::{ADDRESS, World};

const EVERY_MAILBOX: &str = "*@example.com";
const SCAN: &str = "scan@example.com";
const ERP: &str = "erp@example.com";

/// A world whose provider trusts Gatepost itself, and where its configuration file is.
async fn world(sessions: usize) -> (World, PathBuf) {
    let mut world = World::capped(sessions).await;
    let yaml = world.yaml.replace("grant: authorization_code", "grant: client_credentials");
    let faster = |limits: &mut Limits| {
        limits.login = Duration::from_secs(2);
        limits.wrong_password_delay = Duration::ZERO;
    };
    world.restart(&yaml, faster).await;
    let config = world.folder().join("gatepost.yaml");
    std::fs::write(&config, yaml).unwrap();
    (world, config)
}

/// Runs a command that must succeed.
async fn does(config: &Path, arguments: &[&str], input: &str) -> String {
    let (status, told) = said(config, arguments, input).await;
    assert_eq!(status, Some(0), "{arguments:?}: {told}");
    told
}

/// The account, a password for each of two mailboxes, and one for all.
async fn add(config: &Path) {
    let told = does(config, &["account", "add", EVERY_MAILBOX], "").await;
    assert!(told.contains("No password was made"), "{told}");
    assert!(told.contains("gatepost test '*@example.com' --mailbox scan@example.com"), "{told}");
    let password =
        |words: &[&'static str]| [&["credential", "add", EVERY_MAILBOX, "--password-stdin"], words].concat();
    let told = does(config, &password(&["--mailbox", SCAN]), "one").await;
    assert!(told.contains("User name  scan@example.com") && !told.contains("Mind"), "{told}");
    does(config, &password(&["--mailbox", ERP, "--user-name", "erp"]), "two").await;
    let told = does(config, &password(&["--all-mailboxes", "--label", "archive"]), "all").await;
    assert!(told.contains("User name  the mailbox, like scan@example.com"), "{told}");
    assert!(told.contains("whoever has this password can read every mailbox of example.com"), "{told}");
}

/// The answer to a login by POP3, and the connection.
async fn pop3(world: &World, user_name: &str, password: &str) -> (String, Wire) {
    let mut wire = Wire::greeted(world, Protocol::Pop3, ListenerTls::None).await;
    (wire.ask(&login_as(Protocol::Pop3, user_name, password)).await, wire)
}

#[tokio::test]
async fn each_device_opens_its_own_mailbox_and_one_token_serves_them_all() {
    let log = Log::begin();
    let (world, config) = world(9).await;
    add(&config).await;
    for (mailbox, text) in [(SCAN, "Subject: scan\r\n\r\n"), (ERP, "Subject: erp, and longer\r\n\r\n")] {
        world.sandbox.deliver(mailbox, text.into());
    }
    let wrong = wrong(Protocol::Pop3);
    for (user_name, password, expected) in [
        (SCAN, "one", Some("+OK 1 17")),
        ("erp", "two", Some("+OK 1 28")),
        ("SCAN@example.com", "all", Some("+OK 1 17")),
        ("Erp@Example.com", "all", Some("+OK 1 28")),
        ("nobody-has-mail@example.com", "all", Some("+OK 0 0")),
        (SCAN, "two", None),
        ("erp", "one", None),
        (ERP, "one", None),
        (EVERY_MAILBOX, "all", None),
        ("a@sub.example.com", "all", None),
        // It has an account of its own.
        (ADDRESS, "all", None),
    ] {
        let before = world.upstream_connections();
        let (answer, mut wire) = pop3(&world, user_name, password).await;
        if let Some(expected) = expected {
            assert_eq!(answer, "+OK Logged in", "{user_name} {password}");
            assert_eq!(wire.ask("STAT").await, expected, "{user_name} {password}");
            wire.ask("QUIT").await;
        } else {
            assert_eq!(answer, wrong, "{user_name} {password}");
            assert_eq!(world.upstream_connections(), before, "{user_name} {password}");
        }
    }
    assert_eq!(world.sandbox.counters().client_credentials_requests, 1);
    for protocol in [Protocol::Smtp, Protocol::Imap] {
        let mut wire = Wire::greeted(&world, protocol, ListenerTls::None).await;
        let answer = wire.ask(&login_as(protocol, SCAN, "one")).await;
        assert!(answer.contains("235") || answer.contains("OK"), "{answer}");
    }
    let dialogues = world.sandbox.dialogues();
    let heard: Vec<_> =
        dialogues.iter().flat_map(|dialogue| &dialogue.lines).map(|turn| turn.text.clone()).collect();
    assert!(heard.iter().filter(|line| line.contains("user=scan@example.com ")).count() >= 4, "{heard:?}");
    assert!(!heard.iter().any(|line| line.contains('*') && line.contains("user=")), "{heard:?}");
    world.daemon.stop().await;
    let log = log.json();
    for mailbox in [SCAN, ERP, "nobody-has-mail@example.com"] {
        assert!(log.contains(&format!("\"account\":\"{mailbox}\"")), "{mailbox}: {log}");
    }
    assert!(!log.contains("\"account\":\"*"), "{log}");
}

#[tokio::test]
async fn a_mailbox_has_its_places_however_it_is_spelt_and_a_revoked_device_loses_its_own() {
    let (world, config) = world(1).await;
    add(&config).await;
    let (answer, mut scan) = pop3(&world, SCAN, "one").await;
    assert_eq!(answer, "+OK Logged in");
    let (answer, _) = pop3(&world, "SCAN@EXAMPLE.COM", "all").await;
    assert!(answer.starts_with("-ERR [SYS/TEMP] mailbox busy"), "{answer}");
    let (answer, mut erp) = pop3(&world, "erp", "two").await;
    assert_eq!(answer, "+OK Logged in");

    does(&config, &["credential", "revoke", "2"], "").await;
    assert!(scan.rest().await.is_empty(), "its session ends");
    assert_eq!(erp.ask("NOOP").await.get(..3), Some("+OK"));
    let (answer, _) = pop3(&world, SCAN, "one").await;
    assert_eq!(answer, wrong(Protocol::Pop3));
    let (answer, _) = pop3(&world, SCAN, "all").await;
    assert_eq!(answer, "+OK Logged in");
    // Who is logged in would be waited for.
    drop(erp);
    world.daemon.stop().await;
}

#[tokio::test]
async fn the_commands_name_the_mailbox_and_say_which_is_meant() {
    let (world, config) = world(9).await;
    add(&config).await;
    let told = does(&config, &["connect", EVERY_MAILBOX], "").await;
    assert!(told.contains("Gatepost itself is connected to sandbox"), "{told}");
    assert!(told.contains("gatepost test '*@example.com' --mailbox scan@example.com"), "{told}");
    let told = does(&config, &["test", EVERY_MAILBOX, "--mailbox", SCAN], "").await;
    assert!(
        told.contains("the application's own") && told.matches("let scan@example.com in").count() == 3,
        "{told}"
    );
    let told = does(&config, &["account", "list"], "").await;
    assert!(told.contains("*@example.com        sandbox   3          connected"), "{told}");
    let told = does(&config, &["credential", "list", EVERY_MAILBOX, "--json"], "").await;
    let listed: serde_json::Value = serde_json::from_str(&told).unwrap();
    let mailboxes: Vec<_> = listed.as_array().unwrap().iter().map(|row| row["mailbox"].as_str()).collect();
    assert_eq!(mailboxes, [Some(SCAN), Some(ERP), None]);

    for (arguments, words) in [
        (&["test", EVERY_MAILBOX][..], "--mailbox scan@example.com"),
        (&["test", EVERY_MAILBOX, "--mailbox", "a@sub.example.com"], "is not a mailbox of example.com"),
        (
            &["test", SCAN],
            "it is a mailbox of '*@example.com': name that account, and --mailbox scan@example.com",
        ),
        (&["test", ADDRESS, "--mailbox", SCAN], "has one mailbox, its own"),
        (&["credential", "add", EVERY_MAILBOX], "--all-mailboxes"),
        (
            &["credential", "add", EVERY_MAILBOX, "--mailbox", "a@example.org"],
            "is not a mailbox of example.com",
        ),
        (&["credential", "add", EVERY_MAILBOX, "--mailbox", "a*@example.com"], "has a `*` in it"),
        (&["credential", "add", EVERY_MAILBOX, "--mailbox", ADDRESS], "has an account of its own"),
        (
            &["credential", "add", EVERY_MAILBOX, "--mailbox", SCAN, "--user-name", EVERY_MAILBOX],
            "begins with `*@`",
        ),
        (&["credential", "add", ADDRESS, "--all-mailboxes"], "has one mailbox"),
        (&["account", "add", "*@*.example.com"], "has a `*` in it"),
        (&["account", "add", "s*@example.com"], "has a `*` in it"),
        (&["account", "add", "*@example.org", "--owner", SCAN], "each opened by its own address"),
        (&["account", "add", "office@example.org", "--shared", "--owner", SCAN], "nobody consents"),
    ] {
        let (status, told) = said(&config, arguments, "").await;
        assert_eq!(status, Some(1), "{arguments:?}: {told}");
        assert!(told.contains(words), "{arguments:?}: {told}");
    }
    // Its own account takes a mailbox over, and says so.
    let told = does(&config, &["account", "add", SCAN], "").await;
    assert!(told.contains("only its own passwords open it now, none of *@example.com"), "{told}");
    let (answer, _) = pop3(&world, SCAN, "one").await;
    assert_eq!(answer, wrong(Protocol::Pop3));

    std::fs::write(&config, &world.yaml).unwrap();
    for arguments in [&["account", "add", "*@example.org"][..], &["connect", EVERY_MAILBOX]] {
        let (status, told) = said(&config, arguments, "").await;
        assert_eq!(status, Some(1), "{told}");
        assert!(told.contains("each mailbox needs a consent of its own (authorization_code)"), "{told}");
    }
    world.daemon.stop().await;
}
