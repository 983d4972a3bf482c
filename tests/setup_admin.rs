//! `gatepost setup microsoft365` and `google` as an administrator meets them: every word that is printed, and every line of
//! the script. The files in `tests/setup` are what must come out.

// A test says what it expects by failing.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/terminal.rs"]
mod terminal;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use gatepost::config::provider::UpstreamTls;
use gatepost::sandbox::{
    CLIENT_ID as SANDBOX_CLIENT, CLIENT_SECRET, CLIENT_SECRET_VARIABLE, Personality, Sandbox, TokenFault,
};
use rcgen::{KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use tempfile::TempDir;
use terminal::Terminal;

const TENANT: &str = "99999999-8888-7777-6666-555555555555";
const CLIENT_ID: &str = "11111111-2222-3333-4444-555555555555";
const OBJECT_ID: &str = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee";

fn gatepost(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
    command.current_dir(home).arg("setup").args(arguments);
    // What is searched for in the usual places is not there.
    command.env("HOME", home).env("XDG_CONFIG_HOME", home);
    for variable in ["CREDENTIALS_DIRECTORY", "GATEPOST_CONFIG", "GATEPOST_KEY_FILE", "RUST_LOG"] {
        command.env_remove(variable);
    }
    command
}

/// Exit status, standard output, standard error. Nobody is there to answer a question.
fn outcome(home: &TempDir, arguments: &[&str]) -> (Option<i32>, String, String) {
    ended(gatepost(home.path(), arguments))
}

fn ended(mut command: Command) -> (Option<i32>, String, String) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = |octets| String::from_utf8(octets).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn home() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// Compares with a file in `tests/setup`, and says at which line they part.
fn assert_like(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/setup").join(name);
    let expected = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    for (number, (line, expected)) in (1..).zip(text.lines().zip(expected.lines())) {
        assert_eq!(line, expected, "{name}:{number}");
    }
    assert_eq!(text.len(), expected.len(), "{name} is longer or shorter than what came:\n{text}");
}

/// What a command line has in common with the others.
fn microsoft<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["microsoft365", "--tenant", TENANT, "--client-id", CLIENT_ID], more].concat()
}

#[test]
fn every_step_for_two_mailboxes() {
    let home = home();
    let named = ["--object-id", OBJECT_ID, "scan@contoso.example", "o'brien@contoso.example"];
    let (status, said, error) = outcome(&home, &microsoft(&named));
    assert_eq!((status, error.as_str()), (Some(0), ""));
    assert_like("microsoft365.txt", &said);
    let script =
        said.find("# Lets one").zip(said.find("\n\n4. ")).map(|(from, to)| &said[from..=to]).unwrap();
    let (outside, _) = said.split_once(script).unwrap();
    for line in outside.lines().filter(|line| !line.contains("https://")) {
        assert!(line.chars().count() <= 80, "{line}");
    }
    for line in script.lines() {
        assert!(line.chars().count() <= 120, "{line}");
    }
}

#[test]
fn the_script_for_a_domain_and_fewer_protocols() {
    let home = home();
    let arguments = ["*@contoso.example", "--smtp", "--output", "mailboxes.ps1"];
    let (status, said, error) = outcome(&home, &microsoft(&arguments));
    assert_eq!((status, error.as_str()), (Some(0), ""));
    assert_like("microsoft365-domain.txt", &said);
    let script = || fs::read_to_string(home.path().join("mailboxes.ps1")).unwrap();
    assert_like("microsoft365-domain.ps1", &script());

    fs::write(home.path().join("mailboxes.ps1"), "mine").unwrap();
    let (status, _, error) = outcome(&home, &microsoft(&arguments));
    assert_eq!(status, Some(1));
    assert!(
        error.contains("mailboxes.ps1 is there already; name another file, or add --overwrite"),
        "{error}"
    );
    assert_eq!(script(), "mine");
    let (status, ..) = outcome(&home, &microsoft(&[&arguments[..], &["--overwrite"]].concat()));
    assert_eq!(status, Some(0));
    assert_like("microsoft365-domain.ps1", &script());
}

#[test]
fn a_script_takes_the_parts_from_json() {
    let home = home();
    let (status, said, _) = outcome(&home, &microsoft(&["--imap", "--json", "scan@contoso.example"]));
    assert_eq!(status, Some(0));
    let read: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(
        read["consent_url"],
        format!("https://login.microsoftonline.com/{TENANT}/adminconsent?client_id={CLIENT_ID}")
    );
    assert_eq!(read["permissions"], serde_json::json!(["IMAP.AccessAsApp"]));
    assert!(read["script"].as_str().unwrap().contains("        ImapEnabled = $true\n    }\n"));
    let configuration = read["configuration"].as_str().unwrap();
    assert!(configuration.ends_with("    smtp: none\n    pop3: none\n"), "{configuration}");
    assert_eq!(read["commands"][1], "gatepost account add scan@contoso.example --provider contoso");
}

#[test]
fn what_is_written_into_the_configuration_is_taken_by_it() {
    let home = home();
    let (_, said, _) = outcome(&home, &microsoft(&["--smtp", "--json", "scan@contoso.example"]));
    let read: serde_json::Value = serde_json::from_str(&said).unwrap();
    let secret = home.path().join("contoso.secret");
    fs::write(&secret, "the-value-of-the-secret\n").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let configuration =
        read["configuration"].as_str().unwrap().replace("/etc/gatepost/contoso.secret", "contoso.secret");
    let file = format!("providers:\n{configuration}state: state\n");
    fs::write(home.path().join("gatepost.yaml"), file).unwrap();
    // The provider knows its ids, and that it has no POP3.
    let (status, said, error) =
        outcome(&home, &["microsoft365", "--object-id", OBJECT_ID, "scan@contoso.example"]);
    assert_eq!((status, error.as_str()), (Some(0), ""));
    for words in [
        "It has the provider contoso already",
        &format!("$Tenant = '{TENANT}'"),
        &format!("$AppId = '{CLIENT_ID}'"),
    ] {
        assert!(said.contains(words), "{said}");
    }
    assert!(!said.contains("POP.AccessAsApp") && !said.contains("ImapEnabled = $true"), "{said}");
}

#[test]
fn an_application_with_a_certificate_is_told_about_its_certificate() {
    let home = home();
    let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    let certificate =
        rcgen::CertificateParams::new(["gatepost".to_owned()]).unwrap().self_signed(&key).unwrap();
    fs::write(home.path().join("gatepost.pem"), certificate.pem()).unwrap();
    fs::write(home.path().join("gatepost.key"), key.serialize_pem()).unwrap();
    fs::set_permissions(home.path().join("gatepost.key"), fs::Permissions::from_mode(0o600)).unwrap();
    let file = format!(
        "providers:\n  contoso:\n    preset: microsoft365\n    grant: client_credentials\n    tenant: {TENANT}\n    \
         client_id: {CLIENT_ID}\n    client_certificate: {{ certificate: gatepost.pem, key: gatepost.key }}\nstate: state\n"
    );
    fs::write(home.path().join("gatepost.yaml"), file).unwrap();
    let arguments = ["microsoft365", "--object-id", OBJECT_ID, "scan@contoso.example"];
    let (status, said, error) = outcome(&home, &arguments);
    assert_eq!((status, error.as_str()), (Some(0), ""));
    assert!(said.contains("Certificates & secrets > Certificates > Upload certificate\n"), "{said}");
    assert!(!said.contains("client secret") && !said.contains("client_secret"), "{said}");
    let (_, said, _) = outcome(&home, &[&arguments[..], &["--json"]].concat());
    let read: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(read["configuration"], "", "it stands there already");
}

#[test]
fn what_is_missing_or_wrong_is_named_where_nobody_can_be_asked() {
    let id = "11111111-2222-3333-4444-555555555555";
    for (arguments, expected) in [
        (&["microsoft365", "scan@contoso.example"][..], "--client-id is missing"),
        (&["microsoft365", "--client-id", id, "scan@contoso.example"], "--tenant is missing"),
        (&["microsoft365", "--client-id", id, "--tenant", "contoso.example"], "MAILBOX is missing"),
        (&["microsoft365", "--client-id", "Gatepost"], "--client-id `Gatepost` is not an id like"),
        (&["microsoft365", "--client-id", id, "--tenant", "common"], "--tenant `common` does not work"),
        (&["microsoft365", "--client-id", id, "--tenant", id], "--tenant is the same as `client_id`"),
        (&["microsoft365", "--client-id", id, "--tenant", "a'b"], "--tenant this is not a tenant"),
        (
            &[
                "microsoft365",
                "--client-id",
                id,
                "--tenant",
                "contoso.example",
                "--object-id",
                id,
                "a@b.example",
            ],
            "--object-id is the application (client) id",
        ),
        (&["google", "scan@contoso.example"], "--service-account is missing"),
        (&["google", "--service-account", "none.json"], "none.json cannot be read"),
    ] {
        let (status, said, error) = outcome(&home(), arguments);
        assert_eq!(status, Some(1), "{arguments:?}: {error}");
        assert!(error.contains(expected), "{arguments:?}: {error}");
        // Whoever looks at it from a script or by a web console has the steps to go on with.
        assert!(!expected.ends_with("is missing") || said.contains("5. Then\n"), "{arguments:?}: {said}");
    }
    for (arguments, expected) in [
        (&["microsoft365", "--wait", "a@b.example"][..], "there is no configuration file"),
        (&["microsoft365", "--provider", "contoso", "a@b.example"], "there is no configuration file"),
        (&["google", "--wait", "a@b.example"], "there is no configuration file"),
    ] {
        let (status, _, error) = outcome(&home(), arguments);
        assert_eq!(status, Some(3), "{arguments:?}: {error}");
        assert!(error.contains(expected), "{arguments:?}: {error}");
    }
}

#[test]
fn a_provider_that_does_not_fit_is_told_apart() {
    let home = home();
    let file = "providers:
  people: { preset: microsoft365, client_id: 11111111-2222-3333-4444-555555555555 }
state: state
";
    fs::write(home.path().join("gatepost.yaml"), file).unwrap();
    for (arguments, expected) in [
        (&["--provider", "poeple"][..], "has no provider poeple: did you mean `people`?"),
        (&["--provider", "people"], "it needs `grant: client_credentials`"),
        (&["--wait"], "has no provider with `grant: client_credentials` to wait for"),
    ] {
        let (status, _, error) = outcome(&home, &[&["microsoft365", "a@b.example"], arguments].concat());
        assert_eq!(status, Some(3), "{error}");
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn every_step_for_a_google_workspace() {
    let home = home();
    let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    let key_file = serde_json::json!({
        "type": "service_account",
        "client_email": "gatepost@project.iam.example",
        "client_id": "123456789012345678901",
        "private_key": key.serialize_pem(),
        "token_uri": "https://oauth2.googleapis.com/token",
    });
    let path = home.path().join("workspace.json");
    fs::write(&path, key_file.to_string()).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let arguments =
        ["google", "--service-account", "workspace.json", "scan@contoso.example", "*@contoso.example"];
    let (status, said, error) = outcome(&home, &arguments);
    assert_eq!((status, error.as_str()), (Some(0), ""));
    let folder = home.path().canonicalize().unwrap();
    let said = said.replace(folder.to_str().unwrap(), "/folder");
    assert_like("google.txt", &said);
    assert!(said.lines().all(|line| line.chars().count() <= 80), "{said}");

    let (_, json, _) = outcome(&home, &[&arguments[..], &["--json"]].concat());
    let read: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(read["client_id"], "123456789012345678901");
    let file = format!("providers:\n{}state: state\n", read["configuration"].as_str().unwrap());
    fs::write(home.path().join("gatepost.yaml"), file).unwrap();
    let (status, said, error) = outcome(&home, &["google", "scan@contoso.example"]);
    assert_eq!((status, error.as_str()), (Some(0), ""));
    assert!(said.contains("It has the provider contoso already"), "{said}");
    assert!(!said.contains("PRIVATE KEY") && !json.contains("PRIVATE KEY"));
}

#[test]
fn a_person_is_asked_for_what_is_missing_after_the_step_that_gives_it() {
    let home = home();
    let mut terminal = Terminal::start(gatepost(home.path(), &["microsoft365", "--imap"]));
    let before = terminal.shows("Application (client) ID: ");
    assert!(
        before.contains("1. Register the application") && before.contains("IMAP.AccessAsApp"),
        "{before}"
    );
    terminal.types("Gatepost");
    terminal.shows("That `Gatepost` is not an id like");
    terminal.types(CLIENT_ID);
    terminal.shows("Directory (tenant) ID: ");
    terminal.types("common");
    terminal.shows("That `common` does not work");
    terminal.types("contoso.example");
    terminal.shows("for all of a domain: ");
    terminal.types("scan");
    terminal.shows("is not an address");
    terminal.types("scan@contoso.example, o'brien@contoso.example");
    terminal.shows("the script asks: ");
    terminal.types(CLIENT_ID);
    terminal.shows("That is the application (client) id");
    terminal.types("");
    let (status, screen) = terminal.end();
    assert_eq!(status, Some(0), "{screen}");
    assert_eq!(screen.matches("1. Register the application").count(), 1, "{screen}");
    for words in ["$ObjectId = ''", "'o''brien@contoso.example'", "tenant: contoso.example"] {
        assert!(screen.contains(words), "{words}: {screen}");
    }
}

#[test]
fn a_person_is_asked_for_the_key_file() {
    let home = home();
    let mut terminal = Terminal::start(gatepost(home.path(), &["google", "scan@contoso.example"]));
    let before = terminal.shows("The key file (JSON): ");
    assert!(before.contains("1. Make the service account"), "{before}");
    terminal.types("none.json");
    terminal.shows("That will not do: none.json cannot be read");
}

/// The sandbox as Exchange, with a provider in the configuration file that nobody has granted anything.
async fn exchange() -> (Sandbox, TempDir) {
    let sandbox = Sandbox::start().await.unwrap();
    sandbox.change(|personality| *personality = Personality::exchange());
    let home = home();
    fs::write(home.path().join("ca.pem"), sandbox.ca_pem()).unwrap();
    let provider = sandbox.provider_yaml("contoso", Path::new("ca.pem"), UpstreamTls::Implicit);
    let provider = provider.replace("authorization_code", "client_credentials");
    fs::write(home.path().join("gatepost.yaml"), format!("providers:\n{provider}state: state\n")).unwrap();
    (sandbox, home)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_tells_the_object_id_that_people_take_from_the_wrong_page() {
    let (sandbox, home) = exchange().await;
    let path = home.path().join("gatepost.yaml");
    let file = fs::read_to_string(&path).unwrap().replace(SANDBOX_CLIENT, CLIENT_ID);
    fs::write(&path, file).unwrap();
    let claims = |object_id: &str| format!(r#"{{"tid":"{TENANT}","oid":"{object_id}"}}"#);
    for (claims, expected, told) in [
        (Some(claims(OBJECT_ID)), OBJECT_ID, ""),
        (Some(claims("'; Remove-Mailbox")), "", ""),
        (None, "", "The object ID cannot be looked up, so the script will ask: invalid_client"),
    ] {
        let body = match &claims {
            Some(claims) => {
                let token = format!("e30.{}.signature", BASE64_URL_SAFE_NO_PAD.encode(claims));
                serde_json::json!({ "access_token": token, "token_type": "Bearer" })
            }
            None => serde_json::json!({ "error": "invalid_client" }),
        };
        let answer = TokenFault::Answer { status: 200, headers: Vec::new(), body: body.to_string() };
        sandbox.change(|personality| personality.token_endpoint = Some(answer));
        let arguments = ["microsoft365", "--tenant", TENANT, "scan@contoso.example"];
        let mut command = gatepost(home.path(), &arguments);
        command.env(CLIENT_SECRET_VARIABLE, CLIENT_SECRET);
        let (status, said, error) = ended(command);
        assert_eq!(status, Some(0), "{error}");
        assert!(said.contains(&format!("$ObjectId = '{expected}'\n")), "{said}");
        assert!(error.starts_with(told) && error.is_empty() == told.is_empty(), "{error}");
    }
}

fn waiting(home: &TempDir, more: &[&str]) -> Command {
    let mut command =
        gatepost(home.path(), &[&["microsoft365", "--wait", "scan@contoso.example"], more].concat());
    command.env(CLIENT_SECRET_VARIABLE, CLIENT_SECRET);
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn it_gives_up_with_what_to_check_and_ends_well_when_the_mailbox_is_open() {
    let (sandbox, home) = exchange().await;
    let (status, said, error) = ended(waiting(&home, &["--wait-for", "0"]));
    assert_eq!(status, Some(5), "{said}{error}");
    for words in ["Trying 1 mailbox at contoso", "\u{2717} scan@contoso.example, IMAP: "] {
        assert!(said.contains(words), "{said}");
    }
    for words in ["not ready after 0 s; 0 of 1 mailboxes", "Get-ServicePrincipal shows the object ID"] {
        assert!(error.contains(words), "{error}");
    }
    for line in error.lines().filter(|line| !line.contains("scan@")) {
        assert!(line.chars().count() <= 80, "{line}");
    }
    let (status, said, _) = ended(waiting(&home, &["--wait-for", "0", "--json"]));
    let read: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((status, &read["ready"]), (Some(5), &serde_json::json!(false)));

    sandbox.grant_full_access("scan@contoso.example", SANDBOX_CLIENT);
    let (status, said, error) = ended(waiting(&home, &[]));
    assert_eq!((status, error.as_str()), (Some(0), ""));
    assert!(
        said.ends_with("Every mailbox can be opened: devices are let in while `gatepost run` runs.\n"),
        "{said}"
    );
    assert!(!home.path().join("state").exists(), "nothing is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_sees_how_long_it_has_waited() {
    let (_sandbox, home) = exchange().await;
    let mut terminal = Terminal::start(waiting(&home, &[]));
    terminal.shows("0 of 1 ready, 0:0");
    terminal.shows(" since the beginning");
    terminal.interrupts();
    let (status, _) = terminal.end();
    assert_ne!(status, Some(0));
}
