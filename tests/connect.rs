//! The program itself, as a process: `connect` by a pasted address and by client credentials, and a kill at each crash point of a
//! refresh, after which the account works or says that it must be connected again.

// A test says what it expects by failing; the endpoint serves other tests as well.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, dead_code)]

#[path = "support/token_endpoint.rs"]
mod token_endpoint;

use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::SystemTime;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

use gatepost::account::Account;
use gatepost::config::Config;
use gatepost::oauth::{TokenError, Tokens};
use gatepost::store::Store;
use gatepost::store::accounts::NewAccount;
use gatepost::store::grants::{GrantKey, NewTokens};
use gatepost_protocol::secret::Secret;
use token_endpoint::{Reply, TokenEndpoint};

/// A folder with a configuration and a store with one account.
struct World {
    endpoint: TokenEndpoint,
    folder: TempDir,
    store: Store,
    account: Account,
}

impl World {
    async fn new(grant: &str) -> Self {
        let endpoint = TokenEndpoint::start().await;
        let folder = tempfile::tempdir().unwrap();
        let authorization = match grant {
            "authorization_code" => "authorization_endpoint: https://localhost/authorize\n    ",
            "password" => "",
            _ => "client_secret: { env: TEST_CLIENT_SECRET }\n    ",
        };
        let text = format!(
            "state: state\nproviders:\n  example:\n    grant: {grant}\n    {authorization}client_id: gatepost\n    \
             token_endpoint: {}\n    scopes: [mail, offline_access]\n    ca_file: {}\n    \
             pop3: {{ host: localhost, port: 9, tls: implicit }}\n",
            endpoint.url(),
            endpoint.ca_file().display()
        );
        std::fs::write(folder.path().join("gatepost.yaml"), text).unwrap();
        let store = Store::open(&folder.path().join("state")).await.unwrap();
        let account = NewAccount {
            address: "ann@example.com".to_owned(),
            provider: "example".to_owned(),
            ..NewAccount::default()
        };
        let (id, _) = store.add_account(&account, None).await.unwrap();
        let account = store.account(id).await.unwrap().unwrap();
        Self { endpoint, folder, store, account }
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("gatepost.yaml")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
        command
            .arg("--config")
            .arg(self.config())
            .args(arguments)
            .env("TEST_CLIENT_SECRET", "planted-secret");
        // Nothing secret may show at the most verbose level either.
        command.env("RUST_LOG", "trace").stderr(std::fs::File::create(self.log()).unwrap());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        command
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// All that the last command said, which is never a secret.
    fn printed(&self, output: &Output) -> String {
        let text =
            String::from_utf8(output.stdout.clone()).unwrap() + &std::fs::read_to_string(self.log()).unwrap();
        assert!(text.contains("DEBUG"), "verbose logging is on: {text}");
        assert!(!text.contains("planted"), "{text}");
        text
    }

    async fn login(&self) -> Result<String, TokenError> {
        let config =
            Config::parse(&self.config(), &std::fs::read_to_string(self.config()).unwrap(), &|_| None);
        let provider = config.unwrap().providers["example"].oauth().unwrap().clone();
        let token = Tokens::new(self.store.clone()).access_token(&provider, &self.account).await?;
        Ok(token.secret.expose().clone())
    }
}

#[tokio::test]
async fn a_pasted_address_connects_and_a_wrong_one_is_asked_for_again() {
    let world = World::new("authorization_code").await;
    let mut child =
        world.command(&["connect", "ann@example.com", "--paste"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let address = loop {
        let line = lines.next_line().await.unwrap().expect("an address is printed");
        if let Some(address) = line.strip_prefix("https://localhost/authorize?") {
            break url::form_urlencoded::parse(address.as_bytes()).into_owned().collect::<Vec<_>>();
        }
    };
    let value = |name: &str| address.iter().find(|(key, _)| key == name).unwrap().1.clone();
    assert_eq!(value("redirect_uri"), "http://localhost");
    let pasted = format!(
        "http://localhost/?code=old&state=x\nhttp://localhost/?code=planted-code&state={}\n",
        value("state")
    );
    child.stdin.take().unwrap().write_all(pasted.as_bytes()).await.unwrap();
    let mut rest = String::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        rest.push_str(&line);
    }
    let output = child.wait_with_output().await.unwrap();
    assert!(output.status.success(), "{rest}{}", world.printed(&output));
    assert!(rest.contains("ann@example.com is connected to example"), "{rest}");
    assert!(rest.contains("Scopes granted: mail offline_access"), "{rest}");
    assert!(
        world.printed(&output).contains("another attempt"),
        "the wrong state is told: {}",
        world.printed(&output)
    );
    assert!(!rest.contains("planted"), "{rest}");
    assert_eq!(world.login().await.unwrap(), "planted-access-1");
    assert_eq!(world.endpoint.requests(), 1);
}

#[tokio::test]
async fn a_provider_that_takes_an_https_redirect_alone_is_connected_by_pasting() {
    let world = World::new("authorization_code").await;
    let text = std::fs::read_to_string(world.config()).unwrap();
    let text = text.replace("scopes:", "redirect_uri: https://127.0.0.1\n    scopes:");
    std::fs::write(world.config(), text).unwrap();
    // With a display, where a browser would be opened otherwise.
    let mut command = world.command(&["connect", "ann@example.com"]);
    let mut child = command.env("DISPLAY", ":0").stdin(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut told = String::new();
    let state = loop {
        let line = lines.next_line().await.unwrap().expect("an address is printed");
        told = told + &line + "\n";
        let Some(query) = line.strip_prefix("https://localhost/authorize?") else { continue };
        let fields: Vec<_> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        assert!(fields.contains(&("redirect_uri".to_owned(), "https://127.0.0.1".to_owned())), "{query}");
        break fields.into_iter().find(|(name, _)| name == "state").unwrap().1;
    };
    assert!(told.contains("provider example sends the browser to an https address"), "{told}");
    let pasted = format!("https://127.0.0.1/?code=planted-code&state={state}\n");
    child.stdin.take().unwrap().write_all(pasted.as_bytes()).await.unwrap();
    let mut rest = String::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        rest = rest + &line + "\n";
    }
    let output = child.wait_with_output().await.unwrap();
    assert!(output.status.success(), "{rest}{}", world.printed(&output));
    assert!(rest.contains("at https://127.0.0.1/?code=…\n"), "{rest}");
    let form = world.endpoint.forms().remove(0);
    assert_eq!(form["redirect_uri"], "https://127.0.0.1");
    assert_eq!(world.login().await.unwrap(), "planted-access-1");
}

#[tokio::test]
async fn nothing_pasted_connects_nothing() {
    let world = World::new("authorization_code").await;
    let output = world
        .command(&["connect", "ann@example.com", "--paste"])
        .spawn()
        .unwrap()
        .wait_with_output()
        .await
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", world.printed(&output));
    assert!(world.store.grant(&GrantKey::Account(world.account.id)).await.unwrap().is_none());
}

#[tokio::test]
async fn a_password_on_standard_input_connects_and_is_told_to_nobody() {
    let world = World::new("password").await;
    let connect = async || {
        let mut child = world.command(&["connect", "ann@example.com"]).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all("planted-pass wörd\n".as_bytes()).await.unwrap();
        child.wait_with_output().await.unwrap()
    };
    let refusal = r#"{"error":"invalid_grant","error_description":"AADSTS50076: {password}"}"#;
    world.endpoint.replies(Reply::Raw(400, Vec::new(), refusal.to_owned()));
    let output = connect().await;
    let printed = world.printed(&output);
    assert_eq!(output.status.code(), Some(5), "{printed}");
    assert!(printed.contains("AADSTS50076: [secret]; the account needs a second factor"), "{printed}");

    world.endpoint.replies(Reply::Tokens { expires_in: 3600, refresh_token: true });
    let output = connect().await;
    let printed = world.printed(&output);
    assert!(output.status.success(), "{printed}");
    assert!(printed.contains("ann@example.com is connected to example"), "{printed}");
    assert_eq!(world.endpoint.forms()[1]["password"], "planted-pass wörd");
    assert_eq!(world.login().await.unwrap(), "planted-access-2");
}

#[tokio::test]
async fn client_credentials_connect_without_a_person() {
    let world = World::new("client_credentials").await;
    let output =
        world.command(&["connect", "ann@example.com"]).spawn().unwrap().wait_with_output().await.unwrap();
    assert!(output.status.success(), "{}", world.printed(&output));
    assert_eq!(world.endpoint.forms()[0]["client_secret"], "planted-secret");
    let grant = world.store.grant(&GrantKey::Provider("example".to_owned())).await.unwrap().unwrap();
    assert_eq!(grant.access_token.unwrap().expose(), "planted-access-1");

    world.endpoint.replies(Reply::Raw(401, Vec::new(), r#"{"error":"invalid_client"}"#.to_owned()));
    let output =
        world.command(&["connect", "ann@example.com"]).spawn().unwrap().wait_with_output().await.unwrap();
    assert_eq!(output.status.code(), Some(5), "{}", world.printed(&output));
    assert!(world.printed(&output).contains("check client_id, client_secret"), "{}", world.printed(&output));
}

#[tokio::test]
async fn disconnect_says_who_asks_and_shows_no_token_even_where_the_endpoint_echoes_it() {
    let world = World::new("client_credentials").await;
    let revoke = world.endpoint.url().join("revoke").unwrap();
    let text = std::fs::read_to_string(world.config()).unwrap();
    let by_consent = text
        .replace("grant: client_credentials", "authorization_endpoint: https://localhost/authorize")
        .replace("scopes:", &format!("revocation_endpoint: {revoke}\n    scopes:"));
    std::fs::write(world.config(), by_consent).unwrap();
    let tokens = NewTokens {
        access_token: Secret::new("planted-access-0".to_owned()),
        refresh_token: Some(Secret::new("planted-refresh-0".to_owned())),
        issued_at: SystemTime::now(),
        expires_at: SystemTime::UNIX_EPOCH,
        scopes: Vec::new(),
        identity: None,
    };
    let key = GrantKey::Account(world.account.id);
    world.store.replace_grant(&key, &tokens).await.unwrap();
    let disconnect = async || {
        let child = world.command(&["disconnect", "ann@example.com"]).spawn().unwrap();
        child.wait_with_output().await.unwrap()
    };
    let echo = r#"{"error":"invalid_request","error_description":"{token} of {client_secret}"}"#;
    world.endpoint.replies(Reply::Raw(400, Vec::new(), echo.to_owned()));
    let output = disconnect().await;
    let printed = world.printed(&output);
    assert_eq!(output.status.code(), Some(5), "{printed}");
    assert!(printed.contains("invalid_request (HTTP 400): [secret] of [secret]"), "{printed}");
    assert!(world.store.grant(&key).await.unwrap().is_some());

    world.endpoint.replies(Reply::Raw(200, Vec::new(), String::new()));
    let output = disconnect().await;
    let printed = world.printed(&output);
    assert!(output.status.success(), "{printed}");
    assert!(printed.contains("example has revoked the consent"), "{printed}");
    assert!(world.store.grant(&key).await.unwrap().is_none());
    let form = world.endpoint.forms().remove(1);
    for (name, value) in [
        ("token", "planted-refresh-0"),
        ("token_type_hint", "refresh_token"),
        ("client_id", "gatepost"),
        ("client_secret", "planted-secret"),
    ] {
        assert_eq!(form[name], value, "{name}");
    }
    assert_eq!(form.len(), 4, "{form:?}");
}

#[tokio::test]
async fn nobody_s_consent_is_revoked_where_the_application_is_trusted() {
    let world = World::new("client_credentials").await;
    let key = GrantKey::Provider("example".to_owned());
    let run = async |arguments: &[&str]| {
        let output = world.command(arguments).spawn().unwrap().wait_with_output().await.unwrap();
        (output.status.code(), world.printed(&output))
    };
    run(&["connect", "ann@example.com"]).await;
    assert!(world.store.grant(&key).await.unwrap().is_some());
    for words in
        ["The token that was kept for every account of example is forgotten.", "No token is kept for"]
    {
        let (status, printed) = run(&["disconnect", "ann@example.com"]).await;
        assert_eq!(status, Some(0), "{printed}");
        assert!(printed.contains(words), "{printed}");
        assert!(printed.contains("gatepost account disable ann@example.com"), "{printed}");
        assert!(world.store.grant(&key).await.unwrap().is_none());
    }
    assert_eq!(world.endpoint.requests(), 1);
    run(&["test", "ann@example.com"]).await;
    let grant = world.store.grant(&key).await.unwrap().unwrap();
    assert_eq!(grant.access_token.unwrap().expose(), "planted-access-2", "the next login gets a new one");
}

#[tokio::test]
async fn a_proxy_from_the_environment_carries_tls_to_the_endpoint_itself() {
    let world = World::new("client_credentials").await;
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut command = world.command(&["connect", "ann@example.com"]);
    for name in ["NO_PROXY", "no_proxy", "https_proxy", "ALL_PROXY", "all_proxy"] {
        command.env_remove(name);
    }
    command.env("HTTPS_PROXY", format!("http://{}", proxy.local_addr().unwrap()));
    let child = command.spawn().unwrap();
    let mut client = BufReader::new(proxy.accept().await.unwrap().0);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(client.read_line(&mut head).await.unwrap(), 0, "{head}");
    }
    let authority = head.strip_prefix("CONNECT ").unwrap().split(' ').next().unwrap();
    assert_eq!(Some(authority), world.endpoint.url().as_str().split('/').nth(2));
    let mut upstream = TcpStream::connect(authority).await.unwrap();
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    // The program closes when it is done; how the tunnel ends is no matter.
    let _ = tokio::io::copy_bidirectional(&mut client, &mut upstream).await;
    let output = child.wait_with_output().await.unwrap();
    assert!(output.status.success(), "{}", world.printed(&output));
    assert_eq!(world.endpoint.requests(), 1);
}

#[tokio::test]
async fn killed_at_any_point_of_a_refresh_the_account_works_or_says_what_to_do() {
    for (point, after) in [
        ("before-token-request", Ok("planted-access-1")),
        ("after-token-answer", Err("invalid_grant")),
        ("before-commit", Err("invalid_grant")),
        ("after-commit", Ok("planted-access-1")),
    ] {
        let world = World::new("authorization_code").await;
        world.endpoint.replies(Reply::Rotating);
        let ended = NewTokens {
            access_token: Secret::new("planted-access-0".to_owned()),
            refresh_token: Some(Secret::new("planted-refresh-0".to_owned())),
            issued_at: SystemTime::UNIX_EPOCH,
            expires_at: SystemTime::UNIX_EPOCH,
            scopes: Vec::new(),
            identity: None,
        };
        let key = GrantKey::Account(world.account.id);
        world.store.replace_grant(&key, &ended).await.unwrap();
        let output = world
            .command(&["test", "ann@example.com"])
            .env("GATEPOST_CRASH_AT", point)
            .spawn()
            .unwrap()
            .wait_with_output()
            .await
            .unwrap();
        let text = world.printed(&output);
        assert_eq!(output.status.code(), None, "{point}: it was killed: {text}");

        // As if the dead process's lease had run out.
        let database = world.folder.path().join("state/gatepost.db");
        let pool = sqlx::SqlitePool::connect(&format!("sqlite:{}", database.display())).await.unwrap();
        sqlx::query("UPDATE grants SET lease_until = 0 WHERE lease_until IS NOT NULL")
            .execute(&pool)
            .await
            .unwrap();
        pool.close().await;
        match (world.login().await, after) {
            (Ok(token), Ok(expected)) => assert_eq!(token, expected, "{point}"),
            (Err(error), Err(words)) => {
                let text = error.to_string();
                assert!(
                    text.contains(words) && text.contains("gatepost connect ann@example.com"),
                    "{point}: {text}"
                );
            }
            (result, _) => panic!("{point}: {result:?}"),
        }
    }
}
