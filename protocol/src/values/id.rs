//! Ids of things on a chain.

use alloy_primitives::{Address, B256, Keccak256};

use crate::values::network::ChainId;

/// An id: keccak256 of its kind, the chain id (8 bytes), the contract, and the parts that tell it apart. Stored data is
/// looked up by ids, so these bytes never change.
pub(crate) fn hash_id(kind: &str, chain: ChainId, contract: Address, parts: &[&[u8]]) -> B256 {
    let mut hasher = Keccak256::new();
    hasher.update(kind);
    hasher.update(chain.get().to_be_bytes());
    hasher.update(contract);
    parts.iter().for_each(|part| hasher.update(part));
    hasher.finalize()
}
