//! [`Personality`]: how the sandbox behaves, as data. A provider that is to be played is a [`Dialect`] and a constructor
//! here.

use std::time::Duration;

use super::dialect::{Dialect, EXCHANGE, GMAIL, PLAIN, POST};
use super::faults::{MailFault, TokenFault};
use super::revocation::Revocation;

/// How the sandbox behaves from now on. The default is a strict provider of no particular make on a good day. A make is what
/// a test begins with; any field may be changed under way.
#[derive(Clone, Debug)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a property of a provider, and each goes with every other"
)]
pub struct Personality {
    /// `expires_in` of new access tokens.
    pub token_lifetime: Duration,
    /// The length of new access tokens; Microsoft's have about two thousand characters.
    pub token_length: usize,
    /// Whether they are JWTs, which say whose they are and for what: Microsoft's for work accounts are.
    pub readable_tokens: bool,
    /// Whether a consent brings a refresh token at all.
    pub refresh_tokens: bool,
    /// What a request for a consent must say for a refresh token to come of it: fields, each with a word that must be in it.
    pub refresh_token_needs: Vec<(&'static str, &'static str)>,
    /// Whether a refresh brings a new refresh token and ends the old one. Microsoft brings one too, but lets the old one
    /// live; Google brings none.
    pub rotation: bool,
    /// The OAuth error with which every consent is refused, for example `access_denied`.
    pub consent_refused: Option<String>,
    /// Who consents, where it is another one than the `login_hint` or the device page names.
    pub consents_as: Option<String>,
    /// The OAuth error with which every request for a device code is refused.
    pub device_codes_refused: Option<&'static str>,
    /// `expires_in` of device codes.
    pub device_code_lifetime: Duration,
    /// `interval` of RFC 8628.
    pub device_interval: Duration,
    /// How often a permission that is granted from now on is looked for in vain before it counts: a provider's servers
    /// hear of it one after the other.
    pub propagation: u32,
    /// Whether the IMAP greeting names the capabilities. Exchange's does not.
    pub imap_greeting_capabilities: bool,
    /// Whether IMAP announces SASL-IR, and takes the token in the line of AUTHENTICATE.
    pub sasl_ir: bool,
    /// The one password of every mailbox, at a provider of passwords.
    pub password: Option<String>,
    /// What the token endpoint does instead of its work.
    pub token_endpoint: Option<TokenFault>,
    /// What a revoked token ends.
    pub revocation: Revocation,
    /// What the revocation endpoint does instead of its work.
    pub revocation_endpoint: Option<TokenFault>,
    /// What the mail servers do instead of their work.
    pub mail: Vec<MailFault>,
    /// What an application asks for.
    pub(super) scopes: &'static [&'static str],
    /// How the mail servers talk, and whom they let in.
    pub(super) dialect: &'static Dialect,
}

impl Default for Personality {
    fn default() -> Self {
        Self {
            token_lifetime: Duration::from_hours(1),
            token_length: 512,
            readable_tokens: false,
            refresh_tokens: true,
            refresh_token_needs: Vec::new(),
            rotation: true,
            consent_refused: None,
            consents_as: None,
            device_codes_refused: None,
            device_code_lifetime: Duration::from_mins(15),
            device_interval: Duration::from_secs(1),
            propagation: 0,
            imap_greeting_capabilities: true,
            sasl_ir: true,
            password: None,
            token_endpoint: None,
            revocation: Revocation::Rfc7009,
            revocation_endpoint: None,
            mail: Vec::new(),
            scopes: &["smtp", "pop3", "imap"],
            dialect: &PLAIN,
        }
    }
}

impl Personality {
    /// Exchange Online: no failure challenge, long tokens that can be read and are for it alone, an admin who grants mailboxes to people and applications.
    pub fn exchange() -> Self {
        Self {
            token_length: 2000,
            readable_tokens: true,
            refresh_token_needs: vec![("scope", "offline_access")],
            imap_greeting_capabilities: false,
            revocation: Revocation::None,
            scopes: &[
                "https://outlook.office.com/SMTP.Send",
                "https://outlook.office.com/POP.AccessAsUser.All",
                "https://outlook.office.com/IMAP.AccessAsUser.All",
                "offline_access",
            ],
            dialect: &EXCHANGE,
            ..Self::default()
        }
    }

    /// Gmail: XOAUTH2 and OAUTHBEARER, a failure challenge, no rotation, no device codes for mail.
    pub fn gmail() -> Self {
        Self {
            token_length: 220,
            refresh_token_needs: vec![("access_type", "offline"), ("prompt", "consent")],
            rotation: false,
            device_codes_refused: Some("invalid_scope"),
            imap_greeting_capabilities: false,
            revocation: Revocation::WholeConsent,
            scopes: &["https://mail.google.com/"],
            dialect: &GMAIL,
            ..Self::default()
        }
    }

    /// A provider without OAuth, whose mailboxes all have this password.
    pub fn post(password: &str) -> Self {
        Self { password: Some(password.to_owned()), dialect: &POST, ..Self::default() }
    }

    /// Whether a request with these fields is for a refresh token too.
    pub(super) fn asks_for_refresh_token<'a>(&self, field: impl Fn(&str) -> &'a str) -> bool {
        let says = |(name, word): &(&str, &str)| field(name).split(' ').any(|said| said == *word);
        self.refresh_tokens && self.refresh_token_needs.iter().all(says)
    }
}
