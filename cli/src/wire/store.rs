//! Databases: how a gateway's own is opened, and how kept answers are dropped.

use std::path::PathBuf;
use std::time::Duration;

use salt402_http::clock;
use salt402_store::{Options, Store};
use tokio_util::sync::CancellationToken;

/// How often kept answers are checked for old ones.
const EVICT: Duration = Duration::from_secs(60);

/// A database in which no payment is looked up.
pub(super) fn without_memory(path: PathBuf) -> Options {
    Options { memory: 0, ..Options::new(path) }
}

/// Drops kept answers that are too old or exceed the allowed bytes.
pub(super) async fn evict_answers(
    store: Store,
    keep: Duration,
    bytes: u64,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    loop {
        tokio::select! {
            () = tokio::time::sleep(EVICT) => {}
            () = stop.cancelled() => return Ok(()),
        }
        let before = u64::try_from(clock::now().saturating_sub(keep).as_millis()).unwrap_or(0);
        match store.evict_outcomes(before, bytes).await {
            Ok(0) => {}
            Ok(dropped) => tracing::info!(dropped, "old answers are no longer kept"),
            Err(error) => tracing::warn!(%error, "old answers could not be dropped"),
        }
    }
}
