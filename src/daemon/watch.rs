//! What a running Gatepost looks at from time to time: the store, which commands change, and the certificate, which ends.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::certificate::Certificate;
use crate::account::CredentialId;
use crate::session::live::Live;
use crate::store::{Store, StoreError};

/// How often the store is asked whether somebody has changed it.
const STORE_LOOK: Duration = Duration::from_secs(1);

/// How often the certificate's files are looked at.
const CERTIFICATE_LOOK: Duration = Duration::from_hours(1);

/// Ends the sessions of credentials that were revoked, and of accounts that were disconnected, by whichever process, until
/// Gatepost stops.
pub(super) async fn store(store: Store, live: Arc<Live>, stopping: CancellationToken) {
    let mut seen = Seen::default();
    let look = async {
        let mut ticks = interval(STORE_LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match end_revoked(&store, &live, &mut seen).await {
                Ok(()) => {}
                Err(error) => warn!("cannot look for revoked credentials: {error}"),
            }
        }
    };
    stopping.run_until_cancelled(look).await;
}

/// The credentials as they were when the store had this version.
#[derive(Default)]
struct Seen {
    version: Option<i64>,
    usable: HashSet<CredentialId>,
    /// Those whose account is opened by a consent or a password.
    connected: HashSet<CredentialId>,
    /// Those whose account was, and is no more. Only what was seen to go counts: another provider's way in leaves no such row.
    disconnected: HashSet<CredentialId>,
}

impl Seen {
    fn next(&self, version: i64, usable: HashSet<CredentialId>, connected: HashSet<CredentialId>) -> Self {
        let before = self.connected.union(&self.disconnected);
        let disconnected = before.filter(|credential| !connected.contains(credential)).copied().collect();
        Self { version: Some(version), usable, connected, disconnected }
    }

    /// Why sessions that the credential let in must end; `None` if they need not.
    fn why_ended(&self, credential: CredentialId) -> Option<&'static str> {
        if !self.usable.contains(&credential) {
            return Some("credential revoked or account disabled: its sessions end");
        }
        self.disconnected.contains(&credential).then_some("account disconnected: its sessions end")
    }
}

async fn end_revoked(store: &Store, live: &Live, seen: &mut Seen) -> Result<(), StoreError> {
    // The sessions are looked at every time, because a login may take until after its credential was revoked; and before the
    // store is, because whoever is live by now was let in by a credential that the store has by then.
    let live_now = live.credentials();
    let version = store.data_version().await?;
    if seen.version != Some(version) {
        // A look that failed half way is repeated.
        *seen = seen.next(version, store.usable_credentials().await?, store.connected_credentials().await?);
    }
    for credential in live_now {
        if let Some(why) = seen.why_ended(credential) {
            info!(credential = credential.0, "{why}");
            live.end(credential);
        }
    }
    Ok(())
}

/// Renews our own certificate before it ends, and takes up a configured one that was replaced, until Gatepost stops.
pub(super) async fn certificate(certificate: Certificate, stopping: CancellationToken) {
    let look = async {
        let mut ticks = interval(CERTIFICATE_LOOK);
        loop {
            ticks.tick().await;
            let renewed = certificate.source.files().and_then(|files| certificate.current.reload(&files));
            if let Err(error) = renewed {
                warn!("the certificate in use stays: {error}");
            }
        }
    };
    stopping.run_until_cancelled(look).await;
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]
mod tests {
    use std::sync::Arc;

    use gatepost_protocol::secret::Secret;

    use super::{Seen, end_revoked};
    use crate::session::live::Live;
    use crate::store::accounts::NewAccount;
    use crate::store::credentials::NewCredential;
    use crate::store::tests::open;

    #[tokio::test]
    async fn a_login_that_ends_after_its_credential_was_revoked_is_ended_too() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await.unwrap();
        let account = NewAccount {
            address: "ann@example.com".to_owned(),
            provider: "contoso".to_owned(),
            ..NewAccount::default()
        };
        let credential = NewCredential {
            user_name: "ann".to_owned(),
            mailbox: None,
            password_hash: Secret::new(String::new()),
            label: None,
        };
        let (_, credential) = store.add_account(&account, Some(&credential)).await.unwrap();
        let credential = credential.unwrap();
        let (live, mut seen) = (Arc::new(Live::default()), Seen::default());

        let early = live.enter(credential);
        end_revoked(&store, &live, &mut seen).await.unwrap();
        assert!(!early.ended.is_cancelled());
        store.revoke_credential(credential).await.unwrap();
        end_revoked(&store, &live, &mut seen).await.unwrap();
        assert!(early.ended.is_cancelled());
        // Its password was right before; the provider took its time.
        let late = live.enter(credential);
        end_revoked(&store, &live, &mut seen).await.unwrap();
        assert!(late.ended.is_cancelled());
    }
}
