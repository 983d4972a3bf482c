//! The baseline: what a few lines make of tokio and rustls. Octets are copied both ways through 16 KiB buffers; the client logs in at the
//! upstream by itself.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

use super::program::{self, Program};
use super::{Contender, Login};
use crate::upstream::{HOST, Upstream};

/// Octets that are copied at once, in each direction.
const BUFFER: usize = 16 * 1024;

/// Where it listens, and whom it connects to.
#[derive(clap::Args)]
pub struct Arguments {
    /// The upstream's authority.
    #[arg(long)]
    ca_file: PathBuf,
    /// Address to listen at, and the upstream's.
    #[arg(long, num_args = 2, required = true)]
    pop3: Vec<SocketAddr>,
    /// The same.
    #[arg(long, num_args = 2, required = true)]
    smtp: Vec<SocketAddr>,
}

/// Copies until it is killed.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    crate::process::raise_descriptors();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let tls = connector(&arguments.ca_file)?;
        tokio::try_join!(listen(&arguments.pop3, &tls), listen(&arguments.smtp, &tls))?;
        Ok(())
    })
}

/// As a process of its own.
pub(super) async fn start(upstream: &Upstream) -> anyhow::Result<Contender> {
    let [pop3, smtp] = program::free_addresses()?;
    let mut command = Command::new(super::own_executable("gatepost-bench")?);
    command
        .args(["naive", "--ca-file"])
        .arg(&upstream.ca_file)
        .args(["--pop3", &pop3.to_string(), &upstream.pop3s.to_string()])
        .args(["--smtp", &smtp.to_string(), &upstream.smtps.to_string()]);
    let mut program = Program::start(&mut command, program::folder()?)?;
    program.greets(pop3, "+OK").await?;
    program.greets(smtp, "220").await?;
    Ok(Contender {
        name: "naive",
        pop3,
        smtp,
        login: Login::TokenInClear,
        processes: vec![program.id()],
        authority: None,
        running: Box::new(program),
    })
}

/// TLS that trusts this authority alone.
pub(crate) fn connector(ca_file: &Path) -> anyhow::Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca_file)?)?;
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

async fn listen(addresses: &[SocketAddr], tls: &TlsConnector) -> anyhow::Result<()> {
    let &[here, upstream] = addresses else { anyhow::bail!("two addresses, not {addresses:?}") };
    let listener = TcpListener::bind(here).await?;
    loop {
        let (client, _) = listener.accept().await?;
        let tls = tls.clone();
        tokio::spawn(async move {
            if let Err(error) = splice(client, upstream, &tls).await {
                eprintln!("naive: {error}");
            }
        });
    }
}

async fn splice(mut client: TcpStream, upstream: SocketAddr, tls: &TlsConnector) -> anyhow::Result<()> {
    client.set_nodelay(true)?;
    let socket = TcpStream::connect(upstream).await?;
    socket.set_nodelay(true)?;
    let mut upstream = tls.connect(ServerName::try_from(HOST)?, socket).await?;
    copy_bidirectional_with_sizes(&mut client, &mut upstream, BUFFER, BUFFER).await?;
    Ok(())
}
