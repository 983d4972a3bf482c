//! Servers that nobody here wrote are what the other tests take them for: tried by a mail program that knows OAuth,
//! without Gatepost in between.
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

use real::mail::Connection;
use real::oidc::{Client, text};
use real::{MailProvider, Tls};

const MARTHA: &str = "martha@example.test";
const SHARED: &str = "shared@example.test";

/// Whole, so that Postfix adds none behind them.
const HEADERS: &str = "\
From: martha@example.test\r
Date: Fri, 01 Jan 2027 10:00:00 +0000\r
Message-Id: <1@example.test>\r
Subject: from the tests\r
";

#[tokio::test]
async fn a_persons_token_opens_her_mailbox_on_every_port_and_no_other() {
    let Some(provider) = MailProvider::start().await else { return };
    let tokens = provider.oidc.tokens(Client::Native, MARTHA).await;
    let token = text(&tokens, "access_token");

    for tls in [Tls::Implicit, Tls::StartTls] {
        let verdict = smtp(&provider, tls).xoauth2(MARTHA, &token);
        assert!(verdict.starts_with("235"), "SMTP {tls:?}: {verdict}");
        let verdict = pop3(&provider, tls).xoauth2(MARTHA, &token);
        assert!(verdict.starts_with("+OK"), "POP3 {tls:?}: {verdict}");
        for initial in [true, false] {
            let (verdict, _) = imap(&provider, tls).imap_xoauth2(MARTHA, &token, initial);
            assert!(verdict.starts_with("a OK"), "IMAP {tls:?}, initial response {initial}: {verdict}");
        }
    }
    let verdict = smtp(&provider, Tls::Implicit).xoauth2(SHARED, &token);
    assert!(verdict.starts_with("535"), "another mailbox: {verdict}");
    let verdict = pop3(&provider, Tls::Implicit).xoauth2(SHARED, &token);
    assert!(verdict.starts_with("-ERR [AUTH]"), "another mailbox: {verdict}");
    let (verdict, _) = imap(&provider, Tls::Implicit).imap_xoauth2(SHARED, &token, true);
    assert!(verdict.starts_with("a NO [AUTHENTICATIONFAILED]"), "another mailbox: {verdict}");
}

#[tokio::test]
async fn an_applications_token_opens_any_mailbox_on_every_port() {
    let Some(provider) = MailProvider::start().await else { return };
    let token = provider.oidc.application_token().await;
    for tls in [Tls::Implicit, Tls::StartTls] {
        let verdict = smtp(&provider, tls).xoauth2(SHARED, &token);
        assert!(verdict.starts_with("235"), "SMTP {tls:?}: {verdict}");
        let verdict = pop3(&provider, tls).xoauth2(SHARED, &token);
        assert!(verdict.starts_with("+OK"), "POP3 {tls:?}: {verdict}");
        let (verdict, _) = imap(&provider, tls).imap_xoauth2(SHARED, &token, true);
        assert!(verdict.starts_with("a OK"), "IMAP {tls:?}: {verdict}");
    }
}

#[tokio::test]
async fn a_wrong_token_is_refused_on_every_port() {
    let Some(provider) = MailProvider::start().await else { return };
    for tls in [Tls::Implicit, Tls::StartTls] {
        let verdict = smtp(&provider, tls).xoauth2(MARTHA, "nobody-issued-this");
        assert!(verdict.starts_with("535"), "SMTP {tls:?}: {verdict}");
        let verdict = pop3(&provider, tls).xoauth2(MARTHA, "nobody-issued-this");
        assert!(verdict.starts_with("-ERR [AUTH]"), "POP3 {tls:?}: {verdict}");
        for initial in [true, false] {
            let (verdict, challenge) =
                imap(&provider, tls).imap_xoauth2(MARTHA, "nobody-issued-this", initial);
            assert!(verdict.starts_with("a NO [AUTHENTICATIONFAILED]"), "IMAP {tls:?}: {verdict}");
            assert!(challenge.contains("\"status\":\"401\""), "IMAP {tls:?}: {challenge}");
        }
    }
}

#[tokio::test]
async fn nobody_logs_in_without_tls_or_with_a_password() {
    let Some(provider) = MailProvider::start().await else { return };
    let mut smtp_plain = Connection::plain(provider.postfix.starttls);
    smtp_plain.line();
    let offer = smtp_plain.smtp("EHLO localhost");
    assert!(offer.contains("STARTTLS") && !offer.contains("AUTH"), "{offer}");
    // Dovecot takes a connection within one machine for safe, so POP3 and IMAP without TLS cannot be told apart here.

    let offer = smtp(&provider, Tls::StartTls).smtp("EHLO localhost");
    assert!(offer.contains("AUTH XOAUTH2 OAUTHBEARER"), "{offer}");
    let verdict = pop3(&provider, Tls::StartTls).ask("AUTH PLAIN");
    assert!(verdict.starts_with("-ERR"), "{verdict}");

    let mut imap = imap(&provider, Tls::StartTls);
    let offer = imap.imap_ok("CAPABILITY");
    assert!(offer.contains(" AUTH=XOAUTH2 AUTH=OAUTHBEARER") && !offer.contains("AUTH=PLAIN"), "{offer}");
    for refused in ["AUTHENTICATE PLAIN", "LOGIN martha@example.test any"] {
        let verdict = imap.ask(&format!("a {refused}"));
        assert!(verdict.starts_with("a NO"), "{refused}: {verdict}");
    }
}

#[tokio::test]
async fn what_is_sent_can_be_fetched() {
    let Some(provider) = MailProvider::start().await else { return };
    let token = text(&provider.oidc.tokens(Client::Confidential, MARTHA).await, "access_token");
    let mut sending = smtp(&provider, Tls::StartTls);
    assert!(sending.xoauth2(MARTHA, &token).starts_with("235"));
    for (command, code) in [
        (&*format!("MAIL FROM:<{MARTHA}>"), "250"),
        (&format!("RCPT TO:<{MARTHA}>"), "250"),
        ("DATA", "354"),
        (&format!("{HEADERS}\r\n..a dot\r\n."), "250"),
    ] {
        let reply = sending.smtp(command);
        assert!(reply.starts_with(code), "{command}: {reply}");
    }

    provider.await_delivery(MARTHA, 1);
    let mut fetching = pop3(&provider, Tls::Implicit);
    assert!(fetching.xoauth2(MARTHA, &token).starts_with("+OK"));
    let message = fetching.pop3_lines("RETR 1");
    let text = String::from_utf8_lossy(&message);
    assert!(text.ends_with(&format!("{HEADERS}\r\n.a dot\r\n")), "{text}");
}

#[tokio::test]
async fn a_refresh_token_works_once_and_its_second_use_revokes_the_grant() {
    let Some(provider) = MailProvider::start().await else { return };
    for client in [Client::Native, Client::Confidential] {
        let first = text(&provider.oidc.tokens(client, MARTHA).await, "refresh_token");
        let refresh = async |token: &str| {
            provider
                .oidc
                .token_request(client, &[("grant_type", "refresh_token"), ("refresh_token", token)])
                .await
        };
        let second = text(&refresh(&first).await, "refresh_token");
        assert_ne!(first, second, "{client:?}: not rotated");
        assert_eq!(text(&refresh(&first).await, "error"), "invalid_grant", "{client:?}: reuse");
        assert_eq!(
            text(&refresh(&second).await, "error"),
            "invalid_grant",
            "{client:?}: revoked by the reuse"
        );
    }
}

/// A connection that is ready for AUTH.
fn smtp(provider: &MailProvider, tls: Tls) -> Connection {
    let config = &provider.certificates.client;
    let mut connection = match tls {
        Tls::Implicit => Connection::implicit(provider.postfix.implicit, config),
        Tls::StartTls => Connection::plain(provider.postfix.starttls),
    };
    assert!(connection.line().starts_with("220"));
    if let Tls::StartTls = tls {
        connection.smtp("EHLO localhost");
        assert!(connection.smtp("STARTTLS").starts_with("220"));
        connection = connection.upgraded(config);
    }
    connection.smtp("EHLO localhost");
    connection
}

/// A connection that is ready for AUTH.
fn pop3(provider: &MailProvider, tls: Tls) -> Connection {
    let config = &provider.certificates.client;
    let mut connection = match tls {
        Tls::Implicit => Connection::implicit(provider.dovecot.pop3s, config),
        Tls::StartTls => Connection::plain(provider.dovecot.pop3),
    };
    assert!(connection.line().starts_with("+OK"));
    if let Tls::StartTls = tls {
        assert!(connection.ask("STLS").starts_with("+OK"));
        connection = connection.upgraded(config);
    }
    connection
}

/// A connection that is ready for AUTHENTICATE.
fn imap(provider: &MailProvider, tls: Tls) -> Connection {
    let config = &provider.certificates.client;
    let mut connection = match tls {
        Tls::Implicit => Connection::implicit(provider.dovecot.imaps, config),
        Tls::StartTls => Connection::plain(provider.dovecot.imap),
    };
    assert!(connection.line().starts_with("* OK"));
    if let Tls::StartTls = tls {
        assert!(connection.ask("a STARTTLS").starts_with("a OK"));
        connection = connection.upgraded(config);
    }
    connection
}
