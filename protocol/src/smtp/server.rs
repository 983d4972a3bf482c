//! SMTP toward the mail client, from the greeting to a login. Everything before a login is answered here, from what is known;
//! nothing is asked of the provider.
//!
//! ```text
//! AwaitCommand ── AUTH ──▶ AwaitResponse ──▶ AwaitVerdict ── refused ──▶ AwaitCommand
//!      └───── STARTTLS ──▶ AwaitTls ──▶ AwaitCommand  └── accepted or too often ──▶ Over
//! ```

use std::mem;

use super::command::{self, Command};
use super::reply::{write_failure, write_login_required};
use crate::dialogue::{Dialogue, Encryption, Goodbye, Output, ServerDialogue, Step, Success, Violation};
use crate::failure::AuthFailure;
use crate::patience::Patience;
use crate::sasl::{self, Credentials, Exchange, Mechanism, Progress};
use crate::secret::SecretBytes;

/// We, toward the mail client.
#[derive(Debug)]
pub struct Server {
    session: Session,
    state: ServerState,
}

impl Server {
    /// `host_name` stands in the greeting; `capabilities` are the provider's, as its preset gives them, without AUTH and
    /// STARTTLS, which are ours. After `wrong_passwords` wrong ones the connection ends.
    pub fn new(
        host_name: String,
        capabilities: Vec<String>,
        encryption: Encryption,
        wrong_passwords: u32,
    ) -> Self {
        let session = Session {
            host_name,
            capabilities,
            encryption,
            patience: Patience::new(wrong_passwords),
            last_failure: None,
            violation: None,
        };
        Self { session, state: ServerState::AwaitCommand }
    }
}

/// The last line on a connection that nobody has logged in on; nothing to one that was never mail.
pub fn goodbye(host_name: &str, reason: Goodbye, output: &mut Output) {
    let (code, text) = match reason {
        Goodbye::Busy => ("421 4.3.2", "Too many connections, try again in a moment"),
        Goodbye::NotAllowed => ("554 5.7.1", "Your address may not log in here"),
        Goodbye::ShuttingDown => ("421 4.3.2", "Shutting down, try again in a moment"),
        Goodbye::TimedOut => ("421 4.4.2", "Timed out waiting for a login"),
        Goodbye::TooManyFailures => ("421 4.7.0", "Too many failed logins"),
        Goodbye::Violation => return,
    };
    output.line(&format!("{code} {host_name} {text}"));
}

impl ServerDialogue for Server {
    fn verdict(&mut self, verdict: &Result<Success, AuthFailure>, output: &mut Output) -> Step<Credentials> {
        let (state, step) = match (mem::replace(&mut self.state, ServerState::Over), verdict) {
            (ServerState::AwaitVerdict, Ok(_)) => {
                output.line("235 2.7.0 Authentication succeeded");
                (ServerState::Over, Step::NeedLine)
            }
            (ServerState::AwaitVerdict, Err(failure)) => self.session.refuse(failure.clone(), output),
            _ => (ServerState::Over, Step::Close),
        };
        self.state = state;
        step
    }

    fn violation(&self) -> Option<Violation> {
        self.session.violation
    }
}

impl Dialogue for Server {
    type Yield = Credentials;

    fn open(&mut self, output: &mut Output) {
        output.line(&format!("220 {} ESMTP Gatepost", self.session.host_name));
    }

    /// An AUTH command may be as long as a SASL line, for its initial response; `line` holds the others to their own limit.
    fn line_limit(&self) -> usize {
        sasl::LINE_LIMIT
    }

    fn state_name(&self) -> &'static str {
        match self.state {
            ServerState::AwaitCommand => "awaiting a command",
            ServerState::AwaitResponse(_) => "awaiting the user name or password",
            ServerState::AwaitTls => "awaiting the TLS handshake",
            ServerState::AwaitVerdict => "awaiting the verdict",
            ServerState::Over => "over",
        }
    }

    fn line(&mut self, line: &[u8], output: &mut Output) -> Step<Credentials> {
        let (state, step) = match mem::replace(&mut self.state, ServerState::Over) {
            ServerState::AwaitCommand => self.session.command(line, output),
            ServerState::AwaitResponse(exchange) => self.session.advance(exchange.respond(line), output),
            ServerState::AwaitTls | ServerState::AwaitVerdict | ServerState::Over => {
                (ServerState::Over, Step::Close)
            }
        };
        self.state = state;
        step
    }

    fn line_too_long(&mut self, output: &mut Output) -> Step<Credentials> {
        self.state = ServerState::Over;
        // RFC 4954, section 6, for lines of an exchange; only AUTH may be this long outside of one.
        output.line("500 5.5.6 Line too long");
        Step::Close
    }

    fn tls_started(&mut self, _output: &mut Output) -> Step<Credentials> {
        if !matches!(self.state, ServerState::AwaitTls) {
            return Step::Close;
        }
        self.session.encryption = Encryption::Active;
        // RFC 3207, section 4.2: what was said in clear is forgotten.
        self.session.last_failure = None;
        self.state = ServerState::AwaitCommand;
        Step::NeedLine
    }
}

#[derive(Debug)]
enum ServerState {
    AwaitCommand,
    AwaitResponse(Exchange),
    AwaitTls,
    AwaitVerdict,
    /// Logged in, or closed.
    Over,
}

/// What lives as long as the connection.
#[derive(Debug)]
struct Session {
    host_name: String,
    capabilities: Vec<String>,
    encryption: Encryption,
    patience: Patience,
    last_failure: Option<AuthFailure>,
    violation: Option<Violation>,
}

impl Session {
    fn command(&mut self, line: &[u8], output: &mut Output) -> (ServerState, Step<Credentials>) {
        self.violation = Violation::in_line(line);
        if self.violation.is_some() {
            return (ServerState::Over, Step::Close);
        }
        let command = Command::parse(line);
        let in_clear = self.encryption == Encryption::Required;
        match command {
            Command::Auth { mechanism, initial_response } => {
                return self.auth(mechanism, initial_response, output);
            }
            _ if line.len() >= command::LINE_LIMIT => {
                output.line("500 5.5.2 Line too long");
                return (ServerState::Over, Step::Close);
            }
            Command::StartTls { with_parameters } => return self.start_tls(with_parameters, output),
            Command::Quit => {
                output.line("221 2.0.0 Bye");
                return (ServerState::Over, Step::Close);
            }
            Command::Unknown => return self.unknown(output),
            Command::Ehlo => self.write_capabilities(output),
            Command::Helo => output.line(&format!("250 {}", self.host_name)),
            Command::Help => output.line("214 2.0.0 Log in with AUTH PLAIN or AUTH LOGIN"),
            // RFC 3207, section 4: the rest must wait for TLS.
            Command::Mail | Command::Rset | Command::Vrfy if in_clear => {
                write_login_required(Some(&AuthFailure::EncryptionRequired), output);
            }
            Command::Mail => write_login_required(self.last_failure.as_ref(), output),
            Command::Noop | Command::Rset => output.line("250 2.0.0 OK"),
            Command::Vrfy => output.line("252 2.0.0 Cannot verify; send the message"),
        }
        (ServerState::AwaitCommand, Step::NeedLine)
    }

    fn auth(
        &mut self,
        mechanism: &[u8],
        initial_response: Option<SecretBytes<'_>>,
        output: &mut Output,
    ) -> (ServerState, Step<Credentials>) {
        if self.encryption == Encryption::Required {
            return self.refuse(AuthFailure::EncryptionRequired, output);
        }
        if mechanism.is_empty() {
            output.line("501 5.5.4 AUTH needs a mechanism");
            return (ServerState::AwaitCommand, Step::NeedLine);
        }
        let Some(mechanism) = Mechanism::parse(mechanism) else {
            // .NET and others try the next mechanism after a 504, and give up after anything else.
            output.line("504 5.5.4 Use AUTH PLAIN or AUTH LOGIN");
            return (ServerState::AwaitCommand, Step::NeedLine);
        };
        self.advance(Exchange::begin(mechanism, initial_response), output)
    }

    fn advance(&mut self, progress: Progress, output: &mut Output) -> (ServerState, Step<Credentials>) {
        match progress {
            Progress::Challenge(exchange) => {
                output.line(&format!("334 {}", exchange.challenge()));
                (ServerState::AwaitResponse(exchange), Step::NeedLine)
            }
            Progress::Finished(Ok(credentials)) => (ServerState::AwaitVerdict, Step::Yield(credentials)),
            Progress::Finished(Err(failure)) => self.refuse(failure, output),
        }
    }

    fn refuse(&mut self, failure: AuthFailure, output: &mut Output) -> (ServerState, Step<Credentials>) {
        write_failure(&failure, output);
        if self.patience.ends_after_failure(&failure) {
            goodbye(&self.host_name, Goodbye::TooManyFailures, output);
            return (ServerState::Over, Step::Close);
        }
        self.last_failure = Some(failure);
        (ServerState::AwaitCommand, Step::NeedLine)
    }

    fn start_tls(&self, with_parameters: bool, output: &mut Output) -> (ServerState, Step<Credentials>) {
        match self.encryption {
            Encryption::Active => output.line("503 5.5.1 TLS is already active"),
            Encryption::Unavailable => output.line("454 4.7.0 TLS is not available here"),
            Encryption::Optional | Encryption::Required if with_parameters => {
                output.line("501 5.5.4 STARTTLS takes no parameters");
            }
            Encryption::Optional | Encryption::Required => {
                output.line("220 2.0.0 Ready to start TLS");
                return (ServerState::AwaitTls, Step::StartTls);
            }
        }
        (ServerState::AwaitCommand, Step::NeedLine)
    }

    fn unknown(&mut self, output: &mut Output) -> (ServerState, Step<Credentials>) {
        if !self.patience.ends_after_bad_command() {
            output.line("500 5.5.2 Unknown command");
            return (ServerState::AwaitCommand, Step::NeedLine);
        }
        output.line(&format!("421 4.7.0 {} Too many unknown commands", self.host_name));
        (ServerState::Over, Step::Close)
    }

    fn write_capabilities(&self, output: &mut Output) {
        let mut lines = vec![self.host_name.as_str()];
        lines.extend(self.capabilities.iter().map(String::as_str));
        if matches!(self.encryption, Encryption::Optional | Encryption::Required) {
            lines.push("STARTTLS");
        }
        if self.encryption != Encryption::Required {
            // One standard line: .NET stumbles over a bare `AUTH`, and NTLM would be tried before LOGIN.
            lines.push("AUTH PLAIN LOGIN");
        }
        let last = lines.len() - 1;
        for (index, line) in lines.into_iter().enumerate() {
            output.line(&format!("250{}{line}", if index == last { ' ' } else { '-' }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Server, goodbye};
    use crate::dialogue::{Dialogue, Encryption, Goodbye, Output, ServerDialogue, Step, Success, Violation};
    use crate::failure::AuthFailure;
    use crate::sasl;

    /// What is said to one line on a new connection, and whether the connection goes on.
    fn answer(line: &[u8]) -> (String, bool) {
        let mut server = Server::new("gatepost.test".to_owned(), Vec::new(), Encryption::Unavailable, 3);
        let mut output = Output::default();
        let step = server.line(line, &mut output);
        (output.as_bytes().escape_ascii().to_string(), !matches!(step, Step::Close))
    }

    #[test]
    fn only_auth_may_be_as_long_as_a_sasl_line() {
        let padded = |verb: &[u8], length: usize| [verb, &vec![b'a'; length - verb.len()]].concat();
        let table = [
            (padded(b"NOOP ", 2046), "250 ", true),
            (padded(b"NOOP ", 2048), "500 5.5.2 ", false),
            (padded(b"MAIL FROM:<", 2048), "500 5.5.2 ", false),
            (padded(b"", 2048), "500 5.5.2 ", false),
            (padded(b"AUTH PLAIN ", sasl::LINE_LIMIT - 2), "501 5.5.2 ", true),
        ];
        for (line, start, goes_on) in table {
            let (said, went_on) = answer(&line);
            assert!(said.starts_with(start) && went_on == goes_on, "{} octets: {said}", line.len());
        }
    }

    #[test]
    fn an_endless_line_is_5_5_6_and_closed() {
        let mut server = Server::new("gatepost.test".to_owned(), Vec::new(), Encryption::Active, 3);
        let mut output = Output::default();
        assert!(matches!(server.line_too_long(&mut output), Step::Close));
        assert_eq!(output.as_bytes(), b"500 5.5.6 Line too long\r\n");
    }

    #[test]
    fn the_log_is_told_what_the_client_was() {
        for (line, violation) in [
            (&b"GET / HTTP/1.1"[..], Some(Violation::HttpRequest)),
            (b"\x16\x03\x01", Some(Violation::TlsClientHello)),
            (b"NOOP", None),
        ] {
            let mut server = Server::new("gatepost.test".to_owned(), Vec::new(), Encryption::Optional, 3);
            let mut output = Output::default();
            server.line(line, &mut output);
            assert_eq!(server.violation(), violation);
            assert_eq!(output.is_empty(), violation.is_some(), "nothing is said to what is no mail program");
        }
    }

    #[test]
    fn credentials_that_nobody_can_have_are_judged_like_any_others() {
        let table: &[&[&[u8]]] =
            &[&[b"AUTH PLAIN AAA="], &[b"AUTH PLAIN AHRpbQA="], &[b"AUTH LOGIN dGlt", b""]];
        for lines in table {
            let mut server = Server::new("gatepost.test".to_owned(), Vec::new(), Encryption::Active, 3);
            let mut output = Output::default();
            let mut step = Step::NeedLine;
            for line in *lines {
                output.wipe();
                step = server.line(line, &mut output);
            }
            assert!(
                matches!(&step, Step::Yield(credentials) if credentials.user_name.is_empty()),
                "{step:?}"
            );
            assert!(output.is_empty(), "an answer before the judgement");
        }
    }

    #[test]
    fn a_verdict_that_nobody_waits_for_closes() {
        let mut server = Server::new("gatepost.test".to_owned(), Vec::new(), Encryption::Active, 3);
        let mut output = Output::default();
        assert!(matches!(server.verdict(&Ok(Success::default()), &mut output), Step::Close));
        assert!(matches!(server.verdict(&Err(AuthFailure::Disabled), &mut output), Step::Close));
        assert!(output.is_empty());
    }

    #[test]
    fn every_goodbye_has_its_code() {
        for (reason, start) in [
            (Goodbye::Busy, "421 4.3.2 gatepost.test "),
            (Goodbye::NotAllowed, "554 5.7.1 gatepost.test "),
            (Goodbye::ShuttingDown, "421 4.3.2 gatepost.test "),
            (Goodbye::TimedOut, "421 4.4.2 gatepost.test "),
            (Goodbye::TooManyFailures, "421 4.7.0 gatepost.test "),
            (Goodbye::Violation, ""),
        ] {
            let mut output = Output::default();
            goodbye("gatepost.test", reason, &mut output);
            assert!(output.as_bytes().starts_with(start.as_bytes()), "{reason:?}");
            assert_eq!(output.is_empty(), start.is_empty(), "{reason:?}");
        }
    }
}
