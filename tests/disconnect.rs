//! `gatepost disconnect` as a process, at the sandbox and beside a running Gatepost: what is revoked, what is forgotten, and what
//! nobody loses without having been asked.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test says what is wrong by panicking"
)]

mod support;
#[path = "support/terminal.rs"]
mod terminal;

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use gatepost::account::AccountId;
use gatepost::config::ListenerTls;
use gatepost::config::provider::UpstreamTls;
use gatepost::sandbox::{
    CLIENT_SECRET, CLIENT_SECRET_VARIABLE, Personality, Revocation, Sandbox, TokenFault,
};
use gatepost::store::grants::{Grant, GrantKey, Identity, NewTokens};
use gatepost_protocol::Protocol;
use gatepost_protocol::secret::Secret;
use tokio_util::sync::CancellationToken;

use support::leftovers::eventually;
use support::process::said;
use support::wire::{Wire, success};
use support::world::{ADDRESS, World};
use terminal::Terminal;

const OFFICE: &str = "office@example.com";
const BOB: &str = "bob@example.com";
const NOT_CONNECTED: &str = "-ERR [SYS/PERM] not connected yet; admin runs gatepost connect (G20)";

async fn world(personality: Personality) -> World {
    let sandbox = Sandbox::start_as(personality).await.unwrap();
    let world = World::at(sandbox, UpstreamTls::Implicit, |yaml| yaml, |_| {}).await;
    std::fs::write(config(&world), &world.yaml).unwrap();
    world.connect().await;
    world
}

fn config(world: &World) -> PathBuf {
    world.folder().join("gatepost.yaml")
}

/// `gatepost …` with nobody at its terminal. Gives its exit status and all that it said.
async fn gatepost(world: &World, arguments: &[&str]) -> (Option<i32>, String) {
    said(&config(world), arguments, "").await
}

/// The same, which must succeed.
async fn does(world: &World, arguments: &[&str]) -> String {
    let (status, told) = gatepost(world, arguments).await;
    assert_eq!(status, Some(0), "{arguments:?}: {told}");
    told
}

async fn stored(world: &World, account: AccountId) -> Option<Grant> {
    world.store.grant(&GrantKey::Account(account)).await.unwrap()
}

/// What a device hears that logs in by POP3.
async fn login(world: &World) -> String {
    Wire::greeted(world, Protocol::Pop3, ListenerTls::None).await.log_in(Protocol::Pop3).await
}

/// Another account, connected by this person. The provider knows nothing of it.
async fn connected(world: &World, address: &str, person: &str) -> AccountId {
    does(world, &["account", "add", address]).await;
    let account = world.store.accounts_at(address).await.unwrap().remove(0).id;
    let tokens = NewTokens {
        access_token: Secret::new("a".to_owned()),
        refresh_token: Some(Secret::new("r".to_owned())),
        issued_at: SystemTime::now(),
        expires_at: SystemTime::now() + Duration::from_hours(1),
        scopes: Vec::new(),
        identity: Identity::new([person.to_owned()]),
    };
    world.store.replace_grant(&GrantKey::Account(account), &tokens).await.unwrap();
    account
}

#[tokio::test]
async fn a_consent_is_revoked_and_forgotten_and_its_sessions_end() {
    let world = world(Personality::default()).await;
    let before = world.grant().await;
    let mut open = Wire::logged_in(&world, Protocol::Pop3).await;

    let told = does(&world, &["disconnect", ADDRESS]).await;
    assert!(told.contains(&format!("{ADDRESS} is disconnected: sandbox has revoked the consent.")), "{told}");
    assert!(told.contains(&format!("gatepost connect {ADDRESS}")), "{told}");
    for token in [before.refresh_token, before.access_token].into_iter().flatten() {
        assert!(!told.contains(token.expose().as_str()), "no token is shown");
        assert!(!world.sandbox.is_good(token.expose()), "the provider takes neither any more");
    }
    assert!(stored(&world, world.account).await.is_none());
    assert_eq!(open.rest().await, b"", "the session that it let in has ended");
    assert_eq!(login(&world).await, NOT_CONNECTED);
    assert_eq!(world.store.credentials(Some(world.account)).await.unwrap().len(), 1, "the device's stays");

    let told = does(&world, &["disconnect", ADDRESS]).await;
    assert!(told.contains("is not connected to sandbox: there is nothing to withdraw."), "{told}");
    assert_eq!(world.sandbox.counters().revocation_requests, 1, "nobody is asked about nothing");

    // Connected again it works, and its sessions stay.
    world.connect().await;
    assert!(world.grant().await.version > before.version + 1, "no version comes twice");
    let mut again = Wire::logged_in(&world, Protocol::Pop3).await;
    does(&world, &["account", "add", BOB]).await;
    assert_eq!(again.ask("NOOP").await, "+OK");
    world.daemon.stop().await;
}

#[tokio::test]
async fn what_the_provider_answers_decides_what_is_forgotten() {
    let world = world(Personality::default()).await;
    let echo = TokenFault::Echo { status: 400 };
    let redirect = TokenFault::redirect("https://localhost:1/");
    for (fault, words) in [
        (TokenFault::too_many_requests(Duration::from_secs(7)), "temporarily_unavailable (HTTP 429)"),
        (
            TokenFault::Answer {
                status: 503,
                headers: vec![("retry-after", "7".to_owned())],
                body: String::new(),
            },
            "HTTP status 503, ask again in 7 s",
        ),
        (TokenFault::internal_error(), "HTTP status 500"),
        (redirect, "redirect (HTTP 307), which is never followed"),
        (TokenFault::error("invalid_client", "no"), "invalid_client (HTTP 400): no"),
        (TokenFault::LoseAnswer, "not reachable"),
        (echo, "invalid_request (HTTP 400)"),
    ] {
        let before = world.grant().await;
        world.sandbox.change(|personality| personality.revocation_endpoint = Some(fault));
        let (status, told) = gatepost(&world, &["disconnect", ADDRESS]).await;
        assert_eq!(status, Some(5), "{words}: {told}");
        assert!(told.contains(words) && told.contains("localhost did not revoke the consent"), "{told}");
        assert!(told.contains(&format!("Nothing was forgotten. Try again later, or forget it here alone, which leaves the\nconsent at the provider: gatepost disconnect {ADDRESS} --forget")), "{told}");
        let after = world.grant().await;
        assert_eq!(after.version, before.version, "{words}: nothing is changed");
        let token = after.refresh_token.unwrap();
        assert!(!told.contains(token.expose().as_str()), "{words}: a token is shown");
        // The lease is given back: whoever refreshes next need not wait.
        let (now, key) = (SystemTime::now(), GrantKey::Account(world.account));
        let leased = world.store.lease_grant(now, &key, after.version, "next", Duration::from_secs(1)).await;
        assert!(leased.unwrap(), "{words}");
        world.store.release_grant(&key, "next").await.unwrap();
        if words == "not reachable" {
            // The answer was lost on the way; what it did was done.
            world.connect().await;
        }
    }
    assert_eq!(login(&world).await, success(Protocol::Pop3), "it works as before");

    for (code, words) in [
        ("invalid_token", "sandbox has revoked the consent"),
        ("unsupported_token_type", "has no way for Gatepost to revoke it"),
    ] {
        let fault = TokenFault::error(code, "no");
        world.sandbox.change(|personality| personality.revocation_endpoint = Some(fault));
        let told = does(&world, &["disconnect", ADDRESS]).await;
        assert!(told.contains(words), "{code}: {told}");
        assert_eq!(told.contains("stands until somebody withdraws it"), code != "invalid_token", "{told}");
        assert!(stored(&world, world.account).await.is_none(), "{code}");
        world.connect().await;
    }
    world.daemon.stop().await;
}

#[tokio::test]
async fn forget_asks_nobody_and_says_that_the_consent_stands() {
    let world = world(Personality::default()).await;
    world.sandbox.change(|personality| personality.revocation_endpoint = Some(TokenFault::Stall));
    let before = world.grant().await;
    let told = does(&world, &["disconnect", ADDRESS, "--forget"]).await;
    assert!(told.contains("is disconnected here. sandbox was not told."), "{told}");
    assert!(told.contains("in the person's account there, where it lists the applications"), "{told}");
    assert!(stored(&world, world.account).await.is_none());
    assert_eq!(world.sandbox.counters().revocation_requests, 0);
    assert!(world.sandbox.is_good(before.refresh_token.unwrap().expose()));
    world.daemon.stop().await;
}

#[tokio::test]
async fn a_provider_without_revocation_is_not_asked_and_one_that_is_google_takes_dead_tokens() {
    let exchange = world(Personality::exchange()).await;
    let told = does(&exchange, &["disconnect", ADDRESS]).await;
    assert!(told.contains("is disconnected here. sandbox has no way for Gatepost to revoke it."), "{told}");
    assert!(stored(&exchange, exchange.account).await.is_none());
    exchange.daemon.stop().await;

    let gmail = world(Personality::gmail()).await;
    gmail.sandbox.revoke(ADDRESS);
    let told = does(&gmail, &["disconnect", ADDRESS]).await;
    assert!(told.contains("sandbox has revoked the consent"), "{told}");
    assert_eq!(gmail.sandbox.counters().revocation_requests, 1);
    gmail.daemon.stop().await;
}

#[tokio::test]
async fn a_refresh_that_is_on_its_way_brings_nothing_back() {
    let world = world(Personality::default()).await;
    world.connect_with_an_expired_token().await;
    let held = CancellationToken::new();
    world.sandbox.change(|personality| personality.token_endpoint = Some(TokenFault::Hold(held.clone())));
    let mut wire = Wire::greeted(&world, Protocol::Pop3, ListenerTls::None).await;
    wire.say(format!("{}\r\n", support::wire::login(Protocol::Pop3, support::world::PASSWORD))).await;
    eventually("the refresh is asked for", || world.sandbox.counters().refresh_requests == 1).await;

    // It waits for the lease, and revokes what the refresh brought.
    let file = config(&world);
    let disconnecting = tokio::spawn(async move { said(&file, &["disconnect", ADDRESS], "").await });
    held.cancel();
    let (status, told) = disconnecting.await.unwrap();
    assert_eq!(status, Some(0), "{told}");
    assert!(told.contains("has revoked the consent"), "{told}");
    assert!(stored(&world, world.account).await.is_none());
    drop(wire);
    assert_eq!(login(&world).await, NOT_CONNECTED);
    assert_eq!(world.sandbox.counters().refresh_requests, 1);
    world.daemon.stop().await;
}

#[tokio::test]
async fn a_borrowed_consent_is_left_alone_and_a_lent_one_needs_a_yes() {
    let world = world(Personality::default()).await;
    does(&world, &["account", "add", OFFICE, "--shared", "--owner", ADDRESS]).await;
    let (status, told) = gatepost(&world, &["disconnect", OFFICE, "--yes"]).await;
    assert_eq!(status, Some(1), "{told}");
    for words in [
        &format!("{OFFICE} has no consent of its own: it uses that of {ADDRESS}, which stays."),
        &format!("gatepost disconnect {ADDRESS}"),
        &format!("gatepost account disable {OFFICE}"),
    ] {
        assert!(told.contains(words), "{told}");
    }
    let (status, told) = gatepost(&world, &["disconnect", ADDRESS]).await;
    assert_eq!(status, Some(1), "{told}");
    assert!(told.contains(&format!("{OFFICE} uses the consent of {ADDRESS}, and stops")), "{told}");
    assert!(told.contains("Nothing was done. If that is meant, add --yes"), "{told}");
    assert!(stored(&world, world.account).await.is_some());
    assert_eq!(world.sandbox.counters().revocation_requests, 0);

    does(&world, &["disconnect", ADDRESS, "--yes"]).await;
    let (_, told) = gatepost(&world, &["test", OFFICE]).await;
    assert!(told.contains("not connected yet"), "{told}");
    world.daemon.stop().await;
}

#[tokio::test]
async fn who_would_lose_another_mailbox_by_it_is_asked() {
    let world = world(Personality::gmail()).await;
    let person = world.grant().await.identity.unwrap();
    connected(&world, BOB, &person.to_uppercase()).await;
    let (status, told) = gatepost(&world, &["disconnect", ADDRESS]).await;
    assert_eq!(status, Some(1), "{told}");
    assert!(told.contains("bob@example.com was connected by the same person, and may stop"), "{told}");
    // Forgetting here ends nothing there.
    does(&world, &["disconnect", ADDRESS, "--forget"]).await;
    assert_eq!(world.sandbox.counters().revocation_requests, 0);
    world.daemon.stop().await;
}

#[tokio::test]
async fn a_password_is_forgotten_and_a_refusal_of_it_with_it() {
    let sandbox = Sandbox::start_as(Personality::post("app password")).await.unwrap();
    let world = World::at(sandbox, UpstreamTls::Implicit, |yaml| yaml, |_| {}).await;
    std::fs::write(config(&world), &world.yaml).unwrap();
    let store = async |text: &str| {
        world.store.replace_mailbox_password(world.account, &Secret::new(text.to_owned())).await.unwrap()
    };
    store("wrong").await;
    assert!(login(&world).await.contains("(G19)"));
    let told = does(&world, &["disconnect", ADDRESS]).await;
    assert!(told.contains("its password at sandbox is forgotten here."), "{told}");
    assert!(told.contains("If it is an app password, it opens the mailbox until you delete it"), "{told}");
    assert_eq!(login(&world).await, NOT_CONNECTED);
    let told = does(&world, &["disconnect", ADDRESS]).await;
    assert!(told.contains("is not connected to sandbox"), "{told}");

    store("app password").await;
    let mut open = Wire::logged_in(&world, Protocol::Pop3).await;
    does(&world, &["disconnect", ADDRESS]).await;
    assert_eq!(open.rest().await, b"", "the session that it let in has ended");
    world.daemon.stop().await;
}

#[tokio::test]
async fn a_removed_account_leaves_its_consent_at_the_provider_and_says_so() {
    let world = world(Personality::default()).await;
    let before = world.grant().await;
    let told = does(&world, &["account", "remove", ADDRESS]).await;
    assert!(
        told.contains("The consent itself stands until somebody withdraws it at the provider:"),
        "{told}"
    );
    assert!(world.sandbox.is_good(before.refresh_token.unwrap().expose()));
    does(&world, &["account", "add", BOB]).await;
    let told = does(&world, &["account", "remove", BOB]).await;
    assert!(!told.contains("stands until"), "there was none: {told}");
    world.daemon.stop().await;
}

/// A person at a terminal of 80 columns.
fn terminal(world: &World, arguments: &[&str]) -> Terminal {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_gatepost"));
    command.arg("--config").arg(config(world)).args(arguments).env(CLIENT_SECRET_VARIABLE, CLIENT_SECRET);
    Terminal::start(command)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_asked_before_others_lose_something_and_before_an_account_goes() {
    let world = world(Personality::default()).await;
    does(&world, &["account", "add", OFFICE, "--shared", "--owner", ADDRESS]).await;
    for (answer, goes) in [("", false), ("n", false), ("y", true)] {
        let mut terminal = terminal(&world, &["disconnect", ADDRESS]);
        terminal.shows(&format!("{OFFICE} uses the consent of {ADDRESS}, and stops working too.\n"));
        terminal.shows(&format!("Disconnect {ADDRESS}? [y/N] "));
        terminal.types(answer);
        let (status, shown) = terminal.end();
        assert_eq!(status, Some(i32::from(!goes)), "{shown}");
        assert_eq!(stored(&world, world.account).await.is_none(), goes, "{shown}");
    }
    world.connect().await;
    for (answer, goes) in [("", false), ("yes", true)] {
        let mut terminal = terminal(&world, &["account", "remove", ADDRESS]);
        terminal.shows(&format!("The consent for {ADDRESS} would go on standing at sandbox.\n"));
        terminal.shows(&format!("first run: gatepost disconnect {ADDRESS}\n"));
        terminal.shows(&format!("{OFFICE} uses the same consent, and stops working.\n"));
        terminal.shows("with its passwords? [y/N] ");
        terminal.types(answer);
        let (status, shown) = terminal.end();
        assert_eq!(status, Some(i32::from(!goes)), "{shown}");
        let is_there = !world.store.accounts_at(ADDRESS).await.unwrap().is_empty();
        assert_eq!(is_there, !goes, "{shown}");
    }
    world.daemon.stop().await;
}

#[tokio::test]
async fn revoking_one_token_ends_what_the_provider_says_it_ends() {
    for (revocation, other_ends) in [(Revocation::Rfc7009, false), (Revocation::WholeConsent, true)] {
        let world = world(Personality::default()).await;
        world.sandbox.change(|personality| personality.revocation = revocation);
        let first = world.grant().await.refresh_token.unwrap();
        world.connect().await;
        let second = world.grant().await.refresh_token.unwrap();
        does(&world, &["disconnect", ADDRESS]).await;
        assert!(!world.sandbox.is_good(second.expose()));
        assert_eq!(world.sandbox.is_good(first.expose()), !other_ends, "{revocation:?}");
        world.daemon.stop().await;
    }
}
