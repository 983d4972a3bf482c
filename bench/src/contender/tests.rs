//! The peers, each with a message in each direction. One that is not installed is skipped, out loud; with `CI=true` that is a failure.

use std::fs::OpenOptions;
use std::io::Write;
use std::time::Duration;

use anyhow::ensure;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::*;
use crate::load::Client;
use crate::message::Message;

/// A program that does not answer fails its test instead of stopping all.
const PATIENCE: Duration = Duration::from_mins(2);

#[tokio::test(flavor = "multi_thread")]
async fn emailproxy_carries_a_message_each_way() -> anyhow::Result<()> {
    carries_a_message_each_way("emailproxy").await
}

#[tokio::test(flavor = "multi_thread")]
async fn dovecot_carries_a_message_each_way() -> anyhow::Result<()> {
    carries_a_message_each_way("dovecot").await
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_carries_a_message_each_way() -> anyhow::Result<()> {
    carries_a_message_each_way("nginx").await
}

#[tokio::test(flavor = "multi_thread")]
async fn haproxy_carries_a_message_each_way() -> anyhow::Result<()> {
    carries_a_message_each_way("haproxy").await
}

/// The load itself compares every message with what it must be.
async fn carries_a_message_each_way(name: &str) -> anyhow::Result<()> {
    let (upstream, _folder) = crate::upstream::start(Duration::ZERO)?;
    let contender = match start(name, &upstream).await {
        Err(error) if error.is::<NotInstalled>() => return skip(name),
        contender => contender?,
    };
    let client = Client::new(&contender, &upstream)?;
    let message = Message::of_kib(100)?;
    timeout(PATIENCE, async {
        if contender.login == Login::Password {
            refuses_a_wrong_password(contender.pop3).await?;
        }
        let mut pop3 = client.pop3().await?;
        pop3.fetch(&message).await?;
        pop3.quit().await?;
        let mut smtp = client.smtp().await?;
        smtp.send(&message).await?;
        smtp.quit().await
    })
    .await?
}

async fn refuses_a_wrong_password(pop3: SocketAddr) -> anyhow::Result<()> {
    let mut stream = BufReader::new(TcpStream::connect(pop3).await?);
    let mut answer = String::new();
    for line in ["", "USER ann@example.com\r\n", "PASS wrong\r\n"] {
        stream.write_all(line.as_bytes()).await?;
        answer.clear();
        stream.read_line(&mut answer).await?;
    }
    ensure!(answer.starts_with("-ERR"), "a wrong password is answered {answer:?}");
    Ok(())
}

/// Counted by scripts/test, and not by `eprintln!`, which the test runner keeps to itself when a test passes.
fn skip(name: &str) -> anyhow::Result<()> {
    let message = format!("SKIP: a test needs {name}. scripts/install-bench-peers installs the peers.");
    ensure!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{message}");
    writeln!(std::io::stderr(), "{message}")?;
    if let Some(file) = std::env::var_os("GATEPOST_SKIPS") {
        writeln!(OpenOptions::new().append(true).create(true).open(file)?, "{message}")?;
    }
    Ok(())
}
