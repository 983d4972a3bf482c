//! README's walk-throughs, command by command as they stand there, against real servers. Only the provider differs, and the
//! password is the one that was shown.
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
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use real::gatepost::shown;
use real::oidc::Client;
use real::process::{Server, needs};
use real::{MailProvider, Tls};

const ADDRESS: &str = "scanner@contoso.example";

/// A fenced block of the README.
struct Block {
    language: String,
    text: String,
}

/// The person who follows the README, in a folder of their own.
struct Reader {
    folder: PathBuf,
    provider: MailProvider,
    password: String,
    daemon: Option<Server>,
}

#[tokio::test]
async fn the_walk_through_works_word_for_word() {
    let Some(mut reader) = Reader::start().await else { return };
    let said = reader.walk("From nothing to the first mail").await;
    assert!(said.contains("Subject: It works"), "the last command fetches the message: {said}");
}

#[tokio::test]
async fn the_same_works_by_hand() {
    let Some(mut reader) = Reader::start().await else { return };
    let said = reader.walk("The same by hand").await;
    assert!(said.contains("It works: devices are let in"), "the last command tries everything: {said}");
}

impl Reader {
    /// `None` where the servers are not installed.
    async fn start() -> Option<Self> {
        if !needs("curl") {
            return None;
        }
        let provider = MailProvider::start().await?;
        let folder = provider.folder.path().join("reader");
        fs::create_dir(&folder).unwrap();
        Some(Self { folder, provider, password: String::new(), daemon: None })
    }

    /// Does all that a section says, and gives what the last command printed.
    async fn walk(&mut self, section: &str) -> String {
        let mut said = String::new();
        for block in walk_through(section) {
            match block.language.as_str() {
                "yaml" => self.configure(&block.text),
                "sh" => {
                    for command in block.text.lines() {
                        said = self.follow(command).await;
                    }
                }
                other => panic!("the walk-through has a block of {other:?}, which nobody would run"),
            }
        }
        said
    }

    /// The file as the README shows it, with another provider of the same name.
    fn configure(&self, shown: &str) {
        let (before, _) = shown.split_once("  contoso:\n").expect("the README's provider is called contoso");
        let provider = self.provider.provider_yaml("contoso", Client::Native, Tls::StartTls);
        fs::write(self.folder.join("gatepost.yaml"), format!("{before}{provider}")).unwrap();
    }

    /// Runs one command of the README, and gives what it printed.
    async fn follow(&mut self, command: &str) -> String {
        let command = command.replace("PASSWORD", &self.password);
        if command.starts_with("gatepost connect") {
            return self.consent(&command).await;
        }
        if command.starts_with("gatepost setup") {
            let said = self.consent(&format!("{command} {}", self.what_is_known_of_the_provider())).await;
            self.note_password(&said);
            return said;
        }
        if command == "gatepost run" {
            self.run();
            return String::new();
        }
        if command.starts_with("curl pop3") {
            self.provider.await_delivery(ADDRESS, 1);
        }
        let output = self.shell(&command).output().unwrap();
        assert!(output.status.success(), "{command}: {}", shown(&output));
        let said = String::from_utf8(output.stdout).unwrap();
        if command.starts_with("gatepost account add") {
            self.note_password(&said);
        }
        said
    }

    fn note_password(&mut self, said: &str) {
        let line = said.lines().find(|line| line.contains("Password  ")).expect("a password is shown");
        line.split_whitespace().nth(1).unwrap().clone_into(&mut self.password);
    }

    /// What a preset would tell, and the answer to the question.
    fn what_is_known_of_the_provider(&self) -> String {
        let scopes: String =
            Client::Native.scope().split(' ').flat_map(|scope| [" --scope ", scope]).collect();
        format!(
            "--issuer {} --ca-file {} --client-id {} --smtp localhost:{}/implicit --pop3 localhost:{}/implicit --imap \
             localhost:{}/implicit{scopes}",
            self.provider.oidc.issuer,
            self.provider.ca_file().display(),
            Client::Native.id(),
            self.provider.postfix.implicit,
            self.provider.dovecot.pop3s,
            self.provider.dovecot.imaps,
        )
    }

    /// The owner of the mailbox consents in the browser.
    async fn consent(&self, command: &str) -> String {
        let mut connecting = self
            .shell(command)
            // A display, and a browser that shows nothing on it.
            .env("DISPLAY", ":0")
            .env("BROWSER", "true")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut told = BufReader::new(connecting.stdout.take().unwrap()).lines().map(Result::unwrap);
        let url = told.find(|line| line.starts_with("https://")).expect("connect prints an address");
        let landed = self.provider.oidc.consent(&url, ADDRESS).await;
        self.provider.oidc.browse(landed).await;
        let rest = told.collect::<Vec<_>>().join("\n");
        assert!(connecting.wait().unwrap().success(), "{command}: {rest}");
        rest
    }

    fn run(&mut self) {
        let program = Path::new(env!("CARGO_BIN_EXE_gatepost"));
        let configuration = self.folder.join("gatepost.yaml");
        let state = format!("STATE_DIRECTORY={}", self.folder.join("state").display());
        let arguments = [
            state.as_ref(),
            program.as_os_str(),
            "--config".as_ref(),
            configuration.as_os_str(),
            "run".as_ref(),
        ];
        let log = self.folder.join("gatepost.log");
        let mut daemon = Server::start("Gatepost", &log, Path::new("/usr/bin/env"), arguments);
        // The README's ports are the defaults.
        for port in [1587, 1110] {
            daemon.reachable_at(port);
        }
        self.daemon = Some(daemon);
    }

    fn shell(&self, command: &str) -> Command {
        let programs = Path::new(env!("CARGO_BIN_EXE_gatepost")).parent().unwrap();
        let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default());
        let mut shell = Command::new("sh");
        shell.args(["-c", command]).current_dir(&self.folder).env("PATH", path);
        shell
            .env("STATE_DIRECTORY", self.folder.join("state"))
            .env("GATEPOST_CONFIG", self.folder.join("gatepost.yaml"))
            .env("NO_PROXY", "*");
        shell
    }
}

/// The fenced blocks of a section of the README, in order.
fn walk_through(heading: &str) -> Vec<Block> {
    let readme = include_str!("../README.md");
    let (_, section) = readme.split_once(&format!("## {heading}\n")).expect("the section is there");
    let section = section.split_once("\n## ").map_or(section, |(section, _)| section);
    let mut blocks = Vec::new();
    let mut lines = section.lines();
    while let Some(line) = lines.next() {
        let Some(language) = line.strip_prefix("```") else { continue };
        let text: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
        blocks.push(Block { language: language.to_owned(), text: text.join("\n") + "\n" });
    }
    assert!(blocks.len() >= 2, "the walk-through has its blocks");
    blocks
}
