//! What the browser shows in the end: one page, readable on a phone and at night, with nothing in it from elsewhere. A
//! provider's words are shown as text, never as markup or something to click on.

use bytes::Bytes;
use http::{Response, StatusCode, header};
use http_body_util::Full;
use url::Url;

use super::consent::ConsentError;
use crate::store::grants::Identity;

/// The bar beside the heading. It only repeats what the words say.
const GREEN: &str = "#3a9a68";
const AMBER: &str = "#d9960f";
const RED: &str = "#c9483f";
const GREY: &str = "#8a8a8a";

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:1.1rem/1.5 system-ui,sans-serif;max-width:34rem;margin:0 auto;padding:14vh 1.5rem 3rem;color:#222;\
background:#f7f7f4;overflow-wrap:anywhere}\
header{color:#6a6a6a}\
h1{font-size:1.8rem;line-height:1.25;margin:.4rem 0 1.4rem;padding-left:.8rem;border-left:.35rem solid}\
@media(prefers-color-scheme:dark){body{color:#e4e4e0;background:#1c1f22}header{color:#9a9a96}a{color:#9cf}}";

/// The grant is committed.
pub(super) fn connected(address: &str, identity: Option<&Identity>) -> Response<Full<Bytes>> {
    let by = match identity {
        Some(identity) if !identity.is(address) => format!(" by {identity}"),
        _ => String::new(),
    };
    let text = format!("{address} is connected{by}.");
    page(StatusCode::OK, GREEN, "Connected", &[&text, "You can close this window."], None)
}

/// The answer to our request is no grant.
pub(super) fn problem(error: &ConsentError) -> Response<Full<Bytes>> {
    if let ConsentError::AnotherIdentity { identity, expected, .. } = error {
        let text = format!("{identity} consented, not {expected}.");
        let next = format!(
            "The window where you started Gatepost says how to go on: keep it so where that is right, or start again and \
             choose {expected} here."
        );
        return page(StatusCode::OK, AMBER, "Not connected yet", &[&text, &next], None);
    }
    let next =
        "Nothing was changed. The window where you started Gatepost says the same; start it there again.";
    page(StatusCode::OK, RED, "Not connected", &[&sentence(error), next], error.admin_url())
}

/// It answers no request of ours, or a former one.
pub(super) fn stray(error: &ConsentError) -> Response<Full<Bytes>> {
    let next = "Nothing was changed. The window where you started Gatepost goes on waiting.";
    page(StatusCode::BAD_REQUEST, AMBER, "Not connected yet", &[&sentence(error), next], None)
}

/// Whatever else a browser asks for.
pub(super) fn nothing_here() -> Response<Full<Bytes>> {
    let text = "This page only waits for the provider's answer.";
    page(StatusCode::NOT_FOUND, GREY, "Nothing here", &[text], None)
}

/// Tells the browser to keep nothing: the address that led here holds a code. Of all that the text holds, only the given address
/// becomes a link.
fn page(
    status: StatusCode,
    bar: &'static str,
    title: &'static str,
    paragraphs: &[&str],
    link: Option<&Url>,
) -> Response<Full<Bytes>> {
    let paragraphs: Vec<_> = paragraphs.iter().map(|paragraph| escaped(paragraph)).collect();
    let mut text = paragraphs.join("</p><p>");
    if let Some(link) = link.map(|url| escaped(url.as_str())) {
        text = text.replace(&link, &format!("<a href=\"{link}\">{link}</a>"));
    }
    let html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>Gatepost: {title}</title>\
         <style>{STYLE}h1{{border-color:{bar}}}</style>\
         <header>Gatepost</header><h1>{title}</h1><p>{text}</p></html>"
    );
    let mut response = Response::new(Full::new(Bytes::from(html)));
    *response.status_mut() = status;
    for (name, value) in [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
        ),
    ] {
        response.headers_mut().insert(name, header::HeaderValue::from_static(value));
    }
    response
}

/// Errors begin small and end without a full stop, because on the terminal something stands in front.
fn sentence(error: &ConsentError) -> String {
    let text = error.to_string();
    let mut rest = text.chars();
    let first = rest.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", rest.as_str())
}

fn escaped(text: &str) -> String {
    text.chars()
        .map(|character| match character {
            '&' => "&amp;".to_owned(),
            '<' => "&lt;".to_owned(),
            '>' => "&gt;".to_owned(),
            '"' => "&quot;".to_owned(),
            '\'' => "&#39;".to_owned(),
            other => other.to_string(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn only_the_address_for_an_administrator_becomes_a_link() {
        let url = "https://login.invalid/contoso/v2.0/adminconsent?client_id=a&scope=b";
        let said = "AADSTS90094: see https://elsewhere.invalid/<b>".to_owned();
        let error = ConsentError::AdminNeeded { said, url: Some(url.parse().unwrap()) };
        let body = problem(&error).into_body().collect().await.unwrap().to_bytes();
        let page = String::from_utf8(body.to_vec()).unwrap();
        let shown = url.replace('&', "&amp;");
        assert!(page.contains(&format!("<a href=\"{shown}\">{shown}</a>")), "{page}");
        assert!(page.contains("https://elsewhere.invalid/&lt;b&gt;"), "{page}");
        assert_eq!(page.matches("<a ").count(), 1, "{page}");
    }
}
