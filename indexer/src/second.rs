//! A payment that the index knows, shown by a second node.
//!
//! Which node a row of the index is from is not known any more. So two nodes must show the payment now, each for itself: one
//! of them at least is not the one that made it up, if it was made up. A node that does not have the block yet, that is on
//! another fork, or that does not answer, says nothing. One that has the very block and not the payment in it contradicts.
//!
//! Where blocks are merged from beside the selected chain, a receipt may be of a block that lost, and no receipt may be a
//! failure to read it. So there a node shows a payment when its own blocks lead from the receipt's block to the one where
//! the payment stands, and what it lacks contradicts nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use alloy_primitives::B256;
use futures::future::BoxFuture;
use futures::{StreamExt as _, stream};
use salt402_chain::{At, Node, Receipt, Span, Work};
use salt402_protocol::PaymentId;
use salt402_store::PlacedPayment;
use tokio::time::{Instant, timeout};

use crate::merged::{Effort, Searches};
use crate::{FollowerOptions, IndexError, ReceiptLookup, blocks};

/// How many nodes must show a payment.
const NEEDED: usize = 2;
/// How long the nodes are waited for, all together.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long an answer that is no confirmation is given again, so that nobody can have the nodes asked as often as it likes.
const REST: Duration = Duration::from_millis(900);
/// Payments whose answers are remembered; beyond it all are forgotten, and asked for again as they are needed.
const REMEMBERED: usize = 4096;

/// What other nodes say of a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Confirmation {
    /// Two nodes show it, in the block where the index has it.
    Confirmed,
    /// Too few of them show it, and none contradicts: they are behind, on another fork, or do not answer. In words, why.
    Unanswered(String),
    /// Too few of them show it, and one has its block and not the payment. In words, which and what it shows.
    Contradicted(String),
}

/// What other nodes say of a payment, and whether they were asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmed {
    /// What they say.
    pub said: Confirmation,
    /// Whether they were asked anew. Otherwise it is what they said before: whatever it is worth noting was noted then.
    pub fresh: bool,
}

/// What was asked.
#[derive(Default)]
pub(crate) struct Asked {
    /// For each payment in its block, one answer at a time, which all who ask meanwhile wait for.
    places: Mutex<HashMap<(PaymentId, B256), Place>>,
    /// For each node by its name, what was searched at it: what one shows says nothing of another's blocks.
    searches: Mutex<HashMap<String, Arc<Searches>>>,
}

/// The last answer; held while the nodes are asked.
type Place = Arc<tokio::sync::Mutex<Option<Answer>>>;

struct Answer {
    at: Instant,
    said: Confirmation,
}

/// What one node says.
pub(crate) enum Word {
    Same,
    Nothing(String),
    Other(String),
}

impl Asked {
    fn place(&self, placed: &PlacedPayment) -> Place {
        let mut asked = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.len() >= REMEMBERED {
            asked.clear();
        }
        Arc::clone(asked.entry((placed.payment.id, placed.block_hash)).or_default())
    }

    fn searches(&self, name: &str) -> Arc<Searches> {
        let mut searches = self.searches.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(searches.entry(name.to_owned()).or_default())
    }
}

impl ReceiptLookup {
    /// Whether two nodes show a payment that is `confirmations` deep. They are asked once for a payment that they confirm,
    /// and no more often than about once a second otherwise; whoever asks meanwhile is told the same. Waits for some seconds
    /// at most.
    pub async fn confirm(&self, placed: &PlacedPayment, confirmations: u64) -> Confirmed {
        let place = self.0.asked.place(placed);
        let mut answer = place.lock().await;
        if let Some(Answer { at, said }) = &*answer
            && (*said == Confirmation::Confirmed || at.elapsed() < REST)
        {
            return Confirmed { said: said.clone(), fresh: false };
        }
        let late = || Confirmation::Unanswered(format!("nothing was heard in {} s", PATIENCE.as_secs()));
        let said = timeout(PATIENCE, self.ask_each(placed, confirmations)).await.unwrap_or_else(|_| late());
        let (chain, outcome) = (self.0.options.chain.to_string(), said.name());
        metrics::counter!("salt402_second_node_total", "chain" => chain, "outcome" => outcome).increment(1);
        *answer = Some(Answer { at: Instant::now(), said: said.clone() });
        Confirmed { said, fresh: true }
    }

    async fn ask_each(&self, placed: &PlacedPayment, confirmations: u64) -> Confirmation {
        let mut asked: Vec<BoxFuture<'_, (String, Word)>> = Vec::new();
        for (name, node) in self.0.node.each(Work::LookUp).await {
            asked.push(Box::pin(self.ask_one(name, node, placed, confirmations)));
        }
        settled(asked).await
    }

    async fn ask_one(
        &self,
        name: String,
        node: Arc<dyn Node>,
        placed: &PlacedPayment,
        confirmations: u64,
    ) -> (String, Word) {
        let options = &self.0.options;
        let searches = self.0.asked.searches(&name);
        let asking = Asking { node: &*node, searches: &searches, options, placed };
        let word = asking.word(confirmations).await.unwrap_or_else(|error| {
            tracing::debug!(chain = %options.chain, node = name, %error, "a payment could not be confirmed");
            Word::Nothing("could not be asked".into())
        });
        (name, word)
    }
}

/// Hears two at once, and further ones while it is not settled.
pub(crate) async fn settled(asked: Vec<BoxFuture<'_, (String, Word)>>) -> Confirmation {
    let mut words = stream::iter(asked).buffer_unordered(NEEDED);
    let (mut shown, mut silent, mut other) = (0, Vec::new(), None);
    while let Some((name, word)) = words.next().await {
        match word {
            Word::Same => shown += 1,
            Word::Nothing(why) => silent.push(format!("{name} {why}")),
            Word::Other(what) => other = other.or(Some(format!("{name} {what}"))),
        }
        if shown >= NEEDED {
            return Confirmation::Confirmed;
        }
    }
    if let Some(other) = other {
        return Confirmation::Contradicted(other);
    }
    let silent =
        if silent.is_empty() { "no other node can be asked now".to_owned() } else { silent.join("; ") };
    Confirmation::Unanswered(silent)
}

impl Confirmation {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Unanswered(_) => "unanswered",
            Self::Contradicted(_) => "contradicted",
        }
    }
}

/// One node, asked for one payment.
struct Asking<'a> {
    node: &'a dyn Node,
    searches: &'a Searches,
    options: &'a FollowerOptions,
    placed: &'a PlacedPayment,
}

impl Asking<'_> {
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

    /// Whether the block where the payment stands merged the receipt's, by this node's own blocks. A node keeps the receipts
    /// of blocks that lost, too, and what is in one of those was not paid.
    async fn merges(&self, receipt: &Receipt) -> Result<bool, IndexError> {
        let Self { node, searches, placed, .. } = self;
        if !node.profile().merges_blocks {
            return Ok(false);
        }
        // Above the block where the payment stands no answer would be the right one.
        let merging = searches.merging(*node, receipt, placed.block_number, Effort::whole(*node)).await?;
        Ok(merging.is_some_and(|merging| merging.hash == placed.block_hash))
    }

    /// Whether a receipt holds the very payment.
    async fn shows(&self, receipt: &Receipt, timestamp: u64) -> Result<bool, IndexError> {
        let Self { node, options, placed, .. } = self;
        let found = blocks::whole(*node, options.chain, &options.sources, receipt, timestamp).await?;
        Ok(receipt.success && found.payments.iter().any(|theirs| theirs.payment == placed.payment))
    }

    /// A node that has the block and no receipt may only be slow to write it: then the block's logs have the transaction.
    async fn without_receipt(&self) -> Result<Word, IndexError> {
        let Self { node, options, placed, .. } = self;
        // The logs of a block do not have what it merged, so that nothing follows from what they lack.
        if node.profile().merges_blocks {
            return Ok(Word::Nothing("does not show the receipt".into()));
        }
        let query = blocks::Questions::of(&options.sources).up_to(placed.block_number);
        let logs = node.logs(&query, Span::Block(placed.block_hash)).await?;
        if logs.iter().any(|log| log.transaction == placed.payment.transaction) {
            return Ok(Word::Nothing("does not have the receipt yet".into()));
        }
        Ok(Word::Other(format!("has block {} without the payment", placed.block_number)))
    }
}
