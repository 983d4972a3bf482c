//! Where and when a run took place.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

/// By name, as it stands in the results.
pub(super) fn described() -> BTreeMap<&'static str, String> {
    let system = rustix::system::uname();
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    BTreeMap::from([
        ("cores", cores.to_string()),
        ("kernel", system.release().to_string_lossy().into_owned()),
        ("processor", processor().unwrap_or_default()),
        ("date", said(Command::new("date").arg("--utc").arg("+%Y-%m-%d %H:%M UTC"))),
        ("gatepost", env!("CARGO_PKG_VERSION").to_owned()),
        ("dovecot", said(Command::new("dovecot").arg("--version"))),
        ("nginx", said(Command::new("nginx").arg("-v"))),
        ("haproxy", said(Command::new("haproxy").arg("-v"))),
    ])
}

fn processor() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The first line that a command prints, on whichever output; nothing where there is no such command.
fn said(command: &mut Command) -> String {
    let Ok(output) = command.output() else { return String::new() };
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text).lines().next().unwrap_or_default().trim().to_owned()
}
