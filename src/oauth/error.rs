//! [`TokenError`]: why there is no token, for the log; and what of it a mail program hears. No variant holds a secret.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use gatepost_protocol::failure::{AuthFailure, Cause};
use thiserror::Error;

use super::diagnosis::{EndpointError, Remedy};
use crate::config::provider::GrantType;
use crate::pause::Pause;
use crate::random;
use crate::store::StoreError;

/// Why there is no token. The text is for the log and for whoever runs a command.
#[derive(Clone, Debug, Error)]
pub enum TokenError {
    /// The provider will not have Gatepost as its client, or not with these scopes.
    #[error(
        "{whose}: provider {provider} does not accept Gatepost as its OAuth client: {error}; {}",
        what_to_check(*grant)
    )]
    ClientRefused {
        /// The account, or the provider itself.
        whose: String,
        /// As the configuration names it.
        provider: String,
        /// How a token was asked for.
        grant: GrantType,
        /// What it said.
        error: Box<EndpointError>,
    },
    /// The token endpoint is down, slow, or talks nonsense. What is stored stays.
    #[error("{whose}: no token from {host}: {error}; try again later")]
    Endpoint {
        /// The account, or the provider itself.
        whose: String,
        /// As the configuration names it.
        provider: String,
        /// The host of the token endpoint.
        host: String,
        /// What happened.
        error: Box<EndpointError>,
    },
    /// The provider refused the grant for good: revoked, expired, or a policy wants the person back.
    #[error("{whose}: the provider refused the grant: {reason}; run: gatepost connect {address}")]
    GrantRefused {
        /// The account, or the provider itself.
        whose: String,
        /// The address to connect again.
        address: String,
        /// The provider's words.
        reason: String,
    },
    /// Another process has been refreshing this grant for longer than a refresh can take.
    #[error("{whose}: another Gatepost process holds the refresh of this grant; is one stuck?")]
    HeldElsewhere {
        /// The account, or the provider itself.
        whose: String,
    },
    /// The refresh ended without a result, because this process is stopping.
    #[error("{whose}: the refresh was interrupted")]
    Interrupted {
        /// The account, or the provider itself.
        whose: String,
    },
    /// Nobody has consented yet.
    #[error("{address}: not connected yet; run: gatepost connect {address}")]
    NotConnected {
        /// The account.
        address: String,
    },
    /// The store does not answer.
    #[error("{whose}: {error}")]
    Store {
        /// The account, or the provider itself.
        whose: String,
        /// Why.
        error: Arc<StoreError>,
    },
}

impl TokenError {
    /// What the token endpoint did, where it was asked.
    pub fn endpoint(&self) -> Option<&EndpointError> {
        match self {
            Self::ClientRefused { error, .. } | Self::Endpoint { error, .. } => Some(error),
            _ => None,
        }
    }

    /// For how long the same question is answered with this error instead of being asked again, so that neither fifty waiting
    /// logins nor a device that retries every ten seconds hammer the token endpoint. `last` is the pause after the same
    /// question before.
    pub(super) fn pause(&self, last: Option<&Pause>, now: SystemTime) -> Option<Pause> {
        const PASSING: RangeInclusive<Duration> = Duration::from_secs(2)..=Duration::from_mins(1);
        const LASTING: RangeInclusive<Duration> = Duration::from_mins(5)..=Duration::from_mins(5);
        let error = self.endpoint()?;
        let lengths = if error.lasts() { LASTING } else { PASSING };
        Some(Pause::after(last, now, &lengths, error.retry_after(), random::fraction()))
    }

    /// Whether a token that has not ended yet may be used all the same.
    pub(super) fn leaves_token_usable(&self) -> bool {
        !matches!(self, Self::GrantRefused { .. } | Self::NotConnected { .. })
    }
}

impl From<&TokenError> for AuthFailure {
    fn from(error: &TokenError) -> Self {
        match error {
            TokenError::ClientRefused { .. } => {
                Self::NeedsAdmin(Cause::new("provider refuses Gatepost; admin: see Gatepost's log"))
            }
            TokenError::Endpoint { error, .. } if matches!(**error, EndpointError::Untrusted(_)) => {
                Self::NeedsAdmin(Cause::new("token server's certificate not trusted; ask admin"))
            }
            TokenError::Endpoint { error, .. } => Self::Temporary(Cause::new(match **error {
                EndpointError::TimedOut => "token server does not answer; try again",
                EndpointError::Unreachable(_) => "token server not reachable; try again",
                _ => "token server has a fault; try again",
            })),
            TokenError::GrantRefused { .. } => {
                Self::NeedsAdmin(Cause::new("grant refused by provider; admin: gatepost connect"))
            }
            TokenError::HeldElsewhere { .. } | TokenError::Interrupted { .. } => {
                Self::Temporary(Cause::new("token not ready yet; try again"))
            }
            TokenError::NotConnected { .. } => {
                Self::NeedsAdmin(Cause::new("account not connected; admin: gatepost connect"))
            }
            TokenError::Store { .. } => {
                Self::Temporary(Cause::new("Gatepost's store fails; admin: see Gatepost's log"))
            }
        }
    }
}

/// What an admin looks at where the provider will not have Gatepost as its client.
pub(crate) fn what_to_check(grant: GrantType) -> &'static str {
    match grant {
        GrantType::ServiceAccount => {
            "check this machine's clock, that the mailbox exists, and that the organisation's admin has allowed the service \
             account these scopes (domain-wide delegation)"
        }
        _ => {
            "check client_id, client_secret or client_certificate, and scopes of this provider in the configuration file"
        }
    }
}

/// Whose token is asked for, for messages.
#[derive(Clone, Debug)]
pub(super) struct Whose {
    /// How a token is asked for.
    pub(super) grant: GrantType,
    /// The account's address, or the provider's name for a token that serves every mailbox.
    pub(super) owner: String,
    /// The address of the account at hand.
    pub(super) address: String,
    /// As the configuration names it.
    pub(super) provider: String,
    /// The host of the token endpoint.
    pub(super) host: String,
}

impl Whose {
    /// What the endpoint did, told for this grant.
    pub(super) fn endpoint(&self, error: EndpointError) -> TokenError {
        let Self { grant, owner: whose, provider, host, .. } = self.clone();
        match error.remedy() {
            Remedy::Reconnect if grant.needs_person() => self.refused(error.to_string()),
            // Nobody consented, so that consenting again would change nothing.
            Remedy::FixClient | Remedy::Reconnect => {
                TokenError::ClientRefused { whose, provider, grant, error: Box::new(error) }
            }
            Remedy::Wait => TokenError::Endpoint { whose, provider, host, error: Box::new(error) },
        }
    }

    /// The grant is dead, for the given reason.
    pub(super) fn refused(&self, reason: String) -> TokenError {
        TokenError::GrantRefused { whose: self.owner.clone(), address: self.address.clone(), reason }
    }

    /// What the store did.
    pub(super) fn store(&self, error: StoreError) -> TokenError {
        TokenError::Store { whose: self.owner.clone(), error: Arc::new(error) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_reaches_the_client_whole_and_with_the_right_permanence() {
        let whose = || "a@example.com".to_owned();
        let endpoint = |error| TokenError::Endpoint {
            whose: whose(),
            provider: whose(),
            host: whose(),
            error: Box::new(error),
        };
        let refused = EndpointError::Status { status: 500, retry_after: None };
        let table = [
            (
                TokenError::ClientRefused {
                    whose: whose(),
                    provider: whose(),
                    grant: GrantType::ServiceAccount,
                    error: Box::new(refused.clone()),
                },
                false,
            ),
            (endpoint(EndpointError::TimedOut), true),
            (endpoint(EndpointError::Unreachable("no route".to_owned())), true),
            (endpoint(EndpointError::Untrusted("UnknownIssuer".to_owned())), false),
            (endpoint(refused), true),
            (TokenError::GrantRefused { whose: whose(), address: whose(), reason: whose() }, false),
            (TokenError::HeldElsewhere { whose: whose() }, true),
            (TokenError::Interrupted { whose: whose() }, true),
            (TokenError::NotConnected { address: whose() }, false),
        ];
        for (error, temporary) in table {
            let failure = AuthFailure::from(&error);
            let cause = match (&failure, temporary) {
                (AuthFailure::Temporary(cause), true) | (AuthFailure::NeedsAdmin(cause), false) => cause,
                other => unreachable!("{error}: {other:?}"),
            };
            assert!(cause.as_str().ends_with(['n', 't', 'g']), "cut short: {}", cause.as_str());
        }
    }
}
