//! A test message that is sent through the sandbox and found again there.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod support;

use std::time::{Duration, SystemTime};

use gatepost::account::Account;
use gatepost::config::Provider;
use gatepost::config::provider::{Login, UpstreamTls};
use gatepost::diagnosis::{Place, find as diagnosed};
use gatepost::oauth::Tokens;
use gatepost::sandbox::{Personality, Sandbox};
use gatepost::submission::SubmissionError;
use gatepost::trial::delivery::{Arrival, InboxError, Mailbox, Sent, find, send};
use gatepost_protocol::Protocol;
use gatepost_protocol::sasl::UpstreamSecret;
use gatepost_protocol::secret::Secret;

use support::world::{ADDRESS, World};

/// For each login.
const TIME: Duration = Duration::from_secs(20);

async fn account(world: &World) -> Account {
    world.store.accounts_at(ADDRESS).await.unwrap().remove(0)
}

async fn token(world: &World, account: &Account) -> UpstreamSecret {
    let tokens = Tokens::new(world.store.clone());
    let token = tokens.access_token(world.provider.oauth().unwrap(), account).await.unwrap();
    UpstreamSecret::Token(token.secret)
}

async fn sent(world: &World, account: &Account, to: &str) -> Result<Sent, SubmissionError> {
    let secret = token(world, account).await;
    send(Mailbox { provider: &world.provider, account, secret }, to, SystemTime::now(), TIME).await
}

async fn found(world: &World, provider: &Provider, sent: &Sent) -> Result<Arrival, (Protocol, InboxError)> {
    let account = account(world).await;
    let secret = token(world, &account).await;
    find(sent, Mailbox { provider, account: &account, secret }, TIME).await
}

/// The provider's mail servers for these protocols.
fn only(provider: &Provider, protocols: &[Protocol]) -> Provider {
    let endpoint = |protocol| provider.endpoint(protocol).filter(|_| protocols.contains(&protocol)).cloned();
    Provider {
        name: provider.name.clone(),
        preset: None,
        unverified: Vec::new(),
        // A mailbox comes with what opens it.
        login: Login::Password,
        smtp: endpoint(Protocol::Smtp),
        pop3: endpoint(Protocol::Pop3),
        imap: endpoint(Protocol::Imap),
        trust: provider.trust.clone(),
    }
}

#[tokio::test]
async fn a_message_is_found_by_imap_or_by_pop3() {
    let world = World::with(UpstreamTls::StartTls, |_| {}).await;
    let account = account(&world).await;
    let (first, second) =
        (sent(&world, &account, ADDRESS).await.unwrap(), sent(&world, &account, ADDRESS).await.unwrap());
    assert_ne!(first.taken.message_id, second.taken.message_id);
    assert!(first.taken.said.starts_with("250 "), "{first:?}");
    for sent in [&first, &second] {
        for (protocols, expected) in
            [(&Protocol::ALL[..], Protocol::Imap), (&[Protocol::Pop3], Protocol::Pop3)]
        {
            let provider = only(&world.provider, protocols);
            let arrival = found(&world, &provider, sent).await.unwrap();
            assert!(
                matches!(arrival, Arrival::Found { protocol, .. } if protocol == expected),
                "{arrival:?}"
            );
        }
    }
    let nowhere = only(&world.provider, &[Protocol::Smtp]);
    assert_eq!(found(&world, &nowhere, &first).await.unwrap(), Arrival::NoWayToLook);
    // Nothing was changed.
    assert_eq!(world.sandbox.mailbox(ADDRESS).len(), 2);
}

#[tokio::test]
async fn an_inbox_that_refuses_the_login_is_told() {
    let world = World::start().await;
    let account = account(&world).await;
    let message = sent(&world, &account, ADDRESS).await.unwrap();
    for protocol in [Protocol::Imap, Protocol::Pop3] {
        let provider = only(&world.provider, &[protocol]);
        let secret = UpstreamSecret::Token(Secret::new("planted-token".to_owned()));
        let inbox = Mailbox { provider: &provider, account: &account, secret };
        let (asked, error) = find(&message, inbox, TIME).await.unwrap_err();
        assert!(asked == protocol && matches!(error, InboxError::Login(_)), "{error}");
        assert!(!format!("{error} {error:?}").contains("planted"), "{error}");
    }
}

#[tokio::test]
async fn a_sender_that_the_provider_does_not_allow_is_diagnosed() {
    let sandbox = Sandbox::start_as(Personality::exchange()).await.unwrap();
    let world = World::at(sandbox, UpstreamTls::StartTls, |yaml| yaml, |_| {}).await;
    world.connect().await;
    let mut account = account(&world).await;
    // The login stays the mailbox's own.
    account.smtp_user_name = Some(ADDRESS.to_owned());
    account.address = "somebody-else@gatepost.example".to_owned();
    match sent(&world, &account, ADDRESS).await {
        Err(SubmissionError::Refused { said, .. }) => {
            assert_eq!(diagnosed(Place::Message, &said).map(|row| row.id.as_str()), Some("D13"), "{said}");
        }
        other => panic!("{other:?}"),
    }
}
