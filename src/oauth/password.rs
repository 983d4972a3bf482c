//! The resource owner password credentials grant (RFC 6749 section 4.3), for organisations that allow nothing else: the
//! mailbox's password goes to the token endpoint once, over verified TLS, and is not kept; only the tokens are.

use std::time::SystemTime;

use gatepost_protocol::secret::Secret;
use oauth2::{ResourceOwnerPassword, ResourceOwnerUsername};
use thiserror::Error;

use super::diagnosis::{EndpointError, aadsts_number};
use super::http::Endpoint;
use super::token_request::{new_tokens, oauth2, scopes};
use crate::config::provider::OAuthClient;
use crate::store::grants::{GrantKey, NewTokens};
use crate::store::{Store, StoreError};

/// A password did not become a grant. Nothing was stored, and an older grant stays as it is.
#[derive(Debug, Error)]
pub enum PasswordError {
    /// The token endpoint gave no token for it.
    #[error("{host} gave no token for the password: {error}{}", advice(error))]
    Endpoint {
        /// The endpoint's host.
        host: String,
        /// What it did.
        error: EndpointError,
    },
    /// Access would end within the hour.
    #[error(
        "the provider gave no refresh token for the password, so nothing was stored: access would end within the hour. \
         For Microsoft, the scopes must hold offline_access"
    )]
    NoRefreshToken,
    /// The tokens could not be kept.
    #[error("the password was taken, but what it brought could not be stored: {0}")]
    Store(#[from] StoreError),
}

/// Redeems the password of `address`, and commits what that gave.
pub async fn redeem_and_commit(
    client: &OAuthClient,
    address: &str,
    password: Secret<String>,
    store: &Store,
    key: &GrantKey,
) -> Result<NewTokens, PasswordError> {
    let host = || client.token_endpoint.host_str().unwrap_or_default().to_owned();
    let tokens = redeem(client, address, password)
        .await
        .map_err(|error| PasswordError::Endpoint { host: host(), error })?;
    if tokens.refresh_token.is_none() {
        return Err(PasswordError::NoRefreshToken);
    }
    // RFC 6749 section 5.1: an answer without scopes grants those that were asked for.
    let scopes = if tokens.scopes.is_empty() { client.scopes.clone() } else { tokens.scopes };
    let tokens = NewTokens { scopes, ..tokens };
    store.replace_grant(key, &tokens).await?;
    Ok(tokens)
}

async fn redeem(
    client: &OAuthClient,
    address: &str,
    password: Secret<String>,
) -> Result<NewTokens, EndpointError> {
    let endpoint = Endpoint::new(client)?;
    let asked_at = SystemTime::now();
    let user_name = ResourceOwnerUsername::new(address.to_owned());
    let password = ResourceOwnerPassword::new(password.expose().clone());
    let answer = oauth2(client)
        .exchange_password(&user_name, &password)
        .add_scopes(scopes(client))
        .request_async(&endpoint)
        .await;
    new_tokens(answer, asked_at)
}

/// What to do about a refusal. Microsoft's numbers say more than OAuth's words.
fn advice(error: &EndpointError) -> &'static str {
    let EndpointError::Refused { code, description, .. } = error else { return "" };
    let by_number = match description.as_deref().and_then(aadsts_number).unwrap_or_default() {
        "50034" => "; there is no such user in this tenant: check the address and `tenant`",
        "50053" => "; the account is locked for a while, so do not try again at once",
        "50055" | "50144" => "; the password has expired: change it, then run this again",
        "50057" => "; the account is disabled",
        "50072" | "50074" | "50076" | "50079" => {
            "; the account needs a second factor, which a password alone cannot give: write `grant: authorization_code`"
        }
        "50126" => {
            "; the password is wrong, or it is checked by another identity provider, for which a password alone \
                    is not enough"
        }
        "53003" | "530032" | "530035" => {
            "; a policy of the organisation forbids passwords here: write `grant: authorization_code`"
        }
        "7000218" => {
            "; switch on `Allow public client flows` in the application's registration, or give it a secret"
        }
        "9001023" => {
            "; passwords are taken of work accounts only, and of one tenant: write `tenant:` with its id or a \
                      domain of it. A personal account needs `grant: authorization_code`"
        }
        _ => "",
    };
    match (by_number, code.as_str()) {
        ("", "unauthorized_client" | "unsupported_grant_type") => {
            "; the provider takes no passwords from this application: write `grant: authorization_code`"
        }
        ("", "invalid_grant") => {
            "; the address or the password is wrong, or a password alone is not enough for this account"
        }
        (advice, _) => advice,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_a_password_cannot_do() {
        let refused = |code: &str, description: &str| EndpointError::Refused {
            status: 400,
            code: code.to_owned(),
            description: Some(description.to_owned()),
            retry_after: None,
        };
        for (code, description, words) in [
            ("invalid_grant", "AADSTS50126: Error validating credentials", "password is wrong"),
            ("invalid_grant", "AADSTS50076: Due to a configuration change", "second factor"),
            ("interaction_required", "AADSTS50079: enrol", "second factor"),
            ("invalid_request", "AADSTS9001023: The grant type is not supported", "personal account"),
            ("unauthorized_client", "AADSTS7000218: no secret", "Allow public client flows"),
            ("access_denied", "AADSTS53003: blocked", "policy"),
            ("unsupported_grant_type", "no", "takes no passwords"),
            ("invalid_grant", "no", "address or the password is wrong"),
        ] {
            let error = refused(code, description);
            let text = PasswordError::Endpoint { host: "login.example".to_owned(), error }.to_string();
            assert!(text.contains(words) && text.contains(description), "{text}");
        }
        assert_eq!(advice(&EndpointError::TimedOut), "");
    }
}
