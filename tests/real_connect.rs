//! Connecting an account at an authorization server that nobody here wrote: in a browser and by a code on another device,
//! declined, too late, by somebody else, and by two people at once.
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

use gatepost::account::AccountId;
use gatepost::store::Store;
use gatepost::store::grants::{Grant, GrantKey};

use real::gatepost::Gatepost;
use real::oidc::Client;
use real::{MailProvider, Tls};

const MARTHA: &str = "martha@example.test";
const SHARED: &str = "shared@example.test";

/// Gatepost with both mailboxes, not connected.
fn configured(provider: &MailProvider, client: Client) -> Gatepost {
    let yaml = provider.provider_yaml("real", client, Tls::Implicit);
    let gatepost = Gatepost::configured(provider.folder.path(), &yaml);
    gatepost.add_account(MARTHA, "real");
    gatepost.add_account(SHARED, "real");
    gatepost
}

async fn grant(gatepost: &Gatepost, account: i64) -> Option<Grant> {
    let store = Store::open(&gatepost.state_dir()).await.unwrap();
    store.grant(&GrantKey::Account(AccountId(account))).await.unwrap()
}

#[tokio::test]
async fn a_code_typed_elsewhere_opens_the_mailbox() {
    let Some(provider) = MailProvider::start().await else { return };
    let gatepost = configured(&provider, Client::Confidential);
    let mut connecting = gatepost.connecting(&[MARTHA, "--device"]);
    let page = connecting.address();
    let shown = provider.oidc.type_code(&page, &connecting.user_code(), Some(MARTHA)).await;
    assert!(shown.contains("Sign-in Success"), "{shown}");
    let (status, told) = connecting.end();
    assert_eq!(status, Some(0), "{told}");
    assert!(told.contains("martha@example.test is connected to real by martha@example.test."), "{told}");
    let told = gatepost.command(&["test", MARTHA, "--json"], "");
    assert!(told.contains("\"ok\":true"), "{told}");
    assert!(grant(&gatepost, 1).await.unwrap().refresh_token.is_some());
}

/// Nothing is written about the authorization server but who it is.
#[tokio::test]
async fn an_issuer_tells_everything_that_a_consent_needs() {
    let Some(provider) = MailProvider::start().await else { return };
    let written = provider.provider_yaml("real", Client::Confidential, Tls::Implicit);
    let (issuer, is_endpoint) = (&provider.oidc.issuer, |line: &&str| line.contains("_endpoint: "));
    assert_eq!(written.lines().filter(is_endpoint).count(), 4, "{written}");
    let kept: Vec<_> = written.lines().filter(|line| !is_endpoint(line)).collect();
    let yaml = format!("{}\n    issuer: {issuer}\n", kept.join("\n"));
    let gatepost = Gatepost::configured(provider.folder.path(), &yaml);
    gatepost.add_account(MARTHA, "real");

    let mut connecting = gatepost.connecting(&[MARTHA, "--no-browser"]);
    let landed = provider.oidc.consent(&connecting.address(), MARTHA).await;
    let page = provider.oidc.browse(landed).await;
    assert!(page.contains("<h1>Connected</h1>"), "{page}");
    let (status, told) = connecting.end();
    assert_eq!(status, Some(0), "{told}");
    let told = gatepost.command(&["test", MARTHA, "--json"], "");
    assert!(told.contains("\"ok\":true"), "{told}");

    // It says that it has device codes too, and the refresh goes where it says.
    let mut connecting = gatepost.connecting(&[MARTHA, "--device"]);
    let page = connecting.address();
    provider.oidc.type_code(&page, &connecting.user_code(), Some(MARTHA)).await;
    let (status, told) = connecting.end();
    assert_eq!(status, Some(0), "{told}");

    let other = yaml.replace(&format!("issuer: {issuer}"), &format!("issuer: {issuer}/"));
    let home = provider.folder.path().join("other");
    std::fs::create_dir(&home).unwrap();
    let gatepost = Gatepost::configured(&home, &other);
    gatepost.add_account(MARTHA, "real");
    let told = gatepost.failing_command(&["connect", MARTHA, "--device"], 5);
    assert!(told.contains(&format!("it calls itself `{issuer}`; if that is who you mean")), "{told}");
}

#[tokio::test]
async fn what_is_declined_is_told_and_connects_nothing() {
    let Some(provider) = MailProvider::start().await else { return };
    let gatepost = configured(&provider, Client::Native);

    let mut connecting = gatepost.connecting(&[MARTHA, "--no-browser"]);
    let landed = provider.oidc.decline(&connecting.address()).await;
    let page = provider.oidc.browse(landed).await;
    assert!(page.contains("<h1>Not connected</h1>") && page.contains("it was declined"), "{page}");
    let (status, told) = connecting.end();
    assert_eq!(status, Some(5), "{told}");
    assert!(told.contains("the provider gave no consent: it was declined"), "{told}");

    let mut connecting = gatepost.connecting(&[MARTHA, "--device"]);
    let page = connecting.address();
    let shown = provider.oidc.type_code(&page, &connecting.user_code(), None).await;
    assert!(shown.contains("interrupted"), "{shown}");
    let (status, told) = connecting.end();
    assert_eq!(status, Some(5), "{told}");
    assert!(told.contains("the provider gave no consent: it was declined"), "{told}");
    assert!(grant(&gatepost, 1).await.is_none());
}

#[tokio::test]
async fn a_code_that_nobody_types_in_time_ends() {
    let Some(provider) = MailProvider::start().await else { return };
    let gatepost = configured(&provider, Client::Hasty);
    let (status, told) = gatepost.connecting(&[MARTHA, "--device"]).end();
    assert_eq!(status, Some(1), "{told}");
    assert!(told.contains("nobody consented before the code ended; run this again"), "{told}");
    assert!(grant(&gatepost, 1).await.is_none());
}

#[tokio::test]
async fn another_identity_has_to_be_said_beforehand() {
    let Some(provider) = MailProvider::start().await else { return };
    let gatepost = configured(&provider, Client::Native);

    let mut connecting = gatepost.connecting(&[SHARED, "--no-browser"]);
    let landed = provider.oidc.consent(&connecting.address(), MARTHA).await;
    let page = provider.oidc.browse(landed).await;
    assert!(
        page.contains("<h1>Not connected yet</h1>") && page.contains("martha@example.test consented"),
        "{page}"
    );
    let (status, told) = connecting.end();
    assert_eq!(status, Some(1), "{told}");
    assert!(told.contains("--owner martha@example.test"), "{told}");
    assert!(grant(&gatepost, 2).await.is_none());

    let mut connecting = gatepost.connecting(&[SHARED, "--no-browser", "--owner", "Martha@Example.Test"]);
    let landed = provider.oidc.consent(&connecting.address(), MARTHA).await;
    let page = provider.oidc.browse(landed).await;
    assert!(page.contains("shared@example.test is connected by martha@example.test"), "{page}");
    let (status, told) = connecting.end();
    assert_eq!(status, Some(0), "{told}");
    assert_eq!(grant(&gatepost, 2).await.unwrap().identity.as_deref(), Some(MARTHA));
    // The mail servers decide in the end, and these let nobody into another mailbox.
    gatepost.failing_command(&["test", SHARED], 5);
}

#[tokio::test]
async fn two_consents_at_once_do_not_get_mixed_up() {
    let Some(provider) = MailProvider::start().await else { return };
    let gatepost = configured(&provider, Client::Native);
    let mut martha = gatepost.connecting(&[MARTHA, "--no-browser"]);
    let mut shared = gatepost.connecting(&[SHARED, "--device"]);
    let (for_martha, for_shared) = (martha.address(), shared.address());
    let code = shared.user_code();
    let (landed, typed) = tokio::join!(
        provider.oidc.consent(&for_martha, MARTHA),
        provider.oidc.type_code(&for_shared, &code, Some(SHARED))
    );
    assert!(typed.contains("Sign-in Success"), "{typed}");
    let page = provider.oidc.browse(landed).await;
    assert!(page.contains("<h1>Connected</h1>"), "{page}");
    for (connecting, address, account) in [(martha, MARTHA, 1), (shared, SHARED, 2)] {
        let (status, told) = connecting.end();
        assert_eq!(status, Some(0), "{told}");
        assert_eq!(grant(&gatepost, account).await.unwrap().identity.as_deref(), Some(address));
        let told = gatepost.command(&["test", address, "--json"], "");
        assert!(told.contains("\"ok\":true"), "{told}");
    }
}
