//! `gatepost test` at servers that nobody here wrote, each with something wrong: it names the cause, and what to do.
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

use real::gatepost::{Gatepost, PASSWORD};
use real::oidc::Client;
use real::setting::MARTHA;
use real::{MailProvider, Tls};

/// Nobody has this mailbox: a letter is missing.
const UNKNOWN: &str = "marta@example.test";

#[tokio::test]
async fn what_is_wrong_is_told_with_its_cause_and_what_to_do() {
    let Some(provider) = MailProvider::start().await else { return };
    let yaml = |name: &str| provider.provider_yaml(name, Client::Confidential, Tls::Implicit);
    let smtp_at =
        |name: &str, port: u16| yaml(name).replace(&provider.postfix.implicit.to_string(), &port.to_string());
    let wrong = &provider.postfix.wrong;
    let narrow = yaml("narrow")
        .replace("openid, offline_access, mail.smtp, mail.pop, mail.imap", "openid, offline_access");
    let yaml = [
        yaml("good"),
        smtp_at("without-logins", wrong.without_logins),
        smtp_at("untrusted", wrong.untrusted),
        smtp_at("expired", wrong.expired),
        smtp_at("other-name", wrong.other_name),
        narrow,
    ]
    .concat();
    let gatepost = Gatepost::configured(provider.folder.path(), &yaml);
    let mut told = String::new();
    for name in ["good", "without-logins", "untrusted", "expired", "other-name", "narrow"] {
        gatepost.command(
            &["account", "add", MARTHA, "--provider", name, "--user-name", name, "--password-stdin"],
            PASSWORD,
        );
        let mut connecting = gatepost.connecting(&[MARTHA, "--provider", name, "--no-browser"]);
        let url = connecting.address();
        let landed = provider.oidc.consent(&url, MARTHA).await;
        provider.oidc.browse(landed).await;
        let (status, said) = connecting.end();
        assert_eq!(status, Some(0), "connect {name}: {said}");
        let output = gatepost.program(&["test", MARTHA, "--provider", name]).output().unwrap();
        told += &format!("== {name}\n{}\n", real::gatepost::shown(&output));
    }
    gatepost.command(
        &["account", "add", UNKNOWN, "--provider", "good", "--owner", MARTHA, "--password-stdin"],
        PASSWORD,
    );
    let output = gatepost.program(&["test", UNKNOWN]).output().unwrap();
    told += &format!("== unknown\n{}\n", real::gatepost::shown(&output));
    panic!("{told}");
}
