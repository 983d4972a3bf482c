//! A token endpoint over TLS in this process, under a CA of its own. It rotates refresh tokens, counts what it is asked, can
//! be told to misbehave, and can be held so that a test decides when it answers.

// Each test program takes its own part of this.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls_pki_types::PrivateKeyDer;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;
use url::form_urlencoded;

/// What the endpoint does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// Status, headers, body. The name of a field in braces, like `{refresh_token}`, becomes what the request sent in it.
    Raw(u16, Vec<(&'static str, String)>, String),
    /// New tokens for the newest refresh token; `invalid_grant` for a spent one, as a provider with reuse detection does.
    Rotating,
    /// New tokens, `access-N` and `refresh-N` for request N, which live for so many seconds.
    Tokens { expires_in: u64, refresh_token: bool },
}

/// One form as it came in.
pub(crate) type Form = BTreeMap<String, String>;

/// The endpoint. It stops when it is dropped.
pub(crate) struct TokenEndpoint {
    address: SocketAddr,
    ca: TempDir,
    tls: Arc<ServerConfig>,
    shared: Arc<Shared>,
    _task: AbortOnDropHandle<()>,
}

struct Shared {
    reply: Mutex<Reply>,
    forms: watch::Sender<Vec<Form>>,
    /// The `Authorization` header of the last request.
    authorization: Mutex<Option<String>>,
    /// What stands under `/.well-known/`, by path, with its status.
    documents: Mutex<BTreeMap<String, (u16, String)>>,
    /// What of it was asked for, with its query.
    visits: Mutex<Vec<String>>,
    gate: Semaphore,
}

impl TokenEndpoint {
    /// Starts on a free port, answering with tokens of one hour.
    pub(crate) async fn start() -> Self {
        let ca = tempfile::tempdir().unwrap();
        let tls = Arc::new(certified(ca.path()));
        let acceptor = TlsAcceptor::from(Arc::clone(&tls));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            reply: Mutex::new(Reply::Tokens { expires_in: 3600, refresh_token: true }),
            forms: watch::Sender::new(Vec::new()),
            authorization: Mutex::default(),
            documents: Mutex::default(),
            visits: Mutex::default(),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
        });
        let serving = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, shared) = (acceptor.clone(), Arc::clone(&serving));
                tokio::spawn(async move {
                    // A handshake that the client refuses is what some tests are about.
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let answer = service_fn(|request| answer(request, Arc::clone(&shared)));
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), answer)
                        .await;
                });
            }
        });
        Self { address, ca, tls, shared, _task: AbortOnDropHandle::new(task) }
    }

    pub(crate) fn url(&self) -> url::Url {
        format!("https://localhost:{}/token", self.address.port()).parse().unwrap()
    }

    pub(crate) fn ca_file(&self) -> std::path::PathBuf {
        self.ca.path().join("ca.pem")
    }

    /// Its certificate, for a mail server that belongs to it.
    pub(crate) fn server_config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.tls)
    }

    pub(crate) fn replies(&self, reply: Reply) {
        *self.shared.reply.lock().unwrap() = reply;
    }

    /// Puts a document under `/.well-known/`; nothing is a 404.
    pub(crate) fn publishes(&self, name: &str, status: u16, body: &impl ToString) {
        let path = format!("/.well-known/{name}");
        self.shared.documents.lock().unwrap().insert(path, (status, body.to_string()));
    }

    /// What was asked for under `/.well-known/` so far.
    pub(crate) fn visits(&self) -> Vec<String> {
        self.shared.visits.lock().unwrap().clone()
    }

    /// The `Authorization` header of the last request.
    pub(crate) fn authorization(&self) -> Option<String> {
        self.shared.authorization.lock().unwrap().clone()
    }

    /// From now on requests are taken, and answered when released.
    pub(crate) fn hold(&self) {
        self.shared.gate.forget_permits(Semaphore::MAX_PERMITS);
    }

    pub(crate) fn release(&self) {
        self.shared.gate.add_permits(1 << 10);
    }

    /// Waits until so many requests have come in since the start.
    pub(crate) async fn asked(&self, count: usize) {
        self.shared.forms.subscribe().wait_for(|forms| forms.len() >= count).await.unwrap();
    }

    pub(crate) fn forms(&self) -> Vec<Form> {
        self.shared.forms.borrow().clone()
    }

    pub(crate) fn requests(&self) -> usize {
        self.shared.forms.borrow().len()
    }
}

async fn answer(
    request: Request<Incoming>,
    shared: Arc<Shared>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    // Who only asks for its clock asks for no token.
    if request.method() == http::Method::HEAD {
        return Ok(Response::new(Full::default()));
    }
    if request.uri().path().starts_with("/.well-known/") {
        shared.visits.lock().unwrap().push(request.uri().to_string());
        let document = shared.documents.lock().unwrap().get(request.uri().path()).cloned();
        let (status, body) = document.unwrap_or((404, "there is nothing".to_owned()));
        let location = format!("https://localhost/{}", request.uri().path());
        let response = Response::builder().status(status).header(header::LOCATION, location);
        return Ok(response.body(Full::new(Bytes::from(body))).unwrap());
    }
    let authorization = request.headers().get(header::AUTHORIZATION);
    *shared.authorization.lock().unwrap() = authorization.map(|value| value.to_str().unwrap().to_owned());
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let form: Form = form_urlencoded::parse(&body).into_owned().collect();
    let mut number = 0;
    shared.forms.send_modify(|forms| {
        forms.push(form.clone());
        number = forms.len();
    });
    shared.gate.acquire().await.unwrap().forget();
    let reply = match shared.reply.lock().unwrap().clone() {
        Reply::Rotating if form.get("refresh_token") != Some(&format!("planted-refresh-{}", number - 1)) => {
            Reply::Raw(400, Vec::new(), r#"{"error":"invalid_grant","error_description":"spent"}"#.to_owned())
        }
        Reply::Rotating => Reply::Tokens { expires_in: 3600, refresh_token: true },
        reply => reply,
    };
    let (status, headers, body) = match reply {
        Reply::Raw(status, headers, body) => (
            status,
            headers,
            form.iter().fold(body, |body, (name, value)| body.replace(&format!("{{{name}}}"), value)),
        ),
        Reply::Rotating => unreachable!("it became one of the others"),
        Reply::Tokens { expires_in, refresh_token } => {
            let refresh_token = if refresh_token {
                format!(r#","refresh_token":"planted-refresh-{number}""#)
            } else {
                String::new()
            };
            let body = format!(
                r#"{{"access_token":"planted-access-{number}","token_type":"Bearer","expires_in":{expires_in}{refresh_token}}}"#
            );
            (200, vec![("content-type", "application/json".to_owned())], body)
        }
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    for (name, value) in headers {
        response.headers_mut().insert(header::HeaderName::from_static(name), value.parse().unwrap());
    }
    Ok(response)
}

/// A server certificate for localhost, and its CA in the folder.
fn certified(folder: &std::path::Path) -> ServerConfig {
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
    std::fs::write(folder.join("ca.pem"), ca.pem()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &ca).unwrap();
    ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
        .unwrap()
}
