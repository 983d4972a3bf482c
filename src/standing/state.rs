//! [`State`]: one word for how an account stands, with the reason and the next step; and whether somebody has to do something.
//! The word says whether mail goes through; whose turn it is follows from the reason.

/// How an account stands, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// Logins get in, as far as is known.
    Connected,
    /// Switched off by the admin.
    Disabled,
    /// Nobody has consented or typed a password yet.
    NotConnected,
    /// What it gets in with has ended, and nothing new has come.
    Expired,
    /// The provider said no.
    Refused,
}

impl State {
    /// All of them, the best first.
    pub const ALL: [Self; 5] =
        [Self::Connected, Self::Disabled, Self::NotConnected, Self::Expired, Self::Refused];

    /// The word that people and scripts read.
    pub fn word(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Disabled => "disabled",
            Self::NotConnected => "not connected",
            Self::Expired => "expired",
            Self::Refused => "refused",
        }
    }
}

/// Whether somebody has to do something. The greatest is the worst.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Attention {
    /// All is well, or is meant to be so.
    #[default]
    None,
    /// Mail goes through, and will not for ever unless somebody does something.
    Soon,
    /// Mail does not go through.
    Now,
}

impl Attention {
    /// The word that scripts read.
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Soon => "soon",
            Self::Now => "now",
        }
    }
}

/// A [`State`] with its reason and the next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The word.
    pub state: State,
    /// Why it is so; at a connected account, what is in the way of its next token, or that there is none yet.
    pub reason: Option<String>,
    /// What to do, where somebody has to do something: a command, or a short sentence, with the command at its end behind a colon
    /// where there is one.
    pub next_step: Option<String>,
}

impl Verdict {
    /// Whether somebody has to do something about it.
    pub fn attention(&self) -> Attention {
        match (self.state, &self.next_step) {
            (State::Disabled, _) | (State::Connected, None) => Attention::None,
            (State::Connected, Some(_)) => Attention::Soon,
            (State::NotConnected | State::Expired | State::Refused, _) => Attention::Now,
        }
    }

    pub(super) fn connected() -> Self {
        Self { state: State::Connected, reason: None, next_step: None }
    }

    /// Connected, with something that is worth knowing and needs nobody.
    pub(super) fn connected_although(reason: impl Into<String>) -> Self {
        Self { reason: Some(reason.into()), ..Self::connected() }
    }

    pub(super) fn new(state: State, reason: impl Into<String>, next_step: impl Into<String>) -> Self {
        Self { state, reason: Some(reason.into()), next_step: Some(next_step.into()) }
    }
}
