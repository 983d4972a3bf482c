//! Phase two: a place at the provider, a token or a password, a login. One retry, with a newer token, where the provider's refusal
//! says that this may help; none with a password.

use std::sync::Arc;

use gatepost_protocol::Protocol;
use gatepost_protocol::dialogue::Success;
use gatepost_protocol::sasl::UpstreamSecret;
use tokio::time::{Instant, timeout_at};

use super::dial;
use super::driver::Connection;
use super::failed::Failed;
use super::slots::{Mailbox, Slot};
use super::upstream::{UpstreamError, credentials, log_in};
use super::{Accepted, Closed, Gateway, Identified, Linked};
use crate::account::Account;
use crate::config::Provider;
use crate::config::provider::{Endpoint, Login, OAuthClient};
use crate::oauth::{AccessToken, TokenError};

impl Identified {
    /// Gets in at the provider and tells the client; gives the client back when that failed and it may try again.
    pub(super) async fn link(self) -> Result<Result<Linked, Accepted>, Closed> {
        let Self { mut accepted, verified, deadline } = self;
        let attempt = Attempt {
            gateway: Arc::clone(&accepted.gateway),
            protocol: accepted.entrance.listener.protocol,
            tag: accepted.dialogue.tag().unwrap_or_default().to_owned(),
            account: verified.account,
            deadline,
        };
        match accepted.while_client_waits(attempt.get_in()).await {
            Err(outcome) => Err(accepted.close(outcome)),
            Ok(Ok(((upstream, success), slot))) => {
                let provider = accepted.gateway.providers.get(&attempt.account.provider);
                let by_person = provider.is_some_and(|provider| provider.needs_person());
                let session =
                    accepted.gateway.live.enter(verified.credential, by_person, &accepted.gateway.drained);
                accepted.gateway.accounts.note_login(attempt.account.id, attempt.protocol);
                // Invariant 3: this is the only place where a client hears success.
                accepted.step = accepted.dialogue.verdict(&Ok(success), &mut accepted.client.output);
                match timeout_at(deadline, accepted.client.send()).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => {
                        return Err(accepted.close(format!("client gone at its verdict: {error}")));
                    }
                    Err(_) => return Err(accepted.close("client did not take its verdict")),
                }
                let Accepted { gateway, entrance, client, record, .. } = accepted;
                let idle = gateway.limits.idle(entrance.listener.protocol);
                Ok(Ok(Linked { gateway, idle, client, upstream, session, slot, record }))
            }
            Ok(Err(failed)) => {
                failed.log(&attempt.account, attempt.protocol, accepted.record.client);
                if let Some(refused) = failed.refused_login {
                    let accounts = &accepted.gateway.accounts;
                    accounts.note_refused_login(attempt.account.id, attempt.protocol, refused);
                }
                accepted.refuse(failed.failure);
                Ok(Err(accepted))
            }
        }
    }
}

/// One login of one account.
struct Attempt {
    gateway: Arc<Gateway>,
    protocol: Protocol,
    /// Of the client's command, in IMAP.
    tag: String,
    account: Account,
    deadline: Instant,
}

impl Attempt {
    async fn get_in(&self) -> Result<((Connection, Success), Option<Slot<Mailbox>>), Failed> {
        let name = &self.account.provider;
        let provider = self
            .gateway
            .providers
            .get(name)
            .ok_or_else(|| Failed::known("G15", format!("the configuration has no provider {name:?}")))?;
        let endpoint = provider
            .endpoint(self.protocol)
            .ok_or_else(|| Failed::known("G16", format!("this provider has no {}", self.protocol)))?;
        let slot = match endpoint.sessions {
            Some(capacity) => Some(self.slot(capacity).await?),
            None => None,
        };
        Ok((self.log_in(provider, endpoint).await?, slot))
    }

    /// A place among the mailbox's sessions, in order of arrival.
    async fn slot(&self, capacity: usize) -> Result<Slot<Mailbox>, Failed> {
        let mailbox = Mailbox {
            provider: self.account.provider.clone(),
            user_name: self.account.upstream_user_name(self.protocol).to_ascii_lowercase(),
            protocol: self.protocol,
        };
        timeout_at(self.deadline, self.gateway.slots.take(mailbox, capacity)).await.map_err(|_| {
            let detail = format!("all {capacity} {} sessions of the mailbox stayed in use", self.protocol);
            Failed::busy("G17", detail)
        })
    }

    async fn log_in(
        &self,
        provider: &Arc<Provider>,
        endpoint: &Endpoint,
    ) -> Result<(Connection, Success), Failed> {
        match &provider.login {
            Login::OAuth(client) => self.log_in_with_token(client, provider, endpoint).await,
            Login::Password => self.log_in_with_password(provider, endpoint).await,
        }
    }

    async fn log_in_with_password(
        &self,
        provider: &Provider,
        endpoint: &Endpoint,
    ) -> Result<(Connection, Success), Failed> {
        let (passwords, account) = (&self.gateway.mailbox_passwords, &self.account);
        let usable = timeout_at(self.deadline, passwords.usable(account, self.protocol));
        let (password, _turn) = usable
            .await
            .map_err(|_| Failed::known("G05", "another login tries the same new password, unanswered"))??;
        let version = password.version;
        let error =
            match self.log_in_with(provider, endpoint, UpstreamSecret::Password(password.secret)).await {
                Ok(logged_in) => {
                    passwords.taken(account, self.protocol, version, password.refused).await;
                    return Ok(logged_in);
                }
                Err(error) => error,
            };
        if error.is_about_secret() {
            passwords.refused(account, self.protocol, version, &error).await;
        }
        Err(Failed::with_password(&error, self.protocol))
    }

    async fn log_in_with_token(
        &self,
        client: &Arc<OAuthClient>,
        provider: &Provider,
        endpoint: &Endpoint,
    ) -> Result<(Connection, Success), Failed> {
        let token = self.in_time(self.gateway.tokens.token_at_hand(client, &self.account)).await?;
        let with = |token: &AccessToken| UpstreamSecret::Token(token.secret.clone());
        let refusal = match self.log_in_with(provider, endpoint, with(&token)).await {
            Ok(logged_in) => return Ok(logged_in),
            Err(error) => error,
        };
        if !refusal.may_a_new_token_help(self.protocol) {
            return Err(Failed::with_token(&refusal, self.protocol));
        }
        let newer = self.gateway.tokens.renewed(client, &self.account, self.protocol, token.version);
        match self.in_time(newer).await? {
            Some(newer) => {
                let login = self.log_in_with(provider, endpoint, with(&newer)).await;
                login.map_err(|error| Failed::with_token(&error, self.protocol))
            }
            None => Err(Failed::with_token(&refusal, self.protocol)),
        }
    }

    async fn in_time<T>(&self, token: impl Future<Output = Result<T, TokenError>>) -> Result<T, Failed> {
        match timeout_at(self.deadline, token).await {
            Ok(result) => Ok(result?),
            Err(_) => Err(Failed::known("G18", "no token in time; its refresh goes on")),
        }
    }

    async fn log_in_with(
        &self,
        provider: &Provider,
        endpoint: &Endpoint,
        secret: UpstreamSecret,
    ) -> Result<(Connection, Success), UpstreamError> {
        let user_name = self.account.upstream_user_name(self.protocol);
        let credentials = credentials(endpoint, user_name, secret)?;
        let login =
            log_in(self.protocol, &self.tag, endpoint, &provider.trust, credentials, self.deadline).await;
        if matches!(login, Err(UpstreamError::Ended { .. } | UpstreamError::TimedOut(_))) {
            dial::forget(&endpoint.host, endpoint.port);
        }
        login
    }
}
