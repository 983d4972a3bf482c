//! Where the browser ends after a consent: at a port of this machine, or at an address that a person copies.

use url::Url;

use super::complaint::Finding;
use super::edit::Value;
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
        let host = section.take("redirect_host").map(|field| read_host(&field));
        let uri = section.take("redirect_uri").map(|field| read_uri(&field));
        let (host, uri) = (readable(host), readable(uri));
        Some(Self { host: host?.unwrap_or("localhost"), uri: uri? })
    }
}

fn read_host(field: &Field<'_>) -> Option<&'static str> {
    let text = field.text()?;
    let found = REDIRECT_HOSTS.iter().find(|(word, _)| *word == text).map(|(_, host)| *host);
    if found.is_none() {
        // As a whole address, or with a port: only the host is chosen here.
        let inner = text.split_once("://").map_or(text, |(_, rest)| rest);
        let inner = inner.split(['/', ':']).next().unwrap_or_default();
        let right = REDIRECT_HOSTS.iter().find(|(word, _)| *word == inner).map(|(word, _)| *word);
        let text = match right {
            Some(host) => format!("`{text}` is more than a host; write `{host}`, and any free port is used"),
            None => {
                format!("`{text}` is not this machine; write `localhost` or `127.0.0.1`, as it is registered")
            }
        };
        field.complain(wrong(text).right(right.map(|host| Value::Text(host.to_owned()))));
    }
    found
}

fn wrong(text: impl Into<String>) -> Finding {
    Finding::coded("L18", text)
}

/// As it is written: providers compare it with what is registered, letter by letter (RFC 6749 section 3.1.2.2).
fn read_uri(field: &Field<'_>) -> Option<String> {
    let text = field.text()?;
    match Url::parse(text) {
        Ok(url) if url.scheme() == "https" && url.fragment().is_none() => return Some(text.to_owned()),
        Ok(url) if url.scheme() == "http" => field.complain(wrong(
            "is for a provider that takes https alone; leave it out, and write the host as `redirect_host` where it is not \
             localhost",
        )),
        Ok(url) if url.scheme() == "urn" => field.complain(wrong(
            "is a way of copying codes that providers have given up; leave it out, and register a desktop application",
        )),
        _ => field.complain(wrong(format!(
            "`{text}` is not an https address without a fragment, like `https://127.0.0.1`"
        ))),
    }
    None
}
