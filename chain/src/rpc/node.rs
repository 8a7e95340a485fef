//! A node over HTTP, optionally with new heads over WebSocket.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes, U256};
use async_trait::async_trait;
use futures::stream::BoxStream;
use serde_json::json;
use url::Url;

use crate::error::NodeError;
use crate::node::{
    AccountState, At, Call, Header, Log, LogQuery, Merging, Mined, Node, Prepared, Readable, Receipt, Span,
    StateQuestion, Transaction, Work,
};
use crate::profile::{Completeness, Profile};
use crate::rpc::answers::Answer;
use crate::rpc::endpoint::{Endpoint, shown};
use crate::rpc::http::Http;
use crate::rpc::logs::LogReader;
use crate::rpc::questions::Question;
use crate::rpc::receipts_root::{Proof, Verified};
use crate::rpc::too_long::Subject;
use crate::rpc::wire::Quantity;
use crate::rpc::{account as account_state, block_receipts, check, error_text, heads, questions, wire};

/// [`Node`] over JSON-RPC.
///
/// It keeps only its connections, its budget and a few blocks' logs. It never repeats a request: callers retry and
/// choose nodes. It waits if its budget is spent. Clones share their state.
#[derive(Clone)]
pub struct RpcNode {
    http: Http,
    ws: Option<Url>,
    profile: Arc<Profile>,
    verified: Arc<Verified>,
}

impl RpcNode {
    /// A node. It need not be reachable yet: the first request finds out.
    ///
    /// # Errors [`NodeError::Endpoint`] if the endpoint or the profile is invalid.
    pub fn connect(endpoint: Endpoint, profile: Profile) -> Result<Self, NodeError> {
        endpoint.check()?;
        profile.check().map_err(|error| NodeError::Endpoint { what: error.to_string() })?;
        let http = Http::new(&endpoint, &profile)?;
        Ok(Self { http, ws: endpoint.ws, profile: Arc::new(profile), verified: Arc::default() })
    }

    /// The node's scheme, host and port, which may be shown.
    pub fn host(&self) -> &str {
        &self.http.node
    }

    /// An account's balance in base units of the native coin, at the head.
    ///
    /// # Errors Any error of the node.
    pub async fn balance(&self, account: Address) -> Result<U256, NodeError> {
        self.http.ask(&questions::balance(account)).await
    }

    /// The code at an address, at the head; empty where there is no contract.
    ///
    /// # Errors Any error of the node.
    pub async fn code(&self, contract: Address) -> Result<Bytes, NodeError> {
        self.http.ask(&questions::code(contract)).await
    }

    /// Executes a call at the head without sending it, and returns its result.
    ///
    /// # Errors [`NodeError::is_revert`] distinguishes a reverted call from a failed node. The message holds the reason
    /// if the node gives one. Custom error data is unreliable, because some nodes omit it.
    pub async fn call(&self, from: Option<Address>, call: &Call) -> Result<Bytes, NodeError> {
        self.http.ask(&questions::call(from, call)).await
    }

    /// Sends a signed transaction. Sending it again is harmless: a node that has it already counts as success.
    ///
    /// # Errors [`NodeError::Lied`] if the node returns another hash. After [`NodeError::Timeout`] or
    /// [`NodeError::Unreachable`] the transaction may have been sent: look for its receipt, or send the same one again.
    pub async fn broadcast(&self, prepared: &Prepared) -> Result<B256, NodeError> {
        self.send(prepared.hash, &prepared.raw).await
    }

    /// Like [`RpcNode::broadcast`], for a transaction signed elsewhere: its hash and its EIP-2718 encoding.
    ///
    /// # Errors
    /// As [`RpcNode::broadcast`].
    pub async fn send(&self, hash: B256, raw: &Bytes) -> Result<B256, NodeError> {
        let question = Question::new("eth_sendRawTransaction", json!([raw]));
        match self.http.ask::<B256>(&question).await {
            Ok(taken) if taken == hash => Ok(hash),
            Ok(other) => Err(NodeError::Lied {
                what: format!("the node returned the hash {other} for the transaction {hash}"),
            }),
            Err(NodeError::Rpc { message, .. }) if error_text::is_known_transaction(&message) => Ok(hash),
            Err(error) => Err(error),
        }
    }

    /// The nonces of an account's transactions that the node holds and that are in no block yet.
    ///
    /// # Errors
    /// As [`RpcNode::transaction_count`].
    pub async fn pending_nonces(&self, account: Address) -> Result<Range<u64>, NodeError> {
        let question = Question::new("eth_getTransactionCount", json!([account, "pending"]));
        let pending = self.http.ask::<Quantity>(&question).await?.0;
        // Asked afterwards, so that what is mined meanwhile is not taken for one that is not.
        Ok(self.transaction_count(account).await?..pending)
    }

    /// The number of an account's mined transactions, which is its next unused nonce.
    ///
    /// # Errors Any error of the node.
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
        self.reader().of_block(query, hash).await
    }

    fn reader(&self) -> LogReader<'_> {
        LogReader { http: &self.http, profile: &self.profile }
    }

    /// Whether a new block's receipts are checked against its header.
    fn proof(&self) -> Proof {
        match self.profile.completeness {
            Completeness::Receipts => Proof::Root,
            Completeness::Off => Proof::Nothing,
        }
    }
}

#[async_trait]
impl Node for RpcNode {
    async fn chain_id(&self) -> Result<u64, NodeError> {
        Ok(self.http.ask::<Quantity>(&questions::chain_id()).await?.0)
    }

    async fn header(&self, at: At) -> Result<Option<Header>, NodeError> {
        self.reader().header(at).await
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
            Span::Blocks { from, to } => match self.reader().of_range(query, from, to).await {
                // Too many blocks: the caller asks for fewer. If it is only one block, its receipts are read instead.
                Err(error) if from == to && block_receipts::are_needed(&error) => {
                    let header = self.header(At::Number(to)).await?.ok_or(NodeError::Behind)?;
                    // Past blocks are not proved in other ways either.
                    block_receipts::logs(&self.http, query, header.hash, Proof::Nothing).await
                }
                logs => logs.map(Readable::from),
            },
            Span::Block(hash) => match self.logs_of_one(query, hash).await {
                Err(error) if block_receipts::are_needed(&error) => {
                    block_receipts::logs(&self.http, query, hash, self.proof()).await
                }
                logs => logs.map(Readable::from),
            },
        }
    }

    async fn receipt(&self, transaction: B256) -> Result<Option<Receipt>, NodeError> {
        let question = Question::new("eth_getTransactionReceipt", json!([transaction]));
        let subject = Subject::Receipt(transaction);
        self.http.too_long.refuse(subject)?;
        let answer = self.http.ask::<Option<wire::Receipt>>(&question).await;
        match self.http.too_long.note(subject, answer)? {
            Some(receipt) => check::receipt(receipt, transaction),
            None => Ok(None),
        }
    }

    async fn mined(&self, transactions: &[B256]) -> Result<Vec<Option<Mined>>, NodeError> {
        let question = |transaction| Question::new("eth_getTransactionReceipt", json!([transaction]));
        let questions: Vec<_> = transactions.iter().map(question).collect();
        let pieces = self.http.ask_in_pieces(&questions).await?;
        let mut answers = Vec::with_capacity(transactions.len());
        for piece in &pieces {
            answers.extend(self.http.open(piece)?);
        }
        let read = |(transaction, answer): (&B256, Answer<'_>)| {
            let Some(receipt) = answer.read::<Option<wire::Receipt>>()? else { return Ok(None) };
            let cost = |quantity: Option<Quantity>| quantity.map(|quantity| quantity.0);
            let (gas_used, gas_price) = (cost(receipt.gas_used), cost(receipt.effective_gas_price));
            let receipt = check::receipt(receipt, *transaction)?;
            Ok(receipt.map(|receipt| Mined { receipt, gas_used, gas_price }))
        };
        transactions.iter().zip(answers).map(read).collect()
    }

    async fn account(&self, account: Address) -> Result<AccountState, NodeError> {
        account_state::account(&self.http, account).await
    }

    async fn submit(&self, hash: B256, raw: &Bytes) -> Result<(), NodeError> {
        self.send(hash, raw).await.map(drop)
    }

    async fn transaction(&self, hash: B256) -> Result<Option<Transaction>, NodeError> {
        let question = Question::new("eth_getTransactionByHash", json!([hash]));
        let subject = Subject::Transaction(hash);
        self.http.too_long.refuse(subject)?;
        let answer = self.http.ask::<Option<wire::Transaction>>(&question).await;
        let answer = self.http.too_long.note(subject, answer)?;
        answer.map(|answer| check::transaction(answer, hash)).transpose()
    }

    async fn view(&self, contract: Address, data: Bytes) -> Result<Bytes, NodeError> {
        self.call(None, &Call { to: contract, value: U256::ZERO, data, gas_limit: None }).await
    }

    async fn code(&self, contract: Address) -> Result<Bytes, NodeError> {
        Self::code(self, contract).await
    }

    async fn state(&self, asked: &[StateQuestion]) -> Result<Vec<Result<Bytes, NodeError>>, NodeError> {
        let questions: Vec<_> = asked.iter().map(questions::state).collect();
        let pieces = self.http.ask_in_pieces(&questions).await?;
        let mut answers = Vec::with_capacity(asked.len());
        for piece in &pieces {
            answers.extend(self.http.open(piece)?);
        }
        let read = |(question, answer): (&StateQuestion, Answer<'_>)| match question {
            StateQuestion::Code(_) | StateQuestion::View { .. } => answer.read::<Bytes>(),
            StateQuestion::Gas { .. } | StateQuestion::Balance(_) | StateQuestion::Height => {
                answer.read::<U256>().map(|number| number.to_be_bytes::<32>().into())
            }
        };
        Ok(asked.iter().zip(answers).map(read).collect())
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

    fn most_together(&self) -> Option<usize> {
        Some(self.http.batches.most())
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
