//! The reasons why a node's answer cannot be used.

use std::time::Duration;

use alloy_primitives::{B256, U256};
use salt402_protocol::ChainId;

/// Why a node gave no usable answer.
///
/// Messages show only scheme, host and port of a node's URL, because the rest may hold API keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// The configured node address is invalid.
    #[error("the node's address cannot be used: {what}")]
    Endpoint {
        /// What is wrong, and what is expected.
        what: String,
    },

    /// The connection failed or broke.
    #[error("cannot reach {node}: {reason}; check that the node runs and that the address is right")]
    Unreachable {
        /// Scheme, host and port.
        node: String,
        /// The system's message.
        reason: String,
    },

    /// The node accepted the request and did not answer in time.
    #[error("{node} did not answer within {} ms; if it is only slow, raise its timeout", after.as_millis())]
    Timeout {
        /// Scheme, host and port.
        node: String,
        /// The timeout.
        after: Duration,
    },

    /// The node, or a gateway before it, refuses our credentials.
    #[error("{node} refuses access (HTTP {status}): check the key in its address, or its token")]
    Denied {
        /// Scheme, host and port.
        node: String,
        /// 401 or 403.
        status: u16,
    },

    /// An HTTP answer that is not JSON-RPC.
    #[error("{node} answers with HTTP status {status} instead of JSON-RPC: check the path in its address")]
    Status {
        /// Scheme, host and port.
        node: String,
        /// The status.
        status: u16,
    },

    /// The node refuses because it gets too many requests.
    #[error("the node limits the request rate{}; ask less often, or use a node of your own", rest(*retry_after))]
    RateLimited {
        /// The pause the node asks for, at most five minutes. `None`: it does not say.
        retry_after: Option<Duration>,
    },

    /// The node does not give the logs of so many blocks at once. Ask for fewer blocks.
    #[error("the events of {blocks} blocks are too many for one answer{}; ask for fewer blocks", at_most(*limit))]
    RangeTooLarge {
        /// The number of blocks asked for.
        blocks: u64,
        /// The limit, if the profile or the node names one.
        limit: Option<u64>,
    },

    /// The answer is longer than the endpoint's limit. The rest was not read.
    #[error(
        "the answer is longer than {limit} bytes{}: raise the node's max_answer_bytes if it is trusted",
        announced.map(|bytes| format!(" (it announced {bytes})")).unwrap_or_default()
    )]
    AnswerTooLong {
        /// The limit in bytes.
        limit: usize,
        /// The answer's length, if the node announced it.
        announced: Option<u64>,
    },

    /// The node refuses to give the answer because it is too long.
    #[error(
        "the node refuses to give so long an answer ({message}): raise its limit if it is yours, or use another node"
    )]
    AnswerRefused {
        /// The node's message, shortened.
        message: String,
    },

    /// The node does not take so many requests in one batch.
    #[error(
        "the node does not take {asked} calls in one batch{}; it must take two, because a block's header and its \
         events are read together: use another node, or a plan that allows batches",
        limit.map(|limit| format!(" (its limit is {limit})")).unwrap_or_default()
    )]
    BatchTooLarge {
        /// The number of requests in the batch.
        asked: usize,
        /// The node's limit, if it names one.
        limit: Option<usize>,
    },

    /// The node does not take so many contracts in one log query.
    #[error(
        "the node does not take {asked} contracts in one log query{}; smaller queries are tried",
        limit.map(|limit| format!(" (its limit is {limit})")).unwrap_or_default()
    )]
    TooManyAddresses {
        /// The number of contracts in the query.
        asked: usize,
        /// The node's limit, if it names one.
        limit: Option<usize>,
    },

    /// The logs of a single block exceed every answer limit, and its receipts cannot be read either.
    #[error(
        "the events of block {block} are too many for one answer, and reading its receipts failed: {why}; raise the \
         node's max_answer_bytes if it is trusted, or use another node"
    )]
    BlockTooLarge {
        /// The block's hash.
        block: B256,
        /// Why its receipts cannot be read.
        why: String,
    },

    /// Another JSON-RPC error of the node.
    #[error("the node answers with error {code}: {message}")]
    Rpc {
        /// The JSON-RPC error code.
        code: i64,
        /// The message, shortened.
        message: String,
    },

    /// The answer cannot be parsed.
    #[error("the node's answer cannot be parsed: {what}")]
    Malformed {
        /// Which part, and why.
        what: String,
    },

    /// The answer belongs to another request, or contradicts itself. All of it was discarded.
    #[error("the node's answer is wrong: {what}; if this lasts, use another node")]
    Lied {
        /// The request and the answer.
        what: String,
    },

    /// The block left the chain while it was read.
    #[error("the chain was reorganized while it was read: start again from its head")]
    Moved,

    /// The node does not have the requested block (yet).
    #[error("the node does not have that block (yet): it lags, or its history is pruned")]
    Behind,

    /// The node's chain id is not the profile's.
    #[error(
        "the node is on chain eip155:{found}, not on {expected}: check its address and the network's profile"
    )]
    WrongChain {
        /// The profile's chain.
        expected: ChainId,
        /// The node's chain id.
        found: u64,
    },

    /// The node's block 0 is not that of the followed chain.
    #[error(
        "block 0 is {found} at {node}, but {expected} on the followed chain: the node is on another chain with the \
         same id; correct its address"
    )]
    WrongGenesis {
        /// Scheme, host and port.
        node: String,
        /// The expected hash.
        expected: B256,
        /// The node's hash.
        found: B256,
    },

    /// Too few nodes agree, so it is unknown which is right. All their answers were discarded.
    #[error("the nodes do not agree: {what}")]
    Disagreed {
        /// The subject, and which node says what.
        what: String,
    },

    /// The node does not have the method.
    #[error(
        "the node does not have the method {method} ({message}): use another node, or switch off the feature that needs it"
    )]
    Unsupported {
        /// The method.
        method: String,
        /// The node's message, shortened.
        message: String,
    },

    /// The account cannot pay for the transaction.
    #[error("the account holds {held} base units but needs up to {needed} including gas: send it more")]
    Unaffordable {
        /// Value plus the highest possible gas cost, in base units of the native coin.
        needed: U256,
        /// The account's balance.
        held: U256,
    },

    /// The transaction needs more gas than the account may buy.
    #[error(
        "the transaction needs {needed} gas, more than the profile's max_gas_limit of {limit}: check the transaction, or raise the limit"
    )]
    GasTooHigh {
        /// The gas estimate.
        needed: u64,
        /// The profile's `max_gas_limit`.
        limit: u64,
    },

    /// The node's gas price is higher than the account may pay.
    #[error(
        "gas costs {asked} base units, more than the profile's max_fee_per_gas of {limit}: wait, or raise it"
    )]
    FeeTooHigh {
        /// The node's base fee plus tip.
        asked: u64,
        /// The profile's `max_fee_per_gas`.
        limit: u64,
    },
}

impl NodeError {
    /// Whether a repeated request may succeed without any change.
    ///
    /// A lie counts, because another node behind a balancer may answer next. An unparsable answer counts, because it is
    /// usually a proxy's error page.
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

    /// Whether the answer is too long, for the endpoint's limit or the node's.
    pub fn is_too_long(&self) -> bool {
        matches!(self, Self::AnswerTooLong { .. } | Self::AnswerRefused { .. })
    }

    /// The minimum length of an answer that was too long, in bytes, and the endpoint's limit. The limit is `None` if
    /// the node itself refused. `None` for other errors.
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

    /// Whether the call reverted. The node works; the call fails.
    pub fn is_revert(&self) -> bool {
        matches!(self, Self::Rpc { code, message } if *code == 3 || message.contains("execution reverted"))
    }

    /// The outcome of a request as a metric label.
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

/// Whether a node's own error may be temporary.
fn may_pass(code: i64, message: &str) -> bool {
    let words = message.to_ascii_lowercase();
    let waits =
        ["timeout", "timed out", "deadline", "try again", "temporar", "overloaded", "currently healthy"];
    matches!(code, -32603 | -32002) || waits.iter().any(|phrase| words.contains(phrase))
}

fn rest(retry_after: Option<Duration>) -> String {
    retry_after.map(|time| format!(" and asks for a pause of {} s", time.as_secs())).unwrap_or_default()
}

fn at_most(limit: Option<u64>) -> String {
    limit.map(|blocks| format!(" (its limit is {blocks})")).unwrap_or_default()
}
