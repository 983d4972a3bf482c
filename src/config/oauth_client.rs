//! [`OAuthClient`]: how a token is got from a provider. Reads the keys of a provider that say it.

use std::ops::RangeInclusive;
use std::time::{Duration, SystemTime};

use gatepost_protocol::Protocol;
use url::Url;

use super::client_authentication::{ClientAuthentication, Written};
use super::complaint::Finding;
use super::issuer::{self, Issuer};
use super::lint::urls::AUTHORIZE;
use super::redirect::Redirect;
use super::scopes::{list_of_scopes, read_scopes};
use super::section::{Field, Section, readable};
use super::service_account::{self, ServiceAccount};
use super::{Surroundings, lint, microsoft};
use crate::tls::Trust;

/// Gatepost as the provider's OAuth client.
#[derive(Clone, Debug)]
pub struct OAuthClient {
    /// The provider's name, as the file has it.
    pub provider: String,
    /// Who tells what the file does not say. `oauth::issuer` asks it before the first request.
    pub issuer: Option<Issuer>,
    /// Who may vouch for its endpoints, as for the provider's mail servers.
    pub trust: Trust,
    /// Which way tokens are got.
    pub grant: GrantType,
    /// Where the browser goes; only for [`GrantType::AuthorizationCode`].
    pub authorization_endpoint: Option<Url>,
    /// Where a code for a person on another device is asked for (RFC 8628), at providers that have that; only for
    /// [`GrantType::AuthorizationCode`], whose grant it ends in.
    pub device_authorization_endpoint: Option<Url>,
    /// Where codes and refresh tokens are redeemed. Always https. The issuer itself stands here until it has told.
    pub token_endpoint: Url,
    /// Where a token is revoked (RFC 7009), at providers that have that.
    pub revocation_endpoint: Option<Url>,
    /// The registered application, or the service account's address.
    pub client_id: String,
    /// How Gatepost proves that it is that application. Secrets and keys are read when the configuration is loaded.
    pub authentication: ClientAuthentication,
    /// When the provider takes the client secret (by what the file says) or the certificate (by what stands in it) no more.
    pub authentication_ends: Option<SystemTime>,
    /// For how long a consent lives that nobody uses: each refresh begins it anew.
    pub consent_idle_limit: Option<Duration>,
    /// Who signs for the mailboxes; only for [`GrantType::ServiceAccount`].
    pub service_account: Option<ServiceAccount>,
    /// As the provider spells them.
    pub scopes: Vec<String>,
    /// Put into the authorization request as they are, for example `prompt=select_account`.
    pub authorization_parameters: Vec<(String, String)>,
    /// The host of the loopback redirect, `localhost` or `127.0.0.1`, as registered at the provider.
    pub redirect_host: String,
    /// Where the browser ends where that cannot be this machine, exactly as registered at the provider: an https address,
    /// which a person copies from the browser (`gatepost connect --paste`).
    pub redirect_uri: Option<String>,
}

impl OAuthClient {
    /// Where the browser ends when nobody waits for it there, because a person copies the address.
    pub fn pasted_redirect_uri(&self) -> String {
        self.redirect_uri.clone().unwrap_or_else(|| format!("http://{}", self.redirect_host))
    }
}

/// The OAuth 2.0 grants that Gatepost can use (RFC 6749 section 4, RFC 7523).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantType {
    /// A person consents in a browser; a refresh token keeps it going. With PKCE, always.
    AuthorizationCode,
    /// The application itself is trusted by the provider's admin. One token serves every mailbox.
    ClientCredentials,
    /// The mailbox's password is redeemed once; a refresh token keeps it going. Only where nothing else is possible.
    Password,
    /// A service account signs for each mailbox, which its organisation's admin has allowed. One token for each mailbox.
    ServiceAccount,
}

impl GrantType {
    /// As the file writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::AuthorizationCode => "authorization_code",
            Self::ClientCredentials => "client_credentials",
            Self::Password => "password",
            Self::ServiceAccount => "service_account",
        }
    }

    /// Whether a person gives it for one mailbox, so that `gatepost connect` has to come first. The others can be had at
    /// any time.
    pub fn needs_person(self) -> bool {
        match self {
            Self::AuthorizationCode | Self::Password => true,
            Self::ClientCredentials | Self::ServiceAccount => false,
        }
    }
}

/// What a provider may let an unused consent live.
const IDLE_LIMITS: RangeInclusive<Duration> = Duration::from_hours(24)..=Duration::from_hours(24 * 3650);

pub(super) const GRANTS: [(&str, GrantType); 4] = [
    ("authorization_code", GrantType::AuthorizationCode),
    ("client_credentials", GrantType::ClientCredentials),
    ("service_account", GrantType::ServiceAccount),
    ("password", GrantType::Password),
];

/// What Gatepost itself puts into the authorization request (RFC 6749 section 4.1.1, RFC 7636 section 4.3).
const OWN_PARAMETERS: [&str; 8] = [
    "client_id",
    "code_challenge",
    "code_challenge_method",
    "login_hint",
    "redirect_uri",
    "response_type",
    "scope",
    "state",
];

/// Every key that says how a token is got.
pub(super) const KEYS: [&str; 17] = [
    "authorization_endpoint",
    "authorization_parameters",
    "client_authentication",
    "client_certificate",
    "client_id",
    "client_secret",
    "consent_idle_limit",
    "device_authorization_endpoint",
    "grant",
    "issuer",
    "redirect_host",
    "redirect_uri",
    "revocation_endpoint",
    "scopes",
    "service_account",
    "tenant",
    "token_endpoint",
];

/// Reads the keys that say how a token is got. They are all taken before anything is judged, so that the caller can
/// complain about unknown ones.
pub(super) fn read(
    section: &mut Section<'_>,
    surroundings: &Surroundings<'_>,
    name: &str,
    trust: Option<&Trust>,
    offered: &[Protocol],
) -> Option<OAuthClient> {
    let provider = section.field.clone();
    // Without `grant` a person consents; a `grant` that cannot be read was complained about, and nothing hangs on it.
    let grant_field = section.take("grant");
    let grant = grant_field.map_or(Some(GrantType::AuthorizationCode), |field| field.choice(&GRANTS));
    let issuer_field = section.take("issuer");
    let service_account_field = section.take("service_account");
    let tenant_field = section.take("tenant");
    let written = Written::take(section);
    let [client_id_field, token_field] = take_client(section, grant, issuer_field.is_some());
    let authorization_field = section.take("authorization_endpoint");
    let device_field = section.take("device_authorization_endpoint");
    let revocation_field = section.take("revocation_endpoint");
    let scopes_field = section.require("scopes", "the list of scopes that the provider documents for mail");
    let parameters_field = section.take("authorization_parameters");
    let idle_limit_field = section.take("consent_idle_limit");
    let redirect = Redirect::read(section);

    let grant = grant?;
    let client_id = client_id_field.as_ref().and_then(Field::text);
    let scopes_list = scopes_field.as_ref().and_then(|field| list_of_scopes(field, grant));
    let scopes = scopes_list.as_ref().and_then(read_scopes);
    complain(client_id_field.as_ref(), client_id.and_then(lint::example_client_id));
    let authorization_parameters = parameters_field.map(|field| read_parameters(&field)).unwrap_or_default();
    let authentication = written.read(surroundings);
    let authentication_ends = written.ends(authentication.as_ref());
    written.judge_end(authentication_ends, name);
    let idle_limit = idle_limit_field.and_then(|field| field.duration(IDLE_LIMITS));
    if let Some(missing) = missing(
        grant,
        authorization_field.as_ref().or(issuer_field.as_ref()),
        service_account_field.as_ref(),
        &written,
    ) {
        provider.complain(missing);
    }
    let own = client_id_field.iter().chain(&issuer_field).chain(written.fields());
    let service_account = (grant == GrantType::ServiceAccount)
        .then(|| read_service_account(service_account_field.as_ref(), own, surroundings));
    if let (Some(field), None) = (&service_account_field, &service_account) {
        field.complain("goes with `grant: service_account` alone; write that, or leave this out");
    }

    let endpoint_fields =
        [&token_field, &authorization_field, &device_field, &revocation_field, &issuer_field];
    let tenant = tenant_field.map(|field| read_tenant(&field, endpoint_fields, grant, client_id));
    let tenant = readable(tenant)?;
    let issuer = readable(issuer_field.map(|field| issuer::read(&field, tenant)))?;
    let token_endpoint = match (&token_field, &issuer) {
        (Some(field), _) => endpoint_url(field, tenant, AUTHORIZE),
        (None, issuer) => issuer.as_ref().map(|(_, url)| url.clone()),
    };
    let authorization_endpoint =
        authorization_field.as_ref().and_then(|field| endpoint_url(field, tenant, "/token"));
    let device_authorization_endpoint = device_field.map(|field| endpoint_url(&field, tenant, "/token"));
    let revocation_endpoint = revocation_field.map(|field| endpoint_url(&field, tenant, "/token"));
    let by_consent = grant == GrantType::AuthorizationCode;
    // What is wrong with the address hides nothing of what is wrong beside it.
    let asked = token_endpoint.clone().or_else(|| lint::urls::bare(token_field.as_ref()?.node.scalar()?));
    if let Some(url) = &asked {
        written.judge_secret(authentication.as_ref(), url);
        if let Some(list) = scopes_list.as_ref().filter(|_| scopes.is_some()) {
            lint::scopes::judge(list, url, grant, offered);
        }
        let about_id = client_id.and_then(|client_id| lint::not_client_id(url, client_id));
        complain(client_id_field.as_ref(), about_id);
        complain(token_field.as_ref(), microsoft::shared_tenant(url, grant));
        let same = client_id.and_then(|client_id| microsoft::tenant_is_client(url, client_id));
        complain(token_field.as_ref().filter(|_| tenant.is_none()), same);
    }
    let service_account = readable(service_account)?;
    let own = service_account.as_ref().map(|it| (it.token_endpoint.clone(), it.email.clone()));
    let (token_endpoint, client_id) = match own {
        Some(own) => own,
        None => (token_endpoint?, client_id?.to_owned()),
    };
    let redirect = redirect?;
    Some(OAuthClient {
        provider: name.to_owned(),
        issuer: issuer.map(|(url, _)| Issuer {
            url,
            token_endpoint_is_written: token_field.is_some(),
            authentication_is_written: written.names_method(),
        }),
        trust: trust?.clone(),
        grant,
        authorization_endpoint: authorization_endpoint.filter(|_| by_consent),
        device_authorization_endpoint: readable(device_authorization_endpoint)?.filter(|_| by_consent),
        token_endpoint,
        revocation_endpoint: readable(revocation_endpoint)?,
        client_id,
        authentication: authentication?,
        authentication_ends,
        consent_idle_limit: idle_limit.filter(|_| grant.needs_person()),
        service_account,
        scopes: scopes?,
        authorization_parameters,
        redirect_host: redirect.host.to_owned(),
        redirect_uri: redirect.uri,
    })
}

/// Complains about every key of these that the file itself writes beside `login: password`. What a preset has of them is left
/// alone: an application password of a provider with OAuth is a provider like any other.
pub(super) fn refuse(section: &mut Section<'_>, written: &Field<'_>) {
    ignore(section);
    for (key, field) in written.entries() {
        if KEYS.contains(&key) {
            field.complain(
                "is about tokens, which `login: password` has none of; leave it out, or write `login: oauth`",
            );
        }
    }
}

/// Takes them all, and says nothing about them.
pub(super) fn ignore(section: &mut Section<'_>) {
    for key in KEYS {
        section.take(key);
    }
}

/// What the grant needs and is not there.
fn missing(
    grant: GrantType,
    authorization: Option<&Field<'_>>,
    service_account: Option<&Field<'_>>,
    written: &Written<'_>,
) -> Option<Finding> {
    match grant {
        GrantType::AuthorizationCode if authorization.is_none() => {
            Some("`authorization_endpoint` is missing; write the URL where people consent".into())
        }
        GrantType::ClientCredentials if !written.proves_something() => Some(Finding::coded(
            "L15",
            "`client_secret` or `client_certificate` is missing, one of which the grant client_credentials needs; \
             write `client_secret: { file: /path/to/secret }`",
        )),
        GrantType::ServiceAccount if service_account.is_none() => Some(
            "`service_account` is missing; write `service_account: FILE` with the key file that the Google Cloud \
             console gave you"
                .into(),
        ),
        _ => None,
    }
}

/// `own` is what says who Gatepost is in other grants.
fn read_service_account<'f>(
    field: Option<&Field<'_>>,
    own: impl Iterator<Item = &'f Field<'f>>,
    surroundings: &Surroundings<'_>,
) -> Option<ServiceAccount> {
    for field in own {
        field.complain("does not go with service_account: its key file says who it is; leave this out");
    }
    service_account::read(field?, surroundings)
}

/// `client_id` and `token_endpoint`, which a service account's own file has, and the latter an issuer's document.
fn take_client<'a>(
    section: &mut Section<'a>,
    grant: Option<GrantType>,
    has_issuer: bool,
) -> [Option<Field<'a>>; 2] {
    [
        ("client_id", "the id of the application that you registered at the provider"),
        (
            "token_endpoint",
            "its URL, or `preset:` for a provider that is known, or `issuer:` for one that tells it",
        ),
    ]
    .map(|(key, example)| match grant {
        Some(GrantType::ServiceAccount) => section.take(key),
        _ if key == "token_endpoint" && has_issuer => section.take(key),
        _ => section.require(key, example),
    })
}

fn complain(field: Option<&Field<'_>>, problem: Option<Finding>) {
    if let (Some(field), Some(problem)) = (field, problem) {
        field.complain(problem);
    }
}

fn read_tenant<'a>(
    field: &Field<'a>,
    endpoints: [&Option<Field<'_>>; 5],
    grant: GrantType,
    client_id: Option<&str>,
) -> Option<&'a str> {
    let tenant = field.text()?;
    // A place with another name is complained about where it stands.
    let has_place = |field: &Field<'_>| field.node.scalar().is_some_and(|text| text.contains(['{', '<']));
    let used = endpoints.into_iter().flatten().any(has_place);
    if let Some(problem) = lint::tenant(tenant, used, grant, client_id) {
        field.complain(problem);
        return None;
    }
    Some(tenant)
}

/// An https URL in which `{tenant}` is filled in.
fn endpoint_url(field: &Field<'_>, tenant: Option<&str>, wrong_ending: &str) -> Option<Url> {
    let text = field.text()?;
    match lint::urls::endpoint(text, tenant, wrong_ending) {
        Ok(url) => return Some(url),
        Err(problem) => field.complain(problem),
    }
    None
}

fn read_parameters(field: &Field<'_>) -> Vec<(String, String)> {
    let mut parameters = Vec::new();
    for (name, value) in field.entries() {
        if OWN_PARAMETERS.contains(&name) {
            value.complain("Gatepost itself puts this one in; leave it out");
        } else if let Some(text) = value.text() {
            parameters.push((name.to_owned(), text.to_owned()));
        }
    }
    parameters
}
