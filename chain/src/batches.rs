//! How many questions a node takes in one request.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long a node that refused a batch is given smaller ones. What refused it may have been another node behind the
/// same address, or a plan that was changed since.
const BELIEVED: Duration = Duration::from_secs(3600);

/// The most that is asked together: the profile's, or less where the node refused that.
#[derive(Debug)]
pub(crate) struct Batches {
    most: usize,
    // A std mutex, because nothing is awaited while it is held.
    learned: Mutex<Option<(usize, Instant)>>,
}

impl Batches {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, learned: Mutex::default() }
    }

    /// How many questions may go together now.
    pub(crate) fn most(&self) -> usize {
        let learned = self.learned().filter(|(_, until)| Instant::now() < *until);
        learned.map_or(self.most, |(limit, _)| limit.min(self.most)).max(1)
    }

    /// Learns that so many were too many; `limit` where the node says how many are not.
    pub(crate) fn refused(&self, asked: usize, limit: Option<usize>) {
        let limit = limit.filter(|limit| (1..asked).contains(limit)).unwrap_or(asked / 2).max(1);
        let limit = limit.min(self.most());
        *self.learned() = Some((limit, Instant::now() + BELIEVED));
    }

    fn learned(&self) -> MutexGuard<'_, Option<(usize, Instant)>> {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_a_node_names_is_taken_and_otherwise_half_until_it_is_tried_anew() {
        let batches = Batches::new(100);
        batches.refused(64, Some(3));
        assert_eq!(batches.most(), 3);
        batches.refused(3, Some(3));
        assert_eq!(batches.most(), 1);
        batches.refused(1, None);
        assert_eq!(batches.most(), 1);
        tokio::time::advance(BELIEVED).await;
        assert_eq!(batches.most(), 100);
    }
}
