//! Dovecot 2.3: POP3 and IMAP that accept OAuth tokens, and nothing else unless passwords are given to them; the SASL server behind
//! Postfix, and the delivery.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::certificates::Certificates;
use super::mail::Connection;
use super::oidc::{DOVECOT, EVERY_MAILBOX, Oidc};
use super::process::{Server, eventually, find, free_ports, missing};

/// The user `nobody`, who owns all mail.
const NOBODY: u32 = 65534;

/// What a person must have consented to.
const PERSON: &str = "mail.imap";

/// A mailbox that nobody signs in as.
pub(crate) const OFFICE: &str = "office@example.test";

/// Who may open it.
const DELEGATE: &str = "martha@example.test";

pub(crate) fn is_installed() -> bool {
    let version = find("dovecot").and_then(|dovecot| Command::new(dovecot).arg("--version").output().ok());
    // 2.4 reads another configuration language.
    let program = version.is_some_and(|version| version.stdout.starts_with(b"2.3."));
    // Each protocol is a package of its own. Debian's folder is not where others put it, so it is only asked where it is there.
    let modules = Path::new("/usr/lib/dovecot");
    let protocols = ["imap", "pop3", "lmtp"].iter().all(|protocol| modules.join(protocol).is_file());
    (program && (protocols || !modules.is_dir())) || missing("Dovecot 2.3 with IMAP, POP3 and LMTP")
}

/// What it lets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    Tokens,
    PasswordsToo,
}

/// Dovecot, running.
pub(crate) struct Dovecot {
    /// Implicit TLS.
    pub(crate) pop3s: u16,
    /// STLS.
    pub(crate) pop3: u16,
    /// Implicit TLS.
    pub(crate) imaps: u16,
    /// STARTTLS.
    pub(crate) imap: u16,
    /// Where Postfix asks about logins.
    pub(crate) sasl_socket: PathBuf,
    /// Where Postfix delivers.
    pub(crate) lmtp_socket: PathBuf,
    pub(crate) server: Server,
    mail: PathBuf,
    passwords: PathBuf,
}

impl Dovecot {
    pub(crate) fn start(folder: &Path, certificates: &Certificates, oidc: &Oidc, takes: Takes) -> Self {
        let home = folder.join("dovecot");
        let mail = home.join("mail");
        for subfolder in ["run", "state", "mail"] {
            fs::create_dir_all(home.join(subfolder)).unwrap();
        }
        chown(&mail, Some(NOBODY), Some(NOBODY)).unwrap();
        let [pop3s, pop3, imaps, imap] = free_ports();
        let sasl_socket = home.join("sasl");
        let lmtp_socket = home.join("lmtp");
        let log = home.join("dovecot.log");
        write_passdbs(&home, certificates, oidc);
        let passwords = home.join("passwords");
        let (mechanisms, password_passdb) = match takes {
            Takes::Tokens => ("", String::new()),
            Takes::PasswordsToo => {
                fs::write(&passwords, "").unwrap();
                let passdb = format!(
                    "passdb {{\n  driver = passwd-file\n  mechanisms = plain login\n  args = {}\n}}\n",
                    passwords.display()
                );
                (" plain login", passdb)
            }
        };
        let configuration = home.join("dovecot.conf");
        fs::write(
            &configuration,
            format!(
                "\
base_dir = {home}/run
state_dir = {home}/state
log_path = {log}
protocols = imap pop3 lmtp
listen = 127.0.0.1

ssl = required
ssl_cert = <{certificate}
ssl_key = <{key}

auth_mechanisms = xoauth2 oauthbearer{mechanisms}
disable_plaintext_auth = yes
auth_failure_delay = 0
auth_verbose = yes
mail_max_userip_connections = 0

first_valid_uid = 1
mail_location = maildir:{mail}/%u

{passdbs}{password_passdb}
# COMPRESS=DEFLATE.
mail_plugins = zlib
protocol imap {{
  mail_plugins = zlib imap_zlib
}}

# Each wrong token from an address would make the next login from there wait longer, up to 15 s.
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service pop3-login {{
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = {pop3s}
  }}
}}
service imap-login {{
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
  }}
}}
service lmtp {{
  unix_listener {lmtp} {{
    mode = 0666
  }}
}}
service auth {{
  unix_listener {sasl} {{
    mode = 0666
  }}
}}
",
                home = home.display(),
                passdbs = passdbs(&home, &mail),
                log = log.display(),
                mail = mail.display(),
                certificate = certificates.certificate.display(),
                key = certificates.key.display(),
                sasl = sasl_socket.display(),
                lmtp = lmtp_socket.display(),
            ),
        )
        .unwrap();
        let program = find("dovecot").unwrap();
        let arguments = ["-F".as_ref(), "-c".as_ref(), configuration.as_os_str()];
        let mut server = Server::start("Dovecot", &log, &program, arguments);
        for port in [pop3s, imaps] {
            server.reachable_at(port);
        }
        Self { pop3s, pop3, imaps, imap, sasl_socket, lmtp_socket, server, mail, passwords }
    }

    /// Gives a user a password, in place of any other, and waits until it counts: Dovecot looks at the file once a second.
    pub(crate) fn set_password(&self, certificates: &Certificates, user: &str, password: &str) {
        fs::write(&self.passwords, format!("{user}:{{PLAIN}}{password}\n")).unwrap();
        let counts = eventually(|| {
            let mut pop3 = Connection::implicit(self.pop3s, &certificates.client);
            pop3.line();
            pop3.ask(&format!("USER {user}"));
            pop3.ask(&format!("PASS {password}")).starts_with("+OK")
        });
        if !counts {
            self.server.fail(&format!("does not take the new password of {user}"));
        }
    }

    /// How many messages a user has.
    pub(crate) fn messages(&self, user: &str) -> usize {
        // A message moves from `new` to `cur` when somebody has seen it.
        ["new", "cur"]
            .map(|part| fs::read_dir(self.mail.join(user).join(part)).map_or(0, Iterator::count))
            .iter()
            .sum()
    }
}

/// Who is let into which mailbox, and where that is.
fn passdbs(home: &Path, mail: &Path) -> String {
    let (home, mail) = (home.display(), mail.display());
    let delegate = format!(
        "passdb {{\n  driver = oauth2\n  mechanisms = xoauth2 oauthbearer\n  args = {home}/delegate.conf\n  username_filter = {OFFICE}\n}}"
    );
    format!(
        "\
# A person's token, then an application's. Each passdb looks at the token by itself.
passdb {{
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = {home}/person.conf
}}
passdb {{
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = {home}/service.conf
}}
# Without allow_all_users a delivery would ask the passdbs whether the mailbox exists, which they cannot tell.
userdb {{
  driver = static
  args = allow_all_users=yes uid={NOBODY} gid={NOBODY} home={mail}/%u
}}

# A delegate's token opens the shared mailbox where mail is fetched. Where it is sent everybody is themselves, as at Exchange.
protocol imap {{
{delegate}
}}
protocol pop3 {{
{delegate}
}}
"
    )
}

/// How Dovecot decides whether a token opens a mailbox. It asks oidc-provider about the token, and compares one
/// attribute of the answer with the `user=` of the login, after putting both through `username_format`.
///
/// A person's token opens the mailbox of its `username`, where it has the scope. A token that an application got for itself names no person:
/// its attribute is the client id, which no mailbox is called. A format without variables makes both sides equal, so
/// such a token opens any mailbox; the scope keeps persons' tokens from doing so. The same makes a delegate's token open the
/// shared mailbox: only hers is active there.
fn write_passdbs(home: &Path, certificates: &Certificates, oidc: &Oidc) {
    let (id, secret) = DOVECOT;
    let host = oidc.issuer.trim_start_matches("https://");
    let common = format!(
        "\
introspection_mode = post
introspection_url = https://{id}:{secret}@{host}/token/introspection
tls_ca_cert_file = {ca}
",
        ca = certificates.ca_file.display()
    );
    let active = "active_attribute = active\nactive_value = true\n";
    fs::write(
        home.join("person.conf"),
        format!("{common}{active}username_attribute = username\nscope = {PERSON}\n"),
    )
    .unwrap();
    let delegate = format!(
        "{common}active_attribute = username\nactive_value = {DELEGATE}\nusername_attribute = username\n\
         username_format = shared mailbox\n"
    );
    fs::write(home.join("delegate.conf"), delegate).unwrap();
    let service = format!(
        "{common}{active}username_attribute = client_id\nusername_format = any mailbox\nscope = {EVERY_MAILBOX}\n"
    );
    fs::write(home.join("service.conf"), service).unwrap();
}
