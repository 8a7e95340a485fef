//! The questions to a node about blocks. Their answers hold every event of the followed contracts.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, B256};
use salt402_chain::{LogQuery, Readable, Unreadable};
use salt402_protocol::Source;

/// What a source asks, and the first block that may hold an answer.
struct Asked {
    contract: Address,
    topics: Vec<Vec<B256>>,
    start_block: u64,
}

/// Questions whose answers hold every event of some sources, or at least one log of every transaction that holds
/// something.
pub(crate) struct Questions(Vec<Asked>);

impl Questions {
    pub(crate) fn of<'s>(sources: impl IntoIterator<Item = &'s Source>) -> Self {
        let asked = sources.into_iter().flat_map(|source| {
            source.questions().into_iter().map(|question| Asked {
                contract: question.contract,
                topics: question.topics,
                start_block: source.start_block,
            })
        });
        Self(asked.collect())
    }

    /// The question about blocks up to a height. What several sources ask is asked once, and contracts with the same
    /// question share it.
    pub(crate) fn up_to(&self, last: u64) -> LogQuery {
        let begun = self.0.iter().filter(|asked| asked.start_block <= last);
        begun.map(|asked| (asked.contract, asked.topics.clone())).collect()
    }

    /// Drops what nobody asked for: events of a contract from before its first block.
    pub(crate) fn retain_asked(&self, readable: &mut Readable) {
        let first = self.0.iter().map(|asked| asked.start_block).max().unwrap_or(0);
        if readable.logs.iter().all(|log| log.block_number >= first) {
            return;
        }
        let queries: BTreeMap<u64, LogQuery> =
            self.0.iter().map(|asked| (asked.start_block, self.up_to(asked.start_block))).collect();
        readable.logs.retain(|log| {
            let begun = queries.range(..=log.block_number).next_back();
            begun.is_some_and(|(_, query)| query.matches(log.contract, &log.content))
        });
    }
}

/// Adds an answer to the answers of other questions about the same blocks. What one of them could not read counts as
/// unread.
pub(crate) fn put_together(all: &mut Readable, more: Readable) {
    all.logs.extend(more.logs);
    for unread in more.unreadable {
        let same = |known: &Unreadable| known.transaction == unread.transaction;
        if !all.unreadable.iter().any(same) {
            all.unreadable.push(unread);
        }
    }
    if !all.unreadable.is_empty() {
        let unread: BTreeSet<B256> = all.unreadable.iter().map(|unread| unread.transaction).collect();
        all.logs.retain(|log| !unread.contains(&log.transaction));
    }
}
