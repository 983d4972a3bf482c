//! Postfix as a submission server: STARTTLS on one port, implicit TLS on the other, logins decided by Dovecot, and
//! nothing ever delivered but to Dovecot. On some ports more it is set up wrong, in one way each.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::certificates::Certificates;
use super::dovecot::Dovecot;
use super::process::{Server, find, free_ports, needs};

pub(crate) fn is_installed() -> bool {
    needs("postfix")
}

/// Postfix, running.
pub(crate) struct Postfix {
    /// The port that begins with TLS.
    pub(crate) implicit: u16,
    /// The port with STARTTLS.
    pub(crate) starttls: u16,
    pub(crate) wrong: Wrong,
    pub(crate) server: Server,
}

/// Ports that begin with TLS, each with something wrong.
pub(crate) struct Wrong {
    /// It takes no login at all.
    pub(crate) without_logins: u16,
    /// Its certificate is from another authority.
    pub(crate) untrusted: u16,
    /// Its certificate has expired.
    pub(crate) expired: u16,
    /// Its certificate is for another name.
    pub(crate) other_name: u16,
}

impl Postfix {
    pub(crate) fn start(folder: &Path, certificates: &Certificates, dovecot: &Dovecot) -> Self {
        let home = folder.join("postfix");
        let configuration = home.join("config");
        for subfolder in ["config", "queue", "data"] {
            fs::create_dir_all(home.join(subfolder)).unwrap();
        }
        chown(home.join("data"), Some(uid_of("postfix")), None).unwrap();
        let [implicit, starttls, without_logins, untrusted, expired, other_name] = free_ports();
        let wrong = Wrong { without_logins, untrusted, expired, other_name };
        let log = home.join("postfix.log");
        fs::write(configuration.join("main.cf"), main_cf(&home, &log, certificates, dovecot)).unwrap();
        fs::write(configuration.join("master.cf"), master_cf(implicit, starttls, &wrong, certificates))
            .unwrap();

        // Makes the queue's folders, as `postfix start` would. That one starts the master behind a shell script which
        // doesn't pass a signal on, so the master is started here.
        let check = Command::new(find("postfix").unwrap())
            .arg("-c")
            .arg(&configuration)
            .arg("check")
            .output()
            .unwrap();
        assert!(check.status.success(), "postfix check: {}", String::from_utf8_lossy(&check.stderr));
        let arguments = ["-c".as_ref(), configuration.as_os_str(), "-s".as_ref()];
        let mut server = Server::start("Postfix", &log, &daemon_directory().join("master"), arguments);
        server.reachable_at(starttls);
        server.reachable_at(implicit);
        Self { implicit, starttls, wrong, server }
    }
}

fn main_cf(home: &Path, log: &Path, certificates: &Certificates, dovecot: &Dovecot) -> String {
    format!(
        "\
compatibility_level = 3.6
queue_directory = {home}/queue
data_directory = {home}/data
maillog_file = {log}
maillog_file_prefixes = {home}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = localhost

mydestination =
alias_maps =
alias_database =
virtual_mailbox_domains = example.test, contoso.example
virtual_transport = lmtp:unix:{lmtp}
default_transport = error:nothing leaves this machine
relay_transport = error:nothing leaves this machine
local_transport = error:there are no local accounts
message_size_limit = 60000000
mailbox_size_limit = 0

smtpd_error_sleep_time = 0
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_recipient_restrictions = permit_sasl_authenticated, reject
smtpd_tls_cert_file = {certificate}
smtpd_tls_key_file = {key}
smtpd_tls_security_level = encrypt
smtpd_tls_auth_only = yes
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = {sasl}
smtpd_sasl_security_options = noanonymous
smtpd_sasl_tls_security_options = noanonymous
",
        home = home.display(),
        log = log.display(),
        lmtp = dovecot.lmtp_socket.display(),
        sasl = dovecot.sasl_socket.display(),
        certificate = certificates.certificate.display(),
        key = certificates.key.display(),
    )
}

/// The services that a submission needs, none in a chroot.
fn master_cf(implicit: u16, starttls: u16, wrong: &Wrong, certificates: &Certificates) -> String {
    let beginning_with_tls = |port: u16, option: &str, value: &str| {
        format!(
            "127.0.0.1:{port} inet n - n - - smtpd\n  -o smtpd_tls_wrappermode=yes\n  -o {option}={value}\n"
        )
    };
    let wrong = [
        (wrong.without_logins, "smtpd_sasl_auth_enable", "no".to_owned()),
        (wrong.untrusted, "smtpd_tls_chain_files", certificates.bad.untrusted.display().to_string()),
        (wrong.expired, "smtpd_tls_chain_files", certificates.bad.expired.display().to_string()),
        (wrong.other_name, "smtpd_tls_chain_files", certificates.bad.other_name.display().to_string()),
    ];
    let wrong: String =
        wrong.iter().map(|(port, option, value)| beginning_with_tls(*port, option, value)).collect();
    format!(
        "\
127.0.0.1:{starttls} inet n - n - - smtpd
127.0.0.1:{implicit} inet n - n - - smtpd
  -o smtpd_tls_wrappermode=yes
{wrong}\
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"
    )
}

fn daemon_directory() -> PathBuf {
    let output =
        Command::new(find("postconf").unwrap()).args(["-d", "-h", "daemon_directory"]).output().unwrap();
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}

fn uid_of(user: &str) -> u32 {
    let output = Command::new("id").args(["-u", user]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}
