//! Queries: blocks, logs, and kinds of work.

use alloy_primitives::{Address, B256, LogData};

/// Which block to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// The node's current head.
    Latest,
    /// The block at this height on the node's current chain.
    Number(u64),
    /// The block with this hash, even if it is not on the current chain.
    Hash(B256),
}

/// A log filter: some contracts, with the same topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFilter {
    /// The contracts, each once, ascending.
    pub contracts: Vec<Address>,
    /// The accepted values at each topic position, at most four positions. An empty list accepts any value. The first
    /// topic is the hash of the event's signature.
    pub topics: Vec<Vec<B256>>,
}

impl LogFilter {
    /// Whether a log matches.
    pub fn matches(&self, contract: Address, content: &LogData) -> bool {
        self.contracts.binary_search(&contract).is_ok()
            && self.topics.iter().enumerate().all(|(place, values)| {
                values.is_empty() || content.topics().get(place).is_some_and(|topic| values.contains(topic))
            })
    }
}

/// A log query: logs that match at least one filter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogQuery {
    /// The filters. No two have the same topics.
    filters: Vec<LogFilter>,
}

impl LogQuery {
    /// Logs of one contract with some event signatures.
    pub fn new(contract: Address, signatures: Vec<B256>) -> Self {
        [(contract, vec![signatures])].into_iter().collect()
    }

    /// Whether a log matches.
    pub fn matches(&self, contract: Address, content: &LogData) -> bool {
        self.filters.iter().any(|filter| filter.matches(contract, content))
    }

    /// Whether the query matches nothing.
    pub fn is_empty(&self) -> bool {
        self.filters.is_empty()
    }

    /// The filters, split so that each has at most `most` contracts.
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

/// Contracts with the same topics share one filter.
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

/// The blocks of a log query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// All blocks between two heights, both included, on the node's current chain. The answer may mix blocks from
    /// before and after a reorganization: compare its hashes with separately read headers.
    ///
    /// At most [`Profile::logs_range`](crate::Profile::logs_range) blocks. The span is empty if `from` is above `to`.
    Blocks {
        /// The first height.
        from: u64,
        /// The last height.
        to: u64,
    },
    /// The block with this hash only.
    Block(B256),
}

/// The kind of work. Each kind has a share of the node's request budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Work {
    /// New blocks. They always have budget left.
    Head,
    /// A single transaction that a client waits for.
    LookUp,
    /// Past blocks. They use what the other kinds leave.
    BackFill,
}
