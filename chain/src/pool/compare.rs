//! Whether two answers say the same.

use std::collections::HashSet;

use alloy_primitives::{Address, B256};

use crate::node::block::{Log, Readable, Receipt, Unreadable};

/// Whether two answers hold the same events of all transactions that both could read.
pub(crate) fn same_readable(one: &Readable, other: &Readable) -> bool {
    if one.unreadable.is_empty() && other.unreadable.is_empty() {
        return same_logs(&one.logs, &other.logs);
    }
    let unread = || one.unreadable.iter().chain(&other.unreadable).cloned().collect();
    same_logs(&without(one.clone(), unread()).logs, &without(other.clone(), unread()).logs)
}

/// An answer without the events of some transactions, which it names as unreadable instead.
pub(crate) fn without(mut answer: Readable, mut unread: Vec<Unreadable>) -> Readable {
    unread.sort_by_key(|one| (one.block_number, one.place, one.transaction));
    unread.dedup_by_key(|one| one.transaction);
    let named: HashSet<B256> = unread.iter().map(|one| one.transaction).collect();
    answer.logs.retain(|log| !named.contains(&log.transaction));
    Readable { logs: answer.logs, unreadable: unread }
}

/// Whether two answers hold the same events, in whatever order: that of transactions is the node's where it gives no indexes, and
/// that of a transaction's events follows from how many questions they were asked for in.
fn same_logs(one: &[Log], other: &[Log]) -> bool {
    fn key(log: &Log) -> (u64, B256, B256, Address, &[B256], &[u8]) {
        let (topics, data) = (log.content.topics(), log.content.data.as_ref());
        (log.block_number, log.block_hash, log.transaction, log.contract, topics, data)
    }
    let sorted = |logs: &[Log]| {
        let mut logs: Vec<Log> = logs.iter().map(timeless).collect();
        logs.sort_by(|one, other| key(one).cmp(&key(other)));
        logs
    };
    one.len() == other.len() && sorted(one) == sorted(other)
}

/// Whether two receipts say the same.
pub(crate) fn same_receipt(one: &Receipt, other: &Receipt) -> bool {
    let timeless =
        |receipt: &Receipt| Receipt { logs: receipt.logs.iter().map(timeless).collect(), ..receipt.clone() };
    timeless(one) == timeless(other)
}

/// A log without the time of its block, which some nodes give and some do not.
fn timeless(log: &Log) -> Log {
    Log { block_timestamp: None, ..log.clone() }
}
