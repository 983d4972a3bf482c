//! What a token endpoint has against a login, driven through real sessions: the line to the client, the log and `status` name the
//! same row of `config/diagnosis.yaml`.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

mod support;

use std::time::Duration;

use gatepost::config::ListenerTls;
use gatepost::config::provider::UpstreamTls;
use gatepost::diagnosis;
use gatepost::sandbox::TokenFault;
use gatepost_protocol::Protocol::{self, Imap, Pop3, Smtp};

use support::log::Log;
use support::process::said;
use support::wire::Wire;
use support::world::{ADDRESS, World};

/// What Entra hangs on to its words.
const IDS: &str = " Trace ID: 5f3a9c1e Correlation ID: 7d2f4c6a Timestamp: 2026-11-21 08:00:00Z";

#[tokio::test]
async fn line_log_and_status_name_the_same_row() {
    let entra = |code: &str, number: &str| TokenFault::error(code, &format!("AADSTS{number}: words.{IDS}"));
    let google = TokenFault::error;
    for (protocol, fault, id) in [
        (Smtp, entra("invalid_grant", "50173"), "D71"),
        (Pop3, entra("invalid_client", "7000222"), "D63"),
        (Imap, entra("invalid_client", "7000215"), "D62"),
        (Smtp, entra("unauthorized_client", "700016"), "D57"),
        (Pop3, entra("interaction_required", "50076"), "D45"),
        (Imap, entra("invalid_grant", "53003"), "D49"),
        (Smtp, entra("invalid_grant", "65001"), "D52"),
        (Pop3, entra("invalid_grant", "90055"), "D83"),
        (Imap, entra("invalid_grant", "50196"), "D81"),
        (Smtp, TokenFault::too_many_requests(Duration::from_mins(10)), "G30"),
        (Pop3, TokenFault::html(200), "G23"),
        (Imap, google("invalid_client", "The OAuth client was not found."), "D94"),
        (Smtp, google("invalid_client", "Client authentication failed"), "D141"),
        (Pop3, google("invalid_grant", "Token has been expired or revoked."), "D91"),
        (Imap, google("invalid_grant", "Bad Request"), "D90"),
    ] {
        all_name(protocol, fault, id).await;
    }
}

async fn all_name(protocol: Protocol, fault: TokenFault, id: &str) {
    let row = diagnosis::by_id(id).unwrap();
    let log = Log::begin();
    let world = World::with(UpstreamTls::Implicit, |_| {}).await;
    let config = world.folder().join("gatepost.yaml");
    std::fs::write(&config, &world.yaml).unwrap();
    world.connect_with_an_expired_token().await;
    world.sandbox.change(|personality| personality.token_endpoint = Some(fault));

    let mut wire = Wire::greeted(&world, protocol, ListenerTls::None).await;
    let line = wire.log_in(protocol).await;
    assert!(line.ends_with(&format!(" {} ({id})", row.line)), "{id}: {line}");
    let permanence = match (protocol, row.permanent) {
        (Smtp, _) => "454 4.7.0 ",
        (Pop3, true) => "-ERR [SYS/PERM] ",
        (Pop3, false) => "-ERR [SYS/TEMP] ",
        (Imap, true) => "a1 NO [CONTACTADMIN] ",
        (Imap, false) => "a1 NO [UNAVAILABLE] ",
    };
    assert!(line.starts_with(permanence), "{id}: {line}");

    let log = log.text();
    assert!(log.contains(&format!("{} ({id}): ", row.title)) && log.contains(&row.anchor()), "{id}: {log}");
    let (_, told) = said(&config, &["status", ADDRESS], "").await;
    let told = told.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(told.contains(&format!("{} ({id}): ", row.title)), "{id}: {told}");
    assert!(!told.contains("Trace ID"), "{id}: {told}");
    let fix = row.fix_for(ADDRESS);
    let begin = fix.split(['.', ':']).next().unwrap();
    assert!(told.contains(begin), "{id}: {begin:?} is not in {told}");
    drop(wire);
    world.daemon.stop().await;
}
