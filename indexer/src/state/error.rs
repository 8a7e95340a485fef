//! Why a step did not happen, and what follows for the next question.

use std::time::Duration;

use alloy_primitives::B256;
use salt402_chain::NodeError;
use salt402_store::{HaltKind, StoreError};

/// Why a step did not happen.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The node could not be asked, or its answer cannot be true.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The store could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The node follows another chain than the configured one.
    #[error(
        "the node is on chain {given}, the configuration says {expected}: correct the RPC address or the profile"
    )]
    WrongChain {
        /// The chain of the configuration.
        expected: u64,
        /// The chain of the node.
        given: u64,
    },
    /// The node's genesis block is not the profile's.
    #[error(
        "the node's genesis block is {given}, the profile pins {expected}: the node is on another chain with the same \
         id; correct the RPC address, or the profile's genesis if the chain was reset"
    )]
    WrongGenesis {
        /// The hash in the profile.
        expected: B256,
        /// The hash at the node.
        given: B256,
    },
    /// The node does not have block 0, and the configuration does not say its hash.
    #[error(
        "the node does not have block 0, as its history is pruned, and no genesis is pinned: set genesis_hash under \
         [chains.NAME.overrides], or let a node with block 0 make the first contact"
    )]
    NoGenesis,
    /// The node has no block 0, and has another block than the stored one at a height that no reorganization reaches.
    #[error(
        "block {number} is {given} at the node and {expected} in the index, and the node has no block 0 to tell whether \
         it is the same chain: nothing is undone for it; check the node"
    )]
    WrongAnchor {
        /// The height of the oldest stored header.
        number: u64,
        /// The stored hash.
        expected: B256,
        /// The hash at the node.
        given: B256,
    },
    /// A reorganization goes deeper than the stored headers.
    #[error(
        "the chain was reorganized below block {floor}, deeper than the {window} headers that are kept: nothing more \
         is granted on it; check the node, then `salt402 chain resume` shows what would leave the chain and accepts it"
    )]
    TooDeep {
        /// The lowest height that was tried.
        floor: u64,
        /// Headers kept.
        window: u64,
    },
    /// A reorganization would take blocks off the chain that count as final.
    #[error(
        "the chain was reorganized {depth} blocks deep, and blocks count as final after {finality}: nothing more is \
         granted on it; check the node, then `salt402 chain resume` shows what would leave the chain and accepts it"
    )]
    PastFinal {
        /// Blocks that would leave the chain.
        depth: u64,
        /// Blocks after which one counts as final.
        finality: u64,
    },
    /// The operator accepted a fork, and the node is on another one now.
    #[error(
        "the node is no longer on the fork that was accepted, {depth} blocks deep: nothing was changed; \
         `salt402 chain resume` shows what there is now"
    )]
    OtherFork {
        /// How many blocks the accepted fork would have taken off the chain.
        depth: u64,
    },
    /// The chain was halted before, and nobody decided yet.
    #[error("{}", halted(*kind, *depth))]
    Halted {
        /// Why.
        kind: HaltKind,
        /// Blocks that would leave the chain, at least.
        depth: u64,
    },
    /// Headers that do not form a chain.
    #[error("the node's headers do not join: block {number} names a parent at another height")]
    BrokenChain {
        /// The child's height.
        number: u64,
    },
}

impl IndexError {
    /// Whether only the operator can repair this. Everything else is tried again as long as the process runs: a node
    /// may come back, get another address, or allow access again.
    pub fn is_fatal(&self) -> bool {
        match self {
            // A node's word is final only if all nodes have another genesis block.
            Self::Node(error) => matches!(error, NodeError::WrongGenesis { .. }),
            Self::WrongChain { .. }
            | Self::BrokenChain { .. }
            | Self::NoGenesis
            | Self::WrongAnchor { .. } => false,
            Self::Store(error) => {
                matches!(error, StoreError::OtherGenesis { .. } | StoreError::Halted { .. })
            }
            Self::WrongGenesis { .. }
            | Self::TooDeep { .. }
            | Self::PastFinal { .. }
            | Self::OtherFork { .. }
            | Self::Halted { .. } => true,
        }
    }

    /// Whether it tells of a stored halt, not of a node's answer.
    pub(crate) fn is_stored(&self) -> bool {
        matches!(self, Self::Halted { .. } | Self::Store(StoreError::Halted { .. }))
    }

    /// As [`NodeError::too_long`].
    pub(crate) fn too_long(&self) -> Option<(u64, Option<u64>)> {
        match self {
            Self::Node(error) => error.too_long(),
            _ => None,
        }
    }

    /// How long the node asks to be left alone, if it says so.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Node(NodeError::RateLimited { retry_after }) => *retry_after,
            _ => None,
        }
    }

    /// How many blocks the node says it answers for.
    pub(crate) fn limit(&self) -> Option<u64> {
        match self {
            Self::Node(NodeError::RangeTooLarge { limit, .. }) => *limit,
            _ => None,
        }
    }

    /// Whether no answer came in time. The question may have been too wide, or the node may not answer.
    pub(crate) fn is_late(&self) -> bool {
        matches!(self, Self::Node(NodeError::Timeout { .. }))
    }

    /// Whether asking less often would help, and asking for fewer blocks would not.
    pub(crate) fn asked_too_often(&self) -> bool {
        matches!(self, Self::Node(NodeError::RateLimited { .. }))
    }

    /// Whether the same question about fewer blocks may be answered.
    pub(crate) fn asked_too_much(&self) -> bool {
        matches!(
            self,
            Self::Node(
                NodeError::RangeTooLarge { .. }
                    | NodeError::AnswerTooLong { .. }
                    | NodeError::AnswerRefused { .. }
                    | NodeError::Timeout { .. }
            )
        )
    }
}

fn halted(kind: HaltKind, depth: u64) -> String {
    match kind {
        HaltKind::Fork => format!("{} (at least {depth} blocks would leave)", kind.told()),
        HaltKind::Genesis => kind.told().into(),
    }
}
