//! One attempt to open a mailbox as Gatepost will: a token, a login by each protocol, and for SMTP the question whether it may
//! send. What is in the way is sorted by whether waiting helps.

use std::sync::Arc;
use std::time::Duration;

use gatepost_protocol::Protocol;
use gatepost_protocol::failure::RefusalKind;
use gatepost_protocol::sasl::UpstreamSecret;
use gatepost_protocol::secret::Secret;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::mail_from;
use crate::config::Provider;
use crate::config::provider::GrantType;
use crate::oauth::application;
use crate::oauth::diagnosis::{EndpointError, Remedy, known};
use crate::session::driver::Ended;
use crate::session::upstream::{self, UpstreamError};
use crate::tls::is_untrusted;

/// Mailboxes that are tried at the same time.
const AT_ONCE: usize = 8;

/// Of the one command that we log in with, in IMAP.
const TAG: &str = "setup";

/// What is tried at one mailbox.
pub(super) struct Attempt {
    pub(super) provider: Arc<Provider>,
    pub(super) mailbox: String,
    /// Each protocol with the user name toward the provider.
    pub(super) logins: Vec<(Protocol, String)>,
    /// The token that serves every mailbox, where there is such a thing.
    pub(super) token: Option<Result<Secret<String>, EndpointError>>,
    /// The time for each login.
    pub(super) time: Duration,
}

/// Why a mailbox cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Obstacle {
    /// In the provider's words, mostly.
    pub(super) text: String,
    /// Whether it may go away by itself.
    pub(super) may_pass: bool,
    /// Whether nobody was reached who could have refused anything.
    pub(super) is_network: bool,
}

/// A mailbox with what came of its logins.
pub(super) type Tried = (String, Vec<(Protocol, Result<(), Obstacle>)>);

/// Tries several mailboxes at the same time.
pub(super) async fn run_all(attempts: Vec<Attempt>) -> Vec<Tried> {
    let mut waiting = attempts.into_iter();
    let mut running = JoinSet::new();
    let mut results = Vec::new();
    loop {
        while running.len() < AT_ONCE
            && let Some(attempt) = waiting.next()
        {
            running.spawn(attempt.run());
        }
        match running.join_next().await {
            Some(Ok(result)) => results.push(result),
            // What has no result is tried again in the next round.
            Some(Err(_)) => {}
            None => return results,
        }
    }
}

impl Attempt {
    /// How each login went.
    async fn run(self) -> Tried {
        let token = match (&self.token, self.provider.oauth()) {
            (Some(token), _) => token.clone(),
            (None, Some(client)) => application::token(client, &self.mailbox).await,
            (None, None) => Err(EndpointError::NothingToRedeem),
        };
        let mut results = Vec::new();
        for (protocol, user_name) in &self.logins {
            let result = match &token {
                Ok(token) => self.log_in(*protocol, user_name, token).await,
                Err(error) => Err(no_token(error, self.provider.oauth().map(|client| client.grant))),
            };
            results.push((*protocol, result));
        }
        (self.mailbox, results)
    }

    async fn log_in(
        &self,
        protocol: Protocol,
        user_name: &str,
        token: &Secret<String>,
    ) -> Result<(), Obstacle> {
        // Only protocols that the provider has are tried.
        let Some(endpoint) = self.provider.endpoint(protocol) else { return Ok(()) };
        let deadline = Instant::now() + self.time;
        let secret = UpstreamSecret::Token(token.clone());
        let credentials =
            upstream::credentials(endpoint, user_name, secret).map_err(|error| refused(&error))?;
        let trust = &self.provider.trust;
        let login = upstream::log_in(protocol, TAG, endpoint, trust, credentials.clone(), deadline);
        let (mut connection, _) = login.await.map_err(|error| refused(&error))?;
        let refusal = match protocol {
            Protocol::Smtp => {
                mail_from::refusal(&mut connection, &credentials, &self.mailbox, deadline).await
            }
            Protocol::Pop3 | Protocol::Imap => None,
        };
        // Some providers count a session that was not ended for minutes.
        connection.stream.end().await;
        match refusal {
            Some(text) => Err(Obstacle { text, may_pass: true, is_network: false }),
            None => Ok(()),
        }
    }
}

/// Without a token there is no login.
fn no_token(error: &EndpointError, grant: Option<GrantType>) -> Obstacle {
    let may_pass = match error {
        // Google's words for a delegation that nobody has made, or that has not come into force. Entra's for an
        // application that it does not know are the same.
        EndpointError::Refused { code, .. }
            if ["access_denied", "unauthorized_client"].contains(&code.as_str()) =>
        {
            grant == Some(GrantType::ServiceAccount)
        }
        EndpointError::Untrusted(_) | EndpointError::Redirected(_) | EndpointError::NotUnderstood(_) => false,
        _ => error.remedy() == Remedy::Wait,
    };
    let is_network = matches!(error, EndpointError::Unreachable(_) | EndpointError::TimedOut);
    let text = match grant.map_or_else(|| error.diagnosis(), |grant| known(&error.to_string(), grant)) {
        Some(row) => format!("no token: {} ({}): {error}", row.title, row.id),
        None => format!("no token: {error}"),
    };
    Obstacle { text, may_pass, is_network }
}

/// Only what a permission could not be the reason of is for good.
fn refused(error: &UpstreamError) -> Obstacle {
    let may_pass = match error {
        UpstreamError::ForbiddenByte | UpstreamError::HostName(_) => false,
        UpstreamError::Ended { error: Ended::Tls(error), .. } => !is_untrusted(error),
        UpstreamError::Refused(refusal) => refusal.kind != RefusalKind::NoStartTls,
        UpstreamError::Dial(_) | UpstreamError::Ended { .. } | UpstreamError::TimedOut(_) => true,
    };
    Obstacle { text: error.to_string(), may_pass, is_network: matches!(error, UpstreamError::Dial(_)) }
}
