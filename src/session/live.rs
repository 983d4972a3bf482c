//! [`Live`]: the sessions that are logged in, so that they end when what let them in is withdrawn, in whichever process that was.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;
use tokio_util::sync::CancellationToken;

use crate::account::CredentialId;

/// All sessions that are logged in.
#[derive(Debug, Default)]
pub struct Live {
    sessions: DashMap<u64, (LetIn, CancellationToken)>,
    next: AtomicU64,
}

/// What let a session in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LetIn {
    /// What the device typed.
    pub credential: CredentialId,
    /// Whether the provider let it in by somebody's consent or password.
    pub by_person: bool,
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
    /// Notes a session that was let in by the credential, and at the provider by what a person gave, or not. It ends at the latest when
    /// `drained` is cancelled.
    pub fn enter(
        self: &Arc<Self>,
        credential: CredentialId,
        by_person: bool,
        drained: &CancellationToken,
    ) -> LiveSession {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let ended = drained.child_token();
        self.sessions.insert(number, (LetIn { credential, by_person }, ended.clone()));
        LiveSession { number, live: Arc::clone(self), ended }
    }

    /// What has sessions now, each once.
    pub fn let_in(&self) -> Vec<LetIn> {
        let mut all: Vec<_> = self.sessions.iter().map(|entry| entry.value().0).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Ends every session of the credential.
    pub fn end(&self, credential: CredentialId) {
        for entry in self.sessions.iter().filter(|entry| entry.value().0.credential == credential) {
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

    use tokio_util::sync::CancellationToken;

    use super::{LetIn, Live};
    use crate::account::CredentialId;

    #[test]
    fn revoking_ends_the_sessions_of_that_credential_alone() {
        let (live, drained) = (Arc::new(Live::default()), CancellationToken::new());
        let [scanner, again, desk] = [1, 1, 2].map(|id| live.enter(CredentialId(id), id == 2, &drained));
        let let_in = [(1, false), (2, true)];
        assert_eq!(
            live.let_in(),
            let_in.map(|(id, by_person)| LetIn { credential: CredentialId(id), by_person })
        );
        live.end(CredentialId(1));
        assert!(scanner.ended.is_cancelled() && again.ended.is_cancelled() && !desk.ended.is_cancelled());
        drained.cancel();
        assert!(desk.ended.is_cancelled());
        drop((scanner, again, desk));
        assert!(live.is_empty());
    }
}
