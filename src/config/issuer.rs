//! [`Issuer`]: an authorization server that tells its endpoints by itself. Reading the file stays offline: it is asked later.

use url::Url;

use super::lint;
use super::section::Field;

/// An OpenID Connect issuer, or any authorization server with a document about itself (RFC 8414).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    /// Exactly as it names itself: issuers are compared letter by letter.
    pub url: String,
    /// Whether the file has the token endpoint.
    pub token_endpoint_is_written: bool,
    /// Whether the file says how Gatepost proves who it is.
    pub authentication_is_written: bool,
}

/// The issuer's name, and the same as a URL.
pub(super) fn read(field: &Field<'_>, tenant: Option<&str>) -> Option<(String, Url)> {
    let text = field.text()?;
    let filled = tenant.map_or_else(|| text.to_owned(), |tenant| text.replace("{tenant}", tenant));
    match lint::urls::issuer(&filled) {
        Ok(url) => return Some((filled, url)),
        Err(problem) => field.complain(problem),
    }
    None
}
