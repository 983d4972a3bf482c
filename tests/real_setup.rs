//! From nothing to the first mail with servers that nobody here wrote: one command, one consent, and curl sends and fetches
//! with what the command printed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
#![allow(dead_code, reason = "the support is shared with other tests")]

#[path = "support/real/mod.rs"]
mod real;
#[path = "support/terminal.rs"]
mod terminal;

use std::fs;
use std::process::Command;

use real::MailProvider;
use real::gatepost::Gatepost;
use real::oidc::Client;
use real::process::needs;
use real::setting::succeeds;
use terminal::Terminal;

const MARTHA: &str = "martha@example.test";

const MESSAGE: &str = "From: martha@example.test\r\nTo: martha@example.test\r\nSubject: It works\r\n\r\nSent with a password.\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn one_command_and_one_consent_lead_to_the_first_mail() {
    if !needs("curl") {
        return;
    }
    let Some(provider) = MailProvider::start().await else { return };
    let mut gatepost = Gatepost::begun(provider.folder.path(), "# Ours.\n");
    let before = fs::read_to_string(gatepost.configuration()).unwrap();

    let mut setup = gatepost.program(&["setup", MARTHA, "--no-browser", "--issuer", &provider.oidc.issuer]);
    setup.arg("--ca-file").arg(provider.ca_file());
    for scope in Client::Native.scope().split(' ') {
        setup.args(["--scope", scope]);
    }
    let mut terminal = Terminal::start(setup);
    for (question, answer) in [
        ("Client id: ", Client::Native.id().to_owned()),
        ("Client secret, if there is one", String::new()),
        ("SMTP: ", format!("localhost:{}/implicit", provider.postfix.implicit)),
        ("POP3: ", format!("localhost:{}/implicit", provider.dovecot.pop3s)),
        ("IMAP: ", format!("localhost:{}/implicit", provider.dovecot.imaps)),
    ] {
        terminal.shows(question);
        terminal.types(&answer);
    }
    terminal.shows("Open this address in a browser, and sign in as martha@example.test:\n\n");
    let address = terminal.shows("\n");
    let landed = provider.oidc.consent(address.trim(), MARTHA).await;
    let page = provider.oidc.browse(landed).await;
    assert!(page.contains("<h1>Connected</h1>"), "{page}");
    let (status, shown) = terminal.end();
    assert_eq!(status, Some(0), "{shown}");
    for protocol in ["SMTP", "POP3", "IMAP"] {
        assert!(shown.contains(&format!("✓ {protocol} login: localhost:")), "{shown}");
    }
    let password = shown.lines().find_map(|line| line.trim().strip_prefix("Password   ")).unwrap();
    let password = password.split_whitespace().next().unwrap();
    let after = fs::read_to_string(gatepost.configuration()).unwrap();
    assert!(after.starts_with(&before), "{after}");

    gatepost.export_authority();
    gatepost.run();
    let message = provider.folder.path().join("message.eml");
    fs::write(&message, MESSAGE).unwrap();
    let curl = |url: String| {
        let mut curl = Command::new("curl");
        curl.args([
            "--silent",
            "--show-error",
            "--max-time",
            "60",
            "--noproxy",
            "*",
            "--ssl-reqd",
            "--cacert",
        ]);
        curl.arg(&gatepost.ca_file).args(["--user", &format!("{MARTHA}:{password}"), "--url", &url]);
        curl
    };
    let mut send = curl(format!("smtp://localhost:{}", gatepost.smtp));
    send.args(["--mail-from", MARTHA, "--mail-rcpt", MARTHA, "--upload-file"]).arg(&message);
    succeeds(&mut send);
    provider.await_delivery(MARTHA, 1);
    for url in [
        format!("pop3://localhost:{}/1", gatepost.pop3),
        format!("imap://localhost:{}/INBOX;MAILINDEX=1", gatepost.imap),
    ] {
        let fetched = curl(url).output().unwrap();
        let text = String::from_utf8_lossy(&fetched.stdout);
        assert!(text.ends_with("Sent with a password.\r\n"), "{text}");
    }

    // A second time nothing is asked, nothing is done, and it says that the daemon runs.
    let again = gatepost.command(&["setup", MARTHA], "");
    assert!(again.contains("There is a password already.") && again.contains("Gatepost runs:"), "{again}");
    assert_eq!(fs::read_to_string(gatepost.configuration()).unwrap(), after);
}
