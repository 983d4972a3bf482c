//! [`Provider`]: where a provider's servers are and how one gets in.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use gatepost_protocol::Protocol;

pub use super::client_authentication::{ClientAuthentication, ClientCertificate};
pub use super::endpoint::{Endpoint, TlsStream, UpstreamTls};
pub use super::issuer::Issuer;
pub use super::oauth_client::{GrantType, OAuthClient};
pub use super::proof::Proof;
pub use super::service_account::ServiceAccount;

use super::complaint::{nearest, suggestion};
use super::endpoint::TLS_STREAMS;
use super::file::Node;
use super::lint::hosts;
use super::presets::{self, Preset};
use super::section::{Field, Section, readable};
use super::{Surroundings, endpoint, oauth_client};
use crate::tls::Trust;

/// A mail provider with everything needed to get in.
#[derive(Debug)]
pub struct Provider {
    /// As the file names it.
    pub name: String,
    /// What it starts from, where the file says so.
    pub preset: Option<&'static Preset>,
    /// Keys of the preset that are in use and unverified: the file says nothing else about them.
    pub unverified: Vec<&'static str>,
    /// What Gatepost logs in there with.
    pub login: Login,
    /// Where mail is sent; `None` where the provider has no SMTP for us.
    pub smtp: Option<Endpoint>,
    /// Where mail is fetched.
    pub pop3: Option<Endpoint>,
    /// Where mail is read and kept.
    pub imap: Option<Endpoint>,
    /// Who may vouch for its servers: the system's roots, and its `ca_file`. For mail and HTTPS alike.
    pub trust: Trust,
}

/// What Gatepost logs in at a provider with.
#[derive(Debug)]
pub enum Login {
    /// A token, got as this client.
    OAuth(Arc<OAuthClient>),
    /// The mailbox's own password, or one that the provider made for applications.
    Password,
}

impl Provider {
    /// Gatepost as this provider's OAuth client; `None` where a password is all there is.
    pub fn oauth(&self) -> Option<&Arc<OAuthClient>> {
        match &self.login {
            Login::OAuth(client) => Some(client),
            Login::Password => None,
        }
    }

    /// Whether each mailbox is opened by what somebody gave for it, a consent or a password. Elsewhere the application itself
    /// is let in.
    pub fn needs_person(&self) -> bool {
        self.oauth().is_none_or(|client| client.grant.needs_person())
    }

    /// The provider's server for a protocol, if it has one.
    pub fn endpoint(&self, protocol: Protocol) -> Option<&Endpoint> {
        match protocol {
            Protocol::Smtp => self.smtp.as_ref(),
            Protocol::Pop3 => self.pop3.as_ref(),
            Protocol::Imap => self.imap.as_ref(),
        }
    }
}

/// What the file writes after `login:`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginKind {
    /// A token.
    OAuth,
    /// A password.
    Password,
}

impl LoginKind {
    /// As the file writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::OAuth => "oauth",
            Self::Password => "password",
        }
    }
}

pub(super) const LOGINS: [(&str, LoginKind); 2] =
    [("oauth", LoginKind::OAuth), ("password", LoginKind::Password)];

/// Reads providers; what is shared among them is read once.
pub(super) struct ProviderReader<'a> {
    surroundings: &'a Surroundings<'a>,
    /// By `ca_file`: reading the system's roots takes a moment.
    trusts: RefCell<BTreeMap<Option<PathBuf>, Trust>>,
}

impl<'a> ProviderReader<'a> {
    pub(super) fn new(surroundings: &'a Surroundings<'a>) -> Self {
        Self { surroundings, trusts: RefCell::default() }
    }

    /// One entry of `providers`.
    pub(super) fn read(&self, name: &str, written: &Field<'_>) -> Option<Provider> {
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        {
            written.complain("a provider's name is made of letters, digits, `.`, `_` and `-`");
        }
        let preset_field = written.section()?.take("preset");
        let (preset, is_known) = match preset_field.as_ref().map(read_preset) {
            None => (None, true),
            Some(Ok(preset)) => (Some(preset), true),
            // What else is wrong is told as well, as far as the preset that was probably meant lets it be seen.
            Some(Err(Some(meant))) => (Some(meant), false),
            Some(Err(None)) => {
                complain_of_unknown_keys(written);
                return None;
            }
        };
        let node = match (preset, preset_field) {
            (Some(preset), Some(field)) => {
                preset.node.clone().moved_to(field.line).overlaid(written.node.clone())
            }
            _ => written.node.clone(),
        };
        let field = written.with_node(&node);
        let mut section = field.section()?;
        section.take("preset");
        let trust = self.trust(&mut section);
        let login_field = section.take("login");
        let login_kind = login_field.map_or(Some(LoginKind::OAuth), |field| field.choice(&LOGINS));
        let login = match login_kind {
            Some(LoginKind::OAuth) => {
                oauth_client::read(&mut section, self.surroundings, name, trust.as_ref(), &offered(&node))
                    .map(|client| Login::OAuth(Arc::new(client)))
            }
            Some(LoginKind::Password) => {
                oauth_client::refuse(&mut section, written);
                Some(Login::Password)
            }
            // Which keys belong beside it hangs on the word that could not be read.
            None => {
                oauth_client::ignore(&mut section);
                None
            }
        };
        // `none` takes away what the preset has, for an application that may not do all.
        let used = |field: &Field<'_>| field.node.scalar() != Some("none");
        let smtp_field = section.take("smtp").filter(used);
        let pop3_field = section.take("pop3").filter(used);
        let imap_field = section.take("imap").filter(used);
        let tls_stream = match section.take("tls_stream") {
            Some(field) => field.choice(&TLS_STREAMS),
            None => Some(TlsStream::default()),
        };
        let has_endpoint = smtp_field.is_some() || pop3_field.is_some() || imap_field.is_some();
        section.finish();
        hosts::judge(&field);

        if !has_endpoint {
            field.complain(
                "has none of `smtp`, `pop3` and `imap`; write the server that mail programs are to reach",
            );
        }
        // A server that cannot be read makes the provider unknown, not a provider without it.
        let server = |field: &Field<'_>, protocol| {
            let endpoint = endpoint::read(field, protocol, login_kind)?;
            Some(Endpoint { tls_stream: tls_stream?, ..endpoint })
        };
        let smtp = smtp_field.map(|field| server(&field, Protocol::Smtp));
        let pop3 = pop3_field.map(|field| server(&field, Protocol::Pop3));
        let imap = imap_field.map(|field| server(&field, Protocol::Imap));
        let provider = Provider {
            name: name.to_owned(),
            preset,
            unverified: preset.map(|preset| unverified(preset, written.node, login_kind)).unwrap_or_default(),
            login: login?,
            smtp: readable(smtp)?,
            pop3: readable(pop3)?,
            imap: readable(imap)?,
            trust: trust?,
        };
        is_known.then_some(provider)
    }

    fn trust(&self, section: &mut Section<'_>) -> Option<Trust> {
        let field = section.take("ca_file");
        let path = match &field {
            Some(field) => Some(field.path(self.surroundings.folder)?),
            None => None,
        };
        if let Some(trust) = self.trusts.borrow().get(&path) {
            return Some(trust.clone());
        }
        match Trust::load(path.as_deref()) {
            Ok(trust) => {
                self.trusts.borrow_mut().insert(path, trust.clone());
                return Some(trust);
            }
            Err(error) => field.as_ref().unwrap_or(&section.field).complain(error.to_string()),
        }
        None
    }
}

/// The protocols for which a server is written.
fn offered(provider: &Node) -> Vec<Protocol> {
    let is_used = |protocol: &Protocol| {
        provider.find(protocol.name()).is_some_and(|server| server.scalar() != Some("none"))
    };
    Protocol::ALL.into_iter().filter(is_used).collect()
}

/// What of a preset is unverified and was not written otherwise. Of a server only another name changes everything.
fn unverified(preset: &'static Preset, written: &Node, login: Option<LoginKind>) -> Vec<&'static str> {
    let written_otherwise = |key: &str| {
        key.split('.')
            .try_fold(written, |node, part| node.find(part))
            .is_some_and(|node| node.entries().is_empty() || node.find("host").is_some())
    };
    let in_use = |key: &str| login == Some(LoginKind::OAuth) || !oauth_client::KEYS.contains(&key);
    let keys = preset.unverified.iter().map(String::as_str);
    keys.filter(|key| *key != "registration" && in_use(key) && !written_otherwise(key)).collect()
}

/// The preset; after a complaint, the one that was probably meant, if one is near.
fn read_preset(field: &Field<'_>) -> Result<&'static Preset, Option<&'static Preset>> {
    let name = field.text().ok_or(None)?;
    presets::named(name).ok_or_else(|| {
        let names = || presets::all().iter().map(|preset| preset.name.as_str());
        field.complain(format!("`{name}` is not a preset; {}", suggestion(name, names())));
        nearest(name, names()).and_then(presets::named)
    })
}

/// All that can be said of a provider of which nothing else is known.
fn complain_of_unknown_keys(written: &Field<'_>) {
    let Some(mut section) = written.section() else { return };
    oauth_client::ignore(&mut section);
    for key in ["preset", "login", "ca_file", "smtp", "pop3", "imap", "tls_stream"] {
        section.take(key);
    }
    section.finish();
}
