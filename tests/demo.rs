//! `gatepost demo` as somebody tries it who has just found Gatepost: the curl lines that it prints work as pasted, and Ctrl-C
//! ends it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "the support is shared with other tests")]

#[path = "support/real/process.rs"]
mod process;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

#[test]
fn the_curl_lines_work_as_pasted_and_ctrl_c_ends_it() {
    if !process::needs("curl") {
        return;
    }
    let mut demo = Command::new(env!("CARGO_BIN_EXE_gatepost"))
        .arg("demo")
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut shown = Vec::new();
    for line in BufReader::new(demo.stdout.take().unwrap()).lines().map(Result::unwrap) {
        let last = line.starts_with("Ctrl-C");
        shown.push(line);
        if last {
            break;
        }
    }
    let shown = shown.join("\n");
    let (_, send) = shown.split_once("Send with curl:\n").expect("how to send");
    let (send, fetch) = send.split_once("\nFetch with curl").expect("how to fetch");
    let by_pop3 = fetch.lines().find(|line| line.starts_with("curl pop3://")).expect("the line for POP3");
    let by_imap = fetch.lines().find(|line| line.starts_with("curl 'imap://")).expect("the line for IMAP");

    let first = pasted(by_pop3);
    assert!(
        first.starts_with("From: ") || first.contains("\nSubject: "),
        "the old program's message: {first}"
    );
    assert_eq!(pasted(by_imap), first);
    pasted(send);
    let second = pasted(&by_pop3.replace("/1 --user", "/2 --user"));
    assert!(second.contains("Hello from curl."), "{second}");
    assert_eq!(pasted(&by_imap.replace(";UID=1'", ";UID=2'")), second);

    kill_process(Pid::from_child(&demo), Signal::INT).unwrap();
    let output = demo.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", output.status);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "the demo is for reading; no log in it");
}

/// What the shell prints; it must succeed.
fn pasted(lines: &str) -> String {
    let output = Command::new("sh").arg("-c").arg(lines).env("NO_PROXY", "*").output().unwrap();
    assert!(output.status.success(), "{lines}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
