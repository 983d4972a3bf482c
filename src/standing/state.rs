//! [`State`]: one word for how an account stands, with the reason and the next step. The word says whether mail goes through;
//! whose turn it is follows from the reason.

use std::time::SystemTime;

use time::OffsetDateTime;

use super::Proof;
use crate::account::Account;
use crate::config::provider::OAuthClient;
use crate::store::grants::{Failure, Standing};

/// How an account stands, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// Logins get in, as far as is known.
    Connected,
    /// Switched off by the admin.
    Disabled,
    /// Nobody has consented or typed a password yet.
    NotConnected,
    /// What it gets in with has ended, and nothing new has come.
    Expired,
    /// The provider said no.
    Refused,
}

impl State {
    /// The word that people and scripts read.
    pub fn word(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Disabled => "disabled",
            Self::NotConnected => "not connected",
            Self::Expired => "expired",
            Self::Refused => "refused",
        }
    }
}

/// A [`State`] with its reason and the next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The word.
    pub state: State,
    /// Why it is so; at a connected account, what is in the way of its next token.
    pub reason: Option<String>,
    /// What to do, where somebody has to do something: a command, or a short sentence.
    pub next_step: Option<String>,
}

impl Verdict {
    fn connected() -> Self {
        Self { state: State::Connected, reason: None, next_step: None }
    }

    fn new(state: State, reason: impl Into<String>, next_step: impl Into<String>) -> Self {
        Self { state, reason: Some(reason.into()), next_step: Some(next_step.into()) }
    }

    pub(super) fn unknown_provider(account: &Account) -> Self {
        Self::new(
            State::NotConnected,
            format!("its provider {} is not in the configuration", account.provider),
            format!("put the provider back, or run: gatepost account remove {}", account.address),
        )
    }

    pub(super) fn disabled(account: &Account) -> Self {
        Self::new(State::Disabled, "switched off", format!("gatepost account enable {}", account.address))
    }
}

/// When the provider forgets the consent, unless it is used before then.
pub(super) fn consent_until(client: &OAuthClient, grant: &Standing) -> Option<SystemTime> {
    grant.issued_at.zip(client.consent_idle_limit).map(|(issued_at, limit)| issued_at + limit)
}

/// At a provider that takes passwords. `stored` is `None` without one, and inside it is what the provider said against it.
pub(super) fn judge_password(account: &Account, stored: Option<&Option<String>>) -> Verdict {
    let connect = format!("gatepost connect {}", account.address);
    match stored {
        None => Verdict::new(State::NotConnected, "no password of the mailbox is stored", connect),
        Some(Some(said)) => Verdict::new(State::Refused, said, connect),
        Some(None) => Verdict::connected(),
    }
}

/// At a provider with OAuth.
pub(super) fn judge_grant(
    client: &OAuthClient,
    account: &Account,
    grant: Option<&Standing>,
    now: SystemTime,
) -> Verdict {
    let connect = format!("gatepost connect {}", account.address);
    let Some(grant) = grant else {
        let reason = if client.grant.needs_person() {
            "nobody has consented yet"
        } else {
            "no token was asked for yet"
        };
        return Verdict::new(State::NotConnected, reason, connect);
    };
    let idle_since = consent_until(client, grant).filter(|until| *until <= now);
    if let (Some(until), limit) = (idle_since, client.consent_idle_limit.unwrap_or_default()) {
        let days = limit.as_secs() / 86_400;
        let reason = format!("the consent was not used for {days} days, and ended on {}", day(until));
        return Verdict::new(State::Expired, reason, connect);
    }
    if let Some(said) = &grant.refused {
        return Verdict::new(State::Refused, said, connect);
    }
    // Tokens that came later than the day in the configuration say that the day is wrong.
    let ended = Proof::of(client).filter(|proof| proof.until <= now && grant.issued_at < Some(proof.until));
    if let Some(proof) = ended {
        let (what, key) = if proof.is_certificate {
            ("client certificate", "client_certificate")
        } else {
            ("client secret", "client_secret")
        };
        return Verdict::new(
            State::Expired,
            format!("the {what} of provider {} ended on {}", client.provider, day(proof.until)),
            format!("make a new one at the provider, and put it where `{key}` says"),
        );
    }
    match &grant.failure {
        Some(failure) => judge_failure(client, account, grant, failure, now),
        None => Verdict::connected(),
    }
}

/// The last refresh failed. While the token lives, mail goes through.
fn judge_failure(
    client: &OAuthClient,
    account: &Account,
    grant: &Standing,
    failure: &Failure,
    now: SystemTime,
) -> Verdict {
    let next_step = if failure.lasts {
        format!(
            "check client_id, client_secret and scopes of provider {}; then: gatepost test {}",
            client.provider, account.address
        )
    } else {
        "Gatepost tries again by itself; check the network if this stays".to_owned()
    };
    let state = match grant.expires_at {
        Some(until) if until > now => State::Connected,
        _ if failure.lasts => State::Refused,
        Some(_) => State::Expired,
        None => State::NotConnected,
    };
    Verdict::new(state, failure.text.clone(), next_step)
}

fn day(time: SystemTime) -> String {
    OffsetDateTime::from(time).date().to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::account::AccountId;
    use crate::config::provider::GrantType;
    use crate::oauth::tests::client;

    const DAY: Duration = Duration::from_hours(24);

    fn account() -> Account {
        Account {
            id: AccountId(1),
            address: "ann@example.com".to_owned(),
            provider: "example".to_owned(),
            smtp_user_name: None,
            pop3_user_name: None,
            imap_user_name: None,
            owner: None,
            token_account: None,
            disabled: false,
        }
    }

    /// An hour's token that came at `now - ago`.
    fn grant(now: SystemTime, ago: Duration) -> Standing {
        Standing {
            version: 1,
            renewable: true,
            issued_at: Some(now - ago),
            expires_at: Some(now - ago + Duration::from_hours(1)),
            ..Standing::default()
        }
    }

    #[test]
    fn a_grant_is_judged_by_what_stands_most_in_the_way() {
        let now = UNIX_EPOCH + 20_000 * DAY;
        let failed = |grant: Standing, lasts| Standing {
            failure: Some(Failure { since: now, at: now, text: "HTTP status 503".to_owned(), lasts }),
            ..grant
        };
        let refused = |grant: Standing| Standing { refused: Some("invalid_grant".to_owned()), ..grant };
        let never = Standing { version: 1, ..Standing::default() };
        for (case, grant, state) in [
            ("no grant", None, State::NotConnected),
            ("a live token", Some(grant(now, Duration::ZERO)), State::Connected),
            ("a token that ended, which can be renewed", Some(grant(now, 20 * DAY)), State::Connected),
            (
                "a live token, an endpoint that is down",
                Some(failed(grant(now, Duration::ZERO), false)),
                State::Connected,
            ),
            ("no token, an endpoint that is down", Some(failed(grant(now, DAY), false)), State::Expired),
            ("no token, a client that is refused", Some(failed(grant(now, DAY), true)), State::Refused),
            (
                "never a token, an endpoint that is down",
                Some(failed(never.clone(), false)),
                State::NotConnected,
            ),
            ("never a token, a client that is refused", Some(failed(never, true)), State::Refused),
            ("refused", Some(refused(grant(now, DAY))), State::Refused),
            ("refused after its idle limit", Some(refused(grant(now, 91 * DAY))), State::Expired),
            ("beyond its idle limit", Some(grant(now, 90 * DAY)), State::Expired),
        ] {
            let client = OAuthClient { consent_idle_limit: Some(90 * DAY), ..client() };
            let verdict = judge_grant(&client, &account(), grant.as_ref(), now);
            assert_eq!(verdict.state, state, "{case}");
            let quiet = verdict.reason.is_none() && verdict.next_step.is_none();
            let all_is_well = grant.is_some_and(|grant| grant.failure.is_none() && state == State::Connected);
            assert_eq!(quiet, all_is_well, "{case}: {verdict:?}");
        }
    }

    #[test]
    fn a_secret_that_ended_stops_everybody_unless_tokens_came_since() {
        let now = UNIX_EPOCH + 20_000 * DAY;
        for (ends, ago, state) in [
            (now + DAY, DAY, State::Connected),
            (now - DAY, 2 * DAY, State::Expired),
            (now - 2 * DAY, DAY, State::Connected),
        ] {
            let grant_type = GrantType::ClientCredentials;
            let client = OAuthClient { authentication_ends: Some(ends), grant: grant_type, ..client() };
            let verdict = judge_grant(&client, &account(), Some(&grant(now, ago)), now);
            assert_eq!(verdict.state, state, "{verdict:?}");
        }
    }

    #[test]
    fn a_password_is_there_refused_or_missing() {
        let said = Some("535 5.7.8 no".to_owned());
        for (stored, state) in
            [(None, State::NotConnected), (Some(&None), State::Connected), (Some(&said), State::Refused)]
        {
            assert_eq!(judge_password(&account(), stored).state, state);
        }
    }
}
