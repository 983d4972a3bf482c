//! L12, L14: ids that stand where another value belongs, and tenants that are everybody's.

use gatepost_protocol::secret::Secret;
use url::Url;

use super::super::complaint::Finding;
use super::super::microsoft;
use super::super::provider::GrantType;

/// Microsoft's names for everybody's tenant that do not work with a grant: an application alone has to say whose it means,
/// and passwords are taken of work accounts only.
fn refused_tenants(grant: GrantType) -> &'static [&'static str] {
    match grant {
        GrantType::ClientCredentials => &["common", "consumers", "organizations"],
        GrantType::Password => &["common", "consumers"],
        GrantType::AuthorizationCode | GrantType::ServiceAccount => &[],
    }
}

/// L12: whether the grant does not work with it. Case makes no difference to Microsoft.
pub(in crate::config) fn is_refused(tenant: &str, grant: GrantType) -> bool {
    refused_tenants(grant).iter().any(|refused| refused.eq_ignore_ascii_case(tenant))
}

/// L12, L14: a tenant that cannot be right.
pub(crate) fn tenant(tenant: &str, used: bool, grant: GrantType, client_id: Option<&str>) -> Option<Finding> {
    if !used {
        return Some("no endpoint of this provider has `{tenant}` in it; leave the key out".into());
    }
    if !tenant.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte)) {
        // Without brackets it may be a secret that was pasted into the wrong place.
        let what = if tenant.starts_with(['{', '<']) { format!("`{tenant}`") } else { "this".to_owned() };
        let text = format!("{what} is not a tenant; write its id or a domain of it, without brackets");
        return Some(Finding::coded("L13", text));
    }
    if is_refused(tenant, grant) {
        return Some(needs_own_tenant(tenant, grant));
    }
    client_id.and_then(|client_id| same_as_client_id(tenant, client_id))
}

/// L14: the same id for the application and for the directory.
pub(in crate::config) fn same_as_client_id(tenant: &str, client_id: &str) -> Option<Finding> {
    client_id
        .eq_ignore_ascii_case(tenant)
        .then(|| Finding::coded("L14", "is the same as `client_id`; write the directory (tenant) id here"))
}

pub(in crate::config) fn needs_own_tenant(tenant: &str, grant: GrantType) -> Finding {
    let personal = match grant {
        GrantType::Password => " (personal accounts need authorization_code)",
        _ => "",
    };
    let text = format!(
        "`{tenant}` does not work with the grant {}; write the tenant's id or a domain of it{personal}",
        grant.name()
    );
    Finding::coded("L12", text)
}

/// L14: what Microsoft shows near the application's id. It is not quoted, since it may be a secret.
pub(in crate::config) fn not_client_id(token_endpoint: &Url, client_id: &str) -> Option<Finding> {
    if !microsoft::is_sign_in(token_endpoint) {
        return None;
    }
    let in_braces = client_id.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).is_some_and(is_guid);
    // Secrets of Microsoft Entra have 40 characters, and a `~` among them.
    let is_secret = client_id.len() >= 32 && client_id.contains('~');
    let text = if in_braces {
        "has braces around it; write the application (client) id without them"
    } else if is_secret {
        "has not the form of an application (client) id; a secret's value does not belong here"
    } else {
        return None;
    };
    Some(Finding::coded("L14", text).likely())
}

/// L14: the id of a secret in place of its value. Only Microsoft shows both side by side.
pub(in crate::config) fn client_secret(token_endpoint: &Url, secret: &Secret<String>) -> Option<Finding> {
    (microsoft::is_sign_in(token_endpoint) && is_guid(secret.expose())).then(|| {
        let text =
            "looks like the secret's id; Microsoft Entra shows its value once, when it is made: use that";
        Finding::coded("L14", text)
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

/// The id that stands in Gatepost's own example.
pub(in crate::config) fn example_client_id(client_id: &str) -> Option<Finding> {
    let is_zeros = is_guid(client_id) && client_id.bytes().all(|byte| byte == b'0' || byte == b'-');
    is_zeros.then(|| Finding::warning("is still the example's; write the id of your own application"))
}
