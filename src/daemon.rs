//! [`Daemon`]: everything that runs, from the bound listeners to the drained end. `run`, `demo` and the tests start the same
//! one.

mod certificate;
mod kept_up;
mod watch;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use crate::account::Accounts;
use crate::alarm::Alarms;
use crate::clock::Clock;
use crate::config::{Config, Listener, ListenerTls, common_capabilities};
use crate::listener::{self, Door};
use crate::mailbox_password::MailboxPasswords;
use crate::oauth::Tokens;
use crate::renewal::Renewal;
use crate::session::stream::Upgrade;
use crate::session::{Entrance, Gateway};
use crate::store::running::Running;
use crate::store::{Store, StoreError};
use crate::tls::TlsError;
use certificate::Certificate;
use kept_up::kept_up;

/// How long sessions may take to end once they were told to.
const HARD_STOP: Duration = Duration::from_secs(5);

/// How long after a start all accounts are looked at for the first time: until then store and processor are there for whoever logs in, and a
/// thousand accounts are greeted for as soon as one.
const FIRST_LOOK: Duration = Duration::from_secs(1);

/// A running Gatepost.
#[derive(Debug)]
pub struct Daemon {
    gateway: Arc<Gateway>,
    entrances: Vec<Arc<Entrance>>,
    door: Arc<Door>,
    tasks: TaskTracker,
    /// For `gatepost status`, until it has stopped.
    _running: Running,
}

/// Why Gatepost cannot start.
#[derive(Debug, Error)]
pub enum StartError {
    /// An address cannot be listened at.
    #[error("cannot listen at {address}: {hint}")]
    Bind {
        /// As configured.
        address: SocketAddr,
        /// What that means, and what to do.
        hint: String,
    },
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no usable certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl Daemon {
    /// Binds every listener, then accepts on the runtime that this is called on. Nothing is accepted unless all of it can be.
    pub fn start(config: Config, store: &Store) -> Result<Self, StartError> {
        let mut sockets = Vec::with_capacity(config.listeners.len());
        for listener in &config.listeners {
            let socket = listener::listen(listener.address).map_err(|error| StartError::Bind {
                address: listener.address,
                hint: bind_hint(&error, listener.address),
            })?;
            sockets.push(socket);
        }
        let certificate = Certificate::of(&config)?;
        let gateway = Arc::new(Gateway {
            accounts: Accounts::new(store.clone()),
            tokens: Tokens::new(store.clone()),
            mailbox_passwords: Arc::new(MailboxPasswords::new(store.clone())),
            providers: config.providers.clone(),
            limits: config.limits.clone(),
            slots: Arc::default(),
            checks: Arc::default(),
            live: Arc::default(),
            stopping: CancellationToken::new(),
            drained: CancellationToken::new(),
        });
        let mut entrances = Vec::with_capacity(sockets.len());
        for (listener, socket) in config.listeners.iter().zip(&sockets) {
            entrances.push(entrance(&config, listener, socket, certificate.as_ref())?);
        }
        let mut daemon = Self {
            gateway,
            entrances: Vec::new(),
            door: Door::new(&config.limits),
            tasks: TaskTracker::new(),
            _running: Running::begin(&config.state_dir)?,
        };
        for (entrance, socket) in entrances.into_iter().zip(sockets) {
            daemon.open(entrance, socket);
        }
        daemon.keep_up(Arc::new(config), store, certificate.map(Arc::new));
        Ok(daemon)
    }

    /// Every listener and the address where it really listens.
    pub fn addresses(&self) -> impl Iterator<Item = (&Listener, SocketAddr)> {
        self.entrances.iter().map(|entrance| (&entrance.listener, entrance.address))
    }

    /// Client connections now.
    pub fn connections(&self) -> usize {
        self.door.inside()
    }

    /// Sessions that are logged in now.
    pub fn sessions(&self) -> usize {
        self.gateway.live.len()
    }

    /// Mailboxes whose sessions at the provider are being counted now.
    pub fn mailboxes_in_use(&self) -> usize {
        self.gateway.slots.in_use()
    }

    /// Tasks now: one for each listener and each thing that is watched, and one for each connection.
    pub fn tasks(&self) -> usize {
        self.tasks.len()
    }

    /// The tokens of all sessions.
    pub fn tokens(&self) -> &Tokens {
        &self.gateway.tokens
    }

    /// Stops accepting, tells those who are not logged in, lets the others finish for the drain time, then closes them.
    pub async fn stop(self) {
        let sessions = self.sessions();
        info!(sessions, "stopping");
        self.gateway.stopping.cancel();
        self.tasks.close();
        if timeout(self.gateway.limits.drain, self.tasks.wait()).await.is_err() {
            warn!(sessions = self.sessions(), "closing the sessions that did not finish in time");
            self.gateway.drained.cancel();
            if timeout(HARD_STOP, self.tasks.wait()).await.is_err() {
                error!(left = self.tasks.len(), "sessions did not end");
            }
        }
        self.gateway.tokens.settled().await;
        self.gateway.accounts.settled().await;
        info!("stopped");
    }

    /// What runs beside the sessions.
    fn keep_up(&self, config: Arc<Config>, store: &Store, certificate: Option<Arc<Certificate>>) {
        let Self { gateway, tasks, .. } = self;
        let stopping = || gateway.stopping.clone();

        let (tokens, renewed) = (gateway.tokens.clone(), store.clone());
        let providers = config.providers.clone();
        let renewal = move |stop| {
            let renewal = Renewal::new(tokens.clone(), renewed.clone(), providers.clone());
            after_the_start(stop, |stop| renewal.run(stop))
        };
        tasks.spawn(kept_up("the background refresh", stopping(), renewal));

        let (told, alarmed) = (store.clone(), Arc::clone(gateway));
        let alarms = move |stop| {
            let (tokens, passwords) = (alarmed.tokens.clone(), Arc::clone(&alarmed.mailbox_passwords));
            let alarms = Alarms::new(Arc::clone(&config), told.clone(), tokens, passwords, Clock::system());
            after_the_start(stop, |stop| alarms.watch(stop))
        };
        tasks.spawn(kept_up("the watch for alarms", stopping(), alarms));

        let (live, watched) = (Arc::clone(&gateway.live), store.clone());
        let withdrawn = move |stop| watch::store(watched.clone(), Arc::clone(&live), stop);
        tasks.spawn(kept_up("the watch over the store", stopping(), withdrawn));

        if let Some(certificate) = certificate {
            let renewal = move |stop| watch::certificate(Arc::clone(&certificate), stop);
            tasks.spawn(kept_up("the watch over the certificate", stopping(), renewal));
        }
    }

    fn open(&mut self, entrance: Entrance, socket: TcpListener) {
        let entrance = Arc::new(entrance);
        info!(
            protocol = entrance.listener.protocol.name(),
            address = %entrance.address,
            tls = entrance.listener.tls.name(),
            "listening"
        );
        self.entrances.push(Arc::clone(&entrance));
        let (gateway, door) = (Arc::clone(&self.gateway), Arc::clone(&self.door));
        self.tasks.spawn(listener::run(socket, entrance, gateway, door, self.tasks.clone()));
    }
}

/// The same, a moment later.
async fn after_the_start<F: Future<Output = ()>>(
    stopping: CancellationToken,
    run: impl FnOnce(CancellationToken) -> F,
) {
    if stopping.run_until_cancelled(sleep(FIRST_LOOK)).await.is_some() {
        run(stopping).await;
    }
}

/// The host's name where it can stand in a greeting.
pub(crate) fn host_name() -> String {
    #[cfg(unix)]
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    #[cfg(not(unix))]
    let name = String::new();
    let is_host = |name: &str| {
        !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
    };
    if is_host(&name) { name } else { "localhost".to_owned() }
}

fn entrance(
    config: &Config,
    listener: &Listener,
    socket: &TcpListener,
    certificate: Option<&Certificate>,
) -> Result<Entrance, StartError> {
    let providers: Vec<_> = config.providers.values().filter(|provider| listener.serves(provider)).collect();
    let endpoints: Vec<_> =
        providers.iter().filter_map(|provider| provider.endpoint(listener.protocol)).collect();
    let upgrade = match certificate {
        Some(certificate) if listener.tls != ListenerTls::None => {
            Upgrade::Accept(certificate.current.server_config(listener.protocol)?)
        }
        _ => Upgrade::Never,
    };
    Ok(Entrance {
        listener: listener.clone(),
        address: socket.local_addr().unwrap_or(listener.address),
        providers: providers.iter().map(|provider| provider.name.clone()).collect(),
        capabilities: common_capabilities(&endpoints),
        host_name: host_name(),
        upgrade,
    })
}

/// What an admin should do about it.
fn bind_hint(error: &io::Error, address: SocketAddr) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!(
                "another program listens there already (ss -ltnp 'sport = :{}' shows which)",
                address.port()
            )
        }
        io::ErrorKind::AddrNotAvailable => format!("this machine has no address {}", address.ip()),
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 need the right to bind them: use the systemd unit in \
            contrib/, or `setcap cap_net_bind_service=+ep` on the program, or a higher port"
                .to_owned()
        }
        _ => error.to_string(),
    }
}
