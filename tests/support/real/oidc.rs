//! oidc-provider over https, and the person in front of the browser: logs in, consents, and lands on the loopback.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::header::{CONTENT_TYPE, COOKIE, LOCATION, SET_COOKIE};
use reqwest::redirect;
use serde_json::Value;
use url::{Url, form_urlencoded};

use super::certificates::Certificates;
use super::process::{Server, missing, servers};

/// Dovecot's own client id and secret, as in server.mjs.
pub(crate) const DOVECOT: (&str, &str) = ("dovecot", "dovecot-secret-of-the-tests");

/// The scope of an application that may open every mailbox.
pub(crate) const EVERY_MAILBOX: &str = "mail.every";

/// What Gatepost may be to the server, as in server.mjs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Client {
    /// Authorization code and PKCE, without a secret.
    Native,
    /// The same, with device codes that end after a second.
    Hasty,
    /// The same as the first, with a secret.
    Confidential,
    /// Client credentials.
    Service,
}

impl Client {
    pub(crate) fn id(self) -> &'static str {
        match self {
            Self::Native => "gatepost-native",
            Self::Hasty => "gatepost-hasty",
            Self::Confidential => "gatepost-confidential",
            Self::Service => "gatepost-service",
        }
    }

    pub(crate) fn secret(self) -> Option<&'static str> {
        match self {
            Self::Native | Self::Hasty => None,
            Self::Confidential => Some("confidential-secret-of-the-tests"),
            Self::Service => Some("service-secret-of-the-tests"),
        }
    }

    pub(crate) fn scope(self) -> &'static str {
        match self {
            Self::Native | Self::Hasty | Self::Confidential => {
                "openid offline_access mail.smtp mail.pop mail.imap"
            }
            Self::Service => EVERY_MAILBOX,
        }
    }

    /// As Gatepost's configuration spells it.
    pub(crate) fn grant(self) -> &'static str {
        match self {
            Self::Native | Self::Hasty | Self::Confidential => "authorization_code",
            Self::Service => "client_credentials",
        }
    }
}

/// `tests/servers/node_modules` is there, with the Node.js that belongs to it.
pub(crate) fn is_installed() -> bool {
    let modules = servers().join("node_modules");
    (modules.join(".bin/node").is_file()
        && ["oidc-provider", "imapflow"].iter().all(|package| modules.join(package).is_dir()))
        || missing("the npm packages of tests/servers")
}

/// The OAuth server, running.
pub(crate) struct Oidc {
    /// `https://localhost:PORT`
    pub(crate) issuer: String,
    pub(crate) server: Server,
    browser: reqwest::Client,
}

impl Oidc {
    pub(crate) async fn start(certificates: &Certificates) -> Self {
        Self::knowing(certificates, None).await
    }

    /// Starts with an application that has registered its certificate, in the given file.
    pub(crate) async fn knowing(certificates: &Certificates, application: Option<&Path>) -> Self {
        let log = certificates.ca_file.with_file_name("oidc.log");
        let program = servers().join("node_modules/.bin/node");
        let script = servers().join("server.mjs");
        let arguments =
            [script.as_path(), &certificates.certificate, &certificates.key].into_iter().chain(application);
        let (server, stdout) = Server::start_listening("oidc-provider", &log, &program, arguments);
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let Some(issuer) = line.trim().strip_prefix("issuer ") else { server.fail("did not start") };
        let browser = reqwest::Client::builder()
            .tls_backend_preconfigured((*certificates.client).clone())
            .redirect(redirect::Policy::none())
            .no_proxy()
            // Node.js hangs up on an idle connection after 5 s, and a new request could meet that end.
            .pool_max_idle_per_host(0)
            .build()
            .unwrap();
        let oidc = Self { issuer: issuer.to_owned(), server, browser };
        oidc.document().await;
        oidc
    }

    /// What the server says about itself.
    pub(crate) async fn document(&self) -> Value {
        let url = format!("{}/.well-known/openid-configuration", self.issuer);
        json(self.browser.get(url).send().await.unwrap()).await
    }

    /// A person opens the authorization URL, logs in as `login` and consents. Gives the address on the loopback
    /// that the browser would open at last; nobody opens it.
    pub(crate) async fn consent(&self, authorization_url: &str, login: &str) -> Url {
        let url = Url::parse(authorization_url).unwrap();
        let mut visit = Visit { url, cookies: BTreeMap::new() };
        match self.visit(&mut visit, None, |page| Some(filled_in(page, login))).await {
            None => visit.url,
            Some(page) => self.server.fail(&format!("asks for more:\n{page}\n")),
        }
    }

    /// A person opens the authorization URL and cancels. Gives the address on the loopback.
    pub(crate) async fn decline(&self, authorization_url: &str) -> Url {
        let mut visit = Visit { url: Url::parse(authorization_url).unwrap(), cookies: BTreeMap::new() };
        let Some(page) = self.visit(&mut visit, None, |_| None).await else { return visit.url };
        let Some(cancel) = page
            .split("href=\"")
            .map(|rest| rest.split('"').next().unwrap())
            .find(|link| link.ends_with("/abort"))
        else {
            self.server.fail(&format!("has no way to cancel:\n{page}\n"));
        };
        visit.url = visit.url.join(cancel).unwrap();
        match self.visit(&mut visit, None, |_| None).await {
            None => visit.url,
            Some(page) => self.server.fail(&format!("does not let go:\n{page}\n")),
        }
    }

    /// A person opens the page for device codes, types one, and then logs in and consents, or (without a login) aborts. Gives the
    /// last page.
    pub(crate) async fn type_code(&self, page: &str, user_code: &str, login: Option<&str>) -> String {
        let mut visit = Visit { url: Url::parse(page).unwrap(), cookies: BTreeMap::new() };
        let typed = |page: &str| {
            let xsrf = between(page, "name=\"xsrf\" value=\"", "\"");
            let said = if login.is_some() { "confirm" } else { "abort" };
            match xsrf {
                Some(xsrf) if page.contains("op.deviceConfirmForm") => {
                    Some(encode(&[("xsrf", xsrf), ("user_code", user_code), (said, "yes")]))
                }
                // After an abort the form for the next code is shown.
                Some(_) if page.contains("interrupted") => None,
                Some(xsrf) => Some(encode(&[("xsrf", xsrf), ("user_code", user_code)])),
                None if page.contains("<form") => Some(filled_in(page, login?)),
                None => None,
            }
        };
        match self.visit(&mut visit, None, typed).await {
            Some(page) => page,
            None => self.server.fail(&format!("leads to {}", visit.url)),
        }
    }

    /// Goes where the pages lead, with their forms as `fill` fills them in. Gives the page whose form it doesn't, or `None` at
    /// the loopback.
    async fn visit(
        &self,
        visit: &mut Visit,
        mut form: Option<String>,
        fill: impl Fn(&str) -> Option<String>,
    ) -> Option<String> {
        for _ in 0..20 {
            if visit.url.scheme() == "http" {
                return None;
            }
            let request = match form.take() {
                Some(body) => self
                    .browser
                    .post(visit.url.clone())
                    .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                    .body(body),
                None => self.browser.get(visit.url.clone()),
            };
            let response = request.header(COOKIE, cookie_header(&visit.cookies)).send().await.unwrap();
            keep_cookies(&mut visit.cookies, &response);
            if let Some(location) = response.headers().get(LOCATION) {
                visit.url = visit.url.join(location.to_str().unwrap()).unwrap();
                continue;
            }
            let status = response.status();
            let page = response.text().await.unwrap();
            form = fill(&page);
            if form.is_none() {
                return Some(page);
            }
            let Some(action) = between(&page, "action=\"", "\"").filter(|_| status.is_success()) else {
                self.server.fail(&format!("shows {status} instead of a form:\n{page}\n"));
            };
            visit.url = visit.url.join(action).unwrap();
        }
        self.server.fail("sends the browser round in circles");
    }

    /// The browser opens a page and shows what it says.
    pub(crate) async fn browse(&self, url: Url) -> String {
        self.browser.get(url).send().await.unwrap().text().await.unwrap()
    }

    /// A person's tokens, got as an installed application would: code, PKCE, consent. The answer of the token endpoint.
    pub(crate) async fn tokens(&self, client: Client, login: &str) -> Value {
        let verifier = "a-code-verifier-of-the-tests-that-is-long-enough-for-rfc-7636";
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, verifier.as_bytes());
        let challenge = URL_SAFE_NO_PAD.encode(digest);
        let redirect_uri = "http://localhost:43210/";
        let query = encode(&[
            ("client_id", client.id()),
            ("response_type", "code"),
            ("redirect_uri", redirect_uri),
            ("scope", client.scope()),
            ("prompt", "consent"),
            ("state", "of-the-tests"),
            ("login_hint", login),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ]);
        let landed = self.consent(&format!("{}/auth?{query}", self.issuer), login).await;
        let answer: BTreeMap<_, _> = landed.query_pairs().collect();
        assert_eq!(answer.get("state").unwrap(), "of-the-tests");
        let code = answer.get("code").unwrap_or_else(|| panic!("no code in {landed}"));
        self.token_request(
            client,
            &[
                ("grant_type", "authorization_code"),
                ("code", code),
                ("redirect_uri", redirect_uri),
                ("code_verifier", verifier),
            ],
        )
        .await
    }

    /// An application's own token.
    pub(crate) async fn application_token(&self) -> String {
        let grant = [("grant_type", "client_credentials"), ("scope", Client::Service.scope())];
        text(&self.token_request(Client::Service, &grant).await, "access_token")
    }

    /// Asks the token endpoint. An error comes back as its JSON too.
    pub(crate) async fn token_request(&self, client: Client, parameters: &[(&str, &str)]) -> Value {
        let mut parameters = parameters.to_vec();
        parameters.push(("client_id", client.id()));
        parameters.extend(client.secret().map(|secret| ("client_secret", secret)));
        let request = self
            .browser
            .post(format!("{}/token", self.issuer))
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(encode(&parameters));
        json(request.send().await.unwrap()).await
    }
}

/// Where a browser is, and what it was given to keep.
struct Visit {
    url: Url,
    cookies: BTreeMap<String, String>,
}

/// The forms of the server's own pages.
fn filled_in(page: &str, login: &str) -> String {
    if page.contains("name=\"login\"") {
        encode(&[("prompt", "login"), ("login", login), ("password", "any")])
    } else {
        encode(&[("prompt", "consent")])
    }
}

/// A string out of an answer.
pub(crate) fn text(answer: &Value, key: &str) -> String {
    answer[key].as_str().unwrap_or_else(|| panic!("no {key} in {answer}")).to_owned()
}

async fn json(response: reqwest::Response) -> Value {
    serde_json::from_str(&response.text().await.unwrap()).unwrap()
}

fn encode(parameters: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish()
}

fn cookie_header(cookies: &BTreeMap<String, String>) -> String {
    cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
}

/// A server takes a cookie away by setting it to nothing.
fn keep_cookies(cookies: &mut BTreeMap<String, String>, response: &reqwest::Response) {
    for cookie in response.headers().get_all(SET_COOKIE) {
        let pair = cookie.to_str().unwrap().split(';').next().unwrap();
        let (name, value) = pair.split_once('=').unwrap();
        if value.is_empty() {
            cookies.remove(name);
        } else {
            cookies.insert(name.to_owned(), value.to_owned());
        }
    }
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(start)?;
    rest.split_once(end).map(|(found, _)| found)
}
