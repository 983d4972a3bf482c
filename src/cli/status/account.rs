//! One account, in full: every moment that is known, with its day.

use std::fmt::Write as _;
use std::time::SystemTime;

use super::super::moment;
use super::super::table::printable;
use super::Look;
use super::report::state;
use crate::standing::{AccountStanding, Way};

impl Look<'_> {
    pub(super) fn in_full(&self) -> String {
        self.survey.accounts.iter().map(|standing| self.lines(standing)).collect()
    }

    fn lines(&self, standing: &AccountStanding) -> String {
        let account = &standing.account;
        let mut text =
            format!("{} at {}: {}\n", printable(&account.address), account.provider, state(standing));
        let mut line = |what: &str, value: String| {
            let _ = writeln!(text, "  {what:<14} {}", printable(&value));
        };
        line("Gets in by", way(standing));
        line("Last login", self.moment(standing.last_login));
        if standing.way != Some(Way::Password) {
            line("Last refresh", self.moment(standing.last_refresh));
            line("Token until", self.moment(standing.token_until));
        }
        if let Some(until) = standing.consent_until.filter(|_| standing.way == Some(Way::Consent)) {
            line("Consent until", format!("{}; every refresh makes it longer", self.moment(Some(until))));
        }
        text
    }

    fn moment(&self, moment: Option<SystemTime>) -> String {
        moment.map_or_else(
            || "never".to_owned(),
            |moment| {
                let (minute, far) = (moment::to_the_minute(moment), moment::from(self.survey.at, moment));
                if minute.starts_with(&far) {
                    format!("{minute} UTC")
                } else {
                    format!("{minute} UTC, {far}")
                }
            },
        )
    }
}

fn way(standing: &AccountStanding) -> String {
    let by = standing.consent_by.as_deref().or(standing.account.owner.as_deref());
    match (standing.way, by) {
        (Some(Way::Consent), Some(who)) => format!("the consent of {who}"),
        (Some(Way::Consent), None) => "a consent".to_owned(),
        (Some(Way::Application), _) => "what the organisation allows Gatepost itself".to_owned(),
        (Some(Way::Password), _) => "a password of the mailbox".to_owned(),
        (None, _) => "nothing: its provider is not in the configuration".to_owned(),
    }
}
