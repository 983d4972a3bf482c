//! `gatepost status` in each of its five states, at servers that nobody here wrote: an account that was used, one that nobody has
//! connected, one whose consent was not used for too long, one that its owner revoked at the provider, and one that is switched off.
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

use gatepost::store::Store;
use gatepost::store::grants::{Grant, GrantKey, NewTokens};
use serde_json::Value;

use real::gatepost::{Gatepost, PASSWORD};
use real::oidc::Client;
use real::process::{eventually, needs};
use real::setting::{MARTHA, curl, succeeds};
use real::{MailProvider, Tls};

const NEW: &str = "new@example.test";
const IDLE: &str = "idle@example.test";
const REVOKED: &str = "revoked@example.test";
const OFF: &str = "off@example.test";

const DAY: Duration = Duration::from_hours(24);

#[tokio::test]
async fn each_of_the_five_states_is_told_with_what_to_do() {
    let Some(provider) = (if needs("curl") { MailProvider::start().await } else { None }) else { return };
    let yaml = provider.provider_yaml("real", Client::Confidential, Tls::Implicit);
    let yaml = yaml.replace("\n    grant:", "\n    consent_idle_limit: 90d\n    grant:");
    let mut gatepost = Gatepost::configured(provider.folder.path(), &yaml);
    for address in [IDLE, MARTHA, NEW, OFF, REVOKED] {
        gatepost.add_account(address, "real");
    }
    for address in [IDLE, MARTHA, OFF, REVOKED] {
        gatepost.connect(address, &provider).await;
    }
    let told = gatepost.failing_command(&["status"], 7);
    assert!(told.contains("No Gatepost is running"), "{told}");
    gatepost.run();

    let imaps = format!("imaps://localhost:{}/", gatepost.imaps);
    succeeds(&mut curl(&gatepost, &format!("{MARTHA}:{PASSWORD}"), &imaps));
    gatepost.command(&["account", "disable", OFF], "");
    let store = Store::open(&gatepost.state_dir()).await.unwrap();
    let now = SystemTime::now();
    for (address, days) in [(IDLE, 91), (REVOKED, 3)] {
        let key = GrantKey::Account(store.accounts_at(address).await.unwrap()[0].id);
        // First, or the running Gatepost would refresh what looks so old.
        revoke(&provider, &store.grant(&key).await.unwrap().unwrap()).await;
        set_back(&store, &key, now - days * DAY).await;
    }
    let told = gatepost.failing_command(&["test", REVOKED], 5);
    assert!(told.contains("invalid_grant"), "{told}");

    // The login is noted beside the session.
    let mut told = String::new();
    assert!(eventually(|| {
        told = gatepost.failing_command(&["status"], 7);
        !told.contains("martha@example.test   connected      never")
    }));
    let told: Vec<&str> = told.lines().collect();
    let row = |address: &str| {
        let line = told.iter().find(|line| line.starts_with(address)).unwrap();
        line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect::<Vec<_>>()
    };
    assert_eq!(told[1], "5 accounts: 1 connected, 1 disabled, 1 not connected, 1 expired, 1 refused");
    assert_eq!(told[2], "Gatepost is running.");
    assert_eq!(row(IDLE), [IDLE, "expired", "never", "91 days ago", "90 days ago"]);
    assert_eq!(row(NEW), [NEW, "not connected", "never", "never", "-"]);
    assert_eq!(row(REVOKED), [REVOKED, "refused", "never", "3 days ago", "2 days ago"]);
    assert_eq!(row(OFF)[..3], [OFF, "disabled", "never"]);
    assert_eq!(row(MARTHA)[..2], [MARTHA, "connected"]);
    let to_do = told.iter().skip_while(|line| !line.starts_with("new@example.test is")).copied();
    let day = time::OffsetDateTime::from(now - DAY).date();
    assert_eq!(
        to_do.collect::<Vec<_>>(),
        [
            "new@example.test is not connected: nobody has consented yet (G20)",
            "  gatepost connect new@example.test",
            "",
            "idle@example.test is expired: the consent was not used for 90 days, and ended on",
            &day.to_string(),
            "  gatepost connect idle@example.test",
            "",
            "revoked@example.test is refused: The provider takes the consent no more (D140):",
            "invalid_grant (HTTP 400): grant request is invalid",
            "  The person consents again:",
            "  gatepost connect revoked@example.test",
            "",
            "Provider  Accounts  Secret or certificate until",
            "real      5         not known (secret; `expires` beside it says it)",
            "gatepost: somebody has to do something now",
        ]
    );

    let told = gatepost.failing_command(&["status", "--json"], 7);
    let json: Value =
        serde_json::from_str(&told[told.find('{').unwrap()..=told.rfind('}').unwrap()]).unwrap();
    let states: Vec<_> = json["accounts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|account| account["state"].as_str().unwrap())
        .collect();
    assert_eq!(states, ["expired", "connected", "not connected", "disabled", "refused"]);

    // What was told to be done is enough.
    for address in [IDLE, REVOKED, NEW] {
        gatepost.connect(address, &provider).await;
    }
    let told = gatepost.command(&["status"], "");
    assert!(told.starts_with("5 accounts: 4 connected, 1 disabled\nGatepost is running.\n"), "{told}");
}

/// Makes the tokens look as if they had come then, for a day.
async fn set_back(store: &Store, key: &GrantKey, issued_at: SystemTime) {
    let grant = store.grant(key).await.unwrap().unwrap();
    let tokens = NewTokens {
        access_token: grant.access_token.unwrap(),
        refresh_token: None,
        issued_at,
        expires_at: issued_at + DAY,
        scopes: Vec::new(),
        identity: None,
    };
    store.commit_refresh(key, grant.version, &tokens).await.unwrap().expect("nobody else changes it");
}

/// As an owner does in the provider's own pages (RFC 7009).
async fn revoke(provider: &MailProvider, grant: &Grant) {
    let browser = reqwest::Client::builder()
        .tls_backend_preconfigured((*provider.certificates.client).clone())
        .no_proxy()
        .build()
        .unwrap();
    let client = Client::Confidential;
    let form = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs([
            ("token", grant.refresh_token.as_ref().unwrap().expose().as_str()),
            ("client_id", client.id()),
        ])
        .extend_pairs(client.secret().map(|secret| ("client_secret", secret)))
        .finish();
    let request = browser
        .post(format!("{}/token/revocation", provider.oidc.issuer))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form);
    assert!(request.send().await.unwrap().status().is_success());
}
