//! A stand-in until the presets tell about themselves.

use std::sync::LazyLock;

use url::Url;

/// Until it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginKind {
    /// Tokens.
    OAuth,
    /// Passwords.
    Password,
}

/// How one gets a client id.
#[derive(Clone, Debug)]
pub struct Registration {
    /// A line each.
    pub steps: Vec<String>,
    /// Where it begins.
    pub url: Url,
}

/// A provider that Gatepost knows.
#[derive(Clone, Debug)]
pub struct Preset {
    /// As `preset:` names it.
    pub name: String,
    /// For people.
    pub title: String,
    /// Of its mailboxes.
    pub domains: Vec<String>,
    /// How one gets a client id.
    pub registration: Option<Registration>,
    /// What one logs in there with.
    pub login: LoginKind,
    tenant: Option<&'static str>,
}

impl Preset {
    /// The text of a key.
    pub fn text(&self, key: &str) -> Option<&str> {
        if key == "tenant" { self.tenant } else { None }
    }
}

static PRESETS: LazyLock<Vec<Preset>> = LazyLock::new(|| {
    let preset = |name: &str, title: &str, domains: &[&str], tenant| Preset {
        name: name.to_owned(),
        title: title.to_owned(),
        domains: domains.iter().map(|&domain| domain.to_owned()).collect(),
        registration: Url::parse("https://register.example")
            .ok()
            .map(|url| Registration { steps: vec!["Register an application.".to_owned()], url }),
        login: LoginKind::OAuth,
        tenant,
    };
    vec![
        preset("microsoft365", "Microsoft 365", &[], Some("organizations")),
        preset("outlook", "outlook.com", &["outlook.com", "hotmail.com"], None),
        preset("google", "Gmail and Google Workspace", &["gmail.com"], None),
    ]
});

/// All of them.
pub fn all() -> &'static [Preset] {
    &PRESETS
}

/// The one with this name.
pub fn named(name: &str) -> Option<&'static Preset> {
    all().iter().find(|preset| preset.name == name)
}
