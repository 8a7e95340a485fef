//! Transactions before they are sent.

use alloy_primitives::{Address, B256, Bytes, U256};

/// The content of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The called contract, or the receiver of the value.
    pub to: Address,
    /// The native coins to send along, in base units.
    pub value: U256,
    /// The calldata. Empty for a plain transfer.
    pub data: Bytes,
    /// The gas limit. `None`: the node's estimate plus a quarter, at most the profile's `max_gas_limit`. Set it if it
    /// is known: an estimate costs a round trip and is unreliable on some chains.
    pub gas_limit: Option<u64>,
}

/// A signed transaction that was not sent yet.
///
/// Store the hash before sending: the answer can be lost, and the hash then finds the transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// The transaction's hash.
    pub hash: B256,
    /// The encoded transaction (EIP-2718).
    pub raw: Bytes,
    /// The signer.
    pub from: Address,
    /// The transaction's nonce.
    pub nonce: u64,
    /// The native coins to send along, in base units.
    pub value: U256,
    /// The gas limit.
    pub gas_limit: u64,
    /// The highest price of a unit of gas, in base units.
    pub max_fee_per_gas: u64,
}

impl Prepared {
    /// The highest gas cost, in base units of the native coin. Nodes require this plus the value on the account.
    pub fn max_fee(&self) -> U256 {
        U256::from(self.gas_limit) * U256::from(self.max_fee_per_gas)
    }
}
