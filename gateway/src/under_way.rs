//! Which requests are under way that are charged by what they use: from before they are run until what they used is on disk.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use salt402_http::clock::now_ms;
use salt402_protocol::{Amount, PaymentId};

/// How long a settlement takes at the most where nothing is amiss, in milliseconds.
const SETTLES_WITHIN_MS: u64 = 10_000;

/// What is under way. Clones share one state.
#[derive(Clone, Debug, Default)]
pub(crate) struct UnderWay {
    /// How many hold each. A std mutex, because nothing is awaited while it is held.
    held: Arc<Mutex<HashMap<PaymentId, usize>>>,
}

/// Keeps one under way until it is dropped.
#[derive(Debug)]
pub(crate) struct Hold {
    under_way: UnderWay,
    payment: PaymentId,
    /// When the authorization ends, in milliseconds since 1970 UTC. `None`: it does not.
    ends_at_ms: Option<u64>,
    /// What earlier runs have used that nobody got an answer of.
    sunk: Amount,
}

impl UnderWay {
    /// Whether a request is under way.
    pub(crate) fn has(&self, payment: PaymentId) -> bool {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&payment)
    }

    /// A request is under way until this and all others of it are dropped. `ends_at_ms` is when its authorization ends, in milliseconds
    /// since 1970 UTC.
    pub(crate) fn hold(&self, payment: PaymentId, ends_at_ms: Option<u64>) -> Hold {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner).entry(payment).or_default() += 1;
        Hold { under_way: self.clone(), payment, ends_at_ms, sunk: Amount::ZERO }
    }
}

impl Hold {
    /// The same, of whose earlier runs so much is to be charged.
    pub(crate) fn after(self, sunk: Amount) -> Self {
        let mut hold = self;
        hold.sunk = sunk;
        hold
    }

    /// What earlier runs have used that nobody got an answer of.
    pub(crate) fn sunk(&self) -> Amount {
        self.sunk
    }

    /// For how long it may be used, so that it can be settled then. `None`: its authorization does not end.
    pub(crate) fn left(&self) -> Option<Duration> {
        let settles_at = now_ms().saturating_add(SETTLES_WITHIN_MS);
        self.ends_at_ms.map(|ends_at| Duration::from_millis(ends_at.saturating_sub(settles_at)))
    }

    /// Whether it is too late to settle what was used.
    pub(crate) fn has_ended(&self) -> bool {
        self.ends_at_ms.is_some_and(|ends_at| ends_at < now_ms().saturating_add(SETTLES_WITHIN_MS))
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut held = self.under_way.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(&self.payment) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.payment);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use salt402_protocol::B256;

    use super::*;

    #[test]
    fn it_is_under_way_until_the_last_lets_it_go() {
        let under_way = UnderWay::default();
        let payment = PaymentId(B256::repeat_byte(1));
        let first = under_way.hold(payment, None);
        let second = under_way.hold(payment, None);
        assert!(!under_way.has(PaymentId(B256::repeat_byte(2))));
        drop(first);
        assert!(under_way.has(payment));
        drop(second);
        assert!(!under_way.has(payment) && under_way.held.lock().unwrap().is_empty());
    }
}
