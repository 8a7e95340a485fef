//! How many blocks one question about logs spans, for each node of a chain.
//!
//! One node refuses what another answers. What a node refuses is known to all that read ranges from it. How dense the
//! blocks are is known only to the one that reads them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::backfill::range_width::RangeWidth;

/// The width for each node, by its name.
pub(crate) struct NodeWidths {
    most: u64,
    each: BTreeMap<String, RangeWidth>,
    /// The widths that nodes refused.
    refused: Refused,
}

// A std mutex, because nothing is awaited while it is held.
type Refused = Arc<Mutex<BTreeMap<String, u64>>>;

impl NodeWidths {
    /// For questions of at most this many blocks.
    pub(crate) fn new(most: u64) -> Self {
        Self { most, each: BTreeMap::new(), refused: Refused::default() }
    }

    /// For another reader of the same nodes, of other blocks.
    pub(crate) fn of_others(&self) -> Self {
        Self { most: self.most, each: BTreeMap::new(), refused: Arc::clone(&self.refused) }
    }

    /// The width for a node.
    pub(crate) fn of(&self, node: &str) -> RangeWidth {
        let mut range = self.each.get(node).cloned().unwrap_or_else(|| RangeWidth::new(self.most));
        range.know(self.refused().get(node).copied());
        range
    }

    /// Keeps what was learned of a node.
    pub(crate) fn learned(&mut self, node: &str, range: RangeWidth) {
        match range.news() {
            Some(Some(blocks)) => {
                tracing::debug!(node, blocks, "so many blocks are refused");
                self.refused().insert(node.to_owned(), blocks);
            }
            Some(None) => {
                self.refused().remove(node);
            }
            None => {}
        }
        self.each.insert(node.to_owned(), range);
    }

    fn refused(&self) -> MutexGuard<'_, BTreeMap<String, u64>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_node_refuses_is_not_held_against_another_and_is_known_to_all_who_ask_it() {
        const MOST: u64 = 10_000;
        let refused = |blocks| salt402_chain::NodeError::RangeTooLarge { blocks, limit: None }.into();
        let mut widths = NodeWidths::new(MOST);
        let mut others = widths.of_others();
        for node in ["one", "two"] {
            let mut range = widths.of(node);
            for _ in 0..12 {
                range.answered(range.span(), 0);
            }
            widths.learned(node, range);
        }
        let mut range = widths.of("one");
        range.too_much(1000, &refused(1000));
        widths.learned("one", range);
        assert!(widths.of("one").span() < 1000);
        assert_eq!(widths.of("two").span(), MOST);
        // Another reader of the same node need not ask that, and what it learns counts for all.
        let mut range = others.of("one");
        for _ in 0..40 {
            range.answered(range.span(), 0);
            assert!(range.span() < 1000);
        }
        range.too_much(300, &refused(300));
        others.learned("one", range);
        assert!(widths.of("one").span() < 300);
        // A new reader asks for less than what is refused, and comes closer step by step.
        for (node, widest) in [("one", 299), ("two", MOST)] {
            let mut range = widths.of_others().of(node);
            for _ in 0..40 {
                range.answered(range.span(), 0);
                assert!(range.span() <= widest, "{node}");
            }
            assert_eq!(range.span(), widest, "{node}");
        }
    }
}
