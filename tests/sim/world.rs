//! The chain itself: every block that ever was, and which of them is the head.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::{Address, B256, Keccak256, LogData, U256};
use alloy_sol_types::SolEvent;
use salt402_chain::{Header, Log, Receipt};
use salt402_protocol::contracts::ISaltPay;
use salt402_protocol::foreign::IToken;
use salt402_protocol::{Amount, Asset, ChainId, ChannelChange, Payment, PaymentId, Source, SourceKind};
use salt402_store::{PlacedPayment, Refunded};

/// The chain that is followed.
pub(crate) const CHAIN: ChainId = ChainId::CITRATE;
/// Its payment contract.
pub(crate) const CONTRACT: Address = Address::repeat_byte(0x5a);

/// Another payment contract on it, which is followed at times and at times not.
pub(crate) const SECOND: Address = Address::repeat_byte(0x5b);
/// Its channels.
pub(crate) const CHANNELS: Address = Address::repeat_byte(0x5c);
/// A token with EIP-3009 on it.
pub(crate) const TOKEN: Address = Address::repeat_byte(0x5d);
/// Whose payments in the token count.
pub(crate) const PAYEE: Address = Address::repeat_byte(0x5e);

/// The payment contract as a follower follows it.
pub(crate) fn source(start_block: u64) -> Source {
    Source { contract: CONTRACT, kind: SourceKind::SaltPay, start_block }
}

/// The other one.
pub(crate) fn second(start_block: u64) -> Source {
    Source { contract: SECOND, ..source(start_block) }
}

/// Everything that is followed in a history.
pub(crate) fn sources(start_block: u64) -> Vec<Source> {
    vec![
        source(start_block),
        Source { contract: CHANNELS, kind: SourceKind::SaltChannels, start_block },
        Source { contract: TOKEN, kind: SourceKind::Eip3009Token { payees: vec![PAYEE] }, start_block },
    ]
}

/// What a used authorization moved, by the transfer that follows it.
#[derive(Clone, Copy)]
pub(crate) struct Authorization {
    pub(crate) from: Address,
    pub(crate) to: Address,
    pub(crate) value: U256,
    pub(crate) nonce: B256,
}

/// One event as a transaction emits it.
#[derive(Clone, Default)]
pub(crate) struct Event {
    pub(crate) contract: Address,
    pub(crate) content: LogData,
    /// What it says, if it is a payment.
    pub(crate) payment: Option<ISaltPay::Payment>,
    /// What it says, if it is the use of an authorization.
    pub(crate) authorization: Option<Authorization>,
    /// What it says, if it is of a channel.
    pub(crate) channel: Option<(B256, ChannelChange)>,
    /// What it says, if money was given back.
    pub(crate) refund: Option<Refunded>,
}

impl Event {
    /// Whether it is found beside the chain only when somebody looks, and is not looked for here.
    pub(crate) fn is_no_payment(&self) -> bool {
        self.channel.is_some() || self.refund.is_some()
    }

    /// An amount that was given back.
    pub(crate) fn refund(of: Refunded, amount: U256) -> Self {
        let refund = ISaltPay::Refund {
            paymentReference: of.reference,
            payee: of.payee,
            payer: of.payer,
            asset: of.asset.address(),
            amount,
        };
        let content = refund.encode_log_data();
        Self { contract: CONTRACT, content, refund: Some(of), ..Self::default() }
    }

    pub(crate) fn payment(payment: ISaltPay::Payment) -> Self {
        let content = payment.encode_log_data();
        Self { contract: CONTRACT, content, payment: Some(payment), ..Self::default() }
    }

    /// The same by the other contract.
    pub(crate) fn of_second(self) -> Self {
        Self { contract: SECOND, ..self }
    }

    /// The two events of a used authorization.
    pub(crate) fn authorization(token: Address, used: Authorization) -> [Self; 2] {
        let Authorization { from, to, value, nonce } = used;
        let content = IToken::AuthorizationUsed { authorizer: from, nonce }.encode_log_data();
        let transfer = IToken::Transfer { from, to, value }.encode_log_data();
        [
            Self { contract: token, content, authorization: Some(used), ..Self::default() },
            Self { contract: token, content: transfer, ..Self::default() },
        ]
    }

    /// The payment that it is, but for its name, if it is one.
    fn paid(&self, transaction: B256) -> Option<Payment> {
        let blank = |contract, reference, payer, payee, asset, amount| Payment {
            id: PaymentId(B256::ZERO),
            chain: CHAIN,
            contract,
            transaction,
            reference,
            payer,
            payee,
            asset,
            amount: Amount(amount),
        };
        if let (CONTRACT | SECOND, Some(p)) = (self.contract, &self.payment) {
            let asset = Asset::from_address(p.asset);
            return Some(blank(self.contract, p.paymentReference, p.payer, p.payee, asset, p.amount));
        }
        let used = self.authorization.filter(|used| self.contract == TOKEN && used.to == PAYEE)?;
        Some(blank(TOKEN, used.nonce, used.from, used.to, Asset::Token(TOKEN), used.value))
    }
}

/// A transaction in a block. What it emits may differ from block to block, as execution does.
#[derive(Clone)]
pub(crate) struct Inclusion {
    pub(crate) transaction: B256,
    pub(crate) events: Vec<Event>,
    /// The names of its payments, in the order of their events: the same in every block.
    pub(crate) names: Vec<PaymentId>,
}

impl Inclusion {
    pub(crate) fn new(transaction: B256, events: Vec<Event>) -> Self {
        let mut seen: Vec<(Address, &LogData)> = Vec::new();
        let mut names = Vec::new();
        for event in events.iter().filter(|event| event.paid(transaction).is_some()) {
            if let Some(used) = event.authorization {
                names.push(signed(used));
                continue;
            }
            let log = (event.contract, &event.content);
            let equal_before = seen.iter().filter(|before| **before == log).count();
            seen.push(log);
            names.push(identity(event.contract, transaction, &event.content, equal_before as u32));
        }
        Self { transaction, events, names }
    }
}

impl Inclusion {
    /// One whose events are all payments, and no two of them equal: what is told apart needs no comparing.
    pub(crate) fn distinct(transaction: B256, events: Vec<Event>) -> Self {
        let names =
            events.iter().map(|event| identity(event.contract, transaction, &event.content, 0)).collect();
        Self { transaction, events, names }
    }
}

pub(crate) struct Block {
    pub(crate) header: Header,
    pub(crate) inclusions: Vec<Inclusion>,
    /// Transactions of blocks merged beside this one: they have receipts in a block of their own, and are in no answer
    /// about logs.
    pub(crate) merged: Vec<(B256, Inclusion)>,
    /// The payments in it: what an index must hold of it, computed from the definition and not by the code under test.
    pub(crate) payments: Vec<PlacedPayment>,
}

impl Block {
    /// The blocks that this one merged.
    pub(crate) fn merges(&self) -> Vec<B256> {
        let mut hashes: Vec<B256> = self.merged.iter().map(|(hash, _)| *hash).collect();
        hashes.dedup();
        hashes
    }
}

/// Every block by its hash. Blocks are only ever added.
pub(crate) struct World {
    blocks: BTreeMap<B256, Arc<Block>>,
    genesis: B256,
    head: B256,
    /// The greatest height that a head ever had.
    highest: u64,
}

impl World {
    pub(crate) fn new(genesis: B256, timestamp: u64) -> Self {
        let header = Header { number: 0, hash: genesis, parent_hash: B256::ZERO, timestamp };
        let block = Block { header, inclusions: Vec::new(), merged: Vec::new(), payments: Vec::new() };
        Self { blocks: [(genesis, Arc::new(block))].into(), genesis, head: genesis, highest: 0 }
    }

    pub(crate) fn genesis(&self) -> B256 {
        self.genesis
    }

    pub(crate) fn head(&self) -> Header {
        self.header(self.head)
    }

    pub(crate) fn highest(&self) -> u64 {
        self.highest
    }

    pub(crate) fn get(&self, hash: B256) -> Option<&Arc<Block>> {
        self.blocks.get(&hash)
    }

    /// The header of a block that exists.
    pub(crate) fn header(&self, hash: B256) -> Header {
        self.blocks[&hash].header
    }

    /// The block at a height of the chain that ends in `tip`; `None` above it.
    pub(crate) fn at(&self, tip: B256, number: u64) -> Option<&Arc<Block>> {
        self.chain(tip).find(|block| block.header.number <= number).filter(|b| b.header.number == number)
    }

    /// The chain that ends in `tip`, from there down to block 0.
    pub(crate) fn chain(&self, tip: B256) -> impl Iterator<Item = &Arc<Block>> {
        let mut next = Some(tip);
        std::iter::from_fn(move || {
            let block = self.blocks.get(&next?)?;
            next = (block.header.number > 0).then_some(block.header.parent_hash);
            Some(block)
        })
    }

    /// The transactions that a chain merged, with those of the blocks below a merged one that are beside the chain too.
    pub(crate) fn merged_into(&self, tip: B256) -> std::collections::BTreeSet<B256> {
        let mut transactions = std::collections::BTreeSet::new();
        for (side, beside) in self.chain(tip).flat_map(|block| &block.merged) {
            transactions.insert(beside.transaction);
            if self.get(*side).is_some() {
                let below = self.chain(*side).take_while(|old| !self.leads_to(old.header.hash, tip));
                transactions.extend(below.flat_map(|old| &old.inclusions).map(|one| one.transaction));
            }
        }
        transactions
    }

    /// Whether `below` is `tip` or on the chain that leads to it.
    pub(crate) fn leads_to(&self, below: B256, tip: B256) -> bool {
        self.at(tip, self.header(below).number).is_some_and(|block| block.header.hash == below)
    }

    /// The height up to which two chains are one.
    pub(crate) fn fork_height(&self, one: B256, other: B256) -> u64 {
        let mut height = self.header(one).number.min(self.header(other).number);
        let below = |tip| self.at(tip, height).map_or(self.genesis, |block| block.header.hash);
        let (mut a, mut b) = (below(one), below(other));
        while a != b {
            (a, b) = (self.header(a).parent_hash, self.header(b).parent_hash);
            height -= 1;
        }
        height
    }

    /// Adds a block; the head stays.
    pub(crate) fn add(
        &mut self,
        hash: B256,
        parent: B256,
        timestamp: u64,
        inclusions: Vec<Inclusion>,
        merged: Vec<(B256, Inclusion)>,
    ) -> B256 {
        let header = Header { number: self.header(parent).number + 1, hash, parent_hash: parent, timestamp };
        let payments = inclusions.iter().flat_map(|inclusion| payments(&header, inclusion)).collect();
        let block = Block { header, inclusions, merged, payments };
        assert!(self.blocks.insert(hash, Arc::new(block)).is_none(), "two blocks with one hash");
        hash
    }

    /// The receipt of a transaction that is in a block, or in one that it merged. A merged block that was of the selected
    /// chain once has the height that it had there.
    pub(crate) fn receipt_in(&self, block: &Block, transaction: B256) -> Option<Receipt> {
        let own = block.inclusions.iter().map(|inclusion| (block.header.hash, inclusion));
        let beside = block.merged.iter().map(|(hash, inclusion)| (*hash, inclusion));
        let (block_hash, found) =
            own.chain(beside).find(|(_, inclusion)| inclusion.transaction == transaction)?;
        let block_number = self.get(block_hash).map_or(block.header.number, |block| block.header.number);
        let log = |event: &Event| Log {
            contract: event.contract,
            content: event.content.clone(),
            transaction,
            block_number,
            block_hash,
            block_timestamp: None,
        };
        Some(Receipt {
            transaction,
            block_number,
            block_hash,
            success: !found.events.is_empty(),
            from: Address::ZERO,
            to: None,
            logs: found.events.iter().map(log).collect(),
        })
    }

    /// The receipt of a transaction in a block that is not on the chain to `tip`, and not above it.
    pub(crate) fn lost_receipt(&self, tip: B256, transaction: B256) -> Option<Receipt> {
        let top = self.header(tip).number;
        let known = self.blocks.values().filter(|block| block.header.number <= top);
        known.into_iter().find_map(|block| self.receipt_in(block, transaction))
    }

    pub(crate) fn set_head(&mut self, head: B256) {
        self.highest = self.highest.max(self.header(head).number);
        self.head = head;
    }
}

/// The payments of one transaction in one block.
pub(crate) fn payments(header: &Header, inclusion: &Inclusion) -> Vec<PlacedPayment> {
    let ours = inclusion.events.iter().filter_map(|event| event.paid(inclusion.transaction));
    ours.zip(&inclusion.names)
        .enumerate()
        .map(|(position, (payment, name))| PlacedPayment {
            payment: Payment { id: *name, ..payment },
            position: position as u32,
            block_number: header.number,
            block_hash: header.hash,
            block_timestamp: header.timestamp,
        })
        .collect()
}

/// What happened to channels in a block.
pub(crate) fn channel_events(block: &Block) -> impl Iterator<Item = (u64, B256, ChannelChange)> {
    let events = block.inclusions.iter().flat_map(|inclusion| &inclusion.events);
    let events = events.filter(|event| event.contract == CHANNELS).filter_map(|event| event.channel);
    events.map(|(channel, change)| (block.header.number, channel, change))
}

/// The transactions in which money was given back in a block, with the block, once for each event.
pub(crate) fn refunds(block: &Block, of: Refunded) -> Vec<(B256, B256)> {
    let mut found = Vec::new();
    for inclusion in &block.inclusions {
        let events =
            inclusion.events.iter().filter(|event| event.contract == CONTRACT && event.refund == Some(of));
        found.extend(events.map(|_| (inclusion.transaction, block.header.hash)));
    }
    found
}

/// The name of a payment by an authorization, from its definition.
fn signed(used: Authorization) -> PaymentId {
    let mut name = Keccak256::new();
    name.update(b"salt402-eip3009-v1");
    name.update(CHAIN.get().to_be_bytes());
    name.update(TOKEN);
    name.update(used.from);
    name.update(used.nonce);
    PaymentId(name.finalize())
}

/// A payment's name, from its definition.
fn identity(contract: Address, transaction: B256, content: &LogData, equal_before: u32) -> PaymentId {
    let mut log = Keccak256::new();
    content.topics().iter().for_each(|topic| log.update(topic));
    log.update(&content.data);
    let mut name = Keccak256::new();
    name.update(b"salt402-payment-v1");
    name.update(CHAIN.get().to_be_bytes());
    name.update(contract);
    name.update(transaction);
    name.update(log.finalize());
    name.update(equal_before.to_be_bytes());
    PaymentId(name.finalize())
}

/// A payment of one unit, told apart by its reference.
pub(crate) fn simple_payment(reference: B256) -> ISaltPay::Payment {
    ISaltPay::Payment {
        paymentReference: reference,
        payer: Address::repeat_byte(1),
        payee: Address::repeat_byte(2),
        asset: Address::ZERO,
        amount: U256::ONE,
    }
}
