//! A mail provider made of servers that nobody here wrote: Dovecot, Postfix and oidc-provider, on free ports of
//! 127.0.0.1, with everything they keep in one temporary folder. They stop when [`MailProvider`] is dropped, and
//! also when the test is killed.
//!
//! Where one of them is not installed there is no provider and the test is skipped, out loud; with `CI=true` that is
//! a failure. `scripts/install-test-dependencies` installs them all.

pub(crate) mod browser;
pub(crate) mod certificates;
pub(crate) mod dovecot;
pub(crate) mod gatepost;
pub(crate) mod mail;
pub(crate) mod oidc;
pub(crate) mod postfix;
pub(crate) mod process;
pub(crate) mod setting;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use self::certificates::Certificates;
use self::dovecot::{Dovecot, Takes};
use self::oidc::{Client, Oidc};
use self::postfix::Postfix;

/// How the mail ports are reached, for all protocols.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tls {
    Implicit,
    StartTls,
}

impl Tls {
    /// As the configuration file spells it.
    fn word(self) -> &'static str {
        match self {
            Self::Implicit => "implicit",
            Self::StartTls => "starttls",
        }
    }
}

/// The three servers. Fields are dropped in order: the folder goes last.
pub(crate) struct MailProvider {
    pub(crate) postfix: Postfix,
    pub(crate) dovecot: Dovecot,
    pub(crate) oidc: Oidc,
    pub(crate) certificates: Certificates,
    pub(crate) folder: TempDir,
}

impl MailProvider {
    /// Starts all three, or says that the test is skipped.
    pub(crate) async fn start() -> Option<Self> {
        Self::taking(Takes::Tokens).await
    }

    /// The same, with mail servers that take passwords beside tokens, or do not.
    pub(crate) async fn taking(takes: Takes) -> Option<Self> {
        // The first that is missing is told, so that a skipped test is one line.
        let installed = process::needs_root("Postfix and Dovecot")
            && dovecot::is_installed()
            && postfix::is_installed()
            && oidc::is_installed();
        if !installed {
            return None;
        }
        let folder = tempfile::Builder::new().prefix("gatepost-test-").tempdir().unwrap();
        // Dovecot and Postfix work as users of their own, who have to get in here.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let certificates = Certificates::make(folder.path());
        let oidc = Oidc::start(&certificates).await;
        let dovecot = Dovecot::start(folder.path(), &certificates, &oidc, takes);
        let postfix = Postfix::start(folder.path(), &certificates, &dovecot);
        Some(Self { postfix, dovecot, oidc, certificates, folder })
    }

    /// The authority that vouches for all of them.
    pub(crate) fn ca_file(&self) -> &Path {
        &self.certificates.ca_file
    }

    /// This provider as a block under `providers:` of Gatepost's configuration.
    pub(crate) fn provider_yaml(&self, name: &str, client: Client, tls: Tls) -> String {
        let secret = client.secret().map_or_else(String::new, |secret| {
            format!("\n    client_secret: {{ file: {} }}", self.secret_file(secret).display())
        });
        let authorization = match client {
            Client::Service => String::new(),
            Client::Native | Client::Hasty | Client::Confidential => format!(
                "\n    authorization_endpoint: {0}/auth\n    device_authorization_endpoint: {0}/device/auth\n    \
                 revocation_endpoint: {0}/token/revocation",
                self.oidc.issuer
            ),
        };
        format!(
            "  {name}:
    client_id: {client_id}{secret}
    grant: {grant}{authorization}
    token_endpoint: {issuer}/token
    scopes: [{scopes}]
{servers}",
            client_id = client.id(),
            grant = client.grant(),
            issuer = self.oidc.issuer,
            scopes = client.scope().replace(' ', ", "),
            servers = self.servers_yaml(tls, ""),
        )
    }

    /// The same as a provider of passwords; `mechanism` is a line that each of its servers has too.
    pub(crate) fn password_provider_yaml(&self, name: &str, tls: Tls, mechanism: &str) -> String {
        format!("  {name}:\n    login: password\n{}", self.servers_yaml(tls, mechanism))
    }

    fn servers_yaml(&self, tls: Tls, mechanism: &str) -> String {
        let (smtp, pop3, imap) = match tls {
            Tls::Implicit => (self.postfix.implicit, self.dovecot.pop3s, self.dovecot.imaps),
            Tls::StartTls => (self.postfix.starttls, self.dovecot.pop3, self.dovecot.imap),
        };
        format!(
            "    ca_file: {ca_file}
    smtp:
      host: localhost
      port: {smtp}
      tls: {tls}
{mechanism}      capabilities: [SIZE 60000000, PIPELINING, 8BITMIME, ENHANCEDSTATUSCODES]
    pop3:
      host: localhost
      port: {pop3}
      tls: {tls}
{mechanism}      capabilities: [TOP, UIDL, RESP-CODES, AUTH-RESP-CODE]
    imap:
      host: localhost
      port: {imap}
      tls: {tls}
{mechanism}      capabilities: [ID, ENABLE, IDLE, LITERAL+, UIDPLUS, MOVE, UNSELECT, NAMESPACE, CHILDREN, CONDSTORE, ESEARCH]
",
            ca_file = self.ca_file().display(),
            tls = tls.word(),
        )
    }

    /// Waits until Dovecot has this many messages for a user.
    pub(crate) fn await_delivery(&self, user: &str, messages: usize) {
        if !process::eventually(|| self.dovecot.messages(user) >= messages) {
            self.postfix.server.fail(&format!("did not deliver message {messages} to {user}"));
        }
    }

    fn secret_file(&self, secret: &str) -> PathBuf {
        let path = self.folder.path().join("client.secret");
        fs::write(&path, secret).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }
}
