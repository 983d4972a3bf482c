//! The sandbox's IMAP server: IMAP4rev1 as of RFC 3501 with IDLE, LITERAL+ and UIDPLUS, `AUTHENTICATE XOAUTH2` the only
//! login, and INBOX the only mailbox. This file is the life of a connection up to the login.

mod command;
mod fetch;
mod messages;
mod search;
mod selected;
mod session;

use std::io;

use tokio::io::{AsyncRead, AsyncWrite};

use self::command::Command;
use self::session::Session;
use super::faults::Moment;
use super::mail::{Connection, LoginWords, Next, Stage};

/// What is offered after login.
const CAPABILITIES: &str = "IMAP4rev1 IDLE LITERAL+ UIDPLUS";

const LOGIN: LoginWords = LoginWords {
    go_on: "+ ",
    accepted: "OK AUTHENTICATE completed\r\n",
    refused: "NO [AUTHENTICATIONFAILED] Token not accepted\r\n",
    malformed: "BAD Not an XOAUTH2 message\r\n",
    cancelled: "BAD AUTHENTICATE cancelled\r\n",
};

/// Talks until LOGOUT or STARTTLS.
pub(super) async fn dialogue<S: AsyncRead + AsyncWrite + Unpin>(
    connection: &mut Connection<S>,
    stage: Stage,
) -> io::Result<Next> {
    if stage != Stage::Upgraded {
        let greeting = greeting(connection, stage);
        connection.reply(Moment::Greeting, &greeting).await?;
    }
    let mut session: Option<Session> = None;
    loop {
        let Some(command) = Command::read(connection, session.is_some()).await? else { continue };
        connection.tag = format!("{} ", command.tag);
        let next = match &mut session {
            // A fault takes the place of the whole answer.
            Some(session) => {
                let mut is_due = connection.reply(Moment::Command, "").await?;
                if is_due && !matches!(command.name.as_str(), "CAPABILITY" | "ID" | "LOGOUT" | "NOOP") {
                    is_due = connection.reply(Moment::Mailbox, "").await?;
                }
                if is_due { session.command(connection, command).await? } else { None }
            }
            None => not_authenticated(connection, stage, command, &mut session).await?,
        };
        if let Some(next) = next {
            return Ok(next);
        }
    }
}

/// The commands of RFC 3501 sections 6.1 and 6.2.
async fn not_authenticated<S: AsyncRead + AsyncWrite + Unpin>(
    connection: &mut Connection<S>,
    stage: Stage,
    mut command: Command,
    session: &mut Option<Session>,
) -> io::Result<Option<Next>> {
    let due = if stage == Stage::Plain { Moment::Hello } else { Moment::HelloInTls };
    let tag = connection.tag.clone();
    let reply = match command.name.as_str() {
        "CAPABILITY" => {
            format!("* CAPABILITY {}\r\n{tag}OK Completed\r\n", capabilities(connection, stage))
        }
        "NOOP" => format!("{tag}OK Completed\r\n"),
        "ID" => format!("{ID}{tag}OK Completed\r\n"),
        "LOGOUT" => {
            connection.reply(due, &format!("{GOODBYE}{tag}OK Completed\r\n")).await?;
            return Ok(Some(Next::Close));
        }
        "STARTTLS" if stage == Stage::Plain => {
            let begin = connection.reply(Moment::StartTls, &format!("{tag}OK Begin TLS\r\n")).await?;
            return Ok(begin.then_some(Next::StartTls));
        }
        "AUTHENTICATE" if stage != Stage::Plain => {
            *session = authenticate(connection, &mut command).await?;
            return Ok(None);
        }
        "AUTHENTICATE" | "LOGIN" if stage == Stage::Plain => {
            format!("{tag}NO [PRIVACYREQUIRED] Only inside TLS\r\n")
        }
        "LOGIN" => format!("{tag}NO Only AUTHENTICATE XOAUTH2\r\n"),
        _ => format!("{tag}BAD Only AUTHENTICATE XOAUTH2 inside TLS\r\n"),
    };
    connection.reply(due, &reply).await?;
    Ok(None)
}

async fn authenticate<S: AsyncRead + AsyncWrite + Unpin>(
    connection: &mut Connection<S>,
    command: &mut Command,
) -> io::Result<Option<Session>> {
    let mechanism = command.arguments.atom().unwrap_or_default();
    let initial_response = command.arguments.space().and_then(|()| command.arguments.base64());
    let sasl_ir = connection.shared().world().personality.sasl_ir;
    let refusal = if !mechanism.eq_ignore_ascii_case("XOAUTH2") || !command.arguments.is_empty() {
        "NO Only XOAUTH2"
    } else if initial_response.is_some() && !sasl_ir {
        "BAD No initial response is taken"
    } else {
        let mailbox = connection.authenticate(&LOGIN, initial_response.as_deref()).await?;
        return Ok(mailbox.map(Session::new));
    };
    connection.reply(Moment::Auth, &format!("{}{refusal}\r\n", connection.tag)).await?;
    Ok(None)
}

/// What the sandbox says that it is (RFC 2971).
const ID: &str = "* ID (\"name\" \"Gatepost sandbox\")\r\n";

const GOODBYE: &str = "* BYE Goodbye\r\n";

fn greeting<S: AsyncRead + AsyncWrite + Unpin>(connection: &Connection<S>, stage: Stage) -> String {
    if !connection.shared().world().personality.imap_greeting_capabilities {
        return "* OK Gatepost sandbox ready\r\n".to_owned();
    }
    format!("* OK [CAPABILITY {}] Gatepost sandbox ready\r\n", capabilities(connection, stage))
}

/// What is offered before login. Exchange has LOGINDISABLED inside TLS too.
fn capabilities<S: AsyncRead + AsyncWrite + Unpin>(connection: &Connection<S>, stage: Stage) -> &'static str {
    match stage {
        Stage::Plain => "IMAP4rev1 STARTTLS LOGINDISABLED LITERAL+ ID",
        _ if connection.shared().world().personality.sasl_ir => {
            "IMAP4rev1 SASL-IR AUTH=XOAUTH2 LOGINDISABLED LITERAL+ ID"
        }
        Stage::Upgraded | Stage::Implicit => "IMAP4rev1 AUTH=XOAUTH2 LOGINDISABLED LITERAL+ ID",
    }
}
