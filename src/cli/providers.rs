//! `gatepost providers`: what Gatepost knows without being told, and which of it nobody has verified. It needs no
//! configuration; where there is one, it says which presets are used there.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::table::{json, print, table, wrapped};
use super::{Context, Exit, Failure, complain};
use crate::config::presets::{self, Preset};
use crate::config::provider::LoginKind;
use crate::config::{Config, ConfigError, suggestion};

/// `gatepost providers`.
#[derive(clap::Args, Clone, Debug)]
pub struct Arguments {
    /// Show this one in full: servers, endpoints, scopes, how one gets a client id, and what to write
    name: Option<String>,
    /// Print JSON instead: an array of {"name", "title", "login", "protocols", "domains", "unverified", "used_as"}, or with a
    /// name one such object that has "servers", "endpoints", "scopes", "registration" and "notes" too
    #[arg(long)]
    json: bool,
}

/// Keys that are a single value each, in the order in which a login needs them.
const KEYS: [&str; 7] = [
    "tenant",
    "authorization_endpoint",
    "device_authorization_endpoint",
    "token_endpoint",
    "revocation_endpoint",
    "redirect_host",
    "redirect_uri",
];

/// How wide the text is.
const WIDTH: usize = 80;

impl Arguments {
    /// Ends well unless there is no such preset.
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let used = match Config::load(context.config.as_deref()) {
            Ok(config) => Some(config),
            Err(ConfigError::NotFound { .. } | ConfigError::Missing { .. }) => None,
            Err(error) => {
                complain(&format!("Which of them are used cannot be said: run gatepost check\n{error}\n"));
                None
            }
        };
        let used = used.as_ref();
        let Some(name) = &self.name else {
            return print(&if self.json {
                json(&presets::all().iter().map(|preset| in_short_json(preset, used)).collect())
            } else {
                listed(used)
            });
        };
        let preset = presets::named(name).ok_or_else(|| {
            let names = presets::all().iter().map(|preset| preset.name.as_str());
            Failure::new(Exit::Failed, format!("there is no preset `{name}`; {}", suggestion(name, names)))
        })?;
        print(&if self.json { json(&in_json(preset, used)) } else { in_full(preset, used) })
    }
}

/// The names of the configuration's providers that start from a preset.
fn used_as<'a>(preset: &Preset, config: Option<&'a Config>) -> Vec<&'a str> {
    let providers = config.into_iter().flat_map(|config| config.providers.values());
    providers
        .filter(|provider| provider.preset.is_some_and(|used| used.name == preset.name))
        .map(|provider| provider.name.as_str())
        .collect()
}

fn listed(config: Option<&Config>) -> String {
    let rows: Vec<_> = presets::all()
        .iter()
        .map(|preset| {
            let mark = if preset.unverified.is_empty() { "" } else { " *" };
            let protocols: Vec<_> = preset.servers.iter().map(|(protocol, _)| protocol.to_string()).collect();
            let login = preset.login.name().to_owned();
            [format!("{}{mark}", preset.name), preset.title.clone(), protocols.join(" "), login]
        })
        .collect();
    let mut text = table(["Preset", "Provider", "Protocols", "Login"], &rows);
    text.push_str("\n* unverified, at least in part: `gatepost providers PRESET` says what.\n");
    text.push_str("Any other provider can be written out in full in gatepost.yaml.\n");
    for preset in presets::all() {
        for name in used_as(preset, config) {
            let _ = writeln!(text, "Used here: {} as `{name}`", preset.name);
        }
    }
    text
}

fn in_full(preset: &Preset, config: Option<&Config>) -> String {
    let mark = |key: &str| if preset.is_unverified(key) { "  (unverified)" } else { "" };
    let mut text = format!("{} ({})\n", preset.title, preset.name);
    for name in used_as(preset, config) {
        let _ = writeln!(text, "Used here as `{name}`.");
    }
    if !preset.domains.is_empty() {
        paragraph(&mut text, "", &format!("Mailboxes at {} and others.", preset.domains.join(", ")));
    }
    text.push_str("\nServers\n");
    for (protocol, server) in &preset.servers {
        let (host, port, tls) = (&server.host, server.port, server.tls.name());
        let mark = server_mark(preset, protocol.name());
        let _ = writeln!(text, "  {protocol} {host}:{port}, TLS {tls}{mark}");
    }
    match preset.login {
        LoginKind::Password => text.push_str("\nLogin by password\n"),
        LoginKind::OAuth => text.push_str("\nLogin by OAuth 2.0\n"),
    }
    for key in KEYS {
        if let Some(value) = preset.text(key) {
            let _ = writeln!(text, "  {key}{}\n    {value}", mark(key));
        }
    }
    for (grant, scopes) in preset.scopes() {
        let _ = writeln!(text, "  scopes for {grant}{}", mark("scopes"));
        for scope in scopes {
            let _ = writeln!(text, "    {scope}");
        }
    }
    if let Some(registration) = &preset.registration {
        let what = match preset.login {
            LoginKind::OAuth => "A client id",
            LoginKind::Password => "A password",
        };
        let _ = writeln!(text, "\n{what}: {}{}", registration.url, mark("registration"));
        registration.steps.iter().for_each(|step| paragraph(&mut text, "- ", step));
    }
    if !preset.notes.is_empty() {
        text.push_str("\nNotes\n");
        preset.notes.iter().for_each(|note| paragraph(&mut text, "- ", note));
    }
    if !preset.unverified.is_empty() {
        text.push('\n');
        let all = preset.unverified.iter().any(|key| key == "all");
        let what = if all { "all of it".to_owned() } else { preset.unverified.join(", ") };
        paragraph(
            &mut text,
            "",
            &format!(
                "Unverified: {what}. It is what others use, but neither tried by us nor found in the provider's own \
                 documents. What you write beside `preset` takes its place."
            ),
        );
    }
    text.push_str("\nIn gatepost.yaml\n");
    let client_id = match preset.login {
        LoginKind::OAuth => ", client_id: …",
        LoginKind::Password => "",
    };
    let _ = writeln!(text, "  providers:\n    {0}: {{ preset: {0}{client_id} }}", preset.name);
    text
}

/// Said of a server as a whole where a part of it is unverified.
fn server_mark(preset: &Preset, key: &str) -> String {
    if preset.is_unverified(key) {
        return "  (unverified)".to_owned();
    }
    let parts: Vec<_> = ["host", "port", "tls"]
        .into_iter()
        .filter(|part| preset.is_unverified(&format!("{key}.{part}")))
        .collect();
    if parts.is_empty() { String::new() } else { format!("  ({} unverified)", parts.join(", ")) }
}

/// Text in as many lines as it takes, the first after `start`.
fn paragraph(text: &mut String, start: &str, words: &str) {
    let indent = if start.is_empty() { 0 } else { start.len() + 2 };
    for (number, line) in wrapped(words, WIDTH - indent).iter().enumerate() {
        let start = if number == 0 { start } else { "" };
        let _ = writeln!(text, "{start:>indent$}{line}");
    }
}

fn in_short_json(preset: &Preset, config: Option<&Config>) -> Value {
    let protocols: Vec<_> = preset.servers.iter().map(|(protocol, _)| protocol.name()).collect();
    json!({
        "name": preset.name,
        "title": preset.title,
        "login": preset.login.name(),
        "protocols": protocols,
        "domains": preset.domains,
        "unverified": preset.unverified,
        "used_as": used_as(preset, config),
    })
}

fn in_json(preset: &Preset, config: Option<&Config>) -> Value {
    let servers: serde_json::Map<_, _> = preset
        .servers
        .iter()
        .map(|(protocol, server)| {
            let value = json!({ "host": server.host, "port": server.port, "tls": server.tls.name() });
            (protocol.name().to_owned(), value)
        })
        .collect();
    let endpoints: serde_json::Map<_, _> =
        KEYS.into_iter().filter_map(|key| Some((key.to_owned(), preset.text(key)?.into()))).collect();
    let scopes: serde_json::Map<_, _> =
        preset.scopes().into_iter().map(|(grant, scopes)| (grant.to_owned(), scopes.into())).collect();
    let mut value = in_short_json(preset, config);
    let more = json!({
        "servers": servers,
        "endpoints": endpoints,
        "scopes": scopes,
        "registration": preset.registration.as_ref().map(|registration| {
            json!({ "url": registration.url.as_str(), "steps": registration.steps })
        }),
        "notes": preset.notes,
    });
    if let (Value::Object(value), Value::Object(more)) = (&mut value, more) {
        value.extend(more);
    }
    value
}
