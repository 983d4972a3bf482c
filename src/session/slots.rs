//! [`Slots`]: how many may do a thing at once, by whoever they count as. Sessions at a provider count by mailbox (Microsoft
//! SMTP: 3), password checks by the client's address. Who comes too early waits in order of arrival.

use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use dashmap::DashMap;
use gatepost_protocol::Protocol;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Which sessions count together: the provider counts by the mailbox that logs in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mailbox {
    /// The provider's name.
    pub provider: String,
    /// The user name toward the provider, in lower case.
    pub user_name: String,
    /// Each protocol has its own cap.
    pub protocol: Protocol,
}

/// Which clients count together: one IPv4 address, or one /64 of IPv6, which is what a single customer has.
pub fn counted_address(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        ipv4 @ IpAddr::V4(_) => ipv4,
    }
}

/// The places of all that have any.
#[derive(Debug)]
pub struct Slots<Key: Eq + Hash> {
    taken: DashMap<Key, Arc<Semaphore>>,
}

/// The right to one place, given back when dropped.
#[derive(Debug)]
pub struct Slot<Key: Clone + Eq + Hash> {
    // Fields are dropped in order: the permit goes back before the entry is looked at.
    permit: Option<OwnedSemaphorePermit>,
    capacity: usize,
    key: Key,
    slots: Arc<Slots<Key>>,
}

impl<Key: Clone + Eq + Hash> Slots<Key> {
    /// Waits for a place among `capacity`.
    pub async fn take(self: &Arc<Self>, key: Key, capacity: usize) -> Slot<Key> {
        let semaphore = Arc::clone(
            self.taken.entry(key.clone()).or_insert_with(|| Arc::new(Semaphore::new(capacity))).value(),
        );
        // Made first: whoever gives up waiting may be the last one here, and then its drop clears the entry away.
        let mut slot = Slot { permit: None, capacity, key, slots: Arc::clone(self) };
        // The semaphore is never closed, so an error cannot happen; without a permit the slot would only be uncounted.
        slot.permit = semaphore.acquire_owned().await.ok();
        slot
    }

    /// How many have places taken or wait for one.
    pub fn in_use(&self) -> usize {
        self.taken.len()
    }
}

impl<Key: Eq + Hash> Default for Slots<Key> {
    fn default() -> Self {
        Self { taken: DashMap::new() }
    }
}

impl<Key: Clone + Eq + Hash> Drop for Slot<Key> {
    fn drop(&mut self) {
        drop(self.permit.take());
        // Nobody holds or waits for it: the map's own reference is the last one.
        self.slots.taken.remove_if(&self.key, |_, semaphore| {
            semaphore.available_permits() == self.capacity && Arc::strong_count(semaphore) == 1
        });
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]
mod tests {
    use std::sync::Arc;

    use gatepost_protocol::Protocol;
    use tokio::sync::mpsc;

    use super::{Mailbox, Slots, counted_address};

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

    #[tokio::test(start_paused = true)]
    async fn an_address_that_takes_all_its_places_keeps_no_other_waiting() {
        let checks = Arc::new(Slots::default());
        let [guesser, same_house, desk] = ["2001:db8:1:2::3", "2001:db8:1:2:ffff::4", "192.0.2.1"]
            .map(|address| counted_address(address.parse().unwrap()));
        let held = checks.take(guesser, 1).await;
        let own = tokio::time::timeout(std::time::Duration::from_mins(1), checks.take(same_house, 1)).await;
        assert!(own.is_err(), "one /64 is one client");
        let other = checks.take(desk, 1).await;
        drop((held, other));
        assert_eq!(checks.in_use(), 0);
    }
}
