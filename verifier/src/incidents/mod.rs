//! What an operator must know of: how it is told, counted, and noticed here.

mod replays;

use std::time::Duration;

use salt402_protocol::api::IncidentView;
use salt402_store::{Incident, Store};
use tokio_util::sync::CancellationToken;

pub(crate) use self::replays::ReplayLog;

/// How often incidents are counted.
const EVERY: Duration = Duration::from_secs(5);

/// An incident as it is told.
pub(crate) fn view(incident: Incident) -> IncidentView {
    IncidentView {
        id: incident.id,
        kind: incident.kind.to_string(),
        chain: incident.chain,
        payment_id: incident.payment,
        transaction: incident.transaction,
        payer: incident.payer,
        settled: incident.settled,
        opened_at_ms: incident.opened_at_ms,
        resolved_at_ms: incident.resolved_at_ms,
        occurrences: incident.occurrences,
        changed_at_ms: incident.changed_at_ms,
        detail: incident.detail,
    }
}

/// Keeps the gauges `salt402_incidents`, by kind and state, until `stop`.
pub async fn count_incidents(store: Store, stop: CancellationToken) {
    loop {
        match store.incident_counts().await {
            Ok(counts) => {
                for count in counts {
                    let gauge = |state, number: u64| {
                        let kind = count.kind.name();
                        metrics::gauge!("salt402_incidents", "kind" => kind, "state" => state)
                            .set(number as f64);
                    };
                    gauge("open", count.open);
                    gauge("closed", count.all.saturating_sub(count.open));
                }
            }
            Err(error) => tracing::warn!(%error, "incidents could not be counted"),
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = stop.cancelled() => return,
        }
    }
}
