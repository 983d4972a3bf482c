//! email-oauth2-proxy: one Python process with a thread for each connection. It takes the password as the key to the token that it keeps, and
//! gets in upstream with XOAUTH2 over verified TLS.
//!
//! The account is one that was authorized already, with a token that lives long, so it never asks for another.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use super::program::{self, Program};
use super::{Contender, Login, NotInstalled};
use crate::upstream::{PASSWORD, TOKEN, USER_NAME, Upstream};

/// The file of requirements names the version that this writes for.
const SEALED_TOKEN: &str = include_str!("../../peers/sealed_token.py");

pub(super) async fn start(upstream: &Upstream) -> anyhow::Result<Contender> {
    // Where scripts/install-bench-peers puts it.
    let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bench-peers/emailproxy/bin");
    let emailproxy = programs.join("emailproxy");
    if !emailproxy.is_file() {
        return Err(NotInstalled.into());
    }
    let folder = program::folder()?;
    let [pop3, smtp] = program::free_addresses()?;
    let account = sealed_token(&programs.join("python3"))?;
    let file =
        program::write(folder.path(), "emailproxy.config", &configuration(upstream, pop3, smtp, &account))?;
    let mut command = Command::new(emailproxy);
    // Its log cannot be turned off; a file is what it costs least in.
    command
        .args(["--no-gui", "--config-file"])
        .arg(file)
        .arg("--log-file")
        .arg(folder.path().join("emailproxy.log"))
        .env("SSL_CERT_FILE", &upstream.ca_file);
    let mut program = Program::start(&mut command, folder)?;
    program.greets(pop3, "+OK").await?;
    program.greets(smtp, "220").await?;
    Ok(Contender {
        name: "emailproxy",
        pop3,
        smtp,
        login: Login::Password,
        processes: vec![program.id()],
        authority: None,
        running: Box::new(program),
    })
}

/// The upstream by its IP address, which is in the certificate: the name would be tried at ::1 first.
fn configuration(upstream: &Upstream, pop3: SocketAddr, smtp: SocketAddr, account: &str) -> String {
    let server = |protocol: &str, local: SocketAddr, remote: SocketAddr| {
        format!(
            "[{protocol}-{}]\nlocal_address = {}\nserver_address = {}\nserver_port = {}\n\n",
            local.port(),
            local.ip(),
            remote.ip(),
            remote.port()
        )
    };
    let servers = server("POP", pop3, upstream.pop3s) + &server("SMTP", smtp, upstream.smtps);
    // Nobody listens at these addresses, and with a live token nobody is asked. Without the option a wrong password would
    // erase the token.
    format!(
        "[emailproxy]
delete_account_token_on_password_error = False

{servers}[{USER_NAME}]
permission_url = http://127.0.0.1:9/authorize
token_url = http://127.0.0.1:9/token
redirect_uri = http://localhost
client_id = bench
oauth2_scope = mail
{account}"
    )
}

/// The lines of the account that it would have written itself.
fn sealed_token(python: &Path) -> anyhow::Result<String> {
    let mut child = Command::new(python)
        .args(["-c", SEALED_TOKEN])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", python.display()))?;
    if let Some(mut stdin) = child.stdin.take() {
        writeln!(stdin, "{PASSWORD}\n{TOKEN}")?;
    }
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "cannot seal the token for email-oauth2-proxy ({})", output.status);
    Ok(String::from_utf8(output.stdout)?)
}
