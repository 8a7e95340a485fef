//! What payees gave back, and what is on its way.

use salt402_protocol::{Address, Amount, Asset, B256, ChainId, Payment};

/// What refunds and payments have in common: a refund belongs to the payments with the same. Of a channel, what its payee gives
/// back belongs to the channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Refunded {
    /// The chain.
    pub chain: ChainId,
    /// The reference of the payment; with `channels`, the channel.
    pub reference: B256,
    /// The `SaltChannels` of the channel. `None`: payments.
    pub channels: Option<Address>,
    /// Who paid, and gets it back.
    pub payer: Address,
    /// Who was paid, and gives it back.
    pub payee: Address,
    /// In what.
    pub asset: Asset,
}

impl Refunded {
    /// What refunds of a payment belong to.
    pub fn of(payment: &Payment) -> Self {
        let Payment { chain, reference, payer, payee, asset, .. } = *payment;
        Self { chain, reference, channels: None, payer, payee, asset }
    }
}

/// A refund as the index knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexedRefund {
    /// Its name.
    pub id: B256,
    /// The contract that it went through.
    pub contract: Address,
    /// Its transaction.
    pub transaction: B256,
    /// How much, in base units.
    pub amount: Amount,
    /// The height of its block.
    pub block_number: u64,
    /// The hash of its block.
    pub block_hash: B256,
    /// The time of its block, in seconds since 1970 UTC.
    pub block_timestamp: u64,
    /// Whether its block is on the chain.
    pub canonical: bool,
}

/// What became of a refund that this server's operator sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefundState {
    /// It may have been sent, and is in no block that is known.
    Open,
    /// It was mined and moved the money.
    Mined,
    /// It moved nothing and never will: it reverted, or another transaction used its nonce for good.
    Void,
}

impl RefundState {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Mined => "mined",
            Self::Void => "void",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        [Self::Open, Self::Mined, Self::Void].into_iter().find(|state| state.name() == name)
    }
}

/// A refund that this server's operator sends. It is on disk before it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefundOrder {
    /// What it belongs to.
    pub of: Refunded,
    /// The contract that it goes through.
    pub contract: Address,
    /// How much, in base units.
    pub amount: Amount,
    /// The hash of its transaction.
    pub transaction: B256,
    /// The nonce of its transaction.
    pub nonce: u64,
    /// The signed transaction (EIP-2718).
    pub raw: Vec<u8>,
    /// What became of it.
    pub state: RefundState,
    /// The head when another transaction with the same nonce was first seen.
    pub overtaken_at: Option<u64>,
    /// The height of the block that it was last known to be in.
    pub mined_in: Option<u64>,
}

/// All that is known of what was given back for a reference.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refunds {
    /// What the index has, in the order in which it came, but for what left the chain and is void.
    pub indexed: Vec<IndexedRefund>,
    /// What this server's operator sent, or is about to send.
    pub orders: Vec<RefundOrder>,
}

impl Refunds {
    /// How much is on the chain, in base units.
    pub fn on_chain(&self) -> Amount {
        sum(self.indexed.iter().filter(|refund| refund.canonical).map(|refund| refund.amount))
    }

    /// How much was given back or may be yet, in base units: on the chain, in blocks that left it, and sent.
    pub fn committed(&self) -> Amount {
        let mut seen: Vec<B256> = Vec::new();
        let indexed = self.indexed.iter().filter(|refund| {
            let first = refund.canonical
                || !(self.indexed.iter().any(|other| other.id == refund.id && other.canonical)
                    || seen.contains(&refund.id));
            seen.push(refund.id);
            first
        });
        let indexed = sum(indexed.map(|refund| refund.amount));
        let is_indexed =
            |order: &&RefundOrder| self.indexed.iter().any(|refund| refund.transaction == order.transaction);
        let orders = self.orders.iter().filter(|order| order.state != RefundState::Void);
        let sent = sum(orders.filter(|order| !is_indexed(order)).map(|order| order.amount));
        Amount(indexed.0.saturating_add(sent.0))
    }

    /// The one that is on its way, if any.
    pub fn open(&self) -> Option<&RefundOrder> {
        self.orders.iter().find(|order| order.state == RefundState::Open)
    }
}

fn sum(amounts: impl Iterator<Item = Amount>) -> Amount {
    Amount(amounts.fold(Amount::ZERO.0, |sum, amount| sum.saturating_add(amount.0)))
}

#[cfg(test)]
mod tests {
    use salt402_protocol::U256;

    use super::*;

    #[test]
    fn what_is_in_two_blocks_or_sent_and_indexed_counts_once() {
        let of = Refunded {
            chain: ChainId::CITRATE,
            reference: B256::repeat_byte(1),
            channels: None,
            payer: Address::repeat_byte(2),
            payee: Address::repeat_byte(3),
            asset: Asset::Native,
        };
        let indexed = |id: u8, transaction: u8, amount: u64, canonical| IndexedRefund {
            id: B256::repeat_byte(id),
            contract: Address::repeat_byte(4),
            transaction: B256::repeat_byte(transaction),
            amount: Amount(U256::from(amount)),
            block_number: 1,
            block_hash: B256::repeat_byte(5),
            block_timestamp: 1,
            canonical,
        };
        let order = |transaction: u8, amount: u64, state| RefundOrder {
            of,
            contract: Address::repeat_byte(4),
            amount: Amount(U256::from(amount)),
            transaction: B256::repeat_byte(transaction),
            nonce: 0,
            raw: Vec::new(),
            state,
            overtaken_at: None,
            mined_in: None,
        };
        let sums = |refunds: &Refunds| (refunds.on_chain().0.to::<u64>(), refunds.committed().0.to::<u64>());
        let mut refunds = Refunds {
            // One moved to another block, one left the chain and was in two blocks of it.
            indexed: vec![
                indexed(1, 1, 5, false),
                indexed(1, 1, 5, true),
                indexed(2, 2, 7, false),
                indexed(2, 2, 7, false),
            ],
            orders: vec![order(1, 5, RefundState::Mined)],
        };
        assert_eq!(sums(&refunds), (5, 12));
        refunds.orders.push(order(3, 11, RefundState::Open));
        refunds.orders.push(order(4, 100, RefundState::Void));
        assert_eq!(sums(&refunds), (5, 23));
        assert_eq!(refunds.open().unwrap().transaction, B256::repeat_byte(3));
    }
}
