//! Incidents: what an operator must know. Here they are counted, and replays are noticed.

pub(crate) mod replays;

use std::collections::BTreeSet;
use std::time::Duration;

use salt402_protocol::api::{ChannelRiskView, IncidentView};
use salt402_protocol::{ChainId, U256};
use salt402_store::{Incident, Store, StoreError};
use tokio_util::sync::CancellationToken;

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
        payer: incident.payer.or(incident.risk.and_then(|risk| risk.payer)),
        settled: incident.settled,
        opened_at_ms: incident.opened_at_ms,
        resolved_at_ms: incident.resolved_at_ms,
        occurrences: incident.occurrences,
        changed_at_ms: incident.changed_at_ms,
        detail: incident.detail,
        channel: incident.risk.map(|risk| ChannelRiskView {
            contract: risk.contract,
            id: risk.channel,
            asset: risk.asset,
            spent: risk.spent,
            claimed: risk.claimed,
            unclaimed: risk.unclaimed(),
            reason: risk.reason.to_string(),
            exit_at: risk.exit_at,
        }),
    }
}

/// Keeps these gauges up to date until `stop`: `salt402_incidents`, by chain, kind and state, and what was accepted by
/// vouchers on some chains and not claimed.
pub async fn count_incidents(store: Store, chains: Vec<ChainId>, stop: CancellationToken) {
    let mut shown = BTreeSet::new();
    loop {
        if let Err(error) = count_unreadable(&store).await {
            tracing::warn!(%error, "what could not be read was not counted");
        }
        for chain in &chains {
            if let Err(error) = count_vouchers(&store, *chain, &mut shown).await {
                tracing::warn!(%error, "what was accepted by vouchers could not be added up");
            }
            if let Err(error) = count_kinds(&store, *chain).await {
                tracing::warn!(%error, "incidents could not be counted");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// How many transactions of each chain could not be read.
async fn count_unreadable(store: &Store) -> Result<(), StoreError> {
    for (chain, unreadable) in store.counts().await?.unreadable {
        metrics::gauge!("salt402_indexer_unreadable", "chain" => chain.to_string()).set(unreadable as f64);
    }
    Ok(())
}

/// The incidents of one chain.
async fn count_kinds(store: &Store, chain: ChainId) -> Result<(), StoreError> {
    for count in store.incident_counts(chain).await? {
        let gauge = |state, number: u64| {
            let (chain, kind) = (chain.to_string(), count.kind.name());
            metrics::gauge!("salt402_incidents", "chain" => chain, "kind" => kind, "state" => state)
                .set(number as f64);
        };
        gauge("open", count.open);
        gauge("closed", count.all.saturating_sub(count.open));
    }
    Ok(())
}

/// The gauges of one chain. A gauge that was set once is set until it is zero, and then to zero.
async fn count_vouchers(
    store: &Store,
    chain: ChainId,
    shown: &mut BTreeSet<(ChainId, String)>,
) -> Result<(), StoreError> {
    let show = |asset: &str, unclaimed: U256, at_risk: U256| {
        let labels = [("chain", chain.to_string()), ("asset", asset.to_owned())];
        metrics::gauge!("salt402_vouchers_unclaimed", &labels).set(f64::from(unclaimed));
        metrics::gauge!("salt402_vouchers_at_risk", &labels).set(f64::from(at_risk));
    };
    let totals = store.voucher_totals(chain).await?;
    for (of, asset) in shown.iter().filter(|(of, _)| *of == chain) {
        if !totals.iter().any(|total| *of == chain && total.asset.to_string() == *asset) {
            show(asset, U256::ZERO, U256::ZERO);
        }
    }
    for total in totals {
        let asset = total.asset.to_string();
        show(&asset, total.unclaimed.0, total.at_risk.0);
        shown.insert((chain, asset));
    }
    Ok(())
}
