//! Whether a mailbox may send, asked of the provider after the login: MAIL FROM, and then QUIT, so that nothing is sent.
//! Exchange lets an application in without a permission for the mailbox and refuses what comes after: at the latest the
//! message itself, which this cannot see.

use std::io;

use gatepost_protocol::smtp::reply::{LINE_LIMIT, ReplyLine};
use tokio::io::AsyncReadExt as _;
use tokio::time::{Instant, timeout_at};

use super::super::table::printable;
use crate::session::driver::Connection;

/// More lines than a reply to MAIL has.
const MAX_LINES: usize = 16;

/// The provider's refusal, if it is one. `connection` is logged in.
pub(super) async fn refusal(connection: &mut Connection, mailbox: &str, deadline: Instant) -> Option<String> {
    // What SMTPUTF8 or quoting would be needed for is left to the first real message.
    let is_plain = mailbox.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>\"\\".contains(&byte));
    if !is_plain {
        return None;
    }
    connection.output.line(&format!("MAIL FROM:<{mailbox}>"));
    let said = match timeout_at(deadline, reply(connection)).await {
        Ok(Ok((code, _))) if (200..300).contains(&code) => None,
        Ok(Ok((code, text))) => Some(format!("{code} {}", printable(&text))),
        Ok(Err(error)) => Some(format!("no reply: {error}")),
        Err(_) => Some("no reply in time".to_owned()),
    };
    connection.output.line("QUIT");
    // Whether it hears our goodbye changes nothing.
    let _ = timeout_at(deadline, connection.send()).await;
    said.map(|said| format!("the login succeeds, and MAIL FROM is refused: {said}"))
}

/// Sends what is to be sent, and reads a whole reply: its code and its last line.
async fn reply(connection: &mut Connection) -> io::Result<(u16, String)> {
    let not_understood = || io::Error::new(io::ErrorKind::InvalidData, "it is no SMTP reply");
    connection.send().await?;
    for _ in 0..MAX_LINES {
        let line = loop {
            let line = connection.received.next_line(LINE_LIMIT).map_err(|_| not_understood())?;
            if let Some(line) = line {
                break line.to_owned();
            }
            match connection.stream.read(connection.received.spare()).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => connection.received.filled(count),
            }
        };
        let line = ReplyLine::parse(&line).ok_or_else(not_understood)?;
        if line.last {
            return Ok((line.code, String::from_utf8_lossy(line.text).into_owned()));
        }
    }
    Err(not_understood())
}
