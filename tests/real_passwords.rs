//! Mailboxes whose provider takes passwords, at servers that nobody here wrote: `connect` asks for the password and tries it, and
//! mail programs with passwords of Gatepost's own send and fetch, whichever way the password goes to the provider.
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
use std::process::Command;

use real::dovecot::Takes;
use real::gatepost::{Gatepost, PASSWORD};
use real::process::{eventually, needs};
use real::setting::{MARTHA, fails, succeeds};
use real::{MailProvider, Tls};

/// What the provider made for Gatepost: with blanks, with what IMAP escapes, and with what no quoted string can hold.
const APP_PASSWORDS: [&str; 2] = ["abcd efgh \"ijkl\" \\mnop", "abcd efgh schlüssel"];

async fn provider() -> Option<MailProvider> {
    if needs("curl") { MailProvider::taking(Takes::PasswordsToo).await } else { None }
}

/// A Gatepost with the account, which is not connected.
fn gatepost(provider: &MailProvider, tls: Tls, mechanism: &str) -> Gatepost {
    let yaml = provider.password_provider_yaml("post", tls, mechanism);
    let gatepost = Gatepost::configured(provider.folder.path(), &yaml);
    gatepost.add_account(MARTHA, "post");
    gatepost
}

/// curl with the password that old programs have.
fn curl(gatepost: &Gatepost, url: &str) -> Command {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--max-time", "60", "--noproxy", "*", "--ssl-reqd", "--cacert"])
        .arg(&gatepost.ca_file)
        .args(["--user", &format!("{MARTHA}:{PASSWORD}"), "--url", url]);
    curl
}

fn sending(gatepost: &Gatepost, provider: &MailProvider) -> Command {
    let message = provider.folder.path().join("message.eml");
    fs::write(&message, "Subject: hello\r\n\r\nhello\r\n").unwrap();
    let mut curl = curl(gatepost, &format!("smtp://localhost:{}", gatepost.smtp));
    curl.args(["--mail-from", MARTHA, "--mail-rcpt", MARTHA, "--upload-file"]).arg(message);
    curl
}

/// By POP3 and by IMAP: the first message.
fn fetching(gatepost: &Gatepost) -> [Command; 2] {
    let Gatepost { pop3, imaps, .. } = gatepost;
    let urls = [format!("pop3://localhost:{pop3}/1"), format!("imaps://localhost:{imaps}/INBOX;MAILINDEX=1")];
    urls.map(|url| curl(gatepost, &url))
}

#[tokio::test]
async fn mail_is_sent_and_fetched_whichever_way_the_password_goes() {
    let Some(provider) = provider().await else { return };
    let mut sent = 0;
    for (tls, mechanism, password) in [
        (Tls::Implicit, "", APP_PASSWORDS[0]),
        (Tls::StartTls, "", APP_PASSWORDS[1]),
        (Tls::StartTls, "      mechanism: login\n", APP_PASSWORDS[0]),
        (Tls::Implicit, "      mechanism: login\n", APP_PASSWORDS[1]),
    ] {
        provider.dovecot.set_password(&provider.certificates, MARTHA, password);
        let mut gatepost = gatepost(&provider, tls, mechanism);
        let told = gatepost.command(&["connect", MARTHA], password);
        assert_eq!(told.matches("let martha@example.test in").count(), 3, "{told}");
        assert!(!told.contains("abcd"), "{told}");
        let told = gatepost.command(&["test", MARTHA, "--json"], "");
        assert!(told.contains("\"ok\":true"), "{told}");
        gatepost.run();
        succeeds(&mut sending(&gatepost, &provider));
        sent += 1;
        provider.await_delivery(MARTHA, sent);
        for mut fetch in fetching(&gatepost) {
            let output = fetch.output().unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            assert!(output.status.success() && text.contains("hello"), "{fetch:?}: {text}");
        }
        drop(gatepost);
        fs::remove_dir_all(provider.folder.path().join("gatepost")).unwrap();
    }
    let postfix = &provider.postfix.server;
    for method in ["PLAIN", "LOGIN"] {
        let words = format!("sasl_method={method}, sasl_username={MARTHA}");
        if !eventually(|| postfix.log().contains(&words)) {
            postfix.fail(&format!("has no line with {words:?}"));
        }
    }
    assert!(!postfix.log().contains("sasl_method=XOAUTH2"));
}

#[tokio::test]
async fn a_wrong_password_is_not_kept_and_one_that_is_changed_at_the_provider_is_not_sent_again() {
    let Some(provider) = provider().await else { return };
    let dovecot = &provider.dovecot;
    dovecot.set_password(&provider.certificates, MARTHA, "the right one");
    let mut gatepost = gatepost(&provider, Tls::Implicit, "");
    let told = gatepost.failing_command_with(&["connect", MARTHA], 5, "a wrong one");
    for words in ["✗ SMTP login", "535 5.7.8", "✗ POP3 login", "✗ IMAP login", "nothing was stored"] {
        assert!(told.contains(words), "{words}: {told}");
    }
    assert!(!told.contains("a wrong one"), "{told}");
    assert!(gatepost.command(&["account", "list"], "").contains("not connected"));
    gatepost.command(&["connect", MARTHA], "the right one");
    gatepost.run();
    succeeds(&mut sending(&gatepost, &provider));
    provider.await_delivery(MARTHA, 1);

    dovecot.set_password(&provider.certificates, MARTHA, "a new one");
    let refusals = || dovecot.server.log().matches("Password mismatch").count();
    let before = refusals();
    for _ in 0..3 {
        for mut fetch in fetching(&gatepost) {
            fails(&mut fetch);
        }
    }
    if !eventually(|| refusals() >= before + 2) {
        dovecot.server.fail("was not asked twice");
    }
    assert_eq!(refusals(), before + 2, "once by each protocol, and never again");
    gatepost.command(&["connect", MARTHA], "a new one");
    for mut fetch in fetching(&gatepost) {
        succeeds(&mut fetch);
    }
}
