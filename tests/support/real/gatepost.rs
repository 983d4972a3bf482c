//! Gatepost as people use it: the program itself, its configuration file, its commands and its daemon.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::MailProvider;
use super::process::{Server, free_ports};

/// What every device of the tests types.
pub(crate) const PASSWORD: &str = "an Old-password_9";

/// A Gatepost, configured; [`Self::run`] starts its daemon.
pub(crate) struct Gatepost {
    /// Implicit TLS.
    pub(crate) smtps: u16,
    /// STARTTLS.
    pub(crate) smtp: u16,
    /// Implicit TLS.
    pub(crate) pop3s: u16,
    /// STLS.
    pub(crate) pop3: u16,
    /// Implicit TLS.
    pub(crate) imaps: u16,
    /// STARTTLS.
    pub(crate) imap: u16,
    /// Gatepost's own CA, as a device would import it.
    pub(crate) ca_file: PathBuf,
    configuration: PathBuf,
    log: PathBuf,
    daemon: Option<Server>,
}

impl Gatepost {
    /// Writes a configuration with the given provider and six listeners.
    pub(crate) fn configured(folder: &Path, provider_yaml: &str) -> Self {
        let home = folder.join("gatepost");
        fs::create_dir(&home).unwrap();
        let [smtps, smtp, pop3s, pop3, imaps, imap] = free_ports();
        let configuration = home.join("gatepost.yaml");
        let text = format!(
            "\
providers:
{provider_yaml}
listeners:
  - {{ protocol: smtp, address: \"127.0.0.1:{smtps}\", tls: implicit }}
  - {{ protocol: smtp, address: \"127.0.0.1:{smtp}\", tls: starttls }}
  - {{ protocol: pop3, address: \"127.0.0.1:{pop3s}\", tls: implicit }}
  - {{ protocol: pop3, address: \"127.0.0.1:{pop3}\", tls: starttls }}
  - {{ protocol: imap, address: \"127.0.0.1:{imaps}\", tls: implicit }}
  - {{ protocol: imap, address: \"127.0.0.1:{imap}\", tls: starttls }}
state: {}
",
            home.join("state").display()
        );
        fs::write(&configuration, text).unwrap();
        let gatepost = Self {
            smtps,
            smtp,
            pop3s,
            pop3,
            imaps,
            imap,
            ca_file: home.join("ca.pem"),
            configuration,
            log: home.join("gatepost.log"),
            daemon: None,
        };
        gatepost.command(&["check"], "");
        gatepost.command(&["certificate", "export", "--output", gatepost.ca_file.to_str().unwrap()], "");
        gatepost
    }

    /// Starts the daemon and waits until all of its ports take connections.
    pub(crate) fn run(&mut self) {
        let program = Path::new(env!("CARGO_BIN_EXE_gatepost"));
        let arguments = ["--config".as_ref(), self.configuration.as_os_str(), "run".as_ref()];
        let mut daemon = Server::start("Gatepost", &self.log, program, arguments);
        for port in [self.smtps, self.smtp, self.pop3s, self.pop3, self.imaps, self.imap] {
            daemon.reachable_at(port);
        }
        self.daemon = Some(daemon);
    }

    /// Adds an account with [`PASSWORD`].
    pub(crate) fn add_account(&self, address: &str, provider: &str) {
        self.command(&["account", "add", address, "--provider", provider, "--password-stdin"], PASSWORD);
    }

    /// Connects an account; the owner of `address` logs in and consents in the browser. Gives what the browser shows at last.
    pub(crate) async fn connect(&self, address: &str, provider: &MailProvider) -> String {
        let mut connecting = self
            .program(&["connect", address, "--no-browser"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut told = BufReader::new(connecting.stdout.take().unwrap()).lines().map(Result::unwrap);
        let Some(url) = told.find(|line| line.starts_with("https://")) else {
            panic!("connect printed no address: {}", shown(&connecting.wait_with_output().unwrap()));
        };
        let landed = provider.oidc.consent(&url, address).await;
        let page = provider.oidc.browse(landed).await;
        let rest = told.collect::<Vec<_>>().join("\n");
        let output = connecting.wait_with_output().unwrap();
        assert!(output.status.success(), "connect {address}: {rest}\n{}", shown(&output));
        page
    }

    /// Runs one of Gatepost's commands to its end, and gives what it printed. It must succeed.
    pub(crate) fn command(&self, arguments: &[&str], input: &str) -> String {
        let output = with_input(&mut self.program(arguments), input.as_bytes());
        assert!(output.status.success(), "gatepost {}: {}", arguments.join(" "), shown(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs one of Gatepost's commands that must fail with this status, and gives all that it printed.
    pub(crate) fn failing_command(&self, arguments: &[&str], status: i32) -> String {
        let output = with_input(&mut self.program(arguments), b"");
        assert_eq!(
            output.status.code(),
            Some(status),
            "gatepost {}: {}",
            arguments.join(" "),
            shown(&output)
        );
        shown(&output)
    }

    /// Where its store is.
    pub(crate) fn state_dir(&self) -> PathBuf {
        self.configuration.with_file_name("state")
    }

    fn program(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
        command.arg("--config").arg(&self.configuration).args(arguments);
        command
    }
}

/// Runs a program to its end with something on its stdin.
pub(crate) fn with_input(command: &mut Command, input: &[u8]) -> Output {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        // On the side, for a program that prints before it has read everything. One that reads nothing is fine too.
        scope.spawn(move || stdin.write_all(input));
        child.wait_with_output().unwrap()
    })
}

/// Everything that a program said, for the text of a failure.
pub(crate) fn shown(output: &Output) -> String {
    format!(
        "{}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}
