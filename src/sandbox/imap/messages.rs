//! The commands that work on messages (RFC 3501 section 6.4, and UIDPLUS of RFC 4315), by number and by UID.

use std::io;

use tokio::io::{AsyncRead, AsyncWrite};

use super::command::Arguments;
use super::fetch::{Item, items};
use super::search::Criterion;
use super::selected::{By, Selected};
use super::session::Reply;
use crate::sandbox::mail::Connection;
use crate::sandbox::mailbox::{Flags, Mailboxes};

const READ_ONLY: &str = "NO [CANNOT] The mailbox is read-only";

/// All but FETCH. `None` when the arguments cannot be read; then nothing was done.
pub(super) fn reply(
    mailboxes: &mut Mailboxes,
    selected: &mut Selected,
    name: &str,
    arguments: &mut Arguments,
) -> Option<Reply> {
    Some(match name {
        "CHECK" => Reply::ok(),
        "EXPUNGE" | "UID EXPUNGE" => {
            let only = if name == "UID EXPUNGE" { Some(arguments.set()?) } else { None };
            arguments.end()?;
            if selected.read_only {
                return Some(READ_ONLY.into());
            }
            // Catching up with the mailbox tells what is gone.
            selected.expunge(mailboxes, only.as_ref());
            Reply::ok()
        }
        "STORE" => store(mailboxes, selected, arguments, By::Number)?,
        "UID STORE" => store(mailboxes, selected, arguments, By::Uid)?,
        "SEARCH" => search(selected, arguments, By::Number)?,
        "UID SEARCH" => search(selected, arguments, By::Uid)?,
        "COPY" | "MOVE" | "UID COPY" | "UID MOVE" => "NO [TRYCREATE] There is only INBOX".into(),
        _ => Reply::bad("Not known here"),
    })
}

/// FETCH and UID FETCH: octets go out as they are, message by message.
pub(super) async fn fetch<S: AsyncRead + AsyncWrite + Unpin>(
    connection: &mut Connection<S>,
    selected: &mut Selected,
    arguments: &mut Arguments,
    by: By,
) -> io::Result<()> {
    let Some((chosen, items)) = fetch_arguments(selected, arguments, by) else {
        return connection.answer("BAD Cannot read that, or no such message\r\n").await;
    };
    for index in chosen {
        let sets_seen = items.iter().any(Item::sets_seen);
        let told_flags = sets_seen && mark_seen(connection, selected, index);
        let Some(message) = selected.messages.get(index) else { continue };
        let mut items = items.clone();
        if told_flags && !items.contains(&Item::Flags) {
            items.insert(0, Item::Flags);
        }
        let mut line = format!("* {} FETCH (", index + 1);
        for (position, item) in items.iter().enumerate() {
            let (response, octets) = item.response(message);
            line = line + if position > 0 { " " } else { "" } + &response;
            if let Some(octets) = octets {
                connection.say(&line).await?;
                connection.send_literal(&octets).await?;
                line.clear();
            }
        }
        connection.say(&(line + ")\r\n")).await?;
    }
    let news =
        if by == By::Uid { selected.catch_up(&connection.shared().world().mailboxes) } else { String::new() };
    connection.say(&news).await?;
    connection.answer("OK Completed\r\n").await
}

fn fetch_arguments(
    selected: &Selected,
    arguments: &mut Arguments,
    by: By,
) -> Option<(Vec<usize>, Vec<Item>)> {
    let set = arguments.set()?;
    arguments.space()?;
    let mut items = items(arguments)?;
    arguments.end()?;
    if by == By::Uid && !items.contains(&Item::Uid) {
        items.insert(0, Item::Uid);
    }
    Some((selected.chosen(&set, by)?, items))
}

/// Whether that changed anything, so that the client must hear of it.
fn mark_seen<S: AsyncRead + AsyncWrite + Unpin>(
    connection: &Connection<S>,
    selected: &mut Selected,
    index: usize,
) -> bool {
    let unseen = selected.messages.get(index).is_some_and(|message| !message.flags.contains(Flags::SEEN));
    let mailboxes = &mut connection.shared().world().mailboxes;
    unseen
        && !selected.read_only
        && selected.change_flags(mailboxes, index, |flags| flags.with(Flags::SEEN)).is_some()
}

/// STORE and UID STORE: `1:3 +FLAGS.SILENT (\Deleted)`.
fn store(
    mailboxes: &mut Mailboxes,
    selected: &mut Selected,
    arguments: &mut Arguments,
    by: By,
) -> Option<Reply> {
    let set = arguments.set()?;
    arguments.space()?;
    let item = arguments.atom()?.to_ascii_uppercase();
    let (kind, silent) = match item.strip_suffix(".SILENT") {
        Some(kind) => (kind, true),
        None => (item.as_str(), false),
    };
    let change: fn(Flags, Flags) -> Flags = match kind {
        "+FLAGS" => Flags::with,
        "-FLAGS" => Flags::without,
        "FLAGS" => |_, flags| flags,
        _ => return None,
    };
    arguments.space()?;
    let flags = if arguments.peek() == Some(b'(') { arguments.flags()? } else { arguments.bare_flags()? };
    arguments.end()?;
    let chosen = selected.chosen(&set, by)?;
    if selected.read_only {
        return Some(READ_ONLY.into());
    }
    let mut untagged = Vec::new();
    for index in chosen {
        let Some(now) = selected.change_flags(mailboxes, index, |before| change(before, flags)) else {
            // Somebody else has removed it; EXPUNGE will tell.
            continue;
        };
        if !silent {
            let uid = selected.messages.get(index).filter(|_| by == By::Uid);
            let uid = uid.map(|message| format!("UID {} ", message.uid)).unwrap_or_default();
            untagged.push(format!("* {} FETCH ({uid}FLAGS {now})\r\n", index + 1));
        }
    }
    Some(Reply::untagged(untagged.concat()))
}

/// SEARCH and UID SEARCH.
fn search(selected: &Selected, arguments: &mut Arguments, by: By) -> Option<Reply> {
    if arguments.take("CHARSET ").is_some() {
        let charset = arguments.astring()?;
        arguments.space()?;
        if !charset.eq_ignore_ascii_case(b"UTF-8") && !charset.eq_ignore_ascii_case(b"US-ASCII") {
            return Some("NO [BADCHARSET (US-ASCII UTF-8)] Not known here".into());
        }
    }
    let criterion = Criterion::parse(arguments)?;
    let numbered = (1..).zip(&selected.messages);
    let found = numbered.filter(|(number, message)| criterion.fits(*number, message, selected));
    let found = found.map(|(number, message)| if by == By::Uid { message.uid } else { number });
    let mut words = vec!["* SEARCH".to_owned()];
    words.extend(found.map(|number| number.to_string()));
    Some(Reply::untagged(words.join(" ") + "\r\n"))
}
