//! How much a node takes in one request: questions, or contracts that one question names.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use crate::lock::lock;

/// How long a node that refused a batch is given smaller ones. What refused it may have been another node behind the
/// same address, or a plan that was changed since.
const BELIEVED: Duration = Duration::from_secs(3600);

/// The most that is asked together: the profile's, or less where the node refused that.
#[derive(Debug)]
pub(crate) struct LearnedLimit {
    most: usize,
    learned: Mutex<Option<(usize, Instant)>>,
}

impl LearnedLimit {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, learned: Mutex::default() }
    }

    /// How many questions may go together now.
    pub(crate) fn most(&self) -> usize {
        let learned = lock(&self.learned).filter(|(_, until)| Instant::now() < *until);
        learned.map_or(self.most, |(limit, _)| limit.min(self.most)).max(1)
    }

    /// Learns that so many were too many; `limit` where the node says how many are not.
    pub(crate) fn refused(&self, asked: usize, limit: Option<usize>) {
        let limit = limit.filter(|limit| (1..asked).contains(limit)).unwrap_or(asked / 2).max(1);
        let limit = limit.min(self.most());
        *lock(&self.learned) = Some((limit, Instant::now() + BELIEVED));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_a_node_names_is_taken_and_otherwise_half_until_it_is_tried_anew() {
        let batches = LearnedLimit::new(100);
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
