//! Tokens against a token endpoint over TLS: one refresh whoever waits and hangs up, committed before use, and no failure that
//! loses a grant or shows a secret.

// A test says what it expects by failing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/token_endpoint.rs"]
mod token_endpoint;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use gatepost::account::{Account, AccountId};
use gatepost::clock::{Clock, Hands};
use gatepost::config::provider::{ClientAuthentication, GrantType, OAuthClient};
use gatepost::oauth::authorization_code::Authorization;
use gatepost::oauth::consent::{ConsentError, Destination};
use gatepost::oauth::diagnosis::EndpointError;
use gatepost::oauth::redirect::Loopback;
use gatepost::oauth::{AccessToken, TokenError, Tokens};
use gatepost::store::Store;
use gatepost::store::grants::{Grant, GrantKey, NewTokens};
use gatepost::tls::Trust;
use gatepost_protocol::Protocol;
use gatepost_protocol::failure::AuthFailure;
use gatepost_protocol::secret::Secret;
use token_endpoint::{Reply, TokenEndpoint};

/// An endpoint, a store with one account, and its grant.
struct World {
    endpoint: TokenEndpoint,
    client: Arc<OAuthClient>,
    account: Account,
    folder: TempDir,
    store: Store,
    clock: Clock,
    hands: Hands,
    tokens: Tokens,
}

const ACCOUNT: GrantKey = GrantKey::Account(AccountId(1));

impl World {
    /// The account has consented, and its access token has so many seconds left.
    async fn with_token(seconds_left: u64) -> Self {
        let world = Self::new(GrantType::AuthorizationCode).await;
        let tokens = NewTokens {
            access_token: Secret::new("planted-access-0".to_owned()),
            refresh_token: Some(Secret::new("planted-refresh-0".to_owned())),
            issued_at: SystemTime::UNIX_EPOCH,
            expires_at: world.clock.now() + Duration::from_secs(seconds_left),
            scopes: vec!["mail".to_owned()],
            identity: None,
        };
        assert_eq!(world.store.replace_grant(&ACCOUNT, &tokens).await.unwrap(), 1);
        world
    }

    async fn new(grant: GrantType) -> Self {
        let endpoint = TokenEndpoint::start().await;
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        let account = add_account(&folder, "ann@example.com").await;
        let client = Arc::new(OAuthClient {
            provider: "example".to_owned(),
            issuer: None,
            trust: Trust::load(Some(&endpoint.ca_file())).unwrap(),
            grant,
            authorization_endpoint: Some("https://localhost/authorize".parse().unwrap()),
            device_authorization_endpoint: None,
            token_endpoint: endpoint.url(),
            revocation_endpoint: None,
            client_id: "gatepost".to_owned(),
            authentication: ClientAuthentication::ClientSecretPost(Secret::new(
                "planted-client-secret".to_owned(),
            )),
            authentication_ends: None,
            consent_idle_limit: None,
            service_account: None,
            scopes: vec!["mail".to_owned(), "offline_access".to_owned()],
            authorization_parameters: Vec::new(),
            redirect_host: "localhost".to_owned(),
            redirect_uri: None,
        });
        let (clock, hands) = Clock::by_hand(SystemTime::now());
        let tokens = Tokens::by(clock.clone(), store.clone());
        Self { endpoint, client, account, folder, store, clock, hands, tokens }
    }

    async fn login(&self) -> Result<AccessToken, TokenError> {
        self.tokens.access_token(&self.client, &self.account).await
    }

    /// A login of its own, as a session makes it.
    fn spawn_login(&self, logins: &mut JoinSet<Result<AccessToken, TokenError>>) {
        let (tokens, client, account) = (self.tokens.clone(), Arc::clone(&self.client), self.account.clone());
        logins.spawn(async move { tokens.access_token(&client, &account).await });
    }

    /// Lets time pass by every clock, without anybody waiting for real.
    async fn pass(&self, time: Duration) {
        self.hands.forward(time);
        pass(time).await;
    }

    async fn stored(&self) -> Grant {
        self.store.grant(&ACCOUNT).await.unwrap().unwrap()
    }
}

/// The row is written as it is, so that these tests need no command.
async fn add_account(folder: &TempDir, address: &str) -> Account {
    let url = format!("sqlite:{}", folder.path().join("gatepost.db").display());
    let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
    let id: i64 =
        sqlx::query_scalar("INSERT INTO accounts (provider, address) VALUES ('example', $1) RETURNING id")
            .bind(address)
            .fetch_one(&pool)
            .await
            .unwrap();
    pool.close().await;
    Account {
        id: AccountId(id),
        address: address.to_owned(),
        provider: "example".to_owned(),
        smtp_user_name: None,
        pop3_user_name: None,
        imap_user_name: None,
        owner: None,
        token_account: None,
        disabled: false,
    }
}

fn opened(token: Option<&Secret<String>>) -> &str {
    token.map_or("", |token| token.expose())
}

/// Lets time pass for those who wait.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

fn json(status: u16, body: &str) -> Reply {
    Reply::Raw(status, vec![("content-type", "application/json".to_owned())], body.to_owned())
}

#[tokio::test]
async fn a_live_token_needs_no_request() {
    let world = World::with_token(3600).await;
    let token = world.login().await.unwrap();
    assert_eq!((token.secret.expose().as_str(), token.version), ("planted-access-0", 1));
    assert_eq!(world.endpoint.requests(), 0);
}

#[tokio::test]
async fn a_token_at_hand_is_as_new_as_the_last_question_to_the_store_and_is_never_one_that_has_ended() {
    let world = World::with_token(3600).await;
    let at_hand = async |world: &World| {
        world.tokens.token_at_hand(&world.client, &world.account).await.unwrap().version
    };
    assert_eq!(at_hand(&world).await, 1, "nobody has asked, so it is asked now");
    let elsewhere = Store::open(world.folder.path()).await.unwrap();
    let new = NewTokens {
        access_token: Secret::new("planted-access-1".to_owned()),
        refresh_token: Some(Secret::new("planted-refresh-1".to_owned())),
        issued_at: SystemTime::UNIX_EPOCH,
        expires_at: world.clock.now() + Duration::from_hours(1),
        scopes: Vec::new(),
        identity: None,
    };
    elsewhere.replace_grant(&ACCOUNT, &new).await.unwrap();
    assert_eq!(at_hand(&world).await, 1, "it is not asked again");
    // As the next login does when it verifies its password.
    world.store.data_version().await.unwrap();
    assert_eq!(at_hand(&world).await, 2);
    world.hands.forward(Duration::from_hours(1));
    assert_eq!(at_hand(&world).await, 3);
    assert_eq!(world.endpoint.requests(), 1);
}

#[tokio::test]
async fn fifty_logins_with_an_expired_token_make_one_refresh() {
    let world = World::with_token(0).await;
    world.endpoint.replies(Reply::Rotating);
    world.endpoint.hold();
    let mut logins = JoinSet::new();
    for _ in 0..50 {
        world.spawn_login(&mut logins);
    }
    world.endpoint.asked(1).await;
    world.endpoint.release();
    for login in logins.join_all().await {
        let token = login.unwrap();
        assert_eq!((token.secret.expose().as_str(), token.version), ("planted-access-1", 2));
    }
    assert_eq!(world.endpoint.requests(), 1);
    let form = &world.endpoint.forms()[0];
    assert_eq!(
        (form["grant_type"].as_str(), form["refresh_token"].as_str()),
        ("refresh_token", "planted-refresh-0")
    );
    assert_eq!(
        (form["client_id"].as_str(), form["client_secret"].as_str()),
        ("gatepost", "planted-client-secret")
    );
}

#[tokio::test]
async fn fifty_logins_share_one_failure() {
    let world = World::with_token(0).await;
    world.endpoint.replies(json(500, ""));
    world.endpoint.hold();
    let mut logins = JoinSet::new();
    for _ in 0..50 {
        world.spawn_login(&mut logins);
    }
    world.endpoint.asked(1).await;
    world.endpoint.release();
    for login in logins.join_all().await {
        assert!(matches!(login.unwrap_err(), TokenError::Endpoint { .. }));
    }
    assert_eq!(world.endpoint.requests(), 1);
    world.endpoint.replies(Reply::Tokens { expires_in: 3600, refresh_token: true });
    world.pass(Duration::from_secs(3)).await;
    assert_eq!(world.login().await.unwrap().version, 2);
    assert_eq!(world.endpoint.forms()[1]["refresh_token"], "planted-refresh-0");
}

#[tokio::test]
async fn a_client_that_hangs_up_cancels_nothing() {
    let world = World::with_token(0).await;
    world.endpoint.replies(Reply::Rotating);
    world.endpoint.hold();
    let mut logins = JoinSet::new();
    world.spawn_login(&mut logins);
    world.endpoint.asked(1).await;
    logins.shutdown().await;
    world.endpoint.release();
    assert_eq!(world.login().await.unwrap().secret.expose(), "planted-access-1");
    assert_eq!(world.endpoint.requests(), 1);
    assert_eq!(opened(world.stored().await.refresh_token.as_ref()), "planted-refresh-1");
}

#[tokio::test]
async fn two_processes_make_one_refresh() {
    let world = World::with_token(0).await;
    let other = Tokens::new(Store::open(world.folder.path()).await.unwrap());
    world.endpoint.hold();
    let (ours, theirs, ()) =
        tokio::join!(world.login(), other.access_token(&world.client, &world.account), async {
            world.endpoint.asked(1).await;
            world.endpoint.release();
        });
    for token in [ours.unwrap(), theirs.unwrap()] {
        assert_eq!((token.secret.expose().as_str(), token.version), ("planted-access-1", 2));
    }
    assert_eq!(world.endpoint.requests(), 1);
}

#[tokio::test]
async fn a_process_that_died_with_the_lease_is_not_waited_for_for_ever() {
    let world = World::with_token(0).await;
    let lease =
        world.store.lease_grant(SystemTime::now(), &ACCOUNT, 1, "dead", Duration::from_millis(50)).await;
    assert!(lease.unwrap());
    // Its lease runs out by the system's clock.
    let tokens = Tokens::new(world.store.clone());
    assert_eq!(tokens.access_token(&world.client, &world.account).await.unwrap().version, 2);
}

#[tokio::test]
async fn a_rotated_refresh_token_is_stored_before_its_access_token_is_used() {
    let world = World::with_token(0).await;
    world.endpoint.replies(Reply::Rotating);
    for round in 1..=3 {
        let token = world.login().await.unwrap();
        let stored = world.stored().await;
        assert_eq!(stored.version, token.version);
        assert_eq!(opened(stored.access_token.as_ref()), token.secret.expose());
        assert_eq!(opened(stored.refresh_token.as_ref()), format!("planted-refresh-{round}"));
        assert_eq!(stored.scopes, ["mail"], "an answer without scopes changes none");
        let ended = NewTokens {
            access_token: token.secret,
            refresh_token: stored.refresh_token,
            issued_at: SystemTime::UNIX_EPOCH,
            expires_at: SystemTime::UNIX_EPOCH,
            scopes: stored.scopes,
            identity: None,
        };
        world.store.replace_grant(&ACCOUNT, &ended).await.unwrap();
    }
    let used: Vec<_> = world.endpoint.forms().iter().map(|form| form["refresh_token"].clone()).collect();
    assert_eq!(used, ["planted-refresh-0", "planted-refresh-1", "planted-refresh-2"]);
}

#[tokio::test]
async fn an_answer_without_a_refresh_token_keeps_the_old_one() {
    let world = World::with_token(0).await;
    world.endpoint.replies(Reply::Tokens { expires_in: 3600, refresh_token: false });
    world.login().await.unwrap();
    assert_eq!(opened(world.stored().await.refresh_token.as_ref()), "planted-refresh-0");
}

#[tokio::test]
async fn tokens_of_a_minute_are_not_refreshed_at_every_login() {
    let world = World::with_token(0).await;
    world.endpoint.replies(Reply::Tokens { expires_in: 60, refresh_token: true });
    for _ in 0..3 {
        assert_eq!(world.login().await.unwrap().version, 2);
    }
    assert_eq!(world.endpoint.requests(), 1);
}

#[tokio::test]
async fn every_failure_of_the_endpoint_is_told_and_erases_nothing() {
    let html = "<html>planted-refresh-0</html>";
    let table = [
        (json(500, ""), "HTTP status 500", true),
        (json(503, r#"{"error":"temporarily_unavailable"}"#), "temporarily_unavailable (HTTP 503)", true),
        (Reply::Raw(429, vec![("retry-after", "60".to_owned())], String::new()), "ask again in 60 s", true),
        (
            Reply::Raw(200, vec![("content-type", "text/html".to_owned())], html.to_owned()),
            "not a token",
            true,
        ),
        (json(200, &"planted-refresh-0".repeat(125_000)), "longer than 1 MiB", true),
        (
            Reply::Raw(307, vec![("location", "https://localhost/".to_owned())], String::new()),
            "redirect",
            true,
        ),
        (json(200, r#"{"access_token":"planted-access","token_type":"mac"}"#), "not Bearer", true),
        (json(200, r#"{"refresh_token":"planted-refresh-9"}"#), "not the JSON", true),
        (
            json(
                401,
                r#"{"error":"invalid_client","error_description":"{refresh_token} of\u0007 planted-client-secret"}"#,
            ),
            "invalid_client (HTTP 401): [secret] of? [secret]",
            false,
        ),
        (
            json(400, r#"{"error":"invalid_scope"}"#),
            "check client_id, client_secret or client_certificate",
            false,
        ),
    ];
    for (reply, words, temporary) in table {
        let world = World::with_token(0).await;
        world.endpoint.replies(reply);
        let error = world.login().await.unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains(words) && text.contains("ann@example.com") && text.contains("example"),
            "{text}"
        );
        assert!(!format!("{text} {error:?}").contains("planted"), "{text} {error:?}");
        let failure = AuthFailure::from(&error);
        assert_eq!(matches!(failure, AuthFailure::Temporary(_)), temporary, "{words}: {failure:?}");
        assert_eq!(matches!(failure, AuthFailure::NeedsAdmin(_)), !temporary, "{words}: {failure:?}");
        let stored = world.stored().await;
        assert_eq!(
            (opened(stored.refresh_token.as_ref()), stored.version),
            ("planted-refresh-0", 1),
            "{words}"
        );
        assert_eq!(stored.refused, None, "{words}");
        assert_eq!(world.endpoint.requests(), 1, "{words}");
        world.login().await.unwrap_err();
        assert_eq!(world.endpoint.requests(), 1, "{words}: a login right after it does not ask again");
        world.pass(Duration::from_mins(7)).await;
        world.endpoint.replies(Reply::Tokens { expires_in: 3600, refresh_token: true });
        assert_eq!(world.login().await.unwrap().version, 2, "{words}: the lease was given back");
    }
}

#[tokio::test]
async fn an_endpoint_that_stalls_is_given_ten_seconds() {
    let world = World::with_token(0).await;
    world.endpoint.replies(Reply::Rotating);
    world.endpoint.hold();
    let mut logins = JoinSet::new();
    world.spawn_login(&mut logins);
    world.endpoint.asked(1).await;
    pass(Duration::from_secs(11)).await;
    let error = logins.join_next().await.unwrap().unwrap().unwrap_err();
    assert!(error.to_string().contains("no answer within 10 s"), "{error}");
    assert_eq!(opened(world.stored().await.refresh_token.as_ref()), "planted-refresh-0");
}

#[tokio::test]
async fn an_endpoint_that_is_gone_or_not_who_it_says_is_not_reachable() {
    let mut world = World::with_token(0).await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let stranger = TokenEndpoint::start().await;
    for (url, words, temporary) in [
        (format!("https://localhost:{closed}/token"), "not reachable", true),
        (stranger.url().to_string(), "certificate is not trusted", false),
        (format!("http://localhost:{closed}/token"), "not reachable", true),
    ] {
        Arc::get_mut(&mut world.client).unwrap().token_endpoint = url.parse().unwrap();
        world.tokens = Tokens::by(world.clock.clone(), world.store.clone());
        let error = world.login().await.unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(matches!(AuthFailure::from(&error), AuthFailure::Temporary(_)), temporary, "{error}");
    }
    assert_eq!(stranger.requests(), 0, "no secret went to a stranger");
    assert_eq!(opened(world.stored().await.refresh_token.as_ref()), "planted-refresh-0");
}

#[tokio::test]
async fn a_token_that_has_not_ended_outlives_a_failing_endpoint() {
    let world = World::with_token(200).await;
    world.endpoint.replies(json(500, ""));
    assert_eq!(world.login().await.unwrap().secret.expose(), "planted-access-0");
    assert_eq!(world.endpoint.requests(), 1);
}

#[tokio::test]
async fn a_token_that_has_not_ended_is_used_when_the_refresh_is_slow() {
    let world = World::with_token(200).await;
    world.endpoint.hold();
    let mut logins = JoinSet::new();
    world.spawn_login(&mut logins);
    world.endpoint.asked(1).await;
    pass(Duration::from_secs(4)).await;
    assert_eq!(logins.join_next().await.unwrap().unwrap().unwrap().secret.expose(), "planted-access-0");
    world.endpoint.release();
    assert_eq!(world.login().await.unwrap().secret.expose(), "planted-access-1");
    assert_eq!(world.endpoint.requests(), 1);
}

#[tokio::test]
async fn a_grant_refused_for_good_is_marked_and_asked_for_no_more() {
    let world = World::with_token(0).await;
    world.endpoint.replies(json(
        400,
        r#"{"error":"invalid_grant","error_description":"AADSTS50173: {refresh_token}"}"#,
    ));
    for _ in 0..3 {
        let error = world.login().await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains("AADSTS50173") && text.contains("gatepost connect ann@example.com"), "{text}");
        assert!(!format!("{text} {error:?}").contains("planted"), "{text}");
        assert!(matches!(AuthFailure::from(&error), AuthFailure::NeedsAdmin(_)));
    }
    assert_eq!(world.endpoint.requests(), 1);
    let stored = world.stored().await;
    assert!(stored.refused.unwrap().contains("invalid_grant"));
    assert_eq!(opened(stored.refresh_token.as_ref()), "planted-refresh-0", "the tokens stay");
}

#[tokio::test]
async fn an_account_that_never_consented_is_told_to_connect() {
    let world = World::new(GrantType::AuthorizationCode).await;
    let error = world.login().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "ann@example.com: not connected yet; run: gatepost connect ann@example.com"
    );
    let new = NewTokens {
        access_token: Secret::new("planted-access-0".to_owned()),
        refresh_token: None,
        issued_at: SystemTime::UNIX_EPOCH,
        expires_at: SystemTime::now() + Duration::from_hours(1),
        scopes: Vec::new(),
        identity: None,
    };
    world.store.replace_grant(&ACCOUNT, &new).await.unwrap();
    assert_eq!(
        world.login().await.unwrap().version,
        1,
        "what another process committed is used at the next login"
    );
}

#[tokio::test]
async fn one_application_token_serves_every_mailbox() {
    let world = World::new(GrantType::ClientCredentials).await;
    let bob = add_account(&world.folder, "bob@example.com").await;
    let first = world.login().await.unwrap();
    let second = world.tokens.access_token(&world.client, &bob).await.unwrap();
    assert_eq!(first.secret.expose(), second.secret.expose());
    let forms = world.endpoint.forms();
    assert_eq!(forms.len(), 1);
    assert_eq!(forms[0]["grant_type"], "client_credentials");
    assert_eq!(forms[0]["scope"], "mail offline_access");
    let stored = world.store.grant(&GrantKey::Provider("example".to_owned())).await.unwrap().unwrap();
    assert!(stored.refresh_token.is_none(), "not even when the provider gives one");
}

#[tokio::test]
async fn a_refused_token_is_renewed_once_per_service_within_minutes() {
    let world = World::with_token(3600).await;
    let renewed = async |service, version| {
        let renewed = world.tokens.renewed(&world.client, &world.account, service, version).await;
        (renewed.unwrap().map(|token| token.version), world.endpoint.requests())
    };
    assert_eq!(renewed(Protocol::Smtp, 1).await, (Some(2), 1));
    assert_eq!(renewed(Protocol::Smtp, 1).await, (Some(2), 1), "version 1 is not the current one");
    assert_eq!(renewed(Protocol::Pop3, 1).await, (Some(2), 1));
    assert_eq!(renewed(Protocol::Smtp, 2).await, (None, 1), "a device that retries does not hammer");
    assert_eq!(renewed(Protocol::Pop3, 2).await, (Some(3), 2));
    world.pass(Duration::from_secs(301)).await;
    assert_eq!(renewed(Protocol::Smtp, 3).await, (Some(4), 3));
}

#[tokio::test]
async fn a_renewal_that_failed_may_be_forced_again() {
    let world = World::with_token(3600).await;
    world.endpoint.replies(json(500, ""));
    world.tokens.renewed(&world.client, &world.account, Protocol::Smtp, 1).await.unwrap_err();
    assert_eq!(world.login().await.unwrap().version, 1, "other services still take it");
    world.endpoint.replies(Reply::Tokens { expires_in: 3600, refresh_token: true });
    world.pass(Duration::from_secs(3)).await;
    let renewed = world.tokens.renewed(&world.client, &world.account, Protocol::Smtp, 1).await.unwrap();
    assert_eq!(renewed.unwrap().version, 2);
}

/// What a browser would do: one GET, and all of the answer.
async fn browse(port: u16, method: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).await.unwrap();
    page
}

fn parameter(url: &url::Url, name: &str) -> String {
    url.query_pairs().find(|(key, _)| key == name).unwrap().1.into_owned()
}

/// A consent up to the moment when the browser comes back with `{state}` filled in; gives its result and the last page.
async fn consent(world: &World, visits: &[(&str, &str)]) -> (Result<NewTokens, ConsentError>, Vec<String>) {
    let loopback = Loopback::bind(&world.client).await.unwrap();
    let port = loopback.redirect_uri().rsplit(':').next().unwrap().parse().unwrap();
    let authorization =
        Authorization::begin(&world.client, "ann@example.com", loopback.redirect_uri()).unwrap();
    let state = parameter(authorization.url(), "state");
    let destination =
        Destination { address: "ann@example.com", owner: None, key: ACCOUNT, store: &world.store };
    let (result, pages) = tokio::join!(loopback.receive(&authorization, &destination), async {
        let mut pages = Vec::new();
        for (method, path) in visits {
            pages.push(browse(port, method, &path.replace("{state}", &state)).await);
        }
        pages
    });
    if let Some(form) = world.endpoint.forms().first() {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, form["code_verifier"].as_bytes());
        let challenge = BASE64_URL_SAFE_NO_PAD.encode(digest);
        assert_eq!(challenge, parameter(authorization.url(), "code_challenge"));
        assert_eq!(form["redirect_uri"], parameter(authorization.url(), "redirect_uri"));
        assert_eq!(
            (form["grant_type"].as_str(), form["code"].as_str()),
            ("authorization_code", "planted-code")
        );
    }
    (result, pages)
}

#[tokio::test]
async fn a_consent_becomes_a_grant_and_then_the_page_says_so() {
    let world = World::new(GrantType::AuthorizationCode).await;
    let visits = [
        ("GET", "/favicon.ico"),
        ("GET", "/"),
        ("POST", "/?code=planted-code&state={state}"),
        ("GET", "/?code=somebody-else&state=wrong"),
        ("GET", "/?code=planted-code&state={state}"),
    ];
    let (result, pages) = consent(&world, &visits).await;
    for (page, status) in pages.iter().zip(["404", "404", "404", "400", "200"]) {
        assert!(page.starts_with(&format!("HTTP/1.1 {status} ")), "{page}");
    }
    assert!(pages[3].contains("Not connected") && pages[3].contains("another attempt"), "{}", pages[3]);
    assert!(pages[4].contains("<h1>Connected</h1>") && !pages[4].contains("planted"), "{}", pages[4]);
    assert_eq!(
        result.unwrap().scopes,
        ["mail", "offline_access"],
        "as asked for, where the answer is silent"
    );
    assert_eq!(opened(world.stored().await.refresh_token.as_ref()), "planted-refresh-1");
    assert_eq!(world.endpoint.requests(), 1);
}

/// `localhost` may mean either, and the browser chooses.
#[tokio::test]
async fn the_redirect_is_listened_for_on_both_families() {
    let world = World::new(GrantType::AuthorizationCode).await;
    let loopback = Loopback::bind(&world.client).await.unwrap();
    let port = loopback.redirect_uri().rsplit(':').next().unwrap().parse::<u16>().unwrap();
    TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    // A machine may have no IPv6; where it has, the same port answers there.
    if TcpListener::bind("[::1]:0").await.is_ok() {
        TcpStream::connect(("::1", port)).await.unwrap();
    }
}

#[tokio::test]
async fn a_consent_without_a_refresh_token_is_not_stored() {
    let world = World::new(GrantType::AuthorizationCode).await;
    world.endpoint.replies(Reply::Tokens { expires_in: 3600, refresh_token: false });
    let (result, pages) = consent(&world, &[("GET", "/?code=planted-code&state={state}")]).await;
    assert!(matches!(result, Err(ConsentError::NoRefreshToken)));
    assert!(pages[0].contains("Not connected") && pages[0].contains("offline_access"), "{}", pages[0]);
    assert!(world.store.grant(&ACCOUNT).await.unwrap().is_none());
}

#[tokio::test]
async fn a_declined_consent_is_told_without_its_markup() {
    let world = World::new(GrantType::AuthorizationCode).await;
    let path = "/?error=access_denied&error_description=%3Cscript%3E&state={state}";
    let (result, pages) = consent(&world, &[("GET", path)]).await;
    assert!(result.unwrap_err().to_string().contains("access_denied: <script>"));
    assert!(pages[0].contains("&lt;script&gt;") && !pages[0].contains("<script>"), "{}", pages[0]);
    assert_eq!(world.endpoint.requests(), 0);
}

#[tokio::test]
async fn a_code_that_is_not_redeemed_leaves_the_old_grant_alone() {
    let world = World::with_token(3600).await;
    world
        .endpoint
        .replies(json(400, r#"{"error":"invalid_grant","error_description":"planted-code was used"}"#));
    let (result, pages) = consent(&world, &[("GET", "/?code=planted-code&state={state}")]).await;
    let error = result.unwrap_err();
    assert!(matches!(&error, ConsentError::Endpoint { error: EndpointError::Refused { .. }, .. }));
    assert!(!format!("{error} {error:?} {}", pages[0]).contains("planted"), "{error:?}");
    assert_eq!(world.stored().await.version, 1);
}

#[tokio::test]
async fn a_provider_that_wants_to_be_left_alone_is_asked_once_however_many_accounts_it_has() {
    let world = World::new(GrantType::AuthorizationCode).await;
    let mut accounts = vec![world.account.clone()];
    for number in 2..=20 {
        accounts.push(add_account(&world.folder, &format!("user{number}@example.com")).await);
    }
    for account in &accounts {
        let tokens = NewTokens {
            access_token: Secret::new("planted-access-0".to_owned()),
            refresh_token: Some(Secret::new("planted-refresh-0".to_owned())),
            issued_at: SystemTime::UNIX_EPOCH,
            expires_at: world.clock.now(),
            scopes: Vec::new(),
            identity: None,
        };
        world.store.replace_grant(&GrantKey::Account(account.id), &tokens).await.unwrap();
    }
    let everybody = async || {
        let mut let_in = 0;
        for account in &accounts {
            match world.tokens.access_token(&world.client, account).await {
                Ok(_) => let_in += 1,
                Err(error) => {
                    assert!(error.to_string().starts_with(&account.address), "{error}");
                    assert!(matches!(AuthFailure::from(&error), AuthFailure::Temporary(_)), "{error}");
                }
            }
        }
        let_in
    };
    let busy = || Reply::Raw(429, vec![("retry-after", "600".to_owned())], String::new());
    world.endpoint.replies(busy());
    for _ in 0..3 {
        assert_eq!(everybody().await, 0);
        assert_eq!(world.endpoint.requests(), 1, "it asked for ten minutes");
    }
    world.pass(Duration::from_mins(9)).await;
    assert_eq!((everybody().await, world.endpoint.requests()), (0, 1), "they are not over");
    world.pass(Duration::from_mins(4)).await;
    assert_eq!((everybody().await, world.endpoint.requests()), (0, 2), "one tries whether it is over");

    world.pass(Duration::from_mins(13)).await;
    world.endpoint.replies(Reply::Tokens { expires_in: 3600, refresh_token: true });
    world.endpoint.hold();
    let mut logins = JoinSet::new();
    world.spawn_login(&mut logins);
    world.endpoint.asked(3).await;
    for account in accounts.iter().skip(1) {
        world.tokens.access_token(&world.client, account).await.unwrap_err();
    }
    assert_eq!(world.endpoint.requests(), 3, "nobody else asks while one tries");
    world.endpoint.release();
    logins.join_next().await.unwrap().unwrap().unwrap();
    assert_eq!((everybody().await, world.endpoint.requests()), (20, 22), "it gives tokens again");
}
