//! Slots: a signer's nonces, the transactions that were signed for each, and what a mined one did.
//!
//! Each change is one transaction of the database, so that at no time a settlement is in no state or in two.

use salt402_protocol::{Address, Amount, B256, ChainId};

use crate::engine::{
    AsyncRow, Changes, Columns as _, Step, SyncConnection, amount_bytes, bound, chain_id, clock, params,
    query, send_step,
};
use crate::incidents::incident::{self, IncidentKind, NewIncident};
use crate::rows::{
    Elsewhere, GasCost, MinedSlot, OpenSlot, SettlementOutcome, SettlementRow, SettlementState, Slot,
    SlotMined, SlotState, SlotTransaction, StoreError,
};
use crate::settlements::{attempts, gas, orders};
use crate::store::Store;

impl Store {
    /// Puts settlements that wait into a slot, with the signed transaction that settles them. Nothing is written, and this is
    /// `false`, if one of them waits no more, or the slot has a transaction. A slot without settlements only uses a nonce up.
    /// Durable when this returns: send the transaction then, and not before.
    pub async fn assign_settlements(
        &self,
        chain: ChainId,
        transaction: SlotTransaction,
        numbers: Vec<u64>,
    ) -> Result<bool, StoreError> {
        send_step(self.jobs(), Change { chain, what: What::Assign(transaction, numbers) }).await
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

    /// Writes down that the mined transactions of slots are final.
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

    /// The slots of a chain with transactions that may be mined, by signer and nonce.
    pub async fn open_slots(&self, chain: ChainId) -> Result<Vec<OpenSlot>, StoreError> {
        let mut reader = self.reader().await?;
        let rows = query(
            "SELECT * FROM settlement_transactions INDEXED BY settlement_transactions_open
             WHERE chain_id = $1 AND state = 'open' ORDER BY signer, nonce",
        )
        .bind(chain_id(chain))
        .fetch_all(reader.connection()?)
        .await?;
        let mut slots: Vec<OpenSlot> = Vec::new();
        for row in &rows {
            let transaction = transaction_of(row)?;
            match slots.last_mut() {
                Some(last) if last.slot == transaction.slot => last.transactions.push(transaction),
                _ => {
                    slots.push(OpenSlot {
                        slot: transaction.slot,
                        transactions: vec![transaction],
                        orders: Vec::new(),
                    });
                }
            }
        }
        for open in &mut slots {
            // Of equal fees, none replaces the other, and the order is that of the hashes.
            open.transactions.sort_by_key(|transaction| transaction.max_fee_per_gas);
            let rows = query(
                "SELECT order_id FROM settlement_slots WHERE chain_id = $1 AND signer = $2 AND nonce = $3
                 ORDER BY order_id",
            )
            .bind(chain_id(chain))
            .bind(open.slot.signer.to_vec())
            .bind(bound(open.slot.nonce))
            .fetch_all(reader.connection()?)
            .await?;
            open.orders = rows.iter().map(|row| row.number("order_id")).collect::<Result<_, _>>()?;
        }
        Ok(slots)
    }

    /// The transactions of a chain that were mined and are not final, the lowest first, and whether their blocks are on the
    /// chain.
    pub async fn mined_slots(&self, chain: ChainId) -> Result<Vec<MinedSlot>, StoreError> {
        let mut reader = self.reader().await?;
        let rows = query(
            "SELECT t.signer, t.nonce, t.transaction_hash, t.block_number, t.block_hash,
                    EXISTS (SELECT 1 FROM blocks b
                            WHERE b.chain_id = t.chain_id AND b.hash = t.block_hash AND b.canonical) AS canonical
             FROM settlement_transactions t WHERE t.chain_id = $1 AND t.state = 'mined' ORDER BY t.block_number",
        )
        .bind(chain_id(chain))
        .fetch_all(reader.connection()?)
        .await?;
        let of = |row: &AsyncRow| {
            Ok(MinedSlot {
                slot: slot_of(row)?,
                hash: row.hash("transaction_hash")?,
                block_number: row.number("block_number")?,
                block_hash: row.hash("block_hash")?,
                canonical: row.flag("canonical")?,
            })
        };
        rows.iter().map(of).collect()
    }

    /// The highest nonce of an account that a transaction of any slot has.
    pub async fn last_slot_nonce(&self, chain: ChainId, signer: Address) -> Result<Option<u64>, StoreError> {
        let mut reader = self.reader().await?;
        let row = query(
            "SELECT MAX(nonce) AS nonce FROM settlement_transactions WHERE chain_id = $1 AND signer = $2",
        )
        .bind(chain_id(chain))
        .bind(signer.to_vec())
        .fetch_one(reader.connection()?)
        .await?;
        row.maybe_number("nonce")
    }

    /// All transactions that were signed for a settlement, by signer and nonce.
    pub async fn settlement_transactions(&self, number: u64) -> Result<Vec<SlotTransaction>, StoreError> {
        let mut reader = self.reader().await?;
        let rows = query(
            "SELECT t.* FROM settlement_slots s
             JOIN settlement_transactions t ON t.chain_id = s.chain_id AND t.signer = s.signer AND t.nonce = s.nonce
             WHERE s.order_id = $1",
        )
        .bind(bound(number))
        .fetch_all(reader.connection()?)
        .await?;
        let mut transactions = rows.iter().map(transaction_of).collect::<Result<Vec<_>, _>>()?;
        transactions.sort_by_key(|transaction| (transaction.slot, transaction.max_fee_per_gas));
        Ok(transactions)
    }
}

fn slot_of(row: &AsyncRow) -> Result<Slot, StoreError> {
    Ok(Slot { signer: row.address("signer")?, nonce: row.number("nonce")? })
}

fn transaction_of(row: &AsyncRow) -> Result<SlotTransaction, StoreError> {
    Ok(SlotTransaction {
        slot: slot_of(row)?,
        hash: row.hash("transaction_hash")?,
        raw: row.bytes("raw")?,
        carries: row.flag("carries")?,
        gas_limit: row.number("gas_limit")?,
        max_fee_per_gas: row.number("max_fee_per_gas")?,
        tip: row.number("tip")?,
        state: SlotState::named(&row.text("state")?).ok_or(StoreError::Corrupt { column: "state" })?,
        block: row.maybe_number("block_number")?.zip(row.maybe_hash("block_hash")?),
    })
}

struct Change {
    chain: ChainId,
    what: What,
}

enum What {
    Assign(SlotTransaction, Vec<u64>),
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
            What::Assign(transaction, numbers) => assign(connection, chain, transaction, numbers),
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
    numbers: &[u64],
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
    let mut rows = Vec::with_capacity(numbers.len());
    for number in numbers {
        match orders::numbered(connection, *number)? {
            Some((row, day)) if row.state == SettlementState::Queued && row.claimed.chain == chain => {
                rows.push((row, day));
            }
            _ => return Ok(false),
        }
    }
    insert(connection, chain, transaction)?;
    for (row, day) in rows {
        link(connection, chain, transaction.slot, row.number)?;
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

fn insert(
    connection: &SyncConnection<'_>,
    chain: ChainId,
    transaction: &SlotTransaction,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO settlement_transactions (chain_id, signer, nonce, transaction_hash, raw, carries, gas_limit,
                                                  max_fee_per_gas, tip, state, block_number, block_hash, made_at_ms,
                                                  changed_at_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?13)
             ON CONFLICT (chain_id, signer, nonce, transaction_hash) DO UPDATE SET
                 state = excluded.state, block_number = excluded.block_number, block_hash = excluded.block_hash,
                 changed_at_ms = excluded.changed_at_ms",
        )?
        .execute(params![
            chain_id(chain),
            transaction.slot.signer.as_slice(),
            bound(transaction.slot.nonce),
            transaction.hash.as_slice(),
            transaction.raw,
            transaction.carries,
            bound(transaction.gas_limit),
            bound(transaction.max_fee_per_gas),
            bound(transaction.tip),
            transaction.state.name(),
            transaction.block.map(|(number, _)| bound(number)),
            transaction.block.map(|(_, hash)| hash.to_vec()),
            clock::now_ms(),
        ])?;
    Ok(())
}

fn link(connection: &SyncConnection<'_>, chain: ChainId, slot: Slot, number: u64) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO settlement_slots (chain_id, signer, nonce, order_id) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (chain_id, signer, nonce, order_id) DO NOTHING",
        )?
        .execute(params![chain_id(chain), slot.signer.as_slice(), bound(slot.nonce), bound(number)])?;
    Ok(())
}

fn is_open(connection: &SyncConnection<'_>, chain: ChainId, slot: Slot) -> Result<bool, StoreError> {
    connection
        .prepare_cached(
            "SELECT 1 FROM settlement_transactions
             WHERE chain_id = ?1 AND signer = ?2 AND nonce = ?3 AND state = 'open'",
        )?
        .exists(params![chain_id(chain), slot.signer.as_slice(), bound(slot.nonce)])
}

/// Changes a slot's transactions from one state to another.
fn set_states(
    connection: &SyncConnection<'_>,
    chain: ChainId,
    slot: Slot,
    from: SlotState,
    to: SlotState,
) -> Result<usize, StoreError> {
    connection
        .prepare_cached(
            "UPDATE settlement_transactions SET state = ?5, block_number = NULL, block_hash = NULL, changed_at_ms = ?6
             WHERE chain_id = ?1 AND signer = ?2 AND nonce = ?3 AND state = ?4",
        )?
        .execute(params![
            chain_id(chain),
            slot.signer.as_slice(),
            bound(slot.nonce),
            from.name(),
            to.name(),
            clock::now_ms(),
        ])
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
        apply(connection, chain, *number, outcome, Some(at))?;
    }
    Ok(true)
}

fn conclude(
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

/// Whether a settlement is in a slot of which a transaction that settles it may be mined.
fn is_carried(connection: &SyncConnection<'_>, number: u64) -> Result<bool, StoreError> {
    connection
        .prepare_cached(
            "SELECT 1 FROM settlement_slots s
             JOIN settlement_transactions t ON t.chain_id = s.chain_id AND t.signer = s.signer AND t.nonce = s.nonce
             WHERE s.order_id = ?1 AND t.state = 'open' AND t.carries",
        )?
        .exists(params![bound(number)])
}

/// Writes down what became of a settlement, in the transaction `at` if one of its slot did it.
fn apply(
    connection: &SyncConnection<'_>,
    chain: ChainId,
    number: u64,
    outcome: &SettlementOutcome,
    at: Option<(B256, u64)>,
) -> Result<(), StoreError> {
    let Some((row, day)) = orders::numbered(connection, number)? else { return Ok(()) };
    let (SettlementOutcome::Settled { cost, .. }
    | SettlementOutcome::Failed { cost, .. }
    | SettlementOutcome::Again { cost, .. }) = outcome;
    let costs = with_cost(&row, cost);
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
                ..costs
            }
        }
        // Another transaction settled it, or may yet.
        _ if row.state == SettlementState::Settled || is_carried(connection, number)? => costs,
        SettlementOutcome::Failed { reason, detail, again, .. } => SettlementRow {
            state: SettlementState::Failed,
            reason: Some(reason.clone()),
            detail: Some(detail.clone()),
            // What was in a transaction may have cost gas.
            again: *again && !row.settled_once && row.slots == 0,
            transaction: at.map(|(hash, _)| hash),
            block: at.map(|(_, number)| number),
            ..costs
        },
        SettlementOutcome::Again { detail, .. } => SettlementRow {
            state: SettlementState::Queued,
            reason: None,
            detail: Some(detail.clone()),
            again: false,
            transaction: None,
            block: None,
            ..costs
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

fn with_cost(row: &SettlementRow, cost: &GasCost) -> SettlementRow {
    SettlementRow {
        gas_used: row.gas_used.saturating_add(cost.gas),
        fee: Amount(row.fee.0.saturating_add(cost.fee.0)),
        ..row.clone()
    }
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
    link(connection, chain, slot, number)
}

/// Writes a settlement as it is now, changes the sums of gas by the difference, and notes a change of its state.
fn put(
    connection: &SyncConnection<'_>,
    old: &SettlementRow,
    day: i64,
    new: &SettlementRow,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "UPDATE settlement_orders
             SET state = ?2, reason = ?3, detail = ?4, again = ?5, transaction_hash = ?6, block_number = ?7,
                 gas_used = ?8, fee = ?9, changed_at_ms = ?10, settled_once = ?11
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
            bound(new.gas_used),
            amount_bytes(new.fee).as_slice(),
            clock::now_ms(),
            new.settled_once,
        ])?;
    let held = |row: &SettlementRow| gas::held(row.state, row.claimed.gas, row.gas_used);
    gas::change(connection, new, day, held(new) - held(old))?;
    if new.state != old.state {
        attempts::note(connection, new)?;
    }
    Ok(())
}

fn numbers(connection: &SyncConnection<'_>, chain: ChainId, slot: Slot) -> Result<Vec<u64>, StoreError> {
    let mut select = connection.prepare_cached(
        "SELECT order_id FROM settlement_slots WHERE chain_id = ?1 AND signer = ?2 AND nonce = ?3",
    )?;
    let mut rows = select.query(params![chain_id(chain), slot.signer.as_slice(), bound(slot.nonce)])?;
    let mut numbers = Vec::new();
    while let Some(row) = rows.next()? {
        numbers.push(row.natural(0, "order_id")?);
    }
    Ok(numbers)
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
        let Some((row, day)) = orders::numbered(connection, number)? else { continue };
        if row.state != SettlementState::Settled || row.transaction != Some(mined) {
            continue;
        }
        let carried = is_carried(connection, number)?;
        let next = SettlementRow {
            state: if carried { SettlementState::Sent } else { SettlementState::Queued },
            detail: Some(format!("its transaction {mined} left the chain")),
            transaction: None,
            block: None,
            // They are known again when it is mined again.
            gas_used: 0,
            fee: Amount::ZERO,
            ..row.clone()
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
    crate::settlements::taken_nonce::record(connection, chain, slot)?;
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
    }
    Ok(all)
}
