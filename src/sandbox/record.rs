//! What was said on the wire, kept for the demo's transcript and for tests. A token is kept as its first and last
//! characters, a message as its length.

use std::collections::VecDeque;
use std::time::Instant;

use gatepost_protocol::Protocol;

/// One connection's dialogue, in order.
#[derive(Clone, Debug)]
pub struct Dialogue {
    /// What was spoken.
    pub protocol: Protocol,
    /// What was said, by both.
    pub lines: Vec<Line>,
}

/// One line of a dialogue.
#[derive(Clone, Debug)]
pub struct Line {
    /// When, so that two dialogues can be laid side by side.
    pub at: Instant,
    /// Who said it.
    pub speaker: Speaker,
    /// Without its line end. What is in parentheses is a remark and was not said.
    pub text: String,
}

/// Who said a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaker {
    /// The side that dialled.
    Client,
    /// The side that was dialled.
    Server,
}

impl Dialogue {
    /// A dialogue in which nothing has been said.
    pub fn new(protocol: Protocol) -> Self {
        Self { protocol, lines: Vec::new() }
    }

    /// Notes every line of `text`.
    pub fn push(&mut self, speaker: Speaker, text: &str) {
        let at = Instant::now();
        self.lines.extend(text.lines().map(|line| Line { at, speaker, text: line.to_owned() }));
    }
}

/// The newest dialogues of all connections, so few that a benchmark of many connections does not fill memory.
#[derive(Default)]
pub(super) struct Records {
    dialogues: VecDeque<(u64, Dialogue)>,
    last: u64,
}

impl Records {
    const DIALOGUES: usize = 64;
    const LINES: usize = 200;

    pub(super) fn begin(&mut self, protocol: Protocol) -> u64 {
        if self.dialogues.len() == Self::DIALOGUES {
            self.dialogues.pop_front();
        }
        self.last += 1;
        self.dialogues.push_back((self.last, Dialogue::new(protocol)));
        self.last
    }

    pub(super) fn push(&mut self, id: u64, speaker: Speaker, text: &str) {
        // The newest are at the back, and the newest are the ones that talk.
        let found = self.dialogues.iter_mut().rev().find(|(number, _)| *number == id);
        if let Some((_, dialogue)) = found
            && dialogue.lines.len() < Self::LINES
        {
            dialogue.push(speaker, text);
        }
    }

    pub(super) fn all(&self) -> Vec<Dialogue> {
        self.dialogues.iter().map(|(_, dialogue)| dialogue.clone()).collect()
    }
}

/// A secret as its first and last four characters; less than that of one so short that they would give it away.
pub(super) fn shortened(secret: &str) -> String {
    let count = secret.chars().count();
    if count < 24 {
        return "...".to_owned();
    }
    let first: String = secret.chars().take(4).collect();
    let last: String = secret.chars().skip(count - 4).collect();
    format!("{first}...{last}")
}
