//! Gatepost as people use it: the program itself, its configuration file, its commands and its daemon.

use std::fs;
use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

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
        let gatepost = Self::begun(folder, &format!("providers:\n{provider_yaml}\n"));
        gatepost.command(&["check"], "");
        gatepost.export_authority();
        gatepost
    }

    /// Writes a configuration that begins so and has six listeners.
    pub(crate) fn begun(folder: &Path, beginning: &str) -> Self {
        let home = folder.join("gatepost");
        fs::create_dir(&home).unwrap();
        let [smtps, smtp, pop3s, pop3, imaps, imap] = free_ports();
        let configuration = home.join("gatepost.yaml");
        let text = format!(
            "\
{beginning}listeners:
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
        Self {
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
        }
    }

    /// What a device's user imports once.
    pub(crate) fn export_authority(&self) {
        self.command(&["certificate", "export", "--output", self.ca_file.to_str().unwrap()], "");
    }

    /// Its configuration file.
    pub(crate) fn configuration(&self) -> &Path {
        &self.configuration
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
        let mut connecting = self.connecting(&[address, "--no-browser"]);
        let url = connecting.address();
        let landed = provider.oidc.consent(&url, address).await;
        let page = provider.oidc.browse(landed).await;
        let (status, told) = connecting.end();
        assert_eq!(status, Some(0), "connect {address}: {told}");
        page
    }

    /// Starts `gatepost connect`, which waits for somebody.
    pub(crate) fn connecting(&self, arguments: &[&str]) -> Connecting {
        let mut child = self
            .program(&["connect"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Connecting { child, lines, told: String::new() }
    }

    /// Runs one of Gatepost's commands to its end, and gives what it printed. It must succeed.
    pub(crate) fn command(&self, arguments: &[&str], input: &str) -> String {
        let output = with_input(&mut self.program(arguments), input.as_bytes());
        assert!(output.status.success(), "gatepost {}: {}", arguments.join(" "), shown(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs one of Gatepost's commands that must fail with this status, and gives all that it printed.
    pub(crate) fn failing_command(&self, arguments: &[&str], status: i32) -> String {
        self.failing_command_with(arguments, status, "")
    }

    /// The same with something to read.
    pub(crate) fn failing_command_with(&self, arguments: &[&str], status: i32, input: &str) -> String {
        let output = with_input(&mut self.program(arguments), input.as_bytes());
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

    /// One of Gatepost's commands, not started.
    pub(crate) fn program(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
        command.arg("--config").arg(&self.configuration).args(arguments);
        command
    }
}

/// A `gatepost connect` that waits for somebody.
pub(crate) struct Connecting {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    told: String,
}

impl Connecting {
    /// The address that it prints.
    pub(crate) fn address(&mut self) -> String {
        self.line(|line| line.starts_with("https://"))
    }

    /// The code that it prints, behind the address.
    pub(crate) fn user_code(&mut self) -> String {
        self.line(|line| line == "type the code");
        self.line(|line| !line.is_empty())
    }

    /// Waits for its end. Its exit status, and all that it said.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        for line in self.lines.by_ref() {
            self.told.push_str(&(line.unwrap() + "\n"));
        }
        let output = self.child.wait_with_output().unwrap();
        (output.status.code(), format!("{}{}", self.told, shown(&output)))
    }

    fn line(&mut self, is_it: impl Fn(&str) -> bool) -> String {
        for line in self.lines.by_ref() {
            let line = line.unwrap();
            self.told.push_str(&(line.clone() + "\n"));
            if is_it(line.trim()) {
                return line.trim().to_owned();
            }
        }
        let mut errors = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        panic!("connect says something else: {}{errors}", self.told);
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
