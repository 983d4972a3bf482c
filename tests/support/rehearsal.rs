//! A session without sockets: the two machines joined as `session` joins them, fed by hand. What we do is written down in
//! order, to be held against a transcript.

use gatepost::session::driver::Ended;
use gatepost::session::upstream::UpstreamError;
use gatepost_protocol::dialogue::{
    self, Dialogue, Encryption, Output, ServerDialogue, Step, Success, looks_like_tls,
};
use gatepost_protocol::failure::{AuthFailure, Cause, Refusal};
use gatepost_protocol::line::LineBuffer;
use gatepost_protocol::sasl::{Credentials, UpstreamCredentials, UpstreamMechanism, UpstreamSecret};
use gatepost_protocol::secret::Secret;
use gatepost_protocol::{Protocol, imap, pop3, smtp};

use super::transcript::{
    AccountState, CAPABILITIES, Deed, HOST_NAME, PASSWORD, SERVER, Speaker, TOKEN, Transcript, Turn,
    USER_NAME, WRONG_PASSWORDS, push,
};

/// What an account that nobody has connected tells the client.
const NOT_CONNECTED: &str = "not connected yet; admin runs gatepost connect (G20)";

/// Both sides of one session.
pub struct Rehearsal {
    client: Side<dyn ServerDialogue>,
    upstream: Option<Side<dyn Dialogue<Yield = Result<Success, Refusal>>>>,
    protocol: Protocol,
    upstream_start_tls: bool,
    account: AccountState,
    password: Option<String>,
    mechanism: Option<UpstreamMechanism>,
    stage: Stage,
    done: Vec<Turn>,
}

struct Side<D: ?Sized> {
    dialogue: Box<D>,
    received: LineBuffer,
    output: Output,
    /// The octets that are due in place of a line.
    literal: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Login,
    ClientHandshake,
    Linking,
    UpstreamHandshake,
    Spliced,
    Closed,
}

impl Rehearsal {
    /// Begins as the transcript wants it.
    pub fn begin(transcript: &Transcript) -> Self {
        let mut rehearsal = Self {
            client: Side::new(server(transcript.protocol, transcript.encryption)),
            upstream: None,
            protocol: transcript.protocol,
            upstream_start_tls: transcript.upstream_start_tls,
            account: transcript.account,
            password: transcript.password.clone(),
            mechanism: transcript.mechanism,
            stage: Stage::Login,
            done: Vec::new(),
        };
        rehearsal.client.dialogue.open(&mut rehearsal.client.output);
        rehearsal.flush_client();
        rehearsal
    }

    /// What we have done since the last call.
    pub fn done(&mut self) -> Vec<Turn> {
        std::mem::take(&mut self.done)
    }

    /// Bytes from the mail client.
    pub fn hear_client(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        match self.stage {
            Stage::Spliced => push(&mut self.done, Speaker::Proxy, Deed::Say(bytes.to_vec())),
            Stage::Closed => {}
            // Where a handshake is due, bytes in clear are none.
            Stage::ClientHandshake => self.close_client(),
            Stage::Login | Stage::Linking | Stage::UpstreamHandshake => {
                let mut rest = bytes;
                while !rest.is_empty() && self.stage != Stage::Closed {
                    let taken = self.client.fill(rest);
                    assert!(taken > 0, "a transcript's packet fits the buffer");
                    rest = &rest[taken..];
                    self.read_client();
                }
            }
        }
    }

    /// Bytes from the provider.
    pub fn hear_upstream(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        match self.stage {
            Stage::Spliced => push(&mut self.done, Speaker::Server, Deed::Say(bytes.to_vec())),
            Stage::UpstreamHandshake => self.upstream_broke_off(Ended::EarlyPlaintext),
            Stage::Linking => {
                let upstream = self.upstream.as_mut().expect("linking has an upstream side");
                assert_eq!(upstream.fill(bytes), bytes.len(), "a transcript's packet fits the buffer");
                self.read_upstream();
            }
            Stage::Login | Stage::ClientHandshake | Stage::Closed => {}
        }
    }

    /// The client's TLS handshake.
    pub fn client_tls(&mut self) {
        assert_eq!(self.stage, Stage::ClientHandshake, "the client begins TLS unasked");
        self.stage = Stage::Login;
        let step = self.client.dialogue.tls_started(&mut self.client.output);
        self.follow_client(step);
    }

    /// Our TLS handshake with the provider.
    pub fn upstream_tls(&mut self) {
        assert_eq!(self.stage, Stage::UpstreamHandshake, "we have no reason to begin TLS");
        self.stage = Stage::Linking;
        let upstream = self.upstream.as_mut().expect("linking has an upstream side");
        let step = upstream.dialogue.tls_started(&mut upstream.output);
        self.follow_upstream(step);
    }

    fn read_client(&mut self) {
        if self.stage == Stage::Login && looks_like_tls(self.client.received.rest()) {
            return self.close_client();
        }
        while self.stage == Stage::Login {
            let Some(step) = self.client.feed() else { return };
            self.follow_client(step);
        }
    }

    fn follow_client(&mut self, step: Step<Credentials>) {
        match step {
            Step::NeedLine | Step::NeedLiteral(_) => self.flush_client(),
            Step::StartTls if !self.client.received.rest().is_empty() => self.close_client(),
            Step::StartTls => {
                self.flush_client();
                self.stage = Stage::ClientHandshake;
            }
            Step::Close => {
                self.flush_client();
                self.close_client();
            }
            Step::Yield(credentials) => {
                self.flush_client();
                self.judge(&credentials);
            }
        }
    }

    fn judge(&mut self, credentials: &Credentials) {
        if credentials.user_name != USER_NAME || credentials.password.expose() != PASSWORD {
            return self.tell(&Err(AuthFailure::WrongCredentials));
        }
        match self.account {
            AccountState::Disabled => self.tell(&Err(AuthFailure::Disabled)),
            AccountState::NotConnected => self.tell(&Err(AuthFailure::NeedsAdmin(Cause::new(NOT_CONNECTED)))),
            AccountState::Ready => {
                let secret = match &self.password {
                    Some(password) => UpstreamSecret::Password(Secret::new(password.clone())),
                    None => UpstreamSecret::Token(Secret::new(TOKEN.to_owned())),
                };
                let server = (SERVER.0.to_owned(), SERVER.1);
                let credentials =
                    UpstreamCredentials::new(USER_NAME.to_owned(), secret, server, self.mechanism)
                        .expect("the world's names are fit");
                self.upstream = Some(Side::new(match self.protocol {
                    Protocol::Smtp => Box::new(smtp::Client::new(
                        HOST_NAME.to_owned(),
                        self.upstream_start_tls,
                        credentials,
                    )),
                    Protocol::Pop3 => Box::new(pop3::Client::new(self.upstream_start_tls, credentials)),
                    Protocol::Imap => {
                        let tag = self.client.dialogue.tag().unwrap_or_default().to_owned();
                        Box::new(imap::Client::new(tag, self.upstream_start_tls, credentials))
                    }
                }));
                self.stage = Stage::Linking;
            }
        }
    }

    fn tell(&mut self, verdict: &Result<Success, AuthFailure>) {
        self.stage = Stage::Login;
        let step = self.client.dialogue.verdict(verdict, &mut self.client.output);
        self.follow_client(step);
    }

    fn read_upstream(&mut self) {
        while self.stage == Stage::Linking {
            let Some(step) = self.upstream.as_mut().and_then(Side::feed) else { return };
            self.follow_upstream(step);
        }
    }

    fn follow_upstream(&mut self, step: Step<Result<Success, Refusal>>) {
        let Some(upstream) = &mut self.upstream else { return };
        if !upstream.output.is_empty() {
            push(&mut self.done, Speaker::Proxy, Deed::Say(upstream.output.as_bytes().to_vec()));
            upstream.output.wipe();
        }
        match step {
            Step::NeedLine | Step::NeedLiteral(_) => {}
            Step::StartTls if upstream.received.rest().is_empty() => self.stage = Stage::UpstreamHandshake,
            Step::StartTls => self.upstream_broke_off(Ended::EarlyPlaintext),
            Step::Close => self.upstream_broke_off(Ended::Closed),
            Step::Yield(Err(refusal)) => {
                self.close_upstream();
                let error = UpstreamError::Refused(refusal);
                let failure = if self.password.is_some() {
                    error.failure_with_password(self.protocol)
                } else {
                    error.failure(self.protocol)
                };
                self.tell(&Err(failure));
                self.read_client();
            }
            Step::Yield(Ok(success)) => {
                let behind_the_verdict = upstream.received.rest().to_vec();
                self.tell(&Ok(success));
                self.stage = Stage::Spliced;
                self.hear_upstream(&behind_the_verdict);
                let behind_the_password = self.client.received.rest().to_vec();
                self.hear_client(&behind_the_password);
            }
        }
    }

    /// Bytes in clear where the provider's handshake was due.
    fn upstream_broke_off(&mut self, error: Ended) {
        self.close_upstream();
        self.tell(&Err(UpstreamError::Ended { error, state: "rehearsing" }.failure(self.protocol)));
        self.read_client();
    }

    fn flush_client(&mut self) {
        if !self.client.output.is_empty() {
            push(&mut self.done, Speaker::Server, Deed::Say(self.client.output.as_bytes().to_vec()));
            self.client.output.wipe();
        }
    }

    fn close_client(&mut self) {
        self.flush_client();
        self.stage = Stage::Closed;
        push(&mut self.done, Speaker::Server, Deed::Close);
    }

    fn close_upstream(&mut self) {
        self.upstream = None;
        push(&mut self.done, Speaker::Proxy, Deed::Close);
    }
}

impl<D: Dialogue + ?Sized> Side<D> {
    fn feed(&mut self) -> Option<Step<D::Yield>> {
        let Self { dialogue, received, output, literal } = self;
        let step = dialogue::feed(&mut **dialogue, *literal, received, output)?;
        *literal = if let Step::NeedLiteral(length) = step { Some(length) } else { None };
        Some(step)
    }

    fn new(dialogue: Box<D>) -> Self {
        Self { dialogue, received: LineBuffer::new(), output: Output::default(), literal: None }
    }

    fn fill(&mut self, bytes: &[u8]) -> usize {
        self.received.receive(bytes)
    }
}

fn server(protocol: Protocol, encryption: Encryption) -> Box<dyn ServerDialogue> {
    let capabilities = |index: usize| CAPABILITIES[index].iter().map(ToString::to_string).collect();
    let host_name = HOST_NAME.to_owned();
    match protocol {
        Protocol::Smtp => {
            Box::new(smtp::Server::new(host_name, capabilities(0), encryption, WRONG_PASSWORDS))
        }
        Protocol::Pop3 => {
            Box::new(pop3::Server::new(host_name, capabilities(1), encryption, WRONG_PASSWORDS))
        }
        Protocol::Imap => {
            Box::new(imap::Server::new(host_name, capabilities(2), encryption, WRONG_PASSWORDS))
        }
    }
}
