//! Transactions before they are sent.

use alloy_primitives::{Address, B256, Bytes, U256};

/// What a transaction does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The contract, or whoever receives the value.
    pub to: Address,
    /// Native coin that goes along, in base units.
    pub value: U256,
    /// Calldata; empty for a mere transfer.
    pub data: Bytes,
    /// The most gas that it may use. `None`: as much as the node estimates and a quarter more, within the profile's
    /// `max_gas_limit`. Give it where it is known: an estimate is a round trip, and on some chains a guess.
    pub gas_limit: Option<u64>,
}

/// A signed transaction that has not been sent.
///
/// Store its hash before it is sent: an answer can be lost, and the hash finds out what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// The transaction's hash.
    pub hash: B256,
    /// The transaction as it is sent, EIP-2718.
    pub raw: Bytes,
    /// Who signed it.
    pub from: Address,
    /// Its place in the order of the account's transactions.
    pub nonce: u64,
    /// Native coin that goes along, in base units.
    pub value: U256,
    /// The most gas that it may use.
    pub gas_limit: u64,
    /// The most that a unit of gas may cost, in base units.
    pub max_fee_per_gas: u64,
}

impl Prepared {
    /// The most gas may cost, in base units of the native coin. Nodes want to see this much, and the value, in the
    /// account.
    pub fn max_fee(&self) -> U256 {
        U256::from(self.gas_limit) * U256::from(self.max_fee_per_gas)
    }
}
