//! Mailboxes in memory. A message comes out exactly as it went in: the tests compare whole messages.

use std::collections::BTreeMap;

use bytes::Bytes;

/// A message, and the number that POP3 shows as its unique id.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) uid: u64,
    pub(super) bytes: Bytes,
}

/// Every mailbox of the sandbox. One exists from its first message on; an address that nobody wrote to has an empty one.
#[derive(Default)]
pub(super) struct Mailboxes {
    by_address: BTreeMap<String, Vec<Message>>,
    last_uid: u64,
}

impl Mailboxes {
    pub(super) fn deliver(&mut self, address: &str, bytes: Bytes) {
        self.last_uid += 1;
        let message = Message { uid: self.last_uid, bytes };
        self.by_address.entry(address.to_ascii_lowercase()).or_default().push(message);
    }

    pub(super) fn messages(&self, address: &str) -> Vec<Message> {
        self.by_address.get(&address.to_ascii_lowercase()).cloned().unwrap_or_default()
    }

    pub(super) fn delete(&mut self, address: &str, uids: &[u64]) {
        if let Some(messages) = self.by_address.get_mut(&address.to_ascii_lowercase()) {
            messages.retain(|message| !uids.contains(&message.uid));
        }
    }
}
