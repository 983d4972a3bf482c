//! Alarms, from what the store says to what somebody hears: the log, a real program, a message through an account that works.
//! The clock is set by hand; only the tests with daemons and commands go by the system's.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test says what is wrong by panicking")]

mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use gatepost::account::AccountId;
use gatepost::alarm::Alarms;
use gatepost::clock::{Clock, Hands};
use gatepost::config::Config;
use gatepost::config::provider::UpstreamTls;
use gatepost::daemon::Daemon;
use gatepost::mailbox_password::MailboxPasswords;
use gatepost::oauth::Tokens;
use gatepost::sandbox::{
    Action, CLIENT_SECRET, CLIENT_SECRET_VARIABLE, MailFault, Moment, Personality, Sandbox,
};
use gatepost::session::upstream::UpstreamError;
use gatepost::store::Store;
use gatepost::store::accounts::NewAccount;
use gatepost::store::grants::{GrantKey, NewTokens};
use gatepost::store::upstream_logins::RefusedLogin;
use gatepost_protocol::Protocol;
use gatepost_protocol::failure::{Refusal, RefusalKind};
use gatepost_protocol::secret::Secret;
use tempfile::TempDir;
use time::macros::datetime;

use support::leftovers::eventually;
use support::log::Log;
use support::process::said;

const ADMIN: &str = "admin@example.com";
const SICK: &str = "sick@example.com";
const HEALTHY: &str = "healthy@example.com";
const APP_PASSWORD: &str = "app password of the healthy";
const REFRESH_TOKEN: &str = "planted-refresh-token";
const DAY: Duration = Duration::from_hours(24);

/// Two providers, an account at each: one with OAuth, and one of passwords, whose mail arrives.
struct Night {
    oauth: Sandbox,
    post: Sandbox,
    folder: TempDir,
    yaml: String,
    store: Store,
    sick: AccountId,
    healthy: AccountId,
    clock: Clock,
    hands: Hands,
    passwords: Arc<MailboxPasswords>,
    alarms: Alarms,
}

impl Night {
    /// With this under `on_alarm:`, where `HEARD` is the file that the test's command writes into.
    async fn begin(on_alarm: &str) -> Self {
        Self::at(datetime!(2026-11-22 3:00 UTC).into(), on_alarm, |provider| provider).await
    }

    async fn at(now: SystemTime, on_alarm: &str, provider: impl FnOnce(String) -> String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let oauth = Sandbox::start().await.unwrap();
        let post = Sandbox::start_as(Personality::post(APP_PASSWORD)).await.unwrap();
        let written = |sandbox: &Sandbox, name: &str| {
            let ca_file = folder.path().join(format!("{name}-ca.pem"));
            std::fs::write(&ca_file, sandbox.ca_pem()).unwrap();
            sandbox.provider_yaml(name, &ca_file, UpstreamTls::Implicit)
        };
        let on_alarm = on_alarm.replace("HEARD", folder.path().join("heard").to_str().unwrap());
        let yaml = format!(
            "providers:\n{}{}listeners: [{{ protocol: smtp, address: \"127.0.0.1:0\", tls: none }}]\nstate: state\n{on_alarm}",
            provider(written(&oauth, "oauth")),
            written(&post, "post"),
        );
        let store = Store::open(&folder.path().join("state")).await.unwrap();
        let add = async |address: &str, provider: &str| {
            let account = NewAccount {
                address: address.to_owned(),
                provider: provider.to_owned(),
                ..NewAccount::default()
            };
            store.add_account(&account, None).await.unwrap().0
        };
        let (sick, healthy) = (add(SICK, "oauth").await, add(HEALTHY, "post").await);
        let (clock, hands) = Clock::by_hand(now);
        let config = config(folder.path(), &yaml);
        let passwords = Arc::new(MailboxPasswords::new(store.clone()));
        let alarms = Alarms::new(
            Arc::new(config),
            store.clone(),
            Tokens::new(store.clone()),
            Arc::clone(&passwords),
            clock.clone(),
        );
        let night = Self { oauth, post, folder, yaml, store, sick, healthy, clock, hands, passwords, alarms };
        night.connect(night.sick).await;
        night.heal().await;
        night
    }

    /// Another process on the same store.
    async fn another(&self) -> Alarms {
        self.another_by(self.clock.clone()).await
    }

    async fn another_by(&self, clock: Clock) -> Alarms {
        self.another_that_reads(&self.yaml, clock).await
    }

    async fn another_that_reads(&self, yaml: &str, clock: Clock) -> Alarms {
        let store = Store::open(&self.folder.path().join("state")).await.unwrap();
        let config = Arc::new(config(self.folder.path(), yaml));
        let passwords = Arc::new(MailboxPasswords::new(store.clone()));
        Alarms::new(config, store.clone(), Tokens::new(store), passwords, clock)
    }

    /// Tokens come for the account, as of now.
    async fn connect(&self, account: AccountId) {
        let now = self.clock.now();
        let tokens = NewTokens {
            access_token: Secret::new("planted-access-token".to_owned()),
            refresh_token: Some(Secret::new(REFRESH_TOKEN.to_owned())),
            issued_at: now,
            expires_at: now + Duration::from_hours(1),
            scopes: Vec::new(),
            identity: None,
        };
        self.store.replace_grant(&GrantKey::Account(account), &tokens).await.unwrap();
    }

    /// The provider says that the consent is void.
    async fn refuse(&self) {
        let key = GrantKey::Account(self.sick);
        let version = self.store.grant(&key).await.unwrap().unwrap().version;
        self.store.mark_refused(&key, version, "invalid_grant: the consent was withdrawn").await.unwrap();
    }

    /// The token endpoint does not answer, and the token has ended.
    async fn outage(&self) {
        let key = GrantKey::Account(self.sick);
        let version = self.store.grant(&key).await.unwrap().unwrap().version;
        self.store
            .note_failure(&key, Some(version), self.clock.now(), "not reachable: no route to host", false)
            .await
            .unwrap();
    }

    /// The other account has a password that works.
    async fn heal(&self) {
        let password = Secret::new(APP_PASSWORD.to_owned());
        self.store.replace_mailbox_password(self.healthy, &password).await.unwrap();
    }

    /// Looks and tells once, `later` than before.
    async fn look(&self, later: Duration) {
        self.hands.forward(later);
        tell(&self.alarms).await;
    }

    /// What the command has been told so far, a line for each run.
    fn heard(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.folder.path().join("heard")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// The messages that the admin got.
    fn mail(&self) -> Vec<String> {
        let text = |message: bytes::Bytes| String::from_utf8(message.to_vec()).unwrap();
        self.post.mailbox(ADMIN).into_iter().map(text).collect()
    }

    /// The configuration as a file, for commands.
    fn file(&self) -> PathBuf {
        let path = self.folder.path().join("gatepost.yaml");
        std::fs::write(&path, &self.yaml).unwrap();
        path
    }
}

async fn tell(alarms: &Alarms) {
    alarms.look().await.unwrap();
    alarms.run_commands().await.unwrap();
    alarms.send_mail().await.unwrap();
}

fn config(folder: &Path, yaml: &str) -> Config {
    let environment = |name: &str| (name == CLIENT_SECRET_VARIABLE).then(|| CLIENT_SECRET.to_owned());
    Config::parse(&folder.join("gatepost.yaml"), yaml, &environment).unwrap()
}

/// Writes a line for each run.
const RECORD: &str = "on_alarm:
  command: [sh, -c, 'echo \"$GATEPOST_ALARM_KIND $GATEPOST_ALARM_ACCOUNT$GATEPOST_ALARM_PROVIDER $GATEPOST_ALARM_STATE$GATEPOST_ALARM_DAYS_LEFT\" >> \"$1\"', page, HEARD]
";

const MAIL: &str = "on_alarm: { mail_to: admin@example.com }\n";

/// How often the log says it.
fn lines(log: &Log, words: &str) -> usize {
    log.text().lines().filter(|line| line.contains(words)).count()
}

#[tokio::test]
async fn a_refused_account_is_told_once_whoever_looks_and_that_it_is_well_again_too() {
    let log = Log::begin();
    let night = Night::begin(RECORD).await;
    let another = night.another().await;
    night.look(Duration::ZERO).await;
    assert_eq!(night.heard(), [""; 0], "nothing is wrong");

    night.refuse().await;
    for _ in 0..3 {
        night.look(Duration::from_mins(1)).await;
        tell(&another).await;
    }
    let refused = format!("account {SICK}oauth refused");
    assert_eq!(night.heard(), [refused.as_str()]);
    let words = "WARN gatepost::alarm: sick@example.com is refused: The provider takes the consent no more (D140): \
                 invalid_grant: the consent was withdrawn; next: The person consents again: gatepost connect \
                 sick@example.com";
    assert_eq!(lines(&log, words), 1, "{}", log.text());
    // Another day, another line; after a restart too.
    night.look(DAY).await;
    tell(&night.another().await).await;
    assert_eq!((lines(&log, words), night.heard().len()), (2, 1));

    night.connect(night.sick).await;
    night.look(Duration::ZERO).await;
    assert_eq!(night.heard().len(), 1, "not at once");
    night.look(Duration::from_mins(10)).await;
    tell(&another).await;
    assert_eq!(night.heard(), [refused.as_str(), &format!("all_clear {SICK}oauth connected")]);
    assert_eq!(lines(&log, "INFO gatepost::alarm: sick@example.com is connected again"), 1);
    night.look(2 * DAY).await;
    assert!(night.store.alarms().await.unwrap().is_empty(), "what is over is forgotten");
}

#[tokio::test]
async fn a_mailbox_that_the_mail_server_refuses_rings_until_a_login_gets_in() {
    let night = Night::begin(RECORD).await;
    let said =
        "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.";
    let refused =
        RefusedLogin { at: night.clock.now(), said: said.to_owned(), diagnosis: Some("D02".to_owned()) };
    // No device can come by IMAP here.
    night.store.note_refused_login(night.sick, Protocol::Imap, &refused).await.unwrap();
    night.look(Duration::from_mins(31)).await;
    assert_eq!(night.heard(), [""; 0]);
    let smtp = RefusedLogin { at: night.clock.now(), ..refused };
    night.store.note_refused_login(night.sick, Protocol::Smtp, &smtp).await.unwrap();
    for minutes in [1, 28] {
        night.look(Duration::from_mins(minutes)).await;
    }
    // Another device is refused too, for the same reason.
    let again = RefusedLogin { at: night.clock.now(), ..smtp };
    night.store.note_refused_login(night.sick, Protocol::Smtp, &again).await.unwrap();
    assert_eq!(night.heard(), [""; 0], "the next login may get in");
    night.look(Duration::from_mins(1)).await;
    // A consent opens no mailbox that its server refuses.
    night.connect(night.sick).await;
    night.look(Duration::from_mins(30)).await;
    assert_eq!(night.heard(), [format!("account {SICK}oauth refused")]);
    night.store.note_let_in(night.sick, Protocol::Smtp, night.clock.now()).await.unwrap();
    for minutes in [0, 10] {
        night.look(Duration::from_mins(minutes)).await;
    }
    assert_eq!(night.heard().len(), 2);
    assert_eq!(night.heard()[1], format!("all_clear {SICK}oauth connected"));
}

#[tokio::test]
async fn an_outage_of_five_minutes_does_not_ring_and_one_of_an_hour_does() {
    let log = Log::begin();
    let night = Night::begin(RECORD).await;
    night.hands.forward(Duration::from_hours(2));
    night.outage().await;
    for minutes in [0, 5] {
        night.look(Duration::from_mins(minutes)).await;
    }
    night.connect(night.sick).await;
    night.look(Duration::from_hours(2)).await;
    assert_eq!((night.heard().len(), lines(&log, " WARN ")), (0, 0), "{}", log.text());

    night.outage().await;
    for _ in 0..60 {
        night.look(Duration::from_mins(1)).await;
    }
    assert_eq!(night.heard(), [format!("account {SICK}oauth expired")]);
    assert_eq!(
        lines(
            &log,
            "is expired: The provider's token server cannot be reached (G27): not reachable: no route to host; next: \
             Gatepost tries again by itself. Look at"
        ),
        1,
        "{}",
        log.text()
    );
}

#[tokio::test]
async fn a_secret_is_told_at_thirty_seven_and_one_days_and_logged_every_day() {
    let log = Log::begin();
    let expires = |provider: String| {
        provider.replace(
            &format!("env: {CLIENT_SECRET_VARIABLE}"),
            &format!("env: {CLIENT_SECRET_VARIABLE}, expires: 2027-01-31"),
        )
    };
    let night = Night::at(datetime!(2026-12-31 12:00 UTC).into(), RECORD, expires).await;
    night.look(Duration::ZERO).await;
    assert_eq!(night.heard(), [""; 0], "30 days and a half");
    for _ in 0..31 {
        // Refreshed all the time.
        night.connect(night.sick).await;
        night.look(DAY).await;
    }
    let told = ["30", "7", "1", "0"].map(|days| format!("client_secret oauth {days}"));
    assert_eq!(night.heard(), told);
    assert_eq!(lines(&log, "WARN gatepost::alarm: the client secret of provider oauth end"), 31);
    for words in [
        "ends in 30 days, on 2027-01-31: 1 account gets its tokens with it",
        "ends within a day, on 2027-01-31: 1 account",
        "ended on 2027-01-31: 1 account",
    ] {
        assert_eq!(lines(&log, words), 1, "{words}");
    }
}

#[tokio::test]
async fn the_end_of_what_nobody_uses_rings_nothing() {
    let secret = format!("env: {CLIENT_SECRET_VARIABLE}");
    let expires = |provider: String| provider.replace(&secret, &format!("{secret}, expires: 2026-11-25"));
    let night = Night::at(datetime!(2026-11-22 3:00 UTC).into(), RECORD, expires).await;
    night.store.set_disabled(night.sick, true).await.unwrap();
    night.look(Duration::ZERO).await;
    assert_eq!(night.heard(), [""; 0]);
    night.store.set_disabled(night.sick, false).await.unwrap();
    night.look(Duration::ZERO).await;
    assert_eq!(night.heard(), ["client_secret oauth 3"]);
}

#[tokio::test]
async fn a_consent_that_is_not_used_is_told_before_the_provider_forgets_it() {
    let limit = |provider: String| provider + "    consent_idle_limit: 90d\n";
    let log = Log::begin();
    let night = Night::at(datetime!(2026-11-22 3:00 UTC).into(), RECORD, limit).await;
    let elsewhere =
        NewAccount { address: SICK.to_owned(), provider: "post".to_owned(), ..NewAccount::default() };
    night.store.add_account(&elsewhere, None).await.unwrap();
    for (days, told) in [(59, 0), (1, 1), (1, 1), (22, 2), (6, 3)] {
        night.look(days * DAY).await;
        assert_eq!(night.heard().len(), told, "{:?}", night.heard());
    }
    assert_eq!(night.heard()[2], format!("consent {SICK}oauth connected1"));
    assert!(lines(&log, "next: gatepost test sick@example.com --provider oauth") > 0, "{}", log.text());
    // It is used: that is the end of it, and of all that was told.
    night.connect(night.sick).await;
    night.look(Duration::ZERO).await;
    night.look(Duration::from_mins(10)).await;
    assert!(night.store.alarms().await.unwrap().is_empty());
    night.look(60 * DAY).await;
    assert_eq!(night.heard().len(), 4, "and it begins anew");
}

#[tokio::test]
async fn a_command_that_fails_is_tried_five_times_and_says_why_in_the_log() {
    let log = Log::begin();
    let failing = "on_alarm:\n  command: [sh, -c, 'echo run >> \"$1\"; echo the pager is out of paper >&2; exit 9', page, HEARD]\n";
    let night = Night::begin(failing).await;
    night.refuse().await;
    for (minutes, runs) in
        [(0, 1), (2, 1), (1, 2), (9, 2), (1, 3), (59, 3), (1, 4), (239, 4), (1, 5), (600, 5)]
    {
        night.look(Duration::from_mins(minutes)).await;
        assert_eq!(night.heard().len(), runs, "after {minutes} minutes more");
    }
    let words = "the alarm command sh failed (exit status: 9): the pager is out of paper; it ";
    assert_eq!(lines(&log, &format!("{words}is tried again")), 4, "{}", log.text());
    assert_eq!(lines(&log, &format!("{words}was tried for the last time")), 1);
    for secret in [REFRESH_TOKEN, APP_PASSWORD, CLIENT_SECRET] {
        assert!(!log.text().contains(secret));
    }
}

#[tokio::test]
async fn the_sick_account_is_mailed_about_through_the_healthy_one() {
    let night = Night::begin(MAIL).await;
    let another = night.another().await;
    night.refuse().await;
    for _ in 0..2 {
        night.look(Duration::from_mins(20)).await;
        tell(&another).await;
    }
    let mail = night.mail();
    assert_eq!(mail.len(), 1, "{mail:?}");
    let (header, body) = mail[0].split_once("\r\n\r\n").unwrap();
    // Quoted-printable, as its lines are long.
    let body = body.replace("=\r\n", "");
    let header = header.replace("\r\n ", " ");
    for line in [
        &format!("From: \"Gatepost\" <{HEALTHY}>"),
        &format!("To: <{ADMIN}>"),
        "Auto-Submitted: auto-generated",
        "Date: Sun, 22 Nov 2026 03:20:00 +0000",
    ] {
        assert!(header.lines().any(|said| said == line), "{line} is not in\n{header}");
    }
    let subject = header.lines().find(|line| line.starts_with("Subject: ")).unwrap();
    assert!(
        subject.starts_with("Subject: Gatepost on ") && subject.ends_with(": sick@example.com is refused"),
        "{subject}"
    );
    for line in [
        "sick@example.com is refused.",
        "  Why: The provider takes the consent no more (D140): invalid_grant: the consent was withdrawn",
        "  Next: The person consents again: gatepost connect sick@example.com",
    ] {
        assert!(body.lines().any(|said| said == line), "{line} is not in\n{body}");
    }
    assert_eq!(night.oauth.counters().smtp_connections, 0, "the provider in trouble was not asked");
    // What was said on the wire.
    let said = night.post.dialogues().into_iter().flat_map(|dialogue| dialogue.lines).map(|line| line.text);
    let said: Vec<String> =
        said.filter(|text| ["MAIL", "RCPT", "QUIT"].iter().any(|verb| text.starts_with(verb))).collect();
    assert_eq!(said, [format!("MAIL FROM:<{HEALTHY}>"), format!("RCPT TO:<{ADMIN}>"), "QUIT".to_owned()]);
}

#[tokio::test]
async fn an_account_that_smtp_refuses_mails_nothing_and_one_that_imap_refuses_does() {
    let night = Night::begin(MAIL).await;
    let imap = "tls: none }, { protocol: imap, address: \"127.0.0.1:0\", tls: none }]";
    let yaml = night.yaml.replace("tls: none }]", imap);
    let alarms = night.another_that_reads(&yaml, night.clock.clone()).await;
    let refused = RefusedLogin { at: night.clock.now(), said: "no".to_owned(), diagnosis: None };
    for protocol in [Protocol::Smtp, Protocol::Imap] {
        night.store.note_refused_login(night.healthy, protocol, &refused).await.unwrap();
    }
    night.refuse().await;
    tell(&alarms).await;
    assert_eq!(night.mail(), [""; 0]);
    night.hands.forward(Duration::from_mins(1));
    night.store.note_let_in(night.healthy, Protocol::Smtp, night.clock.now()).await.unwrap();
    tell(&alarms).await;
    assert_eq!(night.mail().len(), 1);
}

#[tokio::test]
async fn several_alarms_go_into_one_message() {
    let night = Night::begin(MAIL).await;
    for number in 0..3 {
        let address = format!("more{number}@example.com");
        let account = NewAccount { address, provider: "oauth".to_owned(), ..NewAccount::default() };
        let id = night.store.add_account(&account, None).await.unwrap().0;
        night.connect(id).await;
        let key = GrantKey::Account(id);
        night.store.mark_refused(&key, 1, "invalid_grant").await.unwrap();
    }
    night.refuse().await;
    night.look(Duration::ZERO).await;
    let mail = night.mail();
    assert_eq!(mail.len(), 1);
    assert!(mail[0].contains(": 4 alarms\r\n") && mail[0].matches("is refused.").count() == 4, "{}", mail[0]);
}

#[tokio::test]
async fn without_a_healthy_account_the_log_says_so_and_the_message_goes_out_once_there_is_one() {
    let log = Log::begin();
    let night = Night::begin(MAIL).await;
    let version = night.store.mailbox_password(night.healthy).await.unwrap().unwrap().version;
    night.store.note_password_verdict(night.healthy, version, Some("535 5.7.8 no")).await.unwrap();
    night.refuse().await;
    for _ in 0..10 {
        night.look(Duration::from_hours(1)).await;
    }
    assert_eq!(
        lines(&log, "an alarm cannot be mailed yet: no account is connected that can send"),
        1,
        "{}",
        log.text()
    );
    assert_eq!(night.mail().len(), 0);
    night.heal().await;
    night.look(Duration::from_mins(1)).await;
    let mail = night.mail();
    assert!(mail.len() == 1 && mail[0].contains("sick@example.com is refused."), "{mail:?}");
}

/// The provider's answer to a wrong password.
fn wrong_password(state: &'static str) -> UpstreamError {
    let text = "535 5.7.8 Wrong user name or password".to_owned();
    let kind = RefusalKind::Rejected;
    UpstreamError::Refused(Refusal { kind, state, text, challenge: None, after_secret: true })
}

#[tokio::test]
async fn what_the_provider_said_to_a_device_holds_for_a_message_and_the_other_way_round() {
    let night = Night::begin(MAIL).await;
    let account = night.store.account(night.healthy).await.unwrap().unwrap();
    let version = night.passwords.stored(&account).await.unwrap().version;
    night.passwords.refused(&account, Protocol::Smtp, version, &wrong_password("AUTH")).await;
    night.store.note_password_verdict(account.id, version, None).await.unwrap();
    night.refuse().await;
    night.look(Duration::ZERO).await;
    assert_eq!((night.post.counters().smtp_connections, night.mail().len()), (0, 0), "not so soon again");

    night.heal().await;
    night.look(Duration::from_hours(1)).await;
    assert_eq!(night.mail().len(), 1);
    let version = night.passwords.stored(&account).await.unwrap().version;
    night.passwords.refused(&account, Protocol::Pop3, version, &wrong_password("PASS")).await;
    let standing = night.store.password_standings().await.unwrap().remove(&account.id).unwrap();
    assert_eq!(standing, None, "SMTP has just taken it");
}

#[tokio::test]
async fn a_provider_that_takes_no_message_is_asked_again_and_not_for_ever() {
    let log = Log::begin();
    let night = Night::begin(MAIL).await;
    let busy = "452 4.2.2 The mailbox is full".to_owned();
    let fault = MailFault { protocol: Protocol::Smtp, at: Moment::Command, action: Action::Answer(busy) };
    night.post.change(|personality| personality.mail.push(fault));
    night.refuse().await;
    night.look(Duration::ZERO).await;
    assert_eq!(lines(&log, "MAIL FROM is refused: 452 4.2.2 The mailbox is full"), 1, "{}", log.text());
    for _ in 0..6 {
        night.look(Duration::from_hours(4)).await;
    }
    assert_eq!(lines(&log, "an alarm could not be mailed, and is tried again"), 4);
    assert_eq!(lines(&log, "an alarm could not be mailed, and was tried for the last time"), 1);
    assert!(!log.text().contains(APP_PASSWORD));
}

#[tokio::test]
async fn of_two_daemons_on_one_store_one_tells() {
    let log = Log::begin();
    let night = Night::begin(RECORD).await;
    night.refuse().await;
    let mut daemons = Vec::new();
    for _ in 0..2 {
        let store = Store::open(&night.folder.path().join("state")).await.unwrap();
        daemons.push(Daemon::start(config(night.folder.path(), &night.yaml), &store).unwrap());
    }
    eventually("somebody tells", || !night.heard().is_empty()).await;
    eventually("it is known to be told", || lines(&log, "the alarm command was run") == 1).await;
    for daemon in daemons {
        daemon.stop().await;
    }
    tell(&night.another_by(Clock::system()).await).await;
    assert_eq!(night.heard(), [format!("account {SICK}oauth refused")]);
    assert_eq!(lines(&log, " WARN gatepost::alarm: sick@example.com is refused"), 1, "{}", log.text());
}

#[tokio::test]
async fn of_two_that_read_different_configurations_each_end_and_each_account_is_told_once() {
    let secret = format!("env: {CLIENT_SECRET_VARIABLE}");
    let expires = |day: &str| format!("{secret}, expires: {day}");
    let first = |provider: String| provider.replace(&secret, &expires("2026-11-25"));
    let night = Night::at(datetime!(2026-11-22 3:00 UTC).into(), RECORD, first).await;
    let written = expires("2026-11-25");
    let others = [
        (night.yaml.replace(&written, &secret), vec!["3"]),
        (night.yaml.replace(&written, &expires("2026-12-20")), vec!["3", "28"]),
        // This one does not know the provider.
        (night.yaml.replace("  oauth:", "  renamed:").replace(&written, &secret), vec!["3", "28"]),
    ];
    night.look(Duration::ZERO).await;
    for (yaml, told) in others {
        let another = night.another_that_reads(&yaml, night.clock.clone()).await;
        for _ in 0..40 {
            tell(&another).await;
            night.look(Duration::from_secs(37)).await;
        }
        let told: Vec<_> = told.into_iter().map(|days| format!("client_secret oauth {days}")).collect();
        assert_eq!(night.heard(), told, "{yaml}");
    }

    night.refuse().await;
    let yaml = night.yaml.replace("  oauth:", "  renamed:");
    let another = night.another_that_reads(&yaml, night.clock.clone()).await;
    for _ in 0..40 {
        night.look(Duration::from_secs(37)).await;
        tell(&another).await;
    }
    let refused = format!("account {SICK}oauth refused");
    assert_eq!(night.heard().iter().filter(|told| **told == refused).count(), 1, "{:?}", night.heard());
}

#[tokio::test]
async fn alarm_test_tells_by_every_way_and_says_what_is_in_the_way() {
    let both = format!("{RECORD}  mail_to: admin@example.com\n");
    let night = Night::begin(&both).await;
    let (status, told) = said(&night.file(), &["alarm", "test"], "").await;
    assert_eq!(status, Some(0), "{told}");
    for words in
        ["command: sh was run, and ended well", "mail: sent to admin@example.com through healthy@example.com"]
    {
        assert!(told.contains(words), "{words}: {told}");
    }
    assert_eq!(night.heard(), ["test  "]);
    assert!(night.mail()[0].contains("This is a test."), "{:?}", night.mail());
    assert!(night.store.alarms().await.unwrap().is_empty(), "it is not remembered");

    let failing = Night::begin("on_alarm: { command: ['false'], mail_to: admin@example.com }\n").await;
    let (status, told) = said(&failing.file(), &["alarm", "test"], "").await;
    assert_eq!(status, Some(1), "{told}");
    assert!(
        told.contains("command: false failed (exit status: 1)") && told.contains("mail: sent to"),
        "{told}"
    );

    let alone = Night::begin("on_alarm: { mail_to: admin@example.com }\n").await;
    alone.store.remove_account(alone.healthy).await.unwrap();
    alone.refuse().await;
    let (status, told) = said(&alone.file(), &["alarm", "test"], "").await;
    assert_eq!(status, Some(5), "{told}");
    assert!(told.contains("no account is connected that can send"), "{told}");

    let nothing = Night::begin("").await;
    let (status, told) = said(&nothing.file(), &["alarm", "test"], "").await;
    assert_eq!(status, Some(1), "{told}");
    assert!(told.contains("there is no `on_alarm` in"), "{told}");
}
