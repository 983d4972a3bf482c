//! The last words of `gatepost setup ADDRESS`: whether Gatepost runs, how it is started where it does not, and one line to try
//! it with.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use gatepost_protocol::Protocol;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::super::super::account::listeners;
use crate::account::Account;
use crate::config::{Config, Listener, ListenerTls};

/// On this machine nobody is slower.
const PATIENCE: Duration = Duration::from_secs(1);

/// Where an admin or a package puts the unit.
const UNITS: [&str; 3] = [
    "/etc/systemd/system/gatepost.service",
    "/usr/lib/systemd/system/gatepost.service",
    "/lib/systemd/system/gatepost.service",
];

/// What to do next. `was_written` says that the configuration is not what a Gatepost that runs has read; `given` is the
/// `--config` of this command.
pub(super) async fn in_words(
    config: &Config,
    account: &Account,
    user_name: &str,
    was_written: bool,
    given: Option<&Path>,
) -> String {
    let as_service = UNITS.iter().any(|unit| Path::new(unit).exists());
    let run = match given {
        Some(path) => format!("gatepost --config {} run", path.display()),
        None => "gatepost run".to_owned(),
    };
    let next = match (runs(config, account).await, was_written, as_service) {
        (true, false, _) => "Gatepost runs: the mail program can log in now.".to_owned(),
        (true, true, true) => {
            "Gatepost runs with the configuration as it was. Next: sudo systemctl restart gatepost".to_owned()
        }
        (true, true, false) => {
            format!(
                "Gatepost runs with the configuration as it was. Next: stop it, and start it again: {run}"
            )
        }
        (false, _, true) => "Next: sudo systemctl enable --now gatepost".to_owned(),
        (false, _, false) => format!("Next: {run}"),
    };
    format!("\n{next}\n{}", trial(config, account, user_name).unwrap_or_default())
}

/// Whether something answers where the account's mail programs would connect.
async fn runs(config: &Config, account: &Account) -> bool {
    for listener in listeners(config, &account.provider).filter(|listener| listener.address.port() != 0) {
        if let Ok(Ok(_)) = timeout(PATIENCE, TcpStream::connect(near(listener.address))).await {
            return true;
        }
    }
    false
}

/// The address at which a program on this machine finds the listener.
fn near(address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), address.port())
    } else {
        address
    }
}

/// A line to paste, where a listener takes a password on this machine without further ado. curl asks for the password.
fn trial(config: &Config, account: &Account, user_name: &str) -> Option<String> {
    let is_plain = |listener: &&Listener| listener.tls != ListenerTls::Implicit && listener.plaintext_allowed;
    let here = |listener: &&Listener| near(listener.address).ip().is_loopback();
    let serving = || listeners(config, &account.provider).filter(is_plain).filter(here);
    [(Protocol::Imap, "imap"), (Protocol::Pop3, "pop3")].into_iter().find_map(|(protocol, scheme)| {
        let listener = serving().find(|listener| listener.protocol == protocol)?;
        let place = near(listener.address);
        Some(format!(
            "To try it then: curl {scheme}://{place}/ --user {user_name}   (it asks for the password)\n"
        ))
    })
}
