//! [`Proof`]: what Gatepost proves itself with, where that has an end that is known, and what to do about the end.

use std::time::SystemTime;

use super::client_authentication::ClientAuthentication;
use super::oauth_client::OAuthClient;

/// What Gatepost proves to a token endpoint that it is the registered application with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    /// Whether it is a certificate, whose end was read; that of a secret is what the configuration says.
    pub is_certificate: bool,
    /// When the provider takes it no more.
    pub until: SystemTime,
}

impl Proof {
    /// That of a client, where its end is known.
    pub fn of(client: &OAuthClient) -> Option<Self> {
        let is_certificate = matches!(client.authentication, ClientAuthentication::PrivateKeyJwt(_));
        client.authentication_ends.map(|until| Self { is_certificate, until })
    }

    /// What to do before it ends, or once it has.
    pub fn next_step(self) -> &'static str {
        if self.is_certificate {
            "make a new certificate, upload it to the provider, put it where `client_certificate` says, and restart Gatepost"
        } else {
            "make a new secret at the provider, put it where `client_secret` says with its day in `expires`, and restart \
             Gatepost"
        }
    }
}
