//! Phase two on the wire: one login at a provider, over verified TLS or not at all (invariants 3 to 5). What its failure means
//! stands in `meaning`.

mod meaning;

use std::io;

use gatepost_protocol::Protocol;
use gatepost_protocol::dialogue::{Dialogue, Step, Success};
use gatepost_protocol::failure::{Refusal, RefusalKind};
use gatepost_protocol::sasl::{UpstreamCredentials, UpstreamSecret};
use gatepost_protocol::{imap, pop3, smtp};
use rustls_pki_types::ServerName;
use thiserror::Error;
use tokio::time::{Instant, timeout_at};

use super::dial::{Opening, dial};
use super::driver::{Connection, Ended};
use super::stream::{Stream, Upgrade};
use crate::config::provider::{Endpoint, UpstreamTls};
use crate::tls::Trust;

pub use self::meaning::failure_of;

/// The EHLO name. An address literal is always valid (RFC 5321 section 4.1.4), where a host's own idea of its name often
/// is not, and Gmail hangs up on those.
pub(crate) const OWN_NAME: &str = "[127.0.0.1]";

/// Why the provider did not let us in.
#[derive(Debug, Error)]
pub enum UpstreamError {
    /// No connection.
    #[error("cannot connect: {0}")]
    Dial(io::Error),
    /// The dialogue broke off.
    #[error("{error} while {state}")]
    Ended {
        /// How.
        error: Ended,
        /// Where in the dialogue.
        state: &'static str,
    },
    /// The user name or the secret carries a control character.
    #[error("the user name or the token or password cannot be sent: it is empty or has a control character")]
    ForbiddenByte,
    /// The configured name cannot be in a certificate.
    #[error("{0:?} is not a host name")]
    HostName(String),
    /// It answered, and the answer was no.
    #[error("{state}: {answer}", state = .0.state, answer = answer(.0))]
    Refused(Refusal),
    /// The time for the login ran out.
    #[error("no answer in time while {0}")]
    TimedOut(&'static str),
}

fn answer(Refusal { kind, text, challenge, .. }: &Refusal) -> String {
    let foreign = if *kind == RefusalKind::NotUnderstood { "what came is not understood: " } else { "" };
    let challenge = challenge.as_ref().map(|meaning| format!(" (challenge: {meaning})")).unwrap_or_default();
    format!("{foreign}{text}{challenge}")
}

/// What we log in with at this server.
pub fn credentials(
    endpoint: &Endpoint,
    user_name: &str,
    secret: UpstreamSecret,
) -> Result<UpstreamCredentials, UpstreamError> {
    let server = (endpoint.host.clone(), endpoint.port);
    UpstreamCredentials::new(user_name.to_owned(), secret, server, endpoint.mechanism)
        .map_err(|_| UpstreamError::ForbiddenByte)
}

/// Logs in for the mailbox. The connection that comes back has its client's whole attention: the provider has said
/// success; what it said behind that is in [`Success::behind`] and then in `received`. `tag` is that of the client's command, in IMAP.
pub async fn log_in(
    protocol: Protocol,
    tag: &str,
    endpoint: &Endpoint,
    trust: &Trust,
    credentials: UpstreamCredentials,
    deadline: Instant,
) -> Result<(Connection, Success), UpstreamError> {
    let name = ServerName::try_from(endpoint.host.clone())
        .map_err(|_| UpstreamError::HostName(endpoint.host.clone()))?;
    let upgrade = Upgrade::Connect(trust.client_config().clone(), name, endpoint.tls_stream);
    let start_tls = endpoint.tls == UpstreamTls::StartTls;
    let opening = if start_tls { Opening::Theirs } else { Opening::Ours };
    let tcp = timeout_at(deadline, dial(&endpoint.host, endpoint.port, opening))
        .await
        .map_err(|_| UpstreamError::TimedOut("connecting"))?
        .map_err(UpstreamError::Dial)?;
    let mut stream = Stream::new(tcp).map_err(UpstreamError::Dial)?;
    if !start_tls {
        timeout_at(deadline, stream.upgrade(&upgrade))
            .await
            .map_err(|_| UpstreamError::TimedOut("in the TLS handshake"))?
            .map_err(|error| UpstreamError::Ended { error: Ended::Tls(error), state: "beginning" })?;
    }
    let mut connection = Connection::new(stream);
    let mut dialogue: Box<dyn Dialogue<Yield = Result<Success, Refusal>> + Send> = match protocol {
        Protocol::Smtp => Box::new(smtp::Client::new(OWN_NAME.to_owned(), start_tls, credentials)),
        Protocol::Pop3 => Box::new(pop3::Client::new(start_tls, credentials)),
        Protocol::Imap => Box::new(imap::Client::new(tag.to_owned(), start_tls, credentials)),
    };
    dialogue.open(&mut connection.output);
    let verdict = timeout_at(deadline, connection.drive(&mut *dialogue, Step::NeedLine, &upgrade)).await;
    let state = dialogue.state_name();
    match verdict {
        Err(_) => Err(UpstreamError::TimedOut(state)),
        Ok(Err(error)) => Err(UpstreamError::Ended { error, state }),
        Ok(Ok(Err(refusal))) => Err(UpstreamError::Refused(refusal)),
        Ok(Ok(Ok(success))) => Ok((connection, success)),
    }
}
