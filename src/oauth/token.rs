//! [`TokenState`]: what a stored grant is good for at a given moment. Fields live only where they mean something.

use std::time::{Duration, SystemTime};

use super::AccessToken;
use super::token_request::LONGEST_LIFE;
use crate::store::grants::Grant;

/// A token with less than this left is refreshed before it is used, so that it outlives a slow login and a clock that
/// differs from the provider's.
const REFRESH_BEFORE: Duration = Duration::from_mins(5);

/// A token with a short life is used for nine tenths of it: a provider whose tokens live for five minutes is not to be asked
/// at every login.
const LAST_PART: u32 = 10;

/// More than two looks at the clock can differ without anybody setting it.
const CLOCK_SET_BACK: Duration = Duration::from_mins(5);

/// What a grant is good for.
#[derive(Clone, Debug)]
pub(super) enum TokenState {
    /// To be refreshed.
    Due {
        /// Until then, where it has not ended.
        usable: Option<AccessToken>,
    },
    /// Good to use.
    Live(AccessToken),
    /// Dead by the provider's word, which is inside. Only a person can help.
    Refused(String),
}

impl TokenState {
    /// At the moment `now`.
    pub(super) fn of(grant: &Grant, now: SystemTime) -> Self {
        if let Some(reason) = &grant.refused {
            return Self::Refused(reason.clone());
        }
        let left = grant.expires_at.and_then(|end| end.duration_since(now).ok()).unwrap_or_default();
        match &grant.access_token {
            Some(secret) if !left.is_zero() => {
                let token = AccessToken { secret: secret.clone(), version: grant.version };
                let is_due = left < refresh_before(grant) || is_from_a_later_time(grant, now);
                if is_due { Self::Due { usable: Some(token) } } else { Self::Live(token) }
            }
            _ => Self::Due { usable: None },
        }
    }
}

fn refresh_before(grant: &Grant) -> Duration {
    let life = grant.issued_at.zip(grant.expires_at).and_then(|(from, to)| to.duration_since(from).ok());
    life.map_or(REFRESH_BEFORE, |life| REFRESH_BEFORE.min(life / LAST_PART))
}

/// Whether the clock was set back since the token came, so that nobody knows when it ends.
fn is_from_a_later_time(grant: &Grant, now: SystemTime) -> bool {
    grant.issued_at.is_some_and(|issued_at| issued_at > now + CLOCK_SET_BACK)
        || grant.expires_at.is_some_and(|end| end > now + LONGEST_LIFE + CLOCK_SET_BACK)
}

#[cfg(test)]
mod tests {
    use gatepost_protocol::secret::Secret;

    use super::*;
    use crate::store::grants::GrantKey;

    #[test]
    fn a_token_is_live_until_five_minutes_before_its_end() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let grant = |left: i64| Grant {
            key: GrantKey::Provider("example".to_owned()),
            version: 7,
            refresh_token: None,
            access_token: Some(Secret::new("a".to_owned())),
            issued_at: None,
            expires_at: Some(
                SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_u64.saturating_add_signed(left)),
            ),
            scopes: Vec::new(),
            identity: None,
            refused: None,
            used_at: None,
        };
        for (left, expected) in
            [(3600, "live"), (300, "live"), (299, "usable"), (1, "usable"), (0, "due"), (-1, "due")]
        {
            let found = match TokenState::of(&grant(left), now) {
                TokenState::Live(token) if token.version == 7 => "live",
                TokenState::Due { usable: Some(token) } if token.version == 7 => "usable",
                TokenState::Due { usable: None } => "due",
                other => unreachable!("{other:?}"),
            };
            assert_eq!(found, expected, "{left} s left");
        }
        let refused = Grant { refused: Some("invalid_grant".to_owned()), ..grant(3600) };
        assert!(
            matches!(TokenState::of(&refused, now), TokenState::Refused(reason) if reason == "invalid_grant")
        );
        for (issued_ago, left, expected) in [
            (3300, 299, "usable"),
            (540, 60, "live"),
            (541, 59, "usable"),
            (55, 5, "usable"),
            (50, 10, "live"),
        ] {
            let issued_at = Some(now - Duration::from_secs(issued_ago));
            let short = Grant { issued_at, ..grant(left) };
            let live = matches!(TokenState::of(&short, now), TokenState::Live(_));
            assert_eq!(
                live,
                expected == "live",
                "{left} s left of {}",
                issued_ago.saturating_add_signed(left)
            );
        }
        let set_back = [
            Grant { issued_at: Some(now + Duration::from_hours(1)), ..grant(7200) },
            Grant { issued_at: None, ..grant(3 * 86_400) },
        ];
        for grant in set_back {
            let state = TokenState::of(&grant, now);
            assert!(matches!(state, TokenState::Due { usable: Some(_) }), "{state:?}");
        }
        let unknown_end = Grant { expires_at: None, ..grant(3600) };
        assert!(matches!(TokenState::of(&unknown_end, now), TokenState::Due { usable: None }));
    }
}
