//! The mailbox's own password, asked for on the terminal without showing it; and `gatepost connect` with `grant: password`, where
//! it is redeemed once, and forgotten.

use std::io::{BufRead, IsTerminal, Read, stdin};

use gatepost_protocol::secret::Secret;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use super::table::print;
use super::{Exit, Failure, device_password, interrupt, progress};
use crate::config::provider::OAuthClient;
use crate::oauth::consent::Destination;
use crate::oauth::password::{PasswordError, redeem_and_commit};
use crate::store::grants::NewTokens;

/// No line with a password is longer.
const MAX_LINE: usize = 4096;

/// Asks for the password of the mailbox, or of who opens it, and commits what the provider gives for it.
pub(super) async fn connect(
    client: &OAuthClient,
    destination: &Destination<'_>,
) -> Result<NewTokens, Failure> {
    let who = destination.expected();
    let host = client.token_endpoint.host_str().unwrap_or_default();
    let password = if stdin().is_terminal() {
        let question = format!("It goes to {host} once, over TLS, and is not kept.\nPassword of {who}: ");
        typed(&question).await?
    } else {
        device_password::read(stdin())?
    };
    let redeemed = redeem_and_commit(client, who, password, destination.store, &destination.key);
    progress::shown("redeeming the password", redeemed).await.map_err(|error| {
        let exit = match error {
            PasswordError::Store(_) => Exit::State,
            PasswordError::Endpoint { .. } | PasswordError::NoRefreshToken => Exit::Upstream,
        };
        Failure::new(exit, format!("{} is not connected: {error}", destination.address))
    })
}

/// Asks for a password until there is one, and reads it from the terminal, which shows none of it.
pub(super) async fn typed(question: &str) -> Result<Secret<String>, Failure> {
    let mut line = typed_unseen(question).await?;
    // Whoever ends the input sends not even that.
    while matches!(line.as_slice(), b"\n" | b"\r\n") {
        let again = question.lines().last().unwrap_or_default();
        line = typed_unseen(&format!("That is empty.\n{again}")).await?;
    }
    device_password::read(line.as_slice())
}

/// Asks, and reads a line from the terminal, which shows none of it.
pub(super) async fn typed_unseen(question: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    // Both before the question: an answer that comes at once must not show, and whoever stops here must not be left with a
    // terminal that shows nothing.
    interrupt::listen();
    let silence = Silence::begin()?;
    print(question)?;
    let read = tokio::task::spawn_blocking(|| {
        let mut line = Zeroizing::new(Vec::with_capacity(MAX_LINE));
        stdin().lock().take(MAX_LINE as u64).read_until(b'\n', &mut line).map(|_| line)
    });
    let line = read.await.map_err(|error| Failure::new(Exit::Failed, error))?;
    drop(silence);
    print("\n")?;
    line.map_err(|error| Failure::new(Exit::Failed, format!("the terminal cannot be read: {error}")))
}

/// While it lives, the terminal does not show what is typed.
struct Silence {
    before: Termios,
}

impl Silence {
    fn begin() -> Result<Self, Failure> {
        let failed =
            |error| Failure::new(Exit::Failed, format!("the terminal cannot be made silent: {error}"));
        let before = tcgetattr(stdin()).map_err(failed)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(stdin(), OptionalActions::Flush, &silent).map_err(failed)?;
        Ok(Self { before })
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        let _ = tcsetattr(stdin(), OptionalActions::Now, &self.before);
    }
}
