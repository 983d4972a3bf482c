//! A provider without OAuth behind a whole Gatepost: a stored password opens the mailbox in every protocol, a refused one is not
//! sent again and again, and `connect` keeps only one that works.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what is wrong by panicking")]

mod support;

use std::process::Stdio;
use std::time::SystemTime;

use gatepost::config::ListenerTls;
use gatepost::config::provider::UpstreamTls;
use gatepost::sandbox::{Action, MailFault, Moment, Personality, Sandbox};
use gatepost::store::grants::{GrantKey, NewTokens};
use gatepost_protocol::Protocol::{self, Imap, Pop3, Smtp};
use gatepost_protocol::secret::Secret;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use support::log::Log;
use support::wire::{Wire, login, success, wrong};
use support::world::{ADDRESS, World};

/// As a provider makes them, with what old protocols stumble over.
const APP_PASSWORD: &str = "abcd efgh \"ijkl\" schlüssel";

async fn world(upstream: UpstreamTls) -> World {
    let sandbox = Sandbox::start_as(Personality::post(APP_PASSWORD)).await.unwrap();
    World::at(sandbox, upstream, |yaml| yaml, |_| {}).await
}

async fn store(world: &World, password: &str) {
    world.store.replace_mailbox_password(world.account, &Secret::new(password.to_owned())).await.unwrap();
}

async fn log_in(world: &World, protocol: Protocol) -> (Wire, String) {
    let mut wire = Wire::greeted(world, protocol, ListenerTls::Implicit).await;
    let told = wire.log_in(protocol).await;
    (wire, told)
}

/// What a client hears whose mailbox is refused: it was right itself, so nothing of it is permanent.
fn refused(protocol: Protocol) -> &'static str {
    match protocol {
        Smtp => "454 4.7.0 stored password wrong; admin runs gatepost connect (G19)",
        Pop3 => "-ERR [SYS/PERM] stored password wrong; admin runs gatepost connect (G19)",
        Imap => "a1 NO [CONTACTADMIN] stored password wrong; admin runs gatepost connect (G19)",
    }
}

fn not_connected(protocol: Protocol) -> &'static str {
    match protocol {
        Smtp => "454 4.7.0 not connected yet; admin runs gatepost connect (G20)",
        Pop3 => "-ERR [SYS/PERM] not connected yet; admin runs gatepost connect (G20)",
        Imap => "a1 NO [CONTACTADMIN] not connected yet; admin runs gatepost connect (G20)",
    }
}

#[tokio::test]
async fn the_stored_password_opens_the_mailbox_in_every_protocol() {
    for upstream in [UpstreamTls::Implicit, UpstreamTls::StartTls] {
        let world = world(upstream).await;
        store(&world, APP_PASSWORD).await;
        for protocol in Protocol::ALL {
            let (mut wire, told) = log_in(&world, protocol).await;
            assert_eq!(told, success(protocol));
            let (command, answer) = match protocol {
                Smtp => ("MAIL FROM:<scanner@example.com>", "250 2.1.0 OK"),
                Pop3 => ("STAT", "+OK 0 0"),
                Imap => ("a2 NOOP", "a2 OK Completed"),
            };
            assert_eq!(wire.ask(command).await, answer);
            assert_eq!(world.upstream_logins(protocol), 1);
        }
    }
}

#[tokio::test]
async fn a_refused_password_is_not_sent_again_until_a_new_one_is_stored() {
    // No other test here has a password refused twice.
    let log = Log::begin_everywhere();
    let world = world(UpstreamTls::Implicit).await;
    store(&world, "not the one").await;
    for (number, protocol) in (1..).zip(Protocol::ALL) {
        for _ in 0..3 {
            assert_eq!(log_in(&world, protocol).await.1, refused(protocol));
        }
        assert_eq!(world.upstream_connections(), number, "one for each service that has not refused yet");
    }
    assert_eq!(world.sandbox.counters().refused_logins, 3);
    let text = log.text();
    let line = text.lines().find(|line| line.contains("not tried again") && line.contains("535 "));
    for words in ["WARN", ADDRESS, "535 5.7.8 Wrong user name", "run: gatepost connect scanner@example.com"] {
        assert!(line.is_some_and(|line| line.contains(words)), "{words}: {line:?}");
    }
    store(&world, APP_PASSWORD).await;
    for protocol in Protocol::ALL {
        assert_eq!(log_in(&world, protocol).await.1, success(protocol));
    }
    store(&world, "not the one").await;
    assert_eq!(log_in(&world, Pop3).await.1, refused(Pop3));
}

#[tokio::test]
async fn logins_at_the_same_moment_have_a_password_refused_once() {
    let world = world(UpstreamTls::Implicit).await;
    store(&world, "not the one").await;
    let (one, two, three) = tokio::join!(log_in(&world, Smtp), log_in(&world, Smtp), log_in(&world, Smtp));
    for (_, told) in [one, two, three] {
        assert_eq!(told, refused(Smtp));
    }
    assert_eq!(world.sandbox.counters().refused_logins, 1);
}

#[tokio::test]
async fn a_mailbox_that_is_closed_is_not_told_as_a_wrong_password() {
    let world = world(UpstreamTls::Implicit).await;
    store(&world, APP_PASSWORD).await;
    let fault = MailFault::refusal(Smtp, false, "550 5.2.1 This account is disabled");
    world.sandbox.change(|personality| personality.mail = vec![fault]);
    let told = "454 4.7.0 account is switched off at provider; ask admin (D123)";
    for _ in 0..2 {
        assert_eq!(log_in(&world, Smtp).await.1, told);
    }
    assert_eq!(world.upstream_connections(), 1, "it is not asked again at once");
}

#[tokio::test]
async fn what_may_pass_is_tried_again() {
    let world = world(UpstreamTls::Implicit).await;
    store(&world, APP_PASSWORD).await;
    for (protocol, reply, told) in [
        (Smtp, "454 4.7.0 later\r\n", "454 4.7.0 provider cannot check logins now; try again (D115)"),
        (
            Pop3,
            "-ERR [IN-USE] locked\r\n",
            "-ERR [SYS/TEMP] mailbox is in use elsewhere; try again shortly (D120)",
        ),
        (
            Imap,
            "NO [UNAVAILABLE] later\r\n",
            "a1 NO [UNAVAILABLE] mailbox not available now; try again later (D116)",
        ),
    ] {
        let action = Action::Refuse { challenge: false, reply: reply.to_owned() };
        let fault = MailFault { protocol, at: Moment::Verdict, action };
        world.sandbox.change(|personality| personality.mail = vec![fault]);
        assert_eq!(log_in(&world, protocol).await.1, told);
        world.sandbox.change(|personality| personality.mail.clear());
        assert_eq!(log_in(&world, protocol).await.1, success(protocol));
    }
}

#[tokio::test]
async fn without_a_stored_password_nothing_goes_out_and_a_token_is_none() {
    let world = world(UpstreamTls::Implicit).await;
    let tokens = NewTokens {
        access_token: Secret::new(APP_PASSWORD.to_owned()),
        refresh_token: None,
        issued_at: SystemTime::UNIX_EPOCH,
        expires_at: SystemTime::now() + std::time::Duration::from_hours(1),
        scopes: Vec::new(),
        identity: None,
    };
    world.store.replace_grant(&GrantKey::Account(world.account), &tokens).await.unwrap();
    for protocol in Protocol::ALL {
        assert_eq!(log_in(&world, protocol).await.1, not_connected(protocol));
    }
    assert_eq!(world.upstream_connections(), 0);
}

#[tokio::test]
async fn invariant_6_a_wrong_local_password_sends_no_stored_one() {
    let world = world(UpstreamTls::Implicit).await;
    store(&world, APP_PASSWORD).await;
    for protocol in Protocol::ALL {
        let mut wire = Wire::greeted(&world, protocol, ListenerTls::Implicit).await;
        // What is stored opens nothing here.
        assert_eq!(wire.ask(&login(protocol, APP_PASSWORD)).await, wrong(protocol));
    }
    assert_eq!(world.upstream_connections(), 0);
}

/// Exit status, standard output, standard error.
async fn gatepost(world: &World, arguments: &[&str], input: &str) -> (Option<i32>, String, String) {
    let configuration = world.folder().join("gatepost.yaml");
    std::fs::write(&configuration, &world.yaml).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_gatepost"))
        .arg("--config")
        .arg(configuration)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that reads nothing may be gone by now.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes()).await;
    let output = child.wait_with_output().await.unwrap();
    let text = |octets| String::from_utf8(octets).unwrap();
    let (said, complained) = (text(output.stdout), text(output.stderr));
    for piece in ["abcd", "schlüssel", "not the one"] {
        assert!(!said.contains(piece) && !complained.contains(piece), "{said}{complained}");
    }
    (output.status.code(), said, complained)
}

/// Without the ends of lines, which fall where the terminal's edge is.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn connect_tries_the_password_everywhere_and_keeps_it_if_one_server_takes_it() {
    let world = world(UpstreamTls::StartTls).await;
    let ports = world.sandbox.ports();
    let (status, said, complained) = gatepost(&world, &["connect", ADDRESS], "not the one\n").await;
    assert_eq!(status, Some(5), "{said}{complained}");
    assert!(said.contains("✗ SMTP login: "), "{said}");
    let words = format!(
        "localhost:{}, as {ADDRESS}: awaiting the reply to the password: 535 5.7.8 Wrong",
        ports.smtp
    );
    assert!(one_line(&said).contains(&words), "{said}");
    assert!(complained.contains("nothing was stored"), "{complained}");
    assert!(world.store.mailbox_password(world.account).await.unwrap().is_none());
    assert!(gatepost(&world, &["account", "list"], "").await.1.contains("not connected"));
    let (status, said, _) = gatepost(&world, &["test", ADDRESS], "").await;
    assert_eq!(status, Some(5));
    assert!(said.contains("✗ password: "), "{said}");
    assert!(
        one_line(&said).contains(&format!("{ADDRESS}: not connected yet; run: gatepost connect")),
        "{said}"
    );

    let broken = |protocol| MailFault { protocol, at: Moment::Greeting, action: Action::Close };
    world.sandbox.change(|personality| personality.mail = vec![broken(Smtp), broken(Imap)]);
    let (status, said, complained) = gatepost(&world, &["connect", ADDRESS], APP_PASSWORD).await;
    assert_eq!(status, Some(0), "{said}{complained}");
    assert!(said.contains("✗ SMTP login") && said.contains("✗ IMAP login"), "{said}");
    assert!(said.contains(&format!("✓ POP3 login: localhost:{} let {ADDRESS} in", ports.pop3)), "{said}");
    assert!(said.contains(&format!("✓ {ADDRESS} is connected to sandbox by its password")), "{said}");
    assert!(said.ends_with(&format!("Next: gatepost test {ADDRESS}\n")), "{said}");
    let stored = world.store.mailbox_password(world.account).await.unwrap().unwrap();
    assert_eq!(stored.secret.expose(), APP_PASSWORD);

    world
        .sandbox
        .change(|personality| personality.mail = vec![MailFault::refusal(Smtp, false, "550 5.2.1 closed")]);
    let (_, said, _) = gatepost(&world, &["test", ADDRESS], "").await;
    assert!(
        said.contains("✗ SMTP login") && one_line(&said).matches(&format!("let {ADDRESS} in (")).count() == 2,
        "{said}"
    );
    world
        .sandbox
        .change(|personality| personality.mail = vec![MailFault::refusal(Smtp, false, "535 5.7.8 no")]);
    let (_, said, _) = gatepost(&world, &["test", ADDRESS], "").await;
    let not_tried = "login: not tried: the password was refused, and more refusals may lock the mailbox";
    assert_eq!(one_line(&said).matches(not_tried).count(), 2, "{said}");

    world.sandbox.change(|personality| personality.mail.clear());
    let (status, said, _) = gatepost(&world, &["test", ADDRESS], "").await;
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("✓ password: one is stored, sealed"), "{said}");
    assert_eq!(one_line(&said).matches("let scanner@example.com in").count(), 3, "{said}");
    let (_, said, _) = gatepost(&world, &["account", "list"], "").await;
    assert!(said.contains("  connected"), "{said}");
    let (_, said, _) = gatepost(&world, &["account", "list", "--json"], "").await;
    assert!(said.contains(r#""way": "password""#), "{said}");
    assert!(gatepost(&world, &["check"], "").await.1.contains("sandbox: password"));
}

#[tokio::test]
async fn a_running_gatepost_takes_what_connect_stored_at_the_next_login() {
    let world = world(UpstreamTls::Implicit).await;
    store(&world, "not the one").await;
    assert_eq!(log_in(&world, Smtp).await.1, refused(Smtp));
    let (status, said, complained) = gatepost(&world, &["connect", ADDRESS], APP_PASSWORD).await;
    assert_eq!(status, Some(0), "{said}{complained}");
    assert_eq!(log_in(&world, Smtp).await.1, success(Smtp));
}

#[tokio::test]
async fn where_passwords_are_nobody_consents() {
    let world = world(UpstreamTls::Implicit).await;
    for option in ["--device", "--paste", "--no-browser", "--shared"] {
        let (status, _, complained) = gatepost(&world, &["connect", ADDRESS, option], APP_PASSWORD).await;
        assert_eq!(status, Some(1), "{option}: {complained}");
        assert!(complained.contains("nobody consents"), "{option}: {complained}");
    }
    assert_eq!(world.upstream_connections(), 0);
}
