//! How long somebody waits: for a login, for an answer beside a large download, for both when the upstream is far away.
//!
//! Rule: these are wall-clock times, so each stands beside a direct client's of the same minutes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{anyhow, ensure};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::figure::{Row, median};
use super::measure::{Subject, Value, milliseconds};
use crate::contender::{self, Setup, user_name};
use crate::load::{self, Client, percentile};
use crate::message::Message;
use crate::upstream::Upstream;

impl Subject<'_> {
    pub(super) async fn latency(&self) -> anyhow::Result<Vec<Value>> {
        load::logins(&self.client, 1, self.scale.warm_up, self.scale.patience).await?;
        let took = load::logins(&self.client, 1, self.scale.logins, self.scale.patience).await?;
        Ok(vec![
            (Row::LoginP50, None, milliseconds(percentile(took.clone(), 50))),
            (Row::LoginP99, None, milliseconds(percentile(took, 99))),
        ])
    }

    /// A session that asks for little, while another one takes all it can get.
    pub(super) async fn beside(&self) -> anyhow::Result<Vec<Value>> {
        let message = Message::of_kib(self.scale.large)?;
        let mut small = self.client.pop3().await?;
        let stop = Arc::new(AtomicBool::new(false));
        let (client, stopped) = (Arc::clone(&self.client), Arc::clone(&stop));
        // On a thread of its own, so that no answer waits for the load.
        let bulk = std::thread::spawn(move || downloads(&client, &message, &stopped));
        let mut took = Vec::new();
        let end = Instant::now() + self.scale.patience;
        while took.len() < self.scale.logins && Instant::now() < end {
            // As somebody who types, and not another bulk load.
            sleep(Duration::from_millis(2)).await;
            let start = Instant::now();
            small.nothing("+OK").await?;
            took.push(start.elapsed());
        }
        stop.store(true, Ordering::Relaxed);
        let fetched = tokio::task::spawn_blocking(|| bulk.join()).await?;
        let fetched = fetched.map_err(|_| anyhow!("the download panicked"))??;
        ensure!(fetched > 0, "nothing was downloaded beside it");
        small.quit().await?;
        Ok(vec![
            (Row::BesideP50, None, milliseconds(percentile(took.clone(), 50))),
            (Row::BesideP99, None, milliseconds(percentile(took, 99))),
        ])
    }

    /// The upstream behind this contender answers late. What is compared is each login with the direct one before it: how late answers come
    /// varies more from one minute to the next than programs differ.
    pub(super) async fn far(&self) -> anyhow::Result<Vec<Value>> {
        let message = Message::of_kib(4)?;
        // Their TLS sessions are resumed from then on.
        for client in [&self.direct, &self.client] {
            login(client).await?;
            login_and_message(client, &message).await?;
        }
        let mut idle = self.direct.smtp().await?;
        let (mut logins, mut messages, mut round_trips) = (Vec::new(), Vec::new(), Vec::new());
        let (mut login_more, mut message_more) = (Vec::new(), Vec::new());
        for _ in 0..self.scale.far {
            let start = Instant::now();
            idle.nothing("250").await?;
            let round_trip = start.elapsed();
            let direct = login(&self.direct).await?;
            let here = login(&self.client).await?;
            login_more.push((here.as_secs_f64() - direct.as_secs_f64()) / round_trip.as_secs_f64());
            logins.push(here);
            let direct = login_and_message(&self.direct, &message).await?;
            let here = login_and_message(&self.client, &message).await?;
            message_more.push((here.as_secs_f64() - direct.as_secs_f64()) / round_trip.as_secs_f64());
            messages.push(here);
            round_trips.push(round_trip);
        }
        idle.quit().await?;
        let mut values = vec![
            (Row::FarLogin, None, milliseconds(percentile(logins, 50))),
            (Row::FarMessage, None, milliseconds(percentile(messages, 50))),
            (Row::RoundTrip, None, milliseconds(percentile(round_trips, 50))),
        ];
        values.extend(median(login_more).map(|more| (Row::FarLoginMore, None, more)));
        values.extend(median(message_more).map(|more| (Row::FarMessageMore, None, more)));
        Ok(values)
    }
}

/// The worst morning: Gatepost has just started, so it remembers nobody, and everybody logs in at once, each with a password that
/// has to be hashed for it.
pub(super) async fn storm(upstream: &Upstream, people: usize, values: &mut Vec<Value>) -> anyhow::Result<()> {
    let setup = Setup { accounts: people, own_hashes: true, ..Setup::default() };
    let contender = contender::prepare_gatepost(upstream, setup).await?.start().await?;
    let everybody = Client::new(&contender, upstream)?;
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for number in 0..people {
        let client = everybody.named(user_name(number));
        tasks.spawn(async move {
            let session = client.pop3().await?;
            let took = start.elapsed();
            session.quit().await?;
            anyhow::Ok(took)
        });
    }
    let (mut last, mut refused) = (Duration::ZERO, Vec::new());
    while let Some(ended) = tasks.join_next().await {
        match ended? {
            Ok(took) => last = last.max(took),
            Err(error) => refused.push(error),
        }
    }
    if let Some(error) = refused.first() {
        eprintln!("{} of {people} refused, one with: {error:#}", refused.len());
    }
    values.push((Row::StormRefused, Some(people as u64), refused.len() as f64));
    values.push((Row::StormTook, Some(people as u64), last.as_secs_f64()));
    Ok(())
}

/// Fetches the message by POP3 until it is told to stop; how often it came.
fn downloads(client: &Arc<Client>, message: &Message, stop: &AtomicBool) -> anyhow::Result<u32> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut session = client.pop3().await?;
        let mut fetched = 0;
        while !stop.load(Ordering::Relaxed) {
            session.fetch(message).await?;
            fetched += 1;
        }
        session.quit().await?;
        Ok(fetched)
    })
}

/// From connecting to the answer to the password, by POP3.
async fn login(client: &Arc<Client>) -> anyhow::Result<Duration> {
    let start = Instant::now();
    let session = client.pop3().await?;
    let took = start.elapsed();
    session.quit().await?;
    Ok(took)
}

/// From connecting to the answer to the message, by SMTP.
async fn login_and_message(client: &Arc<Client>, message: &Message) -> anyhow::Result<Duration> {
    let start = Instant::now();
    let mut session = client.smtp().await?;
    session.send(message).await?;
    let took = start.elapsed();
    session.quit().await?;
    Ok(took)
}
