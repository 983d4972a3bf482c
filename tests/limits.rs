//! Caps and times: whoever is beyond one hears a polite line, and whoever is within one gets its turn.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

mod support;

use std::time::Duration;

use gatepost::config::ListenerTls;
use gatepost::config::provider::UpstreamTls;
use gatepost_protocol::Protocol::{self, Pop3, Smtp};
use tokio::time::Instant;

use support::leftovers::{Alone, eventually};
use support::wire::{Wire, login, login_as, success};
use support::world::{PASSWORD, World};

/// What a wrong password and an unknown user name are told, both.
fn wrong(protocol: Protocol) -> &'static str {
    match protocol {
        Smtp => "535 5.7.8 Wrong user name or password",
        Pop3 => "-ERR [AUTH] Wrong user name or password",
    }
}

/// Whether it is this reply, wherever the host's name stands in it.
fn is(line: &str, code: &str, text: &str) -> bool {
    line.starts_with(code) && line.ends_with(text)
}

#[tokio::test]
async fn the_third_wrong_password_ends_the_connection_with_a_line() {
    let alone = Alone::begin().await;
    let world =
        World::with(UpstreamTls::Implicit, |limits| limits.wrong_password_delay = Duration::ZERO).await;
    for (protocol, code) in [(Smtp, "421 4.7.0 "), (Pop3, "-ERR ")] {
        for tls in [ListenerTls::None, ListenerTls::Implicit] {
            let mut wire = Wire::greeted(&world, protocol, tls).await;
            // What is no attempt is not counted.
            wire.ask("AUTH PLAIN !!!").await;
            for attempt in [login("wrong"), login_as("nobody", PASSWORD), login("")] {
                assert_eq!(wire.ask(&attempt).await, wrong(protocol));
            }
            let farewell = wire.line().await;
            assert!(is(&farewell, code, "Too many failed logins"), "{farewell}");
            assert!(wire.rest().await.is_empty());
        }
    }
    alone.nothing_left(&world, "wrong passwords").await;
}

#[tokio::test]
async fn connections_beyond_a_cap_are_told_so_inside_tls_too() {
    let alone = Alone::begin().await;
    let text = "Too many connections, try again in a moment";
    for per_address in [true, false] {
        let world = World::with(UpstreamTls::Implicit, |limits| {
            *(if per_address { &mut limits.connections_per_address } else { &mut limits.connections }) = 2;
        })
        .await;
        let inside =
            [Wire::greeted(&world, Smtp, ListenerTls::None).await, Wire::logged_in(&world, Pop3).await];
        for (protocol, code) in [(Smtp, "421 4.3.2 "), (Pop3, "-ERR [SYS/TEMP] ")] {
            for tls in [ListenerTls::None, ListenerTls::StartTls, ListenerTls::Implicit] {
                let mut wire = Wire::connect(world.address(protocol, tls)).await;
                if tls == ListenerTls::Implicit {
                    wire.start_tls(&world.state_dir()).await;
                } else {
                    // A client that does not wait must hear it too.
                    wire.say("EHLO x\r\n").await;
                }
                let told = wire.line().await;
                assert!(is(&told, code, text), "{protocol} {tls:?}: {told}");
                assert!(wire.rest().await.is_empty(), "and an end, not a reset");
            }
        }
        let address = world.address(Smtp, ListenerTls::None);
        let elsewhere = Wire::connect_from([127, 0, 0, 9], address).await.line().await;
        assert_eq!(elsewhere.starts_with("220 "), per_address, "{elsewhere}");
        drop(inside);
        eventually("they have left", || world.daemon.connections() == 0).await;
        drop(Wire::logged_in(&world, Smtp).await);
        alone.nothing_left(&world, "a crowd").await;
        world.daemon.stop().await;
    }
}

#[tokio::test]
async fn an_address_that_is_not_allowed_is_told_so() {
    let alone = Alone::begin().await;
    let listeners = "
  - { protocol: smtp, address: \"127.0.0.1:0\", tls: none, allow_from: [127.0.0.8/32] }
  - { protocol: pop3, address: \"127.0.0.1:0\", tls: implicit, allow_from: [127.0.0.8/32] }
";
    let world = World::with_listeners(UpstreamTls::Implicit, listeners, |_| {}).await;
    let text = "Your address may not log in here";
    let smtp = world.address(Smtp, ListenerTls::None);
    let told = Wire::connect(smtp).await.line().await;
    assert!(is(&told, "554 5.7.1 ", text), "{told}");
    let mut pop3 = Wire::connect(world.address(Pop3, ListenerTls::Implicit)).await;
    pop3.start_tls(&world.state_dir()).await;
    let told = pop3.line().await;
    assert!(is(&told, "-ERR [SYS/PERM] ", text), "{told}");
    drop(pop3);
    assert!(Wire::connect_from([127, 0, 0, 8], smtp).await.line().await.starts_with("220 "));
    alone.nothing_left(&world, "a stranger").await;
}

#[tokio::test]
async fn a_full_mailbox_serves_who_waits_in_order_and_then_says_busy() {
    let alone = Alone::begin().await;
    let mut world = World::capped(1).await;
    for (protocol, other) in [(Smtp, Pop3), (Pop3, Smtp)] {
        let first = Wire::logged_in(&world, protocol).await;
        let mut waiting = Vec::new();
        for _ in 0..2 {
            let mut wire = Wire::greeted(&world, protocol, ListenerTls::None).await;
            wire.say(format!("{}\r\n", login(PASSWORD))).await;
            // Passwords are checked one after the other, so once this one is in, the one before waits for its place.
            drop(Wire::logged_in(&world, other).await);
            waiting.push(wire);
        }
        let [mut second, mut third] = <[Wire; 2]>::try_from(waiting).ok().unwrap();
        assert!(
            second.is_silent().await && third.is_silent().await,
            "nobody gets in while the first is there"
        );
        drop(first);
        assert_eq!(second.line().await, success(protocol));
        assert!(third.is_silent().await);
        drop(second);
        assert_eq!(third.line().await, success(protocol));
    }
    alone.nothing_left(&world, "a queue").await;

    let yaml = world.yaml.clone();
    world.restart(&yaml, |limits| limits.login = Duration::from_secs(1)).await;
    for (protocol, code) in [(Smtp, "454 4.3.2"), (Pop3, "-ERR [SYS/TEMP]")] {
        let _first = Wire::logged_in(&world, protocol).await;
        let mut second = Wire::greeted(&world, protocol, ListenerTls::None).await;
        assert_eq!(second.log_in().await, format!("{code} mailbox busy, all its sessions are in use"));
    }
    alone.nothing_left(&world, "a queue without end").await;
}

#[tokio::test]
async fn a_wrong_password_is_told_after_a_fixed_time_and_the_right_one_at_once() {
    let alone = Alone::begin().await;
    let hour = Duration::from_hours(1);
    let mut world = World::with(UpstreamTls::Implicit, |limits| limits.wrong_password_delay = hour).await;
    let mut waiting = Vec::new();
    for protocol in [Smtp, Pop3] {
        for attempt in [login("wrong"), login_as("nobody", "wrong")] {
            let mut wire = Wire::greeted(&world, protocol, ListenerTls::None).await;
            wire.say(format!("{attempt}\r\n")).await;
            waiting.push(wire);
        }
    }
    // Passwords are checked one after the other: those before have been found wrong when this one is in.
    drop(Wire::logged_in(&world, Smtp).await);
    for wire in &mut waiting {
        assert!(wire.is_silent().await);
    }
    drop(waiting);
    alone.nothing_left(&world, "clients that did not wait for their verdict").await;

    let delay = Duration::from_millis(400);
    let yaml = world.yaml.clone();
    world.restart(&yaml, |limits| limits.wrong_password_delay = delay).await;
    for protocol in [Smtp, Pop3] {
        for attempt in [login("wrong"), login_as("nobody", "wrong")] {
            let mut wire = Wire::greeted(&world, protocol, ListenerTls::None).await;
            let asked_at = Instant::now();
            assert_eq!(wire.ask(&attempt).await, wrong(protocol));
            assert!(asked_at.elapsed() >= delay);
        }
    }
    alone.nothing_left(&world, "clients that waited").await;
}
