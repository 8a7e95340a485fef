//! What became of a settlement, written down with all that follows from it.

use salt402_protocol::{Address, B256, ChainId};

use crate::engine::{SyncConnection, bound, clock, params};
use crate::incidents::incident::{self, IncidentKind, NewIncident};
use crate::rows::{
    Elsewhere, SettlementOutcome, SettlementRow, SettlementState, Slot, SlotState, SlotTransaction,
    StoreError,
};
use crate::settlements::slot_rows::{insert, is_carried, link};
use crate::settlements::{attempts, gas, orders};

pub(super) fn conclude(
    connection: &SyncConnection<'_>,
    chain: ChainId,
    number: u64,
    outcome: &SettlementOutcome,
) -> Result<bool, StoreError> {
    let Some((row, _)) = orders::numbered(connection, number)? else { return Ok(false) };
    if row.state == SettlementState::Settled || is_carried(connection, number)? {
        return Ok(false);
    }
    apply(connection, chain, number, outcome, None)?;
    Ok(true)
}

/// Writes down what became of a settlement, in the transaction `at` if one of its slot did it.
pub(super) fn apply(
    connection: &SyncConnection<'_>,
    chain: ChainId,
    number: u64,
    outcome: &SettlementOutcome,
    at: Option<(B256, u64)>,
) -> Result<(), StoreError> {
    let Some((row, day)) = orders::numbered(connection, number)? else { return Ok(()) };
    let next = match outcome {
        SettlementOutcome::Settled { elsewhere, .. } => {
            if let Some(elsewhere) = elsewhere {
                insert_elsewhere(connection, chain, number, elsewhere)?;
            }
            let here = elsewhere.map(|found| (found.transaction, found.block_number)).or(at);
            SettlementRow {
                state: SettlementState::Settled,
                reason: None,
                detail: None,
                again: false,
                settled_once: true,
                transaction: here.map(|(hash, _)| hash),
                block: here.map(|(_, number)| number),
                ..row.clone()
            }
        }
        // Another transaction settled it, or may yet.
        _ if row.state == SettlementState::Settled || is_carried(connection, number)? => row.clone(),
        SettlementOutcome::Failed { reason, detail, again, .. } => SettlementRow {
            state: SettlementState::Failed,
            reason: Some(reason.clone()),
            detail: Some(detail.clone()),
            again: *again && !row.settled_once,
            transaction: at.map(|(hash, _)| hash),
            block: at.map(|(_, number)| number),
            ..row.clone()
        },
        SettlementOutcome::Again { detail, .. } => SettlementRow {
            state: SettlementState::Queued,
            reason: None,
            detail: Some(detail.clone()),
            again: false,
            transaction: None,
            block: None,
            ..row.clone()
        },
    };
    put(connection, &row, day, &next)?;
    if next.state == SettlementState::Settled {
        incident::resolve_lost_settlement(connection, chain, row.claimed.payment)?;
    }
    if let SettlementOutcome::Failed { detail, .. } = outcome
        && next.state == SettlementState::Failed
        && row.settled_once
    {
        incident::record_lost_settlement(
            connection,
            &NewIncident {
                kind: IncidentKind::SettlementLost,
                chain,
                payment: row.claimed.payment,
                transaction: at.map(|(hash, _)| hash).or(row.transaction).unwrap_or_default(),
                occurrences: 1,
                detail,
            },
        )?;
    }
    Ok(())
}

fn insert_elsewhere(
    connection: &SyncConnection<'_>,
    chain: ChainId,
    number: u64,
    elsewhere: &Elsewhere,
) -> Result<(), StoreError> {
    let slot = Slot { signer: Address::ZERO, nonce: number };
    let transaction = SlotTransaction {
        slot,
        hash: elsewhere.transaction,
        raw: Vec::new(),
        carries: true,
        gas_limit: 0,
        max_fee_per_gas: 0,
        tip: 0,
        state: SlotState::Mined,
        block: Some((elsewhere.block_number, elsewhere.block_hash)),
    };
    insert(connection, chain, &transaction)?;
    link(connection, chain, slot, number, 0)
}

/// Writes a settlement as it stands now, changes the sums of gas by what it may use no more, or again, and notes a change of its state.
pub(super) fn put(
    connection: &SyncConnection<'_>,
    old: &SettlementRow,
    day: i64,
    new: &SettlementRow,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "UPDATE settlement_orders
             SET state = ?2, reason = ?3, detail = ?4, again = ?5, transaction_hash = ?6, block_number = ?7,
                 changed_at_ms = ?8, settled_once = ?9
             WHERE id = ?1",
        )?
        .execute(params![
            bound(new.number),
            new.state.name(),
            new.reason,
            new.detail,
            new.again,
            new.transaction.map(|hash| hash.to_vec()),
            new.block.map(bound),
            clock::now_ms(),
            new.settled_once,
        ])?;
    let held = |row: &SettlementRow| gas::held(row.state, row.claimed.gas);
    gas::change(connection, new, day, held(new) - held(old))?;
    if new.state != old.state {
        attempts::note(connection, new)?;
    }
    Ok(())
}
