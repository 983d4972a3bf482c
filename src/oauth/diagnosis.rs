//! What a token endpoint did instead of giving a token, and whose turn it is now (RFC 6749 section 5.2). The rule: only
//! what the provider said about the grant itself marks a grant as dead; a failure of the network says nothing about it.
//!
//! Texts from an endpoint are cut, made printable, and freed of what we had sent before they are kept: some endpoints
//! echo the request in their error.

use std::time::{Duration, SystemTime};

use http::StatusCode;
use thiserror::Error;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;
use zeroize::Zeroizing;

use super::metadata::IssuerError;
use crate::config::provider::GrantType;
use crate::diagnosis::{self, Diagnosis, Place, Retry};
use crate::tls::is_untrusted;
use crate::tls::reason::in_words;

/// The longest error code and description that is kept.
const MAX_CODE: usize = 64;
const MAX_DESCRIPTION: usize = 300;

/// How the errors begin that tell of another server than the token endpoint: a network with a login page, a proxy that reads
/// along. It may be gone in a minute.
const UNTRUSTED: &str = "its certificate is not trusted";
const REDIRECTED: &str = "it answered with a redirect";

/// A token endpoint gave no token. Holds no secret.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum EndpointError {
    /// It was not asked: the grant has no refresh token, because the provider's way of getting tokens was changed in
    /// the configuration.
    #[error("the stored grant has no refresh token")]
    NothingToRedeem,
    /// It was not asked: its issuer does not tell where it is.
    #[error("{0}")]
    Issuer(#[from] IssuerError),
    /// It was not asked: what says who asks could not be signed.
    #[error("the request could not be signed with the key in the configuration")]
    NotSigned,
    /// It answered, but not with a token or an OAuth error.
    #[error("its answer is not a token response: {0}")]
    NotUnderstood(&'static str),
    /// It sent us elsewhere. A request that carries secrets follows nobody.
    #[error("{REDIRECTED} (HTTP {0}), which is never followed; check its address in the configuration")]
    Redirected(u16),
    /// It answered with an OAuth error.
    #[error("{code} (HTTP {status}){}", described(description.as_deref()))]
    Refused {
        /// The HTTP status.
        status: u16,
        /// OAuth's own word, for example `invalid_grant`.
        code: String,
        /// The provider's words.
        description: Option<String>,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// It answered with an HTTP failure and no OAuth error.
    #[error("HTTP status {status}{}", retry_hint(*retry_after))]
    Status {
        /// The HTTP status.
        status: u16,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// It did not answer in time.
    #[error("no answer within {} s", super::http::TIMEOUT.as_secs())]
    TimedOut,
    /// There was no connection to it, or the connection broke.
    #[error("not reachable: {0}")]
    Unreachable(String),
    /// Whoever answered is not vouched for: a wrong host, a proxy that reads along, or a `ca_file` that is not its own.
    #[error("{UNTRUSTED}: {0}; check its address in the configuration, and ca_file")]
    Untrusted(String),
}

/// Who must do something about an [`EndpointError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// The admin: what the provider knows or wants of Gatepost as its client has changed.
    FixClient,
    /// A person: consent again.
    Reconnect,
    /// Nobody: it passes.
    Wait,
}

impl EndpointError {
    /// Whose turn it is.
    pub fn remedy(&self) -> Remedy {
        let (status, code, description) = match self {
            Self::NothingToRedeem => return Remedy::Reconnect,
            Self::NotSigned => return Remedy::FixClient,
            Self::Refused { status, code, description, .. } => (status, code, description),
            _ => return Remedy::Wait,
        };
        if matches!(*status, 408 | 429 | 500..) {
            return Remedy::Wait;
        }
        match code.as_str() {
            "temporarily_unavailable" | "server_error" | "slow_down" => Remedy::Wait,
            "invalid_grant" if description.as_deref().is_some_and(is_passing) => Remedy::Wait,
            // The last three are OpenID Connect's words for "the person must come again", which Entra uses when a
            // policy changed.
            "invalid_grant" | "interaction_required" | "login_required" | "consent_required" => {
                Remedy::Reconnect
            }
            // invalid_client, unauthorized_client, invalid_scope, and every word that we do not know: the grant may
            // be as good as ever.
            _ => Remedy::FixClient,
        }
    }

    /// What is known of it.
    pub fn diagnosis(&self) -> Option<&'static Diagnosis> {
        match self.id() {
            Some(id) => diagnosis::by_id(id),
            None => diagnosis::find(Place::Token, &self.to_string()),
        }
    }

    /// The row of what we say ourselves. What an endpoint says, and which status it has, is found by its text.
    fn id(&self) -> Option<&'static str> {
        match self {
            Self::NothingToRedeem => Some("G21"),
            Self::NotSigned => Some("G22"),
            Self::NotUnderstood(_) => Some("G23"),
            Self::Redirected(_) => Some("G25"),
            Self::TimedOut => Some("G26"),
            Self::Unreachable(_) => Some("G27"),
            Self::Untrusted(_) => Some("G28"),
            Self::Issuer(_) => Some("G31"),
            Self::Refused { .. } | Self::Status { .. } => None,
        }
    }

    /// Whether asking again will not help until somebody does something.
    pub fn lasts(&self) -> bool {
        self.remedy() != Remedy::Wait
    }

    /// Whether an error with this text came from somebody else than the token endpoint, as far as we can tell: of what is stored
    /// only the text is known.
    pub(crate) fn is_of_another_server(text: &str) -> bool {
        text.starts_with(UNTRUSTED) || text.starts_with(REDIRECTED)
    }

    /// Whether the provider's other grants would hear the same now.
    pub(super) fn concerns_provider(&self) -> bool {
        match self {
            Self::NothingToRedeem | Self::NotSigned => false,
            Self::Refused { status, retry_after, .. } => {
                self.remedy() == Remedy::Wait
                    && (retry_after.is_some() || matches!(status, 408 | 429 | 500..))
            }
            _ => true,
        }
    }

    /// When the endpoint wants to be asked again, where it said so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } | Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// Judges an answer before its body is read as tokens. A body with an `error` in it is an error under any status: some
/// endpoints send theirs with 200.
pub(super) fn judge(
    status: StatusCode,
    retry_after: Option<Duration>,
    body: &[u8],
    sent: &[Zeroizing<String>],
) -> Result<(), EndpointError> {
    if status.is_redirection() {
        return Err(EndpointError::Redirected(status.as_u16()));
    }
    let json = serde_json::from_slice::<serde_json::Value>(body).unwrap_or_default();
    let text = |key: &str| json.get(key).and_then(serde_json::Value::as_str).filter(|text| !text.is_empty());
    if let Some(code) = text("error") {
        return Err(EndpointError::Refused {
            status: status.as_u16(),
            code: presentable(code, sent, MAX_CODE),
            description: text("error_description").map(|text| presentable(text, sent, MAX_DESCRIPTION)),
            retry_after,
        });
    }
    if status != StatusCode::OK {
        return Err(EndpointError::Status { status: status.as_u16(), retry_after });
    }
    Ok(())
}

/// What reqwest met before there was an answer.
pub(super) fn transport(error: &reqwest::Error) -> EndpointError {
    if error.is_timeout() {
        return EndpointError::TimedOut;
    }
    // The innermost cause is the one that helps: "connection refused", "invalid peer certificate".
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let present = |text: &str| presentable(text, &[], MAX_DESCRIPTION);
    match cause.downcast_ref() {
        Some(error) if is_untrusted(error) => EndpointError::Untrusted(present(&in_words(error))),
        _ => EndpointError::Unreachable(present(&cause.to_string())),
    }
}

/// The time in a `Retry-After`: seconds or a date (RFC 9110 section 10.2.3).
pub(super) fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = OffsetDateTime::parse(value.trim(), &Rfc2822).ok()?;
    Some(SystemTime::from(date).duration_since(now).unwrap_or_default())
}

/// Foreign text for a log line: without what we had sent, printable ASCII, on one line, not longer than `max`.
pub(super) fn presentable(text: &str, sent: &[Zeroizing<String>], max: usize) -> String {
    let mut text = text.to_owned();
    for secret in sent.iter().filter(|secret| !secret.is_empty()) {
        text = text.replace(secret.as_str(), "[secret]");
    }
    let words = text.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
    words
        .chars()
        .take(max)
        .map(|character| if matches!(character, ' '..='~') { character } else { '?' })
        .collect()
}

/// The number that an Entra description begins with, like `50076` in `AADSTS50076: …`.
pub(crate) fn aadsts_number(description: &str) -> Option<&str> {
    description.strip_prefix("AADSTS")?.split(|character: char| !character.is_ascii_digit()).next()
}

/// What is known of a refusal of which only the text is known. Where nobody consented, what only a consent mends is not meant.
pub(crate) fn known(text: &str, grant: GrantType) -> Option<&'static Diagnosis> {
    let row = diagnosis::find(Place::Token, text)?;
    (grant.needs_person() || row.retry != [Retry::SignIn]).then_some(row)
}

/// Whether an Entra description begins with the number of a trouble that passes, which Entra sometimes reports under
/// `invalid_grant`: a client asking too often, a tenant throttled, internal faults.
fn is_passing(description: &str) -> bool {
    let row = aadsts_number(description)
        .and_then(|number| diagnosis::find(Place::Token, &format!("AADSTS{number}")));
    row.is_some_and(|row| !row.permanent)
}

fn described(description: Option<&str>) -> String {
    description.map(|text| format!(": {text}")).unwrap_or_default()
}

fn retry_hint(retry_after: Option<Duration>) -> String {
    retry_after.map(|time| format!(", ask again in {} s", time.as_secs())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::metadata::Problem;
    use super::*;

    fn judged(status: u16, body: &str) -> Result<(), EndpointError> {
        let status = StatusCode::from_u16(status).unwrap_or_default();
        judge(status, None, body.as_bytes(), &[Zeroizing::new("planted".to_owned())])
    }

    #[test]
    fn each_answer_finds_the_one_who_must_act() {
        let table = [
            (400, r#"{"error":"invalid_grant"}"#, Remedy::Reconnect),
            (400, r#"{"error":"interaction_required"}"#, Remedy::Reconnect),
            (401, r#"{"error":"invalid_client"}"#, Remedy::FixClient),
            (400, r#"{"error":"unauthorized_client"}"#, Remedy::FixClient),
            (400, r#"{"error":"invalid_scope"}"#, Remedy::FixClient),
            (400, r#"{"error":"a_word_of_their_own"}"#, Remedy::FixClient),
            (200, r#"{"error":"invalid_grant"}"#, Remedy::Reconnect),
            (400, r#"{"error":"temporarily_unavailable"}"#, Remedy::Wait),
            (429, r#"{"error":"invalid_grant"}"#, Remedy::Wait),
            (503, r#"{"error":"invalid_client"}"#, Remedy::Wait),
            (500, "", Remedy::Wait),
            (404, "<html>", Remedy::Wait),
            (302, "", Remedy::Wait),
            (400, r#"{"error":"invalid_grant","error_description":"AADSTS50196: a loop"}"#, Remedy::Wait),
            (
                400,
                r#"{"error":"invalid_grant","error_description":"AADSTS501961: not a loop"}"#,
                Remedy::Reconnect,
            ),
            (
                400,
                r#"{"error":"invalid_grant","error_description":"AADSTS50173: revoked"}"#,
                Remedy::Reconnect,
            ),
        ];
        for (status, body, remedy) in table {
            assert_eq!(judged(status, body).map_err(|error| error.remedy()), Err(remedy), "{status} {body}");
        }
        assert_eq!(judged(200, r#"{"access_token":"a"}"#), Ok(()));
    }

    #[test]
    fn what_entra_and_google_answer_finds_its_row_and_the_one_who_must_act() {
        use Remedy::{FixClient, Reconnect, Wait};
        let entra = |code: &str, number: &str| {
            let description = format!("AADSTS{number}: words.\r\nTrace ID: 50034 Correlation ID: x");
            serde_json::json!({ "error": code, "error_description": description }).to_string()
        };
        let google = |code: &str, description: &str| {
            serde_json::json!({ "error": code, "error_description": description }).to_string()
        };
        for (status, body, remedy, id) in [
            (400, entra("invalid_grant", "50034"), Reconnect, "D40"),
            (400, entra("invalid_grant", "50126"), Reconnect, "D41"),
            (400, entra("invalid_grant", "50053"), Wait, "D42"),
            (400, entra("invalid_grant", "50057"), Reconnect, "D44"),
            (400, entra("interaction_required", "50076"), Reconnect, "D45"),
            (400, entra("invalid_grant", "50079"), Reconnect, "D46"),
            (400, entra("invalid_grant", "50078"), Reconnect, "D47"),
            (400, entra("interaction_required", "53000"), Reconnect, "D48"),
            (400, entra("invalid_grant", "53003"), Reconnect, "D49"),
            (400, entra("invalid_grant", "65001"), Reconnect, "D52"),
            (400, entra("invalid_resource", "650057"), FixClient, "D55"),
            (400, entra("unauthorized_client", "700016"), FixClient, "D57"),
            (400, entra("invalid_request", "90002"), FixClient, "D58"),
            (401, entra("invalid_client", "7000215"), FixClient, "D62"),
            (401, entra("invalid_client", "7000222"), FixClient, "D63"),
            (401, entra("invalid_client", "7000218"), FixClient, "D64"),
            (401, entra("invalid_client", "700025"), FixClient, "D65"),
            (401, entra("invalid_client", "700027"), FixClient, "D66"),
            (400, entra("unauthorized_client", "7000112"), FixClient, "D67"),
            (400, entra("invalid_grant", "700082"), Reconnect, "D68"),
            (400, entra("invalid_grant", "700084"), Reconnect, "D69"),
            (400, entra("invalid_grant", "70043"), Reconnect, "D70"),
            (400, entra("invalid_grant", "50173"), Reconnect, "D71"),
            (400, entra("invalid_grant", "54005"), Reconnect, "D72"),
            (400, entra("invalid_scope", "70011"), FixClient, "D73"),
            (400, entra("invalid_resource", "500011"), FixClient, "D75"),
            (400, entra("invalid_resource", "50001"), FixClient, "D75"),
            (400, entra("invalid_grant", "50196"), Wait, "D81"),
            (400, entra("invalid_grant", "90033"), Wait, "D82"),
            (400, entra("invalid_grant", "50087"), Wait, "D82"),
            (400, entra("invalid_grant", "90055"), Wait, "D83"),
            (429, entra("temporarily_unavailable", "90055"), Wait, "D83"),
            (400, entra("invalid_grant", "501961"), Reconnect, "D140"),
            (400, google("invalid_grant", "Bad Request"), Reconnect, "D90"),
            (400, google("invalid_grant", "Token has been expired or revoked."), Reconnect, "D91"),
            (400, google("invalid_grant", "Invalid JWT Signature."), Reconnect, "D157"),
            (400, google("invalid_grant", "reauth related error (invalid_rapt)"), Reconnect, "D156"),
            (401, google("invalid_client", "The OAuth client was not found."), FixClient, "D94"),
            (401, google("deleted_client", "The OAuth client was deleted."), FixClient, "D94"),
            (400, google("invalid_scope", "Invalid device flow scope: mail"), FixClient, "D95"),
            (400, google("redirect_uri_mismatch", "Bad Request"), FixClient, "D97"),
            (503, google("temporarily_unavailable", ""), Wait, "G29"),
            (400, google("server_error", ""), Wait, "D147"),
            (429, google("rate_limit_exceeded", ""), Wait, "G30"),
        ] {
            let Err(error) = judged(status, &body) else { unreachable!("{body}") };
            let found = error.diagnosis().map(|row| row.id.as_str());
            assert_eq!((error.remedy(), found), (remedy, Some(id)), "{status} {body}");
        }
    }

    #[test]
    fn an_endpoint_that_echoes_our_secret_is_cut_short() {
        let body = r#"{"error":"planted","error_description":"token planted\r\nis \u0007b\u00e4d"}"#;
        let Err(error) = judged(400, body) else { unreachable!("it is an error") };
        assert_eq!(error.to_string(), "[secret] (HTTP 400): token [secret] is ?b?d");
    }

    #[test]
    fn another_server_is_told_by_the_text_alone_and_may_be_gone_soon() {
        for (error, another, lasts) in [
            (EndpointError::Untrusted("UnknownIssuer".to_owned()), true, false),
            (EndpointError::Redirected(302), true, false),
            (EndpointError::Unreachable("connection refused".to_owned()), false, false),
            (EndpointError::NotSigned, false, true),
        ] {
            assert_eq!(EndpointError::is_of_another_server(&error.to_string()), another, "{error}");
            assert_eq!(error.lasts(), lasts, "{error}");
        }
    }

    #[test]
    fn what_we_say_ourselves_is_found_by_its_text_too() {
        let issuer = |problem| IssuerError { url: "https://a.example/".to_owned(), problem };
        let no_route = || "No route to host (os error 113)".to_owned();
        for (error, id) in [
            (EndpointError::NothingToRedeem, "G21"),
            (EndpointError::NotSigned, "G22"),
            (EndpointError::NotUnderstood("its token_type is not Bearer"), "G23"),
            (EndpointError::Status { status: 404, retry_after: None }, "G24"),
            (EndpointError::Redirected(302), "G25"),
            (EndpointError::TimedOut, "G26"),
            (EndpointError::Unreachable(no_route()), "G27"),
            (EndpointError::Untrusted("UnknownIssuer".to_owned()), "G28"),
            (EndpointError::Status { status: 503, retry_after: Some(Duration::from_mins(1)) }, "G29"),
            (EndpointError::Status { status: 429, retry_after: None }, "G30"),
            (EndpointError::Issuer(issuer(Problem::Unreachable(no_route()))), "G31"),
            (EndpointError::Issuer(issuer(Problem::Untrusted("UnknownIssuer".to_owned()))), "G31"),
            (EndpointError::Issuer(issuer(Problem::TimedOut)), "G31"),
            (EndpointError::Issuer(issuer(Problem::Redirected(302))), "G31"),
            (EndpointError::Issuer(issuer(Problem::Status(503))), "G31"),
        ] {
            let text = error.to_string();
            assert_eq!(error.diagnosis().map(|row| row.id.as_str()), Some(id), "{text}");
            for place in [Place::Token, Place::Gatepost] {
                assert_eq!(diagnosis::find(place, &text).map(|row| row.id.as_str()), Some(id), "{text}");
            }
            let row = diagnosis::by_id(id);
            assert_eq!(row.map(|row| row.permanent), Some(error.lasts()), "{text}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_747);
        assert_eq!(retry_after(" 60 ", now), Some(Duration::from_mins(1)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:37 GMT", now), Some(Duration::from_secs(30)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("soon", now), None);
    }
}
