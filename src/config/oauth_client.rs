//! [`OAuthClient`]: how a token is got from a provider. Reads the keys of a provider that say it.

use gatepost_protocol::secret::Secret;
use url::Url;

use super::file::Value;
use super::section::{Field, Section, readable};
use super::{Surroundings, lint, secret};

/// Gatepost as the provider's OAuth client.
#[derive(Debug)]
pub struct OAuthClient {
    /// Which way tokens are got.
    pub grant: GrantType,
    /// Where the browser goes; only for [`GrantType::AuthorizationCode`].
    pub authorization_endpoint: Option<Url>,
    /// Where a code for a person on another device is asked for (RFC 8628), at providers that have that; only for
    /// [`GrantType::AuthorizationCode`], whose grant it ends in.
    pub device_authorization_endpoint: Option<Url>,
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

impl GrantType {
    /// As the file writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::AuthorizationCode => "authorization_code",
            Self::ClientCredentials => "client_credentials",
        }
    }
}

const GRANTS: [(&str, GrantType); 2] = [
    ("authorization_code", GrantType::AuthorizationCode),
    ("client_credentials", GrantType::ClientCredentials),
];

/// What providers accept for an application that listens on the user's own machine (RFC 8252 section 7.3).
const REDIRECT_HOSTS: [(&str, &str); 2] = [("localhost", "localhost"), ("127.0.0.1", "127.0.0.1")];

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

/// Reads the keys that say how a token is got. They are all taken before anything is judged, so that the caller can
/// complain about unknown ones.
pub(super) fn read(section: &mut Section<'_>, surroundings: &Surroundings<'_>) -> Option<OAuthClient> {
    let provider = section.field.clone();
    let grant_field = section.take("grant");
    let tenant_field = section.take("tenant");
    let client_id_field =
        section.require("client_id", "the id of the application that you registered at the provider");
    let secret_field = section.take("client_secret");
    let token_field = section.require("token_endpoint", "its URL, or `preset:` for a provider that is known");
    let authorization_field = section.take("authorization_endpoint");
    let device_field = section.take("device_authorization_endpoint");
    let scopes_field = section.require("scopes", "the list of scopes that the provider documents for mail");
    let parameters_field = section.take("authorization_parameters");
    let redirect_field = section.take("redirect_host");

    // Without `grant` a person consents; a `grant` that cannot be read was complained about, and nothing hangs on it.
    let grant = match &grant_field {
        Some(field) => field.choice(&GRANTS)?,
        None => GrantType::AuthorizationCode,
    };
    let client_id = client_id_field.as_ref().and_then(Field::text);
    let scopes = scopes_field.as_ref().and_then(|field| read_scopes(field, grant));
    let authorization_parameters = parameters_field.map(|field| read_parameters(&field)).unwrap_or_default();
    let redirect_host = redirect_field.and_then(|field| field.choice(&REDIRECT_HOSTS)).unwrap_or("localhost");
    let client_secret = secret_field.as_ref().and_then(|field| secret::read(field, surroundings));
    complain_about_missing(&provider, grant, authorization_field.is_some(), secret_field.is_some());

    let endpoint_fields = [&token_field, &authorization_field, &device_field];
    let tenant = tenant_field.map(|field| read_tenant(&field, endpoint_fields, grant, client_id));
    let tenant = readable(tenant)?;
    let token_endpoint = token_field.as_ref().and_then(|field| endpoint_url(field, tenant, "/authorize"));
    let authorization_endpoint =
        authorization_field.as_ref().and_then(|field| endpoint_url(field, tenant, "/token"));
    let device_authorization_endpoint = device_field.map(|field| endpoint_url(&field, tenant, "/token"));
    let by_consent = grant == GrantType::AuthorizationCode;
    if let Some(url) = &token_endpoint {
        let about_secret = client_secret.as_ref().and_then(|secret| lint::client_secret(url, secret));
        let about_scopes = scopes.as_ref().and_then(|scopes| lint::scopes(url, grant, scopes));
        let about_url = lint::shared_tenant(url, grant);
        for (field, problem) in
            [(&secret_field, about_secret), (&scopes_field, about_scopes), (&token_field, about_url)]
        {
            if let (Some(field), Some(problem)) = (field, problem) {
                field.complain(problem);
            }
        }
    }
    Some(OAuthClient {
        grant,
        authorization_endpoint: authorization_endpoint.filter(|_| by_consent),
        device_authorization_endpoint: readable(device_authorization_endpoint)?.filter(|_| by_consent),
        token_endpoint: token_endpoint?,
        client_id: client_id?.to_owned(),
        client_secret,
        scopes: scopes?,
        authorization_parameters,
        redirect_host: redirect_host.to_owned(),
    })
}

fn complain_about_missing(provider: &Field<'_>, grant: GrantType, has_authorization: bool, has_secret: bool) {
    match grant {
        GrantType::AuthorizationCode if !has_authorization => {
            provider.complain("`authorization_endpoint` is missing; write the URL where people consent");
        }
        GrantType::ClientCredentials if !has_secret => provider.complain(
            "`client_secret` is missing, which the grant client_credentials needs; write \
             `client_secret: { file: /path/to/secret }` (L15)",
        ),
        _ => {}
    }
}

fn read_tenant<'a>(
    field: &Field<'a>,
    endpoints: [&Option<Field<'_>>; 3],
    grant: GrantType,
    client_id: Option<&str>,
) -> Option<&'a str> {
    let tenant = field.text()?;
    let has_place = |field: &Field<'_>| field.node.scalar().is_some_and(|text| text.contains("{tenant}"));
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
    let filled = tenant.map_or_else(|| text.to_owned(), |tenant| text.replace("{tenant}", tenant));
    match lint::endpoint_url(&filled, wrong_ending) {
        Ok(url) => return Some(url),
        Err(problem) => field.complain(problem),
    }
    None
}

/// The scopes of a grant: a list, or (in the presets) a list for each grant.
fn read_scopes(field: &Field<'_>, grant: GrantType) -> Option<Vec<String>> {
    let list = match field.node.value {
        Value::Mapping(_) => scopes_of_grant(field, grant)?,
        _ => field.clone(),
    };
    let scopes = list.texts();
    for scope in scopes.iter().filter(|scope| scope.contains([' ', '\t', ','])) {
        list.complain(format!("`{scope}` is more than one scope; write each on its own, without commas"));
    }
    if list.node.is_empty_list() {
        list.complain("has no scope in it; write those that the provider documents for mail");
    }
    // An empty list was complained about, here or member by member: nothing more is to be said about it.
    Some(scopes).filter(|scopes| !scopes.is_empty())
}

fn scopes_of_grant<'a>(field: &Field<'a>, grant: GrantType) -> Option<Field<'a>> {
    let mut section = field.section()?;
    let [code, credentials] = GRANTS.map(|(name, _)| section.take(name));
    section.finish();
    let chosen = match grant {
        GrantType::AuthorizationCode => code,
        GrantType::ClientCredentials => credentials,
    };
    if chosen.is_none() {
        field.complain(format!("none is known for the grant {}; write `scopes:` with a list", grant.name()));
    }
    chosen
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
