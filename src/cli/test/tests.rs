//! Whole answers, as a person reads them: what is well, and one for each thing that can be wrong. Times, ports and dates are put in
//! place of the real ones.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

use std::net::{Ipv4Addr, TcpListener};
use std::time::SystemTime;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use gatepost_protocol::Protocol;
use gatepost_protocol::secret::Secret;
use insta::assert_snapshot;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls_pki_types::PrivatePkcs8KeyDer;
use tempfile::TempDir;
use time::{Duration as Days, OffsetDateTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;

use super::*;
use crate::config::Config;
use crate::config::provider::UpstreamTls;
use crate::oauth::Tokens;
use crate::oauth::authorization_code::Authorization;
use crate::sandbox::{Action, CLIENT_SECRET, MailFault, Moment, Personality, Sandbox, TokenFault};
use crate::store::accounts::NewAccount;
use crate::store::grants::{GrantKey, Identity, NewTokens};
use crate::store::tests::open;
use crate::trial::server::Server;
use crate::trial::{Part, online};

const ADDRESS: &str = "ann@contoso.com";

/// A configuration file, and an empty store beside it.
struct Desk {
    folder: TempDir,
    config: Config,
    store: Store,
    account: Account,
}

impl Desk {
    async fn new(folder: TempDir, provider: &str) -> Self {
        let text = format!("providers:\n{provider}state: state\n");
        let environment = |_: &str| Some(CLIENT_SECRET.to_owned());
        let config = Config::parse(&folder.path().join("gatepost.yaml"), &text, &environment).unwrap();
        let store = open(folder.path()).await.unwrap();
        let account = NewAccount {
            address: ADDRESS.to_owned(),
            provider: "contoso".to_owned(),
            ..NewAccount::default()
        };
        store.add_account(&account, None).await.unwrap();
        let account = store.accounts().await.unwrap().remove(0);
        Self { folder, config, store, account }
    }

    /// At this sandbox, whose servers are named by their address.
    async fn at(sandbox: &Sandbox, change: impl FnOnce(String) -> String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ca_file = folder.path().join("ca.pem");
        std::fs::write(&ca_file, sandbox.ca_pem()).unwrap();
        let yaml = sandbox.provider_yaml("contoso", &ca_file, UpstreamTls::StartTls);
        let yaml = yaml
            .replace("localhost", "127.0.0.1")
            .replace("redirect_host: 127.0.0.1", "redirect_host: localhost");
        Self::new(folder, &change(yaml)).await
    }

    /// With one IMAP server, and a password that nobody has typed yet.
    async fn at_imap(server: &str) -> Self {
        Self::new(
            tempfile::tempdir().unwrap(),
            &format!("  contoso:\n    login: password\n    imap: {server}\n"),
        )
        .await
    }

    fn provider(&self) -> &Arc<Provider> {
        &self.config.providers["contoso"]
    }

    /// A consent that the sandbox knows.
    async fn consents(&self) {
        let client = self.provider().oauth().unwrap();
        let authorization = Authorization::begin(client, ADDRESS, "http://localhost:1/".to_owned()).unwrap();
        let browser = reqwest::Client::builder()
            .tls_backend_preconfigured(self.provider().trust.client_config().as_ref().clone())
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        let answer = browser.get(authorization.url().clone()).send().await.unwrap();
        let returned = answer.headers()["location"].to_str().unwrap();
        let tokens = authorization.redeem(authorization.code(returned).unwrap()).await.unwrap();
        self.store.replace_grant(&GrantKey::Account(self.account.id), &tokens).await.unwrap();
    }

    /// A token that says this of itself, and that no server takes.
    async fn has(&self, claims: &str, identity: &str) {
        let now = SystemTime::now();
        let tokens = NewTokens {
            access_token: Secret::new(planted(claims)),
            refresh_token: Some(Secret::new("planted".to_owned())),
            issued_at: now,
            expires_at: now + Duration::from_hours(1),
            scopes: Vec::new(),
            identity: Identity::new([identity.to_owned()]),
        };
        self.store.replace_grant(&GrantKey::Account(self.account.id), &tokens).await.unwrap();
    }

    async fn tried(&self) -> Vec<Step> {
        let trial = Trial {
            provider: Arc::clone(self.provider()),
            account: self.account.clone(),
            store: self.store.clone(),
            tokens: Tokens::new(self.store.clone()),
            time: Duration::from_secs(15),
            warnings: Vec::new(),
        };
        let mut under_way = trial.begin();
        let mut steps = Vec::new();
        while let Some(step) = under_way.next().await {
            steps.push(step);
        }
        under_way.end().await.unwrap();
        steps
    }

    /// As it is read, with what is another one each time replaced: times by 7 ms, ports by their names, dates.
    async fn read(&self, ports: &[(u16, &str)]) -> String {
        let begin = OffsetDateTime::now_utc();
        let steps = self.tried().await;
        told(&steps, ports, begin)
    }
}

fn planted(claims: &str) -> String {
    format!("e30.{}.sig", BASE64_URL_SAFE_NO_PAD.encode(claims))
}

fn told(steps: &[Step], ports: &[(u16, &str)], begin: OffsetDateTime) -> String {
    let mut text = String::new();
    for step in steps {
        let step = Step { took: step.took.map(|_| Duration::from_millis(7)), ..step.clone() };
        text.push_str(&shown(&step));
    }
    for (port, name) in ports {
        text = text.replace(&port.to_string(), name);
    }
    // The sandbox's certificate is a day old, and good for thirty more.
    for now in [begin, OffsetDateTime::now_utc()] {
        text = text
            .replace(&now.date().to_string(), "TODAY-DATE")
            .replace(&(now - Days::days(1)).date().to_string(), "A-DAY-AGO!")
            .replace(&(now + Days::days(30)).date().to_string(), "NEXT-MONTH");
    }
    text
}

fn ports(sandbox: &Sandbox) -> [(u16, &'static str); 4] {
    let ports = sandbox.ports();
    [(ports.smtp, "SMTP_"), (ports.pop3, "POP3_"), (ports.imap, "IMAP_"), (ports.https, "HTTPS")]
}

/// A server on 127.0.0.1 that presents this certificate, and greets as IMAP does. Gives its port, and its CA.
async fn presenting(change: impl FnOnce(&mut CertificateParams)) -> (u16, String, AbortOnDropHandle<()>) {
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.distinguished_name.push(DnType::CommonName, "Contoso Firewall CA");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_key = KeyPair::generate().unwrap();
    let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
    let mut leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    leaf.distinguished_name.push(DnType::CommonName, "imap.contoso.com");
    leaf.not_before = time::macros::datetime!(2020-01-01 0:00 UTC);
    leaf.not_after = time::macros::datetime!(2999-12-31 0:00 UTC);
    change(&mut leaf);
    let key = KeyPair::generate().unwrap();
    let leaf = leaf.signed_by(&key, &Issuer::new(ca, ca_key)).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            // Whoever does not trust it leaves.
            let _ = acceptor.accept(socket).await;
        }
    });
    (port, ca_pem, AbortOnDropHandle::new(serving))
}

#[tokio::test]
async fn all_is_well() {
    let sandbox = Sandbox::start().await.unwrap();
    let desk = Desk::at(&sandbox, |yaml| yaml).await;
    desk.consents().await;
    assert_snapshot!(desk.read(&ports(&sandbox)).await);
    assert_eq!(worst(&desk.tried().await, desk.provider()), None);
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_not_connected_to() {
    let desk = Desk::at_imap("{ host: nothing.invalid, port: 993, tls: implicit }").await;
    let steps = desk.tried().await;
    // What the resolver of this machine says is another matter.
    let text = told(&steps, &[], OffsetDateTime::now_utc());
    assert!(text.contains("✗ IMAP DNS: ") && text.contains("nothing.invalid: "), "{text}");
    for words in ["- IMAP TCP: not tried: it comes behind DNS", "- IMAP TLS: not tried: it comes behind DNS"]
    {
        assert!(text.contains(words), "{text}");
    }
    assert_eq!(worst(&steps, desk.provider()), Some(Exit::Upstream));
}

#[tokio::test]
async fn a_port_that_nobody_serves() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let desk = Desk::at_imap(&format!("{{ host: 127.0.0.1, port: {port}, tls: implicit }}")).await;
    desk.store.replace_mailbox_password(desk.account.id, &Secret::new("planted".to_owned())).await.unwrap();
    assert_snapshot!(desk.read(&[(port, "IMAP_")]).await);
}

/// Time stands still but where everybody waits, so that nobody does.
#[tokio::test(start_paused = true)]
async fn a_server_that_takes_the_connection_and_says_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    for tls in ["implicit", "starttls"] {
        let text = format!(
            "providers:\n  contoso:\n    login: password\n    imap: {{ host: 127.0.0.1, port: {port}, tls: {tls} }}\n\
             state: state\n"
        );
        let config = Config::parse("gatepost.yaml".as_ref(), &text, &|_| None).unwrap();
        let server = Server::of_mail(&config.providers["contoso"], Protocol::Imap).unwrap();
        let (told_to, mut heard) = tokio::sync::mpsc::unbounded_channel();
        assert_eq!(server.reach(&told_to).await, None);
        drop(told_to);
        let mut steps = Vec::new();
        while let Some(step) = heard.recv().await {
            steps.push(step);
        }
        let text = told(&steps, &[(port, "IMAP_")], OffsetDateTime::now_utc());
        assert_snapshot!(format!("black_hole_{tls}"), text);
    }
}

#[tokio::test]
async fn a_port_that_begins_in_clear_where_tls_is_expected() {
    let sandbox = Sandbox::start().await.unwrap();
    let port = sandbox.ports().imap;
    let desk = Desk::at_imap(&format!("{{ host: 127.0.0.1, port: {port}, tls: implicit }}")).await;
    assert_snapshot!(desk.read(&[(port, "IMAP_")]).await);
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_is_told_with_the_way_in_which_it_is_not() {
    let presented: [(&str, fn(&mut CertificateParams), Known); 6] = [
        (
            "another_name",
            |leaf| leaf.subject_alt_names = names(&["mail.contoso.com", "*.contoso.net"]),
            Known::Its,
        ),
        ("expired", |leaf| leaf.not_after = time::macros::datetime!(2021-01-01 0:00 UTC), Known::Its),
        ("not_yet_valid", |leaf| leaf.not_before = time::macros::datetime!(2999-01-01 0:00 UTC), Known::Its),
        ("unknown_issuer", |_| {}, Known::Nobody),
        ("of_an_authority", |leaf| leaf.is_ca = IsCa::Ca(BasicConstraints::Unconstrained), Known::Its),
        ("another_key", |_| {}, Known::ItsName),
    ];
    let (_, namesake, _serving) = presenting(|_| {}).await;
    for (name, change, known) in presented {
        let (port, ca, _serving) = presenting(change).await;
        let folder = tempfile::tempdir().unwrap();
        let ca = if known == Known::ItsName { &namesake } else { &ca };
        std::fs::write(folder.path().join("ca.pem"), ca).unwrap();
        let ca_file = if known == Known::Nobody { "" } else { "    ca_file: ca.pem\n" };
        let yaml = format!(
            "  contoso:\n    login: password\n    imap: {{ host: 127.0.0.1, port: {port}, tls: implicit }}\n{ca_file}"
        );
        let desk = Desk::new(folder, &yaml).await;
        let text = desk.read(&[(port, "IMAP_")]).await;
        assert!(!text.contains("BadSignature") && !text.contains("CaUsed"), "{text}");
        assert_snapshot!(format!("certificate_{name}"), text);
    }
}

/// Which authority `ca_file` names.
#[derive(PartialEq, Eq)]
enum Known {
    /// The one that signed the certificate.
    Its,
    /// One of the same name.
    ItsName,
    /// There is no `ca_file`.
    Nobody,
}

#[tokio::test]
async fn the_port_of_another_protocol_is_told_as_connect_tells_it() {
    for (greeting, protocol, speaker) in [
        ("220 mx.contoso.com ready", "imap", "An SMTP server begins like this"),
        ("* OK ready", "smtp", "An IMAP server begins like this"),
        ("+OK ready", "imap", "A POP3 server begins like this"),
        ("HTTP/1.1 400 Bad Request", "pop3", "A web server begins like this"),
        ("what", "pop3", "What came is not the protocol"),
    ] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            socket.write_all(format!("{greeting}\r\n").as_bytes()).await.unwrap();
            // Until it is left.
            let _ = socket.read_to_end(&mut Vec::new()).await;
        });
        let server = format!("{{ host: 127.0.0.1, port: {port}, tls: starttls }}");
        let yaml = format!("  contoso:\n    login: password\n    {protocol}: {server}\n");
        let steps = Desk::new(tempfile::tempdir().unwrap(), &yaml).await.tried().await;
        let trouble = steps.iter().find_map(|step| match &step.outcome {
            Outcome::Failed(trouble) if step.part == Part::Server => Some(trouble),
            _ => None,
        });
        let trouble = trouble.unwrap();
        assert_eq!(trouble.diagnosis.map(|row| row.id.as_str()), Some("G09"), "{greeting}: {trouble:?}");
        assert!(trouble.cause.starts_with(speaker), "{trouble:?}");
        assert!(trouble.said.ends_with(&format!("said: {greeting}")), "{trouble:?}");
        assert!(trouble.fix.contains("an IMAP server with `* OK`"), "{trouble:?}");
        serving.await.unwrap();
    }
}

fn names(names: &[&str]) -> Vec<rcgen::SanType> {
    names.iter().map(|name| rcgen::SanType::DnsName((*name).try_into().unwrap())).collect()
}

#[tokio::test]
async fn a_server_without_starttls_is_told_nothing() {
    let sandbox = Sandbox::start().await.unwrap();
    let hello = Action::Say(b"250-mail.contoso.com\r\n250 SIZE 1000\r\n".to_vec());
    let fault = MailFault { protocol: Protocol::Smtp, at: Moment::Hello, action: hello };
    sandbox.change(|personality| personality.mail = vec![fault]);
    let desk = Desk::at(&sandbox, |yaml| yaml).await;
    desk.consents().await;
    assert_snapshot!(desk.read(&ports(&sandbox)).await);
    assert_eq!(sandbox.counters().smtp_logins, 0);
}

#[tokio::test]
async fn what_is_odd_about_a_token_is_why_it_is_refused() {
    let fits =
        r#""aud":"https://outlook.office.com","scp":"SMTP.Send POP.AccessAsUser.All IMAP.AccessAsUser.All""#;
    for (name, claims, identity) in [
        ("wrong_audience", r#"{"aud":"00000003-0000-0000-c000-000000000000","scp":"Mail.Send"}"#, ADDRESS),
        (
            "missing_scope",
            r#"{"aud":"https://outlook.office.com","scp":"SMTP.Send POP.AccessAsUser.All"}"#,
            ADDRESS,
        ),
        ("wrong_owner", &format!("{{{fits},\"upn\":\"admin@contoso.com\"}}"), "admin@contoso.com"),
    ] {
        let sandbox = Sandbox::start_as(Personality::exchange()).await.unwrap();
        let desk = Desk::at(&sandbox, |yaml| yaml).await;
        desk.has(claims, identity).await;
        // Where a registration is wrong, every token is.
        let same = serde_json::json!({ "access_token": planted(claims), "expires_in": 3600, "token_type": "Bearer" });
        let headers = vec![("content-type", "application/json".to_owned())];
        let answer = TokenFault::Answer { status: 200, headers, body: same.to_string() };
        sandbox.change(|personality| personality.token_endpoint = Some(answer));
        let steps = desk.tried().await;
        let of_interest = |step: &&Step| matches!(step.part, Part::Secret | Part::Login);
        let steps: Vec<Step> = steps.iter().filter(of_interest).cloned().collect();
        let text = told(&steps, &ports(&sandbox), OffsetDateTime::now_utc());
        assert!(!text.contains("e30."), "{text}");
        assert_snapshot!(format!("token_{name}"), text);
    }
}

#[tokio::test]
async fn scripts_read_every_part() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let desk = Desk::at_imap(&format!("{{ host: 127.0.0.1, port: {port}, tls: implicit }}")).await;
    let steps = desk.tried().await;
    let told: serde_json::Value = serde_json::from_str(&in_json(ADDRESS, false, None, &steps)).unwrap();
    let steps = told["steps"].as_array().unwrap();
    let names: Vec<&str> = steps.iter().map(|step| step["step"].as_str().unwrap()).collect();
    assert_eq!(names, ["configuration", "IMAP DNS", "IMAP TCP", "IMAP TLS", "password", "IMAP login"]);
    assert!(steps[1]["ms"].is_u64() && steps[1]["ok"] == true && steps[1]["cause"].is_null());
    assert!(steps[2]["ok"] == false && steps[2]["tried"] == true, "{told}");
    for key in ["said", "cause", "fix", "detail"] {
        assert!(steps[2][key].as_str().is_some_and(|text| !text.is_empty()), "{key}: {told}");
    }
    assert!(steps[5]["tried"] == false && steps[5]["user_name"] == ADDRESS, "{told}");
    assert_eq!((&told["address"], &told["ok"]), (&ADDRESS.into(), &false.into()));
}

#[tokio::test]
async fn a_provider_is_checked_without_an_account() {
    let sandbox = Sandbox::start().await.unwrap();
    let promise = |yaml: String| yaml.replace("[TOP, UIDL]", "[TOP, UIDL, PIPELINING]");
    let desk = Desk::at(&sandbox, promise).await;
    let begin = OffsetDateTime::now_utc();
    let steps = online::steps(Arc::clone(desk.provider())).await;
    assert_snapshot!("online", told(&steps, &ports(&sandbox), begin));
    assert_eq!(sandbox.counters().refresh_requests, 1, "with a token that nobody gave");

    let other =
        Desk::at(&sandbox, |yaml| yaml.replace("client_id: gatepost-sandbox", "client_id: other")).await;
    let steps = online::steps(Arc::clone(other.provider())).await;
    let steps: Vec<Step> = steps.into_iter().filter(|step| step.part == Part::Secret).collect();
    assert_snapshot!("online_unknown_client", told(&steps, &ports(&sandbox), begin));
    drop((desk.folder, other.folder));
}

#[tokio::test]
async fn a_token_that_a_session_would_renew_is_renewed() {
    let sandbox = Sandbox::start().await.unwrap();
    let desk = Desk::at(&sandbox, |yaml| yaml).await;
    desk.consents().await;
    sandbox.forget_access_tokens();
    let text = desk.read(&ports(&sandbox)).await;
    for protocol in Protocol::ALL {
        assert!(text.contains(&format!("✓ {protocol} login")), "{text}");
    }
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(text.matches("with a newer token").count(), 3, "{text}");
    assert_eq!(sandbox.counters().refresh_requests, 1, "one for all");
    assert!(!desk.read(&ports(&sandbox)).await.contains("newer"));
}

#[tokio::test]
async fn a_token_that_cannot_be_renewed_is_told_as_a_session_tells_it() {
    let sandbox = Sandbox::start_as(Personality::exchange()).await.unwrap();
    let desk = Desk::at(&sandbox, |yaml| yaml).await;
    desk.consents().await;
    sandbox.forget_access_tokens();
    sandbox.change(|personality| personality.token_endpoint = Some(TokenFault::entra_revoked()));
    let steps = desk.tried().await;
    let rows = steps.iter().filter_map(|step| match &step.outcome {
        Outcome::Failed(trouble) => trouble.diagnosis.map(|row| (step.part, row.id.as_str())),
        _ => None,
    });
    assert_eq!(rows.collect::<Vec<_>>(), [(Part::Login, "D71"); 3]);
    assert_eq!(worst(&steps, desk.provider()), Some(Exit::Upstream));
}

#[tokio::test]
async fn a_trial_ends_or_confirms_what_devices_met_and_begins_nothing() {
    let sandbox = Sandbox::start_as(Personality::exchange()).await.unwrap();
    let desk = Desk::at(&sandbox, |yaml| yaml).await;
    desk.consents().await;
    sandbox.switch_off(Protocol::Imap, ADDRESS);
    desk.tried().await;
    assert!(desk.store.upstream_logins().await.unwrap().is_empty(), "nobody uses IMAP");
    assert_eq!(desk.store.last_logins().await.unwrap().len(), 1);
    desk.store.note_let_in(desk.account.id, Protocol::Imap, SystemTime::UNIX_EPOCH).await.unwrap();
    desk.tried().await;
    let imap =
        async || desk.store.upstream_logins().await.unwrap().remove(&desk.account.id).unwrap().remove(0);
    assert!(imap().await.refused.is_some());
    sandbox.switch_on(Protocol::Imap, ADDRESS);
    desk.tried().await;
    assert_eq!(imap().await.refused, None);
}

#[tokio::test]
async fn a_message_that_nobody_takes_is_said_not_to_be_sent() {
    let sandbox = Sandbox::start_as(Personality::exchange()).await.unwrap();
    sandbox.switch_off(Protocol::Smtp, ADDRESS);
    let changes: [(fn(&str) -> String, &str, Exit); 2] = [
        (str::to_owned, "SMTP did not let Gatepost in, see above", Exit::Upstream),
        (without_smtp, "provider contoso has no SMTP", Exit::Configuration),
    ];
    for (change, reason, exit) in changes {
        let desk = Desk::at(&sandbox, |yaml| change(&yaml)).await;
        desk.consents().await;
        let mut steps = desk.tried().await;
        let from = trial(desk.provider(), &desk.account, &desk.store, Duration::from_secs(15), Vec::new());
        let sent = delivery::deliver(from, "bob@example.com", &desk.config, &steps, |_| Ok(())).await;
        steps.extend(sent.unwrap_or_else(|_| panic!("the store answers")));
        let last = steps.last().unwrap();
        let is_told = matches!(&last.outcome, Outcome::NotTried(told) if told == reason);
        assert!(last.name == "message" && is_told, "{last:?}");
        assert_eq!(worst(&steps, desk.provider()), Some(exit), "{reason}");
    }
}

fn without_smtp(yaml: &str) -> String {
    let line = |line: &str| {
        let is_smtp = line.trim_start().starts_with("smtp:");
        if is_smtp { String::new() } else { format!("{line}\n") }
    };
    yaml.lines().map(line).collect()
}

#[tokio::test]
async fn a_warning_is_about_the_provider_of_its_key_alone() {
    let sandbox = Sandbox::start().await.unwrap();
    let mut desk = Desk::at(&sandbox, |yaml| yaml).await;
    let remark = |key: &str| Complaint {
        file: "gatepost.yaml".into(),
        line: None,
        key: key.to_owned(),
        code: None,
        level: Level::Warning,
        text: "odd".to_owned(),
        repair: None,
    };
    let keys = ["providers.contoso", "providers.contoso.scopes[0]", "providers.contoso[0]"];
    let others = ["providers.contoso2.scopes", "providers.contoso-test", "listeners[0]"];
    desk.config.remarks = keys.into_iter().chain(others).map(remark).collect();
    let told = warnings_about(desk.provider(), &desk.config);
    assert_eq!(told.len(), keys.len(), "{told:?}");
}
