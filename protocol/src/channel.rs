//! Payment channels: their events on chain, and the state that the events add up to.

use std::fmt;

use alloy_primitives::{Address, B256, U256};
use serde::{Deserialize, Serialize};

use crate::values::asset::Asset;
use crate::values::money::Amount;
use crate::values::network::ChainId;

/// The id of a channel event. It hashes only what is on chain: the chain, the contract, the transaction, the log's
/// content, and the number of equal logs before it in the transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChannelEventId(pub B256);

impl fmt::Display for ChannelEventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One event of a channel contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelEvent {
    /// The event's id.
    pub id: ChannelEventId,
    /// The chain of the event.
    pub chain: ChainId,
    /// The contract that emitted the event.
    pub contract: Address,
    /// The transaction that emitted the event.
    pub transaction: B256,
    /// The channel. Zero for events of no single channel: credits and sweeps.
    pub channel: B256,
    /// What happened.
    pub change: ChannelChange,
}

/// The exit delays that `SaltChannels` accepts, in seconds: 15 minutes to 30 days.
pub const EXIT_DELAYS: std::ops::RangeInclusive<u64> = 900..=2_592_000;

/// The fixed parameters of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// The account that deposits.
    pub payer: Address,
    /// The account that may claim.
    pub payee: Address,
    /// The asset that the channel holds.
    pub asset: Asset,
    /// The key that signs vouchers. `None`: the payer signs them.
    pub signer: Option<Address>,
    /// A second account that may claim for the payee. The money goes to the payee alone.
    pub operator: Option<Address>,
    /// The time between the payer's exit request and the exit, in seconds.
    pub exit_delay: u64,
    /// Distinguishes channels that are otherwise equal.
    pub salt: B256,
}

/// For which of a payee's channels an operator may claim and close. The number is the contract's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OperatorRight {
    /// Those that name it. So it is of every account until the payee says something else.
    #[default]
    Named,
    /// All of them.
    All,
    /// None.
    Revoked,
}

impl OperatorRight {
    /// The right with a number. `None`: the contract has no such right.
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::Named, Self::All, Self::Revoked].get(usize::from(number)).copied()
    }

    /// The contract's number.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// Whether an account with this right may claim from a channel that names `operator`.
    pub fn allows(self, account: Address, operator: Option<Address>) -> bool {
        match self {
            Self::Named => operator == Some(account),
            Self::All => true,
            Self::Revoked => false,
        }
    }
}

impl fmt::Display for OperatorRight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Named => "named",
            Self::All => "all",
            Self::Revoked => "revoked",
        })
    }
}

/// A change of a channel or a credit. Amounts are in base units, times in seconds since 1970 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelChange {
    /// A `SaltChannels` channel was opened.
    Opened {
        /// The channel's parameters.
        descriptor: Descriptor,
        /// The deposit so far.
        deposit: Amount,
    },
    /// The payer deposited more.
    ToppedUp {
        /// The amount added.
        amount: Amount,
        /// The total ever deposited.
        deposit: Amount,
    },
    /// The payee claimed.
    Claimed {
        /// The amount of this claim.
        amount: Amount,
        /// The total ever claimed.
        claimed: Amount,
    },
    /// The payer asked to exit, or to withdraw a part.
    ExitRequested {
        /// The time from which the exit can be executed.
        exit_at: u64,
        /// The amount asked for. `None`: everything.
        amount: Option<Amount>,
    },
    /// The requested exit was cancelled.
    ExitCancelled,
    /// The channel was closed for good.
    Closed {
        /// The total ever claimed.
        claimed: Amount,
        /// The amount returned to the payer.
        refund: Amount,
    },
    /// A transfer to an account failed. The account can withdraw the amount later.
    Credited {
        /// The account that is owed.
        account: Address,
        /// The asset of the credit.
        asset: Asset,
        /// The amount added to the credit.
        amount: Amount,
    },
    /// An account withdrew its credit.
    CreditWithdrawn {
        /// The account that withdrew.
        account: Address,
        /// The asset of the credit.
        asset: Asset,
        /// The whole credit.
        amount: Amount,
    },
    /// A channel of x402's batch settlement was created. It is created again after it was drained.
    Created {
        /// The channel's parameters.
        descriptor: Descriptor,
    },
    /// A deposit into a batch settlement channel. The channel may hold less than all its deposits.
    Deposited {
        /// The amount added.
        amount: Amount,
    },
    /// The payee of a batch settlement channel returned an amount out of the channel.
    Refunded {
        /// The amount returned.
        amount: Amount,
    },
    /// The payee of a `SaltChannels` channel gave back some of its own money. The channel's amounts stay as they are.
    GivenBack {
        /// The amount given back.
        amount: Amount,
    },
    /// A payee of `SaltChannels` said for which of its channels an account may claim and close.
    OperatorSet {
        /// The payee.
        payee: Address,
        /// The account.
        operator: Address,
        /// Which channels.
        right: OperatorRight,
    },
    /// The payer withdrew the amount it had asked for.
    Withdrawn {
        /// The amount withdrawn.
        amount: Amount,
    },
    /// Everything was withdrawn from a channel without claims. Another deposit creates it again.
    Drained {
        /// The channel's parameters.
        descriptor: Descriptor,
    },
    /// Everything claimed by a payee in an asset, from all its channels, was sent to the payee.
    Swept {
        /// The account that was paid.
        payee: Address,
        /// The asset.
        asset: Asset,
        /// The amount.
        amount: Amount,
    },
}

/// The state of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelState {
    /// The channel's parameters. `None`: the event that names them is older than the index.
    pub descriptor: Option<Descriptor>,
    /// The total ever deposited.
    pub deposit: Amount,
    /// The total ever claimed.
    pub claimed: Amount,
    /// The total returned to the payer.
    pub refunded: Amount,
    /// The time from which the payer can exit, in seconds since 1970 UTC. `None`: no exit was requested.
    pub exit_at: Option<u64>,
    /// Whether the channel is closed for good.
    pub closed: bool,
}

impl ChannelState {
    /// The amount that can still be claimed, in base units.
    pub fn available(&self) -> Amount {
        if self.closed {
            return Amount::ZERO;
        }
        Amount(self.deposit.0.saturating_sub(self.claimed.0).saturating_sub(self.refunded.0))
    }

    /// Computes a channel's state from its events, each with the height of its block. The order of the events does not
    /// matter. `None`: there are no events.
    ///
    /// The order of events within a block is unknown, because nodes number logs differently. It is not needed:
    ///
    /// - `SaltChannels` events carry totals that only grow. The greatest total is the newest, even if an event is
    ///   missing or repeated.
    /// - Batch settlement events carry differences. Their sum has no order, and their ids prevent that one counts
    ///   twice.
    /// - Nothing happens to a channel after it is closed.
    /// - Exit requests and cancellations alternate, because the contract refuses two of a kind in a row. So in the
    ///   newest block with unequal numbers of both, the kind with more events came last. A block with equal numbers
    ///   changes nothing. All requests in one block have the same exit time: block time plus exit delay.
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

#[derive(Default)]
struct Fold {
    descriptor: Option<Descriptor>,
    total: U256,
    added: U256,
    claimed: U256,
    refunded: U256,
    closed: bool,
    /// By height: exit requests minus cancellations, and the exit time.
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
            | ChannelChange::GivenBack { .. }
            | ChannelChange::OperatorSet { .. }
            | ChannelChange::Swept { .. } => {}
        }
    }

    fn finish(self) -> ChannelState {
        let newest = self.exits.iter().rev().find(|(_, (more, _))| *more != 0);
        let pending = newest.is_some_and(|(_, (more, _))| *more > 0);
        // A newer block may cancel and request again: its later exit time is the current one.
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
