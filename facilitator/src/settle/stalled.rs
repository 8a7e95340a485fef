//! What was sent and is in no block: sent again, replaced by one with a higher fee, or given up where its nonce was taken.

use std::sync::Arc;

use alloy_primitives::Bytes;
use salt402_chain::{Call, Fees, NodeError};
use salt402_store::{Cursor, OpenSlot, SettlementState, SlotState, SlotTransaction};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::calls;
use crate::metrics::settling as metrics;
use crate::settle::kept::Kept;
use crate::settle::outcome::is_valid_after;
use crate::settle::signer::filler;
use crate::settle::task::{Sent, Task, Trouble};

/// How many transactions are on their way to the node at once.
const SUBMITTING: usize = 16;

/// Transactions that are on their way to the node, begun in their order.
pub(super) type Submitting = JoinSet<(SlotTransaction, Result<(), NodeError>)>;

impl Task {
    /// Sends again what no receipt came of for a while. The lowest of an account holds up all others, so that one is replaced.
    pub(super) async fn resend(&mut self, open: &[OpenSlot], cursor: Cursor) -> Result<(), Trouble> {
        self.overtaken.retain(|slot, _| open.iter().any(|open| open.slot == *slot));
        let mut is_silent = false;
        for place in 0..self.signers.len() {
            let Some(signer) = self.signers.get_mut(place) else { break };
            let address = signer.address();
            let own: Vec<&OpenSlot> = open.iter().filter(|open| open.slot.signer == address).collect();
            if signer.overtaken.is_some_and(|slot| !own.iter().any(|open| open.slot == slot)) {
                signer.overtaken = None;
            }
            let mut asked = false;
            for (rank, slot) in own.into_iter().enumerate() {
                // What its transaction did will be seen. Until then there is nothing to send, and nobody else has its nonce.
                if self.awaited.contains(&slot.slot) {
                    if let Some(sent) = self.sent.get_mut(&slot.slot) {
                        sent.at = Instant::now();
                    }
                    continue;
                }
                let sent = self.sent.get(&slot.slot).copied();
                if !sent.is_none_or(|sent| sent.is_due(self.options.stall)) {
                    continue;
                }
                // After a reorganization, what was told to have failed could still be mined.
                let is_unwanted = sent.is_none() && self.is_unwanted(slot).await?;
                if !asked && (sent.is_some() || is_unwanted) {
                    asked = true;
                    let state = self.chain.node.account(address).await?;
                    self.note_account(place, state);
                }
                let is_taken = self
                    .signers
                    .get(place)
                    .and_then(|signer| signer.state)
                    .is_some_and(|state| state.mined > slot.slot.nonce);
                if sent.is_some() && is_taken {
                    self.note_taken(place, slot, cursor).await?;
                    continue;
                }
                let is_passed_over = rank == 0
                    && sent.is_some_and(|sent| sent.is_passed_over(self.options.stall, cursor.number));
                // Where the node did not answer to one, the others are tried later: each would take as long, and new ones wait.
                if is_silent {
                    continue;
                }
                let replaced = (is_unwanted || is_passed_over) && self.replace(place, slot, cursor).await?;
                if !replaced && let Some(last) = slot.transactions.last() {
                    metrics::resent(self.chain.chain, "again");
                    is_silent = self.submit(last).await == Submitted::Unanswered;
                }
            }
        }
        Ok(())
    }

    /// Whether a slot's transaction settles something, and nothing that is in it waits for that.
    async fn is_unwanted(&self, slot: &OpenSlot) -> Result<bool, Trouble> {
        if !slot.transactions.last().is_some_and(|last| last.carries) {
            return Ok(false);
        }
        let rows = self.store.settlements_numbered(&slot.orders).await?;
        Ok(rows.iter().all(|row| row.state != SettlementState::Sent))
    }

    /// An account's nonce is used, and by no transaction of the slot. If that is so for as long as blocks may be replaced, the
    /// slot is given up. The account sends nothing meanwhile.
    async fn note_taken(&mut self, place: usize, slot: &OpenSlot, cursor: Cursor) -> Result<(), Trouble> {
        let since = *self.overtaken.entry(slot.slot).or_insert(cursor.number);
        let Some(signer) = self.signers.get_mut(place) else { return Ok(()) };
        if signer.overtaken.is_none() {
            tracing::error!(
                account = %slot.slot.signer, nonce = slot.slot.nonce, chain = %self.chain.chain,
                "another program may have used a nonce of this account: nothing is sent with it until that is clear"
            );
            signer.overtaken = Some(slot.slot);
        }
        metrics::taken(self.chain.chain, slot.slot.signer);
        if let Some(sent) = self.sent.get_mut(&slot.slot) {
            sent.at = Instant::now();
        }
        let depth = self.chain.node.profile().finality_depth;
        if cursor.number >= since.saturating_add(depth) {
            self.store.void_slot(self.chain.chain, slot.slot).await?;
            self.sent.remove(&slot.slot);
            let rows = self.store.settlements_numbered(&slot.orders).await?;
            self.waiters.tell(rows.iter().map(|row| row.claimed.payment));
            // What it may send next is asked anew.
            if let Some(signer) = self.signers.get_mut(place) {
                signer.overtaken = None;
                signer.next = None;
            }
        }
        Ok(())
    }

    /// Replaces a slot's transaction by one with a higher fee; by one that settles nothing, if nothing in the slot can be settled
    /// any more. `false`: it cannot be replaced.
    async fn replace(&mut self, place: usize, slot: &OpenSlot, cursor: Cursor) -> Result<bool, Trouble> {
        let (Some(signer), Some(last)) = (self.signers.get(place), slot.transactions.last()) else {
            return Ok(false);
        };
        let Some(state) = signer.state else { return Ok(false) };
        let profile = self.chain.node.profile().clone();
        let offered = Fees { max_fee_per_gas: last.max_fee_per_gas, tip: last.tip };
        let fees = match Fees::of(state.base_fee, state.tip, &profile)
            .and_then(|market| offered.replaced(market, &profile))
        {
            Ok(fees) => fees,
            Err(NodeError::FeeTooHigh { asked, limit }) => {
                tracing::warn!(asked, limit, transaction = %last.hash, "a transaction cannot be replaced: gas costs too much");
                return Ok(false);
            }
            Err(error) => return Err(error.into()),
        };
        let rows = self.store.settlements_numbered(&slot.orders).await?;
        let mut kept: Option<Vec<Kept>> = Some(Vec::with_capacity(rows.len()));
        for row in &rows {
            match (Kept::of(row), &mut kept) {
                (Some(one), Some(kept)) => kept.push(self.as_of_now(one).await?),
                _ => kept = None,
            }
        }
        let time = self.time(cursor).await?;
        let wanted = last.carries
            && rows.iter().any(|row| row.state == SettlementState::Sent)
            && kept.as_ref().is_none_or(|kept| kept.iter().any(|kept| is_valid_after(kept, time)));
        let call = if wanted {
            let Some(kept) = kept else { return Ok(false) };
            let calls: Option<Vec<Call>> = rows
                .iter()
                .zip(&kept)
                .map(|(row, kept)| {
                    calls::settle_call(&self.chain.contracts, &kept.authorization, row.claimed.charge.0)
                })
                .collect();
            let Some(calls) = calls else { return Ok(false) };
            match calls.as_slice() {
                [] => return Ok(false),
                [call] => Call { gas_limit: Some(last.gas_limit), ..call.clone() },
                calls => calls::together(calls, last.gas_limit),
            }
        } else {
            filler(signer.address())
        };
        let prepared = signer.account.prepare_at(&profile, &call, slot.slot.nonce, fees)?;
        let transaction = SlotTransaction {
            slot: slot.slot,
            hash: prepared.hash,
            raw: prepared.raw.to_vec(),
            carries: wanted,
            gas_limit: prepared.gas_limit,
            max_fee_per_gas: prepared.max_fee_per_gas,
            tip: fees.tip,
            state: SlotState::Open,
            block: None,
        };
        if !self.store.replace_settlement_transaction(self.chain.chain, transaction.clone()).await? {
            return Ok(false);
        }
        metrics::resent(self.chain.chain, if wanted { "replaced" } else { "cancelled" });
        self.submit(&transaction).await;
        Ok(true)
    }

    /// Sends a transaction that is on disk. An error says nothing: it may have arrived.
    pub(super) async fn submit(&mut self, transaction: &SlotTransaction) -> Submitted {
        let raw = Bytes::from(transaction.raw.clone());
        let result = self.chain.node.submit(transaction.hash, &raw).await;
        self.note_submitted(transaction, result)
    }

    /// Sends a transaction that is on disk, while others are signed. Those that are on their way are noted when they have been
    /// answered.
    pub(super) async fn submit_beside(&mut self, transaction: SlotTransaction, submitting: &mut Submitting) {
        if submitting.len() >= SUBMITTING {
            self.note_next(submitting).await;
        }
        let node = Arc::clone(&self.chain.node);
        submitting.spawn(async move {
            let result = node.submit(transaction.hash, &Bytes::from(transaction.raw.clone())).await;
            (transaction, result)
        });
    }

    /// Waits for the answer to one of those that are on their way. Returns whether there was one.
    pub(super) async fn note_next(&mut self, submitting: &mut Submitting) -> bool {
        match submitting.join_next().await {
            None => return false,
            Some(Ok((transaction, result))) => drop(self.note_submitted(&transaction, result)),
            // It is on disk, and sent again as if it had not been sent.
            Some(Err(error)) => tracing::error!(%error, "a transaction may not have been sent"),
        }
        true
    }

    fn note_submitted(&mut self, transaction: &SlotTransaction, result: Result<(), NodeError>) -> Submitted {
        if let Err(error) = &result {
            tracing::warn!(%error, transaction = %transaction.hash, "a node did not take a transaction");
            metrics::resent(self.chain.chain, "refused");
        }
        let now = Instant::now();
        let known = self.sent.get(&transaction.slot).filter(|sent| sent.hash == transaction.hash);
        let first = known.map_or((now, self.height), |sent| sent.first);
        let sent = Sent { at: now, hash: transaction.hash, first, refused: result.is_err() };
        self.sent.insert(transaction.slot, sent);
        match result {
            Err(NodeError::Timeout { .. }) => Submitted::Unanswered,
            _ => Submitted::Answered,
        }
    }
}

/// Whether a node said anything when a transaction was sent to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Submitted {
    /// It took it, or refused it.
    Answered,
    /// It did not answer in time.
    Unanswered,
}
