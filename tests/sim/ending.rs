//! How a history ends: the chain stands still, the node tells the truth, and everything is compared.

use std::time::Duration;

use alloy_primitives::B256;
use salt402_indexer::Look;
use salt402_protocol::transaction::{Whole, decode_whole};
use salt402_store::IndexedPayment;

use crate::faults::Mood;
use crate::history::History;
use crate::life::{Life, Standing};
use crate::reader::Refuted;
use crate::stage::Scene;
use crate::world::{CHAIN, SECOND, TOKEN, second, sources};

impl History {
    /// The head in the end. A node whose head is a block below the index on the same chain looks like one that lags,
    /// and one below the first block of the index shows nothing that could be compared with it, until the chain is as
    /// high again: so it becomes.
    fn last_head(&mut self) -> salt402_chain::Header {
        let mut world = self.shared.world();
        let head = world.head();
        let index = self.reader.cursor.map_or(0, |cursor| cursor.number).max(self.start_block);
        let below = self.reader.cursor.is_some_and(|cursor| world.leads_to(head.hash, cursor.hash));
        if below || head.number < self.start_block {
            self.growth.mine(&mut world, &mut self.rng, index.saturating_sub(head.number) + 1);
        }
        world.head()
    }

    /// The chain stands still and the node tells the truth: the index must arrive.
    pub(crate) async fn quiet(&mut self, life: &mut Life) -> Result<(), Refuted> {
        self.note("quiet".into());
        // Those that are bad stay so; the rest become better than nodes are.
        self.nodes.iter_mut().filter(|node| node.is_good()).for_each(|node| node.mood = Mood::HONEST);
        let several = self.nodes.len() > 1;
        let head = self.last_head();
        let mut asked = 0_u64;
        let mut passed = Duration::ZERO;
        let mut calm = 0;
        while calm < 3 {
            let standing = life.settle().await;
            self.reader.follow(&life.store).await?;
            self.check_halted(life)?;
            if standing == Standing::Asking {
                asked += 1;
                self.answer();
            } else {
                let past = self.fillable(life).await?;
                let arrived = !past && self.reader.cursor.is_some_and(|cursor| cursor.hash == head.hash);
                let content = life.health.borrow().complaint(Duration::from_secs(5)).is_none();
                calm = if (arrived || head.number < self.start_block && !past) && content {
                    calm + 1
                } else {
                    0
                };
                life.advance(Duration::from_secs(1)).await;
                passed += Duration::from_secs(1);
            }
            // A node that hangs is waited for, again and again, before another has its turn.
            let (most, longest) = if several { (20_000, 1800) } else { (5_000, 300) };
            if asked > most || passed > Duration::from_secs(longest) {
                let health = life.health.borrow().clone();
                return Err(format!(
                    "not at {head:?} after {asked} questions and {passed:?}: at {:?}, {health:?}",
                    self.reader.cursor
                ));
            }
        }
        Ok(())
    }

    /// What was too long is no more, and whoever paid so shows it: everything must be there then.
    pub(crate) async fn read_again(&mut self, life: &mut Life) -> Result<(), Refuted> {
        let mut tries = 0;
        loop {
            let due = life
                .store
                .unreadable_due(CHAIN, 0, Duration::ZERO, 1)
                .await
                .map_err(|error| error.to_string())?;
            let Some(transaction) = due.first() else { break };
            tries += 1;
            if tries > 2_000 {
                return Err(format!("{transaction} is not read: {:?}", life.looked));
            }
            life.look(*transaction);
            while life.looked.is_none() {
                if life.settle().await == Standing::Asking {
                    self.answer();
                } else if life.looked.is_none() {
                    life.advance(Duration::from_millis(100)).await;
                }
            }
            if let Some(Ok(Look::Found | Look::NoPayment { .. })) = life.looked.take() {
                self.tally.unreadable += 1;
            }
            // The same is not looked up again at once.
            life.advance(Duration::from_secs(1)).await;
            life.settle().await;
        }
        self.shared.unreadable().clear();
        self.reader.follow(&life.store).await
    }

    /// Whether there is something of a contract's past that is not read and could be.
    async fn fillable(&self, life: &Life) -> Result<bool, Refuted> {
        let state = life.state().await;
        let (Some(cursor), Some(first)) = (state.cursor, state.first_block) else { return Ok(false) };
        let coverage = life.store.coverage(CHAIN).await.map_err(|error| error.to_string())?;
        Ok(coverage.iter().filter_map(|known| known.unread.first()).any(|stretch| {
            // Below the first header of the index, what may still be reorganized is waited for.
            let below_index = stretch.from < first;
            let depth = if below_index { self.profile.reorg_window + 1 } else { self.profile.finality_depth };
            stretch.from + depth <= cursor.number
        }))
    }

    /// Every transaction, every grant, every total.
    pub(crate) async fn check_everything(&mut self, life: &Life) -> Result<(), Refuted> {
        let transactions: Vec<B256> = self.growth.transactions().collect();
        let mut on_chain = 0;
        for transaction in transactions {
            self.reader.read(&life.store, transaction).await?;
            let rows = life.store.payments_in(CHAIN, transaction).await.map_err(|e| e.to_string())?;
            let second = |row: &&IndexedPayment| row.canonical && row.placed.payment.contract == SECOND;
            self.tally.second += rows.iter().filter(second).count() as u64;
            on_chain += rows.iter().filter(|row| row.canonical).count() as u64;
            let signed = rows.iter().filter(|row| row.canonical && row.placed.payment.contract == TOKEN);
            self.tally.signed += signed.count() as u64;
        }
        let counts = life.store.counts().await.map_err(|error| error.to_string())?;
        let counted = counts.payments.get(&CHAIN).copied().unwrap_or(0);
        if counted != on_chain {
            return Err(format!("{counted} payments are counted, {on_chain} are on the chain"));
        }
        if counts.claims != self.reader.granted.len() as u64 {
            return Err(format!("{} claims are counted, {:?} granted", counts.claims, self.reader.granted));
        }
        let all = life.store.incidents(false, 10_000).await.map_err(|error| error.to_string())?;
        self.tally.incidents = all.len() as u64;
        Ok(())
    }

    /// A payment has the same name by its receipt as by the definition, and so as by every range of logs.
    pub(crate) fn check_names(&self) -> Result<(), Refuted> {
        let world = self.shared.world();
        for block in world.chain(world.head().hash) {
            for inclusion in block.inclusions.iter().chain(block.merged.iter().map(|(_, beside)| beside)) {
                let logs: Vec<_> =
                    inclusion.events.iter().map(|event| (event.contract, &event.content)).collect();
                let whole = Whole { transaction: inclusion.transaction, logs: &logs, call: None };
                let followed = [sources(0), vec![second(0)]].concat();
                let names: Vec<_> =
                    decode_whole(CHAIN, &followed, whole).payments.iter().map(|payment| payment.id).collect();
                if names != inclusion.names {
                    return Err(format!("by receipt {names:?}, by definition {:?}", inclusion.names));
                }
            }
        }
        Ok(())
    }

    /// An index that begins when all is over has the same rows.
    pub(crate) fn index_again(&self) {
        let mut profile = self.profile.clone();
        // As much as can be by ranges.
        (profile.finality_depth, profile.reorg_window) = (1, 1);
        let sources = [sources(self.start_block), vec![second(0)]].concat();
        Scene::before(self.shared.clone(), profile, sources).play(async |stage| {
            stage.arrive().await;
            stage.assert_exact().await;
            self.reader
                .check_channels_at(&stage.life.store, stage.cursor().await)
                .await
                .expect("the same channels");
            let refunds = self.reader.check_refunds_at(&stage.life.store, stage.cursor().await).await;
            refunds.expect("the same refunds");
        });
    }
}
