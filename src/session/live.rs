//! [`Live`]: the sessions that are logged in, so that revoking a credential ends them, in whichever process it was revoked.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;
use tokio_util::sync::CancellationToken;

use crate::account::CredentialId;

/// All sessions that are logged in.
#[derive(Debug, Default)]
pub struct Live {
    sessions: DashMap<u64, (CredentialId, CancellationToken)>,
    next: AtomicU64,
}

/// One of them; forgotten when dropped.
#[derive(Debug)]
pub struct LiveSession {
    number: u64,
    live: Arc<Live>,
    /// Cancelled when the session must end.
    pub ended: CancellationToken,
}

impl Live {
    /// Notes a session that was let in by the credential.
    pub fn enter(self: &Arc<Self>, credential: CredentialId) -> LiveSession {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let ended = CancellationToken::new();
        self.sessions.insert(number, (credential, ended.clone()));
        LiveSession { number, live: Arc::clone(self), ended }
    }

    /// The credentials that have sessions now, each once.
    pub fn credentials(&self) -> Vec<CredentialId> {
        let mut credentials: Vec<_> = self.sessions.iter().map(|entry| entry.value().0).collect();
        credentials.sort_unstable();
        credentials.dedup();
        credentials
    }

    /// Ends every session of the credential.
    pub fn end(&self, credential: CredentialId) {
        for entry in self.sessions.iter().filter(|entry| entry.value().0 == credential) {
            entry.value().1.cancel();
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether nobody is logged in.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }
}

impl Drop for LiveSession {
    fn drop(&mut self) {
        self.live.sessions.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::Live;
    use crate::account::CredentialId;

    #[test]
    fn revoking_ends_the_sessions_of_that_credential_alone() {
        let live = Arc::new(Live::default());
        let (scanner, again, desk) =
            (live.enter(CredentialId(1)), live.enter(CredentialId(1)), live.enter(CredentialId(2)));
        assert_eq!(live.credentials(), [CredentialId(1), CredentialId(2)]);
        live.end(CredentialId(1));
        assert!(scanner.ended.is_cancelled() && again.ended.is_cancelled() && !desk.ended.is_cancelled());
        drop((scanner, again, desk));
        assert!(live.is_empty());
    }
}
