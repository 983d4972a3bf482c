//! What a person at a terminal meets: questions, a password that nobody else reads, a code for a camera, and what goes on
//! meanwhile.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
#![allow(dead_code, reason = "the support is shared with other tests")]

#[path = "support/real/mod.rs"]
mod real;
#[path = "support/terminal.rs"]
mod terminal;
#[path = "support/token_endpoint.rs"]
mod token_endpoint;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use gatepost::account::AccountId;
use gatepost::store::Store;
use gatepost::store::grants::{Grant, GrantKey};

use real::gatepost::Gatepost;
use real::oidc::Client;
use real::process::eventually;
use real::{MailProvider, Tls};
use tempfile::TempDir;
use terminal::Terminal;
use token_endpoint::TokenEndpoint;

const MARTHA: &str = "martha@example.test";
const SHARED: &str = "shared@example.test";

/// What a camera reads on the terminal. Without colours the drawn parts are light, on a dark terminal.
fn scanned(screen: &str, plain: bool) -> String {
    let drawing = screen.split("Or scan this:\n\n").nth(1).unwrap();
    let lines: Vec<Vec<char>> =
        drawing.lines().take_while(|line| !line.is_empty()).map(|line| line.chars().collect()).collect();
    let columns = lines.iter().map(Vec::len).max().unwrap();
    let light = |x: usize, y: usize| {
        let half = if y.is_multiple_of(2) { '▀' } else { '▄' };
        let character = lines[y / 2].get(x).copied().unwrap_or(' ');
        (character == '█' || character == half) == plain
    };
    // So many pixels for each module, as a camera sees them.
    let pixels = 4;
    let (width, height) = (columns * pixels, lines.len() * 2 * pixels);
    let mut picture = rqrr::PreparedImage::prepare_from_greyscale(width, height, |x, y| {
        if light(x / pixels, y / pixels) { 255 } else { 0 }
    });
    let grids = picture.detect_grids();
    assert_eq!(grids.len(), 1, "nothing to scan:\n{drawing}");
    grids[0].decode().unwrap().1
}

/// Gatepost with the shared mailbox, not connected.
fn configured(provider: &MailProvider) -> Gatepost {
    let yaml = provider.provider_yaml("real", Client::Native, Tls::Implicit);
    let gatepost = Gatepost::configured(provider.folder.path(), &yaml);
    gatepost.add_account(SHARED, "real");
    gatepost
}

/// Gatepost with a mailbox whose password is redeemed at the endpoint.
fn redeeming(endpoint: &TokenEndpoint) -> (Gatepost, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let yaml = format!(
        "  example:\n    grant: password\n    client_id: gatepost\n    token_endpoint: {}\n    scopes: [mail]\n    \
         ca_file: {}\n    smtp: {{ host: localhost, port: 9, tls: implicit }}\n    \
         pop3: {{ host: localhost, port: 9, tls: implicit }}\n    imap: {{ host: localhost, port: 9, tls: implicit }}",
        endpoint.url(),
        endpoint.ca_file().display()
    );
    let gatepost = Gatepost::configured(folder.path(), &yaml);
    gatepost.add_account(MARTHA, "example");
    (gatepost, folder)
}

async fn grant(gatepost: &Gatepost) -> Option<Grant> {
    let store = Store::open(&gatepost.state_dir()).await.unwrap();
    store.grant(&GrantKey::Account(AccountId(1))).await.unwrap()
}

#[tokio::test]
async fn only_a_yes_keeps_another_identity() {
    let Some(provider) = MailProvider::start().await else { return };
    let gatepost = configured(&provider);
    for answer in ["n", "", "y"] {
        let mut terminal = Terminal::start(gatepost.program(&["connect", SHARED, "--no-browser"]));
        terminal.shows("Open this address in a browser, and sign in as shared@example.test:\n\n");
        let address = terminal.shows("\n");
        let landed = provider.oidc.consent(address.trim(), MARTHA).await;
        let page = provider.oidc.browse(landed).await;
        assert!(page.contains("<h1>Not connected yet</h1>"), "{page}");

        terminal.shows("martha@example.test consented, not shared@example.test.");
        terminal.shows("Keep it? [y/N] ");
        assert!(grant(&gatepost).await.is_none(), "nothing is kept before the answer");
        terminal.types(answer);

        let (status, shown) = terminal.end();
        let grant = grant(&gatepost).await;
        if answer == "y" {
            assert_eq!(status, Some(0), "{shown}");
            assert!(
                shown.contains("✓ shared@example.test is connected to real by martha@example.test.\n"),
                "{shown}"
            );
            assert_eq!(grant.unwrap().identity.as_deref(), Some(MARTHA));
        } else {
            assert_eq!(status, Some(1), "{shown}");
            assert!(shown.contains("shared@example.test is not connected:"), "{shown}");
            assert!(shown.contains("The consent of martha@example.test is revoked at real."), "{shown}");
            assert!(grant.is_none(), "{answer:?} kept it");
        }
    }
    // The next time the same one is expected, and nobody is asked.
    let mut terminal = Terminal::start(gatepost.program(&["connect", SHARED, "--no-browser"]));
    terminal.shows("and sign in as martha@example.test:\n\n");
    let address = terminal.shows("\n");
    let landed = provider.oidc.consent(address.trim(), MARTHA).await;
    let page = provider.oidc.browse(landed).await;
    assert!(page.contains("<h1>Connected</h1>"), "{page}");
    let (status, shown) = terminal.end();
    assert_eq!(status, Some(0), "{shown}");
    assert!(!shown.contains("Keep it?"), "{shown}");
}

#[tokio::test]
async fn a_browser_is_opened_where_there_is_a_display() {
    let Some(provider) = MailProvider::start().await else { return };
    let gatepost = configured(&provider);
    let [browser, opened] = ["browser", "opened"].map(|name| provider.folder.path().join(name));
    // The address comes whole, or not at all.
    let script = format!("#!/bin/sh\necho \"$1\" >{0}.part && mv {0}.part {0}\n", opened.display());
    fs::write(&browser, script).unwrap();
    fs::set_permissions(&browser, fs::Permissions::from_mode(0o755)).unwrap();

    let mut command = gatepost.program(&["connect", SHARED]);
    command.env("DISPLAY", ":0").env("BROWSER", &browser);
    let mut terminal = Terminal::start(command);
    terminal.shows("Opening your browser, because this machine has one.");
    terminal.shows("sign in as shared@example.test:\n\n");
    let shown = terminal.shows("\n");
    assert!(eventually(|| opened.exists()), "no browser was opened:\n{}", terminal.screen());
    let address = fs::read_to_string(&opened).unwrap();
    assert_eq!(address, shown, "for whom the browser does not come up");
    let landed = provider.oidc.consent(address.trim(), SHARED).await;
    provider.oidc.browse(landed).await;
    let (status, shown) = terminal.end();
    assert_eq!(status, Some(0), "{shown}");
}

#[tokio::test]
async fn an_address_of_three_thousand_characters_can_be_pasted() {
    let Some(provider) = MailProvider::start().await else { return };
    let gatepost = configured(&provider);
    let mut terminal = Terminal::start(gatepost.program(&["connect", SHARED, "--paste"]));
    terminal.shows("sign in as shared@example.test:\n\n");
    let address = terminal.shows("\n");
    terminal.shows("Paste that whole address here:\n");
    terminal.types("http://localhost/?code=of-yesterday&state=of-yesterday");
    terminal.shows("Paste it again, or stop with Ctrl-C:\n");
    let mut landed = provider.oidc.consent(address.trim(), SHARED).await;
    // Providers add what they like, and their codes can be long. A terminal takes lines of 4,095 octets.
    let long = "0123456789".repeat(300 - landed.as_str().len() / 10);
    landed.query_pairs_mut().append_pair("session_state", &long);
    terminal.types(landed.as_str());
    let (status, shown) = terminal.end();
    assert_eq!(status, Some(0), "{shown}");
    assert!(grant(&gatepost).await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mailboxs_password_is_asked_for_and_never_shown() {
    let endpoint = TokenEndpoint::start().await;
    let (gatepost, _folder) = redeeming(&endpoint);
    endpoint.hold();
    let mut terminal = Terminal::start(gatepost.program(&["connect", MARTHA]));
    terminal
        .shows("It goes to localhost once, over TLS, and is not kept.\nPassword of martha@example.test: ");
    assert!(!terminal.echoes(), "the terminal shows what is typed");
    terminal.types("planted-pass wörd");
    terminal.shows("  … redeeming the password");
    assert!(terminal.echoes(), "the terminal stays silent after the password");
    endpoint.release();

    let (status, shown) = terminal.end();
    assert_eq!(status, Some(0), "{shown}");
    let expected = [
        "It goes to localhost once, over TLS, and is not kept.",
        "Password of martha@example.test: ",
        "✓ martha@example.test is connected to example.",
        "Scopes granted: mail",
        "Next: gatepost test martha@example.test",
    ];
    assert_eq!(shown, expected.join("\n"), "what was going on is wiped away");
    assert!(!String::from_utf8_lossy(terminal.octets()).contains("planted"), "{shown}");
    assert_eq!(endpoint.forms()[0]["password"], "planted-pass wörd");
    assert!(grant(&gatepost).await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backups_passphrase_is_typed_twice_and_never_shown() {
    let endpoint = TokenEndpoint::start().await;
    let (gatepost, folder) = redeeming(&endpoint);
    let file = folder.path().join("backup.age");
    let path = file.to_str().unwrap();
    for (second, expected) in [("planted passphrase", 1), ("planted pass phrase", 0)] {
        let mut terminal = Terminal::start(gatepost.program(&["export", path]));
        terminal.shows("Whoever has the backup and its passphrase has every mailbox.");
        terminal.shows("backup.age: ");
        assert!(!terminal.echoes(), "the terminal shows what is typed");
        terminal.types("planted pass phrase");
        terminal.shows("Again: ");
        assert!(!terminal.echoes(), "the terminal shows what is typed");
        terminal.types(second);
        let (status, shown) = terminal.end();
        assert_eq!(status, Some(expected), "{shown}");
        assert_eq!(file.exists(), expected == 0, "{shown}");
        assert!(!String::from_utf8_lossy(terminal.octets()).contains("planted"), "{shown}");
    }
    let mut terminal = Terminal::start(gatepost.program(&["import", path]));
    terminal.shows("Passphrase of ");
    assert!(!terminal.echoes(), "the terminal shows what is typed");
    terminal.types("planted pass phrase");
    let (status, shown) = terminal.end();
    assert_eq!(status, Some(0), "{shown}");
    assert!(shown.contains("0 added, 0 replaced, 1 left alone."), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_at_the_password_and_behind_it_leaves_a_terminal_that_shows_what_is_typed() {
    let endpoint = TokenEndpoint::start().await;
    let (gatepost, _folder) = redeeming(&endpoint);
    endpoint.hold();
    for typed in [None, Some("planted-password")] {
        let mut terminal = Terminal::start(gatepost.program(&["connect", MARTHA]));
        terminal.shows("Password of martha@example.test: ");
        assert!(!terminal.echoes(), "the terminal shows what is typed");
        if let Some(password) = typed {
            terminal.types(password);
            endpoint.asked(1).await;
        }
        terminal.interrupts();
        let (status, shown) = terminal.end();
        assert_eq!(status, Some(130), "{typed:?}: {shown}");
        assert!(terminal.echoes(), "{typed:?}: the terminal stays silent");
        assert!(
            terminal.octets().ends_with(b"\r\n"),
            "{typed:?}: the shell's prompt needs a line of its own"
        );
        assert_eq!(endpoint.requests(), usize::from(typed.is_some()));
        assert!(grant(&gatepost).await.is_none());
    }
}

#[tokio::test]
async fn a_code_is_drawn_where_it_fits_and_the_time_that_is_left_is_counted() {
    let Some(provider) = MailProvider::start().await else { return };
    let gatepost = configured(&provider);
    for (columns, plain, drawn) in [(80, false, true), (80, true, true), (36, false, false)] {
        let mut command = gatepost.program(&["connect", SHARED, "--device"]);
        command.envs(plain.then_some(("NO_COLOR", "1")));
        let mut terminal = Terminal::sized(command, columns, 40);
        terminal.shows("On any device with a browser, open\n\n");
        let page = terminal.shows("\n").trim().to_owned();
        terminal.shows("type the code\n\n");
        let code = terminal.shows("\n").trim().to_owned();
        // Twice, so that it was wiped away once.
        terminal.shows("  … waiting for the consent, ");
        terminal.shows("  … waiting for the consent, ");
        let waiting = terminal.screen();
        assert_eq!(waiting.matches("waiting for the consent").count(), 1, "{columns} columns: {waiting}");
        assert_eq!(waiting.contains("Or scan this:"), drawn, "{columns} columns: {waiting}");
        assert_eq!(waiting.contains('▀'), drawn, "{columns} columns: {waiting}");
        if drawn {
            assert_eq!(scanned(&waiting, plain), format!("{page}?user_code={code}"), "{waiting}");
        }

        let page = provider.oidc.type_code(&page, &code, Some(SHARED)).await;
        assert!(page.contains("Sign-in Success"), "{page}");
        let (status, shown) = terminal.end();
        assert_eq!(status, Some(0), "{shown}");
        assert!(
            shown.contains("✓ shared@example.test is connected to real by shared@example.test.\n"),
            "{shown}"
        );
        assert!(!shown.contains("waiting"), "the wait is not wiped away: {shown}");
        let coloured = String::from_utf8_lossy(terminal.octets()).contains("\u{1b}[30;107m");
        assert_eq!(coloured, drawn && !plain, "dark on light: {shown}");
        assert_eq!(terminal.octets().contains(&0x1b), !plain, "NO_COLOR={plain}: {shown}");
    }
}
