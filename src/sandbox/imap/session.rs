//! The commands that need no mailbox to be selected (RFC 3501 section 6.3), and IDLE (RFC 2177). After its own untagged
//! responses a command says what has changed in the mailbox meanwhile, then its tagged one.

use std::io;

use bytes::Bytes;
use time::OffsetDateTime;
use tokio::io::{AsyncRead, AsyncWrite};

use super::GOODBYE;
use super::command::{Arguments, Command};
use super::fetch::DATE_TIME;
use super::messages;
use super::selected::{By, Selected};
use crate::sandbox::dialect::Imap;
use crate::sandbox::mail::{Connection, LoggedIn, Next};
use crate::sandbox::mailbox::{Flags, Mailboxes};

/// A mailbox's owner who is logged in.
pub(super) struct Session {
    dialect: &'static Imap,
    address: String,
    /// What is said in place of the mailbox, where none is behind the login.
    without_mailbox: Option<&'static str>,
    selected: Option<Selected>,
}

/// What a command is answered with.
pub(super) struct Reply {
    /// Whole lines.
    untagged: String,
    /// What stands behind the tag, without the line's end.
    tagged: String,
}

impl Session {
    pub(super) fn new(dialect: &'static Imap, login: LoggedIn) -> Self {
        let LoggedIn { mailbox: address, without_mailbox } = login;
        Self { dialect, address, without_mailbox, selected: None }
    }

    /// Whether a command about the mailbox can be carried out; if not, it has been answered.
    pub(super) async fn has_mailbox<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        connection: &mut Connection<S>,
    ) -> io::Result<bool> {
        match self.without_mailbox {
            Some(words) => connection.answer(&format!("{words}\r\n")).await.map(|()| false),
            None => Ok(true),
        }
    }

    /// Carries one out. The connection ends with LOGOUT.
    pub(super) async fn command<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        connection: &mut Connection<S>,
        command: Command,
    ) -> io::Result<Option<Next>> {
        let Command { name, mut arguments, .. } = command;
        match (name.as_str(), self.selected.as_mut()) {
            ("LOGOUT", _) => {
                connection.say(GOODBYE).await?;
                connection.answer("OK Completed\r\n").await?;
                return Ok(Some(Next::Close));
            }
            ("IDLE", selected) => idle(connection, selected).await?,
            ("FETCH", Some(selected)) => {
                messages::fetch(connection, selected, &mut arguments, By::Number).await?;
            }
            ("UID FETCH", Some(selected)) => {
                messages::fetch(connection, selected, &mut arguments, By::Uid).await?;
            }
            _ => {
                let reply = self.reply(&mut connection.shared().world().mailboxes, &name, &mut arguments);
                let Reply { untagged, tagged } = reply.unwrap_or_else(|| Reply::bad("Cannot read that"));
                connection.say(&untagged).await?;
                connection.answer(&format!("{tagged}\r\n")).await?;
            }
        }
        Ok(None)
    }

    /// `None` when the arguments cannot be read; then nothing was done.
    fn reply(&mut self, mailboxes: &mut Mailboxes, name: &str, arguments: &mut Arguments) -> Option<Reply> {
        let mut reply = match name {
            "CAPABILITY" => Reply::untagged(format!("* CAPABILITY {}\r\n", self.dialect.logged_in)),
            "NOOP" => Reply::ok(),
            "ID" => Reply::untagged(format!("* ID {}\r\n", self.dialect.id)),
            "NAMESPACE" => Reply::untagged("* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n".to_owned()),
            "SELECT" => return self.select(mailboxes, arguments, false),
            "EXAMINE" => return self.select(mailboxes, arguments, true),
            "LIST" | "LSUB" => list(name, arguments)?,
            "STATUS" => status(mailboxes, &self.address, arguments)?,
            "APPEND" => append(mailboxes, &self.address, arguments)?,
            "SUBSCRIBE" | "UNSUBSCRIBE" if is_inbox(arguments)? => Reply::ok(),
            "SUBSCRIBE" | "UNSUBSCRIBE" | "CREATE" | "DELETE" | "RENAME" => ONLY_INBOX.into(),
            "CLOSE" | "UNSELECT" if self.selected.is_some() => {
                arguments.end()?;
                if let Some(selected) = self.selected.take().filter(|_| name == "CLOSE") {
                    selected.expunge(mailboxes, None);
                }
                return Some(Reply::ok());
            }
            _ => match &mut self.selected {
                Some(selected) => messages::reply(mailboxes, selected, name, arguments)?,
                None => Reply::bad("Not known here, or not before SELECT"),
            },
        };
        // Numbers must hold still under a client that works with them (RFC 3501 section 7.4.1).
        if let Some(selected) = self.selected.as_mut().filter(|_| !matches!(name, "STORE" | "SEARCH")) {
            reply.untagged += &selected.catch_up(mailboxes);
        }
        Some(reply)
    }

    fn select(&mut self, mailboxes: &Mailboxes, arguments: &mut Arguments, read_only: bool) -> Option<Reply> {
        let inbox = is_inbox(arguments)?;
        // A SELECT that fails leaves none selected.
        self.selected = None;
        if !inbox {
            return Some(ONLY_INBOX.into());
        }
        let selected = Selected::new(mailboxes, &self.address, read_only);
        let flags = Flags::all();
        let kept = if read_only { Flags::default() } else { flags };
        let unseen = selected.messages.iter().position(|message| !message.flags.contains(Flags::SEEN));
        let unseen = unseen.map(|index| format!("* OK [UNSEEN {}] First unseen\r\n", index + 1));
        let untagged = format!(
            "* FLAGS {flags}\r\n* {} EXISTS\r\n* 0 RECENT\r\n{}* OK [PERMANENTFLAGS {kept}] Kept\r\n\
             * OK [UIDVALIDITY {}] Valid\r\n* OK [UIDNEXT {}] Next\r\n",
            selected.messages.len(),
            unseen.unwrap_or_default(),
            mailboxes.uid_validity(),
            mailboxes.uid_next(&self.address),
        );
        self.selected = Some(selected);
        let access = if read_only { "READ-ONLY" } else { "READ-WRITE" };
        Some(Reply { untagged, tagged: format!("OK [{access}] Completed") })
    }
}

impl Reply {
    pub(super) fn ok() -> Self {
        Self::untagged(String::new())
    }

    pub(super) fn untagged(untagged: String) -> Self {
        Self { untagged, tagged: "OK Completed".to_owned() }
    }

    pub(super) fn bad(words: &str) -> Self {
        Self::from(format!("BAD {words}").as_str())
    }
}

/// Nothing but the tagged response.
impl From<&str> for Reply {
    fn from(tagged: &str) -> Self {
        Self { untagged: String::new(), tagged: tagged.to_owned() }
    }
}

const ONLY_INBOX: &str = "NO [NONEXISTENT] There is only INBOX";

/// Whether INBOX is the last argument; its name is the same in any case of letters (RFC 3501 section 5.1).
fn is_inbox(arguments: &mut Arguments) -> Option<bool> {
    let name = arguments.astring()?;
    arguments.end()?;
    Some(name.eq_ignore_ascii_case(b"INBOX"))
}

fn list(name: &str, arguments: &mut Arguments) -> Option<Reply> {
    let reference = arguments.astring()?;
    arguments.space()?;
    let pattern = arguments.pattern()?;
    arguments.end()?;
    let pattern = [reference, pattern].concat();
    Some(Reply::untagged(if pattern.is_empty() {
        format!("* {name} (\\Noselect) \"/\" \"\"\r\n")
    } else if fits(b"INBOX", &pattern) {
        format!("* {name} (\\HasNoChildren) \"/\" INBOX\r\n")
    } else {
        String::new()
    }))
}

/// Whether a name without the hierarchy's delimiter fits a pattern of LIST: then `%` and `*` are the same.
fn fits(name: &[u8], pattern: &[u8]) -> bool {
    match (name.split_first(), pattern.split_first()) {
        (_, Some((b'%' | b'*', pattern))) => {
            (0..=name.len()).any(|skipped| name.get(skipped..).is_some_and(|rest| fits(rest, pattern)))
        }
        (Some((letter, name)), Some((expected, pattern))) => {
            letter.eq_ignore_ascii_case(expected) && fits(name, pattern)
        }
        (None, None) => true,
        _ => false,
    }
}

fn status(mailboxes: &Mailboxes, address: &str, arguments: &mut Arguments) -> Option<Reply> {
    let name = arguments.astring()?;
    arguments.take(" (")?;
    let messages = mailboxes.messages(address);
    let mut items = Vec::new();
    loop {
        let item = arguments.atom()?.to_ascii_uppercase();
        let value = match item.as_str() {
            "MESSAGES" => messages.len().to_string(),
            "RECENT" => "0".to_owned(),
            "UIDNEXT" => mailboxes.uid_next(address).to_string(),
            "UIDVALIDITY" => mailboxes.uid_validity().to_string(),
            "UNSEEN" => {
                messages.iter().filter(|message| !message.flags.contains(Flags::SEEN)).count().to_string()
            }
            _ => return None,
        };
        items.push(format!("{item} {value}"));
        if arguments.space().is_none() {
            break;
        }
    }
    arguments.take(")")?;
    arguments.end()?;
    if !name.eq_ignore_ascii_case(b"INBOX") {
        return Some(ONLY_INBOX.into());
    }
    Some(Reply::untagged(format!("* STATUS INBOX ({})\r\n", items.join(" "))))
}

/// APPEND, answered as RFC 4315 section 3 has it.
fn append(mailboxes: &mut Mailboxes, address: &str, arguments: &mut Arguments) -> Option<Reply> {
    let name = arguments.astring()?;
    arguments.space()?;
    let mut flags = Flags::default();
    if arguments.peek() == Some(b'(') {
        flags = arguments.flags()?;
        arguments.space()?;
    }
    let mut received = OffsetDateTime::now_utc();
    if arguments.peek() == Some(b'"') {
        received = date_time(&arguments.quoted()?)?;
        arguments.space()?;
    }
    let message = arguments.literal()?;
    arguments.end()?;
    if !name.eq_ignore_ascii_case(b"INBOX") {
        return Some(ONLY_INBOX.into());
    }
    let uid = mailboxes.append(address, message, flags, received);
    let tagged = format!("OK [APPENDUID {} {uid}] Completed", mailboxes.uid_validity());
    Some(Reply { untagged: String::new(), tagged })
}

fn date_time(text: &Bytes) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(std::str::from_utf8(text).ok()?, DATE_TIME).ok()
}

/// Tells what changes in the mailbox until the client says DONE.
async fn idle<S: AsyncRead + AsyncWrite + Unpin>(
    connection: &mut Connection<S>,
    mut selected: Option<&mut Selected>,
) -> io::Result<()> {
    let mut changes = connection.shared().world().mailboxes.changes();
    connection.say("+ Idling\r\n").await?;
    loop {
        if let Some(selected) = &mut selected {
            let news = selected.catch_up(&connection.shared().world().mailboxes);
            connection.say(&news).await?;
        }
        tokio::select! {
            readable = connection.readable() => {
                readable?;
                break;
            }
            // The sender lives as long as the sandbox.
            Ok(()) = changes.changed() => {}
        }
    }
    let done = connection.line().await?.eq_ignore_ascii_case("DONE");
    connection.answer(if done { "OK Completed\r\n" } else { "BAD Only DONE ends IDLE\r\n" }).await
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn a_pattern_s_wildcards_stand_for_any_letters() {
        for (pattern, expected) in [
            ("*", true),
            ("%", true),
            ("inbox", true),
            ("IN*X", true),
            ("*INBOX%", true),
            ("INBO", false),
            ("INBOX/*", false),
            ("Sent", false),
        ] {
            assert_eq!(fits(b"INBOX", pattern.as_bytes()), expected, "{pattern}");
        }
    }
}
