//! The real program, killed at each of its crash points as a power cut would: the store opens again, and the account
//! works or says that it must be connected again. It is never silently wrong.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test says what is wrong by panicking")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use gatepost::config::provider::UpstreamTls;
use gatepost_protocol::Protocol::Smtp;
use tokio::time::{Instant, sleep};

use support::process::{Process, aborts_at, run};
use support::wire::{Wire, login, success};
use support::world::{ADDRESS, PASSWORD, World};

/// Met at the first start, in an empty folder.
const STARTING: [&str; 4] = ["key-written", "key-made", "database-made", "tables-made"];

/// Met in a refresh, and whether the refresh token that is stored is still good after it. One that the provider has
/// rotated, with the answer lost, is not.
const REFRESHING: [(&str, bool); 4] = [
    ("before-token-request", true),
    ("after-token-answer", false),
    ("before-commit", false),
    ("after-commit", true),
];

/// Met when the master key is rotated.
const ROTATING: [&str; 4] = ["new-key-written", "resealed", "new-key-committed", "new-key-in-place"];

/// One listener is enough here.
const LISTENERS: &str = "
  - { protocol: smtp, address: \"127.0.0.1:0\", tls: none }
";

#[test]
fn every_crash_point_in_the_source_is_tried() {
    let mut named = BTreeSet::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut named);
    let tried = STARTING.into_iter().chain(REFRESHING.map(|(name, _)| name)).chain(ROTATING);
    assert_eq!(named, tried.map(str::to_owned).collect());
}

/// The names behind `crash_point(` in every file.
fn collect(folder: &Path, named: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, named);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = fs::read_to_string(&path).unwrap();
            let calls = source.split("crash_point(\"").skip(1);
            named.extend(calls.filter_map(|call| call.split('"').next()).map(str::to_owned));
        }
    }
}

#[tokio::test]
async fn a_first_start_that_is_cut_short_is_taken_up_again() {
    let world = World::with_listeners(UpstreamTls::Implicit, LISTENERS, |_| {}).await;
    for name in STARTING {
        let folder = world.folder().join(name);
        fs::create_dir(&folder).unwrap();
        let config = folder.join("gatepost.yaml");
        fs::write(&config, &world.yaml).unwrap();

        let mut cut_short = Process::begin(&config, Some(name));
        assert!(!cut_short.becomes_ready().await, "{name} was not met");
        cut_short.aborts().await;

        let process = Process::ready(&config).await;
        run(&config, &["account", "add", ADDRESS, "--provider", "sandbox", "--password-stdin"], PASSWORD)
            .await;
        let told = log_in(process.addresses[0]).await;
        assert_eq!(told, "454 4.7.0 not connected yet; admin runs gatepost connect (G20)", "{name}");
        process.stops().await;
    }
}

#[tokio::test]
async fn a_refresh_that_is_cut_short_works_or_says_that_somebody_must_connect_again() {
    let mut tries = tokio::task::JoinSet::new();
    for (name, still_good) in REFRESHING {
        tries.spawn(cut_short_in_a_refresh(name, still_good, Refreshes::AtALogin));
        tries.spawn(cut_short_in_a_refresh(name, still_good, Refreshes::InTheBackground));
    }
    while let Some(tried) = tries.join_next().await {
        tried.unwrap();
    }
}

/// Who begins a refresh.
#[derive(Clone, Copy)]
enum Refreshes {
    AtALogin,
    InTheBackground,
}

async fn cut_short_in_a_refresh(name: &str, still_good: bool, begins: Refreshes) {
    let mut world = World::with_listeners(UpstreamTls::Implicit, LISTENERS, |_| {}).await;
    world.step_aside().await;
    match begins {
        Refreshes::AtALogin => world.connect_with_an_expired_token().await,
        Refreshes::InTheBackground => world.expire().await,
    }
    let config = world.folder().join("gatepost.yaml");
    fs::write(&config, &world.yaml).unwrap();

    let mut cut_short = Process::begin(&config, Some(name));
    if let Refreshes::AtALogin = begins {
        assert!(cut_short.becomes_ready().await, "{name} was met too early");
        let told = log_in(cut_short.addresses[0]).await;
        assert_eq!(told, "", "{name}: the connection ends without a word, and not with success");
    }
    cut_short.aborts().await;
    assert_eq!(
        world.sandbox.counters().smtp_connections,
        0,
        "{name}: no token was used before it was committed"
    );

    let process = Process::ready(&config).await;
    let told = log_in_until_it_is_certain(process.addresses[0], name).await;
    if still_good {
        assert_eq!(told, success(Smtp), "{name}");
    } else {
        assert_eq!(told, "454 4.7.0 consent ended; admin runs gatepost connect (D140)", "{name}");
        world.connect().await;
        assert_eq!(log_in(process.addresses[0]).await, success(Smtp), "{name}, connected again");
    }
    process.stops().await;
    world.restart(&world.yaml.clone(), |_| {}).await;
    drop(Wire::logged_in(&world, Smtp).await);
}

#[tokio::test]
async fn a_rotation_that_is_cut_short_leaves_a_store_that_opens_and_a_daemon_that_goes_on() {
    let world = World::with_listeners(UpstreamTls::Implicit, LISTENERS, |_| {}).await;
    let config = world.folder().join("gatepost.yaml");
    fs::write(&config, &world.yaml).unwrap();
    let running = Process::ready(&config).await;
    let rotate = ["key", "rotate"];
    for name in ROTATING {
        world.connect_with_an_expired_token().await;
        aborts_at(&config, &rotate, name).await;
        // The daemon refreshes, and seals what it got.
        assert_eq!(log_in(running.addresses[0]).await, success(Smtp), "{name}");
        assert!(world.grant().await.refresh_token.is_some(), "{name}: others open it");
        // What the crash left is completed or cleared away by whoever opens the store next.
        run(&config, &["account", "list"], "").await;
        assert!(!world.state_dir().join("master.key.new").exists(), "{name}");
        assert_eq!(log_in(running.addresses[0]).await, success(Smtp), "{name}, opened again");
    }
    run(&config, &rotate, "").await;
    running.stops().await;
    let process = Process::ready(&config).await;
    assert_eq!(log_in(process.addresses[0]).await, success(Smtp), "started anew");
    process.stops().await;
}

/// What a login is told; nothing when the connection ends.
async fn log_in(address: SocketAddr) -> String {
    let mut wire = Wire::connect(address).await;
    wire.line().await;
    wire.ask(&login(Smtp, PASSWORD)).await
}

/// The lease of the process that was killed must run out first. Meanwhile a client is asked to try again.
async fn log_in_until_it_is_certain(address: SocketAddr, name: &str) -> String {
    let started = Instant::now();
    while started.elapsed() < Duration::from_mins(2) {
        let told = log_in(address).await;
        if !told.contains("try again") {
            return told;
        }
        assert!(told.starts_with("454 4.7.0 token "), "{name}: {told}");
        sleep(Duration::from_millis(100)).await;
    }
    unreachable!("{name}: it is never certain");
}

#[tokio::test]
async fn invariant_10_a_process_that_dies_leaves_no_core_dump() {
    let world = World::with_listeners(UpstreamTls::Implicit, LISTENERS, |_| {}).await;
    let config = world.folder().join("gatepost.yaml");
    fs::write(&config, &world.yaml).unwrap();
    let process = Process::ready(&config).await;
    let limits = fs::read_to_string(format!("/proc/{}/limits", process.id())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
    process.stops().await;
}
