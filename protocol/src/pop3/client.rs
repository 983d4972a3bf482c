//! POP3 toward the provider, from its greeting to its verdict on our token. The token is sent in two steps, because Exchange
//! drops the connection over the one-step form.
//!
//! ```text
//! AwaitGreeting ┬─▶ AwaitStls ─▶ AwaitTls ─┐
//!               └──────────────────────────┴─▶ AwaitContinuation ─▶ AwaitVerdict ─ + ─▶ AwaitFinalResponse
//! ```

use std::mem;

use super::response::{self, Response, Status};
use crate::dialogue::{Dialogue, Output, Step};
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
    ) -> (ClientState, Step<Result<(), Refusal>>) {
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
                return (ClientState::Over, Step::Yield(Ok(())));
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
    ) -> (ClientState, Step<Result<(), Refusal>>) {
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
    type Yield = Result<(), Refusal>;

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
