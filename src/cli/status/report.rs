//! The same for people: counts, a table, what somebody has to do and why, then the providers. Whatever stands behind a reason is
//! a command that can be pasted, on a line of its own.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::SystemTime;

use super::super::style;
use super::super::table::{table, wrapped};
use super::super::{moment, table};
use super::Look;
use crate::alarm::capitalised;
use crate::config::provider::{ClientAuthentication, Login};
use crate::standing::{AccountStanding, Attention, ProviderStanding, State, Way};

/// What a page is wide enough for, and what people's terminals have.
const COLUMNS: usize = 80;

/// An address is never cut shorter.
const SHORTEST_ADDRESS: usize = 20;

/// More commands than these nobody pastes.
const MOST_COMMANDS: usize = 10;

impl Look<'_> {
    /// All of it. Addresses are cut where the terminal is so narrow.
    pub(super) fn in_words(&self, width: Option<usize>) -> String {
        if self.survey.accounts.is_empty() {
            return "There are no accounts yet: gatepost setup ADDRESS\n".to_owned();
        }
        let overview = if self.is_of_one { self.in_full() } else { self.accounts(width) };
        let sections = [self.head(), overview, self.to_do(), self.providers()];
        let sections: Vec<_> = sections.into_iter().filter(|section| !section.is_empty()).collect();
        sections.join("\n")
    }

    fn head(&self) -> String {
        let mut text = String::new();
        if !self.is_of_one {
            let states: Vec<_> =
                self.states().iter().map(|(state, count)| format!("{count} {}", state.word())).collect();
            let plural = if self.survey.accounts.len() == 1 { "" } else { "s" };
            let _ = writeln!(text, "{} account{plural}: {}", self.survey.accounts.len(), states.join(", "));
        }
        text.push_str(if self.is_running {
            "Gatepost is running.\n"
        } else {
            "No Gatepost is running: no device gets in, and nobody keeps the tokens alive.\n  gatepost run\n"
        });
        text
    }

    fn accounts(&self, width: Option<usize>) -> String {
        let names: Vec<_> = self.survey.accounts.iter().map(|standing| self.name(standing)).collect();
        let whole = self.table_of(&names);
        let count = |text: &str| text.chars().count();
        let widest = whole.lines().map(count).max().unwrap_or_default();
        let longest = names.iter().map(|name| count(name)).max().unwrap_or_default();
        let excess = width.map_or(0, |width| widest.saturating_sub(width));
        let kept = longest.saturating_sub(excess).max(SHORTEST_ADDRESS);
        let names: Vec<_> = names.into_iter().map(|name| cut(name, kept)).collect();
        let offset = names.iter().map(|name| count(name)).max().unwrap_or_default().max("Account".len()) + 2;
        let whole = self.table_of(&names);
        let mut lines = whole.lines();
        let head = lines.next().unwrap_or_default().to_owned();
        let rows = lines.zip(&self.survey.accounts).map(|(line, standing)| coloured(line, offset, standing));
        std::iter::once(head).chain(rows).flat_map(|line| [line, "\n".to_owned()]).collect()
    }

    fn table_of(&self, names: &[String]) -> String {
        let rows = names.iter().zip(&self.survey.accounts).map(|(name, standing)| {
            let has_tokens = standing.way != Some(Way::Password);
            let moment = |moment: Option<SystemTime>, otherwise: &str| {
                moment.map_or_else(|| otherwise.to_owned(), |moment| moment::from(self.survey.at, moment))
            };
            [
                name.clone(),
                standing.verdict.state.word().to_owned(),
                moment(standing.last_login, "never"),
                moment(standing.last_refresh, if has_tokens { "never" } else { "-" }),
                moment(standing.token_until, "-"),
            ]
        });
        table(["Account", "State", "Last login", "Refreshed", "Token until"], &rows.collect::<Vec<_>>())
    }

    /// The address, and the provider where the address alone is not enough.
    fn name(&self, standing: &AccountStanding) -> String {
        let address = &standing.account.address;
        let same = |other: &&AccountStanding| other.account.address.eq_ignore_ascii_case(address);
        match self.survey.accounts.iter().filter(same).nth(1) {
            Some(_) => format!("{address} ({})", standing.account.provider),
            None => address.clone(),
        }
    }

    /// Why, and what to do, the worst first. Accounts with the same reason stand together.
    fn to_do(&self) -> String {
        let mut groups = BTreeMap::<(Reverse<Attention>, State, &str), Vec<&AccountStanding>>::new();
        for standing in &self.survey.accounts {
            let verdict = &standing.verdict;
            // What the admin switched off is well so, unless it is asked about.
            let is_told = verdict.state != State::Disabled || self.is_of_one;
            if let Some(reason) = verdict.reason.as_deref().filter(|_| is_told) {
                groups
                    .entry((Reverse(verdict.attention()), verdict.state, reason))
                    .or_default()
                    .push(standing);
            }
        }
        let groups =
            groups.into_iter().map(|((_, state, reason), standings)| group(state, reason, &standings));
        let endings = self.survey.providers.iter().filter_map(|standing| self.ending(standing));
        groups.chain(endings.map(|text| paragraph(&capitalised(&text), ""))).collect::<Vec<_>>().join("\n")
    }

    fn providers(&self) -> String {
        let rows: Vec<_> = self
            .survey
            .providers
            .iter()
            .map(|standing| [standing.name.clone(), standing.accounts.to_string(), self.proof(standing)])
            .collect();
        if rows.is_empty() {
            String::new()
        } else {
            table(["Provider", "Accounts", "Secret or certificate until"], &rows)
        }
    }

    /// What Gatepost proves itself with, and until when.
    pub(super) fn proof(&self, standing: &ProviderStanding) -> String {
        let provider = self.config.providers.get(&standing.name);
        let authentication = match provider.map(|provider| &provider.login) {
            Some(Login::OAuth(client)) => &client.authentication,
            Some(Login::Password) | None => return "-".to_owned(),
        };
        let what = match authentication {
            ClientAuthentication::None => return "-".to_owned(),
            ClientAuthentication::PrivateKeyJwt(_) => "certificate",
            ClientAuthentication::ClientSecretBasic(_) | ClientAuthentication::ClientSecretPost(_) => {
                "secret"
            }
        };
        match standing.proof {
            Some(proof) => {
                let (day, far) = (moment::day(proof.until), moment::from(self.survey.at, proof.until));
                if day == far { format!("{day} ({what})") } else { format!("{day} ({what}, {far})") }
            }
            None => format!("not known ({what}; `expires` beside it says it)"),
        }
    }
}

/// The reason that some accounts share, then each next step.
fn group(state: State, reason: &str, standings: &[&AccountStanding]) -> String {
    let first = standings.first().map_or("", |standing| standing.account.address.as_str());
    let who = match standings.len() {
        1 => format!("{first} is"),
        many => format!("{first} and {} more are", many - 1),
    };
    let mut text = paragraph(&format!("{who} {}: {reason}", state.word()), "");
    let steps: Vec<_> =
        standings.iter().filter_map(|standing| standing.verdict.next_step.as_deref()).collect();
    text.push_str(&next_steps(&steps));
    text
}

/// Each sentence once, and each command on a line of its own.
pub(super) fn next_steps(steps: &[&str]) -> String {
    let (mut text, mut said, mut commands) = (String::new(), None, 0);
    for step in steps {
        let (sentence, command) = match step.split_once(": gatepost ") {
            Some((sentence, arguments)) => {
                (Some(format!("{sentence}:")), Some(format!("gatepost {arguments}")))
            }
            None if step.starts_with("gatepost ") => (None, Some((*step).to_owned())),
            None => (Some((*step).to_owned()), None),
        };
        if sentence != said {
            text.extend(sentence.as_deref().map(|sentence| paragraph(&capitalised(sentence), "  ")));
            said = sentence;
        }
        let Some(command) = command else { continue };
        commands += 1;
        if commands <= MOST_COMMANDS {
            let _ = writeln!(text, "  {}", table::printable(&command));
        }
    }
    if commands > MOST_COMMANDS {
        let _ = writeln!(text, "  … and {} more: gatepost status --json", commands - MOST_COMMANDS);
    }
    text
}

/// Cut at blanks, to be read in 80 columns.
fn paragraph(text: &str, indent: &str) -> String {
    wrapped(text, COLUMNS - indent.len()).iter().fold(String::new(), |text, line| text + indent + line + "\n")
}

fn cut(name: String, kept: usize) -> String {
    if name.chars().count() <= kept {
        return name;
    }
    name.chars().take(kept.saturating_sub(1)).chain(['…']).collect()
}

/// The line with its state in the colour of a traffic light.
fn coloured(line: &str, offset: usize, standing: &AccountStanding) -> String {
    let at = line.char_indices().nth(offset).map_or(line.len(), |(at, _)| at);
    let (before, behind) = line.split_at(at);
    let word = standing.verdict.state.word();
    let Some(rest) = behind.strip_prefix(word) else { return line.to_owned() };
    format!("{before}{}{rest}", state(standing))
}

/// The word in its colour.
pub(super) fn state(standing: &AccountStanding) -> String {
    let word = standing.verdict.state.word();
    match (standing.verdict.attention(), standing.verdict.state) {
        (Attention::Now, _) => style::red(word),
        (Attention::Soon, _) => style::yellow(word),
        (Attention::None, State::Connected) => style::green(word),
        (Attention::None, _) => word.to_owned(),
    }
}
