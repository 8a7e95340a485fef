//! Answers for those who show the payment without its quote id.
//!
//! Everybody can read a transaction's hash on the chain. A payer whose connection broke may have nothing else to show.
//! So the answer is given again a few times within a minute. After that, the quote id is needed. The count is in
//! memory: after a restart the same number is given once more, in what is left of the minute.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use salt402_protocol::PaymentId;
use tokio::time::Instant;

/// For how long after it was kept an answer is given to those who show the payment alone.
const FOR: Duration = Duration::from_secs(60);
/// How many payments are counted before old counts are removed the first time.
const SWEEP: usize = 1024;

/// How often answers were given to those who showed no quote id.
pub(crate) struct BareProofs {
    /// How often an answer is given again after the first time.
    again: u32,
    /// A std mutex, because nothing is awaited while it is held.
    given: Mutex<Given>,
}

#[derive(Default)]
struct Given {
    times: HashMap<PaymentId, (u32, Instant)>,
    /// How many there may be before old ones are looked for.
    sweep_at: usize,
}

impl BareProofs {
    pub(crate) fn new(again: u32) -> Self {
        Self { again, given: Mutex::new(Given { times: HashMap::new(), sweep_at: SWEEP }) }
    }

    /// Whether the answer for a payment, which was kept this long ago, may be given once more. If so, it is counted.
    pub(crate) fn may(&self, payment: PaymentId, kept_for: Duration) -> bool {
        if kept_for >= FOR {
            return false;
        }
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if given.times.len() >= given.sweep_at {
            given.times.retain(|_, (_, last)| now.saturating_duration_since(*last) < 2 * FOR);
            given.sweep_at = SWEEP.max(2 * given.times.len());
        }
        let (times, last) = given.times.entry(payment).or_insert((0, now));
        *last = now;
        let may = *times <= self.again;
        *times = times.saturating_add(1);
        may
    }
}

#[cfg(test)]
mod tests {
    use salt402_protocol::B256;

    use super::*;

    const PAYMENT: PaymentId = PaymentId(B256::repeat_byte(1));

    #[tokio::test(start_paused = true)]
    async fn a_payment_shown_alone_is_answered_a_few_times_within_a_minute_and_no_more() {
        let bare = BareProofs::new(2);
        assert_eq!(
            [0, 1, 2, 3, 4].map(|_| bare.may(PAYMENT, Duration::ZERO)),
            [true, true, true, false, false]
        );
        assert!(bare.may(PaymentId(B256::repeat_byte(2)), Duration::ZERO), "each is counted for itself");
        assert!(
            !bare.may(PaymentId(B256::repeat_byte(3)), FOR),
            "also the first time: it was run for somebody"
        );
        // However many others are paid meanwhile, its count is not lost while it is asked for.
        for round in 0..4u64 {
            for number in 0..3000u64 {
                bare.may(
                    PaymentId(B256::left_padding_from(&(round << 32 | number).to_be_bytes())),
                    Duration::ZERO,
                );
            }
            tokio::time::advance(FOR).await;
            assert!(!bare.may(PAYMENT, Duration::ZERO));
        }
        assert!(bare.given.lock().unwrap().times.len() < 4 * 3000, "and others are");
    }
}
