//! What a person at a terminal meets: questions, a password that nobody else reads, a code for a camera, and what goes on
//! meanwhile.
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
#[path = "support/terminal.rs"]
mod terminal;

use gatepost::account::AccountId;
use gatepost::store::Store;
use gatepost::store::grants::{Grant, GrantKey};

use real::gatepost::Gatepost;
use real::oidc::Client;
use real::{MailProvider, Tls};
use terminal::Terminal;

const MARTHA: &str = "martha@example.test";
const SHARED: &str = "shared@example.test";

/// Gatepost with the shared mailbox, not connected.
fn configured(provider: &MailProvider) -> Gatepost {
    let yaml = provider.provider_yaml("real", Client::Native, Tls::Implicit);
    let gatepost = Gatepost::configured(provider.folder.path(), &yaml);
    gatepost.add_account(SHARED, "real");
    gatepost
}

async fn grant(gatepost: &Gatepost) -> Option<Grant> {
    let store = Store::open(&gatepost.state_dir()).await.unwrap();
    store.grant(&GrantKey::Account(AccountId(1))).await.unwrap()
}

#[tokio::test]
async fn only_a_yes_keeps_another_identity() {
    let Some(provider) = MailProvider::start().await else { return };
    let gatepost = configured(&provider);
    for answer in ["n", "", "y"] {
        let mut terminal = Terminal::start(gatepost.program(&["connect", SHARED, "--no-browser"]));
        terminal.shows("Open this address in a browser, and sign in as shared@example.test:\n\n");
        let address = terminal.shows("\n");
        let landed = provider.oidc.consent(address.trim(), MARTHA).await;
        let page = provider.oidc.browse(landed).await;
        assert!(page.contains("<h1>Not connected yet</h1>"), "{page}");

        terminal.shows("martha@example.test consented, not shared@example.test.");
        terminal.shows("Keep it? [y/N] ");
        assert!(grant(&gatepost).await.is_none(), "nothing is kept before the answer");
        terminal.types(answer);

        let (status, shown) = terminal.end();
        println!("{shown}");
        let grant = grant(&gatepost).await;
        if answer == "y" {
            assert_eq!(status, Some(0), "{shown}");
            assert!(
                shown.contains("✓ shared@example.test is connected to real by martha@example.test.\n"),
                "{shown}"
            );
            assert_eq!(grant.unwrap().identity.as_deref(), Some(MARTHA));
        } else {
            assert_eq!(status, Some(1), "{shown}");
            assert!(shown.contains("shared@example.test is not connected:"), "{shown}");
            assert!(grant.is_none(), "{answer:?} kept it");
        }
    }
}
