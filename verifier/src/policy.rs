//! What the operator accepts.

use std::time::Duration;

use alloy_primitives::Address;
use salt402_protocol::quote::QuoteClock;
use salt402_protocol::{Amount, Asset, ChainId};

/// What holds on every chain.
#[derive(Clone, Debug)]
pub struct Policy {
    /// How long quotes live.
    pub clock: QuoteClock,
    /// Whether a transaction hash alone is a proof. The quote of such a proof is derived from the request, so that
    /// only an identical request can use the payment.
    pub bare_hashes: bool,
    /// The oldest payment that is accepted, by its block's time.
    pub max_age: Duration,
    /// By how much the chain's clock may differ from ours.
    pub clock_skew: Duration,
    /// The longest that a request may wait for a payment.
    pub max_wait: Duration,
    /// How many requests may wait at once; further ones are answered at once with what is known.
    pub max_waiting: usize,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            clock: QuoteClock { lifetime: 300, window: 60 },
            bare_hashes: true,
            max_age: Duration::from_secs(24 * 3600),
            clock_skew: Duration::from_secs(30),
            max_wait: Duration::from_secs(30),
            max_waiting: 4096,
        }
    }
}

/// Amounts from which a payment must be deeper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Depth {
    /// Of which asset.
    pub asset: Asset,
    /// The least amount that this is for, in base units.
    pub from: Amount,
    /// Blocks that must contain or follow the payment.
    pub confirmations: u64,
}

impl ChainPolicy {
    /// Blocks that must contain or follow a payment of so much; at least 1.
    pub fn confirmations_for(&self, asset: Asset, amount: Amount) -> u64 {
        let deeper = self.depths.iter().filter(|depth| depth.asset == asset && amount >= depth.from);
        deeper.map(|depth| depth.confirmations).fold(self.confirmations.max(1), u64::max)
    }
}

/// What holds on one chain.
#[derive(Clone, Debug)]
pub struct ChainPolicy {
    /// The chain.
    pub chain: ChainId,
    /// Its name, for people.
    pub network: String,
    /// The payment contract whose events count.
    pub contract: Address,
    /// Blocks that must contain or follow a payment: 1 is its own block. Depth, because tags such as `finalized` mean
    /// nothing on some chains.
    pub confirmations: u64,
    /// More confirmations for larger amounts; the largest number that applies counts.
    pub depths: Vec<Depth>,
    /// The native coin's symbol, for people.
    pub symbol: String,
    /// The native coin's decimal places, for people.
    pub decimals: u8,
    /// The time from one block to the next, for advice on when to ask again.
    pub block_time: Duration,
    /// How long the index may be without word from the head before it is called not ready.
    pub patience: Duration,
}
