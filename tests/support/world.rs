//! A whole Gatepost, as `run` starts it, between clients of the test's own and the sandbox as its provider.

use std::net::SocketAddr;
use std::sync::Arc;

use gatepost::account::{AccountId, Accounts};
use gatepost::config::provider::UpstreamTls;
use gatepost::config::{Config, Limits, ListenerTls, Provider};
use gatepost::daemon::Daemon;
use gatepost::oauth::authorization_code::Authorization;
use gatepost::sandbox::{CLIENT_SECRET, CLIENT_SECRET_VARIABLE, Sandbox};
use gatepost::store::Store;
use gatepost::store::accounts::NewAccount;
use gatepost::store::credentials::NewCredential;
use gatepost::store::grants::GrantKey;
use gatepost_protocol::Protocol;
use gatepost_protocol::secret::Secret;
use tempfile::TempDir;

/// The one mailbox, and the user name of its credential.
pub const ADDRESS: &str = "scanner@example.com";
/// Its password.
pub const PASSWORD: &str = "tanstaaftanstaaf";

/// The four kinds of listener that a test may want, on free ports of 127.0.0.1.
pub const LISTENERS: &str = "
  - { protocol: smtp, address: \"127.0.0.1:0\", tls: starttls }
  - { protocol: smtp, address: \"127.0.0.1:0\", tls: implicit }
  - { protocol: smtp, address: \"127.0.0.1:0\", tls: none }
  - { protocol: pop3, address: \"127.0.0.1:0\", tls: starttls }
  - { protocol: pop3, address: \"127.0.0.1:0\", tls: implicit }
  - { protocol: pop3, address: \"127.0.0.1:0\", tls: none }
";

/// Everything between the client and the provider, and the provider.
pub struct World {
    /// The provider.
    pub sandbox: Sandbox,
    /// Gatepost.
    pub daemon: Daemon,
    /// Its store, as another process would open it.
    pub store: Store,
    /// Its one provider.
    pub provider: Arc<Provider>,
    /// Its one account, connected.
    pub account: AccountId,
    folder: TempDir,
}

impl World {
    /// With the default limits and a provider whose TLS is implicit.
    pub async fn start() -> Self {
        Self::with(UpstreamTls::Implicit, |_| {}).await
    }

    /// With other limits, or a provider that wants STARTTLS.
    pub async fn with(upstream: UpstreamTls, change: impl FnOnce(&mut Limits)) -> Self {
        Self::with_listeners(upstream, LISTENERS, change).await
    }

    /// With other listeners too (the YAML list under `listeners:`).
    pub async fn with_listeners(
        upstream: UpstreamTls,
        listeners: &str,
        change: impl FnOnce(&mut Limits),
    ) -> Self {
        let sandbox = Sandbox::start().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let ca_file = folder.path().join("sandbox-ca.pem");
        std::fs::write(&ca_file, sandbox.ca_pem()).unwrap();
        let yaml = format!(
            "providers:\n{}listeners:{listeners}state: state\n",
            sandbox.provider_yaml("sandbox", &ca_file, upstream)
        );
        let environment = |name: &str| (name == CLIENT_SECRET_VARIABLE).then(|| CLIENT_SECRET.to_owned());
        let mut config = Config::parse(&folder.path().join("gatepost.yaml"), &yaml, &environment).unwrap();
        change(&mut config.limits);
        let store = Store::open(&config.state_dir).await.unwrap();
        let provider = Arc::clone(&config.providers["sandbox"]);
        let account = add_account(&store, "sandbox", ADDRESS, PASSWORD).await;
        let daemon = Daemon::start(config, store.clone()).await.unwrap();
        let world = Self { sandbox, daemon, store, provider, account, folder };
        world.connect().await;
        world
    }

    /// Consents in place of the mailbox's owner, as often as one likes.
    pub async fn connect(&self) {
        let redirect_uri = "http://localhost:1/".to_owned();
        let authorization = Authorization::begin(&self.provider, ADDRESS, redirect_uri).unwrap();
        let browser = reqwest::Client::builder()
            .tls_backend_preconfigured(self.provider.trust.client_config().as_ref().clone())
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        let answer = browser.get(authorization.url().clone()).send().await.unwrap();
        let returned = answer.headers()["location"].to_str().unwrap();
        let tokens = authorization.redeem(authorization.code(returned).unwrap()).await.unwrap();
        self.store.replace_grant(&GrantKey::Account(self.account), &tokens).await.unwrap();
    }

    /// Where Gatepost listens for this.
    pub fn address(&self, protocol: Protocol, tls: ListenerTls) -> SocketAddr {
        self.daemon
            .addresses()
            .find(|(listener, _)| listener.protocol == protocol && listener.tls == tls)
            .map(|(_, address)| address)
            .unwrap()
    }

    /// Gatepost's state folder.
    pub fn state_dir(&self) -> std::path::PathBuf {
        self.folder.path().join("state")
    }
}

/// Adds an account with one credential of the same name.
pub async fn add_account(store: &Store, provider: &str, address: &str, password: &str) -> AccountId {
    let password = Secret::new(password.to_owned());
    let password_hash =
        Accounts::new(store.clone()).hash_new_password(provider, address, &password).await.unwrap();
    let account = NewAccount {
        address: address.to_owned(),
        provider: provider.to_owned(),
        smtp_user_name: None,
        pop3_user_name: None,
        disabled: false,
    };
    let credential = NewCredential { user_name: address.to_owned(), password_hash, label: None };
    store.add_account(&account, Some(&credential)).await.unwrap().0
}
