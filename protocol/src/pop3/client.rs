//! POP3 toward the provider, from its greeting to its verdict on our token. The token is sent in two steps, because Exchange
//! drops the connection over the one-step form.
//!
//! ```text
//! AwaitGreeting ┬─▶ AwaitStls ─▶ AwaitTls ─┐
//!               └──────────────────────────┴─▶ AwaitContinuation ─▶ AwaitVerdict ─ + ─▶ AwaitFinalResponse
//! ```

use std::mem;

use super::response::{self, Response, Status};
use crate::dialogue::{Dialogue, Output, Step, Success};
use crate::failure::{Refusal, RefusalKind};
use crate::sasl::{self, Xoauth2};

/// We, toward the provider.
#[derive(Debug)]
pub struct Client {
    start_tls: bool,
    xoauth2: Xoauth2,
    state: ClientState,
}

impl Client {
    /// With `start_tls` nothing but STLS is said in clear; without, the stream must be inside TLS already.
    pub fn new(start_tls: bool, xoauth2: Xoauth2) -> Self {
        Self { start_tls, xoauth2, state: ClientState::AwaitGreeting }
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
            (ClientState::AwaitGreeting, Status::Ok) => {
                output.line("AUTH XOAUTH2");
                ClientState::AwaitContinuation
            }
            (ClientState::AwaitStls, Status::Ok) => return (ClientState::AwaitTls, Step::StartTls),
            (ClientState::AwaitContinuation, Status::Continuation) => {
                self.xoauth2.write_line(output);
                ClientState::AwaitVerdict
            }
            (ClientState::AwaitVerdict, Status::Continuation) => {
                // The final response comes only after this empty line.
                output.line("");
                ClientState::AwaitFinalResponse { challenge: self.xoauth2.challenge_meaning(response.text) }
            }
            (ClientState::AwaitVerdict | ClientState::AwaitFinalResponse { .. }, Status::Ok) => {
                return (ClientState::Over, Step::Yield(Ok(Success::default())));
            }
            (state, Status::Err) => {
                return self.refuse(&state, kind(&state, response), response.text, output);
            }
            (state, _) => return self.refuse(&state, RefusalKind::NotUnderstood, response.text, output),
        };
        (next, Step::NeedLine)
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
        let mut text = self.xoauth2.censor(text);
        text.truncate(Refusal::MAX_TEXT_LEN);
        (ClientState::Over, Step::Yield(Err(Refusal { kind, state: state.name(), text, challenge })))
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
        output.line("AUTH XOAUTH2");
        self.state = ClientState::AwaitContinuation;
        Step::NeedLine
    }
}

#[derive(Debug)]
enum ClientState {
    AwaitGreeting,
    AwaitStls,
    AwaitTls,
    AwaitContinuation,
    AwaitVerdict,
    AwaitFinalResponse { challenge: Option<String> },
    Over,
}

impl ClientState {
    fn name(&self) -> &'static str {
        match self {
            Self::AwaitGreeting => "awaiting the greeting",
            Self::AwaitStls => "awaiting the response to STLS",
            Self::AwaitTls => "awaiting the TLS handshake",
            Self::AwaitContinuation => "awaiting the response to AUTH XOAUTH2",
            Self::AwaitVerdict => "awaiting the response to the token",
            Self::AwaitFinalResponse { .. } => "awaiting the response after the challenge",
            Self::Over => "over",
        }
    }
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
    use crate::sasl::Xoauth2;
    use crate::secret::Secret;

    fn client(token: &str) -> Client {
        let xoauth2 = Xoauth2::new("tim@example.com".to_owned(), Secret::new(token.to_owned())).unwrap();
        Client::new(false, xoauth2)
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
            (1, b"-ERR Protocol error. Connection is closed. 10", RefusalKind::Rejected),
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
