//! POP3, as far as a load and the login of a proxy go. `RETR n` gives the message that has n KiB.

use tokio::io::{AsyncRead, AsyncWrite};

use super::wire::Wire;
use super::{PASSWORD, Provider, sasl};

/// The line before a message.
pub(super) fn retrieved(octets: usize) -> String {
    format!("+OK {octets} octets\r\n")
}

pub(super) async fn converse<S>(wire: &mut Wire<S>, provider: &Provider) -> anyhow::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    wire.send(b"+OK ready\r\n").await?;
    let mut logged_in = false;
    while let Some(line) = wire.line().await? {
        let (command, arguments) = line.split_once(' ').unwrap_or((&line, ""));
        match command.to_ascii_uppercase().as_str() {
            "CAPA" => {
                wire.send(
                    b"+OK\r\nUSER\r\nUIDL\r\nTOP\r\nPIPELINING\r\nRESP-CODES\r\nSASL XOAUTH2 PLAIN LOGIN\r\n.\r\n",
                )
                .await?;
            }
            "AUTH" => {
                logged_in = sasl::accepts(wire, "+ ", arguments).await?;
                wire.send(verdict(logged_in)).await?;
            }
            "USER" | "NOOP" | "RSET" => wire.send(b"+OK\r\n").await?,
            "PASS" => {
                logged_in = arguments == PASSWORD;
                wire.send(verdict(logged_in)).await?;
            }
            "QUIT" => return Ok(wire.send(b"+OK bye\r\n").await?),
            _ if !logged_in => wire.send(b"-ERR log in first\r\n").await?,
            "STAT" => wire.send(b"+OK 1 1024\r\n").await?,
            "LIST" => wire.send(b"+OK\r\n1 1024\r\n.\r\n").await?,
            "UIDL" => wire.send(b"+OK\r\n1 one\r\n.\r\n").await?,
            "RETR" => match arguments.parse().ok().and_then(|kib| provider.response(kib).ok()) {
                Some(response) => wire.send(&response).await?,
                None => wire.send(b"-ERR no such message\r\n").await?,
            },
            _ => wire.send(b"-ERR not known\r\n").await?,
        }
    }
    Ok(())
}

fn verdict(logged_in: bool) -> &'static [u8] {
    if logged_in { b"+OK logged in\r\n" } else { b"-ERR [AUTH] not taken\r\n" }
}
