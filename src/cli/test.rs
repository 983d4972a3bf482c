//! `gatepost test ADDRESS`: does the account work? A tick, or the reason, for the token or password and for each protocol.

use std::sync::Arc;
use std::time::SystemTime;

use gatepost_protocol::Protocol;
use gatepost_protocol::sasl::UpstreamSecret;
use tokio::time::Instant;

use super::table::print;
use super::{Context, Exit, Failure, catch_all, find, interrupt, progress, style};
use crate::account::Account;
use crate::config::Provider;
use crate::config::provider::{GrantType, Login, OAuthClient};
use crate::mailbox_password::MailboxPasswords;
use crate::oauth::{Tokens, grant_key};
use crate::session::upstream;
use crate::store::Store;
use crate::store::upstream_logins::RefusedLogin;

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
    /// Print one JSON object instead: {"address", "ok", "token_owner", "steps": [{"step", "ok", "detail", "user_name"}]};
    /// token_owner is who consented, if that is known
    #[arg(long)]
    json: bool,
}

/// One line of the answer.
pub(super) struct Step {
    pub(super) name: String,
    /// Toward the provider's server.
    pub(super) user_name: Option<String>,
    pub(super) result: Result<String, String>,
}

impl Arguments {
    /// Tries everything that a session would, and says how each step went. Fails when one did.
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let config = context.config()?;
        let store = context.store(&config).await?;
        let account = find::account(&store, &self.address, self.provider.as_deref()).await?;
        let provider = find::provider(&config, &account)?;
        let account = catch_all::opened(&store, account, self.mailbox.as_deref()).await?;
        if !self.json {
            print(&format!("{} at {}\n", account.address, account.provider))?;
        }
        let told = |step: &Step| if self.json { Ok(()) } else { print(&line(step)) };
        let (owner, steps) = try_all(provider, &account, &store, config.limits.login, told).await?;
        let ok = steps.iter().all(|step| step.result.is_ok());
        if self.json {
            print(&in_json(&account, ok, owner.as_deref(), &steps))?;
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

/// Tries everything that a session would, and tells each step when it is done. Gives who consented, too, if that is known.
pub(super) async fn try_all(
    provider: &Provider,
    account: &Account,
    store: &Store,
    time: std::time::Duration,
    told: impl Fn(&Step) -> Result<(), Failure>,
) -> Result<(Option<String>, Vec<Step>), Failure> {
    let tokens = interrupt::tokens(store.clone());
    let key = match &provider.login {
        Login::OAuth(client) => token(client, account, store, &tokens).await?,
        Login::Password => password(account, store.clone()).await,
    };
    let (owner, password_version) = (key.owner.clone(), key.password_version);
    let tried = log_in_everywhere(provider, account, key, time, told).await;
    // A refresh that was too slow for us may be about to bring a rotated refresh token.
    tokens.settled().await;
    let (steps, heard) = tried?;
    heard.note(store, account, password_version).await?;
    Ok((owner, steps))
}

/// What the account logs in with.
struct Key {
    /// How it went to get it.
    step: Step,
    /// `None` where there is none.
    secret: Option<UpstreamSecret>,
    /// Of a password.
    password_version: Option<i64>,
    /// Who consented, if that is known.
    owner: Option<String>,
}

/// What the servers said, as `gatepost status` is to know it.
#[derive(Default)]
struct Heard {
    /// Whether one let us in.
    let_in: bool,
    /// What one said that does not take the token or the password.
    refused: Option<String>,
    /// By protocol; `None` where it let us in.
    logins: Vec<(Protocol, Option<RefusedLogin>)>,
}

impl Heard {
    /// A login is a login, whoever tries it.
    async fn note(
        self,
        store: &Store,
        account: &Account,
        password_version: Option<i64>,
    ) -> Result<(), Failure> {
        for (protocol, refused) in &self.logins {
            match refused {
                None => store.note_let_in(account.id, *protocol, SystemTime::now()).await?,
                Some(refused) => store.note_refused_login(account.id, *protocol, refused).await?,
            }
        }
        let refused = self.refused.filter(|_| !self.let_in);
        if let Some(version) = password_version.filter(|_| self.let_in || refused.is_some()) {
            store.note_password_verdict(account.id, version, refused.as_deref()).await?;
        }
        Ok(())
    }
}

async fn token(
    client: &Arc<OAuthClient>,
    account: &Account,
    store: &Store,
    tokens: &Tokens,
) -> Result<Key, Failure> {
    let token = progress::shown("token", tokens.access_token(client, account)).await;
    let grant = store.grant(&grant_key(client, account)).await?;
    let owner = grant.and_then(|grant| grant.identity).filter(|_| client.grant.needs_person());
    let result = match &token {
        Ok(token) => Ok(format!(
            "a live token of {} characters{}",
            token.secret.expose().len(),
            whose(client, account, owner.as_deref())
        )),
        Err(error) => Err(error.to_string()),
    };
    let step = Step { name: "token".to_owned(), user_name: None, result };
    let secret = token.ok().map(|token| UpstreamSecret::Token(token.secret));
    Ok(Key { step, secret, password_version: None, owner })
}

async fn password(account: &Account, store: Store) -> Key {
    let password = MailboxPasswords::new(store).stored(account).await;
    let result = match &password {
        Ok(_) => Ok("one is stored, sealed".to_owned()),
        Err(error) => Err(error.to_string()),
    };
    let step = Step { name: "password".to_owned(), user_name: None, result };
    let password_version = password.as_ref().ok().map(|password| password.version);
    let secret = password.ok().map(|password| UpstreamSecret::Password(password.secret));
    Key { step, secret, password_version, owner: None }
}

async fn log_in_everywhere(
    provider: &Provider,
    account: &Account,
    Key { step, secret, .. }: Key,
    time: std::time::Duration,
    told: impl Fn(&Step) -> Result<(), Failure>,
) -> Result<(Vec<Step>, Heard), Failure> {
    told(&step)?;
    let (mut steps, mut heard) = (vec![step], Heard::default());
    let Some(secret) = secret else { return Ok((steps, heard)) };
    let is_password = matches!(secret, UpstreamSecret::Password(_));
    for protocol in Protocol::ALL.into_iter().filter(|protocol| provider.endpoint(*protocol).is_some()) {
        let name = format!("{protocol} login");
        // Nothing can renew a password, and three refusals in a row may lock the mailbox. One that was taken elsewhere is right.
        let result = if is_password && heard.refused.is_some() && !heard.let_in {
            Err(NOT_TRIED.to_owned())
        } else {
            let attempt = log_in(provider, account, protocol, secret.clone(), Instant::now() + time);
            let Some(result) = progress::shown(&name, attempt).await else { continue };
            heard.let_in |= result.is_ok();
            if let Err(NotLetIn { reason, against: Against::Secret, .. }) = &result {
                heard.refused = Some(reason.clone());
            }
            match &result {
                Ok(_) => heard.logins.push((protocol, None)),
                Err(NotLetIn { refused: None, .. }) => {}
                Err(NotLetIn { refused, .. }) => heard.logins.push((protocol, refused.clone())),
            }
            result.map_err(|not_let_in| not_let_in.reason)
        };
        let user_name = Some(account.upstream_user_name(protocol).to_owned());
        let step = Step { name, user_name, result };
        told(&step)?;
        steps.push(step);
    }
    Ok((steps, heard))
}

const NOT_TRIED: &str = "not tried: the password was refused, and more refusals may lock the mailbox";

/// Who let Gatepost have the token.
fn whose(client: &OAuthClient, account: &Account, owner: Option<&str>) -> String {
    match (client.grant, owner) {
        (GrantType::ClientCredentials, _) => ", the application's own".to_owned(),
        (GrantType::ServiceAccount, _) => format!(", of the service account for {}", account.address),
        (_, Some(owner)) => format!(", by the consent of {owner}"),
        // The provider does not tell who it was.
        (_, None) => String::new(),
    }
}

/// What a server has against a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Against {
    /// The token or the password is not the right one.
    Secret,
    /// Something else, now that it has seen the token or the password.
    Mailbox,
    /// It did not get as far as that.
    Neither,
}

/// A login that failed.
pub(super) struct NotLetIn {
    /// Where, as whom and why.
    pub(super) reason: String,
    /// What the server had against us.
    pub(super) against: Against,
    /// What is noted about the account.
    refused: Option<RefusedLogin>,
}

/// `None` where the provider does not have the protocol.
pub(super) async fn log_in(
    provider: &Provider,
    account: &Account,
    protocol: Protocol,
    secret: UpstreamSecret,
    deadline: Instant,
) -> Option<Result<String, NotLetIn>> {
    let endpoint = provider.endpoint(protocol)?;
    let place = format!("{}:{}", endpoint.host, endpoint.port);
    let user_name = account.upstream_user_name(protocol);
    let is_password = matches!(secret, UpstreamSecret::Password(_));
    let login = async {
        let credentials = upstream::credentials(endpoint, user_name, secret)?;
        upstream::log_in(protocol, TAG, endpoint, &provider.trust, credentials, deadline).await
    };
    Some(match login.await {
        Ok(_) => Ok(format!("{place} let {user_name} in")),
        Err(error) => Err(NotLetIn {
            against: match &error {
                error if error.is_wrong_secret() => Against::Secret,
                error if error.is_about_secret() => Against::Mailbox,
                _ => Against::Neither,
            },
            refused: error.refused_login(if is_password {
                error.diagnosis_with_password(protocol)
            } else {
                error.diagnosis(protocol)
            }),
            reason: format!("{place}, as {user_name}: {error}"),
        }),
    })
}

pub(super) fn line(Step { name, result, .. }: &Step) -> String {
    match result {
        Ok(detail) => format!("  {} {name}: {detail}\n", style::tick()),
        Err(reason) => format!("  {} {name}: {reason}\n", style::cross()),
    }
}

fn in_json(account: &Account, ok: bool, token_owner: Option<&str>, steps: &[Step]) -> String {
    let steps: Vec<_> = steps
        .iter()
        .map(|Step { name, user_name, result }| {
            let (Ok(detail) | Err(detail)) = result;
            serde_json::json!({ "step": name, "ok": result.is_ok(), "detail": detail, "user_name": user_name })
        })
        .collect();
    let told = serde_json::json!({ "address": account.address, "ok": ok, "token_owner": token_owner, "steps": steps });
    format!("{told}\n")
}
