//! Interprets JSON-RPC errors by code and message.
//!
//! Neither is standardized, so this lists what known nodes and providers send; the tests name the sender of each. The
//! message decides before the code, because codes mean different things to different senders.

use crate::error::NodeError;

/// The request that failed.
#[derive(Clone, Copy)]
pub(crate) struct FailedRequest<'a> {
    /// The method. For a batch, the last one.
    pub(crate) method: &'a str,
    /// The number of calls in the request.
    pub(crate) together: usize,
}

impl<'a> FailedRequest<'a> {
    pub(crate) fn one(method: &'a str) -> Self {
        Self { method, together: 1 }
    }
}

/// The error for a code and a message.
pub(crate) fn meaning(asked: FailedRequest<'_>, code: i64, message: String) -> NodeError {
    let words = message.to_ascii_lowercase();
    let says = |list: &[&[&str]]| list.iter().any(|row| row.iter().all(|phrase| words.contains(phrase)));
    let about_logs = asked.method == "eth_getLogs";
    let executes = matches!(asked.method, "eth_call" | "eth_estimateGas");
    // A contract's revert reason may contain any words, so it is checked first.
    if (code == 3 && executes) || words.contains("execution reverted") {
        return NodeError::Rpc { code, message };
    }
    if asked.together > 1 && words.contains("batch") && !says(RATE) {
        if words.contains("response") {
            return too_long(about_logs, message);
        }
        let limit = number(&words, BATCH_NUMBERS).and_then(|limit| usize::try_from(limit).ok());
        return NodeError::BatchTooLarge { asked: asked.together, limit };
    }
    if about_logs && says(ADDRESSES) && !words.contains("range") {
        // Likewise, how many it named.
        let limit = number(&words, ADDRESS_NUMBERS).and_then(|limit| usize::try_from(limit).ok());
        return NodeError::TooManyAddresses { asked: 0, limit };
    }
    if about_logs && says(RANGE) {
        // The caller knows how many blocks it asked for, and fills in the number.
        return NodeError::RangeTooLarge { blocks: 0, limit: number(&words, BLOCK_NUMBERS) };
    }
    if says(LENGTH) || (about_logs && says(TIME)) {
        return too_long(about_logs, message);
    }
    if code == -32601 || (code == -32004 && says(&[&["method"], &["support"]])) || says(UNSUPPORTED) {
        return NodeError::Unsupported { method: asked.method.to_owned(), message };
    }
    if says(RATE) {
        return NodeError::RateLimited { retry_after: None };
    }
    // BSC's public nodes answer log queries with only "limit exceeded", and with the code that Infura uses for rate
    // limits. Fewer blocks may help, and receipts are another request; a real rate limit will refuse those too.
    if code == -32005 && about_logs {
        return NodeError::RangeTooLarge { blocks: 0, limit: None };
    }
    if RATE_CODES.contains(&code) {
        return NodeError::RateLimited { retry_after: None };
    }
    if says(BEHIND) {
        return NodeError::Behind;
    }
    NodeError::Rpc { code, message }
}

fn too_long(about_logs: bool, message: String) -> NodeError {
    if about_logs {
        NodeError::RangeTooLarge { blocks: 0, limit: None }
    } else {
        NodeError::AnswerRefused { message }
    }
}

/// Whether a node refuses a transaction because it already has it. The words are those of geth and anvil, reth,
/// Nethermind, Citrate, Besu and old gateways, and OpenEthereum.
pub(crate) fn is_known_transaction(message: &str) -> bool {
    const WORDS: &[&str] = &[
        "already known",
        "already imported",
        "alreadyknown",
        "already_known",
        "duplicatetransaction",
        "duplicate transaction",
        "already in mempool",
        "already in the mempool",
        "already in pool",
        "tx already exists",
        "same hash was already",
        "known transaction",
    ];
    let words = message.to_ascii_lowercase();
    // "Unknown transaction type" is another error.
    let words = words.replace("unknown transaction", "");
    WORDS.iter().any(|phrase| words.contains(phrase))
}

/// Rate limit codes: -32005 of Citrate and Infura, -32016 of Base, -32029 of Alchemy and Ankr; 429 is HTTP's, sent as a
/// JSON-RPC code.
const RATE_CODES: &[i64] = &[-32005, -32012, -32016, -32029, 429];

/// Phrases about rate limits. All phrases of a row must occur.
const RATE: &[&[&str]] = &[
    &["rate limit"],
    &["rate-limit"],
    &["request rate"],
    &["rate exceeded"],
    &["too many request"],
    &["budget exceeded"],
    &["compute units"],
    &["request limit"],
    &["request count"],
    &["requests capacity"],
    &["capacity limit"],
    &["requests per second"],
    &["rps limit"],
    &["slow down"],
    &["throughput"],
    &["throttl"],
];

/// Phrases about too many contracts.
const ADDRESSES: &[&[&str]] = &[
    &["max addresses"],
    &["maximum addresses"],
    &["too many address"],
    &["addresses", "exceed"],
    &["addresses", "limit"],
    &["addresses", "more than"],
    &["addresses", "at most"],
];

/// Phrases about too many blocks.
const RANGE: &[&[&str]] = &[
    &["range", "exceed"],
    &["range", "limit"],
    &["range", "too "],
    &["range", "max"],
    &["range", "up to"],
    &["range", "wide"],
    &["range", "greater than"],
    &["ranges over"],
    &["blocks distance"],
    &["requested blocks"],
    &["too many blocks"],
    &["limit the query", "blocks"],
    &["query must be smaller"],
];

/// Phrases about too many logs, or too long an answer.
const LENGTH: &[&[&str]] = &[
    &["returned more than"],
    &["more than", "results"],
    &["too many results"],
    &["too many logs"],
    &["logs matched"],
    &["response size"],
    &["response is too"],
    &["response too large"],
    &["response was too"],
    &["result is too"],
    &["max results"],
];

/// Phrases about a timeout of the search.
const TIME: &[&[&str]] = &[&["timeout"], &["timed out"], &["deadline exceeded"], &["query duration"]];

/// Phrases about a missing method, for codes that also mean other things.
const UNSUPPORTED: &[&[&str]] = &[
    &["method not found"],
    &["method not supported"],
    &["unsupported method"],
    &["does not exist/is not available"],
];

const BEHIND: &[&[&str]] = &[
    &["header not found"],
    &["header for hash not found"],
    &["unknown block"],
    &["block not found"],
    &["block is not available"],
    &["blocks specified in filter", "cannot be found"],
    &["after last accepted block"],
    &["beyond current head"],
];

/// The words before or after a number of blocks, and the words after other numbers.
struct NumberContext {
    before: &'static [&'static str],
    after: &'static [&'static str],
    not: &'static [&'static str],
}

const BLOCK_NUMBERS: NumberContext = NumberContext {
    before: &[
        "range", "ranges", "max", "maximum", "to", "a", "of", "limit", "exceeds", "is", "over", "than",
        "distance", ">", "size", "most",
    ],
    after: &["block", "blocks", "range"],
    not: &["log", "logs", "result", "results", "event", "events", "second", "seconds", "request", "requests"],
};

const BATCH_NUMBERS: NumberContext = NumberContext {
    before: &["than", "of", "to", "limit", "max", "maximum", "is", "exceeds"],
    after: &["request", "requests", "calls", "items"],
    not: &[],
};

const ADDRESS_NUMBERS: NumberContext = NumberContext {
    before: &["addresses", "max", "maximum", "limit", "most", "than", "of", "to", "is", "exceeds"],
    after: &["address", "addresses"],
    not: &[],
};

/// The last matching number in a text. A suggested block range is not used: it fits only the blocks of this request,
/// and providers suggest ranges that they then refuse.
fn number(words: &str, context: NumberContext) -> Option<u64> {
    let words = words.split("[0x").next().unwrap_or_default();
    let words: Vec<&str> = words
        .split([' ', '(', ')', ':', ';'])
        .map(|word| word.trim_matches(['.', ',', '"', '\'', ']']))
        .filter(|word| !word.is_empty())
        .collect();
    let of = |place: usize, word: &str| {
        let number = amount(word)?;
        let before = place.checked_sub(1).and_then(|place| words.get(place)).copied().unwrap_or_default();
        let after = words.get(place + 1).copied().unwrap_or_default();
        let fits = context.after.contains(&after)
            || (context.before.contains(&before) && !context.not.contains(&after));
        fits.then_some(number)
    };
    let mut found = words.iter().enumerate().filter_map(|(place, word)| of(place, word));
    found.rfind(|number| *number > 0)
}

/// A number in one of the usual notations: `10,000`, `10_000`, `10k`.
fn amount(word: &str) -> Option<u64> {
    let (digits, times) = word.strip_suffix('k').map_or((word, 1), |digits| (digits, 1000));
    let digits: String = digits.chars().filter(|c| !matches!(c, ',' | '_')).collect();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse::<u64>().ok()?.checked_mul(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about_logs(code: i64, message: &str) -> NodeError {
        meaning(FailedRequest::one("eth_getLogs"), code, message.to_owned())
    }

    #[test]
    fn that_too_many_contracts_are_named_is_understood_and_is_no_range() {
        for (who, code, text, limit) in [
            ("geth", -32602, "exceed max addresses", None),
            ("geth, later", -32602, "exceed max addresses or topics per search position", None),
            ("a provider", -32602, "too many addresses: maximum is 10", Some(10)),
            ("another", -32005, "eth_getLogs is limited to at most 50 addresses", Some(50)),
        ] {
            assert_eq!(about_logs(code, text), NodeError::TooManyAddresses { asked: 0, limit }, "{who}");
        }
    }

    /// The sender, the code, the message, and the number of blocks in it.
    const WIDE: &[(&str, i64, &str, Option<u64>)] = &[
        (
            "Alchemy, free",
            -32600,
            "Under the Free tier plan, you can make eth_getLogs requests with up to a 10 block range. Based on your \
             parameters, this block range should work: [0x5cfb3a, 0x5cfb43]. Upgrade to PAYG for expanded block range.",
            Some(10),
        ),
        (
            "Alchemy",
            -32602,
            "Log response size exceeded. You can make eth_getLogs requests with up to a 2K block range and no limit on \
             the response size, or you can request any block range with a cap of 10K logs in the response. Based on your \
             parameters and the response size limit, this block range should work: [0x0, 0x1]",
            Some(2000),
        ),
        (
            "Infura",
            -32005,
            "query returned more than 10000 results. Try with this block range [0x1, 0x2].",
            None,
        ),
        ("Infura", -32005, "query duration exceeded (10s); consider a smaller block range", None),
        ("Infura", -32603, "query timeout of 10 seconds exceeded", None),
        ("QuickNode", -32614, "eth_getLogs is limited to a 10,000 range", Some(10_000)),
        ("QuickNode, free", -32614, "eth_getLogs is limited to a 5 range", Some(5)),
        ("1RPC", -32000, "eth_getLogs is limited to 0 - 50 blocks range", Some(50)),
        ("1RPC", -32000, "response size should not greater than 10000000 bytes", None),
        ("Ankr", -32600, "block range is too wide", None),
        ("Ankr", -32062, "Block range is too large", None),
        (
            "Ankr",
            -32000,
            "query exceeded max allowed range: query exceeds max results 20000, retry with the range 59066104-59066970",
            None,
        ),
        ("Ankr", -32600, "maximum [from, to] blocks distance: 1000", Some(1000)),
        ("dRPC, free", 35, "ranges over 10000 blocks are not supported on free plan", Some(10_000)),
        (
            "dRPC, free",
            30,
            "Request timeout on the free tier, please upgrade your tier to the paid one",
            None,
        ),
        (
            "Chainstack",
            -32602,
            "Block range limit exceeded. See more details at https://docs.chainstack.com/docs/limits#evm-range-limits",
            None,
        ),
        (
            "Blast, paid",
            -32600,
            "requested range exceeds the range allowed for your plan (49999 > 10000)",
            Some(10_000),
        ),
        ("PublicNode", -32701, "exceed maximum block range: 50000", Some(50_000)),
        ("BSC's own", -32005, "limit exceeded", None),
        ("BSC's own, once", -32000, "exceed maximum block range: 5000", Some(5000)),
        ("Base's own", -32602, "block range too large", None),
        ("Optimism's own", -32020, "backend response too large", None),
        ("Cloudflare", -32602, "Max range: 800", Some(800)),
        ("thirdweb", -32000, "Maximum allowed number of requested blocks is 3500", Some(3500)),
        ("BlockPI", -32602, "eth_getLogs is limited to 1024 block range", Some(1024)),
        (
            "Avalanche",
            -32000,
            "requested too many blocks from 0 to 16777215, maximum is set to 2048",
            Some(2048),
        ),
        ("Coinbase", -32000, "please limit the query to at most 1000 blocks", Some(1000)),
        ("Merkle", -32000, "eth_getLogs range is too large, max is 10k blocks", Some(10_000)),
        ("Harmony", -32000, "query must be smaller than size 1024", Some(1024)),
        ("Moonbeam", -32603, "block range is too wide (maximum 1024)", Some(1024)),
        ("Somnia", -32600, "block range exceeds 1000", Some(1000)),
        ("Swell", -32000, "block range greater than 20000 max", Some(20_000)),
        ("Hyperliquid", -32000, "query exceeds max block range 50", Some(50)),
        ("reth", -32602, "query exceeds max block range 100000", Some(100_000)),
        ("reth", -32602, "query exceeds max results 20000, retry with the range 59066104-59066970", None),
        ("Arbitrum", -32000, "logs matched by query exceeds limit of 10000", None),
        (
            "zkSync",
            -32602,
            "Query returned more than 10000 results. Try with this block range [0x1, 0x2].",
            None,
        ),
        ("jsonrpsee", -32008, "Response is too big", None),
        ("geth", -32000, "context deadline exceeded", None),
        ("Chainstack and others", -32000, "range 49999 exceeds limit of 10000", Some(10_000)),
    ];

    #[test]
    fn what_providers_say_of_a_span_that_is_too_wide_is_understood_with_the_width_that_they_name() {
        for (who, code, message, limit) in WIDE {
            let expected = NodeError::RangeTooLarge { blocks: 0, limit: *limit };
            assert_eq!(about_logs(*code, message), expected, "{who}: {message}");
        }
        // The same words about a block mean nothing for other methods.
        let other = meaning(FailedRequest::one("eth_call"), -32000, "block range is too wide".to_owned());
        assert!(matches!(other, NodeError::Rpc { .. }));
    }

    #[test]
    fn what_providers_say_of_too_many_questions_is_understood() {
        for (who, code, message) in [
            ("Citrate", -32005, "Method budget exceeded. Reduce call frequency for expensive methods."),
            ("Infura", -32005, "daily request count exceeded, request rate limited"),
            ("Infura", -32005, "project ID request rate exceeded"),
            ("Base's own", -32016, "over rate limit"),
            (
                "Alchemy",
                429,
                "Your app has exceeded its compute units per second capacity. If you have retries enabled, you can \
                 safely ignore this message.",
            ),
            ("Alchemy", -32000, "Your app has exceeded its concurrent requests capacity."),
            ("Alchemy", 429, "Monthly capacity limit exceeded. Visit the dashboard to upgrade."),
            ("QuickNode", -32007, "15/second request limit reached - reduce calls per second or upgrade"),
            ("QuickNode", -32005, "daily request limit reached - upgrade your account"),
            ("dRPC", 15, "Too many request, try again later"),
            ("Ankr", -32029, "Too Many Requests"),
            ("Ankr", -32097, "limited to 25 requests per second"),
            ("Chainstack", -32005, "You've exceeded the RPS limit available on the current plan."),
            ("Blast", -32000, "Project rate limit exceeded"),
        ] {
            for method in ["eth_getLogs", "eth_getTransactionReceipt"] {
                let error = meaning(FailedRequest { method, together: 2 }, code, message.to_owned());
                assert_eq!(error, NodeError::RateLimited { retry_after: None }, "{who}: {message}");
                assert!(error.is_transient());
            }
        }
        // Without a clear message, only the code decides.
        let bare =
            meaning(FailedRequest::one("eth_getTransactionReceipt"), -32005, "limit exceeded".to_owned());
        assert_eq!(bare, NodeError::RateLimited { retry_after: None });
    }

    #[test]
    fn what_providers_say_of_a_batch_that_is_too_large_is_understood() {
        for (who, code, message, limit) in [
            (
                "dRPC, free",
                31,
                "Batch of more than 3 requests are not allowed on free tier, to use this feature register paid account",
                Some(3),
            ),
            ("geth", -32600, "batch too large", None),
            ("Nethermind", -32005, "Batch size limit exceeded", None),
            ("jsonrpsee", -32010, "The batch request was too large (Exceeded max limit of 5)", Some(5)),
            ("besu", -32602, "Number of requests in batch exceeds --rpc-max-batch-size.", None),
            ("Acala", -32600, "Exceeded maximum batch size 2", None),
            ("Tatum, free", -32000, "Batch calls are available for paid plans only", None),
        ] {
            for method in ["eth_getLogs", "eth_getTransactionReceipt"] {
                let error = meaning(FailedRequest { method, together: 6 }, code, message.to_owned());
                assert_eq!(error, NodeError::BatchTooLarge { asked: 6, limit }, "{who}: {message}");
            }
        }
        // The node accepted the batch, but its answer was too long.
        let long = "The batch response was too large".to_owned();
        let error = meaning(FailedRequest { method: "eth_getTransactionReceipt", together: 6 }, -32011, long);
        assert!(matches!(error, NodeError::AnswerRefused { .. }), "{error:?}");
    }

    #[test]
    fn an_answer_that_a_node_finds_too_long_is_told_from_one_that_failed() {
        for (who, code, message) in [
            ("jsonrpsee", -32008, "Response is too big (Exceeded max limit of 167772160)"),
            ("geth", -32003, "response too large"),
            ("Optimism's own", -32020, "backend response too large"),
        ] {
            let error = meaning(FailedRequest::one("eth_getTransactionReceipt"), code, message.to_owned());
            assert!(matches!(error, NodeError::AnswerRefused { .. }), "{who}: {error:?}");
            assert!(!error.is_transient());
        }
    }

    #[test]
    fn a_node_that_lags_is_told_from_one_that_refuses() {
        for message in [
            "unknown block",
            "block range extends beyond current head block",
            "header for hash not found",
            "One of the blocks specified in filter (fromBlock, toBlock or blockHash) cannot be found.",
        ] {
            assert_eq!(about_logs(-32000, message), NodeError::Behind, "{message}");
        }
        let call = |message: &str| meaning(FailedRequest::one("eth_call"), -32000, message.to_owned());
        assert_eq!(call("header not found"), NodeError::Behind);
        for words in ["rate limit of 5", "batch of more than 3 requests", "block range is too wide"] {
            let revert = call(&format!("execution reverted: {words}"));
            assert!(revert.is_revert() && !revert.is_transient(), "{revert:?}");
        }
        let slow = call("call exceeded the 5s execution deadline");
        assert!(slow.is_transient() && !slow.is_revert());
        assert!(call("no backend is currently healthy to serve traffic").is_transient());
        let absent = about_logs(-32601, "the method does not exist");
        assert!(!absent.is_transient() && matches!(absent, NodeError::Unsupported { .. }), "{absent:?}");
    }

    #[test]
    fn a_node_that_has_the_transaction_is_understood_whatever_its_words() {
        for known in [
            "already known",
            "Known transaction",
            "known transaction: 0xabc",
            "transaction already imported",
            "AlreadyKnown",
            "DuplicateTransaction(0xabc)",
            "ALREADY_KNOWN: already known",
            "Transaction with the same hash was already imported.",
            "tx already exists in cache",
        ] {
            assert!(is_known_transaction(known), "{known}");
        }
        for other in ["unknown transaction type", "nonce too low", "replacement transaction underpriced", ""]
        {
            assert!(!is_known_transaction(other), "{other}");
        }
    }
}
