//! What a dollar buys, and for how long that is believed.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use salt402_http::clock::now_ms;
use salt402_protocol::{Amount, U256};
use tokio::time::Instant;

/// Prices in dollars have so many decimal places.
pub const USD_DECIMALS: u8 = 18;

/// What one dollar buys, in base units of the gateway's asset.
#[derive(Debug)]
pub struct Rate {
    /// How long it is believed. `None`: for ever.
    max_age: Option<Duration>,
    // A std mutex, because nothing is awaited while it is held.
    told: Mutex<Option<(Amount, Instant)>>,
}

impl Rate {
    /// A rate that stays.
    pub fn fixed(units: Amount) -> Self {
        Self { max_age: None, told: Mutex::new(Some((units, Instant::now()))) }
    }

    /// A rate that is told from time to time, and believed for so long. None is known yet.
    pub fn told(max_age: Duration) -> Self {
        note_told(0);
        Self { max_age: Some(max_age), told: Mutex::new(None) }
    }

    /// Tells it. A rate of nothing is none: everything would be free.
    pub fn tell(&self, units: Amount) {
        if !units.is_zero() {
            *self.told.lock().unwrap_or_else(PoisonError::into_inner) = Some((units, Instant::now()));
            note_told(now_ms());
        }
    }

    /// What one dollar buys now. `None` if that is not known, or was told too long ago.
    pub fn current(&self) -> Option<Amount> {
        let (units, told) = (*self.told.lock().unwrap_or_else(PoisonError::into_inner))?;
        let stale = self.max_age.is_some_and(|most| told.elapsed() > most);
        (!stale && !units.is_zero()).then_some(units)
    }
}

/// Notes when it was told, in milliseconds since 1970 UTC.
fn note_told(at_ms: u64) {
    let at = Duration::from_millis(at_ms).as_secs_f64();
    metrics::gauge!("salt402_gateway_usd_rate_timestamp_seconds").set(at);
}

/// A sum in 10⁻¹⁸ dollars as base units, rounded up. `None` above 2²⁵⁶ − 1.
pub(super) fn converted(dollars: Amount, units: Amount) -> Option<Amount> {
    let product = dollars.0.checked_mul(units.0)?;
    let one = U256::from(10).pow(U256::from(USD_DECIMALS));
    Some(Amount(product.div_ceil(one)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_in_dollars_is_rounded_up() {
        let dollars = |text| Amount::from_units(text, USD_DECIMALS).unwrap();
        // A dollar buys 4.2 of an asset with six places.
        let units = Amount(U256::from(4_200_000));
        assert_eq!(converted(dollars("2"), units), Some(Amount(U256::from(8_400_000))));
        assert_eq!(converted(dollars("0.000000000000000001"), units), Some(Amount::ONE));
        assert_eq!(converted(Amount::ZERO, units), Some(Amount::ZERO));
        assert_eq!(converted(Amount(U256::MAX), units), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_that_is_old_is_none() {
        let rate = Rate::told(Duration::from_secs(60));
        assert_eq!(rate.current(), None);
        rate.tell(Amount::ONE);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(rate.current(), Some(Amount::ONE));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(rate.current(), None);
        rate.tell(Amount::ZERO);
        assert_eq!(rate.current(), None);
        rate.tell(Amount::ONE);
        assert_eq!(rate.current(), Some(Amount::ONE));
        assert_eq!(Rate::fixed(Amount::ZERO).current(), None);
        let fixed = Rate::fixed(Amount::ONE);
        tokio::time::advance(Duration::from_secs(1 << 30)).await;
        assert_eq!(fixed.current(), Some(Amount::ONE));
    }
}
