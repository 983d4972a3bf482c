//! SMTP toward the provider, from its greeting to its verdict on our token or password. Neither goes in the line of AUTH, because
//! Gmail and others take no line as long as that with a token, and every server knows the form in steps; whatever was learnt
//! before TLS is forgotten inside it.
//!
//! ```text
//! AwaitGreeting ─▶ AwaitEhlo ┬─▶ AwaitStartTls ─▶ AwaitTls ─▶ AwaitEhloInsideTls ─┐
//!                            └────────────────────────────────────────────────────┴▶ LoggingIn ─ 334 ─▶ LoggingIn …
//! ```

use std::mem;

use super::reply::{self, Reply, ReplyLine};
use crate::dialogue::{Dialogue, Output, Step, Success};
use crate::failure::{Refusal, RefusalKind};
use crate::sasl::{self, PasswordMechanism, Sent, UpstreamCredentials};

/// We, toward the provider.
#[derive(Debug)]
pub struct Client {
    host_name: String,
    start_tls: bool,
    credentials: UpstreamCredentials,
    /// The lines so far of a reply that goes on.
    reply: Option<Reply>,
    state: ClientState,
}

impl Client {
    /// `host_name` is ours, for EHLO: Gmail refuses what old devices call themselves. With `start_tls` nothing but EHLO and
    /// STARTTLS is said in clear; without, the stream must be inside TLS already.
    pub fn new(host_name: String, start_tls: bool, credentials: UpstreamCredentials) -> Self {
        Self { host_name, start_tls, credentials, reply: None, state: ClientState::AwaitGreeting }
    }

    fn on_reply(
        &mut self,
        state: ClientState,
        reply: &Reply,
        last_text: &[u8],
        output: &mut Output,
    ) -> (ClientState, Step<Result<Success, Refusal>>) {
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
                self.credentials.choose(&reply.mechanisms, PasswordMechanism::Plain);
                output.line(&format!("AUTH {}", self.credentials.mechanism().name()));
                ClientState::LoggingIn(Sent::Command)
            }
            (ClientState::LoggingIn(sent), 334) => {
                let Some(next) = self.credentials.answer(&sent, last_text, output) else {
                    let state = ClientState::LoggingIn(sent);
                    return refuse(&state, RefusalKind::NotUnderstood, reply.text.clone(), output);
                };
                ClientState::LoggingIn(next)
            }
            (ClientState::LoggingIn(sent), 235) if sent.is_all() => {
                return (ClientState::Over, Step::Yield(Ok(Success::default())));
            }
            (state, _) => return refuse(&state, kind(&state, reply), reply.text.clone(), output),
        };
        (next, Step::NeedLine)
    }
}

impl Dialogue for Client {
    type Yield = Result<Success, Refusal>;

    fn open(&mut self, _output: &mut Output) {}

    fn line_limit(&self) -> usize {
        match self.state {
            ClientState::LoggingIn(_) => sasl::LINE_LIMIT,
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
        let added = parsed
            .and_then(|parsed| Some((parsed, Reply::add(self.reply.take(), &parsed, &self.credentials)?)));
        let Some((parsed, reply)) = added else {
            let mut text = self.credentials.censor(line);
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
    LoggingIn(Sent),
    Over,
}

impl ClientState {
    fn sent(&self) -> Option<&Sent> {
        if let Self::LoggingIn(sent) = self { Some(sent) } else { None }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::AwaitGreeting => "awaiting the greeting",
            Self::AwaitEhlo => "awaiting the reply to EHLO",
            Self::AwaitStartTls => "awaiting the reply to STARTTLS",
            Self::AwaitTls => "awaiting the TLS handshake",
            Self::AwaitEhloInsideTls => "awaiting the reply to EHLO inside TLS",
            Self::LoggingIn(Sent::Command) => "awaiting the reply to AUTH",
            Self::LoggingIn(Sent::UserName) => "awaiting the reply to the user name",
            Self::LoggingIn(Sent::Password) => "awaiting the reply to the password",
            Self::LoggingIn(Sent::Token) => "awaiting the reply to the token",
            Self::LoggingIn(Sent::Acknowledgement(_)) => "awaiting the reply after the challenge",
            Self::Over => "over",
        }
    }
}

/// What a reply means that is not the one hoped for.
fn kind(state: &ClientState, reply: &Reply) -> RefusalKind {
    match reply.code {
        // Exchange's own: more than three submissions at once for a mailbox.
        432 => RefusalKind::Busy,
        400..=499 if reply.has_enhanced_code("4.3.2") => RefusalKind::Busy,
        421 => RefusalKind::Temporary,
        400..=599 if matches!(state, ClientState::AwaitStartTls) => RefusalKind::NoStartTls,
        500..=599 if matches!(state, ClientState::LoggingIn(_)) => RefusalKind::Rejected,
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
) -> (ClientState, Step<Result<Success, Refusal>>) {
    if kind != RefusalKind::NotUnderstood && !text.starts_with("421") {
        output.line("QUIT");
    }
    let sent = state.sent();
    let refusal = Refusal {
        kind,
        state: state.name(),
        text,
        after_secret: sent.is_some_and(Sent::is_all),
        challenge: sent.and_then(Sent::challenge),
    };
    (ClientState::Over, Step::Yield(Err(refusal)))
}

#[cfg(test)]
// A test that meets the unexpected should stop there.
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::Client;
    use crate::dialogue::{Dialogue, Output, Step};
    use crate::failure::{Refusal, RefusalKind};
    use crate::sasl::{UpstreamCredentials, UpstreamSecret};
    use crate::secret::Secret;

    fn client_with(secret: UpstreamSecret) -> Client {
        let server = ("mail.example.com".to_owned(), 1);
        let credentials =
            UpstreamCredentials::new("tim@example.com".to_owned(), secret, server, None).unwrap();
        Client::new("gatepost.test".to_owned(), false, credentials)
    }

    fn client(token: &str) -> Client {
        client_with(UpstreamSecret::Token(Secret::new(token.to_owned())))
    }

    fn with_password() -> Client {
        client_with(UpstreamSecret::Password(Secret::new("tanstaaf".to_owned())))
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

    const UP_TO_THE_TOKEN: [&[u8]; 3] = [b"220 ready", b"250 ready", b"334 "];

    #[test]
    fn a_reply_is_taken_for_what_it_is_where_it_comes() {
        let table: [(usize, &[u8], RefusalKind); 13] = [
            (0, b"421 4.3.2 too many", RefusalKind::Busy),
            (0, b"421 4.7.0 later", RefusalKind::Temporary),
            (0, b"554 5.7.1 no", RefusalKind::Temporary),
            (0, b"250 what", RefusalKind::NotUnderstood),
            (1, b"550 5.7.1 no", RefusalKind::Temporary),
            (1, b"450 4.3.2 busy", RefusalKind::Busy),
            (2, b"504 5.5.4 what is XOAUTH2", RefusalKind::Rejected),
            (2, b"502 5.5.1 no AUTH", RefusalKind::Rejected),
            (3, b"535 5.7.3 Authentication unsuccessful", RefusalKind::Rejected),
            (3, b"432 4.3.2 Concurrent connections limit exceeded", RefusalKind::Busy),
            (3, b"454 4.7.0 Too many login attempts", RefusalKind::Temporary),
            (3, b"250 2.0.0 what", RefusalKind::NotUnderstood),
            (3, b"5355 5.7.3 what", RefusalKind::NotUnderstood),
        ];
        for (before, line, kind) in table {
            let lines: Vec<&[u8]> = UP_TO_THE_TOKEN.into_iter().take(before).chain([line]).collect();
            assert_eq!(refusal(&lines).kind, kind, "{:?}", line.escape_ascii().to_string());
        }
    }

    #[test]
    fn the_refusal_tells_the_state_the_text_and_what_the_challenge_meant() {
        let challenge = b"334 eyJzdGF0dXMiOiI0MDAiLCJzY2hlbWVzIjoiQmVhcmVyIiwic2NvcGUiOiJodHRwczovL21haWwuZ29vZ2xlLmNvbS8ifQ==";
        let [greeting, ehlo, go_on] = UP_TO_THE_TOKEN;
        let refusal = refusal(&[
            greeting,
            ehlo,
            go_on,
            challenge,
            b"535-5.7.8 not accepted",
            b"535 5.7.8 ya29.test gsmtp",
        ]);
        assert_eq!(refusal.state, "awaiting the reply after the challenge");
        assert_eq!(refusal.text, "535 5.7.8 not accepted 5.7.8 [token] gsmtp");
        assert_eq!(
            refusal.challenge.as_deref(),
            Some("status 400, schemes Bearer, scope https://mail.google.com/")
        );
    }

    #[test]
    fn a_second_challenge_is_not_answered() {
        let [greeting, ehlo, go_on] = UP_TO_THE_TOKEN;
        assert_eq!(
            refusal(&[greeting, ehlo, go_on, b"334 e30=", b"334 e30="]).kind,
            RefusalKind::NotUnderstood
        );
    }

    #[test]
    fn a_token_of_8_kib_is_one_line_and_leaves_after_the_334_only() {
        let mut client = client(&"t".repeat(8192));
        let mut output = Output::default();
        for line in [&b"220 ready"[..], b"250 ready"] {
            client.line(line, &mut output);
        }
        assert_eq!(output.as_bytes(), b"EHLO gatepost.test\r\nAUTH XOAUTH2\r\n");
        output.wipe();
        client.line(b"334", &mut output);
        assert!(output.as_bytes().len() > 8192 * 4 / 3 && output.as_bytes().ends_with(b"\r\n"));
        assert!(matches!(client.line(b"235 2.7.0 Accepted", &mut output), Step::Yield(Ok(_))));
    }

    #[test]
    fn a_reply_to_a_password_is_taken_for_what_it_is() {
        let plain: [&[u8]; 3] = [b"220 ready", b"250 ready", b"334 "];
        let login: [&[u8]; 5] =
            [b"220 ready", b"250-mx", b"250 AUTH LOGIN CRAM-MD5", b"334 VXNlcm5hbWU6", b"334 UGFzc3dvcmQ6"];
        let table: [(&[&[u8]], &[u8], RefusalKind); 11] = [
            (&plain[..2], b"504 5.5.4 what is PLAIN", RefusalKind::Rejected),
            (&plain, b"535 5.7.8 no", RefusalKind::Rejected),
            (&plain, b"534 5.7.9 Application-specific password required", RefusalKind::Rejected),
            (&plain, b"454 4.7.0 Temporary authentication failure", RefusalKind::Temporary),
            (&plain, b"421 4.7.0 Too many errors", RefusalKind::Temporary),
            (&plain, b"334 ", RefusalKind::NotUnderstood),
            (&plain[..2], b"235 2.7.0 Accepted", RefusalKind::NotUnderstood),
            (&login[..4], b"235 2.7.0 Accepted", RefusalKind::NotUnderstood),
            (&login[..4], b"535 5.7.8 nobody", RefusalKind::Rejected),
            (&login, b"334 UGFzc3dvcmQ6", RefusalKind::NotUnderstood),
            (&login, b"535 5.7.8 no", RefusalKind::Rejected),
        ];
        for (before, line, kind) in table {
            let lines: Vec<&[u8]> = before.iter().copied().chain([line]).collect();
            let refusal = refusal_of(with_password(), &lines);
            assert_eq!(refusal.kind, kind, "{:?}", line.escape_ascii().to_string());
            assert_eq!(refusal.challenge, None);
        }
    }

    #[test]
    fn lines_without_end_and_replies_without_end_are_not_understood() {
        let mut endless = client("ya29.test");
        let step = endless.line_too_long(&mut Output::default());
        assert!(matches!(step, Step::Yield(Err(Refusal { kind: RefusalKind::NotUnderstood, .. }))));
        assert_eq!(refusal(&[&b"220-a"[..]; 129]).kind, RefusalKind::NotUnderstood);
        let long = [&b"220 "[..], &[b'x'; 2048]].concat();
        assert_eq!(refusal(&[&long]).text.len(), Refusal::MAX_TEXT_LEN);
    }
}
