//! `gatepost test ADDRESS`: does the account work? A tick, or the reason, for the token and for each protocol.

use std::sync::Arc;

use gatepost_protocol::Protocol;
use tokio::time::Instant;

use super::table::print;
use super::{Context, Exit, Failure, find, progress, style};
use crate::account::Account;
use crate::config::Provider;
use crate::oauth::{AccessToken, Tokens};
use crate::session::upstream;

/// `gatepost test`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// The mailbox
    address: String,
    /// The account's provider, where the address exists at several
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    /// Print one JSON object instead: {"address", "ok", "steps": [{"step", "ok", "detail"}]}
    #[arg(long)]
    json: bool,
}

/// One line of the answer.
pub(super) struct Step {
    pub(super) name: String,
    pub(super) result: Result<String, String>,
}

impl Arguments {
    /// Tries everything that a session would, and says how each step went. Fails when one did.
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let config = context.config()?;
        let store = context.store(&config).await?;
        let account = find::account(&store, &self.address, self.provider.as_deref()).await?;
        let provider = find::provider(&config, &account)?;
        let tokens = Tokens::new(store);
        if !self.json {
            print(&format!("{} at {}\n", account.address, account.provider))?;
        }
        let told = |step: &Step| if self.json { Ok(()) } else { print(&line(step)) };
        let steps = try_all(provider, &account, &tokens, config.limits.login, told).await;
        // A refresh that was too slow for us may be about to bring a rotated refresh token.
        tokens.settled().await;
        let steps = steps?;
        let ok = steps.iter().all(|step| step.result.is_ok());
        if self.json {
            print(&in_json(&account, ok, &steps))?;
        }
        if ok && self.json {
            return Ok(());
        }
        if ok {
            return print("It works: devices are let in while `gatepost run` runs.\n");
        }
        Err(Failure::new(Exit::Upstream, format!("{} does not work yet", account.address)))
    }
}

/// Of the one command that we log in with, in IMAP.
const TAG: &str = "test";

/// Tries everything that a session would, and tells each step as it is done.
pub(super) async fn try_all(
    provider: &Arc<Provider>,
    account: &Account,
    tokens: &Tokens,
    time: std::time::Duration,
    told: impl Fn(&Step) -> Result<(), Failure>,
) -> Result<Vec<Step>, Failure> {
    let client = find::oauth(provider)?;
    let token = progress::shown("token", tokens.access_token(client, account)).await;
    let result = match &token {
        Ok(token) => Ok(format!("a live token of {} characters", token.secret.expose().len())),
        Err(error) => Err(error.to_string()),
    };
    let step = Step { name: "token".to_owned(), result };
    told(&step)?;
    let mut steps = vec![step];
    let Ok(token) = token else { return Ok(steps) };
    for protocol in Protocol::ALL {
        let name = format!("{protocol} login");
        let attempt = log_in(provider, account, protocol, &token, Instant::now() + time);
        if let Some(result) = progress::shown(&name, attempt).await {
            let step = Step { name, result };
            told(&step)?;
            steps.push(step);
        }
    }
    Ok(steps)
}

/// `None` where the provider does not have the protocol.
async fn log_in(
    provider: &Provider,
    account: &Account,
    protocol: Protocol,
    token: &AccessToken,
    deadline: Instant,
) -> Option<Result<String, String>> {
    let endpoint = provider.endpoint(protocol)?;
    let place = format!("{}:{}", endpoint.host, endpoint.port);
    let user_name = account.upstream_user_name(protocol);
    let login = async {
        let credentials = upstream::credentials(endpoint, user_name, &token.secret)?;
        upstream::log_in(protocol, TAG, endpoint, &provider.trust, credentials, deadline).await
    };
    Some(match login.await {
        Ok(_) => Ok(format!("{place} let {user_name} in")),
        Err(error) => Err(format!("{place}, as {user_name}: {error}")),
    })
}

/// A step, as people are told it.
pub(super) fn line(Step { name, result }: &Step) -> String {
    match result {
        Ok(detail) => format!("  {} {name}: {detail}\n", style::tick()),
        Err(reason) => format!("  {} {name}: {reason}\n", style::cross()),
    }
}

fn in_json(account: &Account, ok: bool, steps: &[Step]) -> String {
    let steps: Vec<_> = steps
        .iter()
        .map(|Step { name, result }| {
            let (Ok(detail) | Err(detail)) = result;
            serde_json::json!({ "step": name, "ok": result.is_ok(), "detail": detail })
        })
        .collect();
    format!("{}\n", serde_json::json!({ "address": account.address, "ok": ok, "steps": steps }))
}
