//! What the whole receipt of a transaction holds beside the payments that are counted: what can be read in two ways, and
//! money that reached somebody by a way that nobody follows. Whoever moved it is not to be told to pay again.

use std::collections::BTreeSet;

use alloy_primitives::{Address, B256};
use salt402_protocol::Asset;

/// Tokens and receivers that are remembered of one transaction. One with more may hold anything.
const TRANSFERS: usize = 64;

/// What a transaction holds that is no payment, by its whole receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unaccounted {
    /// The block where its payments stand: height and hash.
    block: (u64, B256),
    ambiguous: bool,
    /// Which tokens reached whom.
    transfers: BTreeSet<(Address, Address)>,
    /// Whether there were more of them than are remembered.
    more: bool,
    /// Whom the transaction itself sent coins to, past every contract that is followed.
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

    /// The block where the transaction's payments stand, or would: height and hash.
    pub fn block(&self) -> (u64, B256) {
        self.block
    }

    /// Whether the transaction may have paid in a way that can be read in two ways.
    pub fn is_ambiguous(&self) -> bool {
        self.ambiguous
    }

    /// Whether the transaction moved an asset to a payee, and no payment that is counted explains it. Of coins no log tells:
    /// those that the transaction itself sent are seen, and those that a contract sent within it are not.
    pub fn moved(&self, asset: Asset, payee: Address) -> bool {
        match asset {
            Asset::Native => self.coins == Some(payee),
            Asset::Token(token) => self.more || self.transfers.contains(&(token, payee)),
        }
    }
}
