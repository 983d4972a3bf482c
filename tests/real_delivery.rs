//! `gatepost test --send-to` through servers that nobody here wrote: Postfix takes the message, and it is found in Dovecot's inbox.
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

use serde_json::Value;

use real::gatepost::Gatepost;
use real::oidc::Client;
use real::{MailProvider, Tls};

const MARTHA: &str = "martha@example.test";
const SHARED: &str = "shared@example.test";

/// The step of this name.
fn step<'a>(told: &'a Value, name: &str) -> &'a Value {
    let steps = told["steps"].as_array().unwrap();
    steps.iter().find(|step| step["step"] == name).unwrap_or_else(|| panic!("no {name} in {told:#}"))
}

#[tokio::test]
async fn a_test_message_arrives_and_is_found_by_imap_and_by_pop3() {
    let Some(provider) = MailProvider::start().await else { return };
    let yaml = provider.provider_yaml("real", Client::Confidential, Tls::StartTls);
    let (before_imap, _) = yaml.split_once("    imap:\n").unwrap();
    let without_imap = before_imap.replace("  real:", "  old:") + "    imap: none\n";
    let gatepost = Gatepost::configured(provider.folder.path(), &format!("{yaml}\n{without_imap}"));
    gatepost.add_account(MARTHA, "real");
    gatepost.connect(MARTHA, &provider).await;
    gatepost.add_account(SHARED, "old");
    gatepost.connect(SHARED, &provider).await;

    for (to, protocol) in [(MARTHA, "IMAP"), (SHARED, "POP3")] {
        let told = gatepost.command(&["test", MARTHA, "--send-to", to, "--json"], "");
        let told: Value = serde_json::from_str(&told).unwrap();
        assert_eq!(told["ok"], true, "{told:#}");
        let said = step(&told, "message")["detail"].as_str().unwrap();
        assert!(said.contains(&format!("took one for {to} with the words: 250 ")), "{said}");
        let arrival = step(&told, "arrival");
        assert_eq!(arrival["detail"], format!("it is in the inbox of {to}, found by {protocol}"));
        assert!(arrival["ms"].is_u64(), "{arrival}");
        assert_eq!(provider.dovecot.messages(to), 1);
    }

    let told = gatepost.command(&["test", MARTHA, "--send-to", "tim@example.test"], "");
    let told = told.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        told.contains("tim@example.test is no mailbox that Gatepost can open; look into the inbox"),
        "{told}"
    );
}
