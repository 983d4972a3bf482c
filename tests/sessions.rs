//! Whole sessions: a client, a Gatepost as `run` starts it, and the sandbox as its provider.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test says what is wrong by panicking")]

mod support;

use gatepost::config::ListenerTls;
use gatepost::config::provider::UpstreamTls;
use gatepost::sandbox::{Action, MailFault, Moment};
use gatepost_protocol::Protocol;

use support::leftovers::eventually;
use support::wire::{Wire, login, success};
use support::world::{ADDRESS, PASSWORD, World};

#[tokio::test]
async fn a_message_sent_by_smtp_is_fetched_by_pop3_whatever_tls_either_side_has() {
    for upstream in [UpstreamTls::Implicit, UpstreamTls::StartTls] {
        let world = World::with(upstream, |_| {}).await;
        for tls in [ListenerTls::Implicit, ListenerTls::None, ListenerTls::StartTls] {
            let message = format!("Subject: {tls:?}\r\n\r\n..two dots\r\n.\r\nend\r\n");
            let mut smtp = Wire::greeted(&world, Protocol::Smtp, tls).await;
            smtp.say("EHLO scanner\r\n").await;
            assert!(smtp.reply().await.iter().any(|line| line.contains("AUTH PLAIN LOGIN")));
            assert_eq!(smtp.log_in().await, success(Protocol::Smtp));
            assert!(smtp.ask(&format!("MAIL FROM:<{ADDRESS}>")).await.starts_with("250"));
            assert!(smtp.ask(&format!("RCPT TO:<{ADDRESS}>")).await.starts_with("250"));
            assert!(smtp.ask("DATA").await.starts_with("354"));
            let stuffed = message.replace("\r\n.", "\r\n..");
            assert!(smtp.ask(&format!("{stuffed}.")).await.starts_with("250"));
            assert!(smtp.ask("QUIT").await.starts_with("221"));
            assert!(smtp.rest().await.is_empty());

            let mut pop3 = Wire::greeted(&world, Protocol::Pop3, tls).await;
            assert!(pop3.ask(&format!("USER {ADDRESS}")).await.starts_with("+OK"));
            assert_eq!(pop3.ask(&format!("PASS {PASSWORD}")).await, "+OK Logged in");
            assert!(pop3.ask("RETR 1").await.starts_with("+OK"));
            let fetched = String::from_utf8(pop3.read_to_lone_dot().await).unwrap();
            assert_eq!(fetched, message, "{upstream:?} {tls:?}");
            assert!(pop3.ask("DELE 1").await.starts_with("+OK"));
            assert!(pop3.ask("QUIT").await.starts_with("+OK"));
        }
        let counters = world.sandbox.counters();
        assert_eq!((counters.smtp_logins, counters.pop3_logins), (3, 3));
        world.daemon.stop().await;
    }
}

#[tokio::test]
async fn invariant_3_success_is_told_only_after_the_provider_said_it() {
    let world = World::start().await;
    for protocol in [Protocol::Smtp, Protocol::Pop3] {
        let logins = || world.sandbox.counters().smtp_logins + world.sandbox.counters().pop3_logins;
        let before = logins();
        let fault = MailFault { protocol, at: Moment::Verdict, action: Action::Stall };
        world.sandbox.change(|personality| personality.mail = vec![fault]);
        let mut wire = Wire::greeted(&world, protocol, ListenerTls::None).await;
        wire.say(format!("{}\r\n", login(PASSWORD))).await;
        eventually("the provider has the token", || logins() > before).await;
        assert!(wire.is_silent().await, "{protocol}: it has not said that the token is good");

        for refusal in
            ["454 4.7.0 no\r\n", "-ERR no\r\n", "235\r\n250 ", "250 OK\r\n", "+ OK\r\n", "+OKAY\r\n"]
        {
            let action = Action::SayAndClose(refusal.as_bytes().to_vec());
            let own = refusal.starts_with("235") && protocol == Protocol::Smtp;
            let fault = MailFault { protocol, at: Moment::Verdict, action };
            world.sandbox.change(|personality| personality.mail = vec![fault]);
            let mut wire = Wire::greeted(&world, protocol, ListenerTls::None).await;
            assert_eq!(wire.log_in().await == success(protocol), own, "{protocol} {refusal:?}");
        }
        world.sandbox.change(|personality| personality.mail.clear());
    }
    world.daemon.stop().await;
}

#[tokio::test]
async fn revoking_a_credential_ends_its_session_and_disabling_the_account_too() {
    let world = World::start().await;
    let mut scanner = Wire::logged_in(&world, Protocol::Smtp).await;
    let credential = world.store.credentials(Some(world.account)).await.unwrap()[0].id;
    // As another process would: the daemon is not told.
    assert!(world.store.revoke_credential(credential).await.unwrap());
    assert!(scanner.rest().await.is_empty(), "ended without a word in a stream that is not ours");

    let world = World::start().await;
    let mut desk = Wire::logged_in(&world, Protocol::Pop3).await;
    assert!(world.store.set_disabled(world.account, true).await.unwrap());
    assert!(desk.rest().await.is_empty());
    let mut again = Wire::greeted(&world, Protocol::Smtp, ListenerTls::None).await;
    assert!(again.ask(&login(PASSWORD)).await.starts_with("535 5.7.13 "));
}
