//! Whole reports at a moment that stands still.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use gatepost_protocol::secret::Secret;
use serde_json::json;
use tempfile::TempDir;

use super::super::Exit;
use super::*;
use crate::store::accounts::NewAccount;
use crate::store::grants::{GrantKey, Identity, NewTokens};
use crate::store::tests::open;

const CONFIGURATION: &str = "
providers:
  contoso: { preset: microsoft365, client_id: 00000000-0000-0000-0000-000000000001 }
  fabrikam:
    preset: microsoft365
    grant: client_credentials
    tenant: fabrikam.example
    client_id: 00000000-0000-0000-0000-000000000002
    client_secret: { env: SECRET, expires: 2027-01-20 }
  post:
    login: password
    smtp: { host: smtp.post.example, port: 465, tls: implicit }
";

const MINUTE: Duration = Duration::from_mins(1);
const DAY: Duration = Duration::from_hours(24);

/// Noon of the first of January 2027.
pub(super) fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_hours(499_668)
}

pub(super) struct Desk {
    config: Config,
    pub(super) store: Store,
    _folder: TempDir,
}

impl Desk {
    pub(super) async fn new() -> Self {
        Self::configured(CONFIGURATION).await
    }

    async fn configured(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let environment = |name: &str| (name == "SECRET").then(|| "tanstaaf".to_owned());
        let config = Config::parse(Path::new("gatepost.yaml"), text, &environment).unwrap();
        let store = open(folder.path()).await.unwrap();
        Self { config, store, _folder: folder }
    }

    pub(super) async fn add(&self, address: &str, provider: &str) -> AccountId {
        self.add_using(address, provider, None).await
    }

    async fn add_using(&self, address: &str, provider: &str, token_account: Option<AccountId>) -> AccountId {
        let (address, provider) = (address.to_owned(), provider.to_owned());
        let account = NewAccount { address, provider, token_account, ..NewAccount::default() };
        self.store.add_account(&account, None).await.unwrap().0
    }

    /// Tokens of an hour that came so long ago.
    pub(super) async fn tokens(&self, key: &GrantKey, ago: Duration, identity: &str) {
        let tokens = NewTokens {
            access_token: Secret::new("tanstaaf".to_owned()),
            refresh_token: Some(Secret::new("tanstaaf".to_owned())),
            issued_at: now() - ago,
            expires_at: now() - ago + 60 * MINUTE,
            scopes: Vec::new(),
            identity: Identity::new([identity.to_owned()]),
        };
        self.store.replace_grant(key, &tokens).await.unwrap();
    }

    /// An account in each state, and more.
    async fn every_state(&self) {
        let store = &self.store;
        let ann = self.add("ann@contoso.example", "contoso").await;
        self.tokens(&GrantKey::Account(ann), 25 * MINUTE, "ann@contoso.example").await;
        store.note_login(ann, now() - 3 * MINUTE).await.unwrap();
        self.add_using("office@contoso.example", "contoso", Some(ann)).await;
        let bob = self.add("bob@contoso.example", "contoso").await;
        self.tokens(&GrantKey::Account(bob), 3 * DAY, "bob@contoso.example").await;
        let said = "invalid_grant (HTTP 400): AADSTS50173: The provided grant has been revoked.";
        store.mark_refused(&GrantKey::Account(bob), 1, said).await.unwrap();
        store.note_login(bob, now() - 4 * DAY).await.unwrap();
        let cid = self.add("cid@contoso.example", "contoso").await;
        self.tokens(&GrantKey::Account(cid), 91 * DAY, "cid@contoso.example").await;
        let off = self.add("off@contoso.example", "contoso").await;
        store.set_disabled(off, true).await.unwrap();
        for name in ["scan1", "scan2"] {
            self.add(&format!("{name}@contoso.example"), "contoso").await;
        }
        self.add("ann@contoso.example", "post").await;
        self.add("*@fabrikam.example", "fabrikam").await;
        self.tokens(&GrantKey::Provider("fabrikam".to_owned()), 10 * MINUTE, "x").await;
        self.add("gone@elsewhere.example", "elsewhere").await;
    }

    pub(super) async fn look(&self, is_running: bool) -> Look<'_> {
        let survey = Survey::take(&self.config, &self.store, now()).await.unwrap();
        Look { config: &self.config, survey, is_running, is_of_one: false }
    }
}

#[tokio::test]
async fn every_state_is_told_with_what_to_do() {
    let desk = Desk::new().await;
    desk.every_state().await;
    let look = desk.look(true).await;
    let told = look.in_words(None);
    assert_eq!(told, EVERY_STATE);
    let told = look.in_words(Some(80));
    assert!(told.lines().all(|line| line.chars().count() <= 80), "{told}");
    assert_eq!(look.conclusion().unwrap_err().exit, Exit::NeededNow);
}

const EVERY_STATE: &str = "\
10 accounts: 3 connected, 1 disabled, 4 not connected, 1 expired, 1 refused
Gatepost is running.

Account                        State          Last login  Refreshed    Token until
*@fabrikam.example             connected      never       10 min ago   in 50 min
ann@contoso.example (contoso)  connected      3 min ago   25 min ago   in 35 min
ann@contoso.example (post)     not connected  never       -            -
bob@contoso.example            refused        4 days ago  3 days ago   2 days ago
cid@contoso.example            expired        never       91 days ago  90 days ago
gone@elsewhere.example         not connected  never       never        -
off@contoso.example            disabled       never       never        -
office@contoso.example         connected      never       25 min ago   in 35 min
scan1@contoso.example          not connected  never       never        -
scan2@contoso.example          not connected  never       never        -

gone@elsewhere.example is not connected: its provider elsewhere is not in the
configuration
  Write the provider there again, or:
  gatepost account remove gone@elsewhere.example

ann@contoso.example is not connected: no password of the mailbox is stored (G20)
  gatepost connect ann@contoso.example --provider post

scan1@contoso.example and 1 more are not connected: nobody has consented yet
(G20)
  gatepost connect scan1@contoso.example
  gatepost connect scan2@contoso.example

cid@contoso.example is expired: the consent was not used for 90 days, and ended
on 2026-12-31
  gatepost connect cid@contoso.example

bob@contoso.example is refused: The consent was revoked, for example by a new
password (D71): invalid_grant (HTTP 400): AADSTS50173: The provided grant has
been revoked.
  The person signs in again:
  gatepost connect bob@contoso.example

The `client_secret` of the provider `fabrikam` ends in 18 days; make a new
secret at the provider, put it where `client_secret` says with its day in
`expires`, and restart Gatepost

Provider  Accounts  Secret or certificate until
contoso   7         -
fabrikam  1         2027-01-20 (secret, in 18 days)
post      1         -
";

#[tokio::test]
async fn where_all_is_well_there_is_nothing_to_do_unless_nobody_runs() {
    let desk = Desk::new().await;
    assert_eq!(desk.look(false).await.in_words(None), "There are no accounts yet: gatepost setup ADDRESS\n");
    assert!(desk.look(false).await.conclusion().is_ok());
    let ann = desk.add("ann@contoso.example", "contoso").await;
    desk.tokens(&GrantKey::Account(ann), MINUTE, "ann@contoso.example").await;
    assert!(desk.look(true).await.conclusion().is_ok());
    let look = desk.look(false).await;
    assert_eq!(
        look.in_words(None),
        "1 account: 1 connected
No Gatepost is running: no device gets in, and nobody keeps the tokens alive.
  gatepost run

Account              State      Last login  Refreshed  Token until
ann@contoso.example  connected  never       1 min ago  in 59 min

Provider  Accounts  Secret or certificate until
contoso   1         -
fabrikam  0         2027-01-20 (secret, in 18 days)
post      0         -
"
    );
    assert_eq!(look.conclusion().unwrap_err().exit, Exit::NeededNow);
    desk.store.set_disabled(ann, true).await.unwrap();
    assert!(desk.look(false).await.conclusion().is_ok(), "nobody misses it");
}

#[tokio::test]
async fn what_will_end_needs_somebody_soon() {
    let desk = Desk::new().await;
    let ann = desk.add("ann@contoso.example", "contoso").await;
    desk.tokens(&GrantKey::Account(ann), 80 * DAY, "ann@contoso.example").await;
    let look = desk.look(true).await;
    assert_eq!(look.conclusion().unwrap_err().exit, Exit::NeededSoon);
    let told = look.in_words(None);
    let expected = "\nann@contoso.example is connected: the consent ends on 2027-01-11, unless it is
used before then\n  gatepost test ann@contoso.example\n";
    assert!(told.contains(expected), "{told}");
    desk.tokens(&GrantKey::Account(ann), MINUTE, "ann@contoso.example").await;
    assert!(desk.look(true).await.conclusion().is_ok());
    desk.add("scan@fabrikam.example", "fabrikam").await;
    desk.tokens(&GrantKey::Provider("fabrikam".to_owned()), MINUTE, "x").await;
    assert_eq!(
        desk.look(true).await.conclusion().unwrap_err().exit,
        Exit::NeededSoon,
        "its secret ends soon"
    );
}

#[tokio::test]
async fn one_account_is_told_in_full() {
    let desk = Desk::new().await;
    desk.every_state().await;
    let told = async |address: &str, provider: &str| {
        let mut look = desk.look(true).await;
        look.is_of_one = true;
        look.survey
            .accounts
            .retain(|standing| standing.account.address == address && standing.account.provider == provider);
        look.survey.providers.retain(|standing| standing.name == provider);
        look.in_words(None)
    };
    assert_eq!(
        told("ann@contoso.example", "contoso").await,
        "Gatepost is running.

ann@contoso.example at contoso: connected
  Gets in by     the consent of ann@contoso.example
  Last login     2027-01-01 11:57 UTC, 3 min ago
  Last refresh   2027-01-01 11:35 UTC, 25 min ago
  Token until    2027-01-01 12:35 UTC, in 35 min
  Consent until  2027-04-01 11:35 UTC, in 89 days; every refresh makes it longer

Provider  Accounts  Secret or certificate until
contoso   7         -
"
    );
    assert_eq!(
        told("ann@contoso.example", "post").await,
        "Gatepost is running.

ann@contoso.example at post: not connected
  Gets in by     a password of the mailbox
  Last login     never

ann@contoso.example is not connected: no password of the mailbox is stored (G20)
  gatepost connect ann@contoso.example --provider post

Provider  Accounts  Secret or certificate until
post      1         -
"
    );
    let told = told("off@contoso.example", "contoso").await;
    let expected = "  Last login     never\n  Last refresh   never\n  Token until    never\n";
    assert!(told.contains(expected), "{told}");
    let expected =
        "off@contoso.example is disabled: switched off\n  gatepost account enable off@contoso.example\n";
    assert!(told.contains(expected), "{told}");
}

#[tokio::test]
async fn a_thousand_accounts_fit_into_few_sentences_and_narrow_terminals() {
    let desk = Desk::new().await;
    for number in 0..1000 {
        desk.add(&format!("the-scanner-on-floor-{number:03}@contoso.example"), "contoso").await;
    }
    let told = desk.look(true).await.in_words(Some(72));
    assert!(told.starts_with("1000 accounts: 1000 not connected\n"), "{told}");
    let table: Vec<_> = told.lines().skip_while(|line| !line.starts_with("Account")).take(1001).collect();
    assert!(table.iter().all(|line| line.chars().count() <= 72), "{}", table[0]);
    assert_eq!(table[7], "the-scanner-on-floor…  not connected  never       never      -");
    let (_, to_do) = told.split_once("\nthe-scanner-on-floor-000@contoso.example and 999 more are").unwrap();
    assert_eq!(to_do.matches("\n  gatepost connect the-scanner-on-floor-").count(), 10, "{to_do}");
    assert!(to_do.contains("\n  … and 990 more: gatepost status --json\n"), "{to_do}");
}

#[tokio::test]
async fn scripts_get_stable_keys_words_and_times() {
    let desk = Desk::new().await;
    desk.every_state().await;
    let told = desk.look(false).await.in_json();
    let keys =
        |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
    assert_eq!(keys(&told), "accounts at attention providers running states");
    assert_eq!(
        told["states"],
        json!({ "connected": 3, "disabled": 1, "expired": 1, "not connected": 4, "refused": 1 })
    );
    assert_eq!((&told["at"], &told["running"]), (&json!("2027-01-01T12:00:00Z"), &json!(false)));
    assert_eq!(told["attention"], "now");
    let accounts = told["accounts"].as_array().unwrap();
    for account in accounts {
        assert_eq!(
            keys(account),
            "address attention consent_by consent_until id last_login last_refresh next_step provider reason \
             refused_logins state token_until way"
        );
    }
    assert_eq!(
        accounts[1],
        json!({
            "id": 1, "address": "ann@contoso.example", "provider": "contoso", "state": "connected",
            "attention": "none", "reason": null, "next_step": null, "way": "consent",
            "consent_by": "ann@contoso.example", "last_login": "2027-01-01T11:57:00Z", "refused_logins": [],
            "last_refresh": "2027-01-01T11:35:00Z", "token_until": "2027-01-01T12:35:00Z",
            "consent_until": "2027-04-01T11:35:00Z",
        })
    );
    let states: Vec<_> = accounts.iter().map(|account| account["state"].as_str().unwrap()).collect();
    assert_eq!(
        states.join(", "),
        "connected, connected, not connected, refused, expired, not connected, disabled, connected, not connected, \
         not connected"
    );
    assert_eq!(
        told["providers"][1],
        json!({
            "name": "fabrikam", "accounts": 1, "attention": "soon", "proof": "secret",
            "reason": "the `client_secret` of the provider `fabrikam` ends in 18 days; make a new secret at the provider, \
                       put it where `client_secret` says with its day in `expires`, and restart Gatepost",
            "proof_until": "2027-01-20T00:00:00Z",
        })
    );
}

#[tokio::test]
async fn the_readme_shows_what_is_told() {
    let (two_providers, _) = CONFIGURATION.split_once("  post:").unwrap();
    let desk = Desk::configured(two_providers).await;
    let scanner = desk.add("scanner@contoso.example", "contoso").await;
    desk.tokens(&GrantKey::Account(scanner), 25 * MINUTE, "scanner@contoso.example").await;
    desk.store.note_login(scanner, now() - 3 * MINUTE).await.unwrap();
    desk.add("ups@contoso.example", "contoso").await;
    let office = desk.add("office@contoso.example", "contoso").await;
    desk.tokens(&GrantKey::Account(office), 3 * DAY, "office@contoso.example").await;
    let said = "invalid_grant (HTTP 400): AADSTS50173: The provided grant has been revoked.";
    desk.store.mark_refused(&GrantKey::Account(office), 1, said).await.unwrap();
    desk.store.note_login(office, now() - 4 * DAY).await.unwrap();
    let erp = desk.add("erp@fabrikam.example", "fabrikam").await;
    desk.tokens(&GrantKey::Provider("fabrikam".to_owned()), 10 * MINUTE, "x").await;
    desk.store.note_login(erp, now() - 2 * DAY).await.unwrap();
    let look = desk.look(true).await;
    let conclusion = look.conclusion().unwrap_err().message;
    let told = format!("$ gatepost status\n{}gatepost: {conclusion}\n", look.in_words(None));
    assert!(include_str!("../../../README.md").contains(&told), "{told}");
}
