//! Bytes that come before their time, row by row of the table: answered in order, kept for the other side, or the end.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test says what is wrong by panicking")]

mod support;

use gatepost::config::ListenerTls;
use gatepost::config::provider::UpstreamTls;
use gatepost::sandbox::record::Speaker;
use gatepost::sandbox::{Action, MailFault, Moment};
use gatepost_protocol::Protocol::{self, Imap, Pop3, Smtp};

use support::leftovers::Alone;
use support::log::Log;
use support::wire::{Wire, login, start_tls, success, wrong};
use support::world::{ADDRESS, PASSWORD, World};

/// What a client may send without waiting for an answer, from its first byte to its last.
fn pipelined(protocol: Protocol) -> (String, String) {
    let login = login(protocol, PASSWORD);
    match protocol {
        Smtp => (
            format!("NOOP\r\nHELO x\r\n{login}\r\n"),
            format!("MAIL FROM:<{ADDRESS}>\r\nRCPT TO:<{ADDRESS}>\r\nQUIT\r\n"),
        ),
        Pop3 => (format!("NOOP\r\n{login}\r\n"), "STAT\r\nNOOP\r\nQUIT\r\n".to_owned()),
        Imap => (format!("a0 NOOP\r\n{login}\r\n"), "a2 NOOP\r\na3 LOGOUT\r\n".to_owned()),
    }
}

/// What it hears behind the greeting, without the host's name.
fn answers(protocol: Protocol) -> Vec<&'static str> {
    match protocol {
        Smtp => {
            vec!["250 2.0.0 OK", "250 ", success(Smtp), "250 2.1.0 OK", "250 2.1.5 OK", "221 2.0.0 Goodbye"]
        }
        Pop3 => vec!["+OK", success(Pop3), "+OK 0 0", "+OK", "+OK Goodbye"],
        Imap => vec!["a0 OK", success(Imap), "a2 OK", "* BYE", "a3 OK"],
    }
}

#[tokio::test]
async fn commands_before_the_greeting_or_in_one_packet_are_answered_in_order() {
    let alone = Alone::begin().await;
    let world = World::start().await;
    for protocol in Protocol::ALL {
        let (before, behind) = pipelined(protocol);
        let mut wire = Wire::connect(world.address(protocol, ListenerTls::None)).await;
        wire.say(format!("{before}{behind}")).await;
        wire.line().await;
        for expected in answers(protocol) {
            let line = wire.line().await;
            assert!(line.starts_with(expected), "{protocol}: {line} where {expected} was due");
        }
        assert!(wire.rest().await.is_empty());
    }
    alone.nothing_left(&world, "pipelined sessions").await;
}

#[tokio::test]
async fn invariant_1_no_plaintext_byte_survives_a_tls_upgrade() {
    let alone = Alone::begin().await;
    let world = World::with(UpstreamTls::StartTls, |_| {}).await;
    for (protocol, go_ahead) in [
        (Smtp, "Ready to start TLS\r\n"),
        (Pop3, "Ready to start TLS\r\n"),
        (Imap, "a0 OK Begin TLS now\r\n"),
    ] {
        let verb = start_tls(protocol);
        // Injected by somebody between the client and us (CVE-2011-0411): the go-ahead is the last that is said.
        let mut wire = Wire::greeted_in_clear(&world, protocol).await;
        wire.say(format!("{verb}\r\n{}\r\n", login(protocol, PASSWORD))).await;
        let heard = String::from_utf8(wire.rest().await).unwrap();
        assert!(heard.lines().count() == 1 && heard.ends_with(go_ahead), "{heard}");
        // Or where the handshake is due.
        let mut wire = Wire::greeted_in_clear(&world, protocol).await;
        wire.ask(verb).await;
        wire.say(format!("{}\r\n", login(protocol, PASSWORD))).await;
        let heard = wire.rest().await;
        assert!(!String::from_utf8_lossy(&heard).contains(success(protocol)), "{heard:?}");
        assert_eq!(world.upstream_connections(), 0);
    }
    // Injected between us and the provider.
    for (protocol, injected) in [
        (Smtp, "220 2.0.0 Go ahead\r\n250 AUTH XOAUTH2\r\n334 \r\n235 2.7.0 Welcome\r\n"),
        (Pop3, "+OK Begin TLS\r\n+ \r\n+OK Welcome\r\n"),
        (
            Imap,
            "gatepost0 OK Begin TLS\r\n* CAPABILITY IMAP4rev1 SASL-IR\r\ngatepost1 OK\r\na1 OK Welcome\r\n",
        ),
    ] {
        let action = Action::Say(injected.as_bytes().to_vec());
        let fault = MailFault { protocol, at: Moment::StartTls, action };
        world.sandbox.change(|personality| personality.mail = vec![fault]);
        let mut wire = Wire::greeted(&world, protocol, ListenerTls::None).await;
        let heard = wire.log_in(protocol).await;
        assert!(heard.ends_with("mail provider not understood; try again (G09)"), "{heard}");
    }
    let said: Vec<_> = world.sandbox.dialogues().into_iter().flat_map(|dialogue| dialogue.lines).collect();
    assert!(said.iter().all(|line| !line.text.contains("AUTH")), "no token is on its way in clear: {said:?}");
    alone.nothing_left(&world, "bytes behind STARTTLS").await;
}

#[tokio::test]
async fn invariant_2_no_byte_is_lost_or_reordered_at_the_hand_over() {
    let alone = Alone::begin().await;
    let world = World::start().await;
    for protocol in Protocol::ALL {
        let (before, behind) = pipelined(protocol);
        let text = format!("{before}{behind}");
        for cut in before.len() - 3..text.len() {
            let mut wire = Wire::greeted(&world, protocol, ListenerTls::None).await;
            wire.say(&text[..cut]).await;
            tokio::task::yield_now().await;
            wire.say(&text[cut..]).await;
            let heard = String::from_utf8(wire.rest().await).unwrap();
            let expected = answers(protocol);
            assert_eq!(heard.lines().count(), expected.len(), "cut at {cut}: {heard}");
            assert!(
                heard.lines().zip(expected).all(|(line, due)| line.starts_with(due)),
                "cut at {cut}: {heard}"
            );
            let dialogue = world.sandbox.dialogues().pop().unwrap();
            let said = dialogue.lines.iter().filter(|line| line.speaker == Speaker::Client);
            let said: Vec<&str> = said.map(|line| line.text.as_str()).collect();
            let token = said.iter().position(|line| line.contains("user=")).unwrap();
            // In IMAP there are two questions of Gatepost's own between the two.
            let own = ["gatepost2 CAPABILITY", "gatepost3 LIST \"\" \"\""].into_iter();
            let due: Vec<_> = own.filter(|_| protocol == Imap).chain(behind.lines()).collect();
            assert_eq!(said[token + 1..], due, "cut at {cut}");
        }
    }
    alone.nothing_left(&world, "hand-overs").await;
}

#[tokio::test]
async fn what_stands_behind_a_login_that_failed_is_read_as_commands() {
    let alone = Alone::begin().await;
    let world = World::start().await;
    for (protocol, behind, expected) in [
        (
            Smtp,
            "NOOP\r\nMAIL FROM:<a@example.com>\r\nQUIT\r\n",
            vec!["535 5.7.8 ", "250 ", "530 5.7.0 Wrong", "221 "],
        ),
        (Pop3, "NOOP\r\nSTAT\r\nQUIT\r\n", vec!["-ERR [AUTH] ", "+OK", "-ERR ", "+OK"]),
        (
            Imap,
            "a2 NOOP\r\na3 SELECT INBOX\r\na4 LOGOUT\r\n",
            vec![wrong(Imap), "a2 OK", "a3 BAD Log in first", "* BYE", "a4 OK"],
        ),
    ] {
        let mut wire = Wire::greeted(&world, protocol, ListenerTls::None).await;
        wire.say(format!("{}\r\n{behind}", login(protocol, "not the password"))).await;
        let heard = String::from_utf8(wire.rest().await).unwrap();
        assert_eq!(heard.lines().count(), expected.len(), "{heard}");
        assert!(heard.lines().zip(expected).all(|(line, due)| line.starts_with(due)), "{heard}");
    }
    assert_eq!(world.upstream_connections(), 0);
    alone.nothing_left(&world, "failed logins").await;
}

#[tokio::test]
async fn what_the_provider_says_behind_its_last_reply_follows_our_success() {
    let alone = Alone::begin().await;
    let world = World::start().await;
    let alert = "* OK [ALERT] Your mailbox is nearly full\r\n";
    let capability = "* CAPABILITY IMAP4rev1 IDLE LITERAL+ UIDPLUS\r\ngatepost2 OK Completed\r\n";
    let list = "* LIST (\\Noselect) \"/\" \"\"\r\ngatepost3 OK Completed\r\n";
    let parting = "* BYE Shutting down\r\n";
    for (protocol, at, said, behind) in [
        (
            Smtp,
            Moment::Verdict,
            "235 2.7.0 Accepted\r\n421 4.3.2 Shutting down\r\n".to_owned(),
            "421 4.3.2 Shutting down\r\n".to_owned(),
        ),
        (
            Pop3,
            Moment::Verdict,
            "+OK Accepted\r\n-ERR Shutting down\r\n".to_owned(),
            "-ERR Shutting down\r\n".to_owned(),
        ),
        // Its last reply is the one to our second question, so an alert may stand anywhere round the two.
        (Imap, Moment::Command, format!("{capability}{list}{alert}{parting}"), format!("{alert}{parting}")),
        (Imap, Moment::Command, format!("{alert}{capability}{list}{parting}"), format!("{alert}{parting}")),
        (Imap, Moment::Command, format!("{alert}{capability}{alert}{list}"), format!("{alert}{alert}")),
    ] {
        let action = Action::SayAndClose(said.into_bytes());
        let fault = MailFault { protocol, at, action };
        world.sandbox.change(|personality| personality.mail = vec![fault]);
        let mut wire = Wire::greeted(&world, protocol, ListenerTls::None).await;
        assert_eq!(wire.log_in(protocol).await, success(protocol));
        assert_eq!(String::from_utf8(wire.rest().await).unwrap(), behind);
    }
    alone.nothing_left(&world, "early words of the provider").await;
}

#[tokio::test]
async fn a_browser_and_a_tls_client_on_a_plain_port_are_closed_and_logged_as_what_they_are() {
    let alone = Alone::begin().await;
    let log = Log::begin();
    let world = World::start().await;
    let hello = [&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01][..], &[0x41; 300]].concat();
    for (said, logged) in [
        (&b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..], "the client speaks HTTP"),
        (&hello, "the client speaks TLS on a port that begins without it"),
    ] {
        for protocol in Protocol::ALL {
            let before = log.text().matches(logged).count();
            let mut wire = Wire::greeted(&world, protocol, ListenerTls::None).await;
            wire.say(said).await;
            assert!(wire.rest().await.is_empty(), "not a word");
            assert_eq!(log.text().matches(logged).count(), before + 1, "{protocol}: {logged}");
        }
    }
    alone.nothing_left(&world, "browsers").await;
}
