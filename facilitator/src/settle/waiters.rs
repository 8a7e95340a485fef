//! Callers that wait for an outcome, by payment.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use salt402_protocol::PaymentId;
use tokio::sync::watch;

/// Who waits for which payment.
#[derive(Debug, Default)]
pub(super) struct Waiters(Mutex<HashMap<PaymentId, watch::Sender<()>>>);

impl Waiters {
    /// Is told of every change from now on.
    pub(super) fn subscribe(&self, payment: PaymentId) -> watch::Receiver<()> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.entry(payment).or_insert_with(|| watch::channel(()).0).subscribe()
    }

    /// Tells those who wait for these payments to look again.
    pub(super) fn tell(&self, payments: impl IntoIterator<Item = PaymentId>) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for payment in payments {
            if let Some(sender) = waiting.get(&payment)
                && sender.send(()).is_err()
            {
                waiting.remove(&payment);
            }
        }
    }

    /// Forgets a payment for which nobody waits.
    pub(super) fn leave(&self, payment: PaymentId) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.get(&payment).is_some_and(|sender| sender.receiver_count() == 0) {
            waiting.remove(&payment);
        }
    }
}
