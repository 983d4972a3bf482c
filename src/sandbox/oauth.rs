//! The authorization server over https: `/authorize`, which consents by itself for the mailbox that `login_hint` names,
//! `/device_authorization` with its page `/device`, `/token`, `/revoke`, and the document that tells where they are. It has one client,
//! confidential, and one service account, and asks for PKCE with S256 always (RFC 9700 section 2.1.1).

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST, HeaderMap};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpStream;
use url::{Url, form_urlencoded};

use super::faults::TokenFault;
use super::grants::{Consent, Issued};
use super::revocation::Revocation;
use super::{CLIENT_ID, CLIENT_SECRET, Shared};

/// RFC 8628 section 3.4.
const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// RFC 7523 section 2.1.
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// Serves one connection until its end, however it ends: a client that goes away is not the sandbox's trouble.
pub(super) async fn serve(shared: Arc<Shared>, socket: TcpStream) {
    let Ok(stream) = shared.acceptor.accept(socket).await else { return };
    let service = service_fn(move |request| answer(Arc::clone(&shared), request));
    let connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // An answer that is lost on purpose ends here as an error too.
    drop(connection.await);
}

/// Fields of a query or of a form. RFC 6749 section 3.1 allows each only once; a repeated one counts as its last.
pub(super) type Fields = HashMap<String, String>;

/// All of an answer at once.
pub(super) type Body = Full<Bytes>;

/// No answer: the connection closes.
#[derive(Debug, thiserror::Error)]
#[error("the answer is lost on purpose")]
struct AnswerLost;

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Body>, AnswerLost> {
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/authorize") => Ok(authorize(&shared, request.uri().query().unwrap_or_default())),
        (&Method::GET, "/.well-known/openid-configuration") => Ok(metadata(&shared, request.headers())),
        (&Method::POST, "/token" | "/revoke" | "/device_authorization" | "/device") => {
            let (head, body) = request.into_parts();
            let Ok(body) = Limited::new(body, 64 * 1024).collect().await else {
                return Ok(page(StatusCode::BAD_REQUEST, "The request is too long."));
            };
            let body = body.to_bytes();
            match head.uri.path() {
                "/device_authorization" => Ok(device_authorization(&shared, &head.headers, &fields(&body))),
                "/device" => Ok(device_page(&shared, &fields(&body))),
                "/revoke" => revocation_endpoint(&shared, &head.headers, &body).await,
                _ => token_endpoint(&shared, &head.headers, &body).await,
            }
        }
        _ => Ok(page(
            StatusCode::NOT_FOUND,
            "There is /authorize, /device_authorization, /device, /token and /revoke here.",
        )),
    }
}

/// OpenID Connect Discovery 1.0 section 4.
fn metadata(shared: &Shared, headers: &HeaderMap) -> Response<Body> {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let issuer = format!("https://{host}");
    let mut answer = json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
        "code_challenge_methods_supported": ["S256"],
    });
    let personality = shared.world().personality.clone();
    if let Some(answer) = answer.as_object_mut() {
        let mut insert =
            |name: &str, path: &str| answer.insert(name.to_owned(), format!("{issuer}{path}").into());
        if personality.device_codes_refused.is_none() {
            insert("device_authorization_endpoint", "/device_authorization");
        }
        if personality.revocation != Revocation::None {
            insert("revocation_endpoint", "/revoke");
        }
    }
    json_response(StatusCode::OK, &answer)
}

/// RFC 6749 section 4.1.1. What is wrong with the client or its redirect is told to the person; the rest is told to the
/// client through the redirect.
fn authorize(shared: &Shared, query: &str) -> Response<Body> {
    let fields = fields(query.as_bytes());
    let field = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
    let mut world = shared.world();
    world.counters.authorizations += 1;
    if field("client_id") != CLIENT_ID {
        return page(StatusCode::BAD_REQUEST, "This client_id is not registered.");
    }
    let Some(mut redirect) = loopback(field("redirect_uri")) else {
        return page(StatusCode::BAD_REQUEST, "The redirect_uri must be http on a loopback host.");
    };
    let error = if field("response_type") != "code" {
        Some("unsupported_response_type")
    } else if field("code_challenge_method") != "S256" || field("code_challenge").len() != 43 {
        Some("invalid_request")
    } else if !field("login_hint").contains('@') {
        Some("login_required")
    } else {
        world.personality.consent_refused.as_deref()
    };
    let (name, value) = if let Some(error) = error {
        ("error", error.to_owned())
    } else {
        let consent = Consent {
            mailbox: world.personality.consents_as.clone().unwrap_or_else(|| field("login_hint").to_owned()),
            redirect_uri: field("redirect_uri").to_owned(),
            code_challenge: field("code_challenge").to_owned(),
            scope: field("scope").to_owned(),
            refreshable: world.personality.asks_for_refresh_token(field),
        };
        ("code", world.grants.consented(consent))
    };
    redirect.query_pairs_mut().append_pair(name, &value);
    if let Some(state) = fields.get("state") {
        redirect.query_pairs_mut().append_pair("state", state);
    }
    let mut response = page(StatusCode::FOUND, "");
    insert(response.headers_mut(), "location", redirect.as_str());
    response
}

/// RFC 8252 section 7.3: any port of a loopback address. `localhost` too, as Microsoft and Google allow.
fn loopback(redirect_uri: &str) -> Option<Url> {
    let url = Url::parse(redirect_uri).ok()?;
    let loopback = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    (url.scheme() == "http" && loopback).then_some(url)
}

/// RFC 8628 section 3.1.
fn device_authorization(shared: &Shared, headers: &HeaderMap, fields: &Fields) -> Response<Body> {
    if let Some(refusal) = wrong_client(headers, fields) {
        return refusal;
    }
    let mut world = shared.world();
    if let Some(refused) = world.personality.device_codes_refused {
        return error(StatusCode::BAD_REQUEST, refused, "no device codes are given for this");
    }
    let scope = fields.get("scope").map(String::as_str).unwrap_or_default();
    let answer = world.device_authorization(scope, &own_url(headers, "/device"));
    json_response(StatusCode::OK, &answer)
}

/// Where this server is, as the client calls it.
fn own_url(headers: &HeaderMap, path: &str) -> String {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    format!("https://{host}{path}")
}

/// The page for people, as its form is sent: who they are, and the code that they read elsewhere.
fn device_page(shared: &Shared, fields: &Fields) -> Response<Body> {
    let field = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
    if shared.world().decide(field("user_code"), field("mailbox")) {
        page(StatusCode::OK, "Go back to your device.")
    } else {
        page(StatusCode::BAD_REQUEST, "There is no such code.")
    }
}

async fn token_endpoint(
    shared: &Shared,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response<Body>, AnswerLost> {
    let fields = fields(body);
    let fault = {
        let mut world = shared.world();
        let count = match fields.get("grant_type").map(String::as_str) {
            Some("authorization_code") => &mut world.counters.code_requests,
            Some("client_credentials") => &mut world.counters.client_credentials_requests,
            Some(DEVICE_CODE) => &mut world.counters.device_requests,
            Some("refresh_token") => &mut world.counters.refresh_requests,
            _ => &mut world.counters.other_token_requests,
        };
        *count += 1;
        world.personality.token_endpoint.clone()
    };
    with_fault(fault, headers, body, || token(shared, headers, &fields)).await
}

async fn revocation_endpoint(
    shared: &Shared,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response<Body>, AnswerLost> {
    let fields = fields(body);
    let fault = {
        let mut world = shared.world();
        world.counters.revocation_requests += 1;
        world.personality.revocation_endpoint.clone()
    };
    let work = || wrong_client(headers, &fields).unwrap_or_else(|| shared.world().revocation(&fields));
    with_fault(fault, headers, body, work).await
}

/// The endpoint's work, or what it does instead on a bad day.
async fn with_fault(
    fault: Option<TokenFault>,
    headers: &HeaderMap,
    body: &[u8],
    work: impl FnOnce() -> Response<Body>,
) -> Result<Response<Body>, AnswerLost> {
    match fault {
        None => Ok(work()),
        Some(TokenFault::Answer { status, headers, body }) => {
            let mut response = Response::new(Full::new(Bytes::from(body)));
            *response.status_mut() =
                StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            for (name, value) in headers {
                insert(response.headers_mut(), name, &value);
            }
            Ok(response)
        }
        Some(TokenFault::Echo { status }) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            Ok(error(status, "invalid_request", &format!("{headers:?} {}", String::from_utf8_lossy(body))))
        }
        Some(TokenFault::Hold(released)) => {
            released.cancelled().await;
            Ok(work())
        }
        Some(TokenFault::LoseAnswer) => {
            work();
            Err(AnswerLost)
        }
        Some(TokenFault::Stall) => match std::future::pending::<Infallible>().await {},
    }
}

fn token(shared: &Shared, headers: &HeaderMap, fields: &Fields) -> Response<Body> {
    let field = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
    if field("grant_type") == JWT_BEARER {
        // The signature says who asks.
        let redeemed = shared.world().redeem_assertion(field("assertion"), &own_url(headers, "/token"));
        return match redeemed {
            Ok(issued) => success(&issued),
            Err(refused) => error(refused.status, refused.error, refused.description),
        };
    }
    if let Some(refusal) = wrong_client(headers, fields) {
        return refusal;
    }
    let mut world = shared.world();
    let personality = world.personality.clone();
    let issued = match field("grant_type") {
        "authorization_code" => {
            let (code, redirect_uri) = (field("code"), field("redirect_uri"));
            world.grants.redeem(code, redirect_uri, field("code_verifier"), &personality)
        }
        "client_credentials" => Ok(world.grants.client_credentials(field("scope").to_owned(), &personality)),
        DEVICE_CODE => match world.redeem_device_code(field("device_code")) {
            Ok(issued) => Ok(issued),
            Err(code) => return error(StatusCode::BAD_REQUEST, code, "the sandbox's device page decides"),
        },
        "refresh_token" => world.grants.refresh(field("refresh_token"), &personality),
        _ => return error(StatusCode::BAD_REQUEST, "unsupported_grant_type", "five grants are known here"),
    };
    match issued {
        Ok(issued) => success(&issued),
        Err(refused) => error(StatusCode::BAD_REQUEST, "invalid_grant", refused.0),
    }
}

fn wrong_client(headers: &HeaderMap, fields: &Fields) -> Option<Response<Body>> {
    let field = |name: &str| fields.get(name).cloned().unwrap_or_default();
    let client = basic(headers).unwrap_or_else(|| (field("client_id"), field("client_secret")));
    (client != (CLIENT_ID.to_owned(), CLIENT_SECRET.to_owned()))
        .then(|| error(StatusCode::UNAUTHORIZED, "invalid_client", "client_id or client_secret is wrong"))
}

/// The client's name and secret from `Authorization: Basic`, each form-encoded first (RFC 6749 section 2.3.1).
fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let encoded = headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Basic ")?;
    let decoded = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let (id, secret) = decoded.split_once(':')?;
    let plain =
        |text: &str| form_urlencoded::parse(text.as_bytes()).next().map(|(name, _)| name.into_owned());
    Some((plain(id)?, plain(secret)?))
}

fn success(issued: &Issued) -> Response<Body> {
    let mut answer = json!({
        "token_type": "Bearer",
        "access_token": issued.access_token,
        "expires_in": issued.expires_in,
        "scope": issued.scope,
    });
    if let Some(object) = answer.as_object_mut() {
        let mut insert = |name: &str, value: &str| object.insert(name.to_owned(), value.into());
        if let Some(refresh_token) = &issued.refresh_token {
            insert("refresh_token", refresh_token);
        }
        if let Some(mailbox) = &issued.mailbox {
            insert("id_token", &id_token(mailbox));
        }
    }
    json_response(StatusCode::OK, &answer)
}

/// Who consented (OpenID Connect Core section 2). Unsigned: clients trust the TLS that brings it.
fn id_token(mailbox: &str) -> String {
    let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.", part(&json!({ "alg": "none" })), part(&json!({ "preferred_username": mailbox })))
}

pub(super) fn error(status: StatusCode, error: &str, description: &str) -> Response<Body> {
    json_response(status, &json!({ "error": error, "error_description": description }))
}

fn json_response(status: StatusCode, value: &serde_json::Value) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(value.to_string())));
    *response.status_mut() = status;
    insert(response.headers_mut(), "content-type", "application/json");
    insert(response.headers_mut(), "cache-control", "no-store");
    response
}

pub(super) fn page(status: StatusCode, text: &str) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(text.to_owned())));
    *response.status_mut() = status;
    insert(response.headers_mut(), "content-type", "text/plain; charset=utf-8");
    response
}

fn fields(encoded: &[u8]) -> Fields {
    form_urlencoded::parse(encoded).into_owned().collect()
}

/// A value that HTTP cannot carry is left out: only a test's own text could be one.
fn insert(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = value.parse() {
        headers.insert(name, value);
    }
}
