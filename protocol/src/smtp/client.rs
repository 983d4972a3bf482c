//! SMTP toward the provider, from its greeting to its verdict on our token. The token is sent in two steps, because Gmail and
//! others take no line as long as the one-step form; whatever was learnt before TLS is forgotten inside it.
//!
//! ```text
//! AwaitGreeting ─▶ AwaitEhlo ┬─▶ AwaitStartTls ─▶ AwaitTls ─▶ AwaitEhloInsideTls ─┐
//!                            └────────────────────────────────────────────────────┴▶ AwaitContinuation ─▶
//! AwaitVerdict ─ 334 ─▶ AwaitFinalReply
//! ```

use std::mem;

use super::reply::{self, Reply, ReplyLine};
use crate::dialogue::{Dialogue, Output, Step};
use crate::failure::{Refusal, RefusalKind};
use crate::sasl::{self, Xoauth2};

/// We, toward the provider.
#[derive(Debug)]
pub struct Client {
    host_name: String,
    start_tls: bool,
    xoauth2: Xoauth2,
    /// The lines so far of a reply that goes on.
    reply: Option<Reply>,
    state: ClientState,
}

impl Client {
    /// `host_name` is ours, for EHLO: Gmail refuses what old devices call themselves. With `start_tls` nothing but EHLO and
    /// STARTTLS is said in clear; without, the stream must be inside TLS already.
    pub fn new(host_name: String, start_tls: bool, xoauth2: Xoauth2) -> Self {
        Self { host_name, start_tls, xoauth2, reply: None, state: ClientState::AwaitGreeting }
    }

    fn on_reply(
        &mut self,
        state: ClientState,
        reply: &Reply,
        last_text: &[u8],
        output: &mut Output,
    ) -> (ClientState, Step<Result<(), Refusal>>) {
        let next = match (state, reply.code) {
            (ClientState::AwaitGreeting, 220) => {
                output.line(&format!("EHLO {}", self.host_name));
                ClientState::AwaitEhlo
            }
            (ClientState::AwaitEhlo, 250) if self.start_tls => {
                if !reply.offers_start_tls {
                    let text = "STARTTLS is missing in the reply to EHLO".to_owned();
                    return refuse(&ClientState::AwaitEhlo, RefusalKind::NoStartTls, text, output);
                }
                output.line("STARTTLS");
                ClientState::AwaitStartTls
            }
            (ClientState::AwaitStartTls, 220) => return (ClientState::AwaitTls, Step::StartTls),
            (ClientState::AwaitEhlo | ClientState::AwaitEhloInsideTls, 250) => {
                output.line("AUTH XOAUTH2");
                ClientState::AwaitContinuation
            }
            (ClientState::AwaitContinuation, 334) => {
                self.xoauth2.write_line(output);
                ClientState::AwaitVerdict
            }
            (ClientState::AwaitVerdict, 334) => {
                // The final reply comes only after this empty line.
                output.line("");
                ClientState::AwaitFinalReply { challenge: self.xoauth2.challenge_meaning(last_text) }
            }
            (ClientState::AwaitVerdict | ClientState::AwaitFinalReply { .. }, 235) => {
                return (ClientState::Over, Step::Yield(Ok(())));
            }
            (state, _) => return refuse(&state, kind(&state, reply), reply.text.clone(), output),
        };
        (next, Step::NeedLine)
    }
}

impl Dialogue for Client {
    type Yield = Result<(), Refusal>;

    fn open(&mut self, _output: &mut Output) {}

    fn line_limit(&self) -> usize {
        match self.state {
            ClientState::AwaitContinuation | ClientState::AwaitVerdict => sasl::LINE_LIMIT,
            _ => reply::LINE_LIMIT,
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
        let parsed =
            ReplyLine::parse(line).filter(|parsed| parsed.code == 334 || line.len() < reply::LINE_LIMIT);
        let added =
            parsed.and_then(|parsed| Some((parsed, Reply::add(self.reply.take(), &parsed, &self.xoauth2)?)));
        let Some((parsed, reply)) = added else {
            let mut text = self.xoauth2.censor(line);
            text.truncate(Refusal::MAX_TEXT_LEN);
            let (next, step) = refuse(&state, RefusalKind::NotUnderstood, text, output);
            self.state = next;
            return step;
        };
        if !parsed.last {
            (self.reply, self.state) = (Some(reply), state);
            return Step::NeedLine;
        }
        let (next, step) = self.on_reply(state, &reply, parsed.text, output);
        self.state = next;
        step
    }

    fn line_too_long(&mut self, output: &mut Output) -> Step<Self::Yield> {
        let state = mem::replace(&mut self.state, ClientState::Over);
        refuse(&state, RefusalKind::NotUnderstood, "a line without end".to_owned(), output).1
    }

    fn tls_started(&mut self, output: &mut Output) -> Step<Self::Yield> {
        if !matches!(self.state, ClientState::AwaitTls) {
            return Step::Close;
        }
        output.line(&format!("EHLO {}", self.host_name));
        self.state = ClientState::AwaitEhloInsideTls;
        Step::NeedLine
    }
}

#[derive(Debug)]
enum ClientState {
    AwaitGreeting,
    AwaitEhlo,
    AwaitStartTls,
    AwaitTls,
    AwaitEhloInsideTls,
    AwaitContinuation,
    AwaitVerdict,
    AwaitFinalReply { challenge: Option<String> },
    Over,
}

impl ClientState {
    fn name(&self) -> &'static str {
        match self {
            Self::AwaitGreeting => "awaiting the greeting",
            Self::AwaitEhlo => "awaiting the reply to EHLO",
            Self::AwaitStartTls => "awaiting the reply to STARTTLS",
            Self::AwaitTls => "awaiting the TLS handshake",
            Self::AwaitEhloInsideTls => "awaiting the reply to EHLO inside TLS",
            Self::AwaitContinuation => "awaiting the reply to AUTH XOAUTH2",
            Self::AwaitVerdict => "awaiting the reply to the token",
            Self::AwaitFinalReply { .. } => "awaiting the reply after the challenge",
            Self::Over => "over",
        }
    }
}

/// What a reply means that is not the one hoped for.
fn kind(state: &ClientState, reply: &Reply) -> RefusalKind {
    let about_the_token = matches!(
        state,
        ClientState::AwaitContinuation | ClientState::AwaitVerdict | ClientState::AwaitFinalReply { .. }
    );
    match reply.code {
        // Exchange's own: more than three submissions at once for a mailbox.
        432 => RefusalKind::Busy,
        400..=499 if reply.has_enhanced_code("4.3.2") => RefusalKind::Busy,
        421 => RefusalKind::Temporary,
        400..=599 if matches!(state, ClientState::AwaitStartTls) => RefusalKind::NoStartTls,
        500..=599 if about_the_token => RefusalKind::Rejected,
        400..=599 => RefusalKind::Temporary,
        _ => RefusalKind::NotUnderstood,
    }
}

/// Ends the dialogue, with a QUIT where the provider still listens for one.
fn refuse(
    state: &ClientState,
    kind: RefusalKind,
    text: String,
    output: &mut Output,
) -> (ClientState, Step<Result<(), Refusal>>) {
    if kind != RefusalKind::NotUnderstood && !text.starts_with("421") {
        output.line("QUIT");
    }
    let challenge = match state {
        ClientState::AwaitFinalReply { challenge } => challenge.clone(),
        _ => None,
    };
    let refusal = Refusal { kind, state: state.name(), text, challenge };
    (ClientState::Over, Step::Yield(Err(refusal)))
}
