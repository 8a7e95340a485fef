//! One history from one seed: a chain, a node before it, an indexer that is killed, a reader, and the end of it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::B256;
use futures::channel::mpsc;
use salt402_chain::{At, Node, NodeError, Pool, PoolOptions, Profile, Role};
use salt402_indexer::{Look, Phase};
use salt402_store::{ClaimResult, Store};

use crate::characters::{Character, characters};
use crate::faults::{Fate, Mood};
use crate::gate::{Ask, Said, Waiting};
use crate::growth::Growth;
use crate::life::{Life, Standing, live};
use crate::node::{Shared, SimNode};
use crate::reader::{Reader, Refuted, Stood};
use crate::rng::Rng;
use crate::world::{CHAIN, World, second, sources};

/// What a history did, to see that histories do anything.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) blocks: u64,
    pub(crate) reorganizations: u64,
    pub(crate) ways_back: u64,
    pub(crate) kills: u64,
    pub(crate) restarts: u64,
    pub(crate) grants: u64,
    /// Incidents that were opened, whether or not they were resolved.
    pub(crate) incidents: u64,
    pub(crate) omitted: u64,
    /// Payments found by their receipt alone.
    pub(crate) looked_up: u64,
    /// Transactions that could not be read, and were in the end.
    pub(crate) unreadable: u64,
    /// Reads while the past of the second contract was not read whole.
    pub(crate) unread: u64,
    /// Payments of the second contract on the chain in the end.
    pub(crate) second: u64,
    /// Of several nodes: those that were put out in the end, and how often another was asked.
    pub(crate) ejected: u64,
    pub(crate) changes: u64,
    /// Payments by an authorization that are on the chain in the end.
    pub(crate) signed: u64,
    /// States of channels that were compared.
    pub(crate) channels: u64,
    /// Refunds that were compared.
    pub(crate) refunds: u64,
}

pub(crate) struct History {
    pub(crate) rng: Rng,
    pub(crate) shared: Arc<Shared>,
    pub(crate) growth: Growth,
    pub(crate) profile: Profile,
    pub(crate) start_block: u64,
    /// The first block of the second contract, while it is followed.
    second: Option<u64>,
    /// The nodes; mostly one.
    pub(crate) nodes: Vec<Character>,
    /// How many of several nodes must agree, and whether blocks' logs are proven complete.
    agree: usize,
    complete: bool,
    pub(crate) reader: Reader,
    directory: tempfile::TempDir,
    ticks: Vec<mpsc::UnboundedSender<()>>,
    /// Questions that are never answered. Kept, because a dropped one is answered by an error.
    hung: Vec<Waiting>,
    turns_left: u64,
    pub(crate) tally: Tally,
    /// The newest events, told when the history is refuted.
    pub(crate) trace: VecDeque<String>,
}

/// How a life ends.
enum End {
    /// The process dies, and what was not committed with it.
    Died,
    /// The history is over.
    Done,
}

impl History {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let finality = if rng.percent(85) { rng.between(4, 12) } else { rng.between(36, 48) };
        let profile = Profile {
            chain_id: CHAIN,
            logs_by_hash: rng.percent(50),
            merges_blocks: true,
            new_heads: rng.percent(60),
            finality_depth: finality,
            reorg_window: finality + rng.between(0, 10),
            logs_range: rng.between(1, 12),
            poll_ms: [100, 500, 1000][rng.below(3) as usize],
            shorter_fork_ms: [0, 300, 2000][rng.below(3) as usize],
            genesis_hash: None,
            ..Profile::named("local").expect("there is a local profile")
        };
        let mut world = World::new(rng.hash(), 1_700_000_000);
        let mut growth = Growth::new(finality);
        let first = rng.below(50);
        growth.mine(&mut world, &mut rng, first);
        let start_block = if rng.percent(50) { 0 } else { rng.below(8) };
        let shared = Shared::new(world);
        Self {
            nodes: vec![Character::honest(Mood::draw(&mut rng))],
            agree: 1,
            complete: false,
            turns_left: rng.between(50, 200),
            reader: Reader::new(shared.clone(), start_block),
            directory: in_memory(),
            ticks: Vec::new(),
            hung: Vec::new(),
            tally: Tally::default(),
            trace: VecDeque::new(),
            rng,
            shared,
            growth,
            profile,
            start_block,
            second: None,
        }
    }

    /// A history with two or three nodes, of which some are worse than others.
    pub(crate) fn several(seed: u64) -> Self {
        let mut history = Self::new(seed);
        let rng = &mut history.rng;
        (history.nodes, history.agree) = characters(rng);
        history.nodes.iter_mut().for_each(|node| node.mood = node.mood.clone().brief());
        history.complete = rng.percent(50);
        // Where a node may be on another chain from the first, the operator says which chain is meant.
        history.profile.genesis_hash = Some(history.shared.world().genesis());
        history
    }

    /// Runs the history; an error says what refutes it.
    pub(crate) fn run(&mut self) -> Result<(), Refuted> {
        self.note(format!("{:?} {:?}, {} must agree", self.profile, self.nodes, self.agree));
        loop {
            let end = live(self.life())?;
            match end {
                End::Died => self.tally.restarts += 1,
                End::Done => break,
            }
        }
        // Expensive, and as good in some as in all.
        if self.rng.percent(25) {
            self.check_names()?;
            self.index_again();
        }
        let world = self.shared.world();
        self.tally.blocks = world.head().number;
        self.tally.unread = self.reader.unread.get();
        self.tally.grants = self.reader.granted.len() as u64;
        self.tally.channels = self.reader.channels;
        self.tally.refunds = self.reader.refunds;
        self.tally.omitted = self.shared.omitted().len() as u64;
        Ok(())
    }

    pub(crate) fn note(&mut self, event: String) {
        if self.trace.len() > 400 {
            self.trace.pop_front();
        }
        self.trace.push_back(event);
    }

    async fn life(&mut self) -> Result<End, Refuted> {
        let options = Life::options(&self.directory);
        let store = Store::open(options).await.map_err(|error| error.to_string())?;
        let mut life = self.be_born(&store);
        let mut standing = life.settle().await;
        while self.turns_left > 0 {
            self.turns_left -= 1;
            self.reader.follow(&life.store).await?;
            self.act(&mut life, standing).await?;
            // The follower takes one step and may have given the store something that is not done yet. Whether a read
            // of its own is done by now is a matter of threads: nothing may be decided by that.
            life.poll();
            match self.rng.below(100) {
                0 => {
                    self.note("dies".into());
                    return Ok(End::Died);
                }
                1 => {
                    self.note("is killed".into());
                    self.tally.kills += 1;
                    life.kill();
                    life.settle().await;
                    self.reader.follow(&life.store).await?;
                    life = self.be_born(&store);
                }
                2..7 => self.race(&mut life).await?,
                _ => {}
            }
            standing = life.settle().await;
            self.tally.changes += u64::from(life.changed_node());
            if let Some(found) = life.looked.take() {
                self.tally.looked_up += u64::from(matches!(found, Ok(Look::Found)));
                self.note(format!("looked: {found:?}"));
            }
            self.check_halted(&life)?;
        }
        self.quiet(&mut life).await?;
        self.read_again(&mut life).await?;
        self.tally.ejected += life.nodes().iter().filter(|node| node.state == "ejected").count() as u64;
        self.check_everything(&life).await?;
        life.kill();
        drop(life);
        store.close().await;
        Ok(End::Done)
    }

    fn be_born(&mut self, store: &Store) -> Life {
        // Nothing of what the last process asked, or was promised, is of use to this one.
        self.ticks.clear();
        self.hung.clear();
        // The operator changes the configuration.
        if self.rng.percent(40) {
            self.second = self.rng.percent(80).then(|| self.rng.below(60));
            self.note(format!("the second contract is followed from {:?}", self.second));
        }
        let mut sources = sources(self.start_block);
        sources.extend(self.second.map(second));
        let shared = self.shared.clone();
        let node = |index| SimNode {
            shared: shared.clone(),
            profile: self.profile.clone(),
            index,
            complete: self.complete,
            excused: self.agree == 1,
        };
        if self.nodes.len() == 1 {
            return Life::start(store.clone(), shared.clone(), node(0), sources);
        }
        let named = |index| -> (String, Role, Arc<dyn Node>) {
            (format!("node-{index}"), Role::Primary, Arc::new(node(index)))
        };
        let options = PoolOptions {
            agree: self.agree,
            limit: Duration::from_secs(15),
            max_lag: 3,
            ..PoolOptions::of(&self.profile)
        };
        let pool = Pool::new((0..self.nodes.len()).map(named).collect(), options).expect("nodes");
        Life::start_before(store.clone(), shared.clone(), pool, sources)
    }

    /// One thing happens.
    async fn act(&mut self, life: &mut Life, standing: Standing) -> Result<(), Refuted> {
        let asking = standing == Standing::Asking;
        match self.rng.below(100) {
            // A block is three questions at least, one after another.
            0..55 if asking => {
                for _ in 0..self.rng.between(1, 5) {
                    self.answer();
                    let standing = life.settle().await;
                    self.reader.follow(&life.store).await?;
                    if standing != Standing::Asking {
                        break;
                    }
                }
            }
            0..40 | 55..65 => {
                let by = [10, 50, 200, 1000, 5000, 11_000][self.rng.below(6) as usize];
                let by = if self.hung.is_empty() { by } else { by * 6 };
                self.note(format!("{by} ms pass"));
                life.advance(Duration::from_millis(by)).await;
            }
            40..55 | 65..80 => self.grow(),
            80..84 => {
                self.ticks.retain(|tick| tick.unbounded_send(()).is_ok());
            }
            84 => self.ticks.clear(),
            85..88 => {
                if let Some(transaction) = self.transaction() {
                    self.note(format!("looks for {transaction}"));
                    life.look(transaction);
                }
            }
            88..91 => {
                if let Some(transaction) = self.transaction() {
                    self.reader.read(&life.store, transaction).await?;
                }
            }
            _ => self.claim(life).await?,
        }
        Ok(())
    }

    /// Any transaction, the newest more often.
    fn transaction(&mut self) -> Option<B256> {
        let all: Vec<B256> = self.growth.transactions().collect();
        let from = if self.rng.percent(70) { all.len().saturating_sub(15) } else { 0 };
        self.rng.pick(&all[from..])
    }

    pub(crate) fn answer(&mut self) {
        let waiting = self.shared.gate.len() as u64;
        let index = self.rng.below(waiting) as usize;
        let Some(asked) = self.shared.gate.take(index) else { return };
        let world = self.shared.world();
        let character = &self.nodes[asked.node];
        let fate = character.answer(&mut self.rng, &world, asked.ask, &mut self.ticks);
        drop(world);
        match fate {
            Fate::Hung => {
                self.note(format!("{}: {:?} hangs", asked.node, asked.ask));
                self.hung.push(asked);
            }
            Fate::Answered(answer) => {
                if let (Ask::Header(At::Latest | At::Number(_)), Ok(Said::Header(Some(block)))) =
                    (asked.ask, &answer)
                    && self.shared.world().get(block.hash).is_some()
                {
                    self.reader.shown.insert(block.hash);
                }
                if let (Ask::Receipt(transaction), Err(NodeError::AnswerTooLong { .. })) =
                    (asked.ask, &answer)
                {
                    self.shared.unreadable().insert(transaction);
                }
                let told = match &answer {
                    Ok(Said::Header(header)) => {
                        format!("{:?} -> {:?}", asked.ask, header.map(|header| (header.number, header.hash)))
                    }
                    Ok(Said::Logs(header, logs)) => {
                        format!("{:?} -> {:?}, {} logs", asked.ask, header.map(|h| h.number), logs.len())
                    }
                    Ok(_) => format!("{:?} answered", asked.ask),
                    Err(error) => format!("{:?} -> {error:?}", asked.ask),
                };
                self.note(format!("{}: {told}", asked.node));
                let _ = asked.reply.send(answer);
            }
        }
    }

    fn grow(&mut self) {
        let mut world = self.shared.world();
        if self.rng.percent(35)
            && let Some((depth, back)) = self.growth.reorganize(&mut world, &mut self.rng)
        {
            self.tally.reorganizations += 1;
            self.tally.ways_back += u64::from(back);
            let head = world.head();
            drop(world);
            self.note(format!("reorganized, {depth} deep, back: {back}, to {} {}", head.number, head.hash));
            return;
        }
        let blocks = if self.rng.percent(5) { self.rng.between(8, 24) } else { self.rng.between(1, 2) };
        self.growth.mine(&mut world, &mut self.rng, blocks);
        let head = world.head();
        drop(world);
        self.note(format!("mined {blocks}, to {} {}", head.number, head.hash));
    }

    async fn claim(&mut self, life: &mut Life) -> Result<(), Refuted> {
        let Some(claim) = self.reader.draw_claim(&mut self.rng) else { return Ok(()) };
        let result = life.store.claim(claim.clone()).await.map_err(|error| error.to_string())?;
        let stood = [self.reader.stood()];
        self.reader.note_claim(&claim, result, &stood)?;
        // What was just granted on is what somebody would like to take back.
        if matches!(result, ClaimResult::First { .. }) && self.rng.percent(25) {
            let mut world = self.shared.world();
            if let Some((depth, back)) = self.growth.reorganize(&mut world, &mut self.rng) {
                self.tally.reorganizations += 1;
                self.tally.ways_back += u64::from(back);
                drop(world);
                self.note(format!("reorganized after a grant, {depth} deep, back: {back}"));
            }
        }
        Ok(())
    }

    /// Reads and claims while a commit of the follower is under way.
    async fn race(&mut self, life: &mut Life) -> Result<(), Refuted> {
        let before = self.reader.stood();
        let store = life.store.clone();
        if let (true, Some(claim)) = (self.rng.percent(50), self.reader.draw_claim(&mut self.rng)) {
            let result = life.beside(store.claim(claim.clone())).await.map_err(|error| error.to_string())?;
            life.settle().await;
            let after = stands(life).await;
            self.reader.note_claim(&claim, result, &[before, after])?;
            return self.reader.follow(&store).await;
        }
        let Some(transaction) = self.transaction() else { return Ok(()) };
        let rows = life.beside(store.payments_in(CHAIN, transaction)).await;
        let rows = rows.map_err(|error| error.to_string())?;
        life.settle().await;
        let after = stands(life).await;
        let as_before = self.reader.check(transaction, &rows, before);
        if as_before.is_err() && before != after {
            self.reader.check(transaction, &rows, after)?;
            return Ok(());
        }
        as_before
    }

    pub(crate) fn check_halted(&self, life: &Life) -> Result<(), Refuted> {
        match &life.health.borrow().phase {
            Phase::Halted(why) => Err(format!("halted although no fork is deeper than what is final: {why}")),
            _ => Ok(()),
        }
    }
}

async fn stands(life: &Life) -> Stood {
    let state = life.state().await;
    Stood { cursor: state.cursor, fork: state.lower_fork_at }
}

/// A directory on a disk in memory, where there is one: a history is not about the speed of a disk.
pub(crate) fn in_memory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("there is room for a database")
}
