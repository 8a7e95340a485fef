//! What each request of a batch is worth of what was paid for all of them.

use salt402_protocol::{Amount, U256};

use crate::pricing::reduced;

/// What each is worth, by what it costs alone. All of them together are worth what was paid, to the base unit.
///
/// What has no price any more is worth an equal part of what the others leave.
pub(super) fn shares(paid: Amount, prices: &[Option<Amount>]) -> Vec<Amount> {
    let mut weights = weights(paid.0, prices);
    let total = loop {
        let total = weights.iter().try_fold(U256::ZERO, |sum, weight| sum.checked_add(*weight));
        match total.filter(|total| paid.0.checked_mul(*total).is_some()) {
            Some(total) => break total,
            // Beyond what can be computed with: the last places are left out.
            None => weights.iter_mut().for_each(|weight| *weight >>= 8),
        }
    };
    let total = if total.is_zero() {
        weights.fill(U256::ONE);
        U256::from(weights.len())
    } else {
        total
    };
    let (mut before, mut sum) = (U256::ZERO, U256::ZERO);
    let share = |weight: U256| {
        sum += weight;
        // The quotient first where the product does not fit, which only equal weights of the largest amounts reach.
        let until = paid.0.checked_mul(sum).map_or_else(|| paid.0 / total * sum, |product| product / total);
        let until = if sum == total { paid.0 } else { until };
        let own = until - before;
        before = until;
        Amount(own)
    };
    weights.into_iter().map(share).collect()
}

fn weights(paid: U256, prices: &[Option<Amount>]) -> Vec<U256> {
    let reduced = |price: &Amount| reduced(*price).0;
    let known = prices.iter().flatten().map(reduced).fold(U256::ZERO, U256::saturating_add);
    let unknown = U256::from(prices.iter().filter(|price| price.is_none()).count());
    let left = paid.saturating_sub(known).checked_div(unknown).unwrap_or_default();
    if !unknown.is_zero() && left.is_zero() {
        // They were cheaper when they were sold. How much is not known.
        return vec![U256::ONE; prices.len()];
    }
    prices.iter().map(|price| price.as_ref().map_or(left, reduced)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn amount(units: u64) -> Amount {
        Amount(U256::from(units))
    }

    fn units(paid: u64, prices: &[Option<u64>]) -> Vec<u64> {
        let prices: Vec<_> = prices.iter().map(|price| price.map(amount)).collect();
        shares(amount(paid), &prices).into_iter().map(|share| share.0.to()).collect()
    }

    #[test]
    fn each_is_worth_its_part_of_what_was_paid() {
        assert_eq!(units(95, &[Some(60), Some(40)]), [57, 38]);
        assert_eq!(units(10, &[Some(1), Some(1), Some(1)]), [3, 3, 4]);
        // Twice as much was paid as was asked: all of it is given back.
        assert_eq!(units(190, &[Some(60), Some(40)]), [114, 76]);
        assert_eq!(units(95, &[Some(60), None]), [57, 38], "what the other leaves");
        assert_eq!(units(50, &[Some(60), None]), [25, 25]);
        assert_eq!(units(9, &[Some(0), Some(0)]), [4, 5]);
        let most = shares(Amount(U256::MAX), &[Some(Amount(U256::MAX)), Some(Amount(U256::MAX))]);
        assert_eq!(most[0].0 + most[1].0, U256::MAX);
        let equal = shares(Amount(U256::MAX), &[Some(Amount::ZERO); 3]);
        assert_eq!(equal[0].0 + equal[1].0 + equal[2].0, U256::MAX);
    }

    proptest! {
        #[test]
        fn together_they_are_what_was_paid(
            paid in any::<[u64; 4]>(),
            prices in prop::collection::vec(prop::option::of(any::<[u64; 4]>()), 1..40),
        ) {
            let paid = U256::from_limbs(paid);
            let prices: Vec<_> = prices.into_iter().map(|price| price.map(|of| Amount(U256::from_limbs(of)))).collect();
            let shares = shares(Amount(paid), &prices);
            prop_assert_eq!(shares.len(), prices.len());
            let sum = shares.iter().try_fold(U256::ZERO, |sum, share| sum.checked_add(share.0));
            prop_assert_eq!(sum, Some(paid));
        }
    }
}
