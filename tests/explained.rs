//! A failure is told the same wherever one meets it: the device's display, the log, `gatepost status` and `gatepost test` name one
//! row of the table. Providers as the sandbox plays them, devices as they are.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what is wrong by panicking")]

mod support;

use gatepost::config::provider::UpstreamTls;
use gatepost::sandbox::{MailFault, Personality, Sandbox, TokenFault};
use gatepost_protocol::Protocol::{self, Imap, Pop3, Smtp};

use support::told::Hears::{self, Busy, Later, NeedsAdmin};
use support::told::{Told, in_one_line};
use support::world::{ADDRESS, World};

/// Somebody else, with a mailbox of their own.
const STRANGER: &str = "boss@example.com";

/// What is wrong at the provider.
enum Trouble {
    /// A mail server's.
    Mail(MailFault),
    /// The token endpoint's, which is asked because the token has ended.
    Token(TokenFault),
    /// What an admin did.
    Admin(fn(&Sandbox)),
    /// The consent of somebody else.
    Stranger,
    /// The token is the application's own, and nobody granted it the mailbox.
    Application,
    /// Scopes of another resource.
    Scopes(&'static str),
}

/// A failed login.
struct Scenario {
    /// The row that is told.
    row: &'static str,
    /// By which protocol a device tries it.
    protocol: Protocol,
    trouble: Trouble,
    hears: Hears,
    /// Whether `status` knows of it: not of what passes by itself, unless there is no token until then.
    lasts: bool,
}

/// What an admin hears of, and what stays until somebody does something.
fn lasting(row: &'static str, protocol: Protocol, trouble: Trouble) -> Scenario {
    Scenario { row, protocol, trouble, hears: NeedsAdmin, lasts: true }
}

/// What passes by itself.
fn passing(row: &'static str, protocol: Protocol, trouble: Trouble, hears: Hears) -> Scenario {
    Scenario { row, protocol, trouble, hears, lasts: false }
}

/// Plays all of them, and fails with every place that says something else.
async fn play(personality: fn() -> Personality, scenarios: Vec<Scenario>) {
    let mut wrong = String::new();
    for Scenario { row, protocol, trouble, hears, lasts } in scenarios {
        let world = world(personality(), trouble).await;
        let told = Told::of(&world, protocol, lasts).await;
        for disagreement in told.disagreements(row, protocol, hears, lasts) {
            wrong = wrong + "\n" + row + " over " + protocol.name() + ", " + &disagreement;
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// A world with this trouble in it.
async fn world(personality: Personality, trouble: Trouble) -> World {
    let sandbox = Sandbox::start_as(personality).await.unwrap();
    let provider = |yaml: String| match &trouble {
        Trouble::Application => with_scopes(&yaml, "https://outlook.office365.com/.default")
            .replace("grant: authorization_code", "grant: client_credentials"),
        Trouble::Scopes(scopes) => with_scopes(&yaml, scopes),
        _ => yaml,
    };
    let world = World::at(sandbox, UpstreamTls::Implicit, provider, |_| {}).await;
    match trouble {
        Trouble::Mail(fault) => {
            world.connect().await;
            world.sandbox.change(|personality| personality.mail = vec![fault]);
        }
        Trouble::Token(fault) => {
            world.connect_with_an_expired_token().await;
            world.sandbox.change(|personality| personality.token_endpoint = Some(fault));
        }
        Trouble::Admin(deed) => {
            world.connect().await;
            deed(&world.sandbox);
        }
        Trouble::Stranger => {
            world.sandbox.change(|personality| personality.consents_as = Some(STRANGER.to_owned()));
            world.connect().await;
        }
        Trouble::Application => {}
        Trouble::Scopes(_) => drop(world.connect().await),
    }
    world
}

/// The provider's entry with other scopes.
fn with_scopes(yaml: &str, scopes: &str) -> String {
    let is_scopes = |line: &str| line.trim_start().starts_with("scopes:");
    let line =
        |line: &str| if is_scopes(line) { format!("    scopes: [{scopes}]\n") } else { format!("{line}\n") };
    yaml.lines().map(line).collect()
}

#[tokio::test]
async fn exchange_s_smtp_is_explained() {
    let graph = "https://graph.microsoft.com/SMTP.Send, offline_access";
    let scenarios = vec![
        lasting("D02", Smtp, Trouble::Admin(|sandbox| sandbox.switch_off_for_tenant(Smtp))),
        lasting("D03", Smtp, Trouble::Admin(|sandbox| sandbox.switch_off(Smtp, ADDRESS))),
        lasting("D04", Smtp, Trouble::Mail(MailFault::exchange_security_defaults())),
        lasting("D06", Smtp, Trouble::Mail(MailFault::exchange_conditional_access())),
        lasting("D07", Smtp, Trouble::Mail(MailFault::exchange_authentication_policy())),
        lasting("D08", Smtp, Trouble::Scopes(graph)),
        lasting("D08", Smtp, Trouble::Stranger),
        passing("D17", Smtp, Trouble::Mail(MailFault::exchange_too_many_submissions()), Busy),
    ];
    play(Personality::exchange, scenarios).await;
}

#[tokio::test]
async fn exchange_s_pop3_and_imap_are_explained() {
    let scenarios = vec![
        lasting("D29", Imap, Trouble::Application),
        lasting("D30", Imap, Trouble::Stranger),
        lasting("D32", Imap, Trouble::Admin(|sandbox| sandbox.switch_off(Imap, ADDRESS))),
        lasting("D32", Pop3, Trouble::Admin(|sandbox| sandbox.switch_off(Pop3, ADDRESS))),
        lasting("D34", Pop3, Trouble::Stranger),
        passing("D35", Imap, Trouble::Mail(MailFault::exchange_throttled(299_961)), Busy),
        passing("D36", Imap, Trouble::Mail(MailFault::exchange_unavailable()), Later),
    ];
    play(Personality::exchange, scenarios).await;
}

#[tokio::test]
async fn gmail_s_servers_are_explained() {
    let scenarios = vec![
        lasting("D98", Smtp, Trouble::Stranger),
        lasting("D98", Pop3, Trouble::Stranger),
        lasting("D98", Imap, Trouble::Stranger),
        lasting("D99", Smtp, Trouble::Mail(MailFault::gmail_application_password_required(Smtp))),
        lasting("D99", Imap, Trouble::Mail(MailFault::gmail_application_password_required(Imap))),
        lasting("D100", Smtp, Trouble::Mail(MailFault::gmail_web_login_required(Smtp))),
        lasting("D100", Pop3, Trouble::Mail(MailFault::gmail_web_login_required(Pop3))),
        lasting("D100", Imap, Trouble::Mail(MailFault::gmail_web_login_required(Imap))),
        passing("D101", Smtp, Trouble::Mail(MailFault::gmail_too_many_logins()), Later),
        passing("D101", Smtp, Trouble::Mail(MailFault::gmail_temporary_problem()), Later),
        passing("D102", Smtp, Trouble::Mail(MailFault::gmail_try_again_later()), Later),
        passing("D107", Imap, Trouble::Mail(MailFault::gmail_too_many_connections()), Busy),
        passing("D108", Imap, Trouble::Mail(MailFault::gmail_over_limits()), Later),
    ];
    play(Personality::gmail, scenarios).await;
}

#[tokio::test]
async fn entra_s_refusals_are_explained() {
    let scenarios = vec![
        lasting("D71", Smtp, Trouble::Token(TokenFault::entra_revoked())),
        lasting("D45", Imap, Trouble::Token(TokenFault::entra_second_factor())),
        lasting("D49", Pop3, Trouble::Token(TokenFault::entra_conditional_access())),
        lasting("D52", Smtp, Trouble::Token(TokenFault::entra_no_consent())),
        lasting("D57", Imap, Trouble::Token(TokenFault::entra_unknown_application())),
        lasting("D62", Smtp, Trouble::Token(TokenFault::entra_wrong_secret())),
        lasting("D63", Pop3, Trouble::Token(TokenFault::entra_expired_secret())),
        lasting("D64", Smtp, Trouble::Token(TokenFault::entra_missing_secret())),
        lasting("D68", Imap, Trouble::Token(TokenFault::entra_unused())),
        lasting("D58", Smtp, Trouble::Token(TokenFault::entra_unknown_tenant())),
        Scenario { hears: Later, ..lasting("D81", Smtp, Trouble::Token(TokenFault::entra_loop())) },
        Scenario { hears: Later, ..lasting("D83", Imap, Trouble::Token(TokenFault::entra_throttled())) },
    ];
    play(Personality::exchange, scenarios).await;
}

#[tokio::test]
async fn google_s_refusals_are_explained() {
    let scenarios = vec![
        lasting("D91", Smtp, Trouble::Token(TokenFault::google_revoked())),
        lasting("D94", Imap, Trouble::Token(TokenFault::google_unknown_client())),
        lasting("D94", Pop3, Trouble::Token(TokenFault::google_deleted_client())),
        lasting("D93", Smtp, Trouble::Token(TokenFault::google_not_delegated())),
        lasting("D143", Smtp, Trouble::Token(TokenFault::google_invalid_scope())),
    ];
    play(Personality::gmail, scenarios).await;
}

/// What the table does not know, and which nobody may lose: an admin looks it up, and the project hears of it.
#[tokio::test]
async fn words_that_nobody_has_met_yet_are_passed_on_and_asked_for() {
    let words = "559 5.9.99 The moon is in the wrong house";
    let fault = MailFault::refusal(
        Smtp,
        false,
        &format!("{words} [FR0P281CA0001.OUTLOOK.COM 2026-11-21T08:00:00.000Z 08DE]"),
    );
    let world = world(Personality::default(), Trouble::Mail(fault)).await;
    let token = world.grant().await.access_token.unwrap();
    let told = Told::of(&world, Smtp, true).await;
    let warnings = format!("{:?}", told.warnings);
    let everywhere =
        [told.line.as_str(), &warnings, &told.status.1, &told.test.1, &told.json.1].map(in_one_line);
    for (at, place) in everywhere.iter().enumerate() {
        assert!(place.contains(words) && !place.contains(token.expose().as_str()), "{place}");
        // The log, which is the second, keeps what Exchange hangs on for whoever opens a ticket.
        assert_eq!(place.contains("OUTLOOK.COM"), at == 1, "{place}");
    }
    for place in everywhere.iter().skip(1) {
        assert!(
            place.contains("Gatepost does not know this answer yet") && place.contains("report it"),
            "{place}"
        );
    }
    assert!(told.line.starts_with("454 4.7.0 "), "{}", told.line);
}
