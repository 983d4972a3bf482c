//! Early alarms: what will end, and who came into a state that needs somebody, told before mail stops: a line a day in the log, a
//! command, a message.
//!
//! A look compares how everything stands with what the store says was told, and puts what is new into the store. Telling
//! takes it from there: so a restart repeats nothing, of several processes one tells it, and a slow command keeps nobody from
//! looking.

mod command;
mod due;
mod mail;
mod matter;
mod step;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use self::due::Due;
use self::matter::Matter;
use self::step::Step;
pub(crate) use self::words::capitalised;
use self::words::{Alarm, Kind};
use crate::clock::Clock;
use crate::config::Config;
use crate::mailbox_password::MailboxPasswords;
use crate::oauth::Tokens;
use crate::standing::Survey;
use crate::store::alarms::{AlarmRecord, Channel};
use crate::store::{Store, StoreError};

/// How often everything is looked at: by wall time, which may have jumped since.
const LOOK: Duration = Duration::from_secs(37);

/// How often the log says that there is nobody to send a message through.
const DAY: Duration = Duration::from_hours(24);

/// Who looks, and tells.
#[derive(Debug)]
pub struct Alarms {
    config: Arc<Config>,
    store: Store,
    clock: Clock,
    tokens: Tokens,
    passwords: Arc<MailboxPasswords>,
    /// Since when we look.
    since: Mutex<SystemTime>,
    /// When the log last said that no account can send.
    said_no_sender: Mutex<Option<SystemTime>>,
    command_due: Notify,
    mail_due: Notify,
}

impl Alarms {
    /// By what the configuration says under `on_alarm`. Tokens and passwords are those that devices log in with: what one
    /// of them was refused is not sent again.
    pub fn new(
        config: Arc<Config>,
        store: Store,
        tokens: Tokens,
        passwords: Arc<MailboxPasswords>,
        clock: Clock,
    ) -> Self {
        Self {
            since: Mutex::new(clock.now()),
            said_no_sender: Mutex::default(),
            command_due: Notify::new(),
            mail_due: Notify::new(),
            config,
            store,
            clock,
            tokens,
            passwords,
        }
    }

    /// Looks and tells until Gatepost stops. A command that runs then is killed; it is run again by whoever looks next.
    pub async fn watch(self, stopping: CancellationToken) {
        let looking = async {
            let mut ticks = interval(LOOK);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                warn_of("cannot look for what needs somebody", self.look().await);
                self.command_due.notify_one();
                self.mail_due.notify_one();
            }
        };
        let commanding = async {
            loop {
                self.command_due.notified().await;
                warn_of("cannot see which alarms the command is due for", self.run_commands().await);
            }
        };
        let mailing = async {
            loop {
                self.mail_due.notified().await;
                warn_of("cannot see which alarms are to be mailed", self.send_mail().await);
            }
        };
        let all = async { tokio::join!(looking, commanding, mailing) };
        stopping.run_until_cancelled(Box::pin(all)).await;
    }

    /// Looks once: what is new is in the store afterwards, and what the log has to say is said.
    pub async fn look(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        let since = {
            let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
            // The clock may have been set back.
            *since = now.min(*since);
            *since
        };
        let survey = Survey::take(&self.config, &self.store, now).await?;
        let matters: BTreeMap<String, Matter> =
            matter::matters(&survey).into_iter().map(|matter| (matter.subject.clone(), matter)).collect();
        let mut records: BTreeMap<String, AlarmRecord> =
            self.store.alarms().await?.into_iter().map(|record| (record.subject.clone(), record)).collect();
        let subjects: BTreeSet<String> = matters.keys().chain(records.keys()).cloned().collect();
        for subject in subjects {
            let record = records.remove(&subject);
            self.settle(&subject, matters.get(&subject), record, since, now).await?;
        }
        Ok(())
    }

    /// Runs the command for everything that it is due for, one after the other.
    pub async fn run_commands(&self) -> Result<(), StoreError> {
        if self.config.on_alarm.command.is_none() {
            return Ok(());
        }
        for group in due::due_groups(self.store.alarms().await?, self.clock.now()) {
            let claimed = self.claimed(Channel::Command, group).await?;
            let Some(first) = claimed.first() else { continue };
            let (left, headline) =
                (tries_left(first, Channel::Command), first.alarm.headline(self.clock.now()));
            match self.run_command(&alarms(&claimed)).await {
                Ok(()) => {
                    info!(
                        kind = first.alarm.kind.word(),
                        accounts = claimed.len(),
                        "the alarm command was run: {headline}"
                    );
                    self.note_told(Channel::Command, &claimed).await?;
                }
                Err(failure) if left > 0 => {
                    warn!(tries_left = left, "the alarm command {failure}; it is tried again ({headline})");
                }
                Err(failure) => {
                    error!("the alarm command {failure}; it was tried for the last time ({headline})");
                }
            }
        }
        Ok(())
    }

    /// Sends one message with everything that is to be mailed, if there is anything and anybody to send it through.
    pub async fn send_mail(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        let to = &self.config.on_alarm.mail_to;
        if to.is_empty() {
            return Ok(());
        }
        let due = due::due(self.store.alarms().await?, Channel::Mail, now);
        let sent = self.store.alarm_messages(due::oldest_message(now)).await?;
        if due.is_empty() || !due::may_send(&sent, now) {
            return Ok(());
        }
        let survey = Survey::take(&self.config, &self.store, now).await?;
        let senders = mail::senders(&survey, &self.config, &alarms(&due));
        if senders.is_empty() {
            self.say_no_sender(now);
            return Ok(());
        }
        let claimed = self.claimed(Channel::Mail, due).await?;
        let Some(first) = claimed.first() else { return Ok(()) };
        let left = tries_left(first, Channel::Mail);
        let message = mail::message(to, &alarms(&claimed), now);
        match mail::send(&senders, &self.tokens, &self.passwords, &message).await {
            Ok(through) => {
                info!(through, alarms = claimed.len(), "an alarm was mailed: {}", message.subject);
                self.note_told(Channel::Mail, &claimed).await?;
                self.store.note_alarm_message(now, due::oldest_message(now)).await?;
            }
            Err(failure) if left > 0 => {
                warn!(tries_left = left, "an alarm could not be mailed, and is tried again: {failure}");
            }
            Err(failure) => {
                error!("an alarm could not be mailed, and was tried for the last time: {failure}");
            }
        }
        Ok(())
    }

    /// Runs the command with a sample. `None` where none is configured; `Err` says in words what it did instead.
    pub async fn try_command(&self) -> Option<Result<(), String>> {
        self.config.on_alarm.command.as_ref()?;
        Some(self.run_command(&[Alarm::sample()]).await)
    }

    /// Mails a sample. Gives the address that it went through; `None` where no message is configured.
    pub async fn try_mail(&self) -> Result<Option<Result<String, String>>, StoreError> {
        let (to, now) = (&self.config.on_alarm.mail_to, self.clock.now());
        if to.is_empty() {
            return Ok(None);
        }
        let survey = Survey::take(&self.config, &self.store, now).await?;
        let sample = [Alarm::sample()];
        let senders = mail::senders(&survey, &self.config, &sample);
        if senders.is_empty() {
            return Ok(Some(Err(NO_SENDER.to_owned())));
        }
        let message = mail::message(to, &sample, now);
        Ok(Some(mail::send(&senders, &self.tokens, &self.passwords, &message).await))
    }

    /// Does about one subject what is to be done. After each change the record is read again: another process may have
    /// been faster, and then it is done.
    async fn settle(
        &self,
        subject: &str,
        matter: Option<&Matter>,
        mut record: Option<AlarmRecord>,
        since: SystemTime,
        now: SystemTime,
    ) -> Result<(), StoreError> {
        // More than there are steps.
        for _ in 0..8 {
            match (step::next(matter, record.as_ref(), since, now), matter, &record) {
                (Step::Begin, Some(matter), _) => {
                    self.store.begin_alarm(subject, &matter.seen.word(), now).await?;
                }
                (Step::Note, Some(matter), Some(record)) => {
                    self.store.note_seen(record, &matter.seen.word(), now).await?;
                }
                (Step::Gone(since), _, Some(record)) => self.store.note_gone(record, since).await?,
                (Step::Raise(told), Some(matter), Some(record)) => {
                    // A struct of texts and numbers can always be written.
                    let alarm = serde_json::to_string(&matter.alarm).unwrap_or_default();
                    self.store.raise_alarm(record, &told, &alarm, due::TRIES, now).await?;
                }
                (Step::Log, Some(matter), Some(record)) => {
                    if self.store.claim_alarm_line(record, now).await? {
                        log(&matter.alarm, now);
                    }
                }
                (Step::Forget, _, Some(record)) => self.store.forget_alarm(record).await?,
                _ => return Ok(()),
            }
            record = self.store.alarm(subject).await?;
        }
        Ok(())
    }

    /// Those of them that are ours to tell.
    async fn claimed(&self, channel: Channel, due: Vec<Due>) -> Result<Vec<Due>, StoreError> {
        let mut claimed = Vec::with_capacity(due.len());
        for due in due {
            let next = self.clock.now() + due::pause(tries_left(&due, channel));
            if self.store.claim_telling(channel, &due.record, next).await? {
                claimed.push(due);
            }
        }
        Ok(claimed)
    }

    async fn note_told(&self, channel: Channel, claimed: &[Due]) -> Result<(), StoreError> {
        for due in claimed {
            self.store.note_told(channel, &due.record, self.clock.now()).await?;
        }
        Ok(())
    }

    async fn run_command(&self, alarms: &[Alarm]) -> Result<(), String> {
        match &self.config.on_alarm.command {
            Some(command) => {
                let told = command::run(command, alarms, self.clock.now()).await;
                told.map_err(|failure| format!("{} {failure}", command.program.display()))
            }
            None => Ok(()),
        }
    }

    fn say_no_sender(&self, now: SystemTime) {
        let mut said = self.said_no_sender.lock().unwrap_or_else(PoisonError::into_inner);
        if said.is_none_or(|at| now.duration_since(at).is_ok_and(|ago| ago >= DAY)) {
            *said = Some(now);
            warn!("an alarm cannot be mailed yet: {NO_SENDER}");
        }
    }
}

const NO_SENDER: &str = "no account is connected that can send; on_alarm: { command } needs none";

/// After the try that is being made.
fn tries_left(due: &Due, channel: Channel) -> i64 {
    due.record.telling(channel).left - 1
}

fn alarms(due: &[Due]) -> Vec<Alarm> {
    due.iter().map(|due| due.alarm.clone()).collect()
}

fn log(alarm: &Alarm, now: SystemTime) {
    let (kind, provider, account) = (alarm.kind.word(), &alarm.provider, alarm.account.as_deref());
    let sentence = alarm.sentence(now);
    if alarm.kind == Kind::AllClear {
        info!(alarm = kind, account, provider, "{sentence}");
    } else {
        warn!(alarm = kind, account, provider, "{sentence}");
    }
}

fn warn_of(what: &str, result: Result<(), StoreError>) {
    if let Err(error) = result {
        warn!("{what}: {error}");
    }
}
