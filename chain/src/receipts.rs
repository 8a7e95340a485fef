//! A block's logs from its receipts, where they are too many for one answer of `eth_getLogs`.
//!
//! There is no smaller question about logs than one of a single block. Its receipts can be asked for in pieces: all at
//! once first, since a provider's limit may be one on logs alone, then by the block's transactions, as many at once as
//! fit into an answer. What does not match is dropped as it comes, so that memory is bounded by what matches.

use alloy_primitives::B256;
use serde_json::json;

use crate::complete::{self, Proof};
use crate::rpc::{Http, Question};
use crate::rpc_node::questions;
use crate::{At, Log, LogQuery, NodeError, check, wire};

/// Receipts that are asked for in one request, at first.
const TOGETHER: usize = 64;
/// How much more than one answer what matches may be, in an answer's own measure.
const ANSWERS: usize = 4;
/// Characters of a log in an answer besides its topics and data, about.
const LOG_BYTES: usize = 420;

/// Whether an error says that a block's logs do not fit into one answer.
pub(crate) fn are_needed(error: &NodeError) -> bool {
    error.is_too_long() || matches!(error, NodeError::RangeTooLarge { .. })
}

/// The logs of a block that match, in the order of the chain. With `proof`, all receipts together must have the root that
/// the block's header names.
///
/// # Errors
/// [`NodeError::BlockTooLarge`] where the receipts are not to be had either, or what matches is more than is kept.
pub(crate) async fn logs(
    http: &Http,
    query: &LogQuery,
    hash: B256,
    proof: Proof,
) -> Result<Vec<Log>, NodeError> {
    tracing::info!(node = http.node, block = %hash, "a block's logs are too many for one answer: reading its receipts");
    match complete::fetch(http, hash, proof).await {
        Ok(logs) => return bounded(http, query, hash, logs),
        // Whatever it says of this question, it may answer smaller ones.
        Err(
            NodeError::AnswerTooLong { .. }
            | NodeError::AnswerRefused { .. }
            | NodeError::Unsupported { .. }
            | NodeError::Rpc { .. }
            | NodeError::Malformed { .. },
        ) => {}
        Err(error) => return Err(error),
    }
    one_by_one(http, query, hash, proof).await.map_err(|error| match error {
        NodeError::AnswerTooLong { .. }
        | NodeError::AnswerRefused { .. }
        | NodeError::Unsupported { .. }
        | NodeError::Rpc { .. } => NodeError::BlockTooLarge { block: hash, why: error.to_string() },
        error => error,
    })
}

fn bounded(http: &Http, query: &LogQuery, hash: B256, mut logs: Vec<Log>) -> Result<Vec<Log>, NodeError> {
    logs.retain(|log| query.matches(log.contract, &log.content));
    let mut room = Room::of(http, hash);
    for log in &logs {
        room.take(log)?;
    }
    Ok(logs)
}

/// What may still be kept of a block.
struct Room {
    block: B256,
    left: usize,
}

impl Room {
    fn of(http: &Http, block: B256) -> Self {
        Self { block, left: http.max_answer_bytes.saturating_mul(ANSWERS) }
    }

    fn take(&mut self, log: &Log) -> Result<(), NodeError> {
        let weight = LOG_BYTES + log.content.topics().len() * 69 + log.content.data.len() * 2;
        self.left = self.left.checked_sub(weight).ok_or_else(|| NodeError::BlockTooLarge {
            block: self.block,
            why: format!("its events are more than {ANSWERS} answers of the longest that is taken"),
        })?;
        Ok(())
    }
}

async fn one_by_one(http: &Http, query: &LogQuery, hash: B256, proof: Proof) -> Result<Vec<Log>, NodeError> {
    let header: Option<wire::ListedHeader> = http.ask(&questions::header(At::Hash(hash))).await?;
    let header = header.ok_or(NodeError::Behind)?;
    let block = check::header(&header.header, At::Hash(hash))?;
    let (mut room, mut logs, mut encoded) = (Room::of(http, hash), Vec::new(), Vec::new());
    let (mut rest, mut together) = (header.transactions.as_slice(), TOGETHER.min(http.batches.most()));
    while !rest.is_empty() {
        let (now, later) = rest.split_at(together.clamp(1, rest.len()));
        let receipts = match ask(http, now).await {
            Err(error) if error.is_too_long() && now.len() > 1 => {
                together = now.len() / 2;
                continue;
            }
            Err(NodeError::BatchTooLarge { .. }) if now.len() > 1 => {
                together = http.batches.most().min(now.len() / 2);
                continue;
            }
            receipts => receipts?,
        };
        for (receipt, transaction) in receipts.into_iter().zip(now) {
            if proof == Proof::Root {
                encoded.push(complete::encode(&receipt)?);
            }
            for log in own_logs(receipt, *transaction, hash)? {
                let log = check::log_of(log, &block)?;
                if query.matches(log.contract, &log.content) {
                    room.take(&log)?;
                    logs.push(log);
                }
            }
        }
        rest = later;
    }
    if proof == Proof::Root {
        complete::check_root(&encoded, header.receipts_root, &block)?;
    }
    Ok(logs)
}

/// The receipts of some transactions, in one request.
async fn ask(http: &Http, transactions: &[B256]) -> Result<Vec<wire::BlockReceipt>, NodeError> {
    let questions: Vec<Question> = transactions
        .iter()
        .map(|transaction| Question::new("eth_getTransactionReceipt", json!([transaction])))
        .collect();
    let answers = http.ask_together(&questions).await?;
    answers
        .open(http)?
        .into_iter()
        .map(|answer| answer.read::<Option<wire::BlockReceipt>>()?.ok_or(NodeError::Behind))
        .collect()
}

/// The logs of a receipt, if it is that of a transaction in a block. What a reverted transaction logged never happened.
fn own_logs(
    receipt: wire::BlockReceipt,
    transaction: B256,
    block: B256,
) -> Result<Vec<wire::Log>, NodeError> {
    if receipt.transaction_hash != transaction {
        let of = receipt.transaction_hash;
        return Err(NodeError::Lied { what: format!("the receipt of {of} came for {transaction}") });
    }
    if receipt.block_hash.is_some_and(|hash| hash != block) {
        return Err(NodeError::Moved);
    }
    if receipt.logs.iter().any(|log| log.transaction_hash != Some(transaction)) {
        let what = format!("the receipt of {transaction} holds a log of another transaction");
        return Err(NodeError::Lied { what });
    }
    match (receipt.status, receipt.root) {
        (Some(wire::Quantity(0)), _) => Ok(Vec::new()),
        (Some(wire::Quantity(1)), _) | (None, Some(_)) => Ok(receipt.logs),
        _ => {
            let what = format!("the receipt of {transaction} has neither status 0x0 nor 0x1");
            Err(NodeError::Malformed { what })
        }
    }
}
