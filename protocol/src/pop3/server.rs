//! POP3 toward the mail client, from the greeting to a login. Everything before a login is answered here, from what is known;
//! nothing is asked of the provider.
//!
//! ```text
//! AwaitCommand ─ USER ─▶ AwaitPassword ─ PASS ─▶ AwaitVerdict ── refused ──▶ AwaitCommand
//!   │  └── AUTH ──▶ AwaitResponse ───────────────────┘  └── accepted or too often ──▶ Over
//!   └───── STLS ──▶ AwaitTls ──▶ AwaitCommand
//! ```

use std::mem;

use super::command::{self, Command};
use super::response::write_failure;
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
    /// `host_name` stands in the greeting; `capabilities` are the provider's, as its preset gives them, without USER, SASL
    /// and STLS, which are ours. After `wrong_passwords` wrong ones the connection ends.
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
            violation: None,
        };
        Self { session, state: ServerState::AwaitCommand }
    }
}

/// The last line on a connection that nobody has logged in on; nothing to one that was never mail.
pub fn goodbye(reason: Goodbye, output: &mut Output) {
    output.line(match reason {
        Goodbye::Busy => "-ERR [SYS/TEMP] Too many connections, try again in a moment",
        Goodbye::NotAllowed => "-ERR [SYS/PERM] Your address may not log in here",
        Goodbye::ShuttingDown => "-ERR [SYS/TEMP] Shutting down, try again in a moment",
        Goodbye::TimedOut => "-ERR Timed out waiting for a login",
        Goodbye::TooManyFailures => "-ERR Too many failed logins",
        Goodbye::Violation => return,
    });
}

impl ServerDialogue for Server {
    fn verdict(&mut self, verdict: &Result<Success, AuthFailure>, output: &mut Output) -> Step<Credentials> {
        let (state, step) = match (mem::replace(&mut self.state, ServerState::Over), verdict) {
            (ServerState::AwaitVerdict, Ok(_)) => {
                output.line("+OK Logged in");
                (ServerState::Over, Step::NeedLine)
            }
            (ServerState::AwaitVerdict, Err(failure)) => self.session.refuse(failure, output),
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

    /// A greeting with a `<timestamp>` would invite APOP (RFC 1939, section 7).
    fn open(&mut self, output: &mut Output) {
        output.line(&format!("+OK Gatepost ready on {}", self.session.host_name));
    }

    /// An AUTH command may be as long as a SASL line, for its initial response; `line` holds the others to their own limit.
    fn line_limit(&self) -> usize {
        sasl::LINE_LIMIT
    }

    fn state_name(&self) -> &'static str {
        match self.state {
            ServerState::AwaitCommand => "awaiting a command",
            ServerState::AwaitPassword { .. } => "awaiting the password",
            ServerState::AwaitResponse(_) => "awaiting the user name or password",
            ServerState::AwaitTls => "awaiting the TLS handshake",
            ServerState::AwaitVerdict => "awaiting the verdict",
            ServerState::Over => "over",
        }
    }

    fn line(&mut self, line: &[u8], output: &mut Output) -> Step<Credentials> {
        let (state, step) = match mem::replace(&mut self.state, ServerState::Over) {
            ServerState::AwaitCommand => self.session.command(None, line, output),
            ServerState::AwaitPassword { user_name } => self.session.command(Some(user_name), line, output),
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
        output.line("-ERR Line too long");
        Step::Close
    }

    fn tls_started(&mut self, _output: &mut Output) -> Step<Credentials> {
        if !matches!(self.state, ServerState::AwaitTls) {
            return Step::Close;
        }
        self.session.encryption = Encryption::Active;
        // RFC 2595, section 4: what was said in clear is forgotten, a user name too.
        self.state = ServerState::AwaitCommand;
        Step::NeedLine
    }
}

#[derive(Debug)]
enum ServerState {
    AwaitCommand,
    /// USER was said; any command may still come.
    AwaitPassword {
        user_name: Vec<u8>,
    },
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
    violation: Option<Violation>,
}

impl Session {
    fn command(
        &mut self,
        user_name: Option<Vec<u8>>,
        line: &[u8],
        output: &mut Output,
    ) -> (ServerState, Step<Credentials>) {
        self.violation = Violation::in_line(line);
        if self.violation.is_some() {
            return (ServerState::Over, Step::Close);
        }
        let in_clear = self.encryption == Encryption::Required;
        match Command::parse(line) {
            Command::Auth { mechanism, initial_response } if !in_clear && !mechanism.is_empty() => {
                return self.auth(mechanism, initial_response, output);
            }
            _ if line.len() >= command::LINE_LIMIT => {
                output.line("-ERR Line too long");
                return (ServerState::Over, Step::Close);
            }
            Command::Auth { .. } | Command::Pass(_) | Command::User(_) if in_clear => {
                return self.refuse(&AuthFailure::EncryptionRequired, output);
            }
            Command::Auth { .. } => write_list("+OK", &Mechanism::ALL.map(Mechanism::name), output),
            Command::User(b"") => output.line("-ERR USER needs a name"),
            Command::User(name) => {
                // The same whoever it is: nobody learns here who exists.
                output.line("+OK Now the password");
                return (ServerState::AwaitPassword { user_name: name.to_vec() }, Step::NeedLine);
            }
            Command::Pass(password) => return self.pass(user_name, &password, output),
            Command::Stls => return self.start_tls(output),
            Command::Quit => {
                output.line("+OK Bye");
                return (ServerState::Over, Step::Close);
            }
            Command::Unknown => return self.unknown(output),
            Command::Apop => output.line("-ERR APOP is not offered: use USER and PASS"),
            Command::Capa => self.write_capabilities(output),
            Command::Mailbox => output.line("-ERR Log in first"),
            Command::Noop => output.line("+OK"),
        }
        let state =
            user_name.map_or(ServerState::AwaitCommand, |user_name| ServerState::AwaitPassword { user_name });
        (state, Step::NeedLine)
    }

    fn auth(
        &mut self,
        mechanism: &[u8],
        initial_response: Option<SecretBytes<'_>>,
        output: &mut Output,
    ) -> (ServerState, Step<Credentials>) {
        let Some(mechanism) = Mechanism::parse(mechanism) else {
            // Outlook tries NTLM first, and USER or PLAIN after an -ERR.
            output.line("-ERR Use AUTH PLAIN, AUTH LOGIN, or USER and PASS");
            return (ServerState::AwaitCommand, Step::NeedLine);
        };
        self.advance(Exchange::begin(mechanism, initial_response), output)
    }

    fn pass(
        &mut self,
        user_name: Option<Vec<u8>>,
        password: &SecretBytes<'_>,
        output: &mut Output,
    ) -> (ServerState, Step<Credentials>) {
        let Some(user_name) = user_name else {
            output.line("-ERR Say USER first");
            return (ServerState::AwaitCommand, Step::NeedLine);
        };
        self.advance(Progress::Finished(Ok(Credentials::new(&user_name, password.expose()))), output)
    }

    fn advance(&mut self, progress: Progress, output: &mut Output) -> (ServerState, Step<Credentials>) {
        match progress {
            Progress::Challenge(exchange) => {
                output.line(&format!("+ {}", exchange.challenge()));
                (ServerState::AwaitResponse(exchange), Step::NeedLine)
            }
            Progress::Finished(Ok(credentials)) => (ServerState::AwaitVerdict, Step::Yield(credentials)),
            Progress::Finished(Err(failure)) => self.refuse(&failure, output),
        }
    }

    fn refuse(&mut self, failure: &AuthFailure, output: &mut Output) -> (ServerState, Step<Credentials>) {
        write_failure(failure, output);
        if self.patience.ends_after_failure(failure) {
            goodbye(Goodbye::TooManyFailures, output);
            return (ServerState::Over, Step::Close);
        }
        (ServerState::AwaitCommand, Step::NeedLine)
    }

    fn start_tls(&self, output: &mut Output) -> (ServerState, Step<Credentials>) {
        match self.encryption {
            Encryption::Active => output.line("-ERR TLS is already active"),
            Encryption::Unavailable => output.line("-ERR TLS is not available here"),
            Encryption::Optional | Encryption::Required => {
                output.line("+OK Ready to start TLS");
                return (ServerState::AwaitTls, Step::StartTls);
            }
        }
        (ServerState::AwaitCommand, Step::NeedLine)
    }

    fn unknown(&mut self, output: &mut Output) -> (ServerState, Step<Credentials>) {
        if !self.patience.ends_after_bad_command() {
            output.line("-ERR Unknown command");
            return (ServerState::AwaitCommand, Step::NeedLine);
        }
        output.line("-ERR Too many unknown commands");
        (ServerState::Over, Step::Close)
    }

    fn write_capabilities(&self, output: &mut Output) {
        let mut lines: Vec<&str> = self.capabilities.iter().map(String::as_str).collect();
        if matches!(self.encryption, Encryption::Optional | Encryption::Required) {
            lines.push("STLS");
        }
        if self.encryption != Encryption::Required {
            lines.extend(["USER", "SASL PLAIN LOGIN"]);
        }
        write_list("+OK Capabilities", &lines, output);
    }
}

/// `multi-line = greeting-line *line "." CRLF`
fn write_list(first: &str, lines: &[&str], output: &mut Output) {
    output.line(first);
    for line in lines {
        output.line(line);
    }
    output.line(".");
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
        let padded = |keyword: &[u8], length: usize| [keyword, &vec![b'a'; length - keyword.len()]].concat();
        let table = [
            (padded(b"USER ", 1022), "+OK ", true),
            (padded(b"USER ", 1024), "-ERR Line too long", false),
            (padded(b"", 1024), "-ERR Line too long", false),
            (padded(b"AUTH PLAIN ", sasl::LINE_LIMIT - 2), "-ERR Cannot read", true),
        ];
        for (line, start, goes_on) in table {
            let (said, went_on) = answer(&line);
            assert!(said.starts_with(start) && went_on == goes_on, "{} octets: {said}", line.len());
        }
    }

    #[test]
    fn an_endless_line_is_closed() {
        let mut server = Server::new("gatepost.test".to_owned(), Vec::new(), Encryption::Active, 3);
        let mut output = Output::default();
        assert!(matches!(server.line_too_long(&mut output), Step::Close));
        assert_eq!(output.as_bytes(), b"-ERR Line too long\r\n");
    }

    #[test]
    fn the_greeting_does_not_invite_apop() {
        let mut server = Server::new("gatepost.test".to_owned(), Vec::new(), Encryption::Active, 3);
        let mut output = Output::default();
        server.open(&mut output);
        assert!(output.as_bytes().starts_with(b"+OK ") && !output.as_bytes().contains(&b'<'));
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
    fn ten_unknown_commands_end_the_connection() {
        let mut server = Server::new("gatepost.test".to_owned(), Vec::new(), Encryption::Active, 3);
        let mut output = Output::default();
        for count in 1..=10 {
            let step = server.line(b"XTND", &mut output);
            assert_eq!(matches!(step, Step::Close), count == 10);
        }
    }

    #[test]
    fn credentials_that_nobody_can_have_are_judged_like_any_others() {
        let table: &[&[&[u8]]] = &[
            &[b"AUTH PLAIN AAA="],
            &[b"AUTH PLAIN AHRpbQA="],
            &[b"AUTH LOGIN dGlt", b""],
            &[b"USER tim", b"PASS"],
            &[b"USER t\x01m", b"PASS tanstaaf"],
        ];
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
    fn every_goodbye_is_an_err() {
        for reason in [
            Goodbye::Busy,
            Goodbye::NotAllowed,
            Goodbye::ShuttingDown,
            Goodbye::TimedOut,
            Goodbye::TooManyFailures,
        ] {
            let mut output = Output::default();
            goodbye(reason, &mut output);
            assert!(output.as_bytes().starts_with(b"-ERR "), "{reason:?}");
        }
        let mut output = Output::default();
        goodbye(Goodbye::Violation, &mut output);
        assert!(output.is_empty());
    }
}
