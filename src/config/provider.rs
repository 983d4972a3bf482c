//! [`Provider`]: where a provider's servers are and how one gets a token from it; the presets are data, embedded from
//! `config/providers.yaml`.

use gatepost_protocol::Protocol;
use gatepost_protocol::secret::Secret;
use url::Url;

use crate::tls::Trust;

/// A mail provider with everything needed to get in.
#[derive(Debug)]
pub struct Provider {
    /// As the file names it.
    pub name: String,
    /// How a token is got.
    pub oauth: OAuthClient,
    /// Where mail is sent; `None` where the provider has no SMTP for us.
    pub smtp: Option<Endpoint>,
    /// Where mail is fetched.
    pub pop3: Option<Endpoint>,
    /// Who may vouch for its servers: the system's roots, and its `ca_file`. For mail and HTTPS alike.
    pub trust: Trust,
}

impl Provider {
    /// The provider's server for a protocol, if it has one.
    pub fn endpoint(&self, protocol: Protocol) -> Option<&Endpoint> {
        match protocol {
            Protocol::Smtp => self.smtp.as_ref(),
            Protocol::Pop3 => self.pop3.as_ref(),
        }
    }
}

/// A provider's mail server. There is no way to write one without verified TLS.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The name that its certificate must carry.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// How TLS begins.
    pub tls: UpstreamTls,
    /// What a client is told before it logs in: what the provider is known to honour, without AUTH and STARTTLS.
    pub capabilities: Vec<String>,
    /// Sessions at once per mailbox; no cap where `None`.
    pub sessions: Option<usize>,
}

/// How TLS begins toward a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamTls {
    /// From the first byte.
    Implicit,
    /// By STARTTLS or STLS, and never without.
    StartTls,
}

/// Gatepost as the provider's OAuth client.
#[derive(Debug)]
pub struct OAuthClient {
    /// Which way tokens are got.
    pub grant: GrantType,
    /// Where the browser goes; only for [`GrantType::AuthorizationCode`].
    pub authorization_endpoint: Option<Url>,
    /// Where codes and refresh tokens are redeemed. Always https.
    pub token_endpoint: Url,
    /// The registered application.
    pub client_id: String,
    /// `None` for a public client. Read when the configuration is loaded.
    pub client_secret: Option<Secret<String>>,
    /// As the provider spells them.
    pub scopes: Vec<String>,
    /// Put into the authorization request as they are, for example `prompt=select_account`.
    pub authorization_parameters: Vec<(String, String)>,
    /// The host of the loopback redirect, `localhost` or `127.0.0.1`, as registered at the provider.
    pub redirect_host: String,
}

/// The OAuth 2.0 grants that Gatepost can use (RFC 6749 section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantType {
    /// A person consents in a browser; a refresh token keeps it going. With PKCE, always.
    AuthorizationCode,
    /// The application itself is trusted by the provider's admin. One token serves every mailbox.
    ClientCredentials,
}
