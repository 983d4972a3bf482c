//! Where a transcript is played on the wire: a whole Gatepost, a client over TCP or TLS, and a provider that says what the
//! transcript says. The token endpoint always gives the transcript's token.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use gatepost::account::AccountId;
use gatepost::config::Config;
use gatepost::config::provider::TlsStream;
use gatepost::daemon::Daemon;
use gatepost::session::stream::{Stream, Upgrade};
use gatepost::store::Store;
use gatepost::store::grants::{GrantKey, NewTokens};
use gatepost::tls::Trust;
use gatepost_protocol::Protocol;
use gatepost_protocol::dialogue::Encryption;
use gatepost_protocol::sasl::UpstreamMechanism;
use gatepost_protocol::secret::Secret;
use rustls_pki_types::ServerName;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::token_endpoint::{Reply, TokenEndpoint};
use super::transcript::{
    AccountState, CAPABILITIES, Deed, HOST_NAME, PASSWORD, SERVER, Speaker, TOKEN, Transcript, Turn,
    USER_NAME,
};
use super::world::add_account;

/// What a stage is set up for. Transcripts that agree in it share one.
#[derive(Clone, PartialEq, Eq)]
pub struct Setting {
    /// Toward the client.
    pub encryption: Encryption,
    /// Toward the provider.
    pub upstream_start_tls: bool,
    /// The one account.
    pub account: AccountState,
    /// The mailbox's password, where the provider has no tokens.
    pub password: Option<String>,
    /// The mechanism that the configuration names.
    pub mechanism: Option<UpstreamMechanism>,
}

impl Setting {
    /// The one that the transcript asks for.
    pub fn of(transcript: &Transcript) -> Self {
        let Transcript { encryption, upstream_start_tls, account, mechanism, .. } = *transcript;
        Self { encryption, upstream_start_tls, account, password: transcript.password.clone(), mechanism }
    }

    fn tls_yaml(&self) -> &'static str {
        match self.encryption {
            Encryption::Active => "tls: implicit",
            Encryption::Optional => "tls: starttls",
            Encryption::Required => "tls: starttls, plaintext: refused",
            Encryption::Unavailable => "tls: none",
        }
    }
}

/// A stage. It is struck when it is dropped.
pub struct Stage {
    setting: Setting,
    store: Store,
    account: AccountId,
    daemon: Daemon,
    provider: TcpListener,
    endpoint: TokenEndpoint,
    folder: TempDir,
}

impl Stage {
    /// Sets it up.
    pub async fn set(setting: Setting) -> Self {
        let endpoint = TokenEndpoint::start().await;
        let token = format!(r#"{{"access_token":"{TOKEN}","token_type":"Bearer","expires_in":3600}}"#);
        endpoint.replies(Reply::Raw(200, Vec::new(), token));
        let provider = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let yaml = yaml(&setting, &endpoint, provider.local_addr().unwrap().port());
        let mut config = Config::parse(&folder.path().join("gatepost.yaml"), &yaml, &|_| None).unwrap();
        config.limits.wrong_password_delay = Duration::ZERO;
        let store = Store::open(&config.state_dir).await.unwrap();
        let account = add_account(&store, "stage", USER_NAME, PASSWORD).await;
        if setting.account == AccountState::Disabled {
            store.set_disabled(account, true).await.unwrap();
        }
        if setting.account != AccountState::NotConnected {
            store.replace_grant(&GrantKey::Account(account), &tokens()).await.unwrap();
        }
        let daemon = Daemon::start(config, &store).unwrap();
        Self { setting, store, account, daemon, provider, endpoint, folder }
    }

    /// Plays it; panics with the turn that went otherwise.
    pub async fn play(&self, transcript: &Transcript) {
        if let Some(password) = &self.setting.password {
            // A new one each time, because one that was refused before is not sent again so soon.
            let password = Secret::new(password.clone());
            self.store.replace_mailbox_password(self.account, &password).await.unwrap();
        }
        let mut play =
            Play { stage: self, transcript, client: self.enter(transcript.protocol).await, upstream: None };
        let mut first_upstream_turn = 0;
        for (index, turn) in transcript.turns.iter().enumerate() {
            match turn.speaker {
                Speaker::Client => play.client(turn).await,
                Speaker::Server => {
                    let again: Vec<_> = transcript.turns[first_upstream_turn..index]
                        .iter()
                        .filter(|turn| matches!(turn.speaker, Speaker::Proxy | Speaker::Upstream))
                        .collect();
                    play.server(turn, &again).await;
                }
                Speaker::Proxy | Speaker::Upstream => {
                    if play.upstream.is_none() {
                        first_upstream_turn = index;
                        play.upstream = Some(self.meet().await);
                    }
                    play.upstream(turn).await;
                }
            }
        }
    }

    async fn enter(&self, protocol: Protocol) -> Stream {
        let (_, address) =
            self.daemon.addresses().find(|(listener, _)| listener.protocol == protocol).unwrap();
        let mut client = Stream::new(TcpStream::connect(address).await.unwrap()).unwrap();
        if self.setting.encryption == Encryption::Active {
            client.upgrade(&self.client_upgrade()).await.unwrap();
        }
        client
    }

    /// Gatepost, as it comes to the provider.
    async fn meet(&self) -> Stream {
        let (tcp, _) = self.provider.accept().await.unwrap();
        let mut upstream = Stream::new(tcp).unwrap();
        if !self.setting.upstream_start_tls {
            upstream.upgrade(&Upgrade::Accept(self.endpoint.server_config())).await.unwrap();
        }
        upstream
    }

    fn client_upgrade(&self) -> Upgrade {
        let trust = Trust::load(Some(&self.folder.path().join("state/ca.pem"))).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        Upgrade::Connect(Arc::clone(trust.client_config()), name, TlsStream::Buffered)
    }
}

/// One transcript on its way.
struct Play<'a> {
    stage: &'a Stage,
    transcript: &'a Transcript,
    client: Stream,
    upstream: Option<Stream>,
}

impl Play<'_> {
    async fn client(&mut self, turn: &Turn) {
        match &turn.deed {
            Deed::Say(bytes) => self.client.write_all(bytes).await.unwrap(),
            Deed::Tls => self.client.upgrade(&self.stage.client_upgrade()).await.unwrap(),
            Deed::Close => panic!("a transcript's client does not close"),
        }
    }

    /// Hears what the client hears. A provider that refuses a token may be asked once more, with a new one, before the client is
    /// told: then it says `again`, the same again.
    async fn server(&mut self, turn: &Turn, again: &[&Turn]) {
        let expected = match &turn.deed {
            Deed::Say(bytes) => replace(bytes, HOST_NAME, &host_name()),
            Deed::Tls | Deed::Close => Vec::new(),
        };
        let mut heard = Vec::new();
        while heard.len() < expected.len().max(1) {
            let mut byte = [0; 1];
            let read = tokio::select! {
                read = self.client.read(&mut byte) => read,
                upstream = self.stage.meet(), if !again.is_empty() => {
                    self.upstream = Some(upstream);
                    for turn in again {
                        self.upstream(turn).await;
                    }
                    continue;
                }
            };
            match read {
                Ok(1) => heard.extend(byte),
                Ok(_) => break,
                // A connection that we closed with bytes unread ends by RST.
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
                Err(error) => panic!("{}: {error}", self.transcript.path.display()),
            }
        }
        self.compare(turn, &heard, &expected);
    }

    async fn upstream(&mut self, turn: &Turn) {
        let upstream = self.upstream.as_mut().unwrap();
        match (turn.speaker, &turn.deed) {
            (Speaker::Upstream, Deed::Say(bytes)) => upstream.write_all(bytes).await.unwrap(),
            (Speaker::Proxy, Deed::Tls) => {
                upstream.upgrade(&Upgrade::Accept(self.stage.endpoint.server_config())).await.unwrap();
            }
            (Speaker::Proxy, Deed::Say(bytes)) => {
                let port = self.stage.provider.local_addr().unwrap().port();
                let expected = replace(bytes, HOST_NAME, "[127.0.0.1]");
                let expected = replace(&expected, &oauthbearer(SERVER.1), &oauthbearer(port));
                let mut heard = Vec::new();
                (&mut *upstream).take(expected.len() as u64).read_to_end(&mut heard).await.unwrap();
                self.compare(turn, &heard, &expected);
            }
            (Speaker::Proxy, Deed::Close) => {
                let mut heard = Vec::new();
                let ended = upstream.read_to_end(&mut heard).await;
                assert!(
                    ended
                        .as_ref()
                        .err()
                        .is_none_or(|error| error.kind() == std::io::ErrorKind::ConnectionReset),
                    "{}: {ended:?}",
                    self.transcript.path.display()
                );
                self.upstream = None;
                self.compare(turn, &heard, b"");
            }
            _ => panic!("not a deed of theirs: {turn:?}"),
        }
    }

    fn compare(&self, turn: &Turn, heard: &[u8], expected: &[u8]) {
        let path = self.transcript.path.display();
        assert!(heard == expected, "{path}: {turn:?}, but on the wire: {}", heard.escape_ascii());
    }
}

fn yaml(setting: &Setting, endpoint: &TokenEndpoint, port: u16) -> String {
    let tls = if setting.upstream_start_tls { "starttls" } else { "implicit" };
    let mechanism = setting
        .mechanism
        .map(|mechanism| format!(", mechanism: {}", mechanism.name().to_lowercase()))
        .unwrap_or_default();
    let login = if setting.password.is_some() {
        "login: password".to_owned()
    } else {
        format!(
            "grant: authorization_code
    authorization_endpoint: https://localhost/authorize
    token_endpoint: {}
    client_id: gatepost
    scopes: [mail]",
            endpoint.url()
        )
    };
    let [smtp, pop3, imap] = CAPABILITIES.map(|capabilities| capabilities.join(", "));
    let listener_tls = setting.tls_yaml();
    format!(
        "providers:
  stage:
    {login}
    ca_file: {ca}
    smtp: {{ host: localhost, port: {port}, tls: {tls}, capabilities: [{smtp}]{mechanism} }}
    pop3: {{ host: localhost, port: {port}, tls: {tls}, capabilities: [{pop3}]{mechanism} }}
    imap: {{ host: localhost, port: {port}, tls: {tls}, capabilities: [{imap}]{mechanism} }}
listeners:
  - {{ protocol: smtp, address: \"127.0.0.1:0\", {listener_tls} }}
  - {{ protocol: pop3, address: \"127.0.0.1:0\", {listener_tls} }}
  - {{ protocol: imap, address: \"127.0.0.1:0\", {listener_tls} }}
state: state
",
        ca = endpoint.ca_file().display(),
    )
}

fn tokens() -> NewTokens {
    NewTokens {
        access_token: Secret::new(TOKEN.to_owned()),
        refresh_token: Some(Secret::new("1//test".to_owned())),
        issued_at: std::time::SystemTime::UNIX_EPOCH,
        expires_at: std::time::SystemTime::now() + Duration::from_hours(1),
        scopes: Vec::new(),
        identity: None,
    }
}

/// A transcript's bytes with what is otherwise on the wire.
fn replace(bytes: &[u8], written: &str, real: &str) -> Vec<u8> {
    let mut replaced = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(position) = rest.windows(written.len()).position(|window| window == written.as_bytes()) {
        replaced.extend_from_slice(&rest[..position]);
        replaced.extend_from_slice(real.as_bytes());
        rest = &rest[position + written.len()..];
    }
    replaced.extend_from_slice(rest);
    replaced
}

/// The one message that names the server's port.
fn oauthbearer(port: u16) -> String {
    let host = SERVER.0;
    BASE64_STANDARD
        .encode(format!("n,a={USER_NAME},\x01host={host}\x01port={port}\x01auth=Bearer {TOKEN}\x01\x01"))
}

/// The name in our greeting.
fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
