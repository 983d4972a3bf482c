//! Gatepost as systemd runs it (Type=notify): it says when it is ready and when it stops, and SIGTERM ends it well.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

const CONFIGURATION: &str = "
providers:
  contoso: { preset: microsoft365, client_id: 00000000-0000-0000-0000-000000000001 }
listeners:
  - { protocol: smtp, address: '127.0.0.1:0', tls: none }
state: state
";

#[test]
fn systemd_hears_ready_and_stopping_and_sigterm_ends_it_well() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("gatepost.yaml"), CONFIGURATION).unwrap();
    let path = folder.path().join("notify");
    let systemd = UnixDatagram::bind(&path).unwrap();
    // Only so that a Gatepost that says nothing fails the test instead of holding it up.
    systemd.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    let said = || {
        let mut bytes = [0; 256];
        let count = systemd.recv(&mut bytes).unwrap();
        String::from_utf8(bytes.into_iter().take(count).collect()).unwrap()
    };
    let mut daemon = Command::new(env!("CARGO_BIN_EXE_gatepost"))
        .arg("run")
        .current_dir(folder.path())
        .env("NOTIFY_SOCKET", &path)
        .env_remove("GATEPOST_CONFIG")
        .env_remove("GATEPOST_KEY_FILE")
        .env_remove("CREDENTIALS_DIRECTORY")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    assert_eq!(said().trim_end(), "READY=1");
    kill_process(Pid::from_child(&daemon), Signal::TERM).unwrap();
    assert_eq!(said().trim_end(), "STOPPING=1");
    assert!(daemon.wait().unwrap().success());
}
