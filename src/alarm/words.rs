//! [`Alarm`]: one thing that somebody should hear of, and the words for it: a line for the log, a paragraph for a message,
//! values for the command.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use time::format_description::well_known::Rfc3339;

use crate::clock::utc;

const DAY: u64 = 86_400;

/// Something worth telling. It is kept in the store, so that it is told in the same words however late.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Alarm {
    /// What it is about.
    pub(super) kind: Kind,
    /// As the configuration names it; empty in a test.
    pub(super) provider: String,
    /// The mailbox, where it is about one.
    pub(super) account: Option<String>,
    /// Its state, in one word.
    pub(super) state: Option<String>,
    /// Why.
    pub(super) reason: Option<String>,
    /// What to do, where somebody has to do something.
    pub(super) next_step: Option<String>,
    /// When something ends, in seconds since 1970.
    pub(super) until: Option<u64>,
}

/// What an alarm is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// An account came into a state that needs somebody.
    Account,
    /// And out of it again.
    AllClear,
    /// The client's certificate ends.
    ClientCertificate,
    /// The client's secret ends.
    ClientSecret,
    /// The provider will forget a consent that is not used.
    Consent,
    /// Somebody wants to know whether alarms arrive.
    Test,
}

impl Kind {
    /// As the command is told.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::AllClear => "all_clear",
            Self::ClientCertificate => "client_certificate",
            Self::ClientSecret => "client_secret",
            Self::Consent => "consent",
            Self::Test => "test",
        }
    }
}

impl Alarm {
    /// What `gatepost alarm test` tells.
    pub(super) fn sample() -> Self {
        Self {
            kind: Kind::Test,
            provider: String::new(),
            account: None,
            state: None,
            reason: Some("somebody ran: gatepost alarm test".to_owned()),
            next_step: Some("nothing; alarms arrive".to_owned()),
            until: None,
        }
    }

    /// When something ends.
    pub(super) fn until(&self) -> Option<SystemTime> {
        self.until.map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds))
    }

    /// Days until the end, a day that has begun counting as one; 0 once it is there.
    pub(super) fn days_left(&self, now: SystemTime) -> Option<u64> {
        self.until().map(|until| days_left(until, now))
    }

    /// What happens to what, without the reason: a subject, a line on a pager.
    pub(super) fn headline(&self, now: SystemTime) -> String {
        let account = self.account.as_deref().unwrap_or("an account");
        let ends = || self.ends(now);
        match self.kind {
            Kind::Account => format!("{account} is {}", self.state.as_deref().unwrap_or("in trouble")),
            Kind::AllClear => format!("{account} is connected again"),
            Kind::ClientCertificate => {
                format!("the client certificate of provider {} {}", self.provider, ends())
            }
            Kind::ClientSecret => format!("the client secret of provider {} {}", self.provider, ends()),
            Kind::Consent => format!("the consent for {account} {}", ends()),
            Kind::Test => "this is a test".to_owned(),
        }
    }

    /// Headline, reason and next step in one line.
    pub(super) fn sentence(&self, now: SystemTime) -> String {
        let mut text = self.headline(now);
        if let Some(reason) = &self.reason {
            text = text + ": " + reason;
        }
        if let Some(next_step) = &self.next_step {
            text = text + "; next: " + next_step;
        }
        text.replace(char::is_control, " ")
    }

    /// The same as a paragraph.
    pub(super) fn paragraph(&self, now: SystemTime) -> String {
        let mut text = capitalised(&self.headline(now)) + ".\n";
        let lines = [("Why", &self.reason), ("Next", &self.next_step)];
        for (what, said) in lines.iter().filter_map(|(what, said)| said.as_ref().map(|said| (what, said))) {
            text = text + "  " + what + ": " + &said.replace(char::is_control, " ") + "\n";
        }
        text
    }

    /// The end as a day and time in UTC that programs can read (RFC 3339).
    pub(super) fn until_in_rfc3339(&self) -> Option<String> {
        utc(self.until()?).format(&Rfc3339).ok()
    }

    fn ends(&self, now: SystemTime) -> String {
        let Some(until) = self.until() else { return "ends".to_owned() };
        let date = utc(until).date();
        match days_left(until, now) {
            0 => format!("ended on {date}"),
            1 => format!("ends within a day, on {date}"),
            days => format!("ends in {days} days, on {date}"),
        }
    }
}

/// Days until then, a day that has begun counting as one; 0 once it is there.
pub(super) fn days_left(until: SystemTime, now: SystemTime) -> u64 {
    until.duration_since(now).map_or(0, |left| {
        let whole = left.as_secs().div_ceil(DAY);
        // Less than a second is not the end yet.
        if whole == 0 && !left.is_zero() { 1 } else { whole }
    })
}

/// As a sentence begins.
pub(crate) fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    // An address stays as it is.
    match characters.next().filter(|_| !text.split(' ').next().unwrap_or_default().contains('@')) {
        Some(first) => first.to_uppercase().chain(characters).collect(),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    fn alarm(kind: Kind) -> Alarm {
        Alarm {
            kind,
            provider: "contoso".to_owned(),
            account: Some("ann@example.com".to_owned()),
            state: Some("refused".to_owned()),
            reason: Some("invalid_grant".to_owned()),
            next_step: Some("gatepost connect ann@example.com".to_owned()),
            until: Some(1_801_353_600),
        }
    }

    #[test]
    fn every_alarm_says_what_until_when_why_and_what_to_do() {
        let until = SystemTime::from(datetime!(2027-01-31 0:00 UTC));
        let day = Duration::from_hours(24);
        for (kind, now, expected) in [
            (Kind::Account, until, "ann@example.com is refused"),
            (Kind::AllClear, until, "ann@example.com is connected again"),
            (
                Kind::ClientSecret,
                until - 30 * day,
                "the client secret of provider contoso ends in 30 days, on 2027-01-31",
            ),
            (
                Kind::ClientCertificate,
                until - day / 2,
                "the client certificate of provider contoso ends within a day, on 2027-01-31",
            ),
            (Kind::Consent, until, "the consent for ann@example.com ended on 2027-01-31"),
        ] {
            assert_eq!(alarm(kind).headline(now), expected);
            assert_eq!(
                alarm(kind).sentence(now),
                format!("{expected}: invalid_grant; next: gatepost connect ann@example.com")
            );
        }
        assert_eq!(
            alarm(Kind::ClientSecret).paragraph(until),
            "The client secret of provider contoso ended on 2027-01-31.\n  Why: invalid_grant\n  Next: gatepost connect \
             ann@example.com\n"
        );
        assert!(alarm(Kind::Account).paragraph(until).starts_with("ann@example.com is refused.\n"));
        assert_eq!(alarm(Kind::Consent).until_in_rfc3339().as_deref(), Some("2027-01-31T00:00:00Z"));
    }

    #[test]
    fn a_day_that_has_begun_counts_as_one() {
        let now = UNIX_EPOCH + Duration::from_hours(24 * 20_000);
        for (left, days) in [
            (Duration::from_hours(24 * 30) + Duration::from_secs(1), 31),
            (Duration::from_hours(24 * 30), 30),
            (Duration::from_hours(24) + Duration::from_secs(1), 2),
            (Duration::from_hours(24), 1),
            (Duration::from_millis(1), 1),
            (Duration::ZERO, 0),
        ] {
            assert_eq!(days_left(now + left, now), days, "{left:?}");
        }
        assert_eq!(days_left(now - Duration::from_secs(1), now), 0);
    }

    #[test]
    fn what_a_provider_said_stays_on_its_line() {
        let said = Alarm { reason: Some("no\r\nBcc: all".to_owned()), ..alarm(Kind::Account) };
        assert!(!said.sentence(UNIX_EPOCH).contains(['\r', '\n']));
        assert_eq!(said.paragraph(UNIX_EPOCH).lines().count(), 3);
    }
}
