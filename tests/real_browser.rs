//! The page that a consent ends at, in the browser of the person who consents: Chromium at oidc-provider. Pictures of it are kept
//! in `target/tmp/`.
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
use url::Url;

use real::browser::{self, Browser};
use real::gatepost::Gatepost;
use real::oidc::Client;
use real::{MailProvider, Tls};

const MARTHA: &str = "martha@example.test";
const SHARED: &str = "shared@example.test";

/// A provider, a Gatepost with one mailbox, and a browser. Or says that the test is skipped.
async fn started() -> Option<(MailProvider, Gatepost, Browser)> {
    if !browser::is_installed() {
        return None;
    }
    let provider = MailProvider::start().await?;
    let yaml = provider.provider_yaml("real", Client::Native, Tls::Implicit);
    let gatepost = Gatepost::configured(provider.folder.path(), &yaml);
    gatepost.add_account(MARTHA, "real");
    let browser = Browser::start(provider.folder.path(), &provider.certificates).await;
    Some((provider, gatepost, browser))
}

async fn grant(gatepost: &Gatepost) -> Option<Grant> {
    let store = Store::open(&gatepost.state_dir()).await.unwrap();
    store.grant(&GrantKey::Account(AccountId(1))).await.unwrap()
}

/// What the page looks like on a desk and on a phone, by day and by night. Everything has to fit.
async fn looked_at(browser: &Browser, name: &str) {
    for (window, scheme) in
        [([1000, 700], "light"), ([1000, 700], "dark"), ([320, 600], "light"), ([320, 600], "dark")]
    {
        browser.becomes(window, scheme).await;
        browser.screenshot(&format!("{name}-{}-{scheme}", window[0])).await;
        let width = browser.evaluate("document.documentElement.scrollWidth").await;
        assert_eq!(width, window[0], "{name} sticks out of a window of {} pixels", window[0]);
    }
}

#[tokio::test]
async fn somebody_consents_in_a_browser_and_reads_that_it_worked_when_it_did() {
    let Some((_provider, gatepost, browser)) = started().await else { return };
    let mut connecting = gatepost.connecting(&[MARTHA, "--no-browser"]);
    browser.open(&connecting.address()).await;
    browser.shows("Sign-in").await;
    assert_eq!(browser.evaluate("document.querySelector('[name=login]').value").await, MARTHA);
    browser.types("[name=password]", "any").await;
    browser.clicks("Sign-in").await;
    let asked = browser.shows("Authorize").await;
    assert!(
        asked.contains("mail.smtp") && asked.contains("mail.pop") && asked.contains("mail.imap"),
        "{asked}"
    );
    assert!(grant(&gatepost).await.is_none());
    browser.clicks("Continue").await;

    let page = browser.shows("Connected").await;
    let grant = grant(&gatepost).await.expect("the page says so before it is true");
    assert_eq!(grant.identity.as_deref(), Some(MARTHA));
    assert!(page.contains("martha@example.test is connected.\n"), "{page}");
    looked_at(&browser, "page-connected").await;
    let (status, told) = connecting.end();
    assert_eq!(status, Some(0), "{told}");
}

#[tokio::test]
async fn somebody_goes_astray_then_declines_and_reads_each_time_what_to_do() {
    let Some((_provider, gatepost, browser)) = started().await else { return };
    let mut connecting = gatepost.connecting(&[MARTHA, "--no-browser"]);
    let address = Url::parse(&connecting.address()).unwrap();
    let (_, redirect_uri) = address.query_pairs().find(|(name, _)| name == "redirect_uri").unwrap();
    browser.open(&format!("{redirect_uri}/?code=any&state=of-yesterday")).await;
    let page = browser.shows("Not connected yet").await;
    assert!(page.contains("another attempt") && page.contains("goes on waiting"), "{page}");
    looked_at(&browser, "page-stray").await;

    browser.open(address.as_str()).await;
    browser.clicks("[ Cancel ]").await;
    let page = browser.shows("Not connected").await;
    assert!(page.contains("it was declined") && page.contains("Nothing was changed."), "{page}");
    looked_at(&browser, "page-declined").await;
    let (status, told) = connecting.end();
    assert_eq!(status, Some(5), "{told}");
    assert!(told.contains("the provider gave no consent: it was declined"), "{told}");
    assert!(grant(&gatepost).await.is_none());
}

#[tokio::test]
async fn whoever_is_signed_in_as_somebody_else_reads_that_the_terminal_asks() {
    let Some((_provider, gatepost, browser)) = started().await else { return };
    let mut connecting = gatepost.connecting(&[MARTHA, "--no-browser"]);
    browser.open(&connecting.address()).await;
    browser.types("[name=login]", SHARED).await;
    browser.types("[name=password]", "any").await;
    browser.clicks("Sign-in").await;
    browser.clicks("Continue").await;
    let page = browser.shows("Not connected yet").await;
    assert!(page.contains("shared@example.test consented, not martha@example.test."), "{page}");
    looked_at(&browser, "page-another-identity").await;
    let (status, told) = connecting.end();
    assert_eq!(status, Some(1), "{told}");
    assert!(grant(&gatepost).await.is_none());
}
