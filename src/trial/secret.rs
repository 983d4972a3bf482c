//! What one logs in with: a token, got as a session gets it, or the stored password; and what a token says of itself.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use gatepost_protocol::sasl::UpstreamSecret;
use gatepost_protocol::secret::Secret;
use tokio::time::{Instant, timeout};

use super::misfit::{Known, Misfit};
use super::{Fault, Outcome, Part, Remark, Step, Trial, Trouble};
use crate::account::Account;
use crate::clock::utc;
use crate::config::provider::{GrantType, Login, OAuthClient};
use crate::diagnosis::{self, Place};
use crate::mailbox_password::{MailboxPasswordError, MailboxPasswords};
use crate::oauth::claims::Claims;
use crate::oauth::diagnosis::EndpointError;
use crate::oauth::{self, AccessToken, TokenError, grant_key, what_to_check};
use crate::store::StoreError;

/// Its clock is told where it is asked quickly; nobody waits for it.
const CLOCK_PATIENCE: Duration = Duration::from_secs(3);

/// What the account logs in with.
pub(super) struct Key {
    /// How it went to get it.
    pub(super) step: Step,
    /// `None` where there is none.
    pub(super) secret: Option<UpstreamSecret>,
    /// Of the grant or the password.
    pub(super) version: i64,
    /// Who consented, if that is known.
    pub(super) owner: Option<String>,
    /// What in the token does not fit.
    pub(super) misfits: Vec<Misfit>,
}

impl Key {
    pub(super) async fn fetch(trial: &Trial) -> Result<Self, StoreError> {
        match &trial.provider.login {
            Login::OAuth(client) => Self::token(trial, client).await,
            Login::Password => Ok(Self::password(trial).await),
        }
    }

    async fn token(trial: &Trial, client: &Arc<OAuthClient>) -> Result<Self, StoreError> {
        let Trial { account, store, tokens, .. } = trial;
        let begin = Instant::now();
        let (token, theirs) = tokio::join!(tokens.access_token(client, account), clock(client));
        let took = Some(begin.elapsed());
        let grant = store.grant(&grant_key(client, account)).await?;
        let (scopes, owner) = grant.map(|grant| (grant.scopes, grant.identity)).unwrap_or_default();
        let owner = owner.filter(|_| client.grant.needs_person());
        let name = "token".to_owned();
        let step = |outcome| Step { name, part: Part::Secret, user_name: None, took, outcome };
        let token = match token {
            Ok(token) => token,
            Err(error) => {
                let step = step(Outcome::Failed(no_token(&error, account)));
                return Ok(Self { step, secret: None, version: 0, owner, misfits: Vec::new() });
            }
        };
        let AccessToken { secret: token, version } = token;
        let claims = Claims::read(&token);
        let known = Known {
            client,
            account,
            claims: claims.as_ref(),
            scopes: &scopes,
            identity: owner.as_deref(),
            now: tokens.clock().now(),
            theirs,
        };
        let misfits = known.misfits();
        let detail = told(&token, client, account, owner.as_deref(), &scopes, claims.as_ref());
        let remarks: Vec<Remark> = misfits.iter().map(|misfit| misfit.remark(account, client)).collect();
        let step = step(Outcome::Well { detail, remarks });
        let secret = Some(UpstreamSecret::Token(token));
        Ok(Self { step, secret, version, owner, misfits })
    }

    async fn password(trial: &Trial) -> Self {
        let password = MailboxPasswords::new(trial.store.clone()).stored(&trial.account).await;
        let outcome = match &password {
            Ok(_) => Outcome::well("one is stored, sealed"),
            Err(error) => Outcome::Failed(no_password(error, &trial.account)),
        };
        let step =
            Step { name: "password".to_owned(), part: Part::Secret, user_name: None, took: None, outcome };
        let version = password.as_ref().map_or(0, |password| password.version);
        let secret = password.ok().map(|password| UpstreamSecret::Password(password.secret));
        Self { step, secret, version, owner: None, misfits: Vec::new() }
    }
}

async fn clock(client: &OAuthClient) -> Option<SystemTime> {
    timeout(CLOCK_PATIENCE, oauth::http::date(client)).await.ok().flatten()
}

/// What is known of a token, and never the token.
fn told(
    token: &Secret<String>,
    client: &OAuthClient,
    account: &Account,
    owner: Option<&str>,
    granted: &[String],
    claims: Option<&Claims>,
) -> String {
    let mut told =
        format!("a live token of {} characters{}", token.expose().len(), whose(client, account, owner));
    let mut add = |what: &str, words: &[String]| {
        if !words.is_empty() {
            told.push_str("; ");
            told.push_str(what);
            told.push_str(&words.join(" "));
        }
    };
    add("granted: ", granted);
    if let Some(claims) = claims {
        add("audience: ", &claims.audience);
        add("its scopes: ", &claims.scopes);
        add("its roles: ", &claims.roles);
        add("signed in as: ", &claims.names);
        if let Some(end) = claims.expires_at.map(utc) {
            add("good until ", &[format!("{} {:02}:{:02} UTC", end.date(), end.hour(), end.minute())]);
        }
    }
    told
}

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

/// Why there is no token, as the log and `status` have it.
pub(super) fn no_token(error: &TokenError, account: &Account) -> Trouble {
    let address = &account.address;
    let said = match error {
        TokenError::ClientRefused { error, .. } | TokenError::Endpoint { error, .. } => error.to_string(),
        TokenError::GrantRefused { reason, .. } => reason.clone(),
        other => other.to_string(),
    };
    let row = error.diagnosis();
    let mut trouble = Trouble::new(row, "There is no token", &said, address);
    if row.is_none() {
        let (title, fix) = match error {
            TokenError::ClientRefused { grant, .. } => {
                let check = what_to_check(*grant);
                ("The provider does not accept Gatepost as its OAuth client", capitalised(check) + ".")
            }
            TokenError::GrantRefused { .. } => {
                let fix = format!("The person signs in again: gatepost connect {address}");
                ("The provider refused the consent", fix)
            }
            TokenError::NotConnected { .. } => {
                let fix = format!("The mailbox's owner consents: gatepost connect {address}");
                ("Nobody has consented for this mailbox yet", fix)
            }
            TokenError::Endpoint { .. } => (
                "The token endpoint gives no token now",
                "Try again later. See above whether it can be reached.".to_owned(),
            ),
            TokenError::HeldElsewhere { .. } | TokenError::Interrupted { .. } => {
                ("The token is not ready yet", "Try again in half a minute.".to_owned())
            }
            TokenError::Store { .. } => (
                "The store does not answer",
                "Look at the state folder: is its disk full, does it belong to this user?".to_owned(),
            ),
        };
        (trouble.title, trouble.fix) = (title.to_owned(), fix);
    }
    trouble.fault = match error {
        TokenError::Store { .. } => Fault::State,
        TokenError::ClientRefused { error, .. } | TokenError::Endpoint { error, .. }
            if matches!(**error, EndpointError::NotSigned) =>
        {
            Fault::Configuration
        }
        _ => Fault::Upstream,
    };
    trouble
}

fn no_password(error: &MailboxPasswordError, account: &Account) -> Trouble {
    let said = error.to_string();
    let row = error.diagnosis().or_else(|| diagnosis::find(Place::Gatepost, &said));
    let mut trouble = Trouble::new(row, "There is no password for this mailbox yet", &said, &account.address);
    if row.is_none() {
        trouble.fix = format!("Store it: gatepost connect {}", account.address);
    }
    if matches!(error, MailboxPasswordError::Store { .. }) {
        return Trouble { title: "The store does not answer".to_owned(), fault: Fault::State, ..trouble };
    }
    trouble
}

fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}
