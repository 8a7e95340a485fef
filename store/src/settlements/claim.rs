//! Claiming a signed payment for settling: the first who does so settles it, and all others get what came of it.

use crate::engine::{Connection, Write, WriteTransaction, amount_bytes, bound, chain_id, clock, query, send};
use crate::grants::kept_for::{KeptFor, kept_for};
use crate::rows::{
    GasBudgets, NewSettlement, SettlementAttempt, SettlementClaim, SettlementRow, SettlementState, StoreError,
};
use crate::settlements::{attempts, gas, orders, slot_rows};
use crate::store::Store;

impl Store {
    /// Claims a signed payment for settling, unless it is claimed. One that failed and may be tried
    /// again can be claimed again, over the same charge if it was ever sent. One that a verifier over this database has kept for a request is claimed with its key alone
    /// ([`PaymentId::settlement_key`](salt402_protocol::PaymentId::settlement_key)). Durable when this returns.
    ///
    /// # Errors
    /// The database could not be written. Nothing is claimed then.
    pub async fn claim_settlement(
        &self,
        new: NewSettlement,
        budgets: GasBudgets,
        key: Option<String>,
    ) -> Result<SettlementClaim, StoreError> {
        send(self.jobs(), Claim { new, budgets, key }).await
    }
}

struct Claim {
    new: NewSettlement,
    budgets: GasBudgets,
    key: Option<String>,
}

impl Write for Claim {
    type Output = SettlementClaim;

    const CHANGES_PAYMENTS: bool = false;

    fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<SettlementClaim, StoreError> {
        let Self { new, budgets, key } = self;
        let connection = transaction.connection();
        if kept_for(connection, new.chain, new.payment, key.as_deref())? == KeptFor::Another {
            return Ok(SettlementClaim::OfAnother);
        }
        let known = orders::of_payment(connection, new.chain, new.payment)?;
        if let Some(row) = &known {
            let may_again = row.state == SettlementState::Failed && row.again;
            // What was sent stands for work that was done for this much.
            let is_same = row.slots == 0 || row.claimed.charge == new.charge;
            if !(may_again && is_same) {
                return Ok(SettlementClaim::Known(row.clone()));
            }
        }
        let moves = !new.charge.0.is_zero();
        if moves {
            if let Some((budget, retry_after_ms)) = gas::exceeded(connection, new, budgets)? {
                return Ok(SettlementClaim::OverBudget { budget, retry_after_ms });
            }
            gas::add(connection, new)?;
        }
        // One that failed, and whose slot was opened again since by a reorganization, may still be settled there, and waits for that.
        let is_carried = match &known {
            Some(row) => slot_rows::is_carried(&connection.borrowing(), row.number)?,
            None => false,
        };
        let state = match (moves, is_carried) {
            (false, _) => SettlementState::Settled,
            (true, false) => SettlementState::Queued,
            (true, true) => SettlementState::Sent,
        };
        insert(connection, new, state)?;
        let outcome = if moves { "claimed" } else { "remembered" };
        let attempt = SettlementAttempt {
            chain: new.chain,
            payment: new.payment,
            caller: new.caller.clone(),
            outcome: outcome.to_owned(),
            reason: None,
            detail: None,
            transaction: None,
            at_ms: 0,
        };
        attempts::insert(connection, &attempt)?;
        let row: Option<SettlementRow> = orders::of_payment(connection, new.chain, new.payment)?;
        row.map(SettlementClaim::New).ok_or(StoreError::Corrupt { column: "payment_id" })
    }
}

/// What was used by an earlier try stays counted on its own day.
fn insert(
    connection: &mut Connection,
    new: &NewSettlement,
    state: SettlementState,
) -> Result<(), StoreError> {
    let NewSettlement { chain, payment, token, payer, payee, amount, charge, .. } = new;
    query(
        "INSERT INTO settlement_orders (chain_id, payment_id, token, payer, payee, amount, charge, method, payload, sender,
                                        caller, since_block, state, again, gas_day, gas_cap, gas_used, fee, made_at_ms,
                                        changed_at_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, FALSE, $14, $15, 0, $16, $17, $17)
         ON CONFLICT (payment_id, chain_id) DO UPDATE SET
             token = excluded.token, payer = excluded.payer, payee = excluded.payee, amount = excluded.amount,
             charge = excluded.charge, method = excluded.method, payload = excluded.payload, sender = excluded.sender,
             caller = excluded.caller, since_block = MIN(since_block, excluded.since_block), state = excluded.state,
             reason = NULL, detail = NULL, again = FALSE, transaction_hash = NULL, block_number = NULL,
             gas_day = excluded.gas_day, gas_cap = excluded.gas_cap, changed_at_ms = excluded.changed_at_ms, is_signed = TRUE",
    )
    .bind(chain_id(*chain))
    .bind(payment.0.to_vec())
    .bind(token.to_vec())
    .bind(payer.to_vec())
    .bind(payee.to_vec())
    .bind(amount_bytes(*amount).to_vec())
    .bind(amount_bytes(*charge).to_vec())
    .bind(new.method.clone())
    .bind(new.payload.clone())
    .bind(new.sender.map(|sender| sender.to_vec()))
    .bind(new.caller.clone())
    .bind(bound(new.since_block))
    .bind(state.name())
    .bind(gas::today())
    .bind(bound(new.gas))
    .bind(vec![0_u8; 32])
    .bind(clock::now_ms())
    .execute(connection)?;
    Ok(())
}
