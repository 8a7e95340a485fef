//! How a chain grows by chance: blocks, transactions that move, forks.

use alloy_primitives::{Address, B256, LogData, U256};
use alloy_sol_types::SolEvent;
use salt402_protocol::Asset;
use salt402_protocol::contracts::ISaltChannels as C;
use salt402_protocol::contracts::ISaltPay;
use salt402_protocol::log::{RawLog, decode};
use salt402_store::Refunded;

use crate::rng::Rng;
use crate::world::{
    Authorization, CHAIN, CHANNELS, CONTRACT, Event, Inclusion, PAYEE, TOKEN, World, sources,
};

/// Grows a world. Keeps what was sent, since a transaction that lost its block may find another.
pub(crate) struct Growth {
    sent: Vec<Inclusion>,
    /// Heads that were left, oldest first: where the chain may go back to.
    left: Vec<B256>,
    /// How far below the greatest height a fork may begin, and the chain may go back to what it had left. Deeper, a
    /// follower halts, as its own tests show.
    finality: u64,
}

impl Growth {
    pub(crate) fn new(finality: u64) -> Self {
        Self { sent: Vec::new(), left: Vec::new(), finality }
    }

    /// The transactions that were ever sent.
    pub(crate) fn transactions(&self) -> impl ExactSizeIterator<Item = B256> {
        self.sent.iter().map(|sent| sent.transaction)
    }

    pub(crate) fn mine(&mut self, world: &mut World, rng: &mut Rng, blocks: u64) {
        let mut tip = world.head().hash;
        for _ in 0..blocks {
            tip = self.block(world, rng, tip);
        }
        world.set_head(tip);
    }

    /// Replaces the newest blocks by others, more or fewer; or goes back to blocks that were left before. Returns how
    /// deep, and whether it is a way back.
    pub(crate) fn reorganize(&mut self, world: &mut World, rng: &mut Rng) -> Option<(u64, bool)> {
        let old = world.head();
        if rng.percent(50)
            && let Some(back) = self.way_back(world, rng)
        {
            self.leave(world, back);
            return Some((old.number - world.fork_height(old.hash, back), true));
        }
        let lowest = world.highest().saturating_sub(self.finality);
        let deepest = old.number.checked_sub(lowest).filter(|deepest| *deepest > 0)?;
        let depth = if rng.percent(70) { rng.between(1, deepest.min(3)) } else { rng.between(1, deepest) };
        let fork = old.number - depth;
        let mut tip = world.at(old.hash, fork)?.header.hash;
        for _ in 0..rng.between(1, depth + 2) {
            tip = self.block(world, rng, tip);
        }
        self.leave(world, tip);
        Some((depth, false))
    }

    fn leave(&mut self, world: &mut World, tip: B256) {
        self.left.push(world.head().hash);
        world.set_head(tip);
    }

    /// A head that was left, or a block below one, that the chain may go back to: no block of the present chain, and
    /// not from before what is final.
    fn way_back(&self, world: &World, rng: &mut Rng) -> Option<B256> {
        let head = world.head();
        let tip = rng.pick(&self.left[self.left.len().saturating_sub(4)..])?;
        let fork = world.fork_height(tip, head.hash);
        let top = world.header(tip).number;
        let number = rng.between(fork + 1, top.max(fork + 1));
        let shallow = fork >= world.highest().saturating_sub(self.finality) && fork < head.number;
        (shallow && number <= top).then(|| world.at(tip, number).map(|block| block.header.hash))?
    }

    fn block(&mut self, world: &mut World, rng: &mut Rng, parent: B256) -> B256 {
        let before = world.header(parent).timestamp;
        // Several blocks a second, and producers whose clocks differ.
        let timestamp = match rng.below(10) {
            0..6 => before,
            6..8 => before + 1,
            8 => before + 2,
            _ => before - 1,
        };
        let mut inclusions = Vec::new();
        let mut merged = Vec::new();
        for _ in 0..[0, 0, 1, 1, 2][rng.below(5) as usize] {
            let sent = match self.lost(world, rng, parent, &inclusions) {
                Some(sent) => sent,
                None => self.send(rng),
            };
            let inclusion = execute(rng, sent);
            // What happens to a channel or is given back beside the chain is found only when somebody looks.
            let others = inclusion.events.iter().any(Event::is_no_payment);
            if rng.percent(5) && !others {
                merged.push((rng.hash(), inclusion));
            } else {
                inclusions.push(inclusion);
            }
        }
        if rng.percent(10)
            && let Some(beside) = self.beside(world, rng, parent, &inclusions)
        {
            merged.extend(beside);
        }
        world.add(rng.hash(), parent, timestamp, inclusions, merged)
    }

    /// A block that lost and is merged after all, as far as its transactions are not on the chain already.
    fn beside(
        &self,
        world: &World,
        rng: &mut Rng,
        parent: B256,
        here: &[Inclusion],
    ) -> Option<Vec<(B256, Inclusion)>> {
        let left = rng.pick(&self.left[self.left.len().saturating_sub(4)..])?;
        let lost = world.get(left).filter(|lost| {
            lost.header.number <= world.header(parent).number && !world.leads_to(left, parent)
        })?;
        let free = |inclusion: &&Inclusion| {
            !inclusion.events.iter().any(Event::is_no_payment)
                && !here.iter().any(|own| own.transaction == inclusion.transaction)
                && !is_on(world, parent, inclusion.transaction, true)
        };
        Some(lost.inclusions.iter().filter(free).map(|inclusion| (left, inclusion.clone())).collect())
    }

    /// A transaction that is not on the chain to `parent`, if chance wants one.
    fn lost(&self, world: &World, rng: &mut Rng, parent: B256, here: &[Inclusion]) -> Option<Inclusion> {
        if !rng.percent(60) {
            return None;
        }
        // The newest are those that just lost their block.
        let recent = self.sent.len().saturating_sub(12);
        let sent = rng.pick(&self.sent[recent..])?;
        // What was merged may be mined again in a block of the selected chain: it counts there then.
        let elsewhere = here.iter().any(|inclusion| inclusion.transaction == sent.transaction)
            || is_on(world, parent, sent.transaction, rng.percent(70));
        (!elsewhere).then_some(sent)
    }

    fn send(&mut self, rng: &mut Rng) -> Inclusion {
        let mut events: Vec<Event> = Vec::new();
        for _ in 0..rng.between(1, 2) {
            let event = match rng.below(30) {
                0..8 if events.first().is_some_and(|first| first.authorization.is_none()) => {
                    events[0].clone()
                }
                8 | 9 => Event { contract: rng.address(), ..payment(rng) },
                10 => Event {
                    contract: CONTRACT,
                    content: LogData::new_unchecked(vec![rng.hash()], Vec::new().into()),
                    ..Event::default()
                },
                11 => undecodable(rng),
                20..24 => {
                    events.extend(Event::authorization(TOKEN, authorization(rng)));
                    continue;
                }
                24 => {
                    events.extend(Event::authorization(rng.address(), authorization(rng)));
                    continue;
                }
                12 | 13 => {
                    let of = refunded(rng.below(2) as u8);
                    Event::refund(of, U256::from(rng.between(1, 9)))
                }
                25..30 => channel_event(rng),
                _ => payment(rng),
            };
            events.push(event);
        }
        // A transaction pays through one of the two contracts.
        if rng.percent(25) {
            events = events.into_iter().map(Event::of_second).collect();
        }
        let sent = Inclusion::new(rng.hash(), events);
        self.sent.push(sent.clone());
        sent
    }
}

/// Whether a transaction is in a block of a chain, or, where that counts, in one that was merged.
fn is_on(world: &World, tip: B256, transaction: B256, merged: bool) -> bool {
    world.chain(tip).any(|block| {
        block.inclusions.iter().any(|inclusion| inclusion.transaction == transaction)
            || merged && block.merged.iter().any(|(_, inclusion)| inclusion.transaction == transaction)
    })
}

/// Most transactions do in every block what they do in the first; some revert there, some pay something else.
fn execute(rng: &mut Rng, sent: Inclusion) -> Inclusion {
    match rng.below(20) {
        0 => Inclusion::new(sent.transaction, Vec::new()),
        1 => Inclusion::new(sent.transaction, vec![payment(rng)]),
        _ => sent,
    }
}

fn payment(rng: &mut Rng) -> Event {
    Event::payment(ISaltPay::Payment {
        paymentReference: rng.hash(),
        payer: rng.address(),
        payee: rng.address(),
        asset: if rng.percent(50) { Address::ZERO } else { rng.address() },
        amount: U256::from_be_bytes(rng.hash().0),
    })
}

/// To the payee mostly, and to somebody else.
fn authorization(rng: &mut Rng) -> Authorization {
    let to = if rng.percent(75) { PAYEE } else { rng.address() };
    Authorization { from: rng.address(), to, value: U256::from(rng.between(1, 3)), nonce: rng.hash() }
}

/// Anything that can happen to one of two channels, whether or not the contract would let it.
pub(crate) fn channel_event(rng: &mut Rng) -> Event {
    let number = rng.below(2) as u8;
    let channel = channel(number);
    let (payer, payee) = (Address::repeat_byte(1), Address::repeat_byte(2));
    let units = U256::from(rng.between(1, 9));
    let content = match rng.below(10) {
        0..2 => C::ChannelOpened {
            channel,
            payer,
            payee,
            asset: Address::ZERO,
            signer: Address::ZERO,
            // An identifier has one descriptor.
            operator: if number == 0 { Address::ZERO } else { Address::repeat_byte(3) },
            exitDelay: 900,
            salt: B256::ZERO,
            deposit: units,
        }
        .encode_log_data(),
        2 => C::ChannelToppedUp { channel, payer, payee, amount: units, deposit: units }.encode_log_data(),
        3..5 => C::ChannelClaimed { channel, amount: units, claimed: units }.encode_log_data(),
        5 => C::ChannelExitRequested { channel, payer, payee, exitAt: units }.encode_log_data(),
        6 => C::ChannelExitCancelled { channel, payer, payee }.encode_log_data(),
        7 => C::ChannelRefunded { channel, payer, payee, amount: units }.encode_log_data(),
        8 => {
            C::OperatorSet { payee, operator: rng.address(), right: C::OperatorRight::All }.encode_log_data()
        }
        _ => C::ChannelClosed { channel, payer, payee, claimed: units, refund: units }.encode_log_data(),
    };
    let raw = RawLog { contract: CHANNELS, transaction: B256::ZERO, content: &content };
    let said = decode(CHAIN, &sources(0), [raw]).channels.remove(0);
    Event { contract: CHANNELS, content, channel: Some((said.channel, said.change)), ..Event::default() }
}

/// What is given back: one of two payments of before.
pub(crate) fn refunded(number: u8) -> Refunded {
    Refunded {
        chain: CHAIN,
        reference: B256::repeat_byte(0xd0 + number),
        channels: None,
        payer: Address::repeat_byte(1),
        payee: Address::repeat_byte(2),
        asset: Asset::Native,
    }
}

/// One of the channels that there are.
pub(crate) fn channel(number: u8) -> B256 {
    B256::repeat_byte(0xc0 + number)
}

/// The payment event's topics with half of its data.
fn undecodable(rng: &mut Rng) -> Event {
    let whole = payment(rng).content;
    let content = LogData::new_unchecked(whole.topics().to_vec(), whole.data.slice(..32));
    Event { contract: CONTRACT, content, ..Event::default() }
}
