//! What following many contracts costs: questions and requests for each block, counted before the node.

use std::collections::BTreeMap;

use reqwest::StatusCode;
use salt402_protocol::{Amount, U256};
use salt402_tests::signing::wrapped_salt_call;
use salt402_tests::{Fault, NodeProxy, Stack, following, inference};
use serde_json::Value;

use crate::SALT402;

/// Blocks that are counted.
const BLOCKS: u64 = 8;

/// What each block costs: questions for logs, and requests that they are in, and headers that come with them.
async fn of_each_block(stack: &mut Stack, node: &NodeProxy) -> (u64, u64, u64) {
    let count = |all: &BTreeMap<String, u64>, method: &str| all.get(method).copied().unwrap_or(0);
    let (calls, requests) = (node.calls(), node.requests());
    for _ in 0..BLOCKS {
        stack.anvil.mine(1).await;
        stack.indexed(stack.anvil.height().await).await;
    }
    let (later, more) = (node.calls(), node.requests());
    let logs = count(&later, "eth_getLogs") - count(&calls, "eth_getLogs");
    let carried = count(&more, "eth_getLogs") - count(&requests, "eth_getLogs");
    let headers = count(&later, "eth_getBlockByHash") - count(&calls, "eth_getBlockByHash");
    assert!(logs.is_multiple_of(BLOCKS), "{logs} questions for {BLOCKS} blocks");
    (logs / BLOCKS, carried / BLOCKS, headers / BLOCKS)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_sources_cost_as_many_questions_for_a_block_as_one_and_a_payment_through_the_last_counts() {
    let mut costs = Vec::new();
    for tokens in [0, 10, 99] {
        let (mut stack, node) = following(SALT402, tokens, "").await;
        costs.push(of_each_block(&mut stack, &node).await);
        if tokens == 99 {
            let token = stack.deployment.wrapped_salt;
            stack.payer().wrap(token, Amount(U256::from(1_000_000))).await;
            let body = inference("among a hundred");
            let details = stack.quote(&body).await;
            let proof = stack.payer().call(token, wrapped_salt_call(&details, token), Amount::ZERO).await;
            let answer = stack.infer_with(&body, proof).await;
            assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        }
    }
    // The events of the payment contract, the channels' and the tokens', in one request with the block's header.
    let (logs, requests, headers) = costs[0];
    assert_eq!((logs, requests), (3, 1), "{costs:?}");
    assert!(headers <= 2, "{costs:?}");
    assert!(costs.iter().all(|cost| *cost == costs[0]), "it grows with the sources: {costs:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_lists_of_contracts_are_not_taken_the_questions_share_requests_and_what_a_node_takes_is_learned()
 {
    // A question each, as the profile says.
    let (mut stack, node) = following(SALT402, 40, "max_addresses = 1").await;
    let (logs, requests, _) = of_each_block(&mut stack, &node).await;
    assert_eq!((logs, requests), (43, 3));
    drop((stack, node));

    // As the node says.
    let (mut stack, node) = following(SALT402, 40, "").await;
    node.refuses_questions(|questions| {
        let named = |question: &Value| question["params"][0]["address"].as_array().map_or(1, Vec::len);
        let too_many = questions.iter().any(|one| one["method"] == "eth_getLogs" && named(one) > 10);
        too_many.then(|| Fault::Error(-32602, "exceed max addresses".into()))
    });
    stack.anvil.mine(1).await;
    stack.indexed(stack.anvil.height().await).await;
    let (logs, requests, _) = of_each_block(&mut stack, &node).await;
    assert_eq!((logs, requests), (2 + 5, 1), "41 tokens, ten at once");
}
