//! Which provider an address belongs to: the one that it has already, the one that was named, one that is in the configuration
//! already, or a new one. What is found out is said; what is only likely is asked, where somebody can answer.

use url::Url;

use super::super::super::{Exit, Failure, complain};
use super::super::{name_for, question};
use crate::account::Account;
use crate::address::{self, same_domain};
use crate::config::presets::{self, Preset};
use crate::config::suggestion;
use crate::config::written::WrittenProvider;
use crate::discovery::{Because, Found, Servers, provider_of};

/// How a provider is named on the command line.
#[derive(clap::Args, Clone, Debug, Default)]
pub(super) struct Which {
    /// The provider's name in the configuration: one that is there, or a new one
    #[arg(long, value_name = "NAME")]
    pub(super) provider: Option<String>,
    /// The preset that it is made from, like microsoft365 or google [default: found by the address]
    #[arg(long, value_name = "NAME", conflicts_with = "issuer")]
    pub(super) preset: Option<String>,
    /// Its OpenID issuer, where there is no preset
    #[arg(long, value_name = "URL")]
    pub(super) issuer: Option<String>,
    /// Only to tell providers with the same preset apart.
    #[arg(skip)]
    pub(super) client_id: Option<String>,
}

/// The provider that it is to be.
#[derive(Debug)]
pub(super) enum Choice {
    /// One that is in the configuration.
    There { name: String },
    /// One that is yet to be written; with a name where that is settled.
    New { name: Option<String>, kind: Kind },
}

/// What a new provider is made from.
#[derive(Debug)]
pub(super) enum Kind {
    Preset(&'static Preset),
    Issuer { issuer: String, servers: Servers },
}

/// What there is already.
pub(super) struct Known<'a> {
    pub(super) providers: &'a [WrittenProvider],
    pub(super) accounts: &'a [Account],
}

/// Finds the provider, and why it is the one.
pub(super) async fn choose(
    address: &str,
    which: &Which,
    known: &Known<'_>,
) -> Result<(Choice, String), Failure> {
    if let Some(name) = &which.provider
        && known.has(name)
    {
        return Ok((Choice::There { name: name.clone() }, "as you named it".to_owned()));
    }
    let is_open = which.provider.is_none() && which.preset.is_none() && which.issuer.is_none();
    let mut name = which.provider.clone();
    if is_open && let Some((provider, because)) = known.of_accounts(address)? {
        if known.has(&provider) {
            return Ok((Choice::There { name: provider }, because));
        }
        // It was taken out of the file, or the file is gone: the account still knows its name.
        name = Some(provider);
    }
    let (kind, because) = match kind(address, which).await? {
        Ok(found) => found,
        Err(nothing) => match asked(address, known, &nothing).await? {
            Choice::There { name } => return Ok((Choice::There { name }, "as you named it".to_owned())),
            Choice::New { kind, .. } => (kind, "as you named it".to_owned()),
        },
    };
    if name.is_none()
        && let Some(there) = known.alike(&kind, which).await?
    {
        return Ok((Choice::There { name: there }, because));
    }
    Ok((Choice::New { name, kind }, because))
}

/// A name that is not taken yet: the first word of the address's domain, or the preset's own where its domain is one of
/// the preset's.
pub(super) fn new_name(address: &str, kind: &Kind, known: &Known<'_>) -> String {
    let domain = domain(address);
    let wanted = match kind {
        Kind::Preset(preset) if preset.domains.iter().any(|own| own.eq_ignore_ascii_case(domain)) => {
            preset.name.clone()
        }
        _ => name_for(Some(domain), "mail"),
    };
    let numbered = (2..).map(|number| format!("{wanted}-{number}"));
    std::iter::once(wanted.clone()).chain(numbered).find(|name| !known.has(name)).unwrap_or(wanted)
}

pub(super) fn domain(address: &str) -> &str {
    address::domain(address).unwrap_or_default()
}

impl Known<'_> {
    pub(super) fn has(&self, name: &str) -> bool {
        self.providers.iter().any(|provider| provider.name == name)
    }

    /// The provider of the account with this address, or of all the accounts of its domain.
    fn of_accounts(&self, address: &str) -> Result<Option<(String, String)>, Failure> {
        let provider_of = |is_it: &dyn Fn(&Account) -> bool| {
            let mut providers: Vec<_> = self
                .accounts
                .iter()
                .filter(|account| is_it(account))
                .map(|account| &account.provider)
                .collect();
            providers.dedup();
            providers
        };
        match provider_of(&|account| address::same(&account.address, address)).as_slice() {
            [] => {}
            [only] => return Ok(Some(((*only).clone(), "the account has it".to_owned()))),
            several => {
                let names =
                    several.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(" or --provider ");
                let message = format!("{address} is an account of several providers: add --provider {names}");
                return Err(Failure::new(Exit::Failed, message));
            }
        }
        let domain = domain(address);
        let same = |account: &Account| same_domain(self::domain(&account.address), domain);
        let because = || format!("other accounts of {domain} have it");
        Ok(match provider_of(&same).as_slice() {
            [only] if self.has(only) => Some(((*only).clone(), because())),
            _ => None,
        })
    }

    /// A provider in the configuration that is of this kind.
    async fn alike(&self, kind: &Kind, which: &Which) -> Result<Option<String>, Failure> {
        let is_alike = |provider: &&WrittenProvider| match kind {
            Kind::Preset(preset) => provider.preset.as_ref() == Some(&preset.name),
            Kind::Issuer { issuer, .. } => {
                let slashless = |text: &str| text.trim_end_matches('/').to_owned();
                provider.issuer.as_deref().map(slashless) == Some(slashless(issuer))
            }
        };
        let may_be =
            |provider: &&WrittenProvider| which.client_id.is_none() || provider.client_id == which.client_id;
        let names: Vec<_> = self
            .providers
            .iter()
            .filter(is_alike)
            .filter(may_be)
            .map(|provider| provider.name.as_str())
            .collect();
        match names.as_slice() {
            [] => Ok(None),
            [only] if question::is_possible() => {
                let question = format!("Use the provider {only} of the configuration?");
                Ok(question::yes(&question).await.then(|| (*only).to_owned()))
            }
            [only] => Ok(Some((*only).to_owned())),
            several => {
                let message =
                    format!("several providers fit: add --provider {}", several.join(" or --provider "));
                Err(Failure::new(Exit::Failed, message))
            }
        }
    }
}

/// Nothing was found out about a provider but, at most, where its mail servers are.
struct Nothing {
    servers: Servers,
    why: Vec<String>,
}

/// What was named, or what can be found out.
async fn kind(address: &str, which: &Which) -> Result<Result<(Kind, String), Nothing>, Failure> {
    let chosen = "as you named it".to_owned();
    if let Some(name) = &which.preset {
        return Ok(Ok((Kind::Preset(preset(name)?), chosen)));
    }
    if let Some(issuer) = &which.issuer {
        return Ok(Ok((Kind::Issuer { issuer: issuer.clone(), servers: Servers::default() }, chosen)));
    }
    let domain = domain(address);
    Ok(match provider_of(address).await {
        Found::Preset { preset: name, because } => {
            let because = match because {
                Because::Named => chosen,
                Because::Domain => format!("{domain} is one of its domains"),
                Because::Mx(host) => format!("{host} takes the mail of {domain}"),
            };
            Ok((Kind::Preset(preset(&name)?), because))
        }
        Found::Issuer { issuer, servers } => {
            let because = format!("{domain} names {issuer} as its OpenID issuer");
            Ok((Kind::Issuer { issuer, servers }, because))
        }
        Found::Nothing { servers, why } => Err(Nothing { servers, why }),
    })
}

fn preset(name: &str) -> Result<&'static Preset, Failure> {
    presets::named(name).ok_or_else(|| {
        let known = suggestion(name, presets::all().iter().map(|preset| preset.name.as_str()));
        Failure::new(Exit::Failed, format!("there is no preset {name}: {known}"))
    })
}

/// Nothing can be found out, so a person says it.
async fn asked(address: &str, known: &Known<'_>, nothing: &Nothing) -> Result<Choice, Failure> {
    let names: Vec<_> = presets::all().iter().map(|preset| preset.name.as_str()).collect();
    let there: Vec<_> = known.providers.iter().map(|provider| provider.name.as_str()).collect();
    let configured = match there.as_slice() {
        [] => String::new(),
        there => format!("\nIn the configuration there are: {}", there.join(", ")),
    };
    let why: Vec<_> = nothing.why.iter().map(|line| format!("  {line}\n")).collect();
    let why = why.concat();
    let listed = format!("{why}The presets are: {}{configured}", names.join(", "));
    if !question::is_possible() {
        let message = format!(
            "nothing is known about the provider of {address}: add --preset NAME, --issuer URL (its OpenID issuer) or \
             --provider NAME\n{listed}"
        );
        return Err(Failure::new(Exit::Failed, message));
    }
    complain(&format!("Nothing is known about the provider of {address}.\n{listed}"));
    let chosen = |answer: &str| chosen(answer, known, &nothing.servers);
    let wrong = |answer: &str| chosen(answer).is_none().then(|| "is none of these".to_owned());
    let question = "Which of these is it, or what is the https address of its OpenID issuer?";
    let answer = question::answer(question, "--preset NAME", wrong).await?;
    chosen(&answer).ok_or_else(|| Failure::new(Exit::Failed, "no provider was named"))
}

fn chosen(answer: &str, known: &Known<'_>, servers: &Servers) -> Option<Choice> {
    if known.has(answer) {
        return Some(Choice::There { name: answer.to_owned() });
    }
    let kind = match presets::named(answer) {
        Some(preset) => Kind::Preset(preset),
        None if Url::parse(answer).is_ok_and(|url| url.scheme() == "https") => {
            Kind::Issuer { issuer: answer.to_owned(), servers: servers.clone() }
        }
        None => return None,
    };
    Some(Choice::New { name: None, kind })
}
