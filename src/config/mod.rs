//! [`Config`]: what the YAML file says, valid by construction. Whoever holds one needs to check nothing.
//!
//! `file` reads the text into a tree that knows its lines, `section` reads the tree key by key, and the other files
//! each know one part. Mistakes of meaning are collected and told together; only text that is not YAML ends at once.

mod alarm;
mod capabilities;
mod client_authentication;
pub(crate) mod complaint;
pub mod edit;
mod endpoint;
pub(crate) mod file;
mod issuer;
mod limits;
pub mod lint;
mod listener;
mod locate;
mod microsoft;
pub mod mistakes;
mod oauth_client;
pub mod presets;
mod proof;
pub mod provider;
mod redirect;
pub mod repair;
pub mod replace;
mod scopes;
mod secret;
mod secret_command;
pub(crate) mod section;
mod service_account;
pub mod written;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use crate::tls::CertificateFiles;
use complaint::{Complaints, Finding};
use provider::ProviderReader;
use section::{Field, Section};

pub use alarm::{AlarmCommand, OnAlarm};
pub use capabilities::common_capabilities;
pub use complaint::Complaint;
pub(crate) use complaint::{nearest, suggestion};
pub use limits::Limits;
pub use listener::{Listener, ListenerTls};
pub use provider::Provider;

/// Everything that the configuration file decides. Accounts are not in it: they live in the store alone.
#[derive(Debug)]
pub struct Config {
    /// The file it was read from, for messages.
    pub path: PathBuf,
    /// By name.
    pub providers: BTreeMap<String, Arc<Provider>>,
    /// In the order of the file.
    pub listeners: Vec<Listener>,
    /// The certificate shown to clients; ours where `None`.
    pub certificate: Option<CertificateFiles>,
    /// Where the store, the key and our own CA live.
    pub state_dir: PathBuf,
    /// Caps and times.
    pub limits: Limits,
    /// Whom to tell what needs somebody.
    pub on_alarm: OnAlarm,
    /// Warnings and notes about the file, in its order.
    pub remarks: Vec<Complaint>,
}

/// There is no usable configuration.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// No file was named, and none stands in the usual places.
    #[error(
        "there is no configuration file; looked for {}\nTo begin: gatepost setup ADDRESS\nOr write a file to one of \
         these places, with\n  providers:\n    contoso: {{ preset: microsoft365, client_id: … }}\nA file \
         elsewhere is named by --config FILE or GATEPOST_CONFIG", listed(.places)
    )]
    NotFound {
        /// Where it was looked for, in this order.
        places: Vec<PathBuf>,
    },
    /// The file that was named is not there.
    #[error(
        "there is no configuration file {path}, which {named_by} names\nTo make it: gatepost setup ADDRESS",
        path = .path.display()
    )]
    Missing {
        /// Which file.
        path: PathBuf,
        /// The option or the variable.
        named_by: &'static str,
    },
    /// The file cannot be read.
    #[error("{path}: cannot be read: {source}", path = .path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The file can be read, and says what cannot be.
    #[error("{}", lines(.complaints))]
    Wrong {
        /// In the order of the file; at least one is an error. Warnings and notes are for those who ask (`gatepost check`).
        complaints: Vec<Complaint>,
    },
}

/// What the file is read against.
pub(crate) struct Surroundings<'a> {
    /// Relative paths start here: the folder of the file.
    folder: &'a Path,
    /// The environment's variables.
    environment: &'a dyn Fn(&str) -> Option<String>,
}

impl Config {
    /// Finds the file (`path`, `$GATEPOST_CONFIG`, or the usual places) and reads it.
    pub fn load(given: Option<&Path>) -> Result<Self, ConfigError> {
        let (path, text) = Self::text(given)?;
        Self::parse(&path, &text, &|name| std::env::var(name).ok())
    }

    /// Finds the file as [`Config::load`] does, and gives what stands in it.
    pub fn text(given: Option<&Path>) -> Result<(PathBuf, String), ConfigError> {
        let environment = |name: &str| std::env::var(name).ok();
        let path = locate::configuration_file(given, &environment)?;
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok((path, text)),
            Err(source) => Err(match (source.kind(), locate::named_by(given, &environment)) {
                (ErrorKind::NotFound, Some(named_by)) => ConfigError::Missing { path, named_by },
                _ => ConfigError::Read { path, source },
            }),
        }
    }

    /// Where the file is, or is to be made: `path`, `$GATEPOST_CONFIG`, the first that is in the usual places, or the last
    /// place where nothing is anywhere.
    pub fn place(path: Option<&Path>) -> Result<PathBuf, ConfigError> {
        let environment = |name: &str| std::env::var(name).ok();
        match locate::configuration_file(path, &environment) {
            Err(ConfigError::NotFound { places }) => {
                locate::new_configuration_file(&environment).ok_or(ConfigError::NotFound { places })
            }
            found => found,
        }
    }

    /// Reads the text of the file at `path`. `environment` gives the value of a variable.
    pub fn parse(
        path: &Path,
        text: &str,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let at_once = |complaint: Box<Complaint>| ConfigError::Wrong { complaints: vec![*complaint] };
        let surroundings = Surroundings { folder: path.parent().unwrap_or(Path::new("")), environment };
        let root = file::parse(path, text).map_err(at_once)?;
        let provider_reader = ProviderReader::new(&surroundings);
        let complaints = Complaints::new(path);
        let config = read(path, &Field::root(&root, &complaints), &provider_reader, &surroundings);
        lint::words::judge(text, &complaints);
        let mut complaints = complaints.into_sorted();
        for complaint in &mut complaints {
            // What cannot be written is for a person to write.
            complaint.repair = complaint.repair.take().filter(|it| repair::repaired(text, it).is_some());
        }
        match config {
            Some(config) if !complaints.iter().any(Complaint::is_error) => {
                Ok(Self { remarks: complaints, ..config })
            }
            _ => Err(ConfigError::Wrong { complaints }),
        }
    }
}

const PROVIDERS_EXAMPLE: &str =
    "`providers:` with at least one, like `contoso: { preset: microsoft365, client_id: … }`";

/// `None` only after a complaint.
fn read(
    path: &Path,
    root: &Field<'_>,
    provider_reader: &ProviderReader<'_>,
    surroundings: &Surroundings<'_>,
) -> Option<Config> {
    if root.node.is_nothing() {
        root.complain(format!("says nothing; write {PROVIDERS_EXAMPLE}"));
        return None;
    }
    let mut section = root.section()?;
    let providers_field = section.field.find("providers");
    let providers = read_providers(&mut section, provider_reader);
    let listeners_field = section.take("listeners");
    let listeners = match &listeners_field {
        Some(field) => listener::read_all(field, &providers),
        None => listener::defaults(&providers),
    };
    let certificate =
        section.take("certificate").and_then(|field| read_certificate(&field, surroundings.folder));
    let state_dir = read_state(&mut section, surroundings);
    let limits = limits::read(&mut section);
    let on_alarm = alarm::read(&mut section, surroundings.folder);
    section.finish();
    for (name, provider) in &providers {
        let field = providers_field.as_ref().and_then(|field| field.find(name));
        if let (Some(field), Some(provider)) = (field, provider) {
            judge_provider(&field, provider, &listeners);
            if listeners_field.is_none() {
                lint::listeners::judge_usual(&field, provider, &listeners);
            }
        }
    }
    Some(Config {
        path: path.to_owned(),
        providers: providers.into_iter().filter_map(|(name, provider)| Some((name, provider?))).collect(),
        listeners,
        certificate,
        state_dir: state_dir?,
        limits,
        on_alarm,
        remarks: Vec::new(),
    })
}

fn read_providers(section: &mut Section<'_>, reader: &ProviderReader<'_>) -> listener::ReadProviders {
    let Some(field) = section.require("providers", PROVIDERS_EXAMPLE) else { return BTreeMap::new() };
    if field.node.is_empty_mapping() {
        field.complain(format!("has nothing in it; write {PROVIDERS_EXAMPLE}"));
    }
    field
        .entries()
        .into_iter()
        .map(|(name, field)| (name.to_owned(), reader.read(name, &field).map(Arc::new)))
        .collect()
}

/// What is allowed but hardly meant, once everything is known.
fn judge_provider(field: &Field<'_>, provider: &Provider, listeners: &[Listener]) {
    lint::listeners::judge_unserved(field, provider, listeners);
    if let Some(preset) = provider.preset.filter(|_| !provider.unverified.is_empty()) {
        let text = format!(
            "the preset `{name}` has values that nobody has verified ({}); `gatepost providers {name}` shows them",
            provider.unverified.join(", "),
            name = preset.name
        );
        field.find("preset").as_ref().unwrap_or(field).complain(Finding::note(text));
    }
}

fn read_certificate(field: &Field<'_>, folder: &Path) -> Option<CertificateFiles> {
    let mut section = field.section()?;
    let certificate =
        section.require("certificate", "the PEM file with the certificate chain, the leaf first");
    let key = section.require("key", "the PEM file with its private key");
    section.finish();
    let certificate = certificate.and_then(|field| field.readable_file(folder));
    let key = key.and_then(|field| field.readable_file(folder));
    Some(CertificateFiles { certificate: certificate?, key: key? })
}

fn read_state(section: &mut Section<'_>, surroundings: &Surroundings<'_>) -> Option<PathBuf> {
    if let Some(field) = section.take("state") {
        return field.path(surroundings.folder);
    }
    let folder = locate::state_folder(surroundings.environment);
    if folder.is_none() {
        section
            .field
            .complain("`state` is missing, and there is no HOME to put it under; write `state: /a/folder`");
    }
    folder
}

fn listed(places: &[PathBuf]) -> String {
    places.iter().map(|place| place.display().to_string()).collect::<Vec<_>>().join(", ")
}

fn lines(complaints: &[Complaint]) -> String {
    complaints
        .iter()
        .filter(|complaint| complaint.is_error())
        .map(Complaint::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}
