//! Mistakes that can be written down without breaking the form of the file: each rule is a pure function from values to
//! what is wrong with them, and has a code (L01, L02, …) by which the manual and a search engine can find it.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

use gatepost_protocol::Protocol;
use gatepost_protocol::secret::Secret;
use ipnet::IpNet;
use url::Url;

use super::Config;
use super::complaint::Complaint;
use super::listener::ListenerTls;
use super::microsoft;
use super::provider::{GrantType, OAuthClient, Proof, Provider, UpstreamTls};
use crate::clock::utc;

/// What the well-known mail ports are for (RFC 8314, RFC 6409, RFC 1939, RFC 9051).
const WELL_KNOWN: [(u16, &str, UpstreamTls); 7] = [
    (25, "smtp", UpstreamTls::StartTls),
    (110, "pop3", UpstreamTls::StartTls),
    (143, "imap", UpstreamTls::StartTls),
    (465, "smtp", UpstreamTls::Implicit),
    (587, "smtp", UpstreamTls::StartTls),
    (993, "imap", UpstreamTls::Implicit),
    (995, "pop3", UpstreamTls::Implicit),
];

/// Microsoft's names for everybody's tenant that do not work with a grant: an application alone has to say whose it means,
/// and passwords are taken of work accounts only.
pub(super) fn refused_tenants(grant: GrantType) -> &'static [&'static str] {
    match grant {
        GrantType::ClientCredentials => &["common", "consumers", "organizations"],
        GrantType::Password => &["common", "consumers"],
        GrantType::AuthorizationCode | GrantType::ServiceAccount => &[],
    }
}

/// What ends sooner should be replaced.
const SOON: Duration = Duration::from_hours(24 * 30);

/// L01 to L03: a well-known port with another protocol or another start of TLS.
pub(super) fn upstream_port(protocol: Protocol, port: u16, tls: UpstreamTls) -> Option<String> {
    let (_, owner, right) = WELL_KNOWN.iter().find(|(known, ..)| *known == port)?;
    if *owner != protocol.name() {
        return Some(format!("port {port} belongs to {owner}; write {}", usual_port(protocol)));
    }
    if *right == tls {
        return None;
    }
    let code = match port {
        995 => " (L01)",
        465 | 993 => " (L02)",
        587 => " (L03)",
        _ => "",
    };
    Some(match right {
        UpstreamTls::Implicit => {
            format!("port {port} speaks TLS from the first byte; write `tls: implicit`{code}")
        }
        UpstreamTls::StartTls => {
            format!("port {port} begins in clear and upgrades; write `tls: starttls`{code}")
        }
    })
}

fn usual_port(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Smtp => "`port: 587` with `tls: starttls`, or `port: 465` with `tls: implicit`",
        Protocol::Pop3 => "`port: 995` with `tls: implicit`",
        Protocol::Imap => "`port: 993` with `tls: implicit`",
    }
}

/// Google's servers: each speaks one protocol alone.
const GOOGLE: [(Protocol, &str); 3] = [
    (Protocol::Smtp, "smtp.gmail.com"),
    (Protocol::Pop3, "pop.gmail.com"),
    (Protocol::Imap, "imap.gmail.com"),
];

/// L04 to L06: a server's name that was spelt or placed wrong. Only names that nobody else could mean are judged.
pub(super) fn upstream_host(protocol: Protocol, host: &str, port: u16) -> Option<String> {
    let host = host.to_ascii_lowercase();
    let (submission, mailbox) = ("smtp.office365.com", "outlook.office365.com");
    // `smtplib` is a library's name that found its way into a vendor's manual.
    for misspelt in ["smpt.", "smtplib.", "stmp."] {
        if let Some(domain) = host.strip_prefix(misspelt) {
            return Some(format!("`{host}` is spelt wrong; did you mean `smtp.{domain}`? (L04)"));
        }
    }
    if let Some((speaks, _)) = GOOGLE.iter().find(|(_, server)| *server == host) {
        let (_, right) = GOOGLE.iter().find(|(other, _)| *other == protocol)?;
        return (*speaks != protocol)
            .then(|| format!("`{host}` speaks {speaks} alone; write `{right}` (L05)"));
    }
    match protocol {
        Protocol::Smtp if host == mailbox => {
            Some(format!("`{mailbox}` is where mail is fetched; write `{submission}` (L05)"))
        }
        Protocol::Pop3 | Protocol::Imap if host == submission || host == "smtp-mail.outlook.com" => {
            Some(format!("`{host}` is where mail is sent; write `{mailbox}` (L05)"))
        }
        Protocol::Smtp if host == submission && port == 465 => Some(format!(
            "`{submission}` is not offered on port 465; write `port: 587` with `tls: starttls` (L06)"
        )),
        _ => [submission, mailbox]
            .into_iter()
            .find(|known| (1..=2).contains(&strsim::damerau_levenshtein(&host, known)))
            .map(|known| format!("`{host}` is spelt wrong; did you mean `{known}`? (L04)")),
    }
}

/// L13: an endpoint whose template was not filled in, that was pasted with brackets, or that is the other endpoint.
pub(super) fn endpoint_url(text: &str, wrong_ending: &str) -> Result<Url, String> {
    if text.contains("{tenant}") {
        return Err("`{tenant}` is not filled in; write `tenant:` beside it (L13)".to_owned());
    }
    if let Some(character) = text.chars().find(|character| "{}<> ".contains(*character)) {
        return Err(format!(
            "has `{character}` in it; fill in the template, and leave brackets and spaces out (L13)"
        ));
    }
    if text.ends_with('.') {
        return Err("ends with a full stop; leave it out (L13)".to_owned());
    }
    let url =
        Url::parse(text).map_err(|error| format!("`{text}` is not a URL: {error}; write `https://…`"))?;
    if url.scheme() != "https" {
        return Err(
            "must begin with https://: codes, secrets and tokens leave over verified TLS only".to_owned()
        );
    }
    let path = url.path().trim_end_matches('/');
    if path.ends_with(wrong_ending) {
        return Err(format!(
            "ends with `{wrong_ending}`, which is the other endpoint's URL; swap them (L13)"
        ));
    }
    if microsoft::is_sign_in(&url) && !path.contains("/v2.0/") {
        return Err(
            "is Microsoft's first version, which knows no scopes; write …/oauth2/v2.0/… (L13)".to_owned()
        );
    }
    if url.fragment().is_some() {
        return Err("has a fragment (`#…`), which an endpoint must not have; leave it out".to_owned());
    }
    Ok(url)
}

/// An issuer that cannot be right (OpenID Connect Discovery 1.0 section 3, RFC 8414 section 2).
pub(super) fn issuer(text: &str) -> Result<Url, String> {
    if text.contains("{tenant}") {
        return Err("`{tenant}` is not filled in; write `tenant:` beside it (L13)".to_owned());
    }
    if let Some((issuer, _)) = text.split_once("/.well-known/") {
        return Err(format!("is the address of its document; write the issuer alone, `{issuer}`"));
    }
    match Url::parse(text) {
        Ok(url) if url.scheme() == "https" && url.query().is_none() && url.fragment().is_none() => Ok(url),
        _ => Err(format!(
            "`{text}` is not an issuer: an https address without query and fragment, exactly as the provider writes it"
        )),
    }
}

/// L12, L14: a tenant that cannot be right.
pub(crate) fn tenant(tenant: &str, used: bool, grant: GrantType, client_id: Option<&str>) -> Option<String> {
    if !used {
        return Some("no endpoint of this provider has `{tenant}` in it; leave the key out".to_owned());
    }
    if !tenant.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte)) {
        return Some(format!(
            "`{tenant}` is not a tenant; write its id or a domain of it, without brackets (L13)"
        ));
    }
    if refused_tenants(grant).contains(&tenant) {
        return Some(needs_own_tenant(tenant, grant));
    }
    client_id
        .is_some_and(|client_id| client_id.eq_ignore_ascii_case(tenant))
        .then(|| "is the same as `client_id`; write the directory (tenant) id here (L14)".to_owned())
}

pub(super) fn needs_own_tenant(tenant: &str, grant: GrantType) -> String {
    let personal = match grant {
        GrantType::Password => " (personal accounts need authorization_code)",
        _ => "",
    };
    format!(
        "`{tenant}` does not work with the grant {}; write the tenant's id or a domain of it{personal} (L12)",
        grant.name()
    )
}

/// L14: the id of a secret in place of its value. Only Microsoft shows both side by side.
pub(super) fn client_secret(token_endpoint: &Url, secret: &Secret<String>) -> Option<String> {
    (microsoft::is_sign_in(token_endpoint) && is_guid(secret.expose())).then(|| {
        "looks like the secret's id; Microsoft Entra shows its value once, when it is made: use that (L14)".to_owned()
    })
}

/// A client id that has not the form of the sign-in's own: most often it was taken from the field beside it.
pub(crate) fn client_id(token_endpoint: &Url, client_id: &str) -> Option<String> {
    if microsoft::is_sign_in(token_endpoint) && !is_guid(client_id) {
        return Some(format!(
            "`{}` is not an id like 11111111-2222-3333-4444-555555555555; Overview shows it as Application (client) ID",
            client_id.replace(char::is_control, "?")
        ));
    }
    (is_google(token_endpoint) && !client_id.ends_with(GOOGLE_CLIENT_ID)).then(|| {
        format!(
            "`{}` is not a client id of Google; it ends with {GOOGLE_CLIENT_ID}",
            client_id.replace(char::is_control, "?")
        )
    })
}

/// Whether an application has a secret there in any case: Google gives one to desktop applications too, and wants to see it.
pub(crate) fn needs_secret(token_endpoint: &Url) -> bool {
    is_google(token_endpoint)
}

const GOOGLE_CLIENT_ID: &str = ".apps.googleusercontent.com";

fn is_google(token_endpoint: &Url) -> bool {
    token_endpoint.host_str() == Some("oauth2.googleapis.com")
}

/// Whether it has the form of the ids that Microsoft Entra gives to everything.
pub(crate) fn is_guid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups.iter().all(|group| group.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Passwords in clear where others can listen. `says` is what the file writes after `plaintext:`.
pub(super) fn plaintext(
    address: IpAddr,
    tls: ListenerTls,
    says: Option<bool>,
    allow_from: &[IpNet],
) -> Option<String> {
    match (tls, says) {
        (ListenerTls::Implicit, Some(true)) => {
            return Some("nothing is in clear with `tls: implicit`; leave `plaintext` out".to_owned());
        }
        (ListenerTls::None, Some(false)) => {
            return Some("without TLS every password comes in clear; write `tls: starttls`".to_owned());
        }
        _ => {}
    }
    let in_clear = tls == ListenerTls::None || says == Some(true);
    if address.is_loopback() || !in_clear {
        return None;
    }
    if says != Some(true) {
        return Some(
            "passwords would cross the network in clear; write `tls: starttls` or `tls: implicit`, or, for devices \
             that know no TLS, `plaintext: allowed` with their networks in `allow_from`"
                .to_owned(),
        );
    }
    if allow_from.is_empty() {
        return Some(
            "`plaintext: allowed` needs `allow_from` with the networks of the devices, like `[192.168.1.0/24]`: \
             passwords in clear are for known places only"
                .to_owned(),
        );
    }
    allow_from.iter().find(|network| network.prefix_len() == 0).map(|network| {
        format!("`{network}` in `allow_from` is everybody, which `plaintext: allowed` forbids; write your own networks")
    })
}

/// L23: a provider's server that is the listener itself.
pub(super) fn proxy_loop(listener: SocketAddr, provider: &Provider) -> Option<String> {
    let mut endpoints = Protocol::ALL.into_iter().filter_map(|protocol| provider.endpoint(protocol));
    let same = |host: &str| match host.parse::<IpAddr>() {
        Ok(address) => address == listener.ip() || (address.is_loopback() && listener.ip().is_unspecified()),
        Err(_) => host == "localhost" && (listener.ip().is_loopback() || listener.ip().is_unspecified()),
    };
    endpoints.find(|endpoint| endpoint.port == listener.port() && same(&endpoint.host)).map(|endpoint| {
        format!(
            "the provider `{}` has this very address as its server ({}:{}); write the provider's own there (L23)",
            provider.name, endpoint.host, endpoint.port
        )
    })
}

/// User names that a listener could not tell apart: the same one for accounts of several providers that it serves.
/// `user_names` are those of the store, each with the provider of its account; case makes no difference. `*@contoso.com` is one
/// of them, and makes no name of that domain ambiguous: what is stored for the name itself comes first.
pub fn ambiguous_user_names(config: &Config, user_names: &[(String, String)]) -> Vec<Complaint> {
    let mut providers_of: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (user_name, provider) in user_names {
        let providers = providers_of.entry(user_name.to_lowercase()).or_default();
        if !providers.contains(&provider.as_str()) {
            providers.push(provider);
        }
    }
    let mut complaints = Vec::new();
    for (number, listener) in config.listeners.iter().enumerate() {
        let serves =
            |name: &&&str| config.providers.get(**name).is_some_and(|provider| listener.serves(provider));
        let mut ambiguous = providers_of
            .iter()
            .map(|(user_name, providers)| {
                (user_name, providers.iter().filter(serves).copied().collect::<Vec<_>>())
            })
            .filter(|(_, among)| among.len() > 1);
        // The first as an example: where two providers have the same people, there are as many as people.
        let Some((user_name, among)) = ambiguous.next() else { continue };
        let more = match ambiguous.count() {
            0 => String::new(),
            more => format!(" (and {more} more like it)"),
        };
        complaints.push(Complaint {
            file: config.path.clone(),
            line: None,
            key: format!("listeners[{number}]"),
            text: format!(
                "the user name `{user_name}` exists for the providers `{}`{more}, and this listener ({} {}) serves \
                 them all; write `provider:` here, or give one of the accounts another user name",
                among.join("`, `"),
                listener.protocol,
                listener.address
            ),
        });
    }
    complaints
}

/// What is allowed but hardly meant.
pub fn warnings(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    for provider in config.providers.values() {
        warnings.extend(application_warnings(provider));
        for protocol in Protocol::ALL {
            let listens = |provider: &Provider| {
                config.listeners.iter().any(|it| it.protocol == protocol && it.serves(provider))
            };
            if provider.endpoint(protocol).is_some() && !listens(provider) {
                warnings.push(format!("no listener serves {protocol} for the provider `{}`", provider.name));
            }
        }
    }
    warnings
}

/// What Gatepost proves itself with ends soon, or has ended; and what to do.
pub(crate) fn ending(oauth: &OAuthClient, now: SystemTime) -> Option<String> {
    let proof = Proof::of(oauth)?;
    let what = if proof.is_certificate { "client_certificate" } else { "client_secret" };
    let when = match proof.until.duration_since(now) {
        Ok(left) if left >= SOON => return None,
        Ok(left) => format!("ends in {} days", left.as_secs() / 86_400),
        Err(_) => format!("ended on {}", utc(proof.until).date()),
    };
    Some(format!("the `{what}` of the provider `{}` {when}; {}", oauth.provider, proof.next_step()))
}

/// A client id that is still the example's; L16: a certificate about to expire; L17: a protocol without its scope.
fn application_warnings(provider: &Provider) -> Vec<String> {
    let mut warnings = Vec::new();
    let (name, Some(oauth)) = (&provider.name, provider.oauth()) else { return warnings };
    if is_guid(&oauth.client_id) && oauth.client_id.bytes().all(|byte| byte == b'0' || byte == b'-') {
        warnings.push(format!("the `client_id` of the provider `{name}` is still the example's"));
    }
    warnings.extend(ending(oauth, SystemTime::now()).map(|text| format!("{text} (L16)")));
    let Some(cloud) = microsoft::cloud(&oauth.token_endpoint).filter(|_| oauth.grant.needs_person()) else {
        return warnings;
    };
    for (protocol, scope) in [
        (Protocol::Smtp, "SMTP.Send"),
        (Protocol::Pop3, "POP.AccessAsUser.All"),
        (Protocol::Imap, "IMAP.AccessAsUser.All"),
    ] {
        // `.default` stands for whatever the application was registered with.
        let covers = |written: &String| written.ends_with(scope) || written.ends_with("/.default");
        if provider.endpoint(protocol).is_some() && !oauth.scopes.iter().any(covers) {
            warnings.push(format!(
                "the provider `{name}` has `{key}` but not the scope {}/{scope}; add it, or write `{key}: none` (L17)",
                cloud.for_people,
                key = protocol.name()
            ));
        }
    }
    warnings
}
