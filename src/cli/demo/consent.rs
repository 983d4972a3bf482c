//! The consent of the demo: the real authorization code exchange with PKCE, in which a small HTTP client plays the
//! person's browser. The sandbox consents by itself and sends it on to Gatepost's page on the loopback address.

use thiserror::Error;

use crate::account::Account;
use crate::config::provider::OAuthClient;
use crate::oauth::authorization_code::Authorization;
use crate::oauth::consent::{ConsentError, Destination};
use crate::oauth::grant_key;
use crate::oauth::redirect::Loopback;
use crate::store::Store;

/// The demo's account could not be connected.
#[derive(Debug, Error)]
pub(super) enum DemoConsentError {
    #[error("the demo's browser failed: {0}")]
    Browser(#[from] reqwest::Error),
    #[error(transparent)]
    Consent(#[from] ConsentError),
}

/// Connects the account.
pub(super) async fn connect(
    client: &OAuthClient,
    account: &Account,
    store: &Store,
) -> Result<(), DemoConsentError> {
    let loopback = Loopback::bind(client).await?;
    let authorization = Authorization::begin(client, &account.address, loopback.redirect_uri())?;
    let key = grant_key(client, account);
    let destination = Destination { address: &account.address, owner: None, key, store };
    let browser = async {
        let tls = client.trust.client_config().as_ref().clone();
        let browser = reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy().build()?;
        browser.get(authorization.url().clone()).send().await?.error_for_status()?;
        Ok(())
    };
    let receive = async { Ok(loopback.receive(&authorization, &destination).await?) };
    tokio::try_join!(receive, browser).map(drop)
}
