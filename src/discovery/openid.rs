//! The OpenID Connect issuer of a domain's people: as WebFinger says (RFC 7033, OpenID Connect Discovery 1.0 section 2), or the
//! domain itself.

use std::time::Duration;

use serde::Deserialize;
use tokio::time::timeout;
use url::Url;

use super::PATIENCE;
use crate::oauth::metadata::{IssuerError, metadata};
use crate::tls::Trust;

/// What a link to an issuer is called.
const REL: &str = "http://openid.net/specs/connect/1.0/issuer";

/// The longest answer that is read.
const MAX_BODY: usize = 64 * 1024;

#[derive(Deserialize)]
struct Resource {
    #[serde(default)]
    links: Vec<Link>,
}

#[derive(Deserialize)]
struct Link {
    rel: String,
    href: Option<String>,
}

/// The issuer for an address, whose domain serves https under this authority (the domain, and a port where it is not the
/// usual one); or what was tried in vain. An issuer counts only when its own document confirms it.
pub(super) async fn issuer(address: &str, authority: &str, trust: &Trust) -> Result<String, Vec<String>> {
    let mut why = Vec::new();
    match webfinger(address, authority, trust).await {
        Ok(issuer) => match confirmed(&issuer, trust).await {
            Ok(()) => return Ok(issuer),
            Err(problem) => why.push(problem),
        },
        Err(problem) => why.push(problem),
    }
    let own = format!("https://{authority}");
    match confirmed(&own, trust).await {
        Ok(()) => Ok(own),
        Err(problem) => {
            why.push(problem);
            Err(why)
        }
    }
}

async fn confirmed(issuer: &str, trust: &Trust) -> Result<(), String> {
    match timeout(PATIENCE, metadata(issuer, trust)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(IssuerError { url, problem })) => Err(format!("{url}: {}", shortly(&problem.to_string()))),
        Err(_) => Err(format!("{issuer}: no answer within {} s", PATIENCE.as_secs())),
    }
}

/// Without the advice: nobody has written an `issuer` yet.
fn shortly(problem: &str) -> &str {
    problem.split(';').next().unwrap_or(problem)
}

async fn webfinger(address: &str, authority: &str, trust: &Trust) -> Result<String, String> {
    let mut url = Url::parse(&format!("https://{authority}/.well-known/webfinger"))
        .map_err(|error| format!("{authority}: {error}"))?;
    let place = url.to_string();
    url.query_pairs_mut().append_pair("resource", &format!("acct:{address}")).append_pair("rel", REL);
    let asked = timeout(PATIENCE, resource(url, trust)).await;
    let resource = asked
        .unwrap_or_else(|_| Err(format!("no answer within {} s", PATIENCE.as_secs())))
        .map_err(|problem| format!("{place}: {problem}"))?;
    let link = resource.links.into_iter().find(|link| link.rel == REL).and_then(|link| link.href);
    match link {
        Some(issuer) if is_issuer(&issuer) => Ok(issuer),
        Some(_) => Err(format!("{place}: names an issuer that is no https address")),
        None => Err(format!("{place}: names no issuer")),
    }
}

fn is_issuer(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
        && Url::parse(text)
            .is_ok_and(|url| url.scheme() == "https" && url.query().is_none() && url.fragment().is_none())
}

async fn resource(url: Url, trust: &Trust) -> Result<Resource, String> {
    let http = reqwest::Client::builder()
        .tls_backend_preconfigured(trust.client_config().as_ref().clone())
        .https_only(true)
        // Domains often lead to their `www.`; RFC 7033 section 4.2 allows that, over https.
        .redirect(reqwest::redirect::Policy::limited(3))
        .referer(false)
        .timeout(PATIENCE + Duration::from_secs(1))
        .user_agent(concat!("gatepost/", env!("CARGO_PKG_VERSION")))
        .build();
    let in_words =
        |error: reqwest::Error| if error.is_connect() { "not reachable" } else { "no answer" }.to_owned();
    let mut response = http.map_err(in_words)?.get(url).send().await.map_err(in_words)?;
    if !response.status().is_success() {
        return Err(format!("HTTP status {}", response.status().as_u16()));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(in_words)? {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_BODY {
            return Err("the answer is too long".to_owned());
        }
    }
    serde_json::from_slice(&body).map_err(|_| "the answer is not JSON of RFC 7033".to_owned())
}
