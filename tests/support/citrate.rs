//! An anvil behind a proxy that behaves like Citrate's node.
//!
//! Answers: log indexes, transaction indexes and blooms are meaningless. `eth_getLogs` ignores `blockHash` and silently
//! cuts its range. `eth_call` and `eth_estimateGas` read only `data`. The tags `finalized` and `safe` are block 0. A
//! mined transaction has no block and no signature. There are no block receipts. A reverted call returns no data.
//! Estimates are doubled.
//!
//! Limits: 100 calls per batch; 1,000 units per second and client; 25 MiB per answer; 1,000,000 gas for a call without
//! `gas`, 15,000,000 for an estimate, and never more than 50,000,000. A transaction is refused if its account cannot
//! pay its value and all its gas.
//!
//! WebSocket: headers have no gas, no bloom, and a base fee of 7. A subscription to logs is accepted but never
//! notifies.
//!
//! On request it omits logs, cannot read a block, cannot find receipts, or shows a transaction as merged.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::citrate_heads;
use alloy_consensus::transaction::SignerRecoverable as _;
use alloy_consensus::{Transaction as _, TxEnvelope};
use alloy_primitives::{U256, hex};
use alloy_rlp::Decodable as _;
use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use salt402_protocol::B256;
use serde_json::{Map, Value, json};
use tokio::task::JoinHandle;

/// The blocks after the first that `eth_getLogs` reads, whatever its range.
const LOGS_SPAN: u64 = 1000;
/// The units that each client may spend per second.
const UNITS_PER_SECOND: u64 = 1000;
const MAX_ANSWER_BYTES: usize = 25 << 20;
/// The gas of a call without a limit, the gas of an estimate, and the maximum of both.
const CALL_GAS: u64 = 1_000_000;
const ESTIMATE_GAS: u64 = 15_000_000;
const MAX_GAS: u64 = 50_000_000;
/// Missing methods, by name or prefix.
const ABSENT: [&str; 6] =
    ["eth_getBlockReceipts", "debug_", "eth_getProof", "anvil_", "eth_newFilter", "eth_getFilterChanges"];
const ZERO_HASH: &str = "0x0000000000000000000000000000000000000000000000000000000000000000";

/// A proxy in front of an anvil.
#[derive(Debug)]
pub struct CitrateNode {
    port: u16,
    ws_port: u16,
    proxy: Arc<Proxy>,
    tasks: [JoinHandle<()>; 2],
}

#[derive(Debug)]
pub(crate) struct Proxy {
    anvil: String,
    client: reqwest::Client,
    /// The most blocks in one `eth_getLogs`.
    widest: AtomicU32,
    /// Transactions whose logs appear only in their receipts.
    hidden: Mutex<HashSet<String>>,
    /// Merged blocks by hash, with the hash of the selected block that anvil mined instead.
    merged: Mutex<HashMap<String, String>>,
    /// Heights that it cannot read. They are silently skipped.
    unreadable: Mutex<HashSet<u64>>,
    /// The number of receipt requests that it answers as unknown, like a failing database.
    blind: AtomicU32,
    /// The accepted requests of the last second, in units.
    spent: Mutex<Vec<(Instant, u64)>>,
    /// The time of the first request, and the units of all requests, refused ones too.
    asked: Mutex<Option<(Instant, u64)>>,
    /// The number of notified headers.
    heads: AtomicUsize,
    /// The number of log subscriptions.
    logs: AtomicUsize,
}

impl CitrateNode {
    /// Starts a proxy in front of an anvil.
    pub async fn before(anvil: String) -> Self {
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let proxy = Arc::new(Proxy {
            anvil,
            client,
            widest: AtomicU32::default(),
            hidden: Mutex::default(),
            merged: Mutex::default(),
            unreadable: Mutex::default(),
            blind: AtomicU32::default(),
            spent: Mutex::default(),
            asked: Mutex::default(),
            heads: AtomicUsize::default(),
            logs: AtomicUsize::default(),
        });
        let router = Router::new().route("/", post(answer)).with_state(Arc::clone(&proxy));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let port = listener.local_addr().expect("an address").port();
        let http =
            tokio::spawn(async move { axum::serve(listener, router).await.expect("the proxy serves") });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let ws_port = listener.local_addr().expect("an address").port();
        let ws = tokio::spawn(citrate_heads::serve(listener, Arc::clone(&proxy)));
        Self { port, ws_port, proxy, tasks: [http, ws] }
    }

    /// The WebSocket address.
    pub fn ws(&self) -> String {
        format!("ws://127.0.0.1:{}", self.ws_port)
    }

    /// The number of headers notified so far, over all connections.
    pub fn notified(&self) -> usize {
        self.proxy.heads.load(Ordering::SeqCst)
    }

    /// The number of log subscriptions. They never notify.
    pub fn subscribed_to_logs(&self) -> usize {
        self.proxy.logs.load(Ordering::SeqCst)
    }

    /// The HTTP address.
    pub fn http(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The most blocks in one `eth_getLogs`.
    pub fn widest(&self) -> u32 {
        self.proxy.widest.load(Ordering::SeqCst)
    }

    /// Omits a transaction's logs from every answer except its receipt, as real nodes have done.
    pub fn omit(&self, transaction: B256) {
        self.proxy.hidden.lock().expect("the hidden").insert(transaction.to_string());
    }

    /// Ends [`CitrateNode::omit`] for a transaction.
    pub fn reveal(&self, transaction: B256) {
        self.proxy.hidden.lock().expect("the hidden").remove(&transaction.to_string());
    }

    /// Skips a block in every log range, like a node that cannot read it.
    pub fn lose_block(&self, number: u64) {
        self.proxy.unreadable.lock().expect("the unreadable").insert(number);
    }

    /// Finds no receipt for a number of requests. Citrate answers an unknown transaction and a failing database alike.
    pub fn lose_receipts(&self, questions: u32) {
        self.proxy.blind.store(questions, Ordering::SeqCst);
    }

    /// The units of all requests so far, and the units allowed since the first request. Counting single seconds would
    /// fail on a busy machine, where requests arrive in bursts.
    pub fn units(&self) -> (u64, u64) {
        let asked = *self.proxy.asked.lock().expect("the asked");
        let (since, units) = asked.expect("a question");
        (units, (since.elapsed().as_secs() + 1) * UNITS_PER_SECOND)
    }

    /// Shows a mined transaction as part of a merged block: its receipt names that block, and no query by height finds
    /// it.
    pub async fn merge(&self, transaction: B256) -> B256 {
        self.omit(transaction);
        let ask = json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_getTransactionReceipt", "params": [transaction] });
        let receipt = self.proxy.forward(&ask).await;
        let selected = receipt["result"]["blockHash"].as_str().expect("a mined transaction").to_owned();
        let beside = alloy_primitives::keccak256(&selected);
        self.proxy.merged.lock().expect("the merged").insert(beside.to_string(), selected);
        beside
    }
}

impl Drop for CitrateNode {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

async fn answer(State(proxy): State<Arc<Proxy>>, Json(asked): Json<Value>) -> Json<Value> {
    let Value::Array(calls) = asked else { return Json(fitting(proxy.one(asked).await)) };
    if calls.len() > 100 {
        return Json(refusal(&Value::Null, -32005, "batch too large"));
    }
    let mut answers = Vec::new();
    for call in calls {
        answers.push(proxy.one(call).await);
    }
    Json(fitting(Value::Array(answers)))
}

pub(crate) fn refusal(id: &Value, code: i64, message: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } })
}

/// An answer within the node's length limit, or its error.
fn fitting(answer: Value) -> Value {
    let too_long = answer.to_string().len() > MAX_ANSWER_BYTES;
    if too_long { refusal(&Value::Null, -32008, "Response is too big") } else { answer }
}

impl Proxy {
    pub(crate) fn told_heads(&self, headers: usize) {
        self.heads.fetch_add(headers, Ordering::SeqCst);
    }

    pub(crate) fn subscribed_to_logs(&self) {
        self.logs.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) async fn one(&self, mut call: Value) -> Value {
        let method = call["method"].as_str().unwrap_or_default().to_owned();
        if !self.charge(&method) {
            return refusal(
                &call["id"],
                -32005,
                "Method budget exceeded. Reduce call frequency for expensive methods.",
            );
        }
        if method.starts_with("eth_get") && self.is_stale_state(&method, &call["params"]) {
            return refusal(&call["id"], -32000, "only the latest state is served");
        }
        match method.as_str() {
            absent if ABSENT.iter().any(|name| absent.starts_with(name)) => {
                return refusal(&call["id"], -32601, "Method not found");
            }
            "eth_getTransactionReceipt" if self.is_blind() => {
                return json!({ "jsonrpc": "2.0", "id": call["id"], "result": null });
            }
            "eth_gasPrice" | "eth_maxPriorityFeePerGas" => {
                return json!({ "jsonrpc": "2.0", "id": call["id"], "result": "0x3b9aca00" });
            }
            "eth_call" | "eth_estimateGas" => {
                if let Some(transaction) = call["params"][0].as_object_mut() {
                    transaction.remove("input");
                    let default = if method == "eth_call" { CALL_GAS } else { ESTIMATE_GAS };
                    let gas = transaction.get("gas").and_then(quantity).unwrap_or(default).min(MAX_GAS);
                    transaction.insert("gas".into(), json!(format!("{gas:#x}")));
                }
            }
            "eth_sendRawTransaction" if !self.is_covered(&call["params"][0]).await => {
                return refusal(&call["id"], -32602, "insufficient funds for gas * price + value");
            }
            "eth_getBlockByNumber" if matches!(call["params"][0].as_str(), Some("finalized" | "safe")) => {
                call["params"][0] = json!("0x0");
            }
            "eth_getLogs" => self.cut(&mut call["params"][0]).await,
            "eth_getBlockByHash" => return self.block_by_hash(call).await,
            _ => {}
        }
        let mut answer = self.forward(&call).await;
        let result = &mut answer["result"];
        match method.as_str() {
            "eth_getLogs" => {
                let hidden = self.hidden.lock().expect("the hidden").clone();
                let unreadable = self.unreadable.lock().expect("the unreadable").clone();
                if let Some(logs) = result.as_array_mut() {
                    logs.retain(|log| !hidden.contains(log["transactionHash"].as_str().unwrap_or_default()));
                    logs.retain(|log| quantity(&log["blockNumber"]).is_none_or(|n| !unreadable.contains(&n)));
                }
                for (position, log) in result.as_array_mut().into_iter().flatten().enumerate() {
                    spoil_log(log, &format!("{position:#x}"));
                }
            }
            "eth_getTransactionReceipt" => {
                spoil_receipt(result);
                self.place_beside(result);
            }
            "eth_getBlockByNumber" => {
                spoil_block(result);
                self.name_merged(result);
            }
            "eth_getTransactionByHash" => spoil_transaction(result),
            "eth_estimateGas" => {
                if let Some(gas) = quantity(result) {
                    *result = json!(format!("{:#x}", gas * 2));
                }
            }
            _ => {}
        }
        spoil_error(&method, &mut answer);
        answer
    }

    /// Charges a request. `false`: the client's limit is used up.
    fn charge(&self, method: &str) -> bool {
        let cost = if matches!(method, "eth_getLogs" | "eth_call" | "eth_estimateGas") { 10 } else { 1 };
        let (mut spent, now) = (self.spent.lock().expect("the spent"), Instant::now());
        self.asked.lock().expect("the asked").get_or_insert((now, 0)).1 += cost;
        spent.retain(|(at, _)| now.duration_since(*at) < Duration::from_secs(1));
        if spent.iter().map(|(_, units)| units).sum::<u64>() + cost > UNITS_PER_SECOND {
            return false;
        }
        spent.push((now, cost));
        true
    }

    fn is_blind(&self) -> bool {
        self.blind.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
    }

    /// Whether the request asks for an old state.
    fn is_stale_state(&self, method: &str, params: &Value) -> bool {
        let tag = match method {
            "eth_getBalance" | "eth_getCode" | "eth_getTransactionCount" => &params[1],
            _ => return false,
        };
        tag.as_str().is_some_and(|tag| !matches!(tag, "latest" | "pending"))
    }

    /// Whether the account of a signed transaction can pay its value and all its gas.
    async fn is_covered(&self, raw: &Value) -> bool {
        let bytes = raw.as_str().and_then(|text| hex::decode(text).ok()).unwrap_or_default();
        // Anvil itself refuses what cannot be decoded.
        let Some(transaction) = signed(&bytes) else { return true };
        let Ok(sender) = transaction.recover_signer() else { return true };
        let price = U256::from(transaction.max_fee_per_gas());
        let cost = transaction.value() + U256::from(transaction.gas_limit()) * price;
        let ask =
            json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_getBalance", "params": [sender, "latest"] });
        let balance = self.forward(&ask).await;
        balance["result"].as_str().and_then(|text| text.parse::<U256>().ok()).is_some_and(|have| have >= cost)
    }

    pub(crate) async fn forward(&self, call: &Value) -> Value {
        self.try_forward(call).await.expect("anvil answers")
    }

    /// `None` if anvil is gone, because background tasks may outlive it.
    pub(crate) async fn try_forward(&self, call: &Value) -> Option<Value> {
        self.client.post(&self.anvil).json(call).send().await.ok()?.json().await.ok()
    }

    /// A merged block has the content of the block that anvil mined, under its own hash.
    async fn block_by_hash(&self, mut call: Value) -> Value {
        let asked = call["params"][0].as_str().unwrap_or_default().to_owned();
        let selected = self.merged.lock().expect("the merged").get(&asked).cloned();
        if let Some(selected) = &selected {
            call["params"][0] = json!(selected);
        }
        let mut answer = self.forward(&call).await;
        spoil_block(&mut answer["result"]);
        if selected.is_some() {
            answer["result"]["hash"] = json!(asked);
        }
        answer
    }

    /// Names the merged block in the selected block that merged it.
    fn name_merged(&self, block: &mut Value) {
        let merged = self.merged.lock().expect("the merged");
        let own = block["hash"].as_str().unwrap_or_default().to_owned();
        let beside: Vec<&String> =
            merged.iter().filter(|(_, selected)| **selected == own).map(|(beside, _)| beside).collect();
        if !beside.is_empty() {
            block["mergeParentHashes"] = json!(beside);
        }
    }

    fn place_beside(&self, receipt: &mut Value) {
        let merged = self.merged.lock().expect("the merged");
        let block = receipt["blockHash"].as_str().unwrap_or_default().to_owned();
        let hidden = receipt["transactionHash"].as_str().unwrap_or_default().to_owned();
        if !self.hidden.lock().expect("the hidden").contains(&hidden) {
            return;
        }
        let Some((beside, _)) = merged.iter().find(|(_, selected)| **selected == block) else { return };
        receipt["blockHash"] = json!(beside);
        for log in receipt["logs"].as_array_mut().into_iter().flatten() {
            log["blockHash"] = json!(beside);
        }
    }

    /// Cuts a log filter as the node does: no block hash, and a limited range.
    async fn cut(&self, filter: &mut Value) {
        let Some(filter) = filter.as_object_mut() else { return };
        filter.remove("blockHash");
        let head = self
            .forward(&json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_blockNumber", "params": [] }))
            .await;
        let head = quantity(&head["result"]).expect("a height");
        let from = filter.get("fromBlock").and_then(quantity).unwrap_or(0);
        let to = filter.get("toBlock").and_then(quantity).unwrap_or(head);
        let blocks = u32::try_from(to.saturating_sub(from) + 1).unwrap_or(u32::MAX);
        self.widest.fetch_max(blocks, Ordering::SeqCst);
        filter.insert("fromBlock".into(), json!(format!("{from:#x}")));
        filter.insert("toBlock".into(), json!(format!("{:#x}", to.min(from + LOGS_SPAN))));
    }
}

/// Changes errors as the node does: a revert has only a message, and a refused transaction has the code for invalid
/// parameters.
fn spoil_error(method: &str, answer: &mut Value) {
    let Some(error) = answer.get_mut("error").and_then(Value::as_object_mut) else { return };
    match method {
        "eth_call" | "eth_estimateGas" => {
            error.remove("data");
            error.insert("code".into(), json!(-32000));
            error.insert("message".into(), json!("execution reverted: 0x"));
        }
        "eth_sendRawTransaction" => {
            let told = error.get("message").cloned().unwrap_or_default();
            error.insert("code".into(), json!(-32602));
            error.insert("message".into(), json!(format!("Failed to submit transaction: {told:?}")));
        }
        _ => {}
    }
}

/// Decodes a signed transaction of any type.
fn signed(mut bytes: &[u8]) -> Option<TxEnvelope> {
    match bytes.first()? {
        // An RLP list is a legacy transaction.
        0xc0.. => TxEnvelope::decode(&mut bytes).ok(),
        // The encoding within a block: the typed transaction as an RLP string.
        _ => TxEnvelope::decode(&mut alloy_rlp::encode(bytes).as_slice()).ok(),
    }
}

pub(crate) fn quantity(value: &Value) -> Option<u64> {
    u64::from_str_radix(value.as_str()?.strip_prefix("0x")?, 16).ok()
}

fn spoil_log(log: &mut Value, index: &str) {
    if let Some(log) = log.as_object_mut() {
        log.insert("logIndex".into(), json!(index));
        log.insert("transactionIndex".into(), json!("0x0"));
        log.remove("blockTimestamp");
    }
}

fn spoil_receipt(receipt: &mut Value) {
    let Some(receipt) = receipt.as_object_mut() else { return };
    for log in receipt.get_mut("logs").and_then(Value::as_array_mut).into_iter().flatten() {
        spoil_log(log, "0x0");
    }
    receipt.insert("transactionIndex".into(), json!("0x0"));
    receipt.insert("cumulativeGasUsed".into(), receipt.get("gasUsed").cloned().unwrap_or_default());
    empty_bloom(receipt);
}

pub(crate) fn spoil_block(block: &mut Value) {
    let Some(block) = block.as_object_mut() else { return };
    empty_bloom(block);
    for (name, value) in [
        ("blueScore", json!("0x10")),
        ("blueWork", json!("0x20")),
        ("selectedParentHash", block.get("parentHash").cloned().unwrap_or_default()),
        ("mergeParentHashes", json!([])),
        ("proposerPubkey", json!("0x00")),
        ("gasUsed", json!("0x0")),
    ] {
        block.insert(name.into(), value);
    }
}

fn spoil_transaction(transaction: &mut Value) {
    let Some(transaction) = transaction.as_object_mut() else { return };
    for (name, value) in
        [("blockNumber", "0x0"), ("blockHash", ZERO_HASH), ("v", "0x1b"), ("r", "0x0"), ("s", "0x0")]
    {
        transaction.insert(name.into(), json!(value));
    }
    transaction.remove("type");
}

fn empty_bloom(object: &mut Map<String, Value>) {
    object.insert("logsBloom".into(), json!(format!("0x{}", "0".repeat(512))));
}
