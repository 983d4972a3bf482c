//! Getting in at servers that nobody here wrote by the mechanism that is named, and by a consent that was given while Gatepost ran.
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

use real::gatepost::{Gatepost, PASSWORD};
use real::oidc::Client;
use real::process::{eventually, needs};
use real::setting::{MARTHA, fails, succeeds};
use real::{MailProvider, Tls};

/// Gatepost runs; the account is added and not connected.
fn running(provider: &MailProvider, yaml: &str) -> Gatepost {
    let mut gatepost = Gatepost::configured(provider.folder.path(), yaml);
    gatepost.add_account(MARTHA, "real");
    gatepost.run();
    gatepost
}

/// curl, sending a message, and looking into the mailbox by POP3 and IMAP.
fn logins(gatepost: &Gatepost, provider: &MailProvider) -> [Command; 3] {
    let message = &provider.folder.path().join("message.eml");
    fs::write(message, "Subject: hello\r\n\r\nhello\r\n").unwrap();
    let Gatepost { smtps, pop3s, imaps, .. } = gatepost;
    [
        format!("smtps://localhost:{smtps}"),
        format!("pop3s://localhost:{pop3s}"),
        format!("imaps://localhost:{imaps}"),
    ]
    .map(|url| {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--max-time", "60", "--noproxy", "*", "--cacert"])
            .arg(&gatepost.ca_file)
            .args(["--user", &format!("{MARTHA}:{PASSWORD}"), "--url", &url]);
        if url.starts_with("smtps") {
            curl.args(["--mail-from", MARTHA, "--mail-rcpt", MARTHA, "--upload-file"]).arg(message);
        }
        curl
    })
}

#[tokio::test]
async fn oauthbearer_opens_the_mailbox_by_every_protocol() {
    if !needs("curl") {
        return;
    }
    let Some(provider) = MailProvider::start().await else { return };
    for (tls, word) in [(Tls::Implicit, "tls: implicit\n"), (Tls::StartTls, "tls: starttls\n")] {
        let yaml = provider.provider_yaml("real", Client::Native, tls);
        let named = yaml.replace(word, &format!("{word}      mechanism: oauthbearer\n"));
        assert_eq!(named.matches("mechanism: oauthbearer").count(), 3, "{named}");
        let gatepost = running(&provider, &named);
        gatepost.connect(MARTHA, &provider).await;
        for mut login in logins(&gatepost, &provider) {
            succeeds(&mut login);
        }
        drop(gatepost);
        fs::remove_dir_all(provider.folder.path().join("gatepost")).unwrap();
    }
    // Dovecot and Postfix write their logs a little later than they answer.
    let (dovecot, postfix) = (&provider.dovecot.server, &provider.postfix.server);
    for (server, login, mechanism) in [
        (dovecot, "imap-login: Info: Login: ", "method=OAUTHBEARER"),
        (dovecot, "pop3-login: Info: Login: ", "method=OAUTHBEARER"),
        (postfix, "sasl_username=martha@example.test", "sasl_method=OAUTHBEARER"),
    ] {
        let by_name =
            |log: &str| log.lines().filter(|line| line.contains(login) && line.contains(mechanism)).count();
        if !eventually(|| by_name(&server.log()) >= 2) {
            server.fail(&format!("has no two lines with {login:?} and {mechanism}"));
        }
    }
    assert!(!(dovecot.log() + &postfix.log()).contains("method=XOAUTH2"));
}

#[tokio::test]
async fn a_consent_given_while_gatepost_runs_counts_from_the_next_login() {
    if !needs("curl") {
        return;
    }
    let Some(provider) = MailProvider::start().await else { return };
    let gatepost = running(&provider, &provider.provider_yaml("real", Client::Native, Tls::Implicit));
    for mut login in logins(&gatepost, &provider) {
        fails(&mut login);
    }
    gatepost.connect(MARTHA, &provider).await;
    for mut login in logins(&gatepost, &provider) {
        succeeds(&mut login);
    }
}
