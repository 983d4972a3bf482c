//! Whose mailbox a login opens, at servers that nobody here wrote: a shared one through its delegate, and those of a domain
//! through the application's one token.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
#![allow(dead_code, reason = "the support is shared with other tests")]

#[path = "support/real/mod.rs"]
mod real;

use std::fs;
use std::path::PathBuf;

use real::dovecot::OFFICE;
use real::gatepost::{Gatepost, PASSWORD};
use real::oidc::Client;
use real::process::needs;
use real::setting::{MARTHA, curl, fails, succeeds};
use real::{MailProvider, Tls};

/// A Gatepost, not running, that is this client to the provider.
async fn configured(client: Client) -> Option<(Gatepost, MailProvider)> {
    if !needs("curl") {
        return None;
    }
    let provider = MailProvider::start().await?;
    let yaml = provider.provider_yaml("real", client, Tls::Implicit);
    Some((Gatepost::configured(provider.folder.path(), &yaml), provider))
}

/// Sends a message from a mailbox to itself, logged in as `login`.
fn send(gatepost: &Gatepost, provider: &MailProvider, login: &str, mailbox: &str) {
    let file = file(provider, "sent.eml");
    fs::write(&file, format!("From: {mailbox}\r\nTo: {mailbox}\r\nSubject: to {mailbox}\r\n\r\nhello\r\n"))
        .unwrap();
    let mut command = curl(gatepost, login, &format!("smtps://localhost:{}", gatepost.smtps));
    command.args(["--mail-from", mailbox, "--mail-rcpt", mailbox, "--upload-file"]).arg(file);
    succeeds(&mut command);
    provider.await_delivery(mailbox, 1);
}

/// Fetches the one message by POP3 and by IMAP; it is the one that was sent to the mailbox.
fn fetch(gatepost: &Gatepost, provider: &MailProvider, login: &str, mailbox: &str) {
    let urls = [
        format!("pop3s://localhost:{}/1", gatepost.pop3s),
        format!("imaps://localhost:{}/INBOX;UID=1", gatepost.imaps),
    ];
    for url in urls {
        let file = file(provider, "fetched.eml");
        succeeds(curl(gatepost, login, &url).arg("--output").arg(&file));
        let fetched = fs::read_to_string(&file).unwrap();
        assert!(fetched.contains(&format!("Subject: to {mailbox}")), "{url}: {fetched}");
    }
}

fn file(provider: &MailProvider, name: &str) -> PathBuf {
    provider.folder.path().join(name)
}

#[tokio::test]
async fn a_shared_mailbox_is_fetched_as_itself_and_sent_from_as_its_delegate() {
    let Some((mut gatepost, provider)) = configured(Client::Native).await else { return };
    gatepost.add_account(MARTHA, "real");
    gatepost.connect(MARTHA, &provider).await;
    let add = ["account", "add", OFFICE, "--shared", "--owner", MARTHA, "--password-stdin"];
    let told = gatepost.command(&add, PASSWORD);
    assert!(told.contains("martha@example.test is connected, so nobody has to consent again."), "{told}");
    gatepost.run();

    let login = format!("{OFFICE}:{PASSWORD}");
    send(&gatepost, &provider, &login, OFFICE);
    fetch(&gatepost, &provider, &login, OFFICE);
    let postfix = fs::read_to_string(file(&provider, "postfix/postfix.log")).unwrap();
    assert!(postfix.contains("sasl_username=martha@example.test"), "{postfix}");
    let dovecot = fs::read_to_string(file(&provider, "dovecot/dovecot.log")).unwrap();
    for protocol in ["pop3", "imap"] {
        assert!(dovecot.contains(&format!("{protocol}-login: Info: Login: user=<{OFFICE}>")), "{dovecot}");
    }

    // The delegate is needed: as the mailbox itself nobody sends.
    let told = gatepost.command(&["test", OFFICE], "");
    let told = told.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(told.contains("by the consent of martha@example.test"), "{told}");
    assert!(
        told.contains("let martha@example.test in") && told.contains("let office@example.test in"),
        "{told}"
    );
    gatepost.command(&["account", "set", OFFICE, "--no-smtp-user-name"], "");
    let told = gatepost.failing_command(&["test", OFFICE], 5);
    let told = told.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(told.contains("535") && told.matches("let office@example.test in").count() == 2, "{told}");
}

#[tokio::test]
async fn a_shared_mailbox_works_by_one_consent_of_a_delegate_who_has_no_account() {
    let Some((gatepost, provider)) = configured(Client::Native).await else { return };
    gatepost.add_account(OFFICE, "real");
    let mut connecting = gatepost.connecting(&[OFFICE, "--no-browser", "--shared", "--owner", MARTHA]);
    let landed = provider.oidc.consent(&connecting.address(), MARTHA).await;
    let page = provider.oidc.browse(landed).await;
    assert!(page.contains("office@example.test is connected by martha@example.test"), "{page}");
    let (status, told) = connecting.end();
    assert_eq!(status, Some(0), "{told}");
    let told = gatepost.command(&["test", OFFICE, "--json"], "");
    assert!(
        told.contains("\"ok\":true") && told.contains("\"token_owner\":\"martha@example.test\""),
        "{told}"
    );
    assert!(told.contains("\"user_name\":\"martha@example.test\""), "{told}");
}

#[tokio::test]
async fn of_a_catch_all_account_each_device_opens_its_own_mailbox_alone() {
    let Some((mut gatepost, provider)) = configured(Client::Service).await else { return };
    let every_mailbox = "*@example.test";
    gatepost.command(&["account", "add", every_mailbox], "");
    let devices = [("scan@example.test", "of the scanner"), ("erp@example.test", "of the ERP system")];
    for (mailbox, password) in devices {
        let add = ["credential", "add", every_mailbox, "--mailbox", mailbox, "--password-stdin"];
        gatepost.command(&add, password);
        let told = gatepost.command(&["test", every_mailbox, "--mailbox", mailbox, "--json"], "");
        assert!(told.contains("\"ok\":true"), "{told}");
    }
    let told = gatepost.command(
        &["credential", "add", every_mailbox, "--all-mailboxes", "--password-stdin"],
        "of the archive",
    );
    assert!(told.contains("can read every mailbox of example.test"), "{told}");
    gatepost.run();

    for (mailbox, password) in devices {
        let login = format!("{mailbox}:{password}");
        send(&gatepost, &provider, &login, mailbox);
        fetch(&gatepost, &provider, &login, mailbox);
        fetch(&gatepost, &provider, &format!("{mailbox}:of the archive"), mailbox);
    }
    let [(_, scanners), (erp, _)] = devices;
    let url = format!("pop3s://localhost:{}/1", gatepost.pop3s);
    for login in [format!("{erp}:{scanners}"), format!("{every_mailbox}:of the archive")] {
        let told = fails(&mut curl(&gatepost, &login, &url));
        assert!(told.contains("curl: (67)"), "the login is denied: {told}");
    }
}
