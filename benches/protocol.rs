//! What it costs to understand what both sides say before the login: lines, commands, replies, SASL, and a whole dialogue. No
//! socket, no store, no password hash.

mod support;

use std::hint::black_box;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gatepost_protocol::line::LineBuffer;
use gatepost_protocol::sasl::{Exchange, Mechanism, Progress};
use gatepost_protocol::secret::SecretBytes;
use gatepost_protocol::{imap, pop3, smtp};

criterion_group!(benches, lines, parsers, sasl, login);
criterion_main!(benches);

/// 16 KiB of commands, as a client may pipeline them.
fn lines(criterion: &mut Criterion) {
    let octets = b"MAIL FROM:<scanner@example.com> SIZE=52428800 BODY=8BITMIME\r\n".repeat(250);
    let mut group = criterion.benchmark_group("lines");
    group.throughput(Throughput::Bytes(octets.len() as u64));
    group.bench_function("LineBuffer", |bencher| {
        let mut buffer = LineBuffer::new();
        bencher.iter(|| {
            assert_eq!(buffer.receive(&octets), octets.len());
            let mut lines = 0;
            while let Ok(Some(line)) = buffer.next_line(2048) {
                lines += usize::from(!black_box(line).is_empty());
            }
            assert_eq!(lines, 250);
            lines
        });
    });
    group.finish();
}

fn parsers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parsers");
    let mut measure = |name: &str, line: &[u8], parse: &dyn Fn(&[u8]) -> bool| {
        assert!(parse(line), "{name} is not understood");
        group.throughput(Throughput::Bytes(line.len() as u64));
        group.bench_function(name, |bencher| bencher.iter(|| parse(black_box(line))));
    };
    measure("smtp command", b"AUTH PLAIN AGFubkBleGFtcGxlLmNvbQBzZWNyZXQ=", &|line| {
        matches!(black_box(smtp::command::Command::parse(line)), smtp::command::Command::Auth { .. })
    });
    measure("smtp reply", b"250-AUTH LOGIN XOAUTH2 PLAIN-CLIENTTOKEN OAUTHBEARER", &|line| {
        black_box(smtp::reply::ReplyLine::parse(line)).is_some()
    });
    measure("pop3 command", b"PASS correct-horse-battery-staple", &|line| {
        matches!(black_box(pop3::command::Command::parse(line)), pop3::command::Command::Pass(_))
    });
    measure("pop3 response", b"-ERR [SYS/TEMP] try again in a moment", &|line| {
        black_box(pop3::response::Response::parse(line)).is_some()
    });
    measure("imap command", b"a7 LOGIN \"ann@example.com\" \"correct horse battery staple\"", &|line| {
        black_box(imap::command::Command::parse(line)).is_some()
    });
    measure("imap response", b"* CAPABILITY IMAP4rev1 SASL-IR AUTH=XOAUTH2 AUTH=OAUTHBEARER IDLE", &|line| {
        black_box(imap::response::Response::parse(line)).is_some()
    });
    group.finish();
}

fn sasl(criterion: &mut Criterion) {
    let plain = BASE64_STANDARD.encode("\0ann@example.com\0correct-horse-battery-staple");
    criterion.bench_function("sasl/PLAIN", |bencher| {
        bencher.iter(|| {
            let response = SecretBytes::new(black_box(plain.as_bytes()));
            let progress = Exchange::begin(Mechanism::Plain, Some(response));
            assert!(matches!(black_box(progress), Progress::Finished(Ok(_))));
        });
    });
}

fn login(criterion: &mut Criterion) {
    let token = support::token();
    let (octets, content) = support::login(&token);
    assert!(content, "the dialogue does not come to its end");
    let mut group = criterion.benchmark_group("login");
    group.throughput(Throughput::Bytes(octets as u64));
    group.bench_function("POP3 dialogue", |bencher| bencher.iter(|| support::login(black_box(&token))));
    group.finish();
}
