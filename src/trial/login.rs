//! Logins at the mail servers, as a session logs in. With a token beside each other; with a password one after the other, because
//! nothing can renew it, and three refusals in a row may lock the mailbox.

use std::time::SystemTime;

use gatepost_protocol::Protocol;
use gatepost_protocol::sasl::UpstreamSecret;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::misfit::Misfit;
use super::secret::{Key, no_token};
use super::{Fault, Outcome, Part, Remark, Step, Told, Trial, Trouble};
use crate::account::Account;
use crate::config::Provider;
use crate::diagnosis::{Diagnosis, by_id};
use crate::session::upstream::{self, UpstreamError};
use crate::store::StoreError;
use crate::store::upstream_logins::RefusedLogin;

/// Of the one command that we log in with, in IMAP.
const TAG: &str = "test";

/// Rows that say no more than that the login was refused: what is odd about the token tells more.
const SAY_NOTHING: [&str; 3] = ["D08", "D29", "D34"];

/// What a server has against a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Against {
    /// The token or the password is not the right one.
    Secret,
    /// Something else, now that it has seen the token or the password.
    Mailbox,
    /// It did not get as far as that.
    Neither,
}

/// A login that was tried.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// How it went.
    pub step: Step,
    /// What the server had against it; `None` where it let us in.
    pub against: Option<Against>,
    /// The server's words, where it did not.
    said: String,
    protocol: Protocol,
    /// When it ended.
    at: SystemTime,
    /// What is noted about the account.
    refused: Option<RefusedLogin>,
    /// Whether a session would try it once more.
    may_a_new_token_help: bool,
}

/// Logs in. `None` where the provider does not have the protocol.
pub async fn attempt(
    provider: &Provider,
    account: &Account,
    protocol: Protocol,
    secret: UpstreamSecret,
    deadline: Instant,
) -> Option<Attempt> {
    let endpoint = provider.endpoint(protocol)?;
    let place = format!("{}:{}", endpoint.host, endpoint.port);
    let user_name = account.upstream_user_name(protocol);
    let is_password = matches!(secret, UpstreamSecret::Password(_));
    let begin = Instant::now();
    let login = async {
        let credentials = upstream::credentials(endpoint, user_name, secret)?;
        upstream::log_in(protocol, TAG, endpoint, &provider.trust, credentials, deadline).await
    };
    let result = login.await;
    let took = Some(begin.elapsed());
    let step = |outcome| Step { took, ..step(protocol, account, outcome) };
    Some(match result {
        Ok(_) => {
            let outcome = Outcome::well(format!("{place} let {user_name} in"));
            Attempt {
                step: step(outcome),
                against: None,
                said: String::new(),
                protocol,
                at: SystemTime::now(),
                refused: None,
                may_a_new_token_help: false,
            }
        }
        Err(error) => {
            let row =
                if is_password { error.diagnosis_with_password(protocol) } else { error.diagnosis(protocol) };
            Attempt {
                against: Some(match &error {
                    error if error.is_wrong_secret() => Against::Secret,
                    error if error.is_about_secret() => Against::Mailbox,
                    _ => Against::Neither,
                }),
                said: format!("{place}, as {user_name}: {error}"),
                protocol,
                at: SystemTime::now(),
                refused: error.refused_login(row),
                may_a_new_token_help: !is_password && error.may_a_new_token_help(protocol),
                step: step(Outcome::Failed(trouble(account, user_name, &place, &error, row))),
            }
        }
    })
}

/// `row` is what is known of the error, as the session's log has it.
fn trouble(
    account: &Account,
    user_name: &str,
    place: &str,
    error: &UpstreamError,
    row: Option<&'static Diagnosis>,
) -> Trouble {
    let said = format!("{place}, as {user_name}: {error}");
    let unknown = match error {
        UpstreamError::Refused(_) => "The provider did not let Gatepost in",
        _ => "The login did not come to its end",
    };
    let mut trouble = Trouble::new(row, unknown, &said, &account.address);
    if matches!(error, UpstreamError::HostName(_)) {
        trouble.fault = Fault::Configuration;
    }
    trouble
}

fn step(protocol: Protocol, account: &Account, outcome: Outcome) -> Step {
    Step {
        name: format!("{protocol} login"),
        part: Part::Login,
        user_name: Some(account.upstream_user_name(protocol).to_owned()),
        took: None,
        outcome,
    }
}

/// The last parts of a trial: what one logs in with, and the logins.
pub(super) struct Logins {
    pub(super) trial: Trial,
    pub(super) secret: Told,
    /// Each with whether its server was reached.
    pub(super) by_protocol: Vec<(Protocol, oneshot::Receiver<bool>, Told)>,
}

impl Logins {
    /// Tells every step. Gives who consented, if that is known.
    pub(super) async fn run(self) -> Result<Option<String>, StoreError> {
        let Self { trial, secret: told, by_protocol: logins } = self;
        let key = Key::fetch(&trial).await?;
        // Nobody hears it when the trial has been given up.
        let _ = told.send(key.step.clone());
        drop(told);
        let heard = match &key.secret {
            None => {
                for (protocol, _, told) in logins {
                    let reason = format!("there is no {} to log in with", key.step.name);
                    let _ = told.send(step(protocol, &trial.account, Outcome::NotTried(reason)));
                }
                Heard::default()
            }
            Some(secret @ UpstreamSecret::Password(_)) => one_by_one(&trial, secret, logins).await,
            Some(secret @ UpstreamSecret::Token(_)) => at_once(&trial, secret, &key, logins).await,
        };
        heard.note(&trial, key.version).await?;
        Ok(key.owner)
    }
}

/// One that was taken elsewhere is right, and is tried on.
async fn one_by_one(
    trial: &Trial,
    password: &UpstreamSecret,
    logins: Vec<(Protocol, oneshot::Receiver<bool>, Told)>,
) -> Heard {
    let mut heard = Heard::default();
    for (protocol, reached, told) in logins {
        let outcome = if heard.refused.is_some() && !heard.let_in {
            NOT_TRIED
        } else if reached.await != Ok(true) {
            NOT_REACHED
        } else {
            let deadline = Instant::now() + trial.time;
            let attempt = attempt(&trial.provider, &trial.account, protocol, password.clone(), deadline);
            if let Some(attempt) = attempt.await {
                heard.add(&attempt);
                let _ = told.send(attempt.step);
            }
            continue;
        };
        let _ = told.send(step(protocol, &trial.account, Outcome::NotTried(outcome.to_owned())));
    }
    heard
}

const NOT_TRIED: &str = "the password was refused, and more refusals may lock the mailbox";

const NOT_REACHED: &str = "the server was not reached, see above";

async fn at_once(
    trial: &Trial,
    token: &UpstreamSecret,
    key: &Key,
    logins: Vec<(Protocol, oneshot::Receiver<bool>, Told)>,
) -> Heard {
    let mut tasks = JoinSet::new();
    for (protocol, reached, told) in logins {
        let (trial, token) = (trial.clone(), token.clone());
        let (remark, version) = (remark(&trial, &key.misfits, protocol), key.version);
        tasks.spawn(async move {
            if reached.await != Ok(true) {
                let outcome = Outcome::NotTried(NOT_REACHED.to_owned());
                let _ = told.send(step(protocol, &trial.account, outcome));
                return None;
            }
            let deadline = Instant::now() + trial.time;
            let mut attempt = attempt(&trial.provider, &trial.account, protocol, token, deadline).await?;
            if attempt.may_a_new_token_help {
                attempt = with_newer_token(&trial, attempt, version, deadline).await;
            }
            if let Outcome::Failed(trouble) = &mut attempt.step.outcome {
                *trouble = pointed_at(trouble.clone(), remark, attempt.against);
            }
            let _ = told.send(attempt.step.clone());
            Some(attempt)
        });
    }
    let mut heard = Heard::default();
    while let Some(ended) = tasks.join_next().await {
        if let Ok(Some(attempt)) = ended {
            heard.add(&attempt);
        }
    }
    heard
}

/// The login that was refused, once more with a newer token, where there is one.
async fn with_newer_token(trial: &Trial, refused: Attempt, version: i64, deadline: Instant) -> Attempt {
    let Trial { provider, account, tokens, .. } = trial;
    let Some(client) = provider.oauth() else { return refused };
    let begin = Instant::now();
    let newer = timeout_at(deadline, tokens.renewed(client, account, refused.protocol, version)).await;
    let no_token = match newer {
        Ok(Ok(Some(newer))) => {
            let secret = UpstreamSecret::Token(newer.secret);
            let again = attempt(provider, account, refused.protocol, secret, deadline).await;
            return again.map_or(refused, |again| again.told_as_second(begin));
        }
        Ok(Ok(None)) => return refused,
        Ok(Err(error)) => no_token(&error, account),
        Err(_) => {
            let said = "no token in time; its refresh goes on";
            Trouble::new(by_id("G18"), "There is no newer token", said, &account.address)
        }
    };
    let said = format!("{}; then, of a newer token: {}", refused.said, no_token.said);
    let step = Step { outcome: Outcome::Failed(Trouble { said, ..no_token }), ..refused.step };
    Attempt { step, against: Some(Against::Neither), refused: None, ..refused }
}

impl Attempt {
    fn told_as_second(mut self, begin: Instant) -> Self {
        self.step.took = Some(begin.elapsed());
        match &mut self.step.outcome {
            Outcome::Well { detail, .. } => detail.push_str(", with a newer token"),
            Outcome::Failed(trouble) => trouble.said = format!("with a newer token, too: {}", trouble.said),
            Outcome::NotTried(_) => {}
        }
        self
    }
}

/// What in the token may be why this service refuses it.
fn remark(trial: &Trial, misfits: &[Misfit], protocol: Protocol) -> Option<Remark> {
    let client = trial.provider.oauth()?;
    let misfit = misfits.iter().find(|misfit| misfit.concerns(protocol))?;
    Some(misfit.remark(&trial.account, client))
}

/// Where the provider only said no to the token, what is odd about it is the cause.
fn pointed_at(trouble: Trouble, remark: Option<Remark>, against: Option<Against>) -> Trouble {
    let says_nothing = match trouble.diagnosis {
        Some(row) => SAY_NOTHING.contains(&row.id.as_str()),
        None => matches!(against, Some(Against::Secret | Against::Mailbox)),
    };
    match remark {
        Some(Remark { title, fix, .. }) if says_nothing => Trouble {
            cause: format!("Most likely what is said of the token above: {title}."),
            fix,
            ..trouble
        },
        _ => trouble,
    }
}

/// What the servers said, as `gatepost status` is to know it.
#[derive(Default)]
struct Heard {
    /// Whether one let us in.
    let_in: bool,
    /// What one said that does not take the token or the password.
    refused: Option<String>,
    /// By protocol, and when; `None` where it let us in.
    logins: Vec<(Protocol, SystemTime, Option<RefusedLogin>)>,
}

impl Heard {
    fn add(&mut self, attempt: &Attempt) {
        self.let_in |= attempt.against.is_none();
        if attempt.against == Some(Against::Secret) {
            self.refused = Some(attempt.said.clone());
        }
        if attempt.against.is_none() || attempt.refused.is_some() {
            self.logins.push((attempt.protocol, attempt.at, attempt.refused.clone()));
        }
    }

    /// `version` is that of the token or password.
    async fn note(self, trial: &Trial, version: i64) -> Result<(), StoreError> {
        let Trial { provider, store, account, .. } = trial;
        for (protocol, at, refused) in &self.logins {
            store.note_trial(account.id, *protocol, *at, refused.as_ref()).await?;
        }
        let refused = self.refused.filter(|_| !self.let_in);
        if provider.oauth().is_none() && (self.let_in || refused.is_some()) {
            store.note_password_verdict(account.id, version, refused.as_deref()).await?;
        }
        Ok(())
    }
}
