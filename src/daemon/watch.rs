//! What a running Gatepost looks at from time to time: the store, which commands change, and the certificate, which ends.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::certificate::Certificate;
use crate::account::CredentialId;
use crate::session::live::{LetIn, Live};
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
            match end_withdrawn(&store, &live, &mut seen).await {
                Ok(()) => {}
                Err(error) => warn!("cannot look for what was withdrawn: {error}"),
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
}

impl Seen {
    /// Why sessions that were let in so must end; `None` if they need not.
    fn why_ended(&self, LetIn { credential, by_person }: LetIn) -> Option<&'static str> {
        if !self.usable.contains(&credential) {
            return Some("credential revoked or account disabled: its sessions end");
        }
        (by_person && !self.connected.contains(&credential))
            .then_some("account disconnected: its sessions end")
    }
}

async fn end_withdrawn(store: &Store, live: &Live, seen: &mut Seen) -> Result<(), StoreError> {
    // The sessions are looked at every time, because a login may take until after its credential was revoked; and before the
    // store is, because whoever is live by now was let in by what the store has by then.
    let live_now = live.let_in();
    if live_now.is_empty() {
        return Ok(());
    }
    let version = store.data_version().await?;
    if seen.version != Some(version) {
        // A look that failed half way is repeated.
        let (usable, connected) = (store.usable_credentials().await?, store.connected_credentials().await?);
        *seen = Seen { version: Some(version), usable, connected };
    }
    for let_in in live_now {
        if let Some(why) = seen.why_ended(let_in) {
            info!(credential = let_in.credential.0, "{why}");
            live.end(let_in.credential);
        }
    }
    Ok(())
}

/// Renews our own certificate before it ends, and takes up a configured one that was replaced, until Gatepost stops.
pub(super) async fn certificate(certificate: Arc<Certificate>, stopping: CancellationToken) {
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
    use std::time::SystemTime;

    use gatepost_protocol::secret::Secret;
    use tokio_util::sync::CancellationToken;

    use super::{Seen, end_withdrawn};
    use crate::session::live::{Live, LiveSession};
    use crate::store::accounts::NewAccount;
    use crate::store::credentials::NewCredential;
    use crate::store::grants::{GrantKey, NewTokens};
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
        let drained = CancellationToken::new();

        let early = live.enter(credential, false, &drained);
        end_withdrawn(&store, &live, &mut seen).await.unwrap();
        assert!(!early.ended.is_cancelled());
        store.revoke_credential(credential).await.unwrap();
        end_withdrawn(&store, &live, &mut seen).await.unwrap();
        assert!(early.ended.is_cancelled());
        // Its password was right before; the provider took its time.
        let late = live.enter(credential, false, &drained);
        end_withdrawn(&store, &live, &mut seen).await.unwrap();
        assert!(late.ended.is_cancelled());
    }

    #[tokio::test]
    async fn sessions_end_with_the_consent_or_password_that_let_them_in_and_not_without_one() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await.unwrap();
        let account = NewAccount {
            address: "ann@example.com".to_owned(),
            provider: "contoso".to_owned(),
            ..NewAccount::default()
        };
        let credential = |name: &str| NewCredential {
            user_name: name.to_owned(),
            mailbox: None,
            password_hash: Secret::new(String::new()),
            label: None,
        };
        let (ann, scanner) = store.add_account(&account, Some(&credential("ann"))).await.unwrap();
        let shared =
            NewAccount { address: "office@example.com".to_owned(), token_account: Some(ann), ..account };
        let (_, office) = store.add_account(&shared, Some(&credential("office"))).await.unwrap();
        let (live, mut seen) = (Arc::new(Live::default()), Seen::default());
        let drained = CancellationToken::new();
        let secret = || Secret::new("a".to_owned());
        let tokens = NewTokens {
            access_token: secret(),
            refresh_token: None,
            issued_at: SystemTime::now(),
            expires_at: SystemTime::now(),
            scopes: Vec::new(),
            identity: None,
        };
        let key = GrantKey::Account(ann);
        let read = store.replace_grant(&key, &tokens).await.unwrap();
        let sessions = [scanner, office].map(|one| live.enter(one.unwrap(), true, &drained));
        // One that the application itself was let in by has no consent to lose.
        let by_application = live.enter(scanner.unwrap(), false, &drained);
        end_withdrawn(&store, &live, &mut seen).await.unwrap();
        let ended = |session: &LiveSession| session.ended.is_cancelled();
        assert!(!sessions.iter().chain([&by_application]).any(ended));
        drop(by_application);
        store.forget_grant(&key, read).await.unwrap();
        end_withdrawn(&store, &live, &mut seen).await.unwrap();
        assert!(sessions.iter().all(ended), "the shared mailbox's too");

        store.replace_mailbox_password(ann, &secret()).await.unwrap();
        let by_password = live.enter(scanner.unwrap(), true, &drained);
        end_withdrawn(&store, &live, &mut seen).await.unwrap();
        assert!(!ended(&by_password));
        store.forget_mailbox_password(ann).await.unwrap();
        end_withdrawn(&store, &live, &mut seen).await.unwrap();
        assert!(ended(&by_password));
    }
}
