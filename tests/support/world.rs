//! A whole Gatepost, as `run` starts it, between clients of the test's own and the sandbox as its provider.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use gatepost::account::{AccountId, Accounts};
use gatepost::config::provider::UpstreamTls;
use gatepost::config::{Config, Limits, ListenerTls, Provider};
use gatepost::daemon::Daemon;
use gatepost::oauth::authorization_code::Authorization;
use gatepost::sandbox::{CLIENT_SECRET, CLIENT_SECRET_VARIABLE, Sandbox};
use gatepost::store::Store;
use gatepost::store::accounts::NewAccount;
use gatepost::store::credentials::NewCredential;
use gatepost::store::grants::{Grant, GrantKey, Identity, NewTokens};
use gatepost_protocol::Protocol;
use gatepost_protocol::secret::Secret;
use tempfile::TempDir;

/// The one mailbox, and the user name of its credential.
pub const ADDRESS: &str = "scanner@example.com";
/// Its password.
pub const PASSWORD: &str = "tanstaaftanstaaf";

/// Every kind of listener that a test may want, on free ports of 127.0.0.1.
pub const LISTENERS: &str = "
  - { protocol: smtp, address: \"127.0.0.1:0\", tls: starttls }
  - { protocol: smtp, address: \"127.0.0.1:0\", tls: implicit }
  - { protocol: smtp, address: \"127.0.0.1:0\", tls: none }
  - { protocol: pop3, address: \"127.0.0.1:0\", tls: starttls }
  - { protocol: pop3, address: \"127.0.0.1:0\", tls: implicit }
  - { protocol: pop3, address: \"127.0.0.1:0\", tls: none }
  - { protocol: imap, address: \"127.0.0.1:0\", tls: starttls }
  - { protocol: imap, address: \"127.0.0.1:0\", tls: implicit }
  - { protocol: imap, address: \"127.0.0.1:0\", tls: none }
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
    /// Its one account.
    pub account: AccountId,
    /// Gatepost's tasks while nobody is connected.
    pub idle_tasks: usize,
    /// The configuration file's text.
    pub yaml: String,
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

    /// With a provider that takes so many sessions of a mailbox.
    pub async fn capped(sessions: usize) -> Self {
        let capped =
            |yaml: String| yaml.replace(", capabilities:", &format!(", sessions: {sessions}, capabilities:"));
        let sandbox = Sandbox::start().await.unwrap();
        let world = Self::build(sandbox, UpstreamTls::Implicit, LISTENERS, capped, |_| {}, |_| {}).await;
        world.connect().await;
        world
    }

    /// At this provider, which may be entered another way, with the account another one; it is not connected.
    pub async fn at(
        sandbox: Sandbox,
        upstream: UpstreamTls,
        provider: impl FnOnce(String) -> String,
        account: impl FnOnce(&mut NewAccount),
    ) -> Self {
        Self::build(sandbox, upstream, LISTENERS, provider, account, |_| {}).await
    }

    /// With other listeners too (the YAML list under `listeners:`).
    pub async fn with_listeners(
        upstream: UpstreamTls,
        listeners: &str,
        change: impl FnOnce(&mut Limits),
    ) -> Self {
        let sandbox = Sandbox::start().await.unwrap();
        let world = Self::build(sandbox, upstream, listeners, |yaml| yaml, |_| {}, change).await;
        world.connect().await;
        world
    }

    async fn build(
        sandbox: Sandbox,
        upstream: UpstreamTls,
        listeners: &str,
        provider: impl FnOnce(String) -> String,
        account: impl FnOnce(&mut NewAccount),
        change: impl FnOnce(&mut Limits),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ca_file = folder.path().join("sandbox-ca.pem");
        std::fs::write(&ca_file, sandbox.ca_pem()).unwrap();
        let provider = provider(sandbox.provider_yaml("sandbox", &ca_file, upstream));
        let yaml = format!("providers:\n{provider}listeners:{listeners}state: state\n");
        let mut config = parse(&folder, &yaml);
        change(&mut config.limits);
        let store = Store::open(&config.state_dir).await.unwrap();
        let provider = Arc::clone(&config.providers["sandbox"]);
        let account = add_changed_account(&store, "sandbox", ADDRESS, PASSWORD, account).await;
        let daemon = Daemon::start(config, &store).unwrap();
        let idle_tasks = daemon.tasks();
        Self { sandbox, daemon, store, provider, account, idle_tasks, yaml, folder }
    }

    /// Consents in place of the mailbox's owner, as often as one likes; gives the code that was redeemed.
    pub async fn connect(&self) -> String {
        let (tokens, code) = consent(&self.provider, ADDRESS).await;
        self.store.replace_grant(&GrantKey::Account(self.account), &tokens).await.unwrap();
        code
    }

    /// Consents again, to an access token that has ended. Nobody has used it for a week, so that no refresh begins but by a
    /// login.
    pub async fn connect_with_an_expired_token(&self) {
        self.connect().await;
        let Grant { access_token, refresh_token, scopes, identity, .. } = self.grant().await;
        let identity = Identity::new(identity);
        let expires_at = SystemTime::now() - Duration::from_secs(1);
        let expired = NewTokens {
            access_token: access_token.unwrap(),
            refresh_token,
            issued_at: SystemTime::now(),
            expires_at,
            scopes,
            identity,
        };
        let key = GrantKey::Account(self.account);
        let long_ago = NewTokens { issued_at: SystemTime::UNIX_EPOCH, ..expired.clone() };
        let version = self.store.replace_grant(&key, &long_ago).await.unwrap();
        assert!(self.store.commit_refresh(&key, version, &expired).await.unwrap().is_some());
    }

    /// Ends the access token of a grant that is in use.
    pub async fn expire(&self) {
        let Grant { version, access_token, .. } = self.grant().await;
        let ended = NewTokens {
            access_token: access_token.unwrap(),
            refresh_token: None,
            issued_at: SystemTime::now() - Duration::from_hours(1),
            expires_at: SystemTime::now() - Duration::from_secs(1),
            scopes: Vec::new(),
            identity: None,
        };
        let committed = self.store.commit_refresh(&GrantKey::Account(self.account), version, &ended).await;
        assert!(committed.unwrap().is_some(), "nobody else changes it");
    }

    /// What is stored for the account.
    pub async fn grant(&self) -> Grant {
        self.store.grant(&GrantKey::Account(self.account)).await.unwrap().unwrap()
    }

    /// Puts another Gatepost, with this configuration and the same state, in the place of the one that runs.
    pub async fn restart(&mut self, yaml: &str, change: impl FnOnce(&mut Limits)) {
        let mut config = parse(&self.folder, yaml);
        change(&mut config.limits);
        let daemon = Daemon::start(config, &self.store).unwrap();
        self.idle_tasks = daemon.tasks();
        std::mem::replace(&mut self.daemon, daemon).stop().await;
    }

    /// Has its Gatepost look after an empty store until the next restart: what a test starts beside it is then the only one that may refresh.
    pub async fn step_aside(&mut self) {
        let config = parse(&self.folder, &self.yaml.replace("state: state", "state: elsewhere"));
        let store = Store::open(&config.state_dir).await.unwrap();
        let daemon = Daemon::start(config, &store).unwrap();
        std::mem::replace(&mut self.daemon, daemon).stop().await;
    }

    /// Where Gatepost listens for this.
    pub fn address(&self, protocol: Protocol, tls: ListenerTls) -> SocketAddr {
        self.daemon
            .addresses()
            .find(|(listener, _)| listener.protocol == protocol && listener.tls == tls)
            .map(|(_, address)| address)
            .unwrap()
    }

    /// Connections to the provider's mail servers so far.
    pub fn upstream_connections(&self) -> u64 {
        let counters = self.sandbox.counters();
        counters.smtp_connections + counters.pop3_connections + counters.imap_connections
    }

    /// Tokens that the provider has taken so far.
    pub fn upstream_logins(&self, protocol: Protocol) -> u64 {
        let counters = self.sandbox.counters();
        match protocol {
            Protocol::Smtp => counters.smtp_logins,
            Protocol::Pop3 => counters.pop3_logins,
            Protocol::Imap => counters.imap_logins,
        }
    }

    /// A folder for the test's own files, which goes with the world.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Gatepost's state folder.
    pub fn state_dir(&self) -> std::path::PathBuf {
        self.folder.path().join("state")
    }
}

/// Consents in place of a mailbox's owner; gives the code that was redeemed too.
pub async fn consent(provider: &Provider, address: &str) -> (NewTokens, String) {
    let redirect_uri = "http://localhost:1/".to_owned();
    let authorization = Authorization::begin(provider.oauth().unwrap(), address, redirect_uri).unwrap();
    let browser = reqwest::Client::builder()
        .tls_backend_preconfigured(provider.trust.client_config().as_ref().clone())
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    let answer = browser.get(authorization.url().clone()).send().await.unwrap();
    let returned = answer.headers()["location"].to_str().unwrap();
    let tokens = authorization.redeem(authorization.code(returned).unwrap()).await.unwrap();
    let returned = reqwest::Url::parse(returned).unwrap();
    let code = returned.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned();
    (tokens, code)
}

/// The configuration file of this text in the folder.
pub fn parse(folder: &TempDir, yaml: &str) -> Config {
    let environment = |name: &str| (name == CLIENT_SECRET_VARIABLE).then(|| CLIENT_SECRET.to_owned());
    Config::parse(&folder.path().join("gatepost.yaml"), yaml, &environment).unwrap()
}

/// Adds an account with one credential of the same name.
pub async fn add_account(store: &Store, provider: &str, address: &str, password: &str) -> AccountId {
    add_changed_account(store, provider, address, password, |_| {}).await
}

async fn add_changed_account(
    store: &Store,
    provider: &str,
    address: &str,
    password: &str,
    change: impl FnOnce(&mut NewAccount),
) -> AccountId {
    let password = Secret::new(password.to_owned());
    let password_hash =
        Accounts::new(store.clone()).hash_new_password(provider, address, &password).await.unwrap();
    let mut account =
        NewAccount { address: address.to_owned(), provider: provider.to_owned(), ..NewAccount::default() };
    change(&mut account);
    let credential =
        NewCredential { user_name: address.to_owned(), mailbox: None, password_hash, label: None };
    store.add_account(&account, Some(&credential)).await.unwrap().0
}
