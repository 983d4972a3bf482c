//! [`TokenError`]: why there is no token, for the log; and what of it a mail program hears. No variant holds a secret.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use gatepost_protocol::failure::{AuthFailure, Cause};
use thiserror::Error;

use super::diagnosis::{EndpointError, Remedy, known};
use crate::config::provider::GrantType;
use crate::diagnosis::{self, Diagnosis, Place};
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
    #[error("{whose}: Gatepost's store fails: {error}")]
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

    /// What is known of it.
    pub fn diagnosis(&self) -> Option<&'static Diagnosis> {
        match self {
            Self::ClientRefused { error, grant, .. } => known(&error.to_string(), *grant),
            Self::Endpoint { error, .. } => error.diagnosis(),
            Self::GrantRefused { reason, .. } => diagnosis::find(Place::Token, reason),
            Self::HeldElsewhere { .. } => diagnosis::by_id("G32"),
            Self::Interrupted { .. } => diagnosis::by_id("G33"),
            Self::NotConnected { .. } => diagnosis::by_id("G20"),
            Self::Store { .. } => diagnosis::by_id("G34"),
        }
    }

    /// For the log: what it is, what happened, and where more stands.
    pub(super) fn for_log(&self) -> String {
        match self.diagnosis() {
            Some(row) => format!("{} ({}): {self}; more in {}", row.title, row.id, row.anchor()),
            None => format!("{self}. Gatepost does not know this answer yet; please report it"),
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
        let known = error.diagnosis().map(Diagnosis::cause_for_client);
        let cause = |unknown: &'static str| known.unwrap_or_else(|| Cause::new(unknown));
        match error {
            TokenError::ClientRefused { .. } => {
                Self::NeedsAdmin(cause("provider refuses Gatepost; admin: see Gatepost's log"))
            }
            TokenError::Endpoint { error, .. } if matches!(**error, EndpointError::Untrusted(_)) => {
                Self::NeedsAdmin(cause("token server not trusted; ask admin"))
            }
            TokenError::GrantRefused { .. } => {
                Self::NeedsAdmin(cause("grant refused by provider; admin: gatepost connect"))
            }
            TokenError::NotConnected { .. } => {
                Self::NeedsAdmin(cause("account not connected; admin: gatepost connect"))
            }
            TokenError::Endpoint { .. }
            | TokenError::HeldElsewhere { .. }
            | TokenError::Interrupted { .. }
            | TokenError::Store { .. } => {
                Self::Temporary(cause("no token now; try again, admin: see Gatepost's log"))
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

    /// Each variant with its row, and whether it passes by itself.
    fn every_variant() -> Vec<(TokenError, Option<&'static str>, bool)> {
        let whose = || "a@example.com".to_owned();
        let endpoint = |error| TokenError::Endpoint {
            whose: whose(),
            provider: whose(),
            host: whose(),
            error: Box::new(error),
        };
        let refused_as = |code: &str, grant| TokenError::ClientRefused {
            whose: whose(),
            provider: whose(),
            grant,
            error: Box::new(EndpointError::Refused {
                status: 400,
                code: code.to_owned(),
                description: None,
                retry_after: None,
            }),
        };
        let refused = |reason: &str| TokenError::GrantRefused {
            whose: whose(),
            address: whose(),
            reason: reason.to_owned(),
        };
        let store = TokenError::Store { whose: whose(), error: Arc::new(StoreError::AccountGone) };
        vec![
            (refused_as("invalid_client", GrantType::AuthorizationCode), Some("D141"), false),
            // Nobody consented, so that nobody can consent again.
            (refused_as("invalid_grant", GrantType::ServiceAccount), None, false),
            (refused_as("a_new_word", GrantType::AuthorizationCode), None, false),
            (endpoint(EndpointError::TimedOut), Some("G26"), true),
            (endpoint(EndpointError::Unreachable("no route".to_owned())), Some("G27"), true),
            (endpoint(EndpointError::Untrusted("UnknownIssuer".to_owned())), Some("G28"), false),
            (endpoint(EndpointError::Status { status: 500, retry_after: None }), Some("G29"), true),
            (refused("invalid_grant (HTTP 400)"), Some("D140"), false),
            (refused("a_new_word (HTTP 400)"), None, false),
            (TokenError::HeldElsewhere { whose: whose() }, Some("G32"), true),
            (TokenError::Interrupted { whose: whose() }, Some("G33"), true),
            (TokenError::NotConnected { address: whose() }, Some("G20"), false),
            (store, Some("G34"), true),
        ]
    }

    #[test]
    fn every_error_reaches_the_client_whole_and_with_the_right_permanence() {
        for (error, id, temporary) in every_variant() {
            let failure = AuthFailure::from(&error);
            let cause = match (&failure, temporary) {
                (AuthFailure::Temporary(cause), true) | (AuthFailure::NeedsAdmin(cause), false) => cause,
                other => unreachable!("{error}: {other:?}"),
            };
            match id.and_then(diagnosis::by_id) {
                Some(row) => assert_eq!(*cause, row.cause_for_client(), "{error}"),
                None => assert!(cause.as_str().ends_with(['g', 't']), "cut short: {}", cause.as_str()),
            }
        }
    }

    #[test]
    fn what_we_say_ourselves_is_found_by_its_text_too() {
        for (error, id, _) in every_variant() {
            assert_eq!(error.diagnosis().map(|row| row.id.as_str()), id, "{error}");
            let Some(row) = error.diagnosis() else {
                assert!(error.for_log().ends_with("please report it"), "{}", error.for_log());
                continue;
            };
            assert_eq!(diagnosis::find(Place::Token, &error.to_string()), Some(row), "{error}");
            let log = error.for_log();
            assert!(log.starts_with(&row.title) && log.ends_with(&row.anchor()), "{log}");
        }
    }
}
