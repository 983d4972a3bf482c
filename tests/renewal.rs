//! The background refresh over the real store and the sandbox's token endpoint, by a clock that the test sets: what it keeps
//! alive, what it does about each fault of the endpoint, and that no login waits for it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test says what is wrong by panicking")]

mod support;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use gatepost::account::Account;
use gatepost::clock::{Clock, Hands};
use gatepost::config::Config;
use gatepost::config::provider::{OAuthClient, UpstreamTls};
use gatepost::oauth::{AccessToken, TokenError, Tokens};
use gatepost::renewal::Renewal;
use gatepost::sandbox::{Sandbox, TokenFault};
use gatepost::store::Store;
use gatepost::store::accounts::NewAccount;
use gatepost::store::grants::{Grant, GrantKey};
use gatepost::store::standings::Standing;
use gatepost_protocol::Protocol::Smtp;
use tempfile::TempDir;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use support::leftovers::eventually;
use support::process::Process;
use support::wire::{Wire, login, success};
use support::world::{PASSWORD, World, consent, parse};

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

/// Accounts that have consented at the sandbox, whose tokens live for an hour, and one process that looks after them.
struct House {
    sandbox: Sandbox,
    clock: Clock,
    hands: Hands,
    accounts: Vec<Account>,
    gatepost: Gatepost,
    config: Config,
    folder: TempDir,
}

/// What one process has of Gatepost here.
struct Gatepost {
    store: Store,
    tokens: Tokens,
    renewal: Renewal,
}

impl Gatepost {
    async fn start(config: &Config, clock: &Clock) -> Self {
        let store = Store::open(&config.state_dir).await.unwrap();
        let tokens = Tokens::by(clock.clone(), store.clone());
        let renewal = Renewal::new(tokens.clone(), store.clone(), config.providers.clone());
        Self { store, tokens, renewal }
    }

    async fn looks(&mut self) -> Duration {
        let pause = self.renewal.look().await;
        self.renewal.settled().await;
        pause
    }
}

impl House {
    async fn with_accounts(count: usize) -> Self {
        Self::changed(count, |yaml| yaml).await
    }

    /// With another text for the provider, once all have consented.
    async fn changed(count: usize, change: impl FnOnce(String) -> String) -> Self {
        let sandbox = Sandbox::start().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let ca_file = folder.path().join("sandbox-ca.pem");
        std::fs::write(&ca_file, sandbox.ca_pem()).unwrap();
        let provider = sandbox.provider_yaml("sandbox", &ca_file, UpstreamTls::Implicit);
        let yaml =
            |provider| format!("providers:\n{provider}listeners:{}state: state\n", support::world::LISTENERS);
        let honest = parse(&folder, &yaml(provider.clone()));
        let store = Store::open(&honest.state_dir).await.unwrap();
        for number in 0..count {
            let address = format!("user{number}@example.com");
            let account = NewAccount {
                address: address.clone(),
                provider: "sandbox".to_owned(),
                ..NewAccount::default()
            };
            let (id, _) = store.add_account(&account, None).await.unwrap();
            let (tokens, _) = consent(&honest.providers["sandbox"], &address).await;
            store.replace_grant(&GrantKey::Account(id), &tokens).await.unwrap();
        }
        let config = parse(&folder, &yaml(change(provider)));
        let (clock, hands) = Clock::by_hand(SystemTime::now());
        let gatepost = Gatepost::start(&config, &clock).await;
        let accounts = store.accounts().await.unwrap();
        Self { sandbox, clock, hands, accounts, gatepost, config, folder }
    }

    fn client(&self) -> &Arc<OAuthClient> {
        self.config.providers["sandbox"].oauth().unwrap()
    }

    async fn logs_in(&self, number: usize) -> Result<AccessToken, TokenError> {
        self.gatepost.tokens.access_token(self.client(), &self.accounts[number]).await
    }

    fn requests(&self) -> u64 {
        self.sandbox.counters().refresh_requests
    }

    fn fault(&self, fault: Option<TokenFault>) {
        self.sandbox.change(|personality| personality.token_endpoint = fault);
    }

    fn key(&self, number: usize) -> GrantKey {
        GrantKey::Account(self.accounts[number].id)
    }

    async fn grant(&self, number: usize) -> Grant {
        self.gatepost.store.grant(&self.key(number)).await.unwrap().unwrap()
    }

    async fn standing(&self, number: usize) -> Standing {
        self.gatepost.store.standings().await.unwrap().remove(&self.key(number)).unwrap()
    }

    /// The process is awake for so long, and looks as often as it wants to.
    async fn awake_for(&mut self, time: Duration) {
        let end = self.clock.now() + time;
        while self.clock.now() < end {
            let pause = self.gatepost.looks().await;
            assert!(pause <= Duration::from_secs(37), "the clock is looked at");
            self.hands.forward(pause);
        }
    }
}

fn refresh_token(grant: &Grant) -> String {
    grant.refresh_token.as_ref().unwrap().expose().clone()
}

#[tokio::test]
async fn ten_days_of_five_accounts_on_a_machine_that_sleeps_every_night() {
    let mut house = House::with_accounts(5).await;
    let first = refresh_token(&house.grant(4).await);
    let mut waited = 0;
    for day in 0..10 {
        // From the evening before: everything in use has ended, and the first minute is for that.
        house.awake_for(MINUTE).await;
        for hour in 0..5 {
            for used in 0..3 {
                let before = house.requests();
                house.logs_in(used).await.unwrap();
                waited += house.requests() - before;
            }
            if (day, hour) == (5, 2) {
                house.fault(Some(TokenFault::too_many_requests(Duration::from_mins(10))));
                house.awake_for(30 * MINUTE).await;
                house.fault(None);
            }
            house.awake_for(HOUR).await;
        }
        house.hands.forward(18 * HOUR + 59 * MINUTE);
    }
    house.awake_for(MINUTE).await;

    assert_eq!(waited, 0, "no login waited for a refresh");
    let used = [0, 1, 2].map(|number| (number, 5 * 10 + 10));
    for (number, least) in used {
        let grant = house.grant(number).await;
        assert_eq!(grant.refused, None);
        let refreshes = grant.version - 1;
        assert!((least - 5..=least + 15).contains(&refreshes), "{number}: {refreshes}");
    }
    for idle in [3, 4] {
        let grant = house.grant(idle).await;
        let age = house.clock.now().duration_since(grant.issued_at.unwrap()).unwrap();
        assert!(grant.refused.is_none() && age < 7 * 24 * HOUR, "{idle}: {age:?}");
    }
    assert_ne!(refresh_token(&house.grant(4).await), first, "it was rotated");
}

#[tokio::test]
async fn a_login_with_a_live_token_waits_for_nothing() {
    let mut house = House::with_accounts(1).await;
    house.hands.forward(54 * MINUTE + MINUTE / 2);
    let held = CancellationToken::new();
    house.fault(Some(TokenFault::Hold(held.clone())));
    house.gatepost.renewal.look().await;
    eventually("the refresh is on its way", || house.requests() == 1).await;
    let began = Instant::now();
    for _ in 0..20 {
        assert_eq!(house.logs_in(0).await.unwrap().version, 1);
    }
    // One that waits gives up after three seconds, and takes the old token then.
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    held.cancel();
    house.gatepost.renewal.settled().await;
    assert_eq!((house.logs_in(0).await.unwrap().version, house.requests()), (2, 1));
}

#[tokio::test]
async fn a_stop_waits_for_the_answer_that_may_hold_the_only_refresh_token() {
    let house = House::with_accounts(1).await;
    let before = refresh_token(&house.grant(0).await);
    house.hands.forward(2 * HOUR);
    let held = CancellationToken::new();
    house.fault(Some(TokenFault::Hold(held.clone())));
    let Gatepost { renewal, tokens, store } = house.gatepost;
    let stopping = CancellationToken::new();
    let running = tokio::spawn(renewal.run(stopping.clone()));
    let sandbox = &house.sandbox;
    eventually("the refresh is on its way", || sandbox.counters().refresh_requests == 1).await;
    stopping.cancel();
    running.await.unwrap();
    let settled = tokio::spawn(async move { tokens.settled().await });
    assert!(!settled.is_finished());
    held.cancel();
    settled.await.unwrap();
    let after = store.grant(&GrantKey::Account(house.accounts[0].id)).await.unwrap().unwrap();
    assert_ne!(refresh_token(&after), before);
}

#[tokio::test]
async fn each_fault_of_the_endpoint_is_asked_about_seldom_and_loses_nothing() {
    let too_long = || TokenFault::Answer { status: 200, headers: Vec::new(), body: "x".repeat(2 << 20) };
    let after_an_hour = || TokenFault::too_many_requests(Duration::from_hours(9));
    // Requests within an hour, and whether somebody has to do something.
    for (fault, most, lasts, words) in [
        (TokenFault::internal_error(), 10, false, "HTTP status 500"),
        (TokenFault::html(200), 10, false, "not a token response"),
        (too_long(), 10, false, "longer than 1 MiB"),
        (TokenFault::too_many_requests(Duration::from_mins(10)), 6, false, "temporarily_unavailable"),
        (after_an_hour(), 1, false, "temporarily_unavailable"),
        (TokenFault::redirect("https://localhost/"), 10, false, "redirect"),
        (TokenFault::error("invalid_client", "AADSTS7000215"), 4, true, "AADSTS7000215"),
        (TokenFault::error("a_new_word", ""), 4, true, "a_new_word"),
    ] {
        let mut house = House::with_accounts(1).await;
        let before = refresh_token(&house.grant(0).await);
        house.fault(Some(fault.clone()));
        house.awake_for(49 * MINUTE).await;
        assert_eq!(house.requests(), 0, "not long before the token ends");
        house.awake_for(HOUR).await;
        let found = house.requests();
        assert!((1..=most).contains(&found), "{fault:?}: {found}");
        let standing = house.standing(0).await;
        let failure = standing.failure.unwrap();
        assert!((failure.lasts, failure.text.contains(words)) == (lasts, true), "{fault:?}: {failure:?}");
        // A login may ask for itself; one that follows does not.
        let told = house.logs_in(0).await.unwrap_err().to_string();
        assert!(told.contains(words) && house.requests() <= found + 1, "{told}");
        let asked = house.requests();
        house.logs_in(0).await.unwrap_err();
        assert_eq!(house.requests(), asked, "{fault:?}");
        assert_eq!(refresh_token(&house.grant(0).await), before, "{fault:?}");

        house.fault(None);
        house.awake_for(75 * MINUTE).await;
        assert_eq!(
            (house.standing(0).await.failure, house.grant(0).await.refused),
            (None, None),
            "{fault:?}"
        );
        assert!(house.grant(0).await.version >= 2, "{fault:?}");
    }
}

#[tokio::test]
async fn an_endpoint_that_is_not_there_or_not_who_it_says_is_asked_again_until_it_is() {
    let stranger = Sandbox::start().await.unwrap();
    let elsewhere = |port: u16| {
        move |yaml: String| {
            let (head, rest) = yaml.split_once("token_endpoint: https://localhost:").unwrap();
            let (_, rest) = rest.split_once("/token").unwrap();
            format!("{head}token_endpoint: https://localhost:{port}/token{rest}")
        }
    };
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    for (port, words) in [(closed, "not reachable"), (stranger.ports().https, "certificate is not trusted")] {
        let mut house = House::changed(1, elsewhere(port)).await;
        let before = refresh_token(&house.grant(0).await);
        house.hands.forward(2 * HOUR);
        house.awake_for(MINUTE / 2).await;
        let failure = house.standing(0).await.failure.unwrap();
        assert!(!failure.lasts && failure.text.contains(words), "{failure:?}");
        assert_eq!(refresh_token(&house.grant(0).await), before);
        assert_eq!((house.requests(), stranger.counters().refresh_requests), (0, 0), "no secret went out");

        // The same grant, with the endpoint where it belongs: what a restart with a mended file is.
        let ca_file = house.folder.path().join("sandbox-ca.pem");
        let provider = house.sandbox.provider_yaml("sandbox", &ca_file, UpstreamTls::Implicit);
        let yaml = format!("providers:\n{provider}listeners:{}state: state\n", support::world::LISTENERS);
        house.config = parse(&house.folder, &yaml);
        house.gatepost = Gatepost::start(&house.config, &house.clock).await;
        house.gatepost.looks().await;
        assert_eq!((house.grant(0).await.version, house.standing(0).await.failure), (2, None));
    }
}

#[tokio::test]
async fn a_grant_that_is_refused_is_asked_for_no_more_and_concerns_no_other() {
    let mut house = House::with_accounts(3).await;
    house.sandbox.revoke(&house.accounts[1].address);
    house.awake_for(2 * HOUR).await;
    assert!(house.grant(1).await.refused.unwrap().contains("invalid_grant"));
    for other in [0, 2] {
        assert_eq!((house.grant(other).await.version, house.grant(other).await.refused), (3, None));
    }
    assert_eq!(house.requests(), 2 * 2 + 1);
    // A new consent is all that it takes.
    let address = house.accounts[1].address.clone();
    let (mut tokens, _) = consent(&house.config.providers["sandbox"], &address).await;
    tokens.issued_at = house.clock.now();
    tokens.expires_at = house.clock.now() + HOUR;
    house.gatepost.store.replace_grant(&house.key(1), &tokens).await.unwrap();
    house.awake_for(HOUR).await;
    assert_eq!(house.grant(1).await.refused, None);
    assert!(house.logs_in(1).await.is_ok());
}

#[tokio::test]
async fn an_answer_that_is_lost_is_found_out_and_told() {
    let mut house = House::with_accounts(1).await;
    house.fault(Some(TokenFault::LoseAnswer));
    house.hands.forward(55 * MINUTE);
    house.gatepost.looks().await;
    house.fault(None);
    house.awake_for(2 * MINUTE).await;
    assert!(house.grant(0).await.refused.unwrap().contains("invalid_grant"), "the provider has rotated");
    assert!(matches!(house.logs_in(0).await.unwrap_err(), TokenError::GrantRefused { .. }));
}

#[tokio::test]
async fn a_new_consent_ends_a_pause_at_once() {
    let mut house = House::with_accounts(1).await;
    house.fault(Some(TokenFault::error("invalid_client", "")));
    house.hands.forward(2 * HOUR);
    house.gatepost.looks().await;
    house.logs_in(0).await.unwrap_err();
    assert_eq!(house.requests(), 1, "the failure is remembered");
    house.fault(None);
    let (tokens, _) = consent(&house.config.providers["sandbox"], &house.accounts[0].address).await;
    house.gatepost.store.replace_grant(&house.key(0), &tokens).await.unwrap();
    // It has ended by the clock of this test, so it is refreshed: at once.
    assert_eq!(house.logs_in(0).await.unwrap().version, 3);
}

#[tokio::test]
async fn two_processes_and_two_hundred_logins_make_one_refresh_per_expiry() {
    let mut house = House::with_accounts(1).await;
    let mut other = Gatepost::start(&house.config, &house.clock).await;
    for expiry in 1..=10 {
        house.hands.forward(if expiry % 2 == 0 { 55 * MINUTE } else { 3 * HOUR });
        let (client, account) = (house.client(), &house.accounts[0]);
        let logins = (0..20).map(|number| {
            let tokens = if number % 2 == 0 { &house.gatepost.tokens } else { &other.tokens };
            let (tokens, client, account) = (tokens.clone(), Arc::clone(client), account.clone());
            tokio::spawn(async move { tokens.access_token(&client, &account).await })
        });
        let logins: Vec<_> = logins.collect();
        tokio::join!(house.gatepost.looks(), other.looks());
        for login in logins {
            let version = login.await.unwrap().unwrap().version;
            assert!((expiry..=expiry + 1).contains(&version), "{version} after {expiry} expiries");
        }
        assert_eq!((house.requests(), house.grant(0).await.refused), (expiry.unsigned_abs(), None));
    }
}

#[tokio::test]
async fn two_daemons_on_one_store_make_one_refresh_per_expiry() {
    let world = World::start().await;
    let config = world.folder().join("gatepost.yaml");
    std::fs::write(&config, &world.yaml).unwrap();
    world.expire().await;
    let daemons = [Process::ready(&config).await, Process::ready(&config).await];
    for expiry in 1..=2 {
        if expiry == 2 {
            world.expire().await;
        }
        for _ in 0..10 {
            let mut waiting = Vec::new();
            for daemon in &daemons {
                for _ in 0..5 {
                    let mut wire = Wire::connect(daemon.addresses[2]).await;
                    wire.line().await;
                    wire.say(format!("{}\r\n", login(Smtp, PASSWORD))).await;
                    waiting.push(wire);
                }
            }
            for mut wire in waiting {
                assert_eq!(wire.line().await, success(Smtp));
            }
        }
        assert_eq!(world.sandbox.counters().refresh_requests, expiry);
    }
    for daemon in daemons {
        daemon.stops().await;
    }
}
