//! `gatepost test` at servers that nobody here wrote, each with something wrong: it names the cause and what to do, and ends with the
//! exit status of a failure upstream.
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

use std::time::{Duration, SystemTime};

use gatepost::diagnosis::by_id;
use gatepost::store::Store;
use gatepost::store::grants::{GrantKey, NewTokens};

use real::gatepost::{Gatepost, PASSWORD};
use real::oidc::Client;
use real::setting::MARTHA;
use real::{MailProvider, Tls};

/// Nobody has this mailbox: a letter is missing.
const UNKNOWN: &str = "marta@example.test";

#[tokio::test]
async fn what_is_wrong_is_told_with_its_cause_and_what_to_do() {
    let Some(provider) = MailProvider::start().await else { return };
    let gatepost = Gatepost::configured(provider.folder.path(), &providers(&provider));
    let mut wrong = String::new();
    let mut expect = |what: &str, arguments: &[&str], id: &str| {
        let arguments = [&["test"], arguments].concat();
        let told = gatepost.failing_command(&arguments, 5);
        if !is_explained(&told, id) {
            wrong = format!("{wrong}\n{what} is not told as {id}: {told}");
        }
    };

    connect(&gatepost, &provider, "good").await;
    let told = gatepost.command(&["test", MARTHA, "--provider", "good"], "");
    assert!(!told.contains("Fix:"), "{told}");
    for (name, id) in [
        ("without-logins", "D112"),
        ("untrusted", "D110"),
        ("expired", "G10"),
        ("other-name", "G11"),
        ("narrow", "D111"),
    ] {
        connect(&gatepost, &provider, name).await;
        expect(name, &[MARTHA, "--provider", name], id);
    }
    let add = ["account", "add", UNKNOWN, "--provider", "good", "--owner", MARTHA, "--password-stdin"];
    gatepost.command(&add, PASSWORD);
    expect("a mailbox that is not there", &[UNKNOWN], "D111");

    revoke(&gatepost, &provider).await;
    expect("a consent that was taken back", &[MARTHA, "--provider", "good"], "D140");
    assert!(wrong.is_empty(), "{wrong}");
}

/// The same servers several times over, each time with something else that is wrong.
fn providers(provider: &MailProvider) -> String {
    let good = |name: &str| provider.provider_yaml(name, Client::Confidential, Tls::Implicit);
    let smtp_at = |name: &str, port: u16| {
        let port = format!("      port: {port}\n");
        good(name).replace(&format!("      port: {}\n", provider.postfix.implicit), &port)
    };
    let wrong = &provider.postfix.wrong;
    let narrow = good("narrow")
        .replace(Client::Confidential.scope().replace(' ', ", ").as_str(), "openid, offline_access");
    [
        good("good"),
        smtp_at("without-logins", wrong.without_logins),
        smtp_at("untrusted", wrong.untrusted),
        smtp_at("expired", wrong.expired),
        smtp_at("other-name", wrong.other_name),
        narrow,
    ]
    .concat()
}

/// Adds the one account at this provider, and consents.
async fn connect(gatepost: &Gatepost, provider: &MailProvider, name: &str) {
    let add = ["account", "add", MARTHA, "--provider", name, "--user-name", name, "--password-stdin"];
    gatepost.command(&add, PASSWORD);
    let mut connecting = gatepost.connecting(&[MARTHA, "--provider", name, "--no-browser"]);
    let url = connecting.address();
    let landed = provider.oidc.consent(&url, MARTHA).await;
    provider.oidc.browse(landed).await;
    let (status, told) = connecting.end();
    assert_eq!(status, Some(0), "connect {name}: {told}");
}

/// Ends the first consent, as somebody who stole its refresh token would; and the access token, so that a new one is asked for.
async fn revoke(gatepost: &Gatepost, provider: &MailProvider) {
    let store = Store::open(&gatepost.state_dir()).await.unwrap();
    let accounts = store.accounts_at(MARTHA).await.unwrap();
    let account = accounts.iter().find(|account| account.provider == "good").unwrap();
    let key = GrantKey::Account(account.id);
    let grant = store.grant(&key).await.unwrap().unwrap();
    let refresh_token = grant.refresh_token.unwrap();
    for _ in 0..2 {
        let form = [("grant_type", "refresh_token"), ("refresh_token", refresh_token.expose().as_str())];
        provider.oidc.token_request(Client::Confidential, &form).await;
    }
    let long_ago = SystemTime::now() - Duration::from_hours(24);
    let ended = NewTokens {
        access_token: grant.access_token.unwrap(),
        refresh_token: None,
        issued_at: long_ago,
        expires_at: long_ago + Duration::from_hours(1),
        scopes: Vec::new(),
        identity: None,
    };
    store.commit_refresh(&key, grant.version, &ended).await.unwrap().expect("nobody else changes it");
}

/// Whether the row is told, and what to do.
fn is_explained(told: &str, id: &str) -> bool {
    let row = by_id(id).unwrap();
    let told = told.split_whitespace().collect::<Vec<_>>().join(" ");
    told.contains(&row.title) && told.contains(id) && told.contains("Fix: ")
}
