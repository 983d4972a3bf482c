//! `--wait`: tries every mailbox until the organisation's permissions have come into force everywhere, and stops as soon as
//! waiting cannot help any more. Nothing is kept: neither tokens nor what was found.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use gatepost_protocol::Protocol;
use gatepost_protocol::secret::Secret;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::super::table::{json, print, printable};
use super::super::{Exit, Failure, progress, style};
use super::attempt::{Attempt, Obstacle, Tried, run_all};
use super::mailboxes::Mailboxes;
use super::microsoft365::permission;
use crate::config::Config;
use crate::config::provider::{GrantType, OAuthClient, Provider};
use crate::oauth::application::{self, Claims};
use crate::oauth::diagnosis::EndpointError;

/// Between two rounds.
const INTERVAL: Duration = Duration::from_secs(30);

/// For how long a consent may be on its way into the tokens. What is missing then, nobody has granted.
const CONSENT: Duration = Duration::from_mins(5);

/// How the command line asks for it.
#[derive(clap::Args, Debug)]
pub(super) struct WaitArguments {
    /// When all is done: try the mailboxes every 30 s until each can be opened. Without names, those of the accounts
    #[arg(long)]
    pub(super) wait: bool,
    /// Give up after so long
    #[arg(long, value_name = "MINUTES", default_value_t = 60, requires = "wait")]
    wait_for: u64,
}

/// What is waited for.
pub(super) struct Waiting {
    provider: Arc<Provider>,
    client: Arc<OAuthClient>,
    logins: Vec<Login>,
    /// The time for one login.
    time: Duration,
    /// What the last token said about the application.
    claims: Option<Claims>,
}

/// One protocol of one mailbox.
struct Login {
    mailbox: String,
    protocol: Protocol,
    user_name: String,
    /// `None` until it was tried.
    result: Option<Result<(), Obstacle>>,
}

/// How the waiting ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// What is in the way does not go by itself.
    Hopeless,
    /// Every mailbox can be opened.
    Ready,
    /// The time is over.
    TimedOut,
}

/// How many mailboxes can be opened, and how many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Count {
    ready: usize,
    all: usize,
}

impl Login {
    fn is_ready(&self) -> bool {
        self.result == Some(Ok(()))
    }

    fn may_become_ready(&self) -> bool {
        match &self.result {
            None => true,
            Some(Ok(())) => false,
            Some(Err(obstacle)) => obstacle.may_pass,
        }
    }
}

impl Waiting {
    /// Finds the provider and the mailboxes. `protocols` are those to be tried; none means all that the provider has.
    pub(super) async fn begin(
        config: &Config,
        name: Option<&str>,
        grant: GrantType,
        mailboxes: &Mailboxes,
        protocols: &[Protocol],
    ) -> Result<Self, Failure> {
        let provider = super::provider(config, name, grant)?;
        let login = provider.and_then(|provider| {
            let client = Arc::clone(provider.oauth()?);
            Some((provider, client))
        });
        let Some((provider, client)) = login else {
            let message = format!(
                "{} has no provider with `grant: {}` to wait for; without --wait this command says what to write there",
                config.path.display(),
                grant.name()
            );
            return Err(Failure::new(Exit::Configuration, message));
        };
        let mailboxes = mailboxes.with_accounts(config, &provider.name).await?;
        if mailboxes.is_empty() {
            let message = "there is no mailbox to try: name some, or add accounts first";
            return Err(Failure::new(Exit::Failed, message));
        }
        let tried = |protocol: &Protocol| {
            (protocols.is_empty() || protocols.contains(protocol)) && provider.endpoint(*protocol).is_some()
        };
        let mut logins = Vec::new();
        for (mailbox, account) in mailboxes {
            for protocol in Protocol::ALL.into_iter().filter(tried) {
                let user_name = account.as_ref().map(|account| account.upstream_user_name(protocol));
                let user_name = user_name.unwrap_or(&mailbox).to_owned();
                logins.push(Login { mailbox: mailbox.clone(), protocol, user_name, result: None });
            }
        }
        if logins.is_empty() {
            let message = format!("provider {} has none of these protocols", provider.name);
            return Err(Failure::new(Exit::Configuration, message));
        }
        Ok(Self { provider, client, logins, time: config.limits.login, claims: None })
    }

    /// Waits as the command line says, and tells how it goes.
    pub(super) async fn run(mut self, arguments: &WaitArguments, as_json: bool) -> Result<(), Failure> {
        let begin = Instant::now();
        let limit = Duration::from_secs(arguments.wait_for.saturating_mul(60));
        let told = |line: &str| if as_json { Ok(()) } else { print(line) };
        if !as_json {
            let Count { all, .. } = self.count();
            print(&format!(
                "Trying {all} mailbox{} at {} every {} s, for {} at most. Half an hour is normal.\n",
                if all == 1 { "" } else { "es" },
                self.provider.name,
                INTERVAL.as_secs(),
                in_words(limit)
            ))?;
        }
        let pause = async |Count { ready, all }| {
            let note = format!("{ready} of {all} ready");
            progress::counted_up(&note, begin, sleep(INTERVAL)).await;
            begin.elapsed()
        };
        let end = self.until_ready(limit, told, pause).await?;
        if as_json {
            print(&json(&self.in_json(end, begin.elapsed())))?;
        }
        match end {
            End::Ready if as_json => Ok(()),
            End::Ready => print(&format!(
                "Every mailbox can be opened: devices are let in while `gatepost run` runs.\n{}",
                self.what_is_left_open().unwrap_or_default()
            )),
            End::Hopeless | End::TimedOut => {
                Err(Failure::new(Exit::Upstream, self.what_is_missing(end, begin.elapsed())))
            }
        }
    }

    /// Tries, tells what has changed, and pauses, again and again. `pause` gives the time since the beginning.
    async fn until_ready(
        &mut self,
        limit: Duration,
        told: impl Fn(&str) -> Result<(), Failure>,
        mut pause: impl AsyncFnMut(Count) -> Duration,
    ) -> Result<End, Failure> {
        let mut elapsed = Duration::ZERO;
        loop {
            for line in self.round(elapsed).await {
                told(&line)?;
            }
            if self.logins.iter().all(Login::is_ready) {
                return Ok(End::Ready);
            }
            if !self.logins.iter().any(Login::may_become_ready) {
                return Ok(End::Hopeless);
            }
            if elapsed >= limit {
                return Ok(End::TimedOut);
            }
            elapsed = pause(self.count()).await;
        }
    }

    /// Tries all that is not ready yet, and gives a line for each change.
    async fn round(&mut self, elapsed: Duration) -> Vec<String> {
        // One token serves every mailbox. A new one each time: permissions are written into it when it is made.
        let shared = match self.client.grant {
            GrantType::ClientCredentials => Some(application::token(&self.client, "").await),
            _ => None,
        };
        if let Some(Ok(token)) = &shared {
            self.claims = application::claims(token);
        }
        let results = run_all(self.attempts(shared.as_ref())).await;
        // In the order of the mailboxes, however they overtook each other.
        let mut lines = Vec::new();
        for position in 0..self.logins.len() {
            lines.extend(self.take(position, &results, elapsed));
        }
        match self.in_every_way() {
            Some(alike) if !lines.is_empty() => vec![format!("{} {alike}\n", style::cross())],
            _ => lines,
        }
    }

    /// All that is not ready yet, a mailbox at a time: some providers take few sessions of each.
    fn attempts(&self, token: Option<&Result<Secret<String>, EndpointError>>) -> Vec<Attempt> {
        let mut by_mailbox: BTreeMap<&str, Vec<(Protocol, String)>> = BTreeMap::new();
        for login in self.logins.iter().filter(|login| !login.is_ready()) {
            let logins = by_mailbox.entry(&login.mailbox).or_default();
            logins.push((login.protocol, login.user_name.clone()));
        }
        let attempt = |(mailbox, logins): (&str, _)| Attempt {
            provider: Arc::clone(&self.provider),
            mailbox: mailbox.to_owned(),
            logins,
            token: token.cloned(),
            time: self.time,
        };
        by_mailbox.into_iter().map(attempt).collect()
    }

    /// Takes the login's new result, and gives a line if it is another one than before.
    fn take(&mut self, position: usize, results: &[Tried], elapsed: Duration) -> Option<String> {
        let claims = self.claims.clone();
        let login = self.logins.get_mut(position)?;
        let (_, of_mailbox) = results.iter().find(|(mailbox, _)| *mailbox == login.mailbox)?;
        let (_, result) = of_mailbox.iter().find(|(protocol, _)| *protocol == login.protocol)?;
        let mut result = result.clone();
        if let (Err(obstacle), Some(missing)) =
            (&mut result, claims.and_then(|claims| not_granted(&claims, login.protocol)))
            && !obstacle.is_network
        {
            *obstacle = Obstacle { text: missing, may_pass: elapsed < CONSENT, is_network: false };
        }
        let is_new = login.result.as_ref() != Some(&result);
        let line = match &result {
            Ok(()) => format!(
                "{} {}, {}: ready after {}\n",
                style::tick(),
                login.mailbox,
                login.protocol,
                in_words(elapsed)
            ),
            Err(obstacle) => {
                format!(
                    "{} {}, {}: {}\n",
                    style::cross(),
                    login.mailbox,
                    login.protocol,
                    printable(&obstacle.text)
                )
            }
        };
        login.result = Some(result);
        is_new.then_some(line)
    }

    fn missing(&self) -> impl Iterator<Item = (&Login, &Obstacle)> {
        self.logins.iter().filter_map(|login| match &login.result {
            Some(Err(obstacle)) => Some((login, obstacle)),
            _ => None,
        })
    }

    /// What is in the way of all of them alike, where there are several.
    fn in_every_way(&self) -> Option<String> {
        let (login, first) = self.missing().next()?;
        let alike = self.missing().filter(|(_, obstacle)| obstacle.text == first.text).count();
        if alike < 2 || alike < self.logins.len() {
            return None;
        }
        let is_one_mailbox = self.logins.iter().all(|other| other.mailbox == login.mailbox);
        let which = if is_one_mailbox { &login.mailbox } else { "every mailbox" };
        Some(format!("{which}: {}", printable(&first.text)))
    }

    fn count(&self) -> Count {
        let mut ready: BTreeMap<&str, bool> = BTreeMap::new();
        for login in &self.logins {
            *ready.entry(&login.mailbox).or_insert(true) &= login.is_ready();
        }
        Count { ready: ready.values().filter(|ready| **ready).count(), all: ready.len() }
    }

    /// What even a login does not show: Exchange lets an application in by SMTP without a permission for the mailbox, and
    /// refuses the message when it has come. POP3 and IMAP tell at once.
    fn what_is_left_open(&self) -> Option<&'static str> {
        let by_smtp_alone = self.logins.iter().all(|login| login.protocol == Protocol::Smtp);
        (by_smtp_alone && self.client.grant == GrantType::ClientCredentials).then_some(
            "By SMTP alone the permission for the mailbox cannot be seen: where it is still on\nits way, the first message \
             is refused with `430 4.2.0 STOREDRV`.\n",
        )
    }

    /// What an administrator has to look at.
    fn what_is_missing(&self, end: End, elapsed: Duration) -> String {
        let Count { ready, all } = self.count();
        let mut text = match end {
            End::Hopeless => "waiting does not help here".to_owned(),
            End::Ready | End::TimedOut => format!("not ready after {}", in_words(elapsed)),
        };
        let _ = writeln!(text, "; {ready} of {all} mailboxes can be opened.");
        if let Some(alike) = self.in_every_way() {
            let _ = writeln!(text, "  {alike}");
        } else {
            for (login, obstacle) in self.missing() {
                let obstacle = printable(&obstacle.text);
                let _ = writeln!(text, "  {}, {}: {obstacle}", login.mailbox, login.protocol);
            }
        }
        text.push_str("To check:\n");
        if self.missing().any(|(_, obstacle)| obstacle.is_network) {
            text.push_str(
                "  - the network of this machine: its connection, DNS, and what a firewall lets out\n",
            );
        }
        // Where nobody was reached, nobody has refused anything.
        let was_reached = self.missing().any(|(_, obstacle)| !obstacle.is_network);
        for check in checks(&self.client, self.claims.as_ref()).iter().filter(|_| was_reached) {
            let _ = writeln!(text, "  - {check}");
        }
        text.trim_end().to_owned()
    }

    fn in_json(&self, end: End, elapsed: Duration) -> serde_json::Value {
        let mailboxes: Vec<_> = self
            .logins
            .iter()
            .map(|login| {
                let detail = login.result.as_ref().and_then(|result| result.as_ref().err());
                json!({
                    "address": login.mailbox,
                    "protocol": login.protocol.name(),
                    "ready": login.is_ready(),
                    "detail": detail.map(|obstacle| &obstacle.text),
                })
            })
            .collect();
        json!({ "ready": end == End::Ready, "seconds": elapsed.as_secs(), "mailboxes": mailboxes })
    }
}

/// What the token shows to be missing, where it shows anything.
fn not_granted(claims: &Claims, protocol: Protocol) -> Option<String> {
    let role = permission(protocol);
    (!claims.roles.iter().any(|granted| granted == role))
        .then(|| format!("the token lacks {role}: add it under API permissions, and grant admin consent"))
}

/// Where the usual mistakes are.
fn checks(client: &OAuthClient, claims: Option<&Claims>) -> Vec<String> {
    if client.grant == GrantType::ServiceAccount {
        return vec![
            format!(
                "Admin console > Domain-wide delegation: the client ID of {}\n    with the scope {}",
                client.client_id,
                client.scopes.join(",")
            ),
            "Admin console > Gmail > End User Access: POP and IMAP are allowed".to_owned(),
            "the mailbox exists, and this machine's clock is right".to_owned(),
        ];
    }
    let object_id = claims.and_then(|claims| claims.object_id.as_deref());
    let object_id = object_id.map(|id| format!(":\n    {id}")).unwrap_or_default();
    vec![
        format!(
            "Get-ServicePrincipal shows the object ID of the enterprise application,\n    not the one under App \
             registrations{object_id}"
        ),
        "App registrations > API permissions: a green tick at each".to_owned(),
        "the table at the end of the script: FullAccess, and the switches".to_owned(),
        "a new permission takes half an hour, now and then longer: wait once more".to_owned(),
    ]
}

/// Minutes and seconds.
fn in_words(time: Duration) -> String {
    match (time.as_secs() / 60, time.as_secs() % 60) {
        (0, seconds) => format!("{seconds} s"),
        (minutes, 0) => format!("{minutes} min"),
        (minutes, seconds) => format!("{minutes} min {seconds} s"),
    }
}

#[cfg(test)]
mod tests;
