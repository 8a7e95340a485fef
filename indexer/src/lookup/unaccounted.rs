//! What the whole receipt of a transaction holds besides the payments that count: what can be read in two ways, and
//! money that reached somebody in a way that is not followed. Whoever moved it must not be told to pay again.

use std::collections::BTreeSet;

use alloy_primitives::{Address, B256};
use salt402_protocol::Asset;

/// How many tokens and receivers are remembered of one transaction. A transaction with more may hold anything.
const TRANSFERS: usize = 64;

/// What a transaction holds that is no payment, by its whole receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unaccounted {
    /// The block where its payments stand: height and hash.
    block: (u64, B256),
    ambiguous: bool,
    /// Which tokens reached which accounts.
    transfers: BTreeSet<(Address, Address)>,
    /// Whether there were more of them than are remembered.
    more: bool,
    /// To whom the transaction itself sent coins, if that is no followed contract.
    coins: Option<Address>,
}

impl Unaccounted {
    pub(crate) fn new(
        block: (u64, B256),
        ambiguous: bool,
        transfers: BTreeSet<(Address, Address)>,
        coins: Option<Address>,
    ) -> Self {
        let more = transfers.len() > TRANSFERS;
        Self { block, ambiguous, transfers: if more { BTreeSet::new() } else { transfers }, more, coins }
    }

    /// The block that the transaction's payments are, or would be, placed in: height and hash.
    pub fn block(&self) -> (u64, B256) {
        self.block
    }

    /// Whether the transaction may have paid in a way that can be read in two ways.
    pub fn is_ambiguous(&self) -> bool {
        self.ambiguous
    }

    /// Whether the transaction moved an asset to a payee that no counted payment explains. No log tells of coins: coins
    /// that the transaction itself sent are seen, and coins that a contract sent within it are not.
    pub fn moved(&self, asset: Asset, payee: Address) -> bool {
        match asset {
            Asset::Native => self.coins == Some(payee),
            Asset::Token(token) => self.more || self.transfers.contains(&(token, payee)),
        }
    }
}
