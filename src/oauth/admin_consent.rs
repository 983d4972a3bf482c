//! Consents that only an administrator can give: how the provider says so, and the address where one does. The address is
//! built from the provider's own authorization endpoint, which names the organisation.

use url::Url;

use super::consent::{ConsentError, said};
use super::diagnosis::{EndpointError, aadsts_number};
use crate::config::provider::OAuthClient;

/// Entra's numbers: nobody has consented to these scopes (65001), and an administrator has to (the others).
const ADMIN_AADSTS: [&str; 4] = ["65001", "90094", "90095", "900941"];

/// Where Entra's authorization endpoint ends, in every one of its clouds.
const AUTHORIZE: &str = "/oauth2/v2.0/authorize";

/// Where an administrator of the organisation allows an application all that its registration asks for. `host` is that of
/// Entra's endpoints, which each national cloud has its own of.
pub fn of_registration(host: &str, tenant: &str, client_id: &str) -> String {
    format!("https://{host}/{tenant}/adminconsent?client_id={client_id}")
}

/// The error, where it means that an administrator has to come first.
pub(super) fn needed(client: &OAuthClient, error: &str, description: Option<&str>) -> Option<ConsentError> {
    let by_number = description.and_then(aadsts_number).is_some_and(|number| ADMIN_AADSTS.contains(&number));
    // Google's word is admin_policy_enforced.
    let by_word = error.starts_with("admin_policy");
    (by_number || by_word).then(|| ConsentError::AdminNeeded {
        said: said(error, description),
        url: url(client).filter(|_| by_number),
    })
}

/// The same for what a token endpoint said.
pub(super) fn needed_by(client: &OAuthClient, error: &EndpointError) -> Option<ConsentError> {
    match error {
        EndpointError::Refused { code, description, .. } => needed(client, code, description.as_deref()),
        _ => None,
    }
}

/// Entra's admin consent endpoint for the same organisation. Personal accounts have no administrator, and `common` would
/// lead them there.
fn url(client: &OAuthClient) -> Option<Url> {
    let mut url = client.authorization_endpoint.clone()?;
    let tenant = match url.path().strip_suffix(AUTHORIZE)?.strip_prefix('/')? {
        "consumers" => return None,
        "common" => "organizations",
        tenant => tenant,
    };
    let path = format!("/{tenant}/v2.0/adminconsent");
    url.set_path(&path);
    url.query_pairs_mut()
        .clear()
        .append_pair("client_id", &client.client_id)
        .append_pair("scope", &client.scopes.join(" "))
        .append_pair("redirect_uri", &client.pasted_redirect_uri());
    Some(url)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::oauth::tests::client;

    #[test]
    fn entra_s_numbers_lead_an_administrator_to_the_right_organisation() {
        let at = |tenant: &str| {
            let mut client = client();
            let endpoint = format!("https://login.invalid/{tenant}/oauth2/v2.0/authorize");
            client.authorization_endpoint = Some(endpoint.parse().unwrap());
            client
        };
        let query = "client_id=gatepost&scope=mail+offline_access&redirect_uri=http%3A%2F%2Flocalhost";
        for (tenant, number, expected) in [
            ("contoso.example", "65001", Some("contoso.example")),
            ("contoso.example", "90094", Some("contoso.example")),
            ("organizations", "900941", Some("organizations")),
            ("common", "90095", Some("organizations")),
        ] {
            let description = format!("AADSTS{number}: an administrator");
            let error = needed(&at(tenant), "access_denied", Some(&description)).unwrap();
            let ConsentError::AdminNeeded { url, said } = &error else { unreachable!("{error}") };
            assert_eq!(said, &format!("access_denied: {description}"));
            let expected =
                expected.map(|tenant| format!("https://login.invalid/{tenant}/v2.0/adminconsent?{query}"));
            assert_eq!(url.as_ref().map(Url::to_string), expected);
            assert!(error.to_string().ends_with(&expected.unwrap_or_default()), "{error}");
        }
        let personal = needed(&at("consumers"), "access_denied", Some("AADSTS65001: no"));
        assert!(matches!(personal, Some(ConsentError::AdminNeeded { url: None, .. })), "{personal:?}");
        for other in ["AADSTS65004: declined", "AADSTS9009411: no such number", "admin"] {
            assert!(needed(&at("contoso.example"), "access_denied", Some(other)).is_none(), "{other}");
        }
    }

    #[test]
    fn google_s_word_has_no_address() {
        let error = needed(&client(), "admin_policy_enforced", None).unwrap();
        assert!(error.to_string().contains("Ask one to trust the client_id"), "{error}");
    }
}
