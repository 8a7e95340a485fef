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
        /// The most that the profile allows; `None` where the node refused, or its answer was too long.
        limit: Option<u64>,
    },

    /// An answer longer than the endpoint's bound. The rest of it was not read.
    #[error("the answer is longer than {limit} bytes: raise the endpoint's bound if the node is trusted")]
    AnswerTooLong {
        /// The bound in bytes.
        limit: usize,
    },

    /// The events of a single block fit into no answer, and its receipts are not to be had either.
    #[error(
        "the events of block {block} are too many for one answer, and were not read from its receipts: {why}; raise the \
         endpoint's bound if the node is trusted, or name another node"
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
            Self::Rpc { code, message } => is_hiccup(*code, message),
            Self::Endpoint { .. }
            | Self::Denied { .. }
            | Self::RangeTooLarge { .. }
            | Self::AnswerTooLong { .. }
            | Self::BlockTooLarge { .. }
            | Self::WrongChain { .. }
            | Self::WrongGenesis { .. }
            | Self::Unsupported { .. }
            | Self::Unaffordable { .. }
            | Self::GasTooHigh { .. } => false,
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

    /// What a JSON-RPC error means, by its code and its words. There is no standard for either, so this is a list of
    /// what nodes and providers are known to say.
    pub(crate) fn from_rpc(method: &str, code: i64, message: String) -> Self {
        let words = message.to_ascii_lowercase();
        let says = |list: &[&str]| list.iter().any(|phrase| words.contains(phrase));
        let too_wide =
            (words.contains("range") && says(RANGE_WORDS)) || says(LENGTH_WORDS) || says(TIME_WORDS);
        if method == "eth_getLogs" && too_wide {
            // The caller, who knows how many blocks it asked for, fills in the number.
            return Self::RangeTooLarge { blocks: 0, limit: None };
        }
        if code == 3 || words.contains("execution reverted") {
            return Self::Rpc { code, message };
        }
        if code == -32601 || (code == -32004 && says(&["method", "support"])) || says(UNSUPPORTED_WORDS) {
            return Self::Unsupported { method: method.to_owned(), message };
        }
        if RATE_CODES.contains(&code) || says(RATE_WORDS) {
            return Self::RateLimited { retry_after: None };
        }
        if says(BEHIND_WORDS) {
            return Self::Behind;
        }
        Self::Rpc { code, message }
    }
}

/// -32005 is Citrate's and Infura's, -32016 Base's, -32029 Alchemy's; 429 is HTTP's, sent as a JSON-RPC code.
const RATE_CODES: &[i64] = &[-32005, -32012, -32016, -32029, 429];

const RATE_WORDS: &[&str] = &[
    "rate limit",
    "rate-limit",
    "too many requests",
    "budget exceeded",
    "compute units",
    "request limit",
    "requests per second",
    "throughput",
    "throttl",
];

/// What is said of the number of blocks, next to the word "range".
const RANGE_WORDS: &[&str] = &["exceed", "limit", "too ", "max", "up to", "wide"];

/// What is said where reading the blocks took too long.
const TIME_WORDS: &[&str] = &["timeout", "timed out", "deadline exceeded", "query duration"];

/// What is said of the number of events.
const LENGTH_WORDS: &[&str] = &[
    "returned more than",
    "too many results",
    "too many logs",
    "too many blocks",
    "logs matched",
    "response size",
    "response is too",
    "result is too",
    "max results",
];

/// What is said of a method that is not there, under codes that also mean other things.
const UNSUPPORTED_WORDS: &[&str] =
    &["method not found", "method not supported", "unsupported method", "does not exist/is not available"];

const BEHIND_WORDS: &[&str] = &[
    "header not found",
    "unknown block",
    "block not found",
    "block is not available",
    "after last accepted block",
    "beyond current head",
];

fn is_hiccup(code: i64, message: &str) -> bool {
    let words = message.to_ascii_lowercase();
    let waits = ["timeout", "timed out", "deadline", "try again", "temporar", "overloaded"];
    matches!(code, -32603 | -32002) || waits.iter().any(|phrase| words.contains(phrase))
}

fn rest(retry_after: Option<Duration>) -> String {
    retry_after.map(|time| format!(" and wants {} s of rest", time.as_secs())).unwrap_or_default()
}

fn at_most(limit: Option<u64>) -> String {
    limit.map(|blocks| format!(" (the profile's logs_range is {blocks})")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logs_error(code: i64, message: &str) -> NodeError {
        NodeError::from_rpc("eth_getLogs", code, message.to_owned())
    }

    #[test]
    fn what_providers_say_of_a_span_that_is_too_wide_is_understood() {
        for (code, message) in [
            (-32602, "query exceeds max block range 10000"),
            (-32005, "query returned more than 10000 results. Try with this block range [0x1, 0x2]"),
            (-32000, "block range is too wide"),
            (-32600, "eth_getLogs is limited to a 10,000 range"),
            (
                -32602,
                "Log response size exceeded. You can make eth_getLogs requests with up to a 2K block range",
            ),
            (-32000, "exceed maximum block range: 5000"),
            (-32603, "query timeout of 10 seconds exceeded"),
            (-32005, "query duration exceeded (10s); consider a smaller block range"),
            (-32000, "context deadline exceeded"),
        ] {
            assert!(matches!(logs_error(code, message), NodeError::RangeTooLarge { .. }), "{message}");
        }
        // The same words about a block mean nothing when no logs were asked for.
        let other = NodeError::from_rpc("eth_call", -32000, "block range is too wide".to_owned());
        assert!(matches!(other, NodeError::Rpc { .. }));
    }

    #[test]
    fn what_nodes_say_of_too_many_questions_is_understood() {
        for (code, message) in [
            (-32005, "Method budget exceeded. Reduce call frequency for expensive methods."),
            (-32016, "over rate limit"),
            (429, "Your app has exceeded its compute units per second capacity"),
            (-32007, "15/second request limit reached"),
            (-32000, "Too Many Requests"),
            (-32097, "limited to 25 requests per second"),
        ] {
            let error = logs_error(code, message);
            assert_eq!(error, NodeError::RateLimited { retry_after: None }, "{message}");
            assert!(error.is_transient());
        }
    }

    #[test]
    fn a_node_that_lags_is_told_from_one_that_refuses() {
        assert_eq!(logs_error(-32000, "unknown block"), NodeError::Behind);
        assert_eq!(logs_error(-32602, "block range extends beyond current head block"), NodeError::Behind);
        assert_eq!(NodeError::from_rpc("eth_call", -32000, "header not found".to_owned()), NodeError::Behind);
        let revert =
            NodeError::from_rpc("eth_call", -32000, "execution reverted: rate limit of 5".to_owned());
        assert!(revert.is_revert() && !revert.is_transient(), "{revert:?}");
        let slow =
            NodeError::from_rpc("eth_call", -32000, "call exceeded the 5s execution deadline".to_owned());
        assert!(slow.is_transient() && !slow.is_revert());
        let absent = logs_error(-32601, "the method does not exist");
        assert!(!absent.is_transient() && matches!(absent, NodeError::Unsupported { .. }), "{absent:?}");
    }
}
