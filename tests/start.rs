//! With a thousand accounts Gatepost starts by the same few questions to its store as with one, and opens no secret until somebody logs in.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test says what is wrong by panicking")]

mod support;

use std::time::{Duration, SystemTime};

use gatepost::config::provider::UpstreamTls;
use gatepost::daemon::Daemon;
use gatepost::sandbox::Sandbox;
use gatepost::store::Store;
use gatepost::store::accounts::NewAccount;
use gatepost::store::credentials::NewCredential;
use gatepost::store::grants::{GrantKey, NewTokens};
use gatepost_protocol::secret::Secret;
use serde_json::Value;

use support::leftovers::eventually;
use support::log::Log;
use support::world::parse;

/// What the store was asked, in the order of the alphabet. How often it is looked whether there is anything new says nothing, nor on how many
/// connections those who begin at the same moment ask.
fn questions(log: &str) -> Vec<String> {
    let mut asked: Vec<_> = log
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|event| event["target"] == "sqlx::query")
        .map(|event| {
            format!("{}{}", event["summary"].as_str().unwrap(), event["db.statement"].as_str().unwrap_or(""))
        })
        .filter(|statement| !statement.starts_with("PRAGMA "))
        .collect();
    asked.sort();
    asked
}

async fn add(store: &Store, number: usize) {
    let address = format!("scanner{number}@example.com");
    let credential = NewCredential {
        user_name: address.clone(),
        mailbox: None,
        password_hash: Secret::new("a hash".to_owned()),
        label: None,
    };
    let account = NewAccount { address, provider: "sandbox".to_owned(), ..NewAccount::default() };
    let (id, _) = store.add_account(&account, Some(&credential)).await.unwrap();
    let tokens = NewTokens {
        access_token: Secret::new("an access token".to_owned()),
        refresh_token: Some(Secret::new("a refresh token".to_owned())),
        issued_at: SystemTime::now(),
        expires_at: SystemTime::now() + Duration::from_hours(1),
        scopes: Vec::new(),
        identity: None,
    };
    store.replace_grant(&GrantKey::Account(id), &tokens).await.unwrap();
}

#[tokio::test]
async fn a_thousand_accounts_cost_no_more_questions_than_one_and_no_secret_is_opened() {
    let log = Log::begin_everywhere();
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("sandbox-ca.pem");
    std::fs::write(&ca_file, sandbox.ca_pem()).unwrap();
    let provider = sandbox.provider_yaml("sandbox", &ca_file, UpstreamTls::Implicit);
    let listener = "{ protocol: pop3, address: \"127.0.0.1:0\", tls: none }";
    let yaml = format!("providers:\n{provider}listeners: [{listener}]\nstate: state\n");
    let mut all = Vec::new();
    let mut accounts = 0;
    for wanted in [1, 1000] {
        let config = parse(&folder, &yaml);
        let store = Store::open(&config.state_dir).await.unwrap();
        while accounts < wanted {
            add(&store, accounts).await;
            accounts += 1;
        }
        store.close().await;
        let before = log.json().len();
        let store = Store::open(&config.state_dir).await.unwrap();
        let daemon = Daemon::start(config, &store).unwrap();
        let since = || questions(log.json().get(before..).unwrap());
        // The last question of each who looks beside the sessions: the renewal ends with the accounts, the watch for alarms, which has
        // asked for them too, with the alarms.
        eventually("everybody has looked once", || {
            let asked = since();
            let times = |what: &str| asked.iter().filter(|statement| statement.contains(what)).count();
            times("SELECT * FROM accounts") >= 2 && times("SELECT * FROM alarms") >= 1
        })
        .await;
        daemon.stop().await;
        all.push(since());
    }
    let [one, thousand] = &all[..] else { unreachable!("two starts") };
    assert!(one.len() > 10, "{one:?}");
    assert_eq!(one, thousand);
    for sealed in ["password_hash_sealed", "access_token_sealed, issued_at"] {
        assert!(!thousand.iter().any(|statement| statement.contains(sealed)), "{sealed}: {thousand:?}");
    }
}
