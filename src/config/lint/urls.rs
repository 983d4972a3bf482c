//! L13: addresses of the sign-in whose template was not filled in, that were pasted with what stood around them, or that are
//! another endpoint's.

use url::Url;

use super::super::complaint::Finding;
use super::super::edit::Value;
use super::super::microsoft;

/// What ends the address of the page for people, in whose place the token endpoint's stands.
pub(in crate::config) const AUTHORIZE: &str = "/authorize";

/// An endpoint's URL, in which `{tenant}` is replaced by the tenant where there is one.
pub(in crate::config) fn endpoint(
    text: &str,
    tenant: Option<&str>,
    wrong_ending: &str,
) -> Result<Url, Finding> {
    let filled =
        |text: &str| tenant.map_or_else(|| text.to_owned(), |tenant| text.replace("{tenant}", tenant));
    judged(&filled(text), wrong_ending).map_err(|finding| {
        let meant = meant(text, tenant.is_some(), wrong_ending);
        finding.right(meant.filter(|meant| judged(&filled(meant), wrong_ending).is_ok()).map(Value::Text))
    })
}

fn coded(text: impl Into<String>) -> Finding {
    Finding::coded("L13", text)
}

fn judged(text: &str, wrong_ending: &str) -> Result<Url, Finding> {
    if text.contains("{tenant}") {
        return Err(coded("`{tenant}` is not filled in; write `tenant:` beside it"));
    }
    if let Some(placeholder) = placeholder(text) {
        return Err(coded(format!(
            "`{placeholder}` stands for something of your own; write `{{tenant}}` there and `tenant:` beside it, or the \
             whole address"
        )));
    }
    if let Some(character) = text.chars().find(|character| "{}<> ".contains(*character)) {
        let text =
            format!("has `{character}` in it; fill in the template, and leave brackets and spaces out");
        return Err(coded(text));
    }
    if text.ends_with('.') {
        return Err(coded("ends with a full stop; leave it out"));
    }
    let url =
        Url::parse(text).map_err(|error| format!("`{text}` is not a URL: {error}; write `https://…`"))?;
    if url.scheme() != "https" {
        return Err("must begin with https://: codes, secrets and tokens leave over verified TLS only".into());
    }
    let path = url.path().trim_end_matches('/');
    if path.ends_with(wrong_ending) {
        return Err(coded(format!(
            "ends with `{wrong_ending}`, which is the other endpoint's URL; swap them"
        )));
    }
    if microsoft::is_sign_in(&url) && !path.contains("/v2.0/") {
        return Err(coded("is Microsoft's first version, which knows no scopes; write …/oauth2/v2.0/…"));
    }
    if url.fragment().is_some() {
        return Err("has a fragment (`#…`), which an endpoint must not have; leave it out".into());
    }
    Ok(url)
}

/// A part of the path in braces or angle brackets, with them.
fn placeholder(text: &str) -> Option<&str> {
    let path = text.split_once("://")?.1.split_once('/')?.1;
    path.split('/').find(|part| is_placeholder(part))
}

fn is_placeholder(part: &str) -> bool {
    part.len() > 2
        && ((part.starts_with('{') && part.ends_with('}')) || (part.starts_with('<') && part.ends_with('>')))
}

/// The URL without what stood around it, as far as it is one.
pub(in crate::config) fn bare(text: &str) -> Option<Url> {
    Url::parse(trimmed(text)).ok()
}

fn trimmed(text: &str) -> &str {
    text.trim_matches(|character: char| character.is_whitespace() || "<>.".contains(character))
}

/// The URL without what stood around it, and with what can only be meant at Microsoft's sign-in.
fn meant(text: &str, has_tenant: bool, wrong_ending: &str) -> Option<String> {
    let bare = trimmed(text);
    let url = Url::parse(bare).ok()?;
    if !microsoft::is_sign_in(&url) {
        return Some(bare.to_owned());
    }
    let mut parts: Vec<&str> = bare.split('/').collect();
    // https: / / host / tenant / oauth2 / v2.0 / token
    if let Some(tenant) = parts.get_mut(3).filter(|part| has_tenant && is_placeholder(part)) {
        *tenant = "{tenant}";
    }
    if let (Some(&"oauth2"), Some(&("token" | "authorize" | "devicecode")), None) =
        (parts.get(4), parts.get(5), parts.get(6))
    {
        parts.insert(5, "v2.0");
    }
    if let Some(last) = parts.last_mut().filter(|last| wrong_ending == AUTHORIZE && **last == "authorize") {
        *last = "token";
    }
    Some(parts.join("/"))
}

/// An issuer that cannot be right (OpenID Connect Discovery 1.0 section 3, RFC 8414 section 2).
pub(in crate::config) fn issuer(text: &str) -> Result<Url, Finding> {
    if text.contains("{tenant}") {
        return Err(coded("`{tenant}` is not filled in; write `tenant:` beside it"));
    }
    if let Some((issuer, _)) = text.split_once("/.well-known/") {
        return Err(format!("is the address of its document; write the issuer alone, `{issuer}`").into());
    }
    match Url::parse(text) {
        Ok(url) if url.scheme() == "https" && url.query().is_none() && url.fragment().is_none() => Ok(url),
        _ => Err(format!(
            "`{text}` is not an issuer: an https address without query and fragment, exactly as the provider writes it"
        )
        .into()),
    }
}
