//! The configuration file: every broken one in `bad_configs` gets its exact complaint, and the shipped ones are true.
//!
//! `bad_configs/NAME.err` holds what `NAME.yaml` is told, word for word, with the file's name alone for its path.

// A test says what it expects by failing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/application.rs"]
mod application;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use gatepost::config::mistakes::Level;
use gatepost::config::provider::{ClientAuthentication, GrantType, Login, UpstreamTls};
use gatepost::config::{Config, ConfigError, Limits, ListenerTls, OnAlarm, lint};
use gatepost_protocol::Protocol;
use gatepost_protocol::sasl::UpstreamMechanism;

use application::Application;

const EXAMPLE: &str = include_str!("../config/gatepost.example.yaml");

fn environment(name: &str) -> Option<String> {
    match name {
        "HOME" => Some("/home/somebody".to_owned()),
        "OWN_CLIENT_SECRET" => Some("planted-secret".to_owned()),
        "GUID_SECRET" => Some("3b3d4c1e-0f3a-4b61-9d3c-5d7b2f0a9c11".to_owned()),
        _ => None,
    }
}

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(Path::new("gatepost.yaml"), text, &environment)
}

fn accepted(text: &str) -> Config {
    parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn refused(text: &str) -> String {
    match parse(text) {
        Ok(_) => panic!("accepted:\n{text}"),
        Err(error) => error.to_string(),
    }
}

/// A provider that needs nothing else, for tests about other sections.
const PROVIDER: &str = "providers: { contoso: { preset: microsoft365, client_id: abc } }\n";

#[test]
fn every_broken_file_gets_its_exact_complaint() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad_configs");
    let mut names: BTreeSet<PathBuf> = BTreeSet::new();
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let extension = path.extension().unwrap().to_str().unwrap().to_owned();
        assert!(["yaml", "err"].contains(&extension.as_str()), "what is {} for?", path.display());
        names.insert(path.with_extension(""));
    }
    assert!(names.len() >= 20, "only {} broken files found", names.len());
    let mut failures = Vec::new();
    for name in names {
        let path = name.with_extension("yaml");
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let heard = match Config::parse(&path, &text, &environment) {
            Ok(_) => "accepted".to_owned(),
            Err(error) => error.to_string(),
        };
        let heard = heard.replace(&format!("{}/", folder.display()), "") + "\n";
        let expected = fs::read_to_string(name.with_extension("err")).unwrap_or_default();
        if heard != expected {
            failures.push(format!("== {}\n-- expected\n{expected}-- heard\n{heard}", path.display()));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn the_example_is_accepted_as_it_is_shipped() {
    let config = accepted(EXAMPLE);
    assert_eq!(config.providers.keys().collect::<Vec<_>>(), ["contoso"]);
    assert_eq!(config.listeners.len(), 6);
}

/// The example with every `#:` taken away, and the files that it names in a folder of the test.
fn example_with_everything_on(folder: &Path) -> String {
    let private = |name: &str, text: &str| {
        fs::write(folder.join(name), text).unwrap();
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o600)).unwrap();
    };
    private("contoso.secret", "planted-secret\n");
    let application = Application::new();
    fs::write(folder.join("fabrikam.pem"), &application.certificate).unwrap();
    private("fabrikam.key", &application.key);
    private("workspace.json", &service_account_file(&application.key));
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["mail.example.org".to_owned()])
        .unwrap()
        .self_signed(&key)
        .unwrap();
    fs::write(folder.join("own-ca.pem"), certificate.pem()).unwrap();
    fs::write(folder.join("page"), "#!/bin/sh\n").unwrap();
    fs::write(folder.join("mail.pem"), certificate.pem()).unwrap();
    fs::write(folder.join("mail.key"), key.serialize_pem()).unwrap();
    let lines = EXAMPLE.lines().map(|line| line.replacen("#: ", "", 1) + "\n");
    lines.collect::<String>().replace("/etc/gatepost", folder.to_str().unwrap())
}

fn service_account_file(key: &str) -> String {
    serde_json::json!({
        "type": "service_account",
        "client_email": "mail@project.example",
        "private_key": key,
        "private_key_id": "planted-key-id",
        "token_uri": "https://oauth2.googleapis.com/token",
    })
    .to_string()
}

#[test]
fn a_certificate_is_taken_that_is_good_and_whose_key_fits() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let private = |name: &str, text: &str| {
        fs::write(path(name), text).unwrap();
        fs::set_permissions(path(name), fs::Permissions::from_mode(0o600)).unwrap();
    };
    for (name, days) in [("good", 365), ("soon", 10), ("expired", -2)] {
        let application = Application::with_days_left(days);
        private(&format!("{name}.pem"), &application.certificate);
        private(&format!("{name}.key"), &application.key);
    }
    private("elliptic.key", &rcgen::KeyPair::generate().unwrap().serialize_pem());
    fs::copy(path("good.key"), path("open.key")).unwrap();
    fs::set_permissions(path("open.key"), fs::Permissions::from_mode(0o644)).unwrap();
    let text = |certificate: &str, key: &str| {
        format!(
            "providers: {{ it: {{ preset: microsoft365, client_id: abc, tenant: contoso.example, grant: \
             client_credentials, client_certificate: {{ certificate: {}, key: {} }} }} }}",
            path(certificate),
            path(key)
        )
    };
    for (certificate, key, complaint) in [
        (
            "good.pem",
            "soon.key",
            format!("key: error: {} is the key of another certificate", path("soon.key")),
        ),
        ("good.pem", "elliptic.key", format!("key: error: {} is not an RSA key", path("elliptic.key"))),
        ("good.pem", "open.key", format!("run `chmod 600 {}`", path("open.key"))),
        ("good.pem", "good.pem", format!("key: error: {} holds no private key in PEM", path("good.pem"))),
        (
            "good.key",
            "good.key",
            format!("certificate: error: {} holds no certificate in PEM", path("good.key")),
        ),
        ("missing.pem", "good.key", format!("certificate: error: {} cannot be read", path("missing.pem"))),
    ] {
        let heard = refused(&text(certificate, key));
        assert!(heard.contains(&complaint), "{certificate} {key}: {heard}");
        assert_eq!(heard.lines().count(), 1, "{heard}");
    }
    for (name, warnings) in [("good", &[][..]), ("soon", &["ends in 10 days"]), ("expired", &["ended on "])] {
        let config = accepted(&text(&format!("{name}.pem"), &format!("{name}.key")));
        let heard: Vec<String> = config.remarks.iter().map(ToString::to_string).collect();
        assert_eq!(heard.len(), warnings.len(), "{heard:?}");
        assert!(heard.iter().zip(warnings).all(|(heard, words)| heard.contains(words)), "{heard:?}");
        assert!(matches!(
            config.providers["it"].oauth().unwrap().authentication,
            ClientAuthentication::PrivateKeyJwt(_)
        ));
        assert!(!format!("{config:?}").contains("PRIVATE"), "{config:?}");
    }
}

#[test]
fn a_service_account_brings_its_own_name_and_endpoint() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key.json");
    fs::write(&file, service_account_file(&Application::new().key)).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let config = accepted(&format!(
        "providers: {{ it: {{ preset: google, grant: service_account, service_account: {} }} }}",
        file.display()
    ));
    let oauth = config.providers["it"].oauth().unwrap();
    assert_eq!((oauth.grant, oauth.client_id.as_str()), (GrantType::ServiceAccount, "mail@project.example"));
    assert_eq!(oauth.token_endpoint.as_str(), "https://oauth2.googleapis.com/token");
    assert_eq!(oauth.scopes, ["https://mail.google.com/"]);
    assert!(!format!("{config:?}").contains("PRIVATE"), "{config:?}");
}

#[test]
fn a_secret_comes_from_a_credential_or_a_command_too() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str, mode| {
        fs::write(folder.path().join(name), text).unwrap();
        fs::set_permissions(folder.path().join(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    write("mail-secret", "planted-secret\n", 0o400);
    write("print", "#!/bin/sh\necho \"planted-$1\"\necho more\n", 0o700);
    write("fail", "#!/bin/sh\necho planted; echo 'the store is locked' >&2; exit 2\n", 0o700);
    let read = |secret: &str, unit: bool| {
        let text =
            format!("providers: {{ it: {{ preset: google, client_id: abc, client_secret: {secret} }} }}");
        let credentials = folder.path().to_str().filter(|_| unit).map(str::to_owned);
        let environment = |name: &str| match name {
            "CREDENTIALS_DIRECTORY" => credentials.clone(),
            _ => environment(name),
        };
        Config::parse(&folder.path().join("gatepost.yaml"), &text, &environment)
    };
    for secret in ["{ credential: mail-secret }", "{ command: [./print, secret] }"] {
        let config = read(secret, true).unwrap_or_else(|error| panic!("{secret}: {error}"));
        assert_eq!(
            config.providers["it"].oauth().unwrap().authentication.secret().unwrap().expose(),
            "planted-secret",
            "{secret}"
        );
    }
    for (secret, unit, words) in [
        ("{ credential: mail-secret }", false, "`LoadCredential=mail-secret:/path/to/secret`"),
        ("{ credential: other }", true, "/other cannot be read"),
        ("{ credential: ../mail-secret }", true, "is not a credential's name"),
        (
            "{ command: ./print secret }",
            true,
            "without a shell; write the program and its arguments as a list",
        ),
        ("{ command: [] }", true, "has no program in it"),
        ("{ command: [./missing] }", true, "`./missing` cannot be run: No such file"),
        ("{ command: [./fail] }", true, "`./fail` failed (exit status: 2) and said: the store is locked"),
    ] {
        let heard = read(secret, unit).map(|_| "accepted").unwrap_err().to_string();
        assert!(heard.contains(words) && !heard.contains("planted"), "{secret}: {heard}");
    }
}

#[test]
fn where_a_secret_goes_can_be_chosen() {
    let read = |method: &str| {
        let config = accepted(&format!(
            "providers: {{ it: {{ preset: google, client_id: abc, client_secret: {{ env: OWN_CLIENT_SECRET }}{method} }} }}"
        ));
        match &config.providers["it"].oauth().unwrap().authentication {
            ClientAuthentication::ClientSecretBasic(_) => "basic",
            ClientAuthentication::ClientSecretPost(_) => "post",
            ClientAuthentication::None => "none",
            ClientAuthentication::PrivateKeyJwt(_) => "jwt",
        }
    };
    assert_eq!(read(""), "post");
    assert_eq!(read(", client_authentication: client_secret_post"), "post");
    assert_eq!(read(", client_authentication: client_secret_basic"), "basic");
}

#[test]
fn the_example_is_accepted_with_everything_switched_on() {
    let folder = tempfile::tempdir().unwrap();
    let config = accepted(&example_with_everything_on(folder.path()));
    assert_eq!(
        config.providers.keys().collect::<Vec<_>>(),
        ["contoso", "fabrikam", "issuer", "own", "post", "workspace"]
    );
    assert_eq!(
        config.providers["contoso"].oauth().unwrap().authentication.secret().unwrap().expose(),
        "planted-secret"
    );
    let device_endpoint =
        config.providers["own"].oauth().unwrap().device_authorization_endpoint.as_ref().unwrap();
    assert_eq!(device_endpoint.as_str(), "https://login.example.org/device_authorization");
    assert_eq!(config.listeners.len(), 7);
    assert!(config.listeners[6].plaintext_allowed);
    assert_eq!(config.listeners[6].provider.as_deref(), Some("contoso"));
    assert!(config.certificate.is_some());
    let command = config.on_alarm.command.unwrap();
    assert_eq!(
        (command.program, command.arguments),
        (folder.path().join("page"), vec!["--urgent".to_owned()])
    );
    assert_eq!(config.on_alarm.mail_to, ["admin@contoso.example"]);
    assert_eq!(config.on_alarm.mail_account.as_deref(), Some("scanner@contoso.example"));
    let protocols = |name: &str| Protocol::ALL.map(|it| config.providers[name].endpoint(it).is_some());
    assert_eq!((protocols("contoso"), protocols("own")), ([true, false, false], [true; 3]));
}

#[test]
fn alarms_go_to_the_log_alone_or_to_whom_the_file_says() {
    assert_eq!(accepted(PROVIDER).on_alarm, OnAlarm::default());
    let written = |on_alarm: &str| accepted(&format!("{PROVIDER}on_alarm: {on_alarm}\n")).on_alarm;
    assert_eq!(written("{ mail_to: a@b.example }").mail_to, ["a@b.example"]);
    assert_eq!(written("{ mail_to: [a@b.example, c@d.example] }").mail_to.len(), 2);
    // A name is looked up in PATH, when it is run.
    let command = written("{ command: [page, '$HOME; a  b'] }").command.unwrap();
    assert_eq!((command.program.to_str(), command.arguments), (Some("page"), vec!["$HOME; a  b".to_owned()]));
}

#[test]
fn what_the_example_calls_defaults_are_the_defaults() {
    let folder = tempfile::tempdir().unwrap();
    let everything = accepted(&example_with_everything_on(folder.path()));
    let nothing = accepted(PROVIDER);
    assert_eq!(format!("{:?}", everything.limits), format!("{:?}", Limits::default()));
    let six: Vec<_> = everything.listeners.iter().take(6).map(|listener| format!("{listener:?}")).collect();
    let defaults: Vec<_> = nothing.listeners.iter().map(|listener| format!("{listener:?}")).collect();
    assert_eq!(six, defaults);
}

#[test]
fn the_scopes_of_a_preset_are_those_of_the_grant() {
    let config = accepted(
        "providers:\n  it:\n    preset: microsoft365\n    client_id: abc\n    tenant: contoso.example\n    \
         grant: client_credentials\n    client_secret: { env: OWN_CLIENT_SECRET }\n",
    );
    let oauth = config.providers["it"].oauth().unwrap();
    assert_eq!(oauth.scopes, ["https://outlook.office365.com/.default"]);
    let url = "https://login.microsoftonline.com/contoso.example/oauth2/v2.0/token";
    assert_eq!(oauth.token_endpoint.as_str(), url);
    assert_eq!(oauth.authorization_endpoint, None);
    assert_eq!(oauth.device_authorization_endpoint, None);
}

#[test]
fn microsoft_s_device_codes_are_those_of_the_tenant_and_google_has_none() {
    for (written, expected) in [
        ("preset: microsoft365", Some("organizations/oauth2/v2.0/devicecode")),
        ("preset: microsoft365, tenant: contoso.example", Some("contoso.example/oauth2/v2.0/devicecode")),
        ("preset: outlook", Some("consumers/oauth2/v2.0/devicecode")),
        ("preset: google", None),
    ] {
        let config = accepted(&format!("providers: {{ it: {{ {written}, client_id: abc }} }}"));
        let oauth = config.providers["it"].oauth().unwrap();
        let expected = expected.map(|path| format!("https://login.microsoftonline.com/{path}"));
        assert_eq!(oauth.device_authorization_endpoint.as_ref().map(ToString::to_string), expected);
        for scope in ["openid", "profile", "email"] {
            assert!(oauth.scopes.iter().any(|one| one == scope), "{written}: {scope}");
        }
    }
}

#[test]
fn one_key_of_a_preset_is_changed_and_the_others_stay() {
    let config = accepted(
        "providers: { it: { preset: microsoft365, client_id: abc, smtp: { sessions: 2 }, \
         authorization_parameters: { domain_hint: contoso.example } } }",
    );
    let provider = &config.providers["it"];
    let smtp = provider.smtp.as_ref().unwrap();
    assert_eq!((smtp.host.as_str(), smtp.port, smtp.sessions), ("smtp.office365.com", 587, Some(2)));
    assert_eq!(smtp.tls, UpstreamTls::StartTls);
    let parameters: Vec<&str> =
        provider.oauth().unwrap().authorization_parameters.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(parameters, ["prompt", "domain_hint"]);
}

#[test]
fn numbers_and_booleans_are_names_where_a_name_is_asked_for() {
    for written in ["0123", "1e5", "0x10", "yes", "1_000", "'0123'", "12345678901234567890123"] {
        let config =
            accepted(&format!("# ü\nproviders: {{ it: {{ preset: google, client_id: {written} }} }}\n"));
        assert_eq!(config.providers["it"].oauth().unwrap().client_id, written.trim_matches('\''));
    }
}

#[test]
fn a_password_is_taken_in_clear_only_where_nobody_else_can_listen() {
    for (listener, expected) in [
        ("tls: starttls", true),
        ("tls: none", true),
        ("tls: implicit", false),
        ("tls: starttls, plaintext: refused", false),
        ("tls: none, address: '[::1]:1587'", true),
        ("tls: starttls, address: 192.168.1.10", false),
        ("tls: starttls, address: 0.0.0.0", false),
        ("tls: none, address: 192.168.1.10, plaintext: allowed, allow_from: [192.168.1.20]", true),
        ("tls: starttls, address: 192.168.1.10, plaintext: allowed, allow_from: [fd00::/8]", true),
    ] {
        let text = format!("{PROVIDER}listeners: [{{ protocol: smtp, {listener} }}]");
        assert_eq!(accepted(&text).listeners[0].plaintext_allowed, expected, "{listener}");
    }
}

#[test]
fn an_address_needs_no_port() {
    for (listener, expected) in [
        ("protocol: smtp", "127.0.0.1:1587"),
        ("protocol: smtp, tls: implicit", "127.0.0.1:1465"),
        ("protocol: pop3, tls: none", "127.0.0.1:1110"),
        ("protocol: pop3, tls: implicit", "127.0.0.1:1995"),
        ("protocol: pop3, address: '::1'", "[::1]:1110"),
        ("protocol: imap, tls: none", "127.0.0.1:1143"),
        ("protocol: imap, tls: implicit", "127.0.0.1:1993"),
        ("protocol: pop3, address: '[::1]:0'", "[::1]:0"),
        ("protocol: smtp, address: 127.0.0.2:25", "127.0.0.2:25"),
    ] {
        let config = accepted(&format!("{PROVIDER}listeners: [{{ {listener} }}]"));
        assert_eq!(config.listeners[0].address.to_string(), expected, "{listener}");
    }
}

#[test]
fn only_protocols_that_a_provider_has_are_listened_for_by_default() {
    for (protocol, tls, port) in [
        (Protocol::Smtp, "implicit", 465),
        (Protocol::Smtp, "starttls", 587),
        (Protocol::Pop3, "implicit", 995),
        (Protocol::Pop3, "starttls", 110),
        (Protocol::Imap, "implicit", 993),
        (Protocol::Imap, "starttls", 143),
    ] {
        let config = accepted(&format!(
            "providers:\n  own:\n    client_id: abc\n    authorization_endpoint: https://login.example.org/authorize\n    \
             token_endpoint: https://login.example.org/token\n    scopes: [mail]\n    \
             {}: {{ host: mail.example.org, tls: {tls} }}\n",
            protocol.name()
        ));
        let heard: Vec<_> =
            config.listeners.iter().map(|listener| (listener.protocol, listener.tls)).collect();
        assert_eq!(heard, [(protocol, ListenerTls::StartTls), (protocol, ListenerTls::Implicit)]);
        assert_eq!(config.providers["own"].endpoint(protocol).unwrap().port, port);
        let served = Protocol::ALL.map(|it| config.providers["own"].endpoint(it).is_some());
        assert_eq!(served, Protocol::ALL.map(|it| it == protocol));
    }
}

#[test]
fn a_secret_file_is_private_and_not_empty() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    let text = format!(
        "providers: {{ it: {{ preset: google, client_id: abc, client_secret: {{ file: {} }} }} }}",
        path.display()
    );
    assert!(refused(&text).contains("cannot be read"));
    for (content, mode, complaint) in [
        ("planted-secret\n", 0o644, Some(format!("run `chmod 600 {}`", path.display()))),
        ("\n", 0o600, Some("is empty".to_owned())),
        ("planted-secret\r\n", 0o600, None),
        ("planted-secret", 0o640, None),
    ] {
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let Some(complaint) = complaint else {
            let config = accepted(&text);
            assert_eq!(
                config.providers["it"].oauth().unwrap().authentication.secret().unwrap().expose(),
                "planted-secret"
            );
            assert!(!format!("{config:?}").contains("planted-secret"));
            continue;
        };
        let heard = refused(&text);
        assert!(heard.contains(&complaint), "{heard}");
        assert!(!heard.contains("planted-secret"), "{heard}");
    }
}

#[test]
fn a_user_name_is_ambiguous_only_where_one_listener_serves_both_providers() {
    let providers =
        "providers: { a: { preset: google, client_id: abc }, b: { preset: microsoft365, client_id: abc } }\n";
    let bound =
        "listeners: [{ protocol: smtp, provider: a }, { protocol: smtp, address: 127.0.0.2, provider: b }]";
    let name = |name: &str, provider: &str| (name.to_owned(), provider.to_owned());
    let both = [name("scanner", "a"), name("Scanner", "b")];
    let one = [name("scanner", "a"), name("scanner", "a"), name("printer", "b")];
    let domains = [name("*@contoso.com", "a"), name("*@Contoso.com", "b")];
    // Those of the name itself come first.
    let in_domain = [name("*@contoso.com", "a"), name("ann@contoso.com", "b")];
    for (listeners, names, expected) in [
        ("listeners: [{ protocol: smtp }]", &both[..], 1),
        ("listeners: [{ protocol: smtp }, { protocol: pop3 }]", &both, 2),
        (bound, &both, 0),
        ("listeners: [{ protocol: smtp }]", &one, 0),
        ("listeners: [{ protocol: smtp }]", &domains, 1),
        ("listeners: [{ protocol: smtp }]", &in_domain, 0),
    ] {
        let complaints = lint::ambiguous_user_names(&accepted(&format!("{providers}{listeners}")), names);
        assert_eq!(complaints.len(), expected, "{listeners}: {complaints:?}");
    }
}

#[test]
fn what_is_hardly_meant_is_a_warning() {
    let only_smtp = "preset: microsoft365, client_id: abc, scopes: [https://outlook.office.com/SMTP.Send, offline_access]";
    let (no_pop3, no_imap) = ("POP.AccessAsUser.All is missing", "IMAP.AccessAsUser.All is missing");
    for (provider, expected) in [
        (only_smtp.to_owned(), &[no_pop3, no_imap][..]),
        (format!("{only_smtp}, pop3: none"), &[no_imap]),
        (format!("{only_smtp}, imap: none"), &[no_pop3]),
        (format!("{only_smtp}, pop3: none, imap: none"), &[]),
        (
            "preset: google, client_id: 00000000-0000-0000-0000-000000000000".to_owned(),
            &["still the example's"],
        ),
        ("preset: google, client_id: abc".to_owned(), &[]),
        (
            "preset: microsoft365-china, client_id: abc, pop3: none, scopes: [https://partner.outlook.cn/SMTP.Send, \
             offline_access]"
                .to_owned(),
            &["https://partner.outlook.cn/IMAP.AccessAsUser.All is missing"],
        ),
    ] {
        let config = accepted(&format!("providers: {{ it: {{ {provider} }} }}"));
        let warned = config.remarks.iter().filter(|remark| remark.level == Level::Warning);
        let warnings: Vec<String> = warned.map(ToString::to_string).collect();
        assert_eq!(warnings.len(), expected.len(), "{provider}: {warnings:?}");
        for (warning, words) in warnings.iter().zip(expected) {
            assert!(warning.contains(words), "{warning}");
        }
    }
}

#[test]
fn what_mail_programs_call_ssl_is_implicit() {
    for word in ["ssl", "SSL", "SSL/TLS"] {
        let said = refused(&format!(
            "providers: {{ it: {{ preset: google, client_id: abc, smtp: {{ tls: {word} }} }} }}"
        ));
        assert!(said.contains(&format!("`{word}` is called `implicit` here")), "{said}");
    }
}

#[test]
fn a_file_that_is_not_there_says_which() {
    let error = Config::load(Some(Path::new("/nonexistent/gatepost.yaml"))).unwrap_err().to_string();
    let expected = "there is no configuration file /nonexistent/gatepost.yaml, which --config names\n";
    assert!(error.starts_with(expected), "{error}");
}

#[test]
fn a_provider_with_passwords_needs_only_its_servers() {
    let config = accepted(
        "providers:\n  own: { login: password, smtp: { host: smtp.example.org, tls: starttls } }\n  \
         known: { preset: google, login: password }\n  usual: { preset: google, login: oauth, client_id: abc }\n",
    );
    for (name, password, servers) in
        [("own", true, [true, false, false]), ("known", true, [true; 3]), ("usual", false, [true; 3])]
    {
        let provider = &config.providers[name];
        assert_eq!(matches!(provider.login, Login::Password), password, "{name}");
        assert_eq!(Protocol::ALL.map(|it| provider.endpoint(it).is_some()), servers, "{name}");
    }
}

#[test]
fn what_is_unverified_is_known_until_the_file_says_otherwise() {
    for (written, expected) in [
        ("preset: yahoo, client_id: abc", &["smtp", "pop3", "imap"][..]),
        ("preset: yahoo, client_id: abc, imap: none, smtp: { host: smtp.example.org }", &["pop3"]),
        ("preset: yahoo, client_id: abc, smtp: { sessions: 2 }", &["smtp", "pop3", "imap"]),
        (
            "preset: fastmail, login: password, smtp: { port: 465 }",
            &["smtp.tls", "pop3.port", "pop3.tls", "imap.port", "imap.tls"],
        ),
        ("preset: google, client_id: abc", &[]),
    ] {
        let config = accepted(&format!("providers: {{ it: {{ {written} }} }}"));
        assert_eq!(config.providers["it"].unverified, expected, "{written}");
    }
}

#[test]
fn an_issuer_takes_the_place_of_endpoints_and_keeps_its_exact_name() {
    let read = |keys: &str| {
        let config = accepted(&format!(
            "providers: {{ it: {{ client_id: abc, scopes: [mail], {keys}, imap: {{ host: imap.example.org, tls: implicit }} }} }}"
        ));
        let client = config.providers["it"].oauth().unwrap();
        (client.issuer.clone().unwrap(), client.token_endpoint.to_string())
    };
    let (issuer, token_endpoint) = read("issuer: https://login.example.org");
    assert_eq!(
        (issuer.url.as_str(), token_endpoint.as_str()),
        ("https://login.example.org", "https://login.example.org/")
    );
    assert!(!issuer.token_endpoint_is_written && !issuer.authentication_is_written);
    let (issuer, token_endpoint) = read(
        "issuer: 'https://login.example.org/{tenant}/', tenant: here, token_endpoint: https://other.example.org/token, \
         client_secret: { env: OWN_CLIENT_SECRET }, client_authentication: client_secret_post",
    );
    assert_eq!(
        (issuer.url.as_str(), token_endpoint.as_str()),
        ("https://login.example.org/here/", "https://other.example.org/token")
    );
    assert!(issuer.token_endpoint_is_written && issuer.authentication_is_written);
}

#[test]
fn a_mechanism_that_is_named_is_used_and_another_word_is_refused() {
    let provider = |mechanism: &str| {
        format!(
            "providers:\n  own:\n    token_endpoint: https://login.example.org/token\n    \
             authorization_endpoint: https://login.example.org/authorize\n    client_id: abc\n    scopes: [mail]\n    \
             imap: {{ host: mail.example.org, tls: implicit{mechanism} }}\n"
        )
    };
    let named = |mechanism: &str| {
        let text = provider(mechanism);
        Config::parse(Path::new("gatepost.yaml"), &text, &|_| None)
            .map(|config| config.providers["own"].imap.as_ref().unwrap().mechanism)
    };
    assert_eq!(named("").unwrap(), None);
    assert_eq!(named(", mechanism: oauthbearer").unwrap(), Some(UpstreamMechanism::OauthBearer));
    assert_eq!(named(", mechanism: xoauth2").unwrap(), Some(UpstreamMechanism::Xoauth2));
    for (word, expected) in [("plain", UpstreamMechanism::Plain), ("login", UpstreamMechanism::Login)] {
        let config = accepted(&format!(
            "providers:\n  own: {{ login: password, imap: {{ host: mail.example.org, tls: implicit, mechanism: {word} }} }}\n"
        ));
        assert_eq!(config.providers["own"].imap.as_ref().unwrap().mechanism, Some(expected));
    }
    let refused = named(", mechanism: oauthbaerer").unwrap_err().to_string();
    assert!(refused.contains("oauthbearer"), "{refused}");
}
