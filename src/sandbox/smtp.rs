//! The sandbox's SMTP server: submission as of RFC 6409, with a token as the only login. What it takes, it delivers at once
//! to the mailboxes named by RCPT TO; there is no outside world.

use std::io;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};

use super::World;
use super::dialect::Smtp;
use super::faults::Moment;
use super::mail::{Connection, LoggedIn, Next, Stage};
use super::permissions::Right;

/// Exchange Online's limit, 150 MiB.
const SIZE: usize = 157_286_400;

/// What the client has said so far.
#[derive(Default)]
struct Session {
    login: Option<LoggedIn>,
    /// Empty for a message that nobody is to answer.
    sender: Option<String>,
    recipients: Vec<String>,
    /// What BDAT has brought so far (RFC 3030).
    chunks: Vec<u8>,
}

/// Talks until QUIT or STARTTLS.
pub(super) async fn dialogue<S: AsyncRead + AsyncWrite + Unpin>(
    connection: &mut Connection<S>,
    stage: Stage,
) -> io::Result<Next> {
    let dialect = &connection.dialect().smtp;
    if stage != Stage::Upgraded {
        connection.reply(Moment::Greeting, &format!("{}\r\n", dialect.greeting)).await?;
    }
    let mut session = Session::default();
    loop {
        let line = connection.line().await?;
        let (verb, argument) = line.split_once(' ').unwrap_or((&line, ""));
        let verb = verb.to_ascii_uppercase();
        let logged_in = session.login.is_some();
        let due = if logged_in { Moment::Command } else { hello_moment(stage) };
        match verb.as_str() {
            "EHLO" => {
                session.reset();
                connection.reply(due, &capabilities(dialect, stage, logged_in)).await?;
            }
            "STARTTLS" if stage == Stage::Plain => {
                if connection.reply(Moment::StartTls, "220 2.0.0 Go ahead\r\n").await? {
                    return Ok(Next::StartTls);
                }
            }
            "AUTH" if stage != Stage::Plain && !logged_in => {
                session.login = connection.auth(&dialect.login, &dialect.one_line, argument).await?;
            }
            "QUIT" => {
                connection.reply(due, "221 2.0.0 Goodbye\r\n").await?;
                return Ok(Next::Close);
            }
            "NOOP" | "HELO" => drop(connection.reply(due, "250 2.0.0 OK\r\n").await?),
            "DATA" if logged_in => data(connection, dialect, &mut session).await?,
            "BDAT" if logged_in => bdat(connection, dialect, &mut session, argument).await?,
            _ if logged_in => {
                let reply = session.envelope(&verb, argument);
                connection.reply(due, reply).await?;
            }
            _ => drop(connection.reply(due, &format!("{}\r\n", dialect.not_logged_in)).await?),
        }
    }
}

impl Session {
    /// Forgets all but the login.
    fn reset(&mut self) {
        *self = Self { login: self.login.take(), ..Self::default() };
    }

    /// Why the message is not taken: there is no mailbox behind the login, or one may not send as its sender or author.
    fn refusal(&self, world: &mut World, dialect: &Smtp, message: &[u8]) -> Option<String> {
        let login = self.login.as_ref()?;
        if let Some(words) = login.without_mailbox {
            return Some(words.to_owned());
        }
        let words = dialect.send_as_denied?;
        let mut senders: Vec<String> = self.sender.iter().cloned().chain(author(message)).collect();
        senders.dedup_by(|one, other| one.eq_ignore_ascii_case(other));
        let mut may_send_as = |sender: &str| {
            sender.is_empty()
                || sender.eq_ignore_ascii_case(&login.mailbox)
                || world.permissions.has(Right::SendAs, sender, &login.mailbox)
        };
        let denied = senders.iter().find(|sender| !may_send_as(sender))?;
        Some(words.replace("{user}", &login.mailbox).replace("{sender}", denied))
    }

    /// The commands that say who writes to whom.
    fn envelope(&mut self, verb: &str, argument: &str) -> &'static str {
        match verb {
            "MAIL" if self.sender.is_some() => "503 5.5.1 One sender is enough\r\n",
            "MAIL" => match path(argument, "FROM:") {
                Some(sender) => {
                    self.sender = Some(sender.to_owned());
                    "250 2.1.0 OK\r\n"
                }
                None => "501 5.1.7 Not an address\r\n",
            },
            "RCPT" if self.sender.is_none() => "503 5.5.1 MAIL first\r\n",
            "RCPT" => match path(argument, "TO:") {
                Some(address) if address.contains('@') => {
                    self.recipients.push(address.to_owned());
                    "250 2.1.5 OK\r\n"
                }
                _ => "501 5.1.3 Not an address\r\n",
            },
            "RSET" => {
                self.reset();
                "250 2.0.0 OK\r\n"
            }
            _ => "502 5.5.1 Not known here\r\n",
        }
    }
}

async fn data<S: AsyncRead + AsyncWrite + Unpin>(
    connection: &mut Connection<S>,
    dialect: &Smtp,
    session: &mut Session,
) -> io::Result<()> {
    if session.recipients.is_empty() {
        return connection.reply(Moment::Command, "503 5.5.1 RCPT first\r\n").await.map(drop);
    }
    connection.reply(Moment::Command, "354 Go ahead\r\n").await?;
    let message = connection.message(SIZE).await?;
    deliver(connection, dialect, session, message).await
}

/// A chunk, which is the message's last one where it says LAST (RFC 3030 section 2).
async fn bdat<S: AsyncRead + AsyncWrite + Unpin>(
    connection: &mut Connection<S>,
    dialect: &Smtp,
    session: &mut Session,
    argument: &str,
) -> io::Result<()> {
    let (length, last) = argument.split_once(' ').unwrap_or((argument, ""));
    let length = length.parse().ok().filter(|length| *length <= SIZE - session.chunks.len());
    let Some(length) = length.filter(|_| dialect.in_tls.contains(&"CHUNKING")) else {
        // How much comes now is not known, or too much.
        connection.reply(Moment::Command, "502 5.5.1 Not known here\r\n").await?;
        return connection.close(b"").await;
    };
    connection.literal(length, &mut session.chunks).await?;
    if session.recipients.is_empty() {
        session.chunks.clear();
        return connection.reply(Moment::Command, "503 5.5.1 RCPT first\r\n").await.map(drop);
    }
    if !last.eq_ignore_ascii_case("LAST") {
        return connection.reply(Moment::Command, "250 2.0.0 OK\r\n").await.map(drop);
    }
    let message = std::mem::take(&mut session.chunks);
    deliver(connection, dialect, session, Some(message)).await
}

/// Ends the transaction. Without a message it was too long.
async fn deliver<S: AsyncRead + AsyncWrite + Unpin>(
    connection: &mut Connection<S>,
    dialect: &Smtp,
    session: &mut Session,
    message: Option<Vec<u8>>,
) -> io::Result<()> {
    let reply = {
        let mut world = connection.shared().world();
        let refusal = message.as_ref().and_then(|message| session.refusal(&mut world, dialect, message));
        match (message.map(Bytes::from), refusal) {
            (None, _) => "552 5.3.4 Message too big".to_owned(),
            (_, Some(refusal)) => refusal,
            (Some(message), None) => {
                for recipient in &session.recipients {
                    world.mailboxes.deliver(recipient, message.clone());
                }
                "250 2.6.0 Delivered".to_owned()
            }
        }
    };
    session.reset();
    connection.reply(Moment::Command, &format!("{reply}\r\n")).await.map(drop)
}

fn hello_moment(stage: Stage) -> Moment {
    if stage == Stage::Plain { Moment::Hello } else { Moment::HelloInTls }
}

fn capabilities(dialect: &Smtp, stage: Stage, logged_in: bool) -> String {
    let offered = if stage == Stage::Plain { dialect.in_clear } else { dialect.in_tls };
    let offered = offered.iter().filter(|line| !logged_in || !line.starts_with("AUTH "));
    let mut lines: Vec<&str> = std::iter::once(dialect.hello).chain(offered.copied()).collect();
    let last = lines.pop().unwrap_or_default();
    let mut reply = String::new();
    for line in lines {
        reply = reply + "250-" + line + "\r\n";
    }
    reply + "250 " + last + "\r\n"
}

/// The address in the message's From.
fn author(message: &[u8]) -> Option<String> {
    let header = message.split(|byte| *byte == b'\n').take_while(|line| !line.trim_ascii().is_empty());
    let mut fields = header.filter_map(|line| std::str::from_utf8(line).ok()?.split_once(':'));
    let (_, value) = fields.find(|(name, _)| name.eq_ignore_ascii_case("From"))?;
    let value = value.rsplit_once('<').map_or(value, |(_, address)| address);
    Some(value.trim().trim_end_matches('>').to_owned())
}

/// What stands between `<` and `>` behind `FROM:` or `TO:`. Parameters behind it are not looked at.
fn path<'argument>(argument: &'argument str, keyword: &str) -> Option<&'argument str> {
    let (said, rest) = argument.split_at_checked(keyword.len())?;
    let (path, _parameters) = rest.trim_start().strip_prefix('<')?.split_once('>')?;
    said.eq_ignore_ascii_case(keyword).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::{author, path};

    #[test]
    fn the_author_is_the_address_in_from() {
        for (message, expected) in [
            ("Subject: x\r\nFrom: Ada <ada@example.com>\r\n\r\n", Some("ada@example.com")),
            ("from: ada@example.com\r\n\r\n", Some("ada@example.com")),
            ("Subject: x\r\n\r\nFrom: ada@example.com\r\n", None),
        ] {
            assert_eq!(author(message.as_bytes()).as_deref(), expected, "{message:?}");
        }
    }

    #[test]
    fn a_path_is_what_stands_between_the_brackets() {
        for (argument, expected) in [
            ("TO:<ada@example.com>", Some("ada@example.com")),
            ("to: <ada@example.com> NOTIFY=NEVER", Some("ada@example.com")),
            ("TO:<>", Some("")),
            ("TO:ada@example.com", None),
            ("FROM:<ada@example.com>", None),
            ("", None),
        ] {
            assert_eq!(path(argument, "TO:"), expected, "{argument}");
        }
    }
}
