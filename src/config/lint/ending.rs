//! L16: what Gatepost proves itself with ends soon, or has ended.

use std::time::{Duration, SystemTime};

use super::super::provider::{OAuthClient, Proof};
use crate::clock::utc;

/// What ends sooner should be replaced.
const SOON: Duration = Duration::from_hours(24 * 30);

/// What Gatepost proves itself with ends soon, or has ended; and what to do.
pub(crate) fn ending(oauth: &OAuthClient, now: SystemTime) -> Option<String> {
    ends(Proof::of(oauth)?, &oauth.provider, now)
}

/// The same of a proof of the provider with this name.
pub(crate) fn ends(proof: Proof, provider: &str, now: SystemTime) -> Option<String> {
    let what = if proof.is_certificate { "client_certificate" } else { "client_secret" };
    let when = match proof.until.duration_since(now) {
        Ok(left) if left >= SOON => return None,
        Ok(left) => format!("ends in {} days", left.as_secs() / 86_400),
        Err(_) => format!("ended on {}", utc(proof.until).date()),
    };
    Some(format!("the `{what}` of the provider `{provider}` {when}; {}", proof.next_step()))
}
