//! The JSON fields of answers that are used.
//!
//! Serde skips all other fields, so a node may omit, fake or add them.

use std::fmt;

use alloy_primitives::{Address, B256, Bytes, U256};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Header {
    /// Null in a pending block.
    pub(crate) number: Option<Quantity>,
    pub(crate) hash: Option<B256>,
    pub(crate) parent_hash: B256,
    pub(crate) timestamp: Quantity,
    pub(crate) base_fee_per_gas: Option<Quantity>,
}

/// A header with the hashes of the block's transactions, and the receipts root if there is one.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListedHeader {
    #[serde(flatten)]
    pub(crate) header: Header,
    pub(crate) receipts_root: Option<B256>,
    pub(crate) transactions: Vec<B256>,
}

/// A header with the merged blocks, as Citrate's node names them.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MergingHeader {
    #[serde(flatten)]
    pub(crate) header: Header,
    #[serde(default)]
    pub(crate) merge_parent_hashes: Vec<B256>,
}

/// A receipt among those of its block, with all encoded fields except the bloom.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BlockReceipt {
    pub(crate) transaction_hash: B256,
    pub(crate) block_hash: Option<B256>,
    #[serde(rename = "type")]
    pub(crate) kind: Option<Quantity>,
    pub(crate) status: Option<Quantity>,
    /// Used instead of the status in the first years of Ethereum.
    pub(crate) root: Option<B256>,
    pub(crate) cumulative_gas_used: Quantity,
    pub(crate) logs: Vec<Log>,
    /// These two fields exist only for OP-stack deposits.
    pub(crate) deposit_nonce: Option<Quantity>,
    pub(crate) deposit_receipt_version: Option<Quantity>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Log {
    pub(crate) address: Address,
    pub(crate) topics: Vec<B256>,
    pub(crate) data: Bytes,
    /// These three fields are null while the transaction is not mined.
    pub(crate) block_number: Option<Quantity>,
    pub(crate) block_hash: Option<B256>,
    pub(crate) transaction_hash: Option<B256>,
    /// The index in the block, the index in the answer, or zero. Compared within one answer only.
    pub(crate) log_index: Option<Quantity>,
    pub(crate) block_timestamp: Option<Quantity>,
    pub(crate) removed: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Receipt {
    pub(crate) transaction_hash: B256,
    pub(crate) block_number: Option<Quantity>,
    pub(crate) block_hash: Option<B256>,
    pub(crate) status: Option<Quantity>,
    pub(crate) from: Address,
    pub(crate) to: Option<Address>,
    pub(crate) logs: Vec<Log>,
    pub(crate) gas_used: Option<Quantity>,
    pub(crate) effective_gas_price: Option<Quantity>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Transaction {
    pub(crate) hash: B256,
    pub(crate) to: Option<Address>,
    pub(crate) input: Bytes,
    pub(crate) value: U256,
}

/// A JSON-RPC quantity: `0x` and hexadecimal digits. Leading zeros and plain JSON numbers are accepted, because nodes
/// send them and they are unambiguous.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quantity(pub(crate) u64);

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Digits;

        impl Visitor<'_> for Digits {
            type Value = Quantity;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number below 2^64 as 0x and hexadecimal digits")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Quantity, E> {
                text.strip_prefix("0x")
                    // `from_str_radix` would accept a sign.
                    .filter(|digits| !digits.starts_with('+'))
                    .and_then(|digits| u64::from_str_radix(digits, 16).ok())
                    .map(Quantity)
                    .ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Quantity, E> {
                Ok(Quantity(number))
            }
        }

        deserializer.deserialize_any(Digits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantity_is_read_as_nodes_write_it() {
        let read = |json: &str| serde_json::from_str::<Quantity>(json).map(|q| q.0).ok();
        assert_eq!(read("\"0x0\""), Some(0));
        assert_eq!(read("\"0x9d0c\""), Some(40204));
        assert_eq!(read("\"0x0007\""), Some(7));
        assert_eq!(read("7"), Some(7));
        assert_eq!(read("\"0xffffffffffffffff\""), Some(u64::MAX));
        for bad in [
            "\"0x\"",
            "\"7\"",
            "\"0x10000000000000000\"",
            "\"0x+7\"",
            "\"-0x7\"",
            "-7",
            "7.5",
            "null",
            "\"\"",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
