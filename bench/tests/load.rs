//! The load notices what is not right.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

use std::net::SocketAddr;
use std::time::Duration;

use gatepost_bench::contender::{Contender, Login};
use gatepost_bench::load::Client;
use gatepost_bench::message::Message;
use gatepost_bench::upstream::{self, Upstream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

fn contender(name: &'static str, pop3: SocketAddr, smtp: SocketAddr, login: Login) -> Contender {
    Contender { name, pop3, smtp, login, processes: Vec::new(), authority: None, running: Box::new(()) }
}

/// A connection's way to the address, on which the octets in both directions are handed to `change`.
async fn between(address: SocketAddr, change: fn(&mut Vec<u8>)) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let here = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (client, _) = listener.accept().await.unwrap();
        let (from_client, to_client) = client.into_split();
        let (from_upstream, to_upstream) = TcpStream::connect(address).await.unwrap().into_split();
        for (mut from, mut to) in [(from_client, to_upstream), (from_upstream, to_client)] {
            tokio::spawn(async move {
                let mut piece = vec![0; 64 * 1024];
                while let Ok(length @ 1..) = from.read(&mut piece).await {
                    let mut octets = piece.get(..length).unwrap().to_vec();
                    change(&mut octets);
                    if to.write_all(&octets).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    here
}

/// Changes one octet of the 5th line of a message, where that is in it.
#[allow(clippy::ptr_arg, reason = "like the others, some of which change the length")]
fn damage(octets: &mut Vec<u8>) {
    let found = octets.windows(5).position(|window| window == b"  5--");
    if let Some(octet) = found.and_then(|position| octets.get_mut(position + 4)) {
        *octet = b'+';
    }
}

async fn client(upstream: &Upstream, change: fn(&mut Vec<u8>)) -> std::sync::Arc<Client> {
    let (pop3, smtp) = (between(upstream.pop3, change).await, between(upstream.smtp, change).await);
    Client::new(&contender("between", pop3, smtp, Login::Password), upstream).unwrap()
}

#[tokio::test]
async fn every_way_to_log_in_fetches_and_sends_the_same_octets() {
    let (upstream, _folder) = upstream::start(Duration::ZERO).unwrap();
    let message = Message::of_kib(200).unwrap();
    for (pop3, smtp, login) in [
        (upstream.pop3s, upstream.smtps, Login::Token),
        (upstream.pop3, upstream.smtp, Login::TokenInClear),
        (upstream.pop3, upstream.smtp, Login::Password),
    ] {
        let client = Client::new(&contender("upstream", pop3, smtp, login), &upstream).unwrap();
        let mut session = client.pop3().await.unwrap();
        session.fetch(&message).await.unwrap();
        session.nothing("+OK").await.unwrap();
        session.quit().await.unwrap();
        let mut session = client.smtp().await.unwrap();
        session.send(&message).await.unwrap();
        session.send(&message).await.unwrap();
        session.quit().await.unwrap();
    }
}

#[tokio::test]
async fn one_wrong_octet_of_a_fetched_message_is_an_error() {
    let (upstream, _folder) = upstream::start(Duration::ZERO).unwrap();
    let mut session = client(&upstream, damage).await.pop3().await.unwrap();
    let error = session.fetch(&Message::of_kib(1).unwrap()).await.unwrap_err();
    assert_eq!(format!("{error:#}"), "RETR of 1 KiB: other octets than those of the message");
}

#[tokio::test]
async fn one_wrong_octet_of_a_sent_message_is_an_error() {
    let (upstream, _folder) = upstream::start(Duration::ZERO).unwrap();
    let mut session = client(&upstream, damage).await.smtp().await.unwrap();
    let error = session.send(&Message::of_kib(1).unwrap()).await.unwrap_err();
    assert!(format!("{error:#}").starts_with("DATA of 1 KiB: the upstream got \"250 1024 "), "{error:#}");
}

#[tokio::test]
async fn a_refused_login_says_who_refused_and_how() {
    let (upstream, _folder) = upstream::start(Duration::ZERO).unwrap();
    let refuse: fn(&mut Vec<u8>) = |octets| {
        if octets.starts_with(b"PASS") {
            *octets = b"PASS other\r\n".to_vec();
        }
    };
    let error = client(&upstream, refuse).await.pop3().await.err().unwrap();
    assert_eq!(format!("{error:#}"), "between, POP3 login: \"-ERR [AUTH] not taken\\r\\n\", not +OK");
}

#[tokio::test]
async fn a_far_upstream_answers_later_by_both_directions() {
    let delay = Duration::from_millis(20);
    let (upstream, _folder) = upstream::start(delay).unwrap();
    let direct = contender("upstream", upstream.pop3s, upstream.smtps, Login::Token);
    let mut session = Client::new(&direct, &upstream).unwrap().pop3().await.unwrap();
    let start = std::time::Instant::now();
    session.nothing("+OK").await.unwrap();
    assert!(start.elapsed() >= 2 * delay);
}
