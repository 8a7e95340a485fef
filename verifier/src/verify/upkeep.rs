//! The upkeep of grants that are not final: they are counted at the start, forgotten when they are final, and told to
//! the metrics.

use std::time::Duration;

use salt402_http::clock::now_ms;
use salt402_store::StoreError;

use crate::verify::inner::Inner;

/// A day, in milliseconds.
const DAY_MS: u64 = 24 * 3600 * 1000;

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Counts what was granted before limits were set, and forgets the rest of limits that were removed, because without
/// limits nothing is forgotten later. Call it at the start, before anything is verified.
pub(crate) async fn prepare(verifier: &Inner) -> Result<(), StoreError> {
    for policy in verifier.policies() {
        if policy.caps() {
            verifier.store.note_exposures(policy.chain, policy.rules.final_at).await?;
        } else {
            verifier.store.sweep_exposures(policy.chain, policy.rules.final_at, false).await?;
        }
    }
    Ok(())
}

/// Forgets grants that are final, and sets the metrics of the others. Call it every few seconds.
pub(crate) async fn upkeep(verifier: &Inner) -> Result<(), StoreError> {
    for policy in verifier.policies().filter(|policy| policy.caps()) {
        verifier.store.sweep_exposures(policy.chain, policy.rules.final_at, true).await?;
        let exposures = verifier.store.exposures(policy.chain, policy.rules.final_at).await?;
        // There are as many series as limits, whatever payers pay with.
        for cap in &policy.rules.exposure {
            let known = exposures.iter().find(|exposure| exposure.asset == cap.asset);
            let labels = [("chain", policy.chain.to_string()), ("asset", cap.asset.to_string())];
            // For people to look at. Decisions use the exact number in the store.
            let units = known.map_or(0.0, |known| f64::from(known.amount.0));
            metrics::gauge!("salt402_exposure", &labels).set(units);
            metrics::gauge!("salt402_exposed_payers", &labels)
                .set(known.map_or(0.0, |known| known.payers as f64));
        }
    }
    // Whoever comes later than that is refused by age, and by what is on the chain.
    let oldest = now_ms().saturating_sub(millis(verifier.policy.max_age).saturating_add(DAY_MS));
    while verifier.store.prune_reservations(oldest).await? {}
    let memory = verifier.store.memory_use();
    metrics::counter!("salt402_store_lookups_total", "from" => "memory").absolute(memory.hits);
    metrics::counter!("salt402_store_lookups_total", "from" => "database").absolute(memory.misses);
    metrics::gauge!("salt402_store_memory_bytes").set(memory.bytes as f64);
    metrics::gauge!("salt402_waiting_requests").set(verifier.waiting() as f64);
    Ok(())
}
