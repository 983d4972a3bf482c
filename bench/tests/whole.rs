//! The whole comparison with small loads: it measures nothing worth knowing, and shows that all of it works.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test says what is wrong by panicking")]

use std::path::Path;
use std::process::Command;

use serde_json::Value;

const BENCH: &str = env!("CARGO_BIN_EXE_gatepost-bench");

#[test]
fn a_quick_run_measures_every_row_of_every_contender_of_ours() {
    let gatepost = Path::new(BENCH).with_file_name("gatepost");
    assert!(gatepost.is_file(), "build {} first: cargo build -p gatepost", gatepost.display());
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(BENCH).args(["run", "--quick", "--out"]).arg(folder.path()).output().unwrap();
    let (table, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    // 1: with loads as small as these a bar may be missed.
    assert!(matches!(output.status.code(), Some(0 | 1)), "{:?}\n{told}", output.status);

    let results: Value =
        serde_json::from_str(&std::fs::read_to_string(folder.path().join("results.json")).unwrap()).unwrap();
    let figures = results["figures"].as_array().unwrap();
    let measured = |row: &str, name: &str| {
        figures.iter().any(|figure| figure["row"] == row && figure["contender"] == name)
    };
    for row in [
        "logins-per-second",
        "login-p50",
        "beside-p99",
        "far-login",
        "far-login-more",
        "far-message-more",
        "round-trip",
        "logins-refused",
    ] {
        for name in ["direct", "naive", "gatepost"] {
            assert!(measured(row, name), "{row} of {name}");
        }
    }
    for row in [
        "download",
        "upload",
        "login",
        "message",
        "memory-at-rest",
        "memory-after-login",
        "memory-per-session",
        "memory-after-close",
        "descriptors-per-session",
        "start",
        "binary-size",
    ] {
        for name in ["naive", "gatepost"] {
            assert!(measured(row, name), "{row} of {name}");
        }
        assert!(!measured(row, "direct"), "nobody's processes were measured as direct's {row}");
    }
    for row in ["download", "upload", "login", "message", "login-p50", "memory-per-session"] {
        assert!(measured(row, "gatepost-tls"), "{row} of gatepost-tls");
    }
    assert!(measured("storm-refused", "gatepost") && measured("storm-took", "gatepost"));
    let is_refused = |row: &Value| row == "logins-refused" || row == "storm-refused";
    assert!(figures.iter().all(|figure| !is_refused(&figure["row"]) || figure["value"] == 0.0), "{told}");
    assert!(table.contains("login p50") && table.contains("<= 1.00 x naive"), "{table}");
}

#[test]
fn a_contender_that_nobody_knows_is_an_error() {
    let output = Command::new(BENCH).args(["run", "--quick", "--only", "postfix"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no contender is called postfix"));
}
