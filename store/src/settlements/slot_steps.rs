//! What changes a slot: a transaction is signed, replaced, mined, taken back, or given up.
//!
//! Each change is one transaction of the database, so that at no time a settlement is in no state or in two.

use salt402_protocol::{B256, ChainId};

use crate::engine::{Changes, Step, SyncConnection, bound, chain_id, clock, params, send_step};
use crate::rows::{
    GasCost, SettlementOutcome, SettlementRow, SettlementState, Slot, SlotMined, SlotState, SlotTransaction,
    StoreError,
};
use crate::settlements::conclude::{apply, conclude, put};
use crate::settlements::slot_rows::{insert, is_carried, is_open, link, numbers, set_states};
use crate::settlements::{orders, slot_costs, taken_nonce};
use crate::store::Store;

impl Store {
    /// Puts settlements that wait into a slot, each by its number with the gas that it needs alone, and with the signed transaction that
    /// settles them. Nothing is written, and this is
    /// `false`, if one of them waits no more, or the slot has a transaction. A slot without settlements only uses a nonce up.
    /// Durable when this returns: send the transaction then, and not before.
    pub async fn assign_settlements(
        &self,
        chain: ChainId,
        transaction: SlotTransaction,
        orders: Vec<(u64, u64)>,
    ) -> Result<bool, StoreError> {
        send_step(self.jobs(), Change { chain, what: What::Assign(transaction, orders) }).await
    }

    /// Adds a transaction to a slot that is open. Nothing is written, and this is `false`, if the slot is not open. Durable when
    /// this returns.
    pub async fn replace_settlement_transaction(
        &self,
        chain: ChainId,
        transaction: SlotTransaction,
    ) -> Result<bool, StoreError> {
        send_step(self.jobs(), Change { chain, what: What::Replace(transaction) }).await
    }

    /// Writes down that a transaction of a slot was mined, and what it did to each settlement, at once. A settlement that is in
    /// another open slot by now keeps waiting for that one, unless it is settled. `false`, and nothing is written, if the slot
    /// does not have the transaction, or was given up.
    pub async fn note_slot_mined(&self, chain: ChainId, mined: SlotMined) -> Result<bool, StoreError> {
        send_step(self.jobs(), Change { chain, what: What::Mined(mined) }).await
    }

    /// Opens a slot again whose mined transaction left the chain, with all that it settled. Settlements by somebody else wait to
    /// be sent again.
    pub async fn reopen_slot(&self, chain: ChainId, slot: Slot) -> Result<bool, StoreError> {
        send_step(self.jobs(), Change { chain, what: What::Reopen(slot) }).await
    }

    /// Gives a slot up, because another's transaction has its nonce for good. Its settlements wait to be sent again. It is an
    /// incident.
    pub async fn void_slot(&self, chain: ChainId, slot: Slot) -> Result<bool, StoreError> {
        send_step(self.jobs(), Change { chain, what: What::Void(slot) }).await
    }

    /// Writes down that the mined transactions of slots are final. What was signed for them is deleted: the chain has it.
    pub async fn note_slots_final(
        &self,
        chain: ChainId,
        slots: Vec<(Slot, B256)>,
    ) -> Result<bool, StoreError> {
        send_step(self.jobs(), Change { chain, what: What::Final(slots) }).await
    }

    /// Writes down what became of a settlement without a slot: somebody else settled it, or it cannot be sent. `false`, and
    /// nothing is written, if it is in an open slot or settled.
    pub async fn conclude_settlement(
        &self,
        chain: ChainId,
        number: u64,
        outcome: SettlementOutcome,
    ) -> Result<bool, StoreError> {
        send_step(self.jobs(), Change { chain, what: What::Conclude(number, outcome) }).await
    }
}

struct Change {
    chain: ChainId,
    what: What,
}

enum What {
    Assign(SlotTransaction, Vec<(u64, u64)>),
    Replace(SlotTransaction),
    Mined(SlotMined),
    Reopen(Slot),
    Void(Slot),
    Final(Vec<(Slot, B256)>),
    Conclude(u64, SettlementOutcome),
}

/// A step, because one transaction may settle many.
impl Step for Change {
    type Output = bool;

    const KIND: &'static str = "settlements";

    // Who waits for a settlement is told by the one that settles.
    const WAKES: bool = false;

    fn write(&self, connection: &SyncConnection<'_>) -> Result<bool, StoreError> {
        let chain = self.chain;
        match &self.what {
            What::Assign(transaction, orders) => assign(connection, chain, transaction, orders),
            What::Replace(transaction) => replace(connection, chain, transaction),
            What::Mined(mined) => note_mined(connection, chain, mined),
            What::Reopen(slot) => reopen(connection, chain, *slot),
            What::Void(slot) => void(connection, chain, *slot),
            What::Final(slots) => finalize(connection, chain, slots),
            What::Conclude(number, outcome) => conclude(connection, chain, *number, outcome),
        }
    }

    fn changes(&self, _written: &bool, _connection: &SyncConnection<'_>) -> Changes {
        Changes::default()
    }
}

fn assign(
    connection: &SyncConnection<'_>,
    chain: ChainId,
    transaction: &SlotTransaction,
    orders: &[(u64, u64)],
) -> Result<bool, StoreError> {
    let is_taken = connection
        .prepare_cached(
            "SELECT 1 FROM settlement_transactions WHERE chain_id = ?1 AND signer = ?2 AND nonce = ?3",
        )?
        .exists(params![
            chain_id(chain),
            transaction.slot.signer.as_slice(),
            bound(transaction.slot.nonce)
        ])?;
    if is_taken {
        return Ok(false);
    }
    let mut rows = Vec::with_capacity(orders.len());
    for (number, gas_alone) in orders {
        match orders::numbered(connection, *number)? {
            Some((row, day)) if row.state == SettlementState::Queued && row.claimed.chain == chain => {
                rows.push((row, day, *gas_alone));
            }
            _ => return Ok(false),
        }
    }
    insert(connection, chain, transaction)?;
    for (row, day, gas_alone) in rows {
        link(connection, chain, transaction.slot, row.number, gas_alone)?;
        let next = SettlementRow { state: SettlementState::Sent, reason: None, detail: None, ..row.clone() };
        put(connection, &row, day, &next)?;
    }
    Ok(true)
}

fn replace(
    connection: &SyncConnection<'_>,
    chain: ChainId,
    transaction: &SlotTransaction,
) -> Result<bool, StoreError> {
    if !is_open(connection, chain, transaction.slot)? {
        return Ok(false);
    }
    insert(connection, chain, transaction)?;
    Ok(true)
}

fn note_mined(
    connection: &SyncConnection<'_>,
    chain: ChainId,
    mined: &SlotMined,
) -> Result<bool, StoreError> {
    let slot = mined.slot;
    let state: Option<String> = connection
        .prepare_cached(
            "SELECT state FROM settlement_transactions
             WHERE chain_id = ?1 AND signer = ?2 AND nonce = ?3 AND transaction_hash = ?4",
        )?
        .query_optional(
            params![chain_id(chain), slot.signer.as_slice(), bound(slot.nonce), mined.hash.as_slice()],
            |row| row.get(0),
        )?;
    // One that was given up, or is final, does not change any more.
    let changes = [SlotState::Open, SlotState::Mined, SlotState::Dropped].map(SlotState::name);
    if !state.is_some_and(|state| changes.contains(&state.as_str())) {
        return Ok(false);
    }
    set_states(connection, chain, slot, SlotState::Mined, SlotState::Dropped)?;
    set_states(connection, chain, slot, SlotState::Open, SlotState::Dropped)?;
    connection
        .prepare_cached(
            "UPDATE settlement_transactions SET state = 'mined', block_number = ?5, block_hash = ?6, changed_at_ms = ?7
             WHERE chain_id = ?1 AND signer = ?2 AND nonce = ?3 AND transaction_hash = ?4",
        )?
        .execute(params![
            chain_id(chain),
            slot.signer.as_slice(),
            bound(slot.nonce),
            mined.hash.as_slice(),
            bound(mined.block_number),
            mined.block_hash.as_slice(),
            clock::now_ms(),
        ])?;
    for (number, outcome) in &mined.outcomes {
        let at = (mined.hash, mined.block_number);
        let (SettlementOutcome::Settled { cost, .. }
        | SettlementOutcome::Failed { cost, .. }
        | SettlementOutcome::Again { cost, .. }) = outcome;
        slot_costs::note(connection, chain, slot, *number, *cost)?;
        apply(connection, chain, *number, outcome, Some(at))?;
    }
    Ok(true)
}

fn reopen(connection: &SyncConnection<'_>, chain: ChainId, slot: Slot) -> Result<bool, StoreError> {
    let mined: Option<Vec<u8>> = connection
        .prepare_cached(
            "SELECT transaction_hash FROM settlement_transactions
             WHERE chain_id = ?1 AND signer = ?2 AND nonce = ?3 AND state = 'mined'",
        )?
        .query_optional(params![chain_id(chain), slot.signer.as_slice(), bound(slot.nonce)], |row| {
            row.get(0)
        })?;
    let Some(mined) = mined.and_then(|hash| B256::try_from(hash.as_slice()).ok()) else { return Ok(false) };
    let numbers = numbers(connection, chain, slot)?;
    let is_ours = !slot.signer.is_zero();
    if is_ours {
        set_states(connection, chain, slot, SlotState::Mined, SlotState::Open)?;
        set_states(connection, chain, slot, SlotState::Dropped, SlotState::Open)?;
    } else {
        for statement in [
            "DELETE FROM settlement_transactions WHERE chain_id = ?1 AND signer = ?2 AND nonce = ?3",
            "DELETE FROM settlement_slots WHERE chain_id = ?1 AND signer = ?2 AND nonce = ?3",
        ] {
            connection.prepare_cached(statement)?.execute(params![
                chain_id(chain),
                slot.signer.as_slice(),
                bound(slot.nonce)
            ])?;
        }
    }
    for number in numbers {
        // What it cost is known again when it is mined again.
        slot_costs::note(connection, chain, slot, number, GasCost::default())?;
        let Some((row, day)) = orders::numbered(connection, number)? else { continue };
        let carried = is_carried(connection, number)?;
        let next = match row.state {
            SettlementState::Settled if row.transaction == Some(mined) => SettlementRow {
                state: if carried { SettlementState::Sent } else { SettlementState::Queued },
                detail: Some(format!("its transaction {mined} left the chain")),
                transaction: None,
                block: None,
                ..row.clone()
            },
            // It waits to be sent once more, and this slot's transaction may still settle it.
            SettlementState::Queued if carried => {
                SettlementRow { state: SettlementState::Sent, ..row.clone() }
            }
            _ => continue,
        };
        put(connection, &row, day, &next)?;
    }
    Ok(true)
}

fn void(connection: &SyncConnection<'_>, chain: ChainId, slot: Slot) -> Result<bool, StoreError> {
    if set_states(connection, chain, slot, SlotState::Open, SlotState::Void)? == 0 {
        return Ok(false);
    }
    for number in numbers(connection, chain, slot)? {
        let Some((row, day)) = orders::numbered(connection, number)? else { continue };
        if row.state != SettlementState::Sent || is_carried(connection, number)? {
            continue;
        }
        let detail = Some("another's transaction has the nonce of its transaction".to_owned());
        let next = SettlementRow { state: SettlementState::Queued, detail, ..row.clone() };
        put(connection, &row, day, &next)?;
    }
    taken_nonce::record(connection, chain, slot)?;
    Ok(true)
}

fn finalize(
    connection: &SyncConnection<'_>,
    chain: ChainId,
    slots: &[(Slot, B256)],
) -> Result<bool, StoreError> {
    let mut all = true;
    for (slot, hash) in slots {
        let changed = connection
            .prepare_cached(
                "UPDATE settlement_transactions SET state = 'final', changed_at_ms = ?5
                 WHERE chain_id = ?1 AND signer = ?2 AND nonce = ?3 AND transaction_hash = ?4 AND state = 'mined'",
            )?
            .execute(params![
                chain_id(chain),
                slot.signer.as_slice(),
                bound(slot.nonce),
                hash.as_slice(),
                clock::now_ms(),
            ])?;
        all &= changed == 1;
        // Neither it nor what it replaced is ever sent again.
        connection
            .prepare_cached(
                "UPDATE settlement_transactions SET raw = X''
                 WHERE chain_id = ?1 AND signer = ?2 AND nonce = ?3 AND state IN ('final', 'dropped')",
            )?
            .execute(params![chain_id(chain), slot.signer.as_slice(), bound(slot.nonce)])?;
    }
    Ok(all)
}
