//! Access tokens for accounts. One call, [`Tokens::access_token`], behind which a token is read from the store, or
//! refreshed: once per grant at a time, in a task of its own, committed before it is used (invariants 7 and 8).

use std::sync::Arc;

use gatepost_protocol::failure::AuthFailure;
use gatepost_protocol::secret::Secret;
use thiserror::Error;

use crate::account::Account;
use crate::config::Provider;
use crate::store::Store;

/// A token that is good to use now.
#[derive(Clone, Debug)]
pub struct AccessToken {
    /// What goes into XOAUTH2.
    pub secret: Secret<String>,
    /// The grant's version that it belongs to: say it when a service refuses the token.
    pub version: i64,
}

/// Why there is no token.
#[derive(Clone, Debug, Error)]
pub enum TokenError {
    /// stub
    #[error("stub")]
    Stub,
}

impl From<&TokenError> for AuthFailure {
    fn from(_error: &TokenError) -> Self {
        unimplemented!()
    }
}

/// Tokens of all grants in use. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tokens {}

impl Tokens {
    /// Over the given store. A provider's own [`crate::tls::Trust`] verifies its token endpoint.
    pub fn new(store: Store) -> Self {
        let _ = store;
        unimplemented!()
    }

    /// A live token for the account, refreshed first if it has less than a few minutes left.
    pub async fn access_token(
        &self,
        provider: &Arc<Provider>,
        account: &Account,
    ) -> Result<AccessToken, TokenError> {
        let _ = (provider, account);
        unimplemented!()
    }

    /// A service refused `version` for a reason that a new token may mend: refreshes if that version is still the
    /// current one. `Ok(None)` when the same version was refused by this service minutes ago, so that a device that retries
    /// does not hammer the token endpoint.
    pub async fn renewed(
        &self,
        provider: &Arc<Provider>,
        account: &Account,
        service: gatepost_protocol::Protocol,
        version: i64,
    ) -> Result<Option<AccessToken>, TokenError> {
        let _ = (provider, account, service, version);
        unimplemented!()
    }
}
