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
use http::{Method, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{sleep, timeout};
use tokio_util::task::TaskTracker;

use super::authorization_code::Authorization;
use super::consent::{ConsentError, Destination};
use super::landing_page::{self, nothing_here};
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
                let _ = visit.page.send(landing_page::stray(&stray));
                continue;
            }
            Err(denied) => Err(denied),
            Ok(code) => redeem_and_commit(authorization, code, destination).await,
        };
        let page = match &result {
            Ok(tokens) => landing_page::connected(destination.address, tokens.identity.as_ref()),
            Err(error) => landing_page::problem(error),
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
    let query =
        request.uri().query().filter(|_| request.uri().path() == "/" && request.method() == Method::GET);
    let Some(query) = query else { return Ok(nothing_here()) };
    let (sender, receiver) = oneshot::channel();
    let visit = Visit { query: Secret::new(query.to_owned()), page: sender };
    if visits.send(visit).await.is_err() {
        return Ok(nothing_here());
    }
    Ok(receiver.await.unwrap_or_else(|_| nothing_here()))
}
