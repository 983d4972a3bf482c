//! The mailbox as a session has been told it is. Message numbers change only when the session says so (RFC 3501 section
//! 7.4.1), so what others do to the mailbox is caught up with between commands.

use super::command::Set;
use crate::sandbox::mailbox::{Flags, Mailboxes, Message};

/// A view of the messages, the first of which has number 1.
pub(super) struct Selected {
    pub(super) address: String,
    pub(super) read_only: bool,
    pub(super) messages: Vec<Message>,
}

/// What the numbers of a set are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Number,
    Uid,
}

impl Selected {
    pub(super) fn new(mailboxes: &Mailboxes, address: &str, read_only: bool) -> Self {
        Self { address: address.to_owned(), read_only, messages: mailboxes.messages(address) }
    }

    /// The indexes of the messages in the set. `None` when it names a number that no message has (RFC 3501 section 9,
    /// seq-number); a UID that none has is passed over.
    pub(super) fn chosen(&self, set: &Set, by: By) -> Option<Vec<usize>> {
        let largest = self.largest(by);
        if by == By::Number && (self.messages.is_empty() || set.largest_named() > largest) {
            return None;
        }
        let numbered = (1..).zip(&self.messages).enumerate();
        let chosen = numbered.filter(|(_, (number, message))| {
            let number = if by == By::Uid { message.uid } else { *number };
            set.contains(number, largest)
        });
        Some(chosen.map(|(index, _)| index).collect())
    }

    /// What `*` is; 0 where there is nothing.
    pub(super) fn largest(&self, by: By) -> u32 {
        match by {
            By::Number => u32::try_from(self.messages.len()).unwrap_or(u32::MAX),
            By::Uid => self.messages.last().map_or(0, |message| message.uid),
        }
    }

    /// Changes a message's flags, in the mailbox and here. `None` when it is gone from the mailbox.
    pub(super) fn change_flags(
        &mut self,
        mailboxes: &mut Mailboxes,
        index: usize,
        change: impl FnOnce(Flags) -> Flags,
    ) -> Option<Flags> {
        let message = self.messages.get_mut(index)?;
        message.flags = mailboxes.change_flags(&self.address, message.uid, change)?;
        Some(message.flags)
    }

    /// Removes the messages that are marked for it, and that the set of UIDs names where there is one.
    pub(super) fn expunge(&self, mailboxes: &mut Mailboxes, only: Option<&Set>) {
        if self.read_only {
            return;
        }
        let largest = self.largest(By::Uid);
        let deleted = mailboxes.messages(&self.address).into_iter().filter(|message| {
            message.flags.contains(Flags::DELETED)
                && only.is_none_or(|set| set.contains(message.uid, largest))
        });
        let uids: Vec<u32> = deleted.map(|message| message.uid).collect();
        mailboxes.delete(&self.address, &uids);
    }

    /// The untagged responses for everything that has changed.
    pub(super) fn catch_up(&mut self, mailboxes: &Mailboxes) -> String {
        let now = mailboxes.messages(&self.address);
        let current =
            |uid: u32| now.binary_search_by_key(&uid, |message| message.uid).ok().and_then(|at| now.get(at));
        let mut responses = Vec::new();
        // From the last on, so that each number is right when it is said.
        for index in (0..self.messages.len()).rev() {
            if self.messages.get(index).is_some_and(|message| current(message.uid).is_none()) {
                self.messages.remove(index);
                responses.push(format!("* {} EXPUNGE\r\n", index + 1));
            }
        }
        for (number, message) in (1..).zip(&mut self.messages) {
            if let Some(current) = current(message.uid).filter(|current| current.flags != message.flags) {
                message.flags = current.flags;
                responses.push(format!("* {number} FETCH (UID {} FLAGS {})\r\n", message.uid, message.flags));
            }
        }
        let known = self.largest(By::Uid);
        let before = self.messages.len();
        self.messages.extend(now.into_iter().filter(|message| message.uid > known));
        if self.messages.len() > before {
            responses.push(format!("* {} EXISTS\r\n", self.messages.len()));
        }
        responses.concat()
    }
}
