//! What each part of a run measures of one contender.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tokio::time::sleep;

use super::Part;
use super::figure::Row;
use super::scale::Scale;
use crate::contender::Contender;
use crate::load::{self, Client};
use crate::message::Message;
use crate::process;

/// A value that was measured, for a row and a size.
pub(super) type Value = (Row, Option<u64>, f64);

const GIB: f64 = (1_u64 << 30) as f64;
const MIB: f64 = (1_u64 << 20) as f64;
const KIB: f64 = 1024.0;

/// A contender under load.
pub(super) struct Subject<'a> {
    pub(super) contender: &'a Contender,
    pub(super) client: Arc<Client>,
    /// Logs in at the same upstream with nothing in between.
    pub(super) direct: Arc<Client>,
    pub(super) scale: &'a Scale,
}

impl Subject<'_> {
    /// Everything that belongs to the part. What was measured before something failed is kept.
    pub(super) async fn measure(&self, part: Part, values: &mut Vec<Value>) -> anyhow::Result<()> {
        match part {
            Part::Download => values.extend(self.download(self.scale.large, self.scale.volume).await?),
            Part::Upload => values.extend(self.upload().await?),
            Part::Login => values.extend(self.login().await?),
            Part::Message => values.extend(self.message().await?),
            Part::Latency => values.extend(self.latency().await?),
            Part::Beside => values.extend(self.beside().await?),
            Part::Far => values.extend(self.far().await?),
            Part::Idle => self.idle(values).await?,
            Part::Parallel => values.extend(self.parallel().await?),
            Part::Curves => self.curves(values).await?,
            Part::Start => values.extend(self.start()?),
            // Has a Gatepost of its own.
            Part::Storm => {}
        }
        Ok(())
    }

    /// Processor time per GiB of messages that have so many KiB, so much in all.
    async fn download(&self, kib: usize, volume: usize) -> anyhow::Result<Vec<Value>> {
        let message = Message::of_kib(kib)?;
        let mut session = self.client.pop3().await?;
        // The upstream makes it when it is asked for first.
        session.fetch(&message).await?;
        let (end, before) = (Instant::now() + self.scale.patience, self.processor_time()?);
        let mut octets = 0;
        while octets < volume && Instant::now() < end {
            session.fetch(&message).await?;
            octets += message.wire.len();
        }
        let used = self.used_since(before)?;
        session.quit().await?;
        Ok(self.if_measured((Row::Download, Some(kib as u64), per_gib(used, octets))))
    }

    async fn upload(&self) -> anyhow::Result<Vec<Value>> {
        let Scale { large: kib, volume, .. } = *self.scale;
        let message = Message::of_kib(kib)?;
        let mut session = self.client.smtp().await?;
        session.send(&message).await?;
        let (end, before) = (Instant::now() + self.scale.patience, self.processor_time()?);
        let mut octets = 0;
        while octets < volume && Instant::now() < end {
            session.send(&message).await?;
            octets += message.wire.len();
        }
        let used = self.used_since(before)?;
        session.quit().await?;
        Ok(self.if_measured((Row::Upload, Some(kib as u64), per_gib(used, octets))))
    }

    async fn login(&self) -> anyhow::Result<Vec<Value>> {
        load::logins(&self.client, 1, self.scale.warm_up, self.scale.patience).await?;
        let (start, before) = (Instant::now(), self.processor_time()?);
        let logins =
            load::logins(&self.client, 1, self.scale.logins, self.scale.patience).await?.len() as f64;
        let used = self.used_since(before)?;
        let mut values = vec![(Row::LoginsPerSecond, Some(1), logins / start.elapsed().as_secs_f64())];
        values.extend(self.if_measured((Row::Login, None, milliseconds(used) / logins)));
        Ok(values)
    }

    async fn message(&self) -> anyhow::Result<Vec<Value>> {
        let message = Message::of_kib(4)?;
        let mut session = self.client.smtp().await?;
        session.send(&message).await?;
        let (end, before) = (Instant::now() + self.scale.patience, self.processor_time()?);
        let mut sent = 0;
        while sent < self.scale.messages && Instant::now() < end {
            session.send(&message).await?;
            sent += 1;
        }
        let used = self.used_since(before)?;
        session.quit().await?;
        Ok(self.if_measured((Row::Message, None, milliseconds(used) / f64::from(sent))))
    }

    /// Sessions that are logged in and wait: more and more of them, then none.
    async fn idle(&self, values: &mut Vec<Value>) -> anyhow::Result<()> {
        if self.contender.processes.is_empty() {
            return Ok(());
        }
        let at_rest = self.settled_memory().await?;
        self.client.pop3().await?.quit().await?;
        let after_login = self.settled_memory().await?;
        let descriptors = process::descriptors(&self.contender.processes)?;
        values.push((Row::MemoryAtRest, None, at_rest / MIB));
        values.push((Row::MemoryAfterLogin, None, after_login / MIB));
        let mut sessions = Vec::new();
        for &number in &self.scale.sessions {
            sessions.extend(load::open(&self.client, number - sessions.len()).await?);
            let more = self.settled_memory().await? - after_login;
            values.push((Row::MemoryPerSession, Some(number as u64), more / KIB / number as f64));
            let more = process::descriptors(&self.contender.processes)? - descriptors;
            values.push((Row::DescriptorsPerSession, Some(number as u64), more as f64 / number as f64));
        }
        // Each of them still works.
        for session in &mut sessions {
            session.nothing("+OK").await?;
        }
        for session in sessions {
            session.quit().await?;
        }
        values.push((Row::MemoryAfterClose, None, self.settled_memory().await? / at_rest));
        Ok(())
    }

    /// Right after the start, when nobody has logged in yet: that is when everything is asked for at once.
    async fn parallel(&self) -> anyhow::Result<Vec<Value>> {
        let number = self.scale.at_once;
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..number {
            let client = Arc::clone(&self.client);
            tasks.spawn(async move { client.pop3().await?.quit().await });
        }
        let mut refused = Vec::new();
        while let Some(ended) = tasks.join_next().await {
            refused.extend(ended?.err());
        }
        if let Some(error) = refused.first() {
            eprintln!("{}: {} of {number} refused, one with: {error:#}", self.contender.name, refused.len());
        }
        Ok(vec![(Row::LoginsRefused, Some(number as u64), refused.len() as f64)])
    }

    async fn curves(&self, values: &mut Vec<Value>) -> anyhow::Result<()> {
        for &kib in &self.scale.sizes {
            // Small ones are many.
            let volume = self.scale.volume.min(kib * 1024 * self.scale.messages as usize);
            values.extend(self.download(kib, volume).await?);
        }
        for &clients in &self.scale.clients {
            let start = Instant::now();
            let number = self.scale.logins.max(4 * clients);
            let logins = load::logins(&self.client, clients, number, self.scale.patience).await?;
            let rate = logins.len() as f64 / start.elapsed().as_secs_f64();
            values.push((Row::LoginsPerSecond, Some(clients as u64), rate));
        }
        Ok(())
    }

    /// What it took up to now, which is its greeting.
    fn start(&self) -> anyhow::Result<Vec<Value>> {
        let Some(&root) = self.contender.processes.first() else { return Ok(Vec::new()) };
        Ok(vec![
            (Row::Start, Some(1), milliseconds(self.processor_time()?)),
            (Row::BinarySize, None, process::executable_size(root)? as f64 / MIB),
        ])
    }

    fn processor_time(&self) -> anyhow::Result<Duration> {
        process::processor_time(&self.contender.processes)
    }

    fn used_since(&self, before: Duration) -> anyhow::Result<Duration> {
        let used = self.processor_time()?.checked_sub(before);
        used.context("used less processor time than before: a process has gone that nobody waited for")
    }

    /// Without a program in between there is nobody whose time it would be.
    fn if_measured(&self, value: Value) -> Vec<Value> {
        if self.contender.processes.is_empty() { Vec::new() } else { vec![value] }
    }

    /// Resident memory in octets, once it stays the same for a while.
    async fn settled_memory(&self) -> anyhow::Result<f64> {
        const LOOKS: usize = 4;
        let mut last = 0.0;
        let mut same = 0;
        for _ in 0..100 {
            sleep(self.scale.settle).await;
            let now = process::resident(&self.contender.processes)? as f64;
            same = if (now - last).abs() < 0.002 * now { same + 1 } else { 0 };
            last = now;
            if same == LOOKS {
                break;
            }
        }
        ensure!(last > 0.0, "{} has no memory", self.contender.name);
        Ok(last)
    }
}

fn per_gib(used: Duration, octets: usize) -> f64 {
    used.as_secs_f64() * GIB / octets as f64
}

pub(super) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
