//! What is measured: the rows of the table, and the figures in them.

use serde::{Deserialize, Serialize};

/// One measurement.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Figure {
    /// What was measured.
    pub row: Row,
    /// Message in KiB, sessions, clients at once, or accounts, where the row is one of several sizes.
    pub at: Option<u64>,
    /// Of whom.
    pub contender: String,
    /// Counted from 1.
    pub round: usize,
    /// In the row's unit.
    pub value: f64,
}

/// What is measured. In the results a row is called by its name in kebab case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Row {
    /// POP3 RETR, by the size of the message.
    Download,
    /// SMTP DATA, by the size of the message.
    Upload,
    /// A whole POP3 session without mail, one after the other.
    Login,
    /// As many as one client makes after each other, or so many at once.
    LoginsPerSecond,
    /// SMTP, 4 KiB, on a session that is open.
    Message,
    /// POP3, from connecting to the answer to the password.
    LoginP50,
    /// The same.
    LoginP99,
    /// A command and its answer, while another session of the same program downloads large messages.
    BesideP50,
    /// The same.
    BesideP99,
    /// A login with an upstream far away.
    FarLogin,
    /// The same in round trips, over a direct login right before it.
    FarLoginMore,
    /// SMTP login and 4 KiB message, upstream far away.
    FarMessage,
    /// The same in round trips, over a direct one right before it.
    FarMessageMore,
    /// How far away it is: a command and its answer, without anything in between.
    RoundTrip,
    /// Right after the start.
    MemoryAtRest,
    /// After the first login has come and gone.
    MemoryAfterLogin,
    /// By the number of sessions, over what it was after the first login.
    MemoryPerSession,
    /// When the most sessions have closed, as a multiple of what it was at rest.
    MemoryAfterClose,
    /// With so many sessions.
    DescriptorsPerSession,
    /// Logins at once that came to nothing, of a program that has just started.
    LoginsRefused,
    /// The same, where each has a password of its own.
    StormRefused,
    /// From the first to the last who was let in then.
    StormTook,
    /// Until it has started and greets, by the number of accounts.
    Start,
    /// The executable.
    BinarySize,
}

impl Row {
    /// How people read it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Download => "download",
            Self::Upload => "upload",
            Self::Login => "whole login",
            Self::LoginsPerSecond => "logins per second",
            Self::Message => "4 KiB message, open session",
            Self::LoginP50 => "login p50",
            Self::LoginP99 => "login p99",
            Self::BesideP50 => "NOOP beside a download, p50",
            Self::BesideP99 => "NOOP beside a download, p99",
            Self::FarLogin => "login p50, upstream at 30 ms",
            Self::FarLoginMore => "over a direct one beside it",
            Self::FarMessage => "login and 4 KiB, at 30 ms",
            Self::FarMessageMore => "over direct ones beside it",
            Self::RoundTrip => "round trip to it",
            Self::MemoryAtRest => "RSS at rest",
            Self::MemoryAfterLogin => "RSS after one login",
            Self::MemoryPerSession => "RSS per idle session",
            Self::MemoryAfterClose => "RSS after they close",
            Self::DescriptorsPerSession => "descriptors per session",
            Self::LoginsRefused => "refused of logins at once",
            Self::StormRefused => "the same, own passwords",
            Self::StormTook => "until the last of these is in",
            Self::Start => "start",
            Self::BinarySize => "executable",
        }
    }

    /// Of its figures.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Download | Self::Upload => "CPU-s/GiB",
            Self::Login | Self::Message | Self::Start => "CPU-ms",
            Self::LoginsPerSecond => "1/s",
            Self::LoginP50
            | Self::LoginP99
            | Self::BesideP50
            | Self::BesideP99
            | Self::FarLogin
            | Self::FarMessage
            | Self::RoundTrip => "ms",
            Self::FarLoginMore | Self::FarMessageMore => "trips",
            Self::MemoryAtRest | Self::MemoryAfterLogin | Self::BinarySize => "MiB",
            Self::MemoryPerSession => "KiB",
            Self::MemoryAfterClose => "x at rest",
            Self::StormTook => "s",
            Self::DescriptorsPerSession | Self::LoginsRefused | Self::StormRefused => "",
        }
    }
}

/// The middle one, or the mean of the two in the middle; `None` of none.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = *values.get((values.len() - 1) / 2)?;
    Some(f64::midpoint(lower, upper))
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0]), Some(3.0));
        assert_eq!(median(vec![9.0, 1.0, 3.0]), Some(3.0));
        assert_eq!(median(vec![9.0, 1.0, 3.0, 4.0]), Some(3.5));
    }
}
