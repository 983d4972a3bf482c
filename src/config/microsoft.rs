//! Microsoft's clouds, each known by its sign-in, and what can be wrong with a request for tokens there. The codes are those of
//! [`super::lint`].

use url::Url;

use super::lint;
use super::provider::GrantType;

/// A cloud of Microsoft, known by its sign-in.
pub(super) struct Cloud {
    sign_in: &'static str,
    /// What the scopes of a person's consent begin with.
    pub(super) for_people: &'static str,
    /// And those of an application alone.
    for_applications: &'static str,
}

const CLOUDS: [Cloud; 3] = [
    Cloud {
        sign_in: "login.microsoftonline.com",
        for_people: "https://outlook.office.com",
        for_applications: "https://outlook.office365.com",
    },
    Cloud {
        sign_in: "login.microsoftonline.us",
        for_people: "https://outlook.office365.us",
        for_applications: "https://outlook.office365.us",
    },
    Cloud {
        sign_in: "login.partner.microsoftonline.cn",
        for_people: "https://partner.outlook.cn",
        for_applications: "https://partner.outlook.cn",
    },
];

/// The cloud whose sign-in this is.
pub(super) fn cloud(url: &Url) -> Option<&'static Cloud> {
    CLOUDS.iter().find(|cloud| url.host_str() == Some(cloud.sign_in))
}

/// Whether this is Microsoft's sign-in, in any of its clouds.
pub(super) fn is_sign_in(url: &Url) -> bool {
    cloud(url).is_some()
}

/// L08 to L11: scopes that Microsoft refuses, or that bring a token for the wrong service.
pub(super) fn scopes(token_endpoint: &Url, grant: GrantType, scopes: &[String]) -> Option<String> {
    let Cloud { for_people, for_applications, .. } = cloud(token_endpoint)?;
    if grant == GrantType::ClientCredentials {
        let wrong = scopes.iter().find(|scope| !scope.ends_with("/.default"))?;
        return Some(format!(
            "`{wrong}` does not go with client_credentials; write `[{for_applications}/.default]` alone (L11)"
        ));
    }
    let bare = ["IMAP.AccessAsUser.All", "POP.AccessAsUser.All", "SMTP.Send"];
    if let Some(scope) = scopes.iter().find(|scope| bare.contains(&scope.as_str())) {
        return Some(format!("`{scope}` alone means Microsoft Graph; write `{for_people}/{scope}` (L10)"));
    }
    if let Some(scope) = scopes.iter().find(|scope| scope.starts_with("https://graph.microsoft.com/")) {
        return Some(format!("`{scope}` brings a token that no mail server takes; leave it out (L09)"));
    }
    (!scopes.iter().any(|scope| scope == "offline_access")).then(|| {
        "lacks `offline_access`, without which Microsoft gives no refresh token; add it (L08)".to_owned()
    })
}

/// L12, where the tenant stands in the URL itself.
pub(super) fn shared_tenant(token_endpoint: &Url, grant: GrantType) -> Option<String> {
    let tenant = token_endpoint.path_segments()?.next()?;
    let refused = is_sign_in(token_endpoint) && lint::refused_tenants(grant).contains(&tenant);
    refused.then(|| lint::needs_own_tenant(tenant, grant))
}
