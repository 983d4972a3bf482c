//! A whole Gatepost in this process, in front of a provider that is in it too, and clients that go through it or past it.

use std::sync::Arc;
use std::time::Duration;

use gatepost::config::Config;
use gatepost::daemon::Daemon;
use gatepost::store::Store;
use gatepost_bench::contender::{self, Contender, Login, Prepared, Setup};
use gatepost_bench::load::Client;
use gatepost_bench::upstream::{self, Upstream};
use gatepost_protocol::Protocol;
use tempfile::TempDir;

/// Everything there is, as long as it is wanted.
pub(crate) struct Rooms {
    /// Straight to the provider; through Gatepost in clear; through Gatepost inside TLS.
    pub(crate) clients: [(&'static str, Arc<Client>); 3],
    _gateposts: [(Daemon, Prepared); 2],
    _provider: TempDir,
}

impl Rooms {
    /// Starts it on the runtime that this is called on.
    pub(crate) async fn new() -> anyhow::Result<Self> {
        let (upstream, provider) = upstream::start(Duration::ZERO)?;
        let direct = Client::new(&contender::start("direct", &upstream).await?, &upstream)?;
        let (plain, plain_client) = gatepost(&upstream, false).await?;
        let (tls, tls_client) = gatepost(&upstream, true).await?;
        Ok(Self {
            clients: [("direct", direct), ("client plain", plain_client), ("client TLS", tls_client)],
            _gateposts: [plain, tls],
            _provider: provider,
        })
    }
}

async fn gatepost(upstream: &Upstream, local_tls: bool) -> anyhow::Result<((Daemon, Prepared), Arc<Client>)> {
    let prepared = contender::prepare_gatepost(upstream, Setup { local_tls, ..Setup::default() }).await?;
    let config = Config::load(Some(&prepared.file()))?;
    let authority = config.state_dir.join("ca.pem");
    let store = Store::open(&config.state_dir).await?;
    let daemon = Daemon::start(config, &store)?;
    let address = |protocol| {
        let mut addresses = daemon.addresses();
        let found = addresses.find(|(listener, _)| listener.protocol == protocol);
        found.map(|(_, address)| address).ok_or_else(|| anyhow::anyhow!("nobody listens for {protocol:?}"))
    };
    let contender = Contender {
        name: "gatepost",
        pop3: address(Protocol::Pop3)?,
        smtp: address(Protocol::Smtp)?,
        login: if local_tls { Login::PasswordInTls } else { Login::Password },
        processes: Vec::new(),
        authority: local_tls.then_some(authority),
        running: Box::new(()),
    };
    let client = Client::new(&contender, upstream)?;
    Ok(((daemon, prepared), client))
}
