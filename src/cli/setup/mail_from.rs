//! Whether a mailbox may send, asked of the provider after the login: MAIL FROM, and then QUIT, so that nothing is sent.
//! Exchange lets an application in without a permission for the mailbox and refuses what comes after: at the latest the
//! message itself, which this cannot see.

use gatepost_protocol::sasl::UpstreamCredentials;
use tokio::time::{Instant, timeout_at};

use crate::session::driver::Connection;
use crate::submission::{can_carry, reply};

/// The provider's refusal, if it is one. `connection` is logged in with the credentials.
pub(super) async fn refusal(
    connection: &mut Connection,
    credentials: &UpstreamCredentials,
    mailbox: &str,
    deadline: Instant,
) -> Option<String> {
    // What SMTPUTF8 or quoting would be needed for is left to the first real message.
    if !can_carry(mailbox) {
        return None;
    }
    connection.output.line(&format!("MAIL FROM:<{mailbox}>"));
    let said = match timeout_at(deadline, reply(connection, credentials)).await {
        Ok(Ok(reply)) if (200..300).contains(&reply.code) => None,
        Ok(Ok(reply)) => Some(reply.text),
        Ok(Err(error)) => Some(format!("no reply: {error}")),
        Err(_) => Some("no reply in time".to_owned()),
    };
    connection.output.line("QUIT");
    // Whether it hears our goodbye changes nothing.
    let _ = timeout_at(deadline, connection.send()).await;
    said.map(|said| format!("the login succeeds, and MAIL FROM is refused: {said}"))
}
