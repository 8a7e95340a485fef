//! Old attempts are deleted, now and then.

use std::time::Duration;

use salt402_http::clock;
use salt402_protocol::ChainId;
use salt402_store::Store;

/// How often old attempts are deleted.
const PRUNE_EVERY: Duration = Duration::from_secs(600);

/// Deletes attempts that are older than `keep`, until the end of the process.
pub(super) async fn prune(store: Store, chains: Vec<ChainId>, keep: Duration) {
    let keep = u64::try_from(keep.as_millis()).unwrap_or(u64::MAX);
    loop {
        let before = clock::now_ms().saturating_sub(keep);
        for chain in &chains {
            loop {
                match store.prune_settlement_attempts(*chain, before).await {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => {
                        tracing::warn!(%error, "old attempts to settle could not be deleted");
                        break;
                    }
                }
            }
        }
        tokio::time::sleep(PRUNE_EVERY).await;
    }
}
