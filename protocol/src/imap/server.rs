//! IMAP toward the mail client, from the greeting to a login. Everything before a login is answered here, from what is known;
//! nothing is asked of the provider.
//!
//! ```text
//! AwaitCommand ─ LOGIN ─▶ AwaitVerdict ── refused ──▶ AwaitCommand
//!   │  │ │                  ▲    └── accepted or too often ──▶ Over
//!   │  │ └─ AUTHENTICATE ─▶ AwaitResponse
//!   │  └─── … {n} ─▶ AwaitLiteral ⇄ AwaitRestOfLine ─▶ as if it had been one line
//!   └────── STARTTLS ─▶ AwaitTls ─▶ AwaitCommand
//! ```

use std::mem;

use super::command::{self, Command, LITERAL_LIMIT, Literal, Request};
use super::partial::Partial;
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
    /// `host_name` stands in the greeting; `capabilities` are the provider's, as its preset gives them, without IMAP4rev1,
    /// SASL-IR, AUTH=, STARTTLS and LOGINDISABLED, which are ours. After `wrong_passwords` wrong ones the connection ends.
    pub fn new(
        host_name: String,
        capabilities: Vec<String>,
        encryption: Encryption,
        wrong_passwords: u32,
    ) -> Self {
        let patience = Patience::new(wrong_passwords);
        let session = Session { host_name, capabilities, encryption, patience, violation: None };
        Self { session, state: ServerState::AwaitCommand }
    }
}

/// The last line on a connection that nobody has logged in on; nothing to one that was never mail.
pub fn goodbye(reason: Goodbye, output: &mut Output) {
    output.line(match reason {
        Goodbye::Busy => "* BYE Too many connections, try again in a moment",
        Goodbye::NotAllowed => "* BYE Your address may not log in here",
        Goodbye::ShuttingDown => "* BYE Shutting down, try again in a moment",
        Goodbye::TimedOut => "* BYE Timed out waiting for a login",
        Goodbye::TooManyFailures => "* BYE Too many failed logins",
        Goodbye::Violation => return,
    });
}

impl ServerDialogue for Server {
    fn verdict(&mut self, verdict: &Result<Success, AuthFailure>, output: &mut Output) -> Step<Credentials> {
        let (state, step) = match (mem::replace(&mut self.state, ServerState::Over), verdict) {
            (ServerState::AwaitVerdict { tag }, Ok(success)) => {
                let code = match success.capabilities.as_str() {
                    "" => String::new(),
                    capabilities => format!("[CAPABILITY {capabilities}] "),
                };
                output.line(&format!("{tag} OK {code}Logged in"));
                output.write(&success.behind);
                (ServerState::Over, Step::NeedLine)
            }
            (ServerState::AwaitVerdict { tag }, Err(failure)) => self.session.refuse(&tag, failure, output),
            _ => (ServerState::Over, Step::Close),
        };
        self.state = state;
        step
    }

    fn tag(&self) -> Option<&str> {
        match &self.state {
            ServerState::AwaitVerdict { tag } => Some(tag),
            _ => None,
        }
    }

    fn violation(&self) -> Option<Violation> {
        self.session.violation
    }
}

impl Dialogue for Server {
    type Yield = Credentials;

    fn open(&mut self, output: &mut Output) {
        let capabilities = self.session.capabilities();
        output
            .line(&format!("* OK [CAPABILITY {capabilities}] Gatepost ready on {}", self.session.host_name));
    }

    /// AUTHENTICATE may be as long as a SASL line, for its initial response; `line` holds the others to their own limit.
    fn line_limit(&self) -> usize {
        sasl::LINE_LIMIT
    }

    fn state_name(&self) -> &'static str {
        match self.state {
            ServerState::AwaitCommand => "awaiting a command",
            ServerState::AwaitLiteral(_) => "awaiting a literal",
            ServerState::AwaitRestOfLine(_) => "awaiting the line behind a literal",
            ServerState::AwaitResponse { .. } => "awaiting the user name or password",
            ServerState::AwaitTls => "awaiting the TLS handshake",
            ServerState::AwaitVerdict { .. } => "awaiting the verdict",
            ServerState::Over => "over",
        }
    }

    fn line(&mut self, line: &[u8], output: &mut Output) -> Step<Credentials> {
        let (state, step) = match mem::replace(&mut self.state, ServerState::Over) {
            ServerState::AwaitCommand => self.session.first_line(line, output),
            ServerState::AwaitRestOfLine(partial) => self.session.next_line(partial, line, output),
            ServerState::AwaitResponse { tag, exchange } => {
                self.session.advance(&tag, exchange.respond(line), output)
            }
            ServerState::AwaitLiteral(_)
            | ServerState::AwaitTls
            | ServerState::AwaitVerdict { .. }
            | ServerState::Over => (ServerState::Over, Step::Close),
        };
        self.state = state;
        step
    }

    fn literal(&mut self, octets: &[u8], _output: &mut Output) -> Step<Credentials> {
        let ServerState::AwaitLiteral(mut partial) = mem::replace(&mut self.state, ServerState::Over) else {
            return Step::Close;
        };
        partial.push_literal(octets);
        self.state = ServerState::AwaitRestOfLine(partial);
        Step::NeedLine
    }

    fn line_too_long(&mut self, output: &mut Output) -> Step<Credentials> {
        self.state = ServerState::Over;
        too_long(output).1
    }

    fn tls_started(&mut self, _output: &mut Output) -> Step<Credentials> {
        if !matches!(self.state, ServerState::AwaitTls) {
            return Step::Close;
        }
        self.session.encryption = Encryption::Active;
        self.state = ServerState::AwaitCommand;
        Step::NeedLine
    }
}

#[derive(Debug)]
enum ServerState {
    AwaitCommand,
    /// The line so far ends in the announcement of one.
    AwaitLiteral(Partial),
    AwaitRestOfLine(Partial),
    AwaitResponse {
        tag: String,
        exchange: Exchange,
    },
    AwaitTls,
    AwaitVerdict {
        tag: String,
    },
    /// Logged in, or closed.
    Over,
}

fn too_long(output: &mut Output) -> (ServerState, Step<Credentials>) {
    output.line("* BYE Line too long");
    (ServerState::Over, Step::Close)
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
    fn first_line(&mut self, line: &[u8], output: &mut Output) -> (ServerState, Step<Credentials>) {
        self.violation = violation(line);
        if self.violation.is_some() {
            return (ServerState::Over, Step::Close);
        }
        match Literal::at_end_of(line) {
            Some(literal) => self.announced(Partial::new(line), literal, output),
            None => self.command(line, output),
        }
    }

    /// The line goes on behind a literal.
    fn next_line(
        &mut self,
        mut partial: Partial,
        line: &[u8],
        output: &mut Output,
    ) -> (ServerState, Step<Credentials>) {
        if !partial.has_room_for(line.len()) {
            return too_long(output);
        }
        partial.push(line);
        match Literal::at_end_of(line) {
            Some(literal) => self.announced(partial, literal, output),
            None => self.command(partial.as_bytes(), output),
        }
    }

    /// The client announced a literal. One that it waits to be asked for is asked for only where it is of use; one that it
    /// sends unasked has to be taken in any case, because what is in it is no command (RFC 7888).
    fn announced(
        &mut self,
        partial: Partial,
        literal: Literal,
        output: &mut Output,
    ) -> (ServerState, Step<Credentials>) {
        if literal.synchronizing {
            match Command::parse(partial.as_bytes()) {
                Some(Command { tag, request }) if self.wants_literal(request) => {
                    if literal.length > LITERAL_LIMIT {
                        return self.bad(tag, &format!("Literal longer than {LITERAL_LIMIT} octets"), output);
                    }
                }
                _ => return self.command(partial.as_bytes(), output),
            }
        }
        if literal.length > LITERAL_LIMIT || !partial.has_room_for(literal.length) {
            return too_long(output);
        }
        if literal.synchronizing {
            output.line("+ Go on");
        }
        (ServerState::AwaitLiteral(partial), Step::NeedLiteral(literal.length))
    }

    fn wants_literal(&self, request: Request<'_>) -> bool {
        match request {
            Request::Login(_) => self.encryption != Encryption::Required,
            Request::Id => true,
            _ => false,
        }
    }

    fn command(&mut self, command: &[u8], output: &mut Output) -> (ServerState, Step<Credentials>) {
        let Some(Command { tag, request }) = Command::parse(command) else {
            return self.bad("*", "A command begins with a tag", output);
        };
        match request {
            Request::Authenticate { .. } | Request::Login(_) if self.encryption == Encryption::Required => {
                return self.refuse(tag, &AuthFailure::EncryptionRequired, output);
            }
            Request::Authenticate { mechanism, initial_response } => {
                return self.authenticate(tag, mechanism, initial_response, output);
            }
            _ if command.len() >= command::LIMIT => return too_long(output),
            Request::Login(arguments) => {
                return self.advance(tag, Progress::Finished(command::credentials(arguments)), output);
            }
            Request::StartTls => return self.start_tls(tag, output),
            Request::Malformed => return self.bad(tag, "Too many arguments", output),
            Request::Unknown => return self.bad(tag, "Unknown command", output),
            Request::Logout => {
                output.line("* BYE Logging out");
                output.line(&format!("{tag} OK Logged out"));
                return (ServerState::Over, Step::Close);
            }
            Request::NeedsLogin => output.line(&format!("{tag} BAD Log in first")),
            Request::Capability => {
                output.line(&format!("* CAPABILITY {}", self.capabilities()));
                output.line(&format!("{tag} OK Capabilities listed"));
            }
            Request::Id => {
                output.line("* ID (\"name\" \"Gatepost\")");
                output.line(&format!("{tag} OK Pleased to meet you"));
            }
            Request::Noop => output.line(&format!("{tag} OK Nothing done")),
        }
        (ServerState::AwaitCommand, Step::NeedLine)
    }

    fn authenticate(
        &mut self,
        tag: &str,
        mechanism: &[u8],
        initial_response: Option<SecretBytes<'_>>,
        output: &mut Output,
    ) -> (ServerState, Step<Credentials>) {
        let Some(mechanism) = Mechanism::parse(mechanism) else {
            // A NO, not a BAD: mail programs try the next mechanism then.
            output.line(&format!("{tag} NO Use AUTHENTICATE PLAIN, AUTHENTICATE LOGIN, or LOGIN"));
            return (ServerState::AwaitCommand, Step::NeedLine);
        };
        self.advance(tag, Exchange::begin(mechanism, initial_response), output)
    }

    fn advance(
        &mut self,
        tag: &str,
        progress: Progress,
        output: &mut Output,
    ) -> (ServerState, Step<Credentials>) {
        let credentials = match progress {
            Progress::Challenge(exchange) => {
                output.line(&format!("+ {}", exchange.challenge()));
                return (ServerState::AwaitResponse { tag: tag.to_owned(), exchange }, Step::NeedLine);
            }
            Progress::Finished(Ok(credentials)) => credentials,
            Progress::Finished(Err(failure)) => return self.refuse(tag, &failure, output),
        };
        (ServerState::AwaitVerdict { tag: tag.to_owned() }, Step::Yield(credentials))
    }

    fn refuse(
        &mut self,
        tag: &str,
        failure: &AuthFailure,
        output: &mut Output,
    ) -> (ServerState, Step<Credentials>) {
        write_failure(tag, failure, output);
        if self.patience.ends_after_failure(failure) {
            goodbye(Goodbye::TooManyFailures, output);
            return (ServerState::Over, Step::Close);
        }
        (ServerState::AwaitCommand, Step::NeedLine)
    }

    fn start_tls(&self, tag: &str, output: &mut Output) -> (ServerState, Step<Credentials>) {
        match self.encryption {
            Encryption::Active => output.line(&format!("{tag} BAD TLS is already active")),
            Encryption::Unavailable => output.line(&format!("{tag} BAD TLS is not available here")),
            Encryption::Optional | Encryption::Required => {
                output.line(&format!("{tag} OK Begin TLS now"));
                return (ServerState::AwaitTls, Step::StartTls);
            }
        }
        (ServerState::AwaitCommand, Step::NeedLine)
    }

    /// What is no command, or no command of ours.
    fn bad(&mut self, tag: &str, text: &str, output: &mut Output) -> (ServerState, Step<Credentials>) {
        output.line(&format!("{tag} BAD {text}"));
        if self.patience.ends_after_bad_command() {
            output.line("* BYE Too many unknown commands");
            return (ServerState::Over, Step::Close);
        }
        (ServerState::AwaitCommand, Step::NeedLine)
    }

    /// IMAP4rev1 first: some mail programs look no further.
    fn capabilities(&self) -> String {
        let mut words = vec!["IMAP4rev1"];
        words.extend(self.capabilities.iter().map(String::as_str));
        if matches!(self.encryption, Encryption::Optional | Encryption::Required) {
            words.push("STARTTLS");
        }
        if self.encryption == Encryption::Required {
            words.push("LOGINDISABLED");
        } else {
            words.extend(["SASL-IR", "AUTH=PLAIN", "AUTH=LOGIN"]);
        }
        words.join(" ")
    }
}

/// A tag may look like an HTTP verb, but no browser says `POST LOGIN`.
fn violation(line: &[u8]) -> Option<Violation> {
    let known = Command::parse(line).is_some_and(|command| command.request != Request::Unknown);
    Violation::in_line(line).filter(|_| !known)
}

#[cfg(test)]
mod tests {
    use super::{Server, goodbye};
    use crate::dialogue::{Dialogue, Encryption, Goodbye, Output, ServerDialogue, Step, Success, Violation};
    use crate::failure::AuthFailure;
    use crate::sasl::{self, Credentials};

    fn server(encryption: Encryption) -> Server {
        Server::new("gatepost.test".to_owned(), vec!["IDLE".to_owned()], encryption, 3)
    }

    /// Feeds lines, and literals where they are asked for; gives all that was said, and the last step.
    fn converse(server: &mut Server, pieces: &[&[u8]]) -> (String, Step<Credentials>) {
        let mut output = Output::default();
        let mut step = Step::NeedLine;
        for piece in pieces {
            step = match step {
                Step::NeedLiteral(length) => {
                    assert_eq!(piece.len(), length);
                    server.literal(piece, &mut output)
                }
                _ => server.line(piece, &mut output),
            };
        }
        (output.as_bytes().escape_ascii().to_string(), step)
    }

    #[test]
    fn literals_are_taken_up_to_their_limits() {
        let line = |length: usize| [&b"a LOGIN "[..], &vec![b'x'; length - 8]].concat();
        let table: [(&[&[u8]], &str, bool); 14] = [
            (&[b"a LOGIN {1024}"], "+ Go on\\r\\n", true),
            (&[b"a LOGIN {1025}"], "a BAD Literal longer than 1024 octets\\r\\n", true),
            (&[b"a LOGIN {99999999999999999999}"], "a BAD Literal longer", true),
            (&[b"a LOGIN {1024+}"], "", true),
            (&[b"a LOGIN {1025+}"], "* BYE Line too long\\r\\n", false),
            (&[b"a APPEND INBOX ~{22+}", b"x LOGIN evil password\n", b""], "a BAD Log in first\\r\\n", true),
            (&[b"a STARTTLS {9999}"], "a BAD Too many arguments\\r\\n", true),
            (&[b"{3}"], "* BAD A command begins with a tag\\r\\n", true),
            (&[b"a SELECT {5}"], "a BAD Log in first\\r\\n", true),
            (&[b"a SELECT {5+}", b"INBOX", b""], "a BAD Log in first\\r\\n", true),
            (&[b"a ID ({4}", b"name", b" \"x\")"], "+ Go on\\r\\n* ID (", true),
            (&[&line(8191)], "a BAD Cannot read the login data\\r\\n", true),
            (&[&line(8192)], "* BYE Line too long\\r\\n", false),
            (&[b"a LOGIN {3}", b"tim", &line(8191)], "+ Go on\\r\\n* BYE Line too long\\r\\n", false),
        ];
        for (pieces, start, goes_on) in table {
            let (said, step) = converse(&mut server(Encryption::Unavailable), pieces);
            let ended = matches!(step, Step::Close);
            assert!(said.starts_with(start) && ended != goes_on, "{said} {step:?}");
        }
    }

    #[test]
    fn no_literal_is_asked_for_where_a_password_may_not_be_sent() {
        let (said, _) = converse(&mut server(Encryption::Required), &[b"a LOGIN tim {8}"]);
        assert_eq!(said, "a NO [PRIVACYREQUIRED] Encryption required: use STARTTLS first\\r\\n");
        let (said, _) = converse(&mut server(Encryption::Required), &[b"a LOGIN tim {8+}", b"tanstaaf", b""]);
        assert_eq!(said, "a NO [PRIVACYREQUIRED] Encryption required: use STARTTLS first\\r\\n");
    }

    #[test]
    fn only_authenticate_may_be_as_long_as_a_sasl_line() {
        let line = [&b"a AUTHENTICATE PLAIN "[..], &vec![b'a'; sasl::LINE_LIMIT - 30]].concat();
        let (said, step) = converse(&mut server(Encryption::Active), &[&line]);
        assert!(said.starts_with("a BAD Cannot read") && matches!(step, Step::NeedLine), "{said}");
        let mut output = Output::default();
        assert!(matches!(server(Encryption::Active).line_too_long(&mut output), Step::Close));
        assert_eq!(output.as_bytes(), b"* BYE Line too long\r\n");
    }

    #[test]
    fn login_is_disabled_only_where_tls_is_required_and_missing() {
        let table = [
            (Encryption::Active, "IMAP4rev1 IDLE SASL-IR AUTH=PLAIN AUTH=LOGIN"),
            (Encryption::Optional, "IMAP4rev1 IDLE STARTTLS SASL-IR AUTH=PLAIN AUTH=LOGIN"),
            (Encryption::Required, "IMAP4rev1 IDLE STARTTLS LOGINDISABLED"),
            (Encryption::Unavailable, "IMAP4rev1 IDLE SASL-IR AUTH=PLAIN AUTH=LOGIN"),
        ];
        for (encryption, expected) in table {
            assert_eq!(server(encryption).session.capabilities(), expected);
        }
    }

    #[test]
    fn the_log_is_told_what_the_client_was() {
        for (line, violation) in [
            (&b"GET / HTTP/1.1"[..], Some(Violation::HttpRequest)),
            (b"\x16\x03\x01", Some(Violation::TlsClientHello)),
            (b"POST NOOP", None),
            (b"a NOOP", None),
        ] {
            let mut server = server(Encryption::Optional);
            let (said, _) = converse(&mut server, &[line]);
            assert_eq!(server.violation(), violation);
            assert_eq!(said.is_empty(), violation.is_some(), "nothing is said to what is no mail program");
        }
    }

    #[test]
    fn ten_bad_commands_end_the_connection() {
        let mut server = server(Encryption::Active);
        for count in 1..=10 {
            let line: &[u8] = if count % 2 == 0 { b"a XYZZY" } else { b"" };
            let (_, step) = converse(&mut server, &[line]);
            assert_eq!(matches!(step, Step::Close), count == 10);
        }
    }

    #[test]
    fn credentials_that_nobody_can_have_are_judged_like_any_others() {
        let table: &[&[&[u8]]] = &[
            &[b"a AUTHENTICATE PLAIN AAA="],
            &[b"a AUTHENTICATE LOGIN dGlt", b""],
            &[b"a LOGIN tim \"\""],
            &[b"a LOGIN {0+}", b"", b" x"],
            &[b"a LOGIN \"t\x01m\" tanstaaf"],
        ];
        for pieces in table {
            let (said, step) = converse(&mut server(Encryption::Active), pieces);
            assert!(matches!(&step, Step::Yield(found) if found.user_name.is_empty()), "{step:?}");
            assert!(!said.contains("NO") && !said.contains("BAD"), "an answer before the judgement: {said}");
        }
    }

    #[test]
    fn the_verdict_tells_what_the_provider_told() {
        let success =
            Success { capabilities: "IMAP4rev1 IDLE".to_owned(), behind: b"* 3 EXISTS\r\n".to_vec() };
        let table = [
            (success, "a7 OK [CAPABILITY IMAP4rev1 IDLE] Logged in\r\n* 3 EXISTS\r\n"),
            (Success::default(), "a7 OK Logged in\r\n"),
        ];
        for (success, expected) in table {
            let mut server = server(Encryption::Active);
            assert_eq!(server.tag(), None);
            converse(&mut server, &[b"a7 LOGIN tim tanstaaf"]);
            assert_eq!(server.tag(), Some("a7"));
            let mut output = Output::default();
            server.verdict(&Ok(success), &mut output);
            assert_eq!(output.as_bytes(), expected.as_bytes());
        }
    }

    #[test]
    fn a_verdict_or_a_literal_that_nobody_waits_for_closes() {
        let mut server = server(Encryption::Active);
        let mut output = Output::default();
        assert!(matches!(server.verdict(&Ok(Success::default()), &mut output), Step::Close));
        assert!(matches!(server.verdict(&Err(AuthFailure::Disabled), &mut output), Step::Close));
        assert!(matches!(server.literal(b"x", &mut output), Step::Close));
        assert!(output.is_empty());
    }

    #[test]
    fn every_goodbye_is_a_bye() {
        for reason in [
            Goodbye::Busy,
            Goodbye::NotAllowed,
            Goodbye::ShuttingDown,
            Goodbye::TimedOut,
            Goodbye::TooManyFailures,
        ] {
            let mut output = Output::default();
            goodbye(reason, &mut output);
            assert!(output.as_bytes().starts_with(b"* BYE "), "{reason:?}");
        }
        let mut output = Output::default();
        goodbye(Goodbye::Violation, &mut output);
        assert!(output.is_empty());
    }
}
