//! A message that is really sent through an account, and found again in an inbox: whether mail arrives, and how soon. Nothing
//! in the inbox is changed, and what else is in it is not read but for the headers of its newest messages, where there is
//! only POP3.

mod inbox;
mod step;

use std::time::{Duration, SystemTime};

use gatepost_protocol::Protocol;
use gatepost_protocol::sasl::UpstreamSecret;
use tokio::time::{Instant, sleep};

use self::inbox::Inbox;
pub use self::inbox::InboxError;
pub use self::step::{arrival, message, no_message};
use crate::account::Account;
use crate::config::Provider;
use crate::submission::{Message, SubmissionError, Taken, submit};

/// How long a message is waited for.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// Between one look into an inbox and the next. Providers count commands.
const PAUSE: Duration = Duration::from_secs(3);

/// The same where each look is a login, which they count even more.
const PAUSE_BETWEEN_LOGINS: Duration = Duration::from_secs(15);

/// A mailbox and what opens it.
#[derive(Debug)]
pub struct Mailbox<'a> {
    /// Where it is.
    pub provider: &'a Provider,
    /// Whose it is.
    pub account: &'a Account,
    /// A token or a password.
    pub secret: UpstreamSecret,
}

/// A message that a provider has taken.
#[derive(Clone, Debug)]
pub struct Sent {
    /// How the provider took it.
    pub taken: Taken,
    /// How long that took, the login included.
    pub took: Duration,
    at: Instant,
}

/// What became of a message that was looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It is in the inbox.
    Found {
        /// How it was found.
        protocol: Protocol,
        /// How long after it had been sent.
        after: Duration,
    },
    /// It was not there within [`PATIENCE`].
    NotYet,
    /// The inbox's provider has neither IMAP nor POP3.
    NoWayToLook,
}

/// Sends a message to this address. `time` is for the login and the message together.
pub async fn send(
    from: Mailbox<'_>,
    to: &str,
    at: SystemTime,
    time: Duration,
) -> Result<Sent, SubmissionError> {
    let Mailbox { provider, account, secret } = from;
    let message = Message {
        to: vec![to.to_owned()],
        subject: "Gatepost: a test message".to_owned(),
        text: format!("`gatepost test {}` has sent this message. It may be deleted.\n", account.address),
        at,
    };
    let begin = Instant::now();
    let taken = submit(provider, account, secret, &message, begin + time).await?;
    Ok(Sent { taken, took: begin.elapsed(), at: Instant::now() })
}

/// Looks for the message until it is there. `time` is for each look. Fails with how it was looked.
pub async fn find(
    sent: &Sent,
    inbox: Mailbox<'_>,
    time: Duration,
) -> Result<Arrival, (Protocol, InboxError)> {
    let Some(mut inbox) = Inbox::of(inbox, time) else { return Ok(Arrival::NoWayToLook) };
    let protocol = inbox.protocol();
    let pause = if protocol == Protocol::Pop3 { PAUSE_BETWEEN_LOGINS } else { PAUSE };
    let after = until_there(async || inbox.has(&sent.taken.message_id).await, sent.at, pause).await;
    let after = after.map_err(|error| (protocol, error))?;
    Ok(after.map_or(Arrival::NotYet, |after| Arrival::Found { protocol, after }))
}

/// Looks again and again. Gives how long it took; `None` when it took too long.
async fn until_there<E>(
    mut look: impl AsyncFnMut() -> Result<bool, E>,
    since: Instant,
    pause: Duration,
) -> Result<Option<Duration>, E> {
    loop {
        if look().await? {
            return Ok(Some(since.elapsed()));
        }
        if since.elapsed() + pause > PATIENCE {
            return Ok(None);
        }
        sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_is_looked_for_until_it_is_there() {
        let by_login = PAUSE_BETWEEN_LOGINS;
        for (looks, pause, expected) in [
            (1, PAUSE, Some(Duration::ZERO)),
            (2, PAUSE, Some(PAUSE)),
            (21, PAUSE, Some(PATIENCE)),
            (22, PAUSE, None),
            (2, by_login, Some(by_login)),
            (5, by_login, Some(PATIENCE)),
            (6, by_login, None),
        ] {
            let mut left = looks;
            let look = async || {
                left -= 1;
                Ok::<_, ()>(left == 0)
            };
            assert_eq!(until_there(look, Instant::now(), pause).await, Ok(expected), "{looks}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_inbox_that_refuses_is_not_asked_again() {
        let mut asked = 0;
        let look = async || {
            asked += 1;
            Err("no")
        };
        assert_eq!(until_there(look, Instant::now(), PAUSE).await, Err("no"));
        assert_eq!(asked, 1);
    }
}
