//! Caps and times: whoever is beyond one hears a polite line, and whoever is within one gets its turn.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

mod support;

use std::time::Duration;

use gatepost::config::ListenerTls;
use gatepost::config::provider::UpstreamTls;
use gatepost_protocol::Protocol::{self, Imap, Pop3, Smtp};
use tokio::io::AsyncReadExt as _;
use tokio::time::Instant;

use support::leftovers::{Alone, eventually};
use support::wire::{Wire, authenticate, busy, login, login_as, of_row, success, wrong};
use support::world::{ADDRESS, PASSWORD, World};

/// Whether it is this reply, wherever the host's name stands in it.
fn is(line: &str, code: &str, text: &str) -> bool {
    line.starts_with(code) && line.ends_with(text)
}

#[tokio::test]
async fn the_third_wrong_password_ends_the_connection_with_a_line() {
    let alone = Alone::begin().await;
    let world =
        World::with(UpstreamTls::Implicit, |limits| limits.wrong_password_delay = Duration::ZERO).await;
    for (protocol, code) in [(Smtp, "421 4.7.0 "), (Pop3, "-ERR "), (Imap, "* BYE ")] {
        for tls in [ListenerTls::None, ListenerTls::Implicit] {
            let mut wire = Wire::greeted(&world, protocol, tls).await;
            // What is no attempt is not counted.
            wire.ask(&authenticate(protocol, "PLAIN !!!")).await;
            let nobody = login_as(protocol, "nobody", PASSWORD);
            for attempt in [login(protocol, "wrong"), nobody, login(protocol, "")] {
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
        for protocol in Protocol::ALL {
            for tls in [ListenerTls::None, ListenerTls::StartTls, ListenerTls::Implicit] {
                let mut wire = Wire::connect(world.address(protocol, tls)).await;
                if tls == ListenerTls::Implicit {
                    wire.start_tls(&world.state_dir()).await;
                } else {
                    // A client that does not wait must hear it too.
                    wire.say("EHLO x\r\n").await;
                }
                let told = wire.line().await;
                assert!(is(&told, busy(protocol), text), "{protocol} {tls:?}: {told}");
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
async fn everybody_who_connects_at_once_is_greeted() {
    let world = World::with(UpstreamTls::Implicit, |limits| limits.connections_per_address = 1000).await;
    // Nobody is accepted meanwhile. Beyond the listener's queue the kernel drops whoever comes, and may let a client believe that it is connected: it
    // would wait for its greeting for ever.
    let address = world.address(Pop3, ListenerTls::None);
    let clients: Vec<_> = (0..300)
        .map(|number| {
            let connected = std::net::TcpStream::connect_timeout(&address, Duration::from_millis(900));
            assert!(connected.is_ok(), "client {number}: {connected:?}");
            connected.unwrap()
        })
        .collect();
    for (number, client) in clients.into_iter().enumerate() {
        client.set_nonblocking(true).unwrap();
        let mut greeting = [0; 3];
        tokio::net::TcpStream::from_std(client).unwrap().read_exact(&mut greeting).await.unwrap();
        assert_eq!(&greeting, b"+OK", "client {number}");
    }
}

#[tokio::test]
async fn an_address_that_is_not_allowed_is_told_so() {
    let alone = Alone::begin().await;
    let listeners = "
  - { protocol: smtp, address: \"127.0.0.1:0\", tls: none, allow_from: [127.0.0.8/32] }
  - { protocol: pop3, address: \"127.0.0.1:0\", tls: implicit, allow_from: [127.0.0.8/32] }
  - { protocol: imap, address: \"127.0.0.1:0\", tls: starttls, allow_from: [127.0.0.8/32] }
";
    let world = World::with_listeners(UpstreamTls::Implicit, listeners, |_| {}).await;
    let text = "Your address may not log in here";
    let smtp = world.address(Smtp, ListenerTls::None);
    let told = Wire::connect(smtp).await.line().await;
    assert!(is(&told, "554 5.7.1 ", text), "{told}");
    let told = Wire::connect(world.address(Imap, ListenerTls::StartTls)).await.line().await;
    assert!(is(&told, "* BYE ", text), "{told}");
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
    for (protocol, other) in [(Smtp, Pop3), (Pop3, Imap), (Imap, Smtp)] {
        let first = Wire::logged_in(&world, protocol).await;
        let mut waiting = Vec::new();
        for _ in 0..2 {
            let mut wire = Wire::greeted(&world, protocol, ListenerTls::None).await;
            wire.say(format!("{}\r\n", login(protocol, PASSWORD))).await;
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
    for (protocol, code) in [(Smtp, "454 4.3.2"), (Pop3, "-ERR [SYS/TEMP]"), (Imap, "a1 NO [LIMIT]")] {
        let _first = Wire::logged_in(&world, protocol).await;
        let mut second = Wire::greeted(&world, protocol, ListenerTls::None).await;
        assert_eq!(second.log_in(protocol).await, format!("{code} {}", of_row("G17")));
    }
    alone.nothing_left(&world, "a queue without end").await;
}

#[tokio::test]
async fn a_wrong_password_is_told_after_a_fixed_time_and_the_right_one_at_once() {
    let alone = Alone::begin().await;
    let hour = Duration::from_hours(1);
    let mut world = World::with(UpstreamTls::Implicit, |limits| limits.wrong_password_delay = hour).await;
    for protocol in Protocol::ALL {
        let mut waiting = Vec::new();
        for attempt in [login(protocol, "wrong"), login_as(protocol, "nobody", "wrong")] {
            let mut wire = Wire::greeted(&world, protocol, ListenerTls::None).await;
            wire.say(format!("{attempt}\r\n")).await;
            waiting.push(wire);
        }
        // Passwords are checked one after the other: those before have been found wrong when this one is in. They have two of the four
        // places of their address.
        drop(Wire::logged_in(&world, protocol).await);
        for wire in &mut waiting {
            assert!(wire.is_silent().await);
        }
    }
    alone.nothing_left(&world, "clients that did not wait for their verdict").await;

    let delay = Duration::from_millis(400);
    let yaml = world.yaml.clone();
    world.restart(&yaml, |limits| limits.wrong_password_delay = delay).await;
    for protocol in Protocol::ALL {
        for attempt in [login(protocol, "wrong"), login_as(protocol, "nobody", "wrong")] {
            let mut wire = Wire::greeted(&world, protocol, ListenerTls::None).await;
            let asked_at = Instant::now();
            assert_eq!(wire.ask(&attempt).await, wrong(protocol));
            assert!(asked_at.elapsed() >= delay);
        }
    }
    alone.nothing_left(&world, "clients that waited").await;
}

#[tokio::test]
async fn a_literal_of_1024_octets_is_taken_and_a_longer_one_is_not_even_sent() {
    let alone = Alone::begin().await;
    let world =
        World::with(UpstreamTls::Implicit, |limits| limits.wrong_password_delay = Duration::ZERO).await;
    let (name, password) = (ADDRESS.len(), PASSWORD.len());

    let mut wire = Wire::greeted(&world, Imap, ListenerTls::None).await;
    assert!(wire.ask("a1 LOGIN {1024}").await.starts_with("+ "));
    let told = wire.ask(&format!("{} x", "n".repeat(1024))).await;
    assert!(told.starts_with("a1 BAD ") || told == wrong(Imap), "{told}");
    assert_eq!(wire.ask("a1 LOGIN {1025}").await, "a1 BAD Literal longer than 1024 octets");
    // The session goes on, with a user name and a password that are literals both.
    assert!(wire.ask(&format!("a1 LOGIN {{{name}}}")).await.starts_with("+ "));
    assert!(wire.ask(&format!("{ADDRESS} {{{password}}}")).await.starts_with("+ "));
    assert_eq!(wire.ask(PASSWORD).await, success(Imap));
    drop(wire);

    // Unasked it is on its way already, and what is in it must not be read as commands.
    let mut wire = Wire::greeted(&world, Imap, ListenerTls::None).await;
    wire.say(format!("a1 LOGIN {{1025+}}\r\n{}\r\na2 NOOP\r\n", "n".repeat(1025))).await;
    assert_eq!(wire.rest().await, b"* BYE Line too long\r\n");
    drop(wire);
    let mut wire = Wire::greeted(&world, Imap, ListenerTls::Implicit).await;
    wire.say(format!("a1 LOGIN {{{name}+}}\r\n{ADDRESS} {{{password}+}}\r\n{PASSWORD}\r\na2 NOOP\r\n")).await;
    assert_eq!(wire.line().await, success(Imap));
    assert!(wire.line().await.starts_with("a2 OK"));
    drop(wire);
    alone.nothing_left(&world, "literals").await;
}

#[tokio::test]
async fn an_imap_line_of_8192_octets_is_the_end() {
    let alone = Alone::begin().await;
    let world = World::start().await;
    let line = |length: usize| format!("a1 LOGIN {}", "x".repeat(length - "a1 LOGIN ".len()));
    let mut wire = Wire::greeted(&world, Imap, ListenerTls::None).await;
    assert_eq!(wire.ask(&line(8191)).await, "a1 BAD Cannot read the login data");
    assert_eq!(wire.log_in(Imap).await, success(Imap));
    drop(wire);
    let mut wire = Wire::greeted(&world, Imap, ListenerTls::None).await;
    assert_eq!(wire.ask(&line(8192)).await, "* BYE Line too long");
    assert!(wire.rest().await.is_empty());
    drop(wire);
    alone.nothing_left(&world, "long lines").await;
}

#[tokio::test]
async fn silence_ends_a_session_after_the_time_of_its_own_protocol() {
    let alone = Alone::begin().await;
    let mut world = World::start().await;
    let yaml = world.yaml.clone();
    for protocol in Protocol::ALL {
        world
            .restart(&yaml, |limits| {
                let time = |it| Duration::from_secs(if it == protocol { 1 } else { 3600 });
                (limits.idle_smtp, limits.idle_pop3, limits.idle_imap) = (time(Smtp), time(Pop3), time(Imap));
            })
            .await;
        let mut others = Vec::new();
        for other in Protocol::ALL.into_iter().filter(|other| *other != protocol) {
            others.push(Wire::logged_in(&world, other).await);
        }
        let mut wire = Wire::logged_in(&world, protocol).await;
        assert!(wire.rest().await.is_empty(), "{protocol}: ended without a word");
        for other in &mut others {
            assert!(other.is_silent().await, "not {protocol}, and not ended");
        }
    }
    alone.nothing_left(&world, "silence").await;
}
