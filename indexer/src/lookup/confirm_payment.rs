//! Confirms a payment of the index by a second node.
//!
//! A node that lacks the block, is on another fork or does not answer says nothing. A node that has the very block
//! without the payment contradicts.
//!
//! On a chain that merges blocks, a receipt may be of a block that lost, and a missing receipt may be a failure to read
//! it. So there a node shows a payment only if its own blocks lead from the receipt's block to the block that the
//! payment is placed in. What it lacks does not contradict.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use alloy_primitives::B256;
use salt402_chain::{At, Node, Receipt, Span};
use salt402_protocol::PaymentId;
use salt402_store::PlacedPayment;
use tokio::time::Instant;

use crate::dag::merging::{Effort, Searches};
use crate::decode::blocks::whole;
use crate::decode::questions::Questions;
use crate::limits::memo::{Memo, REST};
use crate::lookup::confirm::{Confirmation, Confirmed, Word, heard};
use crate::state::{FollowerOptions, IndexError, Indexed};

/// For how many payments the answer is kept. One that was dropped is asked for again.
const REMEMBERED: usize = 4096;

/// What nodes said of payments.
pub(crate) struct Payments {
    asking: Arc<Asking>,
    /// By payment and block.
    answers: Memo<(PaymentId, B256), Kept>,
}

/// A payment's last answer.
#[derive(Clone)]
struct Kept {
    /// When it was there.
    at: Instant,
    said: Confirmation,
}

impl Kept {
    /// A confirmation counts for ever. Any other answer counts for a moment.
    fn counts(&self) -> bool {
        self.said == Confirmation::Confirmed || self.at.elapsed() < REST
    }
}

struct Asking {
    chain: Arc<Indexed>,
    /// How far each node's blocks were searched, by its name. One node's blocks say nothing of another's.
    searches: Mutex<HashMap<String, Arc<Searches>>>,
}

impl Payments {
    pub(crate) fn new(chain: Arc<Indexed>) -> Self {
        let asking = Arc::new(Asking { chain, searches: Mutex::default() });
        Self { asking, answers: Memo::new(REMEMBERED) }
    }

    /// Whether two nodes show a payment that is `confirmations` deep. Once they confirmed it, they are not asked again;
    /// otherwise about once a second at most. Everybody who asks meanwhile gets the same answer. Waits for some seconds
    /// at most.
    pub(crate) async fn confirm(&self, placed: &PlacedPayment, confirmations: u64) -> Confirmed {
        let (asking, asked) = (Arc::clone(&self.asking), placed.clone());
        let answer = async move {
            let said = asking.ask_each(&asked, confirmations).await;
            Kept { at: Instant::now(), said }
        };
        let key = (placed.payment.id, placed.block_hash);
        let told = self.answers.ask(key, Kept::counts, || Some(()), true, answer).await;
        Confirmed::of(told.map(|told| told.map(|kept| kept.said)))
    }
}

impl Asking {
    async fn ask_each(&self, placed: &PlacedPayment, confirmations: u64) -> Confirmation {
        heard(&self.chain, |name, node| Box::pin(self.ask_one(name, node, placed, confirmations))).await
    }

    async fn ask_one(
        &self,
        name: String,
        node: Arc<dyn Node>,
        placed: &PlacedPayment,
        confirmations: u64,
    ) -> (String, Word) {
        let options = &self.chain.options;
        let searches = self.searches(&name);
        let asked = AskedNode { node: &*node, searches: &searches, options, placed };
        let word = asked.word(confirmations).await.unwrap_or_else(|error| {
            tracing::debug!(chain = %options.chain, node = name, %error, "a payment could not be confirmed");
            Word::Nothing("could not be asked".into())
        });
        (name, word)
    }

    fn searches(&self, name: &str) -> Arc<Searches> {
        let mut searches = self.searches.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(searches.entry(name.to_owned()).or_default())
    }
}

/// One node, asked for one payment.
struct AskedNode<'a> {
    node: &'a dyn Node,
    searches: &'a Searches,
    options: &'a FollowerOptions,
    placed: &'a PlacedPayment,
}

impl AskedNode<'_> {
    /// What the node shows of the payment.
    async fn word(&self, confirmations: u64) -> Result<Word, IndexError> {
        let Self { node, placed, .. } = self;
        let number = placed.block_number;
        let Some(header) = node.header(At::Number(number)).await? else {
            return Ok(Word::Nothing(format!("does not have block {number} yet")));
        };
        if header.hash != placed.block_hash {
            let what = format!("has another block {number}");
            let is_final = confirmations > node.profile().finality_depth;
            return Ok(if is_final { Word::Other(what) } else { Word::Nothing(what) });
        }
        let Some(receipt) = node.receipt(placed.payment.transaction).await? else {
            return self.without_receipt().await;
        };
        if receipt.block_hash != placed.block_hash && !self.merges(&receipt).await? {
            return Ok(Word::Nothing(format!(
                "has the transaction in another block {}",
                receipt.block_number
            )));
        }
        Ok(match self.shows(&receipt, header.timestamp).await? {
            true => Word::Same,
            false if receipt.success => Word::Other("shows no such payment in the receipt".into()),
            false => Word::Other("says that the transaction was reverted".into()),
        })
    }

    /// Whether, by this node's own blocks, the block of the payment merged the receipt's block. A node also keeps
    /// receipts of blocks that lost, and what is in those was not paid.
    async fn merges(&self, receipt: &Receipt) -> Result<bool, IndexError> {
        let Self { node, searches, placed, .. } = self;
        if !node.profile().merges_blocks {
            return Ok(false);
        }
        // Blocks above the block of the payment cannot be the answer.
        let merging = searches.merging(*node, receipt, placed.block_number, Effort::whole(*node)).await?;
        Ok(merging.is_some_and(|merging| merging.hash == placed.block_hash))
    }

    /// Whether a receipt holds the very payment.
    async fn shows(&self, receipt: &Receipt, timestamp: u64) -> Result<bool, IndexError> {
        let Self { node, options, placed, .. } = self;
        let found = whole(*node, options.chain, &options.sources, receipt, timestamp).await?;
        Ok(receipt.success && found.payments.iter().any(|theirs| theirs.payment == placed.payment))
    }

    /// A node that has the block and no receipt may only be slow to write the receipt. Then the block's logs show the
    /// transaction.
    async fn without_receipt(&self) -> Result<Word, IndexError> {
        let Self { node, options, placed, .. } = self;
        // A block's logs do not hold what it merged, so a missing log says nothing.
        if node.profile().merges_blocks {
            return Ok(Word::Nothing("does not show the receipt".into()));
        }
        let query = Questions::of(&options.sources).up_to(placed.block_number);
        let logs = node.logs(&query, Span::Block(placed.block_hash)).await?;
        if logs.iter().any(|log| log.transaction == placed.payment.transaction) {
            return Ok(Word::Nothing("does not have the receipt yet".into()));
        }
        Ok(Word::Other(format!("has block {} without the payment", placed.block_number)))
    }
}
