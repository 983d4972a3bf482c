//! The provider's side: a fast one in a process of its own, where it is, and what it takes.
//!
//! Rule: it does as little as it can, because it shares the processors with what is measured.

mod delay;
mod identity;
mod pop3;
mod sasl;
mod smtp;
mod wire;

use std::collections::HashMap;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::message::Message;
use wire::Wire;

/// The host name in the provider's certificate. It is what everything upstream is verified against.
pub const HOST: &str = "localhost";

/// The mailbox whose login everybody uses; the upstream takes any name.
pub const USER_NAME: &str = "ann@example.com";

/// The OAuth access token that the upstream takes, as XOAUTH2.
pub const TOKEN: &str =
    "bench-access-token-which-is-as-long-as-a-real-one-because-it-is-sent-with-every-login-0123456789";

/// The password that the upstream takes from the programs that know no XOAUTH2, and that every contender takes from a client.
pub const PASSWORD: &str = "bench-password";

/// Where the provider is reached, on loopback.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Upstream {
    /// The certificate of its authority, as PEM.
    pub ca_file: PathBuf,
    /// Inside TLS from the first byte.
    pub pop3s: SocketAddr,
    /// Inside TLS from the first byte.
    pub smtps: SocketAddr,
    /// In clear, for nginx, which knows no TLS there.
    pub pop3: SocketAddr,
    /// In clear.
    pub smtp: SocketAddr,
}

/// Listens, says where as one line of JSON, and goes on until standard input ends.
pub fn run(delay: Duration) -> anyhow::Result<()> {
    crate::process::raise_descriptors();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (upstream, _folder) = start(delay)?;
        writeln!(io::stdout(), "{}", serde_json::to_string(&upstream)?)?;
        crate::process::standard_input_ended().await;
        Ok(())
    })
}

/// Listens on free ports, and answers on the runtime that this is called on. What it needs on disk lives as long as the folder.
pub fn start(delay: Duration) -> anyhow::Result<(Upstream, TempDir)> {
    let folder = tempfile::tempdir()?;
    let identity = identity::Identity::generate()?;
    let ca_file = folder.path().join("authority.pem");
    std::fs::write(&ca_file, &identity.authority)?;
    let provider =
        Arc::new(Provider { tls: TlsAcceptor::from(identity.server), delay, responses: Mutex::default() });
    let upstream = Upstream {
        ca_file,
        pop3s: listen(&provider, Service::Pop3, true)?,
        smtps: listen(&provider, Service::Smtp, true)?,
        pop3: listen(&provider, Service::Pop3, false)?,
        smtp: listen(&provider, Service::Smtp, false)?,
    };
    Ok((upstream, folder))
}

/// What all connections share.
struct Provider {
    tls: TlsAcceptor,
    delay: Duration,
    /// What RETR gives for a number, made when it is asked for first.
    responses: Mutex<HashMap<usize, Arc<[u8]>>>,
}

impl Provider {
    /// The whole answer to `RETR number`: the message that has as many KiB.
    fn response(&self, number: usize) -> anyhow::Result<Arc<[u8]>> {
        let mut responses = self.responses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(response) = responses.get(&number) {
            return Ok(Arc::clone(response));
        }
        let message = Message::of_kib(number)?;
        let response: Arc<[u8]> =
            [pop3::retrieved(message.wire.len()).as_bytes(), &message.wire, b".\r\n"].concat().into();
        responses.insert(number, Arc::clone(&response));
        Ok(response)
    }

    async fn serve(&self, service: Service, socket: TcpStream, inside_tls: bool) -> anyhow::Result<()> {
        socket.set_nodelay(true)?;
        if self.delay.is_zero() {
            self.greet(service, socket, inside_tls).await
        } else {
            self.greet(service, delay::delayed(socket, self.delay), inside_tls).await
        }
    }

    async fn greet<S>(&self, service: Service, stream: S, inside_tls: bool) -> anyhow::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        if inside_tls {
            self.converse(service, self.tls.accept(stream).await?).await
        } else {
            self.converse(service, stream).await
        }
    }

    async fn converse<S>(&self, service: Service, stream: S) -> anyhow::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut wire = Wire::new(stream);
        match service {
            Service::Pop3 => pop3::converse(&mut wire, self).await?,
            Service::Smtp => smtp::converse(&mut wire).await?,
        }
        Ok(wire.close().await?)
    }
}

#[derive(Clone, Copy)]
enum Service {
    Pop3,
    Smtp,
}

fn listen(provider: &Arc<Provider>, service: Service, inside_tls: bool) -> io::Result<SocketAddr> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
    // No program is to wait for us because all of its clients came at once.
    let listener = socket.listen(4096)?;
    let address = listener.local_addr()?;
    let provider = Arc::clone(provider);
    tokio::spawn(async move {
        loop {
            let socket = match listener.accept().await {
                Ok((socket, _client)) => socket,
                Err(error) => {
                    eprintln!("upstream: cannot accept: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let provider = Arc::clone(&provider);
            // How a connection ended is the load's to judge, which waits for every answer.
            tokio::spawn(async move { provider.serve(service, socket, inside_tls).await });
        }
    });
    Ok(address)
}
