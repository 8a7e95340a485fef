//! What a node says: the truth of the chain it sees, or one of the ways in which nodes fail and lie.

use std::time::Duration;

use alloy_primitives::B256;
use futures::channel::mpsc;
use salt402_chain::{At, Merging, NodeError, Receipt};

use crate::gate::{Answer, Ask, IndexedLog, Said, unreachable};
use crate::node::{indexed_logs, lied};
use crate::rng::Rng;
use crate::world::{Block, CHAIN, World};

/// How often, of a hundred answers, which fault.
#[derive(Clone, Debug)]
pub(crate) struct Mood {
    /// Errors of every kind.
    errors: u64,
    /// Blocks that the node denies.
    nulls: u64,
    /// A replica that stands at an older block of the chain.
    lags: u64,
    /// Answers that do not fit the question.
    lies: u64,
    /// Logs left out in silence.
    omissions: u64,
    /// Of a hundred nodes, those that keep the receipts of blocks that lost.
    stale: u64,
    /// No answer at all.
    hangs: u64,
    /// Subscriptions that end, or that there are none.
    deaf: u64,
    /// Of a hundred transactions, those whose receipts are longer than what is read. Always the same.
    long: u64,
}

/// A kind of fault.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    Errors,
    Lags,
    Omissions,
    Hangs,
}

impl Mood {
    pub(crate) const HONEST: Self =
        Self { errors: 0, nulls: 0, lags: 0, lies: 0, omissions: 0, stale: 0, hangs: 0, deaf: 0, long: 0 };

    /// As nodes are that are well looked after: they fail and lag, and say nothing untrue.
    pub(crate) const DECENT: Self =
        Self { errors: 2, nulls: 1, lags: 4, lies: 0, omissions: 0, stale: 0, hangs: 0, deaf: 10, long: 0 };

    /// This one, with so many faults of one kind in a hundred answers.
    pub(crate) fn with(mut self, fault: Fault, percent: u64) -> Self {
        match fault {
            Fault::Errors => self.errors = percent,
            Fault::Lags => self.lags = percent,
            Fault::Omissions => self.omissions = percent,
            Fault::Hangs => self.hangs = percent,
        }
        self
    }

    /// One of several temperaments. Omissions are in some only, so that the others prove exact rows.
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        let rough = if rng.percent(25) { 3 } else { 1 };
        Self {
            errors: rng.below(4) * rough,
            nulls: rng.below(4) * rough,
            lags: rng.below(10) * rough,
            lies: rng.below(4) * rough,
            omissions: if rng.percent(20) { rng.between(1, 10) } else { 0 },
            stale: if rng.percent(40) { 100 } else { 0 },
            hangs: rng.below(3),
            deaf: rng.below(60),
            long: if rng.percent(20) { rng.between(5, 40) } else { 0 },
        }
    }

    /// The same, with receipts that are all read.
    pub(crate) fn brief(self) -> Self {
        Self { long: 0, ..self }
    }

    fn is_long(&self, transaction: B256) -> bool {
        u64::from(transaction[31]) * 100 < self.long * 256
    }
}

/// What is done with a question.
pub(crate) enum Fate {
    Answered(Answer),
    /// Never, and the asker is not told.
    Hung,
}

/// Decides what a question gets. `ticks` keeps the other ends of the subscriptions that are given.
pub(crate) fn answer(
    mood: &Mood,
    rng: &mut Rng,
    world: &World,
    ask: Ask,
    ticks: &mut Vec<mpsc::UnboundedSender<()>>,
) -> Fate {
    if rng.percent(mood.hangs) {
        return Fate::Hung;
    }
    if rng.percent(mood.errors) {
        return Fate::Answered(Err(error(rng, ask)));
    }
    if let Ask::Receipt(transaction) = ask
        && mood.is_long(transaction)
    {
        return Fate::Answered(Err(NodeError::AnswerTooLong { limit: 1 << 20, announced: None }));
    }
    let mut tip = world.head().hash;
    if rng.percent(mood.lags) {
        let lag = if rng.percent(85) { rng.between(1, 3) } else { rng.between(4, 60) };
        let number = world.head().number.saturating_sub(lag);
        tip = world.at(tip, number).map_or(tip, |block| block.header.hash);
    }
    let mut said = truth(rng, world, tip, ask, ticks);
    if let (Said::Receipt(receipt @ None), Ask::Receipt(transaction)) = (&mut said, ask)
        && mood.stale > 0
    {
        // The same whenever it is asked for: nothing of it tells that its block lost.
        *receipt = world.lost_receipt(tip, transaction);
    }
    if rng.percent(mood.nulls) {
        match &mut said {
            Said::Header(header) | Said::Logs(header, _) => *header = None,
            Said::Receipt(receipt) => *receipt = None,
            Said::Merging(merging) => *merging = None,
            Said::ChainId(_) | Said::Heads(_) => {}
        }
    }
    if let Said::Logs(_, logs) = &mut said {
        mix_transactions(rng, logs);
        if rng.percent(mood.omissions) {
            omit(rng, logs);
        }
    }
    if rng.percent(mood.lies)
        && let Some(error) = lie(rng, world, &mut said)
    {
        return Fate::Answered(Err(error));
    }
    if let (Said::Heads(subscription), true) = (&mut said, rng.percent(mood.deaf)) {
        if rng.percent(50) {
            *subscription = None;
        } else {
            // Ends at once.
            ticks.pop();
        }
    }
    Fate::Answered(Ok(said))
}

/// What a node says that stands at `tip`.
fn truth(
    rng: &mut Rng,
    world: &World,
    tip: B256,
    ask: Ask,
    ticks: &mut Vec<mpsc::UnboundedSender<()>>,
) -> Said {
    let top = world.header(tip).number;
    let known = |hash: B256| world.get(hash).filter(|block| block.header.number <= top);
    match ask {
        Ask::ChainId => Said::ChainId(CHAIN.get()),
        Ask::Header(At::Latest) => Said::Header(Some(world.header(tip))),
        Ask::Header(At::Number(number)) => Said::Header(world.at(tip, number).map(|block| block.header)),
        Ask::Header(At::Hash(hash)) => {
            // Some nodes forget a block that left the chain, others keep it.
            let kept = known(hash).filter(|_| world.leads_to(hash, tip) || !rng.percent(20));
            Said::Header(kept.map(|block| block.header))
        }
        Ask::BlockLogs(hash) => match known(hash) {
            Some(block) => Said::Logs(Some(block.header), indexed_logs(block)),
            None => Said::Logs(None, Vec::new()),
        },
        Ask::Logs { from, to } => {
            let mut logs: Vec<IndexedLog> = world
                .chain(tip)
                .filter(|block| (from..=to).contains(&block.header.number))
                .flat_map(|block| timed(rng, block))
                .collect();
            // Numbered by their place in the answer, as Citrate's node does.
            logs.sort_by_key(|indexed| (indexed.log.block_number, indexed.index));
            logs.iter_mut().enumerate().for_each(|(index, indexed)| indexed.index = index as u64);
            Said::Logs(world.at(tip, to).map(|block| block.header), logs)
        }
        Ask::Receipt(transaction) => Said::Receipt(receipt(world, tip, transaction)),
        Ask::Merging(at) => {
            let block = match at {
                At::Latest => world.get(tip),
                At::Number(number) => world.at(tip, number),
                At::Hash(hash) => known(hash),
            };
            Said::Merging(block.map(|block| Merging { header: block.header, merged: block.merges() }))
        }
        Ask::Heads => {
            let (tick, stream) = mpsc::unbounded();
            ticks.push(tick);
            Said::Heads(Some(stream))
        }
    }
}

/// The receipt of a transaction in a block of the chain to `tip`, or of one merged beside it.
fn receipt(world: &World, tip: B256, transaction: B256) -> Option<Receipt> {
    world.chain(tip).find_map(|block| world.receipt_in(block, transaction))
}

/// Some nodes give a log its block's time and some do not.
fn timed(rng: &mut Rng, block: &Block) -> Vec<IndexedLog> {
    let given = rng.percent(50).then_some(block.header.timestamp);
    let mut logs = indexed_logs(block);
    logs.iter_mut().for_each(|indexed| indexed.log.block_timestamp = given);
    logs
}

/// Gives a block's transactions in any order, each with its logs in theirs. The indexes follow the new order.
fn mix_transactions(rng: &mut Rng, logs: &mut [IndexedLog]) {
    if !rng.percent(20) {
        return;
    }
    let mut order: Vec<B256> = logs.iter().map(|indexed| indexed.log.transaction).collect();
    order.dedup();
    rng.shuffle(&mut order);
    let place = |indexed: &IndexedLog| order.iter().position(|hash| *hash == indexed.log.transaction);
    logs.sort_by_key(|indexed| (indexed.log.block_number, place(indexed), indexed.index));
    logs.iter_mut().enumerate().for_each(|(index, indexed)| indexed.index = index as u64);
}

/// Leaves logs out, from the end as a cut answer does, or of one block.
fn omit(rng: &mut Rng, logs: &mut Vec<IndexedLog>) {
    let Some(victim) = rng.pick(logs) else { return };
    if rng.percent(50) {
        logs.truncate(rng.below(logs.len() as u64) as usize);
    } else {
        logs.retain(|indexed| indexed.log.block_hash != victim.log.block_hash);
    }
}

/// An answer to another question. Most is caught where it arrives; what this returns is what is caught before.
fn lie(rng: &mut Rng, world: &World, said: &mut Said) -> Option<NodeError> {
    let other = world.header(world.genesis());
    match said {
        // A head is any block: as a lie it is a lagging node.
        Said::Header(Some(header)) if header.number != world.head().number => *header = other,
        Said::Merging(Some(block)) => block.header = other,
        Said::Header(_) | Said::ChainId(_) | Said::Heads(_) | Said::Receipt(_) | Said::Merging(None) => {
            return Some(lied("nothing that fits"));
        }
        Said::Logs(header, logs) => match rng.below(3) {
            0 => *header = Some(other),
            1 if !logs.is_empty() => {
                let twice = logs[0].clone();
                logs.push(twice);
            }
            _ => {
                let Some(first) = logs.first_mut() else { return Some(lied("nothing that fits")) };
                first.log.block_hash = rng.hash();
                // Where nobody can hold the hash against anything, a node that invents it is believed.
                return Some(lied("a log of a block that is not the chain's"));
            }
        },
    }
    None
}

fn error(rng: &mut Rng, ask: Ask) -> NodeError {
    match rng.below(9) {
        0 => unreachable("connection refused"),
        1 => NodeError::Timeout { node: "http://node".into(), after: Duration::from_secs(10) },
        2 => NodeError::RateLimited { retry_after: None },
        3 => NodeError::RateLimited { retry_after: Some(Duration::from_secs(rng.below(8))) },
        4 => NodeError::Malformed { what: "a page of HTML".into() },
        5 => NodeError::Status { node: "http://node".into(), status: 503 },
        6 => NodeError::Rpc { code: -32000, message: "header not found".into() },
        7 => match ask {
            Ask::Logs { from, to } if to > from => {
                NodeError::RangeTooLarge { blocks: to - from + 1, limit: None }
            }
            _ => NodeError::Behind,
        },
        _ => lied("something else"),
    }
}
