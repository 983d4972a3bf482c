//! Dovecot 2.3 as login proxy: it checks the password, gets in upstream with XOAUTH2 over verified TLS, and carries octets. The token is
//! written in its configuration; getting one is not its work.

use std::path::Path;
use std::process::Command;

use super::program::{self, Program, SESSIONS};
use super::{Contender, Login, NotInstalled};
use crate::upstream::{HOST, PASSWORD, TOKEN, Upstream};

/// Version 2.4, which reads another configuration language, and one that could not become its own users count as not installed.
pub(super) async fn start(upstream: &Upstream) -> anyhow::Result<Contender> {
    let dovecot = program::find("dovecot").filter(|dovecot| fits(dovecot)).ok_or(NotInstalled)?;
    let folder = program::folder()?;
    let [pop3, smtp] = program::free_addresses()?;
    let home = folder.path().display();
    // Any user, one password. `hostip` spares looking the host up; the certificate is still held against `host`.
    let passdb = format!(
        "password={PASSWORD} proxy=y proxy_mech=XOAUTH2 pass={TOKEN} ssl=yes \
         host={HOST} hostip=127.0.0.1 port=%{{if;%s;eq;pop3;{};{}}}",
        upstream.pop3s.port(),
        upstream.smtps.port(),
    );
    // The login processes do not find ssl_client_ca_file; ssl_ca is given to them as what is in the file.
    let content = format!(
        "\
base_dir = {home}/run
state_dir = {home}/state
log_path = /dev/stderr
info_log_path = /dev/null
protocols = pop3 submission
listen = 127.0.0.1

ssl = no
ssl_ca = <{ca}
ssl_require_crl = no
auth_mechanisms = plain login
auth_failure_delay = 0
disable_plaintext_auth = no
mail_max_userip_connections = 0

passdb {{
  driver = static
  args = {passdb}
}}

default_vsz_limit = 0
default_client_limit = {clients}
{pop3_login}
{smtp_login}
",
        ca = upstream.ca_file.display(),
        clients = 2 * SESSIONS,
        pop3_login = login_service("pop3-login", pop3.port(), ["pop3", "pop3s"]),
        smtp_login = login_service("submission-login", smtp.port(), ["submission", "submissions"]),
    );
    let file = program::write(folder.path(), "dovecot.conf", &content)?;
    let mut program = Program::start(Command::new(dovecot).args(["-F", "-c"]).arg(file), folder)?;
    program.greets(pop3, "+OK").await?;
    program.greets(smtp, "220").await?;
    Ok(Contender {
        name: "dovecot",
        pop3,
        smtp,
        login: Login::Password,
        processes: vec![program.id()],
        authority: None,
        running: Box::new(program),
    })
}

fn fits(dovecot: &Path) -> bool {
    let version = Command::new(dovecot).arg("--version").output();
    // Each protocol is a package of its own. Debian's folder is not where others put it, so it is only asked where it is there.
    let modules = Path::new("/usr/lib/dovecot");
    let protocols =
        ["pop3-login", "submission-login"].iter().all(|protocol| modules.join(protocol).is_file());
    version.is_ok_and(|version| version.stdout.starts_with(b"2.3."))
        && (protocols || !modules.is_dir())
        && rustix::process::geteuid().is_root()
}

/// The high-performance mode of its manual: a process per core that serves many clients, and is there before they come. The second listener
/// would otherwise take the protocol's own port.
fn login_service(service: &str, port: u16, [listener, closed]: [&str; 2]) -> String {
    format!(
        "service {service} {{
  service_count = 0
  client_limit = {SESSIONS}
  process_min_avail = 2
  process_limit = 2
  inet_listener {listener} {{
    port = {port}
  }}
  inet_listener {closed} {{
    port = 0
  }}
}}
"
    )
}
