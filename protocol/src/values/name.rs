//! Names of what is on a chain.

use alloy_primitives::{Address, B256, Keccak256};

use crate::values::network::ChainId;

/// The hash that is a name: keccak256 of what kind of thing it names, its chain (8 bytes), its contract, and what tells it from
/// others of its kind there. What was stored under a name is looked for under it, so these bytes never change.
pub(crate) fn name(kind: &str, chain: ChainId, contract: Address, parts: &[&[u8]]) -> B256 {
    let mut hasher = Keccak256::new();
    hasher.update(kind);
    hasher.update(chain.get().to_be_bytes());
    hasher.update(contract);
    parts.iter().for_each(|part| hasher.update(part));
    hasher.finalize()
}
