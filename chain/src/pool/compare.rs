//! Comparison of two nodes' answers.

use std::collections::HashSet;

use alloy_primitives::{Address, B256};

use crate::node::{Log, Readable, Receipt, Unreadable};

/// Whether two answers agree on all transactions that both could read.
pub(crate) fn same_readable(one: &Readable, other: &Readable) -> bool {
    if one.unreadable.is_empty() && other.unreadable.is_empty() {
        return same_logs(&one.logs, &other.logs);
    }
    let unread = || one.unreadable.iter().chain(&other.unreadable).cloned().collect();
    same_logs(&without(one.clone(), unread()).logs, &without(other.clone(), unread()).logs)
}

/// Moves the logs of some transactions out of an answer and lists the transactions as unreadable.
pub(crate) fn without(mut answer: Readable, mut unread: Vec<Unreadable>) -> Readable {
    unread.sort_by_key(|one| (one.block_number, one.place, one.transaction));
    unread.dedup_by_key(|one| one.transaction);
    let named: HashSet<B256> = unread.iter().map(|one| one.transaction).collect();
    answer.logs.retain(|log| !named.contains(&log.transaction));
    Readable { logs: answer.logs, unreadable: unread }
}

/// Whether two answers hold the same logs. The order of transactions is ignored, because nodes without indexes choose
/// it. A transaction's logs may arrive in several queries, so their order is ignored too.
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

pub(crate) fn same_receipt(one: &Receipt, other: &Receipt) -> bool {
    let timeless =
        |receipt: &Receipt| Receipt { logs: receipt.logs.iter().map(timeless).collect(), ..receipt.clone() };
    timeless(one) == timeless(other)
}

/// A log without its block's time, which only some nodes give.
fn timeless(log: &Log) -> Log {
    Log { block_timestamp: None, ..log.clone() }
}
