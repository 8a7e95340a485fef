//! One at a time for each payment.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use salt402_protocol::PaymentId;
use tokio::sync::Notify;

/// Whose turn it is, for each payment. Clones share one state.
#[derive(Clone, Debug, Default)]
pub(crate) struct Turns {
    /// A std mutex, because nothing is awaited while it is held.
    taken: Arc<Mutex<HashSet<PaymentId>>>,
    /// One has ended.
    ended: Arc<Notify>,
}

/// A turn. Dropped, it is the next one's.
#[derive(Debug)]
pub(crate) struct Turn {
    turns: Turns,
    payment: PaymentId,
}

impl Turns {
    /// A turn, if it is nobody's now.
    pub(crate) fn free(&self, payment: PaymentId) -> Option<Turn> {
        let is_free = self.taken.lock().unwrap_or_else(PoisonError::into_inner).insert(payment);
        is_free.then(|| Turn { turns: self.clone(), payment })
    }

    /// Waits for a turn. Whoever stops to wait leaves nothing behind.
    pub(crate) async fn wait(&self, payment: PaymentId) -> Turn {
        loop {
            let ended = self.ended.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            if let Some(turn) = self.free(payment) {
                return turn;
            }
            ended.await;
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.taken.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.payment);
        self.turns.ended.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use salt402_protocol::B256;

    use super::*;

    #[tokio::test]
    async fn each_payment_is_one_at_a_time() {
        let turns = Turns::default();
        let [one, other] = [1, 2].map(|byte| PaymentId(B256::repeat_byte(byte)));
        let first = turns.wait(one).await;
        assert!(turns.free(one).is_none() && turns.free(other).is_some());
        let next = tokio::spawn({
            let turns = turns.clone();
            async move { turns.wait(one).await }
        });
        tokio::task::yield_now().await;
        assert!(!next.is_finished());
        drop(first);
        drop(next.await.unwrap());
        assert!(turns.taken.lock().unwrap().is_empty());
    }
}
