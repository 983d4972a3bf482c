//! `gatepost status` beside a running Gatepost: every state as commands and sessions bring it about, told to people at terminals,
//! to scripts, and to those who watch.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test says what is wrong by panicking"
)]

mod support;
#[path = "support/terminal.rs"]
mod terminal;
#[path = "support/waiting.rs"]
mod waiting;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use gatepost::config::ListenerTls;
use gatepost::config::provider::UpstreamTls;
use gatepost::sandbox::{CLIENT_SECRET, CLIENT_SECRET_VARIABLE, Personality, Sandbox, TokenFault};
use gatepost::store::grants::{Grant, GrantKey, NewTokens};
use gatepost_protocol::Protocol::Smtp;
use gatepost_protocol::secret::Secret;
use support::process::{Process, run, said};
use support::wire::{Wire, success};
use support::world::{ADDRESS, World};
use terminal::Terminal;
use waiting::Waiting;

const DAY: Duration = Duration::from_hours(24);

/// An account that is not connected, at a provider whose consents live for 90 days without use.
async fn world(personality: Personality) -> (World, PathBuf) {
    let sandbox = Sandbox::start_as(personality).await.unwrap();
    let limited = |yaml: String| {
        yaml.replace(
            "    grant: authorization_code\n",
            "    grant: authorization_code\n    consent_idle_limit: 90d\n",
        )
    };
    let world = World::at(sandbox, UpstreamTls::Implicit, limited, |_| {}).await;
    let config = world.folder().join("gatepost.yaml");
    std::fs::write(&config, &world.yaml).unwrap();
    (world, config)
}

/// The exit status, and all that it said. The seconds that a test takes make no difference.
async fn status(config: &Path) -> (Option<i32>, String) {
    let (status, told) = said(config, &["status"], "").await;
    (status, steady(&told))
}

/// Cells are parted by a bar; moments of this hour are all the same.
fn steady(told: &str) -> String {
    let cell = |cell: &str| match cell.trim() {
        "now" => "lately".to_owned(),
        far if far.ends_with(" min ago") => "lately".to_owned(),
        far if far.starts_with("in ") && far.ends_with(" min") => "within the hour".to_owned(),
        other => other.to_owned(),
    };
    let line = |line: &str| {
        if line.starts_with("  ") {
            return line.to_owned();
        }
        line.split("  ").filter(|cell| !cell.is_empty()).map(cell).collect::<Vec<_>>().join(" | ")
    };
    told.lines().map(|text| line(text) + "\n").collect()
}

/// What is told of the one account, between the counts and the providers.
fn expected(state: &str, moments: &str, to_do: &str) -> String {
    format!(
        "1 account: 1 {state}\nGatepost is running.\n\nAccount | State | Last login | Refreshed | Token until\n\
         {ADDRESS} | {state} | {moments}\n{to_do}\nProvider | Accounts | Secret or certificate until\n\
         sandbox | 1 | not known (secret; `expires` beside it says it)\n"
    )
}

/// Logs in, and waits until that is noted, which the session itself does not.
async fn log_in(world: &World) {
    let mut wire = Wire::greeted(world, Smtp, ListenerTls::Implicit).await;
    assert_eq!(wire.log_in(Smtp).await, success(Smtp));
    while world.store.last_logins().await.unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
}

/// Gives the tokens other times.
async fn set_back(world: &World, issued_at: SystemTime, expires_at: SystemTime) {
    let Grant { key, version, access_token, refresh_token, .. } = world.grant().await;
    let tokens = NewTokens {
        access_token: access_token.unwrap(),
        refresh_token,
        issued_at,
        expires_at,
        scopes: Vec::new(),
        identity: None,
    };
    world.store.commit_refresh(&key, version, &tokens).await.unwrap().unwrap();
}

#[tokio::test]
async fn every_state_is_reached_and_left_again() {
    let (world, config) = world(Personality::default()).await;
    let needed = "gatepost: somebody has to do something now\n";
    let connect = format!("  gatepost connect {ADDRESS}\n");
    let not_connected = format!("\n{ADDRESS} is not connected: nobody has consented yet (G20)\n{connect}");
    let told = expected("not connected", "never | never | -", &not_connected);
    assert_eq!(status(&config).await, (Some(7), told + needed));

    world.connect().await;
    log_in(&world).await;
    let connected = expected("connected", "lately | lately | within the hour", "");
    assert_eq!(status(&config).await, (Some(0), connected.clone()));

    // The token endpoint is down, and the token has ended.
    world.sandbox.change(|personality| personality.token_endpoint = Some(TokenFault::internal_error()));
    let now = SystemTime::now();
    set_back(&world, now - 30 * DAY, now - 29 * DAY).await;
    let (exit, _) = said(&config, &["test", ADDRESS], "").await;
    assert_eq!(exit, Some(5));
    let down = format!(
        "\n{ADDRESS} is expired: The provider's token server has a fault (G29):\nHTTP status 500\n\
         \x20 Wait; Gatepost tries again. Where this lasts, look at the provider's page\n  about outages; then:\n\
         \x20 gatepost test {ADDRESS}\n"
    );
    let told = expected("expired", "lately | 30 days ago | 29 days ago", &down);
    assert_eq!(status(&config).await, (Some(7), told + needed));
    world.sandbox.change(|personality| personality.token_endpoint = None);
    let (exit, told) = said(&config, &["test", ADDRESS], "").await;
    assert_eq!(exit, Some(0), "{told}");
    assert_eq!(status(&config).await, (Some(0), connected.clone()));

    // Nobody used the consent for longer than it lives. The running Gatepost could still redeem it here.
    world.sandbox.revoke(ADDRESS);
    set_back(&world, now - 95 * DAY, now - 94 * DAY).await;
    let (exit, told) = status(&config).await;
    assert_eq!(exit, Some(7));
    assert!(told.contains(&format!("{ADDRESS} | expired | lately | 95 days ago | 94 days ago\n")), "{told}");
    assert!(
        told.contains(&format!("\n{ADDRESS} is expired: the consent was not used for 90 days, and ended")),
        "{told}"
    );
    assert!(told.contains(&connect), "{told}");

    world.connect().await;
    world.sandbox.revoke(ADDRESS);
    set_back(&world, now - 2 * DAY, now - DAY).await;
    let (exit, _) = said(&config, &["test", ADDRESS], "").await;
    assert_eq!(exit, Some(5));
    let (exit, told) = status(&config).await;
    assert_eq!(exit, Some(7));
    assert!(
        told.contains(&format!(
            "\n{ADDRESS} is refused: The provider takes the consent no more (D140):\ninvalid_grant"
        )),
        "{told}"
    );
    assert!(told.contains(&connect), "{told}");
    world.connect().await;
    assert_eq!(status(&config).await, (Some(0), connected.clone()));

    run(&config, &["account", "disable", ADDRESS], "").await;
    let disabled = expected("disabled", "lately | lately | within the hour", "");
    assert_eq!(status(&config).await, (Some(0), disabled));
    run(&config, &["account", "enable", ADDRESS], "").await;
    assert_eq!(status(&config).await, (Some(0), connected));
    world.daemon.stop().await;
    let (exit, told) = status(&config).await;
    assert_eq!(exit, Some(7));
    assert!(
        told.contains(
            "No Gatepost is running: no device gets in, and nobody keeps the tokens alive.\n  gatepost run\n"
        ),
        "{told}"
    );
}

#[tokio::test]
async fn a_refused_password_is_told_until_one_is_taken() {
    let (world, config) = world(Personality::post("the right one")).await;
    world.store.replace_mailbox_password(world.account, &Secret::new("an old one".to_owned())).await.unwrap();
    let mut wire = Wire::greeted(&world, Smtp, ListenerTls::Implicit).await;
    assert!(wire.log_in(Smtp).await.starts_with("454 "));
    let (exit, told) = status(&config).await;
    assert_eq!(exit, Some(7), "{told}");
    let words =
        format!("{ADDRESS} is refused: the provider refused a login with the stored\npassword (G19):");
    assert!(told.contains(&words) && told.contains(&format!("\n  gatepost connect {ADDRESS}\n")), "{told}");
    assert!(told.contains(&format!("{ADDRESS} | refused | never | - | -\n")), "{told}");

    world.sandbox.change(|personality| personality.password = Some("an old one".to_owned()));
    assert_eq!(said(&config, &["test", ADDRESS], "").await.0, Some(0));
    let taken = (Some(0), format!("{ADDRESS} | connected | lately | - | -\n"));
    let (exit, told) = status(&config).await;
    assert!(exit == taken.0 && told.contains(&taken.1), "{told}");
    world.sandbox.change(|personality| personality.password = Some("another one".to_owned()));
    assert_eq!(said(&config, &["test", ADDRESS], "").await.0, Some(5));
    assert!(status(&config).await.1.contains(&words));
    assert_eq!(said(&config, &["connect", ADDRESS], "another one").await.0, Some(0));
    let (exit, told) = status(&config).await;
    assert!(exit == taken.0 && told.contains(&taken.1), "{told}");
}

#[tokio::test]
async fn scripts_read_one_account_or_all() {
    let (world, config) = world(Personality::default()).await;
    world.connect().await;
    run(&config, &["account", "add", "new@example.com", "--password-stdin"], "tanstaaf").await;
    let read = async |arguments: &[&str]| -> (Option<i32>, serde_json::Value) {
        let (exit, told) = said(&config, arguments, "").await;
        let (json, _) = told.split_once("\n}\n").unwrap();
        (exit, serde_json::from_str(&format!("{json}\n}}")).unwrap())
    };
    let (exit, all) = read(&["status", "--json"]).await;
    assert_eq!((exit, &all["attention"], &all["running"]), (Some(7), &"now".into(), &true.into()));
    assert_eq!(all["accounts"].as_array().unwrap().len(), 2);
    let (exit, one) = read(&["status", ADDRESS, "--json"]).await;
    assert_eq!((exit, &one["attention"]), (Some(0), &"none".into()));
    assert_eq!(one["accounts"].as_array().unwrap().len(), 1);
    assert_eq!(one["accounts"][0]["consent_by"], ADDRESS);
    let (exit, told) = said(&config, &["status", "nobody@example.com"], "").await;
    assert_eq!(exit, Some(1));
    assert!(told.contains("there is no account nobody@example.com"), "{told}");
}

#[tokio::test]
async fn the_last_gatepost_of_several_is_missed_however_it_ended() {
    let (world, config) = world(Personality::default()).await;
    let is_running = async || said(&config, &["status"], "").await.1.contains("Gatepost is running.");
    let (one, two) = (Process::ready(&config).await, Process::ready(&config).await);
    let World { daemon, .. } = world;
    daemon.stop().await;
    assert!(is_running().await);
    one.stops().await;
    assert!(is_running().await);
    two.killed().await;
    assert!(!is_running().await);
}

/// At a terminal, or anywhere.
fn program(config: &Path, arguments: &[&str]) -> std::process::Command {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_gatepost"));
    command.arg("--config").arg(config).args(arguments).env(CLIENT_SECRET_VARIABLE, CLIENT_SECRET);
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_shows_the_newest_look_and_gets_its_own_screen_back() {
    let (world, config) = world(Personality::default()).await;
    let mut terminal = Terminal::start(program(&config, &["status", "--watch"]));
    terminal.shows("1 account: 1 not connected");
    world.connect().await;
    terminal.shows("1 account: 1 connected");
    terminal.shows("scanner@example.com  connected  never");
    // Once more, so that the one before is on the screen to its end.
    terminal.shows("1 account: 1 connected");
    assert!(
        terminal.screen().contains("1 account: 1 connected") && !terminal.screen().contains("not connected")
    );
    terminal.interrupts();
    let (exit, left) = terminal.end();
    assert_eq!(exit, Some(0));
    assert!(!left.contains("Account"), "{left}");
    assert!(terminal.octets().ends_with(b"\x1b[?7h\x1b[?25h\x1b[?1049l"));
}

#[tokio::test(flavor = "multi_thread")]
async fn states_have_colours_unless_somebody_wants_none() {
    let (world, config) = world(Personality::default()).await;
    for (is_plain, expected) in
        [(false, "\u{1b}[31mnot connected\u{1b}[0m"), (true, "  not connected  never")]
    {
        let mut command = program(&config, &["status"]);
        command.envs(is_plain.then_some(("NO_COLOR", "1")));
        let mut terminal = Terminal::start(command);
        assert_eq!(terminal.end().0, Some(7));
        let told = String::from_utf8(terminal.octets().to_vec()).unwrap();
        assert!(told.contains(expected) && (!is_plain || !told.contains('\u{1b}')), "{told}");
    }
    drop(world);
}

#[tokio::test]
async fn a_file_gets_a_line_for_each_change() {
    let (world, config) = world(Personality::default()).await;
    let mut watching = Waiting::start(&mut program(&config, &["status", "--watch"]).into());
    let without_time = |line: String| line.split_once(' ').unwrap().1.to_owned();
    assert_eq!(without_time(watching.line("").await), "Gatepost is running");
    let not_connected =
        format!("{ADDRESS}: not connected: nobody has consented yet (G20); next: gatepost connect {ADDRESS}");
    assert_eq!(without_time(watching.line("").await), not_connected);
    world.connect().await;
    assert_eq!(without_time(watching.line("").await), format!("{ADDRESS}: connected"));
    let key = GrantKey::Account(world.account);
    world.store.mark_refused(&key, 1, "invalid_grant").await.unwrap();
    assert!(
        without_time(watching.line("").await).starts_with(&format!("{ADDRESS}: refused: The provider takes"))
    );
    watching.interrupt();
    assert_eq!(watching.end().await.0, Some(0));
}

#[tokio::test]
async fn the_plugin_in_the_guide_tells_nagios() {
    let (world, config) = world(Personality::default()).await;
    let guide = include_str!("../docs/monitoring.md");
    let (_, plugin) = guide.split_once("```sh\n#!/bin/sh\n").unwrap();
    let (plugin, _) = plugin.split_once("```").unwrap();
    let programs = Path::new(env!("CARGO_BIN_EXE_gatepost")).parent().unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default());
    let check = async || {
        let mut shell = tokio::process::Command::new("sh");
        shell.args(["-c", plugin]).env("PATH", &path).env("GATEPOST_CONFIG", &config);
        let output = shell.env(CLIENT_SECRET_VARIABLE, CLIENT_SECRET).output().await.unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        (output.status.code(), said.lines().next().unwrap().to_owned())
    };
    assert_eq!(check().await, (Some(2), "1 account: 1 not connected".to_owned()));
    world.connect().await;
    assert_eq!(check().await, (Some(0), "1 account: 1 connected".to_owned()));
    // The running Gatepost would refresh it otherwise.
    world.sandbox.change(|personality| personality.token_endpoint = Some(TokenFault::internal_error()));
    let issued_at = SystemTime::now() - 80 * DAY;
    set_back(&world, issued_at, SystemTime::now() + DAY).await;
    assert_eq!(check().await, (Some(1), "1 account: 1 connected".to_owned()));
    std::fs::write(&config, "providers: nonsense\n").unwrap();
    assert_eq!(check().await.0, Some(3));
}
