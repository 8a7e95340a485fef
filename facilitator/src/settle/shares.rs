//! What each settlement of a transaction cost, as a share of what the transaction did.
//!
//! A receipt has one sum. What each would have used alone is known from the node's estimate, and the sum is divided by that, without
//! what a transaction costs that does nothing. One that failed may have used all that was left: what is above all estimates is not
//! charged to those that moved their money.

use alloy_primitives::U256;
use salt402_chain::Mined;
use salt402_protocol::Amount;
use salt402_store::GasCost;

/// The gas of a transaction that does nothing.
const NOTHING: u64 = 21_000;

/// One settlement of a transaction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    /// The gas that it needs in a transaction of its own. 0: it is not known.
    pub(super) alone: u64,
    /// Whether it moved its money.
    pub(super) moved: bool,
}

/// What each of them cost. Together it is exactly what the transaction did. What a node does not say counts as nothing.
pub(super) fn shares(mined: &Mined, parts: &[Part]) -> Vec<GasCost> {
    let gas = mined.gas_used.unwrap_or(0);
    let fee = U256::from(gas) * U256::from(mined.gas_price.unwrap_or(0));
    let is_known = parts.iter().all(|part| part.alone > 0);
    let weight = |part: &Part| if is_known { part.alone.saturating_sub(NOTHING).max(1) } else { 1 };
    let all: Vec<u64> = parts.iter().map(weight).collect();
    let estimated = parts.iter().fold(0_u64, |sum, part| sum.saturating_add(part.alone));
    let has_failed = parts.iter().any(|part| !part.moved);
    let above = if is_known && has_failed { gas.saturating_sub(estimated) } else { 0 };
    let failed: Vec<u64> =
        all.iter().zip(parts).map(|(weight, part)| if part.moved { 0 } else { *weight }).collect();
    let of_all = divided(U256::from(gas.saturating_sub(above)), &all);
    let of_failed = divided(U256::from(above), &failed);
    let used: Vec<u64> =
        of_all.iter().zip(of_failed).map(|(one, more)| one.saturating_add(more).saturating_to()).collect();
    let fees = divided(fee, &used);
    used.into_iter().zip(fees).map(|(gas, fee)| GasCost { gas, fee: Amount(fee) }).collect()
}

/// A sum, divided by weights so that nothing is left over. Nothing, if nothing has a weight.
fn divided(sum: U256, weights: &[u64]) -> Vec<U256> {
    let total: U256 = weights.iter().map(|weight| U256::from(*weight)).sum();
    let (mut seen, mut given) = (U256::ZERO, U256::ZERO);
    let share = |weight: &u64| {
        seen += U256::from(*weight);
        let until = sum.saturating_mul(seen).checked_div(total).unwrap_or_default();
        let share = until.saturating_sub(given);
        given = until;
        share
    };
    weights.iter().map(share).collect()
}

#[cfg(test)]
mod tests {
    use alloy_primitives::B256;
    use proptest::prelude::*;
    use salt402_chain::Receipt;

    use super::*;

    fn mined(gas: u64) -> Mined {
        let receipt = Receipt {
            transaction: B256::ZERO,
            block_number: 1,
            block_hash: B256::ZERO,
            success: true,
            from: Default::default(),
            to: None,
            logs: Vec::new(),
        };
        Mined { receipt, gas_used: Some(gas), gas_price: Some(7) }
    }

    fn gas(used: u64, parts: &[(u64, bool)]) -> Vec<u64> {
        let parts: Vec<_> =
            parts.iter().map(|(alone, moved)| Part { alone: *alone, moved: *moved }).collect();
        shares(&mined(used), &parts).into_iter().map(|cost| cost.gas).collect()
    }

    #[test]
    fn what_needs_more_has_more_of_what_was_used() {
        assert_eq!(gas(65_100, &[(66_000, true)]), [65_100], "one alone has all");
        // 40,000 and 80,000 beside what nothing costs.
        assert_eq!(gas(150_000, &[(61_000, true), (101_000, true)]), [50_000, 100_000]);
        assert_eq!(gas(150_000, &[(61_000, true), (0, true)]), [75_000, 75_000], "one is not known");
        assert_eq!(
            gas(21_000, &[(61_000, false), (101_000, false)]),
            [7_000, 14_000],
            "only a nonce was used up"
        );
        assert_eq!(gas(100, &[]), [0_u64; 0]);
    }

    #[test]
    fn what_one_that_failed_wasted_is_not_charged_to_those_that_paid() {
        // Alone, both need 122,000. The second one was left with all that there was.
        assert_eq!(gas(400_000, &[(61_000, true), (61_000, false)]), [61_000, 339_000]);
        assert_eq!(gas(100_000, &[(61_000, true), (61_000, false)]), [50_000, 50_000], "it wasted nothing");
    }

    proptest! {
        #[test]
        fn all_shares_together_are_what_was_used(
            used in any::<u64>(), parts in proptest::collection::vec((any::<u64>(), any::<bool>()), 1..60),
        ) {
            let parts: Vec<_> = parts.iter().map(|(alone, moved)| Part { alone: *alone, moved: *moved }).collect();
            let costs = shares(&mined(used), &parts);
            let gas: u128 = costs.iter().map(|cost| u128::from(cost.gas)).sum();
            let fee: U256 = costs.iter().map(|cost| cost.fee.0).sum();
            prop_assert_eq!((gas, fee), (u128::from(used), U256::from(used) * U256::from(7_u64)));
        }
    }
}
