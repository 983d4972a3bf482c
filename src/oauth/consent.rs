//! What every way of consenting ends with: who consented is looked at, and only then the grant is committed. And
//! [`ConsentError`]: why a consent became no grant.

use thiserror::Error;
use url::Url;

use super::diagnosis::{EndpointError, presentable};
use crate::config::provider::OAuthClient;
use crate::diagnosis::{self, Diagnosis, Place};
use crate::store::grants::{GrantKey, NewTokens};
use crate::store::{Store, StoreError};

/// Where a consent is kept, and who is to give it.
#[derive(Clone, Debug)]
pub struct Destination<'a> {
    /// The mailbox.
    pub address: &'a str,
    /// Who consents, where it was said beforehand, now or at another time, that it is not the mailbox itself.
    pub owner: Option<&'a str>,
    /// Where the grant is stored.
    pub key: GrantKey,
    /// In which store.
    pub store: &'a Store,
}

impl Destination<'_> {
    /// Who is to consent.
    pub fn expected(&self) -> &str {
        self.owner.unwrap_or(self.address)
    }

    /// Commits what the right person consented to. Another one may be right too (a delegate, a sign-in name that is not the
    /// address) or may have been left over in the browser, so it comes back as [`ConsentError::AnotherIdentity`].
    pub async fn commit(&self, tokens: NewTokens) -> Result<NewTokens, ConsentError> {
        let expected = self.expected();
        match &tokens.identity {
            Some(identity) if !identity.is(expected) => Err(ConsentError::AnotherIdentity {
                identity: identity.to_string(),
                expected: expected.to_owned(),
                tokens: Box::new(tokens),
            }),
            _ => {
                let identity = tokens.identity.map(|identity| identity.shown_as(expected));
                self.commit_whoever_consented(NewTokens { identity, ..tokens }).await
            }
        }
    }

    /// Commits it, because a person has said that the identity is right.
    pub async fn commit_whoever_consented(&self, tokens: NewTokens) -> Result<NewTokens, ConsentError> {
        self.store.replace_grant(&self.key, &tokens).await?;
        Ok(tokens)
    }
}

/// A consent did not become a grant. Nothing was stored, and an older grant stays as it is.
#[derive(Debug, Error)]
pub enum ConsentError {
    /// Only an administrator of the organisation can give this consent.
    #[error("an administrator must allow the application first ({said}). {}", admin_next(url.as_ref()))]
    AdminNeeded {
        /// The provider's words.
        said: String,
        /// Where an administrator allows it, where that can be known.
        url: Option<Url>,
    },
    /// Somebody else than was expected consented. What they consented to is inside, and nowhere else.
    #[error(
        "{identity} consented, not {expected}. Where that is right (a shared mailbox, another sign-in name), connect with \
         --owner {identity}; else choose {expected} in the browser, or open the address in a private window"
    )]
    AnotherIdentity {
        /// Who consented.
        identity: String,
        /// Who was to.
        expected: String,
        /// To be committed once a person says that it is right.
        tokens: Box<NewTokens>,
    },
    /// The provider gave no consent, and said why.
    #[error("the provider gave no consent: {0}")]
    Denied(String),
    /// The device code ran out before somebody consented.
    #[error("nobody consented before the code ended; run this again for a new one")]
    DeviceCodeExpired,
    /// No consent by device code came about.
    #[error("no consent by device code: {host} says {error}{}", device_hint(error))]
    Device {
        /// The endpoint's host.
        host: String,
        /// What it did.
        error: EndpointError,
    },
    /// The token endpoint did not take the code.
    #[error(
        "the consent was given, but the token endpoint of {host} did not redeem it: {error}{}",
        client_hint(error)
    )]
    Endpoint {
        /// The endpoint's host.
        host: String,
        /// What it did.
        error: EndpointError,
    },
    /// No port of the loopback address is free.
    #[error(
        "no port can be opened on the loopback address for the browser to come back to: {0}; use --paste"
    )]
    Listen(std::io::Error),
    /// The provider is used another way.
    #[error("provider {0} has no authorization_endpoint, so there is nobody to consent")]
    NoConsent(String),
    /// The provider gives no device codes, as far as is known.
    #[error("provider {0} has no device_authorization_endpoint; use --paste on a machine without a browser")]
    NoDeviceCodes(String),
    /// The consent would end with its first access token.
    #[error(
        "the provider gave no refresh token, so nothing was stored: access would end within the hour. For Microsoft, \
         the scopes must hold offline_access; for Google, authorization_parameters must hold access_type: offline and \
         prompt: consent (both stand in the presets)"
    )]
    NoRefreshToken,
    /// What came back is no redirect of ours.
    #[error("this is not the address that the browser was sent back to: it must hold one code and one state")]
    NotUnderstood,
    /// The tokens could not be kept.
    #[error("the consent was given, but could not be stored: {0}")]
    Store(#[from] StoreError),
    /// Nobody came.
    #[error("nobody consented within 10 minutes")]
    TimedOut,
    /// It belongs to another attempt, or somebody forged it.
    #[error("the state does not match: this answer belongs to another attempt. Use the newest address, once")]
    WrongState,
}

impl ConsentError {
    /// What is known of it.
    pub fn diagnosis(&self) -> Option<&'static Diagnosis> {
        diagnosis::find(Place::Token, &self.to_string())
    }

    /// Where an administrator allows the application, where that is what it takes.
    pub(super) fn admin_url(&self) -> Option<&Url> {
        match self {
            Self::AdminNeeded { url, .. } => url.as_ref(),
            _ => None,
        }
    }
}

/// What a consent gave, where it is worth keeping.
pub(super) fn worth_keeping(client: &OAuthClient, tokens: NewTokens) -> Result<NewTokens, ConsentError> {
    if tokens.refresh_token.is_none() {
        return Err(ConsentError::NoRefreshToken);
    }
    // RFC 6749 section 5.1: an answer without scopes grants those that were asked for.
    let scopes = if tokens.scopes.is_empty() { client.scopes.clone() } else { tokens.scopes };
    Ok(NewTokens { scopes, ..tokens })
}

/// The errors of RFC 6749 section 4.1.2.1 and RFC 8628 section 3.5 in words.
pub(super) fn denied(error: &str, description: Option<&str>) -> ConsentError {
    let words = match error {
        "access_denied" => "it was declined, or an administrator must allow the application first",
        // Microsoft's word for it in place of RFC 8628's.
        "authorization_declined" => "it was declined",
        "consent_required" | "interaction_required" | "login_required" => {
            "the provider wants an interactive sign-in"
        }
        "invalid_scope" => "it does not know a scope in the configuration",
        "server_error" | "temporarily_unavailable" => "it has a fault; try again later",
        "unauthorized_client" => {
            "this application may not ask for consent; check client_id and its registration"
        }
        "unsupported_response_type" | "invalid_request" => {
            "it does not take our request; check its registration"
        }
        _ => "it answered with an error",
    };
    ConsentError::Denied(format!("{words} ({})", said(error, description)))
}

/// The provider's own words, fit for a terminal.
pub(super) fn said(error: &str, description: Option<&str>) -> String {
    let detail = description.map(|text| format!(": {}", presentable(text, &[], 300))).unwrap_or_default();
    format!("{}{detail}", presentable(error, &[], 64))
}

fn admin_next(url: Option<&Url>) -> String {
    match url {
        Some(url) => format!("This address lets one do it (in the end it may show an error page): {url}"),
        None => "Ask one to trust the client_id that stands in the configuration file".to_owned(),
    }
}

/// A slip in what was typed is what these words mean most often.
fn client_hint(error: &EndpointError) -> &'static str {
    match error {
        EndpointError::Refused { code, .. }
            if ["invalid_client", "unauthorized_client"].contains(&code.as_str()) =>
        {
            ". Compare client_id and client_secret in the configuration file with what the provider shows for the \
             application; gatepost setup ADDRESS --client-id ID --client-secret-file FILE writes others there"
        }
        _ => "",
    }
}

/// Some organisations forbid device codes and nothing else.
fn device_hint(error: &EndpointError) -> &'static str {
    match error {
        EndpointError::Refused { code, .. } if code == "invalid_client" => client_hint(error),
        EndpointError::Refused { .. } => {
            ". Some organisations forbid device codes: then use --paste, or --no-browser where a browser runs"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::time::SystemTime;

    use gatepost_protocol::secret::Secret;

    use super::*;
    use crate::store::grants::Identity;

    #[test]
    fn a_slip_in_the_client_id_is_what_a_refusal_of_the_client_is_put_down_to() {
        let refused = |code: &str| EndpointError::Refused {
            status: 401,
            code: code.to_owned(),
            description: None,
            retry_after: None,
        };
        let host = || "login.example".to_owned();
        for (error, words, expected) in [
            (
                ConsentError::Endpoint { host: host(), error: refused("invalid_client") },
                "--client-id ID",
                true,
            ),
            (
                ConsentError::Endpoint { host: host(), error: refused("invalid_grant") },
                "--client-id ID",
                false,
            ),
            (ConsentError::Device { host: host(), error: refused("invalid_client") }, "--client-id ID", true),
            (ConsentError::Device { host: host(), error: refused("invalid_client") }, "forbid device", false),
            (ConsentError::Device { host: host(), error: refused("invalid_scope") }, "forbid device", true),
        ] {
            assert_eq!(error.to_string().contains(words), expected, "{error}");
        }
    }

    #[test]
    fn what_is_known_of_a_refusal_is_told_whoever_said_it() {
        let endpoint = |code: &str, description: &str| EndpointError::Refused {
            status: 400,
            code: code.to_owned(),
            description: Some(description.to_owned()),
            retry_after: None,
        };
        let host = || "login.example".to_owned();
        let needed = |said: &str| ConsentError::AdminNeeded { said: said.to_owned(), url: None };
        for (error, id) in [
            (denied("access_denied", Some("AADSTS65004: User declined to consent.")), "D53"),
            (denied("access_denied", Some("AADSTS50105: not assigned")), "D77"),
            (denied("access_denied", None), "D144"),
            (denied("authorization_declined", None), "D144"),
            (needed("access_denied: AADSTS90094: The grant requires admin permission."), "D54"),
            (needed("consent_required: AADSTS65001: not consented"), "D52"),
            (needed("admin_policy_enforced"), "D96"),
            (
                ConsentError::Device { host: host(), error: endpoint("access_denied", "AADSTS53003: no") },
                "D49",
            ),
            (
                ConsentError::Device {
                    host: host(),
                    error: endpoint("invalid_scope", "Invalid device flow scope: https://mail.google.com/"),
                },
                "D95",
            ),
            (
                ConsentError::Endpoint {
                    host: host(),
                    error: endpoint("invalid_client", "AADSTS7000215: no"),
                },
                "D62",
            ),
            (ConsentError::NoRefreshToken, "G36"),
        ] {
            assert_eq!(error.diagnosis().map(|row| row.id.as_str()), Some(id), "{error}");
        }
        assert_eq!(ConsentError::WrongState.diagnosis(), None);
    }

    #[tokio::test]
    async fn only_the_expected_one_is_committed_unasked() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        for (identity, owner, expected) in [
            (None, None, true),
            (None, Some("bob@example.com"), true),
            (Some("Ann@Example.com"), None, true),
            (Some("bob@example.com"), None, false),
            (Some("bob@example.com"), Some("BOB@example.com"), true),
            (Some("ann@example.com"), Some("bob@example.com"), false),
        ] {
            let key = GrantKey::Provider(format!("{identity:?} {owner:?}"));
            let destination =
                Destination { address: "ann@example.com", owner, key: key.clone(), store: &store };
            let tokens = NewTokens {
                access_token: Secret::new("a".to_owned()),
                refresh_token: Some(Secret::new("r".to_owned())),
                issued_at: SystemTime::UNIX_EPOCH,
                expires_at: SystemTime::UNIX_EPOCH,
                scopes: Vec::new(),
                identity: Identity::new(identity.map(str::to_owned)),
            };
            let committed = destination.commit(tokens).await;
            assert_eq!(committed.is_ok(), expected, "{key}");
            let stored = store.grant(&key).await.unwrap();
            assert_eq!(stored.is_some(), expected, "{key}");
            if let Err(ConsentError::AnotherIdentity { tokens, .. }) = committed {
                destination.commit_whoever_consented(*tokens).await.unwrap();
                let stored = store.grant(&key).await.unwrap().unwrap();
                assert_eq!(stored.identity.as_deref(), identity);
            }
        }
    }

    #[tokio::test]
    async fn the_mailbox_itself_is_known_by_any_of_its_names() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        let key = GrantKey::Provider("example".to_owned());
        let destination =
            Destination { address: "ann@example.com", owner: None, key: key.clone(), store: &store };
        let names = ["a.miller@corp.example", "Ann@Example.com"].map(str::to_owned);
        let tokens = NewTokens {
            access_token: Secret::new("a".to_owned()),
            refresh_token: Some(Secret::new("r".to_owned())),
            issued_at: SystemTime::UNIX_EPOCH,
            expires_at: SystemTime::UNIX_EPOCH,
            scopes: Vec::new(),
            identity: Identity::new(names),
        };
        destination.commit(tokens).await.unwrap();
        assert_eq!(store.grant(&key).await.unwrap().unwrap().identity.as_deref(), Some("Ann@Example.com"));
    }
}
