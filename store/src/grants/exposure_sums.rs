//! The sums of what is granted to payers before it is final, in memory. With them, a claim under a limit costs the same
//! for any number of open grants of its payer.
//!
//! The rows are the truth. A sum is used only if the chain's exposures still have the version for which it was read.
//! The database counts that version up with every row that any process notes, moves or removes. The version is read
//! together with the payment that is to be claimed, under the write lock. So a sum that is out of date is never used
//! but read again.
//!
//! Sums are kept per block, because with every block other payments are final, without any change of a row.

use std::collections::{BTreeMap, HashMap};

use salt402_protocol::{Address, Amount, Asset, ChainId};

use crate::engine::{Columns as _, Connection, chain_id, query};
use crate::rows::StoreError;

/// For how many payers and assets sums are kept. If there are more, all are forgotten, and read again when they are
/// needed.
const KEPT: usize = 4096;

/// Whose sum it is: a payer's, in one asset of one chain.
pub(crate) type Account = (ChainId, Address, Asset);

/// The sums of a writer. If a transaction fails, they are dropped, since they contain what it wrote.
#[derive(Default)]
pub(crate) struct ExposureSums {
    /// The version for which the sums of a chain are true.
    versions: HashMap<ChainId, u64>,
    /// What was granted on payments, by the heights of their blocks, in base units. Payments in no block of the chain
    /// do not count.
    by_block: HashMap<Account, BTreeMap<u64, Amount>>,
}

impl ExposureSums {
    /// Forgets the sums if the chain's exposures have another version now.
    pub(crate) fn at(&mut self, chain: ChainId, version: u64) {
        if self.versions.insert(chain, version) != Some(version) {
            self.by_block.retain(|(of, ..), _| *of != chain);
        }
    }

    /// How much is granted on payments in blocks at or above `from`. Ask after [`Self::at`], in the same transaction.
    pub(crate) fn granted(
        &mut self,
        account: Account,
        from: u64,
        connection: &mut Connection,
    ) -> Result<Amount, StoreError> {
        if !self.by_block.contains_key(&account) {
            if self.by_block.len() >= KEPT {
                self.by_block.clear();
            }
            self.by_block.insert(account, read(account, connection)?);
        } else if cfg!(debug_assertions) {
            let told = read(account, connection)?;
            debug_assert_eq!(self.by_block.get(&account), Some(&told), "sums of {account:?} are out of date");
        }
        let above = self.by_block.get(&account).into_iter().flat_map(|sums| sums.range(from..));
        Ok(above.fold(Amount::ZERO, |sum, (_, amount)| add(sum, *amount)))
    }

    /// One row was added, which counts the version up by one.
    pub(crate) fn noted(&mut self, account: Account, block: u64, amount: Amount) {
        if let Some(version) = self.versions.get_mut(&account.0) {
            *version += 1;
        }
        if let Some(sums) = self.by_block.get_mut(&account) {
            let sum = sums.entry(block).or_insert(Amount::ZERO);
            *sum = add(*sum, amount);
        }
    }
}

/// Added up here, because SQL has no numbers of this size.
fn read(
    (chain, payer, asset): Account,
    connection: &mut Connection,
) -> Result<BTreeMap<u64, Amount>, StoreError> {
    let rows = query(
        "SELECT block_number, amount FROM exposures
         WHERE chain_id = $1 AND payer = $2 AND asset = $3 AND block_number IS NOT NULL",
    )
    .bind(chain_id(chain))
    .bind(payer.as_slice())
    .bind(asset.address().as_slice())
    .fetch_all(connection)?;
    let mut sums = BTreeMap::new();
    for row in &rows {
        let sum = sums.entry(row.number("block_number")?).or_insert(Amount::ZERO);
        *sum = add(*sum, row.amount("amount")?);
    }
    Ok(sums)
}

/// A sum stops at the largest amount. It then exceeds every limit but the largest.
pub(crate) fn add(one: Amount, other: Amount) -> Amount {
    Amount(one.0.saturating_add(other.0))
}
