//! What a mined transaction did to each settlement in its slot.

use alloy_primitives::U256;
use salt402_chain::{Call, Mined, NodeError, StateQuestion};
use salt402_protocol::X402Reason;
use salt402_protocol::foreign::MULTICALL3;
use salt402_store::{
    Cursor, GasCost, OpenSlot, SettlementOutcome, SettlementRow, SettlementState, SlotMined,
};

use crate::authorization::Method;
use crate::calls;
use crate::moved::{self, Expected};
use salt402_http::clock;

use crate::metrics::settling as metrics;
use crate::settle::found::Use;
use crate::settle::kept::{Kept, used_reason};
use crate::settle::shares::{Part, shares};
use crate::settle::task::{Task, Trouble};

/// In how many slots a settlement may be before it fails: once beside others, once alone, and once more where a slot was
/// given up.
const MOST_SLOTS: u64 = 3;

/// In how many slots a charge under `upto` may be before it fails for good. A payer that makes it fail again and again costs gas.
const MOST_CHARGES: u64 = 5;

/// What the logs of a settlement must show. One whose payload cannot be read is told by its transfer alone.
fn expected(row: &SettlementRow, kept: Option<&Kept>) -> Expected {
    let claimed = &row.claimed;
    kept.map_or(
        Expected {
            token: claimed.token,
            from: claimed.payer,
            to: claimed.payee,
            value: claimed.charge.0,
            nonce: None,
        },
        |kept| Expected::of(&kept.authorization, claimed.charge.0),
    )
}

/// The reason of a transaction that failed, by the way it settled.
pub(super) fn transaction_failed(method: &Method) -> X402Reason {
    match method {
        Method::Permit2Upto { .. } => X402Reason::UptoTransactionFailed,
        _ => X402Reason::ExactTransactionFailed,
    }
}

/// The reason of an authorization that is not valid any more.
pub(super) fn expired(method: &Method) -> X402Reason {
    match method {
        Method::Eip3009 { .. } | Method::CitrateFee { .. } => X402Reason::ValidBefore,
        Method::Permit2Exact { .. } | Method::Permit2Upto { .. } => X402Reason::Permit2DeadlineExpired,
    }
}

/// A failure that costs nothing more.
pub(super) fn failure(reason: X402Reason, detail: String, again: bool, cost: GasCost) -> SettlementOutcome {
    SettlementOutcome::Failed { reason: reason.as_str().to_owned(), detail, again, cost }
}

/// Whether a settlement that failed may be claimed again. What was in a transaction cost gas, and its payer signs another one. But
/// under `upto` the work was done for what is charged, and nobody else can settle it: its payer makes it good.
pub(super) fn may_be_claimed_again(row: &SettlementRow, method: &Method) -> bool {
    row.slots == 0 || (matches!(method, Method::Permit2Upto { .. }) && row.slots < MOST_CHARGES)
}

/// Whether an authorization can still be taken by a block after this time, in seconds since 1970.
pub(super) fn is_valid_after(kept: &Kept, time: u64) -> bool {
    let last = kept.authorization.valid_before;
    match kept.authorization.method {
        Method::Eip3009 { .. } | Method::CitrateFee { .. } => last > U256::from(time),
        Method::Permit2Exact { .. } | Method::Permit2Upto { .. } => last >= U256::from(time),
    }
}

impl Task {
    /// Writes down what a mined transaction of a slot did.
    pub(super) async fn conclude_slot(
        &mut self,
        open: &OpenSlot,
        mined: &Mined,
        cursor: Cursor,
    ) -> Result<(), Trouble> {
        let receipt = &mined.receipt;
        let rows = self.store.settlements_numbered(&open.orders).await?;
        let kept: Vec<Option<Kept>> = rows.iter().map(Kept::of).collect();
        let carries = open
            .transactions
            .iter()
            .any(|transaction| transaction.hash == receipt.transaction && transaction.carries);
        let shown = if carries {
            let expected: Vec<_> =
                rows.iter().zip(&kept).map(|(row, kept)| expected(row, kept.as_ref())).collect();
            moved::moved(&expected, &receipt.logs)
        } else {
            vec![false; rows.len()]
        };
        let parts =
            rows.iter().zip(&shown).map(|(row, moved)| Part { alone: open.alone(row.number), moved: *moved });
        let costs = shares(mined, &parts.collect::<Vec<_>>());
        let mut outcomes = Vec::with_capacity(rows.len());
        for (((row, kept), shown), cost) in rows.iter().zip(&kept).zip(shown).zip(costs) {
            let outcome = if shown {
                SettlementOutcome::Settled { elsewhere: None, cost }
            } else if let Some(kept) = kept {
                self.unshown(row, kept, mined, carries, cost, cursor).await?
            } else {
                let detail = "another version of this program claimed it, and its payload cannot be read";
                failure(X402Reason::UnexpectedSettleError, detail.to_owned(), false, cost)
            };
            outcomes.push((row.number, outcome));
        }
        let noted = SlotMined {
            slot: open.slot,
            hash: receipt.transaction,
            block_number: receipt.block_number,
            block_hash: receipt.block_hash,
            outcomes,
        };
        // One whose block left the chain, and that is mined again, is paid for once.
        if !self.counted.remove(&receipt.transaction) {
            metrics::slot_mined(self.chain.chain, open.slot.signer, mined, carries);
        }
        let waited = rows.iter().zip(&noted.outcomes).filter(|(row, _)| row.state == SettlementState::Sent);
        for (row, (_, outcome)) in waited {
            metrics::outcome(row, outcome, clock::now_ms());
        }
        self.store.note_slot_mined(self.chain.chain, noted).await?;
        self.sent.remove(&open.slot);
        self.waiters.tell(rows.iter().map(|row| row.claimed.payment));
        Ok(())
    }

    /// What became of a settlement that its slot's transaction does not show.
    async fn unshown(
        &mut self,
        row: &SettlementRow,
        kept: &Kept,
        mined: &Mined,
        carries: bool,
        cost: GasCost,
        cursor: Cursor,
    ) -> Result<SettlementOutcome, Trouble> {
        let method = &kept.authorization.method;
        let receipt = &mined.receipt;
        let is_together = receipt.to == Some(MULTICALL3) && kept.authorization.deployment().is_none();
        let alone = carries && !is_together;
        let moved_nothing = || {
            let detail = format!(
                "the transaction {} succeeded, and the token {} moved nothing, or something else",
                receipt.transaction, row.claimed.token
            );
            failure(X402Reason::TransferEventMismatch, detail, false, cost)
        };
        match self.look_up(row, kept, cursor).await? {
            Use::Paid(elsewhere) => {
                return Ok(SettlementOutcome::Settled { elsewhere: Some(elsewhere), cost });
            }
            Use::Lost if alone && receipt.success => return Ok(moved_nothing()),
            Use::Lost => {
                let detail = "the nonce was used by a transaction that did not pay the payee".to_owned();
                return Ok(failure(used_reason(method), detail, false, cost));
            }
            Use::None if alone && receipt.success => return Ok(moved_nothing()),
            Use::None => {}
        }
        // It was claimed again since, and waits.
        if row.state == SettlementState::Queued {
            return Ok(SettlementOutcome::Again { detail: row.detail.clone().unwrap_or_default(), cost });
        }
        // Another slot's transaction may have been the last one that could.
        if row.state != SettlementState::Sent {
            let detail = row.detail.clone().unwrap_or_default();
            let reason = row.reason.clone().unwrap_or_default();
            return Ok(SettlementOutcome::Failed { reason, detail, again: row.again, cost });
        }
        if !is_valid_after(kept, self.time(cursor).await?) {
            let detail = "it expired before it was settled".to_owned();
            return Ok(failure(expired(method), detail, false, cost));
        }
        let was_created = alone
            && kept.authorization.deployment().is_some()
            && self.is_created(kept.authorization.payer).await?;
        if (!alone || was_created) && row.slots < MOST_SLOTS {
            let detail = if was_created {
                "its payer's contract was created by another transaction, and it is tried without that"
            } else if carries {
                "it failed beside others and is tried alone"
            } else {
                "its transaction was replaced, and it is tried again"
            };
            return Ok(SettlementOutcome::Again { detail: detail.to_owned(), cost });
        }
        let said = self.said(row, kept).await;
        let detail = format!("the transaction {} reverted{said}", receipt.transaction);
        Ok(failure(transaction_failed(method), detail, may_be_claimed_again(row, method), cost))
    }

    /// What the node says of a call that fails, for people.
    async fn said(&self, row: &SettlementRow, kept: &Kept) -> String {
        let call = calls::settle_call(&self.chain.contracts, &kept.authorization, row.claimed.charge.0);
        let Some(call) = call else { return String::new() };
        let from = row.claimed.sender.or_else(|| self.signers.first().map(|signer| signer.address()));
        let gas = self.options.gas_caps.of(&kept.authorization.method);
        let call = Call { gas_limit: Some(gas), ..call };
        let asked = self.chain.node.state(&[StateQuestion::View { from, call }]).await;
        match asked.map(|answers| answers.into_iter().next()) {
            Ok(Some(Err(NodeError::Rpc { message, .. }))) => format!(": {message}"),
            _ => String::new(),
        }
    }
}
