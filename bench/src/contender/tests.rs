//! The peers, each with a message in each direction. One that is not installed is skipped, out loud; with `CI=true` that is a failure.
#![allow(clippy::panic_in_result_fn)] // An assertion that fails is what a test is for.

use std::fs::OpenOptions;
use std::io::Write;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::*;
use crate::message::Message;
use crate::upstream::{PASSWORD, TOKEN, USER_NAME};

/// A program that does not answer fails its test instead of stopping all.
const PATIENCE: Duration = Duration::from_secs(120);

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

async fn carries_a_message_each_way(name: &str) -> anyhow::Result<()> {
    tokio::time::timeout(PATIENCE, a_message_each_way(name)).await.with_context(|| format!("{name} hangs"))?
}

async fn a_message_each_way(name: &str) -> anyhow::Result<()> {
    let (upstream, _folder) = crate::upstream::start(Duration::ZERO).await?;
    let contender = match start(name, &upstream).await {
        Err(error) if error.is::<NotInstalled>() => return skip(name),
        contender => contender?,
    };
    let message = Message::of_kib(100)?;

    if contender.login == Login::Password {
        let mut stranger = Dialogue::with(contender.pop3).await?;
        stranger.says("USER", &format!("USER {USER_NAME}"), "+OK").await?;
        ensure!(!stranger.asks("PASS wrong").await?.starts_with("+OK"), "a wrong password is not taken");
    }

    let mut pop3 = Dialogue::with(contender.pop3).await?;
    match contender.login {
        Login::Password => {
            pop3.says("USER", &format!("USER {USER_NAME}"), "+OK").await?;
            pop3.says("PASS", &format!("PASS {PASSWORD}"), "+OK").await?;
        }
        _ => pop3.says("AUTH", &format!("AUTH XOAUTH2 {}", xoauth2()), "+OK").await?,
    }
    pop3.says("RETR", "RETR 100", "+OK").await?;
    let mut wire = vec![0; message.wire.len()];
    pop3.stream.read_exact(&mut wire).await?;
    assert!(wire == message.wire, "a message came through {name} changed");
    assert_eq!(pop3.line().await?, ".");
    pop3.says("QUIT", "QUIT", "+OK").await?;

    let mut smtp = Dialogue::with(contender.smtp).await?;
    smtp.says("EHLO", "EHLO client.test", "250").await?;
    let login = match contender.login {
        Login::Password => {
            format!("AUTH PLAIN {}", BASE64_STANDARD.encode(format!("\0{USER_NAME}\0{PASSWORD}")))
        }
        _ => format!("AUTH XOAUTH2 {}", xoauth2()),
    };
    smtp.says("AUTH", &login, "235").await?;
    smtp.says("MAIL", "MAIL FROM:<ann@example.com>", "250").await?;
    smtp.says("RCPT", "RCPT TO:<ann@example.com>", "250").await?;
    smtp.says("DATA", "DATA", "354").await?;
    smtp.stream.write_all(&message.wire).await?;
    let taken = smtp.asks(".").await?;
    assert!(taken.contains(&message.digest), "a message went through {name} changed: {taken}");
    smtp.says("QUIT", "QUIT", "221").await
}

/// A client's side of a connection.
struct Dialogue {
    stream: BufReader<TcpStream>,
}

impl Dialogue {
    async fn with(address: SocketAddr) -> anyhow::Result<Self> {
        let mut dialogue = Self { stream: BufReader::new(TcpStream::connect(address).await?) };
        dialogue.line().await?;
        Ok(dialogue)
    }

    async fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line).await?;
        ensure!(line.ends_with('\n'), "the connection ended with {line:?}");
        Ok(line.trim_end().to_owned())
    }

    /// The last line of the answer.
    async fn asks(&mut self, line: &str) -> anyhow::Result<String> {
        self.stream.write_all(format!("{line}\r\n").as_bytes()).await?;
        loop {
            let answer = self.line().await?;
            if answer.as_bytes().get(3) != Some(&b'-') || answer.starts_with('-') {
                return Ok(answer);
            }
        }
    }

    async fn says(&mut self, what: &'static str, line: &str, expected: &str) -> anyhow::Result<()> {
        let answer = self.asks(line).await.context(what)?;
        ensure!(answer.starts_with(expected), "{what} is answered {answer:?}");
        Ok(())
    }
}

fn xoauth2() -> String {
    BASE64_STANDARD.encode(format!("user={USER_NAME}\x01auth=Bearer {TOKEN}\x01\x01"))
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
