//! What a running Gatepost looks at from time to time: the store, which commands change, and the certificate, which ends.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Certificate;
use crate::session::live::Live;
use crate::store::{Store, StoreError};

/// How often the store is asked whether somebody has changed it.
const STORE_LOOK: Duration = Duration::from_secs(1);

/// How often the certificate's files are looked at.
const CERTIFICATE_LOOK: Duration = Duration::from_hours(1);

/// Ends the sessions of credentials that were revoked, by whichever process, until Gatepost stops.
pub(super) async fn store(store: Store, live: Arc<Live>, stopping: CancellationToken) {
    let mut seen = None;
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

async fn end_revoked(store: &Store, live: &Live, seen: &mut Option<i64>) -> Result<(), StoreError> {
    let version = store.data_version().await?;
    if *seen == Some(version) {
        return Ok(());
    }
    let usable = store.usable_credentials().await?;
    for revoked in live.credentials().into_iter().filter(|credential| !usable.contains(credential)) {
        info!(credential = revoked.0, "credential revoked or account disabled: its sessions end");
        live.end(revoked);
    }
    // Only now: a look that failed half way is repeated.
    *seen = Some(version);
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
