//! Tokens and many logins at once: one refresh for all of them, nothing lost by whoever hangs up, and nothing touched by
//! whoever does not know the password.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

mod support;

use std::time::Duration;

use gatepost::config::ListenerTls;
use gatepost::config::provider::UpstreamTls;
use gatepost::sandbox::TokenFault;
use gatepost_protocol::Protocol::{self, Smtp};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use support::leftovers::{Alone, eventually};
use support::wire::{Wire, login, login_as, success, wrong};
use support::world::{PASSWORD, World};

#[tokio::test]
async fn invariant_8_fifty_logins_with_an_expired_token_make_one_refresh() {
    let alone = Alone::begin().await;
    let world = World::start().await;
    world.connect_with_an_expired_token().await;
    let held = CancellationToken::new();
    world.sandbox.change(|personality| personality.token_endpoint = Some(TokenFault::Hold(held.clone())));
    let mut waiting = Vec::new();
    for protocol in Protocol::ALL.into_iter().cycle().take(50) {
        let mut wire = Wire::greeted(&world, protocol, ListenerTls::None).await;
        wire.say(format!("{}\r\n", login(protocol, PASSWORD))).await;
        waiting.push((wire, protocol));
    }
    eventually("the refresh is asked for", || world.sandbox.counters().refresh_requests > 0).await;
    held.cancel();
    for (mut wire, protocol) in waiting {
        assert_eq!(wire.line().await, success(protocol));
    }
    let counters = world.sandbox.counters();
    assert_eq!((counters.refresh_requests, counters.refused_logins), (1, 0), "nobody tried the old token");
    assert_eq!(Protocol::ALL.map(|protocol| world.upstream_logins(protocol)), [17, 17, 16]);
    alone.nothing_left(&world, "fifty logins").await;
}

#[tokio::test]
async fn invariant_7_a_client_that_hangs_up_during_the_refresh_loses_nothing() {
    let alone = Alone::begin().await;
    let world = World::start().await;
    world.connect_with_an_expired_token().await;
    let before = world.grant().await;
    let held = CancellationToken::new();
    world.sandbox.change(|personality| personality.token_endpoint = Some(TokenFault::Hold(held.clone())));
    let mut wire = Wire::greeted(&world, Smtp, ListenerTls::None).await;
    wire.say(format!("{}\r\n", login(Smtp, PASSWORD))).await;
    eventually("the refresh is asked for", || world.sandbox.counters().refresh_requests == 1).await;
    drop(wire);
    eventually("the client is gone", || world.daemon.connections() == 0).await;
    held.cancel();
    alone.nothing_left(&world, "a client that hung up").await;

    // The refresh has no socket any more when its answer is on the way into the store.
    let answer = async {
        loop {
            let grant = world.grant().await;
            if grant.version != before.version {
                return grant;
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    let after = timeout(Duration::from_secs(30), answer).await.unwrap();
    assert_eq!(after.version, before.version + 1, "it came once");
    assert_ne!(after.refresh_token.unwrap().expose(), before.refresh_token.unwrap().expose());
    drop(Wire::logged_in(&world, Smtp).await);
    assert_eq!(world.sandbox.counters().refresh_requests, 1);
}

#[tokio::test]
async fn invariant_6_a_thousand_wrong_logins_touch_no_token_and_open_no_connection() {
    let alone = Alone::begin().await;
    let world = World::with(UpstreamTls::Implicit, |limits| {
        limits.wrong_passwords = 1000;
        limits.wrong_password_delay = Duration::ZERO;
    })
    .await;
    // A token that must be refreshed: whoever got that far would be seen at the token endpoint.
    world.connect_with_an_expired_token().await;
    let before = world.grant().await;
    let mut guessing = JoinSet::new();
    for protocol in Protocol::ALL.into_iter().cycle().take(20) {
        let mut wire = Wire::greeted(&world, protocol, ListenerTls::None).await;
        guessing.spawn(async move {
            for guess in 0..50 {
                let attempt = match guess % 4 {
                    0 => login_as(protocol, "nobody@example.com", PASSWORD),
                    1 => login(protocol, &format!("{PASSWORD}{guess}")),
                    2 => login(protocol, &PASSWORD.to_uppercase()),
                    _ => login(protocol, &format!("guess {guess}")),
                };
                assert_eq!(wire.ask(&attempt).await, wrong(protocol));
            }
        });
    }
    while let Some(guessed) = guessing.join_next().await {
        guessed.unwrap();
    }
    let counters = world.sandbox.counters();
    assert_eq!((world.upstream_connections(), counters.refresh_requests), (0, 0));
    assert_eq!(world.grant().await.version, before.version);
    alone.nothing_left(&world, "a thousand guesses").await;
    drop(Wire::logged_in(&world, Smtp).await);
}
