//! Used proofs that are shown again. They are counted in memory and written at most once a second.
//!
//! Whoever shows them chooses how often. So a refusal waits for nothing here, a flood of them is one write a second
//! with a count per transaction, and the memory between two writes is limited.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use alloy_primitives::B256;
use salt402_protocol::ChainId;
use salt402_store::{Replays, Store};

/// The pause between two writes.
const PAUSE: Duration = Duration::from_secs(1);
/// How many transactions are remembered until the next write. Attempts on others are counted in metrics only.
const REMEMBERED: usize = 1024;

/// Attempts to use payments again.
#[derive(Clone)]
pub(crate) struct ReplayLog(Arc<Inner>);

struct Inner {
    store: Store,
    /// A std mutex, because nothing is awaited while it is held.
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    attempts: HashMap<(ChainId, B256), u64>,
    /// Attempts on transactions that were not remembered because there were too many.
    cut: u64,
    /// Whether a task is running that will write them.
    writing: bool,
}

impl ReplayLog {
    pub(crate) fn new(store: Store) -> Self {
        Self(Arc::new(Inner { store, waiting: Mutex::default() }))
    }

    /// Notes an attempt and returns at once. It is written within about a second.
    pub(crate) fn note(&self, chain: ChainId, transaction: B256) {
        metrics::counter!("salt402_replay_attempts_total", "chain" => chain.to_string()).increment(1);
        let mut waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let full = waiting.attempts.len() >= REMEMBERED;
        match waiting.attempts.get_mut(&(chain, transaction)) {
            Some(attempts) => *attempts += 1,
            None if full => {
                waiting.cut += 1;
                return;
            }
            None => {
                waiting.attempts.insert((chain, transaction), 1);
            }
        }
        if !waiting.writing {
            waiting.writing = true;
            tokio::spawn(self.clone().write());
        }
    }

    /// Writes until nothing is left.
    async fn write(self) {
        while let Some(replays) = self.take() {
            if let Err(error) = self.0.store.note_replays(replays).await {
                tracing::warn!(%error, "attempts to use payments again could not be recorded");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// What waits to be written. `None` if nothing does; then the writing task ends.
    fn take(&self) -> Option<Vec<Replays>> {
        let mut waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let attempts = std::mem::take(&mut waiting.attempts);
        let cut = std::mem::take(&mut waiting.cut);
        if cut > 0 {
            metrics::counter!("salt402_incidents_cut_total", "kind" => "replay_attempt").increment(cut);
            tracing::warn!(
                cut,
                "proofs of more than {REMEMBERED} used transactions were shown again within a second: attempts on the others \
                 are counted, and no incident tells of them"
            );
        }
        waiting.writing = !attempts.is_empty();
        let replays = |((chain, transaction), attempts)| Replays { chain, transaction, attempts };
        waiting.writing.then(|| attempts.into_iter().map(replays).collect())
    }
}
