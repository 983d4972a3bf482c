//! `gatepost status`: how every account and provider stands, in words that say what to do; and as an exit status, for whatever
//! watches over this machine.

mod account;
mod json;
mod report;
#[cfg(test)]
mod tests;
mod watch;

use std::collections::BTreeMap;
use std::io::{IsTerminal, stdout};
use std::time::SystemTime;

use super::table::{json as printed, print};
use super::{Context, Exit, Failure, find, style};
use crate::account::AccountId;
use crate::config::{Config, lint};
use crate::standing::{Attention, ProviderStanding, State, Survey};
use crate::store::Store;
use crate::store::running::Running;

/// `gatepost status`.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Exit status: 0 nobody has to do anything, 6 somebody has to do something soon, 7 somebody has to do something now \
(mail does not go through, or no Gatepost runs), and otherwise as everywhere. --watch ends with 0.")]
pub struct Arguments {
    /// Only this account, in full
    address: Option<String>,
    /// Its provider, where the address exists at several
    #[arg(long, value_name = "NAME", requires = "address")]
    provider: Option<String>,
    /// Print a JSON object instead: {"at", "running", "attention", "states": {STATE: NUMBER}, "accounts": [{"id", "address",
    /// "provider", "state", "attention", "reason", "next_step", "way": "consent" | "application" | "password",
    /// "consent_by", "last_login", "last_refresh", "token_until", "consent_until", "refused_logins": [{"protocol", "at",
    /// "diagnosis", "title", "said"}]}], "providers": [{"name", "accounts",
    /// "attention", "reason", "proof": "secret" | "certificate", "proof_until"}]}. STATE is one of connected, disabled,
    /// not connected, expired, refused; attention one of none, soon, now; times are as in RFC 3339
    #[arg(long)]
    json: bool,
    /// Look again every two seconds until Ctrl-C; where the output is no terminal, print only what changes
    #[arg(long, conflicts_with = "json")]
    watch: bool,
}

impl Arguments {
    /// Fails where somebody has to do something.
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let config = context.config()?;
        let Some(store) = context.store_to_look_at(&config).await? else {
            return self.without_a_store(&config);
        };
        let only = match &self.address {
            Some(address) => Some(find::account(&store, address, self.provider.as_deref()).await?.id),
            None => None,
        };
        if self.watch {
            return watch::watch(&config, &store, only).await;
        }
        let look = Look::take(&config, &store, only, SystemTime::now()).await?;
        print(&if self.json { printed(&look.in_json()) } else { look.in_words(width()) })?;
        look.conclusion()
    }

    /// Looking makes none, and without one there is nothing to watch.
    fn without_a_store(&self, config: &Config) -> Result<(), Failure> {
        if let Some(address) = &self.address {
            return Err(find::no_account(address));
        }
        let survey = Survey::of_no_accounts(config, SystemTime::now());
        let is_running = Running::is_any(&config.state_dir)?;
        let look = Look { config, survey, is_running, is_of_one: false };
        print(&if self.json { printed(&look.in_json()) } else { look.in_words(width()) })
    }
}

/// The columns of the terminal; `None` where nobody sits at one.
fn width() -> Option<usize> {
    style::columns(stdout()).filter(|_| stdout().is_terminal())
}

/// What there is to tell at a moment.
struct Look<'a> {
    config: &'a Config,
    survey: Survey,
    is_running: bool,
    /// Whether one account was asked for.
    is_of_one: bool,
}

impl<'a> Look<'a> {
    /// Looks at all accounts, or at this one with its provider.
    async fn take(
        config: &'a Config,
        store: &Store,
        only: Option<AccountId>,
        now: SystemTime,
    ) -> Result<Self, Failure> {
        let mut survey = Survey::take(config, store, now).await?;
        if let Some(only) = only {
            survey.accounts.retain(|standing| standing.account.id == only);
            let provider = survey.accounts.first().map(|standing| standing.account.provider.clone());
            survey.providers.retain(|standing| Some(&standing.name) == provider.as_ref());
        }
        let is_running = Running::is_any(&config.state_dir)?;
        Ok(Self { config, survey, is_running, is_of_one: only.is_some() })
    }

    /// The worst of all.
    fn attention(&self) -> Attention {
        let accounts = self.survey.accounts.iter().map(|standing| standing.verdict.attention());
        let providers = self.survey.providers.iter().map(|standing| self.attention_of(standing));
        let running = if self.is_missed() { Attention::Now } else { Attention::None };
        accounts.chain(providers).chain([running]).max().unwrap_or_default()
    }

    /// Whether a Gatepost should run, and none does.
    fn is_missed(&self) -> bool {
        let in_use = |state| state != State::Disabled;
        !self.is_running && self.survey.accounts.iter().any(|standing| in_use(standing.verdict.state))
    }

    fn attention_of(&self, provider: &ProviderStanding) -> Attention {
        if self.ending(provider).is_some() { Attention::Soon } else { Attention::None }
    }

    /// The secret or certificate of a provider in use ends soon, or has ended; and what to do. Whether mail goes through all
    /// the same, its accounts say.
    fn ending(&self, provider: &ProviderStanding) -> Option<String> {
        let client = self.config.providers.get(&provider.name)?.oauth()?;
        lint::ending(client, self.survey.at).filter(|_| provider.is_used)
    }

    /// How many accounts are in each state, the best first.
    fn states(&self) -> BTreeMap<State, usize> {
        let mut states = BTreeMap::new();
        for standing in &self.survey.accounts {
            *states.entry(standing.verdict.state).or_default() += 1;
        }
        states
    }

    fn conclusion(&self) -> Result<(), Failure> {
        match self.attention() {
            Attention::None => Ok(()),
            Attention::Soon => Err(Failure::new(Exit::NeededSoon, "somebody has to do something soon")),
            Attention::Now => Err(Failure::new(Exit::NeededNow, "somebody has to do something now")),
        }
    }
}
