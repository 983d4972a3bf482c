//! Where the browser comes back to: a page on the loopback addresses, on a port that happens to be free (RFC 8252
//! section 7.3). It says "connected" only when the grant is committed. Anybody on this machine can call it, so a request with
//! a wrong state is turned away and the wait goes on; everything is bounded.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gatepost_protocol::secret::Secret;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{sleep, timeout};
use tokio_util::task::TaskTracker;
use url::Url;

use super::authorization_code::Authorization;
use super::consent::{ConsentError, Destination};
use crate::config::provider::OAuthClient;
use crate::store::grants::NewTokens;

/// How long a consent may take.
const PATIENCE: Duration = Duration::from_mins(10);

/// The longest request head; a code is at most a few KiB.
const MAX_HEAD: usize = 16 * 1024;

/// Connections at once, and how long each may take.
const CONNECTIONS: usize = 16;
const CONNECTION_LIFE: Duration = Duration::from_mins(1);

/// The page that waits for the browser.
#[derive(Debug)]
pub struct Loopback {
    listeners: Vec<TcpListener>,
    redirect_uri: String,
}

/// A browser that came back. It waits for the page to show.
struct Visit {
    query: Secret<String>,
    page: oneshot::Sender<Response<Full<Bytes>>>,
}

impl Loopback {
    /// Opens the same free port on 127.0.0.1 and, where there is IPv6, on ::1: `localhost` may mean either.
    pub async fn bind(client: &OAuthClient) -> Result<Self, ConsentError> {
        let (listeners, port) = bind_both().await.map_err(ConsentError::Listen)?;
        // Without a path, as it is registered; the browser asks for `/`.
        let redirect_uri = format!("http://{}:{port}", client.redirect_host);
        Ok(Self { listeners, redirect_uri })
    }

    /// What the provider is told.
    pub fn redirect_uri(&self) -> String {
        self.redirect_uri.clone()
    }

    /// Waits for the browser, redeems what it brings, commits the grant, and tells the browser how it went.
    pub async fn receive(
        self,
        authorization: &Authorization<'_>,
        destination: &Destination<'_>,
    ) -> Result<NewTokens, ConsentError> {
        let (sender, visits) = mpsc::channel(CONNECTIONS);
        let connections = TaskTracker::new();
        let result = tokio::select! {
            result = grant(visits, authorization, destination) => result,
            () = self.serve(sender, &connections) => Err(ConsentError::TimedOut),
            () = sleep(PATIENCE) => Err(ConsentError::TimedOut),
        };
        // The last page is on its way to the browser.
        connections.close();
        let _ = timeout(Duration::from_secs(2), connections.wait()).await;
        result
    }

    async fn serve(&self, visits: mpsc::Sender<Visit>, connections: &TaskTracker) {
        let permits = Arc::new(Semaphore::new(CONNECTIONS));
        while let Ok(permit) = Arc::clone(&permits).acquire_owned().await {
            let Ok(stream) = accept(&self.listeners).await else {
                // Out of descriptors, for example; it passes.
                sleep(Duration::from_millis(100)).await;
                continue;
            };
            let visits = visits.clone();
            connections.spawn(async move {
                let answer = service_fn(|request| answer(request, visits.clone()));
                let connection = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(Duration::from_secs(10))
                    .keep_alive(false)
                    .max_buf_size(MAX_HEAD)
                    .serve_connection(TokioIo::new(stream), answer);
                // A browser that goes away early is its own business.
                let _ = timeout(CONNECTION_LIFE, connection).await;
                drop(permit);
            });
        }
    }
}

/// Goes through the visits until one brings the answer to our request, good or bad.
async fn grant(
    mut visits: mpsc::Receiver<Visit>,
    authorization: &Authorization<'_>,
    destination: &Destination<'_>,
) -> Result<NewTokens, ConsentError> {
    while let Some(visit) = visits.recv().await {
        let result = match authorization.code(visit.query.expose()) {
            Err(stray @ (ConsentError::NotUnderstood | ConsentError::WrongState)) => {
                let _ = visit.page.send(problem(StatusCode::BAD_REQUEST, &stray));
                continue;
            }
            Err(denied) => Err(denied),
            Ok(code) => redeem_and_commit(authorization, code, destination).await,
        };
        let page = match &result {
            Ok(tokens) => connected(destination, tokens),
            Err(error) => problem(StatusCode::OK, error),
        };
        // Whether the browser still listens changes nothing about the grant.
        let _ = visit.page.send(page);
        return result;
    }
    Err(ConsentError::TimedOut)
}

/// The last steps of a consent by redirect, also where its address is pasted.
pub async fn redeem_and_commit(
    authorization: &Authorization<'_>,
    code: Secret<String>,
    destination: &Destination<'_>,
) -> Result<NewTokens, ConsentError> {
    destination.commit(authorization.redeem(code).await?).await
}

async fn bind_both() -> io::Result<(Vec<TcpListener>, u16)> {
    // The port that is free on one address may be taken on the other: a few tries find one that is free on both.
    for _ in 0..16 {
        let first = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = first.local_addr()?.port();
        match TcpListener::bind((Ipv6Addr::LOCALHOST, port)).await {
            Ok(second) => return Ok((vec![first, second], port)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            // No IPv6 on this machine: nobody can come that way.
            Err(_) => return Ok((vec![first], port)),
        }
    }
    Err(io::Error::from(io::ErrorKind::AddrInUse))
}

async fn accept(listeners: &[TcpListener]) -> io::Result<TcpStream> {
    match listeners {
        [first, second, ..] => tokio::select! {
            accepted = first.accept() => accepted,
            accepted = second.accept() => accepted,
        },
        [only] => only.accept().await,
        [] => std::future::pending().await,
    }
    .map(|(stream, _)| stream)
}

/// One request: handed over when it may be the redirect, turned away when it cannot.
async fn answer(
    request: Request<Incoming>,
    visits: mpsc::Sender<Visit>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let gone =
        || page(StatusCode::NOT_FOUND, "Nothing here", "This page only waits for the provider's answer.");
    let query =
        request.uri().query().filter(|_| request.uri().path() == "/" && request.method() == Method::GET);
    let Some(query) = query else { return Ok(gone()) };
    let (sender, receiver) = oneshot::channel();
    let visit = Visit { query: Secret::new(query.to_owned()), page: sender };
    if visits.send(visit).await.is_err() {
        return Ok(gone());
    }
    Ok(receiver.await.unwrap_or_else(|_| gone()))
}

fn connected(destination: &Destination<'_>, tokens: &NewTokens) -> Response<Full<Bytes>> {
    let by = tokens.identity.as_ref().map(|identity| format!(" by {identity}")).unwrap_or_default();
    let text = format!("{} is connected{by}. You can close this window.", destination.address);
    page(StatusCode::OK, "Connected", &text)
}

fn problem(status: StatusCode, error: &ConsentError) -> Response<Full<Bytes>> {
    if let ConsentError::AnotherIdentity { identity, expected, .. } = error {
        let text = format!(
            "{identity} consented, not {expected}. The window where you started Gatepost says how to go on: keep it so \
             where that is right, or start again and choose {expected} here."
        );
        return page(status, "Not connected yet", &text);
    }
    let next =
        "Nothing was changed. The window where you started Gatepost says the same; start it there again.";
    linked_page(status, "Not connected", &format!("{error}. {next}"), error.admin_url())
}

fn page(status: StatusCode, title: &str, text: &str) -> Response<Full<Bytes>> {
    linked_page(status, title, text, None)
}

/// Self-contained, and tells the browser to keep nothing: the address that led here holds a code.
/// Of all that the text holds, only the given address becomes a link: a provider's words are not to be clicked on.
fn linked_page(status: StatusCode, title: &str, text: &str, link: Option<&Url>) -> Response<Full<Bytes>> {
    let (title, mut text) = (escaped(title), escaped(text));
    if let Some(link) = link.map(|url| escaped(url.as_str())) {
        text = text.replace(&link, &format!("<a href=\"{link}\">{link}</a>"));
    }
    let html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>Gatepost: {title}</title>\
         <style>body{{font:1.1rem/1.5 system-ui,sans-serif;max-width:34rem;margin:18vh auto;padding:0 1.5rem;\
         color:#223;background:#f7f7f4;overflow-wrap:anywhere}}\
         h1{{font-size:1.7rem;border-left:.4rem solid #4a7;padding-left:.8rem}}\
         @media(prefers-color-scheme:dark){{body{{color:#dde;background:#1c1f22}}a{{color:#9cf}}}}</style>\
         <h1>{title}</h1><p>{text}</p></html>"
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
        let body = problem(StatusCode::OK, &error).into_body().collect().await.unwrap().to_bytes();
        let page = String::from_utf8(body.to_vec()).unwrap();
        let shown = url.replace('&', "&amp;");
        assert!(page.contains(&format!("<a href=\"{shown}\">{shown}</a>")), "{page}");
        assert!(page.contains("https://elsewhere.invalid/&lt;b&gt;"), "{page}");
        assert_eq!(page.matches("<a ").count(), 1, "{page}");
    }
}
