//! IMAP toward the provider, from its greeting to its verdict on our token or password, and two questions more: Exchange lets a
//! token in, still tells its capabilities, and says only to the first command about a mailbox that none is behind it. So success
//! is believed when LIST has been answered too; both questions leave together and cost one round trip.
//!
//! ```text
//! AwaitGreeting ┬─▶ AwaitStartTls ─▶ AwaitTls ─┬─▶ AwaitCapability ─┬─▶ LoggingIn ─ + ─▶ LoggingIn …
//!               └──────────────────────────────┴────────────────────┘      └─ OK ─▶ AwaitNewCapability ─▶ AwaitMailbox
//! ```

use std::mem;

use zeroize::Zeroizing;

use super::command::Literal;
use super::login;
use super::response::{self, Response, Status, capabilities, code, has, told_to_a_client};
use super::state::{ClientState, is_crowded, is_without_mailbox};
use crate::dialogue::{Dialogue, Output, Step, Success};
use crate::failure::{Refusal, RefusalKind};
use crate::sasl::{self, PasswordMechanism, Sent, UpstreamCredentials, UpstreamMechanism};

/// We, toward the provider.
#[derive(Debug)]
pub struct Client {
    tag: String,
    start_tls: bool,
    credentials: UpstreamCredentials,
    /// What the provider said last that it can do, since TLS or the login began.
    capabilities: Option<String>,
    /// Why it is about to refuse us, where it says so ahead of the tagged response: Gmail does. Without our secret.
    remark: String,
    /// Lines behind the success that are not for us.
    behind: Vec<u8>,
    /// Untagged responses so far.
    untagged: usize,
    state: ClientState,
}

/// The commands of our own have tags of our own: the client's is for the login alone.
const START_TLS_TAG: &str = "gatepost0";
const CAPABILITY_TAG: &str = "gatepost1";
const NEW_CAPABILITY_TAG: &str = "gatepost2";
const MAILBOX_TAG: &str = "gatepost3";
const LOGOUT_TAG: &str = "gatepost4";

/// The most that is kept of what the provider says between its success and its answer to our questions.
const MAX_BEHIND_LEN: usize = 4096;

/// As much of a remark as a log line has room for.
const MAX_REMARK_LEN: usize = 256;

/// More than any provider has to say unasked during a login.
const MAX_UNTAGGED: usize = 100;

impl Client {
    /// `tag` is that of the client's command. With `start_tls` nothing but STARTTLS is said in clear; without, the stream must
    /// be inside TLS already.
    pub fn new(tag: String, start_tls: bool, credentials: UpstreamCredentials) -> Self {
        let state = ClientState::AwaitGreeting;
        Self {
            tag,
            start_tls,
            credentials,
            capabilities: None,
            remark: String::new(),
            behind: Vec::new(),
            untagged: 0,
            state,
        }
    }

    fn on_response(
        &mut self,
        state: ClientState,
        response: Response<'_>,
        line: &[u8],
        output: &mut Output,
    ) -> (ClientState, Step<Result<Success, Refusal>>) {
        match (state, response) {
            (ClientState::AwaitGreeting, Response::Status { tag: None, status: Status::Ok, text }) => {
                self.greeted(text, output)
            }
            (state, Response::Status { tag: None, status: Status::Bye, text }) => {
                let kind = state.kind_of_bye(&self.remark, text);
                self.give_up(&state, kind, text)
            }
            (state @ ClientState::AwaitGreeting, _) => self.give_up(&state, RefusalKind::NotUnderstood, line),
            (state, Response::Continuation(text)) => self.continued(state, text, output),
            (state, Response::Status { tag: Some(tag), status, text }) => {
                if tag == self.awaited_tag(&state).as_bytes() {
                    self.answered(state, status, text, output)
                } else {
                    self.give_up(&state, RefusalKind::NotUnderstood, line)
                }
            }
            (state, Response::Capability(_) | Response::Other | Response::Status { tag: None, .. }) => {
                self.untagged(state, response, line)
            }
        }
    }

    /// A greeting other than OK never comes here: PREAUTH would be somebody else's mailbox.
    fn greeted(&mut self, text: &[u8], output: &mut Output) -> (ClientState, Step<Result<Success, Refusal>>) {
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

    fn continued(
        &mut self,
        state: ClientState,
        text: &[u8],
        output: &mut Output,
    ) -> (ClientState, Step<Result<Success, Refusal>>) {
        let ClientState::LoggingIn(sent) = state else {
            return self.give_up(&state, RefusalKind::NotUnderstood, text);
        };
        let next = match self.credentials.one_by_one() {
            Some((user_name, password)) => login::go_on(&sent, user_name, password, output),
            None => self.credentials.answer(&sent, text, output),
        };
        match next {
            Some(next) => (ClientState::LoggingIn(next), Step::NeedLine),
            None => self.give_up(&ClientState::LoggingIn(sent), RefusalKind::NotUnderstood, text),
        }
    }

    /// The tagged response to what we said last.
    fn answered(
        &mut self,
        state: ClientState,
        status: Status,
        text: &[u8],
        output: &mut Output,
    ) -> (ClientState, Step<Result<Success, Refusal>>) {
        match (state, status) {
            (ClientState::AwaitStartTls, Status::Ok) => (ClientState::AwaitTls, Step::StartTls),
            (ClientState::AwaitCapability, Status::Ok) => self.log_in(output),
            (ClientState::LoggingIn(sent), Status::Ok) if sent.is_all() => {
                self.capabilities = None;
                self.learn(text);
                output.line(&format!("{NEW_CAPABILITY_TAG} CAPABILITY"));
                // Asks for the delimiter alone (RFC 9051, section 6.3.9): no mailbox is looked for, but one must be there.
                output.line(&format!("{MAILBOX_TAG} LIST \"\" \"\""));
                (ClientState::AwaitNewCapability, Step::NeedLine)
            }
            (ClientState::AwaitNewCapability, Status::Ok) => (ClientState::AwaitMailbox, Step::NeedLine),
            // A provider that does not care for the question has let us in all the same.
            (ClientState::AwaitMailbox, _) if !is_without_mailbox(text) && !is_crowded(text) => {
                self.succeed()
            }
            (state @ ClientState::LoggingIn(_), Status::Ok) => {
                self.give_up(&state, RefusalKind::NotUnderstood, text)
            }
            (state, _) => {
                let kind = state.kind(text);
                self.refuse(&state, kind, text, output)
            }
        }
    }

    fn succeed(&mut self) -> (ClientState, Step<Result<Success, Refusal>>) {
        let capabilities = told_to_a_client(self.capabilities.as_deref().unwrap_or_default());
        let success = Success { capabilities, behind: mem::take(&mut self.behind) };
        (ClientState::Over, Step::Yield(Ok(success)))
    }

    /// Capabilities, and what nobody asked for: before the success that is the provider's affair, after it the client's. A
    /// literal has no place in any of it.
    fn untagged(
        &mut self,
        state: ClientState,
        response: Response<'_>,
        line: &[u8],
    ) -> (ClientState, Step<Result<Success, Refusal>>) {
        self.untagged += 1;
        if self.untagged > MAX_UNTAGGED || Literal::at_end_of(line).is_some() {
            return self.give_up(&state, RefusalKind::NotUnderstood, line);
        }
        let logged_in = matches!(state, ClientState::AwaitNewCapability | ClientState::AwaitMailbox);
        match response {
            Response::Capability(words) => self.capabilities = Some(capabilities(words)),
            Response::Status { status: Status::No | Status::Bad, text, .. } if self.remark.is_empty() => {
                self.remark = self.credentials.censor(text);
                self.remark.truncate(MAX_REMARK_LEN);
            }
            _ => {}
        }
        if logged_in && !is_answer(line) {
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
    fn log_in_or_ask(&mut self, output: &mut Output) -> (ClientState, Step<Result<Success, Refusal>>) {
        if self.capabilities.is_some() {
            return self.log_in(output);
        }
        output.line(&format!("{CAPABILITY_TAG} CAPABILITY"));
        (ClientState::AwaitCapability, Step::NeedLine)
    }

    fn log_in(&mut self, output: &mut Output) -> (ClientState, Step<Result<Success, Refusal>>) {
        let known = self.capabilities.as_deref().unwrap_or_default();
        let names = known.split(' ').filter_map(|word| word.as_bytes().split_at_checked(b"AUTH=".len()));
        let names = names.filter(|(key, _)| key.eq_ignore_ascii_case(b"AUTH=")).map(|(_, name)| name);
        let mut offered = UpstreamMechanism::offered(names);
        // LOGIN is a command here. AUTH=LOGIN is something else, and LOGINDISABLED speaks of the command.
        offered.retain(|mechanism| *mechanism != UpstreamMechanism::Login);
        let usual =
            if has(known, "LOGINDISABLED") { PasswordMechanism::Plain } else { PasswordMechanism::Login };
        let takes_initial_response = has(known, "SASL-IR");
        self.credentials.choose(&offered, usual);
        let sent = if let Some((user_name, password)) = self.credentials.one_by_one() {
            login::begin(&self.tag, user_name, password, output)
        } else {
            let mechanism = self.credentials.mechanism().name();
            output.write(format!("{} AUTHENTICATE {mechanism}", self.tag).as_bytes());
            if takes_initial_response {
                output.write(b" ");
                self.credentials.write_message(output)
            } else {
                output.line("");
                Sent::Command
            }
        };
        (ClientState::LoggingIn(sent), Step::NeedLine)
    }

    fn awaited_tag(&self, state: &ClientState) -> &str {
        match state {
            ClientState::AwaitStartTls => START_TLS_TAG,
            ClientState::AwaitCapability => CAPABILITY_TAG,
            ClientState::AwaitNewCapability => NEW_CAPABILITY_TAG,
            ClientState::AwaitMailbox => MAILBOX_TAG,
            _ => &self.tag,
        }
    }

    /// Ends the dialogue with a provider that still listens.
    fn refuse(
        &mut self,
        state: &ClientState,
        kind: RefusalKind,
        text: &[u8],
        output: &mut Output,
    ) -> (ClientState, Step<Result<Success, Refusal>>) {
        output.line(&format!("{LOGOUT_TAG} LOGOUT"));
        self.give_up(state, kind, text)
    }

    /// Ends the dialogue without another word.
    fn give_up(
        &mut self,
        state: &ClientState,
        kind: RefusalKind,
        text: &[u8],
    ) -> (ClientState, Step<Result<Success, Refusal>>) {
        let mut text = Zeroizing::new(text.to_vec());
        if !self.remark.is_empty() {
            text.extend_from_slice(b" (before that: ");
            text.extend_from_slice(mem::take(&mut self.remark).as_bytes());
            text.push(b')');
        }
        let refusal = self.credentials.refusal(kind, state.name(), &text, state.sent());
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
        let parsed = Response::parse(line).filter(|response| {
            matches!(response, Response::Continuation(_)) || line.len() < response::LINE_LIMIT
        });
        let (next, step) = match parsed {
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
        (self.capabilities, self.remark) = (None, String::new());
        let (next, step) = self.log_in_or_ask(output);
        self.state = next;
        step
    }
}

/// Whether an untagged response answers one of the two questions after the login.
fn is_answer(line: &[u8]) -> bool {
    [&b"* CAPABILITY "[..], b"* LIST "]
        .iter()
        .any(|start| line.get(..start.len()).is_some_and(|found| found.eq_ignore_ascii_case(start)))
}

#[cfg(test)]
// A test that meets the unexpected should stop there.
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::{Client, MAX_BEHIND_LEN, MAX_REMARK_LEN};
    use crate::dialogue::{Dialogue, Output, Step, Success};
    use crate::failure::{Refusal, RefusalKind};
    use crate::sasl::{UpstreamCredentials, UpstreamSecret};
    use crate::secret::Secret;

    fn client_with(user_name: &str, secret: UpstreamSecret) -> Client {
        let server = ("mail.example.com".to_owned(), 1);
        let credentials = UpstreamCredentials::new(user_name.to_owned(), secret, server, None).unwrap();
        Client::new("a1".to_owned(), false, credentials)
    }

    fn client(token: &str) -> Client {
        client_with("tim@example.com", UpstreamSecret::Token(Secret::new(token.to_owned())))
    }

    fn with_password(user_name: &str, password: &str) -> Client {
        client_with(user_name, UpstreamSecret::Password(Secret::new(password.to_owned())))
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
        let in_two_steps: [&[u8]; 5] = [b"* OK ready", b"gatepost1 OK", b"+ ", b"a1 OK", b"gatepost2 OK"];
        let table: [(usize, &[u8], RefusalKind); 28] = [
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
            (4, b"* LIST () \"/\" {11}", RefusalKind::NotUnderstood),
            (5, b"gatepost3 BAD User is authenticated but not connected.", RefusalKind::NoMailbox),
            (5, b"gatepost3 NO Request is throttled.", RefusalKind::Busy),
            (5, b"* BYE Connection closed. 14", RefusalKind::Temporary),
        ];
        for (before, line, kind) in table {
            let lines: Vec<&[u8]> = in_two_steps.into_iter().take(before).chain([line]).collect();
            assert_eq!(refusal(&lines).kind, kind, "{:?}", line.escape_ascii().to_string());
        }
    }

    #[test]
    fn a_password_goes_by_what_is_offered_or_by_login() {
        let plain = "AHRpbQB0YW5zdGFhZg==\r\n";
        let with = |capabilities: &str| format!("* OK [CAPABILITY IMAP4rev1 {capabilities}] ready");
        let table: [(&str, &str, String, &[&[u8]], &str); 8] = [
            ("tim", "tanstaaf", with("SASL-IR AUTH=PLAIN"), &[], &format!("a1 AUTHENTICATE PLAIN {plain}")),
            ("tim", "tanstaaf", with("AUTH=plain"), &[b"+ "], &format!("a1 AUTHENTICATE PLAIN\r\n{plain}")),
            ("tim", "tanstaaf", with("LOGINDISABLED"), &[b"+"], &format!("a1 AUTHENTICATE PLAIN\r\n{plain}")),
            ("tim", "tanstaaf", with("SASL-IR AUTH=LOGIN"), &[], "a1 LOGIN \"tim\" \"tanstaaf\"\r\n"),
            ("t m", "a\"b\\c d", with(""), &[], "a1 LOGIN \"t m\" \"a\\\"b\\\\c d\"\r\n"),
            ("tim", "schlüssel", with(""), &[b"+ go on"], "a1 LOGIN \"tim\" {10}\r\nschlüssel\r\n"),
            ("jörg", "tanstaaf", with(""), &[b"+ go on"], "a1 LOGIN {5}\r\njörg \"tanstaaf\"\r\n"),
            ("jörg", "schlüssel", with(""), &[b"+", b"+"], "a1 LOGIN {5}\r\njörg {10}\r\nschlüssel\r\n"),
        ];
        for (user_name, password, greeting, answers, expected) in table {
            let lines: Vec<&[u8]> =
                [greeting.as_bytes()].into_iter().chain(answers.iter().copied()).collect();
            let mut client = with_password(user_name, password);
            let (said, step) = converse(&mut client, &lines);
            assert_eq!(said, expected.as_bytes().escape_ascii().to_string(), "{greeting}");
            assert!(matches!(step, Step::NeedLine));
            let (said, _) = converse(&mut client, &[b"a1 OK done"]);
            assert!(said.starts_with("gatepost2 CAPABILITY"), "{said}");
        }
    }

    #[test]
    fn a_response_to_a_password_is_taken_for_what_it_is() {
        let greeting: &[u8] = b"* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] ready";
        let login: &[u8] = b"* OK [CAPABILITY IMAP4rev1] ready";
        let table: [(&[&[u8]], &[u8], RefusalKind); 8] = [
            (&[greeting], b"a1 NO [AUTHENTICATIONFAILED] no", RefusalKind::Rejected),
            (&[greeting], b"* BYE [AUTHENTICATIONFAILED] no", RefusalKind::Rejected),
            (&[greeting], b"* BYE gone", RefusalKind::Temporary),
            (&[greeting], b"a1 NO [UNAVAILABLE] later", RefusalKind::Temporary),
            (&[greeting], b"+ e30=", RefusalKind::NotUnderstood),
            (&[login], b"a1 OK what", RefusalKind::NotUnderstood),
            (&[login], b"a1 BAD what", RefusalKind::Rejected),
            (&[login, b"+ "], b"+ what", RefusalKind::NotUnderstood),
        ];
        for (before, line, kind) in table {
            let lines: Vec<&[u8]> = before.iter().copied().chain([line]).collect();
            let Step::Yield(Err(refusal)) = converse(&mut with_password("tim", "schlüssel"), &lines).1
            else {
                panic!("{:?}", line.escape_ascii().to_string())
            };
            assert_eq!(refusal.kind, kind, "{:?}", line.escape_ascii().to_string());
        }
    }

    #[test]
    fn an_echo_that_a_cut_would_go_through_is_left_out_whole() {
        let greeting: &[u8] = b"* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] ready";
        let remark = format!("* NO {} correct horse battery", "x".repeat(MAX_REMARK_LEN - 10));
        let lines: [&[u8]; 3] = [greeting, remark.as_bytes(), b"a1 NO no"];
        let mut client = with_password("tim", "correct horse battery");
        let Step::Yield(Err(refusal)) = converse(&mut client, &lines).1 else { panic!() };
        assert!(!refusal.text.contains("corr"), "{}", refusal.text);
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
        let lines: [&[u8]; 9] = [
            GREETING,
            b"* CAPABILITY IMAP4rev1 BEFORE",
            b"* OK [ALERT] not this one",
            b"a1 OK [CAPABILITY IMAP4rev1 IDLE auth=XOAUTH2 SASL-IR LOGINDISABLED STARTTLS MOVE] done",
            b"* OK [ALERT] your mailbox is nearly full",
            b"gatepost2 OK done",
            b"* list (\\Noselect) \"/\" \"\"",
            b"* 3 EXISTS",
            b"gatepost3 OK done",
        ];
        let Step::Yield(Ok(success)) = converse(&mut client("ya29.test"), &lines).1 else { panic!() };
        assert_eq!(success.capabilities, "IMAP4rev1 IDLE MOVE", "nothing about a login that is over");
        assert_eq!(success.behind, b"* OK [ALERT] your mailbox is nearly full\r\n* 3 EXISTS\r\n");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let line = [&b"* OK "[..], &vec![b'x'; MAX_BEHIND_LEN / 2]].concat();
        assert_eq!(refusal(&[GREETING, b"a1 OK", &line, &line]).kind, RefusalKind::NotUnderstood);
        let flood: Vec<&[u8]> = [GREETING].into_iter().chain([&b"* NO no"[..]; 101]).collect();
        assert_eq!(refusal(&flood).kind, RefusalKind::NotUnderstood);
        let long = [&b"* OK "[..], &[b'x'; 8192]].concat();
        assert_eq!(refusal(&[GREETING, &long]).kind, RefusalKind::NotUnderstood);
    }

    #[test]
    fn whoever_is_let_in_and_not_connected_has_no_mailbox() {
        let not_connected: &[u8] = b"* BAD User is authenticated but not connected.";
        let refusal = refusal(&[GREETING, b"a1 OK", not_connected, b"* BYE Connection closed. 14"]);
        assert_eq!(refusal.kind, RefusalKind::NoMailbox);
        assert_eq!(
            refusal.text,
            "Connection closed. 14 (before that: User is authenticated but not connected.)"
        );
    }

    #[test]
    fn a_provider_that_has_no_list_for_us_has_let_us_in_all_the_same() {
        let lines: [&[u8]; 4] = [GREETING, b"a1 OK", b"gatepost2 OK", b"gatepost3 BAD what"];
        assert!(matches!(converse(&mut client("ya29.test"), &lines).1, Step::Yield(Ok(_))));
    }

    #[test]
    fn lines_without_end_are_not_understood() {
        let step = client("ya29.test").line_too_long(&mut Output::default());
        assert!(matches!(step, Step::Yield(Err(Refusal { kind: RefusalKind::NotUnderstood, .. }))));
        let long = [&b"* BYE "[..], &[b'x'; 2048]].concat();
        assert_eq!(refusal(&[&long]).text.len(), Refusal::MAX_TEXT_LEN);
    }
}
