//! A shared mailbox: its delegate's grant, POP3 and IMAP as the mailbox, SMTP as the delegate.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test says what is wrong by panicking")]

mod support;

use std::path::{Path, PathBuf};

use gatepost::config::ListenerTls;
use gatepost::config::provider::UpstreamTls;
use gatepost::sandbox::{Personality, Sandbox};
use gatepost_protocol::Protocol;

use support::process::said;
use support::wire::{Wire, login_as};
use support::world::{ADDRESS, World};

const OFFICE: &str = "office@example.com";

async fn world() -> (World, PathBuf) {
    let sandbox = Sandbox::start_as(Personality::exchange()).await.unwrap();
    let world = World::at(sandbox, UpstreamTls::Implicit, |yaml| yaml, |_| {}).await;
    world.connect().await;
    let config = world.folder().join("gatepost.yaml");
    std::fs::write(&config, &world.yaml).unwrap();
    world.sandbox.grant_full_access(OFFICE, ADDRESS);
    (world, config)
}

/// Runs a command that must succeed.
async fn does(config: &Path, arguments: &[&str], input: &str) -> String {
    let (status, told) = said(config, arguments, input).await;
    assert_eq!(status, Some(0), "{arguments:?}: {told}");
    told
}

/// Logs in as the shared mailbox by every protocol, and gives as whom Gatepost logged in upstream.
async fn upstream_user_names(world: &World) -> [String; 3] {
    for protocol in Protocol::ALL {
        let mut wire = Wire::greeted(world, protocol, ListenerTls::None).await;
        let answer = wire.ask(&login_as(protocol, OFFICE, "tanstaaf")).await;
        assert!(["235 ", "+OK ", "a1 OK "].iter().any(|begin| answer.starts_with(begin)), "{answer}");
    }
    let dialogues = world.sandbox.dialogues();
    Protocol::ALL.map(|protocol| {
        let newest = dialogues.iter().rfind(|dialogue| dialogue.protocol == protocol).unwrap();
        let line = newest.lines.iter().find(|turn| turn.text.contains("user=")).unwrap();
        line.text.split("user=").nth(1).unwrap().split(' ').next().unwrap().to_owned()
    })
}

#[tokio::test]
async fn a_delegate_who_is_connected_opens_it_at_once() {
    let (world, config) = world().await;
    let add = ["account", "add", OFFICE, "--shared", "--owner", "Scanner@example.com", "--password-stdin"];
    let told = does(&config, &add, "tanstaaf").await;
    for words in [
        "Consent         by Scanner@example.com, whose grant is used",
        "SMTP as         Scanner@example.com",
        "POP3 as         office@example.com",
        "Scanner@example.com is connected, so nobody has to consent again.",
        "Next: gatepost test office@example.com",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    assert_eq!(upstream_user_names(&world).await, ["Scanner@example.com", OFFICE, OFFICE]);
    assert_eq!(world.sandbox.counters().code_requests, 1, "nobody consented again");

    let told = does(&config, &["test", OFFICE], "").await;
    let told = told.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(told.contains("by the consent of scanner@example.com"), "{told}");
    for words in ["let Scanner@example.com in", "let office@example.com in"] {
        assert!(told.contains(words), "{told}");
    }
    let told = does(&config, &["account", "list"], "").await;
    let line = told.lines().find(|line| line.starts_with(OFFICE)).unwrap();
    assert!(line.contains("scanner@example.com  connected") && line.len() <= 80, "{told}");
    assert!(!told.lines().any(|line| line.matches(ADDRESS).count() > 1), "{told}");

    // Whoever connects it connects the delegate.
    let (_, told) = said(&config, &["connect", OFFICE, "--paste"], "").await;
    assert!(told.contains("office@example.com uses the grant of scanner@example.com"), "{told}");
    assert!(told.contains("scanner@example.com is not connected: the input ended"), "{told}");
    let told = does(&config, &["account", "remove", ADDRESS], "").await;
    assert!(
        told.contains("office@example.com used the same grant; next: gatepost connect office@example.com"),
        "{told}"
    );
    let (status, told) = said(&config, &["test", OFFICE], "").await;
    let told = told.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(status, Some(5), "{told}");
    assert!(told.contains("not connected yet; run: gatepost connect office@example.com"), "{told}");
    world.daemon.stop().await;
}

#[tokio::test]
async fn who_is_who_is_set_and_taken_away_again() {
    let (world, config) = world().await;
    does(&config, &["account", "add", OFFICE, "--password-stdin"], "tanstaaf").await;
    let told = does(&config, &["account", "set", OFFICE, "--shared", "--owner", ADDRESS], "").await;
    assert!(told.contains("nobody has to consent again"), "{told}");
    assert_eq!(upstream_user_names(&world).await, [ADDRESS, OFFICE, OFFICE]);
    let set = [
        "account",
        "set",
        OFFICE,
        "--pop3-user-name",
        "Office@example.com",
        "--imap-user-name",
        "OFFICE@example.com",
    ];
    does(&config, &set, "").await;
    assert_eq!(upstream_user_names(&world).await, [ADDRESS, "Office@example.com", "OFFICE@example.com"]);
    let told = does(&config, &["account", "set", OFFICE], "").await;
    assert!(told.contains("IMAP as         OFFICE@example.com") && !told.contains("Next"), "{told}");
    let told = does(
        &config,
        &["account", "set", OFFICE, "--no-shared", "--no-pop3-user-name", "--no-imap-user-name"],
        "",
    )
    .await;
    assert_eq!(told.matches("as         office@example.com").count(), 3, "{told}");
    assert!(
        told.contains("Next: gatepost connect office@example.com") && !told.contains("Consent"),
        "{told}"
    );

    for (arguments, words) in [
        (&["account", "add", "b@example.com", "--shared"][..], "--shared needs --owner WHO"),
        (
            &["account", "add", "b@example.com", "--shared", "--owner", "B@example.com"],
            "--shared needs --owner WHO",
        ),
        (&["account", "set", OFFICE, "--owner", "a\u{1}"], "control character"),
        (&["account", "set", OFFICE, "--smtp-user-name", ""], "is empty"),
    ] {
        let (status, told) = said(&config, arguments, "").await;
        assert_eq!(status, Some(1), "{arguments:?}: {told}");
        assert!(told.contains(words), "{arguments:?}: {told}");
    }
    // Grants are used from one account to another, and no further.
    does(&config, &["account", "set", OFFICE, "--owner", ADDRESS], "").await;
    for (arguments, words) in [
        (["account", "set", ADDRESS, "--owner", OFFICE], "name --owner scanner@example.com"),
        (["account", "add", "c@example.com", "--owner", OFFICE], "name --owner scanner@example.com"),
    ] {
        let (status, told) = said(&config, &arguments, "").await;
        assert_eq!(status, Some(1), "{arguments:?}: {told}");
        assert!(told.contains(words), "{arguments:?}: {told}");
    }
    world.daemon.stop().await;
}
