//! Why a node's answer cannot be used.

use std::time::Duration;

use alloy_primitives::{B256, U256};
use salt402_protocol::ChainId;

/// Why a node gave no answer, or one that cannot be used.
///
/// No message holds more of a node's URL than scheme, host and port: keys live in the rest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// What was configured as the node's address cannot be one.
    #[error("the node's address cannot be used: {what}")]
    Endpoint {
        /// What is wrong with it, and what is expected.
        what: String,
    },

    /// No connection, or one that broke.
    #[error("cannot reach {node}: {reason}; check that the node runs and that this is its address")]
    Unreachable {
        /// Scheme, host and port.
        node: String,
        /// What the system says.
        reason: String,
    },

    /// The node took the question and did not answer in time.
    #[error("{node} did not answer within {} ms; if it is only slow, allow it more time", after.as_millis())]
    Timeout {
        /// Scheme, host and port.
        node: String,
        /// How long it was given.
        after: Duration,
    },

    /// The node, or what stands before it, does not accept our credentials.
    #[error("{node} refuses us (HTTP {status}): check the key in its address or token")]
    Denied {
        /// Scheme, host and port.
        node: String,
        /// 401 or 403.
        status: u16,
    },

    /// An HTTP answer that is not JSON-RPC.
    #[error("{node} answers with HTTP status {status} and no JSON-RPC: check the path of its address")]
    Status {
        /// Scheme, host and port.
        node: String,
        /// The status.
        status: u16,
    },

    /// Too many questions, in the node's opinion.
    #[error("the node limits our rate{}; ask less often, or use a node of your own", rest(*retry_after))]
    RateLimited {
        /// How long it wants to be left alone, at most five minutes; `None` where it does not say.
        retry_after: Option<Duration>,
    },

    /// The events of so many blocks are not given at once. Ask for fewer blocks.
    #[error("the events of {blocks} blocks are too many for one answer{}; ask for fewer blocks", at_most(*limit))]
    RangeTooLarge {
        /// How many blocks were asked for.
        blocks: u64,
        /// The most that is given, as far as the profile or the node says so.
        limit: Option<u64>,
    },

    /// An answer longer than the endpoint's bound. The rest of it was not read.
    #[error(
        "the answer is longer than {limit} bytes{}: raise the node's max_answer_bytes if it is trusted",
        announced.map(|bytes| format!(" ({bytes} are announced)")).unwrap_or_default()
    )]
    AnswerTooLong {
        /// The bound in bytes.
        limit: usize,
        /// How long it is, where the node says so beforehand.
        announced: Option<u64>,
    },

    /// An answer that the node finds too long to give.
    #[error(
        "the answer is longer than what the node gives ({message}): allow it more if it is yours, or name another node"
    )]
    AnswerRefused {
        /// The node's own words, cut to a readable length.
        message: String,
    },

    /// So many questions are not answered at once.
    #[error(
        "the node takes no {asked} questions in one request{}; a block's header and its events have to come together, so \
         it must take two: use another node, or a plan that allows it",
        limit.map(|limit| format!(", and says that it takes {limit}")).unwrap_or_default()
    )]
    BatchTooLarge {
        /// How many were asked.
        asked: usize,
        /// How many the node says that it takes.
        limit: Option<usize>,
    },

    /// So many contracts are not answered for in one question.
    #[error(
        "the node answers for no {asked} contracts in one question{}; fewer are named where that helps",
        limit.map(|limit| format!(", and says that it does for {limit}")).unwrap_or_default()
    )]
    TooManyAddresses {
        /// How many were named.
        asked: usize,
        /// How many the node says that it answers for.
        limit: Option<usize>,
    },

    /// The events of a single block fit into no answer, and its receipts are not to be had either.
    #[error(
        "the events of block {block} are too many for one answer, and were not read from its receipts: {why}; raise the \
         node's max_answer_bytes if it is trusted, or name another node"
    )]
    BlockTooLarge {
        /// The block.
        block: B256,
        /// Why its receipts were of no help.
        why: String,
    },

    /// A JSON-RPC error of the node's own.
    #[error("the node answers with error {code}: {message}")]
    Rpc {
        /// The JSON-RPC error code.
        code: i64,
        /// Its text, cut to a readable length.
        message: String,
    },

    /// An answer that cannot be read.
    #[error("the node's answer cannot be read: {what}")]
    Malformed {
        /// Which part, and why.
        what: String,
    },

    /// An answer to another question, or one that contradicts itself. It was thrown away whole.
    #[error("the node's answer is untrue: {what}; if this lasts, use another node")]
    Lied {
        /// What was asked and what came.
        what: String,
    },

    /// The block left the chain while it was being read.
    #[error("the chain was reorganized while it was read: start again from its head")]
    Moved,

    /// The node does not have the block that was asked about (yet).
    #[error("the node does not have that block (yet): it lags, or its history is pruned")]
    Behind,

    /// The node is on another chain than the profile says.
    #[error(
        "the node is on chain eip155:{found} and not on {expected}: check its address and the network's profile"
    )]
    WrongChain {
        /// The profile's chain.
        expected: ChainId,
        /// The node's.
        found: u64,
    },

    /// The node's block 0 is another than that of the chain that is followed.
    #[error(
        "block 0 is {found} at {node} and {expected} on the chain that is followed: it is on another chain with the \
         same id; correct its address"
    )]
    WrongGenesis {
        /// Scheme, host and port.
        node: String,
        /// The hash that was pinned.
        expected: B256,
        /// The node's.
        found: B256,
    },

    /// Too few nodes say the same. Which of them is right cannot be told, so nothing was taken from any.
    #[error("the nodes do not agree: {what}")]
    Disagreed {
        /// About what, and who says which.
        what: String,
    },

    /// The node does not have a method at all.
    #[error("the node has no method {method} ({message}): use another node, or switch off what needs it")]
    Unsupported {
        /// The method.
        method: String,
        /// The node's own words, cut to a readable length.
        message: String,
    },

    /// The account cannot pay for the transaction.
    #[error("the account holds {held} base units and needs up to {needed}, gas included: send it more")]
    Unaffordable {
        /// Value and the most that gas may cost, in base units of the native coin.
        needed: U256,
        /// The account's balance.
        held: U256,
    },

    /// The transaction needs more gas than an account may be made to pay for.
    #[error(
        "the transaction needs {needed} gas, more than the profile's max_gas_limit of {limit}: was it meant?"
    )]
    GasTooHigh {
        /// The estimate.
        needed: u64,
        /// The profile's `max_gas_limit`.
        limit: u64,
    },

    /// The node asks for a higher price of gas than an account may be made to pay.
    #[error(
        "gas costs {asked} base units, more than the profile's max_fee_per_gas of {limit}: wait, or raise it"
    )]
    FeeTooHigh {
        /// Base fee and tip that the node names.
        asked: u64,
        /// The profile's `max_fee_per_gas`.
        limit: u64,
    },
}

impl NodeError {
    /// Whether the same question may well be answered later without anybody changing anything.
    ///
    /// A lie counts: behind a balancer the next answer comes from another node. So does an answer that cannot be read:
    /// it is mostly a proxy's page about an outage.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::Timeout { .. }
            | Self::RateLimited { .. }
            | Self::Malformed { .. }
            | Self::Lied { .. }
            | Self::Moved
            | Self::Behind
            | Self::Disagreed { .. }
            | Self::FeeTooHigh { .. } => true,
            Self::Status { status, .. } => *status >= 500 || *status == 408,
            Self::Rpc { code, message } => may_pass(*code, message),
            Self::Endpoint { .. }
            | Self::Denied { .. }
            | Self::RangeTooLarge { .. }
            | Self::AnswerTooLong { .. }
            | Self::AnswerRefused { .. }
            | Self::BatchTooLarge { .. }
            | Self::TooManyAddresses { .. }
            | Self::BlockTooLarge { .. }
            | Self::WrongChain { .. }
            | Self::WrongGenesis { .. }
            | Self::Unsupported { .. }
            | Self::Unaffordable { .. }
            | Self::GasTooHigh { .. } => false,
        }
    }

    /// Whether the answer is too long, for us or for the node to give.
    pub fn is_too_long(&self) -> bool {
        matches!(self, Self::AnswerTooLong { .. } | Self::AnswerRefused { .. })
    }

    /// How long an answer is at the least that was too long, in bytes, and the most that was taken; `None` where the node itself
    /// does not give it. `None` for any other error.
    pub fn too_long(&self) -> Option<(u64, Option<u64>)> {
        match self {
            Self::AnswerTooLong { limit, announced } => {
                let limit = u64::try_from(*limit).unwrap_or(u64::MAX);
                Some((announced.unwrap_or(0).max(limit), Some(limit)))
            }
            Self::AnswerRefused { .. } => Some((0, None)),
            _ => None,
        }
    }

    /// Whether the node is on another chain.
    pub fn is_elsewhere(&self) -> bool {
        matches!(self, Self::WrongChain { .. } | Self::WrongGenesis { .. })
    }

    /// Whether the call was executed and reverted: the node is well, the call is not.
    pub fn is_revert(&self) -> bool {
        matches!(self, Self::Rpc { code, message } if *code == 3 || message.contains("execution reverted"))
    }

    /// What became of a request, in one of a few words.
    pub(crate) fn outcome(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } | Self::Endpoint { .. } => "unreachable",
            Self::Timeout { .. } => "timeout",
            Self::RateLimited { .. } => "rate_limited",
            Self::Denied { .. } => "denied",
            Self::Malformed { .. } | Self::Status { .. } => "malformed",
            Self::Lied { .. } => "lied",
            _ => "error",
        }
    }
}

/// Whether an error of the node's own may be gone in a moment.
fn may_pass(code: i64, message: &str) -> bool {
    let words = message.to_ascii_lowercase();
    let waits =
        ["timeout", "timed out", "deadline", "try again", "temporar", "overloaded", "currently healthy"];
    matches!(code, -32603 | -32002) || waits.iter().any(|phrase| words.contains(phrase))
}

fn rest(retry_after: Option<Duration>) -> String {
    retry_after.map(|time| format!(" and wants {} s of rest", time.as_secs())).unwrap_or_default()
}

fn at_most(limit: Option<u64>) -> String {
    limit.map(|blocks| format!(" (at most {blocks} are given)")).unwrap_or_default()
}
