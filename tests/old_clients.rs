//! Mail programs that know nothing but a password get through Gatepost to Dovecot and Postfix, and what one sends the
//! other fetches unchanged: dots at line starts, 8-bit text, lines as long as they may be, and 20 MB.
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
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use real::gatepost::{Gatepost, PASSWORD, shown, with_input};
use real::oidc::Client;
use real::process::needs;
use real::{MailProvider, Tls};

const MARTHA: &str = "martha@example.test";

/// Everything between an old mail program and its mail.
struct Setting {
    gatepost: Gatepost,
    provider: MailProvider,
    message: PathBuf,
}

#[tokio::test]
async fn smtplib_and_poplib_get_through_with_implicit_tls() {
    let Some(setting) = setting(&["python3"], Client::Native, Tls::Implicit).await else { return };
    let Gatepost { smtps, pop3s, .. } = setting.gatepost;
    setting.python("smtplib_send.py", smtps, "implicit", &setting.message);
    setting.provider.await_delivery(MARTHA, 1);
    setting.python("poplib_fetch.py", pop3s, "implicit", &setting.fetched());
    setting.assert_identical();
}

#[tokio::test]
async fn smtplib_and_poplib_get_through_with_starttls() {
    let Some(setting) = setting(&["python3"], Client::Confidential, Tls::StartTls).await else { return };
    let Gatepost { smtp, pop3, .. } = setting.gatepost;
    setting.python("smtplib_send.py", smtp, "starttls", &setting.message);
    setting.provider.await_delivery(MARTHA, 1);
    setting.python("poplib_fetch.py", pop3, "starttls", &setting.fetched());
    setting.assert_identical();
}

#[tokio::test]
async fn curl_sends_and_fetches_with_starttls() {
    let Some(setting) = setting(&["curl"], Client::Native, Tls::StartTls).await else { return };
    setting.curl(&format!("smtp://localhost:{}", setting.gatepost.smtp), |curl| {
        curl.args(["--mail-from", MARTHA, "--mail-rcpt", MARTHA, "--upload-file"]).arg(&setting.message);
    });
    setting.provider.await_delivery(MARTHA, 1);
    setting.curl(&format!("pop3://localhost:{}/1", setting.gatepost.pop3), |curl| {
        curl.arg("--output").arg(setting.fetched());
    });
    setting.assert_identical();
}

#[tokio::test]
async fn curl_sends_and_fetches_with_an_applications_token() {
    let Some(setting) = setting(&["curl"], Client::Service, Tls::Implicit).await else { return };
    setting.curl(&format!("smtps://localhost:{}", setting.gatepost.smtps), |curl| {
        curl.args(["--mail-from", MARTHA, "--mail-rcpt", MARTHA, "--upload-file"]).arg(&setting.message);
    });
    setting.provider.await_delivery(MARTHA, 1);
    setting.curl(&format!("pop3s://localhost:{}/1", setting.gatepost.pop3s), |curl| {
        curl.arg("--output").arg(setting.fetched());
    });
    setting.assert_identical();
}

#[tokio::test]
async fn swaks_sends_by_login_and_plain() {
    let Some(setting) = setting(&["swaks", "curl"], Client::Native, Tls::StartTls).await else { return };
    // swaks puts a line end of its own behind the data.
    let data = setting.provider.folder.path().join("swaks.data");
    fs::write(&data, fs::read(&setting.message).unwrap().strip_suffix(b"\r\n").unwrap()).unwrap();
    for (number, mechanism) in [(1, "LOGIN"), (2, "PLAIN")] {
        let mut swaks = Command::new("swaks");
        swaks
            .args(["--server", "localhost", "--port", &setting.gatepost.smtp.to_string()])
            .args(["--tls", "--tls-verify", "--tls-ca-path"])
            .arg(&setting.gatepost.ca_file)
            .args(["--auth", mechanism, "--auth-user", MARTHA, "--auth-password", PASSWORD])
            .args(["--from", MARTHA, "--to", MARTHA, "--helo", "localhost", "--silent", "2"])
            .arg("--data")
            .arg(format!("@{}", data.display()));
        succeeds(&mut swaks);
        setting.provider.await_delivery(MARTHA, number);
        setting.curl(&format!("pop3s://localhost:{}/{number}", setting.gatepost.pop3s), |curl| {
            curl.arg("--output").arg(setting.fetched());
        });
        setting.assert_identical();
    }
}

#[tokio::test]
async fn msmtp_sends_and_fetchmail_fetches() {
    let Some(setting) = setting(&["msmtp", "fetchmail"], Client::Native, Tls::Implicit).await else { return };
    let Gatepost { smtp, pop3s, ref ca_file, .. } = setting.gatepost;
    let mut msmtp = Command::new("msmtp");
    msmtp
        .args([
            "--host=localhost",
            &format!("--port={smtp}"),
            "--auth=plain",
            "--tls=on",
            "--tls-starttls=on",
        ])
        .arg(format!("--tls-trust-file={}", ca_file.display()))
        .args([&format!("--user={MARTHA}"), &format!("--passwordeval=printf %s '{PASSWORD}'")])
        .args([&format!("--from={MARTHA}"), "--timeout=60", "--", MARTHA]);
    let output = with_input(&mut msmtp, &fs::read(&setting.message).unwrap());
    assert!(output.status.success(), "msmtp: {}", shown(&output));
    setting.provider.await_delivery(MARTHA, 1);

    let home = setting.provider.folder.path().join("fetchmail");
    fs::create_dir(&home).unwrap();
    let configuration = home.join("fetchmailrc");
    let text = format!(
        "poll localhost service {pop3s} protocol pop3 timeout 60 no envelope\n  \
         user \"{MARTHA}\" password \"{PASSWORD}\" ssl sslcertck sslcertfile \"{ca}\" sslproto \"auto\"\n  \
         pass8bits no rewrite no mimedecode no stripcr fetchall mda \"cat > {fetched}\"\n",
        ca = ca_file.display(),
        fetched = setting.fetched().display()
    );
    fs::write(&configuration, text).unwrap();
    // fetchmail refuses a file with a password that others may read.
    fs::set_permissions(&configuration, fs::Permissions::from_mode(0o600)).unwrap();
    let mut fetchmail = Command::new("fetchmail");
    fetchmail
        .env("FETCHMAILHOME", &home)
        .env("HOME", &home)
        .args(["--nosyslog", "--nodetach", "--invisible"])
        .arg("--fetchmailrc")
        .arg(&configuration);
    succeeds(&mut fetchmail);
    setting.assert_identical();
}

/// Three servers, Gatepost in front of them, an account that is connected, and a message to send.
async fn setting(programs: &[&str], client: Client, tls: Tls) -> Option<Setting> {
    if !programs.iter().all(|program| needs(program)) {
        return None;
    }
    let provider = MailProvider::start().await?;
    let folder = provider.folder.path();
    let message = folder.join("message.eml");
    fs::write(&message, awkward_message()).unwrap();
    let mut gatepost = Gatepost::configured(folder, &provider.provider_yaml("real", client, tls));
    gatepost.add_account(MARTHA, "real");
    if client != Client::Service {
        gatepost.connect(MARTHA, &provider).await;
    }
    let told = gatepost.command(&["test", MARTHA, "--json"], "");
    assert!(told.contains("\"ok\":true"), "{told}");
    gatepost.run();
    Some(Setting { gatepost, provider, message })
}

impl Setting {
    /// Where a client puts what it fetched.
    fn fetched(&self) -> PathBuf {
        self.provider.folder.path().join("fetched.eml")
    }

    fn python(&self, script: &str, port: u16, tls: &str, file: &Path) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(script);
        let mut python = Command::new("python3");
        python.arg(script).args(["localhost", &port.to_string(), tls]).arg(&self.gatepost.ca_file);
        succeeds(python.args([MARTHA, PASSWORD]).arg(file));
    }

    fn curl(&self, url: &str, arguments: impl FnOnce(&mut Command)) {
        let mut curl = Command::new("curl");
        curl.args([
            "--silent",
            "--show-error",
            "--max-time",
            "120",
            "--noproxy",
            "*",
            "--ssl-reqd",
            "--cacert",
        ])
        .arg(&self.gatepost.ca_file)
        .args(["--user", &format!("{MARTHA}:{PASSWORD}"), "--url", url]);
        arguments(&mut curl);
        succeeds(&mut curl);
    }

    /// The message came back with body and headers as they were, and with nothing but whole header lines in front.
    fn assert_identical(&self) {
        let sent = fs::read(&self.message).unwrap();
        let fetched = fs::read(self.fetched()).unwrap();
        let Some(added) = fetched.strip_suffix(sent.as_slice()) else {
            let end = |bytes: &[u8]| {
                String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(200)..]).into_owned()
            };
            panic!(
                "{} octets sent, {} fetched, and they differ. Fetched, the first and last of it:\n{}\n…\n{}",
                sent.len(),
                fetched.len(),
                String::from_utf8_lossy(&fetched[..fetched.len().min(1500)]),
                end(&fetched)
            );
        };
        let added = String::from_utf8(added.to_vec()).unwrap();
        for line in added.lines() {
            let known = ["Return-Path: ", "Delivered-To: ", "Received: ", "\t"];
            assert!(known.iter().any(|start| line.starts_with(start)), "added in front: {line}");
        }
        fs::remove_file(self.fetched()).unwrap();
    }
}

/// Runs a mail program to its end.
fn succeeds(command: &mut Command) {
    let output = with_input(command, b"");
    assert!(output.status.success(), "{command:?}: {}", shown(&output));
}

/// All that mail programs and servers are known to break: dots at line starts, 8-bit text, lines of 998 octets, empty
/// lines at the end, and 20 MB of attachment.
fn awkward_message() -> Vec<u8> {
    let mut message = b"From: martha@example.test\r
To: martha@example.test\r
Date: Fri, 01 Jan 2027 10:00:00 +0000\r
Message-ID: <awkward@example.test>\r
Subject: everything that breaks on the way\r
X-Folded: one\r
 two\r
\tthree\r
MIME-Version: 1.0\r
Content-Type: multipart/mixed; boundary=\"=_the boundary\"\r
\r
--=_the boundary\r
Content-Type: text/plain; charset=iso-8859-1\r
Content-Transfer-Encoding: 8bit\r
\r
.\r
..\r
.a dot\r
...three\r
From the start of a line\r
\ttab, trailing blanks  \r
"
    .to_vec();
    message.extend(b"Gr\xfc\xdfe aus K\xf6ln\r\n");
    message.extend((0x80..=0xff).collect::<Vec<u8>>());
    message.extend(b"\r\n");
    message.extend([b'x'; 998]);
    message.extend(b"\r\n.");
    message.extend([0xe9; 997]);
    message.extend(
        b"\r\n\r\n--=_the boundary\r\nContent-Type: application/octet-stream\r\n\
          Content-Transfer-Encoding: base64\r\n\r\n",
    );
    let line = [
        b"QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5ejAxMjM0NTY3"[..76].to_vec(),
        b"\r\n".to_vec(),
    ];
    message.extend(line.concat().repeat(20 * 1024 * 1024 / 78));
    message.extend(b"\r\n--=_the boundary--\r\n\r\n");
    message
}
