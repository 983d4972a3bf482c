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

/// With as many accounts as wanted, of which the first is the one that everybody uses.
pub(super) async fn start(upstream: &Upstream, accounts: usize) -> anyhow::Result<Contender> {
    prepare(upstream, accounts).await?.start().await
}

/// A folder with everything that `gatepost run` needs.
pub struct Prepared {
    folder: TempDir,
    pop3: SocketAddr,
    smtp: SocketAddr,
}

/// Writes the configuration, and fills the store as the commands of an admin would.
pub async fn prepare(upstream: &Upstream, accounts: usize) -> anyhow::Result<Prepared> {
    let folder = program::folder()?;
    let [pop3, smtp] = program::free_addresses()?;
    let file = program::write(folder.path(), FILE, &configuration(upstream, pop3, smtp))?;
    let config = Config::load(Some(&file))?;
    let store = Store::open(&config.state_dir).await?;
    let password = Secret::new(PASSWORD.to_owned());
    let password_hash =
        Accounts::new(store.clone()).hash_new_password(PROVIDER, USER_NAME, &password).await?;
    for number in 0..accounts {
        let address = if number == 0 { USER_NAME.to_owned() } else { format!("person{number}@example.com") };
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
    Ok(Prepared { folder, pop3, smtp })
}

impl Prepared {
    /// The configuration file.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join(FILE)
    }

    /// Starts the executable that stands beside this one.
    pub async fn start(self) -> anyhow::Result<Contender> {
        let file = self.file();
        let Self { folder, pop3, smtp } = self;
        let mut command = Command::new(super::own_executable("gatepost")?);
        command.arg("run").arg("--config").arg(file).env_remove("RUST_LOG");
        let mut program = Program::start(&mut command, folder)?;
        program.greets(pop3, "+OK").await?;
        program.greets(smtp, "220").await?;
        Ok(Contender {
            name: "gatepost",
            pop3,
            smtp,
            login: Login::Password,
            processes: vec![program.id()],
            running: Box::new(program),
        })
    }
}

/// Nobody ever asks the endpoints: the token lives longer than the run, and no longer than Gatepost believes.
fn configuration(upstream: &Upstream, pop3: SocketAddr, smtp: SocketAddr) -> String {
    let Upstream { ca_file, pop3s, smtps, .. } = upstream;
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
  - {{ protocol: pop3, address: \"{pop3}\", tls: none }}
  - {{ protocol: smtp, address: \"{smtp}\", tls: none }}
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
