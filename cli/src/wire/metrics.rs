//! Metrics: the recorder, and the gauges that must be set from time to time.

use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::wire::running::Running;

/// How often gauges are set.
const MEASURE: Duration = Duration::from_secs(1);
/// After how long without a write the store is tested, so that a full disk is known before somebody pays.
const QUIET: Duration = Duration::from_secs(3);

/// Histograms have buckets, so that those of several processes can be added up. Without buckets they would be
/// summaries.
pub(super) fn recorder() -> anyhow::Result<PrometheusBuilder> {
    const SECONDS: &[f64] = &[
        0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
        10.0, 30.0, 60.0,
    ];
    /// How many settlements are in one transaction.
    const TOGETHER: &[f64] = &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0];
    const BLOCKS: &[f64] = &[1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 21.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0];
    Ok(PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_batch".into()), TOGETHER)?
        .set_buckets_for_metric(Matcher::Suffix("_depth".into()), BLOCKS)?)
}

/// From time to time, empties the histograms, also if nobody asks for them, and sets the gauges that nothing else sets.
pub(super) fn keep_up(running: &mut Running, metrics: PrometheusHandle, stop: CancellationToken) {
    let (stores, followers) = (running.stores.clone(), running.followers.clone());
    let since = Instant::now();
    running.tasks.spawn(async move {
        let mut every = tokio::time::interval(MEASURE);
        loop {
            tokio::select! {
                _ = every.tick() => {}
                () = stop.cancelled() => return Ok(()),
            }
            for (chain, health) in &followers {
                health.borrow().measure(*chain, since);
            }
            for store in &stores {
                // Nothing here waits for a disk.
                let trying = store.clone();
                tokio::spawn(async move { trying.try_writing(QUIET).await });
                if let Err(error) = store.set_gauges().await {
                    tracing::debug!(%error, "the store could not be measured");
                }
            }
            metrics.run_upkeep();
        }
    });
}
