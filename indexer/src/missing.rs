//! A proof that the index does not know: one look at its receipt.
//!
//! A node may leave a log out of an answer, and on a chain whose blocks form a graph (Citrate) a payment can be in a
//! block beside the selected chain, which no question about heights ever reaches. Both have a receipt. Looking is
//! limited, so that made-up hashes cannot be used to wear a node out: the same hash is asked about once at a time and
//! not again for a while, and all hashes together have a budget.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use alloy_primitives::B256;
use salt402_chain::{At, Node, NodeError, NodeReport, Receipt, Role, Work};
use salt402_protocol::api::NodeStatus;
use salt402_store::{Batch, Cursor, Store};
use tokio::time::Instant;

use crate::{FollowerOptions, IndexError, blocks, merged};

/// How long a hash that was looked up is not looked up again.
const REST: Duration = Duration::from_millis(900);
/// Hashes that are remembered as looked up; beyond it the oldest are forgotten.
const REMEMBERED: usize = 4096;
/// Look-ups for all hashes together: so many at once, and so many a second.
const BURST: u32 = 40;
const PER_SECOND: u32 = 20;

/// What a look at a receipt showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Payments were found and are in the index now.
    Found,
    /// Nothing is known of the transaction, or its block is still to be indexed, or it was looked up a moment ago.
    Nothing,
    /// The transaction is in a block of the chain that is indexed and was reverted: it paid nothing there.
    Reverted {
        /// Blocks that contain or follow it, as far as they are indexed.
        confirmations: u64,
    },
    /// The transaction is in a block of the chain that is indexed and may hold a payment, and can be read in two ways.
    Ambiguous,
    /// The transaction is in a block of the chain that is indexed and holds no payment through a contract that is
    /// followed.
    NoPayment {
        /// Blocks that contain or follow it, as far as they are indexed.
        confirmations: u64,
    },
}

/// Looks for payments that the index has missed, on one chain. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Missing(Arc<Inner>);

struct Inner {
    node: Arc<dyn Node>,
    store: Store,
    options: FollowerOptions,
    /// A std mutex, because nothing is awaited while it is held.
    limits: Mutex<Limits>,
}

impl Missing {
    /// Looks through a node, and writes what it finds to a store that a follower of the same options fills.
    pub fn new(node: Arc<dyn Node>, store: Store, options: FollowerOptions) -> Self {
        let limits = Mutex::new(Limits::new(Instant::now()));
        Self(Arc::new(Inner { node, store, options, limits }))
    }

    /// How the nodes are that are asked.
    pub fn nodes(&self) -> Vec<NodeStatus> {
        let status = |node: NodeReport| NodeStatus {
            host: node.host,
            state: node.state.as_str().to_owned(),
            fallback: node.role == Role::Fallback,
            serving: node.serving,
            head: node.head,
            reason: node.reason,
        };
        self.0.node.reports().into_iter().map(status).collect()
    }

    /// Looks at a transaction's receipt, if the limits allow it now.
    pub async fn look(&self, transaction: B256) -> Result<Look, IndexError> {
        let chain = self.0.options.chain;
        let allowed =
            self.0.limits.lock().unwrap_or_else(PoisonError::into_inner).take(transaction, Instant::now());
        if !allowed {
            return Ok(Look::Nothing);
        }
        metrics::counter!("salt402_indexer_lookups_total", "chain" => chain.to_string()).increment(1);
        // Receipt and headers are of one node.
        let pinned = self.0.node.pin(Work::LookUp).await?;
        let node = pinned.as_deref().unwrap_or(&*self.0.node);
        let Some(receipt) = node.receipt(transaction).await? else { return Ok(Look::Nothing) };
        let Some(cursor) = self.0.store.chain_state(chain).await?.and_then(|state| state.cursor) else {
            return Ok(Look::Nothing);
        };
        // The follower is on its way there, and finds it in order.
        if receipt.block_number > cursor.number {
            return Ok(Look::Nothing);
        }
        self.read(node, &receipt, cursor).await
    }

    /// Says what a receipt shows, once it is certain that it is of the chain that is indexed. Its payments are put into
    /// the index, if the index still stands where it stood.
    async fn read(&self, node: &dyn Node, receipt: &Receipt, cursor: Cursor) -> Result<Look, IndexError> {
        let FollowerOptions { chain, sources } = &self.0.options;
        let chain = *chain;
        let by_height = node.header(At::Number(receipt.block_number)).await?.ok_or(NodeError::Behind)?;
        let selected = by_height.hash == receipt.block_hash;
        // Where its payments stand: in its own block, or in the block of the selected chain that merged it.
        let place = if selected {
            by_height
        } else {
            let merged = node.profile().merges_blocks;
            let merging = if merged { merged::merging(node, receipt, cursor.number).await? } else { None };
            // The block left the chain: a payment in it is none, until its transaction is mined anew.
            let Some(merging) = merging else { return Ok(Look::Nothing) };
            merging
        };
        let own = if selected { Some(by_height) } else { node.header(At::Hash(receipt.block_hash)).await? };
        let tip = node.header(At::Number(cursor.number)).await?.ok_or(NodeError::Behind)?;
        if tip.hash != cursor.hash {
            // Receipt and index are of two chains. The follower is about to change to the node's.
            return Ok(Look::Nothing);
        }
        // What was replaced since it was asked for is said of another chain than the one that was just compared.
        if !selected
            && (node.header(At::Number(place.number)).await? != Some(place)
                || node.receipt(receipt.transaction).await?.as_ref() != Some(receipt))
        {
            return Ok(Look::Nothing);
        }
        let time = own.unwrap_or(place).timestamp;
        let confirmations = cursor.number - place.number + 1;
        if !receipt.success {
            return Ok(Look::Reverted { confirmations });
        }
        if receipt.block_number < self.0.options.start_block() {
            return Ok(Look::NoPayment { confirmations });
        }
        let mut found = blocks::whole(node, chain, sources, receipt, time).await?;
        let look = match (found.payments.is_empty(), found.beside.ambiguities.is_empty()) {
            (false, _) => Look::Found,
            (true, false) => Look::Ambiguous,
            (true, true) => Look::NoPayment { confirmations },
        };
        found.beside.ambiguities.clear();
        if !selected {
            found.move_to(place.number, place.hash);
            self.leave_out_known(&mut found).await?;
        }
        if found.is_empty() {
            return Ok(look);
        }
        self.commit(found, cursor, selected).await?;
        Ok(look)
    }

    /// What is on the chain already stays where it is: the block that merged a transaction's is no reason to move it.
    async fn leave_out_known(&self, found: &mut blocks::Found) -> Result<(), IndexError> {
        let chain = self.0.options.chain;
        if let Some(first) = found.payments.first() {
            let rows = self.0.store.payments_in(chain, first.payment.transaction).await?;
            let known = |id| rows.iter().any(|row| row.canonical && row.placed.payment.id == id);
            found.payments.retain(|placed| !known(placed.payment.id));
            found.beside.settlements.retain(|settlement| !known(settlement.payment));
        }
        let mut unknown = Vec::new();
        for placed in found.beside.channels.drain(..) {
            let event = &placed.what;
            let known = self
                .0
                .store
                .channel_events_in(event.chain, event.contract, event.channel, event.transaction)
                .await?;
            if !known.iter().any(|known| known.what.id == event.id) {
                unknown.push(placed);
            }
        }
        found.beside.channels = unknown;
        Ok(())
    }

    async fn commit(&self, all: blocks::Found, cursor: Cursor, selected: bool) -> Result<(), IndexError> {
        let chain = self.0.options.chain;
        let (found, channels) = (all.payments.len() as u64, all.beside.channels.len());
        let batch = Batch {
            chain,
            expected: Some(cursor),
            keep_through: None,
            blocks: Vec::new(),
            payments: all.payments,
            beside: all.beside,
            cursor,
            head: None,
            undecoded: Vec::new(),
            prune_below: None,
        };
        // A payment beside the chain is in no logs by the chain's own rules; one on it was left out by the node.
        if selected {
            self.0.store.apply_omitted(batch).await?;
        } else {
            self.0.store.apply_merged(batch).await?;
        }
        let reason = if selected { "omitted" } else { "merged" };
        tracing::warn!(%chain, found, channels, reason, "payments were in no logs and were found by their receipt");
        metrics::counter!("salt402_indexer_omitted_total", "chain" => chain.to_string(), "reason" => reason)
            .increment(found);
        Ok(())
    }
}

/// Which hash may be looked up when.
struct Limits {
    tokens: u32,
    refilled: Instant,
    looked: HashMap<B256, Instant>,
}

impl Limits {
    fn new(now: Instant) -> Self {
        Self { tokens: BURST, refilled: now, looked: HashMap::new() }
    }

    fn take(&mut self, transaction: B256, now: Instant) -> bool {
        if self.looked.get(&transaction).is_some_and(|at| now.duration_since(*at) < REST) {
            return false;
        }
        let each = Duration::from_secs(1) / PER_SECOND;
        let due = now.duration_since(self.refilled).as_nanos() / each.as_nanos();
        let due = u32::try_from(due).unwrap_or(u32::MAX);
        if due > 0 {
            self.tokens = self.tokens.saturating_add(due).min(BURST);
            self.refilled = now;
        }
        if self.tokens == 0 {
            return false;
        }
        self.tokens -= 1;
        if self.looked.len() >= REMEMBERED {
            self.looked.retain(|_, at| now.duration_since(*at) < REST);
            if self.looked.len() >= REMEMBERED {
                self.looked.clear();
            }
        }
        self.looked.insert(transaction, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn made_up_hashes_cannot_wear_a_node_out() {
        let mut limits = Limits::new(Instant::now());
        let hash = |index: u64| B256::left_padding_from(&index.to_be_bytes());
        let mut allowed = 0;
        for index in 0..10_000 {
            allowed += u32::from(limits.take(hash(index), Instant::now()));
        }
        assert_eq!(allowed, BURST);
        tokio::time::advance(Duration::from_secs(1)).await;
        for index in 10_000..20_000 {
            allowed += u32::from(limits.take(hash(index), Instant::now()));
        }
        assert_eq!(allowed, BURST + PER_SECOND);
        assert!(limits.looked.len() <= REMEMBERED);
    }

    #[tokio::test(start_paused = true)]
    async fn one_hash_rests_between_two_looks() {
        let mut limits = Limits::new(Instant::now());
        assert!(limits.take(B256::ZERO, Instant::now()));
        assert!(!limits.take(B256::ZERO, Instant::now()));
        tokio::time::advance(REST).await;
        assert!(limits.take(B256::ZERO, Instant::now()));
    }
}
