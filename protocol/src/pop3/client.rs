//! POP3 toward the provider, from its greeting to its verdict on our token or password. A token is sent in two steps, because
//! Exchange drops the connection over the one-step form. What the provider offers is asked before a password, which any server
//! takes by USER and PASS; before a token only where the provider does not take the usual mechanism, which saves everybody else
//! a round trip.
//!
//! ```text
//! AwaitGreeting ┬─▶ AwaitStls ─▶ AwaitTls ─┬───────────────────────▶ LoggingIn ─ + or +OK ─▶ LoggingIn …
//!               └──────────────────────────┴─▶ AwaitCapabilities ─▶    │  ▲
//!                                                    ▲                -ERR │
//!                                                    └─────────────────┘  └─ (another mechanism)
//! ```

use std::mem;

use super::response::{self, Response, Status};
use crate::dialogue::{Dialogue, Output, Step, Success};
use crate::failure::{Refusal, RefusalKind};
use crate::sasl::{self, PasswordMechanism, Sent, UpstreamCredentials, UpstreamMechanism};

/// We, toward the provider.
#[derive(Debug)]
pub struct Client {
    start_tls: bool,
    credentials: UpstreamCredentials,
    state: ClientState,
}

/// More lines than any server has capabilities.
const MAX_CAPABILITIES: usize = 100;

impl Client {
    /// With `start_tls` nothing but STLS is said in clear; without, the stream must be inside TLS already.
    pub fn new(start_tls: bool, credentials: UpstreamCredentials) -> Self {
        Self { start_tls, credentials, state: ClientState::AwaitGreeting }
    }

    fn on_response(
        &mut self,
        state: ClientState,
        response: &Response<'_>,
        output: &mut Output,
    ) -> (ClientState, Step<Result<Success, Refusal>>) {
        let next = match (state, response.status) {
            (ClientState::AwaitGreeting, Status::Ok) if self.start_tls => {
                output.line("STLS");
                ClientState::AwaitStls
            }
            (ClientState::AwaitGreeting, Status::Ok) => self.log_in_or_ask(output),
            (ClientState::AwaitStls, Status::Ok) => return (ClientState::AwaitTls, Step::StartTls),
            (ClientState::LoggingIn(Sent::UserName), Status::Ok) => {
                self.write_password(output);
                ClientState::LoggingIn(Sent::Password)
            }
            (ClientState::LoggingIn(sent), Status::Ok) if sent.is_all() => {
                return (ClientState::Over, Step::Yield(Ok(Success::default())));
            }
            (ClientState::LoggingIn(sent), Status::Continuation)
                if self.credentials.one_by_one().is_none() =>
            {
                let Some(next) = self.credentials.answer(&sent, response.text, output) else {
                    let state = ClientState::LoggingIn(sent);
                    return self.refuse(&state, RefusalKind::NotUnderstood, response.text, output);
                };
                ClientState::LoggingIn(next)
            }
            (ClientState::AwaitCapabilities(asked), Status::Ok) => ClientState::ReadCapabilities(asked),
            (ClientState::AwaitCapabilities(asked), Status::Err) => {
                return self.log_in_knowing(&asked, output);
            }
            (state @ ClientState::LoggingIn(Sent::Command), Status::Err)
                if kind(&state, response) == RefusalKind::Rejected && self.may_be_another() =>
            {
                output.line("CAPA");
                ClientState::AwaitCapabilities(Asked {
                    because: Some(response.text.to_vec()),
                    ..Asked::default()
                })
            }
            (state, Status::Err) => {
                return self.refuse(&state, kind(&state, response), response.text, output);
            }
            (state, _) => return self.refuse(&state, RefusalKind::NotUnderstood, response.text, output),
        };
        (next, Step::NeedLine)
    }

    /// A server that knows no SASL takes a password all the same, so it is asked how first.
    fn log_in_or_ask(&self, output: &mut Output) -> ClientState {
        if self.credentials.is_named() || !self.credentials.mechanism().takes_password() {
            return self.log_in(output);
        }
        output.line("CAPA");
        ClientState::AwaitCapabilities(Asked::default())
    }

    fn log_in(&self, output: &mut Output) -> ClientState {
        if let Some((user_name, _)) = self.credentials.one_by_one() {
            output.line(&format!("USER {user_name}"));
            return ClientState::LoggingIn(Sent::UserName);
        }
        output.line(&format!("AUTH {}", self.credentials.mechanism().name()));
        ClientState::LoggingIn(Sent::Command)
    }

    fn write_password(&self, output: &mut Output) {
        if let Some((_, password)) = self.credentials.one_by_one() {
            output.write(b"PASS ");
            output.write(password.expose().as_bytes());
            output.write(b"\r\n");
        }
    }

    /// Whether a mechanism that was not tried may be the one that the provider takes.
    fn may_be_another(&self) -> bool {
        !self.credentials.is_named() && self.credentials.mechanism() == UpstreamMechanism::Xoauth2
    }

    /// One line of the answer to CAPA, up to the lone dot (RFC 2449, section 5).
    fn on_capability(
        &mut self,
        mut asked: Asked,
        line: &[u8],
        output: &mut Output,
    ) -> (ClientState, Step<Result<Success, Refusal>>) {
        if line != b"." {
            asked.lines += 1;
            if asked.lines > MAX_CAPABILITIES {
                return self.refuse(
                    &ClientState::ReadCapabilities(asked),
                    RefusalKind::NotUnderstood,
                    line,
                    output,
                );
            }
            asked.offered.extend(mechanisms(line));
            return (ClientState::ReadCapabilities(asked), Step::NeedLine);
        }
        self.log_in_knowing(&asked, output)
    }

    /// Logs in by what is offered. Where that is no other way than the one that was tried, what the provider said to it stands.
    fn log_in_knowing(
        &mut self,
        asked: &Asked,
        output: &mut Output,
    ) -> (ClientState, Step<Result<Success, Refusal>>) {
        let tried = self.credentials.mechanism();
        self.credentials.choose(&asked.offered, PasswordMechanism::Login);
        match &asked.because {
            Some(because) if self.credentials.mechanism() == tried => {
                let state = ClientState::LoggingIn(Sent::Command);
                self.refuse(&state, RefusalKind::Rejected, because, output)
            }
            _ => (self.log_in(output), Step::NeedLine),
        }
    }

    /// Ends the dialogue, with a QUIT where the provider still listens for one.
    fn refuse(
        &self,
        state: &ClientState,
        kind: RefusalKind,
        text: &[u8],
        output: &mut Output,
    ) -> (ClientState, Step<Result<Success, Refusal>>) {
        if kind != RefusalKind::NotUnderstood {
            output.line("QUIT");
        }
        let refusal = self.credentials.refusal(kind, state.name(), text, state.sent());
        (ClientState::Over, Step::Yield(Err(refusal)))
    }
}

impl Dialogue for Client {
    type Yield = Result<Success, Refusal>;

    fn open(&mut self, _output: &mut Output) {}

    fn line_limit(&self) -> usize {
        match self.state {
            ClientState::LoggingIn(_) => sasl::LINE_LIMIT,
            _ => response::LINE_LIMIT,
        }
    }

    fn state_name(&self) -> &'static str {
        self.state.name()
    }

    fn line(&mut self, line: &[u8], output: &mut Output) -> Step<Self::Yield> {
        let state = mem::replace(&mut self.state, ClientState::Over);
        if matches!(state, ClientState::AwaitTls | ClientState::Over) {
            return Step::Close;
        }
        if let ClientState::ReadCapabilities(asked) = state {
            let (next, step) = self.on_capability(asked, line, output);
            self.state = next;
            return step;
        }
        let parsed = Response::parse(line)
            .filter(|response| response.status == Status::Continuation || line.len() < response::LINE_LIMIT);
        let (next, step) = match parsed {
            Some(response) => self.on_response(state, &response, output),
            None => self.refuse(&state, RefusalKind::NotUnderstood, line, output),
        };
        self.state = next;
        step
    }

    fn line_too_long(&mut self, output: &mut Output) -> Step<Self::Yield> {
        let state = mem::replace(&mut self.state, ClientState::Over);
        self.refuse(&state, RefusalKind::NotUnderstood, b"a line without end", output).1
    }

    fn tls_started(&mut self, output: &mut Output) -> Step<Self::Yield> {
        if !matches!(self.state, ClientState::AwaitTls) {
            return Step::Close;
        }
        self.state = self.log_in_or_ask(output);
        Step::NeedLine
    }
}

#[derive(Debug)]
enum ClientState {
    AwaitGreeting,
    AwaitStls,
    AwaitTls,
    AwaitCapabilities(Asked),
    /// Up to the lone dot.
    ReadCapabilities(Asked),
    LoggingIn(Sent),
    Over,
}

/// The question for the provider's capabilities.
#[derive(Debug, Default)]
struct Asked {
    /// What it said to the mechanism that it did not take, if one was tried.
    because: Option<Vec<u8>>,
    offered: Vec<UpstreamMechanism>,
    lines: usize,
}

impl ClientState {
    fn sent(&self) -> Option<&Sent> {
        if let Self::LoggingIn(sent) = self { Some(sent) } else { None }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::AwaitGreeting => "awaiting the greeting",
            Self::AwaitStls => "awaiting the response to STLS",
            Self::AwaitTls => "awaiting the TLS handshake",
            Self::AwaitCapabilities(_) | Self::ReadCapabilities(_) => "awaiting the response to CAPA",
            Self::LoggingIn(Sent::Command) => "awaiting the response to AUTH",
            Self::LoggingIn(Sent::UserName) => "awaiting the response to the user name",
            Self::LoggingIn(Sent::Password) => "awaiting the response to the password",
            Self::LoggingIn(Sent::Token) => "awaiting the response to the token",
            Self::LoggingIn(Sent::Acknowledgement(_)) => "awaiting the response after the challenge",
            Self::Over => "over",
        }
    }
}

/// `SASL PLAIN XOAUTH2` (RFC 5034, section 3).
fn mechanisms(line: &[u8]) -> Vec<UpstreamMechanism> {
    let mut words = line.split(u8::is_ascii_whitespace);
    let is_sasl = words.next().is_some_and(|keyword| keyword.eq_ignore_ascii_case(b"SASL"));
    if is_sasl { UpstreamMechanism::offered(words) } else { Vec::new() }
}

/// What an `-ERR` means in a state.
fn kind(state: &ClientState, response: &Response<'_>) -> RefusalKind {
    match (response.code().as_deref(), state) {
        (Some("IN-USE" | "LOGIN-DELAY"), _) => RefusalKind::Busy,
        (Some("SYS/TEMP"), _) | (_, ClientState::AwaitGreeting) => RefusalKind::Temporary,
        (_, ClientState::AwaitStls) => RefusalKind::NoStartTls,
        // Without a code, RFC 1939 section 4 has words alone for a maildrop that another program has open.
        (None, _) if says_locked(response.text) => RefusalKind::Busy,
        _ => RefusalKind::Rejected,
    }
}

fn says_locked(text: &[u8]) -> bool {
    let text = text.to_ascii_lowercase();
    ["already locked", "maildrop locked", "unable to lock", "mailbox in use", "mailbox is in use"]
        .iter()
        .any(|words| text.windows(words.len()).any(|found| found == words.as_bytes()))
}

#[cfg(test)]
// A test that meets the unexpected should stop there.
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::Client;
    use crate::dialogue::{Dialogue, Output, Step};
    use crate::failure::{Refusal, RefusalKind};
    use crate::sasl::{UpstreamCredentials, UpstreamMechanism, UpstreamSecret};
    use crate::secret::Secret;

    fn client_with(secret: UpstreamSecret, named: Option<UpstreamMechanism>) -> Client {
        let server = ("mail.example.com".to_owned(), 1);
        let credentials =
            UpstreamCredentials::new("tim@example.com".to_owned(), secret, server, named).unwrap();
        Client::new(false, credentials)
    }

    fn client(token: &str) -> Client {
        client_with(UpstreamSecret::Token(Secret::new(token.to_owned())), None)
    }

    fn with_password(named: Option<UpstreamMechanism>) -> Client {
        client_with(UpstreamSecret::Password(Secret::new("tanst aaf".to_owned())), named)
    }

    /// Feeds the lines; the last one must end the dialogue with a refusal.
    fn refusal(lines: &[&[u8]]) -> Refusal {
        refusal_of(client("ya29.test"), lines)
    }

    fn refusal_of(mut client: Client, lines: &[&[u8]]) -> Refusal {
        let mut output = Output::default();
        let mut step = Step::NeedLine;
        for line in lines {
            step = client.line(line, &mut output);
        }
        match step {
            Step::Yield(Err(refusal)) => refusal,
            step => panic!("{step:?}"),
        }
    }

    const UP_TO_THE_TOKEN: [&[u8]; 2] = [b"+OK ready", b"+ "];

    #[test]
    fn a_response_is_taken_for_what_it_is_where_it_comes() {
        let table: [(usize, &[u8], RefusalKind); 12] = [
            (0, b"-ERR [SYS/TEMP] later", RefusalKind::Temporary),
            (0, b"-ERR no", RefusalKind::Temporary),
            (0, b"+ what", RefusalKind::NotUnderstood),
            (1, b"-ERR [SYS/TEMP] later", RefusalKind::Temporary),
            (2, b"-ERR Authentication failure: unknown user name or bad password.", RefusalKind::Rejected),
            (2, b"-ERR [AUTH] no", RefusalKind::Rejected),
            (2, b"-ERR [SYS/PERM] no", RefusalKind::Rejected),
            (2, b"-ERR [sys/temp] later", RefusalKind::Temporary),
            (2, b"-ERR [IN-USE] locked", RefusalKind::Busy),
            (2, b"-ERR maildrop already locked", RefusalKind::Busy),
            (2, b"-ERR [AUTH] account is locked", RefusalKind::Rejected),
            (2, b"-ERR [LOGIN-DELAY] slowly", RefusalKind::Busy),
        ];
        for (before, line, kind) in table {
            let lines: Vec<&[u8]> = UP_TO_THE_TOKEN.into_iter().take(before).chain([line]).collect();
            assert_eq!(refusal(&lines).kind, kind, "{:?}", line.escape_ascii().to_string());
        }
    }

    #[test]
    fn the_refusal_tells_the_state_the_text_and_what_the_challenge_meant() {
        let refusal = refusal(&[b"+OK", b"+", b"+ eyJzdGF0dXMiOiI0MDAifQ==", b"-ERR [AUTH] no ya29.test"]);
        assert_eq!(refusal.state, "awaiting the response after the challenge");
        assert_eq!(refusal.text, "[AUTH] no [token]");
        assert_eq!(refusal.challenge.as_deref(), Some("status 400"));
    }

    #[test]
    fn another_mechanism_is_tried_only_where_it_is_offered() {
        let refused: [&[u8]; 3] = [b"+OK ready", b"-ERR Unknown mechanism", b"+OK"];
        let until =
            |last: &[&'static [u8]]| refused.into_iter().chain(last.iter().copied()).collect::<Vec<_>>();
        for lines in [until(&[b"SASL PLAIN XOAUTH2", b"."]), until(&[b"TOP", b"."])] {
            assert_eq!(refusal(&lines).text, "Unknown mechanism", "what was said at first");
        }
        assert_eq!(
            refusal(&[b"+OK ready", b"-ERR Unknown mechanism", b"-ERR what"]).text,
            "Unknown mechanism"
        );
        assert_eq!(refusal(&until(&[&b"UIDL"[..]; 101])).kind, RefusalKind::NotUnderstood);

        let mut client = client("ya29.test");
        let mut output = Output::default();
        for line in until(&[b"sasl PLAIN oauthbearer", b"."]) {
            assert!(matches!(client.line(line, &mut output), Step::NeedLine));
        }
        assert_eq!(output.as_bytes(), b"AUTH XOAUTH2\r\nCAPA\r\nAUTH OAUTHBEARER\r\n");
        output.wipe();
        client.line(b"+ ", &mut output);
        assert!(output.as_bytes().starts_with(b"bixhPXRpbUBleGFtcGxlLmNvbSwB"), "{output:?}");
        output.wipe();
        client.line(b"+ eyJzdGF0dXMiOiJpbnZhbGlkX3Rva2VuIn0=", &mut output);
        assert_eq!(output.as_bytes(), b"AQ==\r\n");
        let step = client.line(b"-ERR no", &mut output);
        assert!(
            matches!(step, Step::Yield(Err(Refusal { challenge: Some(meaning), .. })) if meaning.contains("invalid_token"))
        );
    }

    #[test]
    fn a_second_challenge_is_not_answered() {
        assert_eq!(refusal(&[b"+OK", b"+", b"+ e30=", b"+ e30="]).kind, RefusalKind::NotUnderstood);
    }

    #[test]
    fn a_token_of_8_kib_is_one_line_and_leaves_after_the_plus_only() {
        let mut client = client(&"t".repeat(8192));
        let mut output = Output::default();
        client.line(b"+OK ready", &mut output);
        assert_eq!(output.as_bytes(), b"AUTH XOAUTH2\r\n");
        output.wipe();
        client.line(b"+", &mut output);
        assert!(output.as_bytes().len() > 8192 * 4 / 3 && output.as_bytes().ends_with(b"\r\n"));
        assert!(matches!(client.line(b"+OK", &mut output), Step::Yield(Ok(_))));
    }

    #[test]
    fn a_password_goes_by_what_is_offered_or_by_user_and_pass() {
        let plain = "AUTH PLAIN\r\nAHRpbUBleGFtcGxlLmNvbQB0YW5zdCBhYWY=\r\n";
        let user = "USER tim@example.com\r\nPASS tanst aaf\r\n";
        let table: [(Option<UpstreamMechanism>, &[&[u8]], &str, &str); 6] = [
            (None, &[b"+OK", b"SASL LOGIN plain", b".", b"+ "], "CAPA\r\n", plain),
            (None, &[b"+OK", b"SASL LOGIN CRAM-MD5", b".", b"+OK"], "CAPA\r\n", user),
            (None, &[b"+OK", b"TOP", b".", b"+OK send PASS"], "CAPA\r\n", user),
            (None, &[b"-ERR what", b"+OK"], "CAPA\r\n", user),
            (Some(UpstreamMechanism::Plain), &[b"+ "], "", plain),
            (Some(UpstreamMechanism::Login), &[b"+OK"], "", user),
        ];
        for (named, lines, first, then) in table {
            let (mut client, mut output) = (with_password(named), Output::default());
            for line in [&b"+OK ready"[..]].iter().chain(lines) {
                assert!(matches!(client.line(line, &mut output), Step::NeedLine));
            }
            assert_eq!(
                output.as_bytes().escape_ascii().to_string(),
                format!("{first}{then}").escape_debug().to_string()
            );
            assert!(matches!(client.line(b"+OK", &mut output), Step::Yield(Ok(_))));
        }
    }

    #[test]
    fn a_response_to_a_password_is_taken_for_what_it_is() {
        let asked: [&[u8]; 4] = [b"+OK", b"+OK", b"SASL PLAIN", b"."];
        let plain: [&[u8]; 5] = [b"+OK", b"+OK", b"SASL PLAIN", b".", b"+ "];
        let user: [&[u8]; 2] = [b"+OK", b"-ERR what"];
        let pass: [&[u8]; 3] = [b"+OK", b"-ERR what", b"+OK"];
        let table: [(&[&[u8]], &[u8], RefusalKind); 13] = [
            (&asked[..1], b"+ what", RefusalKind::NotUnderstood),
            (&asked, b"-ERR unknown mechanism", RefusalKind::Rejected),
            (&asked, b"+OK", RefusalKind::NotUnderstood),
            (&plain, b"-ERR [AUTH] no", RefusalKind::Rejected),
            (&plain, b"-ERR [SYS/TEMP] later", RefusalKind::Temporary),
            (&plain, b"+ again", RefusalKind::NotUnderstood),
            (&user, b"-ERR nobody", RefusalKind::Rejected),
            (&user, b"+ what", RefusalKind::NotUnderstood),
            (&pass, b"-ERR no \"tanst aaf\"", RefusalKind::Rejected),
            (&pass, b"-ERR [IN-USE] locked", RefusalKind::Busy),
            (&pass, b"-ERR Maildrop already locked", RefusalKind::Busy),
            (&pass, b"+ what", RefusalKind::NotUnderstood),
            (&pass, b"what", RefusalKind::NotUnderstood),
        ];
        for (before, line, kind) in table {
            let lines: Vec<&[u8]> = before.iter().copied().chain([line]).collect();
            let refusal = refusal_of(with_password(None), &lines);
            assert_eq!(refusal.kind, kind, "{:?}", line.escape_ascii().to_string());
            assert!(!refusal.text.contains("tanst"), "{}", refusal.text);
        }
    }

    #[test]
    fn lines_without_end_are_not_understood() {
        let step = client("ya29.test").line_too_long(&mut Output::default());
        assert!(matches!(step, Step::Yield(Err(Refusal { kind: RefusalKind::NotUnderstood, .. }))));
        let long = [&b"+OK "[..], &[b'x'; 2048]].concat();
        assert_eq!(refusal(&[&long]).text.len(), Refusal::MAX_TEXT_LEN);
    }
}
