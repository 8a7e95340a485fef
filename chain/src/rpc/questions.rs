//! JSON-RPC requests.

use alloy_primitives::{Address, B256};
use serde_json::{Value, json};

use crate::node::{At, Call, LogFilter, StateQuestion};

/// One method with its parameters.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) method: &'static str,
    pub(crate) params: Value,
}

impl Question {
    pub(crate) fn new(method: &'static str, params: Value) -> Self {
        Self { method, params }
    }

    pub(crate) fn body(&self, id: usize) -> Value {
        json!({ "jsonrpc": "2.0", "id": id, "method": self.method, "params": self.params })
    }
}

pub(crate) fn hex(number: u64) -> String {
    format!("{number:#x}")
}

pub(crate) fn chain_id() -> Question {
    Question::new("eth_chainId", json!([]))
}

pub(crate) fn balance(account: Address) -> Question {
    Question::new("eth_getBalance", json!([account, "latest"]))
}

pub(crate) fn code(contract: Address) -> Question {
    Question::new("eth_getCode", json!([contract, "latest"]))
}

/// The gas of a call without a limit of its own. Nodes' defaults differ; Citrate's is one million.
const CALL_GAS: u64 = 10_000_000;

pub(crate) fn call(from: Option<Address>, call: &Call) -> Question {
    let mut asked = transaction(call);
    asked["gas"] = json!(hex(call.gas_limit.unwrap_or(CALL_GAS)));
    if let Some(from) = from {
        asked["from"] = json!(from);
    }
    Question::new("eth_call", json!([asked, "latest"]))
}

pub(crate) fn gas(from: Address, call: &Call) -> Question {
    let mut asked = transaction(call);
    asked["from"] = json!(from);
    if let Some(limit) = call.gas_limit {
        asked["gas"] = json!(hex(limit));
    }
    Question::new("eth_estimateGas", json!([asked]))
}

pub(crate) fn state(question: &StateQuestion) -> Question {
    match question {
        StateQuestion::Code(contract) => code(*contract),
        StateQuestion::View { from, call: viewed } => call(*from, viewed),
        StateQuestion::Gas { from, call } => gas(*from, call),
        StateQuestion::Balance(account) => balance(*account),
        StateQuestion::Height => Question::new("eth_blockNumber", json!([])),
    }
}

pub(crate) fn header(at: At) -> Question {
    match at {
        At::Latest => Question::new("eth_getBlockByNumber", json!(["latest", false])),
        At::Number(number) => Question::new("eth_getBlockByNumber", json!([hex(number), false])),
        At::Hash(hash) => Question::new("eth_getBlockByHash", json!([hash, false])),
    }
}

pub(crate) fn logs(filter: &LogFilter, from: u64, to: u64) -> Question {
    logs_of(filter, json!({ "fromBlock": hex(from), "toBlock": hex(to) }))
}

/// A log query with the block fields in `blocks`. A single contract is written without a list, as simple clients do.
pub(crate) fn logs_of(filter: &LogFilter, mut blocks: Value) -> Question {
    blocks["address"] = match filter.contracts.as_slice() {
        [contract] => json!(contract),
        contracts => json!(contracts),
    };
    blocks["topics"] = topics(filter);
    Question::new("eth_getLogs", json!([blocks]))
}

/// A single topic is also written without a list.
fn topics(filter: &LogFilter) -> Value {
    let place = |values: &Vec<B256>| match values.as_slice() {
        [] => Value::Null,
        [value] => json!(value),
        values => json!(values),
    };
    filter.topics.iter().map(place).collect()
}

/// A call with its data as `data` and as `input`: some nodes read only the first, others prefer the second.
pub(crate) fn transaction(call: &Call) -> Value {
    json!({ "to": call.to, "value": call.value, "data": call.data, "input": call.data })
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{Bytes, U256};

    use super::*;

    #[test]
    fn an_estimate_tries_no_more_than_its_limit() {
        let call = |gas_limit| Call { to: Address::ZERO, value: U256::ZERO, data: Bytes::new(), gas_limit };
        let asked = |gas_limit| state(&StateQuestion::Gas { from: Address::ZERO, call: call(gas_limit) });
        assert_eq!(asked(Some(300_000)).params[0]["gas"], "0x493e0");
        assert!(asked(None).params[0].get("gas").is_none(), "the node has a limit of its own");
        assert_eq!(state(&StateQuestion::Height).method, "eth_blockNumber");
    }
}
