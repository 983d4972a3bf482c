//! How Gatepost proves who it is, and what goes over the wire for it: secrets in the body or in the header, certificates,
//! service accounts, passwords. And that none of it comes back in an error.

// A test says what it expects by failing; the endpoint serves other tests as well.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, dead_code)]

#[path = "support/application.rs"]
mod application;
#[path = "support/token_endpoint.rs"]
mod token_endpoint;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use gatepost::account::Account;
use gatepost::config::Config;
use gatepost::config::provider::OAuthClient;
use gatepost::oauth::password::redeem_and_commit;
use gatepost::oauth::{TokenError, Tokens, grant_key};
use gatepost::store::Store;
use gatepost::store::accounts::NewAccount;
use gatepost_protocol::failure::AuthFailure;
use gatepost_protocol::secret::Secret;
use serde_json::Value;
use tempfile::TempDir;

use application::Application;
use token_endpoint::{Form, Reply, TokenEndpoint};

/// Everything that is neither a letter nor a digit in a secret goes wrong somewhere.
const AWKWARD: &str = "planted%:+ /é&=\"";

/// An endpoint, and a folder with a configuration file and a store.
struct World {
    endpoint: TokenEndpoint,
    folder: TempDir,
    store: Store,
    tokens: Tokens,
    application: Application,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("state")).await.unwrap();
        let application = Application::new();
        private(&folder.path().join("client.pem"), &application.certificate);
        private(&folder.path().join("client.key"), &application.key);
        let endpoint = TokenEndpoint::start().await;
        let key_file = serde_json::json!({
            "client_email": "mail@project.example",
            "private_key": application.key,
            "private_key_id": "the-key",
            "token_uri": endpoint.url(),
        });
        private(&folder.path().join("workspace.json"), &key_file.to_string());
        Self { endpoint, folder, tokens: Tokens::new(store.clone()), store, application }
    }

    /// The provider with these keys, and an account there.
    async fn account(&self, address: &str, keys: &str) -> (Arc<OAuthClient>, Account) {
        let text = format!(
            "providers:\n  example:\n    {keys}\n    scopes: [mail, offline_access]\n    ca_file: {}\n    smtp: {{ host: \
             localhost, tls: implicit }}\n",
            self.endpoint.ca_file().display()
        );
        let path = self.folder.path().join("gatepost.yaml");
        let environment = |name: &str| match name {
            "AWKWARD" => Some(AWKWARD.to_owned()),
            _ => Some("/home/somebody".to_owned()),
        };
        let config =
            Config::parse(&path, &text, &environment).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let account = NewAccount {
            address: address.to_owned(),
            provider: "example".to_owned(),
            ..NewAccount::default()
        };
        let (id, _) = self.store.add_account(&account, None).await.unwrap();
        (
            Arc::clone(config.providers["example"].oauth().unwrap()),
            self.store.account(id).await.unwrap().unwrap(),
        )
    }

    /// Client credentials with these keys beside them.
    async fn application(&self, keys: &str) -> (Arc<OAuthClient>, Account) {
        let keys = format!(
            "grant: client_credentials\n    client_id: gate post\n    token_endpoint: {}\n    {keys}",
            self.endpoint.url()
        );
        self.account("ann@example.com", &keys).await
    }

    async fn login(&self, of: &(Arc<OAuthClient>, Account)) -> Result<String, TokenError> {
        self.tokens.access_token(&of.0, &of.1).await.map(|token| token.secret.expose().clone())
    }

    fn form(&self, number: usize) -> Form {
        self.endpoint.forms()[number].clone()
    }

    /// Header and claims of an assertion whose signature is right.
    fn verified(&self, assertion: &str) -> (Value, Value) {
        self.application.verify(assertion).unwrap_or_else(|| panic!("{assertion}"))
    }
}

fn private(path: &PathBuf, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn json(status: u16, body: &str) -> Reply {
    Reply::Raw(status, vec![("content-type", "application/json".to_owned())], body.to_owned())
}

fn is_about_now(seconds: &Value) -> bool {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    seconds.as_u64().unwrap().abs_diff(now) < 60
}

#[tokio::test]
async fn a_secret_in_the_header_is_form_encoded_first() {
    let world = World::new().await;
    let of = world
        .application("client_secret: { env: AWKWARD }\n    client_authentication: client_secret_basic")
        .await;
    assert_eq!(world.login(&of).await.unwrap(), "planted-access-1");
    let header = world.endpoint.authorization().unwrap();
    let decoded = BASE64_STANDARD.decode(header.strip_prefix("Basic ").unwrap()).unwrap();
    assert_eq!(
        String::from_utf8(decoded).unwrap(),
        "gate+post:planted%25%3A%2B+%2F%C3%A9%26%3D%22",
        "RFC 6749 section 2.3.1 and appendix B"
    );
    let form = world.form(0);
    assert_eq!(form.keys().collect::<Vec<_>>(), ["grant_type", "scope"], "and stands nowhere else");
}

#[tokio::test]
async fn a_secret_in_the_body_needs_no_header() {
    let world = World::new().await;
    let of = world.application("client_secret: { env: AWKWARD }").await;
    world.login(&of).await.unwrap();
    assert_eq!(world.endpoint.authorization(), None);
    let form = world.form(0);
    assert_eq!((form["client_id"].as_str(), form["client_secret"].as_str()), ("gate post", AWKWARD));
}

#[tokio::test]
async fn a_certificate_signs_every_request_anew_and_no_secret_goes_anywhere() {
    for (algorithm, alg, header, hash) in [
        ("", "PS256", "x5t#S256", &SHA256),
        (", algorithm: RS256", "RS256", "x5t", &SHA1_FOR_LEGACY_USE_ONLY),
    ] {
        let world = World::new().await;
        let keys = format!("client_certificate: {{ certificate: client.pem, key: client.key{algorithm} }}");
        let of = world.application(&keys).await;
        world.endpoint.replies(Reply::Tokens { expires_in: 0, refresh_token: false });
        world.login(&of).await.unwrap();
        world.tokens.connect_application(&of.0, &of.1).await.unwrap();
        let mut identifiers = Vec::new();
        for number in 0..2 {
            let form = world.form(number);
            assert_eq!(form["client_id"], "gate post");
            assert_eq!(
                form["client_assertion_type"],
                "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
            );
            assert!(!form.contains_key("client_secret"));
            let (head, claims) = world.verified(&form["client_assertion"]);
            assert_eq!((head["alg"].as_str(), head["typ"].as_str()), (Some(alg), Some("JWT")));
            let thumbprint = BASE64_URL_SAFE_NO_PAD.encode(digest(hash, &world.application.der));
            assert_eq!(head[header], thumbprint);
            assert_eq!((&claims["iss"], &claims["sub"]), (&"gate post".into(), &"gate post".into()));
            assert_eq!(claims["aud"], world.endpoint.url().as_str());
            assert!(is_about_now(&claims["iat"]) && claims["iat"] == claims["nbf"], "{claims}");
            assert_eq!(claims["exp"].as_u64(), claims["iat"].as_u64().map(|at| at + 300));
            identifiers.push(claims["jti"].as_str().unwrap().to_owned());
        }
        assert_ne!(identifiers[0], identifiers[1]);
    }
}

#[tokio::test]
async fn a_service_account_signs_for_each_mailbox_apart() {
    let world = World::new().await;
    let keys = "grant: service_account\n    service_account: workspace.json";
    let ann = world.account("ann@example.com", keys).await;
    let bob = world.account("bob@example.com", keys).await;
    assert_eq!(world.login(&ann).await.unwrap(), "planted-access-1");
    assert_eq!(world.login(&bob).await.unwrap(), "planted-access-2");
    assert_eq!(world.login(&ann).await.unwrap(), "planted-access-1", "each has its own");
    for (number, mailbox) in ["ann@example.com", "bob@example.com"].into_iter().enumerate() {
        let form = world.form(number);
        assert_eq!(form.keys().collect::<Vec<_>>(), ["assertion", "grant_type"]);
        assert_eq!(form["grant_type"], "urn:ietf:params:oauth:grant-type:jwt-bearer");
        let (head, claims) = world.verified(&form["assertion"]);
        assert_eq!((&head["alg"], &head["kid"]), (&"RS256".into(), &"the-key".into()));
        assert_eq!((&claims["iss"], &claims["sub"]), (&"mail@project.example".into(), &mailbox.into()));
        assert_eq!(claims["scope"], "mail offline_access");
        assert_eq!(claims["aud"], world.endpoint.url().as_str());
        assert!(is_about_now(&claims["iat"]), "{claims}");
        assert!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap() <= 3600);
    }
    let stored = world.store.grant(&grant_key(&ann.0, &ann.1)).await.unwrap().unwrap();
    assert!(stored.refresh_token.is_none(), "not even when the provider gives one");
}

#[tokio::test]
async fn a_catch_all_account_of_a_service_account_has_a_token_for_each_mailbox_that_is_opened() {
    let world = World::new().await;
    let keys = "grant: service_account\n    service_account: workspace.json";
    let (client, everybody) = world.account("*@example.com", keys).await;
    let of =
        |mailbox: &str| (Arc::clone(&client), Account { address: mailbox.to_owned(), ..everybody.clone() });
    let (ann, bob) = (of("ann@example.com"), of("bob@example.com"));
    world.endpoint.replies(Reply::Tokens { expires_in: 1, refresh_token: true });
    assert_eq!(world.login(&ann).await.unwrap(), "planted-access-1");
    world.endpoint.replies(Reply::Tokens { expires_in: 3600, refresh_token: true });
    assert_eq!(world.login(&bob).await.unwrap(), "planted-access-2");
    assert_eq!(
        world.login(&of("BOB@example.com")).await.unwrap(),
        "planted-access-2",
        "one mailbox, one token"
    );
    let (_, claims) = world.verified(&world.form(1)["assertion"]);
    assert_eq!(claims["sub"], "bob@example.com");
    assert_eq!(world.store.standings().await.unwrap().len(), 2);
}

#[tokio::test]
async fn what_a_service_account_is_refused_can_be_mended_without_connecting_again() {
    let world = World::new().await;
    let ann =
        world.account("ann@example.com", "grant: service_account\n    service_account: workspace.json").await;
    let key = grant_key(&ann.0, &ann.1);
    let ended = gatepost::store::grants::NewTokens {
        access_token: Secret::new("planted-access-0".to_owned()),
        refresh_token: None,
        issued_at: SystemTime::UNIX_EPOCH,
        expires_at: SystemTime::UNIX_EPOCH,
        scopes: Vec::new(),
        identity: None,
    };
    world.store.replace_grant(&key, &ended).await.unwrap();
    world.endpoint.replies(json(
        400,
        r#"{"error":"invalid_grant","error_description":"Invalid JWT: check iat and exp of {assertion}"}"#,
    ));
    let error = world.login(&ann).await.unwrap_err();
    let text = error.to_string();
    for words in ["Invalid JWT: check iat and exp of [secret]", "clock", "domain-wide delegation"] {
        assert!(text.contains(words), "{text}");
    }
    assert!(!text.contains("gatepost connect"), "{text}");
    assert!(matches!(AuthFailure::from(&error), AuthFailure::NeedsAdmin(_)));
    assert_eq!(world.store.grant(&key).await.unwrap().unwrap().refused, None);
}

#[tokio::test]
async fn what_an_endpoint_says_back_is_not_told() {
    let echo = |field: &str| {
        json(401, &format!(r#"{{"error":"invalid_client","error_description":"not {field} here"}}"#))
    };
    let encoded = "planted%25%3A%2B+%2F%C3%A9%26%3D%22";
    let basic = BASE64_STANDARD.encode(format!("gate+post:{encoded}"));
    let awkward = AWKWARD.replace('"', "\\\"");
    let secret = "client_secret: { env: AWKWARD }";
    let in_header = format!("{secret}\n    client_authentication: client_secret_basic");
    let certificate = "client_certificate: { certificate: client.pem, key: client.key }";
    for (keys, field) in [
        (secret, "{client_secret}"),
        (in_header.as_str(), &basic),
        (&in_header, encoded),
        (&in_header, &awkward),
        (certificate, "{client_assertion}"),
    ] {
        // The quotation mark would end the JSON of the double.
        let field = if field == "{client_secret}" { awkward.as_str() } else { field };
        let world = World::new().await;
        world.endpoint.replies(echo(field));
        let of = world.application(keys).await;
        let error = world.login(&of).await.unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(text.contains("not [secret] here"), "{text}");
        assert!(!text.contains("planted") && !text.contains(&basic) && !text.contains("eyJ"), "{text}");
        assert!(!format!("{:?}", of.0).contains("planted"), "{:?}", of.0);
    }
}

fn password_keys(world: &World) -> String {
    format!("grant: password\n    client_id: gatepost\n    token_endpoint: {}", world.endpoint.url())
}

#[tokio::test]
async fn a_password_is_redeemed_once_and_then_its_refresh_token() {
    let world = World::new().await;
    let of = world.account("ann@example.com", &password_keys(&world)).await;
    let error = world.login(&of).await.unwrap_err();
    assert!(error.to_string().contains("run: gatepost connect ann@example.com"), "{error}");
    assert_eq!(world.endpoint.requests(), 0);

    world.endpoint.replies(Reply::Tokens { expires_in: 0, refresh_token: true });
    let (client, account) = &of;
    let password = Secret::new(AWKWARD.to_owned());
    let key = grant_key(client, account);
    redeem_and_commit(client, &account.address, password, &world.store, &key).await.unwrap();
    let form = world.form(0);
    for (name, value) in [
        ("grant_type", "password"),
        ("username", "ann@example.com"),
        ("password", AWKWARD),
        ("scope", "mail offline_access"),
        ("client_id", "gatepost"),
    ] {
        assert_eq!(form[name], value, "{name}");
    }
    world.tokens.renewed(client, account, gatepost_protocol::Protocol::Smtp, 1).await.unwrap();
    let form = world.form(1);
    assert_eq!(
        (form["grant_type"].as_str(), form["refresh_token"].as_str()),
        ("refresh_token", "planted-refresh-1")
    );
    assert!(!form.contains_key("password"));
}

#[tokio::test]
async fn a_password_that_is_refused_or_brings_no_refresh_token_leaves_nothing_behind() {
    let world = World::new().await;
    let (provider, account) = world.account("ann@example.com", &password_keys(&world)).await;
    let key = grant_key(&provider, &account);
    for (reply, words) in [
        (
            json(
                400,
                r#"{"error":"invalid_grant","error_description":"AADSTS50076: {password} of {username}"}"#,
            ),
            "AADSTS50076: [secret] of ann@example.com; the account needs a second factor",
        ),
        (Reply::Tokens { expires_in: 3600, refresh_token: false }, "must hold offline_access"),
    ] {
        world.endpoint.replies(reply);
        let password = Secret::new("planted-password".to_owned());
        let error = redeem_and_commit(&provider, "ann@example.com", password, &world.store, &key).await;
        let error = error.unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert!(!format!("{error} {error:?}").contains("planted"), "{error:?}");
        assert!(world.store.grant(&key).await.unwrap().is_none());
    }
    let database = fs::read(world.folder.path().join("state/gatepost.db")).unwrap();
    assert!(!contains(&database, b"planted-password"));
    let log = Path::new("state/gatepost.db-wal");
    let log = fs::read(world.folder.path().join(log)).unwrap_or_default();
    assert!(!contains(&log, b"planted-password"));
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window == word)
}
