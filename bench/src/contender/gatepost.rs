//! Gatepost as it is installed: `gatepost run` with default logging, in front of a store that holds a live token for every account.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, SystemTime};

use gatepost::account::Accounts;
use gatepost::config::Config;
use gatepost::store::Store;
use gatepost::store::accounts::NewAccount;
use gatepost::store::credentials::NewCredential;
use gatepost::store::grants::{GrantKey, NewTokens};
use gatepost_protocol::secret::Secret;
use tempfile::TempDir;

use super::program::{self, Program};
use super::{Contender, Login};
use crate::upstream::{HOST, PASSWORD, TOKEN, USER_NAME, Upstream};

/// The provider's name in the configuration.
const PROVIDER: &str = "bench";

/// The configuration's name in the folder.
const FILE: &str = "gatepost.yaml";

/// Connections that it is set up for; all of them come from one address.
const CONNECTIONS: usize = 12_000;

/// How Gatepost is set up.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// How many, of which the first is the one that everybody uses.
    pub accounts: usize,
    /// The password of each has a hash of its own, as where every device has a password of its own.
    pub own_hashes: bool,
    /// Clients begin with TLS, under the CA that Gatepost makes for itself.
    pub local_tls: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self { accounts: 1, own_hashes: false, local_tls: false }
    }
}

/// Prepares it and starts it.
pub(super) async fn start(upstream: &Upstream, setup: Setup) -> anyhow::Result<Contender> {
    prepare(upstream, setup).await?.start().await
}

/// A folder with everything that `gatepost run` needs.
pub struct Prepared {
    folder: TempDir,
    setup: Setup,
    pop3: SocketAddr,
    smtp: SocketAddr,
}

/// Writes the configuration, and fills the store as the commands of an admin would.
pub async fn prepare(upstream: &Upstream, setup: Setup) -> anyhow::Result<Prepared> {
    let folder = program::folder()?;
    let [pop3, smtp] = program::free_addresses()?;
    let file = program::write(folder.path(), FILE, &configuration(upstream, pop3, smtp, setup.local_tls))?;
    let config = Config::load(Some(&file))?;
    let store = Store::open(&config.state_dir).await?;
    let password = Secret::new(PASSWORD.to_owned());
    let passwords = Accounts::new(store.clone());
    let mut password_hash = passwords.hash_new_password(PROVIDER, USER_NAME, &password).await?;
    for number in 0..setup.accounts {
        let address = user_name(number);
        if setup.own_hashes {
            password_hash = passwords.hash_new_password(PROVIDER, &address, &password).await?;
        }
        let account =
            NewAccount { address: address.clone(), provider: PROVIDER.to_owned(), ..NewAccount::default() };
        let credential = NewCredential {
            user_name: address,
            mailbox: None,
            password_hash: password_hash.clone(),
            label: None,
        };
        let (id, _) = store.add_account(&account, Some(&credential)).await?;
        store.replace_grant(&GrantKey::Account(id), &tokens()).await?;
    }
    store.close().await;
    Ok(Prepared { folder, setup, pop3, smtp })
}

/// Of the account with this number, counted from zero.
pub fn user_name(number: usize) -> String {
    if number == 0 { USER_NAME.to_owned() } else { format!("person{number}@example.com") }
}

impl Prepared {
    /// The configuration file.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join(FILE)
    }

    /// Starts the executable that stands beside this one.
    pub async fn start(self) -> anyhow::Result<Contender> {
        let file = self.file();
        let Self { folder, setup, pop3, smtp } = self;
        let authority = setup.local_tls.then(|| folder.path().join("state/ca.pem"));
        let mut command = Command::new(super::own_executable("gatepost")?);
        command.arg("run").arg("--config").arg(file).env_remove("RUST_LOG");
        let mut program = Program::start(&mut command, folder)?;
        if let Some(authority) = &authority {
            // It listens before that, and speaks when the handshake is over.
            program.writes(authority).await?;
        } else {
            program.greets(pop3, "+OK").await?;
            program.greets(smtp, "220").await?;
        }
        Ok(Contender {
            name: if setup.local_tls { "gatepost-tls" } else { "gatepost" },
            pop3,
            smtp,
            login: if setup.local_tls { Login::PasswordInTls } else { Login::Password },
            processes: vec![program.id()],
            authority,
            running: Box::new(program),
        })
    }
}

/// Nobody ever asks the endpoints: the token lives longer than the run, and no longer than Gatepost believes.
fn configuration(upstream: &Upstream, pop3: SocketAddr, smtp: SocketAddr, local_tls: bool) -> String {
    let Upstream { ca_file, pop3s, smtps, .. } = upstream;
    let tls = if local_tls { "implicit" } else { "none" };
    format!(
        "\
providers:
  {PROVIDER}:
    grant: authorization_code
    authorization_endpoint: https://{HOST}/authorize
    token_endpoint: https://{HOST}/token
    client_id: gatepost
    scopes: [mail]
    ca_file: {ca_file}
    pop3: {{ host: {HOST}, port: {pop3_port}, tls: implicit }}
    smtp: {{ host: {HOST}, port: {smtp_port}, tls: implicit }}
listeners:
  - {{ protocol: pop3, address: \"{pop3}\", tls: {tls} }}
  - {{ protocol: smtp, address: \"{smtp}\", tls: {tls} }}
limits: {{ connections: {CONNECTIONS}, connections_per_address: {CONNECTIONS} }}
state: state
",
        ca_file = ca_file.display(),
        pop3_port = pop3s.port(),
        smtp_port = smtps.port(),
    )
}

fn tokens() -> NewTokens {
    let now = SystemTime::now();
    NewTokens {
        access_token: Secret::new(TOKEN.to_owned()),
        refresh_token: Some(Secret::new("bench-refresh-token".to_owned())),
        issued_at: now,
        expires_at: now + Duration::from_hours(12),
        scopes: Vec::new(),
        identity: None,
    }
}
