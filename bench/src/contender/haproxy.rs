//! HAProxy in TCP mode: it carries octets into verified TLS and knows nothing of mail, so the client brings the token.
//! As far as a proxy with TLS on one side goes, this is what carrying costs.

use std::process::Command;

use super::program::{self, Program, SESSIONS};
use super::{Contender, Login, NotInstalled};
use crate::upstream::{HOST, Upstream};

pub(super) async fn start(upstream: &Upstream) -> anyhow::Result<Contender> {
    let haproxy = program::find("haproxy").ok_or(NotInstalled)?;
    let folder = program::folder()?;
    let [pop3, smtp] = program::free_addresses()?;
    // A thread per core, TCP_NODELAY and the reuse of TLS sessions are its defaults. `option splice-auto` would change
    // nothing: the kernel cannot carry octets past TLS that is done outside of it.
    let file = program::write(
        folder.path(),
        "haproxy.cfg",
        &format!(
            "\
global
    maxconn {SESSIONS}
    ssl-default-server-options ssl-min-ver TLSv1.3

defaults
    mode tcp
    timeout connect 10s
    timeout client 1h
    timeout server 1h

listen pop3
    bind {pop3}
    server upstream {pop3s} {tls}

listen smtp
    bind {smtp}
    server upstream {smtps} {tls}
",
            pop3s = upstream.pop3s,
            smtps = upstream.smtps,
            tls = format_args!(
                "ssl verify required ca-file {} sni str({HOST}) verifyhost {HOST}",
                upstream.ca_file.display()
            ),
        ),
    )?;
    // -db: one process, in the foreground.
    let mut program = Program::start(Command::new(haproxy).args(["-db", "-f"]).arg(file), folder)?;
    program.greets(pop3, "+OK").await?;
    program.greets(smtp, "220").await?;
    Ok(Contender {
        name: "haproxy",
        pop3,
        smtp,
        login: Login::TokenInClear,
        processes: vec![program.id()],
        authority: None,
        running: Box::new(program),
    })
}
