//! Phase one: the client is heard out until a local password is right.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use gatepost_protocol::dialogue::{Goodbye, Step};
use gatepost_protocol::failure::{AuthFailure, Cause};
use gatepost_protocol::sasl::Credentials;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::driver::Ended;
use super::record::Phase;
use super::slots::counted_address;
use super::{Accepted, Closed, Entrance, Gateway, Identified};
use crate::account::Verified;
use crate::config::ListenerTls;
use crate::random;

/// Passwords of one client address that are checked or queued at once; its further ones wait their turn. One that was right
/// within the last hour needs none.
const CHECKS_PER_ADDRESS: usize = 4;

/// How long a client that is being dismissed may take to take its last line.
const LAST_LINE: Duration = Duration::from_secs(1);

impl Accepted {
    /// The handshake where TLS comes first, and the greeting.
    pub(super) async fn greet(mut self) -> Result<Self, Closed> {
        if self.entrance.listener.tls == ListenerTls::Implicit {
            let started = Instant::now();
            let handshake = timeout(self.patience, self.client.stream.upgrade(&self.entrance.upgrade));
            match self.gateway.stopping.run_until_cancelled(handshake).await {
                Some(Ok(Ok(()))) => self.patience = self.patience.saturating_sub(started.elapsed()),
                Some(Ok(Err(error))) => return Err(self.close(format!("TLS handshake failed: {error}"))),
                Some(Err(_)) => return Err(self.close("no TLS handshake in time")),
                None => return Err(self.close("stopping")),
            }
        }
        self.dialogue.open(&mut self.client.output);
        Ok(self)
    }

    /// Hears the client until a password is right.
    pub(super) async fn identify(mut self) -> Result<Identified, Closed> {
        loop {
            let credentials = match self.hear_credentials().await {
                Ok(credentials) => credentials,
                Err(outcome) => return Err(self.close(outcome)),
            };
            let heard_at = Instant::now();
            let deadline = heard_at + self.gateway.limits.login;
            self.record.phase = Phase::Tried;
            let verification = verify(
                Arc::clone(&self.gateway),
                Arc::clone(&self.entrance),
                self.record.client.ip(),
                &credentials,
                heard_at,
                deadline,
            );
            match self.while_client_waits(verification).await {
                Err(outcome) => return Err(self.close(outcome)),
                Ok(Ok(verified)) => {
                    self.record.phase = Phase::Identified;
                    self.record.account = Some(verified.account.address.clone());
                    return Ok(Identified { accepted: self, verified, deadline });
                }
                Ok(Err(failure)) => {
                    let (words, user_name) = (in_words(&failure), &credentials.user_name);
                    self.record.last_failure = Some(format!("{words}; user name {user_name:?}"));
                    self.refuse(failure);
                }
            }
        }
    }

    /// Tells the client why not. The dialogue goes on, or is closed by its next step.
    pub(super) fn refuse(&mut self, failure: AuthFailure) {
        self.step = self.dialogue.verdict(&Err(failure), &mut self.client.output);
    }

    /// Waits for something that the client waits for too. Fails with the connection's outcome when the client is gone, or when
    /// Gatepost stops.
    pub(super) async fn while_client_waits<T>(&mut self, work: impl Future<Output = T>) -> Result<T, String> {
        let gateway = Arc::clone(&self.gateway);
        tokio::select! {
            biased;
            () = gateway.stopping.cancelled() => {}
            result = work => return Ok(result),
            () = self.client.gone() => return Err("client gone while it waited for its verdict".to_owned()),
        }
        self.dismiss(Goodbye::ShuttingDown).await;
        Err("stopping".to_owned())
    }

    /// Drives the dialogue until the client has said who it is. Fails with the connection's outcome.
    async fn hear_credentials(&mut self) -> Result<Credentials, String> {
        let gateway = Arc::clone(&self.gateway);
        let started = Instant::now();
        let step = std::mem::replace(&mut self.step, Step::NeedLine);
        let dialogue = self.client.drive(&mut *self.dialogue, step, &self.entrance.upgrade);
        let (goodbye, outcome) = tokio::select! {
            biased;
            () = gateway.stopping.cancelled() => (Goodbye::ShuttingDown, "stopping".to_owned()),
            driven = timeout(self.patience, dialogue) => match driven {
                Ok(Ok(credentials)) => {
                    self.patience = self.patience.saturating_sub(started.elapsed());
                    return Ok(credentials);
                }
                Ok(Err(ended)) => return Err(self.told(&ended)),
                Err(_) => (Goodbye::TimedOut, format!("not logged in within {} s", gateway.limits.before_login.as_secs())),
            },
        };
        self.dismiss(goodbye).await;
        Err(outcome)
    }

    fn told(&self, ended: &Ended) -> String {
        match (self.dialogue.violation(), ended) {
            (Some(violation), _) => violation.as_str().to_owned(),
            (None, Ended::Closed) => "closed before login".to_owned(),
            (None, Ended::Gone) => "client closed before login".to_owned(),
            (None, other) => other.to_string(),
        }
    }

    /// The last line to a client that is not logged in, unless it has not even taken the line before.
    async fn dismiss(&mut self, reason: Goodbye) {
        if self.client.output.is_empty() {
            self.entrance.goodbye(reason, &mut self.client.output);
            let _the_client_may_be_gone = timeout(LAST_LINE, self.client.send()).await;
        }
    }
}

/// For the log; what a client hears is its protocol's affair.
fn in_words(failure: &AuthFailure) -> &str {
    match failure {
        AuthFailure::Malformed => "not understood",
        AuthFailure::Cancelled => "taken back by the client",
        AuthFailure::EncryptionRequired => "TLS has to come first",
        AuthFailure::WrongCredentials => "wrong user name or password",
        AuthFailure::Disabled => "the account is switched off",
        AuthFailure::NeedsAdmin(cause) | AuthFailure::Temporary(cause) | AuthFailure::Busy(cause) => {
            cause.as_str()
        }
    }
}

/// Checks the local password. A wrong one is told after a fixed time, or a multiple of it, whoever asks (invariant 6). Until then the
/// address keeps its place, so that few of its guesses are checked at once. These still wait for one another, since one password is hashed at
/// a time: where a user name has many, several guesses together may tell so by their time. What no time tells is whether a name with one
/// password exists.
async fn verify(
    gateway: Arc<Gateway>,
    entrance: Arc<Entrance>,
    client: IpAddr,
    credentials: &Credentials,
    heard_at: Instant,
    deadline: Instant,
) -> Result<Verified, AuthFailure> {
    let providers: Vec<&str> = entrance.providers.iter().map(String::as_str).collect();
    let mut held = None;
    let place = async {
        held = Some(gateway.checks.take(counted_address(client), CHECKS_PER_ADDRESS).await);
    };
    let check = gateway.accounts.verify(&providers, credentials, place);
    let verdict = timeout_at(deadline, check)
        .await
        .unwrap_or_else(|_| Err(AuthFailure::Busy(Cause::new("too many logins at once; try again"))));
    if matches!(verdict, Err(AuthFailure::WrongCredentials)) {
        let delay = gateway.limits.wrong_password_delay;
        let jitter = delay.mul_f64(random::fraction() / 4.0);
        let due = told_at(heard_at, Instant::now(), delay) + jitter;
        sleep_until(due.min(deadline)).await;
    }
    drop(held);
    verdict
}

/// The first multiple of the delay that is not over yet: a check that took longer does not show by how much.
fn told_at(heard_at: Instant, now: Instant, delay: Duration) -> Instant {
    let mut due = heard_at + delay;
    while due < now && !delay.is_zero() {
        due += delay;
    }
    due
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::told_at;

    #[test]
    fn a_late_answer_comes_at_the_next_multiple_of_the_delay() {
        let heard_at = Instant::now();
        for (delay, took, expected) in
            [(1000, 0, 1000), (1000, 1000, 1000), (1000, 1001, 2000), (1000, 7500, 8000), (0, 90, 0)]
        {
            let [delay, took, expected] = [delay, took, expected].map(Duration::from_millis);
            assert_eq!(told_at(heard_at, heard_at + took, delay), heard_at + expected);
        }
    }
}
