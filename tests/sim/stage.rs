//! A follower before a chain and a node that are told what to do: one fault at a time.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::B256;
use futures::channel::mpsc;
use salt402_chain::Profile;
use salt402_indexer::Phase;
use salt402_protocol::Source;
use salt402_store::{Cursor, PlacedPayment, Store};
use tempfile::TempDir;

use crate::faults::{self, Fate, Mood};
use crate::gate::{Ask, Waiting};
use crate::history::in_memory;
use crate::life::{Life, Standing, live};
use crate::node::{Shared, SimNode};
use crate::rng::Rng;
use crate::world::{CHAIN, Event, Inclusion, World, simple_payment, source};

/// What outlives a process: the chain, its node's settings, the files.
pub(crate) struct Scene {
    pub(crate) shared: Arc<Shared>,
    pub(crate) profile: Profile,
    /// What is followed.
    pub(crate) sources: Vec<Source>,
    directory: TempDir,
}

/// A lie, or `None` for the truth.
pub(crate) type Script = Box<dyn FnMut(&mut World, Ask) -> Option<Fate>>;

/// One life of the process on its stage.
pub(crate) struct Stage<'s> {
    pub(crate) scene: &'s Scene,
    pub(crate) life: Life,
    pub(crate) script: Script,
    /// What was asked so far.
    pub(crate) asked: Vec<Ask>,
    ticks: Vec<mpsc::UnboundedSender<()>>,
    hung: Vec<Waiting>,
    rng: Rng,
}

impl Scene {
    /// Finality of 4 blocks, a window of 12, ranges of 8, a poll each second, logs by hash, no subscription.
    pub(crate) fn new() -> Self {
        let profile = Profile {
            chain_id: CHAIN,
            logs_by_hash: true,
            merges_blocks: true,
            new_heads: false,
            finality_depth: 4,
            reorg_window: 12,
            logs_range: 8,
            poll_ms: 1000,
            ..Profile::named("local").expect("there is a local profile")
        };
        let world = World::new(B256::repeat_byte(0xee), 1_700_000_000);
        Self::before(Shared::new(world), profile, vec![source(0)])
    }

    /// An empty index before a chain that is there already.
    pub(crate) fn before(shared: Arc<Shared>, profile: Profile, sources: Vec<Source>) -> Self {
        Self { shared, profile, sources, directory: in_memory() }
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.directory.path().join("salt402.db")
    }

    /// Starts the process, lets it act, and kills it at the end of `act`.
    pub(crate) fn play<T>(&self, act: impl AsyncFnOnce(&mut Stage<'_>) -> T) -> T {
        live(async {
            let store = Store::open(Life::options(&self.directory)).await.expect("the database opens");
            let life = Life::start(store, self.shared.clone(), self.node(), self.sources.clone());
            let mut stage = Stage {
                scene: self,
                life,
                script: Box::new(|_, _| None),
                asked: Vec::new(),
                ticks: Vec::new(),
                hung: Vec::new(),
                rng: Rng::new(0),
            };
            act(&mut stage).await
        })
    }

    pub(crate) fn node(&self) -> SimNode {
        SimNode::alone(self.shared.clone(), self.profile.clone())
    }

    /// A block with transactions of one payment each, named by numbers. The head stays.
    pub(crate) fn block(&self, parent: B256, branch: u8, transactions: &[u64]) -> B256 {
        let mut world = self.shared.world();
        let inclusions =
            transactions.iter().map(|n| Inclusion::new(transaction(*n), vec![paid(*n)])).collect();
        let Some(parent) = world.get(parent).map(|block| block.header) else { panic!("no such parent") };
        let hash = alloy_primitives::keccak256([parent.hash.as_slice(), &[branch]].concat());
        world.add(hash, parent.hash, parent.timestamp, inclusions, Vec::new())
    }

    /// Blocks upon `parent`, each with the transaction of its height and branch. The last becomes the head.
    pub(crate) fn grow(&self, parent: B256, branch: u8, blocks: u64) -> B256 {
        let mut tip = parent;
        for _ in 0..blocks {
            let height = self.shared.world().header(tip).number + 1;
            tip = self.block(tip, branch, &[own(branch, height)]);
        }
        self.shared.world().set_head(tip);
        tip
    }

    pub(crate) fn genesis(&self) -> B256 {
        self.shared.world().genesis()
    }
}

/// Whether a payment is of a contract that is followed, and of a block from its first on.
fn followed(sources: &[Source], placed: &PlacedPayment) -> bool {
    sources
        .iter()
        .any(|source| source.contract == placed.payment.contract && source.start_block <= placed.block_number)
}

/// The number of the transaction that [`Scene::grow`] puts into a block.
pub(crate) fn own(branch: u8, height: u64) -> u64 {
    u64::from(branch) << 32 | height
}

pub(crate) fn transaction(number: u64) -> B256 {
    alloy_primitives::keccak256(number.to_be_bytes())
}

pub(crate) fn paid(number: u64) -> Event {
    Event::payment(simple_payment(transaction(number)))
}

impl Stage<'_> {
    /// Answers, by the script and else truly, until the follower asks no more; or gives so many answers.
    pub(crate) async fn answer(&mut self, at_most: usize) -> usize {
        let mut given = 0;
        while given < at_most && self.life.settle().await == Standing::Asking {
            given += 1;
            if !self.answer_waiting() {
                break;
            }
        }
        given
    }

    /// Answers one question, if one waits.
    pub(crate) fn answer_waiting(&mut self) -> bool {
        let Some(waiting) = self.scene.shared.gate.take(0) else { return false };
        self.asked.push(waiting.ask);
        assert!(self.asked.len() < 20_000, "asks without end");
        let mut world = self.scene.shared.world();
        let fate = match (self.script)(&mut world, waiting.ask) {
            Some(fate) => fate,
            None => faults::answer(&Mood::HONEST, &mut self.rng, &world, waiting.ask, &mut self.ticks),
        };
        drop(world);
        match fate {
            Fate::Answered(answer) => {
                let _ = waiting.reply.send(answer);
            }
            Fate::Hung => self.hung.push(waiting),
        }
        true
    }

    /// Whether a question hangs.
    pub(crate) fn hangs(&self) -> bool {
        !self.hung.is_empty()
    }

    /// Answers the last question that hangs, truly.
    pub(crate) fn answer_hung(&mut self) {
        let Some(waiting) = self.hung.pop() else { return };
        let world = self.scene.shared.world();
        let fate = faults::answer(&Mood::HONEST, &mut self.rng, &world, waiting.ask, &mut self.ticks);
        if let Fate::Answered(answer) = fate {
            let _ = waiting.reply.send(answer);
        }
    }

    /// Lets so many seconds pass, a tenth at a time, and answers what is asked meanwhile.
    pub(crate) async fn pass(&mut self, seconds: u64) {
        self.answer(usize::MAX).await;
        for _ in 0..seconds * 10 {
            self.life.advance(Duration::from_millis(100)).await;
            self.answer(usize::MAX).await;
        }
    }

    /// Until the index stands at the head and rests.
    pub(crate) async fn arrive(&mut self) {
        self.pass(3).await;
        for _ in 0..30 {
            if self.cursor().await.is_some_and(|cursor| cursor.hash == self.scene.shared.world().head().hash)
            {
                return;
            }
            self.pass(1).await;
        }
        panic!("does not arrive: {:?}", self.life.health.borrow().clone());
    }

    pub(crate) async fn cursor(&self) -> Option<Cursor> {
        self.life.state().await.cursor
    }

    pub(crate) fn phase(&self) -> Phase {
        self.life.health.borrow().phase.clone()
    }

    /// The blocks of a transaction's payments on the chain and off it.
    pub(crate) async fn blocks_of(&self, number: u64) -> (Vec<B256>, Vec<B256>) {
        let rows = self.life.store.payments_in(CHAIN, transaction(number)).await.expect("rows can be read");
        let (on, off): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.canonical);
        let hashes = |rows: Vec<&salt402_store::IndexedPayment>| {
            rows.iter().map(|row| row.placed.block_hash).collect()
        };
        (hashes(on), hashes(off))
    }

    /// The rows on the chain are exactly the payments of the chain that ends in the cursor.
    pub(crate) async fn assert_exact(&self) {
        let cursor = self.cursor().await.expect("something is indexed");
        let expected: Vec<_> = {
            let world = self.scene.shared.world();
            let blocks = world
                .chain(cursor.hash)
                .flat_map(|block| block.payments.clone())
                .filter(|placed| followed(&self.scene.sources, placed));
            blocks.collect()
        };
        let transactions: BTreeSet<_> = expected.iter().map(|placed| placed.payment.transaction).collect();
        let mut found = 0;
        for transaction in transactions {
            let rows = self.life.store.payments_in(CHAIN, transaction).await.expect("rows can be read");
            for row in rows.iter().filter(|row| row.canonical) {
                assert!(expected.contains(&row.placed), "{row:?}");
                found += 1;
            }
        }
        assert_eq!(found, expected.len());
        let counts = self.life.store.counts().await.expect("counts can be read");
        assert_eq!(counts.payments[&CHAIN], expected.len() as u64);
    }
}
