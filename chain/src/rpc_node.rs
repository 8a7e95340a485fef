//! A node that is asked over HTTP, and that may tell of new heads over WebSocket.

use std::fmt;
use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes, U256};
use async_trait::async_trait;
use futures::stream::BoxStream;
use serde_json::{Value, json};
use url::Url;

use crate::account::{Call, Prepared};
use crate::check::{self, Bounds};
use crate::complete::{Proof, Verified};
use crate::endpoint::{Endpoint, shown};
use crate::receipts;
use crate::rpc::{Answer, Answers, Http, Question};
use crate::unreadable::Of;
use crate::wire::{self, Quantity};
use crate::{
    At, Completeness, Header, Log, LogFilter, LogQuery, Merging, Node, NodeError, Profile, Readable, Receipt,
    Span, Transaction, Work, heads,
};

/// Questions for logs that go into one request: what they cost is spent at once.
const TOGETHER: usize = 16;
/// Gas for a call that names none. Nodes differ in what they allow then, and Citrate's allows one million.
const CALL_GAS: u64 = 10_000_000;

/// [`Node`] over JSON-RPC.
///
/// It keeps no state but its connections, its budget and a few blocks' logs, and asks again only what it is asked again:
/// retries and the choice of another node are the caller's. It waits where its budget is spent. Clones are one node.
#[derive(Clone)]
pub struct RpcNode {
    http: Http,
    ws: Option<Url>,
    profile: Arc<Profile>,
    verified: Arc<Verified>,
}

impl RpcNode {
    /// A node that need not be reachable yet: the first question finds out.
    ///
    /// # Errors
    /// [`NodeError::Endpoint`] where the endpoint or the profile cannot be used at all.
    pub fn connect(endpoint: Endpoint, profile: Profile) -> Result<Self, NodeError> {
        endpoint.check()?;
        profile.check().map_err(|error| NodeError::Endpoint { what: error.to_string() })?;
        let http = Http::new(&endpoint, &profile)?;
        Ok(Self { http, ws: endpoint.ws, profile: Arc::new(profile), verified: Arc::default() })
    }

    /// Scheme, host and port of the node: what of its address may be shown.
    pub fn host(&self) -> &str {
        &self.http.node
    }

    /// An account's balance in base units of the native coin, at the head.
    ///
    /// # Errors
    /// Whatever keeps the node from answering.
    pub async fn balance(&self, account: Address) -> Result<U256, NodeError> {
        self.http.ask(&questions::balance(account)).await
    }

    /// The code at an address, at the head; empty where there is no contract.
    ///
    /// # Errors
    /// Whatever keeps the node from answering.
    pub async fn code(&self, contract: Address) -> Result<Bytes, NodeError> {
        self.http.ask(&Question::new("eth_getCode", json!([contract, "latest"]))).await
    }

    /// Executes a call at the head without sending it, and gives what it returns.
    ///
    /// # Errors
    /// [`NodeError::is_revert`] tells a call that reverted from a node that failed. The reason is in the message where
    /// the node gives one; a custom error's data is not to be relied upon, some nodes keep it to themselves.
    pub async fn call(&self, from: Option<Address>, call: &Call) -> Result<Bytes, NodeError> {
        let mut transaction = questions::transaction(call);
        transaction["gas"] = json!(questions::hex(call.gas_limit.unwrap_or(CALL_GAS)));
        if let Some(from) = from {
            transaction["from"] = json!(from);
        }
        self.http.ask(&Question::new("eth_call", json!([transaction, "latest"]))).await
    }

    /// Sends a signed transaction. Sending it again does no harm: a node that already has it is a success.
    ///
    /// # Errors
    /// [`NodeError::Lied`] where the node answers with another hash than the transaction's. After
    /// [`NodeError::Timeout`] or [`NodeError::Unreachable`] the transaction may have been sent: look for its receipt,
    /// or send the same one again.
    pub async fn broadcast(&self, prepared: &Prepared) -> Result<B256, NodeError> {
        self.send(prepared.hash, &prepared.raw).await
    }

    /// [`RpcNode::broadcast`] for a transaction that was signed elsewhere or before: its hash, and the transaction as EIP-2718.
    ///
    /// # Errors
    /// As [`RpcNode::broadcast`].
    pub async fn send(&self, hash: B256, raw: &Bytes) -> Result<B256, NodeError> {
        let question = Question::new("eth_sendRawTransaction", json!([raw]));
        match self.http.ask::<B256>(&question).await {
            Ok(taken) if taken == hash => Ok(hash),
            Ok(other) => {
                Err(NodeError::Lied { what: format!("the transaction {hash} was taken as {other}") })
            }
            Err(NodeError::Rpc { message, .. }) if is_known_already(&message) => Ok(hash),
            Err(error) => Err(error),
        }
    }

    /// How many transactions of an account are in blocks: its lowest nonce that is not used up.
    ///
    /// # Errors
    /// Whatever keeps the node from answering.
    pub async fn transaction_count(&self, account: Address) -> Result<u64, NodeError> {
        let question = Question::new("eth_getTransactionCount", json!([account, "latest"]));
        Ok(self.http.ask::<Quantity>(&question).await?.0)
    }

    pub(crate) fn http(&self) -> &Http {
        &self.http
    }

    async fn logs_of_one(&self, query: &LogQuery, hash: B256) -> Result<Vec<Log>, NodeError> {
        if self.profile.completeness == Completeness::Receipts
            && let Some(logs) = self.verified.logs(&self.http, query, hash).await?
        {
            return Ok(logs);
        }
        self.unverified(query, hash).await
    }

    /// Whether the receipts of a new block are held against its header.
    fn proof(&self) -> Proof {
        match self.profile.completeness {
            Completeness::Receipts => Proof::Root,
            Completeness::Off => Proof::Nothing,
        }
    }

    /// The logs of one block, as far as the node tells them.
    async fn unverified(&self, query: &LogQuery, hash: B256) -> Result<Vec<Log>, NodeError> {
        if self.profile.logs_by_hash {
            self.logs_of_block(query, hash).await
        } else {
            self.logs_of_height(query, hash).await
        }
    }

    async fn logs_of_block(&self, query: &LogQuery, hash: B256) -> Result<Vec<Log>, NodeError> {
        let ask = |filter: &LogFilter| questions::logs_of(filter, json!({ "blockHash": hash }));
        // Nodes answer with no logs for a block that they do not have. The header, from the same node, tells.
        let told = self.ask_filters(At::Hash(hash), query, ask).await.map_err(|error| too_large(error, 1))?;
        let block = Bounds::Block(told.header);
        told.checked(block)
    }

    /// The logs of one block from a node that knows blocks only by their height.
    async fn logs_of_height(&self, query: &LogQuery, hash: B256) -> Result<Vec<Log>, NodeError> {
        let header = self.header(At::Hash(hash)).await?.ok_or(NodeError::Behind)?;
        // A replica that has no such block yet answers with no logs. The header at the height, from the same one, tells.
        let at = At::Number(header.number);
        let ask = |filter: &LogFilter| questions::logs(filter, header.number, header.number);
        let told = self.ask_filters(at, query, ask).await.map_err(|error| too_large(error, 1))?;
        if told.header.hash != hash {
            return Err(NodeError::Moved);
        }
        // Once more after the logs, and not in one batch with them: that the height still belongs to this block is what
        // makes an empty answer true.
        let now = self.header(at).await?.ok_or(NodeError::Behind)?;
        if now.hash != hash {
            return Err(NodeError::Moved);
        }
        told.checked(Bounds::Block(header))
    }

    async fn logs_of_range(&self, query: &LogQuery, from: u64, to: u64) -> Result<Vec<Log>, NodeError> {
        if from > to {
            return Ok(Vec::new());
        }
        let (blocks, limit) = ((to - from).saturating_add(1), self.profile.logs_range);
        if blocks > limit {
            return Err(NodeError::RangeTooLarge { blocks, limit: Some(limit) });
        }
        // Nodes answer for the blocks that they have. The header of the last one, from the same node, tells whether
        // these are all.
        let ask = |filter: &LogFilter| questions::logs(filter, from, to);
        let told = self.ask_filters(At::Number(to), query, ask).await;
        let told = told.map_err(|error| too_large(error, blocks))?;
        let last = told.header;
        let logs = told.checked(Bounds::Heights(from, to))?;
        match logs.last() {
            Some(log) if log.block_number == to && log.block_hash != last.hash => Err(NodeError::Moved),
            _ => Ok(logs),
        }
    }

    /// Asks for logs by as many filters as the node takes contracts in, together with a header in each request: what is said
    /// of one request is of one node.
    async fn ask_filters(
        &self,
        at: At,
        query: &LogQuery,
        ask: impl Fn(&LogFilter) -> Question,
    ) -> Result<Told, NodeError> {
        loop {
            let most = self.http.addresses.most();
            match self.ask_parts(at, query.parts(most), &ask).await {
                // Fewer are named next: that was learned from it.
                Err(NodeError::TooManyAddresses { .. }) if self.http.addresses.most() < most => {}
                told => return told,
            }
        }
    }

    async fn ask_parts(
        &self,
        at: At,
        parts: Vec<LogFilter>,
        ask: &impl Fn(&LogFilter) -> Question,
    ) -> Result<Told, NodeError> {
        let (mut header, mut answers) = (None::<Header>, Vec::with_capacity(parts.len()));
        let mut rest = parts.as_slice();
        while !rest.is_empty() {
            let together = self.http.batches.most().saturating_sub(1).min(TOGETHER).clamp(1, rest.len());
            let (now, later) = rest.split_at(together);
            let asked: Vec<Question> =
                std::iter::once(questions::header(at)).chain(now.iter().map(ask)).collect();
            let named = now.iter().map(|filter| filter.contracts.len()).max().unwrap_or(0);
            let (shown, logs) = match self.http.ask_together(&asked).await {
                // As above.
                Err(NodeError::BatchTooLarge { .. }) if now.len() > 1 => continue,
                told => {
                    self.header_and_logs(&told.map_err(|error| self.http.named_too_many(error, named))?)?
                }
            };
            let shown = check::header(&shown, at)?;
            if header.is_some_and(|before| before != shown) {
                return Err(NodeError::Moved);
            }
            header = Some(shown);
            for (filter, logs) in now.iter().zip(logs) {
                let named = filter.contracts.len();
                answers.push((filter.clone(), logs.map_err(|error| self.http.named_too_many(error, named))?));
            }
            rest = later;
        }
        match header {
            Some(header) => Ok(Told { header, answers }),
            // Nothing was asked for.
            None => {
                let header = self.header(at).await?.ok_or(NodeError::Behind)?;
                Ok(Told { header, answers })
            }
        }
    }

    /// The answers to the questions for a header and for logs.
    fn header_and_logs(&self, answers: &Answers) -> Result<HeaderAndLogs, NodeError> {
        if let Some((header, logs)) = answers.object_and_list() {
            return Ok((header, vec![Ok(logs)]));
        }
        let mut answers = answers.open(&self.http)?.into_iter();
        let header = answers.next().map(Answer::read::<Option<wire::Header>>).transpose()?.flatten();
        let header = header.ok_or(NodeError::Behind)?;
        Ok((header, answers.map(Answer::read).collect()))
    }
}

type HeaderAndLogs = (wire::Header, Vec<Result<Vec<wire::Log>, NodeError>>);

/// A header and what was answered beside it, each answer with its question.
struct Told {
    header: Header,
    answers: Vec<(LogFilter, Vec<wire::Log>)>,
}

impl Told {
    /// The logs, in the order of the chain and each once, if all of them fit their questions.
    fn checked(self, bounds: Bounds) -> Result<Vec<Log>, NodeError> {
        let mut answers = self.answers.into_iter();
        let Some((first, logs)) = answers.next() else { return Ok(Vec::new()) };
        let mut all = check::logs(logs, &first, bounds)?;
        let mut asked = vec![first];
        for (filter, logs) in answers {
            let more = check::logs(logs, &filter, bounds)?;
            // What another question has brought already is there.
            let fresh = |log: &Log| !asked.iter().any(|filter| filter.matches(log.contract, &log.content));
            all.extend(more.into_iter().filter(fresh));
            asked.push(filter);
        }
        all.sort_by_key(|log| log.block_number);
        check::one_hash_per_height(&all)?;
        Ok(all)
    }
}

#[async_trait]
impl Node for RpcNode {
    async fn chain_id(&self) -> Result<u64, NodeError> {
        Ok(self.http.ask::<Quantity>(&questions::chain_id()).await?.0)
    }

    async fn header(&self, at: At) -> Result<Option<Header>, NodeError> {
        let header: Option<wire::Header> = self.http.ask(&questions::header(at)).await?;
        header.map(|header| check::header(&header, at)).transpose()
    }

    async fn merging(&self, at: At) -> Result<Option<Merging>, NodeError> {
        let answer: Option<wire::MergingHeader> = self.http.ask(&questions::header(at)).await?;
        let merging = |answer: wire::MergingHeader| {
            let header = check::header(&answer.header, at)?;
            Ok(Merging { header, merged: answer.merge_parent_hashes })
        };
        answer.map(merging).transpose()
    }

    async fn logs(&self, query: &LogQuery, span: Span) -> Result<Vec<Log>, NodeError> {
        self.readable_logs(query, span).await?.whole()
    }

    async fn readable_logs(&self, query: &LogQuery, span: Span) -> Result<Readable, NodeError> {
        match span {
            Span::Blocks { from, to } => match self.logs_of_range(query, from, to).await {
                // What was refused for its number of blocks is asked for by fewer; less than one is not to be had.
                Err(error) if from == to && receipts::are_needed(&error) => {
                    let header = self.header(At::Number(to)).await?.ok_or(NodeError::Behind)?;
                    // Of the past, nothing else is proved either.
                    receipts::logs(&self.http, query, header.hash, Proof::Nothing).await
                }
                logs => logs.map(Readable::from),
            },
            Span::Block(hash) => match self.logs_of_one(query, hash).await {
                Err(error) if receipts::are_needed(&error) => {
                    receipts::logs(&self.http, query, hash, self.proof()).await
                }
                logs => logs.map(Readable::from),
            },
        }
    }

    async fn receipt(&self, transaction: B256) -> Result<Option<Receipt>, NodeError> {
        let question = Question::new("eth_getTransactionReceipt", json!([transaction]));
        let of = Of::Receipt(transaction);
        self.http.too_long.refuse(of)?;
        let answer = self.http.ask::<Option<wire::Receipt>>(&question).await;
        match self.http.too_long.note(of, answer)? {
            Some(receipt) => check::receipt(receipt, transaction),
            None => Ok(None),
        }
    }

    async fn transaction(&self, hash: B256) -> Result<Option<Transaction>, NodeError> {
        let question = Question::new("eth_getTransactionByHash", json!([hash]));
        let of = Of::Transaction(hash);
        self.http.too_long.refuse(of)?;
        let answer = self.http.ask::<Option<wire::Transaction>>(&question).await;
        let answer = self.http.too_long.note(of, answer)?;
        answer.map(|answer| check::transaction(answer, hash)).transpose()
    }

    async fn view(&self, contract: Address, data: Bytes) -> Result<Bytes, NodeError> {
        self.call(None, &Call { to: contract, value: U256::ZERO, data, gas_limit: None }).await
    }

    async fn heads(&self) -> Result<Option<BoxStream<'static, ()>>, NodeError> {
        match &self.ws {
            Some(ws) if self.profile.new_heads => heads::subscribe(&self.http, ws).await.map(Some),
            _ => Ok(None),
        }
    }

    fn profile(&self) -> &Profile {
        &self.profile
    }

    fn longest_answer(&self) -> Option<u64> {
        u64::try_from(self.http.max_answer_bytes).ok()
    }

    fn label(&self) -> &str {
        self.http.meter.node()
    }

    fn is_unproved(&self) -> bool {
        self.profile.completeness == Completeness::Receipts && self.verified.lacks()
    }

    async fn pin(&self, work: Work) -> Result<Option<Arc<dyn Node>>, NodeError> {
        let mut node = self.clone();
        node.http.work = work;
        Ok(Some(Arc::new(node)))
    }
}

impl fmt::Debug for RpcNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RpcNode")
            .field("http", &self.http.node)
            .field("ws", &self.ws.as_ref().map(shown))
            .field("profile", &self.profile.name)
            .finish_non_exhaustive()
    }
}

/// What is asked, in JSON-RPC's words.
pub(crate) mod questions {
    use super::*;

    pub(crate) fn hex(number: u64) -> String {
        format!("{number:#x}")
    }

    pub(crate) fn chain_id() -> Question {
        Question::new("eth_chainId", json!([]))
    }

    pub(crate) fn balance(account: Address) -> Question {
        Question::new("eth_getBalance", json!([account, "latest"]))
    }

    pub(crate) fn header(at: At) -> Question {
        match at {
            At::Latest => Question::new("eth_getBlockByNumber", json!(["latest", false])),
            At::Number(number) => Question::new("eth_getBlockByNumber", json!([hex(number), false])),
            At::Hash(hash) => Question::new("eth_getBlockByHash", json!([hash, false])),
        }
    }

    pub(crate) fn logs(filter: &LogFilter, from: u64, to: u64) -> Question {
        logs_of(filter, json!({ "fromBlock": hex(from), "toBlock": hex(to) }))
    }

    /// Logs of what `blocks` says. A single contract stands alone and not in a list, as the simplest clients write it.
    pub(crate) fn logs_of(filter: &LogFilter, mut blocks: Value) -> Question {
        blocks["address"] = match filter.contracts.as_slice() {
            [contract] => json!(contract),
            contracts => json!(contracts),
        };
        blocks["topics"] = topics(filter);
        Question::new("eth_getLogs", json!([blocks]))
    }

    /// A single value stands alone likewise.
    fn topics(filter: &LogFilter) -> Value {
        let place = |values: &Vec<B256>| match values.as_slice() {
            [] => Value::Null,
            [value] => json!(value),
            values => json!(values),
        };
        filter.topics.iter().map(place).collect()
    }

    /// A call with its data under both names: some nodes read only `data`, others prefer `input`.
    pub(crate) fn transaction(call: &Call) -> Value {
        json!({ "to": call.to, "value": call.value, "data": call.data, "input": call.data })
    }
}

/// Both a node that refuses so many blocks and an answer that grew too long ask for the same: fewer blocks.
fn too_large(error: NodeError, blocks: u64) -> NodeError {
    match error {
        NodeError::RangeTooLarge { limit, .. } => NodeError::RangeTooLarge { blocks, limit },
        // A proxy gives up on an answer that is too long or takes too long by these.
        NodeError::AnswerTooLong { .. }
        | NodeError::AnswerRefused { .. }
        | NodeError::Status { status: 413 | 504 | 524, .. }
            if blocks > 1 =>
        {
            NodeError::RangeTooLarge { blocks, limit: None }
        }
        other => other,
    }
}

pub(crate) fn two<T>(answers: Vec<T>) -> Result<[T; 2], NodeError> {
    answers
        .try_into()
        .map_err(|_| NodeError::Malformed { what: "a batch of two had another number".to_owned() })
}

/// The words for it differ: geth and anvil, reth, Nethermind, Citrate, Besu and old gateways, OpenEthereum.
fn is_known_already(message: &str) -> bool {
    const WORDS: &[&str] = &[
        "already known",
        "already imported",
        "alreadyknown",
        "already_known",
        "duplicatetransaction",
        "duplicate transaction",
        "already in mempool",
        "already in the mempool",
        "already in pool",
        "tx already exists",
        "same hash was already",
        "known transaction",
    ];
    let words = message.to_ascii_lowercase();
    // Which is said of a type, and is something else.
    let words = words.replace("unknown transaction", "");
    WORDS.iter().any(|phrase| words.contains(phrase))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_has_the_transaction_is_understood_whatever_its_words() {
        for known in [
            "already known",
            "Known transaction",
            "known transaction: 0xabc",
            "transaction already imported",
            "AlreadyKnown",
            "DuplicateTransaction(0xabc)",
            "ALREADY_KNOWN: already known",
            "Transaction with the same hash was already imported.",
            "tx already exists in cache",
        ] {
            assert!(is_known_already(known), "{known}");
        }
        for other in ["unknown transaction type", "nonce too low", "replacement transaction underpriced", ""]
        {
            assert!(!is_known_already(other), "{other}");
        }
    }
}
