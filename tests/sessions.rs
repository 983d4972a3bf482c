//! Whole sessions: a client, a Gatepost as `run` starts it, and the sandbox as its provider.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test says what is wrong by panicking")]

mod support;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use gatepost::config::ListenerTls;
use gatepost::config::provider::{TlsStream, UpstreamTls};
use gatepost::sandbox::record::Speaker;
use gatepost::sandbox::{Action, MailFault, Moment, Sandbox};
use gatepost::store::accounts::NewAccount;
use gatepost::store::apply::WantedAccount;
use gatepost_protocol::Protocol;

use support::leftovers::eventually;
use support::wire::{Wire, login, start_tls, success, wrong};
use support::world::{ADDRESS, PASSWORD, World};

#[tokio::test]
async fn a_message_sent_by_smtp_is_read_by_imap_and_fetched_by_pop3_whatever_tls_either_side_has() {
    for (upstream, stream) in [
        (UpstreamTls::Implicit, TlsStream::Pooled),
        (UpstreamTls::Implicit, TlsStream::Buffered),
        (UpstreamTls::StartTls, TlsStream::Pooled),
        (UpstreamTls::StartTls, TlsStream::Buffered),
    ] {
        let name = if stream == TlsStream::Pooled { "pooled" } else { "buffered" };
        let choose = |yaml: String| format!("{yaml}    tls_stream: {name}\n");
        let world = World::at(Sandbox::start().await.unwrap(), upstream, choose, |_| {}).await;
        world.connect().await;
        for tls in [ListenerTls::Implicit, ListenerTls::None, ListenerTls::StartTls] {
            let message = format!("Subject: {tls:?}\r\n\r\n..two dots\r\n.\r\nend\r\n");
            let mut smtp = Wire::greeted(&world, Protocol::Smtp, tls).await;
            smtp.say("EHLO scanner\r\n").await;
            assert!(smtp.reply().await.iter().any(|line| line.contains("AUTH PLAIN LOGIN")));
            assert_eq!(smtp.log_in(Protocol::Smtp).await, success(Protocol::Smtp));
            assert!(smtp.ask(&format!("MAIL FROM:<{ADDRESS}>")).await.starts_with("250"));
            assert!(smtp.ask(&format!("RCPT TO:<{ADDRESS}>")).await.starts_with("250"));
            assert!(smtp.ask("DATA").await.starts_with("354"));
            let stuffed = message.replace("\r\n.", "\r\n..");
            assert!(smtp.ask(&format!("{stuffed}.")).await.starts_with("250"));
            assert!(smtp.ask("QUIT").await.starts_with("221"));
            assert!(smtp.rest().await.is_empty());

            let mut imap = Wire::greeted(&world, Protocol::Imap, tls).await;
            assert_eq!(
                imap.ask(&format!("a1 LOGIN \"{ADDRESS}\" {PASSWORD}")).await,
                success(Protocol::Imap)
            );
            assert!(imap.command("a2", "SELECT INBOX").await.contains(&"* 1 EXISTS".to_owned()));
            assert_eq!(
                String::from_utf8(imap.fetch().await).unwrap(),
                message,
                "{upstream:?} {stream:?} {tls:?}"
            );
            assert_eq!(imap.command("a3", "LOGOUT").await.len(), 2);
            assert!(imap.rest().await.is_empty());

            let mut pop3 = Wire::greeted(&world, Protocol::Pop3, tls).await;
            assert!(pop3.ask(&format!("USER {ADDRESS}")).await.starts_with("+OK"));
            assert_eq!(pop3.ask(&format!("PASS {PASSWORD}")).await, "+OK Logged in");
            assert!(pop3.ask("RETR 1").await.starts_with("+OK"));
            let fetched = String::from_utf8(pop3.read_to_lone_dot().await).unwrap();
            assert_eq!(fetched, message, "{upstream:?} {stream:?} {tls:?}");
            assert!(pop3.ask("DELE 1").await.starts_with("+OK"));
            assert!(pop3.ask("QUIT").await.starts_with("+OK"));
        }
        assert_eq!(Protocol::ALL.map(|protocol| world.upstream_logins(protocol)), [3; 3]);
        world.daemon.stop().await;
    }
}

#[tokio::test]
async fn invariant_3_success_is_told_only_after_the_provider_said_it() {
    let world = World::start().await;
    for protocol in Protocol::ALL {
        // In IMAP its success is believed when it has answered the question behind it.
        let last = if protocol == Protocol::Imap { Moment::Command } else { Moment::Verdict };
        for at in [Moment::Verdict, last] {
            let before = world.upstream_logins(protocol);
            let fault = MailFault { protocol, at, action: Action::Stall };
            world.sandbox.change(|personality| personality.mail = vec![fault]);
            let mut wire = Wire::greeted(&world, protocol, ListenerTls::None).await;
            wire.say(format!("{}\r\n", login(protocol, PASSWORD))).await;
            eventually("the provider has the token", || world.upstream_logins(protocol) > before).await;
            assert!(wire.is_silent().await, "{protocol}: it has not said that the token is good");
        }

        for refusal in [
            "454 4.7.0 no\r\n",
            "-ERR no\r\n",
            "235\r\n250 ",
            "250 OK\r\n",
            "+ OK\r\n",
            "+OKAY\r\n",
            "* OK welcome\r\n",
            "A1 OK welcome\r\n",
            "a1 OKAY\r\n",
            "a1 NO\r\n",
            "gatepost2 OK welcome\r\n",
            "gatepost3 OK welcome\r\n",
        ] {
            let action = Action::SayAndClose(refusal.as_bytes().to_vec());
            let own = refusal.starts_with("235") && protocol == Protocol::Smtp;
            let fault = MailFault { protocol, at: Moment::Verdict, action };
            world.sandbox.change(|personality| personality.mail = vec![fault]);
            let mut wire = Wire::greeted(&world, protocol, ListenerTls::None).await;
            assert_eq!(wire.log_in(protocol).await == success(protocol), own, "{protocol} {refusal:?}");
        }
        world.sandbox.change(|personality| personality.mail.clear());
    }
    world.daemon.stop().await;
}

#[tokio::test]
async fn revoking_a_credential_ends_its_session_and_disabling_the_account_too() {
    for disable in [false, true] {
        let world = World::start().await;
        let mut sessions = Vec::new();
        for protocol in Protocol::ALL {
            sessions.push(Wire::logged_in(&world, protocol).await);
        }
        // As another process would: the daemon is not told.
        if disable {
            assert!(world.store.set_disabled(world.account, true).await.unwrap());
        } else {
            let credential = world.store.credentials(Some(world.account)).await.unwrap()[0].id;
            assert!(world.store.revoke_credential(credential).await.unwrap());
        }
        for mut session in sessions {
            assert!(session.rest().await.is_empty(), "ended without a word in a stream that is not ours");
        }
        for (protocol, told) in [
            (Protocol::Smtp, "535 5.7.13 This account is switched off"),
            (Protocol::Pop3, "-ERR [AUTH] This account is switched off"),
            (Protocol::Imap, "a1 NO [AUTHORIZATIONFAILED] This account is switched off"),
        ] {
            let mut again = Wire::greeted(&world, protocol, ListenerTls::None).await;
            let expected = if disable { told } else { wrong(protocol) };
            assert_eq!(again.log_in(protocol).await, expected);
        }
    }
}

/// What the provider heard last, by this protocol.
fn heard_upstream(world: &World, protocol: Protocol) -> Vec<String> {
    let dialogue = world.sandbox.dialogues().into_iter().rev().find(|one| one.protocol == protocol).unwrap();
    let said = dialogue.lines.into_iter().filter(|line| line.speaker == Speaker::Client);
    said.map(|line| line.text).collect()
}

#[tokio::test]
async fn invariant_3_the_provider_is_asked_under_the_clients_own_tag() {
    let world = World::start().await;
    let message = BASE64_STANDARD.encode(format!("\0{ADDRESS}\0{PASSWORD}"));
    for tag in ["1", "A0001", "gatepost1", "gatepost2", "gatepost3", "x]-.#'/~", &"t".repeat(126)] {
        for command in [format!("LOGIN {ADDRESS} {PASSWORD}"), format!("AUTHENTICATE PLAIN {message}")] {
            let mut wire = Wire::greeted(&world, Protocol::Imap, ListenerTls::None).await;
            // A login that fails leaves no tag behind.
            wire.ask("other LOGIN nobody").await;
            assert_eq!(
                wire.ask(&format!("{tag} {command}")).await,
                success(Protocol::Imap).replacen("a1", tag, 1)
            );
            let heard = heard_upstream(&world, Protocol::Imap);
            let expected = format!("{tag} AUTHENTICATE XOAUTH2 user={ADDRESS} ");
            assert!(heard.iter().any(|line| line.starts_with(&expected)), "{heard:?}");
        }
    }
    world.daemon.stop().await;
}

#[tokio::test]
async fn an_imap_provider_is_asked_for_what_its_greeting_leaves_out_and_sent_the_token_as_it_takes_it() {
    for upstream in [UpstreamTls::Implicit, UpstreamTls::StartTls] {
        let world = World::with(upstream, |_| {}).await;
        for (greeting_capabilities, sasl_ir) in [(true, true), (true, false), (false, true), (false, false)] {
            world.sandbox.change(|personality| {
                personality.imap_greeting_capabilities = greeting_capabilities;
                personality.sasl_ir = sasl_ir;
            });
            drop(Wire::logged_in(&world, Protocol::Imap).await);
            let heard = heard_upstream(&world, Protocol::Imap);
            let asked = heard.contains(&"gatepost1 CAPABILITY".to_owned());
            assert_eq!(asked, !greeting_capabilities || upstream == UpstreamTls::StartTls, "{heard:?}");
            assert_eq!(heard.contains(&"a1 AUTHENTICATE XOAUTH2".to_owned()), !sasl_ir, "{heard:?}");
        }
        world.daemon.stop().await;
    }
}

#[tokio::test]
async fn a_shared_mailbox_s_user_names_go_each_to_its_own_server() {
    let world = World::start().await;
    let names = ["Scanner@example.com", "scanner@Example.com", "scanner@example.COM"];
    let account = NewAccount {
        address: ADDRESS.to_owned(),
        provider: "sandbox".to_owned(),
        smtp_user_name: Some(names[0].to_owned()),
        pop3_user_name: Some(names[1].to_owned()),
        imap_user_name: Some(names[2].to_owned()),
        ..NewAccount::default()
    };
    world.store.apply(&[WantedAccount { account, credentials: None }], false).await.unwrap();
    for (protocol, name) in Protocol::ALL.into_iter().zip(names) {
        drop(Wire::logged_in(&world, protocol).await);
        let heard = heard_upstream(&world, protocol);
        assert!(heard.iter().any(|line| line.contains(&format!("user={name} "))), "{heard:?}");
    }
    world.daemon.stop().await;
}

#[tokio::test]
async fn imap_says_before_a_login_what_its_encryption_allows() {
    let listeners = "
  - { protocol: imap, address: \"127.0.0.1:0\", tls: starttls, plaintext: refused }
  - { protocol: imap, address: \"127.0.0.1:0\", tls: implicit }
";
    let world = World::with_listeners(UpstreamTls::Implicit, listeners, |_| {}).await;
    let mut wire = Wire::connect(world.address(Protocol::Imap, ListenerTls::StartTls)).await;
    let greeting = wire.line().await;
    assert!(
        greeting.starts_with("* OK [CAPABILITY IMAP4rev1 IDLE LITERAL+ UIDPLUS STARTTLS LOGINDISABLED] "),
        "{greeting}"
    );
    let refused = "a1 NO [PRIVACYREQUIRED] Encryption required: use STARTTLS first";
    assert_eq!(wire.log_in(Protocol::Imap).await, refused);
    assert_eq!(wire.ask("a1 LOGIN {8}").await, refused, "the password is not asked for");
    wire.ask(start_tls(Protocol::Imap)).await;
    wire.start_tls(&world.state_dir()).await;
    let offered = ["* CAPABILITY IMAP4rev1 IDLE LITERAL+ UIDPLUS SASL-IR AUTH=PLAIN AUTH=LOGIN"];
    assert_eq!(wire.command("a2", "CAPABILITY").await[..1], offered);
    assert_eq!(wire.log_in(Protocol::Imap).await, success(Protocol::Imap));
    drop(wire);
    world.daemon.stop().await;
}
