//! A provider in this process, for the demo and the tests: an OAuth 2.0 server over https; SMTP submission, POP3 and IMAP,
//! each with implicit TLS and with STARTTLS; all on free loopback ports, and a token the only way in.
//!
//! It is as strict as the strictest provider (two-step AUTH, PKCE, rotation with reuse detection) or talks as Exchange or
//! Gmail does, keeps messages byte for byte, and misbehaves only as its [`Personality`] says. Nothing of it outlives the
//! [`Sandbox`] value.

mod certificate;
mod device;
mod dialect;
mod faults;
mod grants;
mod imap;
mod mail;
mod mailbox;
mod oauth;
mod permissions;
mod personality;
mod pop3;
mod provider_yaml;
mod readable_token;
pub mod record;
mod revocation;
mod sasl;
mod service_account;
mod smtp;
#[cfg(test)]
mod tests;

use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use gatepost_protocol::Protocol;
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

pub use faults::{Action, MailFault, Moment, TokenFault};
pub use personality::Personality;
pub use revocation::Revocation;

use crate::config::provider::UpstreamTls;

/// The OAuth client that the sandbox knows.
pub const CLIENT_ID: &str = "gatepost-sandbox";

/// Its secret. It opens nothing but a sandbox.
pub const CLIENT_SECRET: &str = "sandbox-client-secret";

/// The environment variable that [`Sandbox::provider_yaml`] names for the secret.
pub const CLIENT_SECRET_VARIABLE: &str = "GATEPOST_SANDBOX_SECRET";

/// A running provider. It stops when it is dropped.
#[derive(Debug)]
pub struct Sandbox {
    shared: Arc<Shared>,
    ca_pem: String,
    ports: Ports,
    tasks: JoinSet<()>,
}

/// Where the sandbox listens, on 127.0.0.1.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    /// The authorization server.
    pub https: u16,
    /// SMTP submission with STARTTLS.
    pub smtp: u16,
    /// SMTP with implicit TLS.
    pub smtps: u16,
    /// POP3 with STLS.
    pub pop3: u16,
    /// POP3 with implicit TLS.
    pub pop3s: u16,
    /// IMAP with STARTTLS.
    pub imap: u16,
    /// IMAP with implicit TLS.
    pub imaps: u16,
}

/// What has happened so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Requests to the authorization endpoint.
    pub authorizations: u64,
    /// Token requests with `grant_type=authorization_code`, successful or not.
    pub code_requests: u64,
    /// With `client_credentials`.
    pub client_credentials_requests: u64,
    /// Token requests with a device code.
    pub device_requests: u64,
    /// With `refresh_token`.
    pub refresh_requests: u64,
    /// With anything else.
    pub other_token_requests: u64,
    /// Requests to the revocation endpoint.
    pub revocation_requests: u64,
    /// Connections to either SMTP port.
    pub smtp_connections: u64,
    /// Connections to either POP3 port.
    pub pop3_connections: u64,
    /// Connections to either IMAP port.
    pub imap_connections: u64,
    /// Successful logins by SMTP.
    pub smtp_logins: u64,
    /// Successful logins by POP3.
    pub pop3_logins: u64,
    /// Successful logins by IMAP.
    pub imap_logins: u64,
    /// Tokens refused by any.
    pub refused_logins: u64,
}

/// The sandbox cannot start.
#[derive(Debug, Error)]
pub enum SandboxError {
    /// No certificate or key could be made.
    #[error("the sandbox's certificate or key cannot be made: {0}")]
    Certificate(#[from] rcgen::Error),
    /// No port of 127.0.0.1 can be listened on.
    #[error("the sandbox cannot listen on 127.0.0.1: {0}")]
    Listen(#[from] io::Error),
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    Random,
    /// The certificate is not good for TLS.
    #[error("the sandbox's certificate is of no use: {0}")]
    Tls(#[from] rustls::Error),
}

/// What every connection sees.
struct Shared {
    acceptor: TlsAcceptor,
    world: Mutex<World>,
}

/// All that changes, behind one lock that is never held over an await.
struct World {
    personality: Personality,
    counters: Counters,
    grants: grants::Grants,
    devices: device::DeviceCodes,
    mailboxes: mailbox::Mailboxes,
    permissions: permissions::Permissions,
    records: record::Records,
    service_account: service_account::ServiceAccount,
}

impl Sandbox {
    /// Binds seven free ports on 127.0.0.1 and begins, as a provider of no particular make.
    pub async fn start() -> Result<Self, SandboxError> {
        Self::start_as(Personality::default()).await
    }

    /// The same, as this one.
    pub async fn start_as(personality: Personality) -> Result<Self, SandboxError> {
        let identity = certificate::Identity::generate()?;
        let mut seed = [0; 32];
        aws_lc_rs::rand::fill(&mut seed).map_err(|_| SandboxError::Random)?;
        let world = World {
            personality,
            counters: Counters::default(),
            grants: grants::Grants::new(seed),
            devices: device::DeviceCodes::default(),
            mailboxes: mailbox::Mailboxes::new(),
            permissions: permissions::Permissions::default(),
            records: record::Records::default(),
            service_account: service_account::ServiceAccount::default(),
        };
        let shared =
            Arc::new(Shared { acceptor: TlsAcceptor::from(identity.server), world: Mutex::new(world) });
        let mut tasks = JoinSet::new();
        let mut mail = async |protocol, tls| {
            let shared = Arc::clone(&shared);
            listen(&mut tasks, move |socket| mail::serve(Arc::clone(&shared), protocol, tls, socket)).await
        };
        let smtp = mail(Protocol::Smtp, UpstreamTls::StartTls).await?;
        let smtps = mail(Protocol::Smtp, UpstreamTls::Implicit).await?;
        let pop3 = mail(Protocol::Pop3, UpstreamTls::StartTls).await?;
        let pop3s = mail(Protocol::Pop3, UpstreamTls::Implicit).await?;
        let imap = mail(Protocol::Imap, UpstreamTls::StartTls).await?;
        let imaps = mail(Protocol::Imap, UpstreamTls::Implicit).await?;
        let oauth = Arc::clone(&shared);
        let https = listen(&mut tasks, move |socket| oauth::serve(Arc::clone(&oauth), socket)).await?;
        let ports = Ports { https, smtp, smtps, pop3, pop3s, imap, imaps };
        Ok(Self { shared, ca_pem: identity.ca_pem, ports, tasks })
    }

    /// Where it listens.
    pub fn ports(&self) -> Ports {
        self.ports
    }

    /// The CA that vouches for all its ports.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// Makes it behave otherwise from now on.
    pub fn change(&self, change: impl FnOnce(&mut Personality)) {
        change(&mut self.shared.world().personality);
    }

    /// What has happened so far.
    pub fn counters(&self) -> Counters {
        self.shared.world().counters
    }

    /// The messages in a mailbox, oldest first.
    pub fn mailbox(&self, address: &str) -> Vec<Bytes> {
        let messages = self.shared.world().mailboxes.messages(address);
        messages.into_iter().map(|message| message.bytes).collect()
    }

    /// Puts a message into a mailbox.
    pub fn deliver(&self, address: &str, message: Bytes) {
        self.shared.world().mailboxes.deliver(address, message);
    }

    /// Ends every access token before its time: the mail servers refuse what the client still thinks good.
    pub fn forget_access_tokens(&self) {
        self.shared.world().grants.forget_access_tokens();
    }

    /// Ends everything that the mailbox's owner consented to: a refresh is answered with `invalid_grant`.
    pub fn revoke(&self, address: &str) {
        self.shared.world().grants.revoke(address);
    }

    /// Whether a refresh token or an access token of somebody's consent is good.
    pub fn is_good(&self, token: &str) -> bool {
        self.shared.world().grants.owner(token).is_some()
    }

    /// What was said on the newest mail connections.
    pub fn dialogues(&self) -> Vec<record::Dialogue> {
        self.shared.world().records.all()
    }

    /// Stops, and waits until every port is closed.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

impl Shared {
    fn world(&self) -> MutexGuard<'_, World> {
        // What a test's panic left behind is still what happened.
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Shared")
    }
}

/// Listens on a free port and serves every connection in a task that ends with this one.
async fn listen<Served: Future<Output = ()> + Send + 'static>(
    tasks: &mut JoinSet<()>,
    serve: impl Fn(TcpStream) -> Served + Send + 'static,
) -> io::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let port = listener.local_addr()?.port();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((socket, _)) => {
                        connections.spawn(serve(socket));
                    }
                    // No descriptors are left, most likely; some come back as connections end.
                    Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                },
                Some(_) = connections.join_next() => {}
            }
        }
    });
    Ok(port)
}
