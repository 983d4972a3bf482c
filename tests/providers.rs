//! `gatepost providers`, as a person and as a script meet it, with a configuration and without.

// A test says what it expects by failing.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::fs;
use std::process::Command;

use serde_json::Value;

/// Exit status, standard output, standard error; in a folder with this configuration.
fn providers(configuration: Option<&str>, arguments: &[&str]) -> (Option<i32>, String, String) {
    let home = tempfile::tempdir().unwrap();
    if let Some(text) = configuration {
        fs::write(home.path().join("gatepost.yaml"), text).unwrap();
    }
    let output = Command::new(env!("CARGO_BIN_EXE_gatepost"))
        .current_dir(home.path())
        .env_remove("GATEPOST_CONFIG")
        .env("HOME", home.path())
        .env("XDG_CONFIG_HOME", home.path())
        .arg("providers")
        .args(arguments)
        .output()
        .unwrap();
    let text = |octets| String::from_utf8(octets).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// What a command prints that works.
fn said(configuration: Option<&str>, arguments: &[&str]) -> String {
    let (status, said, error) = providers(configuration, arguments);
    assert_eq!((status, error.as_str()), (Some(0), ""));
    said
}

const USED: &str = "
providers:
  work: { preset: microsoft365, client_id: abc }
  old: { preset: yahoo, client_id: abc, imap: none, smtp: { host: smtp.example.org } }
  box: { preset: yahoo, login: password }
";

const YAHOO: &str = "\
Yahoo Mail (yahoo)
Mailboxes at yahoo.com, ymail.com, rocketmail.com, myyahoo.com, yahoo.co.uk,
yahoo.de, yahoo.fr, yahoo.es, yahoo.it, yahoo.ca and others.

Servers
  SMTP smtp.mail.yahoo.com:465, TLS implicit  (unverified)
  POP3 pop.mail.yahoo.com:995, TLS implicit  (unverified)
  IMAP imap.mail.yahoo.com:993, TLS implicit  (unverified)

Login by OAuth 2.0
  authorization_endpoint
    https://api.login.yahoo.com/oauth2/request_auth
  token_endpoint
    https://api.login.yahoo.com/oauth2/get_token
  redirect_uri
    https://127.0.0.1
  scopes for authorization_code
    mail-w

A client id: https://developer.yahoo.com/oauth2/guide/
  - Yahoo gives new applications no access to mail; only a client id that has
    the scope mail-w works.
  - Register it with the redirect URI https://127.0.0.1.

Notes
  - Without such a client id: \"login: password\" beside the preset, with an app
    password of the account.

Unverified: smtp, pop3, imap. It is what others use, but neither tried by us nor
found in the provider's own documents. What you write beside `preset` takes its
place.

In gatepost.yaml
  providers:
    yahoo: { preset: yahoo, client_id: … }
";

const GMX: &str = "\
GMX (gmx)
Mailboxes at gmx.net, gmx.de, gmx.at, gmx.ch, gmx.org and others.

Servers
  SMTP mail.gmx.net:587, TLS starttls  (unverified)
  POP3 pop.gmx.net:995, TLS implicit  (unverified)
  IMAP imap.gmx.net:993, TLS implicit  (unverified)

Login by password

A password: https://www.gmx.net/  (unverified)
  - In the mailbox's settings, switch POP3 and IMAP access on.
  - With two-factor authentication, make an application-specific password under
    Security, and use that.

Unverified: all of it. It is what others use, but neither tried by us nor found
in the provider's own documents. What you write beside `preset` takes its place.

In gatepost.yaml
  providers:
    gmx: { preset: gmx }
";

#[test]
fn the_list_has_every_provider_and_marks_what_is_unverified() {
    let expected = "\
Preset                   Provider                      Protocols       Login
microsoft365             Microsoft 365 (work, school)  SMTP POP3 IMAP  oauth
microsoft365-gcc-high *  Microsoft 365 GCC High (US)   SMTP POP3 IMAP  oauth
microsoft365-dod *       Microsoft 365 DoD (US)        SMTP POP3 IMAP  oauth
microsoft365-china *     Microsoft 365 21Vianet (CN)   SMTP POP3 IMAP  oauth
outlook                  Outlook.com, Hotmail, Live    SMTP POP3 IMAP  oauth
google                   Google (Gmail, Workspace)     SMTP POP3 IMAP  oauth
yahoo *                  Yahoo Mail                    SMTP POP3 IMAP  oauth
aol *                    AOL Mail                      SMTP POP3 IMAP  oauth
fastmail *               Fastmail                      SMTP POP3 IMAP  oauth
comcast *                Comcast Xfinity               SMTP POP3 IMAP  oauth
yandex *                 Yandex Mail                   SMTP IMAP       oauth
mailru *                 Mail.ru                       SMTP IMAP       oauth
seznam *                 Seznam.cz                     SMTP POP3 IMAP  oauth
gmx *                    GMX                           SMTP POP3 IMAP  password
webde *                  WEB.DE                        SMTP POP3 IMAP  password
icloud *                 Apple iCloud Mail             SMTP IMAP       password

* unverified, at least in part: `gatepost providers PRESET` says what.
Any other provider can be written out in full in gatepost.yaml.
";
    assert_eq!(said(None, &[]), expected);
    let used = said(Some(USED), &[]);
    let used_here =
        "Used here: microsoft365 as `work`\nUsed here: yahoo as `box`\nUsed here: yahoo as `old`\n";
    assert_eq!(used, format!("{expected}{used_here}"));
}

#[test]
fn one_provider_is_shown_in_full() {
    for (name, expected) in [("yahoo", YAHOO), ("gmx", GMX)] {
        assert_eq!(said(None, &[name]), expected);
    }
    assert!(said(Some(USED), &["yahoo"]).contains("Used here as `box`.\nUsed here as `old`.\n"));
}

#[test]
fn nothing_that_is_shown_is_wider_than_a_terminal() {
    let names: Vec<Value> = serde_json::from_str(&said(None, &["--json"])).unwrap();
    for name in names.iter().map(|preset| preset["name"].as_str().unwrap()) {
        for line in said(None, &[name]).lines().chain(said(None, &[]).lines()) {
            assert!(line.chars().count() <= 80, "{name}: {line}");
        }
    }
}

#[test]
fn scripts_get_the_same_as_json() {
    let all: Value = serde_json::from_str(&said(Some(USED), &["--json"])).unwrap();
    let yahoo = all.as_array().unwrap().iter().find(|preset| preset["name"] == "yahoo").unwrap();
    assert_eq!(yahoo["login"], "oauth");
    assert_eq!(yahoo["protocols"], serde_json::json!(["smtp", "pop3", "imap"]));
    assert_eq!(yahoo["unverified"], serde_json::json!(["smtp", "pop3", "imap"]));
    assert_eq!(yahoo["used_as"], serde_json::json!(["box", "old"]));
    let google: Value = serde_json::from_str(&said(None, &["google", "--json"])).unwrap();
    assert_eq!(google["servers"]["smtp"]["host"], "smtp.gmail.com");
    assert_eq!(google["servers"]["smtp"]["port"], 465);
    assert_eq!(google["endpoints"]["token_endpoint"], "https://oauth2.googleapis.com/token");
    assert_eq!(google["scopes"]["service_account"], serde_json::json!(["https://mail.google.com/"]));
    assert_eq!(google["registration"]["url"], "https://console.cloud.google.com/auth/clients");
    assert_eq!(google["used_as"], serde_json::json!([]));
}

#[test]
fn a_name_that_is_none_and_a_configuration_that_is_wrong_are_told() {
    let (status, _, error) = providers(None, &["gogle"]);
    assert_eq!(status, Some(1));
    assert_eq!(error, "gatepost: there is no preset `gogle`; did you mean `google`?\n");
    let (status, said, error) = providers(Some("providers: { a: { preset: gogle } }"), &[]);
    assert_eq!(status, Some(0));
    assert!(said.starts_with("Preset "), "{said}");
    assert!(error.starts_with("Which of them are used cannot be said: run gatepost check\n"), "{error}");
}
