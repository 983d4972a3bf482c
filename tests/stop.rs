//! Stopping: those who are not logged in are told, the others may finish, and what is on its way into the store gets
//! there.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

mod support;

use std::time::Duration;

use gatepost::config::ListenerTls;
use gatepost::config::provider::UpstreamTls;
use gatepost::sandbox::{Action, MailFault, Moment, TokenFault};
use gatepost_protocol::Protocol::{self, Imap, Pop3, Smtp};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use support::leftovers::eventually;
use support::wire::{Wire, authenticate, busy, login};
use support::world::{ADDRESS, PASSWORD, World};

const TOLD: &str = "Shutting down, try again in a moment";

#[tokio::test]
async fn those_who_are_not_logged_in_are_told_and_the_others_finish() {
    let world = World::with(UpstreamTls::Implicit, |limits| {
        // Whoever had to wait for one of these would wait for the test's end.
        limits.drain = Duration::from_hours(1);
        limits.wrong_password_delay = Duration::from_hours(1);
    })
    .await;
    let mut sending = Wire::logged_in(&world, Smtp).await;
    for command in [&format!("MAIL FROM:<{ADDRESS}>"), &format!("RCPT TO:<{ADDRESS}>"), "DATA"] {
        assert!(sending.ask(command).await.starts_with(['2', '3']));
    }
    let mut fetching = Wire::greeted(&world, Pop3, ListenerTls::Implicit).await;
    fetching.log_in(Pop3).await;
    let mut idling = Wire::logged_in(&world, Imap).await;
    idling.command("a2", "SELECT INBOX").await;
    assert!(idling.ask("a3 IDLE").await.starts_with("+ "));

    let mut told = Vec::new();
    for protocol in Protocol::ALL {
        let code = busy(protocol);
        for tls in [ListenerTls::None, ListenerTls::StartTls, ListenerTls::Implicit] {
            told.push((Wire::greeted(&world, protocol, tls).await, code));
            let mut in_auth = Wire::greeted(&world, protocol, tls).await;
            in_auth.ask(&authenticate(protocol, "LOGIN")).await;
            told.push((in_auth, code));
        }
        let mut wrong = Wire::greeted(&world, protocol, ListenerTls::None).await;
        wrong.say(format!("{}\r\n", login(protocol, "wrong"))).await;
        told.push((wrong, code));
        let fault = MailFault { protocol, at: Moment::Verdict, action: Action::Stall };
        world.sandbox.change(|personality| personality.mail = vec![fault]);
        let before = world.upstream_logins(protocol);
        let mut waiting = Wire::greeted(&world, protocol, ListenerTls::None).await;
        waiting.say(format!("{}\r\n", login(protocol, PASSWORD))).await;
        eventually("the provider has the token", || world.upstream_logins(protocol) > before).await;
        told.push((waiting, code));
    }
    world.sandbox.change(|personality| personality.mail.clear());
    // It has not even begun with TLS, so there is nothing that it could be told.
    let mut without_hello = Wire::connect(world.address(Smtp, ListenerTls::Implicit)).await;
    eventually("it is in", || world.daemon.connections() == told.len() + 4).await;

    let address = world.address(Smtp, ListenerTls::None);
    let World { daemon, sandbox, .. } = world;
    let stopping = tokio::spawn(daemon.stop());
    for (mut wire, code) in told {
        let heard = String::from_utf8(wire.rest().await).unwrap();
        let last = heard.lines().last().unwrap_or_default();
        assert!(last.starts_with(code) && last.ends_with(TOLD), "{heard}");
    }
    assert!(without_hello.rest().await.is_empty());
    assert!(TcpStream::connect(address).await.is_err(), "nobody is let in any more");
    assert!(!stopping.is_finished(), "three have not finished");

    assert!(sending.ask("Subject: late\r\n\r\nbut whole\r\n.").await.starts_with("250 "));
    assert!(sending.ask("QUIT").await.starts_with("221 "));
    assert!(sending.rest().await.is_empty());
    assert_eq!(sandbox.mailbox(ADDRESS).len(), 1);
    assert!(fetching.ask("QUIT").await.starts_with("+OK"));
    assert!(fetching.rest().await.is_empty());
    // Mail comes while the last one still waits for it.
    assert_eq!(idling.line().await, "* 1 EXISTS");
    assert!(idling.ask("DONE").await.starts_with("a3 OK"));
    idling.command("a4", "LOGOUT").await;
    assert!(idling.rest().await.is_empty());
    drop((sending, fetching, idling));
    stopping.await.unwrap();
}

#[tokio::test]
async fn when_the_time_to_drain_is_over_sessions_end_without_a_word() {
    let world = World::with(UpstreamTls::Implicit, |limits| limits.drain = Duration::ZERO).await;
    let mut logged_in = Vec::new();
    for protocol in Protocol::ALL {
        for tls in [ListenerTls::None, ListenerTls::StartTls, ListenerTls::Implicit] {
            let mut wire = Wire::greeted(&world, protocol, tls).await;
            wire.log_in(protocol).await;
            if protocol == Imap {
                assert!(wire.ask("a2 IDLE").await.starts_with("+ "));
            }
            logged_in.push(wire);
        }
    }
    let World { daemon, .. } = world;
    let stopping = tokio::spawn(daemon.stop());
    for wire in &mut logged_in {
        // Inside TLS an end without close_notify would be an error here.
        assert!(wire.rest().await.is_empty(), "text in a stream that is not ours");
    }
    drop(logged_in);
    stopping.await.unwrap();
}

#[tokio::test]
async fn a_refresh_under_way_is_committed_before_the_stop_is_over() {
    let world = World::start().await;
    world.connect_with_an_expired_token().await;
    let before = world.grant().await;
    let held = CancellationToken::new();
    world.sandbox.change(|personality| personality.token_endpoint = Some(TokenFault::Hold(held.clone())));
    let mut wire = Wire::greeted(&world, Smtp, ListenerTls::None).await;
    wire.say(format!("{}\r\n", login(Smtp, PASSWORD))).await;
    eventually("the refresh is asked for", || world.sandbox.counters().refresh_requests == 1).await;

    let World { daemon, store, account, sandbox, .. } = world;
    let stopping = tokio::spawn(daemon.stop());
    let heard = wire.line().await;
    assert!(heard.ends_with(TOLD), "{heard}");
    drop(wire);
    assert!(!stopping.is_finished(), "the answer may hold the only good refresh token");
    held.cancel();
    stopping.await.unwrap();

    let key = gatepost::store::grants::GrantKey::Account(account);
    let after = store.grant(&key).await.unwrap().unwrap();
    assert_eq!(after.version, before.version + 1);
    assert_ne!(after.refresh_token.unwrap().expose(), before.refresh_token.unwrap().expose());
    assert_eq!(sandbox.counters().refresh_requests, 1);
}
