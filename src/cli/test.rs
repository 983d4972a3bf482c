//! `gatepost test ADDRESS`: does the account work? A tick and its time for every step of a [`Trial`], or cause and fix.

mod delivery;
mod shown;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use self::shown::in_json;
pub(super) use self::shown::shown;
use super::table::print;
use super::{Context, Exit, Failure, catch_all, find, interrupt, progress};
use crate::account::Account;
use crate::config::mistakes::Level;
use crate::config::{Complaint, Config, Provider};
use crate::store::Store;
use crate::trial::{Fault, Outcome, Step, Trial};

/// `gatepost test`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// The account: a mailbox, or '*@contoso.com'
    address: String,
    /// The account's provider, where the address exists at several
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    /// Which mailbox, of an account like '*@contoso.com'
    #[arg(long, value_name = "ADDRESS")]
    mailbox: Option<String>,
    /// Then send a real message to this address, and look for it there where the address is an account here
    #[arg(long, value_name = "ADDRESS")]
    send_to: Option<String>,
    /// Print one JSON object instead: {"address", "ok", "token_owner", "steps": [{"step", "ok", "tried", "detail",
    /// "user_name", "ms", "diagnosis", "said", "cause", "fix", "warnings"}]}; token_owner is who consented, if that is
    /// known
    #[arg(long)]
    json: bool,
}

impl Arguments {
    /// Tries everything that a session would, and says how each step went. Fails when one did.
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        self.send_to.as_deref().map_or(Ok(()), delivery::check)?;
        let config = context.config()?;
        let store = context.store(&config).await?;
        let account = find::account(&store, &self.address, self.provider.as_deref()).await?;
        let provider = find::provider(&config, &account)?;
        let account = catch_all::opened(&store, account, self.mailbox.as_deref()).await?;
        if !self.json {
            print(&format!("{} at {}\n", account.address, account.provider))?;
        }
        let warnings = warnings_about(provider, &config);
        let told = |step: &Step| if self.json { Ok(()) } else { print(&shown(step)) };
        let time = config.limits.login;
        let (owner, mut steps) = try_all(provider, &account, &store, time, warnings, told).await?;
        if let Some(to) = &self.send_to {
            let from = trial(provider, &account, &store, time, Vec::new());
            steps.extend(delivery::deliver(from, to, &config, &steps, told).await?);
        }
        let failed = worst(&steps, provider);
        if self.json {
            print(&in_json(&account.address, failed.is_none(), owner.as_deref(), &steps))?;
        }
        match failed {
            None if self.json => Ok(()),
            None => print("It works: devices are let in while `gatepost run` runs.\n"),
            Some(exit) => Err(Failure::new(exit, format!("{} does not work yet", account.address))),
        }
    }
}

/// What `gatepost check` warns of at this provider.
fn warnings_about(provider: &Provider, config: &Config) -> Vec<String> {
    let (key, named) = (format!("providers.{}", provider.name), format!("`{}`", provider.name));
    let concerns = |remark: &&Complaint| {
        let is_inside = |rest: &str| rest.is_empty() || rest.starts_with(['.', '[']);
        let is_of_its_own = remark.key.strip_prefix(&key).is_some_and(is_inside);
        remark.level == Level::Warning && (is_of_its_own || remark.text.contains(&named))
    };
    config.remarks.iter().filter(concerns).map(Complaint::to_string).collect()
}

/// Tries everything that a session would, and tells each step in its turn. Gives who consented, too, if that is known.
pub(super) async fn try_all(
    provider: &Arc<Provider>,
    account: &Account,
    store: &Store,
    time: Duration,
    warnings: Vec<String>,
    told: impl Fn(&Step) -> Result<(), Failure>,
) -> Result<(Option<String>, Vec<Step>), Failure> {
    let mut under_way = trial(provider, account, store, time, warnings).begin();
    let mut steps = Vec::new();
    loop {
        let name = under_way.waits_for().to_owned();
        let Some(step) = progress::shown(&name, under_way.next()).await else { break };
        told(&step)?;
        steps.push(step);
    }
    let owner = under_way.end().await?;
    Ok((owner, steps))
}

fn trial(
    provider: &Arc<Provider>,
    account: &Account,
    store: &Store,
    time: Duration,
    warnings: Vec<String>,
) -> Trial {
    Trial {
        provider: Arc::clone(provider),
        account: account.clone(),
        store: store.clone(),
        tokens: interrupt::tokens(store.clone()),
        time,
        warnings,
    }
}

/// The exit status of the first step that failed; what was not tried is no worse.
fn worst(steps: &[Step], provider: &Provider) -> Option<Exit> {
    let first = steps.iter().find_map(|step| match &step.outcome {
        Outcome::Failed(trouble) => Some(match trouble.fault {
            Fault::Configuration => Exit::Configuration,
            Fault::State => Exit::State,
            Fault::Upstream => Exit::Upstream,
        }),
        Outcome::Well { .. } | Outcome::NotTried(_) => None,
    });
    // A token endpoint behind a proxy is not tried, and nothing is wrong.
    let untried = |name: &str| steps.iter().any(|step| step.name.ends_with(name) && !step.is_well());
    let no_way = || if provider.smtp.is_some() { Exit::Upstream } else { Exit::Configuration };
    first.or_else(|| untried("login").then_some(Exit::Upstream)).or_else(|| untried("message").then(no_way))
}
