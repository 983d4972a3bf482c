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
use std::process::Command;

use real::Tls;
use real::gatepost::{Gatepost, PASSWORD, shown, with_input};
use real::oidc::Client;
use real::setting::{MARTHA, Setting, succeeds};

#[tokio::test]
async fn smtplib_and_poplib_get_through_with_implicit_tls() {
    let Some(setting) = Setting::start(&["python3"], Client::Native, Tls::Implicit).await else { return };
    let Gatepost { smtps, pop3s, .. } = setting.gatepost;
    setting.python("smtplib_send.py", smtps, "implicit", &setting.message);
    setting.provider.await_delivery(MARTHA, 1);
    setting.python("poplib_fetch.py", pop3s, "implicit", &setting.fetched());
    setting.assert_delivered();
}

#[tokio::test]
async fn smtplib_and_poplib_get_through_with_starttls() {
    let Some(setting) = Setting::start(&["python3"], Client::Confidential, Tls::StartTls).await else {
        return;
    };
    let Gatepost { smtp, pop3, .. } = setting.gatepost;
    setting.python("smtplib_send.py", smtp, "starttls", &setting.message);
    setting.provider.await_delivery(MARTHA, 1);
    setting.python("poplib_fetch.py", pop3, "starttls", &setting.fetched());
    setting.assert_delivered();
}

#[tokio::test]
async fn curl_sends_and_fetches_with_starttls() {
    let Some(setting) = Setting::start(&["curl"], Client::Native, Tls::StartTls).await else { return };
    setting.curl(&format!("smtp://localhost:{}", setting.gatepost.smtp), |curl| {
        curl.args(["--mail-from", MARTHA, "--mail-rcpt", MARTHA, "--upload-file"]).arg(&setting.message);
    });
    setting.provider.await_delivery(MARTHA, 1);
    setting.curl(&format!("pop3://localhost:{}/1", setting.gatepost.pop3), |curl| {
        curl.arg("--output").arg(setting.fetched());
    });
    setting.assert_delivered();
}

#[tokio::test]
async fn curl_sends_and_fetches_with_an_applications_token() {
    let Some(setting) = Setting::start(&["curl"], Client::Service, Tls::Implicit).await else { return };
    setting.curl(&format!("smtps://localhost:{}", setting.gatepost.smtps), |curl| {
        curl.args(["--mail-from", MARTHA, "--mail-rcpt", MARTHA, "--upload-file"]).arg(&setting.message);
    });
    setting.provider.await_delivery(MARTHA, 1);
    setting.curl(&format!("pop3s://localhost:{}/1", setting.gatepost.pop3s), |curl| {
        curl.arg("--output").arg(setting.fetched());
    });
    setting.assert_delivered();
}

#[tokio::test]
async fn swaks_sends_by_login_and_plain() {
    let Some(setting) = Setting::start(&["swaks", "curl"], Client::Native, Tls::StartTls).await else {
        return;
    };
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
        setting.assert_delivered();
    }
}

#[tokio::test]
async fn msmtp_sends_and_fetchmail_fetches() {
    let Some(setting) = Setting::start(&["msmtp", "fetchmail"], Client::Native, Tls::Implicit).await else {
        return;
    };
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

    setting.fetchmail("pop3", pop3s);
    setting.assert_delivered();
}
