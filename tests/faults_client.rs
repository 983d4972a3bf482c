//! What goes wrong at the client: nothing of it may keep a descriptor, a task or a permit, and whoever can still hear is
//! told in a line.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

mod support;

use std::time::Duration;

use bytes::Bytes;
use gatepost::config::ListenerTls;
use gatepost::config::provider::UpstreamTls;
use gatepost::sandbox::{Action, MailFault, Moment, TokenFault};
use gatepost_protocol::Protocol::{self, Imap, Pop3, Smtp};
use tokio_util::sync::CancellationToken;

use support::leftovers::{Alone, eventually};
use support::wire::{Wire, authenticate, login, quit, success};
use support::world::{ADDRESS, PASSWORD, World};

const ENVELOPE: [&str; 3] = ["MAIL FROM:<scanner@example.com>", "RCPT TO:<scanner@example.com>", "DATA"];

/// Logged in by SMTP, and told to go ahead with the message.
async fn in_data(world: &World) -> Wire {
    let mut wire = Wire::logged_in(world, Smtp).await;
    for command in ENVELOPE {
        assert!(wire.ask(command).await.starts_with(['2', '3']), "{command}");
    }
    wire
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_nothing_however_it_goes() {
    let alone = Alone::begin().await;
    let world = World::start().await;

    let mut wire = in_data(&world).await;
    wire.say("Subject: half a message\r\n\r\n").await;
    drop(wire);
    alone.nothing_left(&world, "a client gone mid-DATA").await;
    assert!(world.sandbox.mailbox(ADDRESS).is_empty(), "half a message is none");

    for protocol in Protocol::ALL {
        for tls in [ListenerTls::None, ListenerTls::StartTls, ListenerTls::Implicit] {
            drop(Wire::connect(world.address(protocol, tls)).await);
            drop(Wire::greeted(&world, protocol, tls).await);
            let mut wire = Wire::greeted(&world, protocol, tls).await;
            assert_eq!(wire.log_in(protocol).await, success(protocol));
            // No QUIT, and for TLS no close_notify either.
            drop(wire);
            let mut wire = Wire::greeted(&world, protocol, tls).await;
            assert_eq!(wire.log_in(protocol).await, success(protocol));
            wire.reset();
            Wire::greeted(&world, protocol, tls).await.reset();
        }
    }
    alone.nothing_left(&world, "clients without manners").await;
}

#[tokio::test]
async fn a_half_closed_client_hears_the_reply_that_is_due() {
    let alone = Alone::begin().await;
    let world = World::start().await;

    let mut wire = in_data(&world).await;
    wire.say("Subject: x\r\n\r\nbody\r\n.\r\n").await;
    wire.end().await;
    assert_eq!(wire.rest().await, b"250 2.6.0 Delivered\r\n");
    assert_eq!(world.sandbox.mailbox(ADDRESS), [Bytes::from_static(b"Subject: x\r\n\r\nbody\r\n")]);

    for (protocol, farewell) in [
        (Smtp, "221 2.0.0 Goodbye\r\n"),
        (Pop3, "+OK Goodbye\r\n"),
        (Imap, "* BYE Goodbye\r\na9 OK Completed\r\n"),
    ] {
        let mut wire = Wire::logged_in(&world, protocol).await;
        wire.say(format!("{}\r\n", quit(protocol))).await;
        wire.end().await;
        assert_eq!(wire.rest().await, farewell.as_bytes());

        // Everything at once, the login too: still heard out.
        let mut wire = Wire::greeted(&world, protocol, ListenerTls::None).await;
        wire.say(format!("{}\r\n{}\r\n", login(protocol, PASSWORD), quit(protocol))).await;
        wire.end().await;
        let heard = format!("{}\r\n{farewell}", success(protocol));
        assert_eq!(String::from_utf8(wire.rest().await).unwrap(), heard);
    }
    alone.nothing_left(&world, "half-closed clients").await;
}

#[tokio::test]
async fn what_a_client_says_wrongly_is_told_in_a_line_and_then_a_proper_end() {
    let alone = Alone::begin().await;
    let world = World::start().await;
    // More than any buffer on the way holds, so that the line must not be lost in a reset.
    let endless = "x".repeat(300_000);
    let ten_unknown = "what\r\n".repeat(12);
    let table = [
        (Smtp, endless.as_str(), "500 5.5.6 Line too long"),
        (Pop3, &endless, "-ERR Line too long"),
        (Imap, &endless, "* BYE Line too long"),
        (Smtp, &ten_unknown, "Too many unknown commands"),
        (Pop3, &ten_unknown, "-ERR Too many unknown commands"),
        (Imap, &ten_unknown, "* BYE Too many unknown commands"),
    ];
    for (protocol, said, told) in table {
        for tls in [ListenerTls::None, ListenerTls::Implicit] {
            let mut wire = Wire::greeted(&world, protocol, tls).await;
            // Whether all of it is taken depends on when the end comes.
            let _ = wire.try_say(said).await;
            let heard = String::from_utf8(wire.rest().await).unwrap();
            assert!(heard.trim_end().ends_with(told), "{protocol} {tls:?}: {heard}");
        }
    }
    for (protocol, told) in [
        (Smtp, "501 5.5.2 Cannot read the login data"),
        (Pop3, "-ERR Cannot read the login data"),
        (Imap, "a1 BAD Cannot read the login data"),
    ] {
        let mut wire = Wire::greeted(&world, protocol, ListenerTls::None).await;
        assert_eq!(wire.ask(&authenticate(protocol, "PLAIN !!!")).await, told);
        assert_eq!(wire.log_in(protocol).await, success(protocol), "and the session goes on");
    }
    alone.nothing_left(&world, "clients that say nonsense").await;
}

#[tokio::test]
async fn a_slow_client_is_heard_out_and_a_silent_one_is_told_its_time_is_up() {
    let alone = Alone::begin().await;
    let world =
        World::with(UpstreamTls::Implicit, |limits| limits.before_login = Duration::from_secs(3)).await;
    let mut silent = Vec::new();
    for (protocol, tls, told) in [
        (Smtp, ListenerTls::None, "Timed out waiting for a login"),
        (Pop3, ListenerTls::Implicit, "-ERR Timed out waiting for a login"),
        (Smtp, ListenerTls::StartTls, "Timed out waiting for a login"),
        (Imap, ListenerTls::None, "* BYE Timed out waiting for a login"),
    ] {
        silent.push((Wire::greeted(&world, protocol, tls).await, told));
    }
    // It never begins with TLS, so there is nothing that it would understand.
    let mut without_hello = Wire::connect(world.address(Smtp, ListenerTls::Implicit)).await;

    for protocol in Protocol::ALL {
        let mut slow = Wire::greeted(&world, protocol, ListenerTls::None).await;
        for byte in format!("{}\r\n", login(protocol, PASSWORD)).bytes() {
            slow.say([byte]).await;
            tokio::task::yield_now().await;
        }
        assert_eq!(slow.line().await, success(protocol));
    }
    for (mut wire, told) in silent {
        let heard = String::from_utf8(wire.rest().await).unwrap();
        assert!(heard.trim_end().ends_with(told), "{heard}");
    }
    assert!(without_hello.rest().await.is_empty());
    drop(without_hello);
    alone.nothing_left(&world, "slow and silent clients").await;
}

#[tokio::test]
async fn invariant_11_a_client_that_stops_reading_is_not_read_for() {
    let alone = Alone::begin().await;
    let world = World::start().await;
    let line = [b"x".repeat(76), b"\r\n".to_vec()].concat();
    let message = Bytes::from(line.repeat(1_000_000));
    world.sandbox.deliver(ADDRESS, message.clone());
    // The first password check takes its memory for good.
    drop(Wire::logged_in(&world, Pop3).await);
    let before = resident();

    let mut wire = Wire::logged_in(&world, Pop3).await;
    wire.say("RETR 1\r\n").await;
    // Another whole session passes meanwhile: what would be read without bound has had its time.
    for _ in 0..20 {
        let mut other = Wire::logged_in(&world, Pop3).await;
        assert!(other.ask("STAT").await.starts_with("+OK"));
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < message.len() / 4, "{grown} bytes held for a client that does not read");
    assert!(wire.line().await.starts_with("+OK"));
    let heard = wire.read_to_lone_dot().await;
    assert!(heard == message, "all of it comes once it is read: {} of {}", heard.len(), message.len());
    drop(wire);

    let mut wire = Wire::logged_in(&world, Pop3).await;
    wire.say("RETR 1\r\n").await;
    assert!(wire.line().await.starts_with("+OK"));
    drop(wire);
    alone.nothing_left(&world, "clients that stop reading").await;
}

/// This process's memory that is in use.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[tokio::test]
async fn a_client_that_hangs_up_while_it_waits_gives_its_place_back() {
    let alone = Alone::begin().await;
    let world = World::capped(1).await;
    for protocol in Protocol::ALL {
        let last = if protocol == Imap { Moment::Command } else { Moment::Verdict };
        for at in [Moment::Greeting, Moment::Auth, Moment::Verdict, last] {
            let fault = MailFault { protocol, at, action: Action::Stall };
            world.sandbox.change(|personality| personality.mail = vec![fault]);
            let mut wire = Wire::greeted(&world, protocol, ListenerTls::None).await;
            wire.say(format!("{}\r\n", login(protocol, PASSWORD))).await;
            eventually("the place is taken", || world.daemon.mailboxes_in_use() == 1).await;
            drop(wire);
            // The sandbox's side of the connection too, which it keeps for as long as Gatepost keeps its own.
            alone.nothing_left(&world, &format!("{protocol} gone at {at:?}")).await;
        }
        world.sandbox.change(|personality| personality.mail.clear());
    }

    let held = CancellationToken::new();
    world.connect_with_an_expired_token().await;
    world.sandbox.change(|personality| personality.token_endpoint = Some(TokenFault::Hold(held.clone())));
    let mut wire = Wire::greeted(&world, Smtp, ListenerTls::None).await;
    wire.say(format!("{}\r\n", login(Smtp, PASSWORD))).await;
    eventually("the refresh is asked for", || world.sandbox.counters().refresh_requests == 1).await;
    drop(wire);
    eventually("the place is free again", || world.daemon.mailboxes_in_use() == 0).await;
    held.cancel();
    alone.nothing_left(&world, "a client gone during the refresh").await;
    world.sandbox.change(|personality| personality.token_endpoint = None);
    drop(Wire::logged_in(&world, Smtp).await);
    assert_eq!(world.sandbox.counters().refresh_requests, 1, "nothing was lost: the answer was kept");
}
