//! The sandbox seen from outside: a small TLS client that speaks XOAUTH2, and plain HTTP requests.

// A test says what went wrong by panicking.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::Url;

mod exchange;
mod gmail;
mod imap;

use super::{
    Action, CLIENT_ID, CLIENT_SECRET, CLIENT_SECRET_VARIABLE, MailFault, Moment, Personality, Sandbox,
    TokenFault, grants,
};
use crate::config::Config;
use crate::config::provider::UpstreamTls;

const ADA: &str = "ada@example.com";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const REDIRECT: &str = "http://localhost:9/";

#[tokio::test]
async fn a_message_sent_either_way_comes_back_identical_either_way() {
    let sandbox = Sandbox::start().await.unwrap();
    let token = access_token(&sandbox).await;
    let message = b"Subject: dots\r\n\r\n.\r\n..two\r\n.one\r\nbare\n.lf\r\n\xff\r\n".as_slice();
    for (send, fetch) in
        [(UpstreamTls::StartTls, UpstreamTls::Implicit), (UpstreamTls::Implicit, UpstreamTls::StartTls)]
    {
        let mut smtp = Wire::smtp(&sandbox, send).await;
        assert_eq!(smtp.login(ADA, &token).await, "235 2.7.0 Authentication successful");
        smtp.send(message).await;
        let mut pop3 = Wire::pop3(&sandbox, fetch).await;
        assert_eq!(pop3.login(ADA, &token).await, "+OK User successfully authenticated");
        assert_eq!(pop3.ask("STAT").await, format!("+OK 1 {}", message.len()));
        assert_eq!(pop3.retrieve(1).await, message);
        assert_eq!(pop3.ask("DELE 1").await, "+OK");
        assert_eq!(pop3.ask("RETR 1").await, "-ERR No such message");
        assert_eq!(pop3.ask("QUIT").await, "+OK Goodbye");
        assert!(sandbox.mailbox(ADA).is_empty());
    }
    let counters = sandbox.counters();
    assert_eq!((counters.smtp_logins, counters.pop3_logins, counters.refused_logins), (2, 2, 0));
}

#[tokio::test]
async fn five_megabytes_come_back_identical() {
    let sandbox = Sandbox::start().await.unwrap();
    let token = access_token(&sandbox).await;
    let message =
        b"..dots and seventy more characters, as an attachment in base64 has them\r\n".repeat(70_000);
    let mut smtp = Wire::smtp(&sandbox, UpstreamTls::Implicit).await;
    smtp.login(ADA, &token).await;
    smtp.send(&message).await;
    assert!(sandbox.mailbox(ADA)[0] == message);
    let mut pop3 = Wire::pop3(&sandbox, UpstreamTls::Implicit).await;
    pop3.login(ADA, &token).await;
    assert!(pop3.retrieve(1).await == message);
}

#[tokio::test]
async fn a_wrong_token_meets_the_challenge_first() {
    let sandbox = Sandbox::start().await.unwrap();
    let token = access_token(&sandbox).await;
    for (user, token) in [(ADA, "wrong"), ("eve@example.com", token.as_str())] {
        let mut smtp = Wire::smtp(&sandbox, UpstreamTls::StartTls).await;
        let challenge = smtp.login(user, token).await;
        let json = STANDARD.decode(challenge.strip_prefix("334 ").unwrap()).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&json).unwrap()["status"], "400");
        assert_eq!(smtp.ask("").await, "535 5.7.8 Token not accepted");
        assert_eq!(smtp.ask("MAIL FROM:<>").await, "530 5.7.0 Authentication required");
        let mut pop3 = Wire::pop3(&sandbox, UpstreamTls::Implicit).await;
        assert!(pop3.login(user, token).await.starts_with("+ ey"));
        assert_eq!(pop3.ask("").await, "-ERR [AUTH] Token not accepted");
        assert_eq!(pop3.ask("USER ada").await, "-ERR Only AUTH XOAUTH2 inside TLS");
    }
    assert_eq!(sandbox.counters().refused_logins, 4);
}

#[tokio::test]
async fn a_token_that_is_forgotten_opens_nothing() {
    let sandbox = Sandbox::start().await.unwrap();
    let token = access_token(&sandbox).await;
    sandbox.forget_access_tokens();
    let mut smtp = Wire::smtp(&sandbox, UpstreamTls::Implicit).await;
    assert!(smtp.login(ADA, &token).await.starts_with("334 "));
}

#[tokio::test]
async fn pipelined_commands_are_answered_in_order() {
    let sandbox = Sandbox::start().await.unwrap();
    let token = access_token(&sandbox).await;
    let mut smtp = Wire::smtp(&sandbox, UpstreamTls::Implicit).await;
    smtp.login(ADA, &token).await;
    smtp.write(b"MAIL FROM:<a@b>\r\nRCPT TO:<Ada@Example.com>\r\nDATA\r\n").await;
    for reply in ["250 2.1.0 OK", "250 2.1.5 OK", "354 Go ahead"] {
        assert_eq!(smtp.line().await, reply);
    }
    smtp.write(b"x\r\n.\r\nRSET\r\nQUIT\r\n").await;
    for reply in ["250 2.6.0 Delivered", "250 2.0.0 OK", "221 2.0.0 Goodbye"] {
        assert_eq!(smtp.line().await, reply);
    }
    assert_eq!(sandbox.mailbox(ADA), [Bytes::from_static(b"x\r\n")]);
}

#[tokio::test]
async fn bytes_behind_starttls_end_the_connection() {
    let sandbox = Sandbox::start().await.unwrap();
    let mut wire = Wire::open(sandbox.ports().smtp).await;
    wire.line().await;
    wire.write(b"STARTTLS\r\nEHLO injected\r\n").await;
    assert_eq!(wire.line().await, "220 2.0.0 Go ahead");
    assert_eq!(wire.line().await, "");
}

#[tokio::test]
async fn a_fault_happens_at_its_moment() {
    let protocol = gatepost_protocol::Protocol::Smtp;
    let say = |bytes: &str| Action::SayAndClose(bytes.as_bytes().to_vec());
    let sandbox = Sandbox::start().await.unwrap();
    for (at, action, greeting, hello) in [
        (Moment::Greeting, say("421 4.3.2 later\r\n"), "421 4.3.2 later", ""),
        (Moment::Greeting, Action::Close, "", ""),
        (Moment::Hello, say("\0garbage\r\n"), "220 localhost ESMTP Gatepost sandbox", "\0garbage"),
    ] {
        sandbox.change(|personality| personality.mail = vec![MailFault { protocol, at, action }]);
        let mut wire = Wire::open(sandbox.ports().smtp).await;
        wire.write(b"EHLO test\r\n").await;
        assert_eq!(wire.line().await, greeting);
        assert_eq!(wire.line().await, hello);
    }
}

#[tokio::test]
async fn a_good_token_is_refused_in_the_words_that_a_test_wants() {
    let sandbox = Sandbox::start().await.unwrap();
    let token = access_token(&sandbox).await;
    sandbox.change(|personality| personality.mail = vec![MailFault::exchange_refusal()]);
    let mut smtp = Wire::smtp(&sandbox, UpstreamTls::StartTls).await;
    assert_eq!(smtp.login(ADA, &token).await, "535 5.7.3 Authentication unsuccessful [SANDBOX 0]");
    sandbox.change(|personality| personality.mail = vec![MailFault::gmail_refusal()]);
    assert!(smtp.login(ADA, &token).await.starts_with("334 ey"));
    assert_eq!(smtp.ask("").await, "535-5.7.8 Username and Password not accepted.");
}

#[tokio::test]
async fn a_connection_closes_in_the_middle_of_a_message() {
    let sandbox = Sandbox::start().await.unwrap();
    let token = access_token(&sandbox).await;
    let fault = MailFault {
        protocol: gatepost_protocol::Protocol::Smtp,
        at: Moment::Body(100),
        action: Action::Close,
    };
    sandbox.change(|personality| personality.mail = vec![fault]);
    let mut smtp = Wire::smtp(&sandbox, UpstreamTls::StartTls).await;
    smtp.login(ADA, &token).await;
    for command in ["MAIL FROM:<a@b>", "RCPT TO:<a@b>", "DATA"] {
        smtp.ask(command).await;
    }
    smtp.write(&b"line\r\n".repeat(20)).await;
    assert_eq!(smtp.line().await, "");
    assert!(sandbox.mailbox("a@b").is_empty());
}

#[tokio::test]
async fn a_consent_is_refused_when_the_request_is_wrong() {
    let sandbox = Sandbox::start().await.unwrap();
    for (change, status, error) in [
        (("client_id", "other"), 400, None),
        (("redirect_uri", "https://example.com/"), 400, None),
        (("response_type", "token"), 302, Some("unsupported_response_type")),
        (("code_challenge_method", "plain"), 302, Some("invalid_request")),
        (("login_hint", ""), 302, Some("login_required")),
    ] {
        let (answered, location) = authorize(&sandbox, &[change]).await;
        assert_eq!(answered, status, "{change:?}");
        assert_eq!(location.get("error").map(String::as_str), error, "{change:?}");
        assert!(!location.contains_key("code"));
    }
    let (status, location) = authorize(&sandbox, &[]).await;
    assert_eq!((status, location["state"].as_str()), (302, "st&te"));
}

#[tokio::test]
async fn the_token_endpoint_keeps_the_rules_of_rfc_6749() {
    let sandbox = Sandbox::start().await.unwrap();
    let code = authorize(&sandbox, &[]).await.1["code"].clone();
    let secret = ("client_secret", CLIENT_SECRET);
    for (form, status, error) in [
        (vec![("grant_type", "refresh_token"), ("client_secret", "wrong")], 401, "invalid_client"),
        (vec![("grant_type", "password"), secret], 400, "unsupported_grant_type"),
        (vec![("grant_type", "refresh_token"), ("refresh_token", "x"), secret], 400, "invalid_grant"),
        (vec![("grant_type", "authorization_code"), ("code", "x"), secret], 400, "invalid_grant"),
        (
            vec![
                ("grant_type", "authorization_code"),
                ("code", &code),
                ("redirect_uri", REDIRECT),
                ("code_verifier", "not the one"),
                secret,
            ],
            400,
            "invalid_grant",
        ),
    ] {
        let (answered, json) = post(&sandbox, &form).await;
        assert_eq!((answered, json["error"].as_str().unwrap()), (status, error), "{form:?}");
    }
    assert_eq!(sandbox.counters().other_token_requests, 1);
}

#[tokio::test]
async fn rotation_ends_the_family_when_an_old_refresh_token_returns() {
    let sandbox = Sandbox::start().await.unwrap();
    let first = tokens(&sandbox).await;
    let old = first["refresh_token"].as_str().unwrap();
    let (_, second) = refresh(&sandbox, old).await;
    let (status, reuse) = refresh(&sandbox, old).await;
    assert_eq!((status, &reuse["error"]), (400, &Value::from("invalid_grant")));
    let (status, family) = refresh(&sandbox, second["refresh_token"].as_str().unwrap()).await;
    assert_eq!((status, &family["error"]), (400, &Value::from("invalid_grant")));
    assert_eq!(sandbox.counters().refresh_requests, 3);
}

#[tokio::test]
async fn the_application_s_own_token_opens_every_mailbox() {
    let sandbox = Sandbox::start().await.unwrap();
    let form = [("grant_type", "client_credentials"), ("client_secret", CLIENT_SECRET)];
    let (status, json) = post(&sandbox, &form).await;
    assert_eq!((status, &json["refresh_token"]), (200, &Value::Null));
    let mut smtp = Wire::smtp(&sandbox, UpstreamTls::Implicit).await;
    let reply = smtp.login("anyone@example.com", json["access_token"].as_str().unwrap()).await;
    assert_eq!(reply, "235 2.7.0 Authentication successful");
}

#[tokio::test]
async fn a_token_endpoint_on_a_bad_day_says_what_it_is_told_to() {
    let sandbox = Sandbox::start().await.unwrap();
    for (fault, status, header, value) in [
        (TokenFault::internal_error(), 500, "content-type", "text/html"),
        (TokenFault::too_many_requests(Duration::from_secs(7)), 429, "retry-after", "7"),
        (TokenFault::redirect("https://localhost:1/"), 307, "location", "https://localhost:1/"),
        (TokenFault::error("invalid_grant", "gone"), 400, "content-type", "application/json"),
    ] {
        sandbox.change(|personality| personality.token_endpoint = Some(fault));
        let response = request(&sandbox, &[("grant_type", "client_credentials")]).await.unwrap();
        assert_eq!(
            (response.status().as_u16(), &response.headers()[header]),
            (status, &value.parse().unwrap())
        );
    }
    sandbox.change(|personality| personality.token_endpoint = Some(TokenFault::LoseAnswer));
    assert!(request(&sandbox, &[("grant_type", "client_credentials")]).await.is_err());
}

#[tokio::test]
async fn nothing_listens_after_the_stop() {
    let sandbox = Sandbox::start().await.unwrap();
    let ports = sandbox.ports();
    let mut open = Wire::open(ports.pop3).await;
    open.line().await;
    sandbox.stop().await;
    assert_eq!(open.line().await, "");
    for port in [ports.https, ports.smtp, ports.smtps, ports.pop3, ports.pop3s] {
        assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err());
    }
}

#[test]
fn the_provider_s_entry_is_one_that_the_configuration_takes() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let sandbox = runtime.block_on(Sandbox::start()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, sandbox.ca_pem()).unwrap();
    for (personality, tls) in [
        (Personality::default(), UpstreamTls::Implicit),
        (Personality::exchange(), UpstreamTls::StartTls),
        (Personality::gmail(), UpstreamTls::Implicit),
    ] {
        sandbox.change(|current| *current = personality);
        let text = format!("providers:\n{}state: state\n", sandbox.provider_yaml("sandbox", &ca_file, tls));
        let environment = |name: &str| (name == CLIENT_SECRET_VARIABLE).then(|| CLIENT_SECRET.to_owned());
        let config = Config::parse(&folder.path().join("gatepost.yaml"), &text, &environment).unwrap();
        assert_eq!(config.providers["sandbox"].smtp.as_ref().unwrap().tls, tls);
    }
}

/// A mail connection as a client sees it.
struct Wire<S> {
    stream: BufReader<S>,
}

trait Bytestream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Bytestream for S {}

impl Wire<TcpStream> {
    async fn open(port: u16) -> Self {
        Self { stream: BufReader::new(TcpStream::connect(("127.0.0.1", port)).await.unwrap()) }
    }
}

impl Wire<Box<dyn Bytestream>> {
    async fn smtp(sandbox: &Sandbox, tls: UpstreamTls) -> Self {
        let ports = sandbox.ports();
        let mut wire = match tls {
            UpstreamTls::Implicit => Self::encrypted(sandbox, Wire::open(ports.smtps).await).await,
            UpstreamTls::StartTls => {
                let mut plain = Wire::open(ports.smtp).await;
                assert!(plain.line().await.starts_with("220 "));
                assert_eq!(plain.ask("AUTH XOAUTH2").await, "530 5.7.0 Authentication required");
                assert_eq!(plain.ask("STARTTLS").await, "220 2.0.0 Go ahead");
                Self::encrypted(sandbox, plain).await
            }
        };
        if tls == UpstreamTls::Implicit {
            assert!(wire.line().await.starts_with("220 "));
        }
        assert_eq!(wire.ask("EHLO test").await, "250-localhost");
        while wire.line().await != "250 AUTH XOAUTH2" {}
        wire
    }

    async fn pop3(sandbox: &Sandbox, tls: UpstreamTls) -> Self {
        let ports = sandbox.ports();
        if tls == UpstreamTls::Implicit {
            let mut wire = Self::encrypted(sandbox, Wire::open(ports.pop3s).await).await;
            assert!(wire.line().await.starts_with("+OK"));
            return wire;
        }
        let mut plain = Wire::open(ports.pop3).await;
        assert!(plain.line().await.starts_with("+OK"));
        assert_eq!(plain.ask("STLS").await, "+OK Begin TLS");
        Self::encrypted(sandbox, plain).await
    }

    /// Inside TLS from the first byte; nothing has been read.
    async fn inside_tls(sandbox: &Sandbox, port: u16) -> Self {
        Self::encrypted(sandbox, Wire::open(port).await).await
    }

    async fn encrypted(sandbox: &Sandbox, plain: Wire<TcpStream>) -> Self {
        let connector = TlsConnector::from(Arc::new(client_config(sandbox)));
        let name = "localhost".try_into().unwrap();
        let stream = connector.connect(name, plain.stream.into_inner()).await.unwrap();
        Self { stream: BufReader::new(Box::new(stream)) }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    async fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// The next line; empty at the end, however the connection ended.
    async fn line(&mut self) -> String {
        let mut line = String::new();
        match self.stream.read_line(&mut line).await {
            Ok(_) => line.trim_end_matches(['\r', '\n']).to_owned(),
            Err(_) => String::new(),
        }
    }

    async fn ask(&mut self, command: &str) -> String {
        self.write(format!("{command}\r\n").as_bytes()).await;
        self.line().await
    }

    /// Says the lines that begin with `C: `, and hears those with `S: `.
    async fn play(&mut self, transcript: &str) {
        for line in transcript.lines().map(str::trim_start).filter(|line| !line.is_empty()) {
            match line.split_at(3) {
                ("C: ", said) => self.write(format!("{said}\r\n").as_bytes()).await,
                (_, heard) => assert_eq!(self.line().await, heard, "{transcript}"),
            }
        }
    }

    /// The reply to the token.
    async fn login(&mut self, user: &str, token: &str) -> String {
        let go_on = self.ask("AUTH XOAUTH2").await;
        assert!(matches!(go_on.as_str(), "334 " | "+ "), "{go_on}");
        self.ask(&STANDARD.encode(format!("user={user}\x01auth=Bearer {token}\x01\x01"))).await
    }

    async fn send(&mut self, message: &[u8]) {
        assert_eq!(self.ask("MAIL FROM:<ada@example.com> SIZE=1").await, "250 2.1.0 OK");
        assert_eq!(self.ask("RCPT TO:<ada@example.com>").await, "250 2.1.5 OK");
        assert_eq!(self.ask("DATA").await, "354 Go ahead");
        let stuffed: Vec<u8> = lines(message)
            .flat_map(|line| [if line.starts_with(b".") { b".".as_slice() } else { b"" }, line].concat())
            .collect();
        self.write(&stuffed).await;
        assert_eq!(self.ask(".").await, "250 2.6.0 Delivered");
    }

    async fn retrieve(&mut self, number: usize) -> Vec<u8> {
        assert!(self.ask(&format!("RETR {number}")).await.starts_with("+OK"));
        let mut stuffed = Vec::new();
        while !stuffed.ends_with(b"\r\n.\r\n") {
            self.stream.read_until(b'\n', &mut stuffed).await.unwrap();
        }
        stuffed.truncate(stuffed.len() - 3);
        lines(&stuffed).flat_map(|line| line.strip_prefix(b".").unwrap_or(line).to_vec()).collect()
    }
}

/// Lines with their CRLF; a bare LF ends none.
fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let end = rest.windows(2).position(|pair| pair == b"\r\n").map_or(rest.len(), |at| at + 2);
        let (line, behind) = rest.split_at(end);
        rest = behind;
        (!line.is_empty()).then_some(line)
    })
}

fn client_config(sandbox: &Sandbox) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(sandbox.ca_pem().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let versions =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    versions.with_root_certificates(roots).with_no_client_auth()
}

fn http(sandbox: &Sandbox) -> reqwest::Client {
    let client = reqwest::Client::builder().tls_backend_preconfigured(client_config(sandbox));
    client.redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap()
}

async fn authorize(
    sandbox: &Sandbox,
    changes: &[(&str, &str)],
) -> (u16, std::collections::HashMap<String, String>) {
    let challenge = grants::challenge(VERIFIER);
    let mut fields = vec![
        ("client_id", CLIENT_ID),
        ("redirect_uri", REDIRECT),
        ("response_type", "code"),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
        ("login_hint", ADA),
        ("state", "st&te"),
    ];
    // The last of a repeated field counts.
    fields.extend(changes);
    let base = format!("https://localhost:{}/authorize", sandbox.ports().https);
    let url = Url::parse_with_params(&base, fields).unwrap();
    let response = http(sandbox).get(url).send().await.unwrap();
    let location =
        response.headers().get("location").map(|location| Url::parse(location.to_str().unwrap()).unwrap());
    let fields = location.map(|url| url.query_pairs().into_owned().collect()).unwrap_or_default();
    (response.status().as_u16(), fields)
}

async fn request(sandbox: &Sandbox, form: &[(&str, &str)]) -> reqwest::Result<reqwest::Response> {
    let mut body = url::form_urlencoded::Serializer::new(String::new());
    body.append_pair("client_id", CLIENT_ID).extend_pairs(form);
    http(sandbox)
        .post(format!("https://localhost:{}/token", sandbox.ports().https))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body.finish())
        .send()
        .await
}

async fn post(sandbox: &Sandbox, form: &[(&str, &str)]) -> (u16, Value) {
    let response = request(sandbox, form).await.unwrap();
    (response.status().as_u16(), serde_json::from_slice(&response.bytes().await.unwrap()).unwrap())
}

async fn tokens(sandbox: &Sandbox) -> Value {
    let (_, location) = authorize(sandbox, &[]).await;
    redeem(sandbox, &location["code"]).await
}

async fn redeem(sandbox: &Sandbox, code: &str) -> Value {
    let (status, json) = post(
        sandbox,
        &[
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", REDIRECT),
            ("code_verifier", VERIFIER),
            ("client_secret", CLIENT_SECRET),
        ],
    )
    .await;
    assert_eq!(status, 200, "{json}");
    json
}

async fn access_token(sandbox: &Sandbox) -> String {
    tokens(sandbox).await["access_token"].as_str().unwrap().to_owned()
}

async fn refresh(sandbox: &Sandbox, token: &str) -> (u16, Value) {
    let form = [("grant_type", "refresh_token"), ("refresh_token", token), ("client_secret", CLIENT_SECRET)];
    post(sandbox, &form).await
}
