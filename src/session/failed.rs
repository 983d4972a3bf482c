//! [`Failed`]: a login that did not come about at the provider: what the client hears, and what the log says of it, which is all
//! that is known. No secret can get into it: every provider's words come without our token or password.

use std::net::SocketAddr;

use gatepost_protocol::Protocol;
use gatepost_protocol::failure::{AuthFailure, Cause};
use tracing::warn;

use super::upstream::{UpstreamError, failure_of};
use crate::account::Account;
use crate::diagnosis::{Diagnosis, by_id};
use crate::mailbox_password::MailboxPasswordError;
use crate::oauth::TokenError;
use crate::store::upstream_logins::RefusedLogin;

/// Behind a provider's words that the table does not have.
const UNKNOWN: &str = "; Gatepost does not know this answer yet, please report it";

/// A failed attempt.
pub(super) struct Failed {
    /// What the client hears.
    pub(super) failure: AuthFailure,
    /// What is known of it.
    diagnosis: Option<&'static Diagnosis>,
    /// What happened, in the words of whoever met it.
    detail: String,
    /// What is noted about the account.
    pub(super) refused_login: Option<RefusedLogin>,
}

impl Failed {
    /// What the row with this id says.
    pub(super) fn known(id: &str, detail: impl Into<String>) -> Self {
        let (diagnosis, detail) = (by_id(id), detail.into());
        // A test says that no id is without a row.
        let otherwise = || AuthFailure::Temporary(Cause::new(detail.clone()));
        Self { failure: diagnosis.map_or_else(otherwise, failure_of), diagnosis, detail, refused_login: None }
    }

    /// The same for what passes in a moment.
    pub(super) fn busy(id: &str, detail: impl Into<String>) -> Self {
        let failed = Self::known(id, detail);
        match failed.failure {
            AuthFailure::Temporary(cause) => Self { failure: AuthFailure::Busy(cause), ..failed },
            _ => failed,
        }
    }

    /// The provider does not let a token in.
    pub(super) fn with_token(error: &UpstreamError, protocol: Protocol) -> Self {
        let diagnosis = error.diagnosis(protocol);
        Self::upstream(error, diagnosis, error.failure(protocol))
    }

    /// The provider does not let a password in.
    pub(super) fn with_password(error: &UpstreamError, protocol: Protocol) -> Self {
        let diagnosis = error.diagnosis_with_password(protocol);
        Self::upstream(error, diagnosis, error.failure_with_password(protocol))
    }

    fn upstream(error: &UpstreamError, diagnosis: Option<&'static Diagnosis>, failure: AuthFailure) -> Self {
        let mut detail = error.to_string();
        if diagnosis.is_none() {
            detail.push_str(UNKNOWN);
        }
        Self { failure, diagnosis, detail, refused_login: error.refused_login(diagnosis) }
    }

    /// At once, and only here: the line at the session's end does not say it again.
    pub(super) fn log(&self, account: &Account, protocol: Protocol, client: SocketAddr) {
        let row = self.diagnosis;
        warn!(
            account = account.address,
            provider = account.provider,
            protocol = protocol.name(),
            client = %client,
            diagnosis = row.map(|row| row.id.as_str()),
            title = row.map(|row| row.title.as_str()),
            cause = row.map(|row| row.cause.as_str()),
            fix = row.map(|row| row.fix_for(&account.address)),
            see = row.map(Diagnosis::anchor),
            "login failed: {}",
            self.detail
        );
    }
}

impl From<TokenError> for Failed {
    fn from(error: TokenError) -> Self {
        Self {
            failure: AuthFailure::from(&error),
            diagnosis: error.diagnosis(),
            detail: error.to_string(),
            refused_login: None,
        }
    }
}

impl From<MailboxPasswordError> for Failed {
    fn from(error: MailboxPasswordError) -> Self {
        Self {
            failure: AuthFailure::from(&error),
            diagnosis: error.diagnosis(),
            detail: error.to_string(),
            refused_login: None,
        }
    }
}
