//! [`Trial`]: everything between a mailbox and its mail, tried step by step: the configuration, the way to each server, the token
//! or password, a login by each protocol. What is independent is tried at once, and told in an order that is always the same.
//!
//! Rule: a trial sees what a session would. It dials, verifies and logs in by the same code, and nothing is sent behind a
//! handshake that failed.

pub mod certificate;
mod configuration;
pub mod delivery;
mod greeting;
pub mod login;
mod misfit;
pub mod online;
mod secret;
pub mod server;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use gatepost_protocol::Protocol;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::account::Account;
use crate::config::Provider;
use crate::diagnosis::Diagnosis;
use crate::oauth::Tokens;
use crate::store::{Store, StoreError};

use self::login::Logins;
use self::server::Server;

/// What is to be tried.
#[derive(Clone, Debug)]
pub struct Trial {
    /// Where the mailbox is.
    pub provider: Arc<Provider>,
    /// The mailbox; of a catch-all account, one that it opens.
    pub account: Account,
    /// Where its secrets are, and where it is noted that a login went well.
    pub store: Store,
    /// Of the same store. Their clock is that of the trial.
    pub tokens: Tokens,
    /// For each login.
    pub time: Duration,
    /// What is allowed in the configuration but hardly meant.
    pub warnings: Vec<String>,
}

/// Something that was tried.
#[derive(Clone, Debug)]
pub struct Step {
    /// What, for people and scripts: `SMTP TLS`, `token`, `IMAP login`.
    pub name: String,
    /// Which part of the way it is.
    pub part: Part,
    /// Toward the provider's server, where one logs in.
    pub user_name: Option<String>,
    /// How long it took; `None` where nothing was waited for.
    pub took: Option<Duration>,
    /// How it went.
    pub outcome: Outcome,
}

/// A part of the way to the mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// What the configuration file and the account say.
    Configuration,
    /// DNS, TCP and TLS.
    Server,
    /// The token or the password.
    Secret,
    /// A login.
    Login,
    /// A message that is really sent.
    Delivery,
}

/// How a step went.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Well, although something may be odd.
    Well {
        /// What was found.
        detail: String,
        /// What is odd about it.
        remarks: Vec<Remark>,
    },
    /// It did not.
    Failed(Trouble),
    /// It had to wait for something that failed, for this reason.
    NotTried(String),
}

/// Something that will not be well for ever, or explains what is not well elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// A heading.
    pub title: String,
    /// In a few sentences; may be empty.
    pub cause: String,
    /// What to do; may be empty.
    pub fix: String,
}

/// Why a step failed, and what to do.
#[derive(Clone, Debug)]
pub struct Trouble {
    /// What is known of such failures.
    pub diagnosis: Option<&'static Diagnosis>,
    /// The cause as a heading.
    pub title: String,
    /// Where, as whom and in whose words: all that the other side said, trimmed.
    pub said: String,
    /// In a few sentences; empty where nobody knows more than was said.
    pub cause: String,
    /// What to do, in a few sentences.
    pub fix: String,
    /// Where it is to be put right.
    pub fault: Fault,
}

/// Where a failure is to be put right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// In the configuration file.
    Configuration,
    /// In the state folder.
    State,
    /// At the provider, or on the way there.
    Upstream,
}

impl Step {
    /// Whether it went well.
    pub fn is_well(&self) -> bool {
        matches!(self.outcome, Outcome::Well { .. })
    }
}

impl Outcome {
    /// Well, and nothing is odd.
    pub fn well(detail: impl Into<String>) -> Self {
        Self::Well { detail: detail.into(), remarks: Vec::new() }
    }
}

impl Trouble {
    /// What a row of the table says about this mailbox; where no row knows the words, they have to be enough.
    pub fn new(diagnosis: Option<&'static Diagnosis>, unknown: &str, said: &str, mailbox: &str) -> Self {
        let (title, cause, fix) = match diagnosis {
            Some(row) => (row.title.clone(), row.cause.clone(), row.fix_for(mailbox)),
            None => (unknown.to_owned(), String::new(), UNKNOWN.to_owned()),
        };
        let said = crate::diagnosis::trimmed(said);
        Self { diagnosis, title, said, cause, fix, fault: Fault::Upstream }
    }
}

impl Trouble {
    /// Tells it by what is known of this place, under the table's heading where there is one.
    fn explain(&mut self, (title, cause, fix): (&str, String, String)) {
        if self.diagnosis.is_none() {
            title.clone_into(&mut self.title);
        }
        (self.cause, self.fix) = (cause, fix);
    }
}

/// What to do about an answer that nobody has met yet.
const UNKNOWN: &str = "Gatepost does not know this answer yet; please report it, with the words above.";

/// Where steps of one part go, in their order.
pub(crate) type Told = UnboundedSender<Step>;

/// A trial under way. It stops when it is dropped; a refresh that has begun does not.
#[derive(Debug)]
pub struct UnderWay {
    /// In the order in which they are told.
    groups: VecDeque<(String, UnboundedReceiver<Step>)>,
    tasks: JoinSet<Result<Option<String>, StoreError>>,
    tokens: Tokens,
}

impl Trial {
    /// Begins with everything that waits for nothing.
    pub fn begin(self) -> UnderWay {
        let mut tasks = JoinSet::new();
        let mut groups = VecDeque::new();
        let mut group = |name: String| {
            let (told, steps) = unbounded_channel();
            groups.push_back((name, steps));
            told
        };
        let configuration = group("configuration".to_owned());
        // Nobody hears it when the trial has been given up.
        let _ = configuration.send(configuration::step(&self));
        let mut reached = Vec::new();
        for protocol in self.protocols() {
            let (is_reached, whether) = oneshot::channel();
            reached.push((protocol, whether));
            let (provider, told) = (Arc::clone(&self.provider), group(protocol.to_string()));
            tasks.spawn(async move {
                if let Some(server) = Server::of_mail(&provider, protocol) {
                    let _ = is_reached.send(server.reach(&told).await.is_some());
                }
                Ok(None)
            });
        }
        if self.provider.oauth().is_some() {
            let (provider, told) = (Arc::clone(&self.provider), group("token endpoint".to_owned()));
            tasks.spawn(async move {
                if let Some(client) = provider.oauth()
                    && let Some(server) = Server::of_tokens(client).await
                {
                    server.reach(&told).await;
                }
                Ok(None)
            });
        }
        let secret = group(if self.provider.oauth().is_some() { "token" } else { "password" }.to_owned());
        let logins = reached
            .into_iter()
            .map(|(protocol, reached)| (protocol, reached, group(format!("{protocol} login"))))
            .collect();
        let tokens = self.tokens.clone();
        tasks.spawn(Logins { trial: self, secret, by_protocol: logins }.run());
        UnderWay { groups, tasks, tokens }
    }

    fn protocols(&self) -> Vec<Protocol> {
        Protocol::ALL.into_iter().filter(|protocol| self.provider.endpoint(*protocol).is_some()).collect()
    }
}

impl UnderWay {
    /// What is told next.
    pub fn waits_for(&self) -> &str {
        self.groups.front().map_or("", |(name, _)| name)
    }

    /// The next step; `None` when all are told.
    pub async fn next(&mut self) -> Option<Step> {
        loop {
            let (_, steps) = self.groups.front_mut()?;
            if let Some(step) = steps.recv().await {
                return Some(step);
            }
            self.groups.pop_front();
        }
    }

    /// Waits until all is noted. Gives who consented, where that is known.
    pub async fn end(mut self) -> Result<Option<String>, StoreError> {
        let mut owner = None;
        while let Some(ended) = self.tasks.join_next().await {
            match ended {
                Ok(found) => owner = found?.or(owner),
                Err(panicked) => tracing::error!(%panicked, "a part of the trial broke off"),
            }
        }
        // A refresh that was too slow for us may be about to bring a rotated refresh token.
        self.tokens.settled().await;
        Ok(owner)
    }
}
