//! Where the browser ends after a consent: at a port of this machine, or at an address that a person copies.

use url::Url;

use super::section::{Field, Section, readable};

/// What providers accept for an application that listens on the user's own machine (RFC 8252 section 7.3).
const REDIRECT_HOSTS: [(&str, &str); 2] = [("localhost", "localhost"), ("127.0.0.1", "127.0.0.1")];

/// The keys `redirect_host` and `redirect_uri`.
pub(super) struct Redirect {
    pub(super) host: &'static str,
    pub(super) uri: Option<String>,
}

impl Redirect {
    /// `None` only after a complaint.
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let host = section.take("redirect_host").map(|field| field.choice(&REDIRECT_HOSTS));
        let uri = section.take("redirect_uri").map(|field| read_uri(&field));
        let (host, uri) = (readable(host), readable(uri));
        Some(Self { host: host?.unwrap_or("localhost"), uri: uri? })
    }
}

/// As it is written: providers compare it with what is registered, letter by letter (RFC 6749 section 3.1.2.2).
fn read_uri(field: &Field<'_>) -> Option<String> {
    let text = field.text()?;
    match Url::parse(text) {
        Ok(url) if url.scheme() == "https" && url.fragment().is_none() => return Some(text.to_owned()),
        Ok(url) if url.scheme() == "http" => field.complain(
            "is for a provider that takes https alone; leave it out, and write the host as `redirect_host` where it is not \
             localhost",
        ),
        _ => field.complain(format!("`{text}` is not an https address without a fragment, like `https://127.0.0.1`")),
    }
    None
}
