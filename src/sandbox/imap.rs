//! The sandbox's IMAP server: IMAP4rev1 as of RFC 3501 with IDLE, LITERAL+ and UIDPLUS, AUTHENTICATE with a token the only
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
use super::dialect::{Imap, Rejection};
use super::faults::Moment;
use super::mail::{Connection, Next, Stage};

/// Talks until LOGOUT or STARTTLS.
pub(super) async fn dialogue<S: AsyncRead + AsyncWrite + Unpin>(
    connection: &mut Connection<S>,
    stage: Stage,
) -> io::Result<Next> {
    let dialect = &connection.dialect().imap;
    if stage != Stage::Upgraded {
        let greeting = greeting(connection, dialect, stage);
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
                    is_due = connection.reply(Moment::Mailbox, "").await?
                        && session.has_mailbox(connection).await?;
                }
                if is_due { session.command(connection, command).await? } else { None }
            }
            None => not_authenticated(connection, dialect, stage, command, &mut session).await?,
        };
        if let Some(next) = next {
            return Ok(next);
        }
    }
}

/// The commands of RFC 3501 sections 6.1 and 6.2.
async fn not_authenticated<S: AsyncRead + AsyncWrite + Unpin>(
    connection: &mut Connection<S>,
    dialect: &'static Imap,
    stage: Stage,
    mut command: Command,
    session: &mut Option<Session>,
) -> io::Result<Option<Next>> {
    let due = if stage == Stage::Plain { Moment::Hello } else { Moment::HelloInTls };
    let tag = connection.tag.clone();
    let reply = match command.name.as_str() {
        "CAPABILITY" => {
            format!("* CAPABILITY {}\r\n{tag}OK Completed\r\n", capabilities(connection, dialect, stage))
        }
        "NOOP" => format!("{tag}OK Completed\r\n"),
        "ID" => format!("* ID {}\r\n{tag}OK Completed\r\n", dialect.id),
        "LOGOUT" => {
            connection.reply(due, &format!("{GOODBYE}{tag}OK Completed\r\n")).await?;
            return Ok(Some(Next::Close));
        }
        "STARTTLS" if stage == Stage::Plain => {
            let begin = connection.reply(Moment::StartTls, &format!("{tag}OK Begin TLS\r\n")).await?;
            return Ok(begin.then_some(Next::StartTls));
        }
        "AUTHENTICATE" if stage != Stage::Plain => {
            *session = authenticate(connection, dialect, &mut command).await?;
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
    dialect: &'static Imap,
    command: &mut Command,
) -> io::Result<Option<Session>> {
    /// To a token in the line of AUTHENTICATE, where SASL-IR was not announced.
    const TWO_STEPS: Rejection = Rejection { words: "BAD No initial response is taken", hangs_up: false };
    let name = command.arguments.atom().unwrap_or_default();
    let initial_response = command.arguments.space().and_then(|()| command.arguments.base64());
    let sasl_ir = connection.shared().world().personality.sasl_ir;
    let mechanism = dialect.login.mechanism(&name).filter(|_| command.arguments.is_empty());
    let rejection = match mechanism {
        Some(mechanism) if initial_response.is_none() || sasl_ir => {
            let login =
                connection.authenticate(&dialect.login, mechanism, initial_response.as_deref()).await?;
            return Ok(login.map(|login| Session::new(dialect, login)));
        }
        Some(_) => &TWO_STEPS,
        None => &dialect.login.other_mechanism,
    };
    connection.reject(rejection, &name, initial_response.is_some()).await.map(|()| None)
}

const GOODBYE: &str = "* BYE Goodbye\r\n";

fn greeting<S: AsyncRead + AsyncWrite + Unpin>(
    connection: &Connection<S>,
    dialect: &Imap,
    stage: Stage,
) -> String {
    if !connection.shared().world().personality.imap_greeting_capabilities {
        return format!("* OK {}\r\n", dialect.greeting);
    }
    format!("* OK [CAPABILITY {}] {}\r\n", capabilities(connection, dialect, stage), dialect.greeting)
}

/// What is offered before login.
fn capabilities<S: AsyncRead + AsyncWrite + Unpin>(
    connection: &Connection<S>,
    dialect: &Imap,
    stage: Stage,
) -> String {
    match stage {
        Stage::Plain => dialect.in_clear.to_owned(),
        _ if connection.shared().world().personality.sasl_ir => dialect.in_tls.to_owned(),
        Stage::Upgraded | Stage::Implicit => dialect.in_tls.replace("SASL-IR ", ""),
    }
}
