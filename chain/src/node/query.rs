//! What a node can be asked for: blocks, events, and for which work.

use alloy_primitives::{Address, B256, LogData};

/// Which block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// The head, as the node sees it now.
    Latest,
    /// The block at this height on the chain that the node now holds to be the right one.
    Number(u64),
    /// The block with this hash, whether or not it is still part of that chain.
    Hash(B256),
}

/// Events of some contracts with the same topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFilter {
    /// The contracts that emit them, each once, ascending.
    pub contracts: Vec<Address>,
    /// For each place of the topics, the values that are asked for; none stands for any. At most four places; the
    /// first is the hash of the event's signature.
    pub topics: Vec<Vec<B256>>,
}

impl LogFilter {
    /// Whether an event is one of those.
    pub fn matches(&self, contract: Address, content: &LogData) -> bool {
        self.contracts.binary_search(&contract).is_ok()
            && self.topics.iter().enumerate().all(|(place, values)| {
                values.is_empty() || content.topics().get(place).is_some_and(|topic| values.contains(topic))
            })
    }
}

/// Which events: those that one of some filters lets through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogQuery {
    /// The filters, no two of which have the same topics.
    filters: Vec<LogFilter>,
}

impl LogQuery {
    /// The events of some signatures of one contract.
    pub fn new(contract: Address, signatures: Vec<B256>) -> Self {
        [(contract, vec![signatures])].into_iter().collect()
    }

    /// Whether an event is one of those.
    pub fn matches(&self, contract: Address, content: &LogData) -> bool {
        self.filters.iter().any(|filter| filter.matches(contract, content))
    }

    /// Whether it asks for nothing.
    pub fn is_empty(&self) -> bool {
        self.filters.is_empty()
    }

    /// Its filters, each with at most so many contracts.
    pub(crate) fn parts(&self, most: usize) -> Vec<LogFilter> {
        let parts = self.filters.iter().flat_map(|filter| {
            filter
                .contracts
                .chunks(most.max(1))
                .map(|part| LogFilter { contracts: part.to_vec(), topics: filter.topics.clone() })
        });
        parts.collect()
    }
}

/// What is asked of several contracts in the same words is one filter.
impl FromIterator<(Address, Vec<Vec<B256>>)> for LogQuery {
    fn from_iter<I: IntoIterator<Item = (Address, Vec<Vec<B256>>)>>(asked: I) -> Self {
        let mut filters: Vec<LogFilter> = Vec::new();
        for (contract, topics) in asked {
            match filters.iter_mut().find(|filter| filter.topics == topics) {
                Some(filter) => {
                    if let Err(place) = filter.contracts.binary_search(&contract) {
                        filter.contracts.insert(place, contract);
                    }
                }
                None => filters.push(LogFilter { contracts: vec![contract], topics }),
            }
        }
        Self { filters }
    }
}

/// Events of which blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// Every block from one height to another, both included, on the chain that the node now holds to be the right
    /// one. The answer may straddle a reorganization: compare its hashes with headers that were asked for.
    ///
    /// At most [`Profile::logs_range`](crate::Profile::logs_range) blocks. `from` above `to` holds no block, and gets no log.
    Blocks {
        /// First height.
        from: u64,
        /// Last height.
        to: u64,
    },
    /// This very block, and no other at its height.
    Block(B256),
}

/// What a node is asked for: each kind has its share of what the node may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Work {
    /// New blocks. Whatever else is going on, there is room for them.
    Head,
    /// One transaction that somebody waits for.
    LookUp,
    /// The past, which takes what the others leave.
    BackFill,
}
