//! [`Slots`]: how many sessions a mailbox may have at its provider at once (Microsoft SMTP: 3). Who comes too early waits
//! in order of arrival.

use std::sync::Arc;

use dashmap::DashMap;
use gatepost_protocol::Protocol;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Which sessions count together: the provider counts by the mailbox that logs in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mailbox {
    /// The provider's name.
    pub provider: String,
    /// The user name toward the provider.
    pub user_name: String,
    /// Each protocol has its own cap.
    pub protocol: Protocol,
}

/// The sessions of all mailboxes that have any.
#[derive(Debug, Default)]
pub struct Slots {
    mailboxes: DashMap<Mailbox, Arc<Semaphore>>,
}

/// The right to one session at the provider, given back when dropped.
#[derive(Debug)]
pub struct Slot {
    // Fields are dropped in order: the permit goes back before the entry is looked at.
    permit: Option<OwnedSemaphorePermit>,
    capacity: usize,
    mailbox: Mailbox,
    slots: Arc<Slots>,
}

impl Slots {
    /// Waits for a place among `capacity`.
    pub async fn take(self: &Arc<Self>, mailbox: Mailbox, capacity: usize) -> Slot {
        let semaphore = Arc::clone(
            self.mailboxes
                .entry(mailbox.clone())
                .or_insert_with(|| Arc::new(Semaphore::new(capacity)))
                .value(),
        );
        // Made first: whoever gives up waiting may be the last one here, and then its drop clears the entry away.
        let mut slot = Slot { permit: None, capacity, mailbox, slots: Arc::clone(self) };
        // The semaphore is never closed, so an error cannot happen; without a permit the slot would only be uncounted.
        slot.permit = semaphore.acquire_owned().await.ok();
        slot
    }

    /// Mailboxes that have sessions or waiters.
    pub fn in_use(&self) -> usize {
        self.mailboxes.len()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        drop(self.permit.take());
        // Nobody holds or waits for it: the map's own reference is the last one.
        self.slots.mailboxes.remove_if(&self.mailbox, |_, semaphore| {
            semaphore.available_permits() == self.capacity && Arc::strong_count(semaphore) == 1
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use gatepost_protocol::Protocol;
    use tokio::sync::mpsc;

    use super::{Mailbox, Slots};

    fn mailbox() -> Mailbox {
        Mailbox {
            provider: "contoso".into(),
            user_name: "scans@contoso.com".into(),
            protocol: Protocol::Smtp,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_fourth_session_waits_its_turn_and_nothing_is_left_behind() {
        let slots = Arc::new(Slots::default());
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(slots.take(mailbox(), 3).await);
        }
        let (sender, mut arrivals) = mpsc::unbounded_channel();
        let mut waiting = Vec::new();
        for number in 4..7 {
            let (slots, sender) = (Arc::clone(&slots), sender.clone());
            waiting.push(tokio::spawn(async move {
                let _slot = slots.take(mailbox(), 3).await;
                let _ = sender.send(number);
            }));
            tokio::task::yield_now().await;
        }
        assert!(arrivals.try_recv().is_err(), "nobody gets in while three are held");
        held.clear();
        drop(sender);
        let mut order = Vec::new();
        while let Some(number) = arrivals.recv().await {
            order.push(number);
        }
        assert_eq!(order, [4, 5, 6]);
        for task in waiting {
            assert!(task.await.is_ok());
        }
        assert_eq!(slots.in_use(), 0);
    }

    #[tokio::test]
    async fn the_last_one_who_gives_up_waiting_leaves_nothing_behind() {
        let slots = Arc::new(Slots::default());
        let held = slots.take(mailbox(), 1).await;
        let mut waiting = Box::pin(slots.take(mailbox(), 1));
        assert!(polled_once(&mut waiting).await.is_none());
        drop(held);
        assert_eq!(slots.in_use(), 1, "somebody waits");
        drop(waiting);
        assert_eq!(slots.in_use(), 0);
    }

    /// Polls once.
    async fn polled_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        tokio::select! {
            biased;
            output = future => Some(output),
            () = std::future::ready(()) => None,
        }
    }
}
