//! The sandbox's SMTP server: submission as of RFC 6409, with XOAUTH2 in two steps as the only login. What it takes, it
//! delivers at once to the mailboxes named by RCPT TO; there is no outside world.

use std::io;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};

use super::faults::Moment;
use super::mail::{Connection, LoginWords, Next, Stage};

/// What is offered besides STARTTLS and AUTH.
pub(super) const CAPABILITIES: [&str; 4] =
    ["SIZE 157286400", "PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES"];

/// Exchange Online's limit, 150 MiB.
const SIZE: usize = 157_286_400;

const LOGIN: LoginWords = LoginWords {
    go_on: "334 ",
    accepted: "235 2.7.0 Authentication successful\r\n",
    refused: "535 5.7.8 Token not accepted\r\n",
    malformed: "501 5.5.2 Not an XOAUTH2 message\r\n",
    cancelled: "501 5.7.0 Authentication cancelled\r\n",
};

/// What the client has said so far.
#[derive(Default)]
struct Session {
    logged_in: bool,
    sender: bool,
    recipients: Vec<String>,
}

/// Talks until QUIT or STARTTLS.
pub(super) async fn dialogue<S: AsyncRead + AsyncWrite + Unpin>(
    connection: &mut Connection<S>,
    stage: Stage,
) -> io::Result<Next> {
    if stage != Stage::Upgraded {
        connection.reply(Moment::Greeting, "220 localhost ESMTP Gatepost sandbox\r\n").await?;
    }
    let mut session = Session::default();
    loop {
        let line = connection.line().await?;
        let (verb, argument) = line.split_once(' ').unwrap_or((&line, ""));
        let verb = verb.to_ascii_uppercase();
        let due = if session.logged_in { Moment::Command } else { hello_moment(stage) };
        match verb.as_str() {
            "EHLO" => {
                session = Session { logged_in: session.logged_in, ..Session::default() };
                connection.reply(due, &capabilities(stage, session.logged_in)).await?;
            }
            "STARTTLS" if stage == Stage::Plain => {
                if connection.reply(Moment::StartTls, "220 2.0.0 Go ahead\r\n").await? {
                    return Ok(Next::StartTls);
                }
            }
            "AUTH" if stage != Stage::Plain && !session.logged_in => {
                if argument.eq_ignore_ascii_case("XOAUTH2") {
                    session.logged_in = connection.authenticate(&LOGIN, None).await?.is_some();
                } else {
                    // A token behind the mechanism's name would make the command line too long for some providers.
                    let reply = "504 5.5.4 Only XOAUTH2 without an initial response\r\n";
                    connection.reply(Moment::Auth, reply).await?;
                }
            }
            "QUIT" => {
                connection.reply(due, "221 2.0.0 Goodbye\r\n").await?;
                return Ok(Next::Close);
            }
            "NOOP" | "HELO" => drop(connection.reply(due, "250 2.0.0 OK\r\n").await?),
            "DATA" if session.logged_in => data(connection, &mut session).await?,
            _ if session.logged_in => {
                let reply = session.envelope(&verb, argument);
                connection.reply(due, reply).await?;
            }
            _ => drop(connection.reply(due, "530 5.7.0 Authentication required\r\n").await?),
        }
    }
}

impl Session {
    /// The commands that say who writes to whom.
    fn envelope(&mut self, verb: &str, argument: &str) -> &'static str {
        match verb {
            "MAIL" if self.sender => "503 5.5.1 One sender is enough\r\n",
            "MAIL" if path(argument, "FROM:").is_some() => {
                self.sender = true;
                "250 2.1.0 OK\r\n"
            }
            "RCPT" if !self.sender => "503 5.5.1 MAIL first\r\n",
            "RCPT" => match path(argument, "TO:") {
                Some(address) if address.contains('@') => {
                    self.recipients.push(address.to_owned());
                    "250 2.1.5 OK\r\n"
                }
                _ => "501 5.1.3 Not an address\r\n",
            },
            "RSET" => {
                *self = Self { logged_in: true, ..Self::default() };
                "250 2.0.0 OK\r\n"
            }
            "MAIL" => "501 5.1.7 Not an address\r\n",
            _ => "502 5.5.1 Not known here\r\n",
        }
    }
}

async fn data<S: AsyncRead + AsyncWrite + Unpin>(
    connection: &mut Connection<S>,
    session: &mut Session,
) -> io::Result<()> {
    if session.recipients.is_empty() {
        return connection.reply(Moment::Command, "503 5.5.1 RCPT first\r\n").await.map(drop);
    }
    connection.reply(Moment::Command, "354 Go ahead\r\n").await?;
    let message = connection.message(SIZE).await?;
    let recipients = std::mem::take(&mut session.recipients);
    session.sender = false;
    let Some(message) = message.map(Bytes::from) else {
        return connection.reply(Moment::Command, "552 5.3.4 Message too big\r\n").await.map(drop);
    };
    for recipient in recipients {
        connection.shared().world().mailboxes.deliver(&recipient, message.clone());
    }
    connection.reply(Moment::Command, "250 2.6.0 Delivered\r\n").await.map(drop)
}

fn hello_moment(stage: Stage) -> Moment {
    if stage == Stage::Plain { Moment::Hello } else { Moment::HelloInTls }
}

fn capabilities(stage: Stage, logged_in: bool) -> String {
    let mut reply = String::from("250-localhost\r\n");
    for capability in CAPABILITIES {
        reply = reply + "250-" + capability + "\r\n";
    }
    reply
        + match stage {
            Stage::Plain => "250 STARTTLS\r\n",
            _ if logged_in => "250 HELP\r\n",
            Stage::Upgraded | Stage::Implicit => "250 AUTH XOAUTH2\r\n",
        }
}

/// What stands between `<` and `>` behind `FROM:` or `TO:`. Parameters behind it are not looked at.
fn path<'argument>(argument: &'argument str, keyword: &str) -> Option<&'argument str> {
    let (said, rest) = argument.split_at_checked(keyword.len())?;
    let (path, _parameters) = rest.trim_start().strip_prefix('<')?.split_once('>')?;
    said.eq_ignore_ascii_case(keyword).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::path;

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
