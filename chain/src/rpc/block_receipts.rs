//! Reads a block's logs from its receipts, if they are too many for one `eth_getLogs` answer.
//!
//! A log query cannot be smaller than one block, but receipts can be read in pieces. All receipts are tried first,
//! because a provider may limit only logs; then batches by transaction, as large as an answer allows. Only matching
//! logs are kept, so they alone bound the memory. A receipt that fits no answer makes only its own transaction
//! unreadable.

use alloy_primitives::B256;
use serde_json::json;

use crate::error::NodeError;
use crate::node::{At, Header, Log, LogQuery, Readable, Unreadable};
use crate::rpc::http::Http;
use crate::rpc::questions::Question;
use crate::rpc::receipts_root::Proof;
use crate::rpc::too_long::Subject;
use crate::rpc::{check, questions, receipts_root, wire};

/// The receipts in the first batch.
const FIRST_BATCH: usize = 64;
/// The limit of kept logs, in multiples of the answer limit.
const MAX_KEPT_ANSWERS: usize = 4;
/// The approximate length of a log in an answer, without topics and data, in characters.
const LOG_CHARS: usize = 420;

/// Whether an error says that a block's logs do not fit into one answer.
pub(crate) fn are_needed(error: &NodeError) -> bool {
    error.is_too_long() || matches!(error, NodeError::RangeTooLarge { .. })
}

/// The matching logs of a block in chain order, and the transactions whose receipts fit no answer. With `proof`, all
/// receipts must have the header's receipts root. Nothing is proved if one of them is unreadable.
///
/// # Errors [`NodeError::BlockTooLarge`] if the receipts cannot be read either.
pub(crate) async fn logs(
    http: &Http,
    query: &LogQuery,
    hash: B256,
    proof: Proof,
) -> Result<Readable, NodeError> {
    tracing::info!(node = http.node, block = %hash, "a block's logs are too many for one answer: reading its receipts");
    match receipts_root::fetch(http, hash, proof).await {
        Ok((block, transactions, logs)) => return Ok(bounded(http, query, &block, &transactions, logs)),
        // Whatever the error means, smaller requests may succeed.
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

/// The matching logs of a block by transaction, and the unreadable transactions.
struct Kept {
    block: Header,
    /// The limit and the current amount, in the length of an answer.
    most: usize,
    weight: usize,
    matching: Vec<Matching>,
    unreadable: Vec<Unreadable>,
}

/// The matching logs of a transaction.
struct Matching {
    place: usize,
    transaction: B256,
    weight: usize,
    logs: Vec<Log>,
}

impl Kept {
    fn of(http: &Http, block: Header) -> Self {
        let most = http.max_answer_bytes.saturating_mul(MAX_KEPT_ANSWERS);
        Self { block, most, weight: 0, matching: Vec::new(), unreadable: Vec::new() }
    }

    /// Keeps a transaction's matching logs. Above the limit, the transactions with the most logs become unreadable, so
    /// a transaction that fills a block does not displace others.
    fn take(&mut self, place: usize, transaction: B256, logs: Vec<Log>) {
        if logs.is_empty() {
            return;
        }
        let weigh = |log: &Log| LOG_CHARS + log.content.topics().len() * 69 + log.content.data.len() * 2;
        let weight = logs.iter().map(weigh).sum();
        self.weight += weight;
        self.matching.push(Matching { place, transaction, weight, logs });
        while self.weight > self.most {
            let heaviest = (0..self.matching.len()).max_by_key(|at| self.matching[*at].weight);
            let Some(given_up) = heaviest.map(|at| self.matching.remove(at)) else { return };
            self.weight -= given_up.weight;
            let why = format!(
                "the events of the block are more than {MAX_KEPT_ANSWERS} answers of the longest that is taken, and most of them \
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

/// The number of receipts per batch.
struct BatchSize {
    now: usize,
    /// Whether it may grow again. A single receipt that was too long says nothing about the next ones.
    grows: bool,
}

impl BatchSize {
    fn of(http: &Http) -> Self {
        Self { now: FIRST_BATCH.min(http.batches.most()).max(1), grows: false }
    }

    fn too_many(&mut self, asked: usize, most: usize) {
        *self = Self { now: most.min(asked / 2).max(1), grows: false };
    }

    fn was_one(&mut self) {
        *self = Self { now: 1, grows: true };
    }

    fn answered(&mut self, most: usize) {
        if self.grows {
            self.now = (self.now * 2).min(FIRST_BATCH).min(most).max(1);
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
    let (mut rest, mut width) = (asked.as_slice(), BatchSize::of(http));
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
                "a transaction of the block cannot be read, so the others are accepted without proof"
            );
        }
    }
    Ok(kept.into_readable())
}

/// The receipts of some transactions, in one batch.
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

/// The logs of a receipt, if it belongs to the transaction and block. A reverted transaction has none.
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
