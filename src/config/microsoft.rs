//! Microsoft's clouds, each known by its sign-in.

use url::Url;

use super::complaint::Finding;
use super::lint;
use super::provider::GrantType;

/// A cloud of Microsoft, known by its sign-in.
pub(super) struct Cloud {
    sign_in: &'static str,
    /// What the scopes of a person's consent begin with.
    pub(super) for_people: &'static str,
    /// And those of an application alone.
    pub(super) for_applications: &'static str,
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

/// L12, where the tenant stands in the URL itself.
pub(super) fn shared_tenant(token_endpoint: &Url, grant: GrantType) -> Option<Finding> {
    let tenant = token_endpoint.path_segments()?.next()?;
    let refused = is_sign_in(token_endpoint) && lint::is_refused(tenant, grant);
    refused.then(|| lint::needs_own_tenant(tenant, grant))
}

/// L14, where the tenant stands in the URL itself.
pub(super) fn tenant_is_client(token_endpoint: &Url, client_id: &str) -> Option<Finding> {
    let tenant = token_endpoint.path_segments()?.next()?;
    is_sign_in(token_endpoint).then(|| lint::same_as_client_id(tenant, client_id))?
}
