//! Somebody who reads and claims all the while, and knows what may be read.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use alloy_primitives::B256;
use salt402_protocol::{ChannelState, PaymentId, RequestDigest};
use salt402_store::{ClaimResult, Cursor, IncidentKind, IndexedPayment, NewClaim, PlacedPayment, Store};

use crate::growth::{channel, refunded};
use crate::node::Shared;
use crate::rng::Rng;
use crate::world::{CHAIN, CHANNELS, CONTRACT, SECOND, channel_events, refunds};

/// Where the index stands, and the height of the lower fork that the node shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stood {
    pub(crate) cursor: Option<Cursor>,
    pub(crate) fork: Option<u64>,
}

impl Stood {
    /// Confirmations of a block of the index's chain.
    fn depth(&self, block_number: u64) -> u64 {
        if self.fork.is_some_and(|fork| block_number > fork) {
            return 0;
        }
        self.cursor.map_or(0, |cursor| cursor.number - block_number + 1)
    }
}

/// Why a history is refuted.
pub(crate) type Refuted = String;

pub(crate) struct Reader {
    shared: Arc<Shared>,
    start_block: u64,
    /// Where the index stood when it was last looked at.
    pub(crate) cursor: Option<Cursor>,
    /// The height of the lower fork that the node showed then.
    pub(crate) fork: Option<u64>,
    /// Every block that a node has shown as its head, or as the block of its chain at a height.
    pub(crate) shown: BTreeSet<B256>,
    /// Reads while something was not read.
    pub(crate) unread: Cell<u64>,
    /// What was granted, and for which transaction and request.
    pub(crate) granted: BTreeMap<PaymentId, (B256, RequestDigest)>,
    /// How many states of channels were compared with what the chain says.
    pub(crate) channels: u64,
    /// How many refunds were compared with what the chain says.
    pub(crate) refunds: u64,
}

impl Reader {
    pub(crate) fn new(shared: Arc<Shared>, start_block: u64) -> Self {
        Self {
            shared,
            start_block,
            cursor: None,
            fork: None,
            shown: BTreeSet::new(),
            unread: Cell::new(0),
            granted: BTreeMap::new(),
            channels: 0,
            refunds: 0,
        }
    }

    /// What the index may say of a transaction when it stands at `cursor`, and of the one contract must.
    fn expected(&self, transaction: B256, cursor: Option<Cursor>) -> Vec<PlacedPayment> {
        let world = self.shared.world();
        let Some(cursor) = cursor else { return Vec::new() };
        world
            .chain(cursor.hash)
            .flat_map(|block| block.payments.iter())
            .filter(|placed| placed.payment.transaction == transaction)
            .filter(|placed| placed.payment.contract == SECOND || placed.block_number >= self.start_block)
            .cloned()
            .collect()
    }

    /// What of it is of the second contract, whose past may not have been read: that the index need not say.
    fn may_be_unread(placed: &PlacedPayment) -> bool {
        placed.payment.contract == SECOND
    }

    /// Where the index stood when it was last looked at.
    pub(crate) fn stood(&self) -> Stood {
        Stood { cursor: self.cursor, fork: self.fork }
    }

    /// Looks at where the index stands now. It may only stand on a chain that a node has shown, and never goes back
    /// along its own chain: that would be the gap between undo and insert.
    pub(crate) async fn follow(&mut self, store: &Store) -> Result<(), Refuted> {
        let state = store.chain_state(CHAIN).await.map_err(|error| error.to_string())?;
        let now = state.and_then(|state| state.cursor);
        self.fork = state.and_then(|state| state.lower_fork_at);
        if now == self.cursor {
            return Ok(());
        }
        let Some(to) = now else { return Err(format!("the cursor {:?} is gone", self.cursor)) };
        {
            let world = self.shared.world();
            let block = world.get(to.hash).ok_or(format!("the index stands at {to:?}, no block"))?;
            if block.header.number != to.number {
                return Err(format!("the index stands at {to:?}, which is block {}", block.header.number));
            }
            if !self.shown.iter().rev().any(|head| world.leads_to(to.hash, *head)) {
                return Err(format!("the index stands at {to:?}, on no chain that was shown"));
            }
            if let Some(from) = self.cursor {
                if world.leads_to(to.hash, from.hash) {
                    return Err(format!("the index went back along its chain, from {from:?} to {to:?}"));
                }
                let forked = !world.leads_to(from.hash, to.hash);
                if forked && to.number < from.number && !self.shown.contains(&to.hash) {
                    return Err(format!(
                        "from {from:?} to {to:?} the index lost blocks that have a successor"
                    ));
                }
            }
        }
        self.cursor = now;
        self.channels += self.check_channels_at(store, now).await?;
        self.refunds += self.check_refunds_at(store, now).await?;
        self.check_incidents(store).await
    }

    /// What was given back is what the chain up to a cursor says, unless a node left some of that out. Returns how many
    /// refunds there are.
    pub(crate) async fn check_refunds_at(
        &self,
        store: &Store,
        cursor: Option<Cursor>,
    ) -> Result<u64, Refuted> {
        let Some(cursor) =
            cursor.filter(|_| self.shared.omitted().is_empty() && self.shared.unreadable().is_empty())
        else {
            return Ok(0);
        };
        let mut compared = 0;
        for of in [refunded(0), refunded(1)] {
            let (mut expected, merged) = {
                let world = self.shared.world();
                let blocks = world.chain(cursor.hash);
                let blocks = blocks.take_while(|block| block.header.number >= self.start_block);
                let expected: Vec<_> = blocks.flat_map(|block| refunds(block, of)).collect();
                (expected, world.merged_into(cursor.hash))
            };
            let known = store.refunds(of).await.map_err(|error| error.to_string())?;
            let on_chain = known.indexed.iter().filter(|row| row.canonical && row.contract == CONTRACT);
            let mut said: Vec<_> = on_chain.map(|row| (row.transaction, row.block_hash)).collect();
            // What was merged counts once its receipt was looked up, which nobody is sure to have done.
            expected.retain(|(transaction, _)| !merged.contains(transaction));
            said.retain(|(transaction, _)| !merged.contains(transaction));
            expected.sort_unstable();
            said.sort_unstable();
            if said != expected {
                return Err(format!("at {cursor:?} given back is {said:?}, the chain says {expected:?}"));
            }
            compared += said.len() as u64;
        }
        Ok(compared)
    }

    /// Every channel is what the chain up to a cursor says, unless a node left some of that out. Returns how many
    /// there are.
    pub(crate) async fn check_channels_at(
        &self,
        store: &Store,
        cursor: Option<Cursor>,
    ) -> Result<u64, Refuted> {
        let Some(cursor) =
            cursor.filter(|_| self.shared.omitted().is_empty() && self.shared.unreadable().is_empty())
        else {
            return Ok(0);
        };
        let mut compared = 0;
        for channel in [channel(0), channel(1)] {
            let (mut events, merged): (Vec<_>, BTreeSet<_>) = {
                let world = self.shared.world();
                let blocks: Vec<_> = world
                    .chain(cursor.hash)
                    .take_while(|block| block.header.number >= self.start_block)
                    .collect();
                let events = blocks.iter().flat_map(|block| channel_events(block));
                let events = events.filter(|(_, of, _)| *of == channel);
                let selected = blocks.iter().flat_map(|block| &block.inclusions);
                let selected: BTreeSet<_> = selected.map(|inclusion| inclusion.transaction).collect();
                let beside = world.merged_into(cursor.hash);
                (
                    events.map(|(height, _, change)| (height, change)).collect(),
                    beside.difference(&selected).copied().collect(),
                )
            };
            // What was merged counts once its receipt was looked up, which nobody is sure to have done.
            for transaction in merged {
                let found = store.channel_events_in(CHAIN, CHANNELS, channel, transaction).await;
                let found = found.map_err(|error| error.to_string())?;
                events.extend(found.into_iter().map(|row| (row.block_number, row.what.change)));
            }
            let expected = ChannelState::fold(events);
            let said = store.channel(CHAIN, CHANNELS, channel).await.map_err(|error| error.to_string())?;
            if said != expected {
                return Err(format!("at {cursor:?} {channel} is {said:?}, the chain says {expected:?}"));
            }
            compared += u64::from(said.is_some());
        }
        self.check_times_of_events(store, cursor).await?;
        Ok(compared)
    }

    /// Every event of a channel has the time of its block, however it was read.
    async fn check_times_of_events(&self, store: &Store, cursor: Cursor) -> Result<(), Refuted> {
        let placed: Vec<_> = {
            let world = self.shared.world();
            let blocks = world.chain(cursor.hash).take_while(|block| block.header.number >= self.start_block);
            let events = blocks.flat_map(|block| {
                let with_events = block.inclusions.iter().filter(|inclusion| {
                    inclusion.events.iter().any(|event| event.contract == CHANNELS && event.channel.is_some())
                });
                with_events.map(|inclusion| (block.header, inclusion.transaction))
            });
            events.collect()
        };
        for (header, transaction) in placed {
            for channel in [channel(0), channel(1)] {
                let rows = store.channel_events_in(CHAIN, CHANNELS, channel, transaction).await;
                for row in rows.map_err(|error| error.to_string())? {
                    if row.block_hash == header.hash && row.block_timestamp != header.timestamp {
                        return Err(format!("{row:?} is in a block of {}", header.timestamp));
                    }
                }
            }
        }
        Ok(())
    }

    /// Every grant whose payment is not on the chain has an open incident, and no other has.
    async fn check_incidents(&self, store: &Store) -> Result<(), Refuted> {
        if self.granted.is_empty() {
            return Ok(());
        }
        let open = store.incidents(true, 10_000).await.map_err(|error| error.to_string())?;
        let open = open.iter().filter(|incident| incident.kind == IncidentKind::PaymentLost);
        let open: BTreeSet<_> = open.map(|incident| incident.payment).collect();
        let mut lost = BTreeSet::new();
        for (payment, (transaction, _)) in &self.granted {
            let rows = store.payments_in(CHAIN, *transaction).await.map_err(|error| error.to_string())?;
            if !rows.iter().any(|row| row.canonical && row.placed.payment.id == *payment) {
                lost.insert(*payment);
            }
        }
        if open == lost { Ok(()) } else { Err(format!("incidents are open for {open:?}, lost are {lost:?}")) }
    }

    /// Reads a transaction while the index stands still.
    pub(crate) async fn read(&self, store: &Store, transaction: B256) -> Result<(), Refuted> {
        let rows = store.payments_in(CHAIN, transaction).await.map_err(|error| error.to_string())?;
        self.check(transaction, &rows, self.stood())?;
        self.check_read(store, transaction, &rows).await
    }

    /// Whether everything is there that the index says it has read. While it stands still.
    async fn check_read(
        &self,
        store: &Store,
        transaction: B256,
        rows: &[IndexedPayment],
    ) -> Result<(), Refuted> {
        let coverage = store.coverage(CHAIN).await.map_err(|error| error.to_string())?;
        if coverage.iter().any(|known| !known.unread.is_empty()) {
            self.unread.set(self.unread.get() + 1);
        }
        for placed in self.expected(transaction, self.cursor) {
            let height = placed.block_number;
            let read = coverage.iter().any(|known| {
                known.source.contract == placed.payment.contract
                    && known.start_block <= height
                    && !known.unread.iter().any(|stretch| (stretch.from..=stretch.to).contains(&height))
            });
            let there = rows.iter().any(|row| row.canonical && row.placed.payment.id == placed.payment.id);
            if read && !there && !self.shared.may_lack(&placed) {
                return Err(format!("at {:?} said to be read and missing: {placed:?}", self.cursor));
            }
        }
        Ok(())
    }

    /// Whether rows are what an index holds that stands there.
    pub(crate) fn check(
        &self,
        transaction: B256,
        rows: &[IndexedPayment],
        stood: Stood,
    ) -> Result<(), Refuted> {
        let cursor = stood.cursor;
        let expected = self.expected(transaction, cursor);
        let omitted = self.shared.omitted().clone();
        let (on_chain, orphaned): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.canonical);
        for row in &on_chain {
            let twin = expected.iter().find(|placed| {
                placed.payment.id == row.placed.payment.id && placed.block_hash == row.placed.block_hash
            });
            let Some(twin) = twin else {
                if self.is_merged(row, cursor) {
                    continue;
                }
                return Err(format!("at {cursor:?} no such payment is on the chain: {row:?}"));
            };
            // Where logs were left out, a payment's place among them is the place among those that were given.
            let place = PlacedPayment { position: twin.position, ..row.placed.clone() };
            let same = if omitted.contains(&twin.block_hash) { place == *twin } else { row.placed == *twin };
            if !same {
                return Err(format!("{:?} is not {twin:?}", row.placed));
            }
            let depth = stood.depth(row.placed.block_number);
            if row.confirmations != depth {
                return Err(format!("{} confirmations instead of {depth}", row.confirmations));
            }
        }
        let mut ids: Vec<_> = on_chain.iter().map(|row| row.placed.payment.id).collect();
        ids.sort_unstable();
        ids.dedup();
        if ids.len() != on_chain.len() {
            return Err(format!("a payment is on the chain twice: {on_chain:?}"));
        }
        let missing = expected.iter().find(|placed| {
            ids.binary_search(&placed.payment.id).is_err()
                && !Self::may_be_unread(placed)
                && !self.shared.may_lack(placed)
        });
        if let Some(missing) = missing {
            return Err(format!("at {cursor:?} this payment is missing: {missing:?}"));
        }
        self.check_orphaned(&orphaned, &ids, cursor)?;
        self.check_claims(rows)
    }

    /// Whether a row is of a payment that was found by its receipt alone: in a block merged by one of the chain, and
    /// placed no deeper than that.
    fn is_merged(&self, row: &IndexedPayment, cursor: Option<Cursor>) -> bool {
        let world = self.shared.world();
        let hash = row.placed.block_hash;
        let on_chain =
            cursor.is_some_and(|cursor| world.get(hash).is_some() && world.leads_to(hash, cursor.hash));
        on_chain && world.merged_into(hash).contains(&row.placed.payment.transaction)
    }

    /// Rows off the chain are of blocks that were on a chain once, and are not now.
    fn check_orphaned(
        &self,
        rows: &[&IndexedPayment],
        on_chain: &[PaymentId],
        cursor: Option<Cursor>,
    ) -> Result<(), Refuted> {
        for row in rows {
            let world = self.shared.world();
            let hash = row.placed.block_hash;
            let name = row.placed.payment.id;
            let was = world.get(hash).is_some_and(|block| {
                block.payments.iter().any(|placed| placed.payment.id == name)
                    || world.merged_into(hash).contains(&row.placed.payment.transaction)
            });
            if !was {
                return Err(format!("never was on any chain: {row:?}"));
            }
            let is = cursor.is_some_and(|cursor| world.leads_to(hash, cursor.hash));
            drop(world);
            // A block that comes back brings back what was seen in it, also what no logs name this time. Found by its
            // receipt, a payment of a merged block may stand in another block meanwhile.
            if is && !on_chain.contains(&name) {
                return Err(format!("left the chain although its block did not: {row:?}"));
            }
        }
        Ok(())
    }

    fn check_claims(&self, rows: &[IndexedPayment]) -> Result<(), Refuted> {
        for row in rows {
            let claimed = row.claim.as_ref().map(|claim| claim.request);
            let granted = self.granted.get(&row.placed.payment.id).map(|(_, request)| *request);
            if claimed != granted {
                return Err(format!("claimed for {claimed:?}, granted for {granted:?}: {row:?}"));
            }
        }
        Ok(())
    }

    /// A claim on some payment, a young one more often, of the chain or of the index as it stands.
    pub(crate) fn draw_claim(&self, rng: &mut Rng) -> Option<NewClaim> {
        let world = self.shared.world();
        let head = world.head().hash;
        let tip = if rng.percent(80) { self.cursor.map_or(head, |cursor| cursor.hash) } else { head };
        let recent = if rng.percent(70) { 3 } else { 40 };
        let known: Vec<_> = world
            .chain(tip)
            .take(recent)
            .flat_map(|block| block.payments.iter())
            .map(|placed| (placed.payment.id, placed.payment.transaction))
            .collect();
        let (payment, transaction) = rng.pick(&known)?;
        Some(NewClaim {
            payment,
            chain: CHAIN,
            transaction,
            request: RequestDigest(B256::repeat_byte(rng.between(1, 3) as u8)),
            claimant: "reader".into(),
            holder: Default::default(),
            confirmations: [1, 1, 1, 2, 3][rng.below(5) as usize],
            limits: Default::default(),
            usage: None,
            now_ms: 1,
            credit: None,
        })
    }

    /// Notes the answer to a claim. It must follow from one of the places where the index stood meanwhile.
    pub(crate) fn note_claim(
        &mut self,
        claim: &NewClaim,
        result: ClaimResult,
        stood: &[Stood],
    ) -> Result<(), Refuted> {
        let possible: Vec<_> = stood.iter().flat_map(|stood| self.judge(claim, *stood)).collect();
        let plain = match result {
            ClaimResult::First { .. } => "first",
            ClaimResult::Again { .. } => "again",
            ClaimResult::Taken => "taken",
            ClaimResult::NotCanonical => "gone",
            ClaimResult::TooShallow { .. } => "shallow",
            ClaimResult::Halted => "halted",
            ClaimResult::BeforeRestore => "before restore",
            ClaimResult::Refunded => "refunded",
            ClaimResult::UsedUp { .. }
            | ClaimResult::NotAgain
            | ClaimResult::HeldElsewhere(_)
            | ClaimResult::AfterLoss { .. }
            | ClaimResult::Exposed { .. }
            | ClaimResult::AccountClosed => "limited",
        };
        if !possible.contains(&plain) {
            return Err(format!("{claim:?} was answered {result:?}; possible: {possible:?} at {stood:?}"));
        }
        if matches!(result, ClaimResult::First { .. }) {
            self.granted.insert(claim.payment, (claim.transaction, claim.request));
        }
        Ok(())
    }

    /// What a claim may be answered when the index stands there.
    fn judge(&self, claim: &NewClaim, stood: Stood) -> Vec<&'static str> {
        let here = self.expected(claim.transaction, stood.cursor);
        let Some(placed) = here.iter().find(|placed| placed.payment.id == claim.payment) else {
            return vec!["gone"];
        };
        let depth = stood.depth(placed.block_number);
        let said = match self.granted.get(&claim.payment) {
            Some((_, request)) if *request == claim.request => "again",
            Some(_) => "taken",
            None if depth >= claim.confirmations => "first",
            None => "shallow",
        };
        // Where a node left the payment out, it may be refused, and still not be granted too early or twice.
        let may_be_gone = self.shared.may_lack(placed) || Self::may_be_unread(placed);
        if may_be_gone { vec![said, "gone"] } else { vec![said] }
    }
}
