//! A provider of which only the issuer is known: what it tells is enough, what the file says wins, and whatever is wrong with
//! its document is said and passes.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "support/token_endpoint.rs"]
mod token_endpoint;

use std::sync::Arc;

use gatepost::account::Account;
use gatepost::config::Config;
use gatepost::config::provider::OAuthClient;
use gatepost::oauth::issuer::Issuers;
use gatepost::oauth::{TokenError, Tokens};
use gatepost::store::Store;
use gatepost::store::accounts::NewAccount;
use gatepost::trial::server::Server;
use gatepost_protocol::failure::AuthFailure;
use serde_json::{Value, json};
use tempfile::TempDir;
use token_endpoint::TokenEndpoint;

const DOCUMENT: &str = "openid-configuration";

struct World {
    endpoint: TokenEndpoint,
    folder: TempDir,
    account: Account,
    store: Store,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("state")).await.unwrap();
        let account = NewAccount {
            address: "ann@example.com".to_owned(),
            provider: "example".to_owned(),
            ..NewAccount::default()
        };
        let (id, _) = store.add_account(&account, None).await.unwrap();
        let account = store.account(id).await.unwrap().unwrap();
        Self { endpoint: TokenEndpoint::start().await, folder, account, store }
    }

    fn issuer(&self) -> String {
        self.endpoint.url().as_str().trim_end_matches("/token").to_owned()
    }

    /// What a good issuer says.
    fn document(&self) -> Value {
        json!({
            "issuer": self.issuer(),
            "authorization_endpoint": format!("{}/authorize", self.issuer()),
            "device_authorization_endpoint": format!("{}/device", self.issuer()),
            "token_endpoint": self.endpoint.url(),
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
        })
    }

    /// The client with these keys, as the file has it.
    fn client(&self, keys: &str) -> Arc<OAuthClient> {
        let text = format!(
            "providers:\n  example:\n    client_id: gatepost\n    client_secret: {{ env: SECRET }}\n    scopes: [mail]\n    {keys}\n    \
             smtp: {{ host: localhost, tls: implicit }}\n    ca_file: {}\n",
            self.endpoint.ca_file().display()
        );
        let path = self.folder.path().join("gatepost.yaml");
        let config = Config::parse(&path, &text, &|_| Some("planted-secret".to_owned()))
            .unwrap_or_else(|error| panic!("{error}\n{text}"));
        Arc::clone(config.providers["example"].oauth().unwrap())
    }

    /// Client credentials at this issuer, with these keys beside.
    fn application(&self, issuer: &str, keys: &str) -> Arc<OAuthClient> {
        self.client(&format!("grant: client_credentials\n    issuer: {issuer}\n    {keys}"))
    }

    async fn login(&self, client: &Arc<OAuthClient>) -> Result<String, TokenError> {
        // Another process each time: nothing but the store is remembered.
        let tokens = Tokens::new(self.store.clone());
        let token = tokens.access_token(client, &self.account).await?;
        Ok(token.secret.expose().clone())
    }
}

#[tokio::test]
async fn what_an_issuer_tells_is_enough_for_a_token() {
    let world = World::new().await;
    world.endpoint.publishes(DOCUMENT, 200, &world.document());
    let client = world.application(&world.issuer(), "");
    assert_eq!(world.login(&client).await.unwrap(), "planted-access-1");
    assert_eq!(world.endpoint.visits(), ["/.well-known/openid-configuration"]);
    // It takes the secret in the header alone, and says so.
    assert!(world.endpoint.authorization().unwrap().starts_with("Basic "));
    assert_eq!(world.endpoint.forms()[0].get("client_secret"), None);
    assert_eq!(world.login(&client).await.unwrap(), "planted-access-1");
    assert_eq!((world.endpoint.visits().len(), world.endpoint.requests()), (1, 1));
}

#[tokio::test]
async fn what_the_file_says_wins() {
    let world = World::new().await;
    let mut document = world.document();
    document["token_endpoint"] = json!("https://localhost:1/token");
    document["authorization_endpoint"] = json!("https://localhost:1/authorize");
    world.endpoint.publishes(DOCUMENT, 200, &document);
    let keys =
        format!("token_endpoint: {}\n    client_authentication: client_secret_post", world.endpoint.url());
    let client = world.application(&world.issuer(), &keys);
    assert_eq!(world.login(&client).await.unwrap(), "planted-access-1");
    assert_eq!(world.endpoint.authorization(), None);
    assert_eq!(world.endpoint.forms()[0]["client_secret"], "planted-secret");

    let written = "authorization_endpoint: https://localhost:2/authorize";
    let client = world.client(&format!("issuer: {}\n    {written}", world.issuer()));
    let completed = Issuers::default().completed(&client).await.unwrap();
    let text = |url: &Option<url::Url>| url.as_ref().unwrap().to_string();
    assert_eq!(text(&completed.authorization_endpoint), "https://localhost:2/authorize");
    assert_eq!(text(&completed.device_authorization_endpoint), format!("{}/device", world.issuer()));
    assert_eq!(completed.token_endpoint.as_str(), "https://localhost:1/token");
}

#[tokio::test]
async fn an_authorization_server_without_openid_connect_is_found_where_rfc_8414_says() {
    let world = World::new().await;
    let issuer = format!("{}/tenant", world.issuer());
    let mut document = world.document();
    document["issuer"] = json!(issuer);
    world.endpoint.publishes("oauth-authorization-server/tenant", 200, &document);
    let client = world.application(&issuer, "");
    // The first address is not under /.well-known/, and the endpoint answers there with something that is no document.
    assert_eq!(world.login(&client).await.unwrap(), "planted-access-2");
    assert_eq!(world.endpoint.visits(), ["/.well-known/oauth-authorization-server/tenant"]);
}

#[tokio::test]
async fn whatever_is_wrong_with_the_document_is_said_and_passes() {
    let world = World::new().await;
    let with = |key: &str, value: Value| {
        let mut document = world.document();
        document[key] = value;
        document.to_string()
    };
    let issuer = world.issuer();
    for (status, body, words) in [
        (404, "planted".to_owned(), "HTTP status 404; is `issuer` right?"),
        (503, "planted".to_owned(), "HTTP status 503"),
        (302, "planted".to_owned(), "a redirect (HTTP 302), which is never followed"),
        (200, "<html>planted".to_owned(), "is not an issuer's configuration"),
        (200, "[]".to_owned(), "is not an issuer's configuration"),
        (200, with("issuer", format!("{issuer}/").into()), "it calls itself `https://localhost:"),
        (
            200,
            with("issuer", "https://evil.example/\u{1b}[2J".into()),
            "calls itself `https://evil.example/?[2J`",
        ),
        (200, with("token_endpoint", Value::Null), "it has no token_endpoint; write that beside `issuer`"),
        (
            200,
            with("token_endpoint", "http://localhost/token".into()),
            "its token_endpoint is not an https address",
        ),
        (200, "x".repeat((1 << 20) + 1), "longer than 1 MiB"),
    ] {
        world.endpoint.publishes(DOCUMENT, status, &body);
        let error = world.login(&world.application(&issuer, "")).await.unwrap_err();
        let told = error.to_string();
        let heading = format!("provider example: no token from localhost: {issuer}");
        assert!(told.starts_with(&heading) && told.contains(words), "{words}: {told}");
        assert!(told.ends_with("; try again later") && !told.contains("planted"), "{told}");
        assert!(matches!(AuthFailure::from(&error), AuthFailure::Temporary(_)), "{told}");
    }
    assert_eq!(world.endpoint.requests(), 0, "no secret went anywhere");
}

#[tokio::test]
async fn an_issuer_that_nobody_vouches_for_is_not_believed() {
    let world = World::new().await;
    world.endpoint.publishes(DOCUMENT, 200, &world.document());
    let other = TokenEndpoint::start().await;
    let mut client = OAuthClient::clone(&world.application(&world.issuer(), ""));
    client.trust = gatepost::tls::Trust::load(Some(&other.ca_file())).unwrap();
    let error = world.login(&Arc::new(client)).await.unwrap_err();
    assert!(error.to_string().contains("certificate is not trusted"), "{error}");
    assert!(matches!(AuthFailure::from(&error), AuthFailure::Temporary(_)), "{error}");
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = world.login(&world.application(&format!("https://localhost:{}", nobody.port()), "")).await;
    assert!(error.unwrap_err().to_string().contains("not reachable"));
}

#[tokio::test]
async fn a_trial_reaches_the_token_endpoint_that_the_issuer_tells_or_the_issuer() {
    let world = World::new().await;
    let client = world.application(&world.issuer(), "");
    let server = Server::of_tokens(&client).await.unwrap();
    assert_eq!((server.name.as_str(), server.host.as_str()), ("issuer", "localhost"), "it tells nothing");
    let mut document = world.document();
    document["token_endpoint"] = json!("https://login.example.invalid/token");
    world.endpoint.publishes(DOCUMENT, 200, &document);
    let server = Server::of_tokens(&client).await.unwrap();
    assert_eq!((server.name.as_str(), server.host.as_str()), ("token endpoint", "login.example.invalid"));
    // What is written needs nobody to be asked.
    let written = world.application(&world.issuer(), "token_endpoint: https://localhost:1/token");
    let asked = world.endpoint.visits().len();
    let server = Server::of_tokens(&written).await.unwrap();
    assert_eq!((server.name.as_str(), server.port), ("token endpoint", 1));
    assert_eq!(world.endpoint.visits().len(), asked);
}
