//! Refresh tokens that rotate, at an authorization server that nobody here wrote and that detects reuse: the newest one is
//! committed and used next, by logins and in the background, and one that was used before ends the grant, out loud.
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

use gatepost::account::AccountId;
use gatepost::clock::Clock;
use gatepost::config::Config;
use gatepost::oauth::Tokens;
use gatepost::renewal::Renewal;
use gatepost::store::Store;
use gatepost::store::grants::{GrantKey, NewTokens};
use gatepost_protocol::secret::Secret;

use real::gatepost::Gatepost;
use real::oidc::Client;
use real::{MailProvider, Tls};

const MARTHA: &str = "martha@example.test";
const GRANT: GrantKey = GrantKey::Account(AccountId(1));

#[tokio::test]
async fn a_rotated_refresh_token_is_the_one_that_is_used_next() {
    let Some(provider) = MailProvider::start().await else { return };
    let yaml = provider.provider_yaml("real", Client::Confidential, Tls::Implicit);
    let gatepost = Gatepost::configured(provider.folder.path(), &yaml);
    gatepost.add_account(MARTHA, "real");
    gatepost.connect(MARTHA, &provider).await;
    let store = Store::open(&gatepost.state_dir()).await.unwrap();

    let mut used = Vec::new();
    for _ in 0..3 {
        used.push(expire(&store, None).await);
        let told = gatepost.command(&["test", MARTHA, "--json"], "");
        assert!(told.contains("\"ok\":true"), "{told}");
    }
    used.push(expire(&store, None).await);
    let distinct: std::collections::BTreeSet<_> = used.iter().collect();
    assert_eq!(distinct.len(), used.len(), "every refresh brought a new refresh token");

    expire(&store, Some(&used[0])).await;
    let told = gatepost.failing_command(&["test", MARTHA], 5);
    let told = told.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(told.contains(&format!("gatepost connect {MARTHA}")), "{told}");
    let refused = store.grant(&GRANT).await.unwrap().unwrap();
    assert!(refused.refused.is_some() && refused.refresh_token.is_some(), "noted, and nothing erased");
}

#[tokio::test]
async fn the_background_keeps_a_grant_alive_over_several_expiries() {
    let Some(provider) = MailProvider::start().await else { return };
    let yaml = provider.provider_yaml("real", Client::Confidential, Tls::Implicit);
    let gatepost = Gatepost::configured(provider.folder.path(), &yaml);
    gatepost.add_account(MARTHA, "real");
    gatepost.connect(MARTHA, &provider).await;
    let store = Store::open(&gatepost.state_dir()).await.unwrap();
    let config = std::fs::read_to_string(gatepost.configuration()).unwrap();
    let config = Config::parse(gatepost.configuration(), &config, &|_| None).unwrap();
    let (clock, hands) = Clock::by_hand(SystemTime::now());
    // Two processes on one store, which look at the same moments.
    let renewal =
        || Renewal::new(Tokens::by(clock.clone(), store.clone()), store.clone(), config.providers.clone());
    let (mut one, mut other) = (renewal(), renewal());

    let mut used = std::collections::BTreeSet::new();
    for round in 1..=6 {
        let grant = store.grant(&GRANT).await.unwrap().unwrap();
        assert_eq!((grant.version, grant.refused), (round, None));
        assert!(used.insert(grant.refresh_token.unwrap().expose().clone()), "every refresh brings a new one");
        // Within its hour; after that, in the night; and after a week of it.
        hands.forward(Duration::from_mins(
            [55, 55, 600, 55, 7 * 24 * 60, 55][usize::try_from(round).unwrap() - 1],
        ));
        for renewal in [&mut one, &mut other] {
            renewal.look().await;
        }
        tokio::join!(one.settled(), other.settled());
    }
    let told = gatepost.command(&["test", MARTHA, "--json"], "");
    assert!(told.contains("\"ok\":true"), "{told}");
}

/// Ends the access token, with another refresh token where one is given. Gives the refresh token that was there.
async fn expire(store: &Store, refresh_token: Option<&String>) -> String {
    let grant = store.grant(&GRANT).await.unwrap().unwrap();
    let tokens = NewTokens {
        access_token: grant.access_token.unwrap(),
        refresh_token: refresh_token.map(|token| Secret::new(token.clone())),
        issued_at: SystemTime::UNIX_EPOCH,
        expires_at: SystemTime::now() - Duration::from_mins(1),
        scopes: Vec::new(),
        identity: None,
    };
    store.commit_refresh(&GRANT, grant.version, &tokens).await.unwrap().expect("nobody else changes it");
    grant.refresh_token.unwrap().expose().clone()
}
