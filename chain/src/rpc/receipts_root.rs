//! Proves that no log of a block is missing: all its receipts must have the header's receipts root.
//!
//! `eth_getLogs` can silently omit a log. With receipts, an omitted, truncated or changed one gives another root. The
//! header comes from the same node in the same request, so a node that invents both is still believed; comparing nodes
//! (`agree`) detects that.
//!
//! The nodes' blooms are not used: the bloom in a receipt's encoding is computed from its logs.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alloy_consensus::{Eip658Value, Receipt, ReceiptWithBloom, TxReceipt as _};
use alloy_primitives::B256;
use alloy_rlp::{BufMut as _, Encodable as _};
use op_alloy_consensus::OpDepositReceipt;
use serde_json::json;
use tokio::time::Instant;

use crate::error::NodeError;
use crate::lock::lock;
use crate::node::{At, Header, Log, LogQuery};
use crate::rpc::answers::Answer;
use crate::rpc::http::Http;
use crate::rpc::questions::Question;
use crate::rpc::too_long::Subject;
use crate::rpc::{check, questions, wire};

/// The type of an OP-stack deposit transaction. Its receipts have extra fields.
const DEPOSIT: u8 = 0x7e;
/// The most logs of proved blocks that are kept, so that a block is read once for several contracts.
const KEPT_LOGS: usize = 50_000;
/// The most proved blocks that are kept.
const KEPT_BLOCKS: usize = 16;
/// How long a node's report that it lacks the method is believed.
const REMEMBERED_FOR: Duration = Duration::from_secs(600);
const METHOD: &str = "eth_getBlockReceipts";

type Kept = VecDeque<(B256, Arc<Vec<Log>>)>;

/// The proved blocks of one node, newest last, and whether the node has the method.
#[derive(Debug, Default)]
pub(crate) struct Verified {
    kept: Mutex<Kept>,
    ability: Mutex<Ability>,
}

/// Whether a node has the method, as far as known.
#[derive(Clone, Copy, Debug, Default)]
enum Ability {
    /// It was not tried yet.
    #[default]
    Unknown,
    /// It has proved a block. A later denial is not believed, because one address may have several nodes behind it.
    Proves,
    /// It reported that it lacks the method, and has never proved a block. Believed until then.
    Lacks { until: Instant },
}

impl Verified {
    /// The matching logs of a block, if its receipts have the header's root. `None`: the node lacks the method.
    pub(crate) async fn logs(
        &self,
        http: &Http,
        query: &LogQuery,
        hash: B256,
    ) -> Result<Option<Vec<Log>>, NodeError> {
        if self.lacks() {
            return Ok(None);
        }
        let known =
            lock(&self.kept).iter().find_map(|(kept, logs)| (*kept == hash).then(|| Arc::clone(logs)));
        let logs = match known {
            Some(logs) => logs,
            None => match fetch(http, hash, Proof::Root).await {
                Err(NodeError::Unsupported { method, message }) if method == METHOD => {
                    self.denied(http, &message)?;
                    return Ok(None);
                }
                fetched => {
                    let (_, _, logs) = fetched?;
                    self.proved(http);
                    self.keep(hash, logs)
                }
            },
        };
        Ok(Some(logs.iter().filter(|log| query.matches(log.contract, &log.content)).cloned().collect()))
    }

    /// Whether the node is currently believed to lack the method.
    pub(crate) fn lacks(&self) -> bool {
        matches!(*lock(&self.ability), Ability::Lacks { until } if Instant::now() < until)
    }

    /// Records that the node reports to lack the method.
    ///
    /// # Errors [`NodeError::Lied`] if it has proved a block before. Logs without proof are then not accepted.
    fn denied(&self, http: &Http, message: &str) -> Result<(), NodeError> {
        let mut ability = lock(&self.ability);
        match *ability {
            Ability::Proves => {
                return Err(NodeError::Lied {
                    what: format!(
                        "it has proved blocks with {METHOD}, but now reports that it lacks the method ({message}); if it was \
                         switched off, set completeness = \"off\""
                    ),
                });
            }
            Ability::Unknown => tracing::warn!(
                node = http.node,
                reason = message,
                "does not have {METHOD}: its logs are accepted without proof for {} s",
                REMEMBERED_FOR.as_secs()
            ),
            Ability::Lacks { .. } => {}
        }
        *ability = Ability::Lacks { until: Instant::now() + REMEMBERED_FOR };
        http.meter.unproved(true);
        Ok(())
    }

    /// Records that the node has proved a block.
    fn proved(&self, http: &Http) {
        let mut ability = lock(&self.ability);
        if matches!(*ability, Ability::Lacks { .. }) {
            tracing::info!(node = http.node, "has {METHOD} now: its logs are proved");
        }
        if !matches!(*ability, Ability::Proves) {
            http.meter.unproved(false);
        }
        *ability = Ability::Proves;
    }

    fn keep(&self, hash: B256, logs: Vec<Log>) -> Arc<Vec<Log>> {
        let logs = Arc::new(logs);
        let mut kept = lock(&self.kept);
        kept.push_back((hash, Arc::clone(&logs)));
        while kept.len() > KEPT_BLOCKS || kept.iter().map(|(_, logs)| logs.len()).sum::<usize>() > KEPT_LOGS {
            kept.pop_front();
        }
        logs
    }
}

/// Whether receipts must have the header's root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// They must.
    Root,
    /// The chain's headers have no root that can be computed.
    Nothing,
}

/// A block, its transactions, and all its logs in order.
pub(crate) async fn fetch(
    http: &Http,
    hash: B256,
    proof: Proof,
) -> Result<(Header, Vec<B256>, Vec<Log>), NodeError> {
    let subject = Subject::Receipts(hash);
    http.too_long.refuse(subject)?;
    http.too_long.note(subject, fetch_now(http, hash, proof).await)
}

async fn fetch_now(
    http: &Http,
    hash: B256,
    proof: Proof,
) -> Result<(Header, Vec<B256>, Vec<Log>), NodeError> {
    let asked = [questions::header(At::Hash(hash)), Question::new(METHOD, json!([hash]))];
    let answers = http.ask_together(&asked).await?;
    let [header, receipts]: [Answer<'_>; 2] = http
        .open(&answers)?
        .try_into()
        .map_err(|_| NodeError::Malformed { what: "a batch of two had another number".to_owned() })?;
    let receipts = receipts.read::<Option<Vec<wire::BlockReceipt>>>();
    if let Err(absent @ NodeError::Unsupported { .. }) = receipts {
        return Err(absent);
    }
    // Nodes report a missing block in many ways. A missing header is unambiguous.
    let header = header.read::<Option<wire::ListedHeader>>()?.ok_or(NodeError::Behind)?;
    let block = check::header(&header.header, At::Hash(hash))?;
    let receipts = receipts?.ok_or(NodeError::Behind)?;
    if proof == Proof::Root {
        let encoded: Vec<Vec<u8>> = receipts.iter().map(encode).collect::<Result<_, _>>()?;
        check_root(&encoded, header.receipts_root, &block)?;
    }
    // The root does not cover which transaction a receipt belongs to, but a payment's id contains the transaction.
    let own = |receipt: &wire::BlockReceipt| {
        receipt.logs.iter().all(|log| log.transaction_hash == Some(receipt.transaction_hash))
    };
    let of: Vec<B256> = receipts.iter().map(|receipt| receipt.transaction_hash).collect();
    if of != header.transactions || !receipts.iter().all(own) {
        let what = format!("the receipts of block {} belong to other transactions", block.number);
        return Err(NodeError::Lied { what });
    }
    let counts = |receipt: &wire::BlockReceipt| {
        // Logs in a reverted transaction's receipt are not events.
        receipt.status != Some(wire::Quantity(0))
    };
    let logs = receipts.into_iter().filter(counts).flat_map(|receipt| receipt.logs).collect();
    Ok((block, header.transactions, check::logs_of(logs, &block)?))
}

/// Compares the root of encoded receipts with the header's.
pub(crate) fn check_root(encoded: &[Vec<u8>], named: Option<B256>, block: &Header) -> Result<(), NodeError> {
    let named = named.ok_or_else(|| NodeError::Malformed {
        what: format!("the header of block {} has no receipts root", block.number),
    })?;
    let root =
        alloy_trie::root::ordered_trie_root_with_encoder(encoded, |receipt, out| out.put_slice(receipt));
    if root == named {
        return Ok(());
    }
    let (count, number) = (encoded.len(), block.number);
    Err(NodeError::Lied {
        what: format!(
            "the {count} receipts of block {number} have the root {root}, but its header has {named}"
        ),
    })
}

pub(crate) fn encode(receipt: &wire::BlockReceipt) -> Result<Vec<u8>, NodeError> {
    let malformed = |what: &str| NodeError::Malformed { what: format!("a receipt of a block {what}") };
    let status = match (receipt.status, receipt.root) {
        (Some(wire::Quantity(0)), _) => Eip658Value::Eip658(false),
        (Some(wire::Quantity(1)), _) => Eip658Value::Eip658(true),
        (None, Some(root)) => Eip658Value::PostState(root),
        _ => return Err(malformed("has neither status 0x0 nor 0x1")),
    };
    let kind = receipt
        .kind
        .map_or(Ok(0), |kind| u8::try_from(kind.0))
        .map_err(|_| malformed("has no type of a byte"))?;
    let logs = receipt.logs.iter().map(check::bare).collect::<Result<Vec<_>, _>>()?;
    let inner = Receipt { status, cumulative_gas_used: receipt.cumulative_gas_used.0, logs };
    let mut out = Vec::new();
    if kind > 0 {
        out.push(kind);
    }
    if kind == DEPOSIT {
        let deposit = OpDepositReceipt {
            inner,
            deposit_nonce: receipt.deposit_nonce.map(|nonce| nonce.0),
            deposit_receipt_version: receipt.deposit_receipt_version.map(|version| version.0),
        };
        let logs_bloom = deposit.bloom();
        ReceiptWithBloom { receipt: deposit, logs_bloom }.encode(&mut out);
    } else {
        let logs_bloom = inner.bloom();
        ReceiptWithBloom { receipt: inner, logs_bloom }.encode(&mut out);
    }
    Ok(out)
}
