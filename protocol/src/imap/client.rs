//! IMAP toward the provider, from its greeting to its verdict on our token, and one question more: Exchange lets a token in and
//! then says that no mailbox is behind it, so success is believed when CAPABILITY has been answered.
//!
//! ```text
//! AwaitGreeting ┬─▶ AwaitStartTls ─▶ AwaitTls ─┬─▶ AwaitCapability ─┬─▶ AwaitContinuation ─▶ AwaitVerdict
//!               └──────────────────────────────┴────────────────────┴───────────────────────▶ │
//! AwaitVerdict ─ OK ─▶ AwaitMailbox        AwaitVerdict ─ + ─▶ AwaitFinalResponse
//! ```

use std::mem;

use super::response::{self, Response, Status, capabilities, code};
use crate::dialogue::{Dialogue, Output, Step, Success};
use crate::failure::{Refusal, RefusalKind};
use crate::sasl::{self, UpstreamCredentials, UpstreamMechanism};

/// We, toward the provider.
#[derive(Debug)]
pub struct Client {
    tag: String,
    start_tls: bool,
    credentials: UpstreamCredentials,
    /// How we log in, once that is known.
    mechanism: UpstreamMechanism,
    /// What the provider said last that it can do, since TLS or the login began.
    capabilities: Option<String>,
    /// Why it is about to refuse us, where it says so ahead of the tagged response: Gmail does.
    remark: Option<String>,
    /// Lines behind the success that are not for us.
    behind: Vec<u8>,
    state: ClientState,
}

/// The commands of our own have tags of our own: the client's is for the login alone.
const START_TLS_TAG: &str = "gatepost0";
const CAPABILITY_TAG: &str = "gatepost1";
const MAILBOX_TAG: &str = "gatepost2";
const LOGOUT_TAG: &str = "gatepost3";

/// The most that is kept of what the provider says between its success and its answer to our question.
const MAX_BEHIND_LEN: usize = 4096;

type Next = (ClientState, Step<Result<Success, Refusal>>);

impl Client {
    /// `tag` is that of the client's command. With `start_tls` nothing but STARTTLS is said in clear; without, the stream must
    /// be inside TLS already.
    pub fn new(tag: String, start_tls: bool, credentials: UpstreamCredentials) -> Self {
        let state = ClientState::AwaitGreeting;
        let mechanism = credentials.mechanism(&[]);
        Self {
            tag,
            start_tls,
            credentials,
            mechanism,
            capabilities: None,
            remark: None,
            behind: Vec::new(),
            state,
        }
    }

    fn on_response(
        &mut self,
        state: ClientState,
        response: Response<'_>,
        line: &[u8],
        output: &mut Output,
    ) -> Next {
        match (state, response) {
            (ClientState::AwaitGreeting, Response::Status { tag: None, status: Status::Ok, text }) => {
                self.greeted(text, output)
            }
            (state, Response::Status { tag: None, status: Status::Bye, text }) => {
                self.give_up(&state, kind_of_bye(text), text)
            }
            (state @ ClientState::AwaitGreeting, _) => self.give_up(&state, RefusalKind::NotUnderstood, line),
            (state, Response::Continuation(text)) => self.continued(state, text, output),
            (state, Response::Capability(words)) => {
                self.capabilities = Some(capabilities(words));
                (state, Step::NeedLine)
            }
            (state, Response::Status { tag: Some(tag), status, text }) => {
                if tag == self.awaited_tag(&state).as_bytes() {
                    self.answered(state, status, text, output)
                } else {
                    self.give_up(&state, RefusalKind::NotUnderstood, line)
                }
            }
            (state, Response::Status { tag: None, .. } | Response::Other) => {
                self.untagged(state, response, line)
            }
        }
    }

    /// A greeting other than OK never comes here: PREAUTH would be somebody else's mailbox.
    fn greeted(&mut self, text: &[u8], output: &mut Output) -> Next {
        self.learn(text);
        if !self.start_tls {
            return self.log_in_or_ask(output);
        }
        if self.capabilities.as_ref().is_some_and(|known| !has(known, "STARTTLS")) {
            let text = b"STARTTLS is missing in the greeting's capabilities";
            return self.refuse(&ClientState::AwaitGreeting, RefusalKind::NoStartTls, text, output);
        }
        output.line(&format!("{START_TLS_TAG} STARTTLS"));
        (ClientState::AwaitStartTls, Step::NeedLine)
    }

    fn continued(&mut self, state: ClientState, text: &[u8], output: &mut Output) -> Next {
        let next = match state {
            ClientState::AwaitContinuation => {
                self.credentials.write_line(self.mechanism, output);
                ClientState::AwaitVerdict
            }
            ClientState::AwaitVerdict => {
                // The tagged response comes only after this line.
                output.line(self.mechanism.acknowledgement());
                ClientState::AwaitFinalResponse { challenge: self.credentials.challenge_meaning(text) }
            }
            state => return self.give_up(&state, RefusalKind::NotUnderstood, text),
        };
        (next, Step::NeedLine)
    }

    /// The tagged response to what we said last.
    fn answered(&mut self, state: ClientState, status: Status, text: &[u8], output: &mut Output) -> Next {
        match (state, status) {
            (ClientState::AwaitStartTls, Status::Ok) => (ClientState::AwaitTls, Step::StartTls),
            (ClientState::AwaitCapability, Status::Ok) => self.log_in(output),
            (ClientState::AwaitVerdict | ClientState::AwaitFinalResponse { .. }, Status::Ok) => {
                self.capabilities = None;
                self.learn(text);
                output.line(&format!("{MAILBOX_TAG} CAPABILITY"));
                (ClientState::AwaitMailbox, Step::NeedLine)
            }
            (ClientState::AwaitMailbox, Status::Ok) => {
                let capabilities = self.capabilities.take().unwrap_or_default();
                let success = Success { capabilities, behind: mem::take(&mut self.behind) };
                (ClientState::Over, Step::Yield(Ok(success)))
            }
            (state @ ClientState::AwaitContinuation, Status::Ok) => {
                self.give_up(&state, RefusalKind::NotUnderstood, text)
            }
            (state, _) => {
                let kind = kind(&state, text);
                self.refuse(&state, kind, text, output)
            }
        }
    }

    /// Nobody asked for it. Before the success it is the provider's affair, after it the client's.
    fn untagged(&mut self, state: ClientState, response: Response<'_>, line: &[u8]) -> Next {
        if let Response::Status { status: Status::No | Status::Bad, text, .. } = response {
            self.remark = Some(self.credentials.censor(text));
        }
        if matches!(state, ClientState::AwaitMailbox) {
            if self.behind.len() + line.len() > MAX_BEHIND_LEN {
                return self.give_up(&state, RefusalKind::NotUnderstood, line);
            }
            self.behind.extend_from_slice(line);
            self.behind.extend_from_slice(b"\r\n");
        }
        (state, Step::NeedLine)
    }

    /// Keeps what a text announces behind its `[CAPABILITY `.
    fn learn(&mut self, text: &[u8]) {
        if let Some((name, words)) = code(text)
            && name.eq_ignore_ascii_case(b"CAPABILITY")
        {
            self.capabilities = Some(capabilities(words));
        }
    }

    /// A provider that has not said what it can do is asked: it costs a round trip, and SASL-IR saves one.
    fn log_in_or_ask(&mut self, output: &mut Output) -> Next {
        if self.capabilities.is_some() {
            return self.log_in(output);
        }
        output.line(&format!("{CAPABILITY_TAG} CAPABILITY"));
        (ClientState::AwaitCapability, Step::NeedLine)
    }

    fn log_in(&mut self, output: &mut Output) -> Next {
        let known = self.capabilities.as_deref().unwrap_or_default();
        let names = known.split(' ').filter_map(|word| word.as_bytes().split_at_checked(b"AUTH=".len()));
        let names = names.filter(|(key, _)| key.eq_ignore_ascii_case(b"AUTH=")).map(|(_, name)| name);
        self.mechanism = self.credentials.mechanism(&UpstreamMechanism::offered(names));
        let command = format!("{} AUTHENTICATE {}", self.tag, self.mechanism.name());
        if has(known, "SASL-IR") {
            output.write(format!("{command} ").as_bytes());
            self.credentials.write_line(self.mechanism, output);
            return (ClientState::AwaitVerdict, Step::NeedLine);
        }
        output.line(&command);
        (ClientState::AwaitContinuation, Step::NeedLine)
    }

    fn awaited_tag(&self, state: &ClientState) -> &str {
        match state {
            ClientState::AwaitStartTls => START_TLS_TAG,
            ClientState::AwaitCapability => CAPABILITY_TAG,
            ClientState::AwaitMailbox => MAILBOX_TAG,
            _ => &self.tag,
        }
    }

    /// Ends the dialogue with a provider that still listens.
    fn refuse(&mut self, state: &ClientState, kind: RefusalKind, text: &[u8], output: &mut Output) -> Next {
        output.line(&format!("{LOGOUT_TAG} LOGOUT"));
        self.give_up(state, kind, text)
    }

    /// Ends the dialogue without another word.
    fn give_up(&mut self, state: &ClientState, kind: RefusalKind, text: &[u8]) -> Next {
        let challenge = match state {
            ClientState::AwaitFinalResponse { challenge } => challenge.clone(),
            _ => None,
        };
        let mut text = self.credentials.censor(text);
        if let Some(remark) = self.remark.take() {
            text = format!("{text} (before that: {remark})");
        }
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
        let (next, step) = match Response::parse(line) {
            Some(response) => self.on_response(state, response, line, output),
            None => self.give_up(&state, RefusalKind::NotUnderstood, line),
        };
        self.state = next;
        step
    }

    fn line_too_long(&mut self, _output: &mut Output) -> Step<Self::Yield> {
        let state = mem::replace(&mut self.state, ClientState::Over);
        self.give_up(&state, RefusalKind::NotUnderstood, b"a line without end").1
    }

    fn tls_started(&mut self, output: &mut Output) -> Step<Self::Yield> {
        if !matches!(self.state, ClientState::AwaitTls) {
            return Step::Close;
        }
        // RFC 9051, section 6.2.1: what was said in clear is forgotten.
        (self.capabilities, self.remark) = (None, None);
        let (next, step) = self.log_in_or_ask(output);
        self.state = next;
        step
    }
}

#[derive(Debug)]
enum ClientState {
    AwaitGreeting,
    AwaitStartTls,
    AwaitTls,
    AwaitCapability,
    AwaitContinuation,
    AwaitVerdict,
    AwaitFinalResponse { challenge: Option<String> },
    AwaitMailbox,
    Over,
}

impl ClientState {
    fn name(&self) -> &'static str {
        match self {
            Self::AwaitGreeting => "awaiting the greeting",
            Self::AwaitStartTls => "awaiting the response to STARTTLS",
            Self::AwaitTls => "awaiting the TLS handshake",
            Self::AwaitCapability => "awaiting the response to CAPABILITY",
            Self::AwaitContinuation => "awaiting the response to AUTHENTICATE",
            Self::AwaitVerdict => "awaiting the response to the token",
            Self::AwaitFinalResponse { .. } => "awaiting the response after the challenge",
            Self::AwaitMailbox => "awaiting the first response after the login",
            Self::Over => "over",
        }
    }
}

fn has(capabilities: &str, name: &str) -> bool {
    capabilities.split(' ').any(|word| word.eq_ignore_ascii_case(name))
}

/// What a tagged NO or BAD means in a state. Exchange and Gmail say some of it in words alone.
fn kind(state: &ClientState, text: &[u8]) -> RefusalKind {
    if is_crowded(text) {
        return RefusalKind::Busy;
    }
    match (code(text).map(|(name, _)| name.to_ascii_uppercase()).as_deref(), state) {
        (Some(b"UNAVAILABLE" | b"INUSE" | b"SERVERBUG"), _)
        | (_, ClientState::AwaitGreeting | ClientState::AwaitCapability) => RefusalKind::Temporary,
        _ if says(text, b"Server Unavailable") => RefusalKind::Temporary,
        (_, ClientState::AwaitStartTls) => RefusalKind::NoStartTls,
        (_, ClientState::AwaitMailbox) if says(text, b"not connected") => RefusalKind::NoMailbox,
        (_, ClientState::AwaitMailbox) => RefusalKind::Temporary,
        _ => RefusalKind::Rejected,
    }
}

/// What it means that the provider hangs up.
fn kind_of_bye(text: &[u8]) -> RefusalKind {
    if is_crowded(text) { RefusalKind::Busy } else { RefusalKind::Temporary }
}

/// Whether the mailbox has too many sessions or asks too often: `[LIMIT]` (RFC 9051), Gmail's alert, Exchange's throttling.
fn is_crowded(text: &[u8]) -> bool {
    code(text).is_some_and(|(name, _)| name.eq_ignore_ascii_case(b"LIMIT"))
        || says(text, b"too many simultaneous connections")
        || says(text, b"request is throttled")
}

fn says(text: &[u8], words: &[u8]) -> bool {
    text.windows(words.len()).any(|part| part.eq_ignore_ascii_case(words))
}

#[cfg(test)]
// A test that meets the unexpected should stop there.
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::{Client, MAX_BEHIND_LEN};
    use crate::dialogue::{Dialogue, Output, Step, Success};
    use crate::failure::{Refusal, RefusalKind};
    use crate::sasl::UpstreamCredentials;
    use crate::secret::Secret;

    fn client(token: &str) -> Client {
        let token = Secret::new(token.to_owned());
        let server = ("mail.example.com".to_owned(), 1);
        let credentials =
            UpstreamCredentials::new("tim@example.com".to_owned(), token, server, None).unwrap();
        Client::new("a1".to_owned(), false, credentials)
    }

    /// Feeds the lines; gives what was said and what came of it.
    fn converse(client: &mut Client, lines: &[&[u8]]) -> (String, Step<Result<Success, Refusal>>) {
        let mut output = Output::default();
        let mut step = Step::NeedLine;
        for line in lines {
            assert!(matches!(step, Step::NeedLine), "{step:?} before {:?}", line.escape_ascii().to_string());
            step = client.line(line, &mut output);
        }
        (output.as_bytes().escape_ascii().to_string(), step)
    }

    fn refusal(lines: &[&[u8]]) -> Refusal {
        match converse(&mut client("ya29.test"), lines).1 {
            Step::Yield(Err(refusal)) => refusal,
            step => panic!("{step:?}"),
        }
    }

    const GREETING: &[u8] = b"* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=XOAUTH2] ready";

    #[test]
    fn a_response_is_taken_for_what_it_is_where_it_comes() {
        let in_two_steps: [&[u8]; 4] = [b"* OK ready", b"gatepost1 OK", b"+ ", b"a1 OK"];
        let table: [(usize, &[u8], RefusalKind); 24] = [
            (0, b"* BYE later", RefusalKind::Temporary),
            (0, b"* BYE Too many simultaneous connections", RefusalKind::Busy),
            (0, b"* PREAUTH ready", RefusalKind::NotUnderstood),
            (0, b"* CAPABILITY IMAP4rev1", RefusalKind::NotUnderstood),
            (0, b"* NO", RefusalKind::NotUnderstood),
            (0, b"+OK POP3", RefusalKind::NotUnderstood),
            (1, b"gatepost1 BAD what", RefusalKind::Temporary),
            (1, b"a1 OK", RefusalKind::NotUnderstood),
            (1, b"+ what", RefusalKind::NotUnderstood),
            (2, b"a1 OK", RefusalKind::NotUnderstood),
            (2, b"a1 NO unknown mechanism", RefusalKind::Rejected),
            (3, b"a1 NO AUTHENTICATE failed.", RefusalKind::Rejected),
            (3, b"a1 NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)", RefusalKind::Rejected),
            (3, b"a1 NO [unavailable] later", RefusalKind::Temporary),
            (3, b"a1 NO Server Unavailable. 15", RefusalKind::Temporary),
            (3, b"a1 NO [INUSE] locked", RefusalKind::Temporary),
            (3, b"a1 NO [LIMIT] enough", RefusalKind::Busy),
            (3, b"a1 NO [ALERT] Too many simultaneous connections. (Failure)", RefusalKind::Busy),
            (3, b"a1 BAD Request is throttled. Suggested Backoff Time: 92 milliseconds", RefusalKind::Busy),
            (3, b"a2 OK", RefusalKind::NotUnderstood),
            (3, b"* BYE gone", RefusalKind::Temporary),
            (4, b"gatepost2 BAD User is authenticated but not connected.", RefusalKind::NoMailbox),
            (4, b"gatepost2 NO Request is throttled.", RefusalKind::Busy),
            (4, b"gatepost2 NO what", RefusalKind::Temporary),
        ];
        for (before, line, kind) in table {
            let lines: Vec<&[u8]> = in_two_steps.into_iter().take(before).chain([line]).collect();
            assert_eq!(refusal(&lines).kind, kind, "{:?}", line.escape_ascii().to_string());
        }
    }

    #[test]
    fn the_refusal_tells_the_state_the_text_and_what_the_challenge_meant() {
        let refusal = refusal(&[
            GREETING,
            b"+ eyJzdGF0dXMiOiI0MDAifQ==",
            b"* NO [WEBALERT https://accounts.example.com/] Web login required.",
            b"a1 NO [ALERT] no ya29.test",
        ]);
        assert_eq!(refusal.state, "awaiting the response after the challenge");
        assert_eq!(
            refusal.text,
            "[ALERT] no [token] (before that: [WEBALERT https://accounts.example.com/] Web login required.)"
        );
        assert_eq!(refusal.challenge.as_deref(), Some("status 400"));
    }

    #[test]
    fn a_second_challenge_is_not_answered() {
        assert_eq!(refusal(&[GREETING, b"+ e30=", b"+ e30="]).kind, RefusalKind::NotUnderstood);
    }

    #[test]
    fn the_token_goes_with_the_command_only_where_sasl_ir_is_announced() {
        let (said, _) = converse(&mut client("ya29.test"), &[GREETING]);
        assert!(said.starts_with("a1 AUTHENTICATE XOAUTH2 dXNlcj"), "{said}");
        let (said, _) =
            converse(&mut client("ya29.test"), &[b"* OK", b"* CAPABILITY IMAP4 sasl-ir", b"gatepost1 OK"]);
        assert!(said.starts_with("gatepost1 CAPABILITY\\r\\na1 AUTHENTICATE XOAUTH2 dXNlcj"), "{said}");
        let (said, _) = converse(&mut client("ya29.test"), &[b"* OK [CAPABILITY IMAP4rev1] ready"]);
        assert_eq!(said, "a1 AUTHENTICATE XOAUTH2\\r\\n");
    }

    #[test]
    fn what_the_provider_says_behind_its_success_is_kept_for_the_client() {
        let lines: [&[u8]; 6] = [
            GREETING,
            b"* CAPABILITY IMAP4rev1 BEFORE",
            b"* OK [ALERT] not this one",
            b"a1 OK [CAPABILITY IMAP4rev1 IDLE] done",
            b"* OK [ALERT] your mailbox is nearly full",
            b"gatepost2 OK done",
        ];
        let Step::Yield(Ok(success)) = converse(&mut client("ya29.test"), &lines).1 else { panic!() };
        assert_eq!(success.capabilities, "IMAP4rev1 IDLE");
        assert_eq!(success.behind, b"* OK [ALERT] your mailbox is nearly full\r\n");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let line = [&b"* OK "[..], &vec![b'x'; MAX_BEHIND_LEN / 2]].concat();
        assert_eq!(refusal(&[GREETING, b"a1 OK", &line, &line]).kind, RefusalKind::NotUnderstood);
    }

    #[test]
    fn lines_without_end_are_not_understood() {
        let step = client("ya29.test").line_too_long(&mut Output::default());
        assert!(matches!(step, Step::Yield(Err(Refusal { kind: RefusalKind::NotUnderstood, .. }))));
        let long = [&b"* BYE "[..], &[b'x'; 2048]].concat();
        assert_eq!(refusal(&[&long]).text.len(), Refusal::MAX_TEXT_LEN);
    }
}
