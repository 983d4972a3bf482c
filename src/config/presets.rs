//! [`Preset`]: what Gatepost knows about a provider without being told. They are data, embedded from
//! `config/providers.yaml`; nothing here knows one of them by name.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

use gatepost_protocol::Protocol;
use url::Url;

use super::complaint::{Complaint, Complaints};
use super::endpoint;
use super::file::{self, Node};
use super::provider::{Endpoint, GrantType, LOGINS, LoginKind};
use super::section::{Field, Section, readable};

/// A provider that Gatepost knows.
#[derive(Debug)]
pub struct Preset {
    /// As `preset:` names it.
    pub name: String,
    /// For people.
    pub title: String,
    /// Where persons have their mailboxes, in lower case.
    pub domains: Vec<String>,
    /// Ends of names of MX hosts that belong to it alone, in lower case.
    pub mx: Vec<String>,
    /// Keys whose values nobody has tried or found documented by the provider itself; `all` stands for every one.
    pub unverified: Vec<String>,
    /// How one gets a client id, or an application password; `None` where no way is known.
    pub registration: Option<Registration>,
    /// Where a consent is withdrawn, a line for each way; empty where none is known.
    pub withdrawal: Vec<String>,
    /// What else one should know.
    pub notes: Vec<String>,
    /// Whether it also makes passwords for applications, so that `login: password` beside the preset works without a client id.
    pub app_passwords: bool,
    /// What one logs in there with.
    pub login: LoginKind,
    /// Its servers, by protocol.
    pub servers: Vec<(Protocol, Endpoint)>,
    /// Everything, as a provider would be written out in full.
    pub(super) node: Node,
}

/// How one gets a client id, or an application password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// A line each.
    pub steps: Vec<String>,
    /// Where it begins.
    pub url: Url,
}

/// The file as it is embedded.
const FILE: &str = include_str!("../../config/providers.yaml");

/// A test says that it can be read.
static PRESETS: LazyLock<Vec<Preset>> =
    LazyLock::new(|| parse(Path::new("config/providers.yaml"), FILE).unwrap_or_default());

/// Every preset, in the order of the file.
pub fn all() -> &'static [Preset] {
    &PRESETS
}

/// The preset of this name.
pub fn named(name: &str) -> Option<&'static Preset> {
    all().iter().find(|preset| preset.name == name)
}

/// Whether the presets have this host, so that nobody here has misspelt it.
pub fn name_host(host: &str) -> bool {
    FILE.split(|character: char| !character.is_ascii_alphanumeric() && !".-".contains(character))
        .any(|word| word.eq_ignore_ascii_case(host))
}

/// The preset whose persons have their mailboxes at this domain.
pub fn by_domain(domain: &str) -> Option<&'static Preset> {
    all().iter().find(|preset| preset.domains.iter().any(|known| known.eq_ignore_ascii_case(domain)))
}

/// The preset to which this MX host belongs. Where several ends fit, the longest counts.
pub fn by_mx(host: &str) -> Option<&'static Preset> {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let belongs = |end: &&String| {
        host.strip_suffix(end.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    let longest = |preset: &'static Preset| preset.mx.iter().filter(belongs).map(String::len).max();
    all()
        .iter()
        .filter_map(|preset| Some((longest(preset)?, preset)))
        .max_by_key(|(length, _)| *length)
        .map(|(_, preset)| preset)
}

impl Preset {
    /// Whether the value of this key, like `smtp.port`, is unverified.
    pub fn is_unverified(&self, key: &str) -> bool {
        self.unverified.iter().any(|unverified| {
            unverified == "all"
                || key
                    .strip_prefix(unverified.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    }

    /// The text of a key that has a single value, like `token_endpoint`.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.node.find(key)?.scalar()
    }

    /// Its scopes, by the grant that they are for.
    pub fn scopes(&self) -> Vec<(&str, Vec<&str>)> {
        let Some(scopes) = self.node.find("scopes") else { return Vec::new() };
        if scopes.entries().is_empty() {
            return vec![(GrantType::AuthorizationCode.name(), scopes.texts())];
        }
        scopes.entries().iter().map(|entry| (entry.key.as_str(), entry.node.texts())).collect()
    }
}

/// Reads the file. A preset may start from one that stands before it.
fn parse(path: &Path, text: &str) -> Result<Vec<Preset>, Vec<Complaint>> {
    let root = file::parse(path, text).map_err(|complaint| vec![*complaint])?;
    let complaints = Complaints::new(path);
    let mut nodes = BTreeMap::new();
    let mut presets = Vec::new();
    for (name, field) in Field::root(&root, &complaints).entries() {
        let Some(node) = with_base(&field, &nodes) else { continue };
        presets.extend(read(name, &field.with_node(&node)));
        nodes.insert(name, node);
    }
    match complaints.into_sorted() {
        complaints if complaints.is_empty() => Ok(presets),
        complaints => Err(complaints),
    }
}

/// What stands there, laid on the preset that it starts from.
fn with_base(field: &Field<'_>, before: &BTreeMap<&str, Node>) -> Option<Node> {
    let mut node = field.node.clone();
    let Some(base) = node.remove("preset") else { return Some(node) };
    let known = base.scalar().and_then(|name| before.get(name));
    if known.is_none() {
        field.complain("starts from a preset that does not stand before it");
    }
    Some(known?.clone().overlaid(node))
}

fn read(name: &str, field: &Field<'_>) -> Option<Preset> {
    let mut section = field.section()?;
    let about = section.require("about", "what is told about it")?;
    let login = section.take("login").map_or(Some(LoginKind::OAuth), |field| field.choice(&LOGINS));
    let servers = Protocol::ALL.into_iter().filter_map(|protocol| {
        let field = section.take(protocol.name())?;
        Some(endpoint::read(&field, protocol, login).map(|server| (protocol, server)))
    });
    let servers: Option<Vec<_>> = servers.collect();
    let mut about = about.section()?;
    let title = about.require("title", "its name for people");
    let [domains, mx, unverified, withdrawal, notes] = ["domains", "mx", "unverified", "withdrawal", "notes"]
        .map(|key| about.take(key).map(|field| field.texts()).unwrap_or_default());
    let registration = about.take("registration").map(|field| read_registration(&field));
    let app_passwords =
        about.take("app_passwords").map(|field| field.choice(&[("true", true), ("false", false)]));
    about.finish();
    let mut node = field.node.clone();
    node.remove("about");
    Some(Preset {
        name: name.to_owned(),
        title: title?.text()?.to_owned(),
        domains,
        mx,
        unverified,
        registration: readable(registration)?,
        withdrawal,
        notes,
        app_passwords: readable(app_passwords)?.unwrap_or(false),
        login: login?,
        servers: servers?,
        node,
    })
}

fn read_registration(field: &Field<'_>) -> Option<Registration> {
    let mut section: Section<'_> = field.section()?;
    let steps = section.require("steps", "a line for each step");
    let url = section.require("url", "where it begins");
    section.finish();
    let (steps, url) = (steps?.texts(), url?);
    match url.text()?.parse() {
        Ok(parsed) => Some(Registration { steps, url: parsed }),
        Err(error) => {
            url.complain(format!("is not a URL: {error}"));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::collections::BTreeSet;

    use super::super::Config;
    use super::*;

    #[test]
    fn the_embedded_file_is_whole() {
        let presets = parse(Path::new("config/providers.yaml"), FILE).unwrap();
        assert_eq!(presets.len(), all().len());
        let names: Vec<&str> = all().iter().map(|preset| preset.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "microsoft365",
                "microsoft365-gcc-high",
                "microsoft365-dod",
                "microsoft365-china",
                "outlook",
                "google",
                "yahoo",
                "aol",
                "fastmail",
                "comcast",
                "yandex",
                "mailru",
                "seznam",
                "gmx",
                "webde",
                "icloud",
            ]
        );
    }

    #[test]
    fn every_preset_needs_only_a_client_id_and_one_with_passwords_nothing() {
        for preset in all() {
            let client_id = if preset.login == LoginKind::OAuth { ", client_id: abc" } else { "" };
            let text = format!("providers: {{ it: {{ preset: {}{client_id} }} }}", preset.name);
            let config =
                Config::parse(Path::new("gatepost.yaml"), &text, &|_| Some("/home".to_owned())).unwrap();
            let provider = config.providers.get("it").unwrap();
            for protocol in Protocol::ALL {
                let known =
                    preset.servers.iter().find(|(of, _)| *of == protocol).map(|(_, server)| &server.host);
                assert_eq!(provider.endpoint(protocol).map(|server| &server.host), known, "{}", preset.name);
            }
            assert_eq!(provider.oauth().is_some(), preset.login == LoginKind::OAuth, "{}", preset.name);
            assert_eq!(preset.scopes().is_empty(), preset.login == LoginKind::Password, "{}", preset.name);
        }
    }

    #[test]
    fn no_two_presets_lay_claim_to_the_same_mailboxes() {
        let mut seen = BTreeSet::new();
        for preset in all() {
            for place in preset
                .domains
                .iter()
                .map(|domain| ("domain", domain))
                .chain(preset.mx.iter().map(|mx| ("mx", mx)))
            {
                assert!(seen.insert(place), "{}: {place:?} stands twice", preset.name);
                assert_eq!(place.1, &place.1.to_ascii_lowercase());
            }
        }
    }

    #[test]
    fn what_is_told_about_a_preset_is_about_something_and_fits_the_screen() {
        for preset in all() {
            for key in preset.unverified.iter().filter(|key| *key != "all" && *key != "registration") {
                let found = key.split('.').try_fold(&preset.node, |node, key| node.find(key));
                assert!(found.is_some(), "{}: there is no {key} that could be unverified", preset.name);
            }
            let steps = preset.registration.iter().flat_map(|registration| &registration.steps);
            for line in steps.chain(&preset.withdrawal).chain(&preset.notes) {
                assert!((10..110).contains(&line.len()), "{}: {line}", preset.name);
            }
            if let Some(registration) = &preset.registration {
                assert_eq!(registration.url.scheme(), "https", "{}", preset.name);
                assert!((1..=3).contains(&registration.steps.len()), "{}", preset.name);
            }
        }
    }

    #[test]
    fn a_part_of_what_is_unverified_is_unverified() {
        let preset = named("yahoo").unwrap();
        for (key, expected) in
            [("smtp", true), ("smtp.port", true), ("smtpx", false), ("token_endpoint", false)]
        {
            assert_eq!(preset.is_unverified(key), expected, "{key}");
        }
        assert!(named("icloud").unwrap().is_unverified("imap.host"));
        assert!(!named("google").unwrap().is_unverified("imap.host"));
    }

    #[test]
    fn a_mailbox_is_known_by_its_domain_and_by_its_mx() {
        for (domain, expected) in [
            ("gmail.com", Some("google")),
            ("GMail.com", Some("google")),
            ("example.com", None),
            ("sub.gmail.com", None),
        ] {
            assert_eq!(by_domain(domain).map(|preset| preset.name.as_str()), expected, "{domain}");
        }
        for (host, expected) in [
            ("contoso-example.mail.protection.outlook.com.", Some("microsoft365")),
            ("contoso-example.o-v1.mx.microsoft", Some("microsoft365")),
            ("contoso-example.mail.protection.office365.us", Some("microsoft365-gcc-high")),
            ("outlook-com.olc.protection.outlook.com", Some("outlook")),
            ("ASPMX.L.Google.com", Some("google")),
            ("notgoogle.com", None),
            ("mta5.am0.yahoodns.net", Some("yahoo")),
            ("mx-aol.mail.gm0.yahoodns.net", Some("aol")),
            ("mx.example.com", None),
        ] {
            assert_eq!(by_mx(host).map(|preset| preset.name.as_str()), expected, "{host}");
        }
    }

    #[test]
    fn a_preset_that_starts_from_nothing_is_complained_about() {
        let text =
            "a: { preset: b, about: { title: A } }\nb: { about: { title: B, colour: red } }\nc: { smtp: {} }";
        let complaints = parse(Path::new("p.yaml"), text).unwrap_err();
        let complaints: Vec<String> = complaints.iter().map(ToString::to_string).collect();
        assert_eq!(
            complaints,
            [
                "p.yaml:1: a: error: starts from a preset that does not stand before it",
                "p.yaml:2: b.about.colour: error: no such key; there are `title`, `domains`, `mx`, `unverified`, `withdrawal`, `notes`, `registration`, `app_passwords`",
                "p.yaml:3: c: error: `about` is missing; write what is told about it",
            ]
        );
    }
}
