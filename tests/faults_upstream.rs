//! What goes wrong at the provider: each fault with the line that the client must hear, a session that can go on, and
//! nothing left behind.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

mod support;

use std::time::Duration;

use gatepost::config::ListenerTls;
use gatepost::config::provider::UpstreamTls;
use gatepost::sandbox::{Action, MailFault, Moment, Sandbox, TokenFault};
use gatepost_protocol::Protocol::{self, Imap, Pop3, Smtp};
use tokio_util::sync::CancellationToken;

use support::leftovers::Alone;
use support::wire::{Wire, of_row, quit, success};
use support::world::{ADDRESS, World};

/// Enough for a password check on a busy machine, and little enough to wait for in every state.
const LOGIN: Duration = Duration::from_millis(1500);

const GARBAGE: &[u8] = b"\x00\xff\xfe what?\r\n";

async fn world() -> World {
    World::with(UpstreamTls::StartTls, |limits| limits.login = LOGIN).await
}

/// The reply that the protocol gives a failure: SMTP's code for it, POP3's, and IMAP's.
fn told(protocol: Protocol, codes: Codes, cause: &str) -> String {
    match protocol {
        Smtp => format!("{} {cause}", codes.0),
        Pop3 => format!("-ERR [{}] {cause}", codes.1),
        Imap => format!("a1 NO [{}] {cause}", codes.2),
    }
}

type Codes = (&'static str, &'static str, &'static str);

const TEMPORARY: Codes = ("454 4.7.0", "SYS/TEMP", "UNAVAILABLE");
const NEEDS_ADMIN: Codes = ("454 4.7.0", "SYS/PERM", "CONTACTADMIN");
const BUSY: Codes = ("454 4.3.2", "SYS/TEMP", "LIMIT");

/// One session: the login fails with this line, SMTP says it again to MAIL FROM, and once the fault is gone the same
/// session logs in.
async fn fails_then_works(world: &World, protocol: Protocol, expected: &str, what: &str) {
    fails_in_one_way_then_works(world, protocol, &[expected.to_owned()], what).await;
}

/// The same where the network decides which line it is.
async fn fails_in_one_way_then_works(world: &World, protocol: Protocol, ways: &[String], what: &str) {
    let mut wire = Wire::greeted(world, protocol, ListenerTls::None).await;
    let expected = wire.log_in(protocol).await;
    assert!(ways.contains(&expected), "{what}: {expected} is none of {ways:?}");
    if protocol == Smtp {
        // .NET hides the reply to AUTH and shows this one.
        assert_eq!(wire.ask("MAIL FROM:<a@example.com>").await, expected, "{what}");
    }
    world.sandbox.change(|personality| {
        personality.mail.retain(|fault| fault.protocol != protocol);
        personality.token_endpoint = None;
    });
    assert_eq!(wire.log_in(protocol).await, success(protocol), "after {what}");
    wire.say(format!("{}\r\n", quit(protocol))).await;
    assert!(!wire.rest().await.is_empty());
}

fn moments(protocol: Protocol) -> &'static [Moment] {
    match protocol {
        Smtp => &[
            Moment::Greeting,
            Moment::Hello,
            Moment::StartTls,
            Moment::Handshake,
            Moment::HelloInTls,
            Moment::Auth,
            Moment::Verdict,
        ],
        // CAPA is not asked for.
        Pop3 => &[Moment::Greeting, Moment::StartTls, Moment::Handshake, Moment::Auth, Moment::Verdict],
        // CAPABILITY is asked for inside TLS, and once more behind the login.
        Imap => &[
            Moment::Greeting,
            Moment::StartTls,
            Moment::Handshake,
            Moment::HelloInTls,
            Moment::Auth,
            Moment::Verdict,
            Moment::Command,
        ],
    }
}

async fn every_state_of(world: &World, protocol: Protocol) {
    for &at in moments(protocol) {
        // What is no TLS record at all says nothing about a certificate. Where it came together with the reply to STARTTLS, it was said
        // in clear.
        let foreign: &[&str] = if at == Moment::Handshake { &["G08", "G09"] } else { &["G09"] };
        let silent: &[&str] = if at == Moment::Greeting { &["G06"] } else { &["G05"] };
        let faults = [
            (Action::Close, ["G07"].as_slice()),
            (Action::Say(GARBAGE.to_vec()), foreign),
            (Action::Say(vec![b'2'; 20_000]), foreign),
            (Action::Stall, silent),
        ];
        for (action, ids) in faults {
            let what =
                format!("{protocol} {at:?}: {}", &format!("{action:?}").chars().take(20).collect::<String>());
            world.sandbox.change(|personality| personality.mail.push(MailFault { protocol, at, action }));
            let ways: Vec<_> = ids.iter().map(|id| told(protocol, TEMPORARY, &of_row(id))).collect();
            fails_in_one_way_then_works(world, protocol, &ways, &what).await;
        }
    }
}

#[tokio::test]
async fn invariant_9_closed_stalled_and_garbled_in_every_state_is_temporary() {
    let alone = Alone::begin().await;
    let world = world().await;
    tokio::join!(every_state_of(&world, Smtp), every_state_of(&world, Pop3), every_state_of(&world, Imap),);
    // The token in a line of its own, as where SASL-IR is not offered.
    world.sandbox.change(|personality| personality.sasl_ir = false);
    every_state_of(&world, Imap).await;
    alone.nothing_left(&world, "faults in every state").await;
}

#[tokio::test]
async fn a_refusal_says_who_must_act_and_is_never_a_wrong_password() {
    let alone = Alone::begin().await;
    let world = world().await;
    let smtp = |challenge, reply| MailFault::refusal(Smtp, challenge, reply);
    let pop3 = |challenge, reply| MailFault::refusal(Pop3, challenge, reply);
    let imap = |challenge, reply| MailFault::refusal(Imap, challenge, reply);
    let first_answer = |said: &str| MailFault {
        protocol: Imap,
        at: Moment::Command,
        action: Action::Say(said.as_bytes().to_vec()),
    };
    let greeting = |protocol, line: &str| MailFault {
        protocol,
        at: Moment::Greeting,
        action: Action::SayAndClose(line.as_bytes().to_vec()),
    };
    let table = [
        (MailFault::exchange_refusal(), NEEDS_ADMIN, of_row("D08")),
        (MailFault::exchange_smtp_auth_disabled(), NEEDS_ADMIN, of_row("D02")),
        (MailFault::gmail_refusal(), NEEDS_ADMIN, of_row("D98")),
        (smtp(false, "454 4.7.0 Temporary authentication failure\r\n"), TEMPORARY, of_row("D115")),
        (smtp(true, "432 4.3.2 Concurrent connections limit exceeded.\r\n"), BUSY, of_row("D17")),
        (pop3(true, "-ERR [AUTH] Web login required\r\n"), NEEDS_ADMIN, of_row("D100")),
        (
            pop3(false, "-ERR Authentication failure: unknown user name or bad password.\r\n"),
            NEEDS_ADMIN,
            of_row("D34"),
        ),
        (pop3(false, "-ERR [SYS/TEMP] Come back\r\n"), TEMPORARY, of_row("D116")),
        (pop3(false, "-ERR [IN-USE] Maildrop locked\r\n"), BUSY, of_row("D120")),
        (greeting(Smtp, "421 4.7.0 Temporary system problem\r\n"), TEMPORARY, of_row("D102")),
        (greeting(Pop3, "-ERR Too many connections\r\n"), TEMPORARY, of_row("D107")),
        (imap(true, "NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)"), NEEDS_ADMIN, of_row("D98")),
        (imap(false, "NO AUTHENTICATE failed."), NEEDS_ADMIN, of_row("D29")),
        (imap(false, "BAD Not now"), NEEDS_ADMIN, "Not now".to_owned()),
        (imap(true, "NO [UNAVAILABLE] Come back"), TEMPORARY, of_row("D116")),
        (imap(false, "NO [LIMIT] Too many sessions"), BUSY, of_row("D107")),
        (imap(false, "NO [ALERT] Too many simultaneous connections. (Failure)"), BUSY, of_row("D107")),
        (MailFault::exchange_not_connected(), NEEDS_ADMIN, of_row("D30")),
        (first_answer("* BYE Internal error\r\n"), TEMPORARY, "Internal error".to_owned()),
        (greeting(Imap, "* BYE Not today\r\n"), TEMPORARY, "Not today".to_owned()),
        (greeting(Imap, "* BYE [ALERT] Too many simultaneous connections\r\n"), BUSY, of_row("D107")),
        (greeting(Imap, "* PREAUTH Welcome to somebody's mailbox\r\n"), TEMPORARY, of_row("G09")),
        (
            greeting(Imap, "* OK [CAPABILITY IMAP4rev1 AUTH=XOAUTH2] No TLS here\r\n"),
            NEEDS_ADMIN,
            of_row("G12"),
        ),
    ];
    for (fault, codes, cause) in table {
        let (protocol, what) = (fault.protocol, format!("{fault:?}"));
        world.sandbox.change(|personality| personality.mail = vec![fault]);
        fails_then_works(&world, protocol, &told(protocol, codes, &cause), &what).await;
    }
    // Once for each service; never for a policy, and not again within minutes (invariant 8).
    assert_eq!(world.sandbox.counters().refresh_requests, 3);
    alone.nothing_left(&world, "refusals").await;
}

#[tokio::test]
async fn invariant_8_a_policy_forces_no_refresh_because_no_token_would_help() {
    let alone = Alone::begin().await;
    let world = world().await;
    let imap = |reply| MailFault::refusal(Imap, false, reply);
    for fault in [
        MailFault::exchange_smtp_auth_disabled(),
        MailFault::refusal(Pop3, true, "-ERR [AUTH] Web login required\r\n"),
        imap("NO [ALERT] Please log in via your web browser: https://support.example.com (Failure)"),
        imap("NO [ALERT] Your account is not enabled for IMAP use. (Failure)"),
        imap("NO [AUTHORIZATIONFAILED] Not for this application"),
        MailFault::exchange_not_connected(),
    ] {
        let (protocol, what) = (fault.protocol, format!("{fault:?}"));
        world.sandbox.change(|personality| personality.mail = vec![fault]);
        let mut wire = Wire::greeted(&world, protocol, ListenerTls::None).await;
        assert_ne!(wire.log_in(protocol).await, success(protocol), "{what}");
    }
    let counters = world.sandbox.counters();
    assert_eq!((counters.refresh_requests, counters.smtp_connections), (0, 1));
    assert_eq!((counters.pop3_connections, counters.imap_connections), (1, 4));
    alone.nothing_left(&world, "policies").await;
}

#[tokio::test]
async fn a_token_endpoint_that_fails_is_told_and_loses_nothing() {
    let alone = Alone::begin().await;
    for protocol in Protocol::ALL {
        let held = CancellationToken::new();
        let table = [
            (TokenFault::internal_error(), TEMPORARY, "token server has a fault; try again later (G29)"),
            (
                TokenFault::too_many_requests(Duration::from_secs(1)),
                TEMPORARY,
                "provider asks to wait; try again later (G30)",
            ),
            (TokenFault::html(200), TEMPORARY, "token server not understood; try again later (G23)"),
            // Nobody answers there: following it would be told as an endpoint that is not reachable.
            (
                TokenFault::redirect("https://localhost:1/token"),
                TEMPORARY,
                "token server sends elsewhere; ask admin (G25)",
            ),
            (TokenFault::Hold(held.clone()), TEMPORARY, "token server too slow; try again (G18)"),
            (TokenFault::LoseAnswer, TEMPORARY, "token server not reachable; try again later (G27)"),
            (
                TokenFault::error("invalid_grant", "AADSTS50173"),
                NEEDS_ADMIN,
                "consent revoked; admin runs gatepost connect (D71)",
            ),
            (
                TokenFault::error("invalid_client", "AADSTS7000215"),
                NEEDS_ADMIN,
                "client secret is wrong; ask admin (D62)",
            ),
        ];
        for (fault, codes, cause) in table {
            let what = format!("{protocol} {fault:?}");
            // A provider in trouble is left alone for a while, whatever it would say next.
            let world = world().await;
            world.connect_with_an_expired_token().await;
            world.sandbox.change(|personality| personality.token_endpoint = Some(fault.clone()));
            let (before, stored) = (world.sandbox.counters(), world.grant().await);
            let connections = world.upstream_connections();
            let mut wire = Wire::greeted(&world, protocol, ListenerTls::None).await;
            let expected = told(protocol, codes, cause);
            assert_eq!(wire.log_in(protocol).await, expected, "{what}");
            assert_eq!(wire.log_in(protocol).await, expected, "{what}, and at once again");
            let after = world.sandbox.counters();
            // A device that retries at once would be a second request.
            assert_eq!(after.refresh_requests - before.refresh_requests, 1, "{what}");
            assert_eq!(world.upstream_connections(), connections, "{what}");
            let token = |grant: &gatepost::store::grants::Grant| {
                grant.refresh_token.as_ref().map(|token| token.expose().clone())
            };
            assert_eq!(token(&world.grant().await), token(&stored), "{what}: a failure erases nothing");
            world.sandbox.change(|personality| personality.token_endpoint = None);
            if let TokenFault::Hold(held) = fault {
                held.cancel();
            }
            world.connect().await;
            assert_eq!(wire.log_in(protocol).await, success(protocol), "after {what}");
            drop(wire);
            alone.nothing_left(&world, &what).await;
            world.daemon.stop().await;
        }
    }
}

#[tokio::test]
async fn nobody_listening_is_told_as_temporary() {
    let alone = Alone::begin().await;
    let mut world = world().await;
    let other = Sandbox::start().await.unwrap();
    std::mem::replace(&mut world.sandbox, other).stop().await;
    for protocol in Protocol::ALL {
        let mut wire = Wire::greeted(&world, protocol, ListenerTls::None).await;
        let expected = told(protocol, TEMPORARY, &of_row("G02"));
        assert_eq!(wire.log_in(protocol).await, expected);
    }
    alone.nothing_left(&world, "a refused port").await;
}

#[tokio::test]
async fn invariant_5_a_token_leaves_only_over_verified_tls() {
    let alone = Alone::begin().await;
    let mut world = world().await;
    let ca_file = world.folder().join("sandbox-ca.pem");
    let entry = |world: &World, tls| world.sandbox.provider_yaml("sandbox", &ca_file, tls);
    let implicit =
        world.yaml.replace(&entry(&world, UpstreamTls::StartTls), &entry(&world, UpstreamTls::Implicit));
    assert_ne!(implicit, world.yaml);

    for yaml in [world.yaml.clone(), implicit] {
        // The same servers under a name that their certificate does not have.
        let ports = world.sandbox.ports();
        let relays = support::relay::start([
            ports.smtp,
            ports.smtps,
            ports.pop3,
            ports.pop3s,
            ports.imap,
            ports.imaps,
            ports.https,
        ])
        .await;
        let wrong_name = yaml
            .replace("//localhost", &format!("//{}", support::relay::HOST))
            .replace("host: localhost,", &format!("host: {},", support::relay::HOST));
        world.restart(&wrong_name, |limits| limits.login = LOGIN).await;
        refused_for_the_certificate(&world, "a wrong name", "G11").await;
        drop(relays);

        let stranger = Sandbox::start().await.unwrap();
        std::fs::write(&ca_file, stranger.ca_pem()).unwrap();
        stranger.stop().await;
        world.restart(&yaml, |limits| limits.login = LOGIN).await;
        refused_for_the_certificate(&world, "an unknown CA", "D110").await;
        std::fs::write(&ca_file, world.sandbox.ca_pem()).unwrap();
    }
    alone.nothing_left(&world, "certificates").await;
}

async fn refused_for_the_certificate(world: &World, what: &str, id: &str) {
    for protocol in Protocol::ALL {
        let mut wire = Wire::greeted(world, protocol, ListenerTls::None).await;
        let expected = told(protocol, NEEDS_ADMIN, &of_row(id));
        assert_eq!(wire.log_in(protocol).await, expected, "{what}");
        world.connect_with_an_expired_token().await;
        let expected = told(protocol, NEEDS_ADMIN, "token server not trusted; ask admin (G28)");
        assert_eq!(wire.log_in(protocol).await, expected, "{what}");
        world.connect().await;
    }
    let counters = world.sandbox.counters();
    assert_eq!(counters.refresh_requests, 0, "{what}");
    assert_eq!(Protocol::ALL.map(|protocol| world.upstream_logins(protocol)), [0; 3], "{what}");
    assert_eq!(counters.refused_logins, 0, "{what}");
}

#[tokio::test]
async fn a_provider_that_breaks_off_mid_data_is_heard_as_it_is() {
    let alone = Alone::begin().await;
    let world = world().await;
    let parting = "421 4.3.2 Service shutting down\r\n";
    for (action, heard) in [(Action::Close, ""), (Action::SayAndClose(parting.as_bytes().to_vec()), parting)]
    {
        let fault = MailFault { protocol: Smtp, at: Moment::Body(1000), action };
        world.sandbox.change(|personality| personality.mail = vec![fault]);
        let mut wire = Wire::logged_in(&world, Smtp).await;
        for command in [&format!("MAIL FROM:<{ADDRESS}>"), &format!("RCPT TO:<{ADDRESS}>"), "DATA"] {
            assert!(wire.ask(command).await.starts_with(['2', '3']));
        }
        let line = [b"x".repeat(76), b"\r\n".to_vec()].concat();
        // Whether all of it is taken depends on when the end comes.
        let _ = wire.try_say(line.repeat(500)).await;
        assert_eq!(String::from_utf8(wire.rest().await).unwrap(), heard, "and then an end, not a reset");
    }
    assert!(world.sandbox.mailbox(ADDRESS).is_empty(), "half a message is none");
    alone.nothing_left(&world, "a provider that broke off").await;
}

#[tokio::test]
async fn a_provider_that_breaks_off_mid_fetch_is_heard_as_far_as_it_came() {
    let alone = Alone::begin().await;
    let world = world().await;
    let line = [b"x".repeat(76), b"\r\n".to_vec()].concat();
    world.sandbox.deliver(ADDRESS, line.repeat(100).into());
    for (action, last) in [
        (Action::Close, ""),
        (Action::SayAndClose(b"* BYE Shutting down\r\n".to_vec()), "* BYE Shutting down"),
    ] {
        let fault = MailFault { protocol: Imap, at: Moment::Body(780), action };
        world.sandbox.change(|personality| personality.mail = vec![fault]);
        let mut wire = Wire::logged_in(&world, Imap).await;
        wire.command("a2", "SELECT INBOX").await;
        wire.say("a3 FETCH 1 BODY.PEEK[]\r\n").await;
        assert!(wire.line().await.ends_with("{7800}"));
        let heard = String::from_utf8(wire.rest().await).unwrap();
        assert_eq!(heard.lines().filter(|line| line.len() == 76).count(), 10, "{heard}");
        assert!(heard.trim_end().ends_with(if last.is_empty() { "xxx" } else { last }), "{heard}");
    }
    alone.nothing_left(&world, "a provider that broke off").await;
}
