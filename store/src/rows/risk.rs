//! Channels whose accepted vouchers may never be paid, and why.

use std::fmt;

use salt402_protocol::{Address, Amount, Asset, B256, ChannelState};

use crate::rows::voucher::Share;

/// Why accepted vouchers may not be paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RiskReason {
    /// The payer asked to leave.
    Exit,
    /// The channel is closed, and less was claimed than was accepted. The rest is lost.
    Closed,
    /// Less is deposited than was accepted, because a deposit left the chain.
    Deposit,
    /// The channel's opening left the chain.
    Gone,
}

impl RiskReason {
    const ALL: [Self; 4] = [Self::Exit, Self::Closed, Self::Deposit, Self::Gone];

    /// Its name in the database and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exit => "exit",
            Self::Closed => "closed",
            Self::Deposit => "deposit",
            Self::Gone => "gone",
        }
    }

    /// The reason of a name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }
}

impl fmt::Display for RiskReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A channel that is, or was, at risk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelRisk {
    /// The contract.
    pub contract: Address,
    /// The channel's identifier in it.
    pub channel: B256,
    /// The payer. `None` if nothing is known of the channel any more.
    pub payer: Option<Address>,
    /// The asset. `None` if nothing is known of the channel any more.
    pub asset: Option<Asset>,
    /// What was accepted, in base units.
    pub spent: Amount,
    /// How much of that was claimed, in base units.
    pub claimed: Amount,
    /// Why it is at risk.
    pub reason: RiskReason,
    /// If the payer leaves: until when vouchers can be claimed at the least, in seconds since 1970 UTC.
    pub exit_at: Option<u64>,
}

impl ChannelRisk {
    /// What was accepted and not claimed, in base units.
    pub fn unclaimed(&self) -> Amount {
        Amount(self.spent.0.saturating_sub(self.claimed.0))
    }

    /// What a channel's state means for the vouchers that were accepted. `None` if they can be claimed at any time, or
    /// were.
    pub(crate) fn of(
        (contract, channel): (Address, B256),
        spent: Amount,
        state: Option<&ChannelState>,
    ) -> Option<Self> {
        let claimed = state.map_or(Amount::ZERO, |state| state.claimed);
        if spent <= claimed {
            return None;
        }
        let descriptor = state.and_then(|state| state.descriptor);
        let (reason, exit_at) = match state {
            Some(state) if descriptor.is_some() => match state.exit_at {
                _ if state.closed => (RiskReason::Closed, None),
                _ if state.deposit < spent => (RiskReason::Deposit, state.exit_at),
                Some(at) => (RiskReason::Exit, Some(at)),
                None => return None,
            },
            _ => (RiskReason::Gone, None),
        };
        let (payer, asset) = (descriptor.map(|known| known.payer), descriptor.map(|known| known.asset));
        Some(Self { contract, channel, payer, asset, spent, claimed, reason, exit_at })
    }

    /// What it adds to the totals of its chain while its incident is open.
    pub(crate) fn share(&self) -> Option<Share> {
        self.asset.map(|asset| (asset, self.unclaimed()))
    }

    /// The text for the operator.
    pub(crate) fn detail(&self) -> String {
        let (unclaimed, spent, channel) = (self.unclaimed(), self.spent, self.channel);
        let what = match self.asset {
            Some(asset) => format!("{unclaimed} base units of {asset}"),
            None => format!("{unclaimed} base units"),
        };
        let accepted = format!(
            "{what}, of {spent} that were accepted by vouchers of channel {channel}, are not claimed"
        );
        match (self.reason, self.exit_at) {
            (RiskReason::Exit, at) => format!(
                "{accepted}, and its payer leaves at {}: claim before that, as by `salt402 channel claim {channel}`",
                at.unwrap_or(0)
            ),
            (RiskReason::Closed, _) => {
                format!("{accepted}, and the channel is closed: what was left went back to its payer")
            }
            (RiskReason::Deposit, _) => {
                format!(
                    "{accepted}, and less is in the channel, as a deposit left the chain: claim what there is"
                )
            }
            (RiskReason::Gone, _) => {
                format!("{accepted}, and the channel left the chain: it can be claimed when it is back")
            }
        }
    }
}
