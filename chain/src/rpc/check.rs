//! Checks answers against their requests. A wrong answer becomes [`NodeError::Lied`].

use std::collections::HashMap;

use alloy_primitives::{B256, LogData};

use crate::error::NodeError;
use crate::node::{At, Header, Log, LogFilter, Receipt, Transaction};
use crate::rpc::wire;

/// The blocks that an answer's logs may come from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bounds {
    /// The blocks between two heights, both included.
    Heights(u64, u64),
    /// A single block.
    Block(Header),
}

pub(crate) fn header(header: &wire::Header, at: At) -> Result<Header, NodeError> {
    let (Some(number), Some(hash)) = (header.number, header.hash) else {
        return Err(lied(format!("a pending block came for {at:?}")));
    };
    let header =
        Header { number: number.0, hash, parent_hash: header.parent_hash, timestamp: header.timestamp.0 };
    let right = match at {
        At::Latest => true,
        At::Number(number) => number == header.number,
        At::Hash(hash) => hash == header.hash,
    };
    if right {
        Ok(header)
    } else {
        Err(lied(format!("block {} {} came for {at:?}", header.number, header.hash)))
    }
}

/// The logs in chain order.
pub(crate) fn logs(
    answer: Vec<wire::Log>,
    filter: &LogFilter,
    bounds: Bounds,
) -> Result<Vec<Log>, NodeError> {
    let mut logs = Vec::with_capacity(answer.len());
    let mut indexes = Vec::with_capacity(answer.len());
    for log in answer {
        indexes.push(log.log_index.map(|index| index.0));
        let log = mined(log)?;
        if filter.contracts.binary_search(&log.contract).is_err() {
            let asked = match filter.contracts.as_slice() {
                [one] => one.to_string(),
                several => format!("{} other contracts", several.len()),
            };
            return Err(lied(format!("a log of {} came for {asked}", log.contract)));
        }
        if !filter.matches(log.contract, &log.content) {
            return Err(lied(format!("a log of {} with other topics came", log.transaction)));
        }
        let inside = match bounds {
            Bounds::Heights(from, to) => (from..=to).contains(&log.block_number),
            Bounds::Block(block) => log.block_hash == block.hash && log.block_number == block.number,
        };
        if !inside {
            let (number, hash) = (log.block_number, log.block_hash);
            return Err(lied(format!("a log of block {number} {hash} came, which was not asked about")));
        }
        logs.push(log);
    }
    let logs = in_order(logs, &mut indexes);
    one_hash_per_height(&logs)?;
    // A repeated log would count as two events.
    let twice = (1..logs.len()).find(|place| {
        indexes[*place].is_some()
            && indexes[*place - 1] == indexes[*place]
            && logs[*place - 1].block_number == logs[*place].block_number
    });
    match twice {
        Some(place) => {
            let number = logs[place].block_number;
            Err(lied(format!("two logs of block {number} have the same index")))
        }
        None => Ok(logs),
    }
}

/// Sorts logs and indexes by height and index. They are almost always sorted already, and back-fills have thousands.
fn in_order(logs: Vec<Log>, indexes: &mut Vec<Option<u64>>) -> Vec<Log> {
    let keys = || logs.iter().zip(indexes.iter()).map(|(log, index)| (log.block_number, *index));
    if keys().is_sorted() {
        return logs;
    }
    // Some nodes search several ranges concurrently. The sort is stable, so answers without indexes keep their order.
    let mut pairs: Vec<_> = logs.into_iter().zip(indexes.drain(..)).collect();
    pairs.sort_by_key(|(log, index)| (log.block_number, *index));
    let (logs, sorted) = pairs.into_iter().unzip();
    *indexes = sorted;
    logs
}

/// The logs of a block's receipts, in order. Checks that each belongs to the block.
pub(crate) fn logs_of(answer: Vec<wire::Log>, block: &Header) -> Result<Vec<Log>, NodeError> {
    answer.into_iter().map(|log| log_of(log, block)).collect()
}

/// A log of a block's receipts.
pub(crate) fn log_of(log: wire::Log, block: &Header) -> Result<Log, NodeError> {
    let log = mined(log)?;
    if log.block_hash == block.hash && log.block_number == block.number {
        Ok(log)
    } else {
        Err(lied(format!("a receipt of block {} holds a log of {}", block.hash, log.block_hash)))
    }
}

/// A log in the form that a receipt's encoding needs.
pub(crate) fn bare(log: &wire::Log) -> Result<alloy_primitives::Log, NodeError> {
    alloy_primitives::Log::new(log.address, log.topics.clone(), log.data.clone())
        .ok_or_else(|| NodeError::Malformed { what: "a log has more than four topics".to_owned() })
}

/// Checks a receipt. `None`: the transaction is known but not mined.
pub(crate) fn receipt(receipt: wire::Receipt, transaction: B256) -> Result<Option<Receipt>, NodeError> {
    if receipt.transaction_hash != transaction {
        return Err(lied(format!("the receipt of {} came for {transaction}", receipt.transaction_hash)));
    }
    let (Some(number), Some(block_hash)) = (receipt.block_number, receipt.block_hash) else {
        return Ok(None);
    };
    let success = match receipt.status {
        Some(wire::Quantity(0)) => false,
        Some(wire::Quantity(1)) => true,
        other => {
            let what =
                format!("the receipt of {transaction} has the status {other:?}; 0x0 or 0x1 is expected");
            return Err(NodeError::Malformed { what });
        }
    };
    let logs: Vec<Log> = receipt.logs.into_iter().map(mined).collect::<Result<_, _>>()?;
    if let Some(log) = logs.iter().find(|log| {
        log.transaction != transaction || log.block_hash != block_hash || log.block_number != number.0
    }) {
        let (of, block) = (log.transaction, log.block_hash);
        return Err(lied(format!("the receipt of {transaction} holds a log of {of} in block {block}")));
    }
    Ok(Some(Receipt {
        transaction,
        block_number: number.0,
        block_hash,
        success,
        from: receipt.from,
        to: receipt.to,
        // A reverted transaction emitted no events.
        logs: if success { logs } else { Vec::new() },
    }))
}

pub(crate) fn transaction(answer: wire::Transaction, hash: B256) -> Result<Transaction, NodeError> {
    if answer.hash != hash {
        return Err(lied(format!("the transaction {} came for {hash}", answer.hash)));
    }
    Ok(Transaction { hash, to: answer.to, input: answer.input, value: answer.value })
}

/// A log with all fields of a mined one.
fn mined(log: wire::Log) -> Result<Log, NodeError> {
    if log.removed == Some(true) {
        return Err(lied(format!("a log came that a reorganization removed ({:?})", log.transaction_hash)));
    }
    let (Some(number), Some(block_hash), Some(transaction)) =
        (log.block_number, log.block_hash, log.transaction_hash)
    else {
        return Err(lied(format!("a log came that is in no block ({:?})", log.transaction_hash)));
    };
    let content = LogData::new(log.topics, log.data).ok_or_else(|| NodeError::Malformed {
        what: format!("a log of {transaction} has more than four topics"),
    })?;
    Ok(Log {
        contract: log.address,
        content,
        transaction,
        block_number: number.0,
        block_hash,
        block_timestamp: log.block_timestamp.map(|time| time.0),
    })
}

/// Refuses two block hashes at one height: the node read its chain while it changed. The logs are in order of height.
pub(crate) fn one_hash_per_height(logs: &[Log]) -> Result<(), NodeError> {
    let mut heights: HashMap<B256, u64> = HashMap::new();
    let mut previous: Option<&Log> = None;
    for log in logs {
        match previous {
            Some(before) if before.block_number == log.block_number => {
                if before.block_hash != log.block_hash {
                    return Err(NodeError::Moved);
                }
            }
            // This is the first log of its block.
            _ => {
                if heights.insert(log.block_hash, log.block_number).is_some() {
                    return Err(lied(format!("block {} came at two heights", log.block_hash)));
                }
            }
        }
        previous = Some(log);
    }
    Ok(())
}

fn lied(what: String) -> NodeError {
    NodeError::Lied { what }
}
