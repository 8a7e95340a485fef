//! What an account that sends transactions must know before it signs, and what a mined transaction cost.

use alloy_primitives::U256;

use crate::error::NodeError;
use crate::node::Receipt;
use crate::profile::Profile;

/// An account and the price of gas, read together at the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountState {
    /// How many of its transactions are mined: its next unused nonce.
    pub mined: u64,
    /// The same with the transactions that the node holds and that are in no block yet. A hint: a node may hold them back,
    /// drop them, or not know them.
    pub pending: u64,
    /// Its balance in base units of the native coin.
    pub balance: U256,
    /// What a block takes for a unit of gas, in base units.
    pub base_fee: u64,
    /// What its producer is given besides, in base units.
    pub tip: u64,
}

/// What a transaction offers for a unit of gas, in base units of the native coin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fees {
    /// The most that is paid, the tip included.
    pub max_fee_per_gas: u64,
    /// The tip in it.
    pub tip: u64,
}

impl Fees {
    /// The highest offer for a unit of gas, and the tip in it. Twice the base fee stays sufficient for six full blocks.
    ///
    /// # Errors [`NodeError::FeeTooHigh`] if gas costs more than the profile's `max_fee_per_gas`.
    pub fn of(base_fee: u64, tip: u64, profile: &Profile) -> Result<Self, NodeError> {
        let limit = profile.max_fee_per_gas;
        let asked = base_fee.saturating_add(tip);
        if asked > limit {
            return Err(NodeError::FeeTooHigh { asked, limit });
        }
        Ok(Self { max_fee_per_gas: asked.saturating_add(base_fee).min(limit), tip })
    }

    /// Fees with which a transaction replaces one that offers `self`: both at least an eighth higher, which nodes require,
    /// and no lower than `market`.
    ///
    /// # Errors [`NodeError::FeeTooHigh`] if that is more than the profile's `max_fee_per_gas`: then it cannot be replaced.
    pub fn replaced(self, market: Self, profile: &Profile) -> Result<Self, NodeError> {
        let raised = |fee: u64| fee.saturating_add(fee.div_ceil(8)).saturating_add(1);
        let tip = raised(self.tip).max(market.tip);
        let asked = raised(self.max_fee_per_gas).max(market.max_fee_per_gas).max(tip);
        let limit = profile.max_fee_per_gas;
        if asked > limit {
            return Err(NodeError::FeeTooHigh { asked, limit });
        }
        Ok(Self { max_fee_per_gas: asked, tip })
    }
}

/// A mined transaction, with what it cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mined {
    /// Its receipt.
    pub receipt: Receipt,
    /// The gas that it used. `None`: the node does not say.
    pub gas_used: Option<u64>,
    /// What a unit of it cost, in base units of the native coin. `None`: the node does not say.
    pub gas_price: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_cannot_make_the_account_overpay() {
        let profile = Profile { max_fee_per_gas: 100, ..Profile::named("local").unwrap() };
        let fees =
            |base_fee, tip| Fees::of(base_fee, tip, &profile).map(|fees| (fees.max_fee_per_gas, fees.tip));
        assert_eq!(fees(10, 1), Ok((21, 1)));
        assert_eq!(fees(60, 5), Ok((100, 5)));
        assert_eq!(fees(100, 1), Err(NodeError::FeeTooHigh { asked: 101, limit: 100 }));
        assert_eq!(fees(u64::MAX, 1), Err(NodeError::FeeTooHigh { asked: u64::MAX, limit: 100 }));
    }

    #[test]
    fn a_replacement_offers_an_eighth_more_and_never_more_than_the_profile_allows() {
        let profile = Profile { max_fee_per_gas: 100, ..Profile::named("local").unwrap() };
        let offer = |max_fee_per_gas, tip| Fees { max_fee_per_gas, tip };
        for fee in 0..80_u64 {
            let next = offer(fee, fee).replaced(offer(0, 0), &profile).unwrap();
            assert!(next.max_fee_per_gas * 1000 >= fee * 1125 && next.max_fee_per_gas > fee, "{fee}");
            assert!(next.tip * 1000 >= fee * 1125, "{fee}");
        }
        assert_eq!(offer(20, 1).replaced(offer(50, 9), &profile), Ok(offer(50, 9)));
        assert_eq!(
            offer(95, 1).replaced(offer(50, 9), &profile),
            Err(NodeError::FeeTooHigh { asked: 108, limit: 100 })
        );
    }
}
