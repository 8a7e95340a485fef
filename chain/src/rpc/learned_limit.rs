//! A limit learned from refusals: calls in a batch, or contracts in a log query.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use crate::lock::lock;

/// How long a refusal counts. It may have come from another node behind the same address, or the operator's plan may
/// change.
const REMEMBERED_FOR: Duration = Duration::from_secs(3600);

/// The most items in one request: the profile's limit, or less after a refusal.
#[derive(Debug)]
pub(crate) struct LearnedLimit {
    most: usize,
    learned: Mutex<Option<(usize, Instant)>>,
}

impl LearnedLimit {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, learned: Mutex::default() }
    }

    /// The current limit.
    pub(crate) fn most(&self) -> usize {
        let learned = lock(&self.learned).filter(|(_, until)| Instant::now() < *until);
        learned.map_or(self.most, |(limit, _)| limit.min(self.most)).max(1)
    }

    /// Records a refusal of `asked` items. `limit` is the number that the node accepts, if it names one.
    pub(crate) fn refused(&self, asked: usize, limit: Option<usize>) {
        let limit = limit.filter(|limit| (1..asked).contains(limit)).unwrap_or(asked / 2).max(1);
        let limit = limit.min(self.most());
        *lock(&self.learned) = Some((limit, Instant::now() + REMEMBERED_FOR));
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
        tokio::time::advance(REMEMBERED_FOR).await;
        assert_eq!(batches.most(), 100);
    }
}
