//! A block's logs from its receipts, where they are too many for one answer of `eth_getLogs`.
//!
//! There is no smaller question about logs than one of a single block. Its receipts can be asked for in pieces: all at
//! once first, since a provider's limit may be one on logs alone, then by the block's transactions, as many at once as
//! fit into an answer. What does not match is dropped as it comes, so that memory is bounded by what matches. A receipt that
//! fits into no answer by itself costs its own transaction and no other.

use alloy_primitives::B256;
use serde_json::json;

use crate::error::NodeError;
use crate::node::block::{Header, Log, Readable, Unreadable};
use crate::node::query::{At, LogQuery};
use crate::rpc::http::Http;
use crate::rpc::questions::Question;
use crate::rpc::receipts_root::Proof;
use crate::rpc::too_long::Subject;
use crate::rpc::{check, questions, receipts_root, wire};

/// Receipts that are asked for in one request, at first.
const TOGETHER: usize = 64;
/// How much more than one answer what matches may be, in an answer's own measure.
const ANSWERS: usize = 4;
/// Characters of a log in an answer without its topics and data, about.
const LOG_BYTES: usize = 420;

/// Whether an error says that a block's logs do not fit into one answer.
pub(crate) fn are_needed(error: &NodeError) -> bool {
    error.is_too_long() || matches!(error, NodeError::RangeTooLarge { .. })
}

/// The logs of a block that match, in the order of the chain, and the transactions of it that fit into no answer. With
/// `proof`, all receipts together must have the root that the block's header names, unless one of them cannot be read:
/// then nothing is proved of the others either.
///
/// # Errors
/// [`NodeError::BlockTooLarge`] where the receipts are not to be had either.
pub(crate) async fn logs(
    http: &Http,
    query: &LogQuery,
    hash: B256,
    proof: Proof,
) -> Result<Readable, NodeError> {
    tracing::info!(node = http.node, block = %hash, "a block's logs are too many for one answer: reading its receipts");
    match receipts_root::fetch(http, hash, proof).await {
        Ok((block, transactions, logs)) => return Ok(bounded(http, query, &block, &transactions, logs)),
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

fn bounded(http: &Http, query: &LogQuery, block: &Header, transactions: &[B256], logs: Vec<Log>) -> Readable {
    let mut kept = Kept::of(http, *block);
    let mut logs = logs.into_iter().peekable();
    for (place, transaction) in transactions.iter().enumerate() {
        let own = std::iter::from_fn(|| logs.next_if(|log| log.transaction == *transaction));
        kept.take(place, *transaction, own.filter(|log| query.matches(log.contract, &log.content)).collect());
    }
    kept.into_readable()
}

/// What is kept of a block: the events that match, by their transactions, and which could not be read.
struct Kept {
    block: Header,
    /// The most that is kept, and how much it is, as long as nodes write it.
    most: usize,
    weight: usize,
    matching: Vec<Matching>,
    unreadable: Vec<Unreadable>,
}

/// The events of a transaction that match.
struct Matching {
    place: usize,
    transaction: B256,
    weight: usize,
    logs: Vec<Log>,
}

impl Kept {
    fn of(http: &Http, block: Header) -> Self {
        let most = http.max_answer_bytes.saturating_mul(ANSWERS);
        Self { block, most, weight: 0, matching: Vec::new(), unreadable: Vec::new() }
    }

    /// Keeps what matches of a transaction. Where all of it is more than is kept, the transactions with the most are given up:
    /// whoever fills a block takes no room from the others in it.
    fn take(&mut self, place: usize, transaction: B256, logs: Vec<Log>) {
        if logs.is_empty() {
            return;
        }
        let weigh = |log: &Log| LOG_BYTES + log.content.topics().len() * 69 + log.content.data.len() * 2;
        let weight = logs.iter().map(weigh).sum();
        self.weight += weight;
        self.matching.push(Matching { place, transaction, weight, logs });
        while self.weight > self.most {
            let heaviest = (0..self.matching.len()).max_by_key(|at| self.matching[*at].weight);
            let Some(given_up) = heaviest.map(|at| self.matching.remove(at)) else { return };
            self.weight -= given_up.weight;
            let why = format!(
                "the events of the block are more than {ANSWERS} answers of the longest that is taken, and most of them \
                 are its own"
            );
            let error = NodeError::BlockTooLarge { block: self.block.hash, why };
            self.give_up(given_up.place, given_up.transaction, error);
        }
    }

    fn give_up(&mut self, place: usize, transaction: B256, error: NodeError) {
        let Header { number: block_number, hash: block_hash, .. } = self.block;
        let place = u32::try_from(place).unwrap_or(u32::MAX);
        self.unreadable.push(Unreadable { transaction, block_number, block_hash, place, error });
    }

    fn into_readable(self) -> Readable {
        let logs = self.matching.into_iter().flat_map(|matching| matching.logs).collect();
        Readable { logs, unreadable: self.unreadable }
    }
}

/// How many receipts are asked for at once.
struct Width {
    now: usize,
    /// Whether it may grow again: one receipt was too long by itself, and that says nothing of those after it.
    grows: bool,
}

impl Width {
    fn of(http: &Http) -> Self {
        Self { now: TOGETHER.min(http.batches.most()).max(1), grows: false }
    }

    fn too_many(&mut self, asked: usize, most: usize) {
        *self = Self { now: most.min(asked / 2).max(1), grows: false };
    }

    fn was_one(&mut self) {
        *self = Self { now: 1, grows: true };
    }

    fn answered(&mut self, most: usize) {
        if self.grows {
            self.now = (self.now * 2).min(TOGETHER).min(most).max(1);
        }
    }
}

async fn one_by_one(http: &Http, query: &LogQuery, hash: B256, proof: Proof) -> Result<Readable, NodeError> {
    let header: Option<wire::ListedHeader> = http.ask(&questions::header(At::Hash(hash))).await?;
    let header = header.ok_or(NodeError::Behind)?;
    let block = check::header(&header.header, At::Hash(hash))?;
    let (mut kept, mut encoded) = (Kept::of(http, block), Vec::new());
    let mut asked = Vec::with_capacity(header.transactions.len());
    for (place, transaction) in header.transactions.iter().enumerate() {
        match http.too_long.refuse(Subject::Receipt(*transaction)) {
            Ok(()) => asked.push((place, *transaction)),
            Err(error) => kept.give_up(place, *transaction, error),
        }
    }
    let (mut rest, mut width) = (asked.as_slice(), Width::of(http));
    while !rest.is_empty() {
        let (now, later) = rest.split_at(width.now.clamp(1, rest.len()));
        let receipts = match (ask(http, now).await, now) {
            (Err(error), [(place, transaction)]) if error.is_too_long() => {
                let _ = http.too_long.note::<()>(Subject::Receipt(*transaction), Err(error.clone()));
                kept.give_up(*place, *transaction, error);
                width.was_one();
                rest = later;
                continue;
            }
            (Err(error), _) if error.is_too_long() => {
                width.too_many(now.len(), usize::MAX);
                continue;
            }
            (Err(NodeError::BatchTooLarge { .. }), [_, _, ..]) => {
                width.too_many(now.len(), http.batches.most());
                continue;
            }
            (receipts, _) => receipts?,
        };
        for (receipt, (place, transaction)) in receipts.into_iter().zip(now) {
            if proof == Proof::Root {
                encoded.push(receipts_root::encode(&receipt)?);
            }
            let logs = own_logs(receipt, *transaction, hash)?.into_iter();
            let logs: Vec<Log> = logs.map(|log| check::log_of(log, &block)).collect::<Result<_, _>>()?;
            let matches = |log: &Log| query.matches(log.contract, &log.content);
            kept.take(*place, *transaction, logs.into_iter().filter(matches).collect());
        }
        width.answered(http.batches.most());
        rest = later;
    }
    if proof == Proof::Root {
        if encoded.len() == header.transactions.len() {
            receipts_root::check_root(&encoded, header.receipts_root, &block)?;
        } else {
            tracing::warn!(
                node = http.node, block = block.number, %hash,
                "a transaction of the block cannot be read, so that the others are taken as complete without proof"
            );
        }
    }
    Ok(kept.into_readable())
}

/// The receipts of some transactions, in one request.
async fn ask(http: &Http, transactions: &[(usize, B256)]) -> Result<Vec<wire::BlockReceipt>, NodeError> {
    let questions: Vec<Question> = transactions
        .iter()
        .map(|(_, transaction)| Question::new("eth_getTransactionReceipt", json!([transaction])))
        .collect();
    let answers = http.ask_together(&questions).await?;
    http.open(&answers)?
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
