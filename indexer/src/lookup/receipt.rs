//! A payment that the index does not know is looked up by its receipt.
//!
//! A node may leave a log out of an answer. On a chain whose blocks form a graph (Citrate), a payment can be in a block
//! beside the selected chain, which no question about heights finds. In both cases there is a receipt. Looks are
//! limited, so that nobody can overload a node with invented hashes. The same hash is looked up once at a time and not
//! again for a while, everybody who asks meanwhile gets the same answer, and all hashes together have a budget
//! (`asker.rs`).

use std::sync::Arc;

use alloy_primitives::{Address, B256};
use salt402_chain::{At, Header, Node, NodeError, NodeReport, Receipt, Role};
use salt402_protocol::api::NodeStatus;
use salt402_store::{Batch, Cursor, PlacedPayment, Store, StoreError};

use crate::dag::channel_state::{ChannelAnswer, ChannelQuestion, Channels};
use crate::dag::merging::{Effort, Searches};
use crate::decode::blocks;
use crate::decode::found::Found;
use crate::lookup::asker::Asker;
use crate::lookup::confirm::Confirmed;
use crate::lookup::confirm_channel::ConfirmedChannels;
use crate::lookup::confirm_payment::Payments;
use crate::lookup::outcome::Look;
use crate::lookup::shared::SharedLooks;
use crate::lookup::unaccounted::Unaccounted;
use crate::state::{FollowerOptions, IndexError, Indexed, is_its_own};

/// How often a find is offered to the index, which may move on by a block each time.
const TRIES: u32 = 4;

/// Looks for payments that the index has missed, on one chain, and asks other nodes about payments and channels that it
/// has. A process has one per chain, so that its limits hold for everybody. It is cheap to clone, and all clones are
/// the same one.
#[derive(Clone)]
pub struct ReceiptLookup(Arc<Inner>);

struct Inner {
    chain: Arc<Indexed>,
    looks: SharedLooks,
    searches: Searches,
    payments: Payments,
    channels: Channels,
    confirmed_channels: ConfirmedChannels,
}

/// Why the index does not have what a receipt shows.
#[derive(Clone, Copy)]
enum How {
    /// The node left it out of its logs.
    Omitted,
    /// The block is beside the selected chain, and its events are in no logs, as the chain's rules say.
    Merged,
    /// The transaction could not be read before.
    Unreadable(B256),
}

/// What a receipt shows, and the block that it is placed in.
struct Shown<'r> {
    receipt: &'r Receipt,
    /// Whether its own block is of the selected chain.
    selected: bool,
    /// Its own block, or the one that merged it.
    place: Header,
    found: Found,
}

impl ReceiptLookup {
    /// Looks through a node, and writes what it finds to a store that a follower with the same options fills. In the
    /// process of a follower, use [`Follower::lookup`](crate::Follower::lookup) instead.
    pub fn new(node: Arc<dyn Node>, store: Store, options: FollowerOptions) -> Self {
        let chain = Arc::new(Indexed { node, store, options });
        Self(Arc::new(Inner {
            looks: SharedLooks::default(),
            searches: Searches::default(),
            payments: Payments::new(Arc::clone(&chain)),
            channels: Channels::new(Arc::clone(&chain)),
            confirmed_channels: ConfirmedChannels::new(Arc::clone(&chain)),
            chain,
        }))
    }

    /// The chain that it looks at.
    pub(crate) fn indexed(&self) -> &Indexed {
        &self.0.chain
    }

    /// The state of the nodes.
    pub fn nodes(&self) -> Vec<NodeStatus> {
        let status = |node: NodeReport| NodeStatus {
            host: node.host,
            state: node.state.as_str().to_owned(),
            fallback: node.role == Role::Fallback,
            serving: node.serving,
            head: node.head,
            reason: node.reason,
            logs_unproved: node.logs_unproved,
        };
        self.0.chain.node.reports().into_iter().map(status).collect()
    }

    /// Looks at a transaction's receipt, if the limits allow it now. If a look at the same transaction is under way or
    /// just ended, the caller gets its answer.
    ///
    /// # Errors
    /// What kept the node or the store from answering. It is the same for all who share the look.
    pub async fn look(&self, transaction: B256) -> Result<Look, Arc<IndexError>> {
        self.shared(transaction, Asker::Operator, false).await
    }

    /// As [`ReceiptLookup::look`], for a caller who may hang up: the look goes on. Callers without a quote that was
    /// given here have looks of their own. Each quote and each address has a share of the looks of its kind.
    ///
    /// # Errors
    /// As [`ReceiptLookup::look`].
    pub async fn look_for(&self, transaction: B256, asker: Asker) -> Result<Look, Arc<IndexError>> {
        self.shared(transaction, asker, true).await
    }

    async fn shared(
        &self,
        transaction: B256,
        asker: Asker,
        to_the_end: bool,
    ) -> Result<Look, Arc<IndexError>> {
        let lookup = self.clone();
        let look = async move { lookup.look_now(transaction).await };
        self.0.looks.share(transaction, asker, to_the_end, look).await
    }

    /// What the whole receipt of a transaction held besides its payments, if a look has read it.
    pub fn unaccounted(&self, transaction: B256) -> Option<Arc<Unaccounted>> {
        self.0.looks.unaccounted(transaction)
    }

    /// Whether two nodes show a payment that is `confirmations` deep. Once they confirmed it, they are not asked again;
    /// otherwise about once a second at most. Everybody who asks meanwhile gets the same answer. Waits for some seconds
    /// at most.
    pub async fn confirm(&self, placed: &PlacedPayment, confirmations: u64) -> Confirmed {
        self.0.payments.confirm(placed, confirmations).await
    }

    /// Whether two nodes show that a channel covers what is asked. They are asked again if the last confirmation is too
    /// old or covers less, and otherwise about once a second at most. Everybody who asks meanwhile gets the same
    /// answer. Waits for some seconds at most.
    pub async fn confirm_channel(&self, asked: &ChannelQuestion) -> Confirmed {
        self.0.confirmed_channels.confirm(&self.0.channels, asked).await
    }

    /// A channel's state as its contract tells it. It is asked for if the last answer no longer counts. Waits for some
    /// seconds at most.
    pub async fn channel(&self, asked: &ChannelQuestion) -> ChannelAnswer {
        self.0.channels.ask(asked).await
    }

    /// Whether this chain has blocks whose events are in no logs.
    pub fn merges_blocks(&self) -> bool {
        self.0.chain.node.profile().merges_blocks
    }

    /// A look. It also says whether the transaction is the one thing that cannot be read.
    async fn look_now(&self, transaction: B256) -> Result<(Look, Option<Unaccounted>), IndexError> {
        let Indexed { store, options, .. } = self.indexed();
        let unreadable = store.unreadable(options.chain, transaction).await?;
        match self.look_through(transaction, unreadable.is_some()).await {
            Err(IndexError::Node(error))
                if error.too_long().is_some() || (unreadable.is_some() && is_its_own(&error)) =>
            {
                tracing::debug!(chain = %options.chain, %transaction, %error, "a transaction cannot be read");
                Ok((Look::Unreadable { too_long: error.too_long() }, None))
            }
            look => look,
        }
    }

    /// What the receipt shows, and what it holds besides its payments, once that is certain.
    async fn look_through(
        &self,
        transaction: B256,
        unreadable: bool,
    ) -> Result<(Look, Option<Unaccounted>), IndexError> {
        let indexed = self.indexed();
        let FollowerOptions { chain, sources } = &indexed.options;
        metrics::counter!("salt402_indexer_lookups_total", "chain" => chain.to_string()).increment(1);
        // The receipt and the headers come from the same node.
        let pinned = indexed.pinned().await?;
        let node = &*pinned;
        let unknown = Ok((Look::Unknown, None));
        let Some(cursor) = indexed.cursor().await? else { return unknown };
        let Some(receipt) = node.receipt(transaction).await? else {
            let tip = node.header(At::Number(cursor.number)).await?;
            let is_level = tip.is_some_and(|tip| tip.hash == cursor.hash);
            return Ok((if is_level { Look::Nothing } else { Look::Unknown }, None));
        };
        // The follower is on its way there and will find it in order.
        if receipt.block_number > cursor.number {
            return unknown;
        }
        let by_height = node.header(At::Number(receipt.block_number)).await?.ok_or(NodeError::Behind)?;
        let selected = by_height.hash == receipt.block_hash;
        if !selected && !node.profile().merges_blocks {
            // The block left the chain. A payment in it counts only when its transaction is mined again.
            return unknown;
        }
        let own = if selected { Some(by_height) } else { node.header(At::Hash(receipt.block_hash)).await? };
        let counts = receipt.success && receipt.block_number >= indexed.options.start_block();
        let (mut found, rest) = if counts {
            let time = own.map_or(0, |own| own.timestamp);
            blocks::whole_and_rest(node, *chain, sources, &receipt, time).await?
        } else {
            Default::default()
        };
        let coins = self.coins(node, &receipt).await?;
        let ambiguous = !found.extras.ambiguities.is_empty();
        let look = match (found.payments.is_empty(), ambiguous) {
            (false, _) => Look::Found,
            (true, true) => Look::Ambiguous,
            (true, false) => Look::Nothing,
        };
        // The block that its payments are placed in: its own, or the block of the selected chain that merged it.
        let place = if selected {
            by_height
        } else {
            let worth = !found.is_empty() || look == Look::Ambiguous;
            let effort = if worth { Effort::whole(node) } else { Effort::SLIGHT };
            let merging = self.0.searches.merging(node, &receipt, cursor.number, effort).await?;
            let Some(merging) = merging else { return unknown };
            found.move_to(merging.number, merging.hash);
            if own.is_none() {
                // The time of its own block is not known. The merging block came after it.
                found.date(merging.timestamp);
            }
            merging
        };
        // What an earlier look has read is stored. Whoever shows it again and again causes no writing.
        let known = self.0.looks.unaccounted(transaction).filter(|known| known.is_ambiguous());
        if !unreadable && known.is_some_and(|known| known.block() == (place.number, place.hash)) {
            found.extras.ambiguities.clear();
        }
        let shown = Shown { receipt: &receipt, selected, place, found };
        let Some(cursor) = self.settle(node, shown, unreadable).await? else { return unknown };
        let unaccounted = Unaccounted::new((place.number, place.hash), ambiguous, rest, coins);
        let confirmations = (cursor.number + 1).saturating_sub(place.number);
        let look = match look {
            Look::Nothing if !receipt.success => Look::Reverted { confirmations },
            Look::Nothing => Look::NoPayment { confirmations },
            found => found,
        };
        Ok((look, Some(unaccounted)))
    }

    /// To whom the transaction itself sent coins, if that address is no followed contract. No log tells.
    async fn coins(&self, node: &dyn Node, receipt: &Receipt) -> Result<Option<Address>, IndexError> {
        let Some(to) = receipt.to.filter(|_| receipt.success) else { return Ok(None) };
        if self.indexed().options.sources.iter().any(|source| source.contract == to) {
            return Ok(None);
        }
        let called = match node.transaction(receipt.transaction).await {
            // If the calldata is too long to be read, the answer is not known. Then nobody is told to pay that address
            // again.
            Err(error) if error.is_too_long() => return Ok(Some(to)),
            called => called?.ok_or(NodeError::Behind)?,
        };
        Ok(called.to.filter(|_| !called.value.is_zero()))
    }

    /// Stores what was found, once it is certain that it is of the indexed chain. `None` if it is not. Returns where
    /// the index stood.
    ///
    /// To find the block that merged another takes longer than a new block. The find stays true of its place. So if the
    /// index moved on, only the place is checked again.
    async fn settle(
        &self,
        node: &dyn Node,
        shown: Shown<'_>,
        unreadable: bool,
    ) -> Result<Option<Cursor>, IndexError> {
        let Shown { receipt, selected, place, found } = shown;
        let mut tries = TRIES;
        loop {
            let Some(cursor) = self.indexed().cursor().await?.filter(|cursor| cursor.number >= place.number)
            else {
                return Ok(None);
            };
            let tip = node.header(At::Number(cursor.number)).await?.ok_or(NodeError::Behind)?;
            // The receipt and the index may be of two chains, if the follower is about to change to the node's chain.
            // Or blocks may have been replaced since the receipt was asked for.
            if tip.hash != cursor.hash
                || node.header(At::Number(place.number)).await?.is_none_or(|now| now.hash != place.hash)
                || (!selected && node.receipt(receipt.transaction).await?.as_ref() != Some(receipt))
            {
                return Ok(None);
            }
            let mut rest = found.clone();
            self.leave_out_known(&mut rest, selected.then_some(place.hash)).await?;
            if rest.is_empty() && !unreadable {
                return Ok(Some(cursor));
            }
            tries -= 1;
            let how = match (selected, unreadable) {
                (true, true) => How::Unreadable(receipt.transaction),
                (true, false) => How::Omitted,
                (false, _) => How::Merged,
            };
            match self.commit(rest, cursor, how).await {
                Err(IndexError::Store(StoreError::CursorMoved { .. })) if tries > 0 => {}
                done => return done.map(|()| Some(cursor)),
            }
        }
    }

    /// What is on the chain already stays where it is: a merging block is no reason to move it. The transaction's own
    /// block is, if it is `selected`.
    async fn leave_out_known(&self, found: &mut Found, selected: Option<B256>) -> Result<(), IndexError> {
        let stays = |hash: B256| selected.is_none_or(|selected| selected == hash);
        let store = &self.indexed().store;
        if let Some(first) = found.payments.first() {
            let rows = store.payments_in(self.indexed().chain(), first.payment.transaction).await?;
            let known = |id| {
                let mut on_chain = rows.iter().filter(|row| row.canonical && stays(row.placed.block_hash));
                on_chain.any(|row| row.placed.payment.id == id)
            };
            found.payments.retain(|placed| !known(placed.payment.id));
            found.extras.settlements.retain(|settlement| !known(settlement.payment));
        }
        let mut unknown = Vec::new();
        for placed in found.extras.channels.drain(..) {
            let event = &placed.what;
            let known = store
                .channel_events_in(event.chain, event.contract, event.channel, event.transaction)
                .await?;
            if !known.iter().any(|known| known.what.id == event.id && stays(known.block_hash)) {
                unknown.push(placed);
            }
        }
        found.extras.channels = unknown;
        let mut unknown = Vec::new();
        for placed in found.extras.refunds.drain(..) {
            let known = store.refund_on_chain(placed.what.chain, placed.what.id).await?;
            if !known.is_some_and(|known| stays(known.block_hash)) {
                unknown.push(placed);
            }
        }
        found.extras.refunds = unknown;
        Ok(())
    }

    async fn commit(&self, all: Found, cursor: Cursor, how: How) -> Result<(), IndexError> {
        let Indexed { store, options: FollowerOptions { chain, .. }, .. } = self.indexed();
        let (found, channels) = (all.payments.len() as u64, all.extras.channels.len());
        let ambiguous = all.extras.ambiguities.len();
        let batch = Batch {
            chain: *chain,
            expected: Some(cursor),
            keep_through: None,
            blocks: Vec::new(),
            payments: all.payments,
            extras: all.extras,
            cursor,
            head: None,
            undecoded: Vec::new(),
            prune_below: None,
        };
        let reason = match how {
            How::Omitted => {
                store.apply_omitted(batch).await?;
                "omitted"
            }
            How::Merged => {
                store.apply_merged(batch).await?;
                "merged"
            }
            How::Unreadable(transaction) => {
                store.apply_read(batch, transaction).await?;
                "unreadable"
            }
        };
        tracing::warn!(%chain, found, channels, ambiguous, reason,
            "what was in no logs, or can be read in two ways, was found by its receipt");
        metrics::counter!("salt402_indexer_omitted_total", "chain" => chain.to_string(), "reason" => reason)
            .increment(found);
        Ok(())
    }
}
