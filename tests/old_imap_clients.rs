//! Mail programs that know nothing but a password work on a mailbox of Dovecot through Gatepost: they append, fetch, mark,
//! expunge, idle and compress, and every octet of an awkward message of 20 MB comes back as it was.
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

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use real::Tls;
use real::gatepost::{Gatepost, PASSWORD};
use real::mail::Connection;
use real::oidc::Client;
use real::process::servers;
use real::setting::{MARTHA, Setting, client, fails, succeeds};

const PYTHON: &str = "python3";
const OURS: [&str; 2] = [MARTHA, PASSWORD];

/// Small, for what doesn't depend on the message.
const SHORT: &str = "From: martha@example.test\r\nSubject: short\r\n\r\nShort.\r\n";

/// Has to be quoted, and its characters escaped.
const ODD: &str = r#"an "odd" \password"#;

#[tokio::test]
async fn imaplib_logs_in_both_ways_and_appends_fetches_stores_and_expunges() {
    let Some(setting) = Setting::start(&[PYTHON], Client::Native, Tls::Implicit).await else { return };
    let Gatepost { imaps, imap, .. } = setting.gatepost;
    for (port, tls, how) in [(imaps, "implicit", "login"), (imap, "starttls", "plain")] {
        let mut imaplib = imaplib(&setting, port, tls, OURS, how);
        succeeds(&mut imaplib);
        setting.assert_identical();
    }
}

#[tokio::test]
async fn imaplib_is_told_what_is_wrong() {
    let Some(setting) = Setting::start(&[PYTHON], Client::Native, Tls::StartTls).await else { return };
    setting.gatepost.add_account("nobody@example.test", "real");
    let Gatepost { imaps, imap, .. } = setting.gatepost;
    for (login, how, answer) in [
        ([MARTHA, "wrong"], "login", "[AUTHENTICATIONFAILED]"),
        ([MARTHA, "wrong"], "plain", "[AUTHENTICATIONFAILED]"),
        (["nobody@example.test", PASSWORD], "login", "[CONTACTADMIN] not connected yet"),
        (["nobody@example.test", PASSWORD], "plain", "[CONTACTADMIN] not connected yet"),
    ] {
        for (port, tls) in [(imaps, "implicit"), (imap, "starttls")] {
            let told = fails(&mut imaplib(&setting, port, tls, login, how));
            assert!(told.contains(answer), "{login:?} by {how}, {tls}: {told}");
        }
    }
}

#[tokio::test]
async fn curl_appends_and_fetches_with_every_mechanism() {
    let Some(setting) = Setting::start(&["curl"], Client::Confidential, Tls::StartTls).await else { return };
    let Gatepost { imaps, imap, .. } = setting.gatepost;
    for (number, url, options) in [
        (1, format!("imaps://localhost:{imaps}"), None),
        (2, format!("imap://localhost:{imap}"), None),
        (3, format!("imap://localhost:{imap}"), Some("AUTH=PLAIN")),
        (4, format!("imaps://localhost:{imaps}"), Some("AUTH=LOGIN")),
    ] {
        let with_options = |curl: &mut Command| {
            curl.args(options.map(|options| ["--login-options", options]).into_iter().flatten());
        };
        setting.curl(&format!("{url}/INBOX"), |curl| {
            with_options(curl);
            curl.arg("--upload-file").arg(&setting.message);
        });
        setting.curl(&format!("{url}/INBOX;UID={number}"), |curl| {
            with_options(curl);
            curl.arg("--output").arg(setting.fetched());
        });
        setting.assert_identical();

        let mut wrong = setting.curl_with(&format!("{url}/INBOX"), "wrong");
        with_options(wrong.arg("--verbose"));
        let told = fails(&mut wrong);
        assert!(told.contains(" NO [AUTHENTICATIONFAILED] "), "{options:?}: {told}");
    }
}

#[tokio::test]
async fn mbsync_pulls_and_pushes_with_login_and_plain() {
    let Some(setting) = Setting::start(&["mbsync"], Client::Native, Tls::Implicit).await else { return };
    let Gatepost { imaps, imap, .. } = setting.gatepost;
    let message = fs::read(&setting.message).unwrap();
    setting.imap_logged_in().imap_append("INBOX", &message);

    let mut there = 1;
    for (port, tls, mechanism) in [(imaps, "IMAPS", "LOGIN"), (imap, "STARTTLS", "PLAIN")] {
        let maildir = setting.folder(mechanism).join("inbox");
        let configuration =
            mbsyncrc(&setting, &maildir, &format!("{port}\nSSLType {tls}\nAuthMechs {mechanism}"));
        let mbsync = || {
            let mut mbsync = Command::new("mbsync");
            succeeds(mbsync.env("HOME", &maildir).arg("--config").arg(&configuration).arg("--all"));
        };
        mbsync();
        let pulled = messages(&maildir);
        assert_eq!(pulled.len(), there, "{tls}: pulled");
        for pulled in &pulled {
            fs::write(setting.fetched(), pulled).unwrap();
            setting.assert_identical();
        }

        fs::write(maildir.join("new/1.local.localhost"), message.as_slice()).unwrap();
        mbsync();
        mbsync();
        there += 1;
        assert_eq!(messages(&maildir).len(), there, "{tls}: nothing twice here");
        let mut mailbox = setting.imap_logged_in();
        let selected = mailbox.imap_ok("SELECT INBOX");
        assert!(selected.contains(&format!("* {there} EXISTS")), "{tls}: nothing twice there: {selected}");
        let pushed = mailbox.imap_message(there);
        fs::write(setting.fetched(), without_own_headers(&pushed)).unwrap();
        setting.assert_identical();
    }
}

#[tokio::test]
async fn fetchmail_fetches_by_imap() {
    let Some(setting) = Setting::start(&["fetchmail"], Client::Service, Tls::StartTls).await else { return };
    setting.imap_logged_in().imap_append("INBOX", &fs::read(&setting.message).unwrap());
    setting.fetchmail("imap", setting.gatepost.imaps);
    setting.assert_delivered();
    let left = setting.imap_logged_in().imap_ok("SELECT INBOX");
    assert!(left.contains("* 0 EXISTS"), "{left}");
}

#[tokio::test]
async fn neomutt_copies_a_message_out_of_the_mailbox_and_into_it() {
    let Some(setting) = Setting::start(&["neomutt", PYTHON], Client::Native, Tls::Implicit).await else {
        return;
    };
    let Gatepost { imaps, imap, .. } = setting.gatepost;
    let home = setting.folder("neomutt");
    let mut mailbox = setting.imap_logged_in();
    mailbox.imap_append("INBOX", &fs::read(&setting.message).unwrap());
    mailbox.imap_ok("CREATE Kept");

    for (number, url) in [(1, format!("imaps://localhost:{imaps}")), (2, format!("imap://localhost:{imap}"))]
    {
        let configuration = neomuttrc(&setting, &home, &url);
        let copy = |from: &str, to: &str| {
            let mut neomutt = Command::new(PYTHON);
            neomutt.env("HOME", &home).env("TERM", "vt100").env("LANG", "C");
            neomutt.arg(client("in_terminal.py")).args(["neomutt", "-n", "-F"]).arg(&configuration);
            let keys = format!("push '<copy-message>{to}<enter><exit>'");
            succeeds(neomutt.args(["-f", from, "-e", &keys]));
        };
        let maildir = home.join(number.to_string());
        let local = maildir.display().to_string();
        copy(&format!("{url}/INBOX"), &local);
        let copied = messages(&maildir);
        assert_eq!(copied.len(), 1, "{url}: copied");
        fs::write(setting.fetched(), &copied[0]).unwrap();
        setting.assert_identical();

        copy(&local, &format!("{url}/Kept"));
        mailbox.imap_ok("SELECT Kept");
        fs::write(setting.fetched(), without_own_headers(&mailbox.imap_message(number))).unwrap();
        setting.assert_identical();
    }
}

#[tokio::test]
async fn imapflow_idles_and_compresses() {
    let Some(setting) = Setting::start(&[], Client::Native, Tls::StartTls).await else { return };
    let Gatepost { imaps, imap, .. } = setting.gatepost;
    for (port, tls, method) in
        [(imaps, "implicit", "AUTH=PLAIN"), (imap, "starttls", "AUTH=LOGIN"), (imaps, "implicit", "LOGIN")]
    {
        let node = servers().join("node_modules/.bin/node");
        let mut imapflow = setting.script(&node, "imapflow_round_trip.mjs", port, tls, OURS);
        succeeds(imapflow.arg(method).arg(&setting.message).arg(setting.fetched()));
        setting.assert_identical();
    }
}

#[tokio::test]
async fn an_idling_client_is_told_of_a_new_message() {
    let Some(setting) = Setting::start(&[], Client::Native, Tls::Implicit).await else { return };
    let mut idling = setting.imap_logged_in();
    let selected = idling.imap_ok("SELECT INBOX");
    assert!(selected.contains("* 0 EXISTS"), "{selected}");
    assert!(idling.ask("a IDLE").starts_with('+'));
    setting.imap_logged_in().imap_append("INBOX", SHORT.as_bytes());
    let mut told = idling.line();
    // Dovecot says now and then that it is still there.
    while told.starts_with("* OK") {
        told = idling.line();
    }
    assert_eq!(told, "* 1 EXISTS");
    idling.send(b"DONE\r\n");
    while !told.starts_with("a ") {
        told = idling.line();
    }
    assert!(told.starts_with("a OK"), "{told}");
    assert_eq!(idling.imap_message(1), SHORT.as_bytes());
}

#[tokio::test]
async fn every_spelling_of_a_login_gets_in_and_what_follows_it_is_answered() {
    let Some(setting) = Setting::start(&[], Client::Native, Tls::Implicit).await else { return };
    setting.gatepost.command(&["credential", "add", MARTHA, "--password-stdin"], ODD);
    let (user, odd) = (MARTHA.len(), ODD.len());

    let logged_in = |connection: &mut Connection| {
        let verdict = connection.line();
        assert!(verdict.starts_with("a1 OK [CAPABILITY IMAP4rev1 "), "{verdict}");
        assert!(verdict.contains(" COMPRESS=DEFLATE"), "what Dovecot can do for the mailbox: {verdict}");
        loop {
            let line = connection.line();
            if line.starts_with("a2 ") {
                assert!(line.starts_with("a2 OK"), "{line}");
                break;
            }
        }
    };

    let mut literals = setting.imap();
    assert!(literals.ask(&format!("a1 LOGIN {{{user}}}")).starts_with('+'));
    assert!(literals.ask(&format!("{MARTHA} {{{odd}}}")).starts_with('+'));
    literals.send(format!("{ODD}\r\na2 SELECT INBOX\r\n").as_bytes());
    logged_in(&mut literals);

    for together in [
        format!("a1 LOGIN {{{user}+}}\r\n{MARTHA} {{{odd}+}}\r\n{ODD}\r\na2 SELECT INBOX\r\n"),
        format!("a1 LOGIN {MARTHA} {{{odd}+}}\r\n{ODD}\r\na2 SELECT INBOX\r\n"),
        format!("a1 login \"{MARTHA}\" \"an \\\"odd\\\" \\\\password\"\r\na2 SELECT INBOX\r\n"),
    ] {
        let mut connection = setting.imap();
        connection.send(together.as_bytes());
        logged_in(&mut connection);
    }
}

fn imaplib(setting: &Setting, port: u16, tls: &str, login: [&str; 2], how: &str) -> Command {
    let mut imaplib = setting.script(Path::new(PYTHON), "imaplib_round_trip.py", port, tls, login);
    imaplib.arg(how).arg(&setting.message).arg(setting.fetched());
    imaplib
}

/// Between Gatepost's INBOX and one Maildir. `access` begins with the port.
fn mbsyncrc(setting: &Setting, maildir: &Path, access: &str) -> PathBuf {
    let configuration = maildir.with_extension("mbsyncrc");
    let text = format!(
        "IMAPAccount gatepost\nHost localhost\nUser {MARTHA}\nPass \"{PASSWORD}\"\n\
         SystemCertificates no\nCertificateFile {ca}\nPort {access}\n\n\
         IMAPStore far\nAccount gatepost\n\n\
         MaildirStore near\nInbox {maildir}\n\n\
         Channel inbox\nFar :far:\nNear :near:\nSync All\nCreate Near\nSyncState *\n",
        ca = setting.gatepost.ca_file.display(),
        maildir = maildir.display(),
    );
    fs::write(&configuration, text).unwrap();
    configuration
}

/// With its folders at `url`.
fn neomuttrc(setting: &Setting, home: &Path, url: &str) -> PathBuf {
    let configuration = home.join("neomuttrc");
    let text = format!(
        "set imap_user = '{MARTHA}' imap_pass = '{PASSWORD}'\n\
         set ssl_force_tls = yes ssl_starttls = yes ssl_ca_certificates_file = '{ca}' certificate_file = '{ca}'\n\
         set folder = '{url}/' spool_file = '{url}/INBOX' mbox_type = Maildir header_cache = ''\n\
         set confirm_append = no confirm_create = no wait_key = no delete = no\n",
        ca = setting.gatepost.ca_file.display(),
    );
    fs::write(&configuration, text).unwrap();
    configuration
}

/// The messages in a Maildir, as they were when they came: with CRLF, and without what programs add for themselves.
fn messages(maildir: &Path) -> Vec<Vec<u8>> {
    ["new", "cur"]
        .iter()
        .flat_map(|part| fs::read_dir(maildir.join(part)).unwrap())
        .map(|entry| fs::read(entry.unwrap().path()).unwrap())
        .map(|stored| without_own_headers(&with_crlf(&stored)))
        .collect()
}

fn with_crlf(message: &[u8]) -> Vec<u8> {
    let lines = message.split_inclusive(|byte| *byte == b'\n');
    lines
        .flat_map(|line| match line.strip_suffix(b"\n") {
            Some(text) => [text.strip_suffix(b"\r").unwrap_or(text), b"\r\n"].concat(),
            None => line.to_vec(),
        })
        .collect()
}

/// mbsync marks a message that it copies, to know it again after a crash; neomutt says how long one in a Maildir is.
fn without_own_headers(message: &[u8]) -> Vec<u8> {
    let own = [&b"X-TUID: "[..], b"Content-Length: ", b"Lines: "];
    let lines = message.split_inclusive(|byte| *byte == b'\n');
    lines.filter(|line| !own.iter().any(|header| line.starts_with(header))).collect::<Vec<_>>().concat()
}
