//! Whether a block's logs are all of its logs: from all its receipts, whose root must be the one in its header.
//!
//! `eth_getLogs` can leave a log out and look like any other answer. The receipts of a block cannot: one that is left
//! out, cut short or changed gives another root. The header comes from the same node in the same request, so a node that
//! makes header and receipts up together is still believed; against that, nodes are compared (`agree`).
//!
//! No bloom that a node gives is used: the one that is part of a receipt's encoding is computed from its logs.

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
use crate::node::block::{Header, Log};
use crate::node::query::{At, LogQuery};
use crate::rpc::answers::Answer;
use crate::rpc::http::Http;
use crate::rpc::questions::Question;
use crate::rpc::too_long::Subject;
use crate::rpc::{check, questions, wire};

/// The transactions of an OP-stack chain that come from the chain below. Their receipts say more than others.
const DEPOSIT: u8 = 0x7e;
/// Logs of blocks that are kept, so that a block is asked for once although several contracts are followed.
const KEPT_LOGS: usize = 50_000;
/// And blocks.
const KEPT_BLOCKS: usize = 16;
/// How long a node that says that it gives no receipts of blocks is believed before it is asked for them again.
const BELIEVED: Duration = Duration::from_secs(600);
/// The method by which blocks are proved.
const METHOD: &str = "eth_getBlockReceipts";

type Kept = VecDeque<(B256, Arc<Vec<Log>>)>;

/// What one node has proved: the blocks whose receipts were asked for, newest last, and whether it gives any.
#[derive(Debug, Default)]
pub(crate) struct Verified {
    kept: Mutex<Kept>,
    ability: Mutex<Ability>,
}

/// Whether a node gives receipts of blocks, as far as it has shown.
#[derive(Clone, Copy, Debug, Default)]
enum Ability {
    /// It was not asked yet.
    #[default]
    Unknown,
    /// It has proved a block, and so has the method, whatever it says later: behind one address may be several nodes.
    Proves,
    /// It says that it does not have the method, and has proved no block before. Believed until then.
    Lacks { until: Instant },
}

impl Verified {
    /// The logs of a block that match, if its receipts have the root that its header names; `None` where the node gives
    /// no receipts of blocks.
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

    /// Whether the node is believed to give no receipts of blocks now.
    pub(crate) fn lacks(&self) -> bool {
        matches!(*lock(&self.ability), Ability::Lacks { until } if Instant::now() < until)
    }

    /// Takes note that the node says that it does not have the method.
    ///
    /// # Errors
    /// [`NodeError::Lied`] where it has proved a block before: then it is no reason to take logs without proof.
    fn denied(&self, http: &Http, message: &str) -> Result<(), NodeError> {
        let mut ability = lock(&self.ability);
        match *ability {
            Ability::Proves => {
                return Err(NodeError::Lied {
                    what: format!(
                        "it has proved blocks by {METHOD} and says now that it has no such method ({message}); if it was \
                         taken from you, set completeness = \"off\""
                    ),
                });
            }
            Ability::Unknown => tracing::warn!(
                node = http.node,
                reason = message,
                "has no {METHOD}: its logs are taken as complete without proof, and it is asked again in {} s",
                BELIEVED.as_secs()
            ),
            Ability::Lacks { .. } => {}
        }
        *ability = Ability::Lacks { until: Instant::now() + BELIEVED };
        http.meter.unproved(true);
        Ok(())
    }

    /// Takes note that the node has proved a block.
    fn proved(&self, http: &Http) {
        let mut ability = lock(&self.ability);
        if matches!(*ability, Ability::Lacks { .. }) {
            tracing::info!(node = http.node, "gives receipts of blocks now: its logs are proved");
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

/// Whether receipts must have the root that their block's header names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// They must.
    Root,
    /// Headers of the chain name none that could be computed.
    Nothing,
}

/// A block, its transactions, and all its logs, in order.
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
    // Nodes that do not have the block say so in many ways; a header that is not there is plain.
    let header = header.read::<Option<wire::ListedHeader>>()?.ok_or(NodeError::Behind)?;
    let block = check::header(&header.header, At::Hash(hash))?;
    let receipts = receipts?.ok_or(NodeError::Behind)?;
    if proof == Proof::Root {
        let encoded: Vec<Vec<u8>> = receipts.iter().map(encode).collect::<Result<_, _>>()?;
        check_root(&encoded, header.receipts_root, &block)?;
    }
    // The root does not cover whose receipt is whose, and a payment's name holds its transaction.
    let own = |receipt: &wire::BlockReceipt| {
        receipt.logs.iter().all(|log| log.transaction_hash == Some(receipt.transaction_hash))
    };
    let of: Vec<B256> = receipts.iter().map(|receipt| receipt.transaction_hash).collect();
    if of != header.transactions || !receipts.iter().all(own) {
        let what = format!("the receipts of block {} are of other transactions than it holds", block.number);
        return Err(NodeError::Lied { what });
    }
    let counts = |receipt: &wire::BlockReceipt| {
        // What a reverted transaction logged never happened, and is covered by no root that says so.
        receipt.status != Some(wire::Quantity(0))
    };
    let logs = receipts.into_iter().filter(counts).flat_map(|receipt| receipt.logs).collect();
    Ok((block, header.transactions, check::logs_of(logs, &block)?))
}

/// Holds the root of encoded receipts, as their block's producer computed it, against the one in the header.
pub(crate) fn check_root(encoded: &[Vec<u8>], named: Option<B256>, block: &Header) -> Result<(), NodeError> {
    let named = named.ok_or_else(|| NodeError::Malformed {
        what: format!("the header of block {} names no root of its receipts", block.number),
    })?;
    let root =
        alloy_trie::root::ordered_trie_root_with_encoder(encoded, |receipt, out| out.put_slice(receipt));
    if root == named {
        return Ok(());
    }
    let (count, number) = (encoded.len(), block.number);
    Err(NodeError::Lied {
        what: format!("the {count} receipts of block {number} have the root {root}, its header says {named}"),
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
