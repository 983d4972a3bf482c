//! Revocation at an authorization server that nobody here wrote: after `gatepost disconnect` no token of the consent is good there.
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
use gatepost::store::grants::GrantKey;

use real::gatepost::Gatepost;
use real::oidc::Client;
use real::{MailProvider, Tls};

const MARTHA: &str = "martha@example.test";
const GRANT: GrantKey = GrantKey::Account(AccountId(1));

#[tokio::test]
async fn a_disconnected_account_s_tokens_are_dead_at_the_provider() {
    let Some(provider) = MailProvider::start().await else { return };
    let written = provider.provider_yaml("real", Client::Confidential, Tls::Implicit);
    let is_endpoint = |line: &&str| line.contains("_endpoint: ");
    let rest: Vec<_> = written.lines().filter(|line| !is_endpoint(line)).collect();
    let told = format!("{}\n    issuer: {}\n", rest.join("\n"), provider.oidc.issuer);
    // The endpoint as it is written, and as the issuer tells it.
    for (name, yaml) in [("written", written.clone()), ("told", told)] {
        let home = provider.folder.path().join(name);
        std::fs::create_dir(&home).unwrap();
        let gatepost = Gatepost::configured(&home, &yaml);
        gatepost.add_account(MARTHA, "real");
        gatepost.connect(MARTHA, &provider).await;
        let store = Store::open(&gatepost.state_dir()).await.unwrap();
        let grant = store.grant(&GRANT).await.unwrap().unwrap();
        let works = gatepost.command(&["test", MARTHA, "--json"], "");
        assert!(works.contains("\"ok\":true"), "{name}: {works}");

        let said = gatepost.command(&["disconnect", MARTHA], "");
        assert!(said.contains("is disconnected: real has revoked the consent."), "{name}: {said}");
        assert!(store.grant(&GRANT).await.unwrap().is_none(), "{name}");
        let refresh_token = grant.refresh_token.unwrap();
        let parameters =
            [("grant_type", "refresh_token"), ("refresh_token", refresh_token.expose().as_str())];
        let answer = provider.oidc.token_request(Client::Confidential, &parameters).await;
        assert_eq!(answer["error"], "invalid_grant", "{name}: {answer}");
        let said = gatepost.failing_command(&["test", MARTHA], 5);
        assert!(said.contains("not connected yet"), "{name}: {said}");
        let said = gatepost.command(&["disconnect", MARTHA], "");
        assert!(said.contains("there is nothing to withdraw"), "{name}: {said}");
    }
}
