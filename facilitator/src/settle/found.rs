//! Whether an authorization was used by a transaction that is not ours, and whether that paid the right payee.
//!
//! Anybody may submit what a payer signed, and it pays the same. So that is a success, once.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::SolEvent as _;
use salt402_chain::{At, LogQuery, Mined, NodeError, Receipt, Span, StateQuestion};
use salt402_protocol::foreign::IToken;
use salt402_store::{Cursor, Elsewhere, SettlementRow, Store, StoreError};
use tokio::time::Instant;

use crate::calls;
use crate::moved::Expected;
use crate::settle::evidence::{Evidence, evidence};
use crate::settle::kept::Kept;
use crate::settle::task::{Task, Trouble};

/// How far below the block at which it was claimed a use is looked for: it may have been claimed before a restore too.
const LOOK_BACK: u64 = 5_000;
/// For how many blocks a use is looked for whose transaction no log shows, before it is taken for one that paid nothing. Where
/// no blocks come, for how long.
const CONFIRMED: (u64, Duration) = (2, Duration::from_secs(5));

/// What became of an authorization's nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// It was not used.
    None,
    /// It was used, and that paid the right payee the right amount.
    Paid(Elsewhere),
    /// It was used, and the right payee was not paid.
    Lost,
}

impl Task {
    /// What became of a settlement's nonce, as far as the indexed blocks show.
    pub(super) async fn look_up(
        &mut self,
        row: &SettlementRow,
        kept: &Kept,
        cursor: Cursor,
    ) -> Result<Use, Trouble> {
        let expected = Expected::of(&kept.authorization, row.claimed.charge.0);
        if let Some(found) = indexed(&self.store, row, Some(&expected)).await? {
            return Ok(Use::Paid(found));
        }
        let question = StateQuestion::View {
            from: None,
            call: calls::is_used_call(&self.chain.contracts, &kept.authorization),
        };
        let mut answers = self.chain.node.state(&[StateQuestion::Height, question]).await?.into_iter();
        let (Some(height), Some(answer)) = (answers.next(), answers.next()) else {
            return Err(NodeError::Malformed { what: "a batch came without its answers".to_owned() }.into());
        };
        // What a node says of an older state than the index has proves nothing.
        if U256::try_from_be_slice(&height?).unwrap_or_default() < U256::from(cursor.number) {
            return Err(Trouble::Later);
        }
        let answer = match answer {
            Ok(answer) => answer,
            // A token that cannot be asked: the transaction itself will tell.
            Err(error) if error.is_revert() => return Ok(Use::None),
            Err(error) => return Err(error.into()),
        };
        match calls::is_used(&kept.authorization, &answer) {
            Some(true) => self.search(row, kept, &expected, cursor).await,
            Some(false) | None => Ok(Use::None),
        }
    }

    /// The transaction that used a nonce, from the newest block down.
    async fn search(
        &mut self,
        row: &SettlementRow,
        kept: &Kept,
        expected: &Expected,
        cursor: Cursor,
    ) -> Result<Use, Trouble> {
        let word = |address: Address| B256::left_padding_from(address.as_slice());
        let topics = match expected.nonce {
            Some(nonce) => {
                vec![vec![IToken::AuthorizationUsed::SIGNATURE_HASH], vec![word(expected.from)], vec![nonce]]
            }
            None => {
                vec![
                    vec![IToken::Transfer::SIGNATURE_HASH],
                    vec![word(expected.from)],
                    vec![word(expected.to)],
                ]
            }
        };
        let query: LogQuery = [(expected.token, topics)].into_iter().collect();
        let node = Arc::clone(&self.chain.node);
        let head = node.header(At::Latest).await?.ok_or(NodeError::Behind)?.number;
        if head < cursor.number {
            return Err(Trouble::Later);
        }
        let lowest = row.claimed.since_block.saturating_sub(LOOK_BACK);
        let range = node.profile().logs_range.max(1);
        let mut to = head;
        loop {
            let from = to.saturating_sub(range - 1).max(lowest);
            if from > to {
                break;
            }
            let mut transactions: Vec<B256> = Vec::new();
            for log in node.logs(&query, Span::Blocks { from, to }).await?.iter().rev() {
                // A payer may have sent this payee many other amounts.
                let counts = expected.nonce.is_some() || expected.is_transfer(log);
                if counts && !transactions.contains(&log.transaction) {
                    transactions.push(log.transaction);
                }
            }
            for transaction in transactions {
                if let Some(found) = self.paid_by(transaction, row, kept, expected, cursor).await? {
                    return Ok(found);
                }
            }
            match from.checked_sub(1) {
                Some(next) if next >= lowest => to = next,
                _ => break,
            }
        }
        // The nonce is used, and nothing shows by what. A node may know a block's state before its logs.
        let (height, at) = *self.unfound.entry(row.number).or_insert((cursor.number, Instant::now()));
        if cursor.number < height.saturating_add(CONFIRMED.0) && at.elapsed() < CONFIRMED.1 {
            return Err(Trouble::Later);
        }
        self.unfound.remove(&row.number);
        Ok(Use::Lost)
    }

    /// What a transaction did that may have used the nonce. `None`: it was another.
    async fn paid_by(
        &mut self,
        transaction: B256,
        row: &SettlementRow,
        kept: &Kept,
        expected: &Expected,
        cursor: Cursor,
    ) -> Result<Option<Use>, Trouble> {
        let node = Arc::clone(&self.chain.node);
        let Some(Some(Mined { receipt, .. })) = node.mined(&[transaction]).await?.into_iter().next() else {
            return Ok(None);
        };
        // Permit2's events do not say which nonce. The calldata does.
        let called = match expected.nonce {
            Some(_) => None,
            None => node.transaction(transaction).await?,
        };
        let shown = evidence(&self.chain.contracts, &kept.authorization, expected, &receipt, called.as_ref());
        let (block_number, block_hash) = (receipt.block_number, receipt.block_hash);
        let found = Use::Paid(Elsewhere { transaction, block_number, block_hash });
        let found = match shown {
            Evidence::Nothing => return Ok(None),
            Evidence::Lost => return Ok(Some(Use::Lost)),
            Evidence::Paid => found,
            Evidence::Unclear if self.counts_once(&receipt, row).await? => found,
            Evidence::Unclear => return Ok(expected.nonce.map(|_| Use::Lost)),
        };
        if !self.accepts(block_number, block_hash, cursor).await? {
            return Err(Trouble::Later);
        }
        Ok(Some(found))
    }

    /// Whether a transaction whose transfer has no certain payment may stand for this settlement: it stands for no other.
    async fn counts_once(&mut self, receipt: &Receipt, row: &SettlementRow) -> Result<bool, Trouble> {
        // What was sent from here is read with certainty, or it is another settlement's.
        let is_own = self.signers.iter().any(|signer| signer.address() == receipt.from);
        if is_own || self.store.is_settled_in(self.chain.chain, receipt.transaction, row.number).await? {
            return Ok(false);
        }
        Ok(*self.unclear.entry(receipt.transaction).or_insert(row.number) == row.number)
    }
}

/// Where the index has a settlement: paid to the right payee, in the right token, in full. `expected` says what arrives, where
/// that is not the charge.
pub(super) async fn indexed(
    store: &Store,
    row: &SettlementRow,
    expected: Option<&Expected>,
) -> Result<Option<Elsewhere>, StoreError> {
    let claimed = &row.claimed;
    let value = match (expected, Kept::of(row)) {
        (Some(expected), _) => expected.value,
        (None, Some(kept)) => Expected::of(&kept.authorization, claimed.charge.0).value,
        (None, None) => claimed.charge.0,
    };
    let known = store.signed_payments(claimed.chain, claimed.payment).await?;
    let paid = known.into_iter().find(|indexed| {
        let payment = &indexed.placed.payment;
        indexed.canonical
            && payment.payee == claimed.payee
            && payment.asset.address() == claimed.token
            && payment.amount.0 == value
    });
    Ok(paid.map(|indexed| Elsewhere {
        transaction: indexed.placed.payment.transaction,
        block_number: indexed.placed.block_number,
        block_hash: indexed.placed.block_hash,
    }))
}
