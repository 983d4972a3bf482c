//! `gatepost connect` as a process, at a provider with device codes: the code on another device, the way that is chosen, and
//! somebody else's consent.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "support/waiting.rs"]
mod waiting;

use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::Command;
use url::Url;

use gatepost::config::Config;
use gatepost::config::provider::UpstreamTls;
use gatepost::sandbox::{CLIENT_SECRET, CLIENT_SECRET_VARIABLE, Sandbox};
use gatepost::store::Store;
use gatepost::store::accounts::{AccountId, NewAccount};
use gatepost::store::grants::{Grant, GrantKey};
use waiting::Waiting;

const ANN: &str = "ann@example.com";
const BOB: &str = "bob@example.com";

/// A provider, a configuration, and a store with one account.
struct World {
    sandbox: Sandbox,
    browser: reqwest::Client,
    store: Store,
    account: AccountId,
    folder: TempDir,
}

impl World {
    async fn new() -> Self {
        let sandbox = Sandbox::start().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let ca_file = folder.path().join("sandbox-ca.pem");
        std::fs::write(&ca_file, sandbox.ca_pem()).unwrap();
        let provider = sandbox.provider_yaml("sandbox", &ca_file, UpstreamTls::Implicit);
        let text = format!("state: state\nproviders:\n{provider}");
        let file = folder.path().join("gatepost.yaml");
        std::fs::write(&file, &text).unwrap();
        let environment = |name: &str| (name == CLIENT_SECRET_VARIABLE).then(|| CLIENT_SECRET.to_owned());
        let config = Config::parse(&file, &text, &environment).unwrap();
        let tls = config.providers.values().next().unwrap().trust.client_config().as_ref().clone();
        let browser = reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy().build().unwrap();
        let store = Store::open(&folder.path().join("state")).await.unwrap();
        let account =
            NewAccount { address: ANN.to_owned(), provider: "sandbox".to_owned(), ..NewAccount::default() };
        let (account, _) = store.add_account(&account, None).await.unwrap();
        Self { sandbox, browser, store, account, folder }
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("gatepost.yaml")
    }

    /// `gatepost connect ann@example.com …`, without a display.
    fn connect(&self, arguments: &[&str]) -> Waiting {
        Waiting::start(
            Command::new(env!("CARGO_BIN_EXE_gatepost"))
                .arg("--config")
                .arg(self.config())
                .args(["connect", ANN])
                .args(arguments)
                .env(CLIENT_SECRET_VARIABLE, CLIENT_SECRET)
                .env("NO_PROXY", "*")
                .env_remove("DISPLAY")
                .env_remove("WAYLAND_DISPLAY"),
        )
    }

    /// Types the code into the provider's page.
    async fn consent(&self, page: &str, user_code: &str, mailbox: &str) {
        let form = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("user_code", user_code), ("mailbox", mailbox)])
            .finish();
        self.browser.post(page).body(form).send().await.unwrap().error_for_status().unwrap();
    }

    async fn grant(&self) -> Option<Grant> {
        self.store.grant(&GrantKey::Account(self.account)).await.unwrap()
    }
}

#[tokio::test]
async fn a_machine_without_a_display_connects_by_a_code_from_another_device() {
    let world = World::new().await;
    let mut connecting = world.connect(&[]);
    let (page, code) = connecting.code().await;
    assert!(connecting.told.contains("no browser can be opened here"), "{}", connecting.told);
    assert!(!connecting.told.contains('\u{2588}'), "nobody scans a pipe: {}", connecting.told);
    world.consent(&page, &code, ANN).await;
    let (status, told) = connecting.end().await;
    assert_eq!(status, Some(0), "{told}");
    assert!(told.contains("ann@example.com is connected to sandbox by ann@example.com."), "{told}");
    assert!(told.contains("Next: gatepost test ann@example.com"), "{told}");
    assert!(!told.contains("left"), "a countdown is for terminals: {told}");
    let grant = world.grant().await.unwrap();
    assert_eq!(grant.identity.as_deref(), Some(ANN));
    assert_eq!(grant.scopes, ["smtp", "pop3", "imap"]);
    assert!(grant.refresh_token.is_some());
    assert!(world.sandbox.counters().device_requests >= 1);
}

#[tokio::test]
async fn a_declined_code_and_one_that_ran_out_connect_nothing() {
    let world = World::new().await;
    world.sandbox.change(|personality| personality.consent_refused = Some("access_denied".to_owned()));
    let mut connecting = world.connect(&["--device"]);
    let (page, code) = connecting.code().await;
    world.consent(&page, &code, ANN).await;
    let (status, told) = connecting.end().await;
    assert_eq!(status, Some(5), "{told}");
    assert!(
        told.contains("ann@example.com is not connected: The consent was declined (D144)\nthe provider gave no consent: it was declined"),
        "{told}"
    );

    world.sandbox.change(|personality| personality.device_code_lifetime = Duration::from_secs(1));
    let (status, told) = world.connect(&["--device"]).end().await;
    assert_eq!(status, Some(1), "{told}");
    assert!(told.contains("nobody consented before the code ended"), "{told}");
    assert!(world.grant().await.is_none());
}

#[tokio::test]
async fn somebody_elses_consent_is_kept_only_where_it_was_said_beforehand() {
    let world = World::new().await;
    world.sandbox.change(|personality| personality.consents_as = Some(BOB.to_owned()));
    for (arguments, kept) in [
        (&["--device"][..], false),
        (&["--device", "--owner", "carl@example.com"], false),
        (&["--device", "--owner", "Bob@Example.com"], true),
    ] {
        let mut connecting = world.connect(arguments);
        let (page, code) = connecting.code().await;
        world.consent(&page, &code, ANN).await;
        let (status, told) = connecting.end().await;
        if kept {
            assert_eq!(status, Some(0), "{told}");
            assert!(told.contains("ann@example.com is connected to sandbox by bob@example.com."), "{told}");
            assert!(told.contains("Whether bob@example.com may open ann@example.com"), "{told}");
            assert_eq!(world.grant().await.unwrap().identity.as_deref(), Some(BOB));
        } else {
            assert_eq!(status, Some(1), "{told}");
            assert!(told.contains("--owner bob@example.com"), "{told}");
            assert!(told.contains("The consent of bob@example.com is revoked at sandbox."), "{told}");
            assert!(world.grant().await.is_none());
        }
    }
}

#[tokio::test]
async fn the_page_says_connected_only_where_the_grant_was_kept() {
    let world = World::new().await;
    world.sandbox.change(|personality| personality.consents_as = Some(BOB.to_owned()));
    for (arguments, heading, words) in [
        (&["--no-browser"][..], "Not connected yet", "bob@example.com consented, not ann@example.com"),
        (&["--no-browser", "--owner", BOB], "Connected", "ann@example.com is connected by bob@example.com"),
    ] {
        let mut connecting = world.connect(arguments);
        let url = connecting.line("https://").await;
        let page = world.browser.get(url).send().await.unwrap().text().await.unwrap();
        assert!(page.contains(&format!("<h1>{heading}</h1>")) && page.contains(words), "{page}");
        let (status, told) = connecting.end().await;
        assert_eq!(status == Some(0), heading == "Connected", "{told}");
        assert_eq!(world.grant().await.is_some(), heading == "Connected");
    }
}

#[tokio::test]
async fn two_people_consent_at_once_and_each_connects_their_own() {
    let world = World::new().await;
    let (mut first, mut second) =
        (world.connect(&["--device"]), world.connect(&["--device", "--owner", BOB]));
    let (page, first_code) = first.code().await;
    let (_, second_code) = second.code().await;
    assert_ne!(first_code, second_code);
    world.consent(&page, &second_code, BOB).await;
    let (status, told) = second.end().await;
    assert_eq!(status, Some(0), "{told}");
    assert_eq!(world.grant().await.unwrap().identity.as_deref(), Some(BOB));
    world.consent(&page, &first_code, ANN).await;
    let (status, told) = first.end().await;
    assert_eq!(status, Some(0), "{told}");
    let grant = world.grant().await.unwrap();
    assert_eq!((grant.identity.as_deref(), grant.version), (Some(ANN), 2));
}

#[tokio::test]
async fn a_provider_without_device_codes_is_said() {
    let world = World::new().await;
    let text = std::fs::read_to_string(world.config()).unwrap();
    let lines = text.lines().filter(|line| !line.contains("device_authorization_endpoint"));
    std::fs::write(world.config(), lines.collect::<Vec<_>>().join("\n")).unwrap();
    let (status, told) = world.connect(&["--device"]).end().await;
    assert_eq!(status, Some(3), "{told}");
    assert!(told.contains("provider sandbox has no device_authorization_endpoint; use --paste"), "{told}");
    let mut connecting = world.connect(&[]);
    let url: Url = connecting.line("https://").await.parse().unwrap();
    assert!(connecting.told.contains("Connecting by a pasted address"), "{}", connecting.told);
    assert!(url.query_pairs().any(|(name, value)| name == "redirect_uri" && value == "http://localhost"));
    let (status, told) = connecting.end().await;
    assert_eq!(status, Some(1), "{told}");
    assert!(told.contains("the input ended without the address"), "{told}");
}

#[tokio::test]
async fn only_one_way_can_be_named() {
    let world = World::new().await;
    let (status, told) = world.connect(&["--device", "--paste"]).end().await;
    assert_eq!(status, Some(2), "{told}");
}

#[tokio::test]
async fn who_consented_to_a_shared_mailbox_is_expected_again_and_sends_for_it() {
    let world = World::new().await;
    let mut connecting = world.connect(&["--device", "--shared", "--owner", BOB]);
    let (page, code) = connecting.code().await;
    world.consent(&page, &code, BOB).await;
    let (status, told) = connecting.end().await;
    assert_eq!(status, Some(0), "{told}");
    assert!(told.contains("and sign in as bob@example.com"), "{told}");
    assert!(told.contains("SMTP as         bob@example.com\n  POP3 as         ann@example.com"), "{told}");
    let account = world.store.account(world.account).await.unwrap().unwrap();
    assert_eq!((account.owner.as_deref(), account.smtp_user_name.as_deref()), (Some(BOB), Some(BOB)));
    assert_eq!(account.token_account, None, "the grant is its own");

    // Bob is expected now, and ann another identity; until it is said otherwise.
    for (arguments, who, status, owner) in [
        (&["--device"][..], BOB, 0, Some(BOB)),
        (&["--device"], ANN, 1, Some(BOB)),
        (&["--device", "--owner", ANN], ANN, 0, None),
        (&["--device"], ANN, 0, None),
    ] {
        let mut connecting = world.connect(arguments);
        let (page, code) = connecting.code().await;
        world.consent(&page, &code, who).await;
        let (ended, told) = connecting.end().await;
        assert_eq!(ended, Some(status), "{arguments:?} {who}: {told}");
        let account = world.store.account(world.account).await.unwrap().unwrap();
        assert_eq!(account.owner.as_deref(), owner, "{arguments:?} {who}: {told}");
    }
    // Who opens it for itself is no delegate.
    let mut connecting = world.connect(&["--device", "--shared"]);
    let (page, code) = connecting.code().await;
    world.consent(&page, &code, ANN).await;
    let (status, told) = connecting.end().await;
    assert_eq!(status, Some(1), "{told}");
    assert!(told.contains("gatepost account set ann@example.com --shared --owner WHO"), "{told}");
}
