//! [`TokenState`]: what a stored grant is good for at a given moment. Fields live only where they mean something.

use std::time::{Duration, SystemTime};

use super::AccessToken;
use crate::store::grants::Grant;

/// A token with less than this left is refreshed before it is used, so that it outlives a slow login and a clock that
/// differs from the provider's.
pub(super) const REFRESH_BEFORE: Duration = Duration::from_mins(5);

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
                if left < REFRESH_BEFORE { Self::Due { usable: Some(token) } } else { Self::Live(token) }
            }
            _ => Self::Due { usable: None },
        }
    }
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
        let unknown_end = Grant { expires_at: None, ..grant(3600) };
        assert!(matches!(TokenState::of(&unknown_end, now), TokenState::Due { usable: None }));
    }
}
