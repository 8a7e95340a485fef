//! How many blocks a question about a range spans, for each node of a chain by itself.
//!
//! One node refuses what another answers. What a node refuses is kept in the store and shared by all that read ranges; how
//! dense the blocks are that are read is known to each of them alone.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use salt402_protocol::ChainId;
use salt402_store::{Store, StoreError};

use crate::sizing::Sizing;

/// The sizing for each node, by its name.
pub(crate) struct Sizings {
    most: u64,
    each: BTreeMap<String, Sizing>,
    ceilings: Arc<Ceilings>,
}

/// The widths that nodes refused. What is not known of a node costs one refused question, so nothing waits for the store.
struct Ceilings {
    chain: ChainId,
    store: Store,
    // A std mutex, because nothing is awaited while it is held.
    known: Mutex<BTreeMap<String, u64>>,
}

impl Sizings {
    /// For questions of at most so many blocks.
    pub(crate) fn new(chain: ChainId, store: Store, most: u64) -> Self {
        let ceilings = Ceilings { chain, store, known: Mutex::default() };
        Self { most, each: BTreeMap::new(), ceilings: Arc::new(ceilings) }
    }

    /// For others who ask the same nodes, about other blocks.
    pub(crate) fn beside(&self) -> Self {
        Self { most: self.most, each: BTreeMap::new(), ceilings: Arc::clone(&self.ceilings) }
    }

    /// Takes over what was learned in earlier lives of the process.
    pub(crate) async fn load(&self) -> Result<(), StoreError> {
        let stored = self.ceilings.store.range_ceilings(self.ceilings.chain).await?;
        self.ceilings.known().extend(stored);
        Ok(())
    }

    /// The sizing for a node.
    pub(crate) fn of(&self, node: &str) -> Sizing {
        let mut sizing = self.each.get(node).cloned().unwrap_or_else(|| Sizing::new(self.most));
        sizing.know(self.ceilings.known().get(node).copied());
        sizing
    }

    /// Keeps what was learned of a node. Where its ceiling changed, in the store too.
    pub(crate) async fn learned(&mut self, node: &str, sizing: Sizing) {
        let news = sizing.news();
        self.each.insert(node.to_owned(), sizing);
        let Some(ceiling) = news else { return };
        {
            let mut known = self.ceilings.known();
            match ceiling {
                Some(blocks) => known.insert(node.to_owned(), blocks),
                None => known.remove(node),
            };
        }
        let (chain, store) = (self.ceilings.chain, &self.ceilings.store);
        tracing::debug!(%chain, node, ceiling, "so many blocks are refused");
        if let Err(error) = store.note_range_ceiling(chain, node, ceiling).await {
            tracing::debug!(%chain, node, %error, "how many blocks the node refuses was not stored, and is found again");
        }
    }
}

impl Ceilings {
    fn known(&self) -> MutexGuard<'_, BTreeMap<String, u64>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use salt402_chain::NodeError;
    use salt402_store::Options;

    use super::*;

    const MOST: u64 = 10_000;

    fn refused(blocks: u64) -> crate::IndexError {
        NodeError::RangeTooLarge { blocks, limit: None }.into()
    }

    #[tokio::test]
    async fn what_one_node_refuses_is_not_held_against_another_and_outlives_the_process() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("salt402.db");
        let store = Store::open(Options::new(&path)).await.expect("a store");
        let mut sizings = Sizings::new(ChainId::CITRATE, store.clone(), MOST);
        let mut beside = sizings.beside();
        for node in ["one", "two"] {
            let mut sizing = sizings.of(node);
            for _ in 0..12 {
                sizing.answered(sizing.span(), 0);
            }
            sizings.learned(node, sizing).await;
        }
        let mut sizing = sizings.of("one");
        sizing.too_much(1000, &refused(1000));
        sizings.learned("one", sizing).await;
        assert!(sizings.of("one").span() < 1000);
        assert_eq!(sizings.of("two").span(), MOST);
        // Another who asks the same node is spared the question, and what it learns counts for all.
        let mut sizing = beside.of("one");
        for _ in 0..40 {
            sizing.answered(sizing.span(), 0);
            assert!(sizing.span() < 1000);
        }
        sizing.too_much(300, &refused(300));
        beside.learned("one", sizing).await;
        assert!(sizings.of("one").span() < 300);
        store.close().await;

        let store = Store::open(Options::new(&path)).await.expect("a store");
        let sizings = Sizings::new(ChainId::CITRATE, store.clone(), MOST);
        sizings.load().await.expect("what was stored");
        for (node, widest) in [("one", 299), ("two", MOST)] {
            let mut sizing = sizings.of(node);
            for _ in 0..40 {
                sizing.answered(sizing.span(), 0);
                assert!(sizing.span() <= widest, "{node}");
            }
            assert_eq!(sizing.span(), widest, "{node}");
        }
        store.close().await;
    }

    #[tokio::test]
    async fn a_store_that_cannot_write_costs_no_more_than_the_memory_of_the_next_life() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(Options::new(folder.path().join("salt402.db"))).await.expect("a store");
        let mut sizings = Sizings::new(ChainId::CITRATE, store.clone(), MOST);
        store.close().await;
        let mut sizing = sizings.of("one");
        sizing.too_much(16, &refused(16));
        sizings.learned("one", sizing).await;
        assert_eq!(sizings.of("one").span(), 8);
    }
}
