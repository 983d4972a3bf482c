//! `gatepost setup ADDRESS` as a process, at the sandbox: once from nothing, again when something is missing, and with what
//! cannot work.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "support/terminal.rs"]
mod terminal;
#[path = "support/waiting.rs"]
mod waiting;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::Command;

use gatepost::account::{Account, Accounts};
use gatepost::config::presets;
use gatepost::config::provider::UpstreamTls;
use gatepost::sandbox::{CLIENT_ID, CLIENT_SECRET, CLIENT_SECRET_VARIABLE, MailFault, Personality, Sandbox};
use gatepost::store::Store;
use gatepost::store::grants::GrantKey;
use gatepost::tls::Trust;
use gatepost_protocol::Protocol;
use gatepost_protocol::sasl::Credentials;
use gatepost_protocol::secret::Secret;
use terminal::Terminal;
use waiting::Waiting;

/// As Microsoft gives them.
const ID: &str = "8d3a1c52-6f0e-4b7a-9c1d-2e5f7a9b0c4d";

const ANN: &str = "ann@example.com";

/// What stands in the configuration beside the provider.
const REST: &str = "# Ours.\nstate: state\nlisteners:\n  - { protocol: imap, address: '127.0.0.1:0', tls: none } # for ann\n";

/// A provider, and somebody who wants to use it.
struct Desk {
    sandbox: Sandbox,
    browser: reqwest::Client,
    folder: TempDir,
}

impl Desk {
    /// With the provider in the configuration, and nothing else done.
    async fn new() -> Self {
        let sandbox = Sandbox::start().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let ca_file = folder.path().join("sandbox-ca.pem");
        fs::write(&ca_file, sandbox.ca_pem()).unwrap();
        let provider = sandbox.provider_yaml("sandbox", &ca_file, UpstreamTls::Implicit);
        fs::write(folder.path().join("gatepost.yaml"), format!("{REST}providers:\n{provider}")).unwrap();
        let tls = Trust::load(Some(&ca_file)).unwrap().client_config().as_ref().clone();
        let browser = reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy().build().unwrap();
        Self { sandbox, browser, folder }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("gatepost.yaml")
    }

    fn text(&self) -> String {
        fs::read_to_string(self.file()).unwrap()
    }

    async fn store(&self) -> Store {
        Store::open(&self.folder.path().join("state")).await.unwrap()
    }

    async fn account(&self) -> Option<Account> {
        self.store().await.accounts_at(ANN).await.unwrap().pop()
    }

    async fn passwords(&self) -> usize {
        self.store().await.credentials(None).await.unwrap().len()
    }

    /// `gatepost setup ann@example.com …`, without a display.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
        command
            .arg("--config")
            .arg(self.file())
            .args(["setup", ANN])
            .args(arguments)
            .env(CLIENT_SECRET_VARIABLE, CLIENT_SECRET)
            .env("NO_PROXY", "*")
            .env_remove("DISPLAY")
            .env_remove("WAYLAND_DISPLAY");
        command
    }

    fn setup(&self, arguments: &[&str]) -> Waiting {
        Waiting::start(&mut self.command(arguments))
    }

    /// The same, with a consent by code.
    async fn set_up(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let mut waiting = self.setup(arguments);
        let (page, code) = waiting.code().await;
        self.consent(&page, &code).await;
        waiting.end().await
    }

    /// Types the code into the provider's page.
    async fn consent(&self, page: &str, user_code: &str) {
        let form = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("user_code", user_code), ("mailbox", ANN)])
            .finish();
        self.browser.post(page).body(form).send().await.unwrap().error_for_status().unwrap();
    }

    async fn logs_in(&self, user_name: &str, password: &str) -> bool {
        let credentials =
            Credentials { user_name: user_name.to_owned(), password: Secret::new(password.to_owned()) };
        let accounts = Accounts::new(self.store().await);
        accounts.verify(&["sandbox"], &credentials, std::future::ready(())).await.is_ok()
    }
}

/// The password that is shown once.
fn shown_password(told: &str) -> &str {
    let line = told
        .lines()
        .find(|line| line.contains("(not shown again)"))
        .unwrap_or_else(|| panic!("no password in:\n{told}"));
    line.split_whitespace().nth(1).unwrap()
}

#[tokio::test]
async fn one_command_and_one_consent_and_the_mail_program_can_log_in() {
    let desk = Desk::new().await;
    let before = desk.text();
    let (status, told) = desk.set_up(&["--provider", "sandbox"]).await;
    assert_eq!(status, Some(0), "{told}");
    for line in [
        "✓ The provider sandbox stands in ",
        "✓ The account ann@example.com was added.",
        "✓ ann@example.com is connected to sandbox by ann@example.com.",
        "  ✓ IMAP login: localhost:",
        "  User name  ann@example.com",
        "  IMAP       127.0.0.1, port 0, no encryption (this machine only)",
        "Next: gatepost --config ",
    ] {
        assert!(told.lines().any(|told| told.starts_with(line)), "{line:?} is not in:\n{told}");
    }
    assert!(desk.logs_in(ANN, shown_password(&told)).await);
    assert_eq!(desk.text(), before, "nothing was to be written");
}

#[tokio::test]
async fn a_second_run_does_nothing_and_says_so() {
    let desk = Desk::new().await;
    let (status, told) = desk.set_up(&["--provider", "sandbox"]).await;
    assert_eq!(status, Some(0), "{told}");
    let consents = desk.sandbox.counters().device_requests;
    let (status, told) = desk.setup(&[]).end().await;
    assert_eq!(status, Some(0), "{told}");
    for line in [
        "The provider is sandbox: the account has it.",
        "✓ The account ann@example.com is there already.",
        "✓ ann@example.com is connected to sandbox already, by ann@example.com.",
        "✓ There is a password already.",
        "  User name  ann@example.com",
    ] {
        assert!(told.lines().any(|told| told.starts_with(line)), "{line:?} is not in:\n{told}");
    }
    assert!(told.contains("stands in") && told.contains(" already.\n"), "{told}");
    assert!(!told.contains("not shown again"), "{told}");
    assert_eq!((desk.passwords().await, desk.sandbox.counters().device_requests), (1, consents));
}

#[tokio::test]
async fn what_is_missing_is_repaired_and_nothing_else() {
    let desk = Desk::new().await;
    let (status, told) = desk.set_up(&["--provider", "sandbox"]).await;
    assert_eq!(status, Some(0), "{told}");
    for (missing, consents) in
        [("the account", true), ("the consent", true), ("the token", false), ("the password", false)]
    {
        let store = desk.store().await;
        let account = desk.account().await.unwrap();
        match missing {
            "the account" => assert!(store.remove_account(account.id).await.unwrap()),
            "the consent" => {
                desk.sandbox.revoke(ANN);
                expire(&desk).await;
            }
            "the token" => expire(&desk).await,
            _ => {
                let credential = store.credentials(Some(account.id)).await.unwrap().remove(0);
                assert!(store.revoke_credential(credential.id).await.unwrap());
            }
        }
        let passwords = desk.passwords().await;
        let (status, told) = if consents {
            desk.set_up(&["--provider", "sandbox"]).await
        } else {
            desk.setup(&["--provider", "sandbox"]).end().await
        };
        assert_eq!(status, Some(0), "without {missing}: {told}");
        let is_new = |what: &str| told.lines().any(|line| line.starts_with('✓') && line.contains(what));
        assert_eq!(is_new("was added"), missing == "the account", "without {missing}: {told}");
        assert_eq!(is_new("connected to sandbox by"), consents, "without {missing}: {told}");
        assert_eq!(told.contains("not shown again"), passwords == 0, "without {missing}: {told}");
        assert_eq!(desk.passwords().await, 1, "without {missing}");
        let key = GrantKey::Account(desk.account().await.unwrap().id);
        assert!(desk.store().await.grant(&key).await.unwrap().is_some(), "without {missing}");
    }
}

#[tokio::test]
async fn a_provider_that_was_taken_out_of_the_file_is_written_there_again() {
    let desk = Desk::new().await;
    fs::write(desk.file(), REST).unwrap();
    let secret = desk.folder.path().join("secret");
    fs::write(&secret, CLIENT_SECRET).unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let ports = desk.sandbox.ports();
    let (issuer, imap) = (format!("https://localhost:{}", ports.https), format!("localhost:{}", ports.imaps));
    let ca_file = desk.folder.path().join("sandbox-ca.pem");
    let known = [
        "--issuer",
        &issuer,
        "--client-id",
        CLIENT_ID,
        "--client-secret-file",
        secret.to_str().unwrap(),
        "--ca-file",
        ca_file.to_str().unwrap(),
        "--imap",
        &imap,
        "--scope",
        "imap",
    ];
    let (status, told) = desk.set_up(&[&known[..], &["--provider", "home", "--device"]].concat()).await;
    assert_eq!(status, Some(0), "{told}");
    let text = desk.text();
    assert!(text.starts_with(REST) && text.contains("\n  home:\n    issuer: https://localhost:"), "{text}");

    fs::write(desk.file(), REST).unwrap();
    let (status, told) = desk.setup(&known).end().await;
    assert_eq!(status, Some(0), "{told}");
    assert!(told.contains("✓ The provider home stands in "), "the account knows the name: {told}");
    for done in [
        "The account ann@example.com is there",
        "ann@example.com is connected to home",
        "There is a password",
    ] {
        assert!(told.contains(&format!("✓ {done} already")), "{done}: {told}");
    }
    assert_eq!((desk.text(), desk.passwords().await), (text, 1));
}

#[tokio::test]
async fn at_a_provider_of_passwords_the_password_is_all_that_is_asked_for() {
    let desk = Desk::new().await;
    desk.sandbox.change(|personality| *personality = Personality::post("planted-app-password"));
    let imap = desk.sandbox.ports().imaps;
    let provider = format!(
        "providers:\n  box:\n    login: password\n    ca_file: sandbox-ca.pem\n    \
         imap: {{ host: localhost, port: {imap}, tls: implicit }}\n"
    );
    fs::write(desk.file(), format!("{REST}{provider}")).unwrap();
    let mut command = desk.command(&["--provider", "box"]);
    let (status, told) = Waiting::start_with(&mut command, "planted-app-password\n").await.end().await;
    assert_eq!(status, Some(0), "{told}");
    assert!(told.contains("✓ ann@example.com is connected to box by its password"), "{told}");
    assert!(told.contains("not shown again") && !told.contains("planted"), "{told}");
    let (status, told) = desk.setup(&[]).end().await;
    assert_eq!(status, Some(0), "{told}");
    assert!(told.contains("✓ ann@example.com is connected to box already, by its password."), "{told}");
}

/// Lets the access token end, which only its time in the store says.
async fn expire(desk: &Desk) {
    let database = desk.folder.path().join("state/gatepost.db");
    let pool = sqlx::SqlitePool::connect(&format!("sqlite:{}", database.display())).await.unwrap();
    sqlx::query("UPDATE grants SET expires_at = 0").execute(&pool).await.unwrap();
    pool.close().await;
}

#[tokio::test]
async fn a_password_is_made_once_for_each_thing_that_was_asked_for() {
    let desk = Desk::new().await;
    let (status, told) =
        desk.set_up(&["--provider", "sandbox", "--user-name", "scanner", "--label", "2nd floor"]).await;
    assert_eq!(status, Some(0), "{told}");
    assert!(desk.logs_in("scanner", shown_password(&told)).await);
    for (arguments, passwords) in [
        (&[][..], 1),
        (&["--user-name", "Scanner"], 1),
        (&["--label", "2nd floor"], 1),
        (&["--label", "3rd floor", "--user-name", "scanner"], 2),
        (&["--user-name", "copier"], 3),
    ] {
        let (status, told) = desk.setup(arguments).end().await;
        assert_eq!(status, Some(0), "{told}");
        assert_eq!(desk.passwords().await, passwords, "{arguments:?}");
    }
    for _ in 0..2 {
        let mut command = desk.command(&["--password-stdin"]);
        let (status, told) = Waiting::start_with(&mut command, "tanstaaftanstaaf\n").await.end().await;
        assert_eq!(status, Some(0), "{told}");
        assert!(!told.contains("tanstaaf"), "{told}");
        assert_eq!(desk.passwords().await, 4, "the device's password was taken once");
    }
    assert!(desk.logs_in(ANN, "tanstaaftanstaaf").await);
}

#[tokio::test]
async fn a_declined_consent_leaves_what_was_done_and_the_next_run_goes_on() {
    let desk = Desk::new().await;
    desk.sandbox.change(|personality| personality.consent_refused = Some("access_denied".to_owned()));
    let (status, told) = desk.set_up(&["--provider", "sandbox"]).await;
    assert_eq!(status, Some(5), "{told}");
    assert!(
        told.contains("is not connected: The consent was declined (D144)\nthe provider gave no consent: it"),
        "{told}"
    );
    let again = "setup ann@example.com --provider sandbox\n";
    assert!(
        told.contains("go on from here with the same command:\ngatepost --config ") && told.ends_with(again),
        "{told}"
    );
    assert_eq!(desk.passwords().await, 0, "nobody is given a password that opens nothing");
    desk.sandbox.change(|personality| personality.consent_refused = None);
    let (status, told) = desk.set_up(&[]).await;
    assert_eq!(status, Some(0), "{told}");
    assert!(told.contains("is there already") && told.contains("not shown again"), "{told}");
}

#[tokio::test]
async fn a_protocol_that_is_refused_is_told_and_the_others_can_be_used() {
    let desk = Desk::new().await;
    let refuse = |protocols: &[(Protocol, &str)]| {
        let faults = protocols.iter().map(|(protocol, reply)| MailFault::refusal(*protocol, true, reply));
        desk.sandbox.change(|personality| personality.mail = faults.collect());
    };
    let pop3 = (Protocol::Pop3, "-ERR [AUTH] not for this mailbox");
    refuse(&[(Protocol::Smtp, "535 5.7.8 no"), pop3, (Protocol::Imap, "NO [AUTHENTICATIONFAILED] no")]);
    let (status, told) = desk.set_up(&["--provider", "sandbox"]).await;
    assert_eq!(status, Some(5), "{told}");
    assert!(told.contains("ann@example.com does not work yet"), "{told}");
    assert_eq!(desk.passwords().await, 0);
    refuse(&[pop3]);
    let (status, told) = desk.setup(&[]).end().await;
    assert_eq!(status, Some(5), "{told}");
    assert!(told.contains("not shown again") && told.contains("POP3 login does not work yet"), "{told}");
}

#[tokio::test]
async fn a_key_of_the_provider_is_changed_and_comments_stay() {
    let desk = Desk::new().await;
    let before = desk.text().replace("client_id: gatepost-sandbox", "client_id: other # whose?");
    fs::write(desk.file(), &before).unwrap();
    let (status, told) = desk.setup(&["--provider", "sandbox", "--device"]).end().await;
    assert_eq!(status, Some(5), "{told}");
    let (status, told) = desk.set_up(&["--client-id", "gatepost-sandbox", "--no-test"]).await;
    assert_eq!(status, Some(0), "{told}");
    assert_eq!(desk.text(), before.replace("client_id: other", "client_id: gatepost-sandbox"));
    assert!(!told.contains("login:"), "nobody tried: {told}");
}

#[tokio::test]
async fn what_cannot_be_known_is_asked_for_by_the_name_of_its_option() {
    let desk = Desk::new().await;
    let before = desk.text();
    for (arguments, status, expected) in [
        (&["--preset", "gogle"][..], 1, "there is no preset gogle: did you mean `google`?"),
        (&["--preset", "google"], 1, "--client-id ID is missing"),
        (&["--preset", "google", "--client-id", ID], 1, "it ends with .apps.googleusercontent.com"),
        (
            &["--preset", "google", "--client-id", "1-a.apps.googleusercontent.com"],
            1,
            "--client-secret-file FILE is missing",
        ),
        (&["--preset", "outlook", "--client-id", "Gatepost"], 1, "--client-id `Gatepost` is not an id like"),
        (
            &["--preset", "microsoft365", "--client-id", ID, "--tenant", ID],
            3,
            "what was to be added is wrong",
        ),
        (&["--issuer", "https://issuer.invalid", "--client-id", "x"], 1, "add --smtp, --pop3 or --imap"),
        (&["--preset", "google", "--issuer", "https://issuer.invalid"], 2, "cannot be used with"),
        (&["--provider", "sandbox", "--imap", "localhost:993/none"], 2, "neither starttls nor implicit"),
        (&["--paste", "--password-stdin"], 1, "leave one out"),
    ] {
        let (found, told) = desk.setup(arguments).end().await;
        assert_eq!(found, Some(status), "{arguments:?}: {told}");
        assert!(told.contains(expected), "{arguments:?}: {told}");
    }
    assert_eq!(desk.text(), before);
    assert!(!desk.folder.path().join("state").join("gatepost.db").exists() || desk.account().await.is_none());
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_told_before_any_question_and_left_alone() {
    let desk = Desk::new().await;
    for text in ["providers: [\n", "providers: { a: {}, a: {} }\n"] {
        fs::write(desk.file(), text).unwrap();
        let (status, told) = desk.setup(&["--preset", "outlook"]).end().await;
        assert_eq!(status, Some(3), "{told}");
        let line = format!("{}:1: ", desk.file().display());
        assert!(told.contains("the configuration is wrong\n") && told.contains(&line), "{told}");
        assert_eq!(desk.text(), text);
    }
}

#[tokio::test]
async fn a_code_that_runs_out_is_told_like_any_other_failure() {
    let desk = Desk::new().await;
    desk.sandbox.change(|personality| personality.device_code_lifetime = Duration::from_secs(1));
    let (status, told) = desk.setup(&["--provider", "sandbox"]).end().await;
    assert_eq!(status, Some(1), "{told}");
    assert!(told.contains("nobody consented before the code ended"), "{told}");
    assert!(told.contains("What is ticked above stays."), "{told}");
}

/// A person at a terminal, in a folder of their own.
fn person(folder: &TempDir, address: &str) -> Terminal {
    person_with(folder, address, &[])
}

fn person_with(folder: &TempDir, address: &str, arguments: &[&str]) -> Terminal {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_gatepost"));
    command
        .arg("--config")
        .arg(folder.path().join("new/gatepost.yaml"))
        .args(["setup", address, "--no-browser"])
        .args(arguments)
        .env("STATE_DIRECTORY", folder.path().join("state"));
    Terminal::start(command)
}

#[test]
fn a_person_is_asked_for_what_nobody_else_can_know() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("new")).unwrap();
    let mut terminal = person(&folder, "ann@gmail.com");
    let title = &presets::named("google").unwrap().title;
    terminal.shows(&format!("The provider is {title}: gmail.com is one of its domains.\n"));
    terminal.shows("https://");
    terminal.shows("Client id: ");
    terminal.types("");
    terminal.shows("That is empty.\nClient id: ");
    terminal.types(ID);
    terminal.shows(" is not a client id of Google;");
    terminal.types("1-a.apps.googleusercontent.com");
    terminal.shows("Client secret (it is not shown): ");
    terminal.types("");
    terminal.shows("That is empty; ");
    terminal.shows(": ");
    assert!(!terminal.echoes(), "the terminal shows what is typed");
    terminal.types("planted-secret");
    terminal.shows("✓ The provider google stands in ");
    terminal.shows("✓ The account ann@gmail.com was added.");
    terminal.shows("Open this address in a browser, and sign in as ann@gmail.com:");
    terminal.interrupts();
    let (_, shown) = terminal.end();
    assert!(!shown.contains("planted"), "{shown}");
    let mut lines = shown
        .lines()
        .filter(|line| !line.contains("https://") && !line.contains(folder.path().to_str().unwrap()));
    assert!(lines.all(|line| line.chars().count() <= 80), "{shown}");

    let text = fs::read_to_string(folder.path().join("new/gatepost.yaml")).unwrap();
    let secret = folder.path().join("new/google.secret");
    let written = format!(
        "providers:\n  google:\n    preset: google\n    client_id: 1-a.apps.googleusercontent.com\n    client_secret: {{ file: {} }}\n",
        secret.display()
    );
    assert!(text.starts_with("# Gatepost's configuration.") && text.ends_with(&written), "{text}");
    assert_eq!(fs::read_to_string(&secret).unwrap(), "planted-secret");
    assert_eq!(fs::metadata(&secret).unwrap().permissions().mode() & 0o777, 0o600);

    let mut terminal = person(&folder, "ann@gmail.com");
    terminal.shows("The provider is google: the account has it.\n");
    terminal.shows("already.\n");
    terminal.shows("✓ The account ann@gmail.com is there already.\n");
    terminal.shows("Open this address in a browser");
    terminal.interrupts();
    terminal.end();
    assert_eq!(fs::read_to_string(folder.path().join("new/gatepost.yaml")).unwrap(), text);
}

/// An issuer that nobody can reach is enough to be written down.
#[test]
fn a_setup_that_fails_before_the_file_is_written_leaves_no_secret_behind() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("new")).unwrap();
    let file = folder.path().join("new/gatepost.yaml");
    let names = || {
        let entries = fs::read_dir(folder.path().join("new")).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    for (imap, expected) in [
        (None, &[][..]),
        (Some("-bad-.example"), &[]),
        (Some("localhost:1"), &["gatepost.yaml", "mine.secret"]),
    ] {
        let mut terminal = person_with(
            &folder,
            "ann@issuer.invalid",
            &["--provider", "mine", "--issuer", "https://issuer.invalid", "--scope", "imap"],
        );
        terminal.shows("Client id: ");
        terminal.types("gatepost");
        terminal.shows("Client secret, if there is one");
        terminal.types("planted-secret");
        terminal.shows("SMTP: ");
        match imap {
            Some(imap) => {
                terminal.types("none");
                terminal.shows("POP3: ");
                terminal.types("none");
                terminal.shows("IMAP: ");
                terminal.types(imap);
            }
            None => terminal.interrupts(),
        }
        let (status, shown) = terminal.end();
        assert_ne!(status, Some(0), "{shown}");
        assert_eq!(names(), expected, "{imap:?}: {shown}");
    }
    assert!(fs::read_to_string(&file).unwrap().contains("new/mine.secret"));
}

#[test]
fn where_no_client_id_is_to_be_had_an_app_password_does_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let mut terminal = person(&folder, "ann@fastmail.com");
    terminal.shows("Without one, press Enter:");
    terminal.shows("Client id: ");
    terminal.types("ann@fastmail.com");
    terminal.shows("That is an address; the client id is something else.\nClient id: ");
    terminal.types("");
    terminal.shows("✓ The account ann@fastmail.com was added.");
    terminal.shows("Password of ann@fastmail.com: ");
    terminal.interrupts();
    terminal.end();
    let text = fs::read_to_string(folder.path().join("new/gatepost.yaml")).unwrap();
    assert!(text.ends_with("providers:\n  fastmail:\n    preset: fastmail\n    login: password\n"), "{text}");
}

#[test]
fn a_password_for_a_device_is_not_shown_while_it_is_typed() {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_gatepost"));
    command.args(["credential", "hash"]);
    let mut terminal = Terminal::start(command);
    terminal.shows("The device's password (it is not shown): ");
    assert!(!terminal.echoes(), "the terminal shows what is typed");
    terminal.types("planted-password");
    terminal.shows("$argon2id$");
    let (status, shown) = terminal.end();
    assert!(status == Some(0) && !shown.contains("planted"), "{shown}");
}

#[test]
fn an_app_password_is_asked_for_with_the_way_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut terminal = person(&folder, "ann@icloud.com");
    terminal.shows("https://account.apple.com");
    terminal.shows("app-specific password");
    terminal.shows("Password of ann@icloud.com: ");
    terminal.types("");
    terminal.shows("That is empty.\nPassword of ann@icloud.com: ");
    terminal.interrupts();
    let (_, shown) = terminal.end();
    let made = fs::metadata(folder.path().join("new")).unwrap();
    assert_eq!(made.permissions().mode() & 0o777, 0o755, "the service may run as another user");
    assert!(
        shown.lines().all(|line| line.chars().count() <= 80 || line.contains("gatepost.yaml")),
        "{shown}"
    );
}

#[test]
fn a_name_in_place_of_an_address_is_taken_for_an_organisation() {
    let folder = tempfile::tempdir().unwrap();
    for (typed, expected) in [
        ("gogle", "did you mean gatepost setup google?"),
        ("microsoft356", "did you mean gatepost setup microsoft365?"),
        (
            "ann",
            "not one like ann@example.com; for an organisation: gatepost setup google, gatepost setup micro",
        ),
    ] {
        let (status, shown) = person(&folder, typed).end();
        assert!(status == Some(1) && shown.replace('\n', " ").contains(expected), "{typed}: {shown}");
    }
}

#[test]
fn a_provider_that_only_may_be_the_one_is_asked_about() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("new/gatepost.yaml");
    fs::create_dir(folder.path().join("new")).unwrap();
    let before = format!("providers:\n  private: {{ preset: outlook, client_id: {ID} }} # ours\n");
    for answer in ["", "n"] {
        fs::write(&file, &before).unwrap();
        let mut terminal = person(&folder, "ann@hotmail.com");
        terminal.shows("Use the provider private of the configuration? [Y/n] ");
        terminal.types(answer);
        if answer.is_empty() {
            terminal.shows("The provider is private: hotmail.com is one of its domains.\n");
            terminal.shows("Open this address in a browser");
        } else {
            terminal.shows("Client id: ");
        }
        terminal.interrupts();
        terminal.end();
        assert_eq!(fs::read_to_string(&file).unwrap(), before, "{answer:?}");
        // What the first round added would settle the second one.
        fs::remove_dir_all(folder.path().join("state")).unwrap();
    }
}
