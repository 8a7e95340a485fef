//! What the operator accepts.

use std::time::Duration;

use alloy_primitives::Address;
use salt402_protocol::quote::QuoteClock;
use salt402_protocol::{Amount, Asset, ChainId, Code, Problem};
use salt402_store::{ClaimLimits, DatabaseOrigin, ExposureLimit};

/// What holds on every chain.
#[derive(Clone, Debug)]
pub struct Policy {
    /// How long quotes live.
    pub clock: QuoteClock,
    /// The lives that quotes had before, and until when such quotes were given (seconds since 1970 UTC). Payments for
    /// them are still found.
    pub old_clocks: Vec<(QuoteClock, u64)>,
    /// Whether a transaction hash alone is a proof. The quote of such a proof is derived from the request, so that only
    /// an identical request can use the payment.
    pub bare_hashes: bool,
    /// The oldest payment that is accepted, by the time of its block.
    pub max_age: Duration,
    /// By how much the chain's clock may differ from ours.
    pub clock_skew: Duration,
    /// The longest that a request may wait for a payment.
    pub max_wait: Duration,
    /// How many requests may wait at once. Further ones are answered at once with what is known.
    pub max_waiting: usize,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            clock: QuoteClock::living(300),
            old_clocks: Vec::new(),
            bare_hashes: true,
            max_age: Duration::from_secs(24 * 3600),
            clock_skew: Duration::from_secs(30),
            max_wait: Duration::from_secs(30),
            max_waiting: 4096,
        }
    }
}

impl Policy {
    /// The same, with the origin of a database.
    pub(crate) fn with(self, making: DatabaseOrigin) -> Self {
        let DatabaseOrigin { mark, made_at, unmarked_until } = making;
        let of =
            |clock: QuoteClock| QuoteClock { database: Some(mark), since: made_at, unmarked_until, ..clock };
        let old_clocks = self.old_clocks.into_iter().map(|(clock, until)| (of(clock), until)).collect();
        Self { clock: of(self.clock), old_clocks, ..self }
    }

    /// The clocks of quotes that a payment mined at this time may have been made for.
    pub(crate) fn clocks_at(&self, mined_at: u64) -> impl Iterator<Item = &QuoteClock> {
        let skew = self.clock_skew.as_secs();
        let may = move |(clock, until): &&(QuoteClock, u64)| {
            let over = until.saturating_add(clock.lifetime).saturating_add(clock.window);
            mined_at <= over.saturating_add(skew)
        };
        std::iter::once(&self.clock).chain(self.old_clocks.iter().filter(may).map(|(clock, _)| clock))
    }
}

/// An amount from which on a payment must be deeper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Depth {
    /// Of which asset.
    pub asset: Asset,
    /// The smallest amount that this is for, in base units.
    pub from: Amount,
    /// How many blocks must contain or follow the payment.
    pub confirmations: u64,
}

/// The most that may be granted to one payer on payments that are not final.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExposureCap {
    /// In which asset.
    pub asset: Asset,
    /// How much, in base units.
    pub most: Amount,
}

/// An amount from which on a second node must show a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecondNode {
    /// Of which asset.
    pub asset: Asset,
    /// The smallest amount that this is for, in base units.
    pub from: Amount,
}

/// What is done with a payer's payments while a payment of that payer is lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AfterLoss {
    /// They count once they are final.
    #[default]
    RequireFinal,
    /// They do not count.
    Refuse,
    /// They count as usual.
    Ignore,
}

/// Which payments are accepted on a chain. An operator writes them as `[chains.NAME.policy]`. Amounts are in base units
/// and depths in blocks.
#[derive(Clone, Debug)]
pub struct PaymentRules {
    /// How many blocks must contain or follow a payment; 1 is its own block. A depth is used because tags such as
    /// `finalized` mean nothing on some chains.
    pub confirmations: u64,
    /// More confirmations for larger amounts. Of all that apply, the largest number counts.
    pub depths: Vec<Depth>,
    /// How many blocks must contain or follow a payment to make it final.
    pub final_at: u64,
    /// The oldest payment that is accepted on this chain. `None`: as everywhere.
    pub max_age: Option<Duration>,
    /// The accepted assets. `None`: any that a requirement asks for.
    pub assets: Option<Vec<Asset>>,
    /// The accepted payees. `None`: any that a requirement names.
    pub payees: Option<Vec<Address>>,
    /// How much may be granted to one payer before it is final, per asset. An asset that is not named has no limit.
    pub exposure: Vec<ExposureCap>,
    /// From which amount on a second node must show a payment, per asset. An asset that is not named needs none.
    pub second_node: Vec<SecondNode>,
    /// What is done with a payer's payments while a payment of that payer is lost.
    pub after_loss: AfterLoss,
}

impl PaymentRules {
    /// Rules with this many confirmations for any amount, and no other rule.
    pub fn new(confirmations: u64, final_at: u64) -> Self {
        Self {
            confirmations,
            depths: Vec::new(),
            final_at,
            max_age: None,
            assets: None,
            payees: None,
            exposure: Vec::new(),
            second_node: Vec::new(),
            after_loss: AfterLoss::default(),
        }
    }
}

impl ChainPolicy {
    /// Whether payments through a contract count for a quote that names `quoted`.
    pub fn counts(&self, contract: Address, quoted: Address) -> bool {
        contract == quoted || self.other_contracts.contains(&contract)
    }

    /// How many blocks must contain or follow a payment of this amount; at least 1.
    pub fn confirmations_for(&self, asset: Asset, amount: Amount) -> u64 {
        let deeper = self.rules.depths.iter().filter(|depth| depth.asset == asset && amount >= depth.from);
        deeper.map(|depth| depth.confirmations).fold(self.rules.confirmations.max(1), u64::max)
    }

    /// Whether a second node must show a payment of this amount before it is granted on.
    pub fn needs_second_node(&self, asset: Asset, amount: Amount) -> bool {
        self.rules.second_node.iter().any(|limit| limit.asset == asset && amount >= limit.from)
    }

    /// Whether there is a limit on what is not final.
    pub(crate) fn caps(&self) -> bool {
        !self.rules.exposure.is_empty()
    }

    /// Refuses an asset or a payee that is not on the operator's list.
    pub fn accepts(&self, asset: Asset, payee: Address) -> Result<(), Problem> {
        if self.rules.assets.as_ref().is_some_and(|assets| !assets.contains(&asset)) {
            let detail = format!("payments in {asset} on {} are not accepted here", self.chain);
            return Err(Problem::new(Code::AssetNotAccepted, detail));
        }
        if self.rules.payees.as_ref().is_some_and(|payees| !payees.contains(&payee)) {
            let detail = format!("payments to {payee} on {} are not accepted here", self.chain);
            return Err(Problem::new(Code::PayeeNotAccepted, detail));
        }
        Ok(())
    }

    /// What must be true of the payer of a payment in an asset.
    pub fn claim_limits(&self, asset: Asset) -> ClaimLimits {
        let after_loss = match self.rules.after_loss {
            AfterLoss::RequireFinal => self.rules.final_at,
            AfterLoss::Refuse => u64::MAX,
            AfterLoss::Ignore => 0,
        };
        let cap = self.rules.exposure.iter().find(|cap| cap.asset == asset);
        let exposure = cap.map(|cap| ExposureLimit { most: cap.most, final_at: self.rules.final_at });
        ClaimLimits { after_loss, exposure }
    }
}

/// What holds on one chain.
#[derive(Clone, Debug)]
pub struct ChainPolicy {
    /// The chain.
    pub chain: ChainId,
    /// Its name, for people.
    pub network: String,
    /// The payment contract, which quotes name.
    pub contract: Address,
    /// Other followed contracts through which a quote may be paid, if the payment's reference is the quote's: tokens
    /// whose authorizations carry it as their nonce, and proxies that settle it over Permit2.
    pub other_contracts: Vec<Address>,
    /// The `SaltChannels` whose vouchers are accepted. `None` if none is followed.
    pub channels: Option<Address>,
    /// The contracts whose vouchers were accepted before. What was granted on them is granted again.
    pub past_channels: Vec<Address>,
    /// The operators that a channel may name if its vouchers are accepted. It may always name none.
    pub operators: Vec<Address>,
    /// The shortest exit delay of a channel whose vouchers are accepted, in whole seconds. `None`: any that the
    /// contract allows.
    pub least_exit_delay: Option<Duration>,
    /// What is accepted of payments.
    pub rules: PaymentRules,
    /// The native coin's symbol, for people.
    pub symbol: String,
    /// The native coin's decimal places, for people.
    pub decimals: u8,
    /// The time from one block to the next. It is used to say when to ask again.
    pub block_time: Duration,
    /// Whether a block comes about every `block_time`, even without transactions. If so, no voucher is granted on while
    /// the newest block is old.
    pub steady_blocks: bool,
    /// After how long without word from the head the index is called not ready.
    pub stale_after: Duration,
}
