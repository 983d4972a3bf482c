//! Invariant 10 for this package: whatever state a dialogue is in, `Debug` of everything public shows neither password nor token.

// What a test meets unexpectedly should stop it with its place.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fmt::Write as _;

use gatepost_protocol::dialogue::{Dialogue, Encryption, Output, Step};
use gatepost_protocol::failure::Refusal;
use gatepost_protocol::line::LineBuffer;
use gatepost_protocol::sasl::{Exchange, Mechanism, UpstreamCredentials, UpstreamSecret};
use gatepost_protocol::secret::{Secret, SecretBytes};
use gatepost_protocol::{imap, pop3, smtp};

/// The password and the token, as they are and in base64; and the beginning of the bytes, as `Debug` of a slice shows them.
const SECRETS: [&str; 5] = ["tanstaaf", "dGFuc3RhYWY", "ya29", "116, 97, 110, 115", "121, 97, 50, 57"];

fn assert_is_silent(shown: &str) {
    for secret in SECRETS {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}

fn watch<D: Dialogue + std::fmt::Debug>(mut dialogue: D, lines: &[&str])
where
    D::Yield: std::fmt::Debug,
{
    let mut output = Output::default();
    dialogue.open(&mut output);
    let mut shown = String::new();
    for line in lines {
        let step = dialogue.line(line.as_bytes(), &mut output);
        writeln!(shown, "{dialogue:?} {dialogue:#?} {step:?} {output:?} {}", dialogue.state_name()).unwrap();
    }
    assert!(matches!(dialogue.line(b"", &mut output), Step::Close), "the lines do not reach the end");
    assert_is_silent(&shown);
}

fn upstream_credentials() -> UpstreamCredentials {
    credentials_of(UpstreamSecret::Token(Secret::new("ya29.tanstaaf".to_owned())))
}

fn with_password() -> UpstreamCredentials {
    credentials_of(UpstreamSecret::Password(Secret::new("tanstaaf schlüssel".to_owned())))
}

fn credentials_of(secret: UpstreamSecret) -> UpstreamCredentials {
    let server = ("mail.example.com".to_owned(), 1);
    UpstreamCredentials::new("tim@example.com".to_owned(), secret, server, None).unwrap()
}

#[test]
fn servers_show_no_password() {
    let smtp = || smtp::Server::new("gatepost.test".to_owned(), Vec::new(), Encryption::Active, 3);
    let pop3 = || pop3::Server::new("gatepost.test".to_owned(), Vec::new(), Encryption::Active, 3);
    for lines in [&["AUTH PLAIN AHRpbQB0YW5zdGFhZg=="][..], &["AUTH LOGIN dGlt", "dGFuc3RhYWY="]] {
        watch(smtp(), lines);
        watch(pop3(), lines);
    }
    watch(pop3(), &["USER tim", "PASS tanstaaf"]);
    let imap = || imap::Server::new("gatepost.test".to_owned(), Vec::new(), Encryption::Active, 3);
    watch(imap(), &["a AUTHENTICATE PLAIN AHRpbQB0YW5zdGFhZg=="]);
    watch(imap(), &["a AUTHENTICATE LOGIN dGlt", "dGFuc3RhYWY="]);
    watch(imap(), &["a LOGIN tim tanstaaf"]);
    watch(imap(), &["a LOGIN \"tim\" \"tanstaaf\""]);
}

#[test]
fn a_literal_shows_no_password() {
    let mut server = imap::Server::new("gatepost.test".to_owned(), Vec::new(), Encryption::Active, 3);
    let mut output = Output::default();
    assert!(matches!(server.line(b"a LOGIN tim {8}", &mut output), Step::NeedLiteral(8)));
    server.literal(b"tanstaaf", &mut output);
    let before = format!("{server:?} {output:?}");
    let step = server.line(b"", &mut output);
    assert!(matches!(step, Step::Yield(_)));
    assert_is_silent(&format!("{before} {server:?} {step:?} {output:?}"));
}

#[test]
fn clients_show_no_token_even_if_the_provider_echoes_it() {
    let client = smtp::Client::new("gatepost.test".to_owned(), false, upstream_credentials());
    watch(
        client,
        &["220 a", "250 a", "334 ", "334 eyJzdGF0dXMiOiJ5YTI5LnRhbnN0YWFmIn0=", "535 ya29.tanstaaf"],
    );
    let client = pop3::Client::new(false, upstream_credentials());
    watch(client, &["+OK", "+", "+ eyJzdGF0dXMiOiJ5YTI5LnRhbnN0YWFmIn0=", "-ERR ya29.tanstaaf"]);
    let client = imap::Client::new("a".to_owned(), false, upstream_credentials());
    watch(
        client,
        &[
            "* OK [CAPABILITY SASL-IR]",
            "* NO before ya29.tanstaaf",
            "+ eyJzdGF0dXMiOiJ5YTI5LnRhbnN0YWFmIn0=",
            "a NO ya29.tanstaaf",
        ],
    );
}

#[test]
fn clients_show_no_password_even_if_the_provider_echoes_it() {
    let smtp = || smtp::Client::new("gatepost.test".to_owned(), false, with_password());
    let echo = "535 tanstaaf schlüssel or dGFuc3RhYWYgc2NobMO8c3NlbA==";
    watch(smtp(), &["220 a", "250 a", "334 ", echo]);
    watch(smtp(), &["220 a", "250-a", "250 AUTH LOGIN", "334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6", echo]);
    let pop3 = || pop3::Client::new(false, with_password());
    watch(pop3(), &["+OK", "+OK", "SASL PLAIN", ".", "+", "-ERR PASS tanstaaf schlüssel"]);
    watch(pop3(), &["+OK", "-ERR", "+OK", "-ERR PASS tanstaaf schlüssel"]);
    let imap = || imap::Client::new("a".to_owned(), false, with_password());
    let echo = ["* NO before tanstaaf schlüssel", "a NO LOGIN tim tanstaaf schlüssel"];
    watch(imap(), &["* OK [CAPABILITY AUTH=PLAIN]", "+", echo[0], echo[1]]);
    watch(imap(), &["* OK [CAPABILITY IMAP4rev1]", "+", echo[0], echo[1]]);
}

#[test]
fn parts_show_nothing_either() {
    let mut buffer = LineBuffer::new();
    for (room, byte) in buffer.spare().iter_mut().zip(b"PASS tanstaaf\r\n") {
        *room = *byte;
    }
    buffer.filled(15);
    let mut output = Output::default();
    output.line("tanstaaf");
    let progress = Exchange::begin(Mechanism::Plain, Some(SecretBytes::new(b"AHRpbQB0YW5zdGFhZg==")));
    let commands = (
        smtp::command::Command::parse(b"AUTH PLAIN tanstaaf"),
        pop3::command::Command::parse(b"AUTH PLAIN tanstaaf"),
        pop3::command::Command::parse(b"PASS tanstaaf"),
        imap::command::Command::parse(b"a LOGIN tim tanstaaf"),
    );
    assert_is_silent(&format!(
        "{buffer:?} {output:?} {progress:?} {commands:?} {:?}",
        upstream_credentials()
    ));
}

#[test]
fn a_refusal_holds_no_token_to_show() {
    let mut client = pop3::Client::new(false, upstream_credentials());
    let mut output = Output::default();
    client.line(b"+OK", &mut output);
    client.line(b"+", &mut output);
    let sent = output.as_bytes().split(|&byte| byte == b'\n').nth(1).unwrap().trim_ascii().to_vec();
    match client.line(&[b"-ERR bad line: ", &sent[..]].concat(), &mut output) {
        Step::Yield(Err(Refusal { text, .. })) => assert_eq!(text, "bad line: [token]"),
        step => panic!("{step:?}"),
    }
}
