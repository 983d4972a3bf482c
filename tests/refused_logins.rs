//! A mailbox whose token is good and that its mail server refuses all the same: the device, the log and `gatepost status` name the
//! same row, until a login gets in.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test says what is wrong by panicking"
)]

mod support;

use std::path::{Path, PathBuf};

use gatepost::config::ListenerTls;
use gatepost::config::provider::UpstreamTls;
use gatepost::diagnosis::by_id;
use gatepost::sandbox::{MailFault, Personality, Sandbox};
use gatepost_protocol::Protocol::{self, Imap, Pop3, Smtp};
use support::log::Log;
use support::process::said;
use support::wire::{Wire, of_row, success};
use support::world::{ADDRESS, World};

const TENANT: &str = "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. \
                      Visit https://aka.ms/smtp_auth_disabled for more information.";

async fn exchange() -> (World, PathBuf) {
    let sandbox = Sandbox::start_as(Personality::exchange()).await.unwrap();
    let world = World::at(sandbox, UpstreamTls::Implicit, |yaml| yaml, |_| {}).await;
    world.connect().await;
    let config = world.folder().join("gatepost.yaml");
    std::fs::write(&config, &world.yaml).unwrap();
    (world, config)
}

async fn log_in(world: &World, protocol: Protocol) -> String {
    Wire::greeted(world, protocol, ListenerTls::Implicit).await.log_in(protocol).await
}

/// Waits until what a session met is noted, which the session itself does not.
async fn noted(world: &World, protocol: Protocol, is_refused: bool) {
    loop {
        let logins = world.store.upstream_logins().await.unwrap().remove(&world.account).unwrap_or_default();
        let found = logins.iter().find(|one| one.protocol == protocol);
        if found.is_some_and(|one| one.refused.is_some() == is_refused) {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// The exit status, and all that was said, on one line.
async fn status(config: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let (exit, told) = said(config, arguments, "").await;
    (exit, told.split_whitespace().collect::<Vec<_>>().join(" "))
}

#[test]
fn a_line_that_a_thread_without_a_log_came_by_first_is_in_the_log_of_one_that_has_it() {
    let log = Log::begin();
    let warn = || tracing::warn!("come by twice");
    std::thread::spawn(warn).join().unwrap();
    warn();
    assert_eq!(log.text().matches("come by twice").count(), 1);
}

#[tokio::test]
async fn smtp_auth_that_is_switched_off_is_told_by_the_device_the_log_and_status_alike_until_a_login_gets_in()
{
    let (mut world, config) = exchange().await;
    let log = Log::begin();
    assert_eq!(log_in(&world, Pop3).await, success(Pop3));
    noted(&world, Pop3, false).await;
    assert_eq!(status(&config, &["status"]).await.0, Some(0));

    world.sandbox.switch_off_for_tenant(Smtp);
    assert_eq!(log_in(&world, Smtp).await, format!("454 4.7.0 {}", of_row("D02")));
    noted(&world, Smtp, true).await;
    let row = by_id("D02").unwrap();
    let reason = format!("{ADDRESS} is refused: SMTP: {} (D02): {TENANT}; POP3 works", row.title);
    let step = format!("(all of it: `gatepost explain D02`); then: gatepost test {ADDRESS}");
    let (exit, told) = status(&config, &["status"]).await;
    assert_eq!(exit, Some(7), "{told}");
    assert!(told.contains(&reason) && told.contains(&step), "{told}");
    let (_, told) = status(&config, &["status", "--json"]).await;
    let keys = ["\"protocol\": \"smtp\"", "\"diagnosis\": \"D02\"", TENANT];
    assert!(keys.iter().all(|words| told.contains(words)), "{told}");
    assert!(status(&config, &["account", "list"]).await.1.contains("refused"));

    let text = log.text();
    let line = text.lines().find(|line| line.contains("login failed: ")).unwrap();
    let fix = row.fix_for(ADDRESS);
    for words in [TENANT, "diagnosis=\"D02\"", &row.title, &row.cause, &fix, "docs/errors.md#d02", ADDRESS] {
        let quoted = words.replace('"', "\\\"");
        assert!(line.contains(words) || line.contains(&quoted), "{words}: {line}");
    }
    let json = log.json();
    let line = json.lines().find(|line| line.contains("login failed: ")).unwrap();
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(
        (&line["diagnosis"], &line["title"], &line["cause"], &line["fix"], &line["see"]),
        (
            &"D02".into(),
            &row.title.as_str().into(),
            &row.cause.as_str().into(),
            &fix.as_str().into(),
            &"docs/errors.md#d02".into()
        )
    );

    let yaml = world.yaml.clone();
    world.restart(&yaml, |_| {}).await;
    assert!(status(&config, &["status"]).await.1.contains(&reason), "after a restart too");
    assert_eq!(log_in(&world, Pop3).await, success(Pop3));
    world.connect().await;
    assert!(status(&config, &["status"]).await.1.contains(&reason), "a consent does not switch SMTP on");
    world.sandbox.switch_on(Smtp, ADDRESS);
    assert_eq!(log_in(&world, Smtp).await, success(Smtp));
    noted(&world, Smtp, false).await;
    let (exit, told) = status(&config, &["status"]).await;
    assert_eq!(exit, Some(0), "{told}");
}

#[tokio::test]
async fn imap_without_a_mailbox_is_told_beside_smtp_that_works_and_test_ends_it() {
    let (world, config) = exchange().await;
    let fault = MailFault::exchange_not_connected();
    world.sandbox.change(|personality| personality.mail = vec![fault]);
    assert_eq!(log_in(&world, Smtp).await, success(Smtp));
    noted(&world, Smtp, false).await;
    assert_eq!(log_in(&world, Imap).await, format!("a1 NO [CONTACTADMIN] {}", of_row("D30")));
    noted(&world, Imap, true).await;
    let title = &by_id("D30").unwrap().title;
    let told = status(&config, &["status", ADDRESS]).await;
    let reason = format!("IMAP: {title} (D30): User is authenticated but not connected.; SMTP works");
    assert!(told.0 == Some(7) && told.1.contains(&reason), "{told:?}");
    world.sandbox.change(|personality| personality.mail.clear());
    assert_eq!(said(&config, &["test", ADDRESS], "").await.0, Some(0));
    assert_eq!(status(&config, &["status"]).await.0, Some(0));
}

#[tokio::test]
async fn what_passes_by_itself_is_not_noted_and_what_nobody_knows_is() {
    let (world, config) = exchange().await;
    let log = Log::begin();
    let refuse = |protocol, reply: &str| {
        let fault = MailFault::refusal(protocol, false, reply);
        world.sandbox.change(|personality| personality.mail = vec![fault]);
    };
    refuse(Smtp, "432 4.3.2 Concurrent connections limit exceeded.");
    assert_eq!(log_in(&world, Smtp).await, format!("454 4.3.2 {}", of_row("D17")));
    refuse(Pop3, "-ERR zyx is not for you");
    assert_eq!(log_in(&world, Pop3).await, "-ERR [SYS/PERM] zyx is not for you");
    noted(&world, Pop3, true).await;
    let told = status(&config, &["status"]).await.1;
    assert!(
        told.contains("is refused: POP3: the mail server refuses the login: zyx is not for you"),
        "{told}"
    );
    assert!(told.contains("Gatepost does not know this answer yet; please report it"), "{told}");
    assert!(
        log.text().contains("zyx is not for you; Gatepost does not know this answer yet, please report it")
    );
    world.sandbox.change(|personality| personality.mail.clear());
    assert_eq!(log_in(&world, Pop3).await, success(Pop3));
    noted(&world, Pop3, false).await;
    let smtp = world.store.upstream_logins().await.unwrap().remove(&world.account).unwrap();
    assert!(smtp.iter().all(|one| one.protocol != Smtp), "{smtp:?}");
}
