//! The real program, told to stop while the provider has rotated a refresh token and its answer is on its way: the answer gets into
//! the store, whichever command asked for it.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

mod support;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use gatepost::config::provider::UpstreamTls;
use gatepost::sandbox::TokenFault;
use gatepost_protocol::Protocol::Smtp;
use rustix::process::Signal;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use support::leftovers::eventually;
use support::process::{Process, begin, run, signal};
use support::wire::{Wire, login};
use support::world::{ADDRESS, PASSWORD, World};

const LISTENERS: &str = "
  - { protocol: smtp, address: \"127.0.0.1:0\", tls: none }
";

/// A grant whose token has ended, at a provider that answers when this is cancelled; and the configuration file.
async fn held() -> (World, CancellationToken, PathBuf) {
    let world = World::with_listeners(UpstreamTls::Implicit, LISTENERS, |_| {}).await;
    world.connect_with_an_expired_token().await;
    let held = CancellationToken::new();
    world.sandbox.change(|personality| personality.token_endpoint = Some(TokenFault::Hold(held.clone())));
    let config = world.folder().join("gatepost.yaml");
    fs::write(&config, &world.yaml).unwrap();
    (world, held, config)
}

/// The refresh token that came is stored, and the provider takes it.
async fn is_rotated(world: &World, before: &gatepost::store::grants::Grant) {
    let after = world.grant().await;
    assert_eq!(after.version, before.version + 1);
    assert_ne!(after.refresh_token.unwrap().expose(), before.refresh_token.as_ref().unwrap().expose());
    assert_eq!(world.sandbox.counters().refresh_requests, 1);
}

#[tokio::test]
async fn a_command_ends_after_the_answer_of_the_provider_is_stored() {
    for stop in [Signal::INT, Signal::TERM] {
        let (world, held, config) = held().await;
        let before = world.grant().await;
        let (mut child, mut said) = begin(&config, &["test", ADDRESS]);
        eventually("the refresh is asked for", || world.sandbox.counters().refresh_requests == 1).await;
        signal(child.id().unwrap(), stop);
        let line = timeout(Duration::from_mins(1), said.next_line()).await.unwrap().unwrap();
        assert_eq!(
            line.as_deref(),
            Some("gatepost: ending as soon as the provider has answered: new tokens must not get lost"),
            "{stop:?}"
        );
        held.cancel();
        let status = timeout(Duration::from_mins(1), child.wait()).await.unwrap().unwrap();
        assert_eq!(status.code(), Some(130), "{stop:?}");
        is_rotated(&world, &before).await;
        let counters = world.sandbox.counters();
        let logins = counters.smtp_logins + counters.pop3_logins + counters.imap_logins;
        assert_eq!(logins, 0, "{stop:?}: it went on");
        run(&config, &["test", ADDRESS], "").await;
    }
}

#[tokio::test]
async fn a_daemon_that_is_told_twice_ends_after_the_answer_of_the_provider_is_stored() {
    let (world, held, config) = held().await;
    let before = world.grant().await;
    let mut process = Process::ready(&config).await;
    let mut wire = Wire::connect(process.addresses.first().copied().unwrap()).await;
    wire.line().await;
    wire.say(format!("{}\r\n", login(Smtp, PASSWORD))).await;
    eventually("the refresh is asked for", || world.sandbox.counters().refresh_requests == 1).await;
    for message in ["told to stop", "told to stop at once"] {
        signal(process.id(), Signal::TERM);
        process.says(message).await;
    }
    held.cancel();
    assert_eq!(process.ends().await.code(), Some(1));
    is_rotated(&world, &before).await;
}
