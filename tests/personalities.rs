//! Gatepost at Exchange and at Gmail as the sandbox plays them: what no free server shows. Who gets in, and what everybody
//! else is told.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what is wrong by panicking")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use gatepost::config::ListenerTls;
use gatepost::config::provider::UpstreamTls;
use gatepost::sandbox::record::Speaker;
use gatepost::sandbox::{CLIENT_ID, Personality, Sandbox};
use gatepost::store::accounts::NewAccount;
use gatepost_protocol::Protocol::{self, Imap, Pop3, Smtp};

use support::log::Log;
use support::wire::{Wire, of_row};
use support::world::{ADDRESS, World};

const PROTOCOLS: [Protocol; 3] = [Smtp, Pop3, Imap];

/// Who has access to the shared mailbox.
const DELEGATE: &str = "boss@example.com";

async fn exchange() -> Sandbox {
    Sandbox::start_as(Personality::exchange()).await.unwrap()
}

async fn gmail() -> Sandbox {
    Sandbox::start_as(Personality::gmail()).await.unwrap()
}

/// A world whose account is as it would be without any settings, connected by its own consent.
async fn ordinary(sandbox: Sandbox) -> World {
    let world = World::at(sandbox, UpstreamTls::StartTls, |yaml| yaml, |_| {}).await;
    world.connect().await;
    world
}

/// A world whose mailbox is shared, connected by its delegate's consent.
async fn shared(sandbox: Sandbox, account: impl FnOnce(&mut NewAccount)) -> World {
    let world = World::at(sandbox, UpstreamTls::Implicit, |yaml| yaml, account).await;
    world.sandbox.change(|personality| personality.consents_as = Some(DELEGATE.to_owned()));
    world.connect().await;
    world
}

/// A world in which the application has a token of its own, and nobody consents.
async fn app_only(sandbox: Sandbox) -> World {
    let provider = |yaml: String| {
        yaml.replace("grant: authorization_code", "grant: client_credentials")
            .lines()
            .map(|line| {
                if line.trim_start().starts_with("scopes:") {
                    "    scopes: [https://outlook.office365.com/.default]\n".to_owned()
                } else {
                    format!("{line}\n")
                }
            })
            .collect()
    };
    World::at(sandbox, UpstreamTls::Implicit, provider, |_| {}).await
}

/// What a program hears when it logs in.
async fn told(world: &World, protocol: Protocol) -> String {
    Wire::greeted(world, protocol, ListenerTls::None).await.log_in(protocol).await
}

async fn is_let_in(world: &World, protocol: Protocol) {
    let told = told(world, protocol).await;
    let expected = match protocol {
        Smtp => "235 ",
        Pop3 => "+OK ",
        Imap => "a1 OK ",
    };
    assert!(told.starts_with(expected), "{protocol}: {told}");
}

/// The program is told that an admin must act, not that its password is wrong, in words that fit a scanner's panel.
async fn needs_admin(world: &World, protocol: Protocol, id: &str) {
    let cause = of_row(id);
    assert!(cause.len() <= 60, "{cause}");
    let code = match protocol {
        Smtp => "454 4.7.0",
        Pop3 => "-ERR [SYS/PERM]",
        Imap => "a1 NO [CONTACTADMIN]",
    };
    assert_eq!(told(world, protocol).await, format!("{code} {cause}"));
}

/// What the provider says to a message, in the words that go through to the program.
async fn send(world: &World, sender: &str) -> String {
    let mut smtp = Wire::greeted(world, Smtp, ListenerTls::None).await;
    assert!(smtp.log_in(Smtp).await.starts_with("235 "));
    for (command, expected) in [
        (format!("MAIL FROM:<{sender}>"), "250 2.1.0"),
        (format!("RCPT TO:<{ADDRESS}>"), "250 2.1.5"),
        ("DATA".to_owned(), "354 "),
    ] {
        assert!(smtp.ask(&command).await.starts_with(expected));
    }
    smtp.ask(&format!("From: <{sender}>\r\n\r\nText\r\n.")).await
}

/// What Gatepost said to the provider's server of a protocol.
fn said(world: &World, protocol: Protocol) -> Vec<String> {
    let dialogues = world.sandbox.dialogues();
    let lines = dialogues.into_iter().filter(|dialogue| dialogue.protocol == protocol);
    let lines = lines.flat_map(|dialogue| dialogue.lines);
    lines.filter(|line| line.speaker == Speaker::Client).map(|line| line.text).collect()
}

#[tokio::test]
async fn a_mailbox_is_sent_from_and_read_at_both_by_every_protocol() {
    let capabilities = [
        "IMAP4 IMAP4rev1 UIDPLUS MOVE ID UNSELECT CLIENTACCESSRULES CLIENTNETWORKPRESENCELOCATION \
         BACKENDAUTHENTICATE CHILDREN IDLE NAMESPACE LITERAL+",
        "IMAP4rev1 UNSELECT IDLE NAMESPACE ID CHILDREN UIDPLUS MOVE",
    ];
    for (sandbox, capabilities) in [exchange().await, gmail().await].into_iter().zip(capabilities) {
        let world = ordinary(sandbox).await;
        assert_eq!(send(&world, ADDRESS).await, "250 2.6.0 Delivered");
        let mut pop3 = Wire::greeted(&world, Pop3, ListenerTls::None).await;
        pop3.log_in(Pop3).await;
        assert!(pop3.ask("STAT").await.starts_with("+OK 1 "));
        let mut imap = Wire::greeted(&world, Imap, ListenerTls::None).await;
        let logged_in = imap.log_in(Imap).await;
        assert_eq!(logged_in, format!("a1 OK [CAPABILITY {capabilities}] Logged in"));
        assert!(imap.command("a2", "SELECT INBOX").await.contains(&"* 1 EXISTS".to_owned()));
        assert_eq!(world.sandbox.counters().refused_logins, 0);
    }
}

#[tokio::test]
async fn gmail_is_spoken_to_by_oauthbearer_where_the_configuration_names_it() {
    let named = |yaml: String| yaml.replace(", capabilities:", ", mechanism: oauthbearer, capabilities:");
    let world = World::at(gmail().await, UpstreamTls::Implicit, named, |_| {}).await;
    world.connect().await;
    for protocol in PROTOCOLS {
        is_let_in(&world, protocol).await;
        let said = said(&world, protocol);
        assert!(said.iter().any(|line| line.contains(" OAUTHBEARER")), "{said:?}");
    }
    let by_default = ordinary(gmail().await).await;
    is_let_in(&by_default, Imap).await;
    assert!(said(&by_default, Imap).iter().any(|line| line.contains(" XOAUTH2 ")));
    // Another's token: the challenge is answered as the mechanism wants it, or there would be no final word.
    world.sandbox.change(|personality| personality.consents_as = Some(DELEGATE.to_owned()));
    world.connect().await;
    let log = Log::begin();
    needs_admin(&world, Smtp, "D98").await;
    needs_admin(&world, Pop3, "D98").await;
    needs_admin(&world, Imap, "D98").await;
    let log = log.text();
    let failures = log.lines().filter(|line| line.contains("login failed: "));
    let told_why = failures.filter(|line| line.contains("(challenge: status 400, "));
    assert_eq!(told_why.count(), PROTOCOLS.len(), "{log}");
}

#[tokio::test]
async fn a_shared_mailbox_works_when_smtp_logs_in_as_the_delegate() {
    let world = shared(exchange().await, |account| account.smtp_user_name = Some(DELEGATE.to_owned())).await;
    world.sandbox.grant_full_access(ADDRESS, DELEGATE);
    for protocol in PROTOCOLS {
        is_let_in(&world, protocol).await;
    }
    let denied = send(&world, ADDRESS).await;
    let expected = format!("554 5.2.252 SendAsDenied; {DELEGATE} not allowed to send as {ADDRESS}; ");
    assert!(denied.starts_with(&expected), "{denied}");
    world.sandbox.grant_send_as(ADDRESS, DELEGATE);
    assert_eq!(send(&world, ADDRESS).await, "250 2.6.0 Delivered");
    assert_eq!(world.sandbox.mailbox(ADDRESS).len(), 1);
}

#[tokio::test]
async fn smtp_as_the_shared_mailbox_is_refused_even_with_full_access() {
    let world = shared(exchange().await, |_| {}).await;
    world.sandbox.grant_full_access(ADDRESS, DELEGATE);
    needs_admin(&world, Smtp, "D08").await;
    is_let_in(&world, Pop3).await;
    is_let_in(&world, Imap).await;
}

#[tokio::test]
async fn a_token_of_somebody_without_access_is_an_admin_s_matter_and_the_log_says_why() {
    let world = shared(exchange().await, |_| {}).await;
    let log = Log::begin();
    needs_admin(&world, Imap, "D30").await;
    needs_admin(&world, Pop3, "D34").await;
    needs_admin(&world, Smtp, "D08").await;
    let log = log.text();
    for reason in [
        "awaiting the response to LIST after the login: User is authenticated but not connected.",
        "awaiting the response to the token: Authentication failure: unknown user name or bad password.",
        "awaiting the reply to the token: 535 5.7.3 Authentication unsuccessful [FR0P281CA0001.",
    ] {
        let line = log.lines().find(|line| line.contains(reason));
        assert!(line.is_some_and(|line| line.contains(ADDRESS)), "{reason}: {log}");
    }
}

#[tokio::test]
async fn an_application_gets_in_once_its_permission_has_propagated() {
    let world = app_only(exchange().await).await;
    for (protocol, id) in [(Pop3, "D34"), (Imap, "D29")] {
        needs_admin(&world, protocol, id).await;
    }
    // SMTP takes the token, so that the program hears Exchange itself.
    let told = send(&world, ADDRESS).await;
    assert!(told.starts_with("430 4.2.0 STOREDRV; mailbox logon failure; "), "{told}");

    world.sandbox.change(|personality| personality.propagation = 1);
    world.sandbox.grant_full_access(ADDRESS, CLIENT_ID);
    needs_admin(&world, Imap, "D29").await;
    for protocol in PROTOCOLS {
        is_let_in(&world, protocol).await;
    }
    assert_eq!(send(&world, ADDRESS).await, "250 2.6.0 Delivered");
    // Two refusals forced a token each; the third came within minutes of one.
    assert_eq!(world.sandbox.counters().client_credentials_requests, 3);
}

#[tokio::test]
async fn a_protocol_that_is_switched_off_forces_no_new_token_and_is_named_in_the_log() {
    let world = ordinary(exchange().await).await;
    let log = Log::begin();
    world.sandbox.switch_off_for_tenant(Smtp);
    needs_admin(&world, Smtp, "D02").await;
    world.sandbox.switch_on(Smtp, ADDRESS);
    is_let_in(&world, Smtp).await;
    world.sandbox.switch_off(Smtp, ADDRESS);
    needs_admin(&world, Smtp, "D03").await;
    for whose in ["Tenant", "Mailbox"] {
        let reason = format!("SmtpClientAuthentication is disabled for the {whose}.");
        assert!(log.text().contains(&reason), "{}", log.text());
    }
    assert_eq!(world.sandbox.counters().refresh_requests, 0);

    let world = ordinary(gmail().await).await;
    world.sandbox.switch_off(Imap, ADDRESS);
    needs_admin(&world, Imap, "D134").await;
    assert!(log.text().contains("Your account is not enabled for IMAP use."));
    assert_eq!(world.sandbox.counters().refresh_requests, 0);
}

#[tokio::test]
async fn a_google_service_account_opens_the_mailboxes_of_a_domain_that_was_delegated_to_it() {
    for delegated in ["example.org", "example.com"] {
        let sandbox = gmail().await;
        sandbox.delegate_domain(delegated, "https://mail.google.com/");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("service-account.json");
        fs::write(&file, sandbox.service_account_key().unwrap()).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let provider = |yaml: String| {
            let keys = ["client_id:", "client_secret:", "token_endpoint:", "authorization_"];
            let kept = |line: &&str| !keys.iter().any(|key| line.trim_start().starts_with(key));
            let service_account = format!("grant: service_account\n    service_account: {}", file.display());
            let lines: Vec<&str> = yaml.lines().filter(kept).collect();
            lines.join("\n").replace("grant: authorization_code", &service_account) + "\n"
        };
        let log = Log::begin();
        let world = World::at(sandbox, UpstreamTls::Implicit, provider, |_| {}).await;
        if delegated == "example.com" {
            for protocol in PROTOCOLS {
                is_let_in(&world, protocol).await;
            }
        } else {
            needs_admin(&world, Imap, "D93").await;
            let log = log.text();
            assert!(log.contains("unauthorized_client") && log.contains("docs/errors.md#d93"), "{log}");
        }
    }
}
