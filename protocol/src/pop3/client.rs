//! POP3 toward the provider, from its greeting to its verdict on our token. The token is sent in two steps, because Exchange
//! drops the connection over the one-step form. What the provider offers is asked only where it does not take the usual
//! mechanism, which saves everybody else a round trip.
//!
//! ```text
//! AwaitGreeting ┬─▶ AwaitStls ─▶ AwaitTls ─┐
//!               └──────────────────────────┴─▶ AwaitContinuation ─▶ AwaitVerdict ─ + ─▶ AwaitFinalResponse
//!                                               │            ▲
//!                                             -ERR ─▶ AwaitCapabilities
//! ```

use std::mem;

use super::response::{self, Response, Status};
use crate::dialogue::{Dialogue, Output, Step, Success};
use crate::failure::{Refusal, RefusalKind};
use crate::sasl::{self, UpstreamCredentials, UpstreamMechanism};

/// We, toward the provider.
#[derive(Debug)]
pub struct Client {
    start_tls: bool,
    credentials: UpstreamCredentials,
    /// How we log in, once that is known.
    mechanism: UpstreamMechanism,
    state: ClientState,
}

/// More lines than any server has capabilities.
const MAX_CAPABILITIES: usize = 100;

impl Client {
    /// With `start_tls` nothing but STLS is said in clear; without, the stream must be inside TLS already.
    pub fn new(start_tls: bool, credentials: UpstreamCredentials) -> Self {
        let mechanism = credentials.mechanism(&[]);
        Self { start_tls, credentials, mechanism, state: ClientState::AwaitGreeting }
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
            (ClientState::AwaitGreeting, Status::Ok) => self.log_in(output),
            (ClientState::AwaitStls, Status::Ok) => return (ClientState::AwaitTls, Step::StartTls),
            (ClientState::AwaitContinuation, Status::Continuation) => {
                self.credentials.write_line(self.mechanism, output);
                ClientState::AwaitVerdict
            }
            (ClientState::AwaitVerdict, Status::Continuation) => {
                // The final response comes only after this line.
                output.line(self.mechanism.acknowledgement());
                ClientState::AwaitFinalResponse {
                    challenge: self.credentials.challenge_meaning(response.text),
                }
            }
            (ClientState::AwaitVerdict | ClientState::AwaitFinalResponse { .. }, Status::Ok) => {
                return (ClientState::Over, Step::Yield(Ok(Success::default())));
            }
            (ClientState::AwaitCapabilities(asked), Status::Ok) => ClientState::ReadCapabilities(asked),
            (ClientState::AwaitCapabilities(asked), _) => return self.refuse_as(&asked, output),
            (state @ ClientState::AwaitContinuation, Status::Err)
                if kind(&state, response) == RefusalKind::Rejected && self.may_be_another() =>
            {
                output.line("CAPA");
                ClientState::AwaitCapabilities(Asked::because(response.text))
            }
            (state, Status::Err) => {
                return self.refuse(&state, kind(&state, response), response.text, output);
            }
            (state, _) => return self.refuse(&state, RefusalKind::NotUnderstood, response.text, output),
        };
        (next, Step::NeedLine)
    }

    fn log_in(&self, output: &mut Output) -> ClientState {
        output.line(&format!("AUTH {}", self.mechanism.name()));
        ClientState::AwaitContinuation
    }

    /// Whether a mechanism that was not tried may be the one that the provider takes.
    fn may_be_another(&self) -> bool {
        self.credentials.named().is_none() && self.mechanism == self.credentials.mechanism(&[])
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
        let offered = self.credentials.mechanism(&asked.offered);
        if offered == self.mechanism {
            return self.refuse_as(&asked, output);
        }
        self.mechanism = offered;
        (self.log_in(output), Step::NeedLine)
    }

    /// There is no other way in, so what the provider said to the usual one stands.
    fn refuse_as(&self, asked: &Asked, output: &mut Output) -> (ClientState, Step<Result<Success, Refusal>>) {
        self.refuse(&ClientState::AwaitContinuation, RefusalKind::Rejected, &asked.because, output)
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
        let challenge = match state {
            ClientState::AwaitFinalResponse { challenge } => challenge.clone(),
            _ => None,
        };
        let refusal = self.credentials.refusal(kind, state.name(), text, challenge);
        (ClientState::Over, Step::Yield(Err(refusal)))
    }
}

impl Dialogue for Client {
    type Yield = Result<Success, Refusal>;

    fn open(&mut self, _output: &mut Output) {}

    fn line_limit(&self) -> usize {
        match self.state {
            ClientState::AwaitContinuation | ClientState::AwaitVerdict => sasl::LINE_LIMIT,
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
        self.state = self.log_in(output);
        Step::NeedLine
    }
}

#[derive(Debug)]
enum ClientState {
    AwaitGreeting,
    AwaitStls,
    AwaitTls,
    AwaitContinuation,
    AwaitCapabilities(Asked),
    /// Up to the lone dot.
    ReadCapabilities(Asked),
    AwaitVerdict,
    AwaitFinalResponse {
        challenge: Option<String>,
    },
    Over,
}

/// The question for the provider's capabilities.
#[derive(Debug)]
struct Asked {
    /// What it said to the mechanism that it did not take.
    because: Vec<u8>,
    offered: Vec<UpstreamMechanism>,
    lines: usize,
}

impl Asked {
    fn because(text: &[u8]) -> Self {
        Self { because: text.to_vec(), offered: Vec::new(), lines: 0 }
    }
}

impl ClientState {
    fn name(&self) -> &'static str {
        match self {
            Self::AwaitGreeting => "awaiting the greeting",
            Self::AwaitStls => "awaiting the response to STLS",
            Self::AwaitTls => "awaiting the TLS handshake",
            Self::AwaitContinuation => "awaiting the response to AUTH",
            Self::AwaitCapabilities(_) | Self::ReadCapabilities(_) => "awaiting the response to CAPA",
            Self::AwaitVerdict => "awaiting the response to the token",
            Self::AwaitFinalResponse { .. } => "awaiting the response after the challenge",
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
        _ => RefusalKind::Rejected,
    }
}

#[cfg(test)]
// A test that meets the unexpected should stop there.
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::Client;
    use crate::dialogue::{Dialogue, Output, Step};
    use crate::failure::{Refusal, RefusalKind};
    use crate::sasl::UpstreamCredentials;
    use crate::secret::Secret;

    fn client(token: &str) -> Client {
        let token = Secret::new(token.to_owned());
        let server = ("mail.example.com".to_owned(), 1);
        let credentials =
            UpstreamCredentials::new("tim@example.com".to_owned(), token, server, None).unwrap();
        Client::new(false, credentials)
    }

    /// Feeds the lines; the last one must end the dialogue with a refusal.
    fn refusal(lines: &[&[u8]]) -> Refusal {
        let mut client = client("ya29.test");
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
        let table: [(usize, &[u8], RefusalKind); 10] = [
            (0, b"-ERR [SYS/TEMP] later", RefusalKind::Temporary),
            (0, b"-ERR no", RefusalKind::Temporary),
            (0, b"+ what", RefusalKind::NotUnderstood),
            (1, b"-ERR [SYS/TEMP] later", RefusalKind::Temporary),
            (2, b"-ERR Authentication failure: unknown user name or bad password.", RefusalKind::Rejected),
            (2, b"-ERR [AUTH] no", RefusalKind::Rejected),
            (2, b"-ERR [SYS/PERM] no", RefusalKind::Rejected),
            (2, b"-ERR [sys/temp] later", RefusalKind::Temporary),
            (2, b"-ERR [IN-USE] locked", RefusalKind::Busy),
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
    fn lines_without_end_are_not_understood() {
        let step = client("ya29.test").line_too_long(&mut Output::default());
        assert!(matches!(step, Step::Yield(Err(Refusal { kind: RefusalKind::NotUnderstood, .. }))));
        let long = [&b"+OK "[..], &[b'x'; 2048]].concat();
        assert_eq!(refusal(&[&long]).text.len(), Refusal::MAX_TEXT_LEN);
    }
}
