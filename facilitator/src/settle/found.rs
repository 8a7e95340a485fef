//! Whether an authorization was used by a transaction that is not ours, and whether that paid the right payee.
//!
//! Anybody may submit what a payer signed, and it pays the same. So that is a success, once.

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::SolEvent as _;
use salt402_chain::{At, LogQuery, Mined, NodeError, Span, StateQuestion};
use salt402_protocol::foreign::IToken;
use salt402_store::{Cursor, Elsewhere, SettlementRow, Store, StoreError};

use crate::calls::{self, Expected};
use crate::settle::kept::Kept;
use crate::settle::task::{Task, Trouble};

/// How far below the block at which it was claimed a use is looked for: it may have been claimed before a restore too.
const LOOK_BACK: u64 = 5_000;

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
        &self,
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
        let answer = match self.chain.node.state(&[question]).await?.into_iter().next() {
            Some(Ok(answer)) => answer,
            // A token that cannot be asked: the transaction itself will tell.
            Some(Err(error)) if error.is_revert() => return Ok(Use::None),
            Some(Err(error)) => return Err(error.into()),
            None => {
                return Err(
                    NodeError::Malformed { what: "a batch came without its answer".to_owned() }.into()
                );
            }
        };
        match calls::is_used(&kept.authorization, &answer) {
            Some(true) => self.search(row, kept, &expected, cursor).await,
            Some(false) | None => Ok(Use::None),
        }
    }

    /// The transaction that used a nonce, from the newest block down.
    async fn search(
        &self,
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
        let node = &self.chain.node;
        let head = node.header(At::Latest).await?.ok_or(NodeError::Behind)?.number;
        let lowest = row.claimed.since_block.saturating_sub(LOOK_BACK);
        let range = node.profile().logs_range.max(1);
        let mut to = head;
        loop {
            let from = to.saturating_sub(range - 1).max(lowest);
            if from > to {
                return Ok(Use::Lost);
            }
            let mut transactions: Vec<B256> = Vec::new();
            for log in node.logs(&query, Span::Blocks { from, to }).await?.iter().rev() {
                if !transactions.contains(&log.transaction) {
                    transactions.push(log.transaction);
                }
            }
            for transaction in transactions {
                if let Some(found) = self.paid_by(transaction, kept, expected, cursor).await? {
                    return Ok(found);
                }
            }
            match from.checked_sub(1) {
                Some(next) if next >= lowest => to = next,
                _ => return Ok(Use::Lost),
            }
        }
    }

    /// What a transaction did that may have used the nonce. `None`: it was another.
    async fn paid_by(
        &self,
        transaction: B256,
        kept: &Kept,
        expected: &Expected,
        cursor: Cursor,
    ) -> Result<Option<Use>, Trouble> {
        let Some(Some(Mined { receipt, .. })) =
            self.chain.node.mined(&[transaction]).await?.into_iter().next()
        else {
            return Ok(None);
        };
        let is_shown = calls::moved(&[*expected], &receipt.logs).first() == Some(&true);
        match expected.nonce {
            // The token names the nonce, so no other transaction used it.
            Some(_) if !is_shown => return Ok(Some(Use::Lost)),
            Some(_) => {}
            // Permit2 says nothing. The calldata has payer and nonce, and what moved is exactly this.
            None if !is_shown || !self.names(transaction, kept).await? => return Ok(None),
            None => {}
        }
        let (block_number, block_hash) = (receipt.block_number, receipt.block_hash);
        if !self.accepts(block_number, block_hash, cursor).await? {
            return Err(Trouble::Later);
        }
        Ok(Some(Use::Paid(Elsewhere { transaction, block_number, block_hash })))
    }

    /// Whether a transaction's calldata has the payer and the nonce of an authorization.
    async fn names(&self, transaction: B256, kept: &Kept) -> Result<bool, Trouble> {
        let Some(found) = self.chain.node.transaction(transaction).await? else { return Ok(false) };
        let has = |word: U256| {
            let word = word.to_be_bytes::<32>();
            found.input.windows(32).any(|window| window == word)
        };
        let payer = U256::from_be_bytes(B256::left_padding_from(kept.authorization.payer.as_slice()).0);
        Ok(has(kept.authorization.nonce) && has(payer))
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
