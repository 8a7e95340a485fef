//! Providers with limits of their own: what they refuse is asked for as they take it, under whatever status and in
//! whatever form they refuse it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Helpers may fail as loudly as tests.

use crate::common;

use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use common::{CONTRACT, FakeNode, KEY, QUERY, TOPIC, hash, profile};
use salt402_chain::{Account, Completeness, Node, NodeError, Profile, Span};
use serde_json::{Value, json};

/// Transactions of the block, one log in each.
const TRANSACTIONS: u8 = 9;

fn local() -> Profile {
    profile("local", |changes| changes.completeness = Some(Completeness::Off))
}

fn log(place: u8) -> Value {
    json!({
        "address": CONTRACT, "topics": [TOPIC], "data": "0x01", "blockNumber": "0x5", "blockHash": hash(5),
        "transactionHash": hash(0x80 + place), "logIndex": format!("{place:#x}"), "removed": false,
    })
}

fn answer(question: &Value) -> Value {
    let transactions: Vec<_> = (0..TRANSACTIONS).map(|place| hash(0x80 + place)).collect();
    let result = match question["method"].as_str().unwrap() {
        "eth_getBlockByHash" | "eth_getBlockByNumber" => json!({
            "number": "0x5", "hash": hash(5), "parentHash": hash(4), "timestamp": "0x64", "baseFeePerGas": "0x7",
            "transactions": transactions,
        }),
        "eth_getTransactionReceipt" => {
            let place = (0..TRANSACTIONS).find(|place| question["params"][0] == json!(hash(0x80 + place)));
            place.map_or(Value::Null, |place| {
                json!({
                    "transactionHash": hash(0x80 + place), "blockHash": hash(5), "blockNumber": "0x5", "type": "0x2",
                    "status": "0x1", "cumulativeGasUsed": "0x5208", "logs": [log(place)],
                })
            })
        }
        "eth_getBalance" => json!("0xffffffffffffffffffff"),
        "eth_estimateGas" => json!("0x5208"),
        "eth_chainId" => json!("0x9d0c"),
        "eth_getLogs" | "eth_getBlockReceipts" => {
            return json!({ "jsonrpc": "2.0", "id": question["id"], "error": {
                "code": if question["method"] == "eth_getLogs" { -32005 } else { -32601 },
                "message": if question["method"] == "eth_getLogs" { "limit exceeded" } else { "no such method" },
            }});
        }
        _ => json!("0x1"),
    };
    json!({ "jsonrpc": "2.0", "id": question["id"], "result": result })
}

/// A node that takes so many questions at once, and what it says to more of them. It notes how many came.
async fn takes(
    most: usize,
    refusal: impl Fn(&[Value]) -> (u16, Value) + Send + Sync + 'static,
) -> (FakeNode, Arc<Mutex<Vec<usize>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sizes = Arc::clone(&seen);
    let respond = move |_, body: Bytes| -> Response {
        let question: Value = serde_json::from_slice(&body).unwrap();
        let Some(batch) = question.as_array() else {
            sizes.lock().unwrap().push(0);
            return answer(&question).to_string().into_response();
        };
        sizes.lock().unwrap().push(batch.len());
        if batch.len() > most {
            let (status, body) = refusal(batch);
            return (StatusCode::from_u16(status).unwrap(), body.to_string()).into_response();
        }
        Value::Array(batch.iter().map(answer).collect()).to_string().into_response()
    };
    (FakeNode::serve(Arc::default(), respond).await, seen)
}

/// What is said to a batch: a status and a body.
type Refusal = fn(&[Value]) -> (u16, Value);

/// Every way in which batches are refused that was seen.
fn refusals() -> Vec<Refusal> {
    const DRPC: &str =
        "Batch of more than 3 requests are not allowed on free tier, to use this feature register";
    vec![
        |_| (500, json!([{ "id": 0, "jsonrpc": "2.0", "error": { "message": DRPC, "code": 31 } }])),
        |batch| {
            let one =
                |question: &Value| json!({ "id": question["id"], "error": { "message": DRPC, "code": 31 } });
            (200, batch.iter().map(one).collect())
        },
        |_| (200, json!({ "id": null, "error": { "code": -32600, "message": "batch too large" } })),
        |_| (413, json!({ "error": { "code": "-32005", "message": "Batch size limit exceeded" } })),
        |_| (400, json!({ "message": "Batch calls: at most 3 requests in a batch" })),
        |_| (403, json!({ "error": "batch requests of this size are for paid plans" })),
        |_| {
            let data = "Exceeded max limit of 3";
            (
                503,
                json!({ "error": { "code": -32010, "message": "The batch request was too large", "data": data } }),
            )
        },
    ]
}

#[tokio::test]
async fn f11_a_node_that_takes_three_questions_at_once_is_asked_three_at_once() {
    for (which, refusal) in refusals().into_iter().enumerate() {
        let (fake, seen) = takes(3, refusal).await;
        let node = fake.node(local());
        // The block's logs are refused in any width, so its receipts are asked for, one by one.
        let logs = node.logs(&QUERY, Span::Block(hash(5))).await.unwrap();
        assert_eq!(logs.len(), usize::from(TRANSACTIONS), "refusal {which}");
        let first = seen.lock().unwrap().clone();
        let refused = first.iter().filter(|size| **size > 3).count();
        assert!(refused <= 3, "refusal {which}: it learned slowly: {first:?}");
        node.logs(&QUERY, Span::Block(hash(5))).await.unwrap();
        let later = seen.lock().unwrap()[first.len()..].to_vec();
        assert!(later.iter().all(|size| *size <= 3), "refusal {which}: it forgot: {later:?}");
    }
}

#[tokio::test]
async fn a_payer_can_be_served_by_a_node_that_takes_few_questions_at_once_or_one() {
    for most in [3, 1, 0] {
        let (fake, _) = takes(most, refusals()[2]).await;
        let account = Account::from_key(KEY).unwrap();
        let call = salt402_chain::Call {
            to: CONTRACT,
            value: alloy_primitives::U256::from(1),
            data: alloy_primitives::Bytes::new(),
            gas_limit: None,
        };
        account.prepare(&fake.node(local()), &call).await.unwrap();
    }
}

#[tokio::test]
async fn a_node_that_takes_no_two_questions_at_once_is_refused_by_name_and_tried_again() {
    let (fake, seen) = takes(1, refusals()[0]).await;
    let node = fake.node(local());
    for asked in 1..=2 {
        let error = node.logs(&QUERY, Span::Block(hash(5))).await.unwrap_err();
        assert!(matches!(error, NodeError::BatchTooLarge { asked: 2, .. }), "{error:?}");
        assert!(error.to_string().contains("use another node"), "{error}");
        assert_eq!(seen.lock().unwrap().len(), asked);
    }
}

#[tokio::test]
async fn f11_a_range_is_refused_under_any_status_and_in_any_form() {
    let forms = [
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32614,"message":"eth_getLogs is limited to a 3 range"}}"#,
        r#"{"error":{"code":"-32614","message":"eth_getLogs is limited to a 3 range"}}"#,
        r#"[{"id":1,"error":{"code":-32614,"message":"eth_getLogs is limited to a 3 range"}}]"#,
        r#"{"error":"eth_getLogs is limited to a 3 range"}"#,
    ];
    let expected = Err(NodeError::RangeTooLarge { blocks: 5, limit: Some(3) });
    for status in [200, 400, 403, 413, 429, 500, 503] {
        for form in forms {
            let fake = FakeNode::raw(status, &[], form).await;
            let answer = fake.node(local()).logs(&QUERY, Span::Blocks { from: 1, to: 5 }).await;
            assert_eq!(answer, expected, "{status} {form}");
        }
    }
    // What is no JSON at all is read where a status says that it is no answer.
    for status in [400, 403, 413, 429, 500, 503] {
        let fake = FakeNode::raw(status, &[], "eth_getLogs is limited to a 3 range").await;
        let answer = fake.node(local()).logs(&QUERY, Span::Blocks { from: 1, to: 5 }).await;
        assert_eq!(answer, expected, "{status}");
    }
}

#[tokio::test]
async fn f10_too_many_questions_are_refused_under_any_status_and_in_any_form() {
    let forms = [
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":15,"message":"Too many request, try again later"}}"#,
        r#"[{"id":1,"error":{"code":15,"message":"Too many request, try again later"}}]"#,
        r#"{"error":"project ID request rate exceeded"}"#,
    ];
    for status in [200, 400, 403, 429, 500, 503] {
        for form in forms {
            let fake = FakeNode::raw(status, &[], form).await;
            let answer = fake.node(local()).chain_id().await;
            assert_eq!(answer, Err(NodeError::RateLimited { retry_after: None }), "{status} {form}");
            let answer = fake.node(local()).logs(&QUERY, Span::Blocks { from: 1, to: 5 }).await;
            assert_eq!(answer, Err(NodeError::RateLimited { retry_after: None }), "{status} {form}");
        }
    }
    for status in [400, 403, 500, 503] {
        let fake = FakeNode::raw(status, &[], r#"{"message":"API rate limit exceeded"}"#).await;
        let answer = fake.node(local()).chain_id().await;
        assert_eq!(answer, Err(NodeError::RateLimited { retry_after: None }), "{status}");
    }
    // A key that is not accepted is no rate, and a page for people says nothing of the question.
    let denied =
        FakeNode::raw(403, &[], r#"{"error":{"code":-32600,"message":"must be authenticated"}}"#).await;
    assert!(matches!(denied.node(local()).chain_id().await, Err(NodeError::Denied { status: 403, .. })));
    let page = FakeNode::raw(502, &[], "<html>the range is too wide, rate limit</html>").await;
    let answer = page.node(local()).logs(&QUERY, Span::Blocks { from: 1, to: 5 }).await;
    assert!(matches!(answer, Err(NodeError::Status { status: 502, .. })), "{answer:?}");
}
