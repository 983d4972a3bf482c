//! The device authorization grant (RFC 8628), for a machine without a browser: a short code, which a person types in a
//! browser anywhere, while we ask the token endpoint again and again, as slowly as it wants. It ends in the same grant as a
//! redirect would.

use std::time::{Duration, SystemTime};

use gatepost_protocol::secret::Secret;
use oauth2::RequestTokenError;
use serde::Deserialize;
use tokio::time::{Instant, sleep_until};
use url::Url;

use super::admin_consent;
use super::consent::{ConsentError, denied, worth_keeping};
use super::diagnosis::{EndpointError, Remedy, presentable};
use super::http::Endpoint;
use super::token_request::{new_tokens, seconds};
use crate::config::provider::OAuthClient;
use crate::store::grants::NewTokens;

/// RFC 8628 section 3.4.
const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// How often is asked where the provider does not say (section 3.5), and how much slower after `slow_down`.
const USUAL_INTERVAL: u64 = 5;
const SLOWER: Duration = Duration::from_secs(5);

/// After failures of the network the pause grows to this.
const LONGEST_BACKOFF: Duration = Duration::from_mins(1);

/// What is taken for the life of a code whose response does not tell it, and the longest that anybody waits.
const USUAL_LIFE: u64 = 15 * 60;
const LONGEST_LIFE: Duration = Duration::from_mins(30);

/// A consent that is being asked for.
#[derive(Debug)]
pub struct DeviceAuthorization<'a> {
    client: &'a OAuthClient,
    endpoint: Endpoint<'a>,
    device_code: Secret<String>,
    user_code: String,
    verification_uri: Url,
    verification_uri_complete: Option<Url>,
    interval: Duration,
    expires_at: Instant,
}

impl<'a> DeviceAuthorization<'a> {
    /// Asks the provider for a code (section 3.1).
    pub async fn begin(client: &'a OAuthClient) -> Result<Self, ConsentError> {
        let url = client.device_authorization_endpoint.as_ref();
        let url = url.ok_or_else(|| ConsentError::NoDeviceCodes(client.provider.clone()))?;
        let failed = |error| refused(client, url, error);
        let endpoint = Endpoint::new(client).map_err(failed)?;
        let asked_at = Instant::now();
        let scope = client.scopes.join(" ");
        let body = endpoint.post(url, &[("scope", &scope)]).await.map_err(failed)?;
        let answer: Answer = serde_json::from_slice(&body)
            .map_err(|_| failed(EndpointError::NotUnderstood("not the JSON of RFC 8628 section 3.2")))?;
        let user_code = presentable(&answer.user_code, &[], 64);
        let verification_uri = https(&answer.verification_uri).filter(|_| !user_code.is_empty());
        Ok(Self {
            client,
            endpoint,
            device_code: Secret::new(answer.device_code),
            user_code,
            verification_uri: verification_uri.ok_or_else(|| {
                failed(EndpointError::NotUnderstood("it has no user_code, or no https verification_uri"))
            })?,
            verification_uri_complete: answer.verification_uri_complete.as_deref().and_then(https),
            // Zero would be asking without a pause.
            interval: Duration::from_secs(answer.interval.unwrap_or(USUAL_INTERVAL).max(1)),
            expires_at: asked_at
                + Duration::from_secs(answer.expires_in.unwrap_or(USUAL_LIFE)).min(LONGEST_LIFE),
        })
    }

    /// What the person types.
    pub fn user_code(&self) -> &str {
        &self.user_code
    }

    /// Where.
    pub fn verification_uri(&self) -> &Url {
        &self.verification_uri
    }

    /// The same with the code in it, where the provider has such a page: for a QR code.
    pub fn verification_uri_complete(&self) -> Option<&Url> {
        self.verification_uri_complete.as_ref()
    }

    /// When the code ends.
    pub fn expires_at(&self) -> Instant {
        self.expires_at
    }

    /// Waits until the person has consented or declined, or the code ends. A failure of the network ends nothing.
    pub async fn tokens(&self) -> Result<NewTokens, ConsentError> {
        self.asking(async || self.ask().await).await
    }

    async fn asking(
        &self,
        mut ask: impl AsyncFnMut() -> Result<NewTokens, EndpointError>,
    ) -> Result<NewTokens, ConsentError> {
        let mut pause = self.interval;
        let mut ending = ConsentError::DeviceCodeExpired;
        loop {
            let next = Instant::now() + pause;
            if next >= self.expires_at {
                sleep_until(self.expires_at).await;
                return Err(ending);
            }
            sleep_until(next).await;
            let error = match ask().await {
                Ok(tokens) => return worth_keeping(self.client, tokens),
                Err(error) => error,
            };
            pause = self.pause_after(&error, pause)?;
            // Where the provider was not heard in the end, that is what went wrong.
            let heard = matches!(error, EndpointError::Refused { .. });
            ending = if heard { ConsentError::DeviceCodeExpired } else { self.refused(error) };
        }
    }

    /// One request (section 3.4).
    async fn ask(&self) -> Result<NewTokens, EndpointError> {
        let fields = [("grant_type", GRANT_TYPE), ("device_code", self.device_code.expose())];
        let asked_at = SystemTime::now();
        let url = &self.client.token_endpoint;
        let body = self.endpoint.post(url, &fields).await?;
        // The parse error may hold a part of the body.
        let answer = serde_json::from_slice(&body).map_err(|_| RequestTokenError::Other(String::new()));
        new_tokens(answer, asked_at)
    }

    /// How long to wait after this answer (section 3.5), or that there is nothing to wait for.
    fn pause_after(&self, error: &EndpointError, pause: Duration) -> Result<Duration, ConsentError> {
        if let EndpointError::Refused { code, description, .. } = error {
            match code.as_str() {
                "authorization_pending" => return Ok(pause),
                "slow_down" => return Ok(pause + SLOWER),
                "expired_token" => return Err(ConsentError::DeviceCodeExpired),
                "access_denied" | "authorization_declined" => {
                    return Err(admin_consent::needed_by(self.client, error)
                        .unwrap_or_else(|| denied(code, description.as_deref())));
                }
                _ => {}
            }
        }
        let passes = match error {
            EndpointError::TimedOut | EndpointError::Unreachable(_) => true,
            EndpointError::Refused { .. } => error.remedy() == Remedy::Wait,
            EndpointError::Status { status, .. } => matches!(status, 408 | 429 | 500..),
            _ => false,
        };
        if !passes {
            return Err(self.refused(error.clone()));
        }
        let slower = (2 * pause).min(LONGEST_BACKOFF.max(pause));
        Ok(slower.max(error.retry_after().unwrap_or_default().min(LONGEST_LIFE)))
    }

    fn refused(&self, error: EndpointError) -> ConsentError {
        refused(self.client, &self.client.token_endpoint, error)
    }
}

/// A device authorization response as it is met in the field (section 3.2).
#[derive(Deserialize)]
struct Answer {
    device_code: String,
    user_code: String,
    // The name from before the RFC, which some still use.
    #[serde(alias = "verification_url")]
    verification_uri: String,
    #[serde(default)]
    verification_uri_complete: Option<String>,
    #[serde(default, deserialize_with = "seconds")]
    expires_in: Option<u64>,
    #[serde(default, deserialize_with = "seconds")]
    interval: Option<u64>,
}

fn refused(client: &OAuthClient, url: &Url, error: EndpointError) -> ConsentError {
    admin_consent::needed_by(client, &error).unwrap_or_else(|| ConsentError::Device {
        host: url.host_str().unwrap_or_default().to_owned(),
        error,
    })
}

/// A page on which a person may type a password, or `None`.
fn https(text: &str) -> Option<Url> {
    Url::parse(text).ok().filter(|url| url.scheme() == "https")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::oauth::tests::client;

    const LIFE: Duration = Duration::from_secs(100);

    fn authorization(client: &OAuthClient) -> DeviceAuthorization<'_> {
        DeviceAuthorization {
            client,
            endpoint: Endpoint::new(client).unwrap(),
            device_code: Secret::new("planted".to_owned()),
            user_code: "ABCD".to_owned(),
            verification_uri: "https://login.invalid/device".parse().unwrap(),
            verification_uri_complete: None,
            interval: Duration::from_secs(5),
            expires_at: Instant::now() + LIFE,
        }
    }

    fn said(code: &str) -> EndpointError {
        EndpointError::Refused { status: 400, code: code.to_owned(), description: None, retry_after: None }
    }

    fn tokens() -> NewTokens {
        NewTokens {
            access_token: Secret::new("a".to_owned()),
            refresh_token: Some(Secret::new("r".to_owned())),
            issued_at: SystemTime::UNIX_EPOCH,
            expires_at: SystemTime::UNIX_EPOCH,
            scopes: Vec::new(),
            identity: None,
        }
    }

    /// Polls with these answers, and pending ones behind them. Gives the seconds at which was asked, and how it ended.
    async fn polled(answers: Vec<Result<NewTokens, EndpointError>>) -> (Vec<u64>, String) {
        let client = client();
        let authorization = authorization(&client);
        let (start, mut asked, mut answers) = (Instant::now(), Vec::new(), answers.into_iter());
        let ended = authorization
            .asking(async || {
                asked.push(start.elapsed().as_secs());
                answers.next().unwrap_or_else(|| Err(said("authorization_pending")))
            })
            .await;
        let ended = match ended {
            Ok(tokens) => format!("granted {}", tokens.scopes.join(" ")),
            Err(error) => error.to_string(),
        };
        (asked, ended)
    }

    #[tokio::test(start_paused = true)]
    async fn it_asks_as_slowly_as_the_provider_wants_and_ends_when_it_says_so() {
        let pending = || Err(said("authorization_pending"));
        let slow = || Err(said("slow_down"));
        let unreachable = || Err(EndpointError::Unreachable("no route".to_owned()));
        let busy = Err(EndpointError::Status { status: 503, retry_after: Some(Duration::from_secs(42)) });
        let granted = "granted mail offline_access";
        for (answers, asked, ended) in [
            (vec![Ok(tokens())], vec![5], granted),
            (vec![pending(), pending(), Ok(tokens())], vec![5, 10, 15], granted),
            (vec![slow(), pending(), slow(), Ok(tokens())], vec![5, 15, 25, 40], granted),
            (vec![unreachable(), Err(EndpointError::TimedOut), Ok(tokens())], vec![5, 15, 35], granted),
            (vec![busy, Ok(tokens())], vec![5, 47], granted),
            (vec![Err(said("expired_token"))], vec![5], "nobody consented before the code ended"),
            (vec![pending(), Err(said("access_denied"))], vec![5, 10], "it was declined"),
            (vec![Err(said("authorization_declined"))], vec![5], "it was declined (authorization_declined)"),
            (vec![Err(said("invalid_client"))], vec![5], "login.invalid says invalid_client (HTTP 400)"),
            (vec![Err(EndpointError::NotUnderstood("a page"))], vec![5], "not a token response"),
        ] {
            let case = format!("{answers:?}");
            let heard = polled(answers).await;
            assert_eq!(heard.0, asked, "{case}");
            assert!(heard.1.contains(ended), "{case}: {}", heard.1);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_longer_than_the_code_lives() {
        let start = Instant::now();
        let (asked, ended) = polled(Vec::new()).await;
        assert_eq!((asked.len(), start.elapsed()), (19, LIFE));
        assert!(ended.contains("nobody consented before the code ended"), "{ended}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_network_that_never_comes_back_is_what_is_told() {
        let (asked, ended) = polled(vec![Err(EndpointError::TimedOut); 9]).await;
        assert_eq!(asked, [5, 15, 35, 75]);
        assert!(ended.contains("no answer within 10 s"), "{ended}");
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_refresh_token_there_is_no_grant() {
        let (_, ended) = polled(vec![Ok(NewTokens { refresh_token: None, ..tokens() })]).await;
        assert!(ended.contains("no refresh token"), "{ended}");
    }

    #[test]
    fn an_answer_of_before_the_rfc_is_understood() {
        let text =
            r#"{"device_code":"d","user_code":"u","verification_url":"https://a.example/","interval":"7"}"#;
        let answer: Answer = serde_json::from_str(text).unwrap();
        assert_eq!((answer.interval, answer.expires_in), (Some(7), None));
        assert!(https(&answer.verification_uri).is_some() && https("http://a.example/").is_none());
    }
}
