//! What the index and the claims say, for people and programs that only read.

use std::collections::HashSet;

use alloy_primitives::B256;
use salt402_http::clock::now_s;
use salt402_protocol::api::{
    AmbiguitiesResponse, AmbiguityView, ChainStatus, ChannelView, IncidentsResponse, PaymentsResponse,
    StatusResponse, VouchersStatus,
};
use salt402_protocol::{ChainId, Code, Problem};
use salt402_store::{AmbiguityRow, IncidentFilter, Refunded, VoucherTotals};

use crate::incidents::view as incident_view;
use crate::verify::freshness::IndexState;
use crate::verify::inner::{Inner, VerifierChain};
use crate::verify::payment_view::{refund_view, view};
use crate::verify::readiness::seen;
use crate::verify::refusals::internal;

/// What the index knows of a transaction.
pub(crate) async fn payments(
    verifier: &Inner,
    chain: ChainId,
    transaction: B256,
) -> Result<PaymentsResponse, Problem> {
    verifier.chain(chain)?;
    let payments = verifier.store.payments_in(chain, transaction).await.map_err(internal)?;
    // What several payments of one reference have in common is told once.
    let given_back = payments.iter().filter(|payment| payment.refunded.is_some());
    let given_back: HashSet<Refunded> =
        given_back.map(|payment| Refunded::of(&payment.placed.payment)).collect();
    let mut refunds = Vec::new();
    for of in given_back {
        let known = verifier.store.refunds(of).await.map_err(internal)?;
        refunds.extend(known.indexed.iter().map(|refund| refund_view(of, refund)));
    }
    refunds.sort_by_key(|refund| (refund.block_number, refund.transaction));
    Ok(PaymentsResponse { payments: payments.iter().map(view).collect(), refunds })
}

/// What the index knows of a channel, and what was accepted of it. For the contract whose vouchers are accepted, or were.
pub(crate) async fn channel(verifier: &Inner, chain: ChainId, id: B256) -> Result<ChannelView, Problem> {
    let policy = &verifier.chain(chain)?.policy;
    let Some(contract) = policy.channels else {
        let detail = format!("no vouchers are taken on {chain}, so none of its channels is told");
        return Err(Problem::new(Code::NotFound, detail));
    };
    for contract in std::iter::once(&contract).chain(&policy.past_channels) {
        let known = verifier.store.channel_account(chain, *contract, id).await.map_err(internal)?;
        if let Some(known) = known {
            return Ok(known.view(chain));
        }
    }
    Err(Problem::new(Code::NotFound, format!("no channel {id} of {contract} has been seen on {chain}")))
}

/// Incidents, the newest first, at most `limit`.
pub(crate) async fn incidents(
    verifier: &Inner,
    filter: &IncidentFilter,
    limit: u32,
) -> Result<IncidentsResponse, Problem> {
    let incidents = verifier.store.incidents_where(filter, limit).await.map_err(internal)?;
    let full = incidents.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
    let next_cursor = incidents.last().filter(|_| full).map(|incident| incident.id.to_string());
    Ok(IncidentsResponse { incidents: incidents.into_iter().map(incident_view).collect(), next_cursor })
}

/// The ambiguities of a chain, the newest first, at most `limit`, of those with a number below `before`.
pub(crate) async fn ambiguities(
    verifier: &Inner,
    chain: ChainId,
    before: Option<u64>,
    limit: u32,
) -> Result<AmbiguitiesResponse, Problem> {
    verifier.chain(chain)?;
    let rows = verifier.store.ambiguities(chain, before, limit).await.map_err(internal)?;
    let full = rows.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
    let next_cursor = rows.last().filter(|_| full).map(|row| row.id.to_string());
    let view = |row: AmbiguityRow| AmbiguityView {
        id: row.id,
        chain,
        transaction: row.transaction,
        contract: row.contract,
        reason: row.reason,
        block_number: row.block_number,
        block_hash: row.block_hash,
    };
    Ok(AmbiguitiesResponse { ambiguities: rows.into_iter().map(view).collect(), next_cursor })
}

/// How things are.
pub(crate) async fn status(verifier: &Inner) -> Result<StatusResponse, Problem> {
    let mut status = readiness(verifier).await?;
    for chain in &mut status.chains {
        let totals = verifier.store.voucher_totals(chain.chain).await.map_err(internal)?;
        chain.vouchers = totals.iter().map(accepted).collect();
    }
    Ok(status)
}

/// [`status`] without anything that must be added up, so that it can be asked for often.
pub(crate) async fn readiness(verifier: &Inner) -> Result<StatusResponse, Problem> {
    let counts = verifier.store.counts().await.map_err(internal)?;
    let mut chains = Vec::with_capacity(verifier.chains.len());
    let unwritable = verifier.store.writable().err().map(|error| error.to_string());
    for chain in verifier.chains.values() {
        let VerifierChain { policy, freshness, lookup, .. } = chain;
        let mut seen = seen(verifier, chain).await.map_err(internal)?;
        seen.complaint = unwritable.clone().or(seen.complaint);
        chains.push(ChainStatus {
            chain: policy.chain,
            network: policy.network.clone(),
            payment_contract: policy.contract,
            indexed: seen.indexed,
            head: seen.head,
            behind_s: behind_s(verifier, policy.chain, &seen).await?,
            reorganizations: seen.reorganizations,
            phase: seen.phase.map(ToOwned::to_owned),
            payments: counts.payments.get(&policy.chain).copied().unwrap_or(0),
            open_incidents: counts.open_incidents_of.get(&policy.chain).copied().unwrap_or(0),
            unreadable: counts.unreadable.get(&policy.chain).copied().unwrap_or(0),
            ready: seen.complaint.is_none(),
            reason: seen.complaint,
            covered: freshness
                .covered(&verifier.store, policy.chain, seen.indexed)
                .await
                .map_err(internal)?,
            unread: freshness.unread(&verifier.store, policy.chain).await.map_err(internal)?,
            vouchers: Vec::new(),
            nodes: lookup.nodes(),
        });
    }
    Ok(StatusResponse {
        version: verifier.version.clone(),
        ready: chains.iter().all(|chain| chain.ready),
        chains,
        open_incidents: counts.open_incidents,
        claims: counts.claims,
        waiting: verifier.waiting(),
    })
}

/// How long ago the newest indexed block was made, if the node has newer ones.
async fn behind_s(verifier: &Inner, chain: ChainId, seen: &IndexState) -> Result<Option<u64>, Problem> {
    let Some(indexed) = seen.indexed else { return Ok(None) };
    if seen.head.is_some_and(|head| head <= indexed) {
        return Ok(Some(0));
    }
    let block = verifier.store.canonical_block(chain, indexed).await.map_err(internal)?;
    Ok(block.map(|block| now_s().saturating_sub(block.timestamp)))
}

fn accepted(totals: &VoucherTotals) -> VouchersStatus {
    let VoucherTotals { asset, unclaimed, at_risk, channels_at_risk } = *totals;
    VouchersStatus { asset, unclaimed, at_risk, channels_at_risk }
}
