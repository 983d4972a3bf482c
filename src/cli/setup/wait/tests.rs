//! `--wait` against a provider in this process that lets nobody in at first. Nothing here waits: each pause is the moment at
//! which an administrator does something.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use tempfile::TempDir;

use super::*;
use crate::config::provider::UpstreamTls;
use crate::sandbox::record::Speaker;
use crate::sandbox::{
    Action, CLIENT_ID, CLIENT_SECRET, CLIENT_SECRET_VARIABLE, MailFault, Moment, Personality, Sandbox,
    TokenFault,
};
use crate::store::Store;
use crate::store::accounts::NewAccount;

const ANN: &str = "ann@example.com";
const SCAN: &str = "scan@example.com";

struct World {
    sandbox: Sandbox,
    config: Config,
    folder: TempDir,
}

/// What was told, how often it paused, and how it ended.
struct Told {
    lines: Vec<String>,
    counts: Vec<Count>,
    end: End,
}

impl World {
    async fn new() -> Self {
        let sandbox = Sandbox::start().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ca.pem"), sandbox.ca_pem()).unwrap();
        let provider = sandbox.provider_yaml("contoso", Path::new("ca.pem"), UpstreamTls::Implicit);
        let config = parsed(&folder, &provider.replace("authorization_code", "client_credentials"));
        Self { sandbox, config, folder }
    }

    /// A provider like Google, whose service account nobody has allowed anything yet.
    async fn with_service_account() -> Self {
        let world = Self::new().await;
        let path = world.folder.path().join("key.json");
        fs::write(&path, world.sandbox.service_account_key().unwrap()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        world.sandbox.change(|personality| *personality = Personality::gmail());
        let provider = world.sandbox.provider_yaml("workspace", Path::new("ca.pem"), UpstreamTls::Implicit);
        let is_kept = |line: &&str| !line.contains("client_id:") && !line.contains("client_secret:");
        let provider: Vec<_> = provider.lines().filter(is_kept).flat_map(|line| [line, "\n"]).collect();
        let grant = "grant: service_account\n    service_account: key.json";
        let provider = provider.concat().replace("grant: authorization_code", grant);
        Self { config: parsed(&world.folder, &provider), ..world }
    }

    async fn waiting(&self, mailboxes: &[&str]) -> Waiting {
        let named = mailboxes.iter().map(|&name| name.to_owned()).collect();
        let mailboxes = Mailboxes { named, domain: None };
        let grant = self.config.providers.values().next().unwrap().oauth().unwrap().grant;
        Waiting::begin(&self.config, None, grant, &mailboxes, &[]).await.unwrap()
    }

    /// Waits for an hour at most; `pauses` are what happens in each pause of ten minutes.
    async fn wait(&self, waiting: &mut Waiting, pauses: &[&dyn Fn(&Sandbox)]) -> Told {
        let (lines, mut counts) = (RefCell::new(Vec::new()), Vec::new());
        let told = |line: &str| {
            lines.borrow_mut().push(line.trim_end().to_owned());
            Ok(())
        };
        let pause = async |count| {
            if let Some(happens) = pauses.get(counts.len()) {
                happens(&self.sandbox);
            }
            counts.push(count);
            Duration::from_mins(10) * u32::try_from(counts.len()).unwrap()
        };
        let end = waiting.until_ready(Duration::from_hours(1), told, pause).await.unwrap();
        Told { lines: lines.into_inner(), counts, end }
    }
}

fn parsed(folder: &TempDir, provider: &str) -> Config {
    let text = format!("providers:\n{provider}state: state\n");
    let environment = |name: &str| (name == CLIENT_SECRET_VARIABLE).then(|| CLIENT_SECRET.to_owned());
    let config = Config::parse(&folder.path().join("gatepost.yaml"), &text, &environment);
    config.unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// From now on the token endpoint gives this token.
fn gives(sandbox: &Sandbox, token: &str) {
    let body = json!({ "access_token": token, "token_type": "Bearer", "expires_in": 3600 }).to_string();
    let answer = TokenFault::Answer { status: 200, headers: Vec::new(), body };
    sandbox.change(|personality| personality.token_endpoint = Some(answer));
}

/// From now on it answers this error.
fn fails(sandbox: &Sandbox, code: &str, description: &str) {
    let answer = TokenFault::error(code, description);
    sandbox.change(|personality| personality.token_endpoint = Some(answer));
}

#[tokio::test]
async fn it_ends_when_the_last_mailbox_is_let_in() {
    let world = World::new().await;
    let refusals = vec![
        MailFault::exchange_refusal(),
        MailFault::refusal(Protocol::Pop3, false, "-ERR Authentication failure\r\n"),
        MailFault::exchange_not_connected(),
    ];
    world.sandbox.change(|personality| personality.mail = refusals);
    let mut waiting = world.waiting(&[ANN]).await;
    let told = world
        .wait(
            &mut waiting,
            &[&|sandbox| sandbox.change(|personality| personality.mail.truncate(1)), &|_| {}, &|sandbox| {
                sandbox.change(|personality| personality.mail.clear());
            }],
        )
        .await;
    assert_eq!(told.end, End::Ready);
    assert_eq!(told.counts, [Count { ready: 0, all: 1 }; 3]);
    let [smtp, pop3, imap, then @ ..] = told.lines.as_slice() else { panic!("{:?}", told.lines) };
    for (line, protocol, words) in [
        (smtp, "SMTP", "535 5.7.3"),
        (pop3, "POP3", "Authentication failure"),
        (imap, "IMAP", "User is authenticated but not connected"),
    ] {
        assert!(line.contains(&format!("\u{2717} {ANN}, {protocol}: ")) && line.contains(words), "{line}");
    }
    let ready = |protocol, time| format!("\u{2713} {ANN}, {protocol}: ready after {time}");
    assert_eq!(then, [ready("POP3", "10 min"), ready("IMAP", "10 min"), ready("SMTP", "30 min")]);
    let counters = world.sandbox.counters();
    assert_eq!((counters.smtp_connections, counters.pop3_connections, counters.imap_connections), (4, 2, 2));
    assert_eq!(counters.client_credentials_requests, 4, "one token for all, and a new one each time");
}

#[tokio::test]
async fn a_mailbox_that_may_not_send_is_not_ready_and_nothing_is_sent() {
    let world = World::new().await;
    let words = "430 4.2.0 STOREDRV; mailbox logon failure";
    let fault =
        MailFault { protocol: Protocol::Smtp, at: Moment::Command, action: Action::Answer(words.to_owned()) };
    world.sandbox.change(|personality| personality.mail = vec![fault]);
    let mut waiting = world.waiting(&[SCAN]).await;
    let mended: &dyn Fn(&Sandbox) = &|sandbox| sandbox.change(|personality| personality.mail.clear());
    let told = world.wait(&mut waiting, &[mended]).await;
    assert_eq!(told.end, End::Ready);
    let expected = format!("the login succeeds, and MAIL FROM is refused: {words}");
    assert!(told.lines.iter().any(|line| line.ends_with(&expected)), "{:?}", told.lines);
    let said: Vec<_> = world
        .sandbox
        .dialogues()
        .into_iter()
        .filter(|dialogue| dialogue.protocol == Protocol::Smtp)
        .flat_map(|dialogue| dialogue.lines)
        .filter(|line| line.speaker == Speaker::Client)
        .map(|line| line.text)
        .filter(|text| ["MAIL", "RCPT", "DATA"].iter().any(|verb| text.starts_with(verb)))
        .collect();
    assert_eq!(said, [format!("MAIL FROM:<{SCAN}>"), format!("MAIL FROM:<{SCAN}>")]);
}

#[tokio::test]
async fn what_waiting_cannot_mend_ends_it_at_once() {
    for (code, description, end) in [
        ("invalid_client", "AADSTS7000215: Invalid client secret provided.", End::Hopeless),
        ("unauthorized_client", "AADSTS700016: Application was not found in the directory.", End::Hopeless),
        ("invalid_request", "AADSTS90002: Tenant not found.", End::Hopeless),
        ("invalid_grant", "AADSTS90055: throttled", End::TimedOut),
        ("temporarily_unavailable", "", End::TimedOut),
    ] {
        let world = World::new().await;
        fails(&world.sandbox, code, description);
        let mut waiting = world.waiting(&[ANN, SCAN]).await;
        let told = world.wait(&mut waiting, &[]).await;
        assert_eq!(told.end, end, "{description}");
        assert_eq!(told.counts.len(), if end == End::Hopeless { 0 } else { 6 }, "{description}");
        assert_eq!(told.lines.len(), 1, "one cause is told once: {:?}", told.lines);
        let missing = waiting.what_is_missing(end, Duration::from_hours(1));
        for words in [description, "0 of 2 mailboxes", "enterprise application", "half an hour"] {
            assert!(missing.contains(words), "{missing}");
        }
        assert_eq!(missing.starts_with("waiting does not help"), end == End::Hopeless, "{missing}");
    }
}

#[tokio::test]
async fn without_a_network_the_network_is_what_is_told() {
    let World { sandbox, config, folder } = World::new().await;
    let named = [ANN, SCAN].map(str::to_owned).to_vec();
    let mailboxes = Mailboxes { named, domain: None };
    let mut waiting =
        Waiting::begin(&config, None, GrantType::ClientCredentials, &mailboxes, &[]).await.unwrap();
    drop((sandbox, folder));
    let lines = RefCell::new(Vec::new());
    let told = |line: &str| {
        lines.borrow_mut().push(line.to_owned());
        Ok(())
    };
    let end = waiting.until_ready(Duration::ZERO, told, async |_| Duration::ZERO).await.unwrap();
    assert_eq!(end, End::TimedOut);
    let lines = lines.into_inner();
    assert!(
        matches!(lines.as_slice(), [line] if line.contains("every mailbox: no token: The provider's token server cannot be reached (G27): not reach")),
        "{lines:?}"
    );
    let missing = waiting.what_is_missing(end, Duration::ZERO);
    assert_eq!(missing.matches("not reachable").count(), 1, "{missing}");
    assert!(
        missing.ends_with(
            "To check:\n  - the network of this machine: its connection, DNS, and what a firewall lets out"
        ),
        "{missing}"
    );
}

#[tokio::test]
async fn a_token_without_a_permission_says_whose_click_is_missing() {
    let claims = r#"{"tid":"t","oid":"22222222","roles":["SMTP.SendAsApp"]}"#;
    let token = format!("e30.{}.signature", BASE64_URL_SAFE_NO_PAD.encode(claims));
    let world = World::new().await;
    gives(&world.sandbox, &token);
    let mut waiting = world.waiting(&[ANN]).await;
    let told = world.wait(&mut waiting, &[]).await;
    // SMTP may still come; the other two will not, which keeps nobody from waiting for SMTP.
    assert_eq!(told.end, End::TimedOut);
    let missing = waiting.what_is_missing(told.end, Duration::from_hours(1));
    for (words, expected) in [
        ("POP3: the token lacks POP.AccessAsApp", true),
        ("IMAP: the token lacks IMAP.AccessAsApp", true),
        ("lacks SMTP.SendAsApp", false),
        ("SMTP: awaiting the reply to AUTH", false),
        ("    22222222\n", true),
    ] {
        assert_eq!(missing.contains(words), expected, "{words}: {missing}");
    }
    waiting.logins.retain(|login| login.protocol != Protocol::Smtp);
    let told = world.wait(&mut waiting, &[]).await;
    assert_eq!((told.end, told.counts.len()), (End::Hopeless, 1), "five minutes are enough for a consent");
}

#[tokio::test]
async fn exchange_is_waited_for_until_its_servers_have_heard_of_the_permission() {
    let world = World::new().await;
    world.sandbox.change(|personality| {
        *personality = Personality::exchange();
        personality.propagation = 2;
    });
    let mut waiting = world.waiting(&[SCAN, ANN]).await;
    let script = |sandbox: &Sandbox| {
        for mailbox in [ANN, SCAN] {
            sandbox.grant_full_access(mailbox, CLIENT_ID);
        }
    };
    let told = world.wait(&mut waiting, &[&|_| {}, &script]).await;
    assert_eq!(told.end, End::Ready, "{:?}", told.lines);
    // Two looks in vain are a round, by POP3 and by IMAP: SMTP lets an application in before anybody grants it anything.
    assert_eq!(told.counts, [Count { ready: 0, all: 2 }; 3]);
    for mailbox in [ANN, SCAN] {
        for (protocol, time) in [("SMTP", "0 s"), ("POP3", "30 min"), ("IMAP", "30 min")] {
            let ready = format!("\u{2713} {mailbox}, {protocol}: ready after {time}");
            assert!(told.lines.contains(&ready), "{:?}", told.lines);
        }
    }
    assert_eq!(waiting.what_is_left_open(), None);
    waiting.logins.retain(|login| login.protocol == Protocol::Smtp);
    assert!(waiting.what_is_left_open().is_some_and(|note| note.contains("first message")));
}

#[tokio::test]
async fn a_delegation_that_has_not_come_into_force_is_waited_for() {
    let world = World::with_service_account().await;
    let mut waiting = world.waiting(&[ANN]).await;
    let allowed: &dyn Fn(&Sandbox) =
        &|sandbox| sandbox.delegate_domain("example.com", "https://mail.google.com/");
    let told = world.wait(&mut waiting, &[&|_| {}, allowed]).await;
    assert_eq!(told.end, End::Ready, "{:?}", told.lines);
    let not_yet = "Client is unauthorized to retrieve access tokens using this method";
    assert_eq!(told.lines.iter().filter(|line| line.contains(not_yet)).count(), 1);
    assert_eq!(told.lines.len(), 4, "{:?}", told.lines);

    let unknown = "Invalid email or User ID";
    fails(&world.sandbox, "invalid_grant", unknown);
    let mut waiting = world.waiting(&[SCAN]).await;
    let told = world.wait(&mut waiting, &[]).await;
    assert_eq!((told.end, told.counts.len()), (End::Hopeless, 0));
    let missing = waiting.what_is_missing(told.end, Duration::ZERO);
    for words in [unknown, "Domain-wide delegation", "gatepost@sandbox.iam.gserviceaccount.com"] {
        assert!(missing.contains(words), "{missing}");
    }
}

#[tokio::test]
async fn accounts_are_tried_where_no_mailbox_is_named_and_lend_their_user_names() {
    let world = World::new().await;
    let store = Store::open(&world.config.state_dir).await.unwrap();
    for (address, smtp_user_name) in [(ANN, None), ("shared@other.example", Some("delegate@other.example"))] {
        let account = NewAccount {
            address: address.to_owned(),
            provider: "contoso".to_owned(),
            smtp_user_name: smtp_user_name.map(str::to_owned),
            ..NewAccount::default()
        };
        store.add_account(&account, None).await.unwrap();
    }
    let found = async |named: &[&str], domain: Option<&str>| {
        let named = named.iter().map(|&name| name.to_owned()).collect();
        let mailboxes = Mailboxes { named, domain: domain.map(str::to_owned) };
        let grant = GrantType::ClientCredentials;
        let waiting = Waiting::begin(&world.config, None, grant, &mailboxes, &[Protocol::Smtp]).await;
        let logins = waiting.map_err(|failure| failure.message)?.logins;
        Ok::<Vec<_>, String>(logins.into_iter().map(|login| (login.mailbox, login.user_name)).collect())
    };
    let pair = |address: &str, user_name: &str| (address.to_owned(), user_name.to_owned());
    let (ann, shared) = (pair(ANN, ANN), pair("shared@other.example", "delegate@other.example"));
    assert_eq!(found(&[], None).await.unwrap(), [ann.clone(), shared.clone()]);
    assert_eq!(found(&[], Some("other.example")).await.unwrap(), std::slice::from_ref(&shared));
    assert_eq!(found(&["shared@other.example", SCAN], None).await.unwrap(), [shared, pair(SCAN, SCAN)]);
    let problem = found(&[], Some("nowhere.example")).await.unwrap_err();
    assert!(problem.contains("there is no mailbox to try"), "{problem}");
}

#[tokio::test]
async fn a_script_reads_each_login() {
    let world = World::new().await;
    world.sandbox.change(|personality| personality.mail = vec![MailFault::exchange_refusal()]);
    let mut waiting = world.waiting(&[ANN]).await;
    let told = world.wait(&mut waiting, &[]).await;
    let read = waiting.in_json(told.end, Duration::from_secs(90));
    assert_eq!((&read["ready"], &read["seconds"]), (&json!(false), &json!(90)));
    let mailboxes = read["mailboxes"].as_array().unwrap();
    let smtp = mailboxes.first().unwrap();
    assert_eq!(
        (&smtp["address"], &smtp["protocol"], &smtp["ready"]),
        (&json!(ANN), &json!("smtp"), &json!(false))
    );
    assert!(smtp["detail"].as_str().unwrap().contains("535 5.7.3"), "{smtp}");
    let imap = json!({ "address": ANN, "protocol": "imap", "ready": true, "detail": null });
    assert_eq!(mailboxes.last(), Some(&imap));
}
