//! Payment channels as the chain tells them: events, and the state that follows from them.

use std::fmt;

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::SolStruct as _;
use serde::{Deserialize, Serialize};

use crate::contracts::ISaltChannels;
use crate::typed_data::salt_channels_domain;
use crate::values::asset::Asset;
use crate::values::money::Amount;
use crate::values::network::ChainId;

/// The name of a channel's event: a function of what is on chain, made as a payment's name is, of chain, contract,
/// transaction, content, and how many equal logs stand before it in the transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChannelEventId(pub B256);

impl fmt::Display for ChannelEventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One event of a channels contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelEvent {
    /// Its name.
    pub id: ChannelEventId,
    /// The chain it is on.
    pub chain: ChainId,
    /// The contract whose event it is.
    pub contract: Address,
    /// The transaction that holds it.
    pub transaction: B256,
    /// The channel; zero where it is of none, as credits and sweeps are.
    pub channel: B256,
    /// What happened.
    pub change: ChannelChange,
}

/// The exit delays that `SaltChannels` takes, in seconds: 15 minutes to 30 days.
pub const EXIT_DELAYS: std::ops::RangeInclusive<u64> = 900..=2_592_000;

/// What a channel is, for as long as it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Whose money it is.
    pub payer: Address,
    /// Who can claim.
    pub payee: Address,
    /// What is paid.
    pub asset: Asset,
    /// The key that signs vouchers; `None` where the payer itself does.
    pub signer: Option<Address>,
    /// Who may claim besides the payee; `SaltChannels` has nobody.
    pub claimer: Option<Address>,
    /// How long the payer's exit waits, in seconds.
    pub exit_delay: u64,
    /// Tells channels apart that are equal otherwise.
    pub salt: B256,
}

impl Descriptor {
    /// The identifier that `SaltChannels` gives such a channel. `None` for what no channel of it is: one that names a
    /// claimer, or an exit delay beyond 32 bits.
    pub fn salt_channels_id(&self, chain: ChainId, contract: Address) -> Option<B256> {
        let channel = ISaltChannels::Channel {
            payer: self.payer,
            payee: self.payee,
            asset: self.asset.address(),
            signer: self.signer.unwrap_or_default(),
            exitDelay: u32::try_from(self.exit_delay).ok()?,
            salt: self.salt,
        };
        let id = channel.eip712_signing_hash(&salt_channels_domain(chain, contract));
        self.claimer.is_none().then_some(id)
    }
}

/// What happened. Amounts in base units, times in seconds since 1970 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelChange {
    /// A channel of `SaltChannels` was opened. With all that was deposited until then.
    Opened {
        /// What it is.
        descriptor: Descriptor,
        /// What was deposited.
        deposit: Amount,
    },
    /// More was deposited.
    ToppedUp {
        /// What was added.
        amount: Amount,
        /// All that was ever deposited.
        deposit: Amount,
    },
    /// The payee claimed.
    Claimed {
        /// What was claimed now.
        amount: Amount,
        /// All that was ever claimed.
        claimed: Amount,
    },
    /// The payer asked for its exit, or for some of its money.
    ExitRequested {
        /// From when it can be executed.
        exit_at: u64,
        /// How much it asked for; `None` for all of it.
        amount: Option<Amount>,
    },
    /// The exit that was asked for is void.
    ExitCancelled,
    /// The channel was closed, for ever.
    Closed {
        /// All that was ever claimed.
        claimed: Amount,
        /// What went back to the payer.
        refund: Amount,
    },
    /// An account could not be sent what is its own, and can withdraw it.
    Credited {
        /// Whose it is.
        account: Address,
        /// In what.
        asset: Asset,
        /// What was added to its credit.
        amount: Amount,
    },
    /// An account withdrew its credit.
    CreditWithdrawn {
        /// Whose it was.
        account: Address,
        /// In what.
        asset: Asset,
        /// All that it had.
        amount: Amount,
    },
    /// A channel of x402's batch settlement exists. May be said again, after it was drained.
    Created {
        /// What it is.
        descriptor: Descriptor,
    },
    /// A deposit into such a channel, which may hold less than was ever deposited.
    Deposited {
        /// What was added.
        amount: Amount,
    },
    /// The payee gave something back.
    Refunded {
        /// How much.
        amount: Amount,
    },
    /// The payer took out what it had asked for.
    Withdrawn {
        /// How much.
        amount: Amount,
    },
    /// Nothing is left in a channel that was never claimed from. Another deposit brings it back.
    Drained {
        /// What it is.
        descriptor: Descriptor,
    },
    /// What was claimed from all channels of a payee in an asset was sent to it.
    Swept {
        /// Who was paid.
        payee: Address,
        /// In what.
        asset: Asset,
        /// How much.
        amount: Amount,
    },
}

/// Where a channel stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelState {
    /// What it is; `None` where the event that says so is older than what was indexed.
    pub descriptor: Option<Descriptor>,
    /// All that was ever deposited.
    pub deposit: Amount,
    /// All that was ever claimed.
    pub claimed: Amount,
    /// What went back to the payer.
    pub refunded: Amount,
    /// From when the payer can leave, in seconds since 1970 UTC; `None` while it has not asked.
    pub exit_at: Option<u64>,
    /// Whether it is closed for ever.
    pub closed: bool,
}

impl ChannelState {
    /// What can still be claimed, in base units.
    pub fn available(&self) -> Amount {
        if self.closed {
            return Amount::ZERO;
        }
        Amount(self.deposit.0.saturating_sub(self.claimed.0).saturating_sub(self.refunded.0))
    }

    /// Folds a channel's events, each with the height of its block, in whatever order they come. `None` of none.
    ///
    /// The order of events within a block is not known, since nodes count logs as they please. It is not needed:
    ///
    /// - What `SaltChannels` has taken in and paid out only grows, and each event carries the total: the greatest
    ///   counts. So it does when an event is missing or told twice.
    /// - What x402's batch settlement took in and gave back is told by differences, which are added up. A sum has no
    ///   order; events are told apart by their names, so none counts twice.
    /// - Nothing happens to a channel after it is closed.
    /// - Asking for the exit and voiding it take turns, because the contract refuses a second in a row. So in the
    ///   newest block that has more of one than of the other, the last was the one of which there are more; a block
    ///   with as many of both leaves things as they were. The times that were asked for in one block are equal, being
    ///   the block's time and the channel's delay.
    pub fn fold(events: impl IntoIterator<Item = (u64, ChannelChange)>) -> Option<Self> {
        let mut fold = Fold::default();
        let mut any = false;
        for (height, change) in events {
            any = true;
            fold.add(height, change);
        }
        any.then(|| fold.finish())
    }
}

/// What is kept while folding.
#[derive(Default)]
struct Fold {
    descriptor: Option<Descriptor>,
    total: U256,
    added: U256,
    claimed: U256,
    refunded: U256,
    closed: bool,
    /// By height: how many more exits were asked for than voided, and the time.
    exits: std::collections::BTreeMap<u64, (i64, u64)>,
}

impl Fold {
    fn add(&mut self, height: u64, change: ChannelChange) {
        match change {
            ChannelChange::Opened { descriptor, deposit } => {
                self.descriptor = Some(descriptor);
                self.total = self.total.max(deposit.0);
            }
            ChannelChange::ToppedUp { deposit, .. } => self.total = self.total.max(deposit.0),
            ChannelChange::Claimed { claimed, .. } => self.claimed = self.claimed.max(claimed.0),
            ChannelChange::ExitRequested { exit_at, .. } => {
                let exits = self.exits.entry(height).or_default();
                exits.0 += 1;
                exits.1 = exits.1.max(exit_at);
            }
            ChannelChange::ExitCancelled => self.exits.entry(height).or_default().0 -= 1,
            ChannelChange::Closed { claimed, refund } => {
                self.closed = true;
                self.claimed = self.claimed.max(claimed.0);
                self.refunded = self.refunded.max(refund.0);
            }
            ChannelChange::Created { descriptor } | ChannelChange::Drained { descriptor } => {
                self.descriptor = Some(descriptor);
            }
            ChannelChange::Deposited { amount } => self.added = self.added.saturating_add(amount.0),
            ChannelChange::Refunded { amount } => self.refunded = self.refunded.saturating_add(amount.0),
            ChannelChange::Withdrawn { amount } => {
                self.refunded = self.refunded.saturating_add(amount.0);
                self.exits.entry(height).or_default().0 -= 1;
            }
            ChannelChange::Credited { .. }
            | ChannelChange::CreditWithdrawn { .. }
            | ChannelChange::Swept { .. } => {}
        }
    }

    fn finish(self) -> ChannelState {
        let newest = self.exits.iter().rev().find(|(_, (more, _))| *more != 0);
        let pending = newest.is_some_and(|(_, (more, _))| *more > 0);
        // A block that voids and asks again asks for a later time than the one that decides.
        let time = self.exits.values().rev().map(|(_, at)| *at).find(|at| *at != 0);
        ChannelState {
            descriptor: self.descriptor,
            deposit: Amount(self.total.saturating_add(self.added)),
            claimed: Amount(self.claimed),
            refunded: Amount(self.refunded),
            exit_at: if self.closed || !pending { None } else { time },
            closed: self.closed,
        }
    }
}
