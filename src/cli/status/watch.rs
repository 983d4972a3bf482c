//! `gatepost status --watch`: looks again and again until Ctrl-C. A terminal shows the newest look on a screen of its own, and
//! gets its old screen back; elsewhere a line is added for each thing that changed.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write, stdout};
use std::time::{Duration, SystemTime};

use super::super::moment::rfc_3339;
use super::super::run::stop_signal;
use super::super::table::printable;
use super::super::{Exit, Failure, style};
use super::{Look, width};
use crate::account::AccountId;
use crate::config::Config;
use crate::standing::Verdict;
use crate::store::Store;

const EVERY: Duration = Duration::from_secs(2);

/// The other screen, without a cursor and without wrapping; and back (xterm's control sequences, which all terminals know).
const ENTER: &str = "\u{1b}[?1049h\u{1b}[?25l\u{1b}[?7l";
const LEAVE: &str = "\u{1b}[?7h\u{1b}[?25h\u{1b}[?1049l";

/// To the upper left corner; what is left of the line, and of the screen, is wiped.
const HOME: &str = "\u{1b}[H";
const WIPE_LINE: &str = "\u{1b}[K";
const WIPE_REST: &str = "\u{1b}[J";

/// Watches until Ctrl-C, or until nobody reads any more.
pub(super) async fn watch(config: &Config, store: &Store, only: Option<AccountId>) -> Result<(), Failure> {
    let failed = |error| Failure::new(Exit::Failed, error);
    let mut stop = std::pin::pin!(stop_signal().map_err(failed)?);
    let screen = stdout().is_terminal().then(Screen::enter).transpose().map_err(failed)?;
    let mut before = None;
    loop {
        let look = Look::take(config, store, only, SystemTime::now()).await?;
        let shown = if screen.is_some() {
            frame(&look.in_words(width()), style::rows(stdout()))
        } else {
            changes(before.as_ref(), &look)
        };
        match append(&shown) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            shown => shown.map_err(failed)?,
        }
        before = Some(Seen::of(&look));
        tokio::select! {
            _ = &mut stop => return Ok(()),
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

/// A terminal that shows the other screen until this is dropped.
struct Screen;

impl Screen {
    fn enter() -> io::Result<Self> {
        append(ENTER)?;
        Ok(Self)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        let _ = append(LEAVE);
    }
}

fn append(text: &str) -> io::Result<()> {
    let mut out = stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// The text over whatever was shown before. What has no place is counted in the last line.
fn frame(text: &str, rows: Option<usize>) -> String {
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    if let Some(rows) = rows.filter(|rows| lines.len() > *rows) {
        let kept = rows.saturating_sub(1);
        let left_out = lines.len() - kept;
        lines.truncate(kept);
        lines.push(format!("… {left_out} lines more: gatepost status"));
    }
    let lines = lines.join(&format!("{WIPE_LINE}\r\n"));
    format!("{HOME}{lines}{WIPE_LINE}{WIPE_REST}")
}

/// What a change is a change of.
struct Seen {
    is_running: bool,
    accounts: BTreeMap<AccountId, (String, Verdict)>,
}

impl Seen {
    fn of(look: &Look<'_>) -> Self {
        let accounts = look.survey.accounts.iter();
        Self {
            is_running: look.is_running,
            accounts: accounts
                .map(|standing| {
                    (standing.account.id, (standing.account.address.clone(), standing.verdict.clone()))
                })
                .collect(),
        }
    }
}

/// A line for each change, with its time; all there is where nothing was seen before.
fn changes(before: Option<&Seen>, look: &Look<'_>) -> String {
    let (at, now) = (rfc_3339(look.survey.at), Seen::of(look));
    let mut lines = Vec::new();
    if before.is_none_or(|before| before.is_running != now.is_running) {
        lines.push(if now.is_running { "Gatepost is running" } else { "no Gatepost is running" }.to_owned());
    }
    for (id, (address, verdict)) in &now.accounts {
        let seen = before.and_then(|before| before.accounts.get(id));
        if seen.is_none_or(|(_, seen)| seen != verdict) {
            lines.push(format!("{address}: {}", told(verdict)));
        }
    }
    let is_gone = |id: &AccountId| !now.accounts.contains_key(id);
    for (_, (address, _)) in before.iter().flat_map(|before| &before.accounts).filter(|(id, _)| is_gone(id)) {
        lines.push(format!("{address}: removed"));
    }
    lines.iter().fold(String::new(), |text, line| text + &at + " " + &printable(line) + "\n")
}

fn told(verdict: &Verdict) -> String {
    let reason = verdict.reason.iter().map(|reason| format!(": {reason}"));
    let next_step = verdict.next_step.iter().map(|step| format!("; next: {step}"));
    reason.chain(next_step).fold(verdict.state.word().to_owned(), |text, part| text + &part)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::time::Duration;

    use super::super::tests::{Desk, now};
    use super::*;
    use crate::store::grants::GrantKey;

    #[test]
    fn a_frame_wipes_what_was_there_and_stays_on_its_screen() {
        assert_eq!(frame("a\nb\n", Some(2)), "\u{1b}[Ha\u{1b}[K\r\nb\u{1b}[K\u{1b}[J");
        assert_eq!(
            frame("a\nb\nc\n", Some(2)),
            "\u{1b}[Ha\u{1b}[K\r\n… 2 lines more: gatepost status\u{1b}[K\u{1b}[J"
        );
        assert_eq!(frame("a\nb\n", None), "\u{1b}[Ha\u{1b}[K\r\nb\u{1b}[K\u{1b}[J");
    }

    #[tokio::test]
    async fn only_what_changes_is_added() {
        let desk = Desk::new().await;
        let (ann, bob) =
            (desk.add("ann@contoso.example", "contoso").await, desk.add("bob@post.example", "post").await);
        let look = desk.look(false).await;
        let told = changes(None, &look);
        assert_eq!(
            told,
            "2027-01-01T12:00:00Z no Gatepost is running\n\
             2027-01-01T12:00:00Z ann@contoso.example: not connected: nobody has consented yet (G20); next: gatepost connect \
             ann@contoso.example\n\
             2027-01-01T12:00:00Z bob@post.example: not connected: no password of the mailbox is stored (G20); next: gatepost \
             connect bob@post.example\n"
        );
        let seen = Seen::of(&look);
        assert_eq!(changes(Some(&seen), &desk.look(false).await), "");
        desk.tokens(&GrantKey::Account(ann), Duration::ZERO, "ann@contoso.example").await;
        desk.store.note_login(ann, now()).await.unwrap();
        desk.store.remove_account(bob).await.unwrap();
        let look = desk.look(true).await;
        assert_eq!(
            changes(Some(&seen), &look),
            "2027-01-01T12:00:00Z Gatepost is running\n\
             2027-01-01T12:00:00Z ann@contoso.example: connected\n\
             2027-01-01T12:00:00Z bob@post.example: removed\n"
        );
    }
}
