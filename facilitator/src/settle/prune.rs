//! Old attempts are deleted now and then, and signatures that cannot be needed any more.

use std::time::Duration;

use salt402_http::clock;
use salt402_protocol::ChainId;
use salt402_store::{SettlementRow, SettlementState, Store, StoreError};

use crate::settle::kept::Kept;

/// How often old attempts are deleted.
const PRUNE_EVERY: Duration = Duration::from_secs(600);

/// For how long the signature of a settlement is kept after its end.
const KEEP_SIGNATURES: Duration = Duration::from_secs(24 * 60 * 60);
/// How many signatures are forgotten in one go.
const AT_A_TIME: u32 = 200;

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
        let ended = u64::try_from(KEEP_SIGNATURES.as_millis()).unwrap_or(u64::MAX);
        if let Err(error) = forget_signatures(&store, clock::now_ms().saturating_sub(ended)).await {
            tracing::warn!(%error, "signatures of old settlements could not be forgotten");
        }
        tokio::time::sleep(PRUNE_EVERY).await;
    }
}

/// Forgets the signatures of settlements that ended before a time, in milliseconds since 1970 UTC.
pub(super) async fn forget_signatures(store: &Store, before_ms: u64) -> Result<(), StoreError> {
    for state in [SettlementState::Settled, SettlementState::Failed] {
        loop {
            let rows = store.settlements_still_signed(state, before_ms, AT_A_TIME).await?;
            if rows.is_empty() {
                break;
            }
            let shortened: Vec<SettlementRow> = rows.into_iter().map(Kept::shortened).collect();
            store.forget_signatures(shortened).await?;
        }
    }
    Ok(())
}
