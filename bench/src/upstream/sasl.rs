//! What the provider takes as a login: XOAUTH2 with the token, PLAIN and LOGIN with the password.

use std::io;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tokio::io::{AsyncRead, AsyncWrite};

use super::wire::Wire;
use super::{PASSWORD, TOKEN};

/// The rest of an exchange that began with `AUTH mechanism [initial response]`; whether the login is taken. Every
/// challenge is what stands before it in the protocol (`334 `, `+ `), and base64.
pub(super) async fn accepts<S>(wire: &mut Wire<S>, challenge: &str, arguments: &str) -> io::Result<bool>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mechanism, initial) = arguments.split_once(' ').unwrap_or((arguments, ""));
    if mechanism.eq_ignore_ascii_case("LOGIN") {
        if initial.is_empty() {
            asked(wire, challenge, "Username:").await?;
        }
        return Ok(asked(wire, challenge, "Password:").await? == PASSWORD.as_bytes());
    }
    let response = if initial.is_empty() { asked(wire, challenge, "").await? } else { decoded(initial) };
    Ok(if mechanism.eq_ignore_ascii_case("XOAUTH2") {
        response.ends_with(format!("\x01auth=Bearer {TOKEN}\x01\x01").as_bytes())
    } else {
        mechanism.eq_ignore_ascii_case("PLAIN") && response.ends_with(format!("\0{PASSWORD}").as_bytes())
    })
}

async fn asked<S>(wire: &mut Wire<S>, challenge: &str, prompt: &str) -> io::Result<Vec<u8>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    wire.send(format!("{challenge}{}\r\n", BASE64_STANDARD.encode(prompt)).as_bytes()).await?;
    Ok(decoded(&wire.line().await?.unwrap_or_default()))
}

/// What is no base64 is no login either.
fn decoded(response: &str) -> Vec<u8> {
    BASE64_STANDARD.decode(response).unwrap_or_default()
}
