//! Nodes that are worse than others: each is asked beside good ones, about the same chain.

use alloy_primitives::B256;
use futures::channel::mpsc;
use salt402_chain::{At, Header, Log};

use crate::faults::{self, Fate, Fault, Mood};
use crate::gate::{Ask, Said};
use crate::node::indexed_logs;
use crate::rng::Rng;
use crate::world::World;

/// What is wrong with a node, beside its mood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Good,
    /// Fails, hangs, lags or leaves logs out, always or mostly.
    Poor,
    /// Is on a chain with another id.
    OtherId,
    /// Shows another chain from this height on, with payments of its own: from 0, another one with the same id.
    OtherChain(u64),
    /// Makes payments up in blocks that are real.
    Inventor,
}

/// A node.
#[derive(Clone, Debug)]
pub(crate) struct Character {
    kind: Kind,
    pub(crate) mood: Mood,
}

/// Two or three nodes, and how many must agree. Where two must, two are good; else one is, and none makes up what it
/// takes two to find out.
pub(crate) fn characters(rng: &mut Rng) -> (Vec<Character>, usize) {
    let agree = 1 + rng.below(2) as usize;
    let mut nodes: Vec<Character> = (0..agree).map(|_| Character::honest(Mood::DECENT)).collect();
    let worse = if agree == 2 { rng.below(2) } else { rng.between(1, 2) };
    for _ in 0..worse {
        nodes.push(Character::worse(rng, agree));
    }
    rng.shuffle(&mut nodes);
    (nodes, agree)
}

impl Character {
    pub(crate) fn honest(mood: Mood) -> Self {
        Self { kind: Kind::Good, mood }
    }

    pub(crate) fn is_good(&self) -> bool {
        self.kind == Kind::Good
    }

    fn worse(rng: &mut Rng, agree: usize) -> Self {
        let poor = |fault, percent| Self { kind: Kind::Poor, mood: Mood::DECENT.with(fault, percent) };
        let of = |kind| Self { kind, mood: Mood::DECENT };
        match rng.below(if agree == 2 { 8 } else { 6 }) {
            0 => poor(Fault::Errors, 100),
            1 => poor(Fault::Hangs, rng.between(50, 100)),
            2 => poor(Fault::Lags, 90),
            3 => poor(Fault::Omissions, 60),
            4 => of(Kind::OtherId),
            5 => of(Kind::OtherChain(0)),
            6 => of(Kind::OtherChain(rng.between(1, 30))),
            _ => of(Kind::Inventor),
        }
    }

    pub(crate) fn answer(
        &self,
        rng: &mut Rng,
        world: &World,
        ask: Ask,
        ticks: &mut Vec<mpsc::UnboundedSender<()>>,
    ) -> Fate {
        match self.kind {
            Kind::Good | Kind::Poor => faults::answer(&self.mood, rng, world, ask, ticks),
            Kind::OtherId => match faults::answer(&self.mood, rng, world, ask, ticks) {
                Fate::Answered(Ok(Said::ChainId(id))) => Fate::Answered(Ok(Said::ChainId(id + 1))),
                fate => fate,
            },
            Kind::OtherChain(from) => {
                let fate = faults::answer(&self.mood, rng, world, unmasked(ask, world, from), ticks);
                let Fate::Answered(Ok(mut said)) = fate else { return fate };
                disguise(&mut said, from);
                Fate::Answered(Ok(said))
            }
            Kind::Inventor => {
                let fate = faults::answer(&self.mood, rng, world, ask, ticks);
                let Fate::Answered(Ok(mut said)) = fate else { return fate };
                invent(rng, world, &mut said);
                Fate::Answered(Ok(said))
            }
        }
    }
}

fn mask(hash: B256) -> B256 {
    B256::from(hash.0.map(|byte| byte ^ 0x5a))
}

/// The question about a block of the other chain as one about the block in its place; a question about a block that is
/// replaced there, as one about no block at all.
fn unmasked(ask: Ask, world: &World, from: u64) -> Ask {
    let real = |hash: B256| {
        let is_replaced = |hash: B256| world.get(hash).is_some_and(|block| block.header.number >= from);
        if is_replaced(mask(hash)) {
            mask(hash)
        } else if is_replaced(hash) {
            B256::ZERO
        } else {
            hash
        }
    };
    match ask {
        Ask::Header(At::Hash(hash)) => Ask::Header(At::Hash(real(hash))),
        Ask::BlockLogs(hash) => Ask::BlockLogs(real(hash)),
        other => other,
    }
}

fn disguise(said: &mut Said, from: u64) {
    let header = |header: &mut Header| {
        if header.number > from {
            header.parent_hash = mask(header.parent_hash);
        }
        if header.number >= from {
            header.hash = mask(header.hash);
        }
    };
    let log = |log: &mut Log| {
        if log.block_number >= from {
            (log.block_hash, log.transaction) = (mask(log.block_hash), mask(log.transaction));
        }
    };
    match said {
        Said::Header(found) => found.iter_mut().for_each(header),
        Said::Logs(found, logs) => {
            found.iter_mut().for_each(header);
            logs.iter_mut().for_each(|indexed| log(&mut indexed.log));
        }
        // A transaction that the other chain does not have has no receipt there.
        Said::Receipt(receipt) if receipt.as_ref().is_some_and(|found| found.block_number >= from) => {
            *receipt = None;
        }
        Said::Merging(Some(block)) => header(&mut block.header),
        Said::ChainId(_) | Said::Heads(_) | Said::Receipt(_) | Said::Merging(None) => {}
    }
}

/// Adds a payment that nobody made to an answer about logs.
fn invent(rng: &mut Rng, world: &World, said: &mut Said) {
    let Said::Logs(Some(header), logs) = said else { return };
    let Some(block) = world.get(header.hash) else { return };
    let model = logs.first().cloned().or_else(|| indexed_logs(block).first().cloned());
    let Some(mut made_up) = model.filter(|_| rng.percent(70)) else { return };
    made_up.index = logs.iter().map(|indexed| indexed.index + 1).max().unwrap_or(0);
    made_up.log.transaction = rng.hash();
    (made_up.log.block_number, made_up.log.block_hash) = (block.header.number, block.header.hash);
    logs.push(made_up);
}
