//! An account that sends transactions, and the price of gas.

use alloy_primitives::Address;
use serde_json::json;

use crate::error::NodeError;
use crate::node::{AccountState, At};
use crate::rpc::answers::Answer;
use crate::rpc::http::Http;
use crate::rpc::questions::{self, Question};
use crate::rpc::wire::{self, Quantity};

/// The questions about the price of gas.
pub(crate) fn price_questions() -> [Question; 3] {
    [
        questions::header(At::Latest),
        Question::new("eth_gasPrice", json!([])),
        Question::new("eth_maxPriorityFeePerGas", json!([])),
    ]
}

/// What a block takes for a unit of gas, and what its producer is given besides, from the answers to those questions.
pub(crate) fn price(
    head: &Answer<'_>,
    price: &Answer<'_>,
    tip: &Answer<'_>,
) -> Result<(u64, u64), NodeError> {
    let price = price.clone().read::<Quantity>().map(|price| price.0);
    let base_fee = head.clone().read::<Option<wire::Header>>()?.and_then(|head| head.base_fee_per_gas);
    // Nodes without base fees in their headers return zero.
    let base_fee = match base_fee.filter(|fee| fee.0 > 0) {
        Some(fee) => fee.0,
        None => price.clone()?,
    };
    let tip = match tip.clone().read::<Quantity>() {
        Ok(tip) => tip.0,
        // Some nodes lack the method. The tip is then the gas price minus the base fee.
        Err(_) => price.map_or(0, |price| price.saturating_sub(base_fee)),
    };
    Ok((base_fee, tip))
}

pub(crate) async fn account(http: &Http, account: Address) -> Result<AccountState, NodeError> {
    let count = |at: &str| Question::new("eth_getTransactionCount", json!([account, at]));
    let [head, price_now, tip_now] = price_questions();
    // What is pending is asked first, so that what is mined meanwhile is not taken for one that is not.
    let asked = [count("pending"), count("latest"), questions::balance(account), head, price_now, tip_now];
    let pieces = http.ask_in_pieces(&asked).await?;
    let mut answers = Vec::with_capacity(asked.len());
    for piece in &pieces {
        answers.extend(http.open(piece)?);
    }
    let [pending, mined, balance, head, price_now, tip_now] = answers.as_slice() else {
        return Err(NodeError::Malformed { what: "a batch of six had another number".to_owned() });
    };
    let (base_fee, tip) = price(head, price_now, tip_now)?;
    Ok(AccountState {
        mined: mined.clone().read::<Quantity>()?.0,
        pending: pending.clone().read::<Quantity>()?.0,
        balance: balance.clone().read()?,
        base_fee,
        tip,
    })
}
