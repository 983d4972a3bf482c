//! Mailboxes in memory. A message comes out exactly as it went in: the tests compare whole messages.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use time::OffsetDateTime;
use tokio::sync::watch;

/// A message, and what IMAP and POP3 know about it.
#[derive(Clone, Debug)]
pub(super) struct Message {
    /// Unique and ascending within its mailbox.
    pub(super) uid: u32,
    pub(super) bytes: Bytes,
    pub(super) flags: Flags,
    pub(super) received: OffsetDateTime,
}

/// The system flags of RFC 3501 section 2.3.2, a bit for each name in [`Flags::NAMES`]. There are no others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Flags(u8);

/// Every mailbox of the sandbox. One exists from its first message on; an address that nobody wrote to has an empty one.
pub(super) struct Mailboxes {
    by_address: BTreeMap<String, Mailbox>,
    uid_validity: u32,
    changes: watch::Sender<()>,
}

/// Messages by ascending UID.
#[derive(Default)]
struct Mailbox {
    messages: Vec<Message>,
    last_uid: u32,
}

impl Mailboxes {
    pub(super) fn new() -> Self {
        // UIDs begin again with every sandbox, so their validity must not (RFC 3501 section 2.3.1.1).
        let now = OffsetDateTime::now_utc().unix_timestamp();
        let uid_validity = u32::try_from(now).unwrap_or(u32::MAX);
        Self { by_address: BTreeMap::new(), uid_validity, changes: watch::Sender::new(()) }
    }

    pub(super) fn deliver(&mut self, address: &str, bytes: Bytes) {
        self.append(address, bytes, Flags::default(), OffsetDateTime::now_utc());
    }

    /// Gives the new message's UID.
    pub(super) fn append(
        &mut self,
        address: &str,
        bytes: Bytes,
        flags: Flags,
        received: OffsetDateTime,
    ) -> u32 {
        let mailbox = self.by_address.entry(address.to_ascii_lowercase()).or_default();
        mailbox.last_uid += 1;
        let uid = mailbox.last_uid;
        mailbox.messages.push(Message { uid, bytes, flags, received });
        self.changes.send_replace(());
        uid
    }

    pub(super) fn messages(&self, address: &str) -> Vec<Message> {
        self.mailbox(address).map(|mailbox| mailbox.messages.clone()).unwrap_or_default()
    }

    pub(super) fn delete(&mut self, address: &str, uids: &[u32]) {
        if let Some(mailbox) = self.by_address.get_mut(&address.to_ascii_lowercase()) {
            mailbox.messages.retain(|message| !uids.contains(&message.uid));
            self.changes.send_replace(());
        }
    }

    /// Changes a message's flags, and gives the new ones unless the message is gone.
    pub(super) fn change_flags(
        &mut self,
        address: &str,
        uid: u32,
        change: impl FnOnce(Flags) -> Flags,
    ) -> Option<Flags> {
        let mailbox = self.by_address.get_mut(&address.to_ascii_lowercase())?;
        let index = mailbox.messages.binary_search_by_key(&uid, |message| message.uid).ok()?;
        let message = mailbox.messages.get_mut(index)?;
        message.flags = change(message.flags);
        let flags = message.flags;
        self.changes.send_replace(());
        Some(flags)
    }

    pub(super) fn uid_validity(&self) -> u32 {
        self.uid_validity
    }

    pub(super) fn uid_next(&self, address: &str) -> u32 {
        self.mailbox(address).map_or(0, |mailbox| mailbox.last_uid) + 1
    }

    /// Wakes at every change from now on, of any mailbox.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    fn mailbox(&self, address: &str) -> Option<&Mailbox> {
        self.by_address.get(&address.to_ascii_lowercase())
    }
}

impl Flags {
    pub(super) const DELETED: Self = Self(0b0_0100);
    pub(super) const SEEN: Self = Self(0b0_1000);
    const NAMES: [&str; 5] = [r"\Answered", r"\Flagged", r"\Deleted", r"\Seen", r"\Draft"];

    pub(super) const fn all() -> Self {
        Self(0b1_1111)
    }

    /// `\Seen` and the like, in any case of letters.
    pub(super) fn named(name: &str) -> Option<Self> {
        let position = Self::NAMES.iter().position(|known| known.eq_ignore_ascii_case(name))?;
        Some(Self(1 << position))
    }

    pub(super) const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub(super) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

/// As IMAP lists them, with the parentheses.
impl fmt::Display for Flags {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = Self::NAMES.iter().enumerate().filter(|(bit, _)| self.0 & (1 << bit) != 0);
        let names: Vec<&str> = set.map(|(_, name)| *name).collect();
        write!(formatter, "({})", names.join(" "))
    }
}
