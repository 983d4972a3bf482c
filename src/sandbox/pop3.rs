//! The sandbox's POP3 server: RFC 1939 with a token as the only login. A message goes out exactly as it was delivered,
//! without a header added.

use std::io;

use tokio::io::{AsyncRead, AsyncWrite};

use super::dialect::Pop3;
use super::faults::Moment;
use super::mail::{Connection, LoggedIn, Next, Stage};
use super::mailbox::Message;

/// The mailbox as it was at login (RFC 1939 section 4: numbers do not change during a session).
struct Maildrop {
    mailbox: String,
    /// What every command is answered with, where there is no mailbox behind the login.
    missing: Option<&'static str>,
    messages: Vec<Message>,
    /// Unique ids, gone from the mailbox at QUIT and not before.
    deleted: Vec<u32>,
}

/// Talks until QUIT or STLS.
pub(super) async fn dialogue<S: AsyncRead + AsyncWrite + Unpin>(
    connection: &mut Connection<S>,
    stage: Stage,
) -> io::Result<Next> {
    let dialect = &connection.dialect().pop3;
    if stage != Stage::Upgraded {
        connection.reply(Moment::Greeting, &format!("{}\r\n", dialect.greeting)).await?;
    }
    let mut open: Option<Maildrop> = None;
    loop {
        let line = connection.line().await?;
        let (verb, argument) = line.split_once(' ').unwrap_or((&line, ""));
        let verb = verb.to_ascii_uppercase();
        let due = match (&open, stage) {
            (Some(_), _) => Moment::Command,
            (None, Stage::Plain) => Moment::Hello,
            (None, _) => Moment::HelloInTls,
        };
        match (verb.as_str(), &mut open) {
            ("CAPA", _) => drop(connection.reply(due, &capabilities(dialect, stage)).await?),
            ("QUIT", open) => {
                if let Some(open) = open {
                    connection.shared().world().mailboxes.delete(&open.mailbox, &open.deleted);
                }
                connection.reply(due, "+OK Goodbye\r\n").await?;
                return Ok(Next::Close);
            }
            ("STLS", None) if stage == Stage::Plain => {
                if connection.reply(Moment::StartTls, "+OK Begin TLS\r\n").await? {
                    return Ok(Next::StartTls);
                }
            }
            ("AUTH", None) if stage != Stage::Plain => {
                let logged_in = connection.auth(&dialect.login, &dialect.one_line, argument).await?;
                open = logged_in.map(|logged_in| Maildrop::open(connection, logged_in));
            }
            (verb, Some(open)) => transaction(connection, open, verb, argument).await?,
            (_, None) => drop(connection.reply(due, "-ERR Only AUTH XOAUTH2 inside TLS\r\n").await?),
        }
    }
}

async fn transaction<S: AsyncRead + AsyncWrite + Unpin>(
    connection: &mut Connection<S>,
    open: &mut Maildrop,
    verb: &str,
    argument: &str,
) -> io::Result<()> {
    if let Some(words) = open.missing {
        return connection.reply(Moment::Command, &format!("{words}\r\n")).await.map(drop);
    }
    let mut arguments = argument.split_ascii_whitespace().map(str::parse::<usize>);
    let number = arguments.next();
    let message = match &number {
        Some(Ok(number)) => open.message(*number),
        _ => None,
    };
    let reply = match (verb, number, message) {
        ("NOOP", ..) => "+OK\r\n".to_owned(),
        ("RSET", ..) => {
            open.deleted.clear();
            "+OK\r\n".to_owned()
        }
        ("STAT", ..) => {
            let sizes: Vec<usize> = open.listed().map(|(_, message)| message.bytes.len()).collect();
            format!("+OK {} {}\r\n", sizes.len(), sizes.iter().sum::<usize>())
        }
        ("LIST", None, _) => open.listing(|message| message.bytes.len().to_string()),
        ("UIDL", None, _) => open.listing(|message| message.uid.to_string()),
        ("LIST", Some(Ok(number)), Some(message)) => format!("+OK {number} {}\r\n", message.bytes.len()),
        ("UIDL", Some(Ok(number)), Some(message)) => format!("+OK {number} {}\r\n", message.uid),
        ("DELE", _, Some(message)) => {
            open.deleted.push(message.uid);
            "+OK\r\n".to_owned()
        }
        ("RETR" | "TOP", _, Some(message)) => {
            let lines =
                if verb == "TOP" { Some(arguments.next().and_then(Result::ok).unwrap_or(0)) } else { None };
            connection.reply(Moment::Command, &format!("+OK {} octets\r\n", message.bytes.len())).await?;
            return connection.send_message(&message.bytes, lines).await;
        }
        ("DELE" | "LIST" | "RETR" | "TOP" | "UIDL", ..) => "-ERR No such message\r\n".to_owned(),
        _ => "-ERR Not known here\r\n".to_owned(),
    };
    connection.reply(Moment::Command, &reply).await.map(drop)
}

impl Maildrop {
    fn open<S: AsyncRead + AsyncWrite + Unpin>(connection: &Connection<S>, logged_in: LoggedIn) -> Self {
        let LoggedIn { mailbox, without_mailbox: missing } = logged_in;
        let messages = connection.shared().world().mailboxes.messages(&mailbox);
        Self { mailbox, missing, messages, deleted: Vec::new() }
    }

    /// What is there and not deleted, with its numbers.
    fn listed(&self) -> impl Iterator<Item = (usize, &Message)> {
        let numbered = (1..).zip(&self.messages);
        numbered.filter(|(_, message)| !self.deleted.contains(&message.uid))
    }

    fn message(&self, number: usize) -> Option<Message> {
        self.listed().find(|(listed, _)| *listed == number).map(|(_, message)| message.clone())
    }

    fn listing(&self, column: impl Fn(&Message) -> String) -> String {
        let mut reply = String::from("+OK\r\n");
        for (number, message) in self.listed() {
            reply = reply + &number.to_string() + " " + &column(message) + "\r\n";
        }
        reply + ".\r\n"
    }
}

fn capabilities(dialect: &Pop3, stage: Stage) -> String {
    let capabilities = match stage {
        Stage::Plain => dialect.in_clear,
        Stage::Upgraded | Stage::Implicit => dialect.in_tls,
    };
    format!("+OK\r\n{}\r\n.\r\n", capabilities.join("\r\n"))
}
