//! nginx's mail proxy: it checks the login by asking an HTTP service, gets in upstream with the client's own password, and carries
//! octets. It knows neither TLS nor tokens toward the upstream, so it is given the plain one.
//!
//! The HTTP service answers from this process. What that costs isn't counted, in nginx's favour.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

use rustix::process::{Resource, getrlimit};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::program::{self, Program};
use super::{Contender, Login, NotInstalled};
use crate::upstream::{PASSWORD, Upstream};

/// Where Debian has the module; other builds have it inside.
const MODULE: &str = "/usr/lib/nginx/modules/ngx_mail_module.so";

pub(super) async fn start(upstream: &Upstream) -> anyhow::Result<Contender> {
    let nginx = program::find("nginx").filter(|nginx| has_mail(nginx)).ok_or(NotInstalled)?;
    let folder = program::folder()?;
    let [pop3, smtp] = program::free_addresses()?;
    let (auth_http, responder) = answer_logins(upstream.clone()).await?;
    let file =
        program::write(folder.path(), "nginx.conf", &configuration(folder.path(), pop3, smtp, auth_http))?;
    let mut command = Command::new(nginx);
    command.arg("-c").arg(file).arg("-p").arg(folder.path()).args(["-e", "stderr"]);
    let mut program = Program::start(&mut command, folder)?;
    program.greets(pop3, "+OK").await?;
    program.greets(smtp, "220").await?;
    Ok(Contender {
        name: "nginx",
        pop3,
        smtp,
        login: Login::Password,
        processes: vec![program.id()],
        authority: None,
        running: Box::new((program, responder)),
    })
}

fn has_mail(nginx: &Path) -> bool {
    let built_in = || {
        let told = Command::new(nginx).arg("-V").output().map(|output| output.stderr).unwrap_or_default();
        String::from_utf8_lossy(&told).split_whitespace().any(|option| option == "--with-mail")
    };
    Path::new(MODULE).is_file() || built_in()
}

/// A worker per core. TCP_NODELAY is not to be chosen here. The buffers are its default, one page for each direction.
fn configuration(folder: &Path, pop3: SocketAddr, smtp: SocketAddr, auth_http: SocketAddr) -> String {
    let module = if Path::new(MODULE).is_file() { format!("load_module {MODULE};\n") } else { String::new() };
    // One worker may get all the sessions, with two connections each.
    let descriptors = getrlimit(Resource::Nofile).maximum.unwrap_or(1_048_576);
    format!(
        "\
{module}daemon off;
pid {folder}/nginx.pid;
error_log stderr crit;
worker_processes auto;
worker_rlimit_nofile {descriptors};
events {{
    worker_connections {descriptors};
}}
mail {{
    auth_http {auth_http}/;
    server_name localhost;
    server {{
        listen {pop3};
        protocol pop3;
        pop3_auth plain;
    }}
    server {{
        listen {smtp};
        protocol smtp;
        smtp_auth plain login;
        smtp_capabilities PIPELINING 8BITMIME \"SIZE 268435456\";
        proxy_smtp_auth on;
        xclient off;
    }}
}}
",
        folder = folder.display(),
    )
}

/// The service behind `auth_http`: whether a password is right, and where to go with it. It ends with the set.
async fn answer_logins(upstream: Upstream) -> anyhow::Result<(SocketAddr, JoinSet<()>)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let mut responder = JoinSet::new();
    responder.spawn(async move {
        let mut requests = JoinSet::new();
        while let Ok((socket, _nginx)) = listener.accept().await {
            let upstream = upstream.clone();
            // A request that is not answered is a login that fails, which the load tells.
            requests.spawn(async move { answer(socket, &upstream).await });
            while requests.try_join_next().is_some() {}
        }
    });
    Ok((address, responder))
}

async fn answer(mut socket: TcpStream, upstream: &Upstream) -> std::io::Result<()> {
    let (mut right, mut to) = (false, upstream.pop3);
    let (reader, mut writer) = socket.split();
    let mut lines = BufReader::new(reader).lines();
    while let Some(line) = lines.next_line().await?.filter(|line| !line.is_empty()) {
        match line.split_once(": ") {
            Some(("Auth-Pass", password)) => right = password == PASSWORD,
            Some(("Auth-Protocol", "smtp")) => to = upstream.smtp,
            _ => {}
        }
    }
    let mut response = String::from("HTTP/1.0 200 OK\r\n");
    let _written = if right {
        write!(response, "Auth-Status: OK\r\nAuth-Server: {}\r\nAuth-Port: {}\r\n\r\n", to.ip(), to.port())
    } else {
        write!(response, "Auth-Status: Invalid login or password\r\n\r\n")
    };
    writer.write_all(response.as_bytes()).await
}
