//! What the whole receipt of a transaction holds beside the payments that are counted: what can be read in two ways, and
//! money that reached somebody by a way that nobody follows. Whoever moved it is not to be told to pay again.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use alloy_primitives::{Address, B256};
use salt402_protocol::Asset;

/// Transactions whose receipts are remembered; beyond it all are forgotten, and read again.
const REMEMBERED: usize = 4096;
/// Tokens and receivers that are remembered of one transaction. One with more may hold anything.
const TRANSFERS: usize = 64;

/// What a transaction holds that is no payment, by its whole receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unaccounted {
    /// The block where its payments stand: height and hash.
    block: (u64, B256),
    ambiguous: bool,
    /// Which tokens reached whom.
    unaccounted: BTreeSet<(Address, Address)>,
    /// Whether there were more of them than are remembered.
    more: bool,
    /// Whom the transaction itself sent coins to, past every contract that is followed.
    coins: Option<Address>,
}

impl Unaccounted {
    pub(crate) fn new(
        block: (u64, B256),
        ambiguous: bool,
        unaccounted: BTreeSet<(Address, Address)>,
        coins: Option<Address>,
    ) -> Self {
        let more = unaccounted.len() > TRANSFERS;
        Self { block, ambiguous, unaccounted: if more { BTreeSet::new() } else { unaccounted }, more, coins }
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
            Asset::Token(token) => self.more || self.unaccounted.contains(&(token, payee)),
        }
    }
}

/// The newest reviews. Clones are one.
#[derive(Clone, Default)]
pub(crate) struct Reviews {
    // A std mutex, because nothing is awaited while it is held.
    known: Arc<Mutex<HashMap<B256, Arc<Unaccounted>>>>,
}

impl Reviews {
    pub(crate) fn of(&self, transaction: B256) -> Option<Arc<Unaccounted>> {
        self.lock().get(&transaction).cloned()
    }

    pub(crate) fn keep(&self, transaction: B256, review: Unaccounted) {
        let mut known = self.lock();
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(transaction, Arc::new(review));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<B256, Arc<Unaccounted>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
