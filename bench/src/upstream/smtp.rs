//! SMTP, as far as a load and the login of a proxy go. A message is answered with `250 octets sha256`.

use tokio::io::{AsyncRead, AsyncWrite};

use super::sasl;
use super::wire::Wire;

pub(super) async fn converse<S>(wire: &mut Wire<S>) -> anyhow::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    wire.send(b"220 localhost ready\r\n").await?;
    let mut logged_in = false;
    while let Some(line) = wire.line().await? {
        let (command, arguments) = line.split_once(' ').unwrap_or((&line, ""));
        match command.to_ascii_uppercase().as_str() {
            "EHLO" => {
                wire.send(
                    b"250-localhost\r\n250-PIPELINING\r\n250-SIZE 268435456\r\n250-8BITMIME\r\n\
                      250 AUTH XOAUTH2 PLAIN LOGIN\r\n",
                )
                .await?;
            }
            "AUTH" => {
                logged_in = sasl::accepts(wire, "334 ", arguments).await?;
                wire.send(if logged_in { b"235 logged in\r\n" } else { b"535 not taken\r\n" }).await?;
            }
            // nginx tells who its client is, and then waits for a greeting.
            "XCLIENT" => wire.send(b"220 localhost ready\r\n").await?,
            "HELO" | "NOOP" | "RSET" => wire.send(b"250 ok\r\n").await?,
            "QUIT" => return Ok(wire.send(b"221 bye\r\n").await?),
            _ if !logged_in => wire.send(b"530 log in first\r\n").await?,
            "MAIL" | "RCPT" => wire.send(b"250 ok\r\n").await?,
            "DATA" => {
                wire.send(b"354 go on\r\n").await?;
                let (octets, digest) = wire.message().await?;
                wire.send(format!("250 {octets} {digest}\r\n").as_bytes()).await?;
            }
            _ => wire.send(b"500 not known\r\n").await?,
        }
    }
    Ok(())
}
