//! Answers of a node that may say anything.

use std::collections::HashMap;

use alloy_primitives::{Address, B256};
use salt402_chain::{At, LogQuery, parse};

const CONTRACT: Address = Address::repeat_byte(0xc0);
const TOPIC: B256 = B256::repeat_byte(0x70);
const TRANSACTION: B256 = B256::repeat_byte(0x11);

/// Logs that pass are of the contract and event that were asked about, in the span, in order, and of one block a height.
pub(crate) fn logs(data: &[u8]) {
    let query = LogQuery::new(CONTRACT, vec![TOPIC]);
    let Ok(logs) = parse::logs(data, &query, 5, 9) else { return };
    let mut hashes = HashMap::new();
    for log in &logs {
        assert!((5..=9).contains(&log.block_number));
        assert_eq!((log.contract, log.content.topics()[0]), (CONTRACT, TOPIC));
        assert!(log.content.topics().len() <= 4);
        assert_eq!(*hashes.entry(log.block_number).or_insert(log.block_hash), log.block_hash);
    }
    assert!(logs.is_sorted_by_key(|log| log.block_number));
}

/// A receipt that passes is that of the transaction, and so are its logs; a reverted one has none.
pub(crate) fn receipt(data: &[u8]) {
    let Ok(Some(receipt)) = parse::receipt(data, TRANSACTION) else { return };
    assert_eq!(receipt.transaction, TRANSACTION);
    assert!(receipt.success || receipt.logs.is_empty());
    for log in &receipt.logs {
        assert_eq!(log.transaction, TRANSACTION);
        assert_eq!((log.block_number, log.block_hash), (receipt.block_number, receipt.block_hash));
    }
}

/// A header that passes is the one that was asked about.
pub(crate) fn header(data: &[u8]) {
    if let Ok(header) = parse::header(data, At::Number(7)) {
        assert_eq!(header.number, 7);
    }
    if let Ok(header) = parse::header(data, At::Hash(TRANSACTION)) {
        assert_eq!(header.hash, TRANSACTION);
    }
}
