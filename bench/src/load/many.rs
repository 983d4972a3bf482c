//! Many clients: one after the other, and at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::session::{Client, Session};

/// How many open at once where thousands of sessions are wanted. No program need have a longer queue.
const OPENING: usize = 64;

/// POP3 logins with their goodbye, so many in all by so many clients at once, until they are done or the time is over; what each login
/// took, without the goodbye.
pub async fn logins(
    client: &Arc<Client>,
    clients: usize,
    number: usize,
    time: Duration,
) -> anyhow::Result<Vec<Duration>> {
    let begun = Arc::new(AtomicUsize::new(0));
    let end = Instant::now() + time;
    let mut tasks = JoinSet::new();
    for _ in 0..clients {
        let (client, begun) = (Arc::clone(client), Arc::clone(&begun));
        tasks.spawn(async move {
            let mut took = Vec::new();
            while begun.fetch_add(1, Ordering::Relaxed) < number && Instant::now() < end {
                let start = Instant::now();
                let session = client.pop3().await?;
                took.push(start.elapsed());
                session.quit().await?;
            }
            anyhow::Ok(took)
        });
    }
    let mut all = Vec::new();
    while let Some(took) = tasks.join_next().await {
        all.extend(took??);
    }
    Ok(all)
}

/// So many POP3 sessions that are logged in, and do nothing.
pub async fn open(client: &Arc<Client>, number: usize) -> anyhow::Result<Vec<Session>> {
    let begun = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..OPENING.min(number) {
        let (client, begun) = (Arc::clone(client), Arc::clone(&begun));
        tasks.spawn(async move {
            let mut sessions = Vec::new();
            while begun.fetch_add(1, Ordering::Relaxed) < number {
                sessions.push(client.pop3().await?);
            }
            anyhow::Ok(sessions)
        });
    }
    let mut all = Vec::with_capacity(number);
    while let Some(sessions) = tasks.join_next().await {
        all.extend(sessions??);
    }
    Ok(all)
}

/// The value below which so much of them is, in hundredths.
pub fn percentile(mut values: Vec<Duration>, hundredths: usize) -> Duration {
    values.sort_unstable();
    let position = values.len() * hundredths / 100;
    values.get(position.min(values.len().saturating_sub(1))).copied().unwrap_or_default()
}
