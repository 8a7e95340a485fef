//! What a request costs: the sum of its parts, the conditions that hold, the least price, and dollars as base units.

use std::time::Duration;

use salt402_protocol::{Amount, U256};

use crate::pricing::condition::{Adjustment, Multiplier};
use crate::pricing::price::{Part, Price, Quantities, Used};
use crate::pricing::rate::{Rate, converted};
use crate::pricing::unpriced::Unpriced;

/// A batch costs a twentieth less than its requests: 5 %.
const LESS: u64 = 20;

/// What a batch costs whose requests cost so much: 5 % less, rounded up to a base unit.
pub(crate) fn reduced(sum: Amount) -> Amount {
    Amount(sum.0 - sum.0 / U256::from(LESS))
}

/// A condition that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The condition, as it was written.
    pub when: String,
    /// Its factor.
    pub multiplier: Multiplier,
    /// The sum after it.
    pub amount: Amount,
}

/// What a request costs, and why. Everything but `amount` is in base units, or in 10⁻¹⁸ dollars where there is a rate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cost {
    /// The parts.
    pub parts: Vec<Part>,
    /// The conditions that hold, in their order.
    pub applied: Vec<Applied>,
    /// The least price, if it is more than the sum.
    pub minimum: Option<Amount>,
    /// What one dollar buys, in base units, if prices are in dollars.
    pub rate: Option<Amount>,
    /// What is paid, in base units.
    pub amount: Amount,
}

impl Cost {
    /// What so much costs of a model, at a time since 1970 UTC.
    ///
    /// # Errors
    /// If it has no price.
    pub fn of(
        model: &str,
        price: &Price,
        adjustments: &[Adjustment],
        rate: Option<&Rate>,
        of: &Quantities,
        now: Duration,
    ) -> Result<Self, Unpriced> {
        let parts = price.parts(of)?;
        let mut sum = Amount::ZERO;
        for part in &parts {
            sum = sum.checked_add(part.amount).ok_or(Unpriced::Beyond)?;
        }
        let mut applied = Vec::new();
        for adjustment in adjustments {
            let holds = adjustment.holds(model, of, now).map_err(|error| {
                tracing::error!(%error, model, when = adjustment.when, "a condition of a price has no answer");
                Unpriced::Condition
            })?;
            if holds {
                let multiplier = adjustment.multiplier;
                sum = multiplier.of(sum).ok_or(Unpriced::Beyond)?;
                applied.push(Applied { when: adjustment.when.clone(), multiplier, amount: sum });
            }
        }
        let minimum = (price.minimum > sum).then_some(price.minimum);
        let sum = minimum.unwrap_or(sum);
        let (rate, amount) = match rate {
            None => (None, sum),
            Some(rate) => {
                let units = rate.current().ok_or(Unpriced::NoRate)?;
                (Some(units), converted(sum, units).ok_or(Unpriced::Beyond)?)
            }
        };
        Ok(Self { parts, applied, minimum, rate, amount })
    }

    /// What was used costs, where this is what the most costs: with the same conditions and the same rate, and no less than the
    /// least price. `None` if it is above 2²⁵⁶ − 1.
    pub fn of_used(&self, price: &Price, of: &Quantities, used: &Used) -> Option<Amount> {
        let mut sum = price.sum_of(of, used)?;
        for applied in &self.applied {
            sum = applied.multiplier.of(sum)?;
        }
        let sum = sum.max(price.minimum);
        match self.rate {
            Some(units) => converted(sum, units),
            None => Some(sum),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adjustment(when: &str, multiplier: &str) -> Adjustment {
        Adjustment::new(when.into(), Multiplier::parse(multiplier).unwrap()).unwrap()
    }

    fn amount(units: u64) -> Amount {
        Amount(U256::from(units))
    }

    #[test]
    fn conditions_multiply_in_their_order_and_the_least_price_comes_after_them() {
        let price = Price { per_prompt_token: amount(3), minimum: amount(100), ..Price::default() };
        let adjustments = [adjustment("prompt_tokens > 10", "1.5"), adjustment("hour >= 18", "0.5")];
        let cost = |prompt_tokens, hour: u64| {
            let of = Quantities { prompt_tokens, ..Quantities::default() };
            Cost::of("m", &price, &adjustments, None, &of, Duration::from_secs(hour * 3600)).unwrap()
        };
        assert_eq!((cost(10, 0).amount, cost(10, 0).minimum), (amount(100), Some(amount(100))));
        let both = cost(101, 20);
        // 303, 454.5, 227.5: rounded up each time.
        assert_eq!(both.amount, amount(228));
        assert_eq!(
            both.applied.iter().map(|applied| applied.amount).collect::<Vec<_>>(),
            [amount(455), amount(228)]
        );
        assert_eq!(both.minimum, None);
    }

    #[test]
    fn what_was_used_has_the_conditions_of_the_most_and_no_more_than_its_price() {
        let price = Price {
            per_request: amount(10),
            per_prompt_token: amount(4),
            per_token: amount(6),
            per_cached_token: Some(amount(1)),
            per_reasoning_token: Some(amount(2)),
            minimum: amount(15),
            ..Price::default()
        };
        let of = Quantities { prompt_tokens: 100, max_tokens: 50, choices: 1, ..Quantities::default() };
        let most = Cost::of("m", &price, &[], None, &of, Duration::ZERO).unwrap();
        assert_eq!(most.amount, amount(10 + 400 + 300));
        let used = |prompt, cached, written, reasoning| {
            most.of_used(&price, &of, &Used { prompt, cached, written, reasoning }).unwrap()
        };
        assert_eq!(used(100, 0, 50, 0), most.amount);
        assert_eq!(used(20, 15, 9, 4), amount(10 + 5 * 4 + 15 + 5 * 6 + 4 * 2));
        assert_eq!(used(0, 0, 0, 0), amount(15), "no less than the least price");
        assert_eq!(used(3, 90, 2, 90), amount(10 + 3 + 4), "a part is no more than the whole");
        let dear = adjustment("prompt_tokens > 50", "1.5");
        let most = Cost::of("m", &price, &[dear], None, &of, Duration::ZERO).unwrap();
        let few = Used { prompt: 20, ..Used::default() };
        assert_eq!(most.of_used(&price, &of, &few), Some(amount(135)), "90 by the condition of the most");
    }

    #[test]
    fn dollars_become_base_units_at_the_end() {
        let price = Price { per_request: Amount::from_units("0.01", 18).unwrap(), ..Price::default() };
        let rate = Rate::fixed(Amount::from_units("4.2", 18).unwrap());
        let cost =
            |rate: &Rate| Cost::of("m", &price, &[], Some(rate), &Quantities::default(), Duration::ZERO);
        let paid = cost(&rate).unwrap();
        assert_eq!(paid.amount.to_units(18), "0.042");
        assert_eq!(cost(&Rate::told(Duration::from_secs(1))), Err(Unpriced::NoRate));
    }
}
